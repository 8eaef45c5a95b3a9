//! A stateless request for compression or decompression, and the decoding of its response. The modules of the formats
//! create requests; nothing here knows a format's header.

use accel_core::{Error, Format};

use super::compress::flush;
use super::session::{self};
use super::session::{SessionKind, SessionSlot};
use crate::device::inflight::{
    Blocks, CompletedRequest, Direction, PendingRequest, SlotGuard, Stateless, Work,
};
use crate::device::instances::{CallContext, Failure, Instance, RequestError, WhenFull};
use crate::error::CpaStatus;
use crate::error::{DeviceError, RequestStatus};
use crate::settings::Integrity;

/// A stateless request before its submission.
#[derive(Clone, Copy)]
pub(super) struct StatelessRequest<'a> {
    pub(super) kind: SessionKind,
    /// Bytes in front of the input, where the device needs a header that the format does not have.
    pub(super) prefix: &'a [u8],
    pub(super) input: &'a [u8],
    /// The length of the output buffer in bytes.
    pub(super) room: usize,
    /// Whether more of the same stream follows.
    pub(super) is_open: bool,
}

/// The decoded response to a request that succeeded or whose output buffer was full.
#[derive(Debug, Clone, Copy)]
pub(super) struct DecodedResponse {
    /// The number of input bytes that the output contains.
    pub(super) consumed: usize,
    /// The number of output bytes.
    pub(super) produced: usize,
    /// The checksum of the plain data.
    pub(super) checksum: u32,
    /// Whether the output buffer was full. What was produced is valid for what was consumed.
    pub(super) overflow: bool,
    /// Whether a decompression has reached the end of its stream.
    pub(super) end_of_stream: bool,
}

impl CallContext<'_> {
    /// Submits a request, and returns it with its instance.
    pub(super) async fn submit(
        &self,
        request: StatelessRequest<'_>,
        when_full: WhenFull,
    ) -> Result<(PendingRequest, u16), RequestError> {
        let len = request.prefix.len() + request.input.len() + request.room;
        // The counts of a response have 32 bits.
        if len > self.started.settings.memory || u32::try_from(len).is_err() {
            return Err(RequestError::TooLarge);
        }
        let load = |instance: &Instance, slot: &mut SlotGuard| {
            let memory = instance.ring.memory();
            let mut input = Blocks::with_room(memory, request.prefix.len() + request.input.len())?;
            input.write(0, request.prefix);
            input.write(request.prefix.len(), request.input);
            slot.load(input, Blocks::with_room(memory, request.room)?);
            Ok(())
        };
        let how = self.stateless(request.kind, request.is_open);
        let submit = |instance: &Instance, slot: SlotGuard| {
            let key = SessionSlot::new(request.kind, how, slot.is_flat());
            let session = session::session(instance, key)?;
            Ok(instance.ring.compress(slot, session, how)?)
        };
        self.started.submit(Work::Compression, when_full, self.recorder, load, submit).await
    }

    /// Submits a request and waits for its response.
    pub(super) async fn run(
        &self,
        request: StatelessRequest<'_>,
    ) -> Result<(CompletedRequest, u16), RequestError> {
        let (pending, instance) = self.submit(request, self.when_full).await?;
        let completed = pending.await.map_err(|reason| self.started.record_abandoned(reason, instance))?;
        Ok((completed, instance))
    }

    /// Returns the parameters of a request of this kind beside its data and session.
    pub(super) fn stateless(&self, kind: SessionKind, is_open: bool) -> Stateless {
        let direction = kind.direction();
        Stateless {
            direction,
            flush: flush(direction == Direction::Compress && is_open),
            seed: kind.seed(),
            is_verified: self.is_verified(kind),
        }
    }

    /// Returns whether libqat has to compare what the device read and wrote with what is in memory. It does not for
    /// LZ4, whose format has lengths and hashes of its blocks, and for which the library would only compare without
    /// recovery.
    fn is_verified(&self, kind: SessionKind) -> bool {
        matches!(kind, SessionKind::Deflate { .. } | SessionKind::Inflate { .. })
            && self.started.settings.integrity == Integrity::EndToEnd
            && self.started.services.capabilities.compression.integrity_crcs
    }

    /// Returns `result`, and suspends the instance if it is an error of the device.
    pub(super) fn penalise_on_error<T>(&self, instance: u16, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(Error::Device { .. }) = result {
            self.started.instances[usize::from(instance)].health.failed(Failure::Trust);
        }
        result
    }

    /// Decodes a response, and records it in the instance's health. `format` is the format that an error for corrupt
    /// input names.
    ///
    /// # Errors
    /// `Corrupt` when the device reports bad input, and `Device` when the request failed or its counts are impossible.
    #[inline(always)]
    pub(super) fn decode(
        &self,
        completed: &CompletedRequest,
        instance: u16,
        request_len: usize,
        room: usize,
        format: Format,
    ) -> Result<DecodedResponse, Error> {
        let results = completed.results();
        let health = &self.started.instances[usize::from(instance)].health;
        let request = RequestStatus::from_raw(results.status);
        let response = DecodedResponse {
            consumed: results.consumed as usize,
            produced: results.produced as usize,
            checksum: results.checksum,
            overflow: request == RequestStatus::OVERFLOW,
            end_of_stream: results.endOfLastBlock != 0,
        };
        let status = completed.status();
        let is_answered = status == CpaStatus::SUCCESS && request == RequestStatus::OK || response.overflow;
        if is_answered {
            if response.consumed > request_len || response.produced > room {
                health.failed(Failure::Trust);
                let detail = format!(
                    "{} of {request_len} bytes consumed, {} bytes produced in room for {room}",
                    response.consumed, response.produced
                );
                return Err(DeviceError::Wrong { detail: detail.into() }.into());
            }
            health.succeeded();
            return Ok(response);
        }
        // Only a decompression can have bad input. For a compression, such a status is a failure of the device.
        if let Some(detail) = request.bad_data().filter(|_| !completed.is_compression()) {
            health.succeeded();
            return Err(Error::Corrupt { format, detail: detail.into() });
        }
        health.failed(Failure::Request);
        Err(DeviceError::Failed { status, request }.into())
    }
}
