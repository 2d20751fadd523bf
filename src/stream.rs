//! A group between streams: its outputs one by one, and children let in as there is room.

use core::{
    fmt,
    future::Future,
    ops::ControlFlow,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::{
    future::FusedFuture,
    stream::{FusedStream, Stream},
};
use futures_sink::Sink;

use crate::{
    Group,
    policy::{FailFast, Policy},
};

/// The future of [`Group::next`].
#[must_use = "futures do nothing unless polled"]
pub struct Next<'a, F>(&'a mut Group<F>);

/// The stream of [`Group::completions`].
#[must_use = "streams do nothing unless polled"]
pub struct Completions<'a, F>(&'a mut Group<F>);

/// The future of [`Group::ready`].
#[must_use = "futures do nothing unless polled"]
pub struct Ready<'a, F>(&'a mut Group<F>);

impl<F: Future> Group<F> {
    /// The output of the next child that is done, in order of completion, or `None` if the group is
    /// empty.
    ///
    /// An `Err` among the outputs is an output as any other: the siblings are not dropped. Which child
    /// an output is from is for the output to say.
    ///
    /// ```
    /// use errgroup::Group;
    ///
    /// # smol::block_on(async {
    /// let mut group: Group<_> = (1..=3).map(|n| async move { n * n }).collect();
    /// let mut sum = 0;
    /// while let Some(square) = group.next().await {
    ///     sum += square;
    /// }
    /// assert_eq!(sum, 14);
    /// # });
    /// ```
    ///
    /// Children run only while the group is polled: they stand still while the caller awaits
    /// something else between two outputs.
    ///
    /// # Cancel safety
    ///
    /// The future borrows the group and holds nothing: dropping it loses no output.
    #[expect(clippy::should_implement_trait, reason = "it is the method of a stream")]
    pub fn next(&mut self) -> Next<'_, F> {
        Next(self)
    }

    /// The outputs in order of completion, as a stream that ends when the group is empty.
    ///
    /// It is [`next`](Group::next) with the adaptors of streams. The group stays with the caller: when
    /// the stream is gone, children can be added and removed, and outputs taken from a new one.
    ///
    /// ```
    /// use errgroup::Group;
    /// use futures::StreamExt;
    ///
    /// # smol::block_on(async {
    /// let mut group: Group<_> = (1..=10).map(|n| async move { n * n }).collect();
    /// let even = group.completions().filter(|n| std::future::ready(n % 2 == 0));
    /// assert_eq!(even.collect::<Vec<_>>().await, [4, 16, 36, 64, 100]);
    /// # });
    /// ```
    ///
    /// **Children stand still while the caller awaits something else between two items.** No request
    /// goes on and no time-out is seen in the body of this loop:
    ///
    /// ```no_run
    /// # use futures::StreamExt;
    /// # async fn fetch(n: u32) -> String { n.to_string() }
    /// # async fn save(page: String) {}
    /// # async fn example() {
    /// let mut group: errgroup::Group<_> = (0..100).map(fetch).collect();
    /// let mut pages = group.completions();
    /// while let Some(page) = pages.next().await {
    ///     save(page).await; // all fetches stand still
    /// }
    /// # }
    /// ```
    ///
    /// Where they are not to, do the work in the child, here `async move { save(fetch(n).await).await }`, and
    /// await the group or join it. If one place is to do all the saving, let the children send to a
    /// channel, and let its receiver be a child as well: there is [an example].
    ///
    /// [an example]: crate::_documentation::choosing#children-that-run-meanwhile
    ///
    /// # Cancel safety
    ///
    /// The stream borrows the group and holds nothing: dropping it loses no output and drops no child.
    pub fn completions(&mut self) -> Completions<'_, F> {
        Completions(self)
    }

    #[inline]
    fn poll_completion(&mut self, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let next = ready!(self.poll_each(cx, |_, output, _| ControlFlow::Break(output)));
        Poll::Ready(next.break_value())
    }
}

