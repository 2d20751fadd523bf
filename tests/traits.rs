//! What the types are, whatever the children: their auto traits among others.

use std::cell::Cell;
use std::error::Error;
use std::future::{Future, Pending};
use std::hash::Hash;
use std::marker::{PhantomData, PhantomPinned};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use errgroup::{
    Closed, Completions, Errors, Full, Group, Handle, Join, JoinWith, Key, Next, Quorum, RaceOk,
    Ready, Room, Scope, TryJoin, TryPushError,
};
use futures::Sink;
use futures::future::{BoxFuture, FusedFuture, LocalBoxFuture};
use futures::stream::FusedStream;

/// Whether a type implements a trait: the inherent constant, where it exists, hides that of `No`.
macro_rules! implements {
    ($type:ty: $($bound:tt)+) => {{
        struct Question<T>(PhantomData<T>);
        #[allow(dead_code, reason = "unused where the answer is no")]
        impl<T: $($bound)+> Question<T> {
            const ANSWER: bool = true;
        }
        Question::<$type>::ANSWER
    }};
}

trait No {
    const ANSWER: bool = false;
}

impl<T> No for T {}

/// A future with the auto traits of `T`, and pinned.
struct Like<T>(PhantomData<T>, PhantomPinned);

impl<T> Future for Like<T> {
    type Output = Result<(), ()>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(()))
    }
}

type OfAll = Group<Like<u8>>;
type OfSend = Group<Like<Cell<u8>>>;
type OfLocal = Group<Like<Rc<u8>>>;

