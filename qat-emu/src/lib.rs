//! A software model of a QAT device below Intel's own, unmodified `libqat`.

mod boundary;
pub mod config;
pub mod counters;
mod debugfs;
mod device;
pub mod engine;
pub mod fault;
mod machine;
pub mod memory;

#[doc(hidden)]
pub use boundary::send_signal;
pub use boundary::{AttachError, Emulator, HOOKS, Preload, PreloadError, TreeError};
pub use config::{Config, ConfigError, Device, Model, Service, Services, Timing};
pub use counters::Snapshot;
pub use device::{Notification, fuzz as fuzz_device};
pub use fault::{Fault, FaultKind, StartFaults};
