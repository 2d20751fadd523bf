//! The waker of the task that polls the set, and those who are notifying it.
//!
//! A notifier does one read-modify-write beyond the one that gave it its ticket. The usual guard,
//! a state that the notifier locks and unlocks around the waker, needs two, and a refusal or a
//! spin where it is found locked.

use alloc::{boxed::Box, vec::Vec};
use core::{iter, mem, ptr, task::Waker};

use crate::sync::{AtomicPtr, AtomicUsize, Ordering, UnsafeCell};

pub(super) struct Task {
    /// The waker in force while `spare` is null.
    waker: UnsafeCell<Option<Waker>>,
    /// The wakers stored while a notifier was still using an older one; the first is in force.
    spare: AtomicPtr<Spare>,
    /// Notifications that are done, in steps of [`DONE`]. The owner's exit takes away those that
    /// were issued and adds [`ENDED`], so that whoever comes last reads exactly that.
    done: AtomicUsize,
}

struct Spare {
    waker: UnsafeCell<Waker>,
    next: *mut Spare,
}

/// Counts a notification as done, also when the task's waker panics.
struct Notifying<'a>(&'a Task);

const ENDED: usize = 1;
const DONE: usize = 2;

impl Task {
    pub(super) fn new() -> Self {
        Self {
            waker: UnsafeCell::new(None),
            spare: AtomicPtr::new(ptr::null_mut()),
            done: AtomicUsize::new(0),
        }
    }

    /// Wakes the task.
    ///
    /// # Safety
    ///
    /// The caller has a ticket and uses it for this call alone (invariant 7).
    #[inline]
    pub(super) unsafe fn notify(&self) {
        let notifying = Notifying(self);
        // SAFETY: the ticket is not yet counted as done (invariant 7).
        unsafe { self.with_waker(|waker| waker.map(Waker::wake_by_ref)) };
        drop(notifying);
    }

    /// Whether a notification would wake the task that `waker` wakes.
    ///
    /// # Safety
    ///
    /// The caller is the owner.
    #[inline]
    pub(super) unsafe fn is(&self, waker: &Waker) -> bool {
        // SAFETY: the caller is the owner.
        unsafe { self.with_waker(|stored| stored.is_some_and(|stored| stored.will_wake(waker))) }
    }

    /// Makes `waker` the one to wake.
    ///
    /// # Safety
    ///
    /// The caller is the owner and holds the ready word; `issued` counts every ticket so far.
    pub(super) unsafe fn store(&self, waker: Waker, issued: usize) {
        // Ordering: Acquire pairs with the Release in `Notifying::drop`: what the notifiers read
        // is read before it changes below.
        if self.done.load(Ordering::Acquire) == issued.wrapping_mul(DONE) {
            // SAFETY: every ticket is done and none is issued while the word is held, so nobody
            // else looks at the wakers (invariant 7).
            unsafe { self.replace(Some(waker)) }
        } else {
            // A notifier is inside an older waker: preempted there, or its executor polls the set
            // from within `wake`. Refusing or spinning would be a deadlock in the second case.
            // Ordering: Relaxed, only the owner stores; Release pairs with the Acquire in
            // `with_waker`, by a notifier that has yet to look.
            let next = self.spare.load(Ordering::Relaxed);
            let spare = Box::into_raw(Box::new(Spare { waker: UnsafeCell::new(waker), next }));
            self.spare.store(spare, Ordering::Release);
        }
    }

    /// Drops the wakers, or leaves that to the last notifier.
    ///
    /// # Safety
    ///
    /// The caller is the owner, on its exit, with the ready word closed; `issued` counts every
    /// ticket there has been.
    pub(super) unsafe fn end(&self, issued: usize) {
        let rest = ENDED.wrapping_sub(issued.wrapping_mul(DONE));
        // Ordering: Acquire pairs with the Release of each notifier that is done; Release hands
        // the wakers to the Acquire of the last one that is not.
        if self.done.fetch_add(rest, Ordering::AcqRel).wrapping_add(rest) == ENDED {
            // SAFETY: every ticket is done and the closed word issues no more (invariant 7).
            unsafe { self.replace(None) }
        }
    }

    /// Drops the wakers where no notifier can be left.
    ///
    /// # Safety
    ///
    /// The caller is the owner, and no child's waker exists.
    pub(super) unsafe fn end_unshared(&self) {
        // SAFETY: a notifier runs on a child's waker, and there is none.
        unsafe { self.replace(None) }
    }

