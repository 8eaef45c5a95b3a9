//! The conformance suite over the hardware path: Intel's libqat on the emulated device of `qat-emu`, of both releases.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod conformance;
mod emulated;
mod support;

#[path = "offload/both.rs"]
mod both;
#[path = "offload/device_memory.rs"]
mod device_memory;
#[path = "offload/proof.rs"]
mod proof;

conformance::suite!(crate::emulated::qat);
