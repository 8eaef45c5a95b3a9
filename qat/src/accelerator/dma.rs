//! Calls on device memory: no copy on the way to the device and back.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use accel_core::{AcceleratorTypes, BoxFuture, CompressOptions, Error, Format, InFlight, Outcome, Result};

use super::QatAccelerator;
use crate::DmaBuffer;
use crate::dc::zero_copy::{self, Job, Plan};
use crate::device_error::DeviceError;
use crate::instance::{Fault, Launched, Patience, Pool};
use crate::mem::{Block, NoMemory};
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
    state: State,
}

enum State {
    /// Not polled yet, or the hardware is not started.
    Asked {
        buffers: (DmaBuffer, DmaBuffer),
        start: Option<BoxFuture<()>>,
    },
    /// There was no room for it at first, which was `since`.
    Full {
        request: Request,
        buffers: (Block, Block),
        room: Room,
        since: Option<Instant>,
    },
    Flying {
        request: Request,
        flight: Flight,
        instance: u16,
    },
    Over,
}

struct Request {
    pool: Arc<Pool>,
    in_flight: InFlight<'static>,
    plan: Plan,
}

impl DmaCall {
    const fn new(accelerator: QatAccelerator, job: Job, buffers: (DmaBuffer, DmaBuffer)) -> Self {
        Self { accelerator, job, state: State::Asked { buffers, start: None } }
    }

    /// Submits; an end at once is an error.
    fn begin(&mut self, pool: Result<Arc<Pool>>, buffers: (DmaBuffer, DmaBuffer)) -> Option<DmaCompletion> {
        let in_flight = self.accelerator.0.recorder.clone().start_shared();
        let refused = |in_flight: InFlight<'_>, buffers, error| {
            in_flight.finish(Err(&error));
            Some(DmaCompletion { buffers: Some(buffers), result: Err(error) })
        };
        let pool = match pool {
            Ok(pool) => pool,
            Err(error) => return refused(in_flight, buffers, error),
        };
        let call = self.accelerator.call(&pool, Patience::Wait);
        match Plan::new(call, &self.job, &buffers.0, &buffers.1) {
            Ok(plan) => {
                let buffers = (buffers.0.into_block(), buffers.1.into_block());
                self.submit(Request { pool, in_flight, plan }, buffers, None)
            }
            Err(error) => refused(in_flight, buffers, error),
        }
    }

    fn submit(
        &mut self,
        request: Request,
        buffers: (Block, Block),
        mut since: Option<Instant>,
    ) -> Option<DmaCompletion> {
        let held = Cell::new(Some(buffers));
        let call = self.accelerator.call(&request.pool, Patience::Wait);
        let fault = match request.plan.try_launch(call, &mut since, &held) {
            Ok(Launched::Flying(flight, instance)) => {
                self.state = State::Flying { request, flight, instance };
                return None;
            }
            Ok(Launched::Full(room)) => match held.take() {
                Some(buffers) => {
                    self.state = State::Full { request, buffers, room, since };
                    return None;
                }
                None => Fault::Busy,
            },
            Err(fault) => fault,
        };
        let error = request.pool.error(fault);
        request.in_flight.finish(Err(&error));
        let buffers = held.take().map(|buffers| request.plan.whole(buffers));
        Some(DmaCompletion { buffers, result: Err(error) })
    }
}

impl Future for DmaCall {
    type Output = DmaCompletion;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<DmaCompletion> {
        let this = self.get_mut();
        loop {
            // Whatever the state waits for.
            let landed = match &mut this.state {
                State::Asked { start: Some(start), .. } => {
                    ready!(start.as_mut().poll(context));
                    None
                }
                State::Full { room, .. } => {
                    ready!(Pin::new(room).poll(context));
                    None
                }
                State::Flying { flight, .. } => Some(ready!(Pin::new(flight).poll(context))),
                State::Asked { start: None, .. } | State::Over => None,
            };
            let ended = match (std::mem::replace(&mut this.state, State::Over), landed) {
                (State::Asked { buffers, start }, _) => {
                    match this.accelerator.pool_if_asked(AcceleratorTypes::COMPRESSION) {
                        Some(pool) => this.begin(pool, buffers),
                        None if start.is_some() => {
                            this.begin(this.accelerator.pool(AcceleratorTypes::COMPRESSION), buffers)
                        }
                        None => {
                            let start = Some(this.accelerator.start_elsewhere());
                            this.state = State::Asked { buffers, start };
                            None
                        }
                    }
                }
                (State::Full { request, buffers, since, .. }, _) => this.submit(request, buffers, since),
                (State::Flying { request, instance, .. }, Some(landed)) => {
                    let Request { pool, in_flight, plan } = request;
                    let call = this.accelerator.call(&pool, Patience::Wait);
                    let (buffers, result) = match landed {
                        Ok(landed) => plan.finish(call, landed, instance),
                        Err(lost) => (None, Err(pool.error(pool.lost(lost, instance)))),
                    };
                    in_flight.finish(result.as_ref());
                    Some(DmaCompletion { buffers, result })
                }
                (State::Flying { .. } | State::Over, _) => panic!("polled after its end"),
            };
            if let Some(completion) = ended {
                return Poll::Ready(completion);
            }
        }
    }
}
