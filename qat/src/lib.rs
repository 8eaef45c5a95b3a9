//! Compression and encryption on Intel QAT, or on the CPU, behind one API that says which.
//!
//! Three accelerators implement the traits of [`accel_core`]:
//!
//! | type | where it works |
//! |---|---|
//! | [`QatAccelerator`] | on QAT, never elsewhere; says why when it cannot |
//! | [`SoftwareAccelerator`] | on the CPU, always |
//! | [`AutoAccelerator`] | by a [`Policy`]: on QAT where that works and pays, else on the CPU, and each result says where and why |
//!
//! [`stream`] moves data of any size through one of them with all cores, in constant memory and plain formats;
//! [`probe`] finds QAT devices.
//!
//! ```
//! use qat::accel_core::{CompressOptions, CompressionAccelerator, Format};
//! use qat::{AutoAccelerator, Policy, QatAccelerator};
//!
//! let qat = AutoAccelerator::new(QatAccelerator::default(), Policy::Auto);
//! let (packed, outcome) = qat.compress(b"to be or not to be", &CompressOptions::new(Format::Gzip))?;
//! println!("{} bytes, by {}", packed.len(), outcome.path);
//! # Ok::<(), qat::accel_core::Error>(())
//! ```
//!
//! # This release
//! On the device: compression and decompression of deflate, zlib, gzip and LZ4, compression to Zstandard, all at levels 1
//! to 12; the ciphers; SHA-2, SHA-3 and HMAC by them; each where device and library offer it. Shown on an emulated device below Intel's
//! own libqat, 24.02 and 26.08, never on silicon. The rest fails with [`Unsupported`](accel_core::Error::Unsupported);
//! `AutoAccelerator` works on the CPU there, and says so.
//!
//! # Thread safety
//! Every public type is `Send` and `Sync`; accelerators are cheap to clone, and clones count together. The CPU engine
//! keeps its contexts per thread.
//!
//! # Library dependency
//! Nothing is linked. `libqat.so.4` and `libusdm.so.0` are loaded on the first use of a `QatAccelerator` (`QAT_LIBRARY`
//! and `USDM_LIBRARY` override the names), ISA-L's `libisal.so.2` on the first deflate at level 1. What is not there is
//! reported: [`QatAccelerator::unavailability`], [`software::isal`].
//!
//! # Cleanup
//! Dropping the last accelerator that uses libqat stops it. In a forked child, hardware that the parent started is
//! [`Unavailability::Forked`]; [`QatAccelerator::reinitialize`] starts afresh there. The CPU engine works on.
//!
//! # What is trusted
//! aws-lc and RustCrypto's AES for cryptography; libdeflate, zlib-rs, lz4, zstd and ISA-L with foreign bytes; libqat with device memory.

mod accelerator;
mod auto;
mod capabilities;
mod container;
mod cy;
mod dc;
mod device_error;
mod driver;
mod info;
mod instance;
mod lz4s;
mod mem;
mod op;
mod poll;
pub mod probe;
mod raw;
mod settings;
pub mod software;
mod status;
pub mod stream;
mod unavailability;

pub use accel_core;
pub use accelerator::{DmaCompletion, DmaRequest, DmaSession, QatAccelerator};
pub use auto::{AutoAccelerator, DeviceTime, ModelCell, ModelSnapshot, Policy, Preferred};
pub use capabilities::{
    Capabilities, CompressionCapabilities, Directions, EncryptionCapabilities, PublicKeyCapabilities,
};
pub use device_error::{DeviceError, RequestStatus};
pub use driver::Instances;
pub use info::{GroupInfo, Info, InstanceInfo, LibraryCounts, LibraryInfo, MemoryInfo, ServiceInfo};
#[doc(hidden)]
pub use lz4s::fuzz as fuzz_lz4s;
pub use mem::DmaBuffer;
pub use settings::{HardwareSettings, Huffman, Integrity};
pub use software::SoftwareAccelerator;
pub use status::CpaStatus;
pub use unavailability::Unavailability;
