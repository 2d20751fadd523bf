//! The body of a scope is a child: it runs along with those that it adds, and an error anywhere ends all.

mod kit;

use std::cell::{Cell, RefCell};
use std::future::{pending, ready};
use std::rc::Rc;
use std::task::Poll;

use errgroup::{BoxFuture, Handle, LocalBoxFuture, scope, scope_local};
use futures::executor::block_on;
use futures::future::FusedFuture;
use kit::{Act, Cast, Task, panic_of};

#[test]
fn value_of_the_body_comes_when_all_children_are_done() {
    let (cast, task) = (Cast::new(2), Task::default());
    let mut scope = scope(|group| {
        let children: Vec<_> = cast.children().collect();
        async move {
            children.into_iter().for_each(|child| group.go(child).unwrap());
            Ok("value")
        }
    });
    assert!(!scope.is_terminated());
    for id in 0..2 {
        assert!(task.poll(&mut scope).is_pending());
        cast.tell(id, Act::Succeed);
        cast.wake(id);
    }
    assert_eq!(task.poll(&mut scope), Poll::Ready(Ok("value")));
    cast.assert_all_dropped_once();
    assert!(scope.is_terminated());
}

#[test]
fn body_that_awaits_does_not_freeze_its_children() {
    let (task, steps) = (Task::default(), Cell::new(0));
    let mut scope = scope_local(|group| {
        let steps = &steps;
        async move {
            let child = async {
                loop {
                    steps.set(steps.get() + 1);
                    smol::future::yield_now().await;
                }
            };
            group.go(child).unwrap();
            pending::<Result<(), ()>>().await
        }
    });
    for _ in 0..10 {
        assert!(task.poll(&mut scope).is_pending());
        assert!(task.wakes() > 0);
        assert!(steps.take() > 0);
    }
}

#[test]
fn body_is_polled_only_when_it_was_woken() {
    let (cast, task) = (Cast::new(1), Task::default());
    let polls = Cell::new(0);
    let mut scope = scope_local(|group| {
        group.go(cast.child(0)).unwrap();
        std::future::poll_fn(|_| {
            polls.set(polls.get() + 1);
            Poll::<Result<(), usize>>::Pending
        })
    });
    for _ in 0..3 {
        assert!(task.poll(&mut scope).is_pending());
        cast.wake(0);
    }
    assert_eq!((cast.polls(0), polls.get()), (3, 1));
}

#[test]
fn error_of_the_body_drops_the_children_before_it_shows() {
    let (cast, task) = (Cast::new(4), Task::default());
    let mut scope = scope(|group| {
        let (body, children) = (cast.child(0), [1, 2, 3].map(|id| cast.child(id)));
        async move {
            children.into_iter().for_each(|child| group.go(child).unwrap());
            body.await.map(|()| "value")
        }
    });
    assert!(task.poll(&mut scope).is_pending());
    cast.tell(0, Act::Fail);
    cast.wake(0);
    assert_eq!(task.poll(&mut scope), Poll::Ready(Err(0)));
    assert_eq!((cast.polled(), cast.dropped()), (vec![0, 1, 2, 3, 0], vec![0, 1, 2, 3]));
}

#[test]
fn error_of_a_child_drops_the_body_before_it_shows() {
    let (cast, task) = (Cast::new(2), Task::default());
    let dropped = Rc::new(());
    let mut scope = scope_local(|group| {
        cast.children().for_each(|child| group.go(child).unwrap());
        let kept = dropped.clone();
        async move {
            pending::<()>().await;
            drop(kept);
            Ok(())
        }
    });
    assert!(task.poll(&mut scope).is_pending());
    cast.tell(1, Act::Fail);
    cast.wake(1);
    assert_eq!(task.poll(&mut scope), Poll::Ready(Err(1)));
    assert_eq!(Rc::strong_count(&dropped), 1);
    cast.assert_all_dropped_once();
}

