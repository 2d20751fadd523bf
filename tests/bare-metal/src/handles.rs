//! Handles in interrupts: children are added at any instruction, in the same way as they are woken in
//! [`races`](crate::races).

use core::{
    cell::Cell,
    future::{Future, poll_fn},
    mem,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use critical_section::Mutex;
use errgroup::{Group, Handle};
use portable_atomic_util::{Arc, task::Wake};

use crate::{
    executor::{block_on, block_on_tasks},
    heap,
    interrupt::{self, Mode},
    scenarios::{Canary, poll_once},
};

/// With so many that wait, what is added takes a slot of the first page or of a later one, which is there or
/// is made for it.
const WAITING: [usize; 4] = [1, 8, 9, 24];

enum Child {
    /// Waits for ever.
    Waiting,
    /// Sets the timer off, adds a child if it has a handle, and ends.
    Arming {
        handle: Option<Handle<Child>>,
        outcome: Result<(), ()>,
    },
    Added(Added),
}

/// Wakes itself once, and ends then.
struct Added {
    number: u32,
    is_started: bool,
}

/// Whoever wakes it adds a child.
struct Adder(Handle<Child>);

/// What became of the children that were added, which are numbered as they come.
#[derive(Clone, Copy)]
struct Counts {
    added: u32,
    /// Those that were given back.
    refused: u32,
    started: u32,
    ended: u32,
    dropped: u32,
    /// The most that ran at once.
    most: u32,
    last_started: u32,
    /// Those that started after one that came later.
    overtaken: u32,
    is_polling: bool,
    /// Those that came while the group was polled.
    in_polls: u32,
}

static COUNTS: Mutex<Cell<Counts>> = Mutex::new(Cell::new(Counts::NONE));

pub fn a_child_that_comes_at_any_instruction_runs() {
    for waiting in WAITING {
        let counts = sweep(|end| block_on(add_again(waiting, usize::MAX, end, add_one)));
        assert!(counts.in_polls > 0 && counts.in_polls < counts.added);
        assert_eq!(counts.overtaken, 0);
    }
}

pub fn a_child_that_comes_as_the_group_changes_tasks_runs() {
    for waiting in WAITING {
        let add = |end| block_on_tasks::<2, _>(add_again(waiting, usize::MAX, end, add_one));
        let counts = sweep(add);
        assert!(counts.in_polls > 0 && counts.in_polls < counts.added);
        assert_eq!(counts.overtaken, 0);
    }
}

pub fn children_that_come_in_the_midst_of_an_add_run() {
    let before = interrupt::counts().nested;
    let by_interrupts = |handle: &_| {
        line_up(handle, 3);
        interrupt::arm_both();
    };
    let counts = sweep(|end| block_on(add_again(1, usize::MAX, end, by_interrupts)));
    assert!(interrupt::counts().nested > before);
    assert!(counts.overtaken > 0);

    let by_child = |handle: &Handle<_>| {
        line_up(handle, 2);
        let child = Child::Arming { handle: Some(handle.clone()), outcome: Ok(()) };
        assert!(handle.push(child).is_ok());
    };
    let counts = sweep(|end| block_on(add_again(1, usize::MAX, end, by_child)));
    assert!(counts.overtaken > 0);
}

pub fn a_limit_lets_children_start_in_the_order_in_which_they_come() {
    // One place is that of the child that waits.
    for limit in [2, 3] {
        let add_all = |handle: &_| {
            // Some of these are queued when the others come.
            for _ in 0..3 {
                add(handle);
            }
            line_up(handle, 2);
            interrupt::arm();
        };
        let counts = sweep(|end| block_on(add_again(1, limit, end, add_all)));
        assert!(counts.in_polls > 0 && counts.in_polls < counts.added);
        assert_eq!((counts.overtaken, counts.most as usize), (0, limit - 1));
    }
}

pub fn a_child_that_comes_as_the_last_one_ends_runs_or_is_given_back() {
    let last = || Child::Arming { handle: None, outcome: Ok(()) };
    let as_it_is_awaited = |mut group: Group<_>| {
        group.push(last());
        assert_eq!(block_on(group), Ok(()));
    };
    let as_it_gives_outputs = |mut group: Group<_>| {
        group.push(last());
        while block_on(group.next()).is_some() {}
    };
    for counts in [at_any_instruction(as_it_is_awaited), at_any_instruction(as_it_gives_outputs)] {
        assert!(counts.ended > 0 && counts.refused > 0);
        assert_eq!(counts.ended + counts.refused, counts.added);
    }
}

pub fn a_child_that_comes_as_another_fails_is_dropped_or_given_back() {
    let counts = at_any_instruction(|mut group| {
        group.push(Child::Waiting);
        group.push(Child::Arming { handle: None, outcome: Err(()) });
        assert_eq!(block_on(group), Err(()));
    });
    assert!(counts.refused > 0 && counts.refused < counts.added);
    assert_eq!(counts.started, 0);
}

pub fn a_child_that_comes_at_any_instruction_of_a_drop_is_dropped_or_given_back() {
    let counts = at_any_instruction(|mut group| {
        group.push(Child::Waiting);
        poll_once(&mut group);
        interrupt::arm();
        drop(group);
    });
    assert!(counts.refused > 0 && counts.refused < counts.added);
    assert_eq!(counts.started, 0);
}

pub fn a_child_that_comes_at_any_instruction_of_a_clear_is_dropped_or_runs() {
    let counts = at_any_instruction(|mut group| {
        group.push(Child::Waiting);
        poll_once(&mut group);
        let refused = counts().refused;
        interrupt::arm();
        group.clear();
        assert_eq!(counts().refused, refused);
        assert_eq!(block_on(group), Ok(()));
    });
    assert!(counts.ended > 0 && counts.ended + counts.refused < counts.added);
    assert_eq!(counts.ended, counts.started);
}

pub fn a_child_that_comes_at_any_instruction_of_a_push_wakes_the_group() {
    let counts = sweep(|end| {
        let mut group: Group<_> = [Child::Waiting].into_iter().collect();
        let handle = group.handle();
        while interrupt::counts().asleep < end {
            // Each time by a task that nobody has woken yet.
            block_on(async {
                poll_fn(|cx| poll_added(&mut group, cx)).await;
                add_one(&handle);
                let pushed = group.push(Child::Waiting);
                let mut is_polled = false;
                poll_fn(|cx| {
                    let is_woken = mem::replace(&mut is_polled, true);
                    if is_woken { poll_added(&mut group, cx) } else { Poll::Pending }
                })
                .await;
                assert!(group.remove(pushed));
            });
        }
    });
    assert_eq!((counts.ended, counts.dropped), (counts.added, counts.added));
}

pub fn an_add_after_the_group_is_gone_touches_nothing() {
    interrupt::set_mode(Mode::All);
    for waiting in WAITING {
        reset();
        let used = heap::used();
        let mut group: Group<_> = (0..waiting).map(|_| Child::Waiting).collect();
        let handle = group.handle();
        poll_once(&mut group);
        add(&handle);
        line_up(&handle, 2);
        drop(group);
        add(&handle);
        drop(handle);
        assert!(heap::used() > used, "the handles in line keep the inbox");
        // What else the group had is now in here.
        let canary = Canary::fill();
        interrupt::drain();
        assert!(canary.is_intact());
        drop(canary);
        assert_eq!(heap::used(), used, "the handler has freed the inbox");
        let counts = counts();
        assert_eq!((counts.added, counts.refused, counts.started, counts.dropped), (4, 3, 0, 4));
    }
}

/// Runs what goes on until the sleeping chip was interrupted that many times.
fn sweep(run: impl FnOnce(u32)) -> Counts {
    interrupt::set_mode(Mode::All);
    reset();
    // The first time ends the sweep that was under way.
    run(interrupt::counts().asleep + 2);
    counts()
}

/// Adds children to a group with others that wait, again and again, and polls it until all of these have
/// ended.
async fn add_again(waiting: usize, limit: usize, end: u32, add: impl Fn(&Handle<Child>)) {
    let group: Group<_> = (0..waiting).map(|_| Child::Waiting).collect();
    let mut group = group.with_limit(limit);
    let handle = group.handle();
    while interrupt::counts().asleep < end {
        add(&handle);
        poll_fn(|cx| poll_added(&mut group, cx)).await;
    }
    assert_eq!((counts().dropped, counts().refused), (counts().added, 0));
}

/// Polls a group that others keep going, until all that come have ended.
fn poll_added(group: &mut Group<Child>, cx: &mut Context<'_>) -> Poll<()> {
    count(|counts| counts.is_polling = true);
    let poll = Pin::new(group).poll(cx);
    count(|counts| counts.is_polling = false);
    assert!(poll.is_pending());
    let is_done = interrupt::waiting() == 0 && counts().ended == counts().added;
    if is_done { Poll::Ready(()) } else { Poll::Pending }
}

fn add_one(handle: &Handle<Child>) {
    line_up(handle, 1);
    interrupt::arm();
}

/// Lets an interrupt add children to a group while something is done to it that ends it. The last handle
/// is that of the interrupt.
fn at_any_instruction(act: impl Fn(Group<Child>)) -> Counts {
    sweep(|end| {
        while interrupt::counts().asleep < end {
            let used = heap::used();
            let mut group = Group::unboxed();
            line_up(&group.handle(), 2);
            act(group);
            let at_end = critical_section::with(|_| {
                let counts = counts();
                assert_eq!(counts.dropped, counts.added);
                counts
            });
            interrupt::drain();
            let counts = counts();
            assert_eq!(counts.started, at_end.started);
            assert_eq!(counts.added - counts.refused, at_end.added - at_end.refused);
            assert_eq!(counts.dropped, counts.added);
            assert_eq!(heap::used(), used);
        }
    })
}

/// Has interrupts add so many children.
fn line_up(handle: &Handle<Child>, children: usize) {
    for _ in 0..children {
        interrupt::line_up(Waker::from(Arc::new(Adder(handle.clone()))));
    }
}

/// Adds a child. It is given back where the group has ended, and only there.
fn add(handle: &Handle<Child>) {
    let is_closed = handle.is_closed();
    let added = Added::new();
    let number = added.number;
    match handle.push(Child::Added(added)) {
        Ok(()) => assert!(!is_closed),
        Err(closed) => {
            assert!(is_closed);
            assert!(matches!(closed.into_inner(), Child::Added(added) if added.number == number));
            count(|counts| counts.refused += 1);
        }
    }
}

fn reset() {
    count(|counts| *counts = Counts::NONE);
}

fn counts() -> Counts {
    count(|counts| *counts)
}

fn count<R>(f: impl FnOnce(&mut Counts) -> R) -> R {
    critical_section::with(|cs| {
        let cell = COUNTS.borrow(cs);
        let mut counts = cell.get();
        let result = f(&mut counts);
        cell.set(counts);
        result
    })
}

impl Counts {
    const NONE: Self = Self {
        added: 0,
        refused: 0,
        started: 0,
        ended: 0,
        dropped: 0,
        most: 0,
        last_started: 0,
        overtaken: 0,
        is_polling: false,
        in_polls: 0,
    };
}

impl Added {
    fn new() -> Self {
        let number = count(|counts| {
            counts.added += 1;
            counts.in_polls += u32::from(counts.is_polling);
            counts.added
        });
        Self { number, is_started: false }
    }
}

impl Future for Child {
    type Output = Result<(), ()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Waiting => Poll::Pending,
            Self::Arming { handle, outcome } => {
                interrupt::arm();
                handle.iter().for_each(add);
                Poll::Ready(*outcome)
            }
            Self::Added(Added { is_started: true, .. }) => {
                count(|counts| counts.ended += 1);
                Poll::Ready(Ok(()))
            }
            Self::Added(Added { number, is_started }) => {
                *is_started = true;
                count(|counts| {
                    counts.started += 1;
                    counts.most = counts.most.max(counts.started - counts.ended);
                    counts.overtaken += u32::from(*number < counts.last_started);
                    counts.last_started = *number;
                });
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

impl Drop for Added {
    fn drop(&mut self) {
        count(|counts| counts.dropped += 1);
    }
}

impl Wake for Adder {
    fn wake(adder: Arc<Self>) {
        add(&adder.0);
    }
}