    /// Looks at the waker in force.
    ///
    /// # Safety
    ///
    /// The caller is the owner, or has a ticket that is not yet counted as done.
    #[inline]
    unsafe fn with_waker<R>(&self, look: impl FnOnce(Option<&Waker>) -> R) -> R {
        // Ordering: Acquire pairs with the Release in `store`.
        let spare = self.spare.load(Ordering::Acquire);
        if spare.is_null() {
            // SAFETY: written only by `replace`, which nobody calls meanwhile: the owner is here,
            // or finds that a ticket is not done (invariant 7).
            self.waker.with(|waker| look(unsafe { (*waker).as_ref() }))
        } else {
            // SAFETY: a spare lives until `replace`, as above.
            unsafe { &*spare }.waker.with(|waker| look(Some(unsafe { &*waker })))
        }
    }

    /// # Safety
    ///
    /// Nobody else looks at the wakers.
    unsafe fn replace(&self, waker: Option<Waker>) {
        // Ordering: Relaxed, the caller's acquire made every store and every look come before.
        let mut spare = self.spare.load(Ordering::Relaxed);
        // SAFETY: by the contract the cell is not shared now.
        let old = self.waker.with_mut(|cell| unsafe { mem::replace(&mut *cell, waker) });
        // Nearly always, and without the code of a list.
        if spare.is_null() {
            return drop(old);
        }
        self.spare.store(ptr::null_mut(), Ordering::Relaxed);
        let spares = iter::from_fn(|| {
            if spare.is_null() {
                return None;
            }
            // SAFETY: made by `Box::into_raw` in `store`, and taken off the list only here.
            let Spare { waker, next } = *unsafe { Box::from_raw(spare) };
            spare = next;
            Some(waker.into_inner())
        });
        // Foreign code, after the last access. A panic in one drop does not keep the others.
        drop((spares.collect::<Vec<_>>(), old));
    }
}

impl Drop for Notifying<'_> {
    fn drop(&mut self) {
        // Ordering: Release ends this notifier's look at the wakers, for the Acquire in `store`
        // and `end`; Acquire is for the last notifier, which drops what the owner stored.
        if self.0.done.fetch_add(DONE, Ordering::AcqRel).wrapping_add(DONE) == ENDED {
            // SAFETY: the owner is gone and every other ticket is done (invariant 7).
            unsafe { self.0.replace(None) }
        }
    }
}

#[cfg(all(test, errgroup_loom))]
mod races {
    use alloc::sync::Arc;

    use loom::{sync::Arc as Shared, thread};

    use super::*;
    use crate::sync::{WakeCount, model};

    // SAFETY: as in a set, which is what these tests stand for (invariant 7).
    unsafe impl Send for Task {}
    // SAFETY: as above.
    unsafe impl Sync for Task {}

    /// Two notifiers use their tickets while the owner does as it is told, with the wakers of the
    /// tasks that may be stored. In the end no waker is kept.
    fn race(owner: fn(&Task, [Waker; 2])) {
        model(5, move || {
            let wakes = [WakeCount::new(), WakeCount::new(), WakeCount::new()];
            let [first, rest @ ..] = wakes.clone().map(Waker::from);
            let task = Shared::new(Task::new());
            // SAFETY: this is the owner, and no ticket was given out.
            unsafe { task.store(first, 0) }
            let notifiers = [(); 2].map(|()| {
                let task = task.clone();
                // SAFETY: one of the two tickets that the owner counts below.
                thread::spawn(move || unsafe { task.notify() })
            });
            owner(&task, rest);
            notifiers.into_iter().for_each(|notifier| notifier.join().unwrap());
            assert_eq!(wakes.iter().map(|wakes| wakes.count()).sum::<usize>(), 2);
            assert!(wakes.iter().all(|wakes| Arc::strong_count(wakes) == 1), "a waker is kept");
        });
    }

    #[test]
    fn task_ends_while_it_is_notified() {
        // SAFETY: two tickets were given out.
        race(|task, _| unsafe { task.end(2) });
    }

    #[test]
    fn task_changes_twice_and_ends_while_it_is_notified() {
        // SAFETY: two tickets were given out.
        race(|task, wakers| unsafe {
            wakers.into_iter().for_each(|waker| task.store(waker, 2));
            task.end(2);
        });
    }
}
