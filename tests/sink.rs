//! Children from a source, no more of them at a time than the limit: `forward` and `ready`.

mod kit;

use std::cell::Cell;
use std::future::{Future, Ready, ready};
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use allocation_counter::measure;
use errgroup::Group;
use futures::channel::mpsc;
use futures::future::{FusedFuture, poll_fn};
use futures::{SinkExt, StreamExt, stream};
use kit::{Act, Cast, Child, Task};

fn limited(limit: usize) -> Group<Child> {
    Group::unboxed().with_limit(limit)
}

#[test]
fn source_waits_while_the_group_is_full() {
    let (cast, task) = (Cast::new(10), Task::default());
    let taken = Cell::new(0);
    let source = stream::iter(cast.children()).inspect(|_| taken.set(taken.get() + 1));
    let mut forward = source.map(Ok).forward(limited(3));
    assert!(task.poll_while_woken(&mut forward).is_pending());
    assert_eq!(cast.polled(), [0, 1, 2]);
    // One more is in the hands of `forward`.
    assert_eq!(taken.get(), 4);

    cast.tell(1, Act::Succeed);
    cast.wake(1);
    assert!(task.poll_while_woken(&mut forward).is_pending());
    assert_eq!(cast.polled(), [1, 3]);
    assert_eq!(taken.get(), 5);

    cast.tell_all(Act::Succeed);
    [0, 2, 3].into_iter().for_each(|id| cast.wake(id));
    assert_eq!(task.poll_while_woken(&mut forward), Poll::Ready(Ok(())));
    cast.assert_all_dropped_once();
}

#[test]
fn children_run_while_the_source_is_pending() {
    let (cast, task) = (Cast::new(3), Task::default());
    let (mut sender, source) = mpsc::unbounded();
    let mut forward = source.map(Ok).forward(limited(2));
    assert!(task.poll(&mut forward).is_pending());

    sender.start_send(cast.child(0)).unwrap();
    assert!(task.poll_while_woken(&mut forward).is_pending());
    cast.tell(0, Act::Yield(3));
    cast.wake(0);
    assert!(task.poll_while_woken(&mut forward).is_pending());
    assert_eq!((cast.polls(0), cast.drops(0)), (5, 1));

    // The group was done for a while, and goes on.
    cast.tell_all(Act::Succeed);
    sender.start_send(cast.child(1)).unwrap();
    sender.start_send(cast.child(2)).unwrap();
    assert!(task.poll_while_woken(&mut forward).is_pending());
    cast.assert_all_dropped_once();
    drop(sender);
    assert_eq!(task.poll_while_woken(&mut forward), Poll::Ready(Ok(())));
}

#[test]
fn error_while_the_source_is_pending_ends_both() {
    let (cast, task) = (Cast::new(3), Task::default());
    let alive = Rc::new(());
    let in_source = alive.clone();
    let source = stream::iter(cast.children()).chain(stream::pending());
    let outcome = {
        let source = source.inspect(move |_| _ = &in_source);
        let mut forward = source.map(Ok).forward(limited(3));
        assert!(task.poll_while_woken(&mut forward).is_pending());
        cast.tell(1, Act::Fail);
        cast.wake(1);
        let outcome = task.poll(&mut forward);
        cast.assert_all_dropped_once();
        outcome
    };
    assert_eq!(outcome, Poll::Ready(Err(1)));
    assert_eq!(Rc::strong_count(&alive), 1);
}

#[test]
fn error_while_the_group_is_full_ends_both() {
    let (cast, task) = (Cast::new(4), Task::default());
    let children: Vec<Child> = cast.children().collect();
    let mut forward = stream::iter(children).map(Ok).forward(limited(2));
    assert!(task.poll_while_woken(&mut forward).is_pending());
    cast.tell(0, Act::Fail);
    cast.wake(0);
    assert_eq!(task.poll(&mut forward), Poll::Ready(Err(0)));
    // The third is in the hands of `forward`, the fourth in those of the source.
    assert_eq!((cast.drops(0), cast.drops(1), cast.drops(3)), (1, 1, 0));
    drop(forward);
    cast.assert_all_dropped_once();
}