impl<F, E> Group<F>
where
    F: Future<Output = Result<(), E>>,
{
    /// How often in a row there may be room before the executor has its turn.
    const MAX_ROOM_IN_A_ROW: u32 = 256;

    /// Waits until there is room for one more child under the limit, while the children run.
    ///
    /// With it a loop takes from its source no more than can run, where [`push`](Group::push) alone would
    /// store what the limit holds back. While there is room, no child is polled: a group that never
    /// becomes full first runs when it is awaited. But where there has been room 256 times in a row, the
    /// children and then the executor have their turn.
    ///
    /// ```
    /// # async fn send(n: u32) -> Result<(), u32> { Ok(()) }
    /// # smol::block_on(async {
    /// let mut group = errgroup::Group::unboxed().with_limit(8);
    /// for n in 0..100 {
    ///     group.ready().await?; // fails as soon as a child has failed
    ///     group.push(send(n));
    ///     assert!(group.len() <= 8);
    /// }
    /// group.await?;
    /// # Ok::<_, u32>(()) }).unwrap();
    /// ```
    ///
    /// The children have no values, as nobody would get them: have them send or store what they find.
    /// They stand still while the loop awaits something else, such as a source. For a source that
    /// is a stream, [forward](Group#impl-Sink<F>-for-Group<F>) it to the group: then they run meanwhile.
    ///
    /// # Errors
    ///
    /// The error of the first child that fails. All others are dropped then.
    ///
    /// # Cancel safety
    ///
    /// The future borrows the group and holds nothing: dropping it loses nothing and drops no child.
    ///
    /// # Complexity
    ///
    /// A poll ends with the first child that makes room.
    pub fn ready(&mut self) -> Ready<'_, F> {
        Ready(self)
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        let room = self.poll_for_room(cx);
        self.children.room_streak =
            if let Poll::Ready(Ok(())) = room { self.children.room_streak + 1 } else { 0 };
        room
    }

    fn poll_for_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        if self.children.room_streak == Self::MAX_ROOM_IN_A_ROW {
            // Where the source never waits and there is no limit, no child would ever run.
            if let Poll::Ready(Err(error)) = self.poll_until_left(cx, 0) {
                return Poll::Ready(Err(error));
            }
            self.guarded(|_| cx.waker().wake_by_ref());
            return Poll::Pending;
        }
        if !self.is_full() {
            return Poll::Ready(Ok(()));
        }
        self.poll_until_left(cx, self.children.limit() - 1)
    }

    /// Runs the children until one fails, or so many are left. That none is left is not the end.
    fn poll_until_left(&mut self, cx: &mut Context<'_>, enough: usize) -> Poll<Result<(), E>> {
        let flow = ready!(self.poll_open(cx, |index, output, left| {
            FailFast.child_done(index, output, left)?;
            if left <= enough { ControlFlow::Break(Ok(())) } else { ControlFlow::Continue(()) }
        }));
        let outcome = flow.break_value().unwrap_or(Ok(()));
        if outcome.is_err() {
            self.end();
            self.children.is_terminated = true;
        }
        Poll::Ready(outcome)
    }
}

impl<F: Future> Future for Next<'_, F> {
    type Output = Option<F::Output>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_completion(cx)
    }
}

impl<F: Future> FusedFuture for Next<'_, F> {
    /// Whether `None` was given out or the group has resolved, and no child was added since.
    fn is_terminated(&self) -> bool {
        self.0.children.is_terminated
    }
}

impl<F: Future> Stream for Completions<'_, F> {
    type Item = F::Output;

    #[inline]
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_completion(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // With handles, more may come.
        (self.0.len(), (!self.0.has_handles()).then_some(self.0.len()))
    }
}

impl<F: Future> FusedStream for Completions<'_, F> {
    /// Whether `None` was given out or the group has resolved, and no child was added since.
    fn is_terminated(&self) -> bool {
        self.0.children.is_terminated
    }
}

impl<F, E> Future for Ready<'_, F>
where
    F: Future<Output = Result<(), E>>,
{
    type Output = Result<(), E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_room(cx)
    }
}

/// Children are sent to the group as to a channel: it is ready while there is room under the limit, flushed
/// when no child is left, and closed then for its [handles](crate::Handle) too.
///
/// So a stream of futures runs by `stream.map(Ok).forward(group)`, with no more of them at a time than
/// the limit of the group. While the source is pending, children run; while the group is full, the
/// source waits. The first error of a child ends it: the other children are dropped, and the source
/// is dropped with the future of `forward`. The memory stays that of a group as large as the limit,
/// however long the stream is.
///
/// ```
/// use errgroup::Group;
/// use futures::{StreamExt, stream};
///
/// async fn send(n: u32) -> Result<(), String> {
///     if n == 70 { Err(format!("{n} was refused")) } else { Ok(()) }
/// }
///
/// # smol::block_on(async {
/// let sends = stream::iter(0..).map(|n| Ok(send(n))); // endless
/// let outcome = sends.forward(Group::unboxed().with_limit(8)).await;
/// assert_eq!(outcome, Err("70 was refused".to_string()));
/// # });
/// ```
///
/// Where neither the source nor the children ever wait, the group still lets the executor go on after
/// every 256 children.
///
/// `SinkExt::send` flushes each time, which here waits for all children to end; `feed` lets one in as soon
/// as there is room.
impl<F, E> Sink<F> for Group<F>
where
    F: Future<Output = Result<(), E>>,
{
    type Error = E;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        self.poll_room(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, child: F) -> Result<(), E> {
        self.push(child);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        self.poll_until_left(cx, 0)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        self.poll(cx)
    }
}

impl<F> fmt::Debug for Next<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Next").field(&self.0).finish()
    }
}

impl<F> fmt::Debug for Completions<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Completions").field(&self.0).finish()
    }
}

impl<F> fmt::Debug for Ready<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ready").field(&self.0).finish()
    }
}
