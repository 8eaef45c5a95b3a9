//! Hardware that does what a test wants: works by the CPU engine, refuses, fails, is full, takes until it is let go.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, ThreadId};

use accel_core::{
    AcceleratorTypes, BoxFuture, Completion, Error, ExecutedOn, Job, Outcome, Output, OwnedJob, OwnedOutput,
    Result,
};
use futures_channel::oneshot;

use super::super::hardware::Hardware;
use crate::device::instances::WhenFull;
use crate::software;

pub(super) const HERE: ExecutedOn = ExecutedOn::Hardware { instance: 7 };

#[derive(Debug, Clone)]
pub(super) struct Double(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
    calls: AtomicU64,
}

#[derive(Debug)]
struct State {
    types: AcceleratorTypes,
    capacity: usize,
    in_flight: usize,
    is_open: bool,
    error: Option<Error>,
    asked_by: Option<ThreadId>,
}

impl Double {
    /// One that has room and works.
    pub(super) fn new() -> Self {
        let state = State {
            types: AcceleratorTypes::all(),
            capacity: usize::MAX,
            in_flight: 0,
            is_open: true,
            error: None,
            asked_by: None,
        };
        Self(Arc::new(Inner { state: state.into(), changed: Condvar::new(), calls: AtomicU64::new(0) }))
    }

    fn set(self, set: impl FnOnce(&mut State)) -> Self {
        set(&mut self.0.state.lock().unwrap());
        self.0.changed.notify_all();
        self
    }

    /// One that can work on these.
    pub(super) fn types(self, types: AcceleratorTypes) -> Self {
        self.set(|state| state.types = types)
    }

    /// One with room for so many requests.
    pub(super) fn capacity(self, capacity: usize) -> Self {
        self.set(|state| state.capacity = capacity)
    }

    /// One that answers every request with this.
    pub(super) fn fails(self, error: impl Into<Option<Error>>) -> Self {
        self.set(|state| state.error = error.into())
    }

    /// One that keeps its requests until it is [`open`](Self::open).
    pub(super) fn closed(self) -> Self {
        self.set(|state| state.is_open = false)
    }

    pub(super) fn open(&self) {
        self.clone().set(|state| state.is_open = true);
    }

    /// Requests that it got, those that it had no room for included.
    pub(super) fn calls(&self) -> u64 {
        self.0.calls.load(SeqCst)
    }

    /// The thread that first asked whether it is there.
    pub(super) fn asked_by(&self) -> Option<ThreadId> {
        self.0.state.lock().unwrap().asked_by
    }

    fn enter(&self, when_full: WhenFull) -> Result<()> {
        self.0.calls.fetch_add(1, SeqCst);
        let mut state = self.0.state.lock().unwrap();
        while state.in_flight >= state.capacity {
            if when_full == WhenFull::Fail {
                return Err(Error::Busy { accelerator: "double" });
            }
            state = self.0.changed.wait(state).unwrap();
        }
        state.in_flight += 1;
        Ok(())
    }

    fn work(&self, work: impl FnOnce(ExecutedOn) -> Result<Outcome>) -> Result<Outcome> {
        let mut state = self.0.state.lock().unwrap();
        while !state.is_open {
            state = self.0.changed.wait(state).unwrap();
        }
        let error = state.error.clone();
        drop(state);
        let result = error.map_or_else(|| work(HERE), Err);
        self.0.state.lock().unwrap().in_flight -= 1;
        self.0.changed.notify_all();
        result
    }
}

impl Hardware for Double {
    fn is_available_for(&self, types: AcceleratorTypes) -> bool {
        let mut state = self.0.state.lock().unwrap();
        state.asked_by.get_or_insert(thread::current().id());
        state.types.contains(types)
    }

    fn in_flight(&self) -> u64 {
        self.0.state.lock().unwrap().in_flight as u64
    }

    fn execute(
        &self,
        job: Job<'_>,
        input: &[u8],
        output: &mut Output<'_>,
        when_full: WhenFull,
    ) -> Result<Outcome> {
        self.enter(when_full)?;
        self.work(|path| software::execute(job, input, output, path))
    }

    /// Takes the request at once and answers from a thread of its own. What it writes before it fails is seen too.
    fn submit(
        &self,
        job: OwnedJob,
        input: Vec<u8>,
        mut output: OwnedOutput,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>> {
        if let Err(error) = self.enter(when_full) {
            let output = output.close(Vec::new());
            return Box::pin(std::future::ready(Completion { input, output, result: Err(error) }));
        }
        let (sender, receiver) = oneshot::channel();
        let this = self.clone();
        thread::spawn(move || {
            if let OwnedOutput::Buffer(buffer) = &mut output {
                buffer.fill(0xEE);
            }
            let _ = sender.send(Completion::run(&job, input, output, |job, input, output| {
                this.work(|path| software::execute(job, input, output, path))
            }));
        });
        Box::pin(async { receiver.await.expect("the double's thread answers") })
    }
}
