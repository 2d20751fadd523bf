//! The word that says whether anything in the set is ready: the ready bits of the first page, the
//! head of the stack of the other ready pages, and the lead, in one atomic.

use super::page::{Header, PAGE_SLOTS};
use crate::sync::{AtomicUsize, Ordering};

/// The fields of the word from its lowest bit: the ready bits of the first page, `HELD`, `RUNG`, the
/// head of the stack, and the lead.
const FIELDS: Fields = match usize::BITS {
    64 => Fields { first: 16, head: 23, lead_page: 17, lead_slot: 6 },
    32 => Fields { first: 8, head: 15, lead_page: 2, lead_slot: 5 },
    _ => panic!("errgroup needs pointers of 32 or 64 bits"),
};

/// The widths of the fields.
struct Fields {
    first: u32,
    head: u32,
    lead_page: u32,
    lead_slot: u32,
}

/// Slots that the first page may have.
pub(super) const FIRST_PAGE_SLOTS: u32 = if cfg!(errgroup_loom) { 1 } else { FIELDS.first };

/// The pages there can be. The largest number that the stack can name is kept free, so that no page
/// and bits look like [`CLOSED`].
pub(super) const MAX_PAGES: usize = (1 << FIELDS.head) - 2;

/// Set while nobody is to be notified: nobody makes the step from zero.
const HELD: usize = 1 << FIELDS.first;
/// Set by whoever wants the set to be polled, though no child was woken.
const RUNG: usize = HELD << 1;
const HEAD: u32 = FIELDS.first + 2;
const HEAD_MASK: usize = (1 << FIELDS.head) - 1;
const LEAD: u32 = HEAD + FIELDS.head;
const CLOSED: usize = usize::MAX;

const _: () = assert!(LEAD + FIELDS.lead_page + FIELDS.lead_slot == usize::BITS);
const _: () = assert!(1 << FIELDS.lead_slot >= PAGE_SLOTS);

/// Everything in one word: so "the first wake since the owner looked" is one step, whichever page
/// it comes from, and the owner takes all with one swap.
///
/// Two shortcuts spare the stack, and with it a read-modify-write each for the waker and the owner.
/// The bits of the first page are here, for small groups. And where nothing is ready at all, the
/// word takes the name of a single child of another page, the *lead*: one wake between two polls is
/// what most groups see most of the time. Page 0 is the first, so 0 is no head and no lead.
pub(super) struct Ready(AtomicUsize);

/// What the owner found in the word.
#[derive(Clone, Copy)]
pub(super) struct Taken(usize);

impl Ready {
    /// Held: nobody waits for the set yet.
    pub(super) fn new() -> Self {
        Self(AtomicUsize::new(HELD))
    }

    /// Sets the ready bit of a slot in the first page. `true` is the ticket to notify the task.
    #[inline]
    pub(super) fn wake_first(&self, slot: u32) -> bool {
        // Ordering: Release hands what the child's waker has seen to the owner's `take`; Acquire
        // pairs with the `take` that left the word zero, behind which the task's waker was stored.
        self.0.fetch_or(1 << slot, Ordering::AcqRel) == 0
    }

    /// Makes a child of another page the lead, where nothing else is ready. `true` is the ticket to
    /// notify the task; otherwise nothing has changed.
    #[inline]
    pub(super) fn wake_lead(&self, page: u32, slot: u32) -> bool {
        // Ordering: Relaxed, the exchange looks again. AcqRel pairs with the swaps of `take`, both
        // ways, as in `wake_first`.
        page >> FIELDS.lead_page == 0
            && self.0.load(Ordering::Relaxed) == 0
            && self
                .0
                .compare_exchange(0, lead(page, slot), Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }

    /// Puts a page on the stack, which the caller has just found without a ready bit (invariant 5).
    /// `true` is the ticket to notify the task.
    #[inline]
    pub(super) fn push(&self, page: &Header) -> bool {
        // Ordering: Relaxed, the exchange looks again.
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            if word == CLOSED {
                return false;
            }
            // Ordering: Relaxed, it is published by the exchange below.
            page.next.store(word >> HEAD & HEAD_MASK, Ordering::Relaxed);
            let new = word & !(HEAD_MASK << HEAD) | (page.number as usize) << HEAD;
            // Ordering: pairs with the swaps of `take`, both ways, as in `wake_first`.
            match self.0.compare_exchange_weak(word, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return word == 0,
                Err(seen) => word = seen,
            }
        }
    }

    /// Asks for a poll. `true` is the ticket to notify the task.
    pub(super) fn ring(&self) -> bool {
        // Ordering: pairs with the swaps of `take`, both ways, as in `wake_first`.
        self.0.fetch_or(RUNG, Ordering::AcqRel) == 0
    }

    /// Whether a child has been woken, as far as this word knows.
    #[inline]
    pub(super) fn is_woken(&self, page: u32, slot: u32) -> bool {
        // Ordering: Relaxed, a hint for fairness only.
        let word = Taken(self.0.load(Ordering::Relaxed));
        if page == 0 { word.slots() & 1 << slot != 0 } else { word.lead() == Some((page, slot)) }
    }

    /// Takes everything. What comes next finds zero, and so a ticket.
    #[inline]
    pub(super) fn take(&self) -> Taken {
        // No load first, for the case that nothing is ready. It may miss a step from zero whose
        // notification changed nothing, as the executor had the task notified already and writes
        // nothing then. Either the swap takes the step; or the step acquires, through the zero of the
        // swap, that the executor took the old notification back before this poll.
        self.swap(0)
    }

    /// Takes everything. What comes next finds the word held, and no ticket.
    #[inline]
    pub(super) fn hold(&self) -> Taken {
        // Ordering: Relaxed. What this misses is still there at the `take` that ends the hold.
        if self.0.load(Ordering::Relaxed) == HELD {
            return Taken(HELD);
        }
        self.swap(HELD)
    }

    /// Ends the word: later wakes find every bit set and leave it alone.
    pub(super) fn close(&self) -> Taken {
        self.swap(CLOSED)
    }

    #[inline]
    fn swap(&self, new: usize) -> Taken {
        // Ordering: Acquire pairs with the Release in `wake_first`, `wake_lead` and `push`; Release
        // publishes the task's waker to whoever makes the step from the zero stored here.
        Taken(self.0.swap(new, Ordering::AcqRel))
    }
}

impl Taken {
    /// The ready bits of the first page.
    #[inline]
    pub(super) fn slots(self) -> usize {
        self.0 & (HELD - 1)
    }

    /// The page on top of the stack, or 0.
    #[inline]
    pub(super) fn head(self) -> u32 {
        (self.0 >> HEAD & HEAD_MASK) as u32
    }

    /// The page and slot of the lead.
    #[inline]
    pub(super) fn lead(self) -> Option<(u32, u32)> {
        let lead = self.0 >> LEAD;
        let slot = lead & ((1 << FIELDS.lead_slot) - 1);
        (lead != 0).then_some(((lead >> FIELDS.lead_slot) as u32, slot as u32))
    }

    /// Whether someone got a ticket when this word stepped from zero.
    #[inline]
    pub(super) fn has_ticket(self) -> bool {
        self.0 != 0 && self.0 & HELD == 0
    }
}

/// The word of a lead alone.
#[inline]
const fn lead(page: u32, slot: u32) -> usize {
    ((page as usize) << FIELDS.lead_slot | slot as usize) << LEAD
}
