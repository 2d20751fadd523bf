//! The outputs as a stream, in order of completion.

mod kit;

use std::future::ready;
use std::task::Poll;

use errgroup::Group;
use futures::StreamExt;
use futures::future::FusedFuture;
use futures::stream::{FusedStream, Stream};
use kit::{Act, Cast, Child, Task};

#[test]
fn outputs_come_in_order_of_completion() {
    let (cast, task) = (Cast::new(65), Task::default());
    let mut group: Group<Child> = cast.children().collect();
    let mut outputs = group.completions();
    assert!(task.poll_while_woken(&mut outputs.next()).is_pending());
    for (done, id) in (0..65).map(|id| id * 7 % 65).enumerate() {
        assert_eq!(outputs.size_hint(), (65 - done, Some(65 - done)));
        cast.tell(id, Act::Fail);
        cast.wake(id);
        assert_eq!(task.poll(&mut outputs.next()), Poll::Ready(Some(Err(id))));
        assert!(!outputs.is_terminated());
        assert!(task.poll_while_woken(&mut outputs.next()).is_pending() || done == 64);
    }
    assert_eq!(task.poll(&mut outputs.next()), Poll::Ready(None));
    assert!(outputs.is_terminated());
}

/// An error is an item like any other.
#[test]
fn siblings_of_an_error_go_on() {
    let (cast, task) = (Cast::new(3), Task::default());
    cast.tell_all(Act::Yield(1));
    cast.tell(0, Act::Fail);
    let mut group: Group<Child> = cast.children().collect();
    let outputs = task.poll_while_woken(&mut group.completions().collect::<Vec<_>>());
    assert_eq!(outputs, Poll::Ready(vec![Err(0), Ok(()), Ok(())]));
}

#[test]
fn stream_ends_and_goes_on_with_children_added_later() {
    let (cast, task) = (Cast::new(2), Task::default());
    cast.tell_all(Act::Succeed);
    let mut group = Group::unboxed();
    group.push(cast.child(0));
    let all = |group: &mut Group<Child>| {
        let outputs = task.poll(&mut group.completions().collect::<Vec<_>>());
        let Poll::Ready(outputs) = outputs else { panic!("no child waits") };
        assert!(group.completions().is_terminated());
        outputs.len()
    };
    assert_eq!(all(&mut group), 1);
    group.push(cast.child(1));
    assert!(!group.completions().is_terminated());
    assert_eq!(all(&mut group), 1);
    assert_eq!(all(&mut group), 0);
}

#[test]
fn dropped_stream_loses_no_output() {
    let (cast, task) = (Cast::new(3), Task::default());
    cast.tell(1, Act::Succeed);
    let mut group: Group<Child> = cast.children().collect();
    assert_eq!(task.poll(&mut group.completions().next()), Poll::Ready(Some(Ok(()))));
    assert!(task.poll_while_woken(&mut group.completions().next()).is_pending());
    cast.tell_all(Act::Succeed);
    cast.wake(0);
    cast.wake(2);
    drop(group.completions());
    assert_eq!(task.poll(&mut group.completions().count()), Poll::Ready(2));
    cast.assert_all_dropped_once();
}

#[test]
fn limit_holds_while_outputs_are_taken() {
    let (cast, task) = (Cast::new(20), Task::default());
    cast.tell_all(Act::Yield(1));
    let mut group = Group::unboxed().with_limit(3);
    group.extend(cast.children());
    let mut outputs = 0;
    while let Poll::Ready(Some(_)) = task.poll_while_woken(&mut group.completions().next()) {
        outputs += 1;
        assert!(group.running() <= 3);
    }
    assert_eq!(outputs, 20);
    cast.assert_all_dropped_once();
}

#[test]
fn next_is_terminated_when_the_group_is() {
    let task = Task::default();
    let mut group = Group::from_iter([ready(1)]);
    assert!(!group.next().is_terminated());
    assert_eq!(task.poll(&mut group.next()), Poll::Ready(Some(1)));
    assert!(!group.next().is_terminated());
    assert_eq!(task.poll(&mut group.next()), Poll::Ready(None));
    assert!(group.next().is_terminated());
}
