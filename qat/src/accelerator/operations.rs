//! What the hardware does: compression, and what every accelerator has.

use std::sync::Arc;

use accel_core::{
    AcceleratorTypes, BoxFuture, Completion, CompressOptions, CompressionAccelerator, DecompressOptions,
    Error, HardwareAccelerator, Operation, Outcome, Result, Statistics,
};

use super::counted::Counted;
use super::futures::unwrapped;
use super::{Detection, QatAccelerator, missing_service, unavailable};
use crate::device::compression;
use crate::device::instances::{CallContext, Started, WhenFull};
use crate::error::HARDWARE;
use crate::job::output::Output;
use crate::software::{self, recorded};

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
        match seen.as_ref().filter(|answer| answer.result.is_ok() && answer.process.is_this()) {
            Some(answer) => work(answer.pool(types)?),
            None => work(self.0.answer().pool(types)?),
        }
    }

    /// The instances for `types`, if the hardware was started.
    pub(super) fn started_pool(&self, types: AcceleratorTypes) -> Option<Arc<Started>> {
        let seen = self.0.answer.load();
        let answer = seen.as_ref().filter(|answer| answer.process.is_this())?;
        answer.pool(types).ok().cloned()
    }

    /// Runs `work` with the instances for `types`, and counts what it came to.
    #[inline(always)]
    pub(super) fn with_pool<T>(
        &self,
        types: AcceleratorTypes,
        work: impl FnOnce(&Started) -> Result<T>,
        outcome: impl FnOnce(&T) -> &Outcome,
    ) -> Result<T> {
        let counted = Counted::begin(self);
        counted.end(self.look(types, |pool| work(pool)), outcome)
    }

    pub(super) fn call<'a>(&'a self, pool: &'a Started, when_full: WhenFull) -> CallContext<'a> {
        CallContext { started: pool, recorder: &self.0.recorder, when_full }
    }

    pub(crate) fn compress_into_with(
        &self,
        input: &[u8],
        output: &mut [u8],
        options: &CompressOptions,
        when_full: WhenFull,
    ) -> Result<Outcome> {
        let work = |pool: &Started| {
            let call = self.call(pool, when_full);
            if let Some((single, flight, instance)) = compression::Single::begin(call, input, options)? {
                let landed = call.wait(flight, instance)?;
                if let Some(outcome) = single.finish(call, &landed, instance, input, output)? {
                    return Ok(outcome);
                }
            }
            pool.block_on(compression::compress(call, input, output, options))
        };
        self.with_pool(AcceleratorTypes::COMPRESSION, work, |outcome| outcome)
    }

    pub(crate) fn compress_with(
        &self,
        input: &[u8],
        options: &CompressOptions,
        when_full: WhenFull,
    ) -> Result<(Vec<u8>, Outcome)> {
        let mut output = vec![0; self.compress_bound(input.len(), options)];
        let outcome = self.compress_into_with(input, &mut output, options, when_full)?;
        output.truncate(outcome.bytes_out);
        Ok((output, outcome))
    }

    fn decompress_to(
        &self,
        input: &[u8],
        output: &mut Output<'_>,
        options: &DecompressOptions,
        when_full: WhenFull,
    ) -> Result<Outcome> {
        let work = |pool: &Started| {
            pool.block_on(compression::decompress(self.call(pool, when_full), input, output, options.format))
        };
        self.with_pool(AcceleratorTypes::COMPRESSION, work, |outcome| outcome)
    }

    pub(crate) fn decompress_with(
        &self,
        input: &[u8],
        options: &DecompressOptions,
        when_full: WhenFull,
    ) -> Result<(Vec<u8>, Outcome)> {
        let mut output = Output::growing(software::size_hint(input, options.format), options.limit);
        let outcome = self.decompress_to(input, &mut output, options, when_full)?;
        Ok((output.into_vec(), outcome))
    }

    pub(crate) fn decompress_into_with(
        &self,
        input: &[u8],
        output: &mut [u8],
        options: &DecompressOptions,
        when_full: WhenFull,
    ) -> Result<Outcome> {
        self.decompress_to(input, &mut Output::fixed(output, options.limit), options, when_full)
    }

    fn unsupported<T>(&self, types: AcceleratorTypes, operation: &'static str) -> Result<T> {
        Err(match self.unavailability_for(types) {
            Some(reason) => unavailable(reason),
            None => Error::Unsupported {
                accelerator: HARDWARE,
                operation: operation.into(),
                remedy: "use AutoAccelerator or SoftwareAccelerator".into(),
            },
        })
    }
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

    fn process(&self, operation: &Operation, input: &[u8]) -> Result<(Vec<u8>, Outcome)> {
        let refuse = |types, name| {
            let work = || self.unsupported(types, name);
            recorded(&self.0.recorder, work, |(_, outcome): &(Vec<u8>, Outcome)| outcome)
        };
        match operation {
            Operation::Compress(options) => self.compress(input, options),
            Operation::Decompress(options) => self.decompress(input, options),
            Operation::Checksum(_) => refuse(AcceleratorTypes::COMPRESSION, "checksum"),
            Operation::Digest(digest) => self.digest_with(*digest, input, WhenFull::Wait),
            other => recorded(
                &self.0.recorder,
                || Err(software::refused(HARDWARE, other)),
                |(_, outcome): &(Vec<u8>, Outcome)| outcome,
            ),
        }
    }

    /// The utilisation is that of all devices of the machine that do such work, other processes' work included: where the
    /// kernel's telemetry is switched on for all of them and this process may read it, which only root may. What is
    /// missing says [`info`](QatAccelerator::info), device by device.
    fn statistics(&self) -> Statistics {
        let mut statistics = self.0.recorder.statistics();
        statistics.utilisation = self.utilisation();
        statistics
    }
}

