//! Streams: compression, decompression, encryption and decryption of data of any length, in constant memory.
//!
//! [`compress()`], [`decompress()`], [`encrypt`] and [`decrypt`] move bytes from a reader to a writer through an
//! [`Engine`]. They cut the data into blocks, process the blocks on several threads, and write the results in order.
//! Programs call them directly; nothing else in this crate does. They never seek, and never hold more than a fixed
//! number of blocks.
//!
//! The output is in public formats:
//!
//! * gzip (RFC 1952): one member. With [`Settings::independent`], one member per MiB of input, each with QATzip's extra
//!   field `QZ`, which states its length, so that the members can be located and decompressed in parallel.
//! * zlib (RFC 1950) and raw deflate (RFC 1951): one stream.
//! * LZ4 frame: one frame of independent 4 MiB blocks with a content checksum.
//! * Zstandard (RFC 8878): one frame with a checksum, and with its content size where the size is known
//!   ([`Settings::input_len`], or an input of at most 1 MiB). With [`Settings::independent`], one frame per 4 MiB of
//!   input (8 MiB from level 3, 16 MiB from level 10), each with content size and checksum.
//! * Encryption: Tink's streaming AEAD AES256_GCM_HKDF_1MB; see [`Keyset`].
//!
//! The same formats are read from any origin, with several members or frames, and with skippable and legacy LZ4 frames.
//! Data after the end are an error, and so is a stream that is truncated or damaged. [`decompress()`] writes what it
//! can decode before it reports such an error, as `gzip -dc` does. That output is not verified, because checksums
//! follow the data that they cover. [`decrypt`] writes authenticated data only.
//!
//! [`decompress()`] writes what it has decoded before it waits for more input, so that records that another program
//! flushes are available as soon as they are received. It does not flush the writer in between.
//!
//! # Memory
//! Each thread uses about three blocks of input and output, whatever the length of the data: up to 20 MiB per thread
//! for gzip, 25 MiB for LZ4 (50 MiB for its legacy frames), and 50 to 100 MiB for Zstandard, and no more than
//! [`Settings::limit`] allows. Decompression keeps in addition a Zstandard window of at most [`Settings::window_limit`]
//! bytes, 128 MiB by default. Memory that the system refuses is reported as [`StreamError::Memory`].
//!
//! A device cannot decode a stream in pieces. With [`Engine::qat`], data whose block lengths are not stated (gzip
//! members of other programs, zlib, raw deflate, LZ4 frames of linked blocks) are collected and decompressed in one
//! call: up to 64 MiB of compressed data and 512 MiB of output. One member or frame can use at most three quarters of
//! [`HardwareSettings::memory`](crate::HardwareSettings::memory), its input included. Longer data are
//! [`Unsupported`](accel_core::Error::Unsupported). [`Engine::auto`] passes them to the CPU, which needs constant
//! memory.

mod compress;
mod decompress;
mod keyset;
mod pipeline;
mod source;
mod tink;
mod zstd;

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use accel_core::{ExecutedOn, Format, HardwareAccelerator, Level, SoftwareExecutions, SoftwareReason};

pub use compress::compress;
pub use decompress::{decompress, detect};
pub use keyset::{Keyset, KeysetError};
pub use tink::{decrypt, encrypt};

use crate::accelerator::QatAccelerator;
use crate::routing::AutoAccelerator;
use crate::routing::Policy;
use crate::software::SoftwareAccelerator;

/// The accelerator that processes the blocks of a stream: the CPU, QAT, or either of them by a policy.
///
/// # Examples
/// ```
/// use qat::stream::Engine;
/// use qat::{AutoAccelerator, Policy, QatAccelerator};
///
/// let accelerator = AutoAccelerator::new(QatAccelerator::default(), Policy::Auto);
/// let engine = Engine::auto(&accelerator);
/// ```
#[derive(Clone)]
pub struct Engine {
    accelerator: Arc<dyn HardwareAccelerator>,
    /// The reason why the CPU performs steps that no device supports, such as inflating one long member in pieces.
    /// `None` where the CPU must not be used.
    serial: Option<SoftwareReason>,
    /// The reason why no device takes part in compressing to Zstandard. `None` where a device does, or where the CPU
    /// must not be used.
    no_zstd: Option<SoftwareReason>,
}

