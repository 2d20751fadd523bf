//! One poll of the group is a bounded piece of work: each child once, and fewer where children wake
//! themselves, or were woken and stay pending.

mod kit;

use std::task::Poll;

use errgroup::Group;
use kit::{Act, Cast, Child, Task};

const MANY: usize = if cfg!(miri) { 300 } else { 10_000 };
/// Child polls that one poll may do where few children run, as the documentation says.
const BOUND: usize = 256;
/// Children that may stay pending in one poll although they were woken.
const PATIENCE: usize = 256;
/// Children that may wake themselves in one poll.
const SELF_WAKES: usize = 32;

#[test]
fn children_that_wake_themselves_do_not_hold_the_executor() {
    let (cast, task) = (Cast::new(MANY), Task::default());
    cast.tell_all(Act::Yield(usize::MAX));
    let mut group: Group<Child> = cast.children().collect();
    for _ in 0..50 {
        assert!(task.poll(&mut group).is_pending());
        assert_eq!(cast.polled().len(), SELF_WAKES);
        assert!(task.wakes() > 0, "nobody would poll the group again");
    }
}

#[test]
fn one_child_that_wakes_itself_does_not_hold_the_executor() {
    for n in [1, 2, 40] {
        let (cast, task) = (Cast::new(n), Task::default());
        cast.tell(n - 1, Act::Yield(usize::MAX));
        let mut group: Group<Child> = cast.children().collect();
        for _ in 0..50 {
            assert!(task.poll(&mut group).is_pending());
            assert!((1..=BOUND).contains(&cast.polled().len()));
            assert!(task.wakes() > 0, "nobody would poll the group again");
        }
    }
}

#[test]
fn children_that_wait_are_not_taken_for_some_that_wake_themselves() {
    for waiting in [1, 8, 16, 100, MANY] {
        let n = waiting + SELF_WAKES - 1;
        let (cast, task) = (Cast::new(n), Task::default());
        (waiting..n).for_each(|id| cast.tell(id, Act::Yield(usize::MAX)));
        let mut group: Group<Child> = cast.children().collect();
        assert!(task.poll(&mut group).is_pending());
        assert_eq!(cast.polled()[..n], Vec::from_iter(0..n));
    }
}

#[test]
fn children_that_are_woken_for_nothing_do_not_hold_the_executor() {
    const N: usize = 2 * PATIENCE + 1;
    let (cast, task) = (Cast::new(N), Task::default());
    let mut group: Group<Child> = cast.children().collect();
    assert!(task.poll(&mut group).is_pending());
    cast.polled();
    (0..N).for_each(|id| cast.wake(id));
    for polls in [PATIENCE, PATIENCE, 1] {
        assert_eq!(task.wakes(), 1);
        assert!(task.poll(&mut group).is_pending());
        assert_eq!(cast.polled().len(), polls);
    }
    assert_eq!(task.wakes(), 0);
}

#[test]
fn first_poll_reaches_every_child_once() {
    let (cast, task) = (Cast::new(MANY), Task::default());
    let mut group: Group<Child> = cast.children().collect();
    assert!(task.poll(&mut group).is_pending());
    assert_eq!(cast.polled(), Vec::from_iter(0..MANY));
    assert_eq!(task.wakes(), 0);
}

#[test]
fn many_woken_at_once_are_served_by_one_poll() {
    let (cast, task) = (Cast::new(MANY), Task::default());
    let mut group: Group<Child> = cast.children().collect();
    assert!(task.poll_while_woken(&mut group).is_pending());
    cast.tell_all(Act::Succeed);
    (0..MANY).rev().for_each(|id| cast.wake(id));
    assert_eq!(task.wakes(), 1);
    assert_eq!(task.poll(&mut group), Poll::Ready(Ok(())));
    cast.assert_all_dropped_once();
}

#[test]
fn ready_children_that_start_one_after_the_other_do_not_hold_the_executor() {
    let (cast, task) = (Cast::new(MANY), Task::default());
    cast.tell_all(Act::Succeed);
    let mut group = Group::unboxed().with_limit(1);
    group.extend(cast.children());
    while task.poll(&mut group).is_pending() {
        assert_eq!(cast.polled().len(), BOUND);
        assert!(task.wakes() > 0, "{} are stranded", group.len());
    }
    assert_eq!(cast.polled().len(), MANY % BOUND);
    cast.assert_all_dropped_once();
}

#[test]
fn many_that_yield_a_few_times_all_complete() {
    for limit in [1, 100, MANY] {
        let (cast, task) = (Cast::new(MANY), Task::default());
        (0..MANY).for_each(|id| cast.tell(id, Act::Yield(id % 7)));
        let mut group = Group::unboxed().with_limit(limit);
        group.extend(cast.children());
        assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Ok(())));
        assert!((0..MANY).all(|id| cast.polls(id) == id % 7 + 1));
        assert_eq!(group.finished(), MANY);
    }
}

#[test]
fn many_through_next_all_complete() {
    let (cast, task) = (Cast::new(MANY), Task::default());
    (0..MANY).for_each(|id| cast.tell(id, Act::Yield(id % 3)));
    let mut group: Group<Child> = cast.children().collect();
    for _ in 0..MANY {
        assert_eq!(task.poll_while_woken(&mut group.next()), Poll::Ready(Some(Ok(()))));
    }
    assert_eq!(task.poll(&mut group.next()), Poll::Ready(None));
    cast.assert_all_dropped_once();
}

#[test]
fn failure_between_two_slices_drops_the_unpolled() {
    let (cast, task) = (Cast::new(MANY), Task::default());
    cast.tell_all(Act::Yield(usize::MAX));
    cast.tell(MANY / 2, Act::Fail);
    let mut group: Group<Child> = cast.children().collect();
    assert!(task.poll(&mut group).is_pending());
    assert!(cast.polls(MANY / 2) == 0 && task.wakes() > 0);
    assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Err(MANY / 2)));
    assert_eq!(cast.polls(MANY - 1), 0);
    cast.assert_all_dropped_once();
}

#[test]
fn nothing_is_stranded_when_the_task_changes_between_two_slices() {
    let (cast, first, second) = (Cast::new(MANY), Task::default(), Task::default());
    cast.tell_all(Act::Yield(1));
    let mut group: Group<Child> = cast.children().collect();
    assert!(first.poll(&mut group).is_pending());
    assert!(first.wakes() > 0);
    assert_eq!(second.poll_while_woken(&mut group), Poll::Ready(Ok(())));
    assert_eq!(group.finished(), MANY);
}
