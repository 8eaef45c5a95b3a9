//! Polls the rings for responses. Blocking operations wait here, and futures register here; nothing here submits
//! requests.
//!
//! A thread that waits for a request also polls: it polls the rings that its requests are on, and takes the responses
//! to other threads' requests, too. Of several threads that wait at one ring, one polls, and the others sleep until
//! their request completes or until the polling thread leaves and wakes one of them. A future cannot poll while no
//! thread runs it, so one helper thread polls for all futures; it sleeps while none waits.

mod pace;
mod reactor;

use std::future::Future;
use std::hint;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::device::inflight::waiters::{Waiters, Waiting, attempt_while, bit};
use crate::device::inflight::{Polled, Ring, Table};
use pace::{MORE_SPINS, Pace, SPINS, nap};

pub(crate) use reactor::{Reactor, is_helper_thread, mark_helper_thread};

/// The maximum sleep of a thread whose ring another thread polls. It bounds the delay if that thread leaves without
/// waking anyone.
const SLEEP_LIMIT: Duration = Duration::from_millis(50);

thread_local! {
    static PACE: Pace = const { Pace::new() };
    static WAKER: (Arc<Sleeper>, Waker) = {
        let sleeper = Arc::new(Sleeper { thread: thread::current(), is_woken: AtomicBool::new(false) });
        (sleeper.clone(), Waker::from(sleeper))
    };
}

struct Sleeper {
    thread: Thread,
    is_woken: AtomicBool,
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_woken.swap(true, Release) {
            self.thread.unpark();
        }
    }
}

/// A future that resolves when a full ring may have a free slot, which is after the next successful poll.
pub(crate) struct Room {
    table: &'static Table,
    is_asked: bool,
    is_awaited: bool,
}

impl Room {
    pub(crate) fn on(table: &'static Table) -> Self {
        Self { table, is_asked: false, is_awaited: false }
    }
}

impl Future for Room {
    type Output = ();

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.is_asked {
            return Poll::Ready(());
        }
        self.is_asked = true;
        let waiters = &self.table.waiters;
        waiters.wait_for_room(context.waker().clone());
        // Nobody polls a ring whose requests were abandoned, so waiting would never end.
        if self.table.is_gone() {
            return Poll::Ready(());
        }
        if waiters.is_polled_by_this_thread().is_none() {
            self.is_awaited = true;
            self.table.add_waiting_future();
            self.table.waiters.call();
        }
        Poll::Pending
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.is_awaited {
            self.table.remove_waiting_future();
        }
    }
}

/// Runs `attempt`, the first poll of a future that nobody awaits yet, without making the helper thread poll for it.
pub(crate) fn unattended<T>(attempt: impl FnOnce() -> T) -> T {
    attempt_while(Waiting::Polling, attempt).0
}

/// Runs `future` on this thread, which polls those of `rings` that the future waits for.
#[inline]
pub(crate) fn block_on<F: Future>(rings: &[Arc<Ring>], future: F) -> F::Output {
    block_on_begun(rings, None, future)
}

/// Runs `future` like [`block_on`]. `begun` is the index of the ring on which the future already has a request, if it
/// has one, which saves the first poll of the future.
#[inline]
pub(crate) fn block_on_begun<F: Future>(rings: &[Arc<Ring>], begun: Option<usize>, future: F) -> F::Output {
    let mut future = pin!(future);
    let mut attempt = |waker: &Waker, waiting: Waiting| {
        attempt_while(waiting, || future.as_mut().poll(&mut Context::from_waker(waker)))
    };
    let (mut polled, mut wanted) = match begun {
        Some(index) => (Poll::Pending, bit(index)),
        None => attempt(Waker::noop(), Waiting::Polling),
    };
    let (mut spins, mut since, mut waited_for) = (SPINS, None, 0);
    let output = loop {
        match polled {
            Poll::Ready(output) => break output,
            Poll::Pending if spins > 0 => {
                // When nobody else waits, the response was this thread's own, and more may follow soon.
                if spins < SPINS && !has_sleepers(rings, wanted) {
                    observe(&mut since);
                    spins = SPINS;
                }
                waited_for = wanted;
                spins = spin(rings, wanted, spins);
                while spins == 0 && is_near(rings, wanted, &mut since) {
                    spins = spin(rings, wanted, MORE_SPINS);
                }
                (polled, wanted) = attempt(Waker::noop(), Waiting::Polling);
            }
            Poll::Pending => {
                waited_for = wanted;
                let lying_since = *since.get_or_insert_with(Instant::now);
                (polled, wanted) = WAKER.with(|(sleeper, waker)| {
                    sleeper.is_woken.store(false, Relaxed);
                    let (polled, wanted) = attempt(waker, Waiting::AboutToSleep);
                    if polled.is_pending() {
                        sleep(rings, wanted, sleeper, lying_since);
                        if sleeper.is_woken.load(Acquire) {
                            observe(&mut since);
                            spins = SPINS;
                        }
                    }
                    (polled, wanted)
                });
                if polled.is_pending() {
                    (polled, wanted) = attempt(Waker::noop(), Waiting::Polling);
                }
            }
        }
    };
    observe(&mut since);
    // Sleeping threads may have relied on this thread to poll; without a wake-up they would sleep on.
    hand_over(rings, waited_for);
    output
}

