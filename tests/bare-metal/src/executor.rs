//! The executor: it polls one future, and sleeps while nothing wakes it.

use core::{
    array,
    future::Future,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, Waker},
};

use portable_atomic_util::{Arc, task::Wake};

use crate::interrupt;

#[derive(Default)]
struct Task {
    is_woken: AtomicBool,
}

impl Wake for Task {
    fn wake(this: Arc<Self>) {
        this.is_woken.store(true, Ordering::Release);
    }
}

pub fn block_on<F: Future>(future: F) -> F::Output {
    block_on_tasks::<1, F>(future)
}

/// Moves the future to another task after every poll. Only a wake of the last one counts.
pub fn block_on_tasks<const TASKS: usize, F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let tasks: [Arc<Task>; TASKS] = array::from_fn(|_| Arc::default());
    for task in tasks.iter().cycle() {
        task.is_woken.store(false, Ordering::Relaxed);
        let waker = Waker::from(task.clone());
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        while !task.is_woken.load(Ordering::Acquire) {
            interrupt::sleep_unless(|| task.is_woken.load(Ordering::Acquire));
        }
    }
    unreachable!("there is a task, so the cycle has no end")
}
