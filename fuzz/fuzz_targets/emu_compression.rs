//! The emulated device's compression engine, deeper than whole rings get.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| qat_emu::engine::dc::fuzz(data));
