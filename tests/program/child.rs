//! A child that does as its script says, and tells the model what becomes of it.

use std::cell::RefCell;
use std::future::Future;
use std::marker::PhantomPinned;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::ptr;
use std::rc::Rc;
use std::task::{Context, Poll};

use errgroup::Group;

use super::handle::Handle;
use super::model::{Ended, Model, Outcome};
use super::{Add, Plan, Script, Touch, Whom};

pub(crate) struct Child {
    pub(crate) id: usize,
    model: Rc<RefCell<Model>>,
    /// The group that this child is, and its number in the model.
    inner: Option<Box<(RefCell<Group<Child>>, usize)>>,
    /// What it adds others by, perhaps to its own group.
    handle: Option<Handle>,
    _pinned: PhantomPinned,
}

/// What a child panics with: its own number.
pub(crate) struct Planned(pub(crate) usize);

/// The end of a child's drop, also where that unwinds: then the group goes that the child is.
struct Going<'a>(&'a Child);

impl Child {
    pub(crate) fn new(id: usize, handle: Option<Handle>, model: &Rc<RefCell<Model>>) -> Child {
        model.borrow_mut().make_child();
        Child { id, model: model.clone(), inner: None, handle, _pinned: PhantomPinned }
    }

    /// Makes a group of the child.
    pub(crate) fn hold(&mut self, inner: Group<Child>, number: usize) {
        self.inner = Some(Box::new((inner.into(), number)));
    }

    fn act(&self, plan: Plan, cx: &mut Context<'_>) -> Poll<Outcome> {
        match plan {
            Plan::Wait => Poll::Pending,
            Plan::Yield(0) | Plan::Succeed => Poll::Ready(Ok(())),
            Plan::Yield(_) => {
                self.model.borrow_mut().note_wake(self.id, true);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Plan::Fail => Poll::Ready(Err(self.id)),
            Plan::Panic => {
                self.raise();
                Poll::Pending
            }
        }
    }

    fn poll_inner(
        &self,
        inner: &RefCell<Group<Child>>,
        number: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Outcome> {
        let mut inner = inner.borrow_mut();
        self.model.borrow_mut().begin_poll(number, true);
        let poll = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *inner).poll(cx)));
        let mut model = self.model.borrow_mut();
        model.end_poll(
            number,
            match poll {
                Ok(Poll::Pending) => Ended::Pending { woken: None },
                Ok(Poll::Ready(outcome)) => Ended::Whole(outcome),
                Err(_) => Ended::Unwound,
            },
        );
        model.compare(number, &*inner);
        drop(model);
        poll.unwrap_or_else(|payload| resume_unwind(payload))
    }

    fn look_at_handle(&self) {
        if let Some(handle) = &self.handle {
            self.model.borrow_mut().look_at(handle);
        }
    }

    /// Adds the next of its line, by its own handle or by one that the program keeps.
    fn add(&self, add: Add, script: Script) {
        let mut model = self.model.borrow_mut();
        let handle = self.handle.clone().or_else(|| model.pick_handle(add.by));
        let next = handle.as_ref().and_then(|handle| model.next_of(self.id, script, handle.inbox));
        drop(model);
        if let (Some(handle), Some(next)) = (handle, next) {
            let child = Child::new(next, Some(handle.clone()), &self.model);
            handle.add(child, add.tries, &self.model);
        }
    }

    fn raise(&self) {
        // Not `panic!`, which would call the panic hook. That of a fuzzer ends the process.
        if self.model.borrow_mut().raise(self.id) {
            resume_unwind(Box::new(Planned(self.id)));
        }
    }
}

impl Future for Child {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let script =
            self.model.borrow_mut().begin_child(self.id, ptr::from_ref(&*self).addr(), cx.waker());
        self.look_at_handle();
        match script.map(|script| script.touch) {
            Some(Touch::WakeInPoll(whom)) => self.model.borrow_mut().wake_living(whom),
            Some(Touch::DropInPoll(whom)) => {
                self.model.borrow_mut().drop_waker(Whom::Living(whom));
            }
            Some(Touch::AddInPoll(add)) => {
                script.into_iter().for_each(|script| self.add(add, script));
            }
            _ => {}
        }
        let poll = match (self.inner.as_deref(), script) {
            (Some((inner, number)), _) => self.poll_inner(inner, *number, cx),
            (None, Some(script)) => self.act(script.plan, cx),
            (None, None) => Poll::Pending,
        };
        let mut model = self.model.borrow_mut();
        match poll {
            Poll::Pending => model.pend_child(self.id),
            Poll::Ready(outcome) => model.end_child(self.id, outcome),
        }
        poll
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let script = self.model.borrow_mut().drop_child(self.id, ptr::from_ref(self).addr());
        let _going = Going(self);
        self.look_at_handle();
        match script.touch {
            Touch::WakeInDrop(whom) => self.model.borrow_mut().wake_living(whom),
            Touch::AddInDrop(add) => self.add(add, script),
            _ => {}
        }
        if script.explosive {
            self.raise();
        }
    }
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        self.0.model.borrow_mut().close_inner(self.0.id);
    }
}
