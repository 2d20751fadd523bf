//! What groups may and must do. The model knows of children and of who was woken, and nothing of how
//! a group finds whom to poll; that a slot is used again it sees by the address of the child.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt::{Debug, Display};
use std::mem;
use std::ops::Range;
use std::task::Waker;
use std::thread;

use super::handle::{Handle, Refusal};
use super::naive::AnyGroup;
use super::{Add, How, Plan, Script, Touch, Whom};

/// What a child ends with: its own number as the error.
pub(crate) type Outcome = Result<(), usize>;

/// The children and groups of one run, dead or alive.
///
/// Told what happens as it happens, it keeps the first thing that must not be: a panic from within
/// a child could abort the run.
#[derive(Default)]
pub(crate) struct Model {
    children: Vec<Child>,
    groups: Vec<Group>,
    inboxes: Vec<Inbox>,
    /// The handles that the program keeps.
    handles: VecDeque<Handle>,
    max_children: usize,
    /// The children that were made, and the drops of children.
    made: usize,
    drops: usize,
    /// The children that have come to a group.
    arrivals: usize,
    living: BTreeSet<usize>,
    /// The dead whose wakers live on.
    stale: Vec<usize>,
    /// Groups within children that were dropped in this step.
    gone: Vec<usize>,
    /// Drops that nothing has accounted for yet.
    unsettled: usize,
    clock: Time,
    /// The child whose panic is on its way.
    raised: Option<usize>,
    fault: Option<String>,
}

/// How the poll of a group ended.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Ended {
    /// A group within a group does not know whether its task was woken.
    Pending {
        woken: Option<bool>,
    },
    Next(Option<Outcome>),
    Whole(Outcome),
    Unwound,
}

type Time = usize;

struct Child {
    group: usize,
    /// The group that this child is.
    inner: Option<usize>,
    state: State,
    script: Script,
    /// The children that it may add, of which each adds the next one: so that their numbers do not
    /// depend on who is polled first.
    line: Range<usize>,
    /// Its place in the order in which children came to their groups.
    arrival: usize,
    /// Since when it waits for a poll.
    due: Option<Time>,
    /// Its last poll, and the one before.
    polled: [Option<Time>; 2],
    address: Option<usize>,
    wakers: Vec<Waker>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum State {
    Outside,
    /// It has come by a handle, and the group has not taken it in.
    Arrived,
    Queued,
    Running,
    Done,
    Dropped,
}

struct Group {
    /// The child that this group is.
    parent: Option<usize>,
    /// Not so for the naive group, which polls whom it likes.
    is_real: bool,
    limit: usize,
    living: BTreeSet<usize>,
    /// Who has come by handles, but who its last poll `may_have_taken_in`.
    arrived: VecDeque<usize>,
    may_have_taken_in: bool,
    running: usize,
    finished: usize,
    queue: VecDeque<usize>,
    /// What its handles lead to, until it ends.
    inbox: Option<usize>,
    /// Children that are gone, but that `try_push` by a handle may still count.
    counted: usize,
    /// Whether its last poll was pending, so that what arrives wakes the task.
    waits: bool,
    /// Who waits for a poll, since when; out of date where the child says otherwise.
    due: VecDeque<(Time, usize)>,
    /// The polls that wakes may still lead to, for each slot: one that a round has taken up, and one
    /// more. So a child that is woken in between may be polled once too often, and so may one in the
    /// slot of a dead child that was woken.
    marks: HashMap<usize, u8>,
    /// Whether no round is under way, as the last poll found nothing more to do.
    is_quiet: bool,
    /// When a poll last began so, and with it a round.
    round: Time,
    poll: Option<Polling>,
    /// Wakes since the last poll began or ended.
    wakes: usize,
    /// Whether one of them was of a running child.
    owes_wake: bool,
    /// Children that are done or removed, and who was dropped, since this was last settled.
    leaving: Vec<usize>,
    dropped: Vec<usize>,
    /// Whether a child was dropped, and whether another was added after that.
    was_vacated: bool,
    was_reused: bool,
    is_ended: bool,
}

#[derive(Clone, Copy)]
struct Inbox {
    group: usize,
    is_open: bool,
}

/// A group that is being polled.
struct Polling {
    /// Whether it is the group's own poll, not that of its `next()`.
    whole: bool,
    began: Time,
    from_quiet: bool,
    /// The polls of children that there may be, and that there were.
    most: usize,
    polls: usize,
    /// The children that came meanwhile: to take them in may be as much work as so many polls.
    arrived: usize,
    /// The patience that it may have lost by children that stay pending, and that it must have lost.
    lost: usize,
    surely_lost: usize,
    /// The outcome of the last child that was done.
    outcome: Option<Outcome>,
    /// The child whose poll is under way.
    now: Option<usize>,
    /// When the last child had come that was polled for the first time.
    last_fresh: Option<usize>,
}

const MIN_POLLS: usize = 256;
const PATIENCE: usize = 256;
/// What a child takes of the patience that wakes itself. One that was woken takes 1, and a new one
/// nothing.
const SELF_WAKE: usize = 8;

impl Model {
    /// For so many children at most.
    pub(crate) fn new(max_children: usize) -> Model {
        Model { max_children, ..Model::default() }
    }

