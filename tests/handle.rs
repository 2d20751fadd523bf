//! Children that are added by a handle are children as any others, and none is stranded, lost, or run
//! after the end.

mod kit;

use std::cell::Cell;
use std::future::{Future, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use errgroup::{Group, Handle, TryPushError};
use futures::SinkExt;
use futures::executor::block_on;
use kit::{Act, Cast, Child, LARGE, Task, panic_of};

/// Adds children by a handle when it is polled, and is then done or waits.
struct Adds<'a> {
    handle: Handle<Self>,
    children: Vec<Self>,
    polled: &'a Cell<usize>,
    end: Poll<Result<(), ()>>,
}

impl Future for Adds<'_> {
    type Output = Result<(), ()>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        self.polled.set(self.polled.get() + 1);
        for child in std::mem::take(&mut self.children) {
            assert!(
                self.handle.push(child).is_ok(),
                "a group has not ended while it polls a child"
            );
        }
        self.end
    }
}

/// A group of `n` children that wait and were polled, and a handle to it.
fn waiting(cast: &Cast, n: usize, task: &Task) -> (Group<Child>, Handle<Child>) {
    let mut group: Group<Child> = cast.children().take(n).collect();
    let handle = group.handle();
    assert!(task.poll(&mut group).is_pending());
    task.wakes();
    (group, handle)
}

/// In moro 0.4 (`Scope::poll_jobs`) a job that another one spawns is not polled until that one ends, or
/// something wakes the scope: two that wait for each other do so for ever.
#[test]
fn child_of_a_child_is_polled_before_the_group_is_pending() {
    for depth in 0..=if cfg!(miri) { 9 } else { 100 } {
        let (polled, task) = (Cell::new(0), Task::default());
        let mut group = Group::unboxed();
        let handle = group.handle();
        let child = |children| Adds {
            handle: handle.clone(),
            children,
            polled: &polled,
            end: Poll::Pending,
        };
        let root = (0..depth).fold(child(Vec::new()), |below, _| child(vec![below]));
        group.push(root);
        assert!(task.poll(&mut group).is_pending());
        assert_eq!(polled.get(), depth + 1);
        assert_eq!((group.len(), task.wakes()), (depth + 1, 0), "there was no need to be woken");
    }
}

#[test]
fn group_is_done_when_the_last_child_of_a_child_is() {
    for n in [1, 2, 9, 17, 65, LARGE] {
        let (polled, task) = (Cell::new(0), Task::default());
        let mut group = Group::unboxed();
        let handle = group.handle();
        let child = |children| Adds {
            handle: handle.clone(),
            children,
            polled: &polled,
            end: Poll::Ready(Ok(())),
        };
        let children = (0..n).map(|_| child(vec![child(Vec::new())])).collect();
        group.push(child(children));
        assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Ok(())));
        assert_eq!((polled.get(), group.finished()), (1 + 2 * n, 1 + 2 * n));
        assert!(handle.is_closed());
    }
}

/// A tree of children, each of which adds two.
#[test]
fn tree_of_a_million_children_ends_when_its_leaves_have() {
    struct Node<'a> {
        number: usize,
        polled: &'a Cell<usize>,
        handle: Handle<Self>,
    }

    const NODES: usize = if cfg!(miri) { 127 } else { (1 << 20) - 1 };

    impl Future for Node<'_> {
        type Output = Result<(), usize>;

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
            self.polled.set(self.polled.get() + 1);
            for number in [2 * self.number, 2 * self.number + 1] {
                if number <= NODES {
                    self.handle.push(Node { number, ..(*self).clone() }).unwrap();
                }
            }
            Poll::Ready(Ok(()))
        }
    }

    impl Clone for Node<'_> {
        fn clone(&self) -> Self {
            Self { handle: self.handle.clone(), ..*self }
        }
    }

    for limit in [usize::MAX, 10] {
        let polled = Cell::new(0);
        let mut group = Group::unboxed().with_limit(limit);
        let handle = group.handle();
        group.push(Node { number: 1, polled: &polled, handle });
        assert_eq!(Task::default().poll_while_woken(&mut group), Poll::Ready(Ok(())));
        assert_eq!((polled.get(), group.finished()), (NODES, NODES));
    }
}

