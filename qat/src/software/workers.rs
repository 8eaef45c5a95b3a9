//! The threads on which asynchronous calls do the CPU's work, so that no future blocks the executor that polls it.
//!
//! They belong to this crate alone. A pool that callers share would deadlock as soon as all of its threads wait for
//! futures whose work is queued behind them. No job here waits for another job: what may wait for a device to start goes
//! to a thread of its own ([`Queue::start_hardware`]). Code of the caller can still run here, in a [`Waker`]; a call that
//! it makes is done in place, and a job that it waits for is taken out of the queue and run by the thread that waits.
//!
//! The threads are made when there is work for them, one for each core at most. They never keep the process from ending.
//! A forked child has none of its parent's threads and makes its own.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::future::{Future, ready};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use accel_core::{BoxFuture, Completion, Error, Job, Outcome, Output, OwnedJob, OwnedOutput, Result};
use futures_channel::oneshot;

use crate::job::WorkClass;
use crate::process::{PerProcess, ProcessMark};

/// Jobs that wait for a thread, of one accelerator and its clones, where nothing else was set.
pub(crate) const DEFAULT_QUEUE: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// For the CPU's work.
static WORKERS: PerProcess<Workers> = PerProcess::new();
/// For what waits until a device has started. One thread is enough: the first job finds the answer for all.
static STARTERS: PerProcess<Workers> = PerProcess::new();

thread_local! {
    /// The [`Workers`] that this thread belongs to, by address.
    static MEMBER_OF: Cell<usize> = const { Cell::new(0) };
}

/// A job with its buffers, ready to run.
type Task = Box<dyn FnOnce() + Send>;

/// Jobs of one accelerator and its clones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Queue {
    id: u64,
    limit: usize,
}

/// Whether anybody still waits for what a job makes.
pub(crate) struct Caller<'a>(&'a dyn Fn() -> bool);

impl Caller<'_> {
    /// One that waits on this very thread.
    pub(crate) const fn present() -> Self {
        Caller(&|| false)
    }

    /// Whether the future was dropped.
    pub(crate) fn is_gone(&self) -> bool {
        (self.0)()
    }
}

/// Why a job made nothing.
#[derive(Debug)]
enum Lost {
    Panicked,
    Forked,
}

#[derive(Debug, thiserror::Error)]
#[error(
    "the call was made before this process was forked, and its thread is the parent's: make it again here"
)]
struct MadeBeforeFork;

impl From<Lost> for Error {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Panicked => {
                Self::Internal { engine: crate::error::SOFTWARE, detail: "a worker thread panicked".into() }
            }
            Lost::Forked => {
                Self::Unavailable { accelerator: crate::error::SOFTWARE, reason: Arc::new(MadeBeforeFork) }
            }
        }
    }
}

struct Workers {
    process: ProcessMark,
    name: &'static str,
    most_threads: usize,
    last_ticket: AtomicU64,
    state: Mutex<State>,
    has_jobs: Condvar,
}

#[derive(Default)]
struct State {
    /// What waits for a thread, in the order of the calls.
    jobs: BTreeMap<u64, Queued>,
    /// Of each queue that has jobs: how many, and who waits for room.
    queues: HashMap<u64, Crowd>,
    threads: usize,
    idle: usize,
}

struct Queued {
    queue: Queue,
    /// Whether it takes room; not from when a thread is about to run it.
    is_counted: bool,
    job: Task,
}

/// Invariant: there are no `waiters` without jobs, so that whoever waits is woken when a job leaves.
#[derive(Default)]
struct Crowd {
    jobs: usize,
    waiters: BTreeMap<u64, Waker>,
}

impl State {
    /// Queues a job, if its queue has room and nobody who came earlier waits for it.
    fn admit(&mut self, queue: Queue, ticket: u64, job: Task) -> Result<(), Task> {
        let crowd = self.queues.entry(queue.id).or_default();
        let is_next = crowd.waiters.first_key_value().is_none_or(|(first, _)| ticket <= *first);
        if crowd.jobs >= queue.limit || !is_next {
            return Err(job);
        }
        crowd.jobs += 1;
        self.jobs.insert(ticket, Queued { queue, is_counted: true, job });
        Ok(())
    }

