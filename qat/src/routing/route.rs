//! The way of one request: where it goes, what its answer is worth, and what is learnt from it.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use accel_core::{
    BoxFuture, Completion, Error, ExecutedOn, InFlight, Job, Outcome, Output, OwnedJob, OwnedOutput,
    Recorder, Result, SoftwareReason,
};

use super::hardware::Hardware;
use super::model::{Choice, Counted, Measurement, Model};
use super::{NAME, Policy};
use crate::device::instances::WhenFull;
use crate::job::WorkClass;
use crate::software::workers::{Caller, Queue};
use crate::software::{self, conclude};

enum Route {
    Device(WhenFull),
    Cpu(SoftwareReason),
}

/// What the device's answer means.
enum Verdict {
    /// It is the answer.
    Final,
    /// The CPU does it, for this reason.
    Elsewhere(SoftwareReason),
    /// The device says that the input is bad. A device that computes wrongly says so of good input, and a caller who
    /// believes it throws good data away: the CPU has the last word.
    Doubtful,
}

impl Verdict {
    fn of(result: &Result<Outcome>) -> Self {
        let Err(error) = result else { return Self::Final };
        match error {
            Error::Unavailable { .. } => Self::Elsewhere(SoftwareReason::Unavailable),
            Error::Unsupported { .. } => Self::Elsewhere(SoftwareReason::Unsupported),
            Error::Busy { .. } => Self::Elsewhere(SoftwareReason::Busy),
            Error::Device { .. } | Error::Internal { .. } => Self::Elsewhere(SoftwareReason::DeviceError),
            Error::Corrupt { .. }
            | Error::Truncated { .. }
            | Error::TrailingData { .. }
            | Error::Authentication { .. } => Self::Doubtful,
            _ => Self::Final,
        }
    }
}

/// What came before a request's turn on the CPU.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    /// The device had no room, or does not do it.
    Refusal,
    Failure,
    /// The device said that the input is bad.
    Doubt,
}

/// What an accelerator and its clones have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) hardware: Box<dyn Hardware>,
    pub(super) policy: Policy,
    pub(super) recorder: Arc<Recorder>,
    pub(super) model: Arc<Model>,
    queue: Queue,
    /// Whether the hardware was ever asked whether it is there: from then on asking blocks only when a look is due.
    is_asked: AtomicBool,
}

impl Shared {
    pub(super) fn new(hardware: Box<dyn Hardware>, policy: Policy, queue: Queue) -> Self {
        let (recorder, model) = (Arc::default(), Arc::new(Model::new()));
        Self { hardware, policy, recorder, model, queue, is_asked: AtomicBool::new(false) }
    }

    fn is_available(&self, kind: WorkClass) -> bool {
        let is_available = self.hardware.is_available_for(kind.types());
        if !self.is_asked.load(Relaxed) {
            self.is_asked.store(true, Relaxed);
        }
        is_available
    }

    fn route(&self, kind: WorkClass, len: usize, started: Instant) -> (Route, Measurement) {
        let at = self.model.at(started);
        let on_device = if self.policy == Policy::Never { 0 } else { self.hardware.in_flight() as usize };
        let measurement = || self.model.measurement(kind, len, on_device, at);
        let route = match self.policy {
            Policy::Never => Route::Cpu(SoftwareReason::Policy),
            Policy::Always => Route::Device(WhenFull::Wait),
            Policy::Threshold(threshold) if len < threshold => Route::Cpu(SoftwareReason::TooSmall),
            Policy::Threshold(_) if !self.is_available(kind) => Route::Cpu(SoftwareReason::Unavailable),
            Policy::Threshold(_) if !self.model.may_try(at) => Route::Cpu(SoftwareReason::DeviceError),
            Policy::Threshold(_) => Route::Device(WhenFull::Fail),
            Policy::Auto => {
                // Asking costs something: a device that has worked is asked only when it is wanted.
                let is_known = self.model.has_worked();
                if !is_known && !self.is_available(kind) {
                    return (Route::Cpu(SoftwareReason::Unavailable), measurement());
                }
                let (choice, measurement) = self.model.choose(kind, len, on_device, at);
                let route = match choice {
                    Choice::Cpu(reason) => Route::Cpu(reason),
                    Choice::Device if is_known && !self.is_available(kind) => {
                        Route::Cpu(SoftwareReason::Unavailable)
                    }
                    Choice::Device => Route::Device(WhenFull::Fail),
                };
                return (route, measurement);
            }
        };
        (route, measurement())
    }

