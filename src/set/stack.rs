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

// SAFETY: items go from the thread that pushes to the one that takes, and nobody has a reference to one
// in between (invariant 10).
unsafe impl<T: Send> Send for Stack<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Stack<T> {}

impl<T> Stack<T> {
    const IDLE: *mut Node<T> = ptr::null_mut();
    const WATCHED: *mut Node<T> = ptr::without_provenance_mut(1);
    const CLOSED: *mut Node<T> = ptr::without_provenance_mut(2);

    /// Idle: nobody is at work on it. To ring the bell of a set that nobody has polled yet changes nothing.
    pub(crate) fn new() -> Self {
        const { assert!(align_of::<Node<T>>() > 2, "no node has the address of a state") }
        Self { head: AtomicPtr::new(Self::IDLE), items: PhantomData }
    }

    /// Pushes an item, unless the stack is closed. `true` if it was idle. One allocation.
    #[inline]
    pub(crate) fn push(&self, item: T) -> Result<bool, T> {
        // Ordering: Acquire, for a stack that is closed: pairs with the Release in `close` and `close_empty`,
        // so that whoever is refused sees what the owner did before. Otherwise the exchange looks again.
        let mut head = self.head.load(Ordering::Acquire);
        if head == Self::CLOSED {
            return Err(item);
        }
        let node = Box::into_raw(Box::new(Node { next: head, item }));
        node.expose_provenance();
        loop {
            // Ordering: Release pairs with the Acquire of the swap that takes the node; a node below others
            // is covered, as their exchanges continue its release sequence. Finding the stack idle needs no
            // Acquire. Either the bell's step of the ready word comes before the owner's look at that word,
            // and the owner then looks at the stack as well; or it comes after, and wakes the task.
            match self.head.compare_exchange_weak(head, node, Ordering::Release, Ordering::Acquire)
            {
                Ok(_) => return Ok(head == Self::IDLE),
                Err(seen) if seen == Self::CLOSED => {
                    // SAFETY: made above by `Box::into_raw`, and not on the stack (invariant 10).
                    return Err(unsafe { Box::from_raw(node) }.item);
                }
                Err(seen) => head = seen,
            }
            // SAFETY: it is not on the stack yet (invariant 10).
            unsafe { (*node).next = head };
        }
    }

    /// Whether it is watched, and nobody is known to have pushed to it since.
    #[inline]
    pub(super) fn is_watched_and_empty(&self) -> bool {
        // Ordering: Relaxed. Whoever has pushed before, as far as this thread can know, is seen.
        self.head.load(Ordering::Relaxed) == Self::WATCHED
    }

    pub(crate) fn is_closed(&self) -> bool {
        // Ordering: Acquire, as in `push`.
        self.head.load(Ordering::Acquire) == Self::CLOSED
    }

    /// Takes everything. Where the owner has left the stack, it is idle again. Not for a stack that is closed,
    /// as this would open it again; nor is [`watch`](Self::watch).
    pub(crate) fn take(&self) -> Arrivals<T> {
        self.take_and(Self::IDLE)
    }

    /// Takes everything, and watches the stack until the owner [leaves](Self::leave).
    #[inline]
    pub(crate) fn watch(&self) -> Arrivals<T> {
        self.take_and(Self::WATCHED)
    }

    #[inline]
    fn take_and(&self, state: *mut Node<T>) -> Arrivals<T> {
        // Ordering: Relaxed. What this misses is still there when the owner leaves.
        let head = self.head.load(Ordering::Relaxed);
        debug_assert!(head != Self::CLOSED, "to take from it would open it again");
        // Watched stays watched: nobody waits to be told.
        if head == Self::WATCHED || head == state {
            return Arrivals { first: ptr::null_mut(), len: 0 };
        }
        // Ordering: Acquire pairs with the Release in `push`.
        let head = self.head.swap(state, Ordering::Acquire);
        // SAFETY: taken off by this swap (invariant 10).
        unsafe { Arrivals::of(head) }
    }

    /// Makes a watched stack idle; `false` if there is something on it (invariant 9).
    #[inline]
    pub(crate) fn leave(&self) -> bool {
        // Ordering: Relaxed. It hands over nothing, and what it finds is taken by `watch`.
        self.replace_watched(Self::IDLE, Ordering::Relaxed)
    }

