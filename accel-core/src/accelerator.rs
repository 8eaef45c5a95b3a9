//! The trait that every accelerator implements, and the shapes shared by the two special ones.

use std::future::Future;
use std::pin::Pin;

use crate::{Operation, Outcome, Result, Statistics};

bitflags::bitflags! {
    /// What an accelerator, or a device, can work on.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub struct AcceleratorTypes: u32 {
        /// Compression and decompression.
        const COMPRESSION = 1;
        /// Symmetric encryption and authentication.
        const ENCRYPTION = 1 << 1;
        /// Public-key arithmetic.
        const PUBLIC_KEY = 1 << 2;
        /// Digests and checksums as operations of their own.
        const HASHING = 1 << 3;
    }
}

impl std::fmt::Display for AcceleratorTypes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        for (i, (name, _)) in self.iter_names().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            for (j, part) in name.split('_').enumerate() {
                if j > 0 {
                    f.write_str("-")?;
                }
                f.write_str(&part.to_ascii_lowercase())?;
            }
        }
        Ok(())
    }
}

/// A future of no particular runtime that owns all it needs.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// Both buffers of an asynchronous call, handed back with its result.
#[derive(Debug)]
pub struct Completion<T> {
    /// The caller's input, unchanged.
    pub input: Vec<u8>,
    /// The caller's output; after success the result says how many of its bytes were written, from the front.
    pub output: Vec<u8>,
    /// What the call came to.
    pub result: Result<T>,
}

/// Something that does work on bytes, on a device or instead of one.
///
/// Construction of an implementation touches nothing and cannot fail; the first use, or
/// [`initialize`](Self::initialize), finds out what is there. Absence is an answer
/// ([`is_available`](Self::is_available) is false and the operations fail with
/// [`Error::Unavailable`](crate::Error::Unavailable)), not a panic.
pub trait HardwareAccelerator: Send + Sync {
    /// A short stable name: `qat`, `software`, `auto`.
    fn name(&self) -> &'static str;

    /// What this kind of accelerator can work on when everything it needs is there.
    fn types(&self) -> AcceleratorTypes;

    /// Whether an operation can be expected to succeed now. Initialises on the first call.
    fn is_available(&self) -> bool;

    /// Whether this accelerator may do the work on the CPU when the device does not.
    fn has_cpu_fallback(&self) -> bool;

    /// Finds and starts what is needed, once; later calls answer from the first one.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable) with the reason when the accelerator cannot be used.
    fn initialize(&self) -> Result<()>;

    /// Runs one operation that needs no key and returns its output.
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) for [`Operation::Encrypt`], [`Operation::Decrypt`] and
    /// [`Operation::Hmac`] (its text names the call that takes a key), [`Error::InvalidArgument`](crate::Error::InvalidArgument) for
    /// an operation that this accelerator does not know, and whatever the operation itself may fail with.
    fn process(&self, operation: &Operation, input: &[u8]) -> Result<(Vec<u8>, Outcome)>;

    /// What was counted since construction.
    fn statistics(&self) -> Statistics;
}
