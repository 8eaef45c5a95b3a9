//! Calls on device memory: no copy on the way to the device and back.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use accel_core::{AcceleratorTypes, BoxFuture, CompressOptions, Error, Format, InFlight, Outcome, Result};

use super::QatAccelerator;
use crate::DmaBuffer;
use crate::dc::zero_copy::{self, Completed, Job, Plan};
use crate::device_error::DeviceError;
use crate::instance::{Launched, Patience, Pool};
use crate::mem::{NoMemory, NotMapped};
use crate::op::Flight;
use crate::poll::Room;

/// Both buffers of a call on device memory, with its result.
#[derive(Debug)]
pub struct DmaCompletion {
    /// Input and output; `None` when the device did not answer in time and may still write to them.
    pub buffers: Option<(DmaBuffer, DmaBuffer)>,
    /// What the call came to; the output begins at the front of its buffer.
    pub result: Result<Outcome>,
}

impl QatAccelerator {
    /// Device memory of `len` bytes, at most 64 MiB, on the NUMA node of an instance of the hardware. Initialises on the
    /// first call.
    ///
    /// # Errors
    /// [`Unavailable`](Error::Unavailable), [`InvalidArgument`](Error::InvalidArgument) for more than 64 MiB,
    /// [`Busy`](Error::Busy) when [`HardwareSettings::memory`](crate::HardwareSettings::memory) is reached, and
    /// [`Device`](Error::Device) when the system has none.
    #[doc(alias = "qaeMemAllocNUMA")]
    pub fn dma_buffer(&self, len: usize) -> Result<DmaBuffer> {
        let pool = self.pool(AcceleratorTypes::empty())?;
        let memory = pool.near_memory().ok_or(DeviceError::NoMemory)?;
        match memory.take(len) {
            Ok(block) => Ok(DmaBuffer::new(block, len)),
            Err(NoMemory::TooLarge) => Err(Error::InvalidArgument {
                argument: "len",
                remedy: format!("device memory comes in pieces of at most 64 MiB, not {len} bytes").into(),
            }),
            Err(NoMemory::Limit) => Err(super::busy()),
            Err(NoMemory::System) => Err(DeviceError::NoMemory.into()),
        }
    }

    /// Memory of the caller's own as device memory, without a copy: at most 64 MiB in whole pages of 4 KiB, or of 2 MiB
    /// where libusdm works with such (`QAT_MAX_2M_HPG_PER_PROCESS`). Needs libusdm of qatlib 26.02. Initialises on the first
    /// call.
    ///
    /// The region is pinned, and counts as locked memory; other than the memory of [`dma_buffer`](Self::dma_buffer) it is not
    /// in [`info`](Self::info). It belongs to the buffer from now on and is dropped with it, but never while a device may
    /// write to it: after a request that was not answered, at the stop of libqat. That may be on another thread, which it must
    /// not keep waiting. A stop takes the mapping back; the next use maps it anew.
    ///
    /// # Errors
    /// The region comes back with [`Unavailable`](Error::Unavailable), [`Unsupported`](Error::Unsupported) where libusdm is
    /// older, [`InvalidArgument`](Error::InvalidArgument) where it is not whole pages, and [`Device`](Error::Device) where
    /// libusdm or the system does not map it.
    #[doc(alias = "qaeMemMapContiguousIova")]
    pub fn map_memory<R: AsMut<[u8]> + Send + 'static>(
        &self,
        region: R,
    ) -> std::result::Result<DmaBuffer, (R, Error)> {
        let memory = match self.pool(AcceleratorTypes::empty()) {
            Ok(pool) => pool.near_memory(),
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
                accelerator: super::NAME,
                operation: "device memory of the caller's own".into(),
                remedy: "install qatlib 26.02 or newer, or copy to the memory of dma_buffer".into(),
            },
            NotMapped::NotPages => Error::InvalidArgument {
                argument: "region",
                remedy: "begin at a multiple of 4096, with at most 64 MiB in multiples of 4096 bytes".into(),
            },
            NotMapped::Refused => DeviceError::NoMemory.into(),
        };
        Err((region, error))
    }

    /// Compresses all of `input` to the front of `output` as one request, without a copy. Formats: deflate, zlib, gzip.
    ///
    /// [`dma_room`](Self::dma_room) says how long `output` has to be.
    #[doc(alias = "cpaDcDpEnqueueOp")]
    pub fn compress_dma(
        &self,
        input: DmaBuffer,
        output: DmaBuffer,
        options: &CompressOptions,
    ) -> DmaCompletion {
        self.block_on(self.compress_dma_async(input, output, *options))
    }

    /// Decompresses the one stream or gzip member that `input` holds to the front of `output` as one request, without a
    /// copy. Formats: deflate, zlib, gzip.
    #[doc(alias = "cpaDcDpEnqueueOp")]
    pub fn decompress_dma(&self, input: DmaBuffer, output: DmaBuffer, format: Format) -> DmaCompletion {
        self.block_on(self.decompress_dma_async(input, output, format))
    }

    /// Length in bytes that an output buffer needs for [`compress_dma`](Self::compress_dma) of `input_len` bytes.
    #[must_use]
    pub const fn dma_room(input_len: usize) -> usize {
        // Header and trailer of gzip are the longest.
        zero_copy::deflate_room(input_len) + 18
    }

    /// [`compress_dma`](Self::compress_dma) as a future. It submits when it is first polled, and allocates nothing.
    pub fn compress_dma_async(
        &self,
        input: DmaBuffer,
        output: DmaBuffer,
        options: CompressOptions,
    ) -> impl Future<Output = DmaCompletion> + Send + 'static {
        DmaCall::new(self.clone(), Job::Compress(options), (input, output))
    }

    /// [`decompress_dma`](Self::decompress_dma) as a future. It submits when it is first polled, and allocates nothing.
    pub fn decompress_dma_async(
        &self,
        input: DmaBuffer,
        output: DmaBuffer,
        format: Format,
    ) -> impl Future<Output = DmaCompletion> + Send + 'static {
        DmaCall::new(self.clone(), Job::Decompress(format), (input, output))
    }
}