#[test]
fn adds_between_two_polls_wake_the_group_once() {
    const ADDS: usize = if cfg!(miri) { 100 } else { 10_000 };
    let (cast, task) = (Cast::new(ADDS), Task::default());
    let (mut group, handle) = waiting(&cast, 1, &task);
    for _ in 0..3 {
        cast.children().for_each(|child| assert!(handle.push(child).is_ok()));
        assert_eq!(task.wakes(), 1);
        assert!(task.poll(&mut group).is_pending());
        assert_eq!(task.wakes(), 0);
    }
    assert_eq!(group.running(), 1 + 3 * ADDS);
}

#[test]
fn child_that_comes_with_a_wake_wakes_the_group_once() {
    let (cast, task) = (Cast::new(2), Task::default());
    let (mut group, handle) = waiting(&cast, 1, &task);
    cast.wake(0);
    assert!(handle.push(cast.child(1)).is_ok());
    assert_eq!(task.wakes(), 1);
    cast.polled();
    assert!(task.poll(&mut group).is_pending());
    assert_eq!(cast.polled(), [0, 1]);
}

#[test]
fn adds_before_the_first_poll_wake_nobody_and_are_polled() {
    let (cast, task) = (Cast::new(3), Task::default());
    let mut group = Group::unboxed();
    let handle = group.handle();
    cast.children().for_each(|child| assert!(handle.push(child).is_ok()));
    assert_eq!((group.len(), group.running(), group.queued()), (3, 0, 3));
    assert!(task.poll(&mut group).is_pending());
    assert_eq!((group.len(), group.running(), group.queued()), (3, 3, 0));
    assert_eq!(cast.polled(), [0, 1, 2]);
}

#[test]
fn add_wakes_the_task_that_polled_last() {
    let (cast, [first, second]) = (Cast::new(2), [Task::default(), Task::default()]);
    let (mut group, handle) = waiting(&cast, 1, &first);
    assert!(second.poll(&mut group).is_pending());
    assert!(handle.push(cast.child(1)).is_ok());
    assert_eq!((first.wakes(), second.wakes()), (0, 1));
}

/// What a combinator may do between two polls of a group that is pending, without polling it for that.
#[test]
fn add_wakes_a_group_that_was_changed_since_its_poll() {
    let changes: [fn(&mut Group<Child>, Child); 4] = [
        |group, child| _ = group.push(child),
        |group, child| group.extend([child]),
        |group, _| group.clear(),
        |group, _| *group = std::mem::take(group).with_limit(5),
    ];
    for change in changes {
        for has_come in [false, true] {
            let (cast, task) = (Cast::new(4), Task::default());
            let (mut group, handle) = waiting(&cast, 1, &task);
            if has_come {
                assert!(handle.push(cast.child(1)).is_ok());
            }
            change(&mut group, cast.child(2));
            assert!(handle.push(cast.child(3)).is_ok());
            assert_eq!(task.wakes(), 1);
        }
    }
}

#[test]
fn first_handle_of_a_group_that_waits_wakes_it() {
    let (cast, task) = (Cast::new(2), Task::default());
    let mut group: Group<Child> = cast.children().take(1).collect();
    assert!(task.poll(&mut group).is_pending());
    assert!(group.handle().push(cast.child(1)).is_ok());
    assert_eq!(task.wakes(), 1);
}

#[test]
fn queued_children_start_in_order_of_arrival_whoever_adds_them() {
    let (cast, task) = (Cast::new(7), Task::default());
    cast.tell_all(Act::Yield(1));
    let mut group = Group::unboxed().with_limit(1);
    let [first, second] = [group.handle(), group.handle()];
    assert!(first.push(cast.child(0)).is_ok());
    group.push(cast.child(1));
    assert!(second.push(cast.child(2)).is_ok());
    assert!(first.push(cast.child(3)).is_ok());
    group.extend([cast.child(4)]);
    assert!(second.push(cast.child(5)).is_ok());
    assert!(group.try_push(cast.child(6)).is_err());
    assert_eq!((group.running(), group.queued()), (1, 5));
    assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Ok(())));
    assert_eq!(cast.polled(), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
}

