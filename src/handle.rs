//! Handles: children are added while the group runs, from inside a child or from elsewhere.

use alloc::boxed::Box;
use core::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use event_listener::EventListener;
use futures_core::future::{BoxFuture, LocalBoxFuture};

use crate::{Group, group::Inlet};

/// Adds children to a [`Group`] while it runs: from inside a child, from another task or from another
/// thread.
///
/// It comes from [`Group::handle`] or [`scope`](crate::scope()), and is cloned for whoever is to add. What it
/// adds is a child as any other: it runs in the group and is dropped with it, and the group is done only
/// when it is. `go` boxes any future, for the groups of [`new`](Group::new) and
/// [`new_local`](Group::new_local); [`push`](Handle::push) takes one of the group's own type. Both queue it
/// where the limit is reached, and neither waits. Nor do they give a [`Key`](crate::Key): what a handle adds
/// cannot be [removed](Group::remove).
///
/// ```
/// use errgroup::{BoxFuture, Group, Handle};
///
/// type Child<'a> = BoxFuture<'a, Result<(), String>>;
///
/// // Counts down: each number is a child that adds the next.
/// fn count(from: u32, handle: Handle<Child<'_>>) -> Child<'_> {
///     Box::pin(async move {
///         if from > 0 {
///             handle.push(count(from - 1, handle.clone())).ok();
///         }
///         Ok(())
///     })
/// }
///
/// # smol::block_on(async {
/// let mut group = Group::new();
/// let handle = group.handle();
/// group.push(count(10, handle.clone()));
/// assert_eq!(group.await, Ok(()));
/// assert!(handle.is_closed());
/// # });
/// ```
///
/// [Adding from inside](crate::_documentation::adding) has recipes.
///
/// # When the group ends
///
/// A handle does not keep a group going. When no child is left, the group is done, and with that step it
/// closes its handles: a child that is added until then runs, and whoever adds one later has it back in
/// [`Closed`]. The same where it ends by a failure, or is dropped; what was added and has not started is
/// dropped then, with the other children. A closed handle stays closed. A group that is used again gives
/// out new ones.
///
/// So a producer outside of the group needs somebody inside: the body of a scope, or a child that awaits it,
/// and takes a place under the limit.
///
/// While a child is polled its group has not ended, so that there `handle.go(..).ok()` throws nothing away.
/// Elsewhere it may have: pass the error on, as the recipes do.
///
/// # Joins and streams
///
/// [`try_join`](Group::try_join) and [`join`](Group::join) give the values of children that are added meanwhile
/// after the others, in the order in which they arrived. [`quorum`](Group::quorum) gives up as soon as the
/// children that there are do not suffice, though a handle could add more: a child that is to be replaced adds
/// the other one before it fails. [`next`](Group::next) and
/// [`completions`](Group::completions) close the handles when they give `None`, and so does closing the
/// group as a [`Sink`](Group#impl-Sink<F>-for-Group<F>). Flushing it and [`Group::ready`] leave them open.
///
/// # Order
///
/// Children are queued, and taken from the queue, in the order in which they arrive, whoever adds them: by
/// handles, or by the methods of the group. Of those that may run at once the first polls are in that
/// order too, unless a slot is used again: then they are in the order of the slots.
///
/// # Waking
///
/// A child that is added while the group is being polled has its first poll before that ends, or the task
/// is woken for it. Where the group is pending, the first child that arrives wakes the task, and those that
/// follow until the next poll do not. Where nobody waits for the group, nobody is woken.
///
/// # Panics
///
/// Adding never does. Where there are too many children, the group panics as it takes them in.
///
/// # Complexity
///
/// Adding is O(1) and takes no lock. It allocates a node, in which the child waits until the group takes it
/// in. Within a poll of the group, on its thread, it allocates only now and then; this needs the feature
/// `std`, which tells threads apart. `go` allocates the box as well. The group takes in all arrivals at
/// once.
///
/// A handle that outlives its group keeps some of its memory: that of the first few slots, never a child. But
/// for the compiler it still borrows what children may: move it into one, or drop it first, to use that again
/// after the group.
pub struct Handle<F> {
    inlet: Inlet<F>,
}

