//! The ways to join a group: each a policy that settles the outcome, and then the end of the
//! children that are left.

use core::{
    fmt,
    future::Future,
    mem,
    ops::ControlFlow,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::future::{FusedFuture, TryFuture};

use crate::{
    Group,
    policy::{AllDone, AllOk, EnoughOk, FailFast, FirstOk, Policy},
};

/// The future of [`Group::join_with`], and of all other ways to join: the children of a group run, and
/// a policy settles their outcome.
///
/// # Panics
///
/// As a [group](Group#panics), and when its policy does: the children are dropped while the panic goes on
/// through the poll. Polled again after that, or after it has resolved, it panics.
///
/// # Cancel safety
///
/// Dropping it drops the children and what the policy has kept of the others. A `select!` that polls it
/// by `&mut` and lets go of the reference loses nothing, as with a [group](Group#cancel-safety).
#[must_use = "futures do nothing unless polled"]
pub struct JoinWith<F, P> {
    group: Group<F>,
    /// `None` once the outcome is settled, or a panic has taken it away.
    policy: Option<P>,
    has_started: bool,
}

/// The future of [`Group::join`]: all outputs in order of insertion.
pub type Join<F> = JoinWith<F, AllDone<<F as Future>::Output>>;

/// The future of [`Group::try_join`]: all values in order of insertion, or the first error.
pub type TryJoin<F> = JoinWith<F, AllOk<<F as TryFuture>::Ok>>;

/// The future of [`Group::race_ok`]: the first value, or all errors.
pub type RaceOk<F> = JoinWith<F, FirstOk<<F as TryFuture>::Error>>;

/// The future of [`Group::quorum`]: the first so many values, or all errors so far.
pub type Quorum<F> = JoinWith<F, EnoughOk<<F as TryFuture>::Ok, <F as TryFuture>::Error>>;

const OVER: &str = "a join was polled after it had resolved or panicked";

/// Takes the policy along when a poll unwinds: without it, no outcome can show that has lost a child.
struct Unwinding<'a, P>(&'a mut Option<P>);

/// What awaits the children of a group, in two phases: until the outcome is settled, and until no
/// child is left.
pub(crate) trait Phases: Future {
    type Child;

    /// The first phase. The children that are left when it ends are still in the group.
    fn poll_outcome(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output>;

    /// The children that the second phase is to deal with.
    fn children(self: Pin<&mut Self>) -> &mut Group<Self::Child>;
}

impl<F: Future> Group<F> {
    /// Runs all children to their end, and gives their outputs in order of insertion.
    ///
    /// No output cuts it short. Of results every error is kept; awaiting the group keeps only the first, as
    /// Go's `Wait` does.
    ///
    /// ```
    /// use errgroup::Group;
    ///
    /// # smol::block_on(async {
    /// let names = ["80", "http", "443"];
    /// let ports: Group<_> = names.iter().map(|name| async { name.parse::<u16>() }).collect();
    /// let outputs = ports.join().await;
    /// assert_eq!(outputs[0], Ok(80));
    /// assert!(outputs[1].is_err());
    /// assert_eq!(outputs[2], Ok(443));
    /// # });
    /// ```
    ///
    /// The children are those in the group, whose outputs were not yet taken, and those that are added by a
    /// [handle](crate::Handle) meanwhile, in the order in which they arrive. It allocates as
    /// [`try_join`](Group::try_join).
    pub fn join(self) -> Join<F> {
        self.join_with(AllDone::default())
    }