impl CompressionAccelerator for QatAccelerator {
    fn compress(&self, input: &[u8], options: &CompressOptions) -> Result<(Vec<u8>, Outcome)> {
        self.compress_with(input, options, WhenFull::Wait)
    }

    fn compress_into(&self, input: &[u8], output: &mut [u8], options: &CompressOptions) -> Result<Outcome> {
        self.compress_into_with(input, output, options, WhenFull::Wait)
    }

    /// The formats' own bound, which holds for every engine.
    fn compress_bound(&self, input_len: usize, options: &CompressOptions) -> usize {
        software::compress_bound(input_len, options)
    }

    fn decompress(&self, input: &[u8], options: &DecompressOptions) -> Result<(Vec<u8>, Outcome)> {
        self.decompress_with(input, options, WhenFull::Wait)
    }

    fn decompress_into(
        &self,
        input: &[u8],
        output: &mut [u8],
        options: &DecompressOptions,
    ) -> Result<Outcome> {
        self.decompress_into_with(input, output, options, WhenFull::Wait)
    }

    fn compress_async(
        &self,
        input: Vec<u8>,
        options: CompressOptions,
    ) -> BoxFuture<Result<(Vec<u8>, Outcome)>> {
        unwrapped(self.compress_anew(input, options, WhenFull::Wait))
    }

    fn compress_into_async(
        &self,
        input: Vec<u8>,
        output: Vec<u8>,
        options: CompressOptions,
    ) -> BoxFuture<Completion<Outcome>> {
        self.compress_owned(input, output, options, WhenFull::Wait)
    }

    fn decompress_async(
        &self,
        input: Vec<u8>,
        options: DecompressOptions,
    ) -> BoxFuture<Result<(Vec<u8>, Outcome)>> {
        unwrapped(self.decompress_anew(input, options, WhenFull::Wait))
    }

    fn decompress_into_async(
        &self,
        input: Vec<u8>,
        output: Vec<u8>,
        options: DecompressOptions,
    ) -> BoxFuture<Completion<Outcome>> {
        self.decompress_owned(input, output, options, WhenFull::Wait)
    }
}
