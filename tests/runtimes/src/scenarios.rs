//! The scenarios. Those that use the runtime are generic, so their groups are unboxed: a box would
//! have to say whether the futures in it are `Send`, which here depends on the runtime.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use errgroup::Group;
use futures::channel::{mpsc, oneshot};
use futures::future::{Either, join, join3, select};
use futures::{StreamExt, poll, stream};

use crate::{Ended, Runtime};

const MOMENT: Duration = Duration::from_millis(5);
/// Longer than any test: whoever waits for it must be dropped.
const HOUR: Duration = Duration::from_secs(3600);

/// Adds one to a count as it is dropped.
struct Guard<'a>(&'a AtomicUsize);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

pub async fn failure_drops_siblings_that_wait_for_timers<R: Runtime>() -> Ended {
    let drops = AtomicUsize::new(0);
    let child = |id| {
        let guard = Guard(&drops);
        async move {
            let _guard = guard;
            R::sleep(if id == 20 { MOMENT } else { HOUR }).await;
            Err(id)
        }
    };
    let mut group: Group<_> = (0..40).map(child).collect();
    assert_eq!((&mut group).await, Err(20));
    assert_eq!(drops.load(SeqCst), 40);
    Ended
}

pub async fn failure_closes_the_connections_of_siblings<R: Runtime>() -> Ended {
    let (listener, address) = R::listen().await.unwrap();
    let client = async |_| {
        let mut stream = R::connect(address).await.unwrap();
        Err(R::receive(&mut stream).await.unwrap())
    };
    let mut clients: Group<_> = (0..20).map(client).collect();
    let server = async {
        let mut streams = Vec::new();
        for _ in 0..20 {
            streams.push(R::accept(&listener).await.unwrap());
        }
        R::send(&mut streams[10], 7).await.unwrap();
        let connections: Group<_> = streams.into_iter().map(closes::<R>).collect();
        connections.await
    };
    // The group of the clients outlives both, so that it is the failure that closes, not the drop.
    let (failed, closed) = join(&mut clients, server).await;
    assert_eq!(failed, Err(7));
    assert_eq!(closed, Ok(()));
    Ended
}

