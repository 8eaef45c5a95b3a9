//! Prints the QAT devices, services and features of this machine. Where QAT is not available, it prints the reason and the
//! remedy.

use std::sync::Arc;
use std::time::Instant;

use accel_core::HardwareAccelerator;
use capability_registry::Registry;
use qat::QatAccelerator;
use qat::probe::QatProbe;

fn main() {
    let registry = Registry::new();
    let qat = QatAccelerator::new(registry.clone(), Arc::new(QatProbe::new()));
    let started = Instant::now();
    let is_available = qat.is_available();
    println!("available: {is_available} (detected in {:?})", started.elapsed());
    if let Some(reason) = qat.unavailability() {
        println!("reason: {reason}");
    }

    let info = qat.info();
    if let Some(library) = &info.library {
        let path = library.path.as_deref().map_or("a library".into(), |path| path.to_string_lossy());
        println!("library: {path}, qatlib {} or later", library.release_at_least);
    }
    for device in &info.devices {
        println!("device: {} {} ({})", device.id, device.model.name, device.support);
    }
    for service in &info.services {
        println!("service: {}, {} instances", service.service, service.instances);
    }
    for (feature, state) in registry.snapshot().entries().iter().filter(|(_, state)| state.is_present()) {
        println!("{feature}: {state}");
    }
}
