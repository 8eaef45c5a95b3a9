//! The conformance suite over an accelerator that is written against `accel_core` alone: the one of the example.

mod conformance;
#[allow(dead_code, reason = "the example is a program, too")]
#[path = "../examples/custom_accelerator.rs"]
mod custom_accelerator;
mod support;

use std::sync::Arc;

use accel_core::{ExecutedOn, HardwareAccelerator, SoftwareReason};
use custom_accelerator::RoundRobin;
use qat::stream::Engine;
use qat::{AutoAccelerator, Policy, QatAccelerator, SoftwareAccelerator};
use support::Subject;

/// The CPU by two ways in turn.
fn round_robin() -> Subject {
    let auto = AutoAccelerator::new(QatAccelerator::default(), Policy::Never);
    let members: Vec<Arc<dyn HardwareAccelerator>> =
        vec![Arc::new(SoftwareAccelerator::new()), Arc::new(auto)];
    let accelerator = Arc::new(RoundRobin::new(members));
    Subject {
        compression: accelerator.clone(),
        encryption: accelerator.clone(),
        engine: Engine::new(accelerator),
        may_run_on: |path| {
            matches!(path, ExecutedOn::Software(SoftwareReason::Chosen | SoftwareReason::Policy))
        },
        ..support::software()
    }
}

conformance::suite!(crate::round_robin);
