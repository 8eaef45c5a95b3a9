//! Data of any size: cut into blocks, worked on by all cores, put together in order, in constant memory.
//!
//! [`compress()`], [`decompress()`], [`encrypt`] and [`decrypt`] move bytes from a reader to a writer through an
//! [`Engine`]. What they write is plain:
//!
//! * gzip (RFC 1952): one member. With [`Settings::independent`] one per MiB of input, each with QATzip's extra field `QZ`
//!   that states its length, so that members can be found and decompressed side by side.
//! * zlib (RFC 1950) and raw deflate (RFC 1951): one stream.
//! * LZ4 frame: one frame of independent 4 MiB blocks with a content checksum.
//! * Zstandard (RFC 8878): one frame with a checksum, and with its content size where that is known
//!   ([`Settings::input_len`], or an input of at most 1 MiB). With [`Settings::independent`] one frame per 4 MiB of input
//!   (8 MiB from level 3, 16 MiB from level 10), with content size and checksum.
//! * encryption: Tink's streaming AEAD AES256_GCM_HKDF_1MB; see [`Keyset`].
//!
//! And they read any such file, whoever wrote it: several members or frames, skippable and legacy LZ4 frames. Data
//! after the end is an error, and so is a stream that stops early or is damaged. What [`decompress()`] can decode before
//! such an error is written first, as `gzip -dc` has it; it is not verified, since checksums stand behind what they
//! cover. [`decrypt`] writes nothing that is not authentic.
//!
//! [`decompress()`] writes what it has decoded before it waits for more input, so that records which another program
//! flushes arrive when they are sent. It does not flush the writer in between.
//!
//! # Memory
//! Per thread about three blocks of input and output each, whatever the length of the data: up to 20 MiB per thread for
//! gzip, 25 MiB for LZ4 (50 MiB for its legacy frames), 50 to 100 MiB for Zstandard, and no more than
//! [`Settings::limit`] lets be decoded. Decompression keeps a Zstandard window of at most [`Settings::window_limit`]
//! besides, 128 MiB by default. Memory that the system refuses is [`StreamError::Memory`].
//!
//! A device decodes nothing piece by piece. With [`Engine::qat`], data that do not say how long their blocks are (gzip
//! members of other programs, zlib, raw deflate, LZ4 frames of linked blocks) are collected and decompressed at once: up
//! to 64 MiB of them and 512 MiB of what they hold, of which one member or frame takes at most three quarters of
//! [`HardwareSettings::memory`](crate::HardwareSettings::memory), its input included. Longer ones are an error that says
//! so. [`Engine::auto`] gives them to the CPU, in constant memory.

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

use crate::{AutoAccelerator, Policy, QatAccelerator, SoftwareAccelerator};

/// Who does the work of a stream.
#[derive(Clone)]
pub struct Engine {
    accelerator: Arc<dyn HardwareAccelerator>,
    /// Why steps that no device can do, such as inflating one long member piece by piece, run on the CPU; `None` when
    /// they must not.
    serial: Option<SoftwareReason>,
    /// Why no device has a part in compressing to Zstandard; `None` where one has, or where the CPU must not.
    no_zstd: Option<SoftwareReason>,
}

impl Engine {
    /// Makes an engine of any accelerator, which gets every block. What has to be decoded piece by piece runs on the CPU if
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

    /// The CPU.
    #[must_use]
    pub fn software(accelerator: &SoftwareAccelerator) -> Self {
        let chosen = Some(SoftwareReason::Chosen);
        Self { accelerator: Arc::new(accelerator.clone()), serial: chosen, no_zstd: chosen }
    }

    /// QAT alone: what it cannot do is an error.
    #[must_use]
    pub fn qat(accelerator: &QatAccelerator) -> Self {
        Self { accelerator: Arc::new(accelerator.clone()), serial: None, no_zstd: None }
    }

    /// QAT or the CPU, as the accelerator's policy has it. Asks whether the hardware is there, unless the policy never
    /// uses it.
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

    /// Why the CPU compresses all of a Zstandard stream at `level`; `None` where a device may have a part in it.
    fn zstd_on_cpu(&self, level: Level) -> Option<SoftwareReason> {
        let is_beyond_device = crate::device::compression::hardware_level(Format::Zstd, level).is_err();
        self.no_zstd.or(self.serial.filter(|_| is_beyond_device))
    }

    /// Whether it decodes data piece by piece, which only the CPU does.
    fn is_serial(&self) -> bool {
        self.serial.is_some()
    }

    /// Where serial work of `format` runs, or the error when it may not.
    fn serial_path(&self, format: Format) -> accel_core::Result<ExecutedOn> {
        let operation = || format!("decompressing {format} data of unknown or great length piece by piece");
        self.serial.map(ExecutedOn::Software).ok_or_else(|| self.unsupported(operation()))
    }

    /// The error for data that must be decoded at once and are longer than `most` bytes.
    fn unsupported_rest(&self, format: Format, most: usize, side: &str) -> accel_core::Error {
        let most = most >> 20;
        self.unsupported(format!(
            "decompressing {format} data that do not say how long their blocks are, beyond {most} MiB {side},"
        ))
    }