    pub(crate) fn expect(&mut self, holds: bool, fault: impl Display) {
        if !holds && self.fault.is_none() {
            self.fault = Some(fault.to_string());
        }
    }

    fn expect_eq<T: PartialEq + Debug>(&mut self, found: T, expected: T, what: &str) {
        let holds = found == expected;
        self.expect(holds, format_args!("{what}: {found:?} instead of {expected:?}"));
    }

    pub(crate) fn fault(&mut self) -> Option<String> {
        self.fault.take()
    }

    fn tick(&mut self) -> Time {
        self.clock += 1;
        self.clock
    }

    pub(crate) fn add_group(&mut self, parent: Option<usize>, is_real: bool) -> usize {
        let group = self.groups.len();
        if let Some(parent) = parent {
            self.children[parent].inner = Some(group);
        }
        self.groups.push(Group {
            parent,
            is_real,
            limit: usize::MAX,
            living: BTreeSet::new(),
            arrived: VecDeque::new(),
            may_have_taken_in: false,
            running: 0,
            finished: 0,
            queue: VecDeque::new(),
            inbox: None,
            counted: 0,
            waits: false,
            due: VecDeque::new(),
            marks: HashMap::new(),
            is_quiet: true,
            round: 0,
            poll: None,
            wakes: 0,
            owes_wake: false,
            leaving: Vec::new(),
            dropped: Vec::new(),
            was_vacated: false,
            was_reused: false,
            is_ended: false,
        });
        group
    }

    pub(crate) fn end_group(&mut self, group: usize) {
        self.close(group);
        self.groups[group].is_ended = true;
    }

    /// A group gives out a handle; gives the number of the inbox that it leads to.
    pub(crate) fn open(&mut self, group: usize) -> usize {
        let (inboxes, group_) = (&mut self.inboxes, &mut self.groups[group]);
        *group_.inbox.get_or_insert_with(|| {
            group_.counted = 0;
            inboxes.push(Inbox { group, is_open: true });
            inboxes.len() - 1
        })
    }

    /// A group ends, and with that its handles are closed.
    pub(crate) fn close(&mut self, group: usize) {
        if let Some(inbox) = self.groups[group].inbox.take() {
            self.inboxes[inbox].is_open = false;
        }
    }

    /// The group that a child is goes with it.
    pub(crate) fn close_inner(&mut self, id: usize) {
        if let Some(inner) = self.children[id].inner {
            self.close(inner);
        }
    }

    pub(crate) fn group_of(&self, inbox: usize) -> usize {
        self.inboxes[inbox].group
    }

    /// Keeps a handle, and lets go of the oldest one where there are many.
    pub(crate) fn keep(&mut self, handle: Handle) {
        self.handles.push_back(handle);
        if self.handles.len() > 8 {
            self.handles.pop_front();
        }
    }

