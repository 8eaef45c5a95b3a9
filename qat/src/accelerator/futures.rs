//! The hardware's calls as futures. A call submits at once, so that many of them are in flight when the first is waited
//! for; whoever waits then polls the rings, or the helper thread does.

use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use accel_core::{
    AcceleratorTypes, BoxFuture, Completion, CompressOptions, CompressionAccelerator, DecompressOptions,
    Error, HardwareAccelerator, Outcome, Result,
};

use super::QatAccelerator;
use super::counted::Counted;
use crate::device::instances::{Started, WhenFull};
use crate::device::{compression, polling};
use crate::job::output::Output;
use crate::software;
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

    /// Waits for `work`, and counts what it came to. Pinned by the caller, work is in the caller's future only once.
    pub(super) async fn counted<T>(
        &self,
        work: impl Future<Output = Result<T>>,
        outcome: impl FnOnce(&T) -> &Outcome,
    ) -> Result<T> {
        let counted = Counted::begin(self);
        counted.end(work.await, outcome)
    }

    pub(crate) fn compress_owned(
        &self,
        input: Vec<u8>,
        mut output: Vec<u8>,
        options: CompressOptions,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>> {
        let counted = Counted::begin(self.clone());
        let pool = self.started_pool(AcceleratorTypes::COMPRESSION);
        let single = match &pool {
            Some(pool) => compression::Single::begin(self.call(pool, when_full), &input, &options),
            None => Ok(None),
        };
        match (single, pool) {
            (Ok(Some((single, flight, instance))), Some(pool)) => Box::pin(async move {
                let call = counted.accelerator().call(&pool, when_full);
                let finish = |landed| single.finish(call, &landed, instance, &input, &mut output);
                let finished = call.completed(flight.await, instance).and_then(finish).transpose();
                let result = match finished {
                    Some(result) => result,
                    None => Box::pin(compression::compress(call, &input, &mut output, &options)).await,
                };
                let result = counted.end(result, |outcome| outcome);
                Completion { input, output, result }
            }),
            (Err(error), _) => failed(counted, (input, output), error),
            (Ok(_), _) => begun(async move {
                let work = async {
                    let this = counted.accelerator();
                    let pool = this.pool_async(AcceleratorTypes::COMPRESSION).await?;
                    compression::compress(this.call(&pool, when_full), &input, &mut output, &options).await
                };
                let result = { pin!(work).await };
                let result = counted.end(result, |outcome| outcome);
                Completion { input, output, result }
            }),
        }
    }

    /// As [`compress_owned`](Self::compress_owned), into a vector of its own, cut to what was written.
    pub(crate) fn compress_anew(
        &self,
        input: Vec<u8>,
        options: CompressOptions,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>> {
        let output = vec![0; self.compress_bound(input.len(), &options)];
        let done = self.compress_owned(input, output, options, when_full);
        Box::pin(async {
            let mut done = done.await;
            done.output.truncate(done.result.as_ref().map_or(0, |outcome| outcome.bytes_out));
            done
        })
    }

    pub(crate) fn decompress_owned(
        &self,
        input: Vec<u8>,
        mut output: Vec<u8>,
        options: DecompressOptions,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>> {
        let this = self.clone();
        begun(async move {
            let work = async {
                let pool = this.pool_async(AcceleratorTypes::COMPRESSION).await?;
                let mut room = Output::fixed(&mut output, options.limit);
                compression::decompress(this.call(&pool, when_full), &input, &mut room, options.format).await
            };
            let result = this.counted(pin!(work), |outcome| outcome).await;
            Completion { input, output, result }
        })
    }

    pub(crate) fn decompress_anew(
        &self,
        input: Vec<u8>,
        options: DecompressOptions,
        when_full: WhenFull,
    ) -> BoxFuture<Completion<Outcome>> {
        let this = self.clone();
        begun(async move {
            let mut output = Output::growing(software::size_hint(&input, options.format), options.limit);
            let work = async {
                let pool = this.pool_async(AcceleratorTypes::COMPRESSION).await?;
                compression::decompress(this.call(&pool, when_full), &input, &mut output, options.format)
                    .await
            };
            let result = this.counted(pin!(work), |outcome| outcome).await;
            Completion { input, output: output.into_vec(), result }
        })
    }
}

/// A call that came to nothing before it began.
pub(super) fn failed<T: Send + 'static>(
    counted: Counted<QatAccelerator>,
    (input, output): (Vec<u8>, Vec<u8>),
    error: Error,
) -> BoxFuture<Completion<T>> {
    counted.fail();
    Box::pin(ready(Completion { input, output, result: Err(error) }))
}

/// The result of a call that hands its buffers back, for a caller who does not want them.
pub(super) fn unwrapped<T: Send + 'static>(
    done: BoxFuture<Completion<T>>,
) -> BoxFuture<Result<(Vec<u8>, T)>> {
    Box::pin(async {
        let Completion { output, result, .. } = done.await;
        result.map(|outcome| (output, outcome))
    })
}
