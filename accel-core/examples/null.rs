//! An accelerator that copies: what the smallest implementation looks like, and what its counters say.

use accel_core::{
    AcceleratorTypes, ExecutedOn, HardwareAccelerator, Job, Operation, Outcome, Output, Recorder, Result,
    SoftwareReason, Statistics,
};

#[derive(Default)]
struct Null(Recorder);

impl HardwareAccelerator for Null {
    fn name(&self) -> &'static str {
        "null"
    }

    fn types(&self) -> AcceleratorTypes {
        AcceleratorTypes::empty()
    }

    fn is_available(&self) -> bool {
        true
    }

    fn has_cpu_fallback(&self) -> bool {
        true
    }

    fn initialize(&self) -> Result<()> {
        Ok(())
    }

    fn execute(&self, job: Job<'_>, input: &[u8], output: &mut Output<'_>) -> Result<Outcome> {
        let in_flight = self.0.start();
        let result = match job {
            Job::Other(Operation::Named(name)) if name == "copy" => output.write(input).map(|()| Outcome {
                bytes_in: input.len(),
                bytes_out: input.len(),
                path: ExecutedOn::Software(SoftwareReason::Chosen),
            }),
            other => Err(other.unsupported(self.name())),
        };
        in_flight.finish(result.as_ref());
        result
    }

    fn statistics(&self) -> Statistics {
        self.0.statistics()
    }
}

fn main() -> Result<()> {
    let null = Null::default();
    let accelerator: &dyn HardwareAccelerator = &null;
    let (copy, outcome) = accelerator.process(&Operation::Named("copy".into()), b"to be or not to be")?;
    println!("{} bytes, by {}", copy.len(), outcome.path);
    println!("{}", accelerator.process(&Operation::Encrypt, b"").unwrap_err());
    println!("{:#?}", accelerator.statistics());
    Ok(())
}
