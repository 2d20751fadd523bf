//! Who waits for room in a group is told of it, in order, and of the end.

mod kit;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use errgroup::{Group, Handle, Room};
use kit::{Act, Cast, Child, Task, panic_of};

/// A group that is full of `limit` children that wait and were polled.
fn full(cast: &Cast, limit: usize, task: &Task) -> (Group<Child>, Handle<Child>) {
    let mut group = Group::unboxed().with_limit(limit);
    group.extend(cast.children().take(limit));
    let handle = group.handle();
    assert!(task.poll(&mut group).is_pending());
    (group, handle)
}

/// Ends a child, and has the group see it.
fn end(cast: &Cast, id: usize, group: &mut Group<Child>, task: &Task) {
    cast.tell(id, Act::Succeed);
    cast.wake(id);
    assert!(task.poll(group).is_pending());
}

fn is_ready(task: &Task, room: &mut Room<'_, Child>) -> bool {
    match task.poll(room) {
        Poll::Ready(result) => {
            assert!(result.is_ok(), "the group has not ended");
            true
        }
        Poll::Pending => false,
    }
}

#[test]
fn there_is_room_until_the_limit_is_reached() {
    let (cast, task) = (Cast::new(3), Task::default());
    let mut group = Group::unboxed().with_limit(2);
    let handle = group.handle();
    for id in 0..2 {
        assert!(is_ready(&task, &mut handle.ready()));
        assert!(handle.push(cast.child(id)).is_ok());
    }
    assert!(!is_ready(&task, &mut handle.ready()));
    let mut unlimited = Group::unboxed();
    let handle = unlimited.handle();
    unlimited.push(cast.child(2));
    assert!(is_ready(&task, &mut handle.ready()));
}

#[test]
fn end_of_a_child_is_told_to_who_waits_longest() {
    let cast = Cast::new(4);
    let [task, first, second] = [Task::default(), Task::default(), Task::default()];
    let (mut group, handle) = full(&cast, 2, &task);
    let (mut one, mut two) = (handle.ready(), handle.ready());
    assert!(!is_ready(&first, &mut one) && !is_ready(&second, &mut two));
    end(&cast, 0, &mut group, &task);
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    assert!(is_ready(&first, &mut one));
    assert!(handle.push(cast.child(2)).is_ok());
    // It was told in case that the first had not taken the room.
    assert!(!is_ready(&second, &mut two));
    end(&cast, 1, &mut group, &task);
    assert!(is_ready(&second, &mut two));
}

#[test]
fn room_that_is_not_taken_is_told_to_the_next() {
    for is_polled in [false, true] {
        let cast = Cast::new(2);
        let [task, first, second] = [Task::default(), Task::default(), Task::default()];
        let (mut group, handle) = full(&cast, 2, &task);
        let (mut one, mut two) = (handle.ready(), handle.ready());
        assert!(!is_ready(&first, &mut one) && !is_ready(&second, &mut two));
        end(&cast, 0, &mut group, &task);
        assert_eq!(second.wakes(), 0);
        if is_polled {
            assert!(is_ready(&first, &mut one));
        }
        drop(one);
        assert_eq!(second.wakes(), 1);
        assert!(is_ready(&second, &mut two));
    }
}

#[test]
fn two_that_end_in_one_poll_make_room_for_two() {
    let cast = Cast::new(3);
    let (task, waiters) = (Task::default(), [(); 3].map(|()| Task::default()));
    let (mut group, handle) = full(&cast, 3, &task);
    let mut rooms = [(); 3].map(|()| handle.ready());
    assert!(waiters.iter().zip(&mut rooms).all(|(waiter, room)| !is_ready(waiter, room)));
    cast.tell(0, Act::Succeed);
    cast.wake(0);
    end(&cast, 1, &mut group, &task);
    let took = |waiter: &Task, room: &mut Room<'_, Child>| {
        waiter.wakes() > 0 && is_ready(waiter, room) && handle.push(cast.child(0)).is_ok()
    };
    let rooms = waiters.iter().zip(&mut rooms).map(|(waiter, room)| took(waiter, room));
    assert_eq!(Vec::from_iter(rooms), [true, true, false]);
}

#[test]
fn higher_limit_removal_and_clear_make_room() {
    let cast = Cast::new(2);
    let (task, waiter) = (Task::default(), Task::default());
    for way in 0..3 {
        let mut group = Group::unboxed().with_limit(2);
        let keys = [0, 1].map(|id| group.push(cast.child(id)));
        let handle = group.handle();
        assert!(task.poll(&mut group).is_pending());
        let mut room = handle.ready();
        assert!(!is_ready(&waiter, &mut room));
        match way {
            0 => group = group.with_limit(3),
            1 => assert!(group.remove(keys[1])),
            _ => group.clear(),
        }
        assert_eq!(waiter.wakes(), 1);
        assert!(is_ready(&waiter, &mut room));
        drop(group);
    }
}

#[test]
fn end_of_the_group_is_told_to_all_who_wait() {
    let cast = Cast::new(2);
    let (task, waiters) = (Task::default(), [Task::default(), Task::default()]);
    for fails in [false, true] {
        let (mut group, handle) = full(&cast, 2, &task);
        let mut rooms = [handle.ready(), handle.ready()];
        assert!(waiters.iter().zip(&mut rooms).all(|(waiter, room)| !is_ready(waiter, room)));
        if fails {
            cast.tell(0, Act::Fail);
            cast.wake(0);
            assert!(task.poll(&mut group).is_ready());
        }
        drop(group);
        for (waiter, room) in waiters.iter().zip(&mut rooms) {
            assert_eq!(waiter.wakes(), 1);
            assert!(matches!(waiter.poll(room), Poll::Ready(Err(_))));
        }
        assert!(matches!(task.poll(&mut handle.ready()), Poll::Ready(Err(_))));
        cast.tell(0, Act::Wait);
    }
}

/// Children may wait for the room that others make, as long as those do not wait as well.
#[test]
fn child_waits_for_room_that_a_sibling_makes() {
    let mut group = Group::new().with_limit(2);
    let handle = group.handle();
    group.go(async move {
        for _ in 0..10 {
            handle.ready().await.map_err(drop)?;
            let child = async {
                smol::future::yield_now().await;
                Ok(())
            };
            assert!(handle.try_go(child).is_ok());
        }
        Ok::<_, ()>(())
    });
    let task = Task::default();
    assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Ok(())));
    assert_eq!(group.finished(), 11);
}

#[test]
fn waker_that_panics_as_the_group_ends_keeps_no_child() {
    struct Panics;

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("woken");
        }
    }

    let (cast, task) = (Cast::new(1), Task::default());
    let (group, handle) = full(&cast, 1, &task);
    let mut room = handle.ready();
    let waker = Waker::from(Arc::new(Panics));
    assert!(Pin::new(&mut room).poll(&mut Context::from_waker(&waker)).is_pending());
    let mut none = group.quorum(0);
    assert_eq!(panic_of(|| task.poll(&mut none)), "woken");
    cast.assert_all_dropped_once();
    // With overflow checks, event-listener panics here: it did not count that it has told this one.
    drop(catch_unwind(AssertUnwindSafe(|| drop(room))));
}