    /// Runs a job where the policy says, and on the CPU if the device cannot.
    pub(super) fn execute(&self, job: Job<'_>, input: &[u8], output: &mut Output<'_>) -> Result<Outcome> {
        let in_flight = self.recorder.start();
        let Some(class) = WorkClass::of(&job) else {
            let refused = Err(job.unsupported(NAME));
            in_flight.finish(refused.as_ref());
            return refused;
        };
        let (route, measurement) = self.route(class, input.len(), in_flight.started());
        let (reason, before) = match route {
            Route::Cpu(reason) => (reason, Before::Nothing),
            Route::Device(when_full) => {
                let sent = Counted::sent(&*self.model);
                let result = self.hardware.execute(job, input, output, when_full);
                drop(sent);
                match self.judge(&result, &measurement) {
                    None => return self.finish_on_device(in_flight, &measurement, result),
                    Some(instead) => instead,
                }
            }
        };
        output.clear();
        let slot = if self.policy == Policy::Auto { self.model.core_slot(&measurement) } else { None };
        let clock = (slot.is_some() || before != Before::Nothing).then(Instant::now);
        let path = ExecutedOn::Software(reason);
        let work = || software::execute(job, input, output, path);
        self.finish_on_cpu(in_flight, &Caller::present(), &measurement, before, clock, work)
    }

    /// Does what [`execute`](Self::execute) does, as a future: on the device by its own future, on the CPU on a worker
    /// thread.
    pub(super) fn submit(
        self: &Arc<Self>,
        job: OwnedJob,
        input: Vec<u8>,
        output: OwnedOutput,
    ) -> BoxFuture<Completion<Outcome>> {
        let Some(class) = WorkClass::of(&job.as_job()) else {
            let refused =
                Completion::run(&job, input, output, |job, input, output| self.execute(job, input, output));
            return Box::pin(ready(refused));
        };
        let this = self.clone();
        let is_quick = self.is_asked.load(Relaxed) && !self.hardware.is_look_due();
        if self.policy == Policy::Never || is_quick {
            return this.submit_asked(class, job, input, output);
        }
        // The question may load a library and start a device, which is nothing for an executor's thread.
        let asked = Queue::start_hardware(move || {
            this.is_available(class);
            this.submit_asked(class, job, input, output)
        });
        Box::pin(async move {
            match asked.await {
                Ok(started) => started.await,
                Err(error) => Completion { input: Vec::new(), output: Vec::new(), result: Err(error) },
            }
        })
    }

    fn submit_asked(
        self: Arc<Self>,
        class: WorkClass,
        job: OwnedJob,
        input: Vec<u8>,
        output: OwnedOutput,
    ) -> BoxFuture<Completion<Outcome>> {
        let in_flight = self.recorder.clone().start_shared();
        let (route, measurement) = self.route(class, input.len(), in_flight.started());
        let when_full = match route {
            Route::Cpu(reason) => {
                return self.on_worker(in_flight, measurement, (reason, Before::Nothing), job, input, output);
            }
            Route::Device(when_full) => when_full,
        };
        let sent = Counted::sent(self.model.clone());
        let is_new = matches!(output, OwnedOutput::New);
        let on_device = self.hardware.submit(job.clone(), input, output, when_full);
        Box::pin(async move {
            let Completion { input, output, result } = on_device.await;
            drop(sent);
            match self.judge(&result, &measurement) {
                None => {
                    let result = self.finish_on_device(in_flight, &measurement, result);
                    Completion { input, output, result }
                }
                Some(instead) => {
                    let output = if is_new { OwnedOutput::New } else { OwnedOutput::Buffer(output) };
                    self.on_worker(in_flight, measurement, instead, job, input, output).await
                }
            }
        })
    }

