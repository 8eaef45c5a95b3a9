//! Everything between an operation and libqat: sessions, requests, device memory, polling, and starting and stopping
//! the library in this process. The module `accelerator` calls it; it never does an operation's work on the CPU.

pub(crate) mod compression;
pub(crate) mod encryption;
pub(crate) mod inflight;
pub(crate) mod instances;
pub(crate) mod lifecycle;
pub(crate) mod memory;
pub(crate) mod polling;