/// The future of [`Handle::ready`]. Unlike that of [`Group::ready`], it does not run the group.
#[must_use = "futures do nothing unless polled"]
pub struct Room<'a, F> {
    handle: &'a Handle<F>,
    listener: Option<EventListener>,
}

/// The error of adding to a group that has ended: it carries the future that was refused.
///
/// ```
/// use std::future::ready;
///
/// let mut group = errgroup::Group::unboxed();
/// let handle = group.handle();
/// drop(group);
/// let refused = handle.push(ready(7)).unwrap_err().into_inner();
/// assert_eq!(refused.into_inner(), 7);
/// ```
pub struct Closed<F>(F);

/// The error of adding only where there is room, by [`Handle::try_push`] or `Handle::try_go`: it carries
/// the future that was refused.
///
/// ```
/// use errgroup::{Group, TryPushError};
/// use std::future::ready;
///
/// let mut group = Group::unboxed().with_limit(1);
/// let handle = group.handle();
/// assert!(handle.try_push(ready(1)).is_ok());
/// assert!(matches!(handle.try_push(ready(2)), Err(TryPushError::Full(_))));
/// drop(group);
/// assert!(matches!(handle.try_push(ready(3)), Err(TryPushError::Closed(_))));
/// ```
pub enum TryPushError<F> {
    /// Running and queued children together have reached the limit.
    Full(F),
    /// The group has ended.
    Closed(F),
}

impl<F: Future> Group<F> {
    /// A handle to this group, which adds children while the group runs.
    ///
    /// ```
    /// # smol::block_on(async {
    /// let mut group = errgroup::Group::new();
    /// let handle = group.handle();
    /// group.go(async move {
    ///     let found = ["left", "right"];
    ///     for name in found {
    ///         handle.go(async move { if name == "left" { Ok(()) } else { Err(name) } }).ok();
    ///     }
    ///     Ok(())
    /// });
    /// assert_eq!(group.await, Err("right"));
    /// # });
    /// ```
    ///
    /// Take it with a `let` first where it goes to a call of the group, as in
    /// `group.go(visit(page, handle))`: the group cannot be borrowed twice.
    ///
    /// The first one allocates what the handles share, and the first slots where the group has none yet.
    pub fn handle(&mut self) -> Handle<F> {
        Handle { inlet: self.inlet() }
    }
}

impl<'a, O> Handle<BoxFuture<'a, O>> {
    /// Adds a child in a box. Where the limit is reached, it is queued.
    ///
    /// ```
    /// # smol::block_on(async {
    /// let mut group = errgroup::Group::new();
    /// let handle = group.handle();
    /// group.go(async move {
    ///     for n in 1..4 {
    ///         handle.go(async move { if n % 2 == 1 { Ok(()) } else { Err(n) } }).ok();
    ///     }
    ///     Ok(())
    /// });
    /// assert_eq!(group.await, Err(2));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`Closed`] with the box, if the group has ended. To pass it on with `?`, drop the box, which may borrow
    /// and is not `Sync`: `handle.go(child).map_err(|closed| closed.map(drop))?`.
    pub fn go<Fut>(&self, child: Fut) -> Result<(), Closed<BoxFuture<'a, O>>>
    where
        Fut: Future<Output = O> + Send + 'a,
    {
        self.push(Box::pin(child))
    }

    /// Adds a child in a box, if it can run at once.
    ///
    /// A child that must not wait for a free place runs the other itself where there is none:
    ///
    /// ```
    /// use errgroup::{BoxFuture, Handle};
    ///
    /// type Child = BoxFuture<'static, Result<(), std::io::Error>>;
    ///
    /// # async fn compress(part: u32) -> Result<(), std::io::Error> { Ok(()) }
    /// async fn halves(group: Handle<Child>) -> Result<(), std::io::Error> {
    ///     let refused = group.try_go(compress(0)).err();
    ///     compress(1).await?;
    ///     match refused {
    ///         Some(refused) => refused.into_inner().await,
    ///         None => Ok(()),
    ///     }
    /// }
    /// # smol::block_on(async {
    /// # for limit in [1, 2] {
    /// # let mut group = errgroup::Group::new().with_limit(limit);
    /// # let handle = group.handle();
    /// # group.go(halves(handle));
    /// # group.await.unwrap();
    /// # }
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`TryPushError`] with the box, which [`try_push`](Handle::try_push) takes later.
    pub fn try_go<Fut>(&self, child: Fut) -> Result<(), TryPushError<BoxFuture<'a, O>>>
    where
        Fut: Future<Output = O> + Send + 'a,
    {
        self.try_push(Box::pin(child))
    }
}