    pub(crate) fn pick_handle(&self, by: u8) -> Option<Handle> {
        self.handles.get(usize::from(by) % self.handles.len().max(1)).cloned()
    }

    pub(crate) fn take_handle(&mut self, which: u8) -> Option<Handle> {
        self.handles.remove(usize::from(which) % self.handles.len().max(1))
    }

    /// What a child with this script is to add others by.
    pub(crate) fn handle_for(&self, script: Script) -> Option<Handle> {
        script.touch.add().and_then(|add| self.pick_handle(add.by))
    }

    /// A handle is closed since its group has ended, and not before.
    pub(crate) fn look_at(&mut self, handle: &Handle) {
        let is_open = self.inboxes[handle.inbox].is_open;
        self.expect_eq(handle.is_closed(), !is_open, "whether a handle is closed");
    }

    pub(crate) fn look_at_handles(&mut self) {
        let handles = mem::take(&mut self.handles);
        handles.iter().for_each(|handle| self.look_at(handle));
        self.handles = handles;
    }

    /// A child that is still to enter its group; none where there are too many.
    pub(crate) fn add(&mut self, group: usize, script: Script) -> Option<usize> {
        let id = self.children.len();
        if id == self.max_children {
            return None;
        }
        self.children.push(Child {
            group,
            inner: None,
            state: State::Outside,
            script,
            line: 0..0,
            arrival: 0,
            due: None,
            polled: [None, None],
            address: None,
            wakers: Vec::new(),
        });
        self.set_script(id, script);
        Some(id)
    }

    /// Gives a child a script, and the numbers of those that it may add.
    fn set_script(&mut self, id: usize, script: Script) {
        self.children[id].script = script;
        let Some(Add { line, .. }) = script.touch.add() else { return };
        let first = self.children.len();
        let plain = Script { touch: Touch::Nothing, ..script };
        let line = (0..line).map_while(|_| self.add(self.children[id].group, plain)).count();
        self.children[id].line = first..first + line;
    }

    /// The child that this one is about to add.
    pub(crate) fn next_of(&mut self, id: usize, script: Script, inbox: usize) -> Option<usize> {
        let add = script.touch.add()?;
        let (group, home) = (self.inboxes[inbox].group, self.children[id].group);
        if add.at_home && group != home {
            return None;
        }
        let mut line = mem::replace(&mut self.children[id].line, 0..0);
        let next = line.next()?;
        let touch = if line.is_empty() { Touch::Nothing } else { script.touch };
        let child = &mut self.children[next];
        (child.group, child.script, child.line) = (group, Script { touch, ..script }, line);
        Some(next)
    }

    pub(crate) fn make_child(&mut self) {
        self.made += 1;
    }

    /// Each child that was made was dropped; that it was so only once is seen as it happens.
    pub(crate) fn expect_all_dropped(&mut self) {
        let (made, drops) = (self.made, self.drops);
        self.expect_eq(drops, made, "the children that were dropped");
    }

    pub(crate) fn living(&self) -> &BTreeSet<usize> {
        &self.living
    }

    pub(crate) fn is_full(&self, group: usize) -> bool {
        self.groups[group].living.len() >= self.groups[group].limit
    }

    /// A child is added by the group itself.
    pub(crate) fn enter(&mut self, id: usize) {
        let number = self.children[id].group;
        self.come(id);
        self.extend(number);
    }

    /// The group takes in what has come, as it does before it adds children itself.
    pub(crate) fn extend(&mut self, number: usize) {
        self.take_in(number);
        self.groups[number].counted = 0;
    }

