//! What a policy is told, and in which order: the children at the start, each that is done, the end.

mod kit;

use std::cell::RefCell;
use std::future::ready;
use std::ops::ControlFlow::{self, Break, Continue};
use std::rc::Rc;
use std::task::Poll;

use errgroup::{Group, Policy};
use futures::TryFutureExt;
use futures::future::FusedFuture;
use kit::{Act, Cast, Child, SIZES, Task, panic_of};
use proptest::prelude::*;

/// What a policy was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    Start(usize),
    Done { index: usize, output: Result<(), usize>, left: usize },
    Finish,
}

/// Writes down what it is told, and breaks when it has been told of so many children.
struct Record<'a> {
    told: &'a RefCell<Vec<Told>>,
    breaks_after: usize,
}

impl<'a> Record<'a> {
    fn new(told: &'a RefCell<Vec<Told>>, breaks_after: usize) -> Self {
        Self { told, breaks_after }
    }

    fn tell(&self, told: Told) {
        self.told.borrow_mut().push(told);
    }

    fn flow(&mut self) -> ControlFlow<&'static str> {
        if self.breaks_after == 0 {
            return Break("broken");
        }
        self.breaks_after -= 1;
        Continue(())
    }
}

impl Policy<Result<(), usize>> for Record<'_> {
    type Output = &'static str;

    fn start(&mut self, children: usize) -> ControlFlow<&'static str> {
        self.tell(Told::Start(children));
        self.flow()
    }

    fn child_done(
        &mut self,
        index: usize,
        output: Result<(), usize>,
        left: usize,
    ) -> ControlFlow<&'static str> {
        self.tell(Told::Done { index, output, left });
        self.flow()
    }

    fn finish(self) -> &'static str {
        self.tell(Told::Finish);
        "finished"
    }
}

#[test]
fn start_comes_once_before_the_first_poll_of_a_child() {
    for n in SIZES {
        let (cast, task, told) = (Cast::new(n), Task::default(), RefCell::default());
        let group: Group<Child> = cast.children().collect();
        let mut join = group.join_with(Record::new(&told, 0));
        assert_eq!(*told.borrow(), []);

        assert_eq!(task.poll(&mut join), Poll::Ready("broken"));
        assert_eq!(*told.borrow(), [Told::Start(n)]);
        assert_eq!(cast.polled(), []);
        assert_eq!(cast.dropped(), Vec::from_iter(0..n));
    }
}

#[test]
fn start_is_not_repeated_by_later_polls() {
    let (cast, task, told) = (Cast::new(2), Task::default(), RefCell::default());
    let group: Group<Child> = cast.children().collect();
    let mut join = group.join_with(Record::new(&told, usize::MAX));
    assert!(task.poll(&mut join).is_pending());
    assert!(task.poll(&mut join).is_pending());
    cast.tell_all(Act::Succeed);
    cast.wake(1);
    assert!(task.poll(&mut join).is_pending());
    cast.wake(0);
    assert_eq!(task.poll(&mut join), Poll::Ready("finished"));
    let done = |index, left| Told::Done { index, output: Ok(()), left };
    assert_eq!(*told.borrow(), [Told::Start(2), done(1, 1), done(0, 0), Told::Finish]);
}

#[test]
fn empty_group_starts_and_finishes() {
    let (task, told) = (Task::default(), RefCell::default());
    let mut join = Group::<Child>::unboxed().join_with(Record::new(&told, usize::MAX));
    assert_eq!(task.poll(&mut join), Poll::Ready("finished"));
    assert_eq!(*told.borrow(), [Told::Start(0), Told::Finish]);
}

#[test]
fn siblings_are_dropped_before_a_break_shows() {
    for n in SIZES {
        let (cast, task, told) = (Cast::new(n), Task::default(), RefCell::default());
        cast.tell(0, Act::Succeed);
        let group: Group<Child> = cast.children().collect();
        let mut join = group.join_with(Record::new(&told, 1));
        assert!(!join.is_terminated());

        assert_eq!(task.poll(&mut join), Poll::Ready("broken"));
        assert_eq!(cast.polled(), [0]);
        cast.assert_all_dropped_once();
        assert_eq!(cast.dropped(), Vec::from_iter(0..n));
        assert!(join.is_terminated());
    }
}

/// The policy is asked before the next queued child starts.
#[test]
fn queued_child_does_not_start_after_a_break() {
    let (cast, task, told) = (Cast::new(3), Task::default(), RefCell::default());
    cast.tell_all(Act::Succeed);
    let mut group = Group::unboxed().with_limit(1);
    group.extend(cast.children());
    let mut join = group.join_with(Record::new(&told, 1));
    assert_eq!(task.poll(&mut join), Poll::Ready("broken"));
    assert_eq!(cast.polled(), [0]);
    assert_eq!(cast.dropped(), [0, 1, 2]);
}

