//! Operations on device memory, which copy nothing on the way to the device and back. Programs call them; nothing here
//! uses the CPU engine.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use accel_core::{AcceleratorTypes, CompressOptions, Error, Format, Recorder, Result};

use super::QatAccelerator;
pub use crate::device::compression::zero_copy::DmaCompletion;
use crate::device::compression::zero_copy::{self, Job, Plan, Spans};
use crate::device::inflight::PendingRequest;
use crate::device::instances::{CallContext, Started, Submitted, WhenFull};
use crate::device::memory::DmaBuffer;
use crate::device::memory::{NoMemory, NotMapped};
use crate::device::polling::{self, Room};
use crate::error::DeviceError;
use crate::process::ProcessMark;
use crate::raw::clock;

impl QatAccelerator {
    /// Allocates device memory of `len` bytes, at most 64 MiB, on the NUMA node of an instance of the hardware. The
    /// first call initialises the hardware.
    ///
    /// # Errors
    /// [`Unavailable`](Error::Unavailable) without hardware, [`InvalidArgument`](Error::InvalidArgument) for more than
    /// 64 MiB, [`Busy`](Error::Busy) when the limit [`HardwareSettings::memory`](crate::HardwareSettings::memory) is
    /// reached, and [`Device`](Error::Device) when libusdm cannot allocate memory.
    #[doc(alias = "qaeMemAllocNUMA")]
    pub fn dma_buffer(&self, len: usize) -> Result<DmaBuffer> {
        let started = self.pool(AcceleratorTypes::empty())?;
        let memory = started.near_memory().ok_or(DeviceError::NoMemory)?;
        match memory.take(len) {
            Ok(block) => Ok(DmaBuffer::new(block, len)),
            Err(NoMemory::TooLarge) => Err(Error::InvalidArgument {
                argument: "len",
                remedy: format!("allocate at most 64 MiB of device memory at once, not {len} bytes").into(),
            }),
            Err(NoMemory::Limit) => Err(Error::Busy { accelerator: crate::error::HARDWARE }),
            Err(NoMemory::System) => Err(DeviceError::NoMemory.into()),
        }
    }

    /// Maps memory of the caller as device memory, without a copy: at most 64 MiB in whole pages of 4 KiB, or of 2 MiB
    /// where libusdm uses huge pages (`QAT_MAX_2M_HPG_PER_PROCESS`). This needs libusdm of qatlib 26.02 or newer. The
    /// first call initialises the hardware.
    ///
    /// The region is pinned, and counts as locked memory. Unlike the memory of [`dma_buffer`](Self::dma_buffer),
    /// [`info`](Self::info) does not report it. The buffer owns the region and drops it, but never while a device may
    /// write to it: after a request without a response, the region is dropped when libqat stops. This may happen on
    /// another thread, so dropping the region must not block. A stop of libqat unmaps the region, and its next use maps
    /// it again.
    ///
    /// # Errors
    /// The error is returned together with the region: [`Unavailable`](Error::Unavailable) without hardware,
    /// [`Unsupported`](Error::Unsupported) where libusdm is older, [`InvalidArgument`](Error::InvalidArgument) where
    /// the region is not whole pages, and [`Device`](Error::Device) where libusdm or the system does not map it.
    #[doc(alias = "qaeMemMapContiguousIova")]
    pub fn map_memory<R: AsMut<[u8]> + Send + 'static>(
        &self,
        region: R,
    ) -> std::result::Result<DmaBuffer, (R, Error)> {
        let memory = match self.pool(AcceleratorTypes::empty()) {
            Ok(started) => started.near_memory(),
            Err(error) => return Err((region, error)),
        };
        let Some(memory) = memory else { return Err((region, DeviceError::NoMemory.into())) };
        let (region, why) = match memory.adopt(region) {
            Ok(block) => {
                let len = block.len();
                return Ok(DmaBuffer::new(block, len));
            }
            Err(refused) => refused,
        };
        let error = match why {
            NotMapped::Unsupported => Error::Unsupported {
                accelerator: crate::error::HARDWARE,
                operation: "mapping the caller's memory for the device".into(),
                remedy: "install qatlib 26.02 or newer, or copy to the memory of dma_buffer".into(),
            },
            NotMapped::NotPages => Error::InvalidArgument {
                argument: "region",
                remedy: "use a region that begins at a multiple of 4096 and has a multiple of 4096 bytes, at most 64 MiB".into(),
            },
            NotMapped::Refused => DeviceError::NoMemory.into(),
        };
        Err((region, error))
    }

    /// Prepares requests that compress all of their input to the front of their output, without a copy. The formats are
    /// deflate, zlib and gzip. The first call initialises the hardware.
    ///
    /// [`dma_room`](Self::dma_room) returns the length that an output needs.
    ///
    /// # Errors
    /// [`Unavailable`](Error::Unavailable) without hardware, [`Unsupported`](Error::Unsupported) for another format or
    /// level, and [`InvalidArgument`](Error::InvalidArgument) for a level that does not exist.
    #[doc(alias = "cpaDcDpInitSession")]
    pub fn dma_compressor(&self, options: &CompressOptions) -> Result<DmaSession> {
        DmaSession::new(self, Job::Compress(*options))
    }

    /// Prepares requests that decompress the single stream or gzip member of their input to the front of their output,
    /// without a copy. The formats are deflate, zlib and gzip. The first call initialises the hardware.
    ///
    /// # Errors
    /// [`Unavailable`](Error::Unavailable) without hardware, and [`Unsupported`](Error::Unsupported) for another
    /// format.
    #[doc(alias = "cpaDcDpInitSession")]
    pub fn dma_decompressor(&self, format: Format) -> Result<DmaSession> {
        DmaSession::new(self, Job::Decompress(format))
    }

    /// Returns the length in bytes that an output buffer needs for a request of `input_len` bytes of a
    /// [`dma_compressor`](Self::dma_compressor).
    #[must_use]
    pub const fn dma_room(input_len: usize) -> usize {
        // gzip has the longest header and trailer of the three formats.
        zero_copy::deflate_room(input_len) + 18
    }
}

