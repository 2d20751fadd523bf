//! Futures that run as a group, with one lifetime and one outcome: the first error wins, the other
//! futures are dropped, and nothing outlives the call.
//!
//! This is Go's [`errgroup`] for async Rust. A [`Group`] is a future that polls its children in
//! place: it spawns nothing, so that it runs on any executor and needs no runtime, no `'static` and,
//! with [`Group::new_local`] or [`Group::unboxed`], no `Send`.
//!
//! ```
//! use errgroup::Group;
//! use std::io;
//!
//! async fn load(name: &str) -> Result<(), io::Error> {
//!     match name {
//!         "missing" => Err(io::ErrorKind::NotFound.into()),
//!         _ => std::future::pending().await, // takes for ever
//!     }
//! }
//!
//! async fn load_all() -> Result<(), io::Error> {
//!     let mut group = Group::new();
//!     group.go(load("slow"));
//!     group.go(load("missing"));
//!     group.go(async {
//!         load("another").await?;
//!         load("and another").await
//!     });
//!     group.await // the first error; everything else is dropped by then
//! }
//!
//! let error = smol::block_on(load_all()).unwrap_err();
//! assert_eq!(error.kind(), io::ErrorKind::NotFound);
//! ```
//!
//! # Why use this crate?
//!
//! The parts are there: `FuturesUnordered`, `try_join_all`, tokio's `JoinSet`. Each has a catch where
//! the first error is to end it all. `JoinSet` needs tokio and `'static`. `try_join_all` hides an error
//! behind a slow sibling from 31 futures on ([futures-rs issue 2866]). With `FuturesUnordered` the
//! caller writes the loop, the limit and the end each time. If you come from one of them,
//! [choosing](_documentation::choosing) says what to write instead.
//!
//! [futures-rs issue 2866]: https://github.com/rust-lang/futures-rs/issues/2866
//!
//! # What is where
//!
//! | to | use |
//! | --- | --- |
//! | run futures of any type, and fail fast | [`Group::new`], `go`, `.await` |
//! | the same on one thread, without `Send` | [`Group::new_local`] |
//! | run futures of one type, without a box each | [`Group::unboxed`], [`push`](Group::push), or [`collect`](Iterator::collect) |
//! | have their values in order | [`try_join`](Group::try_join), or [`join`](Group::join), which keeps every error |
//! | take the first success, or so many | [`race_ok`](Group::race_ok), [`quorum`](Group::quorum) |
//! | decide otherwise what the outcome is | [`Policy`], [`join_with`](Group::join_with) |
//! | take outputs as they come | [`next`](Group::next), [`completions`](Group::completions) |
//! | run a few at a time | [`with_limit`](Group::with_limit), [`try_push`](Group::try_push), `try_go` |
//! | run a stream of futures, a few at a time | `forward` to the [`Sink`](Group#impl-Sink<F>-for-Group<F>), [`ready`](Group::ready) |
//! | add children from inside a child, or from another task | [`Group::handle`], [`scope()`] |
//! | drop one child, or all | [`remove`](Group::remove), [`clear`](Group::clear) |
//!
//! [Choosing](_documentation::choosing) has a recipe for each way to join, and
//! [adding from inside](_documentation::adding) those for handles and scopes.
//!
//! # Cookbook
//!
//! The values of all, in order, or the first error:
//!
//! ```
//! # async fn length(query: &str) -> Result<usize, std::io::Error> { Ok(query.len()) }
//! # smol::block_on(async {
//! let queries = ["a", "bb", "ccc"];
//! let group: errgroup::Group<_> = queries.into_iter().map(length).collect();
//! assert_eq!(group.try_join().await?, [1, 2, 3]);
//! # Ok::<_, std::io::Error>(()) }).unwrap();
//! ```
//!
//! Results of different types, in variables of the caller:
//!
//! ```
//! # async fn user() -> Result<String, std::io::Error> { Ok("ann".into()) }
//! # async fn orders() -> Result<Vec<u32>, std::io::Error> { Ok(vec![7, 9]) }
//! # smol::block_on(async {
//! let (mut name, mut numbers) = (String::new(), Vec::new());
//! let mut group = errgroup::Group::new();
//! group.go(async {
//!     name = user().await?;
//!     Ok::<_, std::io::Error>(())
//! });
//! group.go(async {
//!     numbers = orders().await?;
//!     Ok(())
//! });
//! group.await?;
//! assert_eq!((name.as_str(), numbers), ("ann", vec![7, 9]));
//! # Ok::<_, std::io::Error>(()) }).unwrap();
//! ```
//!
//! A stream of work, eight at a time, until it ends or one fails:
//!
//! ```
//! use errgroup::Group;
//! use futures::StreamExt;
//!
//! # async fn store(n: u32) -> Result<(), std::io::Error> { Ok(()) }
//! # smol::block_on(async {
//! let jobs = futures::stream::iter(0..100).map(|n| Ok(store(n)));
//! jobs.forward(Group::unboxed().with_limit(8)).await?;
//! # Ok::<_, std::io::Error>(()) }).unwrap();
//! ```
//!
//! Children that find more work add it, until none is left:
//!
//! ```
//! use errgroup::{BoxFuture, Handle};
//! use std::{collections::HashSet, sync::Mutex};
//!
//! type Child<'a> = BoxFuture<'a, Result<(), std::io::Error>>;
//!
//! # async fn links(page: u32) -> Result<[u32; 2], std::io::Error> { Ok([page / 2, page / 3]) }
//! async fn visit<'a>(
//!     page: u32,
//!     seen: &'a Mutex<HashSet<u32>>,
//!     group: Handle<Child<'a>>,
//! ) -> Result<(), std::io::Error> {
//!     for link in links(page).await? {
//!         add(link, seen, &group);
//!     }
//!     Ok(())
//! }
//!
//! fn add<'a>(page: u32, seen: &'a Mutex<HashSet<u32>>, group: &Handle<Child<'a>>) {
//!     if seen.lock().unwrap().insert(page) {
//!         group.go(visit(page, seen, group.clone())).ok();
//!     }
//! }
//!
//! # smol::block_on(async {
//! let seen = Mutex::default();
//! let mut group = errgroup::Group::new().with_limit(8);
//! add(100, &seen, &group.handle());
//! group.await?;
//! assert_eq!(seen.lock().unwrap().len(), 15);
//! # Ok::<_, std::io::Error>(()) }).unwrap();
//! ```
//!
//! A deadline, by a race that drops the loser, with the timer of your runtime:
//!
//! ```
//! use std::{future::pending, io, time::Duration};
//!
//! # smol::block_on(async {
//! let mut group = errgroup::Group::new();
//! group.go(pending());
//! let late = async {
//!     smol::Timer::after(Duration::from_millis(1)).await;
//!     Err(io::Error::from(io::ErrorKind::TimedOut))
//! };
//! let outcome: io::Result<()> = smol::future::or(group, late).await;
//! assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::TimedOut);
//! # });
//! ```
//!
//! # Why does nothing happen until I await the group?
//!
//! Its children are polled when the group is polled, and not before: that is what makes it free of a
//! runtime, lets children borrow, and lets a failure drop them at once. It also means that a group is
//! *concurrent, not parallel*: its children share one task, and so one thread at a time. A child that
//! computes for long holds up its siblings. Spawn such work on the executor, and let the child await a
//! handle that cancels when it is dropped, as smol's `Task` does: one that detaches, as those of tokio
//! and async-std, lets the work outlive the group.
//!
//! # Crate features
//!
//! The crate is `no_std` and needs `alloc`.
//!
//! - `std` (default): turns on `std` in `event-listener`, `futures-core` and `futures-sink`, and tells
//!   threads apart, so that children which are added from inside take a shorter way. Without it the crate
//!   behaves the same, but for [`Handle::ready`]: who waits there is kept behind a lock of
//!   `event-listener`, which spins without `std`. Where an interrupt polls or drops such a future, or polls,
//!   changes or drops its group, turn on the feature `critical-section` of `event-listener`. Adding by a
//!   handle takes no lock.
//! - `portable-atomic`: takes the atomics from the crate of that name, for chips without
//!   compare-and-swap. How they work there is the choice of the binary, by a feature of that crate
//!   such as `critical-section`.
//!
//! [`errgroup`]: https://pkg.go.dev/golang.org/x/sync/errgroup

