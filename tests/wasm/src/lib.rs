//! Groups on the event loop of JavaScript, whose children wait for its timers and promises.

#![cfg(test)]

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    future::{Future, pending, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

use errgroup::Group;
use futures_util::future::{Either, select};
use gloo_timers::{callback::Timeout, future::TimeoutFuture};
use js_sys::{Function, Promise};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use wasm_bindgen_test::wasm_bindgen_test;

/// Both sides of the ends of pages, which have 8 slots in the first and 32 in the others.
const SIZES: [usize; 8] = [1, 2, 8, 9, 40, 41, 233, 1_000];

/// A promise, and what resolves and rejects it.
struct Deferred {
    promise: Promise,
    resolve: Function,
    reject: Function,
}

#[derive(Default)]
struct Wakes(AtomicUsize);

#[wasm_bindgen_test]
async fn children_end_in_the_order_of_their_timers() {
    within_time_limit(async {
        for size in SIZES {
            let turn = |n| async move {
                TimeoutFuture::new(0).await;
                n
            };
            let mut group: Group<_> = (0..size).map(turn).collect();
            for n in 0..size {
                assert_eq!(group.next().await, Some(n));
            }
            assert_eq!(group.next().await, None);
        }
    })
    .await;
}

#[wasm_bindgen_test]
async fn promises_resolved_at_once_end_all_children() {
    within_time_limit(async {
        for size in SIZES {
            let all: Rc<[_]> = (0..size).map(|_| Deferred::new()).collect();
            let mut group: Group<_> = all.iter().map(Deferred::wait).collect();
            let resolved = all.clone();
            Timeout::new(0, move || resolved.iter().rev().for_each(Deferred::resolve)).forget();
            assert_eq!((&mut group).await, Ok(()));
            assert_eq!(group.finished(), size);
        }
    })
    .await;
}

#[wasm_bindgen_test]
async fn the_first_error_drops_the_siblings_before_the_group_resolves() {
    within_time_limit(async {
        for size in SIZES {
            let all: Vec<_> = (0..size).map(|_| Deferred::new()).collect();
            let held = Rc::new(());
            let mut group = Group::new_local();
            for deferred in &all {
                let held = held.clone();
                group.go(async move {
                    let outcome = deferred.wait().await;
                    drop(held);
                    outcome
                });
            }
            let failing = all[size / 2].reject.clone();
            let reject = move || failing.call1(&JsValue::UNDEFINED, &JsValue::from("refused"));
            Timeout::new(0, move || drop(reject())).forget();
            assert_eq!((&mut group).await, Err(JsValue::from("refused")));
            assert_eq!((Rc::strong_count(&held), group.finished()), (1, 1));

            // What the siblings waited for comes too late, and the group can be used again.
            all.iter().for_each(Deferred::resolve);
            group.go(async {
                TimeoutFuture::new(0).await;
                Ok(())
            });
            assert_eq!(group.await, Ok(()));
        }
    })
    .await;
}

#[wasm_bindgen_test]
async fn a_limit_holds_children_back_until_others_end() {
    within_time_limit(async {
        for limit in [1, 3, 8, 9, 41] {
            let (running, most) = (&Cell::new(0), &Cell::new(0));
            let mut group = Group::new_local().with_limit(limit);
            for _ in 0..41 {
                group.go(async {
                    running.set(running.get() + 1);
                    most.set(most.get().max(running.get()));
                    TimeoutFuture::new(0).await;
                    running.set(running.get() - 1);
                    Ok::<(), Infallible>(())
                });
            }
            assert_eq!((&mut group).await, Ok(()));
            assert_eq!((most.get(), group.finished()), (limit, 41));
        }
    })
    .await;
}

#[wasm_bindgen_test]
async fn a_spawned_group_tells_its_outcome() {
    within_time_limit(async {
        let outcome = Deferred::new();
        let reject = outcome.reject.clone();
        spawn_local(async move {
            let mut group = Group::new_local();
            group.go(pending());
            group.go(async {
                TimeoutFuture::new(0).await;
                Err("refused")
            });
            reject.call1(&JsValue::UNDEFINED, &JsValue::from(group.await.unwrap_err())).unwrap();
        });
        assert_eq!(outcome.wait().await, Err(JsValue::from("refused")));
    })
    .await;
}

#[wasm_bindgen_test]
async fn children_of_two_spawned_groups_wake_each_other() {
    const ROUNDS: usize = 1_000;
    within_time_limit(async {
        let balls: Rc<[Deferred]> = (0..2 * ROUNDS).map(|_| Deferred::new()).collect();
        let (to_and_fro, end) = (balls.clone(), Deferred::new());
        let resolve = end.resolve.clone();
        spawn_local(async move {
            let mut group = Group::new_local();
            group.go(async {
                for round in 0..ROUNDS {
                    to_and_fro[2 * round].wait().await?;
                    to_and_fro[2 * round + 1].resolve();
                }
                Ok::<(), JsValue>(())
            });
            group.await.unwrap();
            resolve.call0(&JsValue::UNDEFINED).unwrap();
        });
        spawn_local(async move {
            let mut group = Group::new_local();
            group.go(async {
                for round in 0..ROUNDS {
                    balls[2 * round].resolve();
                    balls[2 * round + 1].wait().await?;
                }
                Ok::<(), JsValue>(())
            });
            group.await.unwrap();
        });
        end.wait().await.unwrap();
    })
    .await;
}

#[wasm_bindgen_test]
async fn groups_in_a_group_end_from_the_inside() {
    within_time_limit(async {
        let ended = Cell::new(0);
        let leaf = || async {
            TimeoutFuture::new(0).await;
            ended.set(ended.get() + 1);
            Ok::<(), Infallible>(())
        };
        let branch = || -> Group<_> { (0..9).map(|_| leaf()).collect() };
        let tree: Group<_> = (0..9).map(|_| branch().with_limit(2)).collect();
        assert_eq!(tree.await, Ok(()));
        assert_eq!(ended.get(), 81);
    })
    .await;
}

#[wasm_bindgen_test]
async fn a_wake_after_the_group_is_gone_touches_nothing() {
    within_time_limit(async {
        for size in SIZES {
            let (late, dropped) = (Rc::new(Cell::new(0)), Rc::new(()));
            let mut group = Group::new_local();
            for _ in 0..size {
                let (late, dropped) = (late.clone(), dropped.clone());
                group.go(async move {
                    wake_from_timer(late).await;
                    drop(dropped);
                    Ok::<(), Infallible>(())
                });
            }
            let task = Arc::new(Wakes::default());
            let waker = Waker::from(task.clone());
            assert!(Pin::new(&mut group).poll(&mut Context::from_waker(&waker)).is_pending());
            drop((group, waker));
            assert_eq!((Rc::strong_count(&dropped), Arc::strong_count(&task)), (1, 1));

            // A timer that is set later goes off later.
            assert_eq!(late.get(), 0);
            TimeoutFuture::new(0).await;
            assert_eq!((late.get(), task.0.load(SeqCst)), (size, 0));
        }
    })
    .await;
}

/// Fails a test that does not end. Node would end without a word, and well, where nothing is left in
/// its event loop.
async fn within_time_limit(test: impl Future<Output = ()>) {
    if let Either::Right(_) = select(pin!(test), TimeoutFuture::new(20_000)).await {
        panic!("nothing has woken the test");
    }
}

/// Never ends, though a timer wakes it, and counts that.
async fn wake_from_timer(wakes: Rc<Cell<usize>>) {
    let timer = RefCell::new(Some(wakes));
    poll_fn(|cx| {
        if let Some(wakes) = timer.take() {
            let waker = cx.waker().clone();
            Timeout::new(0, move || {
                waker.wake();
                wakes.set(wakes.get() + 1);
            })
            .forget();
        }
        Poll::Pending
    })
    .await
}

impl Deferred {
    fn new() -> Self {
        let mut functions = None;
        let promise = Promise::new(&mut |resolve, reject| functions = Some((resolve, reject)));
        let (resolve, reject) = functions.unwrap();
        Self { promise, resolve, reject }
    }

    fn resolve(&self) {
        self.resolve.call0(&JsValue::UNDEFINED).unwrap();
    }

    async fn wait(&self) -> Result<(), JsValue> {
        JsFuture::from(self.promise.clone()).await.map(drop)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}
