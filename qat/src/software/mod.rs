//! The CPU engine: every operation, on every machine.
//!
//! | format | engine | named levels fast, balanced, best | integer levels |
//! |---|---|---|---|
//! | gzip, zlib, deflate | libdeflate; ISA-L for level 1 where `libisal.so.2` is installed; zlib-rs for decompression | 1, 6, 9 | 0 to 12 |
//! | LZ4 frame and block | lz4 | 1, 1, 9 | 1 to 12 (high compression from 3) |
//! | Zstandard | zstd | 1, 3, 12 | 1 to 22 |
//!
//! AES, ChaCha20-Poly1305, HMAC, SHA-2 and SHA-3 are aws-lc's; AES-XTS and AES-CCM are on RustCrypto's AES. Contexts
//! are kept per thread, derived keys in the [`Key`](accel_core::Key), so that the `_into` calls allocate nothing in the steady state.

mod ccm;
pub(crate) mod cipher;
pub(crate) mod deflate;
mod engine;
mod hash;
pub(crate) mod hmac;
pub(crate) mod lz4;
pub(crate) mod wipe;
pub(crate) mod workers;
mod xts;
pub(crate) mod zstd;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use accel_core::{
    AcceleratorTypes, BoxFuture, Completion, ExecutedOn, HardwareAccelerator, InFlight, Job, Outcome, Output,
    OwnedJob, OwnedOutput, Recorder, Result, SoftwareReason, Statistics,
};

pub(crate) use engine::{check_end, execute, is_member_next, nothing_after, zlib_effort};
pub use hash::{checksum, digest};

use crate::job::recorded;
use crate::raw::isal;
use workers::{Caller, Queue};

use crate::error::SOFTWARE;

/// Returns the file of the optional engine that is loaded at run time, or why it is not used: ISA-L, which makes
/// deflate's level 1 faster. The file's name ends with the version of the library, such as
/// `libisal.so.2.0.30`; `None` where the system does not tell it.
///
/// # Errors
/// The reason, in the words of the system's loader, or what the library did wrong when it was tried or used.
pub fn isal() -> std::result::Result<Option<&'static std::path::Path>, &'static str> {
    isal::Isal::load().map(isal::Isal::path)
}

/// Compression and encryption on the CPU. Cheap to clone; clones count together.
///
/// # Futures
/// An asynchronous call starts when it is made, not when its future is first polled. Its work runs on threads of this
/// crate, as many as there are cores, which all accelerators of the process share; it never runs on the threads of an
/// executor or of a pool of the caller's, so that any thread may block on such a future.
///
/// Up to [`DEFAULT_QUEUE_LIMIT`](Self::DEFAULT_QUEUE_LIMIT) calls of an accelerator and its clones wait for a thread, or as
/// many as [`with_queue_limit`](Self::with_queue_limit) says. A call beyond that is not refused: its future keeps the work
/// and queues it when it is polled and there is room, in the order of the calls. It waits without blocking the thread that
/// polls it.
///
/// A call whose future is dropped before its work has started never starts, and gives back its buffers at once. Work that
/// runs already is finished, and then freed. Both are counted as [`abandoned`](Statistics::abandoned).
///
/// The way to another thread and back takes 3 to 10 µs where threads are awake, and up to 50 µs where one has to be woken
/// on an idle machine. Encryption, decryption and HMAC of at most 4 KiB take less than that: the thread that makes such an
/// asynchronous call does the work itself, and the future is ready when the call returns. For other small inputs the
/// blocking calls are the faster ones.
///
/// In a forked child, calls that were made before the fork fail with [`Unavailable`](accel_core::Error::Unavailable); new
/// ones work.
///
/// # Examples
/// ```
/// use accel_core::{CompressOptions, CompressionAccelerator, DecompressOptions, Format};
///
/// let software = qat::SoftwareAccelerator::new();
/// let (packed, outcome) = software.compress(b"to be or not to be", &CompressOptions::new(Format::Gzip))?;
/// assert!(!outcome.path.is_hardware());
/// let (plain, _) = software.decompress(&packed, &DecompressOptions::new(Format::Gzip))?;
/// assert_eq!(plain, b"to be or not to be");
/// # Ok::<(), accel_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SoftwareAccelerator {
    recorder: Arc<Recorder>,
    queue: Queue,
}

impl Default for SoftwareAccelerator {
    fn default() -> Self {
        Self { recorder: Arc::default(), queue: Queue::new(Self::DEFAULT_QUEUE_LIMIT) }
    }
}

/// Where everything of this accelerator runs, and why.
const HERE: ExecutedOn = ExecutedOn::Software(SoftwareReason::Chosen);

impl SoftwareAccelerator {
    /// A new one, with counters at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls that wait for a thread at a time, where nothing else is set: 1024.
    pub const DEFAULT_QUEUE_LIMIT: NonZeroUsize = workers::DEFAULT_QUEUE;

    /// The same with at most `limit` asynchronous calls that wait for a thread at a time; those beyond wait in their
    /// futures. The limit is shared by clones that are made of the result. It bounds what is worked on although nobody
    /// polls; the memory of a call is its caller's to bound, since each future owns its buffers.
    #[must_use]
    pub fn with_queue_limit(self, limit: NonZeroUsize) -> Self {
        Self { queue: Queue::new(limit), ..self }
    }
}

/// Counts what a job came to, which nobody may want any more; how long it took, its time in the queue included.
pub(crate) fn conclude(in_flight: InFlight<'_>, caller: &Caller<'_>, result: &Result<Outcome>) -> Duration {
    if caller.is_gone() {
        // Dropped, it counts as abandoned.
        return in_flight.started().elapsed();
    }
    in_flight.finish(result.as_ref())
}

impl HardwareAccelerator for SoftwareAccelerator {
    fn name(&self) -> &'static str {
        SOFTWARE
    }

    fn types(&self) -> AcceleratorTypes {
        AcceleratorTypes::COMPRESSION | AcceleratorTypes::ENCRYPTION | AcceleratorTypes::HASHING
    }

    fn is_available(&self) -> bool {
        true
    }

    fn has_cpu_fallback(&self) -> bool {
        true
    }

    fn initialize(&self) -> Result<()> {
        Ok(())
    }

    fn statistics(&self) -> Statistics {
        self.recorder.statistics()
    }

    fn execute(&self, job: Job<'_>, input: &[u8], output: &mut Output<'_>) -> Result<Outcome> {
        recorded(&self.recorder, || execute(job, input, output, HERE))
    }

    fn submit(&self, job: OwnedJob, input: Vec<u8>, output: OwnedOutput) -> BoxFuture<Completion<Outcome>> {
        let in_flight = self.recorder.clone().start_shared();
        self.queue.submit(job, input, output, move |job, input, output, caller| {
            let result = execute(job, input, output, HERE);
            conclude(in_flight, caller, &result);
            result
        })
    }
}
