//! An accelerator of your own: it gives jobs to others in turn, and works wherever those of this crate do.
//!
//! Compresses standard input to standard output and says on standard error where the blocks ran.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use accel_core::{
    AcceleratorTypes, BoxFuture, Completion, CompressOptions, Error, Format, HardwareAccelerator, Job,
    Outcome, Output, OwnedJob, OwnedOutput, Recorder, Result, Statistics,
};
use qat::stream::{self, Engine, Settings};
use qat::{AutoAccelerator, SoftwareAccelerator};

/// Gives each job to the next of its members that is available, such as two devices, or a device and the CPU.
pub(crate) struct RoundRobin {
    members: Vec<Arc<dyn HardwareAccelerator>>,
    next: AtomicUsize,
    recorder: Arc<Recorder>,
}

impl RoundRobin {
    /// Makes one of these members.
    pub(crate) fn new(members: Vec<Arc<dyn HardwareAccelerator>>) -> Self {
        Self { members, next: AtomicUsize::new(0), recorder: Arc::default() }
    }

    fn member(&self) -> Result<&dyn HardwareAccelerator> {
        let first = self.next.fetch_add(1, Relaxed) % self.members.len().max(1);
        let (behind, ahead) = self.members.split_at(first);
        let mut in_turn = ahead.iter().chain(behind);
        in_turn.find(|member| member.is_available()).map(|member| &**member).ok_or_else(|| {
            Error::Unavailable {
                accelerator: self.name(),
                reason: Arc::new(io::Error::other("no member is")),
            }
        })
    }
}

impl HardwareAccelerator for RoundRobin {
    fn name(&self) -> &'static str {
        "round-robin"
    }

    fn types(&self) -> AcceleratorTypes {
        self.members.iter().fold(AcceleratorTypes::all(), |all, member| all & member.types())
    }

    fn is_available(&self) -> bool {
        self.members.iter().any(|member| member.is_available())
    }

    fn has_cpu_fallback(&self) -> bool {
        self.members.iter().any(|member| member.has_cpu_fallback())
    }

    fn initialize(&self) -> Result<()> {
        self.member().map(drop)
    }

    fn statistics(&self) -> Statistics {
        self.recorder.statistics()
    }

    fn execute(&self, job: Job<'_>, input: &[u8], output: &mut Output<'_>) -> Result<Outcome> {
        let in_flight = self.recorder.start();
        let result = self.member().and_then(|member| member.execute(job, input, output));
        in_flight.finish(result.as_ref());
        result
    }

    fn submit(&self, job: OwnedJob, input: Vec<u8>, output: OwnedOutput) -> BoxFuture<Completion<Outcome>> {
        let in_flight = self.recorder.clone().start_shared();
        let submitted = match self.member() {
            Ok(member) => member.submit(job, input, output),
            Err(error) => {
                in_flight.finish(Err(&error));
                let output = output.close(Vec::new());
                return Box::pin(async { Completion { input, output, result: Err(error) } });
            }
        };
        Box::pin(async {
            let done = submitted.await;
            in_flight.finish(done.result.as_ref());
            done
        })
    }
}

fn main() -> std::result::Result<(), stream::StreamError> {
    let members: Vec<Arc<dyn HardwareAccelerator>> =
        vec![Arc::new(AutoAccelerator::default()), Arc::new(SoftwareAccelerator::new())];
    let accelerator = Arc::new(RoundRobin::new(members));
    let engine = Engine::new(accelerator.clone());
    let options = CompressOptions::new(Format::Gzip);
    let summary =
        stream::compress(io::stdin(), io::stdout().lock(), &engine, &options, &Settings::default())?;
    eprintln!("{} bytes became {}", summary.bytes_in, summary.bytes_out);
    eprintln!("{} blocks ran on a device", summary.hardware);
    for (reason, blocks) in summary.software.iter() {
        eprintln!("{blocks} blocks ran on the CPU: {reason}");
    }
    eprintln!("{} jobs in all", accelerator.statistics().operations);
    Ok(())
}
