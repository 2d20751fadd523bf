//! The interrupts: a line of wakers, whose first is woken by the handler of the timer.
//!
//! The timer goes off once, after it was armed by the poll of a child that waits in the line. So an
//! interrupt always has a poll as its cause, and where the chip is about to sleep with the timer
//! off, a wake was lost: nobody need wait for it in vain.
//!
//! Each interrupt comes one tick later after its cause than the one before, until one finds the
//! chip asleep; then they begin anew. So they come between any two instructions in between.

use alloc::collections::VecDeque;
use core::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use cortex_m::{
    asm,
    peripheral::{SCB, SYST, syst::SystClkSource},
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

/// What the interrupts have done.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    /// Wakers that were woken.
    pub wakes: u32,
    /// Interrupts of the timer that found the chip at work.
    pub awake: u32,
    /// Those of them that found it waking a child in the lower interrupt.
    pub nested: u32,
    /// Interrupts of the timer that found the chip asleep.
    pub asleep: u32,
}

struct Line {
    timer: SYST,
    is_armed: bool,
    is_asleep: bool,
    /// Whether the lower interrupt is waking a child.
    is_waking: bool,
    delay: u32,
    wakers: VecDeque<Waker>,
    mode: Mode,
    counts: Counts,
}

/// Which wakers the interrupts take from the head of the line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// That of the timer takes one.
    One,
    /// One more comes at once, below the timer, which can interrupt it. Each takes one.
    Two,
    /// That of the timer takes all, and only [`arm`] arms it.
    All,
}

static LINE: Mutex<RefCell<Option<Line>>> = Mutex::new(RefCell::new(None));

/// To be called once, before all else here, with room for so many wakers.
pub fn init(mut peripherals: cortex_m::Peripherals, wakers: usize) {
    // The chip of the microbit has no other clock for its timer.
    peripherals.SYST.set_clock_source(SystClkSource::Core);
    assert_fine(&mut peripherals.SYST);
    peripherals.SYST.enable_interrupt();
    // SAFETY: no lock here relies on priorities: critical sections mask all interrupts.
    unsafe {
        peripherals.SCB.set_priority(cortex_m::peripheral::scb::SystemHandler::PendSV, u8::MAX);
    }
    let line = Line {
        timer: peripherals.SYST,
        is_armed: false,
        is_asleep: false,
        is_waking: false,
        delay: 0,
        wakers: VecDeque::with_capacity(wakers),
        mode: Mode::One,
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

/// The number of wakers that the line has room for.
pub fn room() -> usize {
    with_line(|line| line.wakers.capacity())
}

/// The number of wakers in the line.
pub fn waiting() -> usize {
    with_line(|line| line.wakers.len())
}

/// Arms the timer if a waker waits in the line.
pub fn arm() {
    with_line(Line::arm);
}

/// Waits for as many interrupts as it takes to wake all that wait in the line.
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
        // With interrupts masked, one that comes between the look and here ends the wait, and has
        // its handler run at the end of the mask. Unmasked, the handler would run first, and the
        // wait begin after its wake.
        asm::wfi();
    });
    // On real chips the end of the mask takes effect here at the latest.
    asm::isb();
    critical_section::with(|cs| set_asleep(cs, false));
}

/// Asserts that the timer ticks at least once for each instruction, so that none is passed over.
fn assert_fine(timer: &mut SYST) {
    const INSTRUCTIONS: u32 = 1_000;
    timer.set_reload(100 * INSTRUCTIONS);
    timer.clear_current();
    timer.enable_counter();
    asm::delay(INSTRUCTIONS);
    assert!(SYST::get_reload() - SYST::get_current() >= INSTRUCTIONS);
    timer.disable_counter();
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

/// Wakes the first in the line.
fn wake_first() {
    // A wake is foreign code, so the line is not borrowed while it runs. It takes the waker, whose
    // drop may free the page of the child: the heap is safe in interrupts.
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
            line.counts.nested += u32::from(line.is_waking);
        }
        if line.mode == Mode::All { line.wakers.len() } else { 1 }
    });
    for _ in 0..wakers {
        wake_first();
    }
}

#[exception]
fn PendSV() {
    with_line(|line| line.is_waking = true);
    wake_first();
    with_line(|line| line.is_waking = false);
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
        if self.mode == Mode::Two {
            SCB::set_pendsv();
        }
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
            if line.mode != Mode::All {
                line.arm();
            }
            if self.place <= Some(line.counts.wakes) { Poll::Ready(()) } else { Poll::Pending }
        })
    }
}
