//! Who waits at a ring, and how the thread that runs a future waits.
//!
//! A slot's completion asks here whether the calling thread polls its ring itself. The polling loops store their state here
//! and read it; nothing here polls.

use std::cell::Cell;
use std::mem;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;

/// Asks the thread that polls for futures to poll.
pub(crate) type CallPoller = Box<dyn Fn() + Send + Sync>;

/// Where a ring stands among those of its start, and who waits at it.
#[derive(Default)]
pub(crate) struct Waiters {
    index: AtomicU32,
    /// The number of answers that were found, modulo 2^32.
    pub(in crate::device) answers: AtomicU32,
    call_poller: Mutex<Option<CallPoller>>,
    /// The number of threads that sleep until their answer is found.
    pub(in crate::device) sleepers: AtomicU32,
    /// Whether one of the sleepers wakes up now and then and polls.
    pub(in crate::device) has_periodic_poller: AtomicBool,
    for_room: Mutex<Vec<Waker>>,
    is_room_wanted: AtomicBool,
}

/// How a thread in `block_on` waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// It polls, and needs no waker.
    Polling,
    /// It is about to sleep.
    AboutToSleep,
}

/// How a thread in `block_on` waits, and what it wants polled: bit `i` stands for the rings of index `i` modulo 64.
type Interest = Option<(Waiting, u64)>;

pub(in crate::device) const fn bit(index: usize) -> u64 {
    1 << (index % 64)
}

thread_local! {
    static INTEREST: Cell<Interest> = const { Cell::new(None) };
}

impl Waiters {
    /// Records that the ring is number `index` of its start, and how to call the thread that polls for futures.
    pub(crate) fn set(&self, index: usize, call_poller: Option<CallPoller>) {
        self.index.store(index as u32, Relaxed);
        *self.call_poller.lock().unwrap_or_else(PoisonError::into_inner) = call_poller;
    }

    /// Counts an answer, for those who wait without a waker.
    pub(crate) fn answered(&self) {
        // One thread polls a ring at a time, so that nobody else counts.
        self.answers.store(self.answers.load(Relaxed).wrapping_add(1), Release);
    }

    /// How this thread waits, if it is in `block_on`; it then polls this ring.
    pub(crate) fn is_polled_by_this_thread(&self) -> Option<Waiting> {
        INTEREST.with(|interest| {
            let (waiting, rings) = interest.get()?;
            interest.set(Some((waiting, rings | bit(self.index.load(Relaxed) as usize))));
            Some(waiting)
        })
    }

    /// Calls for somebody to poll.
    pub(crate) fn call(&self) {
        let call_poller = self.call_poller.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(call) = &*call_poller {
            call();
        }
    }

    /// Wakes `waker` when there may be room on the ring.
    pub(in crate::device) fn wait_for_room(&self, waker: Waker) {
        self.for_room.lock().unwrap_or_else(PoisonError::into_inner).push(waker);
        // SeqCst: ordered against the closing of the ring, whose thread wakes for room afterwards. Without it both could miss
        // each other, and the waker would never be called.
        self.is_room_wanted.store(true, SeqCst);
    }

    /// Wakes whoever waits for room on the ring.
    #[inline(always)]
    pub(crate) fn wake_for_room(&self) {
        if self.is_room_wanted.load(Relaxed) && self.is_room_wanted.swap(false, AcqRel) {
            let wakers = mem::take(&mut *self.for_room.lock().unwrap_or_else(PoisonError::into_inner));
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

/// Runs `attempt`, the poll of a future, as a thread that waits in this way, and says which rings it wants polled.
pub(in crate::device) fn attempt_while<T>(waiting: Waiting, attempt: impl FnOnce() -> T) -> (T, u64) {
    // The future may itself be one that blocks on another.
    let outer = INTEREST.replace(Some((waiting, 0)));
    let polled = attempt();
    (polled, INTEREST.replace(outer).map_or(0, |(_, rings)| rings))
}
