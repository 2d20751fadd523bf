//! The group: its children, added and removed, queued under a limit, and polled for a policy.

mod children;
mod inbox;

use alloc::boxed::Box;
use core::{
    error::Error,
    fmt,
    future::Future,
    mem,
    ops::ControlFlow,
    task::{Context, Poll, ready},
};

use futures_core::future::{BoxFuture, LocalBoxFuture};

pub(crate) use self::inbox::Inlet;
use self::{
    children::Children,
    inbox::{Inbox, PollOpen, State, Step},
};
use crate::{
    policy::Policy,
    set::{Budget, Slot},
};

/// Futures that run as one, with one lifetime and one outcome.
///
/// The futures in a group are its *children*. A group of `Result<(), E>` children is itself a
/// future, which is how Go's `errgroup` waits: it resolves to `Ok(())` when all children are done,
/// or to the first `Err`, and then every other child has been dropped.
///
/// ```
/// use errgroup::Group;
///
/// # smol::block_on(async {
/// let mut lines = [0, 0];
/// let [first, second] = &mut lines;
///
/// let mut group = Group::new();
/// group.go(async move {
///     *first = "one\ntwo".lines().count();
///     Ok(())
/// });
/// group.go(async move {
///     *second = "three".parse::<usize>()?;
///     Ok(())
/// });
/// let outcome: Result<(), std::num::ParseIntError> = group.await;
///
/// assert!(outcome.is_err());
/// assert_eq!(lines, [2, 0]);
/// # });
/// ```
///
/// # Adding children
///
/// | the children are | make the group with | add with |
/// | --- | --- | --- |
/// | any futures, `Send` | [`new`](Group::new) | `go`, which boxes each |
/// | any futures | [`new_local`](Group::new_local) | `go`, which boxes each |
/// | of one type | [`unboxed`](Group::unboxed), [`with_capacity`](Group::with_capacity), [`collect`](Iterator::collect) | [`push`](Group::push), [`extend`](Extend::extend) |
///
/// While the group runs, its children and others add to it by a [handle](Group::handle).
///
/// Nothing is spawned: no child runs before the group is polled, and in a group that is never polled
/// none runs at all. Children may borrow what outlives the group.
///
/// The type of a boxed group is `Group<BoxFuture<'a, O>>`, with the [`BoxFuture`] that this crate
/// re-exports:
///
/// ```
/// use errgroup::{BoxFuture, Group};
///
/// fn add_all<'a>(group: &mut Group<BoxFuture<'a, Result<(), String>>>, names: &'a [String]) {
///     for name in names {
///         group.go(async move { if name.is_empty() { Err("no name".into()) } else { Ok(()) } });
///     }
/// }
/// ```
///
/// # The type of the error
///
/// All children return the same error type. Where `?` leaves it open, say it in one child, as in
/// `Ok::<_, MyError>(())`. Without that, `group.await?` gives the compiler two conversions in a row
/// and no type between them.
///
/// # When a child fails
///
/// The group drops every other child, running or queued, in order of insertion, unless the slot of an
/// earlier child was used again, and only then resolves to the error. If several are ready to fail in
/// the same poll, the one polled first wins, and the others are dropped like any sibling. To drop is
/// immediate: a child gets no chance to run on. Dropping the group drops its children in the same
/// way.
///
/// A group that has resolved is empty, and can be used again.
///
/// # Values
///
/// Children may return anything; the [ways to join](crate::_documentation::choosing) say what becomes
/// of it. [`try_join`](Group::try_join) gives the values in order, and [`next`](Group::next) one by one.
/// Or have the children write to what they borrow, as above, which is free again when the group is
/// gone: after `group.await`, or a `drop`, and no [handle](crate::Handle) is left.
///
/// Awaiting a group whose children return something else than `Result<(), E>` does not compile. It
/// would throw the values away, and with them perhaps the inner error of a nested `Result`.
///
/// ```compile_fail
/// # async fn fetch() -> Result<String, std::io::Error> { Ok(String::new()) }
/// # async fn example() -> Result<(), std::io::Error> {
/// let mut group = errgroup::Group::new();
/// group.go(fetch()); // a `Result<String, _>`
/// group.await
/// # }
/// ```
///
/// # Panics
///
/// When a child panics, it and its siblings are dropped while the panic goes on through the poll of
/// the group. The group is empty then, and can be used again. When a child panics in its drop, the
/// others are dropped all the same. As everywhere in Rust, a second panic before the first has been
/// caught aborts.
///
/// Adding a child panics where there are too many: half a billion on 64-bit targets, a million on
/// 32-bit ones. Those that come by a [handle](crate::Handle) count when the group takes them in, which then
/// panics: in its poll, or in a method that adds.
///
/// # Cancel safety
///
/// Dropping the group drops the children: a timeout, or a `select!`, that owns the group cancels them.
/// One that polls the group by `&mut` and lets go of the reference does not, and loses nothing: the
/// children stay where they are, stand still, and go on with the next poll. To cancel them then, drop
/// the group or call [`clear`](Group::clear).
///
/// # Fairness
///
/// A child is polled once when it starts, and then only when it was woken. The group goes in rounds: a
/// round takes all that is ready and polls each of these children once; what becomes ready meanwhile
/// has its turn in the next round. So children that are always ready do not keep others waiting. A
/// child that is woken again after a round took it up, and before its turn, may be polled once more
/// than it needs; so may a new child in the slot of one that was woken before it was dropped.
///
/// One poll of the group makes at most as many child polls as children run when it begins, or 256 if
/// that is more. It ends early after 256 children that were woken and yet stay pending. A new child
/// that stays pending does not count; a child that is woken while it is polled, new or not, counts for
/// 8. Then the group wakes its task, and lets the executor go on. Without this, work would be quadratic
/// where an executor makes ready children wait, as tokio does in a task that has used up its budget
/// ([futures-rs issue 2526]).
///
/// [futures-rs issue 2526]: https://github.com/rust-lang/futures-rs/issues/2526
///
/// # Complexity
///
/// Adding a child is O(1), and takes no lock and, in a group without [handles](crate::Handle), no atomic
/// operation. A wake is O(1) whatever the size of the group, and a poll is linear in the children that were
/// woken or have come by a handle. Children live in pages of up to 64 slots (32 on 32-bit targets), each page
/// one allocation; the first pages are small. Slots are used again. A wake allocates nothing, and neither
/// does a poll, but for pages, and the queue of a group at its limit, where children have come by a handle;
/// and where the group has changed tasks in the very moment when the old one is being woken. A group keeps
/// its pages until it is dropped.
#[must_use = "nothing runs until the group is polled: `.await` it, or take outputs with `next`"]
pub struct Group<F> {
    pub(crate) children: Children<F>,
    /// `None` until there is a handle, and again when the group has ended. Children that come by a handle
    /// are in it until the group takes them in.
    inbox: Option<Inbox<F>>,
}

