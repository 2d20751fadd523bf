//! The global allocator is foreign code too: it may add children, also while the group makes room for others.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use errgroup::{Group, Handle};

/// Adds a child, once whenever it is told to.
struct Adds;

thread_local! {
    static HANDLE: RefCell<Option<Handle<Child>>> = const { RefCell::new(None) };
    static IS_TOLD: Cell<bool> = const { Cell::new(false) };
    static ADDED: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Adds = Adds;

impl Adds {
    fn add() {
        if IS_TOLD.replace(false) {
            HANDLE.with_borrow(|handle| {
                let handle = handle.as_ref().expect("told with a handle");
                assert!(handle.push(Child::Done).is_ok());
            });
            ADDED.set(ADDED.get() + 1);
        }
    }
}

// SAFETY: it is the system's.
unsafe impl GlobalAlloc for Adds {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::add();
        // SAFETY: by the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::add();
        // SAFETY: by the contract.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: by the contract.
        unsafe { System.dealloc(at, layout) };
        Self::add();
    }
}

enum Child {
    AddsMany(Handle<Self>),
    Done,
}

impl Future for Child {
    type Output = Result<(), ()>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if let Self::AddsMany(handle) = &*self {
            for _ in 0..100 {
                IS_TOLD.set(true);
                assert!(handle.push(Self::Done).is_ok());
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[test]
fn children_that_the_allocator_adds_run_with_the_others() {
    let mut group = Group::unboxed();
    let handle = group.handle();
    HANDLE.set(Some(handle.clone()));
    group.push(Child::AddsMany(handle.clone()));
    group.push(Child::AddsMany(handle));
    let mut poll = || Pin::new(&mut group).poll(&mut Context::from_waker(Waker::noop()));
    // One poll may end early, where there is so much to do.
    let _ = poll();
    let outcome = poll();
    IS_TOLD.set(false);
    HANDLE.set(None);
    assert_eq!(outcome, Poll::Ready(Ok(())));
    let added = ADDED.get();
    assert!(added > 4);
    assert_eq!(group.finished(), 2 + 200 + added);
}
