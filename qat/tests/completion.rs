//! Checks the states of a request's slot in every interleaving of the threads, with loom.

#[path = "../src/device/inflight/completion.rs"]
#[allow(dead_code, reason = "the watchdog and the statistics use it")]
mod completion;

use std::future::poll_fn;
use std::task::Poll;

use loom::cell::UnsafeCell;
use loom::future::block_on;
use loom::model::Builder;
use loom::sync::Arc;
use loom::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use loom::sync::atomic::{AtomicBool, AtomicU32};
use loom::thread;

use completion::{Completion, Delivery, RequestEnd, StillPending};

/// The atomics of `completion`, with loom's in place of the standard library's.
mod sync {
    use std::task::Waker;

    pub(super) use loom::sync::atomic::{AtomicBool, AtomicI32, AtomicU16, AtomicU64, fence};

    use loom::sync::Mutex;

    /// A waker with the guarantee of `atomic_waker`: of a `register` and a `take`, one is first, and the other sees
    /// what happened before it.
    pub(super) struct AtomicWaker(Mutex<Option<Waker>>);

    impl AtomicWaker {
        pub(super) fn new() -> Self {
            Self(Mutex::new(None))
        }

        pub(super) fn register(&self, waker: &Waker) {
            *self.0.lock().unwrap() = Some(waker.clone());
        }

        pub(super) fn take(&self) -> Option<Waker> {
            self.0.lock().unwrap().take()
        }

        pub(super) fn wake(&self) {
            if let Some(waker) = self.take() {
                waker.wake();
            }
        }
    }
}

const STATUS: i32 = -7;
const SUBMITTED: u32 = 1;
const ANSWERED: u32 = 2;
const FREE: u32 = 3;

/// A slot with memory that only one thread may access at a time, which loom checks.
struct Slot {
    completion: Completion,
    memory: UnsafeCell<u32>,
    is_safe: AtomicBool,
    freed: AtomicU32,
}

impl Slot {
    /// Returns a slot with a request in flight, and its generation.
    fn in_flight() -> (Arc<Self>, u32) {
        let slot = Arc::new(Self {
            completion: Completion::new(),
            memory: UnsafeCell::new(FREE),
            is_safe: AtomicBool::new(false),
            freed: AtomicU32::new(0),
        });
        let generation = slot.submit();
        (slot, generation)
    }

    fn write(&self, value: u32) {
        // SAFETY: loom fails the model when another thread accesses the memory.
        self.memory.with_mut(|memory| unsafe { *memory = value });
    }

    fn submit(&self) -> u32 {
        self.completion.hold();
        self.write(SUBMITTED);
        self.completion.begin_submit()
    }

