//! The lower bound of each row: the same children in one slice of the exact size, polled in plain
//! order with a waker that does nothing.
//!
//! A wake must at least tell which child to poll, from any thread, so each adds one uncontended
//! `fetch_or`. What a collection takes beyond that, to find the woken children and to wake its own
//! task, is its overhead. Only one which polls all of its children at any wake can do with less.

use std::{
    hint::black_box,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll, Waker},
    time::Duration,
};

use crate::{
    contestants::{BoxFuture, Child},
    workloads::{Ready, SetRow, Slot, WAKES, Waiting, YIELDS, Yield, slots, time, window_total},
};

pub(crate) fn measure(row: SetRow, n: usize, iters: u64) -> Duration {
    match row {
        SetRow::Ready => finish(n, iters, 0, Ready::new),
        SetRow::Yield10 => finish(n, iters, YIELDS, |i| Yield::new(i, YIELDS)),
        SetRow::Boxed => finish(n, iters, 1, |i| -> BoxFuture { Box::pin(Yield::new(i, 1)) }),
        SetRow::WakeOne => wake_one::<false>(n, iters),
        SetRow::WakeOneTake => wake_one::<true>(n, iters),
        SetRow::WakeAll => wake_all(n, iters),
        SetRow::DropWaiting => drop_waiting(n, iters),
        SetRow::Window => window(n, iters),
    }
}

fn finish<F: Child>(n: usize, iters: u64, yields: u32, child: impl Fn(usize) -> F) -> Duration {
    let bits = Bits::new(n);
    let mut finished = 0;
    let elapsed = time(|| {
        for _ in 0..iters {
            let mut children: Box<[F]> = (0..n).map(&child).collect();
            for _ in 0..=yields {
                for (i, child) in black_box(&mut children).iter_mut().enumerate() {
                    match poll(child) {
                        Poll::Ready(()) => finished += 1,
                        Poll::Pending => bits.set(i),
                    }
                }
            }
        }
    });
    assert_eq!(finished, iters as usize * n);
    elapsed
}

fn wake_one<const FRESH: bool>(n: usize, iters: u64) -> Duration {
    let (slots, bits) = (slots(n), Bits::new(n));
    let mut children = waiting::<FRESH>(&slots);
    let wakes = iters as usize * WAKES;
    let elapsed = time(|| {
        let mut turn = 0;
        for _ in 0..wakes {
            if FRESH {
                slots[turn].take();
            } else {
                slots[turn].wake();
            }
            bits.set(turn);
            assert!(poll(&mut children[turn]).is_pending());
            turn += 1;
            if turn == n {
                turn = 0;
            }
        }
    });
    assert_eq!(polls(&slots), n + wakes);
    elapsed
}

fn wake_all(n: usize, iters: u64) -> Duration {
    let (slots, bits) = (slots(n), Bits::new(n));
    let mut children = waiting::<false>(&slots);
    let elapsed = time(|| {
        for _ in 0..iters {
            for (i, slot) in slots.iter().enumerate() {
                slot.wake();
                bits.set(i);
            }
            for child in &mut children {
                assert!(poll(child).is_pending());
            }
        }
    });
    assert_eq!(polls(&slots), n + iters as usize * n);
    elapsed
}

fn drop_waiting(n: usize, iters: u64) -> Duration {
    let slots = slots(n);
    let elapsed = time(|| {
        for _ in 0..iters {
            drop(black_box(waiting::<false>(&slots)));
        }
    });
    assert_eq!(polls(&slots), iters as usize * n);
    elapsed
}

fn window(n: usize, iters: u64) -> Duration {
    let bits = Bits::new(n);
    let total = window_total(n);
    let mut finished = 0;
    let elapsed = time(|| {
        for _ in 0..iters {
            let mut children: Box<[Yield]> = (0..n).map(|i| Yield::new(i, 1)).collect();
            let mut added = n;
            // All children of a window yield in one pass and finish in the next.
            for _ in 0..2 * (total / n) {
                for (i, child) in black_box(&mut children).iter_mut().enumerate() {
                    match poll(child) {
                        Poll::Ready(()) => {
                            finished += 1;
                            if added < total {
                                *child = Yield::new(added, 1);
                                added += 1;
                            }
                        }
                        Poll::Pending => bits.set(i),
                    }
                }
            }
        }
    });
    assert_eq!(finished, iters as usize * total);
    elapsed
}

fn waiting<const FRESH: bool>(slots: &[Slot]) -> Box<[Waiting<'_, FRESH>]> {
    let mut children: Box<[_]> = slots.iter().map(Waiting).collect();
    for child in &mut children {
        assert!(poll(child).is_pending());
    }
    children
}

fn polls(slots: &[Slot]) -> usize {
    slots.iter().map(|slot| slot.polls.get()).sum()
}

fn poll<F: Child>(child: &mut F) -> Poll<()> {
    Pin::new(child).poll(&mut Context::from_waker(Waker::noop()))
}

/// One bit for each child, which nobody reads: only setting it is bound to happen.
struct Bits(Box<[AtomicUsize]>);

impl Bits {
    fn new(n: usize) -> Self {
        let words = n.div_ceil(usize::BITS as usize);
        Self((0..words).map(|_| AtomicUsize::new(0)).collect())
    }

    fn set(&self, i: usize) {
        let bit = 1 << (i % usize::BITS as usize);
        self.0[i / usize::BITS as usize].fetch_or(bit, Ordering::Release);
    }
}