impl Engine {
    /// Returns an engine that gives every block to `accelerator`. What has to be decoded piece by piece runs on the CPU if
    /// the accelerator [may fall back](HardwareAccelerator::has_cpu_fallback) to it, and is an error otherwise.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    ///
    /// use accel_core::{CompressOptions, Format, HardwareAccelerator};
    /// use qat::stream::{self, Engine, Settings};
    ///
    /// fn gzip(accelerator: Arc<dyn HardwareAccelerator>, data: &[u8]) -> Result<Vec<u8>, stream::StreamError> {
    ///     let (mut packed, options) = (Vec::new(), CompressOptions::new(Format::Gzip));
    ///     stream::compress(data, &mut packed, &Engine::new(accelerator), &options, &Settings::default())?;
    ///     Ok(packed)
    /// }
    /// let packed = gzip(Arc::new(qat::SoftwareAccelerator::new()), b"to be or not to be")?;
    /// assert_eq!(packed[..2], [0x1f, 0x8b]);
    /// # Ok::<(), stream::StreamError>(())
    /// ```
    #[must_use]
    pub fn new(accelerator: Arc<dyn HardwareAccelerator>) -> Self {
        let serial = accelerator.has_cpu_fallback().then_some(SoftwareReason::Unsupported);
        Self { accelerator, serial, no_zstd: None }
    }

    /// Returns an engine that uses the CPU only.
    #[must_use]
    pub fn software(accelerator: &SoftwareAccelerator) -> Self {
        let chosen = Some(SoftwareReason::Chosen);
        Self { accelerator: Arc::new(accelerator.clone()), serial: chosen, no_zstd: chosen }
    }

    /// Returns an engine that uses QAT only. Operations that QAT does not support are errors.
    #[must_use]
    pub fn qat(accelerator: &QatAccelerator) -> Self {
        Self { accelerator: Arc::new(accelerator.clone()), serial: None, no_zstd: None }
    }

    /// Returns an engine that uses QAT or the CPU according to the policy of `accelerator`. Unless the policy is
    /// [`Policy::Never`] or [`Policy::Always`], this call detects the hardware and may wait for that.
    #[must_use]
    pub fn auto(accelerator: &AutoAccelerator) -> Self {
        let serial = match accelerator.policy() {
            Policy::Never => Some(SoftwareReason::Policy),
            Policy::Always => None,
            _ if accelerator.qat().is_available() => Some(SoftwareReason::Unsupported),
            _ => Some(SoftwareReason::Unavailable),
        };
        let has_zstd = || {
            accelerator
                .qat()
                .capabilities()
                .is_some_and(|capabilities| capabilities.compression.lz4s.compress)
        };
        let no_zstd = serial.filter(|reason| *reason != SoftwareReason::Unsupported || !has_zstd());
        Self { accelerator: Arc::new(accelerator.clone()), serial, no_zstd }
    }

    /// Returns why the CPU compresses all of a Zstandard stream at `level`, or `None` where a device may take part.
    fn zstd_on_cpu(&self, level: Level) -> Option<SoftwareReason> {
        let is_beyond_device = crate::device::compression::hardware_level(Format::Zstd, level).is_err();
        self.no_zstd.or(self.serial.filter(|_| is_beyond_device))
    }

    /// Returns whether the engine decodes data in pieces, which only the CPU does.
    fn is_serial(&self) -> bool {
        self.serial.is_some()
    }

    /// Returns where serial work of `format` runs.
    ///
    /// # Errors
    /// [`Unsupported`](accel_core::Error::Unsupported) where the CPU must not be used.
    fn serial_path(&self, format: Format) -> accel_core::Result<ExecutedOn> {
        let operation = || format!("decompressing {format} data of unknown or large size in pieces");
        self.serial.map(ExecutedOn::Software).ok_or_else(|| self.unsupported(operation()))
    }

