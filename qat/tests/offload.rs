//! The conformance suite over the hardware path: Intel's libqat on the emulated device of `qat-emu`.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod conformance;
mod emulated;
mod support;

conformance::suite!(crate::emulated::qat);
