//! How a program runs: on two groups beside their model.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::future::poll_fn;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::task::Poll;

use errgroup::Group;

use super::child::{Child, Planned};
use super::handle::Handle;
use super::model::{Ended, Model, Outcome};
use super::naive::AnyGroup;
use super::{Op, Script};
use crate::kit::Task;

/// What is the same in whatever order children are polled: the living, and the outputs, or nothing
/// of them when the group failed.
pub(crate) type Seen = (BTreeSet<usize>, Option<Vec<Outcome>>);

/// Two groups beside their model; all steps but `Swap` are about the first.
pub(crate) struct Run<G: AnyGroup> {
    model: Rc<RefCell<Model>>,
    sides: [Side<G>; 2],
    seen: Vec<Seen>,
}

struct Side<G: AnyGroup> {
    group: G,
    /// The number of the group in the model.
    number: usize,
    keys: Vec<(usize, G::Key)>,
    tasks: [Task; 2],
    /// The wakes of each task since the last poll.
    wakes: [usize; 2],
    /// The task whose poll was pending and that was not woken by then.
    parked: Option<usize>,
}

impl<G: AnyGroup> Run<G> {
    /// What would make more than so many children is left out.
    pub(crate) fn new(max_children: usize) -> Run<G> {
        let mut model = Model::new(max_children);
        let sides = [0, 1].map(|_| Side {
            group: G::with_capacity(0),
            number: model.add_group(None, G::IS_REAL),
            keys: Vec::new(),
            tasks: Default::default(),
            wakes: [0, 0],
            parked: None,
        });
        Run { model: Rc::new(RefCell::new(model)), sides, seen: Vec::new() }
    }