/// Names a child of one group, for [`Group::remove`].
///
/// It is a small copyable value, and stays unique when the child's slot is used again. Use it with its
/// own group only: in another one it may name another child.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Key {
    index: u64,
    slot: Slot,
}

/// The error of adding to a group that is at its limit: it carries the future that was refused.
///
/// ```
/// use std::future::{Ready, ready};
///
/// let mut group = errgroup::Group::unboxed().with_limit(1);
/// group.push(ready(Ok::<(), ()>(())));
/// let refused: Ready<_> = group.try_push(ready(Err(()))).unwrap_err().into_inner();
/// assert_eq!(refused.into_inner(), Err(()));
/// ```
pub struct Full<F>(F);

pub(crate) const LIMIT_OF_ZERO: &str =
    "a limit of 0 would never let a child run: the least limit is 1";

/// Ends the group when a poll unwinds: a child's, or what the task's waker does.
struct Unwinding<'a, F>(&'a mut Group<F>);

/// Tells the handles how many children are left when some are dropped, also when that unwinds.
struct Reporting<'a, F>(&'a mut Group<F>);

impl<'a, O> Group<BoxFuture<'a, O>> {
    /// An empty group for any `Send` futures of one output, each in a box of its own.
    ///
    /// ```
    /// let mut group = errgroup::Group::new();
    /// group.go(async { Ok(()) });
    /// group.go(std::future::ready(Err("no")));
    /// assert_eq!(smol::block_on(group), Err("no"));
    /// ```
    pub const fn new() -> Self {
        Self::empty()
    }

