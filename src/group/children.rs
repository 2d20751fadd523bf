//! The children of a group that are in its set: as many run as the limit allows, and the others queue.

use alloc::{collections::VecDeque, vec::Vec};
use core::{
    future::Future,
    ops::ControlFlow,
    task::{Context, Poll},
};

use super::Key;
use crate::set::{Budget, Set};

pub(crate) struct Children<F> {
    set: Set<F>,
    /// Those that the limit holds back, in order of insertion. A child that was removed leaves its key
    /// behind, which is known by not being in the set.
    queue: VecDeque<Key>,
    limit: usize,
    /// The children added so far, which is the index of the next one.
    added: u64,
    finished: usize,
    /// How often in a row there was room when the group was asked for it.
    pub(crate) room_streak: u32,
    /// Whether the group has resolved, or has given out its last output, and no child was added since.
    pub(crate) is_terminated: bool,
}

impl<F> Children<F> {
    pub(super) const fn new() -> Self {
        Self {
            set: Set::new(),
            queue: VecDeque::new(),
            limit: usize::MAX,
            added: 0,
            finished: 0,
            room_streak: 0,
            is_terminated: false,
        }
    }

    pub(super) fn set(&mut self) -> &mut Set<F> {
        &mut self.set
    }

    pub(super) fn len(&self) -> usize {
        self.set.len()
    }

    pub(super) fn running(&self) -> usize {
        self.set.running()
    }

    pub(super) fn finished(&self) -> usize {
        self.finished
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Queues those that were never polled, and starts as many as the limit allows.
    pub(super) fn restart_fresh(&mut self) {
        let fresh = self.set.unstart_fresh().into_iter();
        self.queue.extend(fresh.map(|(index, slot)| Key { index, slot }));
        self.queue.make_contiguous().sort_unstable_by_key(|key| key.index);
        self.start_queued();
    }

    #[inline]
    pub(super) fn insert(&mut self, child: F) -> Key {
        let may_start = self.set.len() < self.limit;
        let key = Key { index: self.added, slot: self.set.insert(self.added, child, may_start) };
        self.added += 1;
        self.is_terminated = false;
        if !may_start {
            self.enqueue(key);
        }
        key
    }

    /// Makes room for `least` children first, exactly or with some to grow.
    #[inline]
    pub(super) fn extend(
        &mut self,
        least: usize,
        exactly: bool,
        children: impl Iterator<Item = F>,
    ) {
        self.set.reserve(least, exactly);
        if self.limit == usize::MAX {
            self.set.extend(&mut self.added, children.inspect(|_| self.is_terminated = false));
        } else {
            children.for_each(|child| {
                self.insert(child);
            });
        }
    }

    /// Adds the children of a row, which is empty then, and says how many these were.
    #[inline]
    pub(super) fn append(&mut self, row: &mut Vec<F>) -> usize {
        let len = row.len();
        if len > 0 && self.limit == usize::MAX {
            self.is_terminated = false;
            self.set.append(&mut self.added, row);
        } else {
            row.drain(..).for_each(|child| {
                self.insert(child);
            });
        }
        len
    }

    pub(super) fn remove(&mut self, key: Key) -> bool {
        self.set.remove(key.slot, key.index)
    }

    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.set.clear();
    }

    /// Numbers the children from 0 in order of insertion, and gives their number. Keys that were given out
    /// are no longer valid.
    pub(super) fn renumber(&mut self) -> usize {
        let children = self.set.len();
        if self.added != children as u64 {
            self.queue.retain(|key| self.set.contains(key.slot, key.index));
            self.set.renumber();
            self.added = children as u64;
            for key in &mut self.queue {
                key.index = self.set.index(key.slot);
            }
        }
        children
    }

    fn enqueue(&mut self, key: Key) {
        // When most keys are of children that were removed, they go: what it costs to look at each
        // key was paid by the keys added since.
        if self.queue.len() > 2 * (self.set.len() - self.running()) + 16 {
            let set = &self.set;
            self.queue.retain(|key| set.contains(key.slot, key.index));
        }
        self.queue.push_back(key);
    }

    #[inline]
    fn start_queued(&mut self) {
        while self.running() < self.limit {
            let Some(key) = self.queue.pop_front() else {
                return;
            };
            self.set.start(key.slot, key.index);
        }
    }
}

impl<F: Future> Children<F> {
    /// Polls what is ready, as the limit allows. Breaks with what `done` breaks with; or with `None`, where a
    /// queued child may start, or `done` asks for a pause. `done` is told how many children are left here.
    #[inline]
    pub(super) fn poll<B>(
        &mut self,
        cx: &mut Context<'_>,
        budget: &mut Budget,
        mut done: impl FnMut(usize, F::Output, usize) -> ControlFlow<Option<B>>,
    ) -> Poll<ControlFlow<Option<B>>> {
        self.start_queued();
        // Where children are queued, one that is done may let another start, if the group goes on.
        let (finished, queued) = (&mut self.finished, !self.queue.is_empty());
        self.set.poll_each(cx, budget, |index, output, left| {
            *finished = finished.wrapping_add(1);
            // Whoever looks at an index has had the children renumbered: on 32-bit targets it fits.
            match done(index as usize, output, left) {
                ControlFlow::Continue(()) if queued => ControlFlow::Break(None),
                flow => flow,
            }
        })
    }
}
