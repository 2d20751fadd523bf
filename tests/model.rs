//! Random sequences of operations against a naive model of what a group may and must do.

mod kit;

use std::collections::VecDeque;
use std::task::Poll;

use errgroup::{Group, Key};
use kit::{Act, Cast, Child, Task};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

#[derive(Clone, Debug)]
enum Op {
    Add {
        count: usize,
        plan: Plan,
    },
    /// Wakes a child that was polled, dead or alive.
    Wake(Index),
    /// Lets a child that was polled end, and wakes it.
    End {
        whom: Index,
        plan: Plan,
    },
    /// Removes with a key that may be stale.
    Remove(Index),
    Clear,
    /// Polls `next()` once, by one task or the other.
    Poll(usize),
    /// Polls `next()` until it is ready or nothing is left to poll.
    Drive(usize),
}

#[derive(Clone, Copy, Debug)]
enum Plan {
    Wait,
    Yield(usize),
    Fail,
}

fn plan() -> impl Strategy<Value = Plan> {
    prop_oneof![
        3 => Just(Plan::Wait),
        3 => (0..4_usize).prop_map(Plan::Yield),
        1 => Just(Plan::Fail),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let add = |count, plan| Op::Add { count, plan };
    prop_oneof![
        6 => plan().prop_map(move |plan| add(1, plan)),
        1 => (2..70_usize, plan()).prop_map(move |(count, plan)| add(count, plan)),
        6 => any::<Index>().prop_map(Op::Wake),
        4 => (any::<Index>(), plan()).prop_map(|(whom, plan)| Op::End { whom, plan }),
        3 => any::<Index>().prop_map(Op::Remove),
        1 => Just(Op::Clear),
        5 => (0..2_usize).prop_map(Op::Poll),
        3 => (0..2_usize).prop_map(Op::Drive),
    ]
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Queued,
    /// `due` while it is new, or woken and not polled since.
    Running {
        due: bool,
    },
    Gone,
}

/// What a group should look like; starts the queued as early as they may start.
struct Model {
    limit: usize,
    children: Vec<(State, Plan)>,
    queue: VecDeque<usize>,
    running: usize,
    finished: usize,
    /// Polls beyond the one that a wake leads to: of whoever has the slot of a dead child that was
    /// woken, and of a child that was woken again when a round had taken it up already.
    spurious: usize,
}

impl Model {
    fn alive(&self) -> Vec<usize> {
        let alive = |id: &usize| self.children[*id].0 != State::Gone;
        (0..self.children.len()).filter(alive).collect()
    }

    fn due(&self) -> bool {
        let due = State::Running { due: true };
        self.children.iter().any(|child| child.0 == due)
    }

    fn add(&mut self, plan: Plan) {
        self.queue.push_back(self.children.len());
        self.children.push((State::Queued, plan));
        self.fill();
    }

    fn fill(&mut self) {
        while self.running < self.limit {
            let Some(id) = self.queue.pop_front() else {
                return;
            };
            self.children[id].0 = State::Running { due: true };
            self.running += 1;
        }
    }

    fn wake(&mut self, id: usize) {
        match &mut self.children[id].0 {
            State::Running { due } => {
                self.spurious += usize::from(*due);
                *due = true;
            }
            State::Gone => self.spurious += 1,
            State::Queued => panic!("child {id} was polled as it was queued"),
        }
    }

    fn remove(&mut self, id: usize) -> bool {
        match self.children[id].0 {
            State::Gone => return false,
            State::Queued => self.queue.retain(|queued| *queued != id),
            State::Running { due } => {
                self.running -= 1;
                // A ready bit that no poll has used stays with the slot.
                self.spurious += usize::from(due);
            }
        }
        self.children[id].0 = State::Gone;
        self.fill();
        true
    }

    /// The child was polled; tells what it ended with, if it did.
    fn poll(&mut self, id: usize) -> Option<Result<(), usize>> {
        let (State::Running { due }, plan) = &mut self.children[id] else {
            panic!("child {id} was polled but does not run");
        };
        if !*due {
            assert!(self.spurious > 0, "child {id} was polled unwoken");
            self.spurious -= 1;
        }
        *due = false;
        let outcome = match plan {
            Plan::Wait => return None,
            Plan::Yield(left @ 1..) => {
                *left -= 1;
                *due = true;
                return None;
            }
            Plan::Yield(0) => Ok(()),
            Plan::Fail => Err(id),
        };
        self.remove(id);
        self.finished += 1;
        Some(outcome)
    }
}

fn tell(cast: &Cast, id: usize, plan: Plan) {
    let act = match plan {
        Plan::Wait => Act::Wait,
        Plan::Yield(left) => Act::Yield(left),
        Plan::Fail => Act::Fail,
    };
    cast.tell(id, act);
}

/// A group beside its model, and two tasks that poll it.
struct Run {
    cast: Cast,
    tasks: [Task; 2],
    group: Group<Child>,
    keys: Vec<Key>,
    model: Model,
    /// The children that were polled and so have wakers.
    known: Vec<usize>,
    /// The task whose last poll was pending, and the wakes it got since.
    parked: Option<(usize, usize)>,
}

impl Run {
    fn new(limit: Option<usize>, room: usize) -> Run {
        let group = Group::unboxed();
        Run {
            cast: Cast::new(room),
            tasks: Default::default(),
            group: match limit {
                Some(limit) => group.with_limit(limit),
                None => group,
            },
            keys: Vec::new(),
            model: Model {
                limit: limit.unwrap_or(usize::MAX),
                children: Vec::new(),
                queue: VecDeque::new(),
                running: 0,
                finished: 0,
                spurious: 0,
            },
            known: Vec::new(),
            parked: None,
        }
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Add { count, plan } => (0..count).for_each(|_| self.add(plan)),
            Op::Wake(whom) => self.wake(whom, None),
            Op::End { whom, plan } => self.wake(whom, Some(plan)),
            Op::Remove(whom) if !self.keys.is_empty() => self.remove(whom.index(self.keys.len())),
            Op::Remove(_) => {}
            Op::Clear => self.clear(),
            Op::Poll(by) => {
                self.poll(by);
            }
            Op::Drive(by) => while !self.poll(by) {},
        }
        self.count_wakes();
        let (group, model) = (&self.group, &self.model);
        assert_eq!(group.len(), model.alive().len());
        assert_eq!(group.is_empty(), model.alive().is_empty());
        assert_eq!(group.running() + group.queued(), group.len());
        assert!(group.running() <= model.running);
        assert_eq!(group.finished(), model.finished);
    }

    /// At most one wake for the parked task, and none for the other.
    fn count_wakes(&mut self) {
        let wakes = [self.tasks[0].wakes(), self.tasks[1].wakes()];
        if let Some((by, before)) = &mut self.parked {
            *before += wakes[*by];
            assert!(*before <= 1, "the task was woken {before} times");
            assert_eq!(wakes[1 - *by], 0, "the wrong task was woken");
        }
    }

    fn add(&mut self, plan: Plan) {
        let id = self.keys.len();
        tell(&self.cast, id, plan);
        self.keys.push(self.group.push(self.cast.child(id)));
        self.model.add(plan);
    }

    fn wake(&mut self, whom: Index, plan: Option<Plan>) {
        if self.known.is_empty() {
            return;
        }
        let id = self.known[whom.index(self.known.len())];
        if let Some(plan) = plan {
            tell(&self.cast, id, plan);
            self.model.children[id].1 = plan;
        }
        self.cast.wake(id);
        self.model.wake(id);
        self.count_wakes();
        let lives = self.model.children[id].0 != State::Gone;
        if let (Some((_, wakes)), true) = (self.parked, lives) {
            assert_eq!(wakes, 1, "the task was not woken for child {id}");
        }
    }

    fn remove(&mut self, id: usize) {
        let removed = self.group.remove(self.keys[id]);
        assert_eq!(removed, self.model.remove(id), "removal of child {id}");
        let dropped = self.cast.dropped();
        assert_eq!(dropped, if removed { vec![id] } else { vec![] });
    }

    fn clear(&mut self) {
        let alive = self.model.alive();
        self.group.clear();
        self.assert_dropped(alive);
    }

    fn assert_dropped(&mut self, alive: Vec<usize>) {
        let mut dropped = self.cast.dropped();
        dropped.sort_unstable();
        assert_eq!(dropped, alive);
        for id in alive {
            let due = State::Running { due: true };
            self.model.spurious += usize::from(self.model.children[id].0 == due);
            self.model.children[id].0 = State::Gone;
        }
        self.model.queue.clear();
        self.model.running = 0;
    }

    /// Polls once and holds what happened against the model; tells whether there is no more to do.
    fn poll(&mut self, by: usize) -> bool {
        self.count_wakes();
        self.parked = None;
        let poll = self.tasks[by].poll(&mut self.group.next());
        let woken = self.tasks[by].wakes() > 0;

        let polled = self.cast.polled();
        assert!(polled.len() <= 1_024);
        let mut outcome = None;
        for id in polled {
            assert_eq!(outcome, None, "child {id} was polled after a completion");
            outcome = self.model.poll(id).map(|outcome| (id, outcome));
            if !self.known.contains(&id) {
                self.known.push(id);
            }
        }
        let dropped = Vec::from_iter(outcome.map(|(id, _)| id));
        assert_eq!(self.cast.dropped(), dropped);
        match poll {
            Poll::Ready(Some(value)) => {
                assert_eq!(outcome.map(|(_, outcome)| outcome), Some(value));
                true
            }
            Poll::Ready(None) => {
                assert_eq!((outcome, self.model.alive()), (None, vec![]));
                true
            }
            Poll::Pending => {
                assert_eq!(outcome, None);
                assert_ne!(self.model.alive(), [], "an empty group is pending");
                assert_eq!(self.group.running(), self.model.running);
                assert!(woken || !self.model.due(), "a child is stranded");
                self.parked = (!woken).then_some((by, 0));
                !woken
            }
        }
    }

    fn end(mut self) {
        let alive = self.model.alive();
        drop(std::mem::replace(&mut self.group, Group::unboxed()));
        self.assert_dropped(alive);
        self.count_wakes();
        self.known.iter().for_each(|id| self.cast.wake(*id));
        for task in &self.tasks {
            assert_eq!((task.wakes(), task.wakers()), (0, 0));
        }
        assert_eq!(self.cast.polled(), []);
        assert!((0..self.keys.len()).all(|id| self.cast.drops(id) == 1));
    }
}

fn run(limit: Option<usize>, ops: Vec<Op>) {
    let adds = |op: &Op| match op {
        Op::Add { count, .. } => *count,
        _ => 0,
    };
    let mut run = Run::new(limit, ops.iter().map(adds).sum());
    ops.into_iter().for_each(|op| run.step(op));
    run.end();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn group_does_as_the_model(ops in vec(op(), 0..150)) {
        run(None, ops);
    }

    #[test]
    fn group_under_a_limit_does_as_the_model(limit in 1..=5_usize, ops in vec(op(), 0..150)) {
        run(Some(limit), ops);
    }
}