    /// The device, and the callback.
    fn answer(&self, generation: u32) {
        self.write(ANSWERED);
        match self.completion.complete(generation, STATUS) {
            Delivery::ToWaiter(waker) => {
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
            Delivery::Late => {}
            Delivery::Unclaimed => self.free(),
            Delivery::Stale => panic!("the first answer of its request"),
        }
    }

    fn free(&self) {
        self.write(FREE);
        self.completion.free();
        // The queue of free slots.
        self.freed.fetch_add(1, AcqRel);
    }

    /// What the waiter does in the end.
    fn end(&self, end: RequestEnd) {
        match end {
            RequestEnd::Completed(status) => {
                assert_eq!(status, STATUS);
                // SAFETY: loom fails the model when another thread accesses the memory.
                assert_eq!(self.memory.with(|memory| unsafe { *memory }), ANSWERED);
                self.free();
            }
            RequestEnd::Abandoned => self.free_if_safe(),
        }
    }

    fn free_if_safe(&self) {
        if self.completion.unpark(&self.is_safe) {
            self.free();
        }
    }

    /// libqat was stopped, and the device does not reach the memory any more.
    fn stop(&self) {
        self.is_safe.store(true, Relaxed);
        self.free_if_safe();
    }

    /// Waits as a future does.
    fn wait(&self, generation: u32) -> RequestEnd {
        block_on(poll_fn(|context| {
            let end = self
                .completion
                .take(generation)
                .or_else(|_| self.completion.take_or_wake(generation, context.waker()));
            end.map_or(Poll::Pending, Poll::Ready)
        }))
    }

    #[track_caller]
    fn assert_freed_once(&self) {
        assert_eq!(self.freed.load(Acquire), 1);
    }
}

/// With at most so many switches of a thread that could have gone on; each case takes a second or less.
fn model(case: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(case);
}

/// Runs `work` on the slot in a thread of its own.
fn spawn(slot: &Arc<Slot>, work: impl FnOnce(&Slot) + 'static) -> thread::JoinHandle<()> {
    let slot = slot.clone();
    thread::spawn(move || work(&slot))
}

#[test]
fn an_answer_and_a_waiter_that_leaves() {
    model(|| {
        let (slot, generation) = Slot::in_flight();
        let device = spawn(&slot, move |slot| slot.answer(generation));
        slot.end(slot.completion.leave(generation));
        device.join().unwrap();
        slot.assert_freed_once();
    });
}

#[test]
fn an_answer_wakes_the_waiter() {
    model(|| {
        let (slot, generation) = Slot::in_flight();
        let device = spawn(&slot, move |slot| slot.answer(generation));
        slot.end(slot.wait(generation));
        device.join().unwrap();
        slot.assert_freed_once();
    });
}

/// A thread that polled goes, and wakes one who is to poll from now on.
#[test]
fn an_answer_and_a_hand_over() {
    model(|| {
        let (slot, generation) = Slot::in_flight();
        let device = spawn(&slot, move |slot| slot.answer(generation));
        let leaver = spawn(&slot, |slot| {
            if let Some(waker) = slot.completion.take_waker() {
                waker.wake();
            }
        });
        slot.end(slot.wait(generation));
        device.join().unwrap();
        leaver.join().unwrap();
        slot.assert_freed_once();
    });
}

#[test]
fn an_answer_and_the_watchdog_and_the_waiter() {
    model(|| {
        let (slot, generation) = Slot::in_flight();
        let device = spawn(&slot, move |slot| slot.answer(generation));
        let watchdog = spawn(&slot, |slot| slot.completion.abandon());
        slot.end(slot.wait(generation));
        device.join().unwrap();
        watchdog.join().unwrap();
        slot.assert_freed_once();
    });
}

#[test]
fn an_answer_and_the_watchdog_and_a_waiter_that_leaves() {
    model(|| {
        let (slot, generation) = Slot::in_flight();
        let device = spawn(&slot, move |slot| slot.answer(generation));
        let watchdog = spawn(&slot, |slot| slot.completion.abandon());
        slot.end(slot.completion.leave(generation));
        device.join().unwrap();
        watchdog.join().unwrap();
        slot.assert_freed_once();
    });
}

#[test]
fn a_loss_wakes_the_waiter_and_the_answer_comes_late() {
    model(|| {
        let (slot, generation) = Slot::in_flight();
        let watchdog = spawn(&slot, |slot| slot.completion.abandon());
        let end = slot.wait(generation);
        assert_eq!(end, RequestEnd::Abandoned);
        slot.end(end);
        slot.answer(generation);
        watchdog.join().unwrap();
        slot.assert_freed_once();
    });
}

/// The memory of a request that is never answered is free after the stop, whoever comes last.
#[test]
fn a_stop_and_a_waiter_that_leaves() {
    model(|| {
        let (slot, generation) = Slot::in_flight();
        let owner = spawn(&slot, Slot::stop);
        slot.end(slot.completion.leave(generation));
        owner.join().unwrap();
        slot.assert_freed_once();
    });
}

#[test]
fn a_stop_and_a_waiter_that_learns_of_the_loss() {
    model(|| {
        let (slot, generation) = Slot::in_flight();
        let owner = spawn(&slot, |slot| {
            slot.completion.abandon();
            slot.stop();
        });
        slot.end(slot.wait(generation));
        owner.join().unwrap();
        slot.assert_freed_once();
    });
}

/// The slot may have its next request while the watchdog is still at the one before, which is overdue.
#[test]
fn the_next_request_is_young() {
    model(|| {
        let (slot, generation) = Slot::in_flight();
        assert!(!slot.completion.tick(1, 5));
        let device = spawn(&slot, move |slot| slot.answer(generation));
        let watchdog = spawn(&slot, |slot| _ = slot.completion.tick(10, 5));
        slot.end(slot.completion.leave(generation));
        let is_free = slot.freed.load(Acquire) == 1;
        let next = is_free.then(|| slot.submit());
        device.join().unwrap();
        watchdog.join().unwrap();
        if let Some(next) = next {
            assert_eq!(slot.completion.take(next), Err(StillPending));
            assert!(slot.completion.is_expected());
        } else {
            slot.assert_freed_once();
        }
    });
}

/// An answer that is not this request's changes nothing.
#[test]
fn an_answer_of_another_generation() {
    model(|| {
        let (slot, generation) = Slot::in_flight();
        let device = spawn(&slot, move |slot| slot.answer(generation));
        let confused = spawn(&slot, move |slot| {
            assert!(matches!(slot.completion.complete(generation - 1, STATUS + 1), Delivery::Stale));
        });
        slot.end(slot.wait(generation));
        device.join().unwrap();
        confused.join().unwrap();
        slot.assert_freed_once();
    });
}