impl<'a, O> Handle<LocalBoxFuture<'a, O>> {
    /// Adds a child in a box. Where the limit is reached, it is queued.
    ///
    /// As [`go`](#method.go) of a handle to a `Send` group.
    ///
    /// # Errors
    ///
    /// [`Closed`] with the box, if the group has ended.
    pub fn go<Fut>(&self, child: Fut) -> Result<(), Closed<LocalBoxFuture<'a, O>>>
    where
        Fut: Future<Output = O> + 'a,
    {
        self.push(Box::pin(child))
    }

    /// Adds a child in a box, if it can run at once.
    ///
    /// # Errors
    ///
    /// [`TryPushError`] with the box, which [`try_push`](Handle::try_push) takes later.
    pub fn try_go<Fut>(&self, child: Fut) -> Result<(), TryPushError<LocalBoxFuture<'a, O>>>
    where
        Fut: Future<Output = O> + 'a,
    {
        self.try_push(Box::pin(child))
    }
}

impl<F> Handle<F> {
    /// Adds a child as it is, without a box. Where the limit is reached, it is queued.
    ///
    /// ```
    /// use errgroup::Group;
    /// use std::{future::ready, thread};
    ///
    /// # smol::block_on(async {
    /// let mut group = Group::unboxed();
    /// let handle = group.handle();
    /// thread::spawn(move || handle.push(ready(7)).is_ok()).join().unwrap();
    /// assert_eq!(group.next().await, Some(7));
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// [`Closed`] with the future, if the group has ended. To pass it on with `?`, drop the future, which may
    /// borrow: `handle.push(child).map_err(|closed| closed.map(drop))?`.
    pub fn push(&self, child: F) -> Result<(), Closed<F>> {
        self.inlet.add(child).map_err(Closed)
    }

    /// Adds a child as it is, if it can run at once.
    ///
    /// It is not queued. A place that a sibling has just left counts as free in the same poll.
    ///
    /// # Errors
    ///
    /// [`TryPushError::Full`] with the future, if running and queued children together have reached the
    /// limit, and [`TryPushError::Closed`] if the group has ended.
    pub fn try_push(&self, child: F) -> Result<(), TryPushError<F>> {
        if self.is_closed() {
            Err(TryPushError::Closed(child))
        } else if self.inlet.reserve() {
            self.inlet.add_reserved(child).map_err(TryPushError::Closed)
        } else {
            Err(TryPushError::Full(child))
        }
    }

