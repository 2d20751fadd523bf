//! Interrupts at any instruction: each scenario goes on until they have come at every tick of the
//! timer, from the one after their cause to the one at which the chip sleeps.

use core::{
    cell::{Cell, RefCell},
    future::{Future, pending, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

use errgroup::Group;

use crate::{
    executor::{block_on, block_on_tasks},
    heap,
    interrupt::{self, Interrupted, Mode},
    scenarios::poll_once,
};

/// The slots of the children that are woken: in the first page, in those that follow, and, from 216, in
/// some without the shortcut of the seven before them.
const SLOTS: [usize; 8] = [0, 1, 8, 9, 24, 216, 217, 248];

enum Child {
    /// Waits for an interrupt.
    Waiting(Interrupted),
    /// Wakes itself once.
    Yielding { is_woken: bool },
}

pub fn no_wake_is_lost_at_any_instruction() {
    for slot in SLOTS {
        sweep(|end| block_on(relay(&[slot], end)));
    }
    sweep(|end| block_on(relay(&SLOTS, end)));
}

pub fn no_wake_is_lost_when_the_group_changes_tasks() {
    for slot in SLOTS {
        sweep(|end| block_on_tasks::<2, _>(relay(&[slot], end)));
    }
    sweep(|end| block_on_tasks::<2, _>(relay(&SLOTS, end)));
}

pub fn no_wake_is_lost_in_a_group_in_a_group() {
    let relays = |end| async move {
        let slots: [&[usize]; 3] = [&[0, 8], &[1], &[24, 25]];
        let mut group: Group<_> = slots.into_iter().map(|slots| relay(slots, end)).collect();
        let mut turns = 0;
        while let Some(of_one) = group.next().await {
            turns += of_one;
        }
        turns
    };
    sweep(|end| block_on(relays(end)));
}

pub fn no_wake_is_lost_when_one_interrupts_another() {
    let before = interrupt::counts().nested;
    for lower in SLOTS {
        for upper in SLOTS {
            if lower != upper {
                block_on(wake_both(lower, upper));
            }
        }
    }
    assert!(interrupt::counts().nested > before);
}

pub fn a_wake_at_any_instruction_of_a_drop_touches_nothing() {
    for size in [1, 9, 41] {
        at_any_instruction(size, drop);
    }
}

pub fn a_wake_at_any_instruction_of_a_clear_leaves_the_group_usable() {
    for size in [1, 9] {
        at_any_instruction(size, |mut group| {
            group.clear();
            group.extend((0..size).map(|_| Child::Yielding { is_woken: false }));
            for _ in 0..size {
                assert!(block_on(group.next()).is_some());
            }
        });
    }
}

/// Runs what goes on until the sleeping chip was interrupted that many times. It gives the turns that
/// children had: as many as there were wakes.
fn sweep(run: impl FnOnce(u32) -> u32) {
    interrupt::set_mode(Mode::One);
    let before = interrupt::counts();
    // The first time ends the sweep that was under way.
    let turns = run(before.asleep + 2);
    assert_eq!(interrupt::counts().wakes - before.wakes, turns);
}

/// A group with children in these slots that wait for interrupts again and again, in turn. The others
/// wait for ever.
async fn relay(slots: &[usize], end: u32) -> u32 {
    let turns = Cell::new(0);
    let until = async |asleep| {
        while interrupt::counts().asleep < asleep {
            Interrupted::default().await;
            turns.set(turns.get() + 1);
        }
    };
    let mut group = Group::new_local();
    for slot in 0..=slots[slots.len() - 1] {
        if slots.contains(&slot) {
            group.go(async {
                until(end - 1).await;
                let allocations = heap::allocations();
                until(end).await;
                assert_eq!(heap::allocations(), allocations, "wakes and polls allocate");
            });
        } else {
            group.go(pending());
        }
    }
    for _ in slots {
        group.next().await;
    }
    turns.get()
}

/// Has the child in the one slot woken by the lower interrupt, and that in the other by the upper one,
/// again and again.
async fn wake_both(lower: usize, upper: usize) {
    interrupt::set_mode(Mode::All);
    let end = interrupt::counts().asleep + 2;
    let children = [lower, upper].map(|slot| (slot, Cell::new(0), RefCell::new(None)));
    let mut group = Group::new_local();
    for slot in 0..=lower.max(upper) {
        match children.iter().find(|child| child.0 == slot) {
            None => group.go(pending::<()>()),
            Some((_, polls, waker)) => group.go(poll_fn(|cx| {
                polls.set(polls.get() + 1);
                waker.replace(Some(cx.waker().clone()));
                Poll::Pending
            })),
        };
    }
    poll_once(&mut group);
    while interrupt::counts().asleep < end {
        let before = children.each_ref().map(|(_, polls, waker)| {
            interrupt::line_up(waker.borrow().clone().unwrap());
            polls.get()
        });
        interrupt::arm_both();
        poll_fn(|cx| {
            assert!(Pin::new(&mut group.next()).poll(cx).is_pending());
            let polls = children.each_ref().map(|(_, polls, _)| polls.get());
            let are_polled = polls[0] > before[0] && polls[1] > before[1];
            if are_polled { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Lets an interrupt wake all children of a group while something is done to it.
fn at_any_instruction(size: usize, act: impl Fn(Group<Child>)) {
    interrupt::set_mode(Mode::All);
    let end = interrupt::counts().asleep + 2;
    while interrupt::counts().asleep < end {
        let used = heap::used();
        let waiting = (0..size).map(|_| Child::Waiting(Interrupted::default()));
        let mut group: Group<_> = waiting.collect();
        poll_once(&mut group);
        interrupt::arm();
        act(group);
        interrupt::drain();
        assert_eq!(heap::used(), used);
    }
}

impl Future for Child {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *self {
            Self::Waiting(interrupted) => Pin::new(interrupted).poll(cx),
            Self::Yielding { is_woken: true } => Poll::Ready(()),
            Self::Yielding { is_woken } => {
                *is_woken = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}