    /// Adds a child in a box. Where the limit is reached, it is queued.
    ///
    /// It is named after Go's `Group.Go`, which blocks at the limit. One allocation, for the box, and
    /// those of [`push`](Group::push).
    ///
    /// ```
    /// let mut group = errgroup::Group::new();
    /// group.go(async { Ok(()) });
    /// group.go(async { Err(std::fmt::Error) });
    /// assert!(smol::block_on(group).is_err());
    /// ```
    pub fn go(&mut self, child: impl Future<Output = O> + Send + 'a) -> Key {
        self.push(Box::pin(child))
    }

    /// Adds a child in a box, if it can run at once.
    ///
    /// ```
    /// let mut group = errgroup::Group::new().with_limit(1);
    /// assert!(group.try_go(async { Ok::<(), ()>(()) }).is_ok());
    /// let refused = group.try_go(async { Ok(()) }).unwrap_err();
    /// assert_eq!(smol::block_on(refused.into_inner()), Ok(()));
    /// ```
    ///
    /// # Errors
    ///
    /// [`Full`] with the future, which is not boxed then, if running and queued children together
    /// have reached the limit.
    pub fn try_go<Fut>(&mut self, child: Fut) -> Result<Key, Full<Fut>>
    where
        Fut: Future<Output = O> + Send + 'a,
    {
        if self.is_full() { Err(Full(child)) } else { Ok(self.go(child)) }
    }
}

impl<'a, O> Group<LocalBoxFuture<'a, O>> {
    /// An empty group for any futures of one output, each in a box of its own; the group is not
    /// `Send`.
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc};
    ///
    /// let calls = Rc::new(Cell::new(0));
    /// let mut group = errgroup::Group::new_local();
    /// for _ in 0..3 {
    ///     let calls = calls.clone();
    ///     group.go(async move {
    ///         calls.set(calls.get() + 1);
    ///         Ok::<_, ()>(())
    ///     });
    /// }
    /// assert_eq!(smol::block_on(group), Ok(()));
    /// assert_eq!(calls.get(), 3);
    /// ```
    ///
    /// ```compile_fail
    /// # use std::future::ready;
    /// let mut group = errgroup::Group::new_local();
    /// group.go(ready(Ok::<(), ()>(())));
    /// std::thread::spawn(move || smol::block_on(group));
    /// ```
    pub const fn new_local() -> Self {
        Self::empty()
    }

    /// Adds a child in a box. Where the limit is reached, it is queued.
    ///
    /// As [`go`](#method.go) of the `Send` group.
    pub fn go(&mut self, child: impl Future<Output = O> + 'a) -> Key {
        self.push(Box::pin(child))
    }

    /// Adds a child in a box, if it can run at once.
    ///
    /// # Errors
    ///
    /// [`Full`] with the future, which is not boxed then, if running and queued children together
    /// have reached the limit.
    pub fn try_go<Fut>(&mut self, child: Fut) -> Result<Key, Full<Fut>>
    where
        Fut: Future<Output = O> + 'a,
    {
        if self.is_full() { Err(Full(child)) } else { Ok(self.go(child)) }
    }
}

impl<F: Future> Group<F> {
    /// An empty group for children of one type, which it stores as they are, without a box.
    ///
    /// They are added with [`push`](Group::push); `go` is for the boxes of [`new`](Group::new).
    ///
    /// ```
    /// async fn check(n: u32) -> Result<(), u32> {
    ///     if n == 3 { Err(n) } else { Ok(()) }
    /// }
    ///
    /// let mut group = errgroup::Group::unboxed();
    /// for n in 0..5 {
    ///     group.push(check(n));
    /// }
    /// assert_eq!(smol::block_on(group), Err(3));
    /// ```
    pub const fn unboxed() -> Self {
        Self::empty()
    }