    fn unsupported(&self, operation: String) -> accel_core::Error {
        accel_core::Error::Unsupported {
            accelerator: self.accelerator.name(),
            operation: operation.into(),
            remedy: "let the engine fall back to the CPU (auto) or choose it (software)".into(),
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Engine").field(&self.accelerator.name()).finish()
    }
}

/// How a stream is worked on.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Threads that compress, decompress, encrypt or decrypt; more than 1024 count as 1024. Reading and writing have
    /// their own as soon as there is more than one.
    pub threads: NonZeroUsize,
    /// Most bytes of decompressed output; a decompression bomb ends there with
    /// [`LimitExceeded`](accel_core::Error::LimitExceeded).
    pub limit: u64,
    /// Largest window in bytes that decompression keeps for a Zstandard frame. A frame with a larger one ends with
    /// [`WindowLimit`](StreamError::WindowLimit); frames of at most 16 MiB need none.
    pub window_limit: u64,
    /// Writes gzip as independent members of 1 MiB of input that state their length, and Zstandard as independent
    /// frames of 4 to 16 MiB of input, instead of one member or frame. They can be decompressed in parallel, by this
    /// crate also on a device. The price: many readers return the first member or frame and silently lose the rest, and
    /// the output is 0.2 % (gzip) to 3 % (high levels of Zstandard) larger. Other formats ignore this setting.
    pub independent: bool,
    /// Length of the input in bytes, where it is known, such as that of a file. A Zstandard frame states it in its
    /// header, which some readers need. No more than this is read for Zstandard, and an input of more than 1 MiB that
    /// turns out to be shorter is an error of the reader ([`UnexpectedEof`](io::ErrorKind::UnexpectedEof)). Other formats
    /// ignore this setting.
    pub input_len: Option<u64>,
    /// Where the stream is, for someone who watches from another thread.
    pub progress: Arc<Progress>,
}

impl Default for Settings {
    /// All cores, no limit of output, windows of at most 128 MiB, as `zstd` has it.
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
    /// The same with this many threads.
    #[must_use]
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = threads;
        self
    }

    /// The same with this limit in bytes.
    #[must_use]
    pub fn limit(mut self, limit: u64) -> Self {
        self.limit = limit;
        self
    }

    /// The same with this limit of Zstandard windows in bytes; 2 GiB is the most that libzstd can keep.
    #[must_use]
    pub fn window_limit(mut self, window_limit: u64) -> Self {
        self.window_limit = window_limit;
        self
    }

    /// The same with independent gzip members and Zstandard frames, or with one of them.
    #[must_use]
    pub fn independent(mut self, independent: bool) -> Self {
        self.independent = independent;
        self
    }

    /// The same with this length of the input in bytes.
    #[must_use]
    pub fn input_len(mut self, input_len: Option<u64>) -> Self {
        self.input_len = input_len;
        self
    }

    /// The same, watched through `progress`.
    #[must_use]
    pub fn progress(mut self, progress: Arc<Progress>) -> Self {
        self.progress = progress;
        self
    }
}

/// Bytes read and written so far.
#[derive(Debug, Default)]
pub struct Progress {
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl Progress {
    /// Bytes read so far.
    #[must_use]
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in.load(Ordering::Relaxed)
    }

    /// Bytes written so far.
    #[must_use]
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out.load(Ordering::Relaxed)
    }
}

/// What a stream came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Format of the compressed side; `None` for encryption.
    pub format: Option<Format>,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Blocks that a device worked on.
    pub hardware: u64,
    /// Blocks that the CPU worked on, by reason.
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

/// Why a stream ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The reader failed.
    #[error("reading failed: {0}")]
    Read(#[source] io::Error),
    /// The writer failed.
    #[error("writing failed: {0}")]
    Write(#[source] io::Error),
    /// The system refused a thread.
    #[error("cannot start a thread: {0}; use fewer threads")]
    Thread(#[source] io::Error),
    /// The system has no memory for the blocks of so many threads, or for a Zstandard window.
    #[error("cannot allocate {bytes} bytes: use fewer threads")]
    Memory {
        /// Bytes that were asked for.
        bytes: usize,
    },
    /// A Zstandard frame needs a larger window than [`Settings::window_limit`] allows.
    #[error(
        "this Zstandard frame needs a window of {required} bytes, and the limit is {limit}: raise the limit if the input \
         is trusted"
    )]
    WindowLimit {
        /// Bytes of memory that the frame needs.
        required: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The engine failed, or the input is bad.
    #[error(transparent)]
    Work(#[from] accel_core::Error),
    /// The input is in none of the formats that can be recognised by content.
    #[error(
        "unrecognised format: not gzip, zlib, LZ4 or Zstandard by content; name the format if it is raw deflate"
    )]
    UnknownFormat,
    /// The input is too short to be what it should be.
    #[error("the input ends inside the header of an encrypted stream")]
    TruncatedHeader,
    /// The input is not the product of this encryption format.
    #[error(
        "not a stream that this keyset encrypted: its first byte, the header's length, is {header_len} (40 for the \
         format AES256_GCM_HKDF_1MB)"
    )]
    NotEncrypted {
        /// What the first byte says.
        header_len: usize,
    },
    /// No key of the keyset decrypts the input.
    #[error("no key of the keyset decrypts the input: wrong key or associated data, or an altered input")]
    NoMatchingKey,
    /// More segments than the format can number.
    #[error("the input is too long for one encrypted stream: 2^32 segments of 1 MiB")]
    TooLong,
}