#[test]
fn limit_that_is_set_later_queues_what_has_arrived() {
    let (cast, task) = (Cast::new(4), Task::default());
    let mut group = Group::unboxed();
    let handle = group.handle();
    cast.children().for_each(|child| assert!(handle.push(child).is_ok()));
    let mut group = group.with_limit(3);
    assert_eq!((group.running(), group.queued()), (3, 1));
    assert!(matches!(handle.try_push(cast.child(3)), Err(TryPushError::Full(_))));
    assert!(task.poll(&mut group).is_pending());
    assert_eq!(cast.polled(), [0, 1, 2]);
}

#[test]
fn try_push_is_refused_exactly_when_the_limit_is_reached() {
    let (cast, task) = (Cast::new(9), Task::default());
    let mut group = Group::unboxed().with_limit(3);
    let handle = group.handle();
    let full = |id| match handle.try_push(cast.child(id)) {
        Ok(()) => false,
        Err(TryPushError::Full(child)) => child.id == id,
        Err(TryPushError::Closed(_)) => panic!("closed"),
    };
    assert!(!full(0));
    let key = group.push(cast.child(1));
    assert!(!full(2));
    assert!(full(3));
    assert!(group.try_push(cast.child(3)).is_err());
    assert!(handle.push(cast.child(3)).is_ok(), "it is queued");
    assert!(full(4));
    assert!(task.poll(&mut group).is_pending());
    assert!(full(4));
    group.remove(key);
    assert!(full(4), "there is still one queued");
    cast.tell(0, Act::Succeed);
    cast.wake(0);
    assert!(full(4), "it has not been polled");
    assert!(task.poll(&mut group).is_pending());
    assert!(!full(4));
    assert!(full(5));
    group.clear();
    assert!((5..8).all(|id| !full(id)));
    assert!(full(8));
    let group = group.with_limit(9);
    assert!(!full(8));
    drop(group);
    assert!(matches!(handle.try_push(cast.child(8)), Err(TryPushError::Closed(_))));
}

#[test]
fn try_push_knows_of_a_sibling_that_ended_in_the_same_poll() {
    let fits = &Cell::new(None);
    let mut group = Group::new_local().with_limit(2);
    let handle = group.handle();
    group.go(ready(()));
    group.go(async move { fits.set(Some(handle.try_go(ready(())).is_ok())) });
    assert_eq!(Task::default().poll(&mut group.join()), Poll::Ready(vec![(); 3]));
    assert_eq!(fits.get(), Some(true));
}

#[test]
fn try_push_knows_of_children_that_panicked_in_their_drop() {
    for clears in [false, true] {
        let cast = Cast::new(3);
        let mut group = Group::unboxed().with_limit(1);
        let handle = group.handle();
        let key = group.push(cast.child(0));
        cast.arm(0);
        let panics = || if clears { group.clear() } else { _ = group.remove(key) };
        assert_eq!(panic_of(panics), "drop of child 0");
        assert!(handle.try_push(cast.child(1)).is_ok());
        assert!(handle.try_push(cast.child(2)).is_err());
    }
}

/// The loop that lets children in has not come to its end because none is there.
#[test]
fn try_push_knows_of_those_that_an_iterator_has_given_so_far() {
    for panics in [false, true] {
        let mut group = Group::unboxed().with_limit(2);
        let handle = group.handle();
        let children = (0..3).map(|n| {
            assert_eq!(handle.try_push(ready(n)).is_ok(), n == 0);
            assert!(!panics || n < 2, "no more");
            ready(n)
        });
        if panics {
            assert_eq!(panic_of(|| group.extend(children)), "no more");
        } else {
            group.extend(children);
        }
        assert_eq!(group.len(), if panics { 3 } else { 4 });
        assert!(handle.try_push(ready(7)).is_err());
    }
}

#[test]
fn group_that_is_empty_while_it_takes_children_in_keeps_its_handles_open() {
    let (cast, task) = (Cast::new(3), Task::default());
    cast.tell_all(Act::Succeed);
    let mut group = Group::unboxed().with_limit(1);
    let handle = group.handle();
    for id in 0..2 {
        group.push(cast.child(id));
        assert_eq!(task.poll(&mut group.ready()), Poll::Ready(Ok(())));
        assert!(group.is_empty() && !handle.is_closed());
    }
    assert_eq!(task.poll(&mut group.flush()), Poll::Ready(Ok(())));
    assert!(!handle.is_closed());
    assert!(handle.push(cast.child(2)).is_ok());
    assert_eq!(task.poll(&mut group.close()), Poll::Ready(Ok(())));
    assert!(handle.is_closed());
    cast.assert_all_dropped_once();
}