    /// Gives the room of a job to others: whoever waits for it is to be woken.
    fn leave(&mut self, ticket: u64) -> Vec<Waker> {
        let mut woken = Vec::new();
        if let Some(queued) = self.jobs.get_mut(&ticket)
            && std::mem::take(&mut queued.is_counted)
            && let Some(crowd) = self.queues.get_mut(&queued.queue.id)
        {
            crowd.jobs -= 1;
            if crowd.jobs == 0 {
                // One that was woken before may never use its room. Without this nobody would wake the others.
                woken.extend(std::mem::take(&mut crowd.waiters).into_values());
                self.queues.remove(&queued.queue.id);
            } else {
                woken.extend(crowd.waiters.pop_first().map(|(_, waker)| waker));
            }
        }
        woken
    }

    /// Takes a job out, with those who are to be woken for its room.
    fn take(&mut self, ticket: u64) -> Option<(Task, Vec<Waker>)> {
        let woken = self.leave(ticket);
        self.jobs.remove(&ticket).map(|queued| (queued.job, woken))
    }

    /// Takes whoever waits for room under this ticket off the list.
    fn forget(&mut self, queue: Queue, ticket: u64) -> Option<Waker> {
        self.queues.get_mut(&queue.id)?.waiters.remove(&ticket)
    }
}

impl Workers {
    fn new(name: &'static str, most_threads: usize) -> Self {
        Self {
            process: ProcessMark::of_this(),
            name,
            most_threads,
            last_ticket: AtomicU64::new(0),
            state: Mutex::default(),
            has_jobs: Condvar::new(),
        }
    }