    /// Returns the error for data that must be decoded in one call and are longer than `most` bytes.
    fn unsupported_rest(&self, format: Format, most: usize, side: &str) -> accel_core::Error {
        let most = most >> 20;
        self.unsupported(format!(
            "decompressing {format} data of more than {most} MiB {side}, whose block lengths are not stated"
        ))
    }

    fn unsupported(&self, operation: String) -> accel_core::Error {
        accel_core::Error::Unsupported {
            accelerator: self.accelerator.name(),
            operation: operation.into(),
            remedy: "use an engine that may use the CPU (auto or software)".into(),
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Engine").field(&self.accelerator.name()).finish()
    }
}

/// Parameters of a stream: threads, limits, layout of the output, and progress.
///
/// # Examples
/// ```
/// use std::num::NonZeroUsize;
///
/// use qat::stream::Settings;
///
/// let settings = Settings::default().threads(NonZeroUsize::MIN).limit(100 << 20);
/// assert_eq!(settings.limit, 104_857_600);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// The number of threads that compress, decompress, encrypt or decrypt; values above 1024 count as 1024. With more
    /// than one, reading and writing have a thread each in addition.
    pub threads: NonZeroUsize,
    /// The largest decompressed output in bytes. A stream that decompresses to more, such as a decompression bomb, ends
    /// with [`LimitExceeded`](accel_core::Error::LimitExceeded).
    pub limit: u64,
    /// The largest window in bytes that decompression keeps for a Zstandard frame. A frame that needs a larger one ends
    /// with [`WindowLimit`](StreamError::WindowLimit). A frame of at most 16 MiB that states its size needs no window.
    pub window_limit: u64,
    /// Whether gzip is written as independent members of 1 MiB of input that state their length, and Zstandard as
    /// independent frames of 4 to 16 MiB of input, instead of one member or frame. Independent members and frames can
    /// be decompressed in parallel, by this crate also on a device. In return, many other readers decode the first one
    /// only and silently lose the rest, and the output is 0.2 % (gzip) to 3 % (high levels of Zstandard) larger. Other
    /// formats ignore this setting.
    pub independent: bool,
    /// The length of the input in bytes, such as the size of a file; `None` where it is unknown. A Zstandard frame
    /// states it in its header, which some readers require. For Zstandard no more than this is read, and an input of
    /// more than 1 MiB that ends earlier is an error of the reader ([`UnexpectedEof`](io::ErrorKind::UnexpectedEof)).
    /// Other formats ignore this setting.
    pub input_len: Option<u64>,
    /// The counters of bytes read and written, which another thread can observe while the stream runs.
    pub progress: Arc<Progress>,
}

impl Default for Settings {
    /// Returns settings with one thread per core, no limit of output, and windows of at most 128 MiB, which is the
    /// default of `zstd`.
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            limit: u64::MAX,
            window_limit: 128 << 20,
            independent: false,
            input_len: None,
            progress: Arc::default(),
        }
    }
}

impl Settings {
    /// Returns these settings with this number of threads.
    #[must_use]
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = threads;
        self
    }

    /// Returns these settings with this limit of output in bytes.
    #[must_use]
    pub fn limit(mut self, limit: u64) -> Self {
        self.limit = limit;
        self
    }

    /// Returns these settings with this limit of Zstandard windows in bytes. libzstd supports windows of at most 2 GiB.
    #[must_use]
    pub fn window_limit(mut self, window_limit: u64) -> Self {
        self.window_limit = window_limit;
        self
    }

    /// Returns these settings with independent gzip members and Zstandard frames, or with a single one.
    #[must_use]
    pub fn independent(mut self, independent: bool) -> Self {
        self.independent = independent;
        self
    }

    /// Returns these settings with this length of the input in bytes.
    #[must_use]
    pub fn input_len(mut self, input_len: Option<u64>) -> Self {
        self.input_len = input_len;
        self
    }

    /// Returns these settings with these counters of progress.
    #[must_use]
    pub fn progress(mut self, progress: Arc<Progress>) -> Self {
        self.progress = progress;
        self
    }
}