    /// A child was added by a handle, or has come back.
    pub(crate) fn arrive(
        &mut self,
        id: usize,
        inbox: usize,
        tries: bool,
        refusal: Option<Refusal>,
    ) {
        let Inbox { group: number, is_open } = self.inboxes[inbox];
        let group = &self.groups[number];
        // Within a poll, the handles may count those that it has seen the end of.
        let may_be_full = group.living.len() + group.counted >= group.limit;
        let expected = match refusal {
            _ if !is_open => Some(Refusal::Closed),
            Some(Refusal::Full) if tries && may_be_full => refusal,
            _ => (tries && self.is_full(number)).then_some(Refusal::Full),
        };
        self.expect(
            refusal == expected,
            format_args!("child {id} was refused as {refusal:?}, not {expected:?}"),
        );
        if refusal.is_some() {
            return;
        }
        self.come(id);
        let group = &mut self.groups[number];
        if let Some(poll) = &mut group.poll {
            poll.arrived += 1;
        } else {
            let surely = group.waits;
            group.wakes += 1;
            group.owes_wake |= surely;
            self.pass_on_wake(number, surely);
        }
    }

    fn come(&mut self, id: usize) {
        self.arrivals += 1;
        let child = &mut self.children[id];
        let group = &mut self.groups[child.group];
        child.state = State::Arrived;
        child.arrival = self.arrivals;
        group.living.insert(id);
        group.arrived.push_back(id);
        self.living.insert(id);
    }

    /// The group takes in what has come.
    fn take_in(&mut self, number: usize) {
        while self.take_in_next(number).is_some() {}
    }

    /// Who came first runs, as far as the limit allows.
    fn take_in_next(&mut self, number: usize) -> Option<usize> {
        let group = &mut self.groups[number];
        let id = group.arrived.pop_front()?;
        let others = group.living.len() - group.arrived.len() - 1;
        group.was_reused |= group.was_vacated;
        if others < group.limit {
            self.start(id);
        } else {
            group.queue.push_back(id);
            self.children[id].state = State::Queued;
        }
        Some(id)
    }

    fn start(&mut self, id: usize) {
        let now = self.tick();
        let child = &mut self.children[id];
        let group = &mut self.groups[child.group];
        child.state = State::Running;
        child.due = Some(now);
        group.due.push_back((now, id));
        group.running += 1;
    }

    /// Since when a child of the group waits for a poll.
    fn oldest_due(&mut self, group: usize) -> Option<Time> {
        let due = &mut self.groups[group].due;
        while let Some((since, id)) = due.front() {
            if self.children[*id].due == Some(*since) {
                return Some(*since);
            }
            due.pop_front();
        }
        None
    }

    fn start_queued(&mut self, group: usize) {
        while self.groups[group].running < self.groups[group].limit {
            let Some(id) = self.groups[group].queue.pop_front() else { return };
            self.start(id);
        }
    }

    pub(crate) fn limit(&mut self, number: usize, limit: usize) {
        self.take_in(number);
        let group = &mut self.groups[number];
        group.limit = limit;
        for id in &group.living {
            let child = &mut self.children[*id];
            if child.state == State::Running && child.polled[0].is_none() {
                child.state = State::Queued;
                child.due = None;
                group.running -= 1;
                group.queue.push_back(*id);
            }
        }
        group.may_have_taken_in = false;
        let arrival = |id: &usize| self.children[*id].arrival;
        group.queue.make_contiguous().sort_unstable_by_key(arrival);
        self.start_queued(number);
    }

    /// The child is about to be removed; says whether it is there.
    pub(crate) fn remove(&mut self, id: usize) -> bool {
        let lives = self.living.contains(&id);
        if lives {
            self.groups[self.children[id].group].leaving.push(id);
        }
        lives
    }

    fn pick(&self, whom: Whom) -> Option<usize> {
        let id = match whom {
            Whom::Living(n) => self.living.iter().nth(usize::from(n) % self.living.len().max(1)),
            Whom::Dead(n) => self.stale.get(usize::from(n) % self.stale.len().max(1)),
        };
        id.copied().filter(|id| !self.children[*id].wakers.is_empty())
    }

    pub(crate) fn tell(&mut self, whom: u8, script: Script) {
        if let Some(id) = self.pick(Whom::Living(whom)) {
            self.set_script(id, script);
            self.wake(id);
        }
    }

