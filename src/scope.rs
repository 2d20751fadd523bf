//! Scopes: a group whose first child is the code that adds the others, and that returns a value.

use alloc::boxed::Box;
use core::{
    fmt,
    future::Future,
    mem,
    ops::ControlFlow,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::future::{BoxFuture, FusedFuture, LocalBoxFuture};

use crate::{
    Group, Handle,
    group::LIMIT_OF_ZERO,
    join::{self, Phases},
    set::Stack,
    sync::Arc,
};

/// The future of [`scope`] and [`scope_local`].
///
/// # Panics
///
/// As a [group](Group#panics): the body and all children are dropped while a panic goes on through the poll.
/// Polled again after that, or after it has resolved, it panics.
///
/// # Cancel safety
///
/// Dropping it drops the body and the children. A `select!` that polls it by `&mut` and lets go of the
/// reference loses nothing, as with a [group](Group#cancel-safety).
#[must_use = "futures do nothing unless polled"]
pub struct Scope<F, T> {
    group: Group<F>,
    /// Where the body leaves its value at its end. A stack, as that is shared safely for any `T: Send`, without
    /// a cell of its own.
    returned: Arc<Stack<T>>,
    body: Body<T>,
}

enum Body<T> {
    Running,
    Returned(T),
    /// The scope has resolved, or is being polled. Where that poll unwinds it stays so: a scope that has lost
    /// a child gives no value.
    Over,
}

const OVER: &str = "a scope was polled after it had resolved or panicked";

/// Runs `body` together with the children that it adds, and returns its value when all are done.
///
/// The body is called at once, with a [`Handle`], and its future is the first child. So it runs along with
/// the others, whatever it awaits, and an error ends all: that of the body or that of a child. The handle
/// may go on to the children, which then add more.
///
/// ```
/// async fn fetch(n: u32) -> Result<u32, std::io::Error> { Ok(n * n) }
///
/// # smol::block_on(async {
/// let sum = errgroup::scope(async |group| {
///     let (sender, squares) = smol::channel::unbounded();
///     for n in 0..10 {
///         let sender = sender.clone();
///         group.go(async move {
///             sender.send(fetch(n).await?).await.ok();
///             Ok(())
///         }).ok();
///     }
///     drop(sender); // the children have theirs: the channel ends with the last of them
///     let mut sum = 0;
///     while let Ok(square) = squares.recv().await {
///         sum += square; // the children run meanwhile, at most four at a time
///     }
///     Ok::<_, std::io::Error>(sum)
/// });
/// assert_eq!(sum.with_limit(4).await?, 285);
/// # Ok::<_, std::io::Error>(()) }).unwrap();
/// ```
///
/// A child returns `()`: what it finds it sends, or writes to what it borrows. In the body, `go` is refused
/// only when the group has ended, and then the body is no longer polled: so `ok` throws nothing away.
///
/// # Borrowing
///
/// Body and children may borrow what outlives the scope. Children may not borrow from the body, which is a
/// child like them: of the handle, each has a clone. An async closure borrows what it uses, while an `async move` child takes what it names.
/// Where a child needs `move` for one thing, give it references to the others:
///
/// ```
/// use std::sync::Mutex;
///
/// # smol::block_on(async {
/// let (names, log) = (["ann", "bob"], Mutex::new(Vec::new()));
/// errgroup::scope(async |group| {
///     let log = &log;
///     for name in &names {
///         // `name` moves to the child, and of `log` the reference.
///         group.go(async move { Ok(log.lock().unwrap().push(*name)) }).ok();
///     }
///     Ok::<_, ()>(())
/// })
/// .await
/// .unwrap();
/// assert_eq!(log.into_inner().unwrap(), names);
/// # });
/// ```
///
/// The body, the children and the value are `Send`; the error need not be. Without that, use
/// [`scope_local`]. A limit is set with [`Scope::with_limit`]. [Adding from
/// inside](crate::_documentation::adding) has recipes.
///
/// # Errors
///
/// The first error, of the body or of a child. All the others are dropped before it shows.
///
/// # Complexity
///
/// Five allocations: the box of the body, the value, what scope and body share for it, and what a
/// [handle](Group::handle) needs.
pub fn scope<'a, T, E, Fut>(
    body: impl FnOnce(Handle<BoxFuture<'a, Result<(), E>>>) -> Fut,
) -> Scope<BoxFuture<'a, Result<(), E>>, T>
where
    T: Send + 'a,
    E: 'a,
    Fut: Future<Output = Result<T, E>> + Send + 'a,
{
    let returned = Arc::new(Stack::new());
    Scope::new(body, returned.clone(), |body| Box::pin(run(body, returned)))
}

/// Runs `body` together with the children that it adds, none of which needs to be `Send`.
///
/// As [`scope`] otherwise.
///
/// ```
/// use std::cell::Cell;
///
/// // How many leaves a tree has whose nodes have two branches each.
/// async fn visit<'a>(
///     depth: u32,
///     leaves: &'a Cell<u32>,
///     group: errgroup::Handle<errgroup::LocalBoxFuture<'a, Result<(), ()>>>,
/// ) -> Result<(), ()> {
///     if depth == 0 {
///         leaves.set(leaves.get() + 1);
///     } else {
///         for _ in 0..2 {
///             group.go(visit(depth - 1, leaves, group.clone())).ok();
///         }
///     }
///     Ok(())
/// }
///
/// # smol::block_on(async {
/// let leaves = Cell::new(0);
/// errgroup::scope_local(|group| visit(10, &leaves, group)).await.unwrap();
/// assert_eq!(leaves.get(), 1024);
/// # });
/// ```
///
/// # Errors
///
/// The first error, of the body or of a child. All the others are dropped before it shows.
pub fn scope_local<'a, T, E, Fut>(
    body: impl FnOnce(Handle<LocalBoxFuture<'a, Result<(), E>>>) -> Fut,
) -> Scope<LocalBoxFuture<'a, Result<(), E>>, T>
where
    T: 'a,
    E: 'a,
    Fut: Future<Output = Result<T, E>> + 'a,
{
    let returned = Arc::new(Stack::new());
    Scope::new(body, returned.clone(), |body| Box::pin(run(body, returned)))
}

/// The body as a child: without a value.
async fn run<T, E>(
    body: impl Future<Output = Result<T, E>>,
    returned: Arc<Stack<T>>,
) -> Result<(), E> {
    // It is not refused: the stack is closed only when it is dropped.
    body.await.map(|value| drop(returned.push(value)))
}

impl<F, T> Scope<F, T> {
    fn new<Fut>(
        body: impl FnOnce(Handle<F>) -> Fut,
        returned: Arc<Stack<T>>,
        child: impl FnOnce(Fut) -> F,
    ) -> Self
    where
        F: Future,
    {
        let mut group = Group::unboxed();
        let body = body(group.handle());
        group.push_first(child(body));
        Self { group, returned, body: Body::Running }
    }

    /// Starts no child while `limit` or more are running, and queues the rest, first in first out.
    ///
    /// The body is not counted: it always runs, and may wait for room with [`Handle::ready`]. A child that
    /// awaits another child can wait for ever, as the other may be queued behind it.
    ///
    /// ```
    /// # async fn store(n: u32) -> Result<(), std::io::Error> { Ok(()) }
    /// # smol::block_on(async {
    /// let stored = errgroup::scope(async |group| {
    ///     for n in 0..100 {
    ///         group.ready().await.ok(); // while the body is polled, it is not refused
    ///         group.go(store(n)).ok(); // at most three are in memory
    ///     }
    ///     Ok::<_, std::io::Error>(100)
    /// });
    /// assert_eq!(stored.with_limit(3).await?, 100);
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Panics
    ///
    /// If `limit` is 0, as [`Group::with_limit`].
    #[track_caller]
    pub fn with_limit(self, limit: usize) -> Self {
        assert!(limit > 0, "{LIMIT_OF_ZERO}");
        let body = matches!(self.body, Body::Running).into();
        Self { group: self.group.with_limit(limit.saturating_add(body)), ..self }
    }
}

impl<F, T, E> Phases for Scope<F, T>
where
    F: Future<Output = Result<(), E>>,
{
    type Child = F;

    fn poll_outcome(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { group, returned, body } = &mut *self;
        let mut current = mem::replace(body, Body::Over);
        assert!(!matches!(current, Body::Over), "{OVER}");
        loop {
            let is_running = matches!(current, Body::Running);
            let flow = group.poll_each(cx, |_, output, _| match output {
                Err(error) => ControlFlow::Break(Err(error)),
                Ok(()) if is_running => match returned.watch().next() {
                    Some(value) => ControlFlow::Break(Ok(value)),
                    None => ControlFlow::Continue(()),
                },
                Ok(()) => ControlFlow::Continue(()),
            });
            match flow {
                Poll::Pending => {
                    *body = current;
                    return Poll::Pending;
                }
                Poll::Ready(ControlFlow::Break(Ok(value))) => {
                    // The limit was one more for the body.
                    group.lower_limit();
                    current = Body::Returned(value);
                }
                Poll::Ready(ControlFlow::Break(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(ControlFlow::Continue(())) => match current {
                    Body::Returned(value) => return Poll::Ready(Ok(value)),
                    _ => unreachable!("the body is a child"),
                },
            }
        }
    }

    fn children(self: Pin<&mut Self>) -> &mut Group<F> {
        &mut self.get_mut().group
    }
}

impl<F, T, E> Future for Scope<F, T>
where
    F: Future<Output = Result<(), E>>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        join::poll(self, cx)
    }
}

impl<F, T, E> FusedFuture for Scope<F, T>
where
    F: Future<Output = Result<(), E>>,
{
    /// Whether it has resolved, or panicked.
    fn is_terminated(&self) -> bool {
        matches!(self.body, Body::Over)
    }
}

// Neither the value nor a child is pinned in it.
impl<F, T> Unpin for Scope<F, T> {}

impl<F, T> fmt::Debug for Scope<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("group", &self.group).finish_non_exhaustive()
    }
}
