//! LZ4s from a device that says whatever it likes: refused, or made into a frame of exactly what it stands for.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| qat::fuzz_lz4s(data));
