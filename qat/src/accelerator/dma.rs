//! Calls on device memory: no copy on the way to the device and back.

use accel_core::{AcceleratorTypes, CompressOptions, Error, Format, Outcome, Result};

use super::QatAccelerator;
use crate::DmaBuffer;
use crate::dc::zero_copy;
use crate::device_error::DeviceError;
use crate::instance::Patience;
use crate::mem::NoMemory;

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
    #[doc(alias = "cpaDcCompressData2")]
    pub fn compress_dma(
        &self,
        input: DmaBuffer,
        output: DmaBuffer,
        options: &CompressOptions,
    ) -> DmaCompletion {
        let in_flight = self.0.recorder.start();
        let (buffers, result) = match self.pool(AcceleratorTypes::COMPRESSION) {
            Ok(pool) => {
                let call = self.call(&pool, Patience::Wait);
                pool.block_on(zero_copy::compress(call, input, output, options))
            }
            Err(error) => (Some((input, output)), Err(error)),
        };
        in_flight.finish(result.as_ref());
        DmaCompletion { buffers, result }
    }

    /// Decompresses the one stream or gzip member that `input` holds to the front of `output` as one request, without a
    /// copy. Formats: deflate, zlib, gzip.
    #[doc(alias = "cpaDcDecompressData2")]
    pub fn decompress_dma(&self, input: DmaBuffer, output: DmaBuffer, format: Format) -> DmaCompletion {
        let in_flight = self.0.recorder.start();
        let (buffers, result) = match self.pool(AcceleratorTypes::COMPRESSION) {
            Ok(pool) => {
                let call = self.call(&pool, Patience::Wait);
                pool.block_on(zero_copy::decompress(call, input, output, format))
            }
            Err(error) => (Some((input, output)), Err(error)),
        };
        in_flight.finish(result.as_ref());
        DmaCompletion { buffers, result }
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
        let this = self.clone();
        async move {
            match this.pool_async(AcceleratorTypes::COMPRESSION).await {
                Ok(pool) => {
                    let in_flight = this.0.recorder.start();
                    let call = this.call(&pool, Patience::Wait);
                    let (buffers, result) = zero_copy::compress(call, input, output, &options).await;
                    in_flight.finish(result.as_ref());
                    DmaCompletion { buffers, result }
                }
                Err(error) => DmaCompletion { buffers: Some((input, output)), result: Err(error) },
            }
        }
    }
}