/// A session for requests of one kind on device memory. What the requests have in common is determined once, and
/// nothing is copied on the way to the device and back.
///
/// Each thread uses its own clone. After the hardware was stopped or restarted, the next request prepares the session
/// again.
///
/// # Examples
/// ```no_run
/// use accel_core::{CompressOptions, Format};
///
/// let qat = qat::QatAccelerator::default();
/// let mut gzip = qat.dma_compressor(&CompressOptions::new(Format::Gzip))?;
/// let mut input = qat.dma_buffer(65_536)?;
/// input.fill(b'q');
/// let output = qat.dma_buffer(qat::QatAccelerator::dma_room(input.len()))?;
/// let done = gzip.run(input, output);
/// let (_, output) = done.buffers.expect("the device answered");
/// println!("{} bytes", output[..done.result?.bytes_out].len());
/// # Ok::<(), accel_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct DmaSession(Arc<Prepared>);

/// The state that the requests of a session share.
struct Prepared {
    accelerator: QatAccelerator,
    job: Job,
    started: Arc<Started>,
    process: ProcessMark,
    plan: Plan,
}

impl Prepared {
    fn new(accelerator: &QatAccelerator, job: Job) -> Result<Self> {
        let started = accelerator.pool(AcceleratorTypes::COMPRESSION)?;
        let plan = Plan::new(accelerator.call(&started, WhenFull::Wait), &job)?;
        Ok(Self { accelerator: accelerator.clone(), job, started, process: ProcessMark::of_this(), plan })
    }

    fn call(&self) -> CallContext<'_> {
        self.accelerator.call(&self.started, WhenFull::Wait)
    }

    /// Tries to submit a request. Takes the buffers if it was submitted. `since` is the time at which the request first
    /// found the device full.
    #[inline(always)]
    fn attempt(
        &self,
        spans: Spans,
        buffers: &mut Option<(DmaBuffer, DmaBuffer)>,
        mut since: Option<Instant>,
    ) -> Step {
        match self.plan.try_submit(self.call(), spans, &mut since, buffers) {
            Ok(Submitted::Pending(pending, instance)) => Step::Pending(pending, instance),
            Ok(Submitted::Full(room)) => Step::Full { room, since },
            Err(error) => Step::Failed(self.started.error(error)),
        }
    }

    /// Returns whether the libqat start that this was prepared for is still running, in this process.
    fn is_current(&self) -> bool {
        self.process.is_this() && !self.started.is_over()
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("job", &self.job).finish_non_exhaustive()
    }
}

impl DmaSession {
    fn new(accelerator: &QatAccelerator, job: Job) -> Result<Self> {
        Prepared::new(accelerator, job).map(|prepared| Self(Arc::new(prepared)))
    }