#[test]
fn group_lets_none_in_while_a_child_that_has_arrived_takes_the_room() {
    let (cast, task) = (Cast::new(2), Task::default());
    let mut group = Group::unboxed().with_limit(1);
    let handle = group.handle();
    assert!(handle.push(cast.child(0)).is_ok());
    assert!(task.poll(&mut group.ready()).is_pending());
    assert_eq!(cast.polled(), [0]);
    cast.tell(0, Act::Succeed);
    cast.wake(0);
    // It arrives before the other one is done.
    assert!(handle.push(cast.child(1)).is_ok());
    assert!(task.poll(&mut group.ready()).is_pending());
    assert_eq!(cast.polled(), [0, 1]);
}

#[test]
fn values_of_children_that_are_added_meanwhile_come_in_order_of_arrival() {
    let mut group = Group::new();
    let handle = group.handle();
    group.go(async move {
        handle
            .go(async {
                smol::future::yield_now().await;
                Ok(2)
            })
            .ok();
        handle.go(ready(Ok(3))).ok();
        Ok(0)
    });
    group.go(ready(Ok::<_, ()>(1)));
    assert_eq!(block_on(group.try_join()), Ok(vec![0, 1, 2, 3]));
}

#[test]
fn policy_is_told_of_children_that_have_arrived() {
    // The second child is added before the first one fails: there is still one that may succeed.
    let mut group = Group::new();
    let handle = group.handle();
    group.go(async move {
        handle.go(ready(Ok(7))).ok();
        Err("no")
    });
    assert_eq!(block_on(group.quorum(1)), Ok(vec![7]));
}

#[test]
fn completions_know_that_more_may_come() {
    use futures::Stream;

    let mut group: Group<_> = [ready(1), ready(2)].into_iter().collect();
    assert_eq!(group.completions().size_hint(), (2, Some(2)));
    let handle = group.handle();
    assert!(handle.push(ready(3)).is_ok());
    assert_eq!(group.completions().size_hint(), (3, None));
    drop(handle);
    block_on(async { while group.next().await.is_some() {} });
    assert_eq!(group.completions().size_hint(), (0, Some(0)));
}

#[test]
fn child_that_adds_its_like_without_end_does_not_hold_the_executor() {
    fn endless(handle: Handle<errgroup::LocalBoxFuture<'static, ()>>, polls: Rc<Cell<usize>>) {
        let next = handle.clone();
        let child = async move {
            polls.set(polls.get() + 1);
            endless(next, polls);
        };
        assert!(handle.go(child).is_ok());
    }

    for limit in [usize::MAX, 1] {
        let (task, polls) = (Task::default(), Rc::new(Cell::new(0)));
        let mut group = Group::new_local().with_limit(limit);
        endless(group.handle(), polls.clone());
        let mut join = group.join();
        for _ in 0..10 {
            assert!(task.poll(&mut join).is_pending());
            assert!((1..=256).contains(&polls.take()));
            assert!(task.wakes() > 0, "nobody would poll the group again");
        }
    }
}

#[test]
fn handle_and_its_errors_say_what_they_are() {
    let mut group = Group::unboxed().with_limit(1);
    let handle = group.handle();
    assert_eq!(format!("{handle:?}"), "Handle { is_closed: false, .. }");
    assert_eq!(format!("{:?}", handle.ready()), format!("Room({handle:?})"));
    group.push(ready(1));
    let full = handle.try_push(ready(2)).unwrap_err();
    assert_eq!(format!("{full:?} {full}"), "Full(..) the group is at its limit");
    drop(group);
    let closed = handle.try_push(ready(2)).unwrap_err();
    assert_eq!(format!("{closed:?} {closed}"), "Closed(..) the group has ended");
    let closed = handle.push(ready(2)).unwrap_err();
    assert_eq!(format!("{closed:?} {closed}"), "Closed(..) the group has ended");
    assert_eq!(format!("{handle:?}"), "Handle { is_closed: true, .. }");
}
