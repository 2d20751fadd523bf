//! Adding from inside: children that find more work, and an end when none is left.
//!
//! In a crawler, a walk through directories, or a graph of dependencies, work shows while other work is done.
//! It is a child that finds it, and the loop that could add it is elsewhere. With a
//! [`Handle`](crate::Handle) the child adds it itself; a [`scope`](crate::scope()) gives one to the code that
//! begins.
//!
//! The end needs no counting. The group is done when no child is left, and a child that adds another is still
//! there while it does. Give each child a clone of the handle: it keeps nothing going.
//!
//! # Recursion
//!
//! An `async fn` that adds itself, and a plain function for the step that does so:
//!
//! ```
//! use errgroup::{BoxFuture, Handle};
//! use futures::StreamExt;
//! use std::{io, path::PathBuf, sync::atomic::{AtomicU64, Ordering::Relaxed}};
//!
//! type Child<'a> = BoxFuture<'a, io::Result<()>>;
//!
//! async fn visit<'a>(
//!     dir: PathBuf,
//!     bytes: &'a AtomicU64,
//!     group: Handle<Child<'a>>,
//! ) -> io::Result<()> {
//!     let mut entries = smol::fs::read_dir(dir).await?;
//!     while let Some(entry) = entries.next().await.transpose()? {
//!         if entry.file_type().await?.is_dir() {
//!             add(entry.path(), bytes, &group);
//!         } else {
//!             bytes.fetch_add(entry.metadata().await?.len(), Relaxed);
//!         }
//!     }
//!     Ok(())
//! }
//!
//! fn add<'a>(dir: PathBuf, bytes: &'a AtomicU64, group: &Handle<Child<'a>>) {
//!     group.go(visit(dir, bytes, group.clone())).ok();
//! }
//!
//! # smol::block_on(async {
//! let bytes = AtomicU64::new(0);
//! let mut group = errgroup::Group::new().with_limit(8);
//! add("src".into(), &bytes, &group.handle());
//! group.await?;
//! assert!(bytes.into_inner() > 0);
//! # Ok::<_, io::Error>(()) }).unwrap();
//! ```
//!
//! Without that function the compiler says E0283, or that a "future created by async block is not `Send`":
//! whether `visit` is `Send`, which `go` asks, would depend on the answer. The box that breaks the circle of
//! types is that of `go`. Without boxes an `async fn` cannot add its like, as its type would contain itself; a
//! future that you write as a struct can. What the children share, here a counter, is borrowed from outside
//! of the group, for as long as the `'a` of the handle: this is the same for all who add. `ok` throws nothing away: while a child is
//! polled its group has not ended, and `go` is not refused.
//!
//! Or write one function that returns the box, and add that with `push`:
//!
//! ```
//! use errgroup::{BoxFuture, Handle};
//!
//! type Child<'a> = BoxFuture<'a, Result<(), String>>;
//!
//! fn halve(n: u32, group: Handle<Child<'_>>) -> Child<'_> {
//!     Box::pin(async move {
//!         if n > 1 {
//!             group.push(halve(n / 2, group.clone())).ok();
//!         }
//!         Ok(())
//!     })
//! }
//!
//! # smol::block_on(async {
//! assert_eq!(errgroup::scope(|group| halve(100, group)).await, Ok(()));
//! # });
//! ```
//!
//! Without `Send`, the `async fn` adds itself:
//!
//! ```
//! use errgroup::{Handle, LocalBoxFuture};
//! use std::{cell::RefCell, collections::HashSet, convert::Infallible};
//!
//! type Child<'a> = LocalBoxFuture<'a, Result<(), Infallible>>;
//!
//! /// Visits each number that halving and thirding leads to, once.
//! async fn visit<'a>(
//!     number: u32,
//!     visited: &'a RefCell<HashSet<u32>>,
//!     group: Handle<Child<'a>>,
//! ) -> Result<(), Infallible> {
//!     for next in [number / 2, number / 3] {
//!         if visited.borrow_mut().insert(next) {
//!             group.go(visit(next, visited, group.clone())).ok();
//!         }
//!     }
//!     Ok(())
//! }
//!
//! # smol::block_on(async {
//! let visited = RefCell::default();
//! errgroup::scope_local(|group| visit(100, &visited, group)).await.unwrap();
//! assert_eq!(visited.borrow().len(), 14);
//! # });
//! ```
//!
//! # A limit
//!
//! [`Group::with_limit`](crate::Group::with_limit), or [`Scope::with_limit`](crate::Scope::with_limit) for what
//! the body of a scope adds: so many run, and what is added beyond is queued. The body is not counted. If it
//! does the same work as the children, as the first of many visits does, add it as a child.
//!
//! Children never wait to add. What is queued is a whole future, and takes the memory of one that runs. Where
//! that must not pile up, the one that begins the work waits for room, by
//! [`Handle::ready`](crate::Handle::ready); a child that does so holds the place that it waits for.
//!
//! For the same reason a child had better not await what another child sends: the other may be queued behind
//! those that wait. The body of a scope may, as it takes no place. A child that needs the result of a part
//! adds that part only if it runs at once, and otherwise runs it itself, where it stands:
//!
//! ```
//! use errgroup::{BoxFuture, Handle};
//!
//! type Child = BoxFuture<'static, Result<(), String>>;
//!
//! /// The sum of a range: one half by another child, if there is room for it.
//! fn sum(from: u64, to: u64, group: Handle<Child>) -> BoxFuture<'static, Result<u64, String>> {
//!     Box::pin(async move {
//!         if to - from < 10 {
//!             return Ok((from..to).sum());
//!         }
//!         let middle = from + (to - from) / 2;
//!         let (sender, half) = smol::channel::bounded(1);
//!         let part = sum(from, middle, group.clone());
//!         let refused = group.try_go(async move {
//!             sender.send(part.await?).await.ok();
//!             Ok(())
//!         });
//!         let other = sum(middle, to, group).await?;
//!         if let Err(refused) = refused {
//!             refused.into_inner().await?;
//!         }
//!         Ok(other + half.recv().await.map_err(|_| "the half has ended".to_string())?)
//!     })
//! }
//!
//! # smol::block_on(async {
//! # for limit in [1, 2, 3, 100] {
//! let total = errgroup::scope(|group| sum(0, 1000, group)).with_limit(limit);
//! assert_eq!(total.await, Ok(499_500));
//! # }
//! # });
//! ```
//!
//! # A producer in another task
//!
//! It adds by a handle, from whichever thread it runs on, and the group is awaited elsewhere. A handle does
//! not keep the group going, so somebody inside stands for the producer, and awaits it. The body of a scope
//! is best at it: a child would take a place under the limit, and with a limit of 1, wait for ever.
//!
//! ```
//! use std::{io, sync::atomic::{AtomicU32, Ordering::Relaxed}};
//!
//! static SUM: AtomicU32 = AtomicU32::new(0);
//!
//! # smol::block_on(async {
//! let total = errgroup::scope(async |group| {
//!     let producer = smol::spawn(async move {
//!         for n in 0..100 {
//!             group.ready().await?;
//!             let child = async move {
//!                 SUM.fetch_add(n, Relaxed);
//!                 Ok(())
//!             };
//!             group.go(child).map_err(|closed| closed.map(drop))?;
//!         }
//!         Ok::<_, errgroup::Closed<()>>(100)
//!     });
//!     producer.await.map_err(io::Error::other) // dropped with the scope, where a child fails
//! });
//! assert_eq!(total.with_limit(8).await?, 100);
//! assert_eq!(SUM.load(Relaxed), 4950);
//! # Ok::<_, io::Error>(()) }).unwrap();
//! ```
//!
//! The task must not borrow, as it may outlive the scope. So its handle is one of `'static` children, and in
//! such a scope neither they nor the body borrow anything. [`Closed`](crate::Closed) says only that the group
//! has ended. Why, is what the scope resolves to.
//!
//! A thread does the same with `block_on`, and sends the body how it ended. After a failure of the group it
//! goes on until it next adds; one that must not outlive the call is spawned in `std::thread::scope` around
//! all, and may borrow then.
//!
//! ```
//! # async fn insert(line: u32) -> Result<(), std::io::Error> { Ok(()) }
//! # smol::block_on(async {
//! let read = errgroup::scope(async |group| {
//!     let (sender, end) = smol::channel::bounded(1);
//!     std::thread::spawn(move || {
//!         let read = || {
//!             for line in 0..100 {
//!                 smol::block_on(group.ready())?;
//!                 group.go(insert(line)).map_err(|closed| closed.map(drop))?;
//!             }
//!             Ok::<_, errgroup::Closed<()>>(())
//!         };
//!         sender.send_blocking(read()).ok();
//!     });
//!     let end = end.recv().await; // an error, where the thread has panicked
//!     end.map_err(std::io::Error::other)?.map_err(std::io::Error::other)
//! });
//! read.with_limit(4).await?;
//! # Ok::<_, std::io::Error>(()) }).unwrap();
//! ```
//!
//! # A service that stops with the body
//!
//! A child that never ends would keep the scope from ending. One that is to run until all is done is not in
//! the scope but raced with it:
//!
//! ```
//! use std::{future, io};
//!
//! async fn heartbeat() -> io::Error {
//!     future::pending().await // beats, until it fails
//! }
//!
//! # smol::block_on(async {
//! let work = errgroup::scope(async |group| {
//!     group.go(async { Ok(()) }).ok();
//!     Ok(42)
//! });
//! // The service ends with the work; if it fails, the work is dropped.
//! let service = async { Err(heartbeat().await) };
//! assert_eq!(smol::future::or(work, service).await?, 42);
//! # Ok::<_, io::Error>(()) }).unwrap();
//! ```
//!
//! One that is to stop with the body, though children go on, is raced with what the body does, in the same
//! way. And one that is to finish what it has begun is a child, told by a channel that is closed when the last
//! of its senders is dropped:
//!
//! ```
//! # async fn serve(request: u32) -> Result<(), String> { Ok(()) }
//! # smol::block_on(async {
//! let served = errgroup::scope(async |group| {
//!     let (requests, receiver) = smol::channel::bounded(4);
//!     group.go(async move {
//!         while let Ok(request) = receiver.recv().await {
//!             serve(request).await?; // to its end, also when the body is done
//!         }
//!         Ok(())
//!     }).ok();
//!     for n in 0..10 {
//!         requests.send(n).await.map_err(|_| "the service has ended".to_string())?;
//!     }
//!     Ok::<_, String>(10)
//! });
//! assert_eq!(served.await, Ok(10));
//! # });
//! ```
