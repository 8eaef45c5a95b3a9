//! The emulated device: registers, mailbox words, rings, and requests of every service with all that they name.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| qat_emu::fuzz_device(data));