fn has_sleepers(rings: &[Arc<Ring>], wanted: u64) -> bool {
    wanted_of(rings, wanted).any(|ring| ring.table().waiters.sleepers.load(Relaxed) > 0)
}

/// Iterates over the rings whose bit is set in `wanted`, usually a few of many.
fn wanted_of(rings: &[Arc<Ring>], mut wanted: u64) -> impl Iterator<Item = &Arc<Ring>> {
    let mut next = rings.len();
    std::iter::from_fn(move || {
        while next >= rings.len() {
            if wanted == 0 {
                return None;
            }
            next = wanted.trailing_zeros() as usize;
            wanted &= wanted - 1;
        }
        let ring = &rings[next];
        next += 64;
        Some(ring)
    })
}

/// Polls at most `spins` times until a response arrives, and returns how many polls are left then.
fn spin(rings: &[Arc<Ring>], wanted: u64, spins: u32) -> u32 {
    let answers = || {
        let of = |ring: &Arc<Ring>| ring.table().waiters.answers.load(Acquire);
        wanted_of(rings, wanted).map(of).fold(0, u32::wrapping_add)
    };
    let (mut before, mut have_periodic_pollers) = (0_u32, true);
    for ring in wanted_of(rings, wanted) {
        let waiters = &ring.table().waiters;
        before = before.wrapping_add(waiters.answers.load(Acquire));
        have_periodic_pollers &= waiters.has_periodic_poller.load(Relaxed);
    }
    // Requests of threads that wait already complete before this thread's, and one of those threads polls the ring.
    if have_periodic_pollers {
        return 0;
    }
    for left in (0..spins).rev() {
        // Another thread may have taken this thread's response.
        if left + 1 < spins && answers() != before {
            return left;
        }
        for ring in wanted_of(rings, wanted) {
            match ring.poll() {
                Polled::Nothing => {}
                Polled::Answers | Polled::Closed => return left,
                Polled::Refused(_) => return 0,
            }
        }
        hint::spin_loop();
    }
    0
}

/// Returns whether the response is likely to arrive before a short sleep would end. `since` is the time at which the
/// first polls ended without a response.
#[cold]
fn is_near(rings: &[Arc<Ring>], wanted: u64, since: &mut Option<Instant>) -> bool {
    let waited = since.get_or_insert_with(Instant::now).elapsed();
    let in_flight =
        wanted_of(rings, wanted).map(|ring| ring.table().in_flight()).fold(0, u32::saturating_add);
    !has_sleepers(rings, wanted) && PACE.with(|pace| pace.is_near(waited, in_flight))
}

/// Records the length of a wait that has ended.
#[inline(always)]
fn observe(since: &mut Option<Instant>) {
    if let Some(since) = since.take() {
        PACE.with(|pace| pace.observe(since.elapsed()));
    }
}

/// Sleeps until the thread is woken, or until the next periodic poll if this thread does it for a ring.
fn sleep(rings: &[Arc<Ring>], wanted: u64, sleeper: &Sleeper, since: Instant) {
    for ring in wanted_of(rings, wanted) {
        if ring.poll() == Polled::Answers {
            return;
        }
    }
    // One of the threads that sleep at a ring wakes up periodically to poll it; the others sleep until that one takes
    // their response.
    let all_waiters = || (0..64).zip(wanted_of(rings, wanted).map(|ring| &ring.table().waiters));
    let mut kept = 0_u64;
    for (at, waiters) in all_waiters() {
        // `sleepers` is counted before the swap of `has_periodic_poller` (AcqRel), so that a periodic poller that
        // clears the flag with its own swap below sees this sleeper in `hand_over`. Otherwise nobody would poll for it.
        waiters.sleepers.fetch_add(1, Relaxed);
        kept |= u64::from(!waiters.has_periodic_poller.swap(true, AcqRel)) << at;
    }
    if !sleeper.is_woken.load(Acquire) {
        thread::park_timeout(if kept == 0 { SLEEP_LIMIT } else { nap(since.elapsed()) });
    }
    for (at, waiters) in all_waiters() {
        if waiters.sleepers.fetch_sub(1, Relaxed) > 1 {
            PACE.with(Pace::crowded);
        }
        if kept >> at & 1 == 1 {
            waiters.has_periodic_poller.swap(false, AcqRel);
        }
    }
}

/// Wakes one sleeping thread of each wanted ring that has requests in flight and no periodic poller.
#[inline(always)]
fn hand_over(rings: &[Arc<Ring>], wanted: u64) {
    for ring in wanted_of(rings, wanted) {
        let table = ring.table();
        let Waiters { sleepers, has_periodic_poller, .. } = &table.waiters;
        if sleepers.load(Relaxed) > 0 && !has_periodic_poller.load(Relaxed) && table.in_flight() > 0 {
            table.hand_over();
        }
    }
}
