//! No child waits for ever on account of others that are always ready.

mod kit;

use std::task::Poll;

use errgroup::Group;
use kit::{Act, Cast, Child, LARGE, Task};

/// How many children are there before the new ones come.
const OLD: &[usize] = if cfg!(miri) { &[1, 2, 33] } else { &[1, 2, 31, 33, 40, 65, 100] };

/// Takes completions, adding a ready child after each, until the first `old` are done.
fn serve_old_among_new(cast: &Cast, task: &Task, group: &mut Group<Child>, old: usize) {
    for new in old..3 * old + 64 {
        if (0..old).all(|id| cast.drops(id) == 1) {
            return;
        }
        assert_eq!(task.poll_while_woken(&mut group.next()), Poll::Ready(Some(Ok(()))));
        group.push(cast.child(new));
    }
    panic!("{:?} were polled instead of the old", cast.polled());
}

/// In FutureGroup and unicycle, new children that take the slots of finished ones go first.
#[test]
fn new_ready_children_do_not_starve_the_old() {
    for &old in OLD {
        let (cast, task) = (Cast::new(3 * old + 64), Task::default());
        cast.tell_all(Act::Succeed);
        let mut group: Group<Child> = (0..old).map(|id| cast.child(id)).collect();
        serve_old_among_new(&cast, &task, &mut group, old);
        assert_eq!(group.len(), old);
    }
}

#[test]
fn new_ready_children_do_not_starve_the_woken() {
    for &old in OLD {
        let (cast, task) = (Cast::new(3 * old + 64), Task::default());
        let mut group: Group<Child> = (0..old).map(|id| cast.child(id)).collect();
        assert!(task.poll_while_woken(&mut group).is_pending());
        cast.tell_all(Act::Succeed);
        (0..old).for_each(|id| cast.wake(id));
        group.push(cast.child(3 * old + 63));
        serve_old_among_new(&cast, &task, &mut group, old);
        assert_eq!(group.len(), old + 1);
    }
}

#[test]
fn new_ready_children_do_not_starve_the_queued() {
    let (cast, task) = (Cast::new(184), Task::default());
    cast.tell_all(Act::Succeed);
    let mut group = Group::unboxed().with_limit(3);
    group.extend((0..40).map(|id| cast.child(id)));
    serve_old_among_new(&cast, &task, &mut group, 40);
    assert!((0..40).all(|id| cast.polls(id) == 1));
}

#[test]
fn nobody_is_polled_twice_before_everybody_was_polled_once() {
    const COUNTS: &[usize] =
        if cfg!(miri) { &[2, 17, 33] } else { &[2, 31, 32, 33, 63, 64, 65, 100, 1_000] };
    for &n in COUNTS {
        let (cast, task) = (Cast::new(n), Task::default());
        cast.tell_all(Act::Yield(usize::MAX));
        let mut group: Group<Child> = cast.children().collect();
        let mut polled = Vec::new();
        while polled.len() < 6 * n {
            assert!(task.poll(&mut group).is_pending());
            assert!(task.wakes() > 0);
            polled.extend(cast.polled());
        }
        // All are always awake, so between two polls of one there is a poll of each of the others.
        let mut last = vec![None; n];
        for (at, id) in polled.into_iter().enumerate() {
            if let Some(before) = last[id].replace(at) {
                let others = last.iter().filter(|last| **last > Some(before)).count();
                assert_eq!(others, n, "polls {before} and {at} of child {id}");
            }
        }
    }
}

#[test]
fn one_woken_late_is_polled_among_many_that_wake_themselves() {
    for n in [2, 33, 65, LARGE] {
        let (cast, task) = (Cast::new(n), Task::default());
        cast.tell_all(Act::Yield(usize::MAX));
        cast.tell(n - 1, Act::Wait);
        let mut group: Group<Child> = cast.children().collect();
        while cast.polls(n - 1) == 0 {
            assert!(task.poll(&mut group).is_pending());
        }
        cast.tell(n - 1, Act::Fail);
        cast.wake(n - 1);
        cast.polled();
        let mut polls = 0;
        while task.poll(&mut group).is_pending() {
            polls += cast.polled().len();
            assert!(polls <= 2 * n);
        }
        assert_eq!(cast.drops(n - 1), 1);
    }
}

#[test]
fn two_groups_in_a_group_both_go_on() {
    let (left, right, task) = (Cast::new(40), Cast::new(1), Task::default());
    left.tell_all(Act::Yield(usize::MAX));
    right.tell(0, Act::Yield(3));
    let mut group: Group<Group<Child>> =
        [&left, &right].into_iter().map(|cast| cast.children().collect()).collect();
    for _ in 0..10 {
        assert!(task.poll(&mut group).is_pending());
    }
    assert_eq!((right.polls(0), right.drops(0)), (4, 1));
}