#[test]
fn error_of_a_child_comes_before_the_next_is_let_in() {
    let (cast, task) = (Cast::new(6), Task::default());
    cast.tell(0, Act::Fail);
    let mut forward = stream::iter(cast.children()).map(Ok).forward(limited(1));
    assert_eq!(task.poll(&mut forward), Poll::Ready(Err(0)));
    assert_eq!(cast.polled(), [0]);
}

#[test]
fn ready_waits_for_room_while_children_run() {
    let (cast, task) = (Cast::new(3), Task::default());
    let mut group = limited(2);
    assert_eq!(task.poll(&mut group.ready()), Poll::Ready(Ok(())));
    group.push(cast.child(0));
    assert_eq!(task.poll(&mut group.ready()), Poll::Ready(Ok(())));
    group.push(cast.child(1));
    // Only now does anything run.
    assert_eq!(cast.polled(), []);
    assert!(task.poll_while_woken(&mut group.ready()).is_pending());
    assert_eq!(cast.polled(), [0, 1]);

    cast.tell(1, Act::Succeed);
    cast.wake(1);
    assert_eq!(task.poll(&mut group.ready()), Poll::Ready(Ok(())));
    assert_eq!((group.len(), cast.drops(0), cast.drops(1)), (1, 0, 1));

    group.push(cast.child(2));
    cast.tell_all(Act::Succeed);
    cast.wake(0);
    assert_eq!(task.poll(&mut group), Poll::Ready(Ok(())));
}

/// Children that were queued before count against the limit as well.
#[test]
fn ready_waits_until_no_child_is_queued() {
    let (cast, task) = (Cast::new(5), Task::default());
    let mut group = limited(2);
    group.extend(cast.children());
    assert!(task.poll_while_woken(&mut group.ready()).is_pending());
    cast.tell_all(Act::Succeed);
    cast.wake(0);
    // It starts the queued one after the other in the place of the first.
    assert_eq!(task.poll(&mut group.ready()), Poll::Ready(Ok(())));
    assert_eq!((group.running(), group.queued()), (1, 0));
    assert_eq!(cast.polled(), [0, 1, 0, 2, 3, 4]);
}

#[test]
fn ready_fails_with_the_error_of_a_child_and_drops_the_others() {
    let (cast, task) = (Cast::new(3), Task::default());
    let mut group = limited(3);
    group.extend(cast.children());
    assert!(task.poll_while_woken(&mut group.ready()).is_pending());
    cast.tell(2, Act::Fail);
    cast.wake(2);
    assert_eq!(task.poll(&mut group.ready()), Poll::Ready(Err(2)));
    cast.assert_all_dropped_once();
    assert!(group.is_empty());
    assert_eq!(task.poll(&mut group.ready()), Poll::Ready(Ok(())));
}

#[test]
fn sink_is_flushed_when_no_child_is_left() {
    let (cast, task) = (Cast::new(2), Task::default());
    let mut group = limited(9);
    group.start_send_unpin(cast.child(0)).unwrap();
    group.start_send_unpin(cast.child(1)).unwrap();
    assert!(task.poll_while_woken(&mut group.flush()).is_pending());
    cast.tell_all(Act::Succeed);
    cast.wake(0);
    assert!(task.poll_while_woken(&mut group.flush()).is_pending());
    cast.wake(1);
    assert_eq!(task.poll(&mut group.flush()), Poll::Ready(Ok(())));
    cast.tell(0, Act::Wait);
    group.start_send_unpin(cast.child(0)).unwrap();
    assert!(task.poll(&mut SinkExt::<Child>::close(&mut group)).is_pending());
    cast.tell(0, Act::Succeed);
    cast.wake(0);
    assert_eq!(task.poll(&mut SinkExt::<Child>::close(&mut group)), Poll::Ready(Ok(())));
}

#[test]
fn feed_waits_for_room_and_send_for_the_end_of_all() {
    let (cast, task) = (Cast::new(3), Task::default());
    let mut group = limited(1);
    assert_eq!(task.poll(&mut group.feed(cast.child(0))), Poll::Ready(Ok(())));
    assert!(task.poll_while_woken(&mut group.feed(cast.child(1))).is_pending());
    cast.tell(0, Act::Succeed);
    cast.wake(0);
    assert_eq!(task.poll(&mut group.feed(cast.child(2))), Poll::Ready(Ok(())));

    let mut group = limited(1);
    let child = cast.child(0);
    cast.tell(0, Act::Wait);
    let mut send = group.send(child);
    assert!(task.poll_while_woken(&mut send).is_pending());
    cast.tell(0, Act::Succeed);
    cast.wake(0);
    assert_eq!(task.poll(&mut send), Poll::Ready(Ok(())));
    drop(send);
    assert!(group.is_empty());
}

