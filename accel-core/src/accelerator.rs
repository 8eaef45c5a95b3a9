//! The trait that every accelerator implements, and the shapes shared by the two special ones.

use std::future::Future;
use std::pin::Pin;

use crate::{Operation, Outcome, Result, Statistics};

bitflags::bitflags! {
    /// Says what an accelerator or a device can work on.
    ///
    /// # Examples
    /// ```
    /// use accel_core::AcceleratorTypes;
    /// let types = AcceleratorTypes::COMPRESSION | AcceleratorTypes::PUBLIC_KEY;
    /// assert_eq!(types.to_string(), "compression,public-key");
    /// ```
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

/// A future that owns all it needs and works with every runtime.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// Hands both buffers of an asynchronous call back with its result.
#[derive(Debug)]
pub struct Completion<T> {
    /// The caller's input, unchanged.
    pub input: Vec<u8>,
    /// The caller's output. After success the result says how many of its bytes, from the front, were written.
    pub output: Vec<u8>,
    /// The result of the call.
    pub result: Result<T>,
}

/// An accelerator: something that works on bytes, on a device or instead of one.
///
/// Construction of an implementation touches nothing and cannot fail. The first use, or
/// [`initialize`](Self::initialize), finds out what is there. Where the device is absent,
/// [`is_available`](Self::is_available) is false and the operations fail with
/// [`Error::Unavailable`](crate::Error::Unavailable); nothing panics.
///
/// # Examples
/// ```
/// use accel_core::HardwareAccelerator;
///
/// fn report(accelerator: &dyn HardwareAccelerator) {
///     match accelerator.initialize() {
///         Ok(()) => println!("{} is there for {}", accelerator.name(), accelerator.types()),
///         Err(error) => println!("{error}"),
///     }
/// }
/// ```
pub trait HardwareAccelerator: Send + Sync {
    /// Returns a short stable name, such as `qat`, `software` or `auto`.
    fn name(&self) -> &'static str;

    /// Returns what this kind of accelerator can work on when everything that it needs is there.
    fn types(&self) -> AcceleratorTypes;

    /// Returns whether an operation can be expected to succeed now. The first call initialises.
    fn is_available(&self) -> bool;

    /// Returns whether this accelerator may do the work on the CPU when the device does not.
    fn has_cpu_fallback(&self) -> bool;

    /// Finds and starts what is needed. This happens once; later calls return the answer of the first one.
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

    /// Returns what was counted since construction.
    fn statistics(&self) -> Statistics;
}
