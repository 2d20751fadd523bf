//! The one place that knows whose atomics the engine runs on: core's, portable-atomic's or loom's.

#[cfg(not(errgroup_loom))]
pub(crate) use alloc::alloc::{alloc, dealloc};
#[cfg(all(not(errgroup_loom), not(feature = "portable-atomic")))]
pub(crate) use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
#[cfg(errgroup_loom)]
pub(crate) use loom::{
    alloc::{alloc, dealloc},
    cell::UnsafeCell,
    sync::atomic::{AtomicPtr, AtomicUsize, Ordering},
};
#[cfg(all(not(errgroup_loom), feature = "portable-atomic"))]
pub(crate) use portable_atomic::{AtomicPtr, AtomicUsize, Ordering};

#[cfg(not(errgroup_loom))]
pub(crate) use self::cell::UnsafeCell;

#[cfg(not(errgroup_loom))]
mod cell {
    /// Core's `UnsafeCell` with loom's interface, so that loom can watch each access.
    pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(core::cell::UnsafeCell::new(value))
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
