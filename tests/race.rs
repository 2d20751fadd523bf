//! `race_ok` and `quorum`: enough successes, or every error.

mod kit;

use std::error::Error;
use std::future::{Ready, ready};
use std::ops::ControlFlow::Break;
use std::task::Poll;

use errgroup::policy::EnoughOk;
use errgroup::{Errors, Group, Policy};
use kit::{Act, Cast, SIZES, Task, Valued};

fn group(cast: &Cast) -> Group<Valued> {
    cast.valued().collect()
}

#[test]
fn first_success_drops_the_others_before_it_shows() {
    for n in SIZES {
        let (cast, task) = (Cast::new(n), Task::default());
        cast.tell(n - 1, Act::Succeed);
        (0..n / 2).for_each(|id| cast.tell(id, Act::Fail));
        let mut race = group(&cast).race_ok();
        assert_eq!(task.poll(&mut race), Poll::Ready(Ok(n - 1)));
        cast.assert_all_dropped_once();
    }
}

#[test]
fn race_without_success_gives_every_error_in_order_of_completion() {
    let (cast, task) = (Cast::new(4), Task::default());
    let mut race = group(&cast).race_ok();
    assert!(task.poll(&mut race).is_pending());
    cast.tell_all(Act::Fail);
    for id in [2, 0, 3] {
        cast.wake(id);
        assert!(task.poll(&mut race).is_pending());
    }
    cast.wake(1);
    let Poll::Ready(Err(errors)) = task.poll(&mut race) else { panic!("no child has succeeded") };
    assert_eq!(*errors, [2, 0, 3, 1]);
}

#[test]
fn quorum_is_reached_with_the_values_in_order_of_completion() {
    for n in SIZES {
        let (cast, task) = (Cast::new(n), Task::default());
        let wanted = n.div_ceil(2);
        let mut quorum = group(&cast).quorum(wanted);
        assert!(task.poll_while_woken(&mut quorum).is_pending());
        cast.tell_all(Act::Succeed);
        for id in (n - wanted + 1..n).rev() {
            cast.wake(id);
            assert!(task.poll(&mut quorum).is_pending());
        }
        cast.wake(n - wanted);
        let values = Vec::from_iter((n - wanted..n).rev());
        assert_eq!(task.poll(&mut quorum), Poll::Ready(Ok(values)));
        cast.assert_all_dropped_once();
        assert!((0..n - wanted).all(|id| cast.polls(id) == 1));
    }
}

#[test]
fn quorum_fails_as_soon_as_too_few_are_left() {
    for n in SIZES {
        for wanted in [1, n.div_ceil(2), n] {
            let (cast, task) = (Cast::new(n), Task::default());
            let mut quorum = group(&cast).quorum(wanted);
            assert!(task.poll_while_woken(&mut quorum).is_pending());
            cast.tell_all(Act::Fail);
            let spare = n - wanted;
            for id in 0..spare {
                cast.wake(id);
                assert!(task.poll(&mut quorum).is_pending(), "{wanted} of {n}");
            }
            cast.wake(spare);
            let Poll::Ready(Err(errors)) = task.poll(&mut quorum) else {
                panic!("{wanted} of {n} cannot be had any more");
            };
            assert_eq!(errors.into_inner(), Vec::from_iter(0..=spare));
            cast.assert_all_dropped_once();
        }
    }
}

#[test]
fn quorum_of_none_or_of_too_many_polls_no_child() {
    let (cast, task) = (Cast::new(3), Task::default());
    assert_eq!(task.poll(&mut group(&cast).quorum(0)), Poll::Ready(Ok(Vec::new())));
    assert_eq!(cast.polled(), []);
    cast.assert_all_dropped_once();

    let cast = Cast::new(3);
    let outcome = task.poll(&mut group(&cast).quorum(4));
    assert_eq!(outcome, Poll::Ready(Err(Errors::from_iter([]))));
    assert_eq!(cast.polled(), []);
    cast.assert_all_dropped_once();
}

/// More than any memory: nothing is reserved for values that cannot come.
#[test]
fn quorum_of_far_too_many_fails_at_once() {
    let group = Group::from_iter([ready(Ok::<u64, u64>(1))]);
    let outcome = Task::default().poll(&mut group.quorum(usize::MAX));
    assert_eq!(outcome, Poll::Ready(Err(Errors::from_iter([]))));
}

/// As a part of a policy that does not pass the start on.
#[test]
fn quorum_that_was_not_started_is_settled_by_its_children() {
    let mut far_too_many = EnoughOk::<u64, u64>::new(usize::MAX);
    let outcome = far_too_many.child_done(0, Ok(1), 2);
    assert_eq!(outcome, Break(Err(Errors::from_iter([]))));

    let mut none = EnoughOk::<u64, u64>::new(0);
    assert_eq!(none.child_done(0, Ok(1), 2), Break(Ok(vec![1])));
}

#[test]
fn empty_race_fails_without_errors() {
    let group = Group::<Ready<Result<u8, u8>>>::unboxed();
    let outcome = Task::default().poll(&mut group.race_ok());
    assert_eq!(outcome, Poll::Ready(Err(Errors::from_iter([]))));
}

#[test]
fn errors_are_one_error_that_shows_all() {
    let parse = |text: &str| text.parse::<u8>().unwrap_err();
    let errors = Errors::from_iter([parse("x"), parse("300"), parse("")]);
    assert_eq!(
        errors.to_string(),
        "3 errors: invalid digit found in string; number too large to fit in target type; \
         cannot parse integer from empty string"
    );
    assert!(errors.source().is_none());
    assert_eq!((&errors).into_iter().count(), 3);
    assert_eq!(errors.last(), Some(&parse("")));
    assert_eq!(errors.into_iter().next(), Some(parse("x")));
    assert_eq!(Errors::from_iter([parse("x")]).to_string(), parse("x").to_string());
    let boxed: Box<dyn Error + Send + Sync> = Errors::from_iter([parse("x")]).into();
    assert!(boxed.is::<Errors<std::num::ParseIntError>>());
}
