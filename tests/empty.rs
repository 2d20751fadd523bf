//! A group without children is done, and is done no more once it has some.

mod kit;

use std::future::{Ready, ready};
use std::task::Poll;

use errgroup::Group;
use futures::future::FusedFuture;
use kit::{Act, Cast, Child, Task};

#[test]
fn empty_group_is_ok_at_once() {
    let task = Task::default();
    let mut group = Group::<Ready<Result<(), ()>>>::unboxed();
    assert_eq!((group.len(), group.running(), group.queued()), (0, 0, 0));
    assert!(group.is_empty());
    assert_eq!(task.poll(&mut group), Poll::Ready(Ok(())));
    assert_eq!(task.poll(&mut group), Poll::Ready(Ok(())));
    assert_eq!(group.finished(), 0);
}

#[test]
fn empty_group_has_no_next() {
    let task = Task::default();
    let mut group = Group::<Ready<u8>>::unboxed();
    assert_eq!(task.poll(&mut group.next()), Poll::Ready(None));
    assert_eq!(task.poll(&mut group.next()), Poll::Ready(None));
    group.push(ready(1));
    assert_eq!(task.poll(&mut group.next()), Poll::Ready(Some(1)));
    assert_eq!(task.poll(&mut group.next()), Poll::Ready(None));
}

#[test]
fn every_constructor_makes_an_empty_group() {
    let task = Task::default();
    let mut boxed = Group::new();
    let mut local = Group::new_local();
    let mut stored = Group::with_capacity(100);
    let mut limited = Group::unboxed().with_limit(1);
    let mut collected: Group<_> = std::iter::empty::<Child>().collect();
    let mut default = Group::default();
    assert_eq!(task.poll(&mut boxed), Poll::Ready(Ok::<(), ()>(())));
    assert_eq!(task.poll(&mut local), Poll::Ready(Ok::<(), ()>(())));
    assert_eq!(task.poll(&mut stored), Poll::Ready(Ok(())));
    assert_eq!(task.poll(&mut limited), Poll::Ready(Ok(())));
    assert_eq!(task.poll(&mut collected), Poll::Ready(Ok(())));
    assert_eq!(task.poll(&mut default), Poll::Ready(Ok(())));

    let cast = Cast::new(4);
    cast.tell_all(Act::Fail);
    for (id, group) in [stored, limited, collected, default].iter_mut().enumerate() {
        group.push(cast.child(id));
        assert_eq!(group.len(), 1);
        assert_eq!(task.poll(group), Poll::Ready(Err(id)));
    }
}

#[test]
fn terminated_only_after_it_resolved() {
    let (cast, task) = (Cast::new(2), Task::default());
    let mut group: Group<Child> = Group::unboxed();
    assert!(!group.is_terminated());
    assert_eq!(task.poll(&mut group), Poll::Ready(Ok(())));
    assert!(group.is_terminated());

    group.push(cast.child(0));
    assert!(!group.is_terminated());
    assert!(task.poll(&mut group).is_pending());
    assert!(!group.is_terminated());
    cast.tell(0, Act::Succeed);
    cast.wake(0);
    assert_eq!(task.poll(&mut group), Poll::Ready(Ok(())));
    assert!(group.is_terminated());

    cast.tell(1, Act::Fail);
    group.push(cast.child(1));
    assert!(!group.is_terminated());
    assert_eq!(task.poll(&mut group), Poll::Ready(Err(1)));
    assert!(group.is_terminated());
}

#[test]
fn select_takes_a_fused_group() {
    let mut group = Group::new();
    group.go(async { Err("first") });
    let outcome = futures::executor::block_on(async {
        futures::select! {
            outcome = group => outcome,
            complete => Ok(()),
        }
    });
    assert_eq!(outcome, Err("first"));
    let again = futures::executor::block_on(async {
        futures::select! {
            _ = group => "polled",
            complete => "complete",
        }
    });
    assert_eq!(again, "complete");
}
