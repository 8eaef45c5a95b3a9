//! How a request comes to its end: the states of a slot, and who brings it from which to which.
//!
//! A slot's word holds its generation and its state. Whoever makes a transition owns what it leads to:
//!
//! ```text
//! free -> held -> flying -> landed -> held -> free           submitted, answered, taken
//!                 flying -> parked -> held -> free           the waiter went away; the answer frees the memory
//!                 flying -> lost -> orphaned -> held -> free given up; a late answer frees the memory
//!                           lost -> landed                   the answer came before the waiter looked
//! ```
//!
//! `qat/tests/completion.rs` tries all orders in which threads can meet here.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::task::Waker;

use super::sync::{AtomicBool, AtomicI32, AtomicU16, AtomicU64, AtomicWaker, fence};

const FREE: u64 = 0;
const HELD: u64 = 1;
const PENDING: u64 = 2;
const COMPLETED: u64 = 3;
const ABANDONED: u64 = 4;
const PARKED: u64 = 5;
const ORPHANED: u64 = 6;

/// Generation in the upper half, state in the lower.
const fn word(generation: u32, state: u64) -> u64 {
    (generation as u64) << 32 | state
}

const fn state_of(word: u64) -> u64 {
    word & 0xffff_ffff
}

const fn generation_of(word: u64) -> u32 {
    (word >> 32) as u32
}

/// Whether nobody waits for the answer.
const fn is_unclaimed(word: u64) -> bool {
    matches!(state_of(word), PARKED | ORPHANED)
}

/// Where a slot's request stands.
pub(super) struct Completion {
    word: AtomicU64,
    status: AtomicI32,
    /// 0 until the watchdog has seen the request, then 1 and the ticks since.
    age: AtomicU16,
    waker: AtomicWaker,
}

/// What an answer came to.
#[derive(Debug)]
pub(super) enum Delivery {
    /// There for the waiter, who is to be woken.
    ToWaiter(Option<Waker>),
    /// There for a waiter who was woken before, for the loss.
    Late,
    /// Nobody's; the slot is the caller's, to be freed.
    Unclaimed,
    /// Of no request in flight.
    Stale,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestEnd {
    /// Answered with this status; the slot is the caller's.
    Completed(i32),
    /// Given up, or left. The slot is nobody's until the answer comes, or until [`unpark`](Completion::unpark).
    Abandoned,
}

/// It is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StillPending;

impl Completion {
    /// A free slot's.
    pub(super) fn new() -> Self {
        Self {
            word: AtomicU64::new(word(0, FREE)),
            status: AtomicI32::new(0),
            age: AtomicU16::new(0),
            waker: AtomicWaker::new(),
        }
    }

    /// Holds the slot, which was free and is nobody else's.
    pub(super) fn hold(&self) {
        let generation = generation_of(self.word.load(Acquire)).wrapping_add(1);
        self.word.store(word(generation, HELD), Relaxed);
    }

    /// Lets a held slot be free.
    pub(super) fn free(&self) {
        self.word.store(word(generation_of(self.word.load(Relaxed)), FREE), Release);
    }

    /// Puts a held slot's request into flight: its generation. The answer may come at once.
    pub(super) fn begin_submit(&self) -> u32 {
        self.age.store(0, Relaxed);
        let generation = generation_of(self.word.load(Relaxed));
        self.word.store(word(generation, PENDING), Release);
        generation
    }

    /// Takes back a request that was not submitted after all.
    pub(super) fn recall(&self, generation: u32) {
        self.word.store(word(generation, HELD), Relaxed);
    }

    /// Takes an answer.
    pub(super) fn complete(&self, generation: u32, status: i32) -> Delivery {
        let mut seen = self.word.load(Relaxed);
        loop {
            let next = match state_of(seen) {
                _ if generation_of(seen) != generation => return Delivery::Stale,
                PENDING | ABANDONED => COMPLETED,
                PARKED | ORPHANED => HELD,
                _ => return Delivery::Stale,
            };
            if next == COMPLETED {
                self.status.store(status, Relaxed);
            }
            match self.word.compare_exchange(seen, word(generation, next), AcqRel, Relaxed) {
                Ok(_) => {
                    return match state_of(seen) {
                        PENDING => Delivery::ToWaiter(self.waker.take()),
                        ABANDONED => Delivery::Late,
                        _ => Delivery::Unclaimed,
                    };
                }
                Err(now) => seen = now,
            }
        }
    }

