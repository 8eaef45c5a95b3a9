//! What the hardware does, and what every accelerator has.

use std::sync::Arc;

use accel_core::{
    AcceleratorTypes, BoxFuture, Completion, Error, HardwareAccelerator, Job, Outcome, Output, OwnedJob,
    OwnedOutput, Result, Statistics,
};

use super::counted::Counted;
use super::single::SingleRequest;
use super::{Detection, QatAccelerator, missing_service, unavailable};
use crate::device::instances::{CallContext, Started, WhenFull};
use crate::device::{compression, encryption};
use crate::error::HARDWARE;
use crate::job::{WorkClass, size_hint};

impl Detection {
    /// The instances for `types`, or why there are none.
    #[inline]
    pub(super) fn pool(&self, types: AcceleratorTypes) -> Result<&Arc<Started>> {
        match &self.result {
            Ok(pool) => match missing_service(&pool.services, types) {
                None => Ok(pool),
                Some(service) => Err(unavailable(self.missing.reason(&service))),
            },
            Err(reason) => Err(unavailable(reason.clone())),
        }
    }
}

impl QatAccelerator {
    /// The instances for `types`. Initialises on the first call.
    pub(super) fn pool(&self, types: AcceleratorTypes) -> Result<Arc<Started>> {
        self.look(types, |pool| Ok(pool.clone()))
    }

    #[inline(always)]
    fn look<T>(&self, types: AcceleratorTypes, work: impl FnOnce(&Arc<Started>) -> Result<T>) -> Result<T> {
        let seen = self.0.answer.load();
        let found;
        // One place from which `work` is called, since it is inlined there.
        let answer = match seen.as_ref().filter(|answer| answer.result.is_ok() && answer.process.is_this()) {
            Some(answer) => answer,
            None => {
                found = self.0.answer();
                &found
            }
        };
        work(answer.pool(types)?)
    }

    /// The instances for `types`, if the hardware was started.
    pub(super) fn started_pool(&self, types: AcceleratorTypes) -> Option<Arc<Started>> {
        let seen = self.0.answer.load();
        let answer = seen.as_ref().filter(|answer| answer.process.is_this())?;
        answer.pool(types).ok().cloned()
    }

    pub(super) fn call<'a>(&'a self, pool: &'a Started, when_full: WhenFull) -> CallContext<'a> {
        CallContext { started: pool, recorder: &self.0.recorder, when_full }
    }

    /// Runs a job on this thread, by a single request where that is possible.
    pub(crate) fn execute_when(
        &self,
        job: Job<'_>,
        input: &[u8],
        output: &mut Output<'_>,
        when_full: WhenFull,
    ) -> Result<Outcome> {
        match job {
            Job::Compress(_) => self.execute_single::<compression::Single>(job, input, output, when_full),
            Job::Encrypt(..) => self.execute_single::<encryption::Sealing>(job, input, output, when_full),
            Job::Decrypt(..) => self.execute_single::<encryption::Opening>(job, input, output, when_full),
            _ => self.execute_any(job, input, output, when_full),
        }
    }

    /// Runs a job by a single request, or by as many as it takes where one will not do.
    #[inline(always)]
    fn execute_single<S: SingleRequest>(
        &self,
        job: Job<'_>,
        input: &[u8],
        output: &mut Output<'_>,
        when_full: WhenFull,
    ) -> Result<Outcome> {
        let counted = Counted::begin(self);
        counted.end(self.look(S::TYPES, |pool| {
            let call = self.call(pool, when_full);
            let mut single = || {
                let room = output.room_for(job.output_bound(input.len()))?;
                let Some((single, pending, instance)) = S::begin(call, job, input, room.len())? else {
                    return Ok(None);
                };
                let completed = call.wait(pending, instance)?;
                let done = single.finish(call, completed, instance, input, room)?;
                Ok(done.inspect(|outcome| output.advance(outcome.bytes_out)))
            };
            self.reported(match single() {
                Ok(Some(outcome)) => Ok(outcome),
                Ok(None) => block_on_run(call, job, input, output),
                Err(error) => Err(error),
            })
        }))
    }