    /// Submits one request and waits for its completion.
    #[doc(alias = "cpaDcDpEnqueueOp")]
    pub fn run(&mut self, input: DmaBuffer, output: DmaBuffer) -> DmaCompletion {
        let request = self.begin(input, output);
        let begun = match request.step {
            Step::Pending(_, instance) => Some(instance.into()),
            _ => None,
        };
        polling::block_on_begun(&self.0.started.rings, begun, request)
    }

    /// Submits one request and returns a future for its completion. When the device is full, the future submits the
    /// request later. The call does not allocate memory.
    ///
    /// The request completes only when a thread awaits the future, or, without an executor, runs it with
    /// [`block_on`](QatAccelerator::block_on).
    #[doc(alias = "cpaDcDpEnqueueOp")]
    pub fn submit(&mut self, input: DmaBuffer, output: DmaBuffer) -> DmaRequest {
        self.begin(input, output)
    }

    /// Implements [`submit`](Self::submit). It is inlined so that the request is built in its final place, without a
    /// move.
    #[inline(always)]
    fn begin(&mut self, input: DmaBuffer, output: DmaBuffer) -> DmaRequest {
        let renewed = if self.0.is_current() { Ok(()) } else { self.renew() };
        let prepared = &*self.0;
        let started_at = clock::now();
        prepared.accelerator.0.recorder.begin();
        let spans = renewed.and_then(|()| prepared.plan.spans(&input, &output));
        let mut buffers = Some((input, output));
        let (spans, step) = match spans {
            Ok(spans) => (spans, prepared.attempt(spans, &mut buffers, None)),
            Err(error) => (Spans::default(), Step::Failed(error)),
        };
        DmaRequest { prepared: self.0.clone(), started_at, spans, buffers, step }
    }

    /// Prepares the session again, because the libqat start that it was prepared for has ended.
    #[cold]
    fn renew(&mut self) -> Result<()> {
        let Self(prepared) = self;
        *prepared = Arc::new(Prepared::new(&prepared.accelerator, prepared.job)?);
        Ok(())
    }
}

/// A request on device memory, as a future that resolves when the request has completed. If it is dropped before, the
/// driver keeps the buffers until the device has responded.
#[derive(Debug)]
#[must_use = "the request completes only when this future is awaited"]
pub struct DmaRequest {
    prepared: Arc<Prepared>,
    started_at: u64,
    spans: Spans,
    /// `None` while the device has them.
    buffers: Option<(DmaBuffer, DmaBuffer)>,
    step: Step,
}

enum Step {
    /// The request is in flight on the instance with this index.
    Pending(PendingRequest, u16),
    /// The device is full. `since` is the time at which the request was first tried.
    Full {
        room: Room,
        since: Option<Instant>,
    },
    Failed(Error),
    Over,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending(..) => "Pending",
            Self::Full { .. } => "Full",
            Self::Failed(_) => "Failed",
            Self::Over => "Over",
        })
    }
}

impl DmaRequest {
    fn recorder(&self) -> &Recorder {
        &self.prepared.accelerator.0.recorder
    }
}

impl Future for DmaRequest {
    type Output = DmaCompletion;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<DmaCompletion> {
        let this = self.get_mut();
        let completion = loop {
            match &mut this.step {
                Step::Pending(pending, instance) => {
                    let Prepared { plan, started, .. } = &*this.prepared;
                    break match ready!(Pin::new(pending).poll(context)) {
                        Ok(completed) => plan.finish(this.prepared.call(), this.spans, completed, *instance),
                        Err(reason) => {
                            let error = started.error(started.record_abandoned(reason, *instance));
                            DmaCompletion { buffers: None, result: Err(error) }
                        }
                    };
                }
                Step::Full { room, since } => {
                    ready!(Pin::new(room).poll(context));
                    this.step = this.prepared.attempt(this.spans, &mut this.buffers, *since);
                }
                step => match std::mem::replace(step, Step::Over) {
                    Step::Failed(error) => {
                        break DmaCompletion { buffers: this.buffers.take(), result: Err(error) };
                    }
                    _ => panic!("a DmaRequest was polled after it completed"),
                },
            }
        };
        this.step = Step::Over;
        let took = Duration::from_nanos(clock::now().saturating_sub(this.started_at));
        this.recorder().end(took, completion.result.as_ref().ok());
        Poll::Ready(completion)
    }
}

impl Drop for DmaRequest {
    fn drop(&mut self) {
        if !matches!(self.step, Step::Over) {
            self.recorder().abandon();
        }
    }
}
