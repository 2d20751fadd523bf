//! Which way to join: what you want, and where you come from.
//!
//! # I want …
//!
//! | I want | use |
//! | --- | --- |
//! | all to succeed, and the first error to end it | [`group.await`](crate::Group#impl-Future-for-Group<F>) |
//! | the same, and the values in order | [`try_join`](crate::Group::try_join) |
//! | all to come to their end, and every output, errors too | [`join`](crate::Group::join) |
//! | the first success, or else every error | [`race_ok`](crate::Group::race_ok) |
//! | so many successes, or else the errors so far | [`quorum`](crate::Group::quorum) |
//! | a threshold of my own | [`join_with`](crate::Group::join_with) and a [`Policy`](crate::Policy) |
//! | each output as it comes | [`next`](crate::Group::next), or [`completions`](crate::Group::completions) as a stream |
//! | a few at a time, of children that I have | [`with_limit`](crate::Group::with_limit), and any of the above |
//! | children to add more, from inside or from elsewhere | a [handle](crate::Handle), or [`scope`](crate::scope()); see [adding](crate::_documentation::adding) |
//! | a few at a time, of a stream or an endless source | [`forward`](#for_each_concurrent) to a group with a limit, or [`ready`](crate::Group::ready) in a loop |
//! | children to run while I wait for something else | let that be a child too; see [below](#children-that-run-meanwhile) |
//!
//! Whichever it is, the children that are left when the outcome is known have been dropped when you
//! see it.
//!
//! # I come from …
//!
//! | there | here | what changes |
//! | --- | --- | --- |
//! | [`try_join_all`](#try_join_all) | `try_join` | fails fast at every size |
//! | [`join_all`](#join_all) | `join` | polls only what was woken, at every size |
//! | [`select_ok`](#select_ok) | `race_ok` | every error, not the last; an empty group is an error, not a panic |
//! | [`buffer_unordered`](#buffer_unordered-and-buffered), `buffered` | `with_limit` and `next`, or `try_join` | the limit holds in any order; an error shows out of turn |
//! | [`for_each_concurrent`](#for_each_concurrent), `try_for_each_concurrent` | `forward` | a child is made by the stream, not by the group |
//! | [`FuturesUnordered`](#futuresunordered) | `next` or `completions` | the loop stays, or goes; futures of any type |
//! | tokio's [`JoinSet`](#joinset) | `go` and `next`, or `try_join` | children borrow; nothing is spawned, so nothing is parallel |
//! | moro's [`async_scope!`](#scopes-and-nurseries), Trio's nurseries | [`scope`](crate::scope()) | the first error ends it; a limit; what a child adds is always polled |
//! | Go's `errgroup` | [`Group`](crate::Group) | see the README for each name |
//! | conc's [pools](#concs-pools) | `with_limit` and a way to join | |
//!
//! The examples assert that both sides give the same.
//!
//! ## `try_join_all`
//!
//! The values in order, or the first error. `try_join_all` is two functions in one: up to 30 futures it
//! polls all of them at every wake, and with more it takes the outputs in order of insertion, so that
//! an error waits for all that come before it ([futures-rs issue 2866]).
//!
//! ```
//! use errgroup::Group;
//! use futures::future::try_join_all;
//!
//! async fn port(name: &str) -> Result<u16, std::num::ParseIntError> {
//!     name.parse()
//! }
//!
//! # smol::block_on(async {
//! let names = ["80", "443"];
//! let there = try_join_all(names.map(port)).await;
//! let here = names.map(port).into_iter().collect::<Group<_>>().try_join().await;
//! assert_eq!(here, there);
//! # });
//! ```
//!
//! [futures-rs issue 2866]: https://github.com/rust-lang/futures-rs/issues/2866
//!
//! ## `join_all`
//!
//! All outputs in order. If they are results, the errors are among them; [`Errors`](crate::Errors)
//! makes one error of them.
//!
//! ```
//! use errgroup::{Errors, Group};
//! use futures::future::join_all;
//!
//! # async fn port(name: &str) -> Result<u16, std::num::ParseIntError> { name.parse() }
//! # smol::block_on(async {
//! let names = ["80", "http", "https"];
//! let there = join_all(names.map(port)).await;
//! let here = names.map(port).into_iter().collect::<Group<_>>().join().await;
//! assert_eq!(here, there);
//!
//! let errors: Errors<_> = here.into_iter().filter_map(Result::err).collect();
//! assert_eq!(errors.into_result().unwrap_err().len(), 2);
//! # });
//! ```
//!
//! ## `select_ok`
//!
//! The first success. `select_ok` keeps the last error, and gives back the futures that are left; here
//! every error is kept, and the others are dropped. To keep them, take outputs with
//! [`next`](crate::Group::next) until one is `Ok`.
//!
//! ```
//! use errgroup::Group;
//! use futures::future::select_ok;
//!
//! async fn ask(mirror: &str) -> Result<&str, String> {
//!     if mirror == "up" { Ok(mirror) } else { Err(format!("{mirror} is down")) }
//! }
//!
//! # smol::block_on(async {
//! let there = select_ok(["a", "up", "b"].map(|mirror| Box::pin(ask(mirror)))).await;
//! let here = ["a", "up", "b"].map(ask).into_iter().collect::<Group<_>>().race_ok().await;
//! assert_eq!(here.ok(), there.ok().map(|(answer, _rest)| answer));
//!
//! let errors = ["a", "b"].map(ask).into_iter().collect::<Group<_>>().race_ok().await.unwrap_err();
//! assert_eq!(*errors, ["a is down", "b is down"]);
//! # });
//! ```
//!
//! ## `buffer_unordered` and `buffered`
//!
//! A few at a time. For children that you have, give the group a limit. In order of completion, as from
//! `buffer_unordered`:
//!
//! ```
//! use errgroup::Group;
//! use futures::{StreamExt, stream};
//!
//! async fn double(n: u32) -> u32 {
//!     2 * n
//! }
//!
//! # smol::block_on(async {
//! let there: Vec<_> = stream::iter(0..100).map(double).buffer_unordered(8).collect().await;
//!
//! let mut group = Group::unboxed().with_limit(8);
//! group.extend((0..100).map(double));
//! let here: Vec<_> = group.completions().collect().await;
//! assert_eq!(here, there);
//! # });
//! ```
//!
//! In order of insertion, as from `buffered`. There the window is held up by its slowest child, and an
//! error waits for its turn; here the limit is kept whatever the order, and the first error ends it:
//!
//! ```
//! # use errgroup::Group;
//! # use futures::{StreamExt, TryStreamExt, stream};
//! # async fn check(n: u32) -> Result<u32, String> { Ok(n) }
//! # smol::block_on(async {
//! let there: Result<Vec<_>, _> = stream::iter(0..100).map(check).buffered(8).try_collect().await;
//!
//! let mut group = Group::unboxed().with_limit(8);
//! group.extend((0..100).map(check));
//! let here = group.try_join().await;
//! assert_eq!(here, there);
//! # });
//! ```
//!
//! A limit counts the children that run. The others are stored, all hundred of them here, which takes
//! the memory of as many futures. From a source that is long or endless, take as many as run:
//!
//! ```
//! # use errgroup::Group;
//! # async fn check(n: u32) -> Result<u32, String> { Ok(n) }
//! # smol::block_on(async {
//! let mut sum = 0;
//! let mut source = (0..100_000).map(check);
//! let mut group = Group::unboxed();
//! group.extend(source.by_ref().take(8));
//! while let Some(value) = group.next().await {
//!     sum += u64::from(value?);
//!     group.extend(source.next()); // the place that has become free
//! }
//! assert_eq!(sum, 4_999_950_000);
//! # Ok::<_, String>(()) }).unwrap();
//! ```
//!
//! A source that has to be awaited would hold up the children of this loop. Send the stream to the group,
//! and the values through a channel:
//!
//! ```
//! # use errgroup::Group;
//! # use futures::{StreamExt, SinkExt, stream};
//! # async fn check(n: u32) -> Result<u32, String> { Ok(n) }
//! use futures::{channel::mpsc, future};
//!
//! # smol::block_on(async {
//! # let source = stream::iter(0..100);
//! let (sender, values) = mpsc::channel(8);
//! let checks = source.map(move |n| {
//!     let mut sender = sender.clone();
//!     Ok(async move {
//!         let value = check(n).await?;
//!         sender.send(value).await.map_err(|_| "nobody takes the values".to_string())
//!     })
//! });
//! let checks = checks.forward(Group::unboxed().with_limit(8));
//! let (outcome, values) = future::join(checks, values.collect::<Vec<_>>()).await;
//! assert_eq!((outcome, values.len()), (Ok(()), 100));
//! # });
//! ```
//!
//! Where only what the children do counts, see the next recipe.
//!
//! ## `for_each_concurrent`
//!
//! A stream of work, a few at a time, each for what it does and not for what it returns. The stream is
//! sent to the group, which takes no more than its limit; children run while the source waits, and the
//! source waits while the group is full.
//!
//! ```
//! use errgroup::Group;
//! use futures::{StreamExt, TryStreamExt, stream};
//!
//! async fn store(n: u32) -> Result<(), String> {
//!     if n < 90 { Ok(()) } else { Err(format!("no room for {n}")) }
//! }
//!
//! # smol::block_on(async {
//! let there = stream::iter((0..100).map(Ok)).try_for_each_concurrent(8, store).await;
//!
//! let jobs = stream::iter(0..100).map(|n| Ok(store(n)));
//! let here = jobs.forward(Group::unboxed().with_limit(8)).await;
//! assert_eq!(here, there);
//! # });
//! ```
//!
//! A stream of futures is sent by `map(Ok)`. Where the futures borrow, in a task that is spawned, the
//! compiler rejects that with "implementation of `FnOnce` is not general enough" ([rust issue 110338]).
//! Make the future and its `Ok` in one closure, as here. If the items of the stream themselves borrow, send
//! indices in their place, or use a loop with [`ready`](crate::Group::ready).
//!
//! [rust issue 110338]: https://github.com/rust-lang/rust/issues/110338
//!
//! A stream of results, whose own errors end it all as well, is sent with those as the errors of the
//! group: `jobs.map_ok(store).forward(group)`.
//!
//! ```
//! # use errgroup::Group;
//! # use futures::{StreamExt, TryStreamExt, stream};
//! # async fn store(n: u32) -> Result<(), String> { Ok(()) }
//! # smol::block_on(async {
//! let lines = stream::iter(["1", "2", "three"]);
//! let jobs = lines.map(|line| line.parse().map_err(|_| format!("{line} is no number")));
//! let outcome = jobs.map_ok(store).forward(Group::unboxed().with_limit(8)).await;
//! assert_eq!(outcome, Err("three is no number".to_string()));
//! # });
//! ```
//!
//! ## `FuturesUnordered`
//!
//! The loop stays as it is, and is only needed where each output is wanted as it comes. An output is
//! taken with `next` without an import, and `go` takes futures of different types.
//!
//! ```
//! use errgroup::Group;
//! use futures::{StreamExt, stream::FuturesUnordered};
//!
//! # async fn double(n: u32) -> u32 { 2 * n }
//! # smol::block_on(async {
//! let mut there = 0;
//! let mut futures: FuturesUnordered<_> = (0..10).map(double).collect();
//! while let Some(output) = futures.next().await {
//!     there += output;
//! }
//!
//! let mut here = 0;
//! let mut group: Group<_> = (0..10).map(double).collect();
//! while let Some(output) = group.next().await {
//!     here += output;
//! }
//! assert_eq!(here, there);
//! # });
//! ```
//!
//! ## `JoinSet`
//!
//! A `JoinSet` spawns: its tasks run in parallel and need `'static`. A group polls its children in
//! place: they are concurrent on one task, and borrow. Where the work is to wait, that is enough.
//!
//! ```
//! use errgroup::Group;
//! use tokio::task::JoinSet;
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
//! # runtime.block_on(async {
//! let names = ["one".to_string(), "three".to_string()];
//! let mut there = JoinSet::new();
//! for name in names.clone() {
//!     there.spawn(async move { name.len() });
//! }
//! let there: usize = there.join_all().await.into_iter().sum();
//!
//! let mut group = Group::new();
//! for name in &names {
//!     group.go(async move { name.len() });
//! }
//! let here: usize = group.join().await.into_iter().sum();
//! assert_eq!(here, there);
//! # });
//! ```
//!
//! What is to run in parallel is spawned, and a child awaits it. Its handle gives a result in a result,
//! and that is a trap: a group which took the outer one for the outcome would lose every inner error.
//! So awaiting such a group does not compile.
//!
//! ```compile_fail,E0277
//! # use errgroup::Group;
//! # async fn work() -> Result<(), std::io::Error> { Ok(()) }
//! # async fn example() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let mut group = Group::new();
//! group.go(tokio::spawn(work())); // a `Result<Result<(), io::Error>, JoinError>`
//! group.await?;
//! # Ok(()) }
//! ```
//!
//! `try_join`, `race_ok` and `quorum` do compile, and take the outer one: for them a task that has failed
//! without a panic is a success, whose value is the error.
//!
//! A child that says what becomes of either error does. The task is aborted when the child is dropped:
//! by itself a `JoinHandle` would detach it.
//!
//! ```
//! # use errgroup::Group;
//! # async fn work() -> Result<(), std::io::Error> { Err(std::io::Error::other("full")) }
//! use tokio::task::JoinSet;
//!
//! type Error = Box<dyn std::error::Error + Send + Sync>;
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
//! # runtime.block_on(async {
//! let mut group = Group::new();
//! group.go(async {
//!     let mut task = JoinSet::new(); // aborts what it holds when it is dropped
//!     task.spawn(work());
//!     let done = task.join_next().await.expect("one task was spawned");
//!     Ok::<_, Error>(done??) // the panic of the task, and its own error
//! });
//! assert_eq!(group.await.unwrap_err().to_string(), "full");
//! # });
//! ```
//!
//! `abort_all` is [`clear`](crate::Group::clear) here, and an `AbortHandle` a [`Key`](crate::Key) to
//! [`remove`](crate::Group::remove). A child that panics does not become a `JoinError`: the panic goes on to
//! whoever polls the group, and the other children are dropped.
//!
//! ## Scopes and nurseries
//!
//! | moro | Trio | here |
//! | --- | --- | --- |
//! | `async_scope!(\|s\| { .. }).await` | `async with open_nursery() as n:` | `scope(async \|group\| { .. }).await` |
//! | `s.spawn(f)` | `n.start_soon(f)` | `group.go(f)` |
//! | await what `spawn` gave | a memory channel | a channel of your executor, or what a child borrows |
//! | `s.terminate(value)` | `n.cancel_scope.cancel()` | return an error, or drop the scope |
//! | `s` in a child | `n` in a child | a clone of the handle |
//!
//! Children are of one error type and return `()`. The first error is the outcome, not a group of all.
//! Children may borrow what outlives the scope, as with moro, but not the handle: each has a clone.
//!
//! ## conc's pools
//!
//! For Go's `sourcegraph/conc`:
//!
//! | conc | here |
//! | --- | --- |
//! | `conc.WaitGroup` | a group of any output, and `join` |
//! | `pool.New().WithMaxGoroutines(n)` | `with_limit(n)`; `join` |
//! | `.WithErrors()` | `join`, and the errors collected to [`Errors`](crate::Errors) |
//! | `.WithErrors().WithFirstError()` | `join`, and the first `Err` of the outputs; here the first in order of insertion |
//! | `.WithContext(ctx).WithCancelOnError()` | `group.await`: the others are dropped, not asked |
//! | `pool.NewWithResults[T]()` | `join` |
//! | `pool.NewWithResults[T]().WithErrors()` | `try_join`, which fails fast; or `join` |
//! | `.WithCollectErrored()` | `join`: outputs of children that fail are outputs too |
//! | `stream.New()`, callbacks in order | `try_join` or `join`, and then a loop |
//!
//! ```
//! use errgroup::{Errors, Group};
//!
//! # async fn port(name: &str) -> Result<u16, std::num::ParseIntError> { name.parse() }
//! # smol::block_on(async {
//! // A results pool with errors: what has worked, and every error.
//! let mut pool = Group::unboxed().with_limit(2);
//! pool.extend(["80", "http", "443"].map(port));
//! let (ports, errors): (Vec<_>, Vec<_>) = pool.join().await.into_iter().partition(Result::is_ok);
//! let ports: Vec<_> = ports.into_iter().flatten().collect();
//! let errors: Errors<_> = errors.into_iter().filter_map(Result::err).collect();
//! assert_eq!(ports, [80, 443]);
//! assert_eq!(errors.to_string(), "invalid digit found in string");
//! # });
//! ```
//!
//! # Children that run meanwhile
//!
//! Children run while the group is polled, and stand still while the caller awaits something else, as
//! in the body of a loop over [`completions`](crate::Group::completions). `FuturesUnordered` and
//! `buffer_unordered` have the same trap. The way around it is to give the other work to the group:
//!
//! ```
//! use errgroup::Group;
//! use futures::{SinkExt, StreamExt, channel::mpsc};
//!
//! async fn fetch(n: u32) -> Result<String, std::io::Error> {
//!     Ok(format!("page {n}"))
//! }
//!
//! # smol::block_on(async {
//! let mut saved = Vec::new();
//! let (sender, mut pages) = mpsc::channel(4);
//!
//! let mut group = Group::new();
//! group.go(async {
//!     while let Some(page) = pages.next().await {
//!         saved.push(page); // awaits as long as it likes: the fetches go on
//!     }
//!     Ok(())
//! });
//! for n in 0..10 {
//!     let mut sender = sender.clone();
//!     group.go(async move {
//!         sender.send(fetch(n).await?).await.expect("the pages are taken until the last");
//!         Ok::<_, std::io::Error>(())
//!     });
//! }
//! drop(sender); // the pages end with the last fetch
//! group.await?;
//! assert_eq!(saved.len(), 10);
//! # Ok::<_, std::io::Error>(()) }).unwrap();
//! ```
//!
//! Under a limit, add the child that receives first, and count it: for eight fetches at a time,
//! `with_limit(9)`. Added last, it is queued behind senders that wait for it.