    /// Closes a watched stack; `false` if there is something on it.
    pub(crate) fn close_empty(&self) -> bool {
        // Ordering: Release pairs with the Acquire in `push` and `is_closed`.
        self.replace_watched(Self::CLOSED, Ordering::Release)
    }

    #[inline]
    fn replace_watched(&self, state: *mut Node<T>, success: Ordering) -> bool {
        // Ordering: Relaxed, as above. The load spares the exchange where it would fail.
        self.head.load(Ordering::Relaxed) == Self::WATCHED
            && (self.head)
                .compare_exchange(Self::WATCHED, state, success, Ordering::Relaxed)
                .is_ok()
    }

    /// Closes the stack, and takes everything.
    pub(crate) fn close(&self) -> Arrivals<T> {
        // Ordering: Acquire pairs with the Release in `push`, and Release with the Acquire there and in
        // `is_closed`.
        let head = self.head.swap(Self::CLOSED, Ordering::AcqRel);
        // SAFETY: taken off by this swap (invariant 10).
        unsafe { Arrivals::of(head) }
    }
}

impl<T> Drop for Stack<T> {
    fn drop(&mut self) {
        drop(self.close());
    }
}

impl<T> Arrivals<T> {
    /// Those of the last node and all that it links to.
    ///
    /// # Safety
    ///
    /// The caller has taken them off a stack with the swap that gave `head` (invariant 10).
    unsafe fn of(head: *mut Node<T>) -> Self {
        let mut arrivals = Self { first: ptr::null_mut(), len: 0 };
        let mut last = head;
        while ![Stack::<T>::IDLE, Stack::<T>::WATCHED, Stack::<T>::CLOSED].contains(&last) {
            // SAFETY: the caller's node, by the contract; it is freed by `next` alone. Its link was
            // written before the exchange that the swap has seen (invariant 10).
            let before = unsafe { mem::replace(&mut (*last).next, arrivals.first) };
            arrivals.first = last;
            arrivals.len += 1;
            // A link may come from a look at the stack before the node below was taken and freed, and another
            // one pushed that lies where it lay. Then its address is right, but not its provenance.
            last = ptr::with_exposed_provenance_mut(before.addr());
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
        // SAFETY: made by `Box::into_raw` in `push`, and one of these arrivals (invariant 10), which it
        // leaves here alone.
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

#[cfg(all(test, errgroup_loom))]
mod races {
    use alloc::vec::Vec;

    use loom::{cell::UnsafeCell, sync::Arc as Shared, thread};

    use super::*;
    use crate::sync::model;

    /// Loom sees whether what was written before a push is seen by whoever takes the item.
    struct Item {
        number: usize,
        written: UnsafeCell<usize>,
    }

    // SAFETY: only its owner looks into the cell, which is what the models are about.
    unsafe impl Sync for Item {}

    impl Item {
        fn new(number: usize) -> Self {
            let item = Self { number, written: UnsafeCell::new(0) };
            // SAFETY: nobody else has it.
            item.written.with_mut(|written| unsafe { *written = number });
            item
        }

        fn number(self) -> usize {
            // SAFETY: nobody else has it.
            assert_eq!(self.written.with(|written| unsafe { *written }), self.number);
            self.number
        }
    }

    /// What became of an item that was pushed.
    #[derive(Clone, Copy, PartialEq, Debug)]
    enum Fate {
        Pushed,
        /// Pushed, and its owner is to be told.
        Tells,
        Refused,
    }

    fn push(stack: &Stack<Item>, number: usize) -> Fate {
        match stack.push(Item::new(number)) {
            Ok(true) => Fate::Tells,
            Ok(false) => Fate::Pushed,
            Err(item) => {
                assert_eq!(item.number(), number);
                Fate::Refused
            }
        }
    }

    /// Three pushes, two of them by one thread, while the owner does as it is told. The numbers that the owner
    /// took, and what became of each push.
    fn race(
        preemptions: usize,
        owner: fn(&Stack<Item>) -> Vec<usize>,
        check: fn(&Stack<Item>, Vec<usize>, [Fate; 3]),
    ) {
        model(preemptions, move || {
            let stack = Shared::new(Stack::new());
            // The owner is at work, as in a poll.
            drop(stack.watch());
            let (one, two) = (stack.clone(), stack.clone());
            let one = thread::spawn(move || [push(&one, 1), push(&one, 2)]);
            let two = thread::spawn(move || push(&two, 3));
            let taken = owner(&stack);
            let [first, second] = one.join().unwrap();
            check(&stack, taken, [first, second, two.join().unwrap()]);
        });
    }

    fn numbers(arrivals: Arrivals<Item>) -> Vec<usize> {
        let len = arrivals.len();
        let numbers: Vec<_> = arrivals.map(Item::number).collect();
        assert_eq!(numbers.len(), len);
        numbers
    }

    /// Asserts that all were taken but those that were refused, each once, and those of one thread in order.
    fn assert_complete(taken: &[usize], fates: [Fate; 3]) {
        let place = |number| taken.iter().position(|taken| *taken == number);
        for (number, fate) in (1..).zip(fates) {
            assert_eq!(place(number).is_none(), fate == Fate::Refused);
        }
        assert!(place(2).is_none() || place(1) < place(2));
        assert!(fates.iter().filter(|fate| **fate != Fate::Refused).count() == taken.len());
    }

    #[test]
    fn what_comes_after_the_owner_has_left_is_told_or_found() {
        race(
            3,
            |stack| {
                let mut taken = numbers(stack.watch());
                while !stack.leave() {
                    taken.extend(numbers(stack.watch()));
                }
                taken
            },
            |stack, mut taken, fates| {
                let late = numbers(stack.watch());
                let tells = fates.iter().filter(|fate| **fate == Fate::Tells).count();
                assert_eq!(tells, usize::from(!late.is_empty()), "told once");
                taken.extend(late);
                assert_complete(&taken, fates);
            },
        );
    }

    #[test]
    fn what_comes_after_an_idle_stack_was_taken_is_told() {
        race(
            3,
            |stack| {
                stack.leave();
                numbers(stack.take())
            },
            |stack, mut taken, fates| {
                let late = numbers(stack.watch());
                assert!(late.first().is_none_or(|first| fates[first - 1] == Fate::Tells));
                taken.extend(late);
                assert_complete(&taken, fates);
            },
        );
    }

    #[test]
    fn what_comes_while_an_empty_stack_is_closed_is_taken_or_refused() {
        race(
            3,
            |stack| {
                let mut taken = Vec::new();
                while !stack.close_empty() {
                    taken.extend(numbers(stack.watch()));
                }
                taken
            },
            |stack, taken, fates| {
                assert!(stack.is_closed() && !fates.contains(&Fate::Tells));
                assert_complete(&taken, fates);
            },
        );
    }

    #[test]
    fn what_comes_while_the_stack_is_closed_is_taken_or_refused() {
        race(
            3,
            |stack| {
                stack.leave();
                numbers(stack.close())
            },
            |stack, taken, fates| {
                assert!(stack.is_closed());
                assert_complete(&taken, fates);
            },
        );
    }

    #[test]
    fn whoever_finds_the_stack_closed_sees_what_came_before() {
        for is_empty in [false, true] {
            model(3, move || {
                let stack = Shared::new(Stack::new());
                drop(stack.watch());
                let before = Shared::new(Item::new(0));
                let pushes = || {
                    let (stack, before) = (stack.clone(), before.clone());
                    // SAFETY: written before the stack was closed, and never again.
                    let look = move || before.written.with(|written| unsafe { *written });
                    (stack, look)
                };
                let ((one, before_one), (two, before_two)) = (pushes(), pushes());
                let refused = thread::spawn(move || {
                    let fate = push(&one, 1);
                    assert!(fate != Fate::Refused || before_one() == 7);
                });
                let asks = thread::spawn(move || assert!(!two.is_closed() || before_two() == 7));
                // SAFETY: nobody looks before the stack is closed.
                before.written.with_mut(|written| unsafe { *written = 7 });
                if is_empty {
                    while !stack.close_empty() {
                        stack.watch().for_each(|item| _ = item.number());
                    }
                } else {
                    stack.close().for_each(|item| _ = item.number());
                }
                refused.join().unwrap();
                asks.join().unwrap();
            });
        }
    }

    /// Loom does not see that a node is freed; it counts who has an item.
    #[test]
    fn what_nobody_takes_is_dropped_with_the_stack() {
        model(3, || {
            let stack = Shared::new(Stack::new());
            let item = Shared::new(());
            let (other, pushed) = (stack.clone(), item.clone());
            let thread = thread::spawn(move || assert!(other.push(pushed).is_ok()));
            drop(stack);
            thread.join().unwrap();
            assert_eq!(Shared::strong_count(&item), 1);
        });
    }
}