    pub(crate) fn wake_by(&mut self, whom: Whom, how: How) {
        let Some(id) = self.pick(whom) else { return };
        match how {
            How::Borrow => self.wake(id),
            How::Clone => {
                let waker = self.children[id].wakers[0].clone();
                self.note_wake(id, true);
                waker.wake();
            }
            How::Consume => {
                let waker = self.take_waker(id);
                self.note_wake(id, true);
                waker.wake();
            }
        }
    }

    pub(crate) fn wake_living(&mut self, whom: u8) {
        self.wake_by(Whom::Living(whom), How::Borrow);
    }

    pub(crate) fn drop_waker(&mut self, whom: Whom) {
        if let Some(id) = self.pick(whom) {
            drop(self.take_waker(id));
        }
    }

    fn take_waker(&mut self, id: usize) -> Waker {
        let wakers = &mut self.children[id].wakers;
        let waker = wakers.pop().expect("picked for its wakers");
        if wakers.is_empty() {
            self.stale.retain(|stale| *stale != id);
        }
        waker
    }

    /// Wakes everybody there ever was, and lets go of the wakers.
    pub(crate) fn wake_all(&mut self) {
        for id in 0..self.children.len() {
            for waker in mem::take(&mut self.children[id].wakers) {
                self.note_wake(id, true);
                waker.wake();
            }
        }
        self.stale.clear();
    }

    fn wake(&mut self, id: usize) {
        self.note_wake(id, true);
        self.children[id].wakers[0].wake_by_ref();
    }

    /// A waker of the child is used; `surely`, unless it is for a child within that may be dead, or
    /// be found without.
    pub(crate) fn note_wake(&mut self, id: usize, surely: bool) {
        let now = self.tick();
        let child = &mut self.children[id];
        let group = &mut self.groups[child.group];
        if group.is_ended {
            return;
        }
        group.wakes += 1;
        let may_be_taken = match &group.poll {
            Some(poll) => poll.now != Some(id),
            None => !group.is_quiet,
        };
        if let Some(address) = child.address {
            let marks = group.marks.entry(address).or_default();
            *marks = (*marks + 1).min(1 + u8::from(may_be_taken));
        }
        let surely = surely && child.state == State::Running;
        if surely && child.due.is_none() {
            child.due = Some(now);
            group.due.push_back((now, id));
        }
        group.owes_wake |= surely && group.poll.is_none();
        let number = child.group;
        self.pass_on_wake(number, surely);
    }

    /// The group may wake the child that it is.
    fn pass_on_wake(&mut self, number: usize, surely: bool) {
        if let Some(parent) = self.groups[number].parent {
            // A group that is being polled may find the child before it returns.
            let outer = &self.groups[self.children[parent].group].poll;
            let is_polled = outer.as_ref().is_some_and(|poll| poll.now == Some(parent));
            self.note_wake(parent, surely && !is_polled);
        }
    }

    /// The wakes that may have woken the task since the last poll of the group.
    pub(crate) fn wakes(&self, group: usize) -> usize {
        self.groups[group].wakes
    }

    /// Whether one of these must have woken the task, if that waits.
    pub(crate) fn owes_wake(&self, group: usize) -> bool {
        self.groups[group].owes_wake
    }

    pub(crate) fn begin_poll(&mut self, number: usize, whole: bool) {
        self.take_in(number);
        self.start_queued(number);
        let began = self.tick();
        let group = &mut self.groups[number];
        let from_quiet = mem::take(&mut group.is_quiet);
        if from_quiet {
            group.round = began;
        }
        group.wakes = 0;
        group.owes_wake = false;
        group.waits = false;
        group.may_have_taken_in = false;
        group.poll = Some(Polling {
            whole,
            began,
            from_quiet,
            most: group.running.max(MIN_POLLS),
            polls: 0,
            arrived: 0,
            lost: 0,
            surely_lost: 0,
            outcome: None,
            now: None,
            last_fresh: None,
        });
    }