#[test]
fn error_after_the_body_has_returned_wins_over_its_value() {
    let (cast, task) = (Cast::new(1), Task::default());
    let value = Rc::new(());
    let mut scope = scope_local(|group| {
        group.go(cast.child(0)).unwrap();
        ready(Ok(value.clone()))
    });
    assert!(task.poll(&mut scope).is_pending());
    assert_eq!(Rc::strong_count(&value), 2);
    cast.tell(0, Act::Fail);
    cast.wake(0);
    assert_eq!(task.poll(&mut scope), Poll::Ready(Err(0)));
    assert_eq!(Rc::strong_count(&value), 1);
}

#[test]
fn children_go_on_adding_after_the_body_has_returned() {
    fn count<'a>(
        left: u32,
        seen: &'a RefCell<Vec<u32>>,
        group: Handle<LocalBoxFuture<'a, Result<(), ()>>>,
    ) -> LocalBoxFuture<'a, Result<(), ()>> {
        Box::pin(async move {
            smol::future::yield_now().await;
            seen.borrow_mut().push(left);
            if left > 0 {
                group.push(count(left - 1, seen, group.clone())).unwrap();
            }
            Ok(())
        })
    }

    let seen = RefCell::default();
    let scope = scope_local(|group| {
        group.push(count(5, &seen, group.clone())).unwrap();
        ready(Ok("done"))
    });
    assert_eq!(block_on(scope), Ok("done"));
    assert_eq!(*seen.borrow(), [5, 4, 3, 2, 1, 0]);
}

#[test]
fn limit_counts_the_children_and_not_the_body() {
    for limit in 1..4 {
        for body_ends in [true, false] {
            let (cast, task) = (Cast::new(6), Task::default());
            let body = Rc::new(Cell::new(body_ends));
            let scope = scope_local(|group| {
                let (body, children) = (body.clone(), cast.children().collect::<Vec<_>>());
                async move {
                    children.into_iter().for_each(|child| group.go(child).unwrap());
                    while !body.get() {
                        smol::future::yield_now().await;
                    }
                    Ok(())
                }
            });
            let mut scope = scope.with_limit(limit);
            assert!(task.poll(&mut scope).is_pending());
            assert_eq!(cast.polled(), Vec::from_iter(0..limit));
            // The place of the body is nobody's when it ends.
            body.set(true);
            assert!(task.poll_while_woken(&mut scope).is_pending());
            assert_eq!(cast.polled(), []);
            cast.tell(0, Act::Succeed);
            cast.wake(0);
            assert!(task.poll_while_woken(&mut scope).is_pending());
            assert_eq!(cast.polled(), [0, limit]);
        }
    }
}

#[test]
fn limit_that_is_set_after_the_body_has_returned_is_the_limit() {
    let (cast, task) = (Cast::new(4), Task::default());
    let mut handle = None;
    let mut scope = scope_local(|group| {
        group.go(cast.child(0)).unwrap();
        handle = Some(group);
        ready(Ok(()))
    });
    assert!(task.poll(&mut scope).is_pending());
    let mut scope = scope.with_limit(2);
    let handle = handle.unwrap();
    (1..4).for_each(|id| handle.go(cast.child(id)).unwrap());
    assert!(task.poll(&mut scope).is_pending());
    assert_eq!(cast.polled(), [0, 1]);
}

#[test]
fn limit_of_zero_is_refused_where_it_is_set() {
    let scope = scope(|_| ready(Ok::<_, ()>(())));
    assert!(panic_of(|| drop(scope.with_limit(0))).contains("a limit of 0"));
}

#[test]
fn body_waits_for_room_while_its_children_run() {
    for limit in [1, 2, 7] {
        let (running, most) = (Cell::new(0), Cell::new(0));
        let scope = scope_local(|group| {
            let (running, most) = (&running, &most);
            async move {
                for n in 0..100 {
                    group.ready().await.unwrap();
                    let child = async move {
                        running.set(running.get() + 1);
                        most.set(most.get().max(running.get()));
                        for _ in 0..1 + n % 3 {
                            smol::future::yield_now().await;
                        }
                        running.set(running.get() - 1);
                        Ok::<_, ()>(())
                    };
                    assert!(group.try_go(child).is_ok());
                }
                Ok(100)
            }
        });
        let task = Task::default();
        assert_eq!(task.poll_while_woken(&mut scope.with_limit(limit)), Poll::Ready(Ok(100)));
        assert_eq!(most.get(), limit);
    }
}