    fn on_worker(
        self: Arc<Self>,
        in_flight: InFlight<'static>,
        measurement: Measurement,
        (reason, before): (SoftwareReason, Before),
        job: OwnedJob,
        input: Vec<u8>,
        output: OwnedOutput,
    ) -> BoxFuture<Completion<Outcome>> {
        let waiting = Counted::waiting(self.model.clone());
        self.queue.submit(job, input, output, move |job, input, output, caller| {
            drop(waiting);
            let work = || software::execute(job, input, output, ExecutedOn::Software(reason));
            self.finish_on_cpu(in_flight, caller, &measurement, before, Some(Instant::now()), work)
        })
    }

    /// What to do about the device's answer: `None` takes it as it is.
    fn judge(&self, result: &Result<Outcome>, measurement: &Measurement) -> Option<(SoftwareReason, Before)> {
        if self.policy == Policy::Always {
            return None;
        }
        match (Verdict::of(result), result) {
            (Verdict::Elsewhere(SoftwareReason::DeviceError), Err(error)) => {
                tracing::warn!(%error, "the device failed, the CPU does it");
                self.model.device_failed(measurement, self.model.at(Instant::now()));
                Some((SoftwareReason::DeviceError, Before::Failure))
            }
            (Verdict::Elsewhere(reason), _) => Some((reason, Before::Refusal)),
            (Verdict::Doubtful, _) => Some((SoftwareReason::DeviceError, Before::Doubt)),
            (Verdict::Final, _) => None,
        }
    }

    fn finish_on_device(
        &self,
        in_flight: InFlight<'_>,
        measurement: &Measurement,
        result: Result<Outcome>,
    ) -> Result<Outcome> {
        let took = in_flight.finish(result.as_ref());
        if result.is_ok() {
            self.model.device_did(measurement, took);
        }
        result
    }

    /// Runs `work` on this thread; `clock` is when it started, where that is not when the operation did.
    fn finish_on_cpu(
        &self,
        in_flight: InFlight<'_>,
        caller: &Caller<'_>,
        measurement: &Measurement,
        before: Before,
        clock: Option<Instant>,
        work: impl FnOnce() -> Result<Outcome>,
    ) -> Result<Outcome> {
        let running = Counted::running(&*self.model);
        let crowd = self.model.crowd();
        // A thread that shares its core with others sees time pass in which it did nothing.
        let before_work = if crowd > 1.0 { thread_time() } else { None };
        let result = work();
        let at_work = before_work.and_then(|before| thread_time()?.checked_sub(before));
        let crowd = (crowd + self.model.crowd()) / 2.0;
        drop(running);
        let alone = clock.map(|clock| clock.elapsed());
        let took = conclude(in_flight, caller, &result);
        let done = result?;
        match at_work {
            Some(at_work) => self.model.cpu_did(measurement, at_work, 1.0),
            None => self.model.cpu_did(measurement, alone.unwrap_or(took), crowd),
        }
        match before {
            Before::Nothing | Before::Refusal => {}
            Before::Failure => self.model.device_took(measurement, took),
            Before::Doubt => {
                tracing::warn!("the device called good data bad, which the CPU found out");
                self.model.device_failed(measurement, self.model.at(Instant::now()));
                self.model.device_took(measurement, took);
            }
        }
        Ok(done)
    }
}

/// How long this thread has been at work so far, where the system tells.
fn thread_time() -> Option<Duration> {
    #[cfg(target_os = "linux")]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::try_from(time).ok()
    }
    #[cfg(not(target_os = "linux"))]
    None
}
