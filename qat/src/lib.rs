//! Compression and encryption on Intel QuickAssist (QAT), with a CPU fallback that is always reported.
//!
//! Three accelerators implement the traits of [`accel_core`]:
//!
//! | type | where it works |
//! |---|---|
//! | [`QatAccelerator`] | on QAT, never elsewhere; it says why when it cannot |
//! | [`SoftwareAccelerator`] | on the CPU, always |
//! | [`AutoAccelerator`] | according to a [`Policy`]: on QAT where that works and pays, otherwise on the CPU; each result says where and why |
//!
//! [`stream`] moves data of any size through one of them with all cores, in constant memory and in public formats.
//! [`probe`] finds QAT devices, and [`info`] describes what is there.
//!
//! # Examples
//! Compress a buffer:
//! ```
//! use qat::prelude::*;
//! use qat::{AutoAccelerator, CompressOptions, Format};
//!
//! let qat = AutoAccelerator::default();
//! let (packed, outcome) = qat.compress(b"to be or not to be", &CompressOptions::new(Format::Gzip))?;
//! println!("{} bytes, by {}", packed.len(), outcome.path);
//! # Ok::<(), qat::Error>(())
//! ```
//! Encrypt and decrypt a message with associated data:
//! ```
//! use qat::prelude::*;
//! use qat::{AutoAccelerator, Cipher, CipherOptions, Key};
//!
//! let qat = AutoAccelerator::default();
//! let key = Key::generate(Cipher::AesGcm)?;
//! let options = CipherOptions::new(Cipher::AesGcm).aad(b"record 7");
//! let (ciphertext, done) = qat.encrypt(&key, b"a secret", &options)?;
//! let (plain, _) = qat.decrypt(&key, &ciphertext, &options.iv(done.iv))?;
//! assert_eq!(plain, b"a secret");
//! # Ok::<(), qat::Error>(())
//! ```
//!
//! # This release
//! The device compresses and decompresses deflate, zlib, gzip and LZ4, compresses to Zstandard (all at levels 1 to 12), runs
//! the ciphers, and computes SHA-2, SHA-3 and HMAC, each where device and library offer it. This was tested on an emulated
//! device below Intel's own libqat, 24.02 and 26.08, and never on silicon. Everything else fails with
//! [`Unsupported`](Error::Unsupported) there; `AutoAccelerator` works on the CPU in that case, and says so.
//!
//! # Thread safety
//! Every public type is `Send` and `Sync`. Accelerators are cheap to clone, and clones share their statistics. The CPU engine
//! keeps its contexts per thread.
//!
//! # Library dependency
//! Nothing is linked. `libqat.so.4` and `libusdm.so.0` are loaded on the first use of a `QatAccelerator` (`QAT_LIBRARY` and
//! `USDM_LIBRARY` override the names), ISA-L's `libisal.so.2` on the first deflate at level 1. What is missing is reported:
//! [`QatAccelerator::unavailability`], [`software::isal`].
//!
//! # Cleanup
//! Dropping the last accelerator that uses libqat stops it. In a forked child, hardware that the parent started is
//! [`Unavailability::Forked`]; [`QatAccelerator::reinitialize`] starts it afresh there. The CPU engine continues to work.
//!
//! # What is trusted
//! aws-lc and RustCrypto's AES are trusted with cryptography; libdeflate, zlib-rs, lz4, zstd and ISA-L with foreign bytes;
//! libqat with device memory.

mod accelerator;
mod device;
mod error;
mod formats;
mod job;
pub mod probe;
mod process;
mod raw;
mod report;
mod routing;
mod service;
mod settings;
pub mod software;
pub mod stream;

pub use accel_core;
pub use accel_core::{
    AcceleratorTypes, BoxFuture, Checksum, Cipher, CipherOptions, Completion, CompressOptions,
    DecompressOptions, Digest, Encrypted, End, Error, ExecutedOn, Format, Iv, Key, Level, Operation, Outcome,
    Result, SoftwareReason, Statistics,
};
pub use capability_registry;

pub use accelerator::QatAccelerator;
#[doc(hidden)]
pub use device::compression::lz4s::fuzz as fuzz_lz4s;
pub use error::{CpaStatus, DeviceError, RequestStatus, Unavailability};
#[doc(hidden)]
pub use formats::deflate::fuzz_reopen as fuzz_reopen_deflate;
pub use routing::{AutoAccelerator, Policy};
pub use settings::{HardwareSettings, Huffman, Integrity};
pub use software::SoftwareAccelerator;

/// The traits whose methods programs call: `use qat::prelude::*;`.
pub mod prelude {
    pub use accel_core::{CompressionAccelerator, EncryptionAccelerator, HardwareAccelerator, HardwareProbe};
}

/// Device memory, and requests on it that copy nothing.
pub mod dma {
    pub use crate::accelerator::{DmaCompletion, DmaRequest, DmaSession};
    pub use crate::device::memory::DmaBuffer;
}

/// What [`QatAccelerator::info`](crate::QatAccelerator::info) reports: devices, library, services, instances, capabilities.
pub mod info {
    pub use crate::report::{
        Capabilities, CompressionCapabilities, Directions, EncryptionCapabilities, GroupInfo, Info,
        InstanceInfo, Instances, LibraryCounts, LibraryInfo, MemoryInfo, PublicKeyCapabilities, ServiceInfo,
    };
}

/// What [`AutoAccelerator::model`](crate::AutoAccelerator::model) shows of the measurements that it routes by.
pub mod model {
    pub use crate::routing::{DeviceTime, ModelCell, ModelSnapshot, Preferred};
}
