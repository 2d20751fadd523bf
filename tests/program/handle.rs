//! A handle of either kind of group, and which inbox of the model it leads to.

use std::cell::RefCell;

use errgroup::TryPushError;

use super::child::Child;
use super::model::Model;
use super::naive::NaiveHandle;

#[derive(Clone)]
pub(crate) struct Handle {
    /// The number of the inbox in the model.
    pub(crate) inbox: usize,
    to: AnyHandle,
}

/// What adds children to a group.
#[derive(Clone)]
pub(crate) enum AnyHandle {
    Real(errgroup::Handle<Child>),
    Naive(NaiveHandle),
}

/// Why a child came back.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Refusal {
    Full,
    Closed,
}

impl Handle {
    pub(crate) fn new(inbox: usize, to: AnyHandle) -> Handle {
        Handle { inbox, to }
    }

    pub(crate) fn is_closed(&self) -> bool {
        match &self.to {
            AnyHandle::Real(handle) => handle.is_closed(),
            AnyHandle::Naive(handle) => handle.is_closed(),
        }
    }

    /// Adds a child, and drops it if it comes back.
    pub(crate) fn add(&self, child: Child, tries: bool, model: &RefCell<Model>) {
        let id = child.id;
        let refused = self.push(child, tries).err();
        let mut model = model.borrow_mut();
        let (refusal, back) = refused.as_ref().map(|(why, child)| (*why, child.id)).unzip();
        model.expect(back.is_none_or(|back| back == id), "another child came back");
        model.arrive(id, self.inbox, tries, refusal);
        // Its drop tells the model.
        drop(model);
        drop(refused);
    }

    fn push(&self, child: Child, tries: bool) -> Result<(), (Refusal, Child)> {
        match &self.to {
            AnyHandle::Real(handle) if tries => {
                handle.try_push(child).map_err(|error| match error {
                    TryPushError::Full(child) => (Refusal::Full, child),
                    TryPushError::Closed(child) => (Refusal::Closed, child),
                })
            }
            AnyHandle::Real(handle) => {
                handle.push(child).map_err(|closed| (Refusal::Closed, closed.into_inner()))
            }
            AnyHandle::Naive(handle) => handle.push(child, tries),
        }
    }
}
