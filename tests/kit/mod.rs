//! What the tests share: a task that counts its wakes, and a cast of children that do as they are told.

use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// The sizes worth a look: both sides of the ends of pages, whether children are pushed (8, 24, 56)
/// or collected (16, 80), and of every power of two that others pack by.
#[cfg(not(miri))]
pub(crate) const SIZES: [usize; 17] =
    [1, 2, 8, 9, 16, 17, 24, 25, 31, 32, 33, 63, 64, 65, 80, 81, LARGE];

/// For Miri, which is slow: the ends of pages only, of those for 32 bits too (collected: 8, 40).
#[cfg(miri)]
pub(crate) const SIZES: [usize; 10] = [1, 8, 9, 16, 17, 24, 25, 40, 41, LARGE];

/// A size of several pages, however wide they are.
pub(crate) const LARGE: usize = if cfg!(miri) { 81 } else { 1_000 };

/// A task: it polls what it is given and counts how often it was woken.
#[derive(Default)]
pub(crate) struct Task(Arc<Wakes>);

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Task {
    pub(crate) fn poll<F: Future + Unpin>(&self, future: &mut F) -> Poll<F::Output> {
        Pin::new(future).poll(&mut Context::from_waker(&waker_of(&self.0)))
    }

    /// Polls until the future is ready or nothing has woken the task since the last poll.
    pub(crate) fn poll_while_woken<F: Future + Unpin>(&self, future: &mut F) -> Poll<F::Output> {
        for _ in 0..100_000 {
            self.wakes();
            let poll = self.poll(future);
            if poll.is_ready() || self.0.0.load(SeqCst) == 0 {
                return poll;
            }
        }
        panic!("woken without end");
    }

    /// The number of wakes since it was last asked.
    pub(crate) fn wakes(&self) -> usize {
        self.0.0.swap(0, SeqCst)
    }

    /// How many wakers of this task are held somewhere.
    pub(crate) fn wakers(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

/// The waker of a task as executors hand it out: it will wake the same as its clones. Under Miri the
/// one that `From` makes will not, as its vtable is not that of its clones.
pub(crate) fn waker_of(task: &Arc<impl Wake + Send + Sync + 'static>) -> Waker {
    Waker::from(task.clone()).clone()
}

/// What a child does when it is polled.
#[derive(Clone, Copy)]
pub(crate) enum Act {
    Wait,
    /// Wakes itself and stays pending this many times, then is `Ok`.
    Yield(usize),
    Succeed,
    /// Ends with its own number as the error.
    Fail,
    Panic,
}

/// Children numbered from 0, and a log of what became of them.
#[derive(Clone)]
pub(crate) struct Cast(Arc<Mutex<Log>>);

struct Log {
    parts: Vec<Part>,
    polled: Vec<usize>,
    dropped: Vec<usize>,
}

struct Part {
    act: Act,
    explosive: bool,
    polls: usize,
    drops: usize,
    waker: Option<Waker>,
}

/// A future of a [`Cast`].
pub(crate) struct Child {
    cast: Cast,
    pub(crate) id: usize,
}

/// The same, with its number as its value.
pub(crate) struct Valued(Child);

impl Cast {
    /// `n` children that wait.
    pub(crate) fn new(n: usize) -> Cast {
        let part = |_| Part { act: Act::Wait, explosive: false, polls: 0, drops: 0, waker: None };
        Cast(Arc::new(Mutex::new(Log {
            parts: (0..n).map(part).collect(),
            polled: Vec::new(),
            dropped: Vec::new(),
        })))
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        // A failed assertion poisons the lock; children dropped after that must not abort the run.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn child(&self, id: usize) -> Child {
        let cast = self.clone();
        Child { cast, id }
    }

    /// One future for every number.
    pub(crate) fn children(&self) -> impl Iterator<Item = Child> + use<> {
        let cast = self.clone();
        let n = self.log().parts.len();
        (0..n).map(move |id| cast.child(id))
    }

    /// The same, with the numbers as the values too.
    pub(crate) fn valued(&self) -> impl Iterator<Item = Valued> + use<> {
        self.children().map(Valued)
    }

    /// What the child does from now on; does not wake it.
    pub(crate) fn tell(&self, id: usize, act: Act) {
        self.log().parts[id].act = act;
    }

    pub(crate) fn tell_all(&self, act: Act) {
        self.log().parts.iter_mut().for_each(|part| part.act = act);
    }

    /// Makes the drop of the child panic.
    pub(crate) fn arm(&self, id: usize) {
        self.log().parts[id].explosive = true;
    }

    /// A clone of the waker the child was last polled with.
    pub(crate) fn waker(&self, id: usize) -> Waker {
        self.log().parts[id].waker.clone().expect("polled before")
    }

    pub(crate) fn wake(&self, id: usize) {
        self.waker(id).wake();
    }

    /// Drops every waker that was kept.
    pub(crate) fn forget_wakers(&self) {
        let take = |part: &mut Part| part.waker.take();
        let wakers: Vec<_> = self.log().parts.iter_mut().map(take).collect();
        drop(wakers);
    }

    pub(crate) fn polls(&self, id: usize) -> usize {
        self.log().parts[id].polls
    }

    pub(crate) fn drops(&self, id: usize) -> usize {
        self.log().parts[id].drops
    }

    /// Who was polled, in order, since it was last asked.
    pub(crate) fn polled(&self) -> Vec<usize> {
        mem::take(&mut self.log().polled)
    }

    /// Who was dropped, in order, since it was last asked.
    pub(crate) fn dropped(&self) -> Vec<usize> {
        mem::take(&mut self.log().dropped)
    }

    /// Asserts that every child was dropped exactly once, ever.
    pub(crate) fn assert_all_dropped_once(&self) {
        for (id, part) in self.log().parts.iter().enumerate() {
            assert_eq!(part.drops, 1, "drops of child {id}");
        }
    }
}

impl Future for Child {
    type Output = Result<(), usize>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut log = self.cast.log();
        log.polled.push(self.id);
        let part = &mut log.parts[self.id];
        part.polls += 1;
        let old = part.waker.replace(cx.waker().clone());
        let act = part.act;
        if let Act::Yield(n) = act {
            part.act = n.checked_sub(1).map_or(Act::Succeed, Act::Yield);
        }
        // Wakers and panics may call back, so the log is not locked while they run.
        drop(log);
        drop(old);
        match act {
            Act::Yield(n) if n > 0 => cx.waker().wake_by_ref(),
            Act::Yield(_) | Act::Succeed => return Poll::Ready(Ok(())),
            Act::Wait => {}
            Act::Fail => return Poll::Ready(Err(self.id)),
            Act::Panic => panic!("poll of child {}", self.id),
        }
        Poll::Pending
    }
}

impl Future for Valued {
    type Output = Result<usize, usize>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let id = self.0.id;
        Pin::new(&mut self.0).poll(cx).map_ok(|()| id)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let mut log = self.cast.log();
        log.dropped.push(self.id);
        let part = &mut log.parts[self.id];
        part.drops += 1;
        let explosive = part.explosive;
        drop(log);
        if explosive {
            panic!("drop of child {}", self.id);
        }
    }
}

