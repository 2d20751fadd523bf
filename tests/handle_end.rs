//! A group that ends closes its handles: what has arrived is dropped, and who comes later has the child back.

mod kit;

use std::cell::Cell;
use std::future::{Future, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use errgroup::{Group, Handle};
use futures::executor::block_on;
use kit::{Act, Cast, Child, Task, panic_of};

/// Does something in its drop.
struct Tries<F: Fn()>(F);

impl<F: Fn()> Drop for Tries<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// A group of `n` children that wait and were polled, and a handle to it.
fn waiting(cast: &Cast, n: usize, task: &Task) -> (Group<Child>, Handle<Child>) {
    let mut group: Group<Child> = cast.children().take(n).collect();
    let handle = group.handle();
    assert!(task.poll(&mut group).is_pending());
    (group, handle)
}

#[test]
fn refused_child_comes_back() {
    let cast = Cast::new(2);
    let mut group = Group::unboxed();
    let handle = group.handle();
    drop(group);
    assert!(handle.is_closed());
    assert_eq!(handle.push(cast.child(0)).unwrap_err().into_inner().id, 0);
    assert_eq!(handle.try_push(cast.child(1)).unwrap_err().into_inner().id, 1);
    assert_eq!(cast.polled(), []);
    cast.assert_all_dropped_once();

    let mut group = Group::new().with_limit(1);
    let handle = group.handle();
    assert!(handle.try_go(ready(1)).is_ok());
    let refused = handle.try_go(ready(2)).unwrap_err().into_inner();
    drop(group);
    let closed = handle.push(refused).unwrap_err().into_inner();
    assert_eq!(block_on(closed), 2);
    assert_eq!(block_on(handle.go(ready(3)).unwrap_err().into_inner()), 3);
}

#[test]
fn empty_group_is_done_and_closes_its_handles() {
    let task = Task::default();
    let mut group = Group::<Child>::unboxed();
    let [handle, other] = [group.handle(), group.handle()];
    drop(other);
    assert!(!handle.is_closed());
    assert_eq!(task.poll(&mut group), Poll::Ready(Ok(())));
    assert!(handle.is_closed());
}

#[test]
fn group_that_is_used_again_gives_out_new_handles() {
    let (cast, task) = (Cast::new(2), Task::default());
    let mut group = Group::unboxed();
    let old = group.handle();
    assert_eq!(task.poll(&mut group), Poll::Ready(Ok(())));
    let new = group.handle();
    assert!(old.push(cast.child(0)).is_err());
    assert!(new.push(cast.child(1)).is_ok());
    assert!(task.poll(&mut group).is_pending());
    assert_eq!((cast.polled(), group.len()), (vec![1], 1));
    assert!(old.is_closed() && !new.is_closed());
}

#[test]
fn next_closes_the_handles_when_it_gives_none() {
    let (cast, task) = (Cast::new(3), Task::default());
    cast.tell_all(Act::Succeed);
    let mut group = Group::unboxed();
    let handle = group.handle();
    group.push(cast.child(0));
    assert_eq!(task.poll(&mut group.next()), Poll::Ready(Some(Ok(()))));
    assert!(group.is_empty() && !handle.is_closed());
    assert!(handle.push(cast.child(1)).is_ok());
    assert_eq!(task.poll(&mut group.next()), Poll::Ready(Some(Ok(()))));
    assert_eq!(task.poll(&mut group.next()), Poll::Ready(None));
    assert!(handle.push(cast.child(2)).is_err());
}

#[test]
fn failure_drops_what_has_arrived_unpolled_and_last() {
    let (cast, task) = (Cast::new(4), Task::default());
    let mut group = Group::new();
    let handle = group.handle();
    group.go(cast.child(0));
    let late = [cast.child(2), cast.child(3)];
    group.go(async move {
        late.into_iter().for_each(|child| assert!(handle.go(child).is_ok()));
        Err(7)
    });
    group.go(cast.child(1));
    assert_eq!(task.poll(&mut group), Poll::Ready(Err(7)));
    assert_eq!((cast.polled(), cast.dropped()), (vec![0], vec![0, 1, 2, 3]));
}

#[test]
fn dropped_group_drops_what_has_arrived_in_order_and_last() {
    let (cast, task) = (Cast::new(5), Task::default());
    let (group, handle) = waiting(&cast, 2, &task);
    (2..5).for_each(|id| assert!(handle.push(cast.child(id)).is_ok()));
    cast.polled();
    drop(group);
    assert_eq!((cast.polled(), cast.dropped()), (vec![], vec![0, 1, 2, 3, 4]));
    assert!(handle.is_closed());
}

#[test]
fn child_that_has_arrived_and_panics_in_its_drop_keeps_no_other() {
    let (cast, task) = (Cast::new(6), Task::default());
    let (group, handle) = waiting(&cast, 2, &task);
    (2..6).for_each(|id| assert!(handle.push(cast.child(id)).is_ok()));
    cast.arm(3);
    assert_eq!(panic_of(|| drop(group)), "drop of child 3");
    assert_eq!(cast.dropped(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn child_that_panics_closes_the_handles() {
    let (cast, task) = (Cast::new(4), Task::default());
    let (mut group, handle) = waiting(&cast, 2, &task);
    cast.tell(0, Act::Panic);
    cast.wake(0);
    assert!(handle.push(cast.child(2)).is_ok());
    assert_eq!(panic_of(|| task.poll(&mut group)), "poll of child 0");
    assert!(handle.push(cast.child(3)).is_err());
    cast.assert_all_dropped_once();
    assert_eq!((group.len(), task.poll(&mut group)), (0, Poll::Ready(Ok(()))));
}

#[test]
fn clear_drops_what_has_arrived_and_leaves_the_handles_open() {
    let (cast, task) = (Cast::new(4), Task::default());
    let (mut group, handle) = waiting(&cast, 1, &task);
    assert!(handle.push(cast.child(1)).is_ok());
    group.clear();
    assert_eq!((cast.dropped(), group.len()), (vec![0, 1], 0));
    assert!(handle.push(cast.child(2)).is_ok());
    assert_eq!(group.len(), 1);
    assert!(task.poll(&mut group).is_pending());
    assert_eq!(cast.polls(2), 1);
}

#[test]
fn clear_counts_what_has_arrived_until_all_is_dropped() {
    let mut group = Group::new_local().with_limit(2);
    let handle = group.handle();
    let tries = Rc::new(Cell::new(0));
    for _ in 0..2 {
        let (handle, tries) = (handle.clone(), tries.clone());
        let drops = Tries(move || {
            tries.set(tries.get() + 1);
            assert!(handle.try_go(ready(())).is_err());
        });
        assert!(group.handle().try_go(async move { drop(drops) }).is_ok());
    }
    group.clear();
    assert_eq!((tries.get(), group.len()), (2, 0));
    assert!(handle.try_go(ready(())).is_ok());
}

#[test]
fn child_that_holds_a_handle_to_its_own_group_does_not_leak() {
    /// Holds a handle to its own group.
    struct Own {
        handle: Option<Handle<Own>>,
        _alive: Rc<()>,
    }

    impl Future for Own {
        type Output = ();

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }
    }

    let alive = Rc::new(());
    let own = |handle| Own { handle, _alive: alive.clone() };
    for polls in 0..2 {
        for keeps_handle in [true, false] {
            let mut group = Group::unboxed();
            let handle = group.handle();
            let task = Task::default();
            for _ in 0..3 {
                assert!(handle.push(own(Some(handle.clone()))).is_ok());
            }
            for _ in 0..polls {
                assert!(task.poll(&mut group.next()).is_pending());
                assert!(handle.push(own(Some(handle.clone()))).is_ok());
            }
            let kept = keeps_handle.then_some(handle);
            drop(group);
            assert_eq!(Rc::strong_count(&alive), 1);
            if let Some(handle) = kept {
                let refused = handle.push(own(None)).unwrap_err().into_inner();
                assert!(refused.handle.is_none());
            }
        }
    }
}

#[test]
fn child_added_by_a_drop_is_refused_at_the_end_and_kept_by_clear() {
    struct Late {
        handle: Option<Handle<Self>>,
        refused: Rc<Cell<usize>>,
    }

    impl Future for Late {
        type Output = Result<(), ()>;

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
            Poll::Pending
        }
    }

    impl Drop for Late {
        fn drop(&mut self) {
            let Some(handle) = self.handle.take() else { return };
            let another = Late { handle: None, refused: self.refused.clone() };
            if handle.push(another).is_err() {
                self.refused.set(self.refused.get() + 1);
            }
        }
    }

    for ends in [true, false] {
        let refused = Rc::new(Cell::new(0));
        let mut group = Group::unboxed();
        let handle = group.handle();
        for _ in 0..3 {
            group.push(Late { handle: Some(handle.clone()), refused: refused.clone() });
        }
        assert!(Task::default().poll(&mut group).is_pending());
        if ends {
            drop(group);
            assert_eq!(refused.get(), 3);
        } else {
            group.clear();
            assert_eq!((refused.get(), group.len()), (0, 3));
        }
    }
}

#[test]
fn handles_outlive_their_group_in_any_number() {
    let cast = Cast::new(2);
    let mut handles = Vec::new();
    for _ in 0..10 {
        let task = Task::default();
        let mut group = Group::unboxed();
        group.push(cast.child(0));
        handles.extend((0..10).map(|_| group.handle()));
        assert!(task.poll(&mut group).is_pending());
        drop(group);
        cast.forget_wakers();
        assert_eq!(task.wakers(), 0, "a handle keeps no task");
    }
    for handle in handles {
        assert!(handle.clone().push(cast.child(1)).is_err());
    }
}

#[test]
fn joined_group_closes_its_handles_with_the_outcome() {
    let (cast, task) = (Cast::new(3), Task::default());
    let mut group: Group<_> = cast.children().take(2).collect();
    let handle = group.handle();
    let mut race = group.race_ok();
    assert!(task.poll(&mut race).is_pending());
    assert!(!handle.is_closed());
    cast.tell(1, Act::Succeed);
    cast.wake(1);
    assert!(task.poll(&mut race).is_ready());
    assert!(handle.push(cast.child(2)).is_err());
    cast.assert_all_dropped_once();
}
