//! The threads and futures that wait at a ring. `table` asks here whether the calling thread polls the ring itself, and
//! the loops of `device::polling` keep their state here; nothing here polls.

use std::cell::Cell;
use std::mem;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;

/// A function that makes the helper thread poll for futures.
pub(crate) type CallPoller = Box<dyn Fn() + Send + Sync>;

/// The index of a ring among those of its start, and the threads and futures that wait at it.
#[derive(Default)]
pub(crate) struct Waiters {
    index: AtomicU32,
    /// The number of responses that were taken, modulo 2^32.
    pub(in crate::device) answers: AtomicU32,
    call_poller: Mutex<Option<CallPoller>>,
    /// The number of threads that sleep until their response is taken.
    pub(in crate::device) sleepers: AtomicU32,
    /// Whether one of the sleeping threads wakes up periodically and polls.
    pub(in crate::device) has_periodic_poller: AtomicBool,
    for_room: Mutex<Vec<Waker>>,
    is_room_wanted: AtomicBool,
}

/// How a thread in `block_on` waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// The thread polls, and needs no waker.
    Polling,
    /// The thread is about to sleep, and needs a waker.
    AboutToSleep,
}

/// How a thread in `block_on` waits, and the rings that it polls: bit `i` stands for the rings with index `i` modulo
/// 64. `None` outside of `block_on`.
type Interest = Option<(Waiting, u64)>;

pub(in crate::device) const fn bit(index: usize) -> u64 {
    1 << (index % 64)
}

thread_local! {
    static INTEREST: Cell<Interest> = const { Cell::new(None) };
}

impl Waiters {
    /// Records the index of the ring in its start, and how to call the thread that polls for futures.
    pub(crate) fn set(&self, index: usize, call_poller: Option<CallPoller>) {
        self.index.store(index as u32, Relaxed);
        *self.call_poller.lock().unwrap_or_else(PoisonError::into_inner) = call_poller;
    }

    /// Counts a response, which threads that wait without a waker observe.
    pub(crate) fn answered(&self) {
        // One thread polls a ring at a time, so no other thread changes the count meanwhile.
        self.answers.store(self.answers.load(Relaxed).wrapping_add(1), Release);
    }

    /// Returns how this thread waits if it is in `block_on`, and adds this ring to those that it polls. Returns `None`
    /// on another thread.
    pub(crate) fn is_polled_by_this_thread(&self) -> Option<Waiting> {
        INTEREST.with(|interest| {
            let (waiting, rings) = interest.get()?;
            interest.set(Some((waiting, rings | bit(self.index.load(Relaxed) as usize))));
            Some(waiting)
        })
    }

    /// Makes the helper thread poll.
    pub(crate) fn call(&self) {
        let call_poller = self.call_poller.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(call) = &*call_poller {
            call();
        }
    }

    /// Registers `waker`, which is woken when the ring may have a free slot.
    pub(in crate::device) fn wait_for_room(&self, waker: Waker) {
        self.for_room.lock().unwrap_or_else(PoisonError::into_inner).push(waker);
        // SeqCst: ordered against the closing of the ring, whose thread wakes for room afterwards. Without it both
        // could miss each other, and the waker would never be called.
        self.is_room_wanted.store(true, SeqCst);
    }

    /// Wakes the waiters for a free slot on the ring.
    #[inline(always)]
    pub(crate) fn wake_for_room(&self) {
        if self.is_room_wanted.load(Relaxed) && self.is_room_wanted.swap(false, AcqRel) {
            let wakers = mem::take(&mut *self.for_room.lock().unwrap_or_else(PoisonError::into_inner));
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

/// Runs `attempt`, the poll of a future, on a thread that waits as stated, and returns which rings the thread has to
/// poll.
pub(in crate::device) fn attempt_while<T>(waiting: Waiting, attempt: impl FnOnce() -> T) -> (T, u64) {
    // The future may itself call `block_on`, whose interest must not replace this one.
    let outer = INTEREST.replace(Some((waiting, 0)));
    let polled = attempt();
    (polled, INTEREST.replace(outer).map_or(0, |(_, rings)| rings))
}