/// A call on device memory. Written by hand, because the compiler's futures move the buffers from state to state, which
/// is felt beside the cost of a request.
struct DmaCall {
    accelerator: QatAccelerator,
    job: Job,
    /// Not while the device has them.
    buffers: Cell<Option<(DmaBuffer, DmaBuffer)>>,
    /// From the first poll on.
    in_flight: Option<InFlight<'static>>,
    planned: Option<(Arc<Pool>, Plan)>,
    step: Step,
}

enum Step {
    /// Not polled yet, or the hardware is being started.
    Asked(Option<BoxFuture<()>>),
    /// There was no room for it at first, which was `since`.
    Full {
        room: Room,
        since: Option<Instant>,
    },
    Flying(Flight, u16),
    Over,
}

impl DmaCall {
    const fn new(accelerator: QatAccelerator, job: Job, buffers: (DmaBuffer, DmaBuffer)) -> Self {
        let buffers = Cell::new(Some(buffers));
        Self { accelerator, job, buffers, in_flight: None, planned: None, step: Step::Asked(None) }
    }

    /// Begins to count, and plans the request.
    fn begin(&mut self, pool: Result<Arc<Pool>>) -> Result<()> {
        self.in_flight = Some(self.accelerator.0.recorder.clone().start_shared());
        let pool = pool?;
        let call = self.accelerator.call(&pool, Patience::Wait);
        let (input, output) = self.buffers.get_mut().as_ref().expect("not submitted yet");
        let plan = Plan::new(call, &self.job, input, output)?;
        self.planned = Some((pool, plan));
        Ok(())
    }

    /// Tries to submit; an end at once is an error.
    fn submit(&mut self, mut since: Option<Instant>) -> Option<DmaCompletion> {
        let (pool, plan) = self.planned.as_ref().expect("begun");
        let call = self.accelerator.call(pool, Patience::Wait);
        match plan.try_launch(call, &mut since, &self.buffers) {
            Ok(Launched::Flying(flight, instance)) => {
                self.step = Step::Flying(flight, instance);
                None
            }
            Ok(Launched::Full(room)) => {
                self.step = Step::Full { room, since };
                None
            }
            Err(fault) => {
                let error = pool.error(fault);
                let buffers = self.buffers.take();
                Some(self.end((buffers, Err(error))))
            }
        }
    }

    fn end(&mut self, (buffers, result): Completed) -> DmaCompletion {
        self.step = Step::Over;
        self.planned = None;
        if let Some(in_flight) = self.in_flight.take() {
            in_flight.finish(result.as_ref());
        }
        DmaCompletion { buffers, result }
    }
}

impl Future for DmaCall {
    type Output = DmaCompletion;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<DmaCompletion> {
        let this = self.get_mut();
        loop {
            let ended = match &mut this.step {
                Step::Flying(flight, instance) => {
                    let (landed, instance) = (ready!(Pin::new(flight).poll(context)), *instance);
                    let (pool, plan) = this.planned.as_ref().expect("begun");
                    let completed = match landed {
                        Ok(landed) => {
                            plan.finish(this.accelerator.call(pool, Patience::Wait), landed, instance)
                        }
                        Err(lost) => (None, Err(pool.error(pool.lost(lost, instance)))),
                    };
                    Some(this.end(completed))
                }
                Step::Full { room, since } => {
                    ready!(Pin::new(room).poll(context));
                    let since = *since;
                    this.submit(since)
                }
                Step::Asked(start) => {
                    if let Some(start) = start {
                        ready!(start.as_mut().poll(context));
                    }
                    let pool = match this.accelerator.pool_if_asked(AcceleratorTypes::COMPRESSION) {
                        Some(pool) => pool,
                        None if start.is_some() => this.accelerator.pool(AcceleratorTypes::COMPRESSION),
                        None => {
                            *start = Some(this.accelerator.start_elsewhere());
                            continue;
                        }
                    };
                    match this.begin(pool) {
                        Ok(()) => this.submit(None),
                        Err(error) => {
                            let buffers = this.buffers.take();
                            Some(this.end((buffers, Err(error))))
                        }
                    }
                }
                Step::Over => panic!("polled after its end"),
            };
            if let Some(completion) = ended {
                return Poll::Ready(completion);
            }
        }
    }
}
