//! Where children arrive that are added while the set is in use: on a stack that anybody pushes to, or, on
//! the thread on which the owner is at work, in a row beside it, which takes no atomic read-modify-write
//! and no allocation for each.

use alloc::vec::Vec;
use core::{marker::PhantomData, mem};

use super::stack::{Arrivals, Stack};
use crate::sync::{Arc, AtomicUsize, Ordering, UnsafeCell, this_thread};

/// The owner's end, of which there is one.
pub(crate) struct Intake<T, S>(Arc<Shared<T, S>>);

/// The end of whoever adds.
pub(crate) struct Inlet<T, S>(Arc<Shared<T, S>>);

/// The owner's end while it is at work, on the thread that it stays on.
pub(crate) struct AtWork<'a, T, S>(&'a mut Intake<T, S>, PhantomData<*mut ()>);

struct Shared<T, S> {
    stack: Stack<T>,
    /// The thread on which the owner is at work, or 0.
    here: AtomicUsize,
    /// What was added there while there was nothing on the stack: it came before all that is.
    row: UnsafeCell<Vec<T>>,
    /// The row before this one, which is emptied while the next one fills. The owner's alone.
    spare: UnsafeCell<Vec<T>>,
    state: S,
}

// SAFETY: what is in it goes along to the other thread, where nothing depends on the one it came from:
// `here` names that only while the owner borrows its end there.
unsafe impl<T: Send, S: Send> Send for Shared<T, S> {}
// SAFETY: the rows are touched on one thread at a time, and nobody gets a reference to an item that is in
// one (invariant 11).
unsafe impl<T: Send, S: Sync> Sync for Shared<T, S> {}

impl<T, S> Intake<T, S> {
    pub(crate) fn new(state: S) -> Self {
        Self(Arc::new(Shared {
            stack: Stack::new(),
            here: AtomicUsize::new(0),
            row: UnsafeCell::new(Vec::new()),
            spare: UnsafeCell::new(Vec::new()),
            state,
        }))
    }

    pub(crate) fn state(&self) -> &S {
        &self.0.state
    }

    pub(crate) fn inlet(&self) -> Inlet<T, S> {
        Inlet(Arc::clone(&self.0))
    }

    /// Lets what is added on this thread while `work` runs come by the row.
    #[inline]
    pub(crate) fn work<R>(&mut self, work: impl FnOnce(&mut AtWork<'_, T, S>) -> R) -> R {
        // Ordering: Relaxed. Another thread that reads it, at whatever time, finds a number that is not
        // its own.
        self.0.here.store(this_thread(), Ordering::Relaxed);
        work(&mut AtWork(self, PhantomData))
    }

    /// Takes all that has arrived, in order; the lower bound of its `size_hint` is exact. Where the
    /// owner has left the stack, it is idle again.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = T> + use<T, S> {
        let stacked = self.0.stack.take();
        self.rows(|row, _| mem::take(row).into_iter().chain(stacked))
    }

    /// Takes all that has arrived, in order, and refuses what comes later.
    pub(crate) fn close(&mut self) -> impl Iterator<Item = T> + use<T, S> {
        let stacked = self.0.stack.close();
        self.rows(|row, spare| {
            // Handles may outlive the owner, and have no use for the rows.
            *spare = Vec::new();
            mem::take(row).into_iter().chain(stacked)
        })
    }

    #[inline]
    fn rows<'a, R>(&'a mut self, f: impl FnOnce(&mut Vec<T>, &'a mut Vec<T>) -> R) -> R {
        let Shared { row, spare, .. } = &*self.0;
        // SAFETY: the spare row is the owner's alone, and the owner is borrowed for `'a` (invariant 11).
        let spare = unsafe { spare.with_mut(|spare| &mut *spare) };
        // SAFETY: the owner is not at work, or it is on this thread, which then is not within `push_near`, as
        // that calls nobody while it touches the row (invariant 11).
        row.with_mut(|row| f(unsafe { &mut *row }, spare))
    }
}

impl<T, S> AtWork<'_, T, S> {
    pub(crate) fn state(&self) -> &S {
        &self.0.0.state
    }

    /// Takes all that has arrived, and watches the stack until the owner [leaves](Self::leave).
    ///
    /// First come those of the row, which is to be emptied: it is used again.
    #[inline]
    pub(crate) fn watch(&mut self) -> (&mut Vec<T>, Arrivals<T>) {
        let stacked = self.0.0.stack.watch();
        self.0.rows(|row, spare| {
            debug_assert!(spare.is_empty(), "whoever takes a row empties it");
            mem::swap(row, spare);
            (spare, stacked)
        })
    }

    /// Makes the watched stack idle; `false` if anything has arrived.
    #[inline]
    pub(crate) fn leave(&mut self) -> bool {
        self.is_row_empty() && self.0.0.stack.leave()
    }

    /// Refuses all that comes later; `false` if anything has arrived.
    pub(crate) fn close_empty(&mut self) -> bool {
        let is_closed = self.is_row_empty() && self.0.0.stack.close_empty();
        if is_closed {
            // As in `close`.
            self.0.rows(|row, spare| (*row, *spare) = (Vec::new(), Vec::new()));
        }
        is_closed
    }

    #[inline]
    fn is_row_empty(&mut self) -> bool {
        self.0.rows(|row, _| row.is_empty())
    }
}

