//! What a group promises, on a chip.

use alloc::{boxed::Box, vec::Vec};
use core::{
    cell::Cell,
    convert::Infallible,
    future::{Future, poll_fn},
    mem,
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
};

use errgroup::{Group, Handle, scope_local};

use crate::{
    executor::block_on,
    heap,
    interrupt::{self, Interrupted},
};

/// Both sides of the ends of pages. The first has 8 slots. Those that follow have 16, then 32 each
/// where children are pushed, and 32 each where they are collected: so the eighth of them, which the
/// engine wakes without the shortcut that the seven before it have, begins at 216 or at 232.
const SIZES: [usize; 12] = [1, 2, 8, 9, 24, 25, 40, 41, 216, 217, 232, 233];

/// What children did, and which of them fails.
#[derive(Default)]
struct Log {
    failing: Option<usize>,
    polls: Cell<usize>,
    ended: Cell<usize>,
    last_ended: Cell<usize>,
    dropped: Cell<usize>,
}

/// Ends when an interrupt has woken it.
struct Child<'a> {
    number: usize,
    log: &'a Log,
    interrupted: Interrupted,
}

/// All the memory that is free, filled with a pattern.
pub struct Canary(Vec<Vec<u8>>);

pub fn children_end_in_order_as_interrupts_wake_them() {
    for size in SIZES {
        let log = Log::default();
        end_in_order(log.children(0..size).collect(), &log);
        assert_eq!((log.ended.get(), log.polls.get()), (size, 2 * size));

        let log = Log::default();
        let mut pushed = Group::unboxed();
        for number in 0..size {
            pushed.push(log.child(number));
        }
        end_in_order(pushed, &log);
        assert_eq!((log.ended.get(), log.polls.get()), (size, 2 * size));
    }
}

pub fn a_group_may_fill_the_memory() {
    let log = Log::default();
    let mut group = Group::unboxed();
    for number in 0..interrupt::room() {
        group.push(log.child(number));
    }
    end_in_order(group, &log);
    assert_eq!(log.ended.get(), interrupt::room());
    // That many children were not chosen too small.
    assert!(heap::peak() > heap::size() / 5 * 4);
}

pub fn the_first_error_drops_the_siblings_before_the_group_resolves() {
    for size in SIZES {
        for failing in [0, size / 2, size - 1] {
            for limit in [usize::MAX, size - size / 4] {
                let log = Log::of_failing(failing);
                let mut group = Group::unboxed().with_limit(limit);
                group.extend(log.children(0..size));
                let outcome = block_on(poll_fn(|cx| {
                    let poll = Pin::new(&mut group).poll(cx);
                    assert_eq!(poll.is_ready(), log.dropped.get() == size);
                    poll
                }));
                assert_eq!(outcome, Err(failing));
                assert_eq!((log.ended.get(), group.finished()), (failing + 1, failing + 1));
                // The wakers of the siblings are still in line.
                interrupt::drain();
                assert_eq!(block_on(group), Ok(()));
            }
        }
    }
}

pub fn an_error_deep_inside_drops_all_around_it() {
    let log = Log::of_failing(20);
    let group = |from| -> Group<_> { log.children(from..from + 9).collect() };
    let tree: Group<Group<_>> = [0, 9, 18, 27].map(group).into_iter().collect();
    assert_eq!(block_on(tree), Err(20));
    assert_eq!(log.dropped.get(), 36);
    interrupt::drain();
}

pub fn a_limit_holds_children_back_until_others_end() {
    const SIZE: usize = 41;
    for limit in [1, 3, 8, 9, 40, 41] {
        let (started, ended, most) = (&Cell::new(0), &Cell::new(0), &Cell::new(0));
        let mut group = Group::new_local().with_limit(limit);
        for number in 0..SIZE {
            group.go(async move {
                assert_eq!(started.replace(number + 1), number);
                most.set(most.get().max(started.get() - ended.get()));
                Interrupted::default().await;
                assert_eq!(ended.replace(number + 1), number);
            });
        }
        for left in (0..SIZE).rev() {
            block_on(group.next()).unwrap();
            // The place of the one that has ended is taken in the next poll.
            assert_eq!(group.running(), limit.min(left + 1) - 1);
            assert_eq!(group.running() + group.queued(), left);
        }
        assert_eq!(block_on(group.next()), None);
        assert_eq!(most.get(), limit);
    }
}

pub fn a_wake_after_the_group_is_gone_touches_nothing() {
    for size in SIZES {
        let (log, used) = (Log::default(), heap::used());
        let mut group: Group<_> = log.children(0..size).collect();
        // No interrupt comes in between, so that all wakers are in line when the group is gone.
        let canary = critical_section::with(|_| {
            poll_once(&mut group);
            drop(group);
            assert_eq!(interrupt::waiting(), size);
            assert!(heap::used() > used, "the wakers keep the pages");
            // What else the group had is now in here.
            Canary::fill()
        });
        interrupt::drain();
        assert!(canary.is_intact());
        drop(canary);
        assert_eq!(heap::used(), used, "the handler has freed the pages");
        assert_eq!((log.polls.get(), log.dropped.get()), (size, size));
    }
}

