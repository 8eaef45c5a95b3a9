//! LZ4s from an untrusted device: it is refused, or converted to a frame of exactly the content that it represents.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| qat::fuzz_lz4s(data));
