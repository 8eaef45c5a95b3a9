//! `qat-emu`: runs a program on emulated QAT devices.
fn main() {}