    /// An empty group for children of one type, with slots for `capacity` of them.
    ///
    /// A capacity counts slots, and is no limit. About one allocation for every 64 slots. To add boxed
    /// children with `go`, name the type: `Group::<BoxFuture<_>>::with_capacity(8)`.
    ///
    /// ```
    /// let mut group = errgroup::Group::with_capacity(100);
    /// group.extend((0..100).map(|n| async move { n }));
    /// assert!(smol::block_on(group.next()).is_some());
    /// ```
    ///
    /// # Panics
    ///
    /// If a group cannot have so many children.
    pub fn with_capacity(capacity: usize) -> Self {
        let mut group = Self::empty();
        group.children.set().reserve(capacity, true);
        group
    }
}

impl<F> Group<F> {
    /// Starts no child while `limit` or more are running, and queues the rest, first in first out.
    ///
    /// A queued child is stored, but not polled: the limit counts those that run, not those that take
    /// memory. For that, see [`ready`](Group::ready). A child that waits for what another one sends may wait for
    /// ever, as the other may be queued behind it. The limit is best set before children are added. Later
    /// is possible, and so is changing it: children that were polled already stay running, even if they
    /// are more than the limit. The others start again in order of insertion, as far as the limit allows,
    /// and the rest is queued, which allocates.
    ///
    /// ```
    /// let group: errgroup::Group<_> = (0..10).map(|_| async { Ok::<(), ()>(()) }).collect();
    /// let group = group.with_limit(3);
    /// assert_eq!((group.running(), group.queued()), (3, 7));
    /// assert_eq!(smol::block_on(group), Ok(()));
    /// ```
    ///
    /// # Panics
    ///
    /// If `limit` is 0. Go's `SetLimit(0)` makes every `Go` wait for ever. `usize::MAX` is no limit.
    #[track_caller]
    pub fn with_limit(mut self, limit: usize) -> Self {
        assert!(limit > 0, "{LIMIT_OF_ZERO}");
        self.attend(Step::TakeIn);
        self.set_limit(limit);
        self.children.restart_fresh();
        self
    }

    /// Adds a child as it is, without a box. Where the limit is reached, it is queued.
    ///
    /// No allocation for a child that takes the slot of another. Now and then one for a page or the
    /// list of pages, and for the queue of a group at its limit.
    ///
    /// ```
    /// let mut group = errgroup::Group::unboxed();
    /// let key = group.push(std::future::ready("done"));
    /// assert_eq!(smol::block_on(group.next()), Some("done"));
    /// assert!(!group.remove(key)); // it has finished
    /// ```
    #[inline]
    pub fn push(&mut self, child: F) -> Key {
        self.attend(Step::Add);
        self.children.insert(child)
    }

    /// Adds a child as it is, if it can run at once.
    ///
    /// # Errors
    ///
    /// [`Full`] with the future, if running and queued children together have reached the limit.
    #[inline]
    pub fn try_push(&mut self, child: F) -> Result<Key, Full<F>> {
        if self.is_full() { Err(Full(child)) } else { Ok(self.push(child)) }
    }

    /// Drops a child, and says whether it was there.
    ///
    /// `false` if it has finished or was removed or cleared, even if its slot now has another child.
    /// A queued child that may run in its place starts with the next poll.
    ///
    /// ```
    /// use std::future::{pending, ready};
    /// use errgroup::Group;
    ///
    /// let mut group = Group::new();
    /// let hangs = group.go(pending::<Result<(), ()>>());
    /// group.go(ready(Ok(())));
    /// assert!(group.remove(hangs));
    /// assert!(!group.remove(hangs));
    /// assert_eq!(smol::block_on(group), Ok(()));
    /// ```
    pub fn remove(&mut self, key: Key) -> bool {
        Reporting(self).0.children.remove(key)
    }

    /// Drops all children, running and queued. [Handles](crate::Handle) stay open; a child that is added by one
    /// while another is dropped stays in the group.
    pub fn clear(&mut self) {
        if self.has_handles() {
            self.attend(Step::Clear);
        } else {
            self.children.clear();
        }
    }