    pub(crate) fn run(mut self, ops: &[Op]) -> Vec<Seen> {
        for (at, op) in ops.iter().enumerate() {
            self.step(*op);
            self.look(format_args!("step {at}, {op:?}, of {ops:?}"));
        }
        for _ in 0..2 {
            self.replace(0);
            self.look(format_args!("the end of {ops:?}"));
            self.sides.swap(0, 1);
        }
        // Nobody is left to be polled, and no task to be woken.
        self.model.borrow_mut().wake_all();
        self.model.borrow_mut().expect_all_dropped();
        self.look(format_args!("late wakes after {ops:?}"));
        self.seen
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Push(script) => self.push(script),
            Op::PushMany { count, script } => (0..count).for_each(|_| self.push(script)),
            Op::TryPush(script) => self.try_push(script),
            Op::Extend { count, script } => self.extend(count, script),
            Op::PushGroup { count, with_handle, script } => {
                self.push_group(count, with_handle, script);
            }
            Op::Handle => {
                let Side { group, number, .. } = &mut self.sides[0];
                keep_handle(&self.model, group, *number);
            }
            Op::DropHandle(which) => {
                let handle = self.model.borrow_mut().take_handle(which);
                drop(handle);
            }
            Op::PushBy { by, script } => self.push_by(by, 1, script, false),
            Op::TryPushBy { by, script } => self.push_by(by, 1, script, true),
            Op::PushManyBy { by, count, script } => self.push_by(by, count, script, false),
            Op::Tell { whom, script } => self.model.borrow_mut().tell(whom, script),
            Op::Wake { whom, how } => self.model.borrow_mut().wake_by(whom, how),
            Op::DropWaker(whom) => self.model.borrow_mut().drop_waker(whom),
            Op::Remove(key) => self.remove(key.into()),
            Op::RemoveMany { first, count } => {
                (0..count).for_each(|next| self.remove(usize::from(first) + next));
            }
            Op::Clear => {
                let side = &mut self.sides[0];
                let before = self.model.borrow().begin_clear();
                guard(&self.model, || side.group.clear());
                self.model.borrow_mut().end_clear(side.number, before);
            }
            Op::Limit(limit) => {
                let limit = limit.unwrap_or(usize::MAX);
                let side = &mut self.sides[0];
                side.group = mem::take(&mut side.group).with_limit(limit);
                self.model.borrow_mut().limit(side.number, limit);
            }
            Op::Poll { whole, other_task } => {
                self.poll(whole, other_task.into());
            }
            Op::Drive { whole, other_task } => self.drive(whole, other_task.into()),
            Op::Swap => self.sides.swap(0, 1),
            Op::Replace { capacity } => self.replace(capacity.into()),
        }
    }

    /// What must hold between any two steps.
    fn look(&mut self, when: impl Display) {
        let mut model = self.model.borrow_mut();
        model.settle_groups();
        for side in &mut self.sides {
            side.count_wakes(&mut model);
            model.compare(side.number, &side.group);
        }
        model.look_at_handles();
        if let Some(fault) = model.fault() {
            drop(model);
            panic!("{fault}, at {when}");
        }
    }

    /// A new child for the first group, unless there are too many.
    fn child(&mut self, script: Script) -> Option<Child> {
        self.child_of(self.sides[0].number, script)
    }

    fn child_of(&self, group: usize, script: Script) -> Option<Child> {
        let mut model = self.model.borrow_mut();
        let id = model.add(group, script)?;
        let handle = model.handle_for(script);
        drop(model);
        Some(Child::new(id, handle, &self.model))
    }

    fn push(&mut self, script: Script) {
        if let Some(child) = self.child(script) {
            self.push_child(child);
        }
    }

    fn push_child(&mut self, child: Child) {
        let side = &mut self.sides[0];
        self.model.borrow_mut().enter(child.id);
        side.keys.push((child.id, side.group.push(child)));
    }

    fn try_push(&mut self, script: Script) {
        let Some(child) = self.child(script) else { return };
        let (id, side) = (child.id, &mut self.sides[0]);
        let is_full = self.model.borrow().is_full(side.number);
        match side.group.try_push(child) {
            Ok(key) => {
                side.keys.push((id, key));
                let mut model = self.model.borrow_mut();
                model.enter(id);
                model.expect(!is_full, format_args!("child {id} was added above the limit"));
            }
            Err(refused) => {
                let mut model = self.model.borrow_mut();
                model.expect(is_full && refused.id == id, format_args!("child {id} was refused"));
                drop(model);
                guard(&self.model, || drop(refused));
            }
        }
    }

    fn extend(&mut self, count: usize, script: Script) {
        let children: Vec<Child> = (0..count).map_while(|_| self.child(script)).collect();
        if !children.is_empty() {
            self.model.borrow_mut().extend(self.sides[0].number);
        }
        children.iter().for_each(|child| self.model.borrow_mut().enter(child.id));
        self.sides[0].group.extend(children);
    }

    fn push_group(&mut self, count: u8, with_handle: bool, script: Script) {
        let Some(mut child) = self.child(script) else { return };
        let group = self.model.borrow_mut().add_group(Some(child.id), true);
        let mut inner = Group::unboxed();
        if with_handle {
            keep_handle(&self.model, &mut inner, group);
        }
        for child in (0..count).map_while(|_| self.child_of(group, script)) {
            self.model.borrow_mut().enter(child.id);
            inner.push(child);
        }
        child.hold(inner, group);
        self.push_child(child);
    }

    fn push_by(&mut self, by: u8, count: usize, script: Script, tries: bool) {
        let Some(handle) = self.model.borrow().pick_handle(by) else { return };
        let group = self.model.borrow().group_of(handle.inbox);
        for _ in 0..count {
            let Some(child) = self.child_of(group, script) else { return };
            guard(&self.model, || handle.add(child, tries, &self.model));
        }
    }

    fn remove(&mut self, key: usize) {
        let side = &mut self.sides[0];
        if side.keys.is_empty() {
            return;
        }
        let (id, key) = side.keys[key % side.keys.len()];
        let lives = self.model.borrow_mut().remove(id);
        let removed = guard(&self.model, || side.group.remove(key));
        let mut model = self.model.borrow_mut();
        model.recount(side.number);
        model.expect(removed.unwrap_or(true) == lives, format_args!("removal of child {id}"));
        model.settle_drops(side.number, None);
    }

    /// Drops the first group, whose children and task wakers must go with it.
    fn replace(&mut self, capacity: usize) {
        let side = &mut self.sides[0];
        let old = mem::replace(&mut side.group, G::with_capacity(capacity));
        self.model.borrow_mut().close(side.number);
        guard(&self.model, || drop(old));
        let mut model = self.model.borrow_mut();
        side.count_wakes(&mut model);
        model.settle_all(side.number);
        model.end_group(side.number);
        let wakers = side.tasks.each_ref().map(Task::wakers);
        model.expect(!G::IS_REAL || wakers == [0, 0], "the task's waker is kept");
        side.number = model.add_group(None, G::IS_REAL);
        side.keys.clear();
        side.wakes = [0, 0];
        side.parked = None;
    }

    fn drive(&mut self, whole: bool, by: usize) {
        let mut outputs = Vec::new();
        for _ in 0..10_000 {
            match self.poll(whole, by) {
                Ended::Pending { woken: Some(true) } => {}
                Ended::Next(Some(output)) => outputs.push(output),
                ended => {
                    outputs.sort_unstable();
                    let has_failed = matches!(ended, Ended::Whole(Err(_)) | Ended::Unwound);
                    let outputs = (!has_failed).then_some(outputs);
                    self.seen.push((self.model.borrow().living().clone(), outputs));
                    return;
                }
            }
        }
        self.model.borrow_mut().expect(false, "woken without end");
    }

    fn poll(&mut self, whole: bool, by: usize) -> Ended {
        let side = &mut self.sides[0];
        side.count_wakes(&mut self.model.borrow_mut());
        side.wakes = [0, 0];
        self.model.borrow_mut().begin_poll(side.number, whole);

        // Who polls everything need not be woken by everybody's older wakers.
        let by = if G::IS_REAL { by } else { 0 };
        let (group, task) = (&mut side.group, &side.tasks[by]);
        let poll = guard(&self.model, || {
            if whole {
                task.poll(&mut poll_fn(|cx| group.poll_whole(cx))).map(Ended::Whole)
            } else {
                task.poll(&mut poll_fn(|cx| group.poll_next(cx))).map(Ended::Next)
            }
        });
        let woken = side.tasks.each_ref().map(Task::wakes)[by] > 0;
        let ended = match poll {
            None => Ended::Unwound,
            Some(Poll::Ready(ended)) => ended,
            Some(Poll::Pending) => Ended::Pending { woken: Some(woken) },
        };
        self.model.borrow_mut().end_poll(side.number, ended);
        side.parked = (ended == Ended::Pending { woken: Some(false) }).then_some(by);
        ended
    }
}

