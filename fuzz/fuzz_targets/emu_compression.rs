//! The compression engine of the emulated device, without rings, so that the target reaches deeper states.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| qat_emu::engine::dc::fuzz(data));