    /// A child is polled; gives its script if there is a reason to do something.
    pub(crate) fn begin_child(
        &mut self,
        id: usize,
        address: usize,
        waker: &Waker,
    ) -> Option<Script> {
        let now = self.tick();
        let number = self.children[id].group;
        if self.children[id].state == State::Arrived {
            // So it was taken in, and with it who came before.
            while self.take_in_next(number).is_some_and(|taken_in| taken_in != id) {}
        }
        let due = self.children[id].due.take();
        let oldest = self.oldest_due(self.children[id].group);
        let child = &mut self.children[id];
        let group = &mut self.groups[child.group];
        let Some(poll) = &mut group.poll else {
            self.expect(false, format_args!("child {id} was polled without its group"));
            return None;
        };
        poll.now = Some(id);
        poll.polls += 1;
        let [last, before] = child.polled;
        child.polled = [Some(now), last];
        let moved = *child.address.get_or_insert(address) != address;

        let marks = group.marks.entry(address).or_default();
        let is_called = last.is_none() || *marks > 0;
        if last.is_some() {
            *marks = marks.saturating_sub(1);
        }
        // This is the poll that a round took up; what is left came since.
        *marks = (*marks).min(1);

        // What is due is taken up by the next round that begins, so that another child may come
        // before it once in the round that is under way and once in that one.
        let third = oldest.is_some() && oldest < before;
        let second = oldest.is_some_and(|oldest| oldest < group.round) && last >= Some(group.round);
        let in_order = poll.from_quiet && !group.was_reused && due < Some(poll.began);
        let arrival = Some(child.arrival);
        let unordered =
            last.is_none() && in_order && mem::replace(&mut poll.last_fresh, arrival) > arrival;
        let is_over = match poll.outcome {
            None => false,
            Some(outcome) => !poll.whole || outcome.is_err(),
        };
        let faults = [
            (child.state != State::Running, "although it does not run"),
            (moved, "elsewhere than before"),
            (is_over, "after the poll had its outcome"),
            (group.leaving.len() > group.dropped.len(), "before one that is done was dropped"),
            (unordered, "for the first time before one that was added earlier"),
            (group.is_real && !is_called, "unwoken"),
            (group.is_real && (third || second), "again before another that was due"),
            (group.is_real && poll.polls > poll.most, "after as many as there may be"),
            (group.is_real && poll.surely_lost >= PATIENCE, "after many that stay pending"),
        ];
        let fault = faults.into_iter().find(|(is_fault, _)| *is_fault);

        let script = child.script;
        if due.is_some() {
            if child.wakers.len() == 3 {
                child.wakers.remove(0);
            }
            child.wakers.push(waker.clone());
            if !matches!(script.touch, Touch::WakeInDrop(_) | Touch::AddInDrop(_)) {
                child.script.touch = Touch::Nothing;
            }
            if let Plan::Yield(times) = &mut child.script.plan {
                *times = times.saturating_sub(1);
            }
        }
        if let Some((_, fault)) = fault {
            self.expect(false, format_args!("child {id} was polled {fault}"));
        }
        due.and(Some(script))
    }

    /// The poll of a child was pending.
    pub(crate) fn pend_child(&mut self, id: usize) {
        let child = &self.children[id];
        let group = &mut self.groups[child.group];
        let is_marked = child.address.is_some_and(|address| group.marks[&address] > 0);
        if let Some(poll) = &mut group.poll {
            poll.now = None;
            let again = usize::from(child.polled[1].is_some());
            poll.lost += if is_marked { SELF_WAKE } else { again };
            poll.surely_lost += if child.due.is_some() { SELF_WAKE } else { again };
        }
    }

    /// The child is done, and is to be dropped at once.
    pub(crate) fn end_child(&mut self, id: usize, outcome: Outcome) {
        let child = &mut self.children[id];
        let group = &mut self.groups[child.group];
        child.state = State::Done;
        group.leaving.push(id);
        if let Some(poll) = &mut group.poll {
            poll.now = None;
            poll.outcome = Some(outcome);
        }
    }