/// Waits for the other side to close the connection.
async fn closes<R: Runtime>(mut stream: R::Stream) -> Result<(), String> {
    match R::receive(&mut stream).await.map_err(|error| error.kind()) {
        Err(io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => Ok(()),
        other => Err(format!("not closed: {other:?}")),
    }
}

pub async fn failure_goes_up_through_three_levels<R: Runtime>() -> Ended {
    for failing in [None, Some(13)] {
        let drops = AtomicUsize::new(0);
        let leaf = |id| {
            let guard = Guard(&drops);
            async move {
                let _guard = guard;
                let ends = failing.is_none_or(|failing| failing == id);
                R::sleep(if ends { MOMENT } else { HOUR }).await;
                if failing.is_some() { Err(id) } else { Ok(()) }
            }
        };
        let mut leaves = (0..27).map(leaf);
        let mut inner = || leaves.by_ref().take(3).collect::<Group<_>>();
        let mut middle = || (0..3).map(|_| inner()).collect::<Group<_>>();
        let mut outer = (0..3).map(|_| middle()).collect::<Group<_>>();
        assert_eq!((&mut outer).await, failing.map_or(Ok(()), Err));
        assert_eq!(drops.load(SeqCst), 27);
    }
    Ended
}

pub async fn replies_are_right_and_the_limit_is_kept<R: Runtime>() -> Ended {
    const CLIENTS: u64 = 40;
    const ROUNDS: u64 = 5;
    let (listener, address) = R::listen().await.unwrap();
    let (now, most) = (&AtomicUsize::new(0), &AtomicUsize::new(0));
    // One accepts at a time: not every runtime lets several wait for the same listener.
    let listener = &futures::lock::Mutex::new(listener);
    let connection = async |_| {
        let mut stream = R::accept(&*listener.lock().await).await?;
        for _ in 0..ROUNDS {
            let question = R::receive(&mut stream).await?;
            R::send(&mut stream, !question).await?;
        }
        io::Result::Ok(())
    };
    let client = async |id| {
        most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
        let mut stream = R::connect(address).await?;
        for round in 0..ROUNDS {
            let question = id * ROUNDS + round;
            R::send(&mut stream, question).await?;
            assert_eq!(R::receive(&mut stream).await?, !question);
        }
        now.fetch_sub(1, SeqCst);
        io::Result::Ok(())
    };
    let server: Group<_> = (0..CLIENTS).map(connection).collect();
    let clients: Group<_> = (0..CLIENTS).map(client).collect();
    let mut clients = clients.with_limit(4);
    let (served, replied) = join(server, &mut clients).await;
    served.unwrap();
    replied.unwrap();
    assert_eq!((most.load(SeqCst), clients.finished()), (4, CLIENTS as usize));
    Ended
}

pub async fn values_are_in_order_when_timers_end_in_another<R: Runtime>() -> Ended {
    const CHILDREN: u32 = 40;
    let child = |id| async move {
        R::sleep(MOMENT * (id * 7 % 5)).await;
        Ok::<_, u32>(id)
    };
    let group = || (0..CHILDREN).map(child).collect::<Group<_>>();
    assert_eq!(group().try_join().await, Ok(Vec::from_iter(0..CHILDREN)));
    assert_eq!(group().with_limit(8).join().await, Vec::from_iter((0..CHILDREN).map(Ok)));
    assert_eq!(group().quorum(30).await.map(|values| values.len()), Ok(30));

    let slow = async |id| {
        R::sleep(if id == 9 { MOMENT } else { HOUR }).await;
        Ok::<_, u32>(id)
    };
    assert_eq!((0..20).map(slow).collect::<Group<_>>().race_ok().await, Ok(9));
    Ended
}

/// The source waits for a timer now and then, and the group for its children.
pub async fn stream_runs_through_a_window<R: Runtime>() -> Ended {
    const LIMIT: usize = 4;
    let counts = Arc::new(Counts::default());
    // Shared and not borrowed: of a stream of futures that borrow, in a task that is spawned, the
    // compiler wants to know more than it can (rust issue 110338).
    let children = stream::iter(0..).then({
        let counts = counts.clone();
        move |id| next_child::<R>(counts.clone(), id)
    });
    let mut group = Group::unboxed().with_limit(LIMIT);
    assert_eq!(children.map(Ok).forward(&mut group).await, Err(50));
    assert!(group.is_empty());
    assert_eq!(counts.most.load(SeqCst), LIMIT);
    // Of those up to the one that fails, so many at least are done, as no more than the limit run.
    assert!(counts.done.load(SeqCst) > 50 - LIMIT);
    Ended
}

#[derive(Default)]
struct Counts {
    now: AtomicUsize,
    most: AtomicUsize,
    done: AtomicUsize,
}

async fn next_child<R: Runtime>(
    counts: Arc<Counts>,
    id: u32,
) -> impl Future<Output = Result<(), u32>> + use<R> {
    if id % 20 == 19 {
        R::sleep(MOMENT).await;
    }
    async move {
        counts.most.fetch_max(counts.now.fetch_add(1, SeqCst) + 1, SeqCst);
        R::sleep(MOMENT * (id % 3)).await;
        counts.now.fetch_sub(1, SeqCst);
        counts.done.fetch_add(1, SeqCst);
        if id == 50 { Err(id) } else { Ok(()) }
    }
}

/// Each child has one wake on its way at a time, so that one which is lost is missed. There are no timers
/// and sockets of the runtime, whose wakes would make up for it.
pub async fn wakes_from_other_threads_all_arrive<R>() -> Ended {
    for (children, rounds) in [(1, 1_000), (20, 100), (200, 10)] {
        let threads = [(); 4].map(|_| {
            let (ask, asked) = std::sync::mpsc::channel::<(usize, oneshot::Sender<usize>)>();
            let answer = || asked.into_iter().try_for_each(|(question, to)| to.send(!question));
            (ask, thread::spawn(answer))
        });
        let mut group = Group::new();
        for id in 0..children {
            let ask = threads[id % 4].0.clone();
            group.go(async move {
                for round in 0..rounds {
                    let (to, answer) = oneshot::channel();
                    ask.send((round, to)).unwrap();
                    assert_eq!(answer.await?, !round);
                }
                Ok::<_, oneshot::Canceled>(())
            });
        }
        assert_eq!((&mut group).await, Ok(()));
        assert_eq!(group.finished(), children);
        for (ask, thread) in threads {
            drop(ask);
            assert_eq!(thread.join().unwrap(), Ok(()));
        }
    }
    Ended
}

pub async fn children_that_threads_and_children_add_all_run<R>() -> Ended {
    const ADDS: usize = 500;
    for limit in [usize::MAX, 3] {
        let ran = Arc::new(AtomicUsize::new(0));
        let counter = ran.clone();
        let scope = errgroup::scope(|group| async move {
            for _ in 0..4 {
                let (group, counter) = (group.clone(), counter.clone());
                let (over, is_over) = oneshot::channel();
                thread::spawn(move || {
                    for _ in 0..ADDS {
                        let (handle, counter) = (group.clone(), counter.clone());
                        let child = async move {
                            counter.fetch_add(1, SeqCst);
                            let grandchild = async move {
                                counter.fetch_add(1, SeqCst);
                                Ok(())
                            };
                            assert!(handle.go(grandchild).is_ok());
                            Ok(())
                        };
                        assert!(group.go(child).is_ok());
                    }
                    over.send(()).unwrap();
                });
                is_over.await?;
            }
            Ok::<_, oneshot::Canceled>("all were added")
        });
        assert_eq!(scope.with_limit(limit).await, Ok("all were added"));
        assert_eq!(ran.load(SeqCst), 4 * 2 * ADDS);
    }
    Ended
}

pub async fn wakes_reach_a_group_that_has_changed_tasks<R>() -> Ended {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..100).map(|_| oneshot::channel::<()>()).unzip();
    let mut group: Group<_> = receivers.into_iter().collect();
    assert!(poll!(&mut group).is_pending());
    // A child is woken as a task is, and polled only then.
    let mut outer: Group<_> = [group].into_iter().collect();
    assert!(poll!(&mut outer).is_pending());
    let thread = thread::spawn(|| senders.into_iter().try_for_each(|sender| sender.send(())));
    assert_eq!(outer.await, Ok(()));
    assert_eq!(thread.join().unwrap(), Ok(()));
    Ended
}

