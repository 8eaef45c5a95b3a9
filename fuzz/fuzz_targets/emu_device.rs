//! The emulated device: registers, mailbox messages, rings, and requests of every service with the memory that they
//! refer to.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| qat_emu::fuzz_device(data));