impl<G: AnyGroup> Side<G> {
    /// At most one wake between two polls; none without a cause, and none of the wrong task.
    fn count_wakes(&mut self, model: &mut Model) {
        for (wakes, task) in self.wakes.iter_mut().zip(&self.tasks) {
            *wakes += task.wakes();
        }
        if !G::IS_REAL {
            return;
        }
        let (wakes, most) = (self.wakes, model.wakes(self.number).min(1));
        model.expect(wakes[0] + wakes[1] <= most, format_args!("the tasks were woken {wakes:?}"));
        if let Some(by) = self.parked {
            let least = usize::from(model.owes_wake(self.number));
            model.expect(wakes[by] >= least, "the task was not woken");
            model.expect(wakes[1 - by] == 0, "the wrong task was woken");
        }
    }
}

fn keep_handle(model: &RefCell<Model>, group: &mut impl AnyGroup, number: usize) {
    let handle = group.handle();
    let mut model = model.borrow_mut();
    let inbox = model.open(number);
    model.keep(Handle::new(inbox, handle));
}

/// Runs what may end in a planned panic, and holds the panic against the one that was raised.
fn guard<R>(model: &RefCell<Model>, f: impl FnOnce() -> R) -> Option<R> {
    let result = catch_unwind(AssertUnwindSafe(f));
    let raised = model.borrow_mut().take_raised();
    let caught = match &result {
        Ok(_) => None,
        Err(payload) => payload.downcast_ref().map(|Planned(id)| *id),
    };
    match result {
        Err(payload) if caught.is_none() => resume_unwind(payload),
        result => {
            let unlike = format_args!("the panic of {raised:?} came out as that of {caught:?}");
            model.borrow_mut().expect(caught == raised, unlike);
            result.ok()
        }
    }
}
