//! Vocabulary of hardware accelerators.
//!
//! This crate names the things that every accelerator of bytes has in common, and knows none of them:
//!
//! * what can be asked: [`Job`], [`CompressOptions`], [`DecompressOptions`], [`CipherOptions`], [`Key`];
//! * who answers: [`HardwareAccelerator`], which an accelerator implements, with the methods that programs call in
//!   [`CompressionAccelerator`] and [`EncryptionAccelerator`], which every accelerator has;
//! * what came of it: [`Outcome`], which always says where the work ran and why, or an [`Error`];
//! * what was counted: [`Recorder`] and [`Statistics`];
//! * which devices there are: [`HardwareProbe`] and [`Device`].
//!
//! All traits are object-safe: a program holds an `Arc<dyn HardwareAccelerator>`, which has all of these methods, and does
//! not care whether a device, the CPU, or a policy that chooses between them is behind it.
//!
//! # Buffers
//! Blocking calls borrow their buffers. Calls that return a future own them until the future is done and hand
//! them back in a [`Completion`], also after a failure: a device may still be writing to a buffer when a future
//! is dropped, so a borrow could not be sound.
//!
//! # Features
//! * `serde`: (de)serialisation of [`Device`], [`Outcome`] and [`Statistics`].

#![forbid(unsafe_code)]

mod accelerator;
mod compression;
mod encryption;
mod error;
mod hash;
mod job;
mod key;
mod operation;
mod outcome;
mod output;
mod probe;
mod statistics;

pub use accelerator::{AcceleratorTypes, BoxFuture, Completion, HardwareAccelerator};
pub use compression::{
    CompressOptions, CompressionAccelerator, DecompressOptions, End, Format, Level, ParseLevelError,
};
pub use encryption::{Cipher, CipherOptions, EncryptFuture, Encrypted, EncryptionAccelerator, Iv};
pub use error::{Error, Result};
pub use hash::{Checksum, Digest};
pub use job::{Job, OwnedJob};
pub use key::Key;
pub use operation::Operation;
pub use outcome::{ExecutedOn, Outcome, SoftwareReason};
pub use output::{Output, OwnedOutput};
pub use probe::{Device, DeviceChange, DeviceChangeSender, DeviceChanges, DeviceId, HardwareProbe};
pub use statistics::{InFlight, Latency, Recorder, SoftwareExecutions, Statistics};