    /// Gives up the request, if one is in flight.
    pub(super) fn abandon(&self) {
        let seen = self.word.load(Relaxed);
        if state_of(seen) == PENDING {
            self.abandon_seen(seen);
        }
    }

    fn abandon_seen(&self, seen: u64) -> bool {
        let is_abandoned = self.change(seen, ABANDONED);
        if is_abandoned {
            self.waker.wake();
        }
        is_abandoned
    }

    /// Whether somebody should poll before [`tick`](Self::tick): it would give the request up, or nobody else waits for
    /// the answer.
    pub(super) fn is_unattended(&self, ticks: u16, limit: u16) -> bool {
        let seen = self.word.load(Relaxed);
        let is_due = || self.age.load(Relaxed).saturating_add(ticks) > limit;
        is_unclaimed(seen) || state_of(seen) == PENDING && is_due()
    }

    /// Lets the request in flight be older by `ticks`, and gives it up beyond `limit`; whether it did.
    pub(super) fn tick(&self, ticks: u16, limit: u16) -> bool {
        let seen = self.word.load(Relaxed);
        if state_of(seen) != PENDING {
            return false;
        }
        // A slot whose request was followed by another meanwhile is young again, and stays so.
        let age = self.age.load(Relaxed);
        let older = if age == 0 { 1 } else { age.saturating_add(ticks) };
        let is_older = self.age.compare_exchange(age, older, Relaxed, Relaxed).is_ok();
        is_older && older > limit && self.abandon_seen(seen)
    }

    /// What became of the request; for its one waiter.
    pub(super) fn take(&self, generation: u32) -> Result<RequestEnd, StillPending> {
        loop {
            let seen = self.word.load(Acquire);
            match state_of(seen) {
                COMPLETED => {
                    self.word.store(word(generation, HELD), Relaxed);
                    return Ok(RequestEnd::Completed(self.status.load(Relaxed)));
                }
                ABANDONED if self.change(seen, ORPHANED) => return Ok(RequestEnd::Abandoned),
                ABANDONED => {}
                _ => return Err(StillPending),
            }
        }
    }

    /// The same, with `waker` called when there is something to take.
    pub(super) fn take_or_wake(&self, generation: u32, waker: &Waker) -> Result<RequestEnd, StillPending> {
        self.waker.register(waker);
        // The answer may have come before the waker was there.
        self.take(generation)
    }

    /// The waiter goes away.
    pub(super) fn leave(&self, generation: u32) -> RequestEnd {
        loop {
            if let Ok(end) = self.take(generation) {
                return end;
            }
            if self.change(word(generation, PENDING), PARKED) {
                return RequestEnd::Abandoned;
            }
        }
    }

    /// Brings the word from what was `seen` into another state of the same request; whether it still was that.
    fn change(&self, seen: u64, state: u64) -> bool {
        self.word.compare_exchange(seen, word(generation_of(seen), state), AcqRel, Relaxed).is_ok()
    }

    /// Takes a slot that nobody waits for and whose memory no device reaches any more, as `is_safe` says: whether it is the
    /// caller's, to be freed. For who left it and for who set `is_safe`.
    pub(super) fn unpark(&self, is_safe: &AtomicBool) -> bool {
        // In one order: either who left it finds it safe, or who made it safe finds it left.
        fence(SeqCst);
        let seen = self.word.load(Relaxed);
        is_safe.load(Relaxed) && is_unclaimed(seen) && self.change(seen, HELD)
    }

    /// The waker of a request in flight, taken from it.
    pub(super) fn take_waker(&self) -> Option<Waker> {
        if state_of(self.word.load(Relaxed)) == PENDING { self.waker.take() } else { None }
    }

    /// Whether the slot is nobody's.
    pub(super) fn is_free(&self) -> bool {
        state_of(self.word.load(Acquire)) == FREE
    }

    /// Whether the device may hold its memory and nobody waits for it.
    pub(super) fn is_parked(&self) -> bool {
        is_unclaimed(self.word.load(Relaxed))
    }

    /// Whether an answer is waited for, be it by the stop.
    pub(super) fn is_expected(&self) -> bool {
        matches!(state_of(self.word.load(Relaxed)), PENDING | PARKED)
    }
}
