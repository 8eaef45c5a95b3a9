//! The states of a slot, and the transitions between them. `table` calls it for the submitter, the waiter, the callback
//! and the watchdog; nothing here accesses a slot's memory.
//!
//! A slot's word holds its generation and its state. The thread that makes a transition to `held` owns the slot's
//! memory:
//!
//! ```text
//! free -> held -> pending -> completed -> held -> free             submitted, responded, taken
//!                 pending -> parked -> held -> free                the waiter left; the response frees the memory
//!                 pending -> abandoned -> orphaned -> held -> free abandoned; a late response frees the memory
//!                            abandoned -> completed                the response came before the waiter looked
//! ```
//!
//! `qat/tests/completion.rs` checks every interleaving of the threads with loom.

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

/// Returns the word with the generation in the upper half and the state in the lower half.
const fn word(generation: u32, state: u64) -> u64 {
    (generation as u64) << 32 | state
}

const fn state_of(word: u64) -> u64 {
    word & 0xffff_ffff
}

const fn generation_of(word: u64) -> u32 {
    (word >> 32) as u32
}

/// Returns whether no waiter exists for the response.
const fn is_unclaimed(word: u64) -> bool {
    matches!(state_of(word), PARKED | ORPHANED)
}

/// The state of a slot and of its request.
pub(super) struct Completion {
    word: AtomicU64,
    status: AtomicI32,
    /// 0 until the watchdog has seen the request, then 1 plus the ticks since.
    age: AtomicU16,
    waker: AtomicWaker,
}

/// The effect of a response.
#[derive(Debug)]
pub(super) enum Delivery {
    /// The response is ready for the waiter, whose waker has to be called.
    ToWaiter(Option<Waker>),
    /// The response is ready for a waiter that was woken before, when the request was abandoned.
    Late,
    /// No waiter exists. The caller owns the slot and has to free it.
    Unclaimed,
    /// The response belongs to no request in flight.
    Stale,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestEnd {
    /// The device responded with this status. The caller owns the slot.
    Completed(i32),
    /// The request was abandoned, or its waiter left. Nobody owns the slot until the response comes, or until
    /// [`unpark`](Completion::unpark).
    Abandoned,
}

/// The request has not finished yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StillPending;

impl Completion {
    /// Creates the state of a free slot.
    pub(super) fn new() -> Self {
        Self {
            word: AtomicU64::new(word(0, FREE)),
            status: AtomicI32::new(0),
            age: AtomicU16::new(0),
            waker: AtomicWaker::new(),
        }
    }

    /// Makes a free slot held, in a new generation. The caller took the slot from the free list, so that no other
    /// thread does the same.
    pub(super) fn hold(&self) {
        let generation = generation_of(self.word.load(Acquire)).wrapping_add(1);
        self.word.store(word(generation, HELD), Relaxed);
    }

    /// Makes a held slot free.
    pub(super) fn free(&self) {
        self.word.store(word(generation_of(self.word.load(Relaxed)), FREE), Release);
    }

    /// Makes a held slot's request pending, and returns its generation. The response may come as soon as the request is
    /// submitted.
    pub(super) fn begin_submit(&self) -> u32 {
        self.age.store(0, Relaxed);
        let generation = generation_of(self.word.load(Relaxed));
        self.word.store(word(generation, PENDING), Release);
        generation
    }

    /// Makes the slot held again, because the request was not submitted.
    pub(super) fn recall(&self, generation: u32) {
        self.word.store(word(generation, HELD), Relaxed);
    }

    /// Records a response.
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

    /// Abandons the request, if one is pending.
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

    /// Returns whether the watchdog should poll the ring before [`tick`](Self::tick): because the tick would abandon
    /// the request, or because no waiter polls for the response.
    pub(super) fn is_unattended(&self, ticks: u16, limit: u16) -> bool {
        let seen = self.word.load(Relaxed);
        let is_due = || self.age.load(Relaxed).saturating_add(ticks) > limit;
        is_unclaimed(seen) || state_of(seen) == PENDING && is_due()
    }

    /// Ages the pending request by `ticks`, abandons it beyond `limit`, and returns whether it did.
    pub(super) fn tick(&self, ticks: u16, limit: u16) -> bool {
        let seen = self.word.load(Relaxed);
        if state_of(seen) != PENDING {
            return false;
        }
        // If another request has used the slot meanwhile, its age was reset, and the exchange fails.
        let age = self.age.load(Relaxed);
        let older = if age == 0 { 1 } else { age.saturating_add(ticks) };
        let is_older = self.age.compare_exchange(age, older, Relaxed, Relaxed).is_ok();
        is_older && older > limit && self.abandon_seen(seen)
    }

    /// Returns how the request ended. Only its single waiter calls this.
    ///
    /// # Errors
    /// The request has not finished yet.
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

    /// Returns how the request ended, or registers `waker`, which is called when it ends.
    ///
    /// # Errors
    /// The request has not finished yet.
    pub(super) fn take_or_wake(&self, generation: u32, waker: &Waker) -> Result<RequestEnd, StillPending> {
        self.waker.register(waker);
        // The response may have come before the waker was registered, in which case nobody calls the waker.
        self.take(generation)
    }

    /// Records that the waiter leaves, and returns how the request ended if it has.
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

    /// Changes the state of the request, and returns whether the word still was what was `seen`.
    fn change(&self, seen: u64, state: u64) -> bool {
        self.word.compare_exchange(seen, word(generation_of(seen), state), AcqRel, Relaxed).is_ok()
    }

    /// Returns whether the caller owns the slot, to free it: when no waiter exists and, according to `is_safe`, no
    /// device accesses its memory any more. The leaving waiter calls this, and the thread that has set `is_safe`.
    pub(super) fn unpark(&self, is_safe: &AtomicBool) -> bool {
        // SeqCst: ordered between storing the state or `is_safe` and loading the other one. Either the leaving waiter
        // sees `is_safe`, or the thread that set it sees that the waiter has left; without the fence both could miss
        // it, and the slot would be leaked.
        fence(SeqCst);
        let seen = self.word.load(Relaxed);
        is_safe.load(Relaxed) && is_unclaimed(seen) && self.change(seen, HELD)
    }

    /// Takes the waker of the request, if it is pending.
    pub(super) fn take_waker(&self) -> Option<Waker> {
        if state_of(self.word.load(Relaxed)) == PENDING { self.waker.take() } else { None }
    }

    /// Returns whether the slot is free.
    pub(super) fn is_free(&self) -> bool {
        state_of(self.word.load(Acquire)) == FREE
    }

    /// Returns whether the device may still access the slot's memory while no waiter exists.
    pub(super) fn is_parked(&self) -> bool {
        is_unclaimed(self.word.load(Relaxed))
    }

    /// Returns whether the stop of libqat has to wait for the response.
    pub(super) fn is_expected(&self) -> bool {
        matches!(state_of(self.word.load(Relaxed)), PENDING | PARKED)
    }
}
