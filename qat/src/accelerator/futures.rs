//! The hardware's jobs as futures. A call submits at once, so that many of them are in flight when the first is waited
//! for; whoever waits then polls the rings, or the helper thread does.

use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use accel_core::{
    AcceleratorTypes, BoxFuture, Completion, HardwareAccelerator, Outcome, Output, OwnedJob, OwnedOutput,
    Result,
};

use super::QatAccelerator;
use super::counted::Counted;
use super::operations::run;
use super::single::SingleRequest;
use crate::device::instances::{Started, WhenFull};
use crate::device::{compression, encryption, polling};
use crate::error::HARDWARE;
use crate::job::WorkClass;
use crate::software::workers::Queue;

/// A future that has begun: what it can do without waiting is done when this returns.
pub(super) fn begun<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> BoxFuture<T> {
    let mut future = Box::pin(future);
    match polling::unattended(|| future.as_mut().poll(&mut Context::from_waker(Waker::noop()))) {
        Poll::Ready(output) => Box::pin(ready(output)),
        Poll::Pending => future,
    }
}

impl QatAccelerator {
    /// Starts the hardware on a thread that does only this. Its answer is what the next question finds.
    pub(super) async fn start_elsewhere(&self) -> Result<()> {
        let this = self.clone();
        Queue::start_hardware(move || this.initialize()).await?
    }

    /// Returns whether the next question looks for hardware once more, and may take long.
    pub(crate) fn is_look_due(&self) -> bool {
        self.0.is_look_due()
    }

    /// The instances for `types`. A question that may start the hardware is asked on another thread.
    pub(super) async fn pool_async(&self, types: AcceleratorTypes) -> Result<Arc<Started>> {
        match self.0.valid_answer() {
            Some(answer) if answer.result.is_ok() || !self.0.is_look_due() => answer.pool(types).cloned(),
            _ => {
                // Its failure is the answer that the question finds.
                let _ = self.start_elsewhere().await;
                self.pool(types)
            }
        }
    }

    /// Starts a job, by a single request where that is possible.
    pub(crate) fn submit_when(
        &self,
        job: OwnedJob,
        input: Vec<u8>,
        output: OwnedOutput,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>> {
        match &job {
            OwnedJob::Compress(_) => self.submit_single::<compression::Single>(job, input, output, when_full),
            OwnedJob::Encrypt(..) => self.submit_single::<encryption::Sealing>(job, input, output, when_full),
            OwnedJob::Decrypt(..) => self.submit_single::<encryption::Opening>(job, input, output, when_full),
            _ => self.submit_any(Counted::begin(self.clone()), job, input, output, when_full),
        }
    }

    /// Starts a job by a single request, or by as many as it takes where one will not do.
    fn submit_single<S: SingleRequest>(
        &self,
        job: OwnedJob,
        input: Vec<u8>,
        output: OwnedOutput,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>> {
        let counted = Counted::begin(self.clone());
        let pool = self.started_pool(S::TYPES);
        let len = match &output {
            OwnedOutput::Buffer(buffer) => buffer.len(),
            OwnedOutput::New => job.as_job().output_bound(input.len()),
        };
        let begun = match &pool {
            Some(pool) => S::begin(self.call(pool, when_full), job.as_job(), &input, len),
            None => Ok(None),
        };
        match (begun, pool) {
            (Ok(Some((single, pending, instance))), Some(pool)) => {
                let is_new = matches!(output, OwnedOutput::New);
                let mut output = output.close(if is_new { vec![0; len] } else { Vec::new() });
                Box::pin(async move {
                    let call = counted.accelerator().call(&pool, when_full);
                    let finish = |completed| single.finish(call, completed, instance, &input, &mut output);
                    let finished = call.completed(pending.await, instance).and_then(finish).transpose();
                    let result = match finished {
                        Some(result) => result,
                        None => {
                            let mut room = Output::fixed(&mut output);
                            Box::pin(run(call, job.as_job(), &input, &mut room)).await
                        }
                    };
                    let result = counted.end(result);
                    if is_new {
                        output.truncate(result.as_ref().map_or(0, |outcome| outcome.bytes_out));
                    }
                    Completion { input, output, result }
                })
            }
            (Ok(_), _) => self.submit_any(counted, job, input, output, when_full),
            (Err(error), _) => {
                counted.fail();
                let result = self.reported(Err(error));
                Box::pin(ready(Completion { input, output: output.close(Vec::new()), result }))
            }
        }
    }

    /// Starts a job by as many requests as it takes.
    fn submit_any(
        &self,
        counted: Counted<Self>,
        job: OwnedJob,
        input: Vec<u8>,
        mut output: OwnedOutput,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>> {
        begun(async move {
            let borrowed = job.as_job();
            let mut room = output.open(borrowed);
            let work = async {
                let this = counted.accelerator();
                let Some(class) = WorkClass::of(&borrowed) else {
                    return Err(borrowed.unsupported(HARDWARE));
                };
                let pool = this.pool_async(class.types()).await?;
                this.reported(run(this.call(&pool, when_full), borrowed, &input, &mut room).await)
            };
            let result = { pin!(work).await };
            let result = counted.end(result);
            let written = room.into_vec();
            Completion { input, output: output.close(written), result }
        })
    }
}