/// The text of the panic that `f` must end with.
pub(crate) fn panic_of<T>(f: impl FnOnce() -> T) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(f()))) else {
        panic!("no panic went on to the caller");
    };
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast_ref::<&str>().unwrap().to_string(),
    }
}

/// Keeps the kit honest, and every part of it in use whatever a test file takes from it.
#[test]
fn kit_does_as_it_says() {
    assert!(SIZES.is_sorted());
    let cast = Cast::new(9);
    let task = Task::default();
    let mut children: Vec<Child> = cast.children().collect();
    cast.tell_all(Act::Fail);
    cast.tell(0, Act::Yield(2));
    cast.tell(1, Act::Wait);
    cast.tell(2, Act::Succeed);
    cast.tell(3, Act::Panic);
    assert!(task.poll(&mut children[0]).is_pending());
    assert_eq!(task.wakes(), 1);
    assert!(task.poll_while_woken(&mut children[0]).is_ready());
    assert_eq!(task.wakes(), 0);
    assert!(task.poll_while_woken(&mut children[1]).is_pending());
    assert_eq!(task.poll(&mut children[2]), Poll::Ready(Ok(())));
    assert_eq!(panic_of(|| task.poll(&mut children[3])), "poll of child 3");
    assert_eq!(task.poll(&mut children[4]), Poll::Ready(Err(4)));
    assert!(cast.waker(0).will_wake(&cast.waker(4)));
    assert!(cast.waker(4).will_wake(&waker_of(&task.0)));
    assert_eq!(cast.polled(), [0, 0, 0, 1, 2, 3, 4]);
    assert_eq!((cast.polls(0), cast.polls(5)), (3, 0));
    assert_eq!((task.wakers(), children[5].id), (5, 5));
    cast.wake(1);
    assert_eq!(task.wakes(), 1);
    cast.forget_wakers();
    assert_eq!(task.wakers(), 0);
    assert_eq!(Cast::new(3).valued().count(), 3);
    cast.arm(8);
    assert_eq!(panic_of(|| children.pop()), "drop of child 8");
    drop(children);
    assert_eq!(cast.dropped(), [8, 0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(cast.drops(8), 1);
    cast.assert_all_dropped_once();
}