    fn of_this_process() -> &'static Self {
        WORKERS.get(|| {
            let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
            Self::new("qat-worker", cores)
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_on_this_thread(&self) -> bool {
        MEMBER_OF.get() == std::ptr::from_ref(self).addr()
    }

    /// Sees to it that a thread runs the job just queued: a new one where none is idle.
    fn call_thread(&'static self, mut state: MutexGuard<'_, State>, ticket: u64) {
        let is_short_of_threads = state.jobs.len() > state.idle && state.threads < self.most_threads;
        if !is_short_of_threads {
            drop(state);
            self.has_jobs.notify_one();
            return;
        }
        state.threads += 1;
        drop(state);
        let spawned = thread::Builder::new().name(self.name.to_owned()).spawn(move || self.work());
        if let Err(error) = spawned {
            let mut state = self.state();
            state.threads -= 1;
            // With other threads the job only waits longer.
            let job = if state.threads == 0 { state.take(ticket) } else { None };
            drop(state);
            if let Some((job, woken)) = job {
                tracing::warn!(%error, "no thread for asynchronous calls; the caller's does the work");
                run(job);
                wake(woken);
            }
        }
    }

    fn work(&self) {
        MEMBER_OF.set(std::ptr::from_ref(self).addr());
        let mut state = self.state();
        loop {
            let Some((&ticket, _)) = state.jobs.first_key_value() else {
                state.idle += 1;
                state = self.has_jobs.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
                continue;
            };
            let woken = state.leave(ticket);
            if !woken.is_empty() {
                // Meanwhile the job stays where whoever waits for it finds it, be it one of the wakers here.
                drop(state);
                wake(woken);
                state = self.state();
            }
            if let Some(queued) = state.jobs.remove(&ticket) {
                drop(state);
                run(queued.job);
                state = self.state();
            }
        }
    }
}

fn run(job: Task) {
    // A job hands its own panics over; what may panic behind it is the waker of its future.
    let _ = catch_unwind(AssertUnwindSafe(job));
}

/// Wakers are code of the caller's: they run without any lock, and their panics end here.
fn wake(woken: Vec<Waker>) {
    for waker in woken {
        let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}

/// A job that somebody waits for. Dropped, it does not start if it has not started yet.
struct Pending<T> {
    workers: &'static Workers,
    queue: Queue,
    ticket: u64,
    result: oneshot::Receiver<thread::Result<T>>,
    at: At,
}

enum At {
    /// In the queue, or beyond it.
    Queued,
    /// Here, because the queue is full.
    Here(Task),
    /// Done, or about to be.
    Over,
}

impl<T> Pending<T> {
    /// Takes the job back, with the wakers of those for whom it leaves room.
    fn take(&mut self) -> Option<(Task, Vec<Waker>)> {
        match std::mem::replace(&mut self.at, At::Over) {
            At::Queued => self.workers.state().take(self.ticket),
            At::Here(job) => {
                let mut state = self.workers.state();
                let forgotten = state.forget(self.queue, self.ticket);
                drop(state);
                drop(forgotten);
                Some((job, Vec::new()))
            }
            At::Over => None,
        }
    }

    /// Queues the job if there is room now, and otherwise has `waker` woken when there is.
    fn enqueue(&mut self, waker: Option<&Waker>) {
        let job = match std::mem::replace(&mut self.at, At::Queued) {
            At::Here(job) => job,
            other => {
                self.at = other;
                return;
            }
        };
        let waker = waker.cloned();
        let mut state = self.workers.state();
        let before = state.forget(self.queue, self.ticket);
        match state.admit(self.queue, self.ticket, job) {
            Ok(()) => self.workers.call_thread(state, self.ticket),
            Err(job) => {
                self.at = At::Here(job);
                if let (Some(waker), Some(crowd)) = (waker, state.queues.get_mut(&self.queue.id)) {
                    crowd.waiters.insert(self.ticket, waker);
                }
                drop(state);
            }
        }
        // A waker's destructor is code of the caller's.
        drop(before);
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, Lost>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if !this.workers.process.is_this() {
            return Poll::Ready(Err(Lost::Forked));
        }
        // Whoever waits on one of the threads may have all the others waiting beside it.
        if this.workers.is_on_this_thread()
            && let Some((job, woken)) = this.take()
        {
            run(job);
            wake(woken);
        }
        match Pin::new(&mut this.result).poll(context) {
            Poll::Ready(made) => {
                this.at = At::Over;
                Poll::Ready(made.unwrap_or_else(|gone| Err(Box::new(gone))).map_err(|_| Lost::Panicked))
            }
            Poll::Pending => {
                this.enqueue(Some(context.waker()));
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        // In a forked child the lock may be held by a thread that is not there.
        if self.workers.process.is_this()
            && let Some((job, woken)) = self.take()
        {
            wake(woken);
            drop(job);
        }
    }
}

impl Queue {
    /// A queue of its own, of up to `limit` jobs.
    pub(crate) fn new(limit: NonZeroUsize) -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self { id: LAST.fetch_add(1, Relaxed), limit: limit.get() }
    }

    fn spawn<T: Send + 'static>(
        self,
        workers: &'static Workers,
        work: impl FnOnce(&Caller<'_>) -> T + Send + 'static,
    ) -> Pending<T> {
        let (sender, result) = oneshot::channel();
        let job = Box::new(move || {
            let made = catch_unwind(AssertUnwindSafe(|| work(&Caller(&|| sender.is_canceled()))));
            // Nobody may be waiting any more.
            let _ = sender.send(made);
        });
        let ticket = workers.last_ticket.fetch_add(1, Relaxed);
        let mut pending = Pending { workers, queue: self, ticket, result, at: At::Here(job) };
        if workers.is_on_this_thread() {
            pending.take().into_iter().for_each(|(job, _)| run(job));
        } else {
            pending.enqueue(None);
        }
        pending
    }

    /// Runs `work` on a job's buffers on a worker thread and hands both back, whatever becomes of it. Where the job is so
    /// short that another thread would take longer, this thread does it before this returns.
    ///
    /// Dropped before that, the future takes the job out of the queue with all that it owns; a job that runs already is
    /// finished, and its [`Caller`] is gone.
    pub(crate) fn submit(
        self,
        job: OwnedJob,
        input: Vec<u8>,
        output: OwnedOutput,
        work: impl FnOnce(Job<'_>, &[u8], &mut Output<'_>, &Caller<'_>) -> Result<Outcome> + Send + 'static,
    ) -> BoxFuture<Completion<Outcome>> {
        let class = WorkClass::of(&job.as_job());
        let is_short = class.is_some_and(|class| class.is_short(input.len()));
        let work = move |caller: &Caller<'_>| {
            Completion::run(&job, input, output, |job, input, output| {
                let result = catch_unwind(AssertUnwindSafe(|| work(job, input, output, caller)));
                result.unwrap_or_else(|_| Err(Lost::Panicked.into()))
            })
        };
        if is_short {
            return Box::pin(ready(work(&Caller::present())));
        }
        let done = self.spawn(Workers::of_this_process(), work);
        Box::pin(async { done.await.unwrap_or_else(lost_buffers) })
    }

    /// Runs `work`, which may wait until a device has started, on a thread that does only such work.
    pub(crate) fn start_hardware<T: Send + 'static>(
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = Result<T>> + Send + 'static {
        let queue = Self { id: u64::MAX, limit: usize::MAX };
        let done = queue.spawn(STARTERS.get(|| Workers::new("qat-start", 1)), |_| work());
        async { done.await.map_err(Error::from) }
    }
}

/// The completion of a call whose thread is gone, and with it the buffers.
fn lost_buffers(lost: Lost) -> Completion<Outcome> {
    Completion { input: Vec::new(), output: Vec::new(), result: Err(lost.into()) }
}

#[cfg(test)]
#[path = "workers/tests.rs"]
mod tests;