impl<T, S> Drop for AtWork<'_, T, S> {
    #[inline]
    fn drop(&mut self) {
        // Ordering: Relaxed. This thread sees it, and others compare only with their own number.
        self.0.0.here.store(0, Ordering::Relaxed);
    }
}

impl<T, S> Inlet<T, S> {
    pub(crate) fn state(&self) -> &S {
        &self.0.state
    }

    /// Adds an item to the row, if the owner is at work on this thread, and nothing has come by the stack.
    #[inline(always)]
    pub(crate) fn push_near(&self, item: T) -> Result<(), T> {
        let Shared { stack, here, row, .. } = &*self.0;
        let thread = this_thread();
        // Ordering: Relaxed. A thread that finds its own number has stored it itself, and not cleared
        // it. A number is used again only after its thread has ended, which comes after the store of 0
        // in `drop`.
        if thread == 0 || !stack.is_watched_and_empty() || here.load(Ordering::Relaxed) != thread {
            return Err(item);
        }
        // SAFETY: the owner is at work on this thread, and not within `rows`, as nobody is called from there
        // (invariant 11).
        let row = unsafe { row.with_mut(|row| &mut *row) };
        if row.len() == row.capacity() {
            // The allocator is foreign code: what that adds goes by the stack.
            here.store(0, Ordering::Relaxed);
            grow(row);
            here.store(thread, Ordering::Relaxed);
        }
        row.push(item);
        Ok(())
    }

    /// Adds an item by the stack, unless that is closed. `true` if the owner is to be told.
    #[inline]
    pub(crate) fn push(&self, item: T) -> Result<bool, T> {
        self.0.stack.push(item)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.stack.is_closed()
    }
}

impl<T, S> Clone for Inlet<T, S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[cold]
fn grow<T>(row: &mut Vec<T>) {
    row.reserve(1);
}

#[cfg(all(test, errgroup_loom))]
mod races {
    use loom::{sync::atomic::AtomicBool, thread};

    use super::*;
    use crate::sync::model;

    fn add(inlet: &Inlet<usize, ()>, number: usize) {
        let added = inlet.push_near(number).is_ok() || inlet.push(number).is_ok();
        assert!(added, "the intake is open");
    }

    fn watch(intake: &mut AtWork<'_, usize, ()>) -> Vec<usize> {
        let (row, stacked) = intake.watch();
        mem::take(row).into_iter().chain(stacked).collect()
    }

    /// Loom sees whether two threads touch a row at once.
    #[test]
    fn what_comes_here_and_from_elsewhere_is_taken_once_and_in_order() {
        model(3, || {
            let mut intake = Intake::new(());
            let (here, there) = (intake.inlet(), intake.inlet());
            let thread = thread::spawn(move || [1, 2].map(|number| add(&there, number)));
            let mut taken = intake.work(|intake| {
                let mut taken = watch(intake);
                add(&here, 3);
                taken.extend(watch(intake));
                add(&here, 4);
                while !intake.leave() {
                    taken.extend(watch(intake));
                }
                taken
            });
            assert!([3, 4].iter().all(|number| taken.contains(number)), "left behind");
            add(&here, 5);
            thread.join().unwrap();
            taken.extend(intake.take());
            for (one, next) in [(1, 2), (3, 4), (4, 5)] {
                let [one, next] = [one, next].map(|number| {
                    let mut places = (0..).zip(&taken).filter(|(_, taken)| **taken == number);
                    let (place, _) = places.next().expect("it was taken");
                    assert!(places.next().is_none());
                    place
                });
                assert!(one < next);
            }
        });
    }

    #[test]
    fn owner_goes_to_another_thread_while_this_one_adds() {
        model(3, || {
            let mut intake = Intake::new(());
            let (here, there) = (intake.inlet(), intake.inlet());
            let taken = intake.work(|intake| {
                let taken = watch(intake);
                add(&here, 1);
                taken
            });
            assert_eq!(taken, []);
            let thread = thread::spawn(move || {
                let mut taken = intake.work(|intake| {
                    let taken = watch(intake);
                    add(&there, 2);
                    taken
                });
                taken.extend(intake.take());
                (intake, taken)
            });
            add(&here, 3);
            let (mut intake, mut taken) = thread.join().unwrap();
            taken.extend(intake.close());
            assert_eq!(taken.remove(0), 1);
            taken.sort_unstable();
            assert_eq!(taken, [2, 3]);
            assert!(here.is_closed());
        });
    }

    #[test]
    fn what_comes_here_after_a_sign_from_elsewhere_comes_behind_what_that_added() {
        model(3, || {
            let mut intake = Intake::new(());
            let (here, there) = (intake.inlet(), intake.inlet());
            let sign = loom::sync::Arc::new(AtomicBool::new(false));
            let given = sign.clone();
            let thread = thread::spawn(move || {
                add(&there, 1);
                given.store(true, Ordering::Release);
            });
            let (sees, mut taken) = intake.work(|intake| {
                let mut taken = watch(intake);
                let sees = sign.load(Ordering::Acquire);
                add(&here, 2);
                taken.extend(watch(intake));
                (sees, taken)
            });
            thread.join().unwrap();
            taken.extend(intake.take());
            assert!(!sees || taken == [1, 2]);
            assert_eq!(taken.len(), 2);
        });
    }
}
