//! What a group adds to a binary: here a child is awaited as it is or, with the feature `group`, in
//! a group. All else is the same.

#![no_std]
#![no_main]
#![allow(dead_code, reason = "the modules are those of the scenarios")]

extern crate alloc;

#[path = "../executor.rs"]
mod executor;
#[path = "../heap.rs"]
mod heap;
#[path = "../interrupt.rs"]
mod interrupt;

use cortex_m::Peripherals;
use cortex_m_rt::entry;
use cortex_m_semihosting::debug::{self, EXIT_FAILURE, EXIT_SUCCESS};
use panic_halt as _;

#[entry]
fn main() -> ! {
    heap::init();
    interrupt::init(Peripherals::take().unwrap(), 1);
    let outcome = executor::block_on(children());
    debug::exit(if outcome.is_ok() { EXIT_SUCCESS } else { EXIT_FAILURE });
    unreachable!("the emulator has ended")
}

#[cfg(feature = "group")]
fn children() -> errgroup::Group<errgroup::LocalBoxFuture<'static, Result<(), u32>>> {
    let mut group = errgroup::Group::new_local();
    group.go(child());
    group
}

#[cfg(not(feature = "group"))]
fn children() -> errgroup::LocalBoxFuture<'static, Result<(), u32>> {
    alloc::boxed::Box::pin(child())
}

async fn child() -> Result<(), u32> {
    interrupt::Interrupted::default().await;
    if heap::used() > 0 { Ok(()) } else { Err(1) }
}
