//! The collections behind one interface, each used the way its documentation shows.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::Stream;

/// A child: all of them are `Unpin` since `FutureGroup` can only be polled by value then, and no
/// collection treats such a future differently.
pub trait Child: Future<Output = ()> + Unpin {}

impl<F: Future<Output = ()> + Unpin> Child for F {}

/// What a collection of mixed children holds.
pub type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A collection of children of one type.
pub trait Set<F>: Sized {
    /// Makes an empty one, with no capacity given.
    fn empty() -> Self;
    /// Adds a child.
    fn add(&mut self, child: F);
    /// Polls for the next child to finish; `None` once there is none left.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>>;
}

/// One of the compared crates.
pub trait Contestant {
    /// Its heading.
    const NAME: &'static str;
    /// Its collection.
    type Set<F: Child>: Set<F>;

    /// Makes an empty collection of boxed children.
    fn empty_boxed() -> Self::Set<BoxFuture> {
        Set::empty()
    }

    /// Boxes a child and adds it.
    fn add_boxed(set: &mut Self::Set<BoxFuture>, child: impl Child + Send + 'static) {
        set.add(Box::pin(child));
    }
}

/// This crate.
pub struct Errgroup;

impl Contestant for Errgroup {
    const NAME: &'static str = "errgroup";
    type Set<F: Child> = errgroup::Group<F>;

    fn empty_boxed() -> Self::Set<BoxFuture> {
        errgroup::Group::new()
    }

    fn add_boxed(set: &mut Self::Set<BoxFuture>, child: impl Child + Send + 'static) {
        set.go(child);
    }
}

impl<F: Child> Set<F> for errgroup::Group<F> {
    fn empty() -> Self {
        Self::unboxed()
    }

    fn add(&mut self, child: F) {
        self.push(child);
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        Pin::new(&mut self.next()).poll(cx)
    }
}

/// `futures::stream::FuturesUnordered`.
pub struct FuturesUnordered;

impl Contestant for FuturesUnordered {
    const NAME: &'static str = "FuturesUnordered";
    type Set<F: Child> = futures_util::stream::FuturesUnordered<F>;
}

impl<F: Child> Set<F> for futures_util::stream::FuturesUnordered<F> {
    fn empty() -> Self {
        Self::new()
    }

    fn add(&mut self, child: F) {
        self.push(child);
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        Stream::poll_next(Pin::new(self), cx)
    }
}

/// `futures_buffered::FuturesUnordered`.
pub struct FuturesBuffered;

impl Contestant for FuturesBuffered {
    const NAME: &'static str = "futures-buffered";
    type Set<F: Child> = futures_buffered::FuturesUnordered<F>;
}

impl<F: Child> Set<F> for futures_buffered::FuturesUnordered<F> {
    fn empty() -> Self {
        Self::new()
    }

    fn add(&mut self, child: F) {
        self.push(child);
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        Stream::poll_next(Pin::new(self), cx)
    }
}

/// `futures_concurrency::future::FutureGroup`.
pub struct FutureGroup;

impl Contestant for FutureGroup {
    const NAME: &'static str = "FutureGroup";
    type Set<F: Child> = futures_concurrency::future::FutureGroup<F>;
}

impl<F: Child> Set<F> for futures_concurrency::future::FutureGroup<F> {
    fn empty() -> Self {
        Self::new()
    }

    fn add(&mut self, child: F) {
        self.insert(child);
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        Stream::poll_next(Pin::new(self), cx)
    }
}

/// `unicycle::FuturesUnordered`.
pub struct Unicycle;

impl Contestant for Unicycle {
    const NAME: &'static str = "unicycle";
    type Set<F: Child> = unicycle::FuturesUnordered<F>;
}

impl<F: Child> Set<F> for unicycle::FuturesUnordered<F> {
    fn empty() -> Self {
        Self::new()
    }

    fn add(&mut self, child: F) {
        self.push(child);
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        unicycle::PollNext::poll_next(Pin::new(self), cx)
    }
}
