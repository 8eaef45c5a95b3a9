//! Asks the capability registry what QAT offers on this machine, and waits for changes. Without a device each feature
//! is absent, with the reason.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use capability_registry::{Registry, State};
use qat::QatAccelerator;
use qat::accel_core::HardwareAccelerator;
use qat::probe::QatProbe;

fn main() -> Result<(), Box<dyn Error>> {
    // Any number of accelerators and other components can share one registry.
    let registry = Registry::new();
    let mut subscription = registry.subscribe("qat.*".parse()?);
    let qat = QatAccelerator::new(registry.clone(), Arc::new(QatProbe::new()));

    // Detection happens on the first use, and registers the features.
    println!("available: {}", qat.is_available());
    if let Ok(diff) = subscription.try_recv() {
        println!("{} features added", diff.added.len());
    }
    for query in ["qat.compression.deflate", "qat.compression.*", "qat.encryption.*"] {
        println!("{query}: {}", if registry.is_present(query) { "present" } else { "absent" });
    }
    if let Some(State::Absent(reason)) = registry.get("qat.compression.deflate") {
        println!("reason: {reason}");
    }

    // The features are removed together with the accelerator that registered them.
    drop(qat);
    if let Ok(diff) = subscription.recv_timeout(Duration::from_millis(100)) {
        println!("{} features removed", diff.removed.len());
    }
    Ok(())
}