    /// The number of children, running and queued. One that has come by a [handle](crate::Handle) counts as
    /// queued until the group takes it in, at the latest in its next poll.
    pub fn len(&self) -> usize {
        self.children.len() + self.inbox.as_ref().map_or(0, |inbox| inbox.state().arrived())
    }

    /// Whether there is no child.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of children that run: they may be polled.
    pub fn running(&self) -> usize {
        self.children.running()
    }

    /// The number of children that the limit holds back, or that the group has not yet taken in.
    pub fn queued(&self) -> usize {
        self.len() - self.running()
    }

    /// The number of children that have finished, well or with an error, since the group was made.
    ///
    /// A child that was dropped before its end, by [`remove`](Group::remove) or with a failing
    /// sibling, does not count. On 32-bit targets the number starts again after 2³².
    ///
    /// ```
    /// # use std::future::{pending, ready};
    /// let mut group = errgroup::Group::new().with_limit(2);
    /// group.go(ready(1));
    /// group.go(pending());
    /// group.go(ready(3));
    /// assert_eq!((group.running(), group.queued(), group.finished()), (2, 1, 0));
    /// assert_eq!(smol::block_on(group.next()), Some(1));
    /// assert_eq!((group.len(), group.finished()), (2, 1));
    /// ```
    pub fn finished(&self) -> usize {
        self.children.finished()
    }

    const fn empty() -> Self {
        Self { children: Children::new(), inbox: None }
    }

    /// Runs foreign code on the group. When that unwinds, the group ends.
    #[inline]
    pub(crate) fn guarded<R>(&mut self, run: impl FnOnce(&mut Self) -> R) -> R {
        let unwinding = Unwinding(self);
        let result = run(unwinding.0);
        mem::forget(unwinding);
        result
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.children.limit()
    }

    /// The way in for what handles add, from the first of them on.
    pub(crate) fn inlet(&mut self) -> Inlet<F>
    where
        F: Future,
    {
        let children = &mut self.children;
        // What a handle adds is to be polled, also where the group has resolved before.
        children.is_terminated = false;
        self.inbox.get_or_insert_with(|| State::open(children)).inlet()
    }

    /// Adds a child ahead of those that have come by handles.
    pub(crate) fn push_first(&mut self, child: F) {
        self.children.insert(child);
        self.attend(Step::Report);
    }

    /// Numbers the children from 0 in order of insertion, and gives their number. Keys that were given out
    /// are no longer valid.
    pub(crate) fn renumber(&mut self) -> usize {
        self.attend(Step::TakeIn);
        self.children.renumber()
    }

    /// Lets one child fewer run, where there is a limit.
    pub(crate) fn lower_limit(&mut self) {
        let limit = self.children.limit();
        if limit != usize::MAX {
            self.set_limit(limit - 1);
        }
    }

    fn set_limit(&mut self, limit: usize) {
        self.children.set_limit(limit);
        self.attend(Step::Limit);
    }

    /// Whether there is a handle, or has been, since the group last ended.
    pub(crate) fn has_handles(&self) -> bool {
        self.inbox.is_some()
    }

    /// Closes the handles, and drops all children.
    pub(crate) fn end(&mut self) {
        if self.has_handles() {
            self.attend(Step::End);
        } else {
            self.children.clear();
        }
    }

    /// Does a step of a group with handles.
    #[inline]
    fn attend(&mut self, step: Step) {
        if self.has_handles() {
            self.attend_inbox(step);
        }
    }

    #[cold]
    fn attend_inbox(&mut self, step: Step) {
        if let Some(inbox) = &self.inbox {
            (inbox.state().vtable.attend)(self, step);
        }
    }
}

impl<F: Future> Group<F> {
    /// Polls children until `policy` breaks, or until none is left.
    pub(crate) fn poll_with<P: Policy<F::Output>>(
        &mut self,
        cx: &mut Context<'_>,
        policy: &mut P,
    ) -> Poll<ControlFlow<P::Output>> {
        self.poll_each(cx, |index, output, left| policy.child_done(index, output, left))
    }