pub fn the_waker_of_a_replaced_child_ends_no_other() {
    // In the first page, in one that follows, and in one without the shortcut.
    for slot in [0, 8, 232] {
        let log = Log::default();
        let mut group: Group<_> = log.children(0..slot).collect();
        let replaced = group.push(log.child(slot));
        let before = interrupt::counts().wakes;
        critical_section::with(|_| {
            poll_once(&mut group);
            assert!(group.remove(replaced));
            // The first free slot is that of the old one.
            group.push(log.child(slot));
            assert!(!group.remove(replaced));
            poll_once(&mut group);
        });
        end_in_order(group, &log);
        assert_eq!(log.ended.get(), slot + 1);
        // The stale waker is in line before that of the new child.
        assert_eq!(interrupt::counts().wakes - before, slot as u32 + 2);
        // Two for each child, one for that which was replaced, and one at most for its waker.
        let least = 2 * (slot + 1) + 1;
        assert!((least..=least + 1).contains(&log.polls.get()));
    }
}

pub fn groups_in_a_group_end_from_the_inside() {
    let ended = Cell::new(0);
    let leaf = || async {
        for _ in 0..3 {
            Interrupted::default().await;
        }
        ended.set(ended.get() + 1);
        Ok::<(), Infallible>(())
    };
    let branch = || -> Group<_> { (0..9).map(|_| leaf()).collect() };
    let before = interrupt::counts().wakes;
    let mut tree = Group::new_local();
    for _ in 0..3 {
        tree.go(branch());
        let mut inner = Group::new_local();
        inner.go(leaf());
        inner.go(branch().with_limit(2));
        tree.go(inner);
    }
    assert_eq!(block_on(tree), Ok(()));
    assert_eq!(ended.get(), 3 * (9 + 1 + 9));
    assert_eq!(interrupt::counts().wakes - before, 3 * ended.get());
}

pub fn a_scope_adds_children_as_there_is_room() {
    const SIZE: usize = 41;
    for limit in [1, 3, 9, 40, 41] {
        for failing in [None, Some(0), Some(20)] {
            let log = &Log { failing, ..Log::default() };
            let most = &Cell::new(0);
            let body = async move |handle: Handle<_>| {
                for number in 0..SIZE {
                    assert!(handle.ready().await.is_ok());
                    most.set(most.get().max(number + 1 - log.dropped.get()));
                    assert!(handle.push(Box::pin(log.child(number)) as _).is_ok());
                }
                Ok(log.ended.get())
            };
            let outcome = block_on(scope_local(body).with_limit(limit));
            interrupt::drain();
            assert_eq!(most.get(), limit);
            match failing {
                Some(failing) => {
                    assert_eq!((outcome, log.ended.get()), (Err(failing), failing + 1));
                }
                None => {
                    assert!(outcome.is_ok_and(|ended| ended + limit >= SIZE));
                    assert_eq!((log.ended.get(), log.dropped.get()), (SIZE, SIZE));
                }
            }
        }
    }
}

/// Polls a group whose children all wait, with the waker of a task that is gone then.
pub fn poll_once<F: Future>(group: &mut Group<F>) {
    let mut next = group.next();
    assert!(block_on(poll_fn(|cx| Poll::Ready(Pin::new(&mut next).poll(cx)))).is_pending());
}

/// Children are in line, and so woken, in the order of their numbers.
fn end_in_order(mut group: Group<Child<'_>>, log: &Log) {
    let size = group.len();
    for number in 0..size {
        assert_eq!(block_on(group.next()), Some(Ok(())));
        assert_eq!((log.last_ended.get(), group.len()), (number, size - number - 1));
    }
    assert_eq!(block_on(group.next()), None);
}

impl Log {
    fn of_failing(number: usize) -> Self {
        Self { failing: Some(number), ..Self::default() }
    }

    fn child(&self, number: usize) -> Child<'_> {
        Child { number, log: self, interrupted: Interrupted::default() }
    }

    fn children(&self, numbers: Range<usize>) -> impl Iterator<Item = Child<'_>> {
        numbers.map(|number| self.child(number))
    }
}

impl Future for Child<'_> {
    type Output = Result<(), usize>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.log.polls.set(self.log.polls.get() + 1);
        ready!(Pin::new(&mut self.interrupted).poll(cx));
        self.log.ended.set(self.log.ended.get() + 1);
        self.log.last_ended.set(self.number);
        Poll::Ready(if self.log.failing == Some(self.number) { Err(self.number) } else { Ok(()) })
    }
}

impl Drop for Child<'_> {
    fn drop(&mut self) {
        self.log.dropped.set(self.log.dropped.get() + 1);
    }
}

impl Canary {
    const BYTE: u8 = 0xa5;

    pub fn fill() -> Self {
        let mut blocks = Vec::with_capacity(64);
        for size in [4096, 512, 64, 16] {
            let mut block = Vec::new();
            while block.try_reserve_exact(size).is_ok() {
                block.resize(size, Self::BYTE);
                assert!(blocks.len() < blocks.capacity());
                blocks.push(mem::take(&mut block));
            }
        }
        Self(blocks)
    }

    pub fn is_intact(&self) -> bool {
        self.0.iter().flatten().all(|byte| *byte == Self::BYTE)
    }
}
