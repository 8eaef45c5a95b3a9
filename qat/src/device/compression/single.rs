//! Compression of slices that are one deflate request: copied to the device and back, without the futures that longer
//! data needs. `compress` handles everything else.

use super::session;
use accel_core::{CompressOptions, End, Error, ExecutedOn, Format, Outcome, Result};

use super::check_offered;
use super::compress::{PIECE, Writer, complete, deflate_room, store, stored_len, wrong_checksum};
use super::zero_copy::{Job, Plan};
use crate::device::inflight::{Blocks, CompletedRequest, Direction, PendingRequest, SlotGuard, Work};
use crate::device::instances::{CallContext, Instance, RequestError, Submitted};
use crate::settings::Integrity;

/// A compression that consists of one request.
#[derive(Clone, Copy)]
pub(crate) struct Single {
    plan: Plan,
    options: CompressOptions,
}

impl Single {
    /// Submits the request, and returns it with its instance. Returns `None` for what [`compress`](super::compress) has
    /// to do: more than one request, or waiting while the device is full.
    #[inline(always)]
    pub(crate) fn begin(
        call: CallContext<'_>,
        input: &[u8],
        options: &CompressOptions,
    ) -> Result<Option<(Self, PendingRequest, u16)>> {
        let Some(single) = Self::new(call, input, options)? else { return Ok(None) };
        match single.try_submit(call, input) {
            Ok(Submitted::Pending(pending, instance)) => Ok(Some((single, pending, instance))),
            Ok(Submitted::Full(_)) => Ok(None),
            Err(error) => Err(call.error(error)),
        }
    }

    #[inline(always)]
    fn new(call: CallContext<'_>, input: &[u8], options: &CompressOptions) -> Result<Option<Self>> {
        let is_deflate = matches!(options.format, Format::Deflate | Format::Gzip | Format::Zlib);
        let is_one = is_deflate && (1..=PIECE).contains(&input.len());
        if !is_one || input.len() + deflate_room(input.len()) > call.started.settings.memory {
            return Ok(None);
        }
        let plan = Plan::new(call, &Job::Compress(*options))?;
        check_offered(call, options.format, Direction::Compress)?;
        Ok(Some(Self { plan, options: *options }))
    }

    #[inline(always)]
    fn try_submit(&self, call: CallContext<'_>, input: &[u8]) -> Result<Submitted, RequestError> {
        let load = |instance: &Instance, slot: &mut SlotGuard| {
            let memory = instance.ring.memory();
            let room = Blocks::with_room(memory, deflate_room(input.len()))?;
            slot.load(Blocks::copied(memory, input)?, room);
            Ok(())
        };
        let submit = |instance: &Instance, slot: SlotGuard| {
            let session = session::session(instance, self.plan.session)?;
            Ok(instance.ring.compress(slot, session, self.plan.how)?)
        };
        call.started.try_submit(Work::Compression, call.when_full, call.recorder, &mut None, load, submit)
    }

    /// Writes the output of the response. Returns `None` when the device's output buffer was full, which its length
    /// should prevent: then [`compress`](super::compress) has to do the whole operation.
    #[inline(always)]
    pub(crate) fn finish(
        &self,
        call: CallContext<'_>,
        completed: &CompletedRequest,
        instance: u16,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<Option<Outcome>> {
        let (len, plan) = (input.len(), &self.plan);
        let response = call.decode(completed, instance, len, deflate_room(len), Format::Deflate)?;
        if call.penalise_on_error(instance, complete(&response, len))? < len {
            return Ok(None);
        }
        let (header, trailer) = plan.framing;
        let is_checked = trailer > 0 && call.started.settings.integrity != Integrity::Trust;
        if is_checked && response.checksum != plan.checksum.of(input) {
            return call.penalise_on_error(instance, Err(wrong_checksum()));
        }
        let is_stored = response.produced >= stored_len(len);
        let packed_len = if is_stored { stored_len(len) } else { response.produced };
        let (bytes_out, available) = (header + packed_len + trailer, output.len());
        let Some(output) = output.get_mut(..bytes_out) else {
            let required = Some(self.options.bound(len));
            return Err(Error::OutputTooSmall { required, available });
        };
        let packed = &mut output[header..header + packed_len];
        if is_stored {
            store(input, &mut Writer::new(packed, packed_len), self.options.end == End::Final)?;
        } else {
            completed.output().read(0, packed);
        }
        plan.frame(output, response.checksum, len);
        Ok(Some(Outcome { bytes_in: len, bytes_out, path: ExecutedOn::Hardware { instance } }))
    }
}
