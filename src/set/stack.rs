//! A stack without locks that anybody pushes to and its owner takes all of at once: where children
//! arrive that are added from elsewhere.

use alloc::boxed::Box;
use core::{marker::PhantomData, mem, ptr};

use crate::sync::{AtomicPtr, Ordering};

/// Empty, it is in one of three states, each an address that no node has: *idle*, and whoever pushes
/// next is to tell the owner; *watched*, as the owner is going to look anyway; or *closed* for good.
pub(crate) struct Stack<T> {
    head: AtomicPtr<Node<T>>,
    items: PhantomData<T>,
}

/// What was on the stack, in order of arrival.
pub(crate) struct Arrivals<T> {
    first: *mut Node<T>,
    len: usize,
}

struct Node<T> {
    next: *mut Node<T>,
    item: T,
}

// SAFETY: an item goes through it from one thread to another, and no thread has a reference to one
// in it.
unsafe impl<T: Send> Send for Stack<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Stack<T> {}
// SAFETY: it owns its items.
unsafe impl<T: Send> Send for Arrivals<T> {}
// SAFETY: a shared one gives out nothing but its length.
unsafe impl<T> Sync for Arrivals<T> {}

impl<T> Stack<T> {
    const IDLE: *mut Node<T> = ptr::null_mut();
    const WATCHED: *mut Node<T> = ptr::without_provenance_mut(1);
    const CLOSED: *mut Node<T> = ptr::without_provenance_mut(2);

    /// Watched: nobody waits for it yet.
    pub(crate) fn new() -> Self {
        const { assert!(align_of::<Node<T>>() > 2, "no node has the address of a state") }
        Self { head: AtomicPtr::new(Self::WATCHED), items: PhantomData }
    }

    /// Pushes an item, unless the stack is closed. `true` if it was idle. One allocation.
    #[inline]
    pub(crate) fn push(&self, item: T) -> Result<bool, T> {
        // Ordering: Relaxed, the exchange looks again; Acquire where it is closed, for the Release in
        // `close` and `close_empty`: what the owner did before is seen by whoever is refused.
        let mut head = self.head.load(Ordering::Acquire);
        if head == Self::CLOSED {
            return Err(item);
        }
        let node = Box::into_raw(Box::new(Node { next: head, item }));
        loop {
            // Ordering: Release publishes the node to the Acquire with which it is taken, also from
            // below others, as their exchanges continue its release sequence. Acquire pairs with the
            // Release in `leave`: whoever finds the stack idle tells the owner after that.
            match self.head.compare_exchange_weak(head, node, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(head == Self::IDLE),
                Err(seen) if seen == Self::CLOSED => {
                    // SAFETY: made above by `Box::into_raw`, and nobody else has seen it.
                    return Err(unsafe { Box::from_raw(node) }.item);
                }
                Err(seen) => head = seen,
            }
            // SAFETY: as above.
            unsafe { (*node).next = head };
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        // Ordering: Acquire, as in `push`.
        self.head.load(Ordering::Acquire) == Self::CLOSED
    }

    /// Takes everything, and watches the stack. Not for a stack that is closed, as it would open it again.
    #[inline]
    pub(crate) fn watch(&self) -> Arrivals<T> {
        // Ordering: Relaxed. What this misses is still there when the owner leaves.
        if self.head.load(Ordering::Relaxed) == Self::WATCHED {
            return Arrivals { first: ptr::null_mut(), len: 0 };
        }
        // Ordering: Acquire pairs with the Release in `push`.
        Arrivals::of(self.head.swap(Self::WATCHED, Ordering::Acquire))
    }

    /// Makes a watched stack idle; `false` if there is something on it.
    #[inline]
    pub(crate) fn leave(&self) -> bool {
        // Ordering: Release pairs with the Acquire in `push`. Relaxed where it fails: what is there is
        // taken by `watch`.
        let idle = (Self::WATCHED, Self::IDLE, Ordering::Release, Ordering::Relaxed);
        self.head.compare_exchange(idle.0, idle.1, idle.2, idle.3).is_ok()
    }

    /// Closes a watched stack; `false` if there is something on it.
    pub(crate) fn close_empty(&self) -> bool {
        // Ordering: Release pairs with the Acquire in `push` and `is_closed`.
        let closed = (Self::WATCHED, Self::CLOSED, Ordering::Release, Ordering::Relaxed);
        self.head.compare_exchange(closed.0, closed.1, closed.2, closed.3).is_ok()
    }

    /// Closes the stack, and takes everything.
    pub(crate) fn close(&self) -> Arrivals<T> {
        // Ordering: Acquire pairs with the Release in `push`, and Release with the Acquire there.
        Arrivals::of(self.head.swap(Self::CLOSED, Ordering::AcqRel))
    }
}

impl<T> Drop for Stack<T> {
    fn drop(&mut self) {
        drop(self.close());
    }
}

impl<T> Arrivals<T> {
    /// The nodes from the last to the first, which are the caller's now.
    fn of(head: *mut Node<T>) -> Self {
        let mut arrivals = Self { first: ptr::null_mut(), len: 0 };
        let mut last = head;
        while ![Stack::<T>::IDLE, Stack::<T>::WATCHED, Stack::<T>::CLOSED].contains(&last) {
            // SAFETY: a node lives until it is taken by `next`, and its link was written before it
            // could be reached.
            let before = unsafe { mem::replace(&mut (*last).next, arrivals.first) };
            arrivals.first = last;
            arrivals.len += 1;
            last = before;
        }
        arrivals
    }
}

impl<T> Iterator for Arrivals<T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        if self.first.is_null() {
            return None;
        }
        // SAFETY: made by `Box::into_raw` in `push`, taken off the stack by whoever made these arrivals,
        // and off these only here.
        let node = *unsafe { Box::from_raw(self.first) };
        self.first = node.next;
        self.len -= 1;
        Some(node.item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len, Some(self.len))
    }
}

impl<T> ExactSizeIterator for Arrivals<T> {}

impl<T> Drop for Arrivals<T> {
    fn drop(&mut self) {
        while let Some(item) = self.next() {
            // The others go as well where the drop of one unwinds.
            let others =
                Self { first: mem::replace(&mut self.first, ptr::null_mut()), len: self.len };
            drop(item);
            *self = others;
        }
    }
}