    /// Waits until there is room for one more child under the limit.
    ///
    /// Where there is room it is ready at once. So one that awaits nothing else adds up to the limit before
    /// the others run; and without a limit, for ever.
    ///
    /// It reserves nothing: if another adder took the place, [`push`](Handle::push) queues. A child that is to
    /// run at once is for [`try_push`](Handle::try_push), in a loop:
    ///
    /// ```
    /// use errgroup::{Closed, Handle, TryPushError};
    ///
    /// async fn add<F>(handle: &Handle<F>, mut child: F) -> Result<(), Closed<()>> {
    ///     loop {
    ///         handle.ready().await?;
    ///         match handle.try_push(child) {
    ///             Err(TryPushError::Full(refused)) => child = refused,
    ///             _ => break Ok(()),
    ///         }
    ///     }
    /// }
    /// # smol::block_on(async {
    /// # let mut group = errgroup::Group::unboxed().with_limit(1);
    /// # let handle = group.handle();
    /// # add(&handle, std::future::ready(Ok::<(), ()>(()))).await.unwrap();
    /// # group.await.unwrap();
    /// # });
    /// ```
    ///
    /// **A child that waits here is itself one of those that the limit counts.** Where all that run wait
    /// for room, which only the end of one of them could make, they wait for ever, as goroutines do that
    /// call `Go` of their own group at its limit. With a limit of 1 the first one does:
    ///
    /// ```
    /// use futures::FutureExt;
    ///
    /// let mut group = errgroup::Group::new().with_limit(1);
    /// let handle = group.handle();
    /// group.go(async move { handle.ready().await });
    /// assert!(group.now_or_never().is_none()); // it would never be ready
    /// ```
    ///
    /// So let children add by `go` or [`push`](Handle::push), which queue and never wait, and wait here in
    /// the body of a [`scope`](crate::scope()), which the limit does not count, or outside of the group.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the group has ended.
    ///
    /// # Cancel safety
    ///
    /// It holds a place among those who wait, and nothing else: dropping it lets the next one go first.
    ///
    /// # Complexity
    ///
    /// It allocates once where it has to wait, and the first in a group to wait once more.
    ///
    /// # Fairness
    ///
    /// Who waits longest is told first of room. It tells the next one when it is polled, so that one that
    /// is not polled keeps others waiting.
    ///
    /// # Locks
    ///
    /// To wait, and to tell those who do, takes a lock inside of `event-listener`, which wakes them under it.
    /// An executor that polls or drops a task within the call of its waker would wait for that lock for ever;
    /// those that put the task in a queue do not. Nothing else here has a lock.
    pub fn ready(&self) -> Room<'_, F> {
        Room { handle: self, listener: None }
    }

    /// Whether the group has ended.
    ///
    /// `true` stays true. `false` may be outdated as soon as the caller sees it, unless the caller is a child
    /// that is being polled.
    ///
    /// ```
    /// let mut group = errgroup::Group::new();
    /// let handle = group.handle();
    /// group.go(async { Ok::<(), ()>(()) });
    /// assert!(!handle.is_closed());
    /// smol::block_on(group).unwrap();
    /// assert!(handle.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.inlet.is_closed()
    }
}

impl<F> Future for Room<'_, F> {
    type Output = Result<(), Closed<()>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { handle, listener } = &mut *self;
        let inlet = &handle.inlet;
        loop {
            if inlet.is_closed() {
                return Poll::Ready(Err(Closed(())));
            }
            if inlet.has_room() {
                // The next one is told as well: this one may not take the room, or not all of it.
                *listener = None;
                inlet.pass_on();
                return Poll::Ready(Ok(()));
            }
            // It listens first, and looks again then: no room is missed in between.
            let Some(told) = listener else {
                *listener = Some(inlet.listen());
                continue;
            };
            ready!(Pin::new(told).poll(cx));
            *listener = None;
        }
    }
}

impl<F> Clone for Handle<F> {
    fn clone(&self) -> Self {
        Self { inlet: self.inlet.clone() }
    }
}

impl<F> fmt::Debug for Handle<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("is_closed", &self.is_closed()).finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for Room<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Room").field(&self.handle).finish()
    }
}

impl<F> Closed<F> {
    /// The future that was refused.
    pub fn into_inner(self) -> F {
        self.0
    }

    /// The same error with what `f` makes of the future: with `drop`, it can be passed on.
    ///
    /// ```
    /// use errgroup::{BoxFuture, Handle};
    /// use std::io;
    ///
    /// fn add<'a>(handle: &Handle<BoxFuture<'a, io::Result<()>>>) -> io::Result<()> {
    ///     handle.go(async { Ok(()) }).map_err(|closed| io::Error::other(closed.map(drop)))
    /// }
    ///
    /// let handle = errgroup::Group::new().handle();
    /// assert_eq!(add(&handle).unwrap_err().to_string(), "the group has ended");
    /// ```
    pub fn map<T>(self, f: impl FnOnce(F) -> T) -> Closed<T> {
        Closed(f(self.0))
    }
}

impl<F> fmt::Debug for Closed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Closed").finish_non_exhaustive()
    }
}

impl<F> fmt::Display for Closed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the group has ended")
    }
}

impl<F> Error for Closed<F> {}

impl<F> TryPushError<F> {
    /// The future that was refused.
    pub fn into_inner(self) -> F {
        match self {
            Self::Full(child) | Self::Closed(child) => child,
        }
    }
}

impl<F> fmt::Debug for TryPushError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Full(_) => "Full",
            Self::Closed(_) => "Closed",
        };
        f.debug_tuple(name).finish_non_exhaustive()
    }
}

impl<F> fmt::Display for TryPushError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the group is at its limit",
            Self::Closed(_) => "the group has ended",
        })
    }
}

impl<F> Error for TryPushError<F> {}
