//! The helper thread that polls for futures. Waiting futures call it; blocking operations do not need it.

use std::cell::Cell;
use std::hint;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release, SeqCst};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::Instant;

use super::pace::{Pace, SPINS, nap};
use crate::device::inflight::{Polled, Ring};

thread_local! {
    static IS_HELPER: Cell<bool> = const { Cell::new(false) };
}

/// Marks this thread as one that a stop of libqat waits for.
pub(crate) fn mark_helper_thread() {
    IS_HELPER.set(true);
}

/// Returns whether a stop of libqat waits for this thread, so that this thread must not wait for a stop. The question
/// arises because wakers run on these threads, and whatever a program does in them.
pub(crate) fn is_helper_thread() -> bool {
    // Only at its end has a thread no local values any more, and no waker runs then.
    IS_HELPER.try_with(Cell::get).unwrap_or(false)
}

/// The helper thread of one start. The thread is created when the first future waits.
pub(crate) struct Reactor {
    rings: Vec<Arc<Ring>>,
    thread: OnceLock<Option<Thread>>,
    handle: Mutex<Option<JoinHandle<()>>>,
    is_parked: AtomicBool,
    is_over: AtomicBool,
}

impl Reactor {
    pub(crate) fn new(rings: Vec<Arc<Ring>>) -> Arc<Self> {
        Arc::new(Self {
            rings,
            thread: OnceLock::new(),
            handle: Mutex::default(),
            is_parked: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        })
    }

    /// Makes the helper thread poll, because a future waits.
    pub(crate) fn call(self: &Arc<Self>) {
        let thread = self.thread.get_or_init(|| {
            let this = self.clone();
            let spawned = thread::Builder::new().name("qat-poll".to_owned()).spawn(move || this.run());
            match spawned {
                Ok(handle) => {
                    let thread = handle.thread().clone();
                    *self.handle.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
                    Some(thread)
                }
                Err(error) => {
                    tracing::error!(%error, "could not create the thread that polls for futures; they complete only when a blocking call polls");
                    None
                }
            }
        });
        if self.is_parked.swap(false, SeqCst)
            && let Some(thread) = thread
        {
            thread.unpark();
        }
    }

    /// Ends the thread and waits for it. The rings must be closed or idle.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Release);
        if let Some(Some(thread)) = self.thread.get() {
            thread.unpark();
        }
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(handle) = handle
            && handle.join().is_err()
        {
            tracing::error!("the thread that polls for futures panicked");
        }
    }

    fn run(&self) {
        mark_helper_thread();
        let (mut idle, mut idle_since) = (0, None::<Instant>);
        let pace = Pace::new();
        while !self.is_over.load(Acquire) {
            let (mut awaited, mut has_answers) = (0, false);
            for ring in &self.rings {
                let waiters = ring.table().waiting_futures();
                if waiters > 0 {
                    awaited += waiters;
                    has_answers |= ring.poll() == Polled::Answers;
                }
            }
            if has_answers {
                idle = 0;
                if let Some(since) = idle_since.take() {
                    pace.observe(since.elapsed());
                }
            } else if awaited == 0 {
                self.is_parked.swap(true, SeqCst);
                // SeqCst: the swap is ordered against `add_waiting_future` and the swap in `call`. Without the second
                // check, a future that begins to wait between the first check and the swap would not wake this thread.
                if self.rings.iter().all(|ring| ring.table().waiting_futures() == 0)
                    && !self.is_over.load(Acquire)
                {
                    thread::park();
                }
                self.is_parked.store(false, Release);
                (idle, idle_since) = (0, None);
            } else if idle < SPINS {
                idle += 1;
                hint::spin_loop();
            } else {
                let waited = idle_since.get_or_insert_with(Instant::now).elapsed();
                if awaited == 1 && pace.is_near(waited, awaited) {
                    hint::spin_loop();
                    continue;
                }
                for ring in &self.rings {
                    ring.table().waiters.wake_for_room();
                }
                thread::park_timeout(nap(waited));
            }
        }
    }
}