#[test]
fn panic_of_the_body_or_of_a_child_leaves_no_value() {
    for returned in [false, true] {
        let (cast, task) = (Cast::new(2), Task::default());
        let mut scope = scope_local(|group| {
            cast.children().for_each(|child| group.go(child).unwrap());
            async move {
                if !returned {
                    pending::<()>().await;
                }
                Ok(())
            }
        });
        assert!(task.poll(&mut scope).is_pending());
        cast.tell(0, Act::Panic);
        cast.wake(0);
        assert_eq!(panic_of(|| task.poll(&mut scope)), "poll of child 0");
        cast.assert_all_dropped_once();
        assert!(scope.is_terminated());
        let over = "a scope was polled after it had resolved or panicked";
        assert_eq!(panic_of(|| task.poll(&mut scope)), over);
    }
}

#[test]
fn scope_that_is_dropped_drops_body_and_children_and_closes_the_handle() {
    let (cast, task) = (Cast::new(3), Task::default());
    let mut handle = None;
    let mut scope = scope_local(|group| {
        cast.children().take(2).for_each(|child| group.go(child).unwrap());
        handle = Some(group);
        pending::<Result<(), usize>>()
    });
    assert!(task.poll(&mut scope).is_pending());
    drop(scope);
    assert_eq!(cast.dropped(), [0, 1]);
    assert!(handle.unwrap().go(cast.child(2)).is_err());
}

/// It has the place beside the limit: behind a child that waits for it, neither would end.
#[test]
fn body_comes_before_children_that_were_added_while_it_was_made() {
    let (cast, task) = (Cast::new(3), Task::default());
    let scope = scope(|group| {
        for id in [1, 2] {
            group.go(cast.child(id)).unwrap();
        }
        cast.child(0)
    });
    let mut scope = scope.with_limit(1);
    assert!(task.poll(&mut scope).is_pending());
    assert_eq!(cast.polled(), [0, 1]);
    for id in [1, 0, 2] {
        cast.tell(id, Act::Succeed);
        cast.wake(id);
        let _ = task.poll(&mut scope);
    }
    assert!(scope.is_terminated());
    cast.assert_all_dropped_once();
}

#[test]
fn scopes_nest() {
    let outer = scope(|_| async {
        let inner = scope(|group| async move {
            group.go(ready(Ok(()))).unwrap();
            Ok::<_, ()>(1)
        });
        let failing = scope(|group| async move {
            group.go(ready(Err("no"))).unwrap();
            Ok(2)
        });
        Ok::<_, ()>((inner.await, failing.await))
    });
    assert_eq!(block_on(outer), Ok((Ok(1), Err("no"))));
}

#[test]
fn scope_is_send_where_all_in_it_is() {
    fn is_send<T: Send + Unpin>(value: T) -> T {
        value
    }

    let seen = std::sync::Mutex::new(Vec::new());
    let scope = is_send(scope(|group: Handle<BoxFuture<'_, Result<(), ()>>>| {
        let seen = &seen;
        async move {
            group.go(async { seen.lock().map(|mut seen| seen.push(1)).map_err(drop) }).unwrap();
            Ok(Cell::new(2))
        }
    }));
    assert_eq!(block_on(scope), Ok(Cell::new(2)));
    assert_eq!(seen.into_inner().unwrap(), [1]);
}

#[test]
fn scope_says_what_it_is() {
    let scope = scope(|_| ready(Ok::<_, ()>(())));
    let group = "Group { running: 1, queued: 0, finished: 0, .. }";
    assert_eq!(format!("{scope:?}"), format!("Scope {{ group: {group}, .. }}"));
}