#![no_std]
#![deny(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod _documentation;
mod group;
mod handle;
mod join;
pub mod policy;
mod scope;
#[allow(unsafe_code)]
mod set;
mod stream;
mod sync;

pub use futures_core::future::{BoxFuture, LocalBoxFuture};
pub use group::{Full, Group, Key};
pub use handle::{Closed, Handle, Room, TryPushError};
pub use join::{Join, JoinWith, Quorum, RaceOk, TryJoin};
pub use policy::{Errors, Policy};
pub use scope::{Scope, scope, scope_local};
pub use stream::{Completions, Next, Ready};

#[cfg(all(not(target_has_atomic = "ptr"), not(feature = "portable-atomic")))]
compile_error!("this target has no compare-and-swap: turn on the feature `portable-atomic`");

/// The code of the README is compiled and run like that of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

const _: () = {
    const fn is_send<T: Send>() {}
    const fn is_sync<T: Sync>() {}
    const fn is_unpin<T: Unpin>() {}
    type Child = BoxFuture<'static, ()>;
    type Pinned = core::marker::PhantomPinned;

    is_send::<Group<Child>>();
    // Nobody gets at a child by a shared group or handle, so it need not be `Sync`.
    is_sync::<Group<Child>>();
    is_send::<Handle<Child>>();
    is_sync::<Handle<Child>>();
    is_unpin::<Group<Pinned>>();
    is_unpin::<Next<'_, Pinned>>();
    is_send::<Key>();
    is_sync::<Key>();
};