    /// The child is being dropped; gives its script.
    pub(crate) fn drop_child(&mut self, id: usize, address: usize) -> Script {
        self.drops += 1;
        let number = self.children[id].group;
        let group = &self.groups[number];
        let goes_with_all = match self.children[id].state {
            State::Arrived | State::Queued | State::Running => group.poll.is_some(),
            State::Outside | State::Done | State::Dropped => false,
        };
        let with_parent =
            group.parent.is_some_and(|parent| self.children[parent].state == State::Dropped);
        if goes_with_all || with_parent {
            self.close(number);
        }
        let child = &mut self.children[id];
        let script = child.script;
        let state = mem::replace(&mut child.state, State::Dropped);
        child.due = None;
        let group = &mut self.groups[number];
        if state == State::Outside {
            return script;
        }
        let moved = child.address.is_some_and(|before| before != address);
        if !child.wakers.is_empty() {
            self.stale.push(id);
        }
        self.gone.extend(child.inner);
        self.living.remove(&id);
        self.unsettled += 1;
        group.living.remove(&id);
        group.dropped.push(id);
        let may_be_in = group.poll.is_some() || group.may_have_taken_in;
        let is_next = group.arrived.front() == Some(&id);
        let is_alone = group.arrived.len() == group.living.len() + 1;
        group.was_vacated |= state != State::Arrived;
        group.counted += 1;
        match state {
            State::Arrived => {
                group.arrived.retain(|arrived| *arrived != id);
                let faults = "before one that the group had taken in, or that came earlier";
                let in_order = is_next && is_alone || may_be_in;
                group.was_reused |= may_be_in;
                self.expect(in_order, format_args!("child {id} was dropped {faults}"));
            }
            State::Queued => group.queue.retain(|queued| *queued != id),
            State::Running => group.running -= 1,
            State::Done => {
                group.running -= 1;
                // One whose drop panics ends the group instead.
                if !script.explosive {
                    group.finished += 1;
                    let goes_on = |poll: &Polling| poll.whole && poll.outcome == Some(Ok(()));
                    if group.poll.as_ref().is_some_and(goes_on) {
                        self.start_queued(number);
                    }
                }
            }
            State::Outside | State::Dropped => {}
        }
        self.expect(state != State::Dropped, format_args!("child {id} was dropped twice"));
        self.expect(!moved, format_args!("child {id} was dropped elsewhere than it was polled"));
        script
    }

    /// Whether the child may panic now: only one at a time may.
    pub(crate) fn raise(&mut self, id: usize) -> bool {
        let may_panic = !thread::panicking();
        if may_panic {
            self.raised = Some(id);
        }
        may_panic
    }

    pub(crate) fn take_raised(&mut self) -> Option<usize> {
        self.raised.take()
    }

    pub(crate) fn end_poll(&mut self, number: usize, ended: Ended) {
        let group = &mut self.groups[number];
        let poll = group.poll.take().expect("a poll has begun");
        let wakes = mem::take(&mut group.wakes);
        let was_cut = poll.polls + poll.arrived >= poll.most || poll.lost >= PATIENCE;
        let parent = group.parent;
        group.counted = 0;
        group.may_have_taken_in = !group.arrived.is_empty()
            && match ended {
                Ended::Next(Some(_)) => true,
                Ended::Pending { woken } => was_cut && woken != Some(false),
                _ => false,
            };
        if let Ended::Pending { .. } = ended {
            group.waits = true;
            if !group.may_have_taken_in {
                // The limit holds them back, or somebody was not polled.
                self.take_in(number);
                self.start_queued(number);
            }
        }
        let oldest = self.oldest_due(number);
        let group = &mut self.groups[number];
        let has_arrived = !group.arrived.is_empty();
        let is_empty = group.living.is_empty();
        let running = group.running;
        let mut has_failed = false;
        match ended {
            Ended::Pending { woken } => {
                let goes_on = poll.outcome.is_none() || poll.whole && poll.outcome == Some(Ok(()));
                let is_behind = oldest.is_some_and(|oldest| oldest < poll.began);
                let is_left = oldest.is_some() || has_arrived;
                let has_cause = wakes > 0 || is_left || was_cut;
                self.expect(goes_on, format_args!("pending after {:?}", poll.outcome));
                self.expect(running > 0 || has_arrived, "pending although nobody runs");
                self.expect(was_cut || !is_behind, "a child was not polled");
                self.expect(has_cause || woken != Some(true), "the task was woken for nothing");
                self.expect(!is_left || woken != Some(false), "a child is stranded");
                if woken == Some(false) || woken.is_none() && !has_cause {
                    self.groups[number].is_quiet = true;
                    self.groups[number].marks.clear();
                }
                if let (Some(parent), true) = (parent, is_left || was_cut) {
                    self.note_wake(parent, is_left);
                }
            }
            Ended::Next(None) => {
                self.expect(is_empty && poll.outcome.is_none(), "done before the end");
                self.close(number);
            }
            Ended::Next(Some(output)) => self.expect_eq(Some(output), poll.outcome, "the output"),
            Ended::Whole(outcome) => {
                self.expect_eq(outcome, poll.outcome.unwrap_or(Ok(())), "the outcome");
                self.expect(is_empty, "there is an outcome, and a child");
                self.close(number);
                has_failed = outcome.is_err();
            }
            Ended::Unwound => {
                self.close(number);
                has_failed = true;
            }
        }
        self.settle_drops(number, has_failed.then_some(self.arrivals));
    }