/// Neither the source nor the children ever wait.
#[test]
fn endless_source_lets_the_executor_go_on() {
    for limit in [1, 64, 256, usize::MAX] {
        let task = Task::default();
        let (taken, done) = (Cell::new(0_usize), Cell::new(0_usize));
        let source = stream::repeat_with(|| {
            taken.set(taken.get() + 1);
            poll_fn(|_| {
                done.set(done.get() + 1);
                Poll::Ready(Ok::<(), ()>(()))
            })
        });
        let group = Group::unboxed().with_limit(limit);
        let mut forward = source.map(Ok).forward(group);
        for poll in 1..=10 {
            assert!(task.poll(&mut forward).is_pending());
            assert_eq!(task.wakes(), 1, "it is to go on");
            assert_eq!(taken.get(), 256 * poll + 1);
            assert_eq!(done.get(), 256 * poll);
        }
    }
}

#[test]
fn room_does_not_terminate_the_group_and_an_error_does() {
    let task = Task::default();
    let mut group = Group::unboxed();
    for _ in 0..1_000 {
        group.push(ready(Ok(())));
        assert_eq!(task.poll_while_woken(&mut group.ready()), Poll::Ready(Ok(())));
        assert!(!group.is_terminated());
    }
    assert_eq!(task.poll_while_woken(&mut group), Poll::Ready(Ok(())));
    assert!(group.is_terminated());
    assert_eq!(task.poll_while_woken(&mut group.ready()), Poll::Ready(Ok(())));
    assert!(group.is_terminated());
    group.extend([]);
    assert!(group.is_terminated());

    let mut group = group.with_limit(1);
    group.extend([ready(Err(7))]);
    assert!(!group.is_terminated());
    assert_eq!(task.poll(&mut group.ready()), Poll::Ready(Err(7)));
    assert!(group.is_terminated());
}

#[test]
fn child_that_fails_without_a_limit_ends_an_endless_source() {
    let task = Task::default();
    let mut numbers = 0..;
    let source = stream::repeat_with(|| {
        let n = numbers.next().unwrap();
        ready(if n == 1_000 { Err(n) } else { Ok(()) })
    });
    let mut forward = source.map(Ok).forward(Group::unboxed());
    assert_eq!(task.poll_while_woken(&mut forward), Poll::Ready(Err(1_000)));
}

/// Yields once.
struct Yields(bool);

impl Future for Yields {
    type Output = Result<(), ()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if mem::replace(&mut self.0, true) {
            return Poll::Ready(Ok(()));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// What a stream of so many children through a window of `limit` has allocated at most at any time.
fn peak(children: usize, limit: usize) -> u64 {
    let info = measure(|| {
        let children = stream::iter(0..children).map(|_| Yields(false));
        let mut forward = children.map(Ok).forward(Group::unboxed().with_limit(limit));
        let mut cx = Context::from_waker(Waker::noop());
        // They all wake themselves, so there is nothing to wait for.
        while Pin::new(&mut forward).poll(&mut cx).is_pending() {}
    });
    info.bytes_max
}

#[test]
#[cfg_attr(miri, ignore = "ten million children would take days, and fewer are in the other tests")]
fn ten_million_children_take_the_memory_of_the_limit() {
    for limit in [1, 64] {
        assert_eq!(peak(10_000_000, limit), peak(limit + 1, limit), "limit {limit}");
    }
}

#[test]
fn window_of_ready_children_allocates_nothing_more() {
    let task = Task::default();
    let mut group = Group::<Ready<Result<(), ()>>>::unboxed().with_limit(8);
    let mut fill = |children: usize| {
        for _ in 0..children {
            assert_eq!(task.poll_while_woken(&mut group.ready()), Poll::Ready(Ok(())));
            group.push(ready(Ok(())));
        }
    };
    fill(8);
    assert_eq!(measure(|| fill(200)).count_total, 0);
}