pub async fn drop_while_pending_leaves_the_runtime_working<R: Runtime>() -> Ended {
    let (listener, address) = R::listen().await.unwrap();
    let drops = AtomicUsize::new(0);
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..20).map(|_| oneshot::channel::<()>()).unzip();
    let (waits, waiting) = mpsc::unbounded();
    let child = |receiver| {
        let (guard, waits) = (Guard(&drops), &waits);
        async move {
            let _guard = guard;
            let mut stream = R::connect(address).await.unwrap();
            let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
            waits.unbounded_send(waker).unwrap();
            let _ = join3(R::sleep(HOUR), R::receive(&mut stream), receiver).await;
            Ok::<(), ()>(())
        }
    };
    let mut group: Group<_> = receivers.into_iter().map(child).collect();
    let server = async {
        let mut streams = Vec::new();
        for _ in 0..20 {
            streams.push(R::accept(&listener).await.unwrap());
        }
        (streams, waiting.take(20).collect::<Vec<Waker>>().await)
    };
    let Either::Right(((streams, wakers), _)) = select(&mut group, Box::pin(server)).await else {
        panic!("the group ended");
    };
    assert_eq!((group.running(), drops.load(SeqCst)), (20, 0));
    drop(group);
    assert_eq!(drops.load(SeqCst), 20);

    // The wakes that come too late, here and from another thread.
    wakers.iter().for_each(Waker::wake_by_ref);
    thread::spawn(|| wakers.into_iter().for_each(Waker::wake)).join().unwrap();
    assert!(senders.into_iter().all(|sender| sender.send(()).is_err()));
    let connections: Group<_> = streams.into_iter().map(closes::<R>).collect();
    assert_eq!(connections.await, Ok(()));

    let Ended = replies_are_right_and_the_limit_is_kept::<R>().await;
    assert_eq!(drops.load(SeqCst), 20);
    Ended
}

pub async fn children_share_what_is_not_send<R: Runtime>() -> Ended {
    let count = Rc::new(Cell::new(0));
    let mut group = Group::new_local();
    for _ in 0..10 {
        let count = count.clone();
        group.go(async move {
            R::sleep(MOMENT).await;
            count.set(count.get() + 1);
            Ok::<(), ()>(())
        });
    }
    assert_eq!((&mut group).await, Ok(()));
    assert_eq!((count.get(), Rc::strong_count(&count)), (10, 1));
    Ended
}