#[test]
fn index_is_that_of_insertion_in_any_order_of_completion() {
    for n in [3, 32, 65] {
        let (cast, task, told) = (Cast::new(n), Task::default(), RefCell::default());
        let group: Group<Child> = cast.children().collect();
        let mut join = group.join_with(Record::new(&told, usize::MAX));
        assert!(task.poll_while_woken(&mut join).is_pending());
        told.take();
        for (done, id) in (0..n).map(|id| id * 7 % n).enumerate() {
            cast.tell(id, Act::Fail);
            cast.wake(id);
            let last = task.poll(&mut join).is_ready();
            let left = n - done - 1;
            assert_eq!(last, left == 0);
            assert_eq!(told.take()[0], Told::Done { index: id, output: Err(id), left });
        }
    }
}

#[test]
fn policy_that_panics_takes_the_children_along() {
    struct Panics;
    impl Policy<Result<(), usize>> for Panics {
        type Output = ();
        fn child_done(&mut self, index: usize, _: Result<(), usize>, _: usize) -> ControlFlow<()> {
            panic!("told of child {index}");
        }
        fn finish(self) {}
    }

    let (cast, task) = (Cast::new(5), Task::default());
    cast.tell(3, Act::Succeed);
    let mut join = cast.children().collect::<Group<Child>>().join_with(Panics);
    assert_eq!(panic_of(|| task.poll(&mut join)), "told of child 3");
    cast.assert_all_dropped_once();
    assert!(join.is_terminated());
    let text = panic_of(|| task.poll(&mut join));
    assert_eq!(text, "a join was polled after it had resolved or panicked");
}

#[test]
fn policy_that_panics_at_the_start_takes_the_children_along() {
    struct Panics;
    impl Policy<Result<(), usize>> for Panics {
        type Output = ();
        fn start(&mut self, children: usize) -> ControlFlow<()> {
            panic!("told of {children} children");
        }
        fn child_done(&mut self, _: usize, _: Result<(), usize>, _: usize) -> ControlFlow<()> {
            Continue(())
        }
        fn finish(self) {}
    }

    let (cast, task) = (Cast::new(5), Task::default());
    let mut join = cast.children().collect::<Group<Child>>().join_with(Panics);
    assert_eq!(panic_of(|| task.poll(&mut join)), "told of 5 children");
    cast.assert_all_dropped_once();
    assert!(join.is_terminated());
}

/// Here as the policy goes with the values it has kept, when another child has failed.
#[test]
fn policy_that_panics_in_its_drop_takes_the_children_along() {
    struct PanicsOnDrop;
    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            panic!("drop of a value");
        }
    }

    let (cast, task, error) = (Cast::new(3), Task::default(), Rc::new(()));
    cast.tell(0, Act::Succeed);
    cast.tell(2, Act::Fail);
    let children = cast.children().map(|child| {
        let error = error.clone();
        child.map_ok(|()| PanicsOnDrop).map_err(|_| error)
    });
    let mut join = children.collect::<Group<_>>().try_join();
    assert_eq!(panic_of(|| task.poll(&mut join)), "drop of a value");
    cast.assert_all_dropped_once();
    assert_eq!(Rc::strong_count(&error), 1, "the outcome leaks");
    assert!(join.is_terminated());
}

#[test]
fn policy_that_panics_at_the_end_leaves_the_join_terminated() {
    struct Panics;
    impl Policy<Result<(), usize>> for Panics {
        type Output = ();
        fn child_done(&mut self, _: usize, _: Result<(), usize>, _: usize) -> ControlFlow<()> {
            Continue(())
        }
        fn finish(self) {
            panic!("told of the end");
        }
    }

    let (cast, task) = (Cast::new(2), Task::default());
    cast.tell_all(Act::Succeed);
    let mut join = cast.children().collect::<Group<Child>>().join_with(Panics);
    assert_eq!(panic_of(|| task.poll(&mut join)), "told of the end");
    cast.assert_all_dropped_once();
    assert!(join.is_terminated());
}

#[test]
fn join_that_has_resolved_panics_when_polled_again() {
    let (cast, task) = (Cast::new(1), Task::default());
    let mut join = cast.children().collect::<Group<Child>>().join();
    assert!(task.poll(&mut join).is_pending());
    assert!(!join.is_terminated());
    cast.tell(0, Act::Succeed);
    cast.wake(0);
    assert_eq!(task.poll(&mut join), Poll::Ready(vec![Ok(())]));
    assert!(join.is_terminated());
    let text = panic_of(|| task.poll(&mut join));
    assert_eq!(text, "a join was polled after it had resolved or panicked");
}

