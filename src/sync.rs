//! The one place that knows whose atomics, cells and memory the engine runs on: those of core,
//! portable-atomic or loom. What the engine's models under loom share is here as well.

#[cfg(not(errgroup_loom))]
pub(crate) use alloc::alloc::{alloc, dealloc};
#[cfg(all(not(errgroup_loom), not(feature = "portable-atomic")))]
pub(crate) use alloc::sync::Arc;
#[cfg(all(not(errgroup_loom), not(feature = "portable-atomic")))]
pub(crate) use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, fence};
#[cfg(errgroup_loom)]
pub(crate) use loom::{
    alloc::{alloc, dealloc},
    cell::UnsafeCell,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, fence},
    },
};
#[cfg(all(not(errgroup_loom), feature = "portable-atomic"))]
pub(crate) use portable_atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, fence};
#[cfg(all(not(errgroup_loom), feature = "portable-atomic"))]
pub(crate) use portable_atomic_util::Arc;

#[cfg(not(errgroup_loom))]
pub(crate) use self::cell::UnsafeCell;
#[cfg(all(test, errgroup_loom))]
pub(crate) use self::models::{WakeCount, model};

/// A number that no other running thread has, or 0 where threads cannot be told apart.
#[inline]
pub(crate) fn this_thread() -> usize {
    #[cfg(errgroup_loom)]
    use loom::thread_local;
    #[cfg(all(not(errgroup_loom), feature = "std"))]
    use std::thread_local;

    #[cfg(not(any(errgroup_loom, feature = "std")))]
    return 0;
    #[cfg(errgroup_loom)]
    thread_local!(static HERE: u8 = 0);
    #[cfg(all(not(errgroup_loom), feature = "std"))]
    thread_local!(static HERE: u8 = const { 0 });
    #[cfg(any(errgroup_loom, feature = "std"))]
    HERE.try_with(|here| core::ptr::from_ref(here).addr()).unwrap_or(0)
}

#[cfg(not(errgroup_loom))]
mod cell {
    /// Core's `UnsafeCell` with loom's interface, so that loom can watch each access.
    pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(core::cell::UnsafeCell::new(value))
        }

        pub(crate) fn into_inner(self) -> T {
            self.0.into_inner()
        }

        #[inline]
        pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        #[inline]
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

/// What the models of the engine share.
#[cfg(all(test, errgroup_loom))]
mod models {
    use alloc::{sync::Arc, task::Wake};
    use core::sync::atomic::AtomicUsize;

    /// Runs `test` in every interleaving with so many preemptions at most.
    pub(crate) fn model(preemptions: usize, test: impl Fn() + Sync + Send + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(preemptions);
        model.check(test);
    }

    /// A task that counts its wakes. The count is core's, not loom's: it is no part of the models.
    #[derive(Debug)]
    pub(crate) struct WakeCount(AtomicUsize);

    impl WakeCount {
        pub(crate) fn new() -> Arc<Self> {
            Arc::new(Self(AtomicUsize::new(0)))
        }

        pub(crate) fn count(&self) -> usize {
            self.0.load(super::Ordering::Relaxed)
        }
    }

    impl Wake for WakeCount {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, super::Ordering::Relaxed);
        }
    }
}