    /// Runs the children until `policy` says what their outcome is.
    ///
    /// The children that are left then are dropped before the outcome shows. See [`Policy`] for an
    /// example. Where children were done or removed before the join and others took their slots, it
    /// allocates once for a moment, to bring them in order.
    pub fn join_with<P: Policy<F::Output>>(self, policy: P) -> JoinWith<F, P> {
        JoinWith { group: self, policy: Some(policy), has_started: false }
    }
}

impl<F, T, E> Group<F>
where
    F: Future<Output = Result<T, E>>,
{
    /// Runs all children and gives their values in order of insertion, or fails with the first error.
    ///
    /// ```
    /// use errgroup::Group;
    ///
    /// # smol::block_on(async {
    /// let sum = |names: [&'static str; 2]| async move {
    ///     let ports: Group<_> = names.iter().map(|name| async { name.parse::<u16>() }).collect();
    ///     let ports = ports.try_join().await?;
    ///     Ok::<u16, std::num::ParseIntError>(ports.iter().sum())
    /// };
    /// assert_eq!(sum(["80", "443"]).await, Ok(523));
    /// assert!(sum(["80", "http"]).await.is_err());
    /// # });
    /// ```
    ///
    /// One allocation, which becomes the vector. While the children run it holds `Option`s. So the capacity
    /// of the vector is more than its length where an `Option` of the value is larger than the value, as
    /// with integers; and it is reallocated at the end where their space is not that of a whole number of
    /// values, as on 64-bit targets with an odd number of `[u64; 2]`.
    ///
    /// # Errors
    ///
    /// The error of the first child that fails. All others are dropped then, and so are the values. With
    /// `try_join_all` of futures, an error can hide behind a slow sibling where there are more than 30
    /// children ([futures-rs issue 2866]); here it never does.
    ///
    /// Of a `Result` in a `Result`, as from the handle of a spawned task, the outer one counts: see
    /// [choosing](crate::_documentation::choosing#joinset).
    ///
    /// [futures-rs issue 2866]: https://github.com/rust-lang/futures-rs/issues/2866
    pub fn try_join(self) -> TryJoin<F> {
        self.join_with(AllOk::default())
    }

    /// Runs the children until one succeeds, and gives its value.
    ///
    /// The others are dropped then. It allocates for errors only, as they come.
    ///
    /// ```
    /// use errgroup::Group;
    ///
    /// # smol::block_on(async {
    /// let mut mirrors = Group::new();
    /// mirrors.go(std::future::pending()); // never answers
    /// mirrors.go(async { Err("refused") });
    /// mirrors.go(async { Ok("the page") });
    /// assert_eq!(mirrors.race_ok().await.unwrap(), "the page");
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// All [`Errors`](crate::Errors), in order of completion, if no child succeeds. There are none in
    /// them if the group is empty. Of a `Result` in a `Result` the outer one counts, as with
    /// [`try_join`](Group::try_join).
    pub fn race_ok(self) -> RaceOk<F> {
        self.join_with(FirstOk::default())
    }

    /// Runs the children until `wanted` of them have succeeded, and gives their values in order of
    /// completion.
    ///
    /// The others are dropped then. With 0 wanted, all are dropped and none is polled. One allocation for
    /// the values, with the first of them, and those for errors as they come.
    ///
    /// ```
    /// use errgroup::Group;
    ///
    /// # smol::block_on(async {
    /// // Two of three replicas are to confirm a write, and one is down.
    /// let mut replicas = Group::new();
    /// replicas.go(async { Ok("replica 1") });
    /// replicas.go(async { Err("replica 2 is down") });
    /// replicas.go(async { Ok("replica 3") });
    /// assert_eq!(replicas.quorum(2).await.unwrap(), ["replica 1", "replica 3"]);
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// The [`Errors`](crate::Errors) so far, in order of completion, as soon as fewer children are left
    /// than successes are missing; at once, without polling a child and with no errors in them, if there
    /// are too few from the start. Those that a [handle](crate::Handle) could still add do not count. The
    /// children that are left are dropped, and so are the values so far. Of a `Result` in a `Result` the outer
    /// one counts, as with [`try_join`](Group::try_join).
    pub fn quorum(self, wanted: usize) -> Quorum<F> {
        self.join_with(EnoughOk::new(wanted))
    }
}

impl<F, E> Future for Group<F>
where
    F: Future<Output = Result<(), E>>,
{
    type Output = Result<(), E>;

    /// Runs the children until one fails, or all are done.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(poll(self.as_mut(), cx));
        self.children.is_terminated = true;
        Poll::Ready(outcome)
    }
}

impl<F, E> FusedFuture for Group<F>
where
    F: Future<Output = Result<(), E>>,
{
    /// Whether the group has resolved, or its [`next`](Group::next) gave `None`, and no child was
    /// added since.
    fn is_terminated(&self) -> bool {
        self.children.is_terminated
    }
}

impl<F, E> Phases for Group<F>
where
    F: Future<Output = Result<(), E>>,
{
    type Child = F;

    #[inline]
    fn poll_outcome(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let flow = ready!(self.poll_with(cx, &mut FailFast));
        Poll::Ready(settle(FailFast, flow))
    }

    fn children(self: Pin<&mut Self>) -> &mut Self {
        self.get_mut()
    }
}

impl<F, P> Future for JoinWith<F, P>
where
    F: Future,
    P: Policy<F::Output>,
{
    type Output = P::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        poll(self, cx)
    }
}

impl<F, P> Phases for JoinWith<F, P>
where
    F: Future,
    P: Policy<F::Output>,
{
    type Child = F;

    #[inline]
    fn poll_outcome(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { group, policy, has_started } = &mut *self;
        let unwinding = Unwinding(policy);
        let current = unwinding.0.as_mut().expect(OVER);
        let flow = group.guarded(|group| {
            if !mem::replace(has_started, true) {
                let flow = current.start(group.renumber());
                if flow.is_break() {
                    return Poll::Ready(flow);
                }
            }
            group.poll_with(cx, current)
        });
        let Poll::Ready(flow) = flow else {
            mem::forget(unwinding);
            return Poll::Pending;
        };
        let current = unwinding.0.take().expect(OVER);
        // The policy is foreign code to its end, its drop.
        Poll::Ready(group.guarded(|_| settle(current, flow)))
    }

    fn children(self: Pin<&mut Self>) -> &mut Group<F> {
        &mut self.get_mut().group
    }
}

impl<F, P> FusedFuture for JoinWith<F, P>
where
    F: Future,
    P: Policy<F::Output>,
{
    /// Whether it has resolved, or panicked.
    fn is_terminated(&self) -> bool {
        self.policy.is_none()
    }
}

impl<P> Drop for Unwinding<'_, P> {
    fn drop(&mut self) {
        *self.0 = None;
    }
}

// Neither the policy nor a child is pinned in it.
impl<F, P> Unpin for JoinWith<F, P> {}

impl<F, P> fmt::Debug for JoinWith<F, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinWith").field("group", &self.group).finish_non_exhaustive()
    }
}

/// Both phases, where the second is to drop the children that are left.
#[inline]
pub(crate) fn poll<J: Phases>(mut join: Pin<&mut J>, cx: &mut Context<'_>) -> Poll<J::Output> {
    let outcome = ready!(join.as_mut().poll_outcome(cx));
    join.children().end();
    Poll::Ready(outcome)
}

/// What a policy says at last: as it breaks, or as no child is left.
#[inline]
fn settle<O, P: Policy<O>>(policy: P, flow: ControlFlow<P::Output>) -> P::Output {
    match flow {
        ControlFlow::Break(outcome) => {
            // Here and not at the end: what a function is about to return would leak if this unwound.
            drop(policy);
            outcome
        }
        ControlFlow::Continue(()) => policy.finish(),
    }
}