#[test]
fn queued_children_are_among_those_left() {
    let (cast, task, told) = (Cast::new(3), Task::default(), RefCell::default());
    cast.tell_all(Act::Succeed);
    let mut group = Group::unboxed().with_limit(1);
    group.extend(cast.children());
    let mut join = group.join_with(Record::new(&told, usize::MAX));
    assert_eq!(task.poll(&mut join), Poll::Ready("finished"));
    let done = |index, left| Told::Done { index, output: Ok(()), left };
    assert_eq!(*told.borrow(), [Told::Start(3), done(0, 2), done(1, 1), done(2, 0), Told::Finish]);
}

/// A child lost to a panic must not be missing from an outcome.
#[test]
fn join_shows_no_outcome_after_a_child_has_panicked() {
    let (cast, task) = (Cast::new(3), Task::default());
    cast.tell_all(Act::Succeed);
    cast.tell(1, Act::Panic);
    let mut join = cast.children().collect::<Group<Child>>().try_join();
    assert_eq!(panic_of(|| task.poll(&mut join)), "poll of child 1");
    cast.assert_all_dropped_once();
    let text = panic_of(|| task.poll(&mut join));
    assert_eq!(text, "a join was polled after it had resolved or panicked");
}

/// One step in the life of a group before it is joined. Numbers choose among what there is.
#[derive(Clone, Copy, Debug)]
enum Step {
    Push,
    Extend(usize),
    Remove(usize),
    Complete(usize),
    Limit(usize),
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => Just(Step::Push),
        2 => (0..20_usize).prop_map(Step::Extend),
        4 => any::<usize>().prop_map(Step::Remove),
        4 => any::<usize>().prop_map(Step::Complete),
        1 => (1..9_usize).prop_map(Step::Limit),
        1 => Just(Step::Clear),
    ];
    prop::collection::vec(step, 0..if cfg!(miri) { 20 } else { 80 })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 5 } else { 500 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever came before the join: the place of a child is that among those that are left.
    #[test]
    fn index_counts_the_children_that_are_left(steps in steps()) {
        const MOST: usize = 80 * 20;
        let (cast, task, told) = (Cast::new(MOST), Task::default(), RefCell::default());
        let mut ids = 0..;
        let mut group = Group::unboxed();
        // The children that are in the group, in order of insertion.
        let mut left = Vec::new();
        let mut add = |group: &mut Group<Child>, left: &mut Vec<_>| {
            let id = ids.next().unwrap();
            left.push((id, group.push(cast.child(id))));
        };
        for step in steps {
            match step {
                Step::Push => add(&mut group, &mut left),
                Step::Extend(n) => (0..n).for_each(|_| add(&mut group, &mut left)),
                Step::Remove(n) if !left.is_empty() => {
                    let (_, key) = left.remove(n % left.len());
                    assert!(group.remove(key));
                }
                Step::Complete(n) if !left.is_empty() => {
                    assert!(task.poll_while_woken(&mut group.next()).is_pending());
                    let running: Vec<_> = left.iter().filter(|(id, _)| cast.polls(*id) > 0).collect();
                    let id = running[n % running.len()].0;
                    left.retain(|(other, _)| *other != id);
                    cast.tell(id, Act::Fail);
                    cast.wake(id);
                    assert_eq!(task.poll(&mut group.next()), Poll::Ready(Some(Err(id))));
                }
                Step::Remove(_) | Step::Complete(_) => {}
                Step::Limit(n) => group = group.with_limit(n),
                Step::Clear => {
                    group.clear();
                    left.clear();
                }
            }
        }
        cast.tell_all(Act::Fail);
        (0..MOST).filter(|id| cast.polls(*id) > 0 && cast.drops(*id) == 0).for_each(|id| cast.wake(id));
        let mut join = group.join_with(Record::new(&told, usize::MAX));
        assert_eq!(task.poll_while_woken(&mut join), Poll::Ready("finished"));

        let told = told.into_inner();
        assert_eq!(told.first(), Some(&Told::Start(left.len())));
        assert_eq!(told.last(), Some(&Told::Finish));
        let mut by_index: Vec<_> = told.iter().filter_map(|told| match told {
            Told::Done { index, output, .. } => Some((*index, output.unwrap_err())),
            _ => None,
        }).collect();
        by_index.sort_unstable();
        let expected: Vec<_> = left.iter().map(|(id, _)| *id).enumerate().collect();
        assert_eq!(by_index, expected);
    }
}

#[test]
fn group_of_other_outputs_is_joined_with_a_policy() {
    struct Longest(&'static str);
    impl Policy<&'static str> for Longest {
        type Output = &'static str;
        fn child_done(
            &mut self,
            _: usize,
            word: &'static str,
            _: usize,
        ) -> ControlFlow<Self::Output> {
            if word.len() > self.0.len() {
                self.0 = word;
            }
            Continue(())
        }
        fn finish(self) -> &'static str {
            self.0
        }
    }
    let words: Group<_> = ["one", "three", "five"].map(ready).into_iter().collect();
    assert_eq!(Task::default().poll(&mut words.join_with(Longest(""))), Poll::Ready("three"));
}