/// Counters of the bytes that a stream has read and written so far. Threads may read them while the stream runs.
///
/// # Examples
/// ```
/// use std::sync::Arc;
///
/// use qat::accel_core::{CompressOptions, Format};
/// use qat::stream::{self, Engine, Progress, Settings};
///
/// let progress = Arc::new(Progress::default());
/// let settings = Settings::default().progress(progress.clone());
/// let engine = Engine::software(&qat::SoftwareAccelerator::new());
/// let mut packed = Vec::new();
/// let options = CompressOptions::new(Format::Gzip);
/// let summary = stream::compress(&[7; 5_000][..], &mut packed, &engine, &options, &settings)?;
/// assert_eq!((progress.bytes_in(), progress.bytes_out()), (5_000, summary.bytes_out));
/// # Ok::<(), qat::stream::StreamError>(())
/// ```
#[derive(Debug, Default)]
pub struct Progress {
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl Progress {
    /// Returns the number of bytes read so far.
    #[must_use]
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in.load(Ordering::Relaxed)
    }

    /// Returns the number of bytes written so far.
    #[must_use]
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out.load(Ordering::Relaxed)
    }
}

/// Describes a stream that succeeded: its format, its lengths, and where its blocks were processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// The format of the compressed side; `None` for encryption and decryption.
    pub format: Option<Format>,
    /// The number of bytes read.
    pub bytes_in: u64,
    /// The number of bytes written.
    pub bytes_out: u64,
    /// The number of blocks that a device processed.
    pub hardware: u64,
    /// The number of blocks that the CPU processed, by reason.
    pub software: SoftwareExecutions,
}

impl Summary {
    fn new(format: Option<Format>) -> Self {
        Self { format, bytes_in: 0, bytes_out: 0, hardware: 0, software: SoftwareExecutions::default() }
    }

    fn ran(&mut self, path: ExecutedOn) {
        match path {
            ExecutedOn::Hardware { .. } => self.hardware += 1,
            ExecutedOn::Software(reason) => self.software.add(reason),
        }
    }
}

/// The reason why a stream ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The reader returned an error.
    #[error("reading failed: {0}")]
    Read(#[source] io::Error),
    /// The writer returned an error.
    #[error("writing failed: {0}")]
    Write(#[source] io::Error),
    /// The system refused to start a thread.
    #[error("cannot start a thread: {0}; use fewer threads")]
    Thread(#[source] io::Error),
    /// The system refused the memory for the blocks of this number of threads, or for a Zstandard window.
    #[error("cannot allocate {bytes} bytes: use fewer threads")]
    Memory {
        /// The number of bytes that were requested.
        bytes: usize,
    },
    /// A Zstandard frame needs a larger window than [`Settings::window_limit`] allows.
    #[error(
        "this Zstandard frame needs a window of {required} bytes, and the limit is {limit}: raise the limit if the input \
         is trusted"
    )]
    WindowLimit {
        /// The memory in bytes that the window of the frame needs.
        required: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The accelerator failed, or the input or an argument is invalid.
    #[error(transparent)]
    Work(#[from] accel_core::Error),
    /// The input is in none of the formats that can be recognised by content.
    #[error(
        "unrecognised format: not gzip, zlib, LZ4 or Zstandard by content; name the format if it is raw deflate"
    )]
    UnknownFormat,
    /// The input ends inside the header of an encrypted stream.
    #[error("the input ends inside the header of an encrypted stream")]
    TruncatedHeader,
    /// The input does not begin with the header that this keyset's encryption writes.
    #[error(
        "not a stream that this keyset encrypted: its first byte, the header's length, is {header_len} (40 for the \
         format AES256_GCM_HKDF_1MB)"
    )]
    NotEncrypted {
        /// The value of the first byte, which is the length of the header in bytes.
        header_len: usize,
    },
    /// No key of the keyset decrypts the first segment of the input.
    #[error("no key of the keyset decrypts the input: wrong key or associated data, or an altered input")]
    NoMatchingKey,
    /// The input has more segments than the format can number.
    #[error("the input is too long for one encrypted stream: 2^32 segments of 1 MiB")]
    TooLong,
}
