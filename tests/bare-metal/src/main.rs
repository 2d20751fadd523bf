//! Groups on a chip, whose children are woken and added from interrupts. Each scenario asserts, and
//! leaves the heap as it found it. A panic ends the run with a failure.

#![no_std]
#![no_main]

extern crate alloc;

mod executor;
mod handles;
mod heap;
mod interrupt;
mod races;
mod scenarios;

use cortex_m::Peripherals;
use cortex_m_rt::{ExceptionFrame, entry, exception};
use cortex_m_semihosting::{
    debug::{self, EXIT_SUCCESS},
    hprintln,
};
use panic_semihosting as _;

/// What a child of the largest group takes at most: its slot, its waker in the line, and its share of
/// the group's list of pages while that grows.
const BYTES_PER_CHILD: usize = 39;

macro_rules! run {
    ($($module:ident::$scenario:ident)*) => {
        $(run(stringify!($scenario), $module::$scenario);)*
    };
}

#[entry]
fn main() -> ! {
    heap::init();
    interrupt::init(Peripherals::take().unwrap(), heap::size() / BYTES_PER_CHILD);
    hprintln!("{} bytes of heap, of which the wakers in line take {}", heap::size(), heap::used());
    run! {
        scenarios::children_end_in_order_as_interrupts_wake_them
        scenarios::a_group_may_fill_the_memory
        scenarios::the_first_error_drops_the_siblings_before_the_group_resolves
        scenarios::an_error_deep_inside_drops_all_around_it
        scenarios::a_limit_holds_children_back_until_others_end
        scenarios::a_wake_after_the_group_is_gone_touches_nothing
        scenarios::the_waker_of_a_replaced_child_ends_no_other
        scenarios::groups_in_a_group_end_from_the_inside
        scenarios::a_scope_adds_children_as_there_is_room
        races::no_wake_is_lost_at_any_instruction
        races::no_wake_is_lost_when_one_interrupts_another
        races::no_wake_is_lost_when_the_group_changes_tasks
        races::no_wake_is_lost_in_a_group_in_a_group
        races::a_wake_at_any_instruction_of_a_drop_touches_nothing
        races::a_wake_at_any_instruction_of_a_clear_leaves_the_group_usable
        handles::a_child_that_comes_at_any_instruction_runs
        handles::a_child_that_comes_as_the_group_changes_tasks_runs
        handles::children_that_come_in_the_midst_of_an_add_run
        handles::a_limit_lets_children_start_in_the_order_in_which_they_come
        handles::a_child_that_comes_as_the_last_one_ends_runs_or_is_given_back
        handles::a_child_that_comes_as_another_fails_is_dropped_or_given_back
        handles::a_child_that_comes_at_any_instruction_of_a_drop_is_dropped_or_given_back
        handles::a_child_that_comes_at_any_instruction_of_a_clear_is_dropped_or_runs
        handles::a_child_that_comes_at_any_instruction_of_a_push_wakes_the_group
        handles::an_add_after_the_group_is_gone_touches_nothing
    }
    debug::exit(EXIT_SUCCESS);
    unreachable!("the emulator has ended")
}

fn run(name: &str, scenario: fn()) {
    let (used, before) = (heap::used(), interrupt::counts());
    heap::reset_peak();
    scenario();
    assert_eq!(interrupt::waiting(), 0);
    assert_eq!(heap::used(), used, "{name}: bytes in use");
    let counts = interrupt::counts();
    hprintln!(
        "{}: {} wakes, {} interrupts while awake and {} while asleep, {} bytes at most",
        name,
        counts.wakes - before.wakes,
        counts.awake - before.awake,
        counts.asleep - before.asleep,
        heap::peak() - used,
    );
}

// Without it, a fault would hang. One that comes from the stack's overflow ends the emulator before.
#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    panic!("{frame:?}")
}