    /// Runs a job by as many requests as it takes.
    fn execute_any(
        &self,
        job: Job<'_>,
        input: &[u8],
        output: &mut Output<'_>,
        when_full: WhenFull,
    ) -> Result<Outcome> {
        let counted = Counted::begin(self);
        let Some(class) = WorkClass::of(&job) else { return counted.end(Err(job.unsupported(HARDWARE))) };
        counted.end(self.look(class.types(), |pool| {
            self.reported(block_on_run(self.call(pool, when_full), job, input, output))
        }))
    }

    /// Returns the result, of which the registry hears if the device turned out not to do this.
    #[inline(always)]
    pub(super) fn reported(&self, result: Result<Outcome>) -> Result<Outcome> {
        if let Err(Error::Unsupported { .. }) = &result {
            self.0.publication.report_failed_trials();
        }
        result
    }
}

/// Does what [`run`] does, on this thread. Its future is large and has no place in the frames of single requests.
#[inline(never)]
fn block_on_run(
    call: CallContext<'_>,
    job: Job<'_>,
    input: &[u8],
    output: &mut Output<'_>,
) -> Result<Outcome> {
    call.started.block_on(run(call, job, input, output))
}

/// Runs a job by as many requests as it takes.
pub(super) async fn run(
    call: CallContext<'_>,
    job: Job<'_>,
    input: &[u8],
    output: &mut Output<'_>,
) -> Result<Outcome> {
    let outcome = match job {
        Job::Compress(options) => {
            let room = output.room_for(job.output_bound(input.len()))?;
            compression::compress(call, input, room, &options).await?
        }
        Job::Encrypt(key, options) => {
            let room = output.room_for(job.output_bound(input.len()))?;
            encryption::encrypt(call, key, input, room, options).await?
        }
        Job::Decrypt(key, options) => {
            let room = output.room_for(job.output_bound(input.len()))?;
            encryption::decrypt(call, key, input, room, options).await?
        }
        Job::Decompress(options) => {
            output.expect(size_hint(input, options.format));
            return compression::decompress(call, input, output, options.format).await;
        }
        Job::Digest(digest) => return encryption::digest(call, digest, input, output).await,
        Job::Hmac(key, digest) => return encryption::hmac(call, key, digest, input, output).await,
        Job::Checksum(_) => {
            return Err(Error::Unsupported {
                accelerator: HARDWARE,
                operation: "checksum".into(),
                remedy: "use AutoAccelerator or SoftwareAccelerator".into(),
            });
        }
        other => return Err(other.unsupported(HARDWARE)),
    };
    output.advance(outcome.bytes_out);
    Ok(outcome)
}

impl HardwareAccelerator for QatAccelerator {
    fn name(&self) -> &'static str {
        HARDWARE
    }

    fn types(&self) -> AcceleratorTypes {
        AcceleratorTypes::all()
    }

    fn is_available(&self) -> bool {
        self.0.answer().result.is_ok()
    }

    fn has_cpu_fallback(&self) -> bool {
        false
    }

    fn initialize(&self) -> Result<()> {
        self.unavailability().map_or(Ok(()), |reason| Err(unavailable(reason)))
    }

    /// The utilisation is that of all devices of the machine that do such work, other processes' work included: where the
    /// kernel's telemetry is switched on for all of them and this process may read it, which only root may. What is
    /// missing says [`info`](QatAccelerator::info), device by device.
    fn statistics(&self) -> Statistics {
        let mut statistics = self.0.recorder.statistics();
        statistics.utilisation = self.utilisation();
        statistics
    }

    fn execute(&self, job: Job<'_>, input: &[u8], output: &mut Output<'_>) -> Result<Outcome> {
        self.execute_when(job, input, output, WhenFull::Wait)
    }

    fn submit(&self, job: OwnedJob, input: Vec<u8>, output: OwnedOutput) -> BoxFuture<Completion<Outcome>> {
        self.submit_when(job, input, output, WhenFull::Wait)
    }
}
