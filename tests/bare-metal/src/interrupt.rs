//! The interrupts: a line of wakers, which the handlers wake from its head.
//!
//! The timer goes off once, after a child that waits in the line was polled. So an interrupt always
//! has a cause, and where the chip is about to sleep with the timer off, a wake was lost: nobody need
//! wait for it in vain.
//!
//! Each time it goes off one tick later after its cause than the time before, until that finds the chip
//! asleep; then they begin anew. So interrupts come between any two instructions on the way to sleep.

use alloc::collections::VecDeque;
use core::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use cortex_m::{
    Peripherals, asm,
    peripheral::{SCB, SYST, scb::SystemHandler, syst::SystClkSource},
};
use cortex_m_rt::exception;
use critical_section::{CriticalSection, Mutex};

/// Ends when it has come to the head of the line and was woken from there.
///
/// The line has the waker of the first poll, which is that of the later ones where a group polls,
/// and keeps it when this is dropped.
#[derive(Default)]
pub struct Interrupted {
    place: Option<u32>,
}

/// Whom the timer wakes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The first in line.
    One,
    /// All that are in line. Only [`arm`] and [`arm_both`] set the timer off.
    All,
}

/// What the interrupts have done.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    /// Wakers that were woken.
    pub wakes: u32,
    /// Times that the timer went off and found the chip at work.
    pub awake: u32,
    /// Those of them that found it in the handler of the lower interrupt.
    pub nested: u32,
    /// Times that the timer went off and found the chip asleep.
    pub asleep: u32,
}

struct Line {
    wakers: VecDeque<Waker>,
    mode: Mode,
    timer: SYST,
    delay: u32,
    is_armed: bool,
    is_asleep: bool,
    is_in_lower: bool,
    counts: Counts,
}

static LINE: Mutex<RefCell<Option<Line>>> = Mutex::new(RefCell::new(None));

/// To be called once, before all else here, with the length of the line.
pub fn init(mut peripherals: Peripherals, room: usize) {
    // Not every chip has another clock for its timer.
    peripherals.SYST.set_clock_source(SystClkSource::Core);
    assert_ticks(&mut peripherals.SYST);
    peripherals.SYST.enable_interrupt();
    // SAFETY: no lock here relies on priorities: critical sections mask all interrupts.
    unsafe { peripherals.SCB.set_priority(SystemHandler::PendSV, u8::MAX) };
    let line = Line {
        wakers: VecDeque::with_capacity(room),
        mode: Mode::One,
        timer: peripherals.SYST,
        delay: 0,
        is_armed: false,
        is_asleep: false,
        is_in_lower: false,
        counts: Counts::default(),
    };
    critical_section::with(|cs| LINE.replace(cs, Some(line)));
}

pub fn set_mode(mode: Mode) {
    with_line(|line| line.mode = mode);
}

pub fn counts() -> Counts {
    with_line(|line| line.counts)
}

/// The length of the line.
pub fn room() -> usize {
    with_line(|line| line.wakers.capacity())
}

/// The number of wakers in line.
pub fn waiting() -> usize {
    with_line(|line| line.wakers.len())
}

/// Puts a waker at the end of the line.
pub fn line_up(waker: Waker) {
    with_line(|line| line.join(waker));
}

/// Sets the timer, if it is off and a waker is in line.
pub fn arm() {
    with_line(Line::arm);
}

/// As [`arm`], and wakes the first in line at once in an interrupt below that of the timer, which may
/// interrupt it.
pub fn arm_both() {
    with_line(|line| {
        line.arm();
        SCB::set_pendsv();
    });
}

/// Waits until all that are in line were woken.
pub fn drain() {
    while waiting() > 0 {
        arm();
        sleep_unless(|| !with_line(|line| line.is_armed));
    }
}

/// Sleeps until an interrupt has come, unless `is_awake`.
pub fn sleep_unless(is_awake: impl FnOnce() -> bool) {
    critical_section::with(|cs| {
        if is_awake() {
            return;
        }
        set_asleep(cs, true);
        // With interrupts masked, one that comes between the look above and here ends the wait all the
        // same, and its handler runs at the end of the mask. Without, its handler would run before the
        // wait, which would miss what it did.
        asm::wfi();
    });
    // On a real chip, the end of the mask takes effect here at the latest.
    asm::isb();
    critical_section::with(|cs| set_asleep(cs, false));
}

fn set_asleep(cs: CriticalSection<'_>, is_asleep: bool) {
    let mut line = LINE.borrow_ref_mut(cs);
    let line = line.as_mut().unwrap();
    assert!(!is_asleep || line.is_armed, "asleep, and nothing to wake it: a wake was lost");
    line.is_asleep = is_asleep;
}

fn with_line<R>(f: impl FnOnce(&mut Line) -> R) -> R {
    critical_section::with(|cs| f(LINE.borrow_ref_mut(cs).as_mut().unwrap()))
}

/// Asserts that the timer ticks at least once for each instruction, so that it passes none over.
fn assert_ticks(timer: &mut SYST) {
    const INSTRUCTIONS: u32 = 1_000;
    timer.set_reload(100 * INSTRUCTIONS);
    timer.clear_current();
    timer.enable_counter();
    asm::delay(INSTRUCTIONS);
    assert!(SYST::get_reload() - SYST::get_current() >= INSTRUCTIONS);
    timer.disable_counter();
}

/// Wakes the first in line.
fn wake_first() {
    // Foreign code, so the line is not borrowed meanwhile. It consumes the waker, which may free the
    // page of the child: the heap is safe in interrupts.
    if let Some(waker) = with_line(Line::take_first) {
        waker.wake();
    }
}

#[exception]
fn SysTick() {
    let wakers = with_line(|line| {
        line.timer.disable_counter();
        // It may have gone off again since.
        SCB::clear_pendst();
        line.is_armed = false;
        if line.is_asleep {
            line.counts.asleep += 1;
            line.delay = 0;
        } else {
            line.counts.awake += 1;
            line.counts.nested += u32::from(line.is_in_lower);
        }
        if line.mode == Mode::All { line.wakers.len() } else { 1 }
    });
    for _ in 0..wakers {
        wake_first();
    }
}

#[exception]
fn PendSV() {
    with_line(|line| line.is_in_lower = true);
    wake_first();
    with_line(|line| line.is_in_lower = false);
}

impl Line {
    fn arm(&mut self) {
        if self.is_armed || self.wakers.is_empty() {
            return;
        }
        self.is_armed = true;
        self.delay += 1;
        self.timer.set_reload(self.delay);
        self.timer.clear_current();
        self.timer.enable_counter();
    }

    /// Puts a waker at the end of the line, and gives its place.
    fn join(&mut self, waker: Waker) -> u32 {
        assert!(self.wakers.len() < self.wakers.capacity());
        self.wakers.push_back(waker);
        self.counts.wakes + self.wakers.len() as u32
    }

    fn take_first(&mut self) -> Option<Waker> {
        let waker = self.wakers.pop_front();
        self.counts.wakes += u32::from(waker.is_some());
        waker
    }
}

impl Future for Interrupted {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Foreign code, as above.
        let waker = self.place.is_none().then(|| cx.waker().clone());
        with_line(|line| {
            self.place = self.place.or(waker.map(|waker| line.join(waker)));
            if line.mode == Mode::One {
                line.arm();
            }
            if self.place <= Some(line.counts.wakes) { Poll::Ready(()) } else { Poll::Pending }
        })
    }
}
