//! Everything between an operation and libqat: sessions, requests, memory of the device, polling, and the life of the
//! library in this process. The accelerator calls it; it never does an operation's work on the CPU.

pub(crate) mod compression;
pub(crate) mod encryption;
pub(crate) mod inflight;
pub(crate) mod instances;
pub(crate) mod lifecycle;
pub(crate) mod memory;
pub(crate) mod polling;
