//! `join` and `try_join`: outputs in order of insertion, whatever the order of completion.

mod kit;

use std::future::{Ready, ready};
use std::rc::Rc;
use std::task::Poll;

use errgroup::Group;
use futures::TryFutureExt;
use futures::future::FusedFuture;
use kit::{Act, Cast, SIZES, Task};

#[test]
fn ready_children_are_joined_in_one_poll() {
    for n in SIZES {
        let (cast, task) = (Cast::new(n), Task::default());
        cast.tell_all(Act::Succeed);
        let mut join = cast.valued().collect::<Group<_>>().try_join();
        assert_eq!(task.poll(&mut join), Poll::Ready(Ok(Vec::from_iter(0..n))));
        assert!(join.is_terminated());
        cast.assert_all_dropped_once();
        assert_eq!(cast.polled(), Vec::from_iter(0..n));
    }
}

#[test]
fn values_are_in_order_of_insertion_when_completed_in_another() {
    for n in SIZES {
        let orders: [fn(usize, usize) -> usize; 2] = [|n, i| n - 1 - i, |n, i| (i + n / 2) % n];
        for order in orders {
            let (cast, task) = (Cast::new(n), Task::default());
            let mut join = cast.valued().collect::<Group<_>>().try_join();
            assert!(task.poll_while_woken(&mut join).is_pending());
            for i in 0..n - 1 {
                cast.tell(order(n, i), Act::Succeed);
                cast.wake(order(n, i));
                assert!(task.poll(&mut join).is_pending());
            }
            cast.tell(order(n, n - 1), Act::Succeed);
            cast.wake(order(n, n - 1));
            assert_eq!(task.poll(&mut join), Poll::Ready(Ok(Vec::from_iter(0..n))));
        }
    }
}

#[test]
fn values_are_in_order_of_insertion_under_a_limit() {
    for limit in [1, 2, 7, 64] {
        let (cast, task) = (Cast::new(100), Task::default());
        cast.tell_all(Act::Yield(1));
        (0..100).step_by(3).for_each(|id| cast.tell(id, Act::Yield(5)));
        let mut group = Group::unboxed().with_limit(limit);
        group.extend(cast.valued());
        let mut join = group.try_join();
        assert_eq!(task.poll_while_woken(&mut join), Poll::Ready(Ok(Vec::from_iter(0..100))));
    }
}

#[test]
fn values_are_in_order_of_insertion_in_slots_of_others() {
    let (cast, task) = (Cast::new(40), Task::default());
    let mut children = cast.valued();
    let mut group: Group<_> = children.by_ref().take(20).collect();
    assert!(task.poll_while_woken(&mut group.next()).is_pending());
    let mut left: Vec<usize> = (0..20).collect();
    for id in [17, 3, 0, 9] {
        cast.tell(id, Act::Succeed);
        cast.wake(id);
        assert_eq!(task.poll(&mut group.next()), Poll::Ready(Some(Ok(id))));
        left.retain(|other| *other != id);
    }
    group.extend(children);
    left.extend(20..40);

    let mut join = group.try_join();
    cast.tell_all(Act::Succeed);
    left.iter().filter(|id| **id < 20).for_each(|id| cast.wake(*id));
    assert_eq!(task.poll_while_woken(&mut join), Poll::Ready(Ok(left)));
}

#[test]
fn first_error_drops_siblings_and_values_before_it_shows() {
    for n in SIZES {
        let (cast, task) = (Cast::new(n), Task::default());
        cast.tell_all(Act::Succeed);
        cast.tell(0, Act::Wait);
        cast.tell(n - 1, Act::Fail);
        let value = Rc::new(());
        let children = cast.children().map(|child| child.map_ok(|()| value.clone()));
        let mut join = children.collect::<Group<_>>().try_join();

        assert!(matches!(task.poll(&mut join), Poll::Ready(Err(id)) if id == n - 1));
        cast.assert_all_dropped_once();
        assert_eq!(Rc::strong_count(&value), 1);
    }
}

#[test]
fn dropped_join_drops_children_and_values() {
    let (cast, task) = (Cast::new(9), Task::default());
    cast.tell_all(Act::Succeed);
    cast.tell(4, Act::Wait);
    let value = Rc::new(());
    let children = cast.children().map(|child| child.map_ok(|()| value.clone()));
    let mut join = children.collect::<Group<_>>().try_join();
    assert!(task.poll(&mut join).is_pending());
    assert_eq!(Rc::strong_count(&value), 9);
    drop(join);
    assert_eq!(Rc::strong_count(&value), 1);
    cast.assert_all_dropped_once();
}

#[test]
fn join_settles_every_child_and_keeps_every_error() {
    for n in SIZES {
        let (cast, task) = (Cast::new(n), Task::default());
        let fails = |id: usize| id % 3 == 1;
        (0..n).for_each(|id| cast.tell(id, if fails(id) { Act::Fail } else { Act::Yield(1) }));
        let mut join = cast.valued().collect::<Group<_>>().join();
        let outputs: Vec<_> = (0..n).map(|id| if fails(id) { Err(id) } else { Ok(id) }).collect();
        assert_eq!(task.poll_while_woken(&mut join), Poll::Ready(outputs));
        cast.assert_all_dropped_once();
    }
}

#[test]
fn empty_groups_are_joined_at_once() {
    let task = Task::default();
    let empty = || Group::<Ready<Result<u8, u8>>>::unboxed();
    assert_eq!(task.poll(&mut empty().join()), Poll::Ready(Vec::new()));
    assert_eq!(task.poll(&mut empty().try_join()), Poll::Ready(Ok(Vec::new())));
}

#[test]
fn values_without_size_are_counted() {
    let group: Group<_> = (0..70).map(|_| ready(())).collect();
    assert_eq!(Task::default().poll(&mut group.join()), Poll::Ready(vec![(); 70]));
}
