//! Who polls the rings, and how it waits.
//!
//! Whoever waits polls: a blocked thread looks after the rings that its own requests are on, and finds other threads'
//! answers on the way. Of several threads at one ring one polls and the others sleep until their answer, or until the
//! first one leaves and hands over. For futures, which cannot poll while nobody runs them, one helper thread does it;
//! it sleeps when nothing is in flight.

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

pub(crate) use reactor::Reactor;

/// Sleep of a thread whose ring another one looks after, in case that one goes without a word.
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

/// Resolves when there may be room on a ring: when it was polled once more.
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
        // Nobody polls a ring that is no more.
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

/// Runs `attempt`, the first poll of a future for which nobody waits yet, so that nobody has to poll the rings for it.
pub(crate) fn unattended<T>(attempt: impl FnOnce() -> T) -> T {
    attempt_while(Waiting::Polling, attempt).0
}

/// Runs `future` on this thread, which polls those of `rings` that it waits for.
#[inline]
pub(crate) fn block_on<F: Future>(rings: &[Arc<Ring>], future: F) -> F::Output {
    block_on_begun(rings, None, future)
}

/// The same for a future that waits already, for a request on the ring of index `begun`.
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
                // Where nobody else waits, what was answered was this thread's own, and more may follow.
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
    // Those who sleep may have relied on this thread's polling.
    hand_over(rings, waited_for);
    output
}

fn has_sleepers(rings: &[Arc<Ring>], wanted: u64) -> bool {
    wanted_of(rings, wanted).any(|ring| ring.table().waiters.sleepers.load(Relaxed) > 0)
}

/// Few of many.
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

/// Polls until something happens; how many of the `spins` are left then.
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
    // Where others wait already, their answers come before this one's, and one of them looks after the ring.
    if have_periodic_pollers {
        return 0;
    }
    for left in (0..spins).rev() {
        // Another thread may have found this one's.
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

/// Whether the answer is likely to come before a nap would be over; it is waited for `since` the first looks were over.
#[cold]
fn is_near(rings: &[Arc<Ring>], wanted: u64, since: &mut Option<Instant>) -> bool {
    let waited = since.get_or_insert_with(Instant::now).elapsed();
    let in_flight =
        wanted_of(rings, wanted).map(|ring| ring.table().in_flight()).fold(0, u32::saturating_add);
    !has_sleepers(rings, wanted) && PACE.with(|pace| pace.is_near(waited, in_flight))
}

/// What was waited for has come.
#[inline(always)]
fn observe(since: &mut Option<Instant>) {
    if let Some(since) = since.take() {
        PACE.with(|pace| pace.observe(since.elapsed()));
    }
}

fn sleep(rings: &[Arc<Ring>], wanted: u64, sleeper: &Sleeper, since: Instant) {
    for ring in wanted_of(rings, wanted) {
        if ring.poll() == Polled::Answers {
            return;
        }
    }
    // One of all who sleep at a ring wakes up for it now and then; the others sleep until that one finds their answer.
    let all_waiters = || (0..64).zip(wanted_of(rings, wanted).map(|ring| &ring.table().waiters));
    let mut kept = 0_u64;
    for (at, waiters) in all_waiters() {
        // In this order, and with the swap below, whoever does not find the ring kept finds its sleepers.
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