    /// Polls children until `done` breaks, or until none is left: then the handles are closed. When it
    /// unwinds, the group has ended.
    #[inline]
    pub(crate) fn poll_each<B>(
        &mut self,
        cx: &mut Context<'_>,
        done: impl FnMut(usize, F::Output, usize) -> ControlFlow<B>,
    ) -> Poll<ControlFlow<B>> {
        let flow = ready!(self.poll_children(cx, true, done));
        if flow.is_continue() {
            self.children.is_terminated = true;
        }
        Poll::Ready(flow)
    }

    /// As [`poll_each`](Self::poll_each), but that no child is left is not the end of the group.
    pub(crate) fn poll_open<B>(
        &mut self,
        cx: &mut Context<'_>,
        done: impl FnMut(usize, F::Output, usize) -> ControlFlow<B>,
    ) -> Poll<ControlFlow<B>> {
        self.poll_children(cx, false, done)
    }

    #[inline]
    fn poll_children<B>(
        &mut self,
        cx: &mut Context<'_>,
        ends: bool,
        mut done: impl FnMut(usize, F::Output, usize) -> ControlFlow<B>,
    ) -> Poll<ControlFlow<B>> {
        if let Some(inbox) = &self.inbox {
            let poll = inbox.state().vtable.poll;
            return self.poll_by(poll, cx, ends, done);
        }
        self.guarded(|group| {
            let mut budget = Budget::new(group.running());
            loop {
                let done = |index, output, left| done(index, output, left).map_break(Some);
                match ready!(group.children.poll(cx, &mut budget, done)) {
                    ControlFlow::Break(None) => {}
                    ControlFlow::Break(Some(outcome)) => {
                        break Poll::Ready(ControlFlow::Break(outcome));
                    }
                    ControlFlow::Continue(()) => break Poll::Ready(ControlFlow::Continue(())),
                }
            }
        })
    }

    #[cold]
    fn poll_by<B>(
        &mut self,
        poll: PollOpen<F>,
        cx: &mut Context<'_>,
        ends: bool,
        mut done: impl FnMut(usize, F::Output, usize) -> ControlFlow<B>,
    ) -> Poll<ControlFlow<B>> {
        let mut outcome = None;
        ready!(poll(self, cx, ends, &mut |index, output, left| {
            done(index, output, left).map_break(|broken| outcome = Some(broken))
        }));
        Poll::Ready(outcome.map_or(ControlFlow::Continue(()), ControlFlow::Break))
    }
}

impl<F: Future> FromIterator<F> for Group<F> {
    fn from_iter<I: IntoIterator<Item = F>>(children: I) -> Self {
        let children = children.into_iter();
        let mut group = Self::empty();
        group.children.extend(children.size_hint().0, true, children);
        group
    }
}

impl<F: Future> Extend<F> for Group<F> {
    fn extend<I: IntoIterator<Item = F>>(&mut self, children: I) {
        let children = children.into_iter();
        if self.has_handles() {
            // The handles count each at once.
            children.for_each(|child| {
                self.push(child);
            });
        } else {
            self.children.extend(children.size_hint().0, false, children);
        }
    }
}

impl<F: Future> Default for Group<F> {
    /// As [`unboxed`](Group::unboxed).
    fn default() -> Self {
        Self::unboxed()
    }
}

impl<F> fmt::Debug for Group<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("running", &self.running())
            .field("queued", &self.queued())
            .field("finished", &self.finished())
            .finish_non_exhaustive()
    }
}

impl<F> Drop for Group<F> {
    fn drop(&mut self) {
        if self.has_handles() {
            self.end();
        }
    }
}

impl<F> Drop for Unwinding<'_, F> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl<F> Drop for Reporting<'_, F> {
    fn drop(&mut self) {
        self.0.attend(Step::Report);
    }
}

impl<F> Full<F> {
    /// The future that was refused.
    pub fn into_inner(self) -> F {
        self.0
    }
}

impl<F> fmt::Debug for Full<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Full").finish_non_exhaustive()
    }
}

impl<F> fmt::Display for Full<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the group is at its limit")
    }
}

impl<F> Error for Full<F> {}
