//! An accelerator that copies: what an implementation of the traits looks like, and what its counters say.

use accel_core::{
    AcceleratorTypes, Error, ExecutedOn, HardwareAccelerator, Operation, Outcome, Recorder, Result,
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

    fn process(&self, operation: &Operation, input: &[u8]) -> Result<(Vec<u8>, Outcome)> {
        let in_flight = self.0.start();
        let result = match operation {
            Operation::Named(name) if name == "copy" => {
                let path = ExecutedOn::Software(SoftwareReason::Chosen);
                Ok((input.to_vec(), Outcome { bytes_in: input.len(), bytes_out: input.len(), path }))
            }
            other => Err(Error::InvalidArgument {
                argument: "operation",
                remedy: format!("null knows copy, not {}", other.name()).into(),
            }),
        };
        in_flight.finish(result.as_ref().map(|(_, outcome)| outcome));
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