    /// All that came until now are about to be dropped.
    pub(crate) fn begin_clear(&self) -> usize {
        self.arrivals
    }

    pub(crate) fn end_clear(&mut self, number: usize, until: usize) {
        self.recount(number);
        self.settle_drops(number, Some(until));
    }

    /// Children were dropped, and the handles know of it.
    pub(crate) fn recount(&mut self, number: usize) {
        self.groups[number].counted = 0;
    }

    /// Drops the group: its handles are closed first.
    pub(crate) fn settle_all(&mut self, number: usize) {
        self.settle_drops(number, Some(self.arrivals));
    }

    /// Those that left were dropped in the order in which they left, and then the others, if all that
    /// came `until` some time had to go.
    pub(crate) fn settle_drops(&mut self, number: usize, until: Option<usize>) {
        let group = &mut self.groups[number];
        let leaving = mem::take(&mut group.leaving);
        let dropped = mem::take(&mut group.dropped);
        let (first, rest) = dropped.split_at(leaving.len().min(dropped.len()));
        let arrival = |id: &usize| self.children[*id].arrival;
        let in_order = group.was_reused || rest.is_sorted_by_key(arrival);
        let as_due = until.map_or(rest.is_empty(), |until| {
            let had_to_go = |id| arrival(id) <= until;
            in_order && rest.iter().all(had_to_go) && !group.living.iter().any(had_to_go)
        });
        let holds = first == leaving && as_due;
        self.unsettled -= dropped.len();
        self.expect(
            holds,
            format_args!("{dropped:?} were dropped after {leaving:?} had left, all: {until:?}"),
        );
    }

    /// At the end of a step: groups that went with their child have dropped theirs, and nobody else
    /// was dropped.
    pub(crate) fn settle_groups(&mut self) {
        for group in mem::take(&mut self.gone) {
            self.end_group(group);
            self.settle_all(group);
        }
        let unsettled = self.unsettled;
        self.expect_eq(unsettled, 0, "children dropped without a reason");
    }

    pub(crate) fn compare(&mut self, number: usize, group: &impl AnyGroup) {
        let (is_empty, counts) = group.counts();
        if mem::take(&mut self.groups[number].may_have_taken_in) {
            // Those whom a limit holds back count the same whether they were taken in or not; but who
            // starts outside of a poll depends on it.
            while self.groups[number].running < counts[1] && self.take_in_next(number).is_some() {}
            let group = &mut self.groups[number];
            group.may_have_taken_in = group.limit < usize::MAX;
        }
        let Group { living, running, finished, may_have_taken_in, .. } = &self.groups[number];
        let running = if *may_have_taken_in { counts[1] } else { *running };
        let queued = living.len() - running;
        let expected = (living.is_empty(), [living.len(), running, queued, *finished]);
        self.expect_eq((is_empty, counts), expected, "the counts");
    }
}
