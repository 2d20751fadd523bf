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

/// A peer that is a stream of what its children return.
macro_rules! peer {
    ($(#[$doc:meta])* $name:ident, $label:literal, $set:path, $add:ident, $stream:path) => {
        $(#[$doc])*
        pub struct $name;

        impl Contestant for $name {
            const NAME: &'static str = $label;
            type Set<F: Child> = $set;
        }

        impl<F: Child> Set<F> for $set {
            fn empty() -> Self {
                Self::new()
            }

            fn add(&mut self, child: F) {
                self.$add(child);
            }

            fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
                <Self as $stream>::poll_next(Pin::new(self), cx)
            }
        }
    };
}

peer! {
    /// `futures::stream::FuturesUnordered`.
    FuturesUnordered, "FuturesUnordered", futures_util::stream::FuturesUnordered<F>, push, Stream
}
peer! {
    /// `futures_buffered::FuturesUnordered`.
    FuturesBuffered, "futures-buffered", futures_buffered::FuturesUnordered<F>, push, Stream
}
peer! {
    /// `futures_concurrency::future::FutureGroup`.
    FutureGroup, "FutureGroup", futures_concurrency::future::FutureGroup<F>, insert, Stream
}
peer! {
    /// `unicycle::FuturesUnordered`.
    Unicycle, "unicycle", unicycle::FuturesUnordered<F>, push, unicycle::PollNext
}