#[test]
fn group_is_send_if_and_only_if_its_children_are() {
    assert!(implements!(OfAll: Send));
    assert!(implements!(OfSend: Send));
    assert!(!implements!(OfLocal: Send));
    assert!(implements!(Next<'static, Like<Cell<u8>>>: Send));
    assert!(!implements!(Next<'static, Like<Rc<u8>>>: Send));
}

#[test]
fn handle_is_send_and_sync_if_and_only_if_children_may_go_to_other_threads() {
    assert!(implements!(Handle<Like<u8>>: Send + Sync + Clone + Unpin));
    assert!(implements!(Handle<Like<Cell<u8>>>: Send + Sync));
    assert!(!implements!(Handle<Like<Rc<u8>>>: Send));
    assert!(!implements!(Handle<Like<Rc<u8>>>: Sync));
    assert!(implements!(Room<'static, Like<Cell<u8>>>: Send + Sync + Unpin));
    assert!(!implements!(Room<'static, Like<Rc<u8>>>: Send));
}

#[test]
fn scope_is_send_as_its_children_and_its_value_are() {
    assert!(implements!(Scope<Like<Cell<u8>>, Cell<u8>>: FusedFuture + Send + Unpin));
    assert!(!implements!(Scope<Like<Rc<u8>>, u8>: Send));
    assert!(!implements!(Scope<Like<u8>, Rc<u8>>: Send));
    assert!(implements!(Scope<Like<u8>, PhantomPinned>: Unpin));
}

fn type_of<T>(_: &T) -> PhantomData<T> {
    PhantomData
}

#[test]
fn boxed_group_is_send_and_the_local_one_is_not() {
    let boxed: PhantomData<Group<BoxFuture<'_, ()>>> = type_of(&Group::new());
    let local: PhantomData<Group<LocalBoxFuture<'_, ()>>> = type_of(&Group::new_local());
    assert_eq!((boxed, local), (PhantomData, PhantomData));
    assert!(implements!(Group<BoxFuture<'static, ()>>: Send));
    assert!(!implements!(Group<LocalBoxFuture<'static, ()>>: Send));
}

#[test]
fn group_and_next_are_unpin_whatever_the_children() {
    assert!(!implements!(Like<u8>: Unpin));
    assert!(implements!(OfAll: Unpin));
    assert!(implements!(Next<'static, Like<u8>>: Unpin));
}

#[test]
fn joins_are_send_and_unpin_as_their_parts_are() {
    assert!(implements!(TryJoin<Like<Cell<u8>>>: Send + Unpin + FusedFuture + std::fmt::Debug));
    assert!(implements!(RaceOk<Like<u8>>: Send + Sync + Unpin + FusedFuture));
    assert!(implements!(Quorum<Like<u8>>: Send + Sync + Unpin + FusedFuture));
    assert!(implements!(Join<Like<u8>>: Send + Sync + Unpin + FusedFuture));
    assert!(!implements!(TryJoin<Like<Rc<u8>>>: Send));
    // Their values are in them.
    assert!(!implements!(Join<Pending<Rc<u8>>>: Send));
    assert!(!implements!(JoinWith<Like<u8>, Rc<u8>>: Send));
    assert!(implements!(JoinWith<Like<u8>, PhantomPinned>: Unpin));
}

#[test]
fn joins_and_what_borrows_a_group_show_its_counts() {
    let children = (0..3).map(|_| std::future::ready(Ok::<(), u8>(())));
    let mut group = children.collect::<Group<_>>().with_limit(2);
    let counts = "Group { running: 2, queued: 1, finished: 0, .. }";
    assert_eq!(format!("{group:?}"), counts);
    assert_eq!(format!("{:?}", group.next()), format!("Next({counts})"));
    assert_eq!(format!("{:?}", group.completions()), format!("Completions({counts})"));
    assert_eq!(format!("{:?}", group.ready()), format!("Ready({counts})"));
    let join = group.try_join();
    assert_eq!(format!("{join:?}"), format!("JoinWith {{ group: {counts}, .. }}"));
}

#[test]
fn completions_and_ready_are_send_as_the_group_is() {
    assert!(implements!(Completions<'static, Like<Cell<u8>>>: FusedStream + Send + Unpin));
    assert!(!implements!(Completions<'static, Like<Rc<u8>>>: Send));
    assert!(
        implements!(Ready<'static, Like<Cell<u8>>>: Future<Output = Result<(), ()>> + Send + Unpin)
    );
    assert!(!implements!(Ready<'static, Pending<u8>>: Future));
}

#[test]
fn group_is_a_sink_only_where_it_is_a_future() {
    assert!(implements!(OfLocal: Sink<Like<Rc<u8>>, Error = ()>));
    assert!(!implements!(Group<Pending<Result<u8, ()>>>: Sink<Pending<Result<u8, ()>>>));
}

#[test]
fn errors_are_an_error_where_each_is_shown() {
    assert!(implements!(Errors<String>: Error + Send + Sync + Clone + Eq));
    assert!(!implements!(Errors<Cell<u8>>: Error));
}

/// Joins and those who await them move it.
#[test]
#[cfg(target_pointer_width = "64")]
fn group_is_ninety_six_bytes_whatever_its_children_are() {
    assert_eq!(size_of::<Group<u8>>(), 96);
    assert_eq!(size_of::<Group<[u64; 100]>>(), 96);
}

#[test]
fn key_is_a_plain_value() {
    assert!(implements!(Key: Copy + Eq + Hash + Send + Sync + std::fmt::Debug + 'static));
}

#[test]
fn full_is_an_error_of_any_future() {
    assert!(implements!(Full<Like<Rc<u8>>>: Error));
    assert!(implements!(Full<Like<u8>>: Send + Sync + Into<Box<dyn Error + Send + Sync>>));
}

#[test]
fn refusals_of_a_handle_are_errors_of_any_future() {
    assert!(implements!(Closed<Like<Rc<u8>>>: Error));
    assert!(implements!(TryPushError<Like<Rc<u8>>>: Error));
    assert!(implements!(Closed<Like<u8>>: Send + Sync + Into<Box<dyn Error + Send + Sync>>));
    assert!(implements!(TryPushError<Like<u8>>: Send + Sync + Into<Box<dyn Error + Send + Sync>>));
}

#[test]
fn group_is_a_fused_future_only_of_results_without_value() {
    assert!(implements!(OfLocal: FusedFuture + Default + std::fmt::Debug + Extend<Like<Rc<u8>>>));
    assert!(implements!(Group<Pending<Result<(), String>>>: Future<Output = Result<(), String>>));
    assert!(!implements!(Group<Pending<Result<u8, String>>>: Future));
    assert!(!implements!(Group<Pending<u8>>: Future));
    assert!(implements!(Next<'static, Pending<u8>>: Future<Output = Option<u8>>));
}
