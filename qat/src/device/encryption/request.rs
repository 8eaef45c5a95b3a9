//! A symmetric request, and the check of its response. `seal`, `open` and `digest` create requests; nothing here
//! chooses a session.

use std::ops::Range;
use std::sync::Arc;

use accel_core::{Cipher, Error, Key};

use super::layout::{BLOCK, CCM_AAD_AT, CCM_NONCE_AT};
use super::session::{Sessions, Use};
use crate::device::inflight::{
    Api, Blocks, CompletedRequest, NOT_VERIFIED, PendingRequest, Session, SessionError, SlotGuard, Symmetric,
    Work,
};
use crate::device::instances::{CallContext, Failure, Instance, RequestError, WhenFull};
use crate::device::memory::{Memory, NoMemory};
use crate::error::CpaStatus;
use crate::error::{DeviceError, RequestStatus};

/// The offset of the IV in [`SlotGuard::parameters`].
pub(super) const IV_AT: usize = 0;
/// The offset of the digest in [`SlotGuard::parameters`].
pub(super) const DIGEST_AT: usize = 64;
/// The offset of the associated data in [`SlotGuard::parameters`].
pub(super) const AAD_AT: usize = 128;
/// The length of the longest digest, SHA-512's.
pub(super) const MAX_DIGEST: usize = 64;
/// The length of a cipher's tag. All digests are at least this long.
pub(super) const TAG: usize = 16;
/// The minimum input buffer, because libqat needs one even for an empty message.
pub(super) const LEAST: usize = 16;

/// A symmetric request before its submission. Its data is head, text and tail, in this order.
#[derive(Clone, Default)]
pub(super) struct SymmetricRequest<'a> {
    /// The data before the text, which is only hashed.
    pub(super) head: [&'a [u8]; 2],
    /// The text that is encrypted or decrypted, followed by its padding.
    pub(super) text: [&'a [u8]; 2],
    /// The data after the text, which is only hashed, or the tag of AES-CCM.
    pub(super) tail: &'a [u8],
    pub(super) iv: &'a [u8],
    /// The associated data that libqat takes separately from the text.
    pub(super) aad: &'a [u8],
    /// The tag that the device compares; empty where it writes one.
    pub(super) tag: &'a [u8],
    /// Whether the device writes or compares a digest or tag.
    pub(super) has_digest: bool,
    /// Whether the cipher is AES-CCM, for which libqat defines other offsets of the nonce, and whose tag is `tail`.
    pub(super) is_ccm: bool,
}

impl SymmetricRequest<'_> {
    fn parts(&self) -> [&[u8]; 5] {
        let ([first, second], [text, padding]) = (self.head, self.text);
        [first, second, text, padding, self.tail]
    }

    fn len(&self) -> usize {
        self.parts().map(<[u8]>::len).iter().sum()
    }

    /// Returns the range of the text in the data.
    pub(super) fn text_range(&self) -> Range<usize> {
        let len_of = |parts: &[&[u8]; 2]| parts[0].len() + parts[1].len();
        let start = len_of(&self.head);
        start..start + len_of(&self.text)
    }

    fn load(&self, memory: &'static Memory, slot: &mut SlotGuard) -> Result<(), NoMemory> {
        let len = self.len();
        // Lengths have 32 bits, and a request that the memory can never hold must fail rather than wait.
        if len > memory.limit() / 2 || u32::try_from(len).is_err() {
            return Err(NoMemory::TooLarge);
        }
        let mut input = Blocks::with_room(memory, len.max(LEAST))?;
        let mut at = 0;
        for part in self.parts() {
            input.write(at, part);
            at += part.len();
        }
        slot.load(input, Blocks::default());
        let parameters = slot.parameters();
        let (mut iv_at, mut aad_at) = (IV_AT, AAD_AT);
        if self.is_ccm {
            parameters[IV_AT..][..BLOCK].fill(0);
            parameters[AAD_AT..][..2 * BLOCK].fill(0);
            parameters[AAD_AT + CCM_NONCE_AT..][..self.iv.len()].copy_from_slice(self.iv);
            (iv_at, aad_at) = (IV_AT + CCM_NONCE_AT, AAD_AT + CCM_AAD_AT);
        }
        parameters[iv_at..][..self.iv.len()].copy_from_slice(self.iv);
        parameters[aad_at..][..self.aad.len()].copy_from_slice(self.aad);
        parameters[DIGEST_AT..][..self.tag.len()].copy_from_slice(self.tag);
        Ok(())
    }

    fn operation(&self) -> Symmetric {
        let text = self.text_range();
        Symmetric {
            iv_at: IV_AT,
            iv_len: self.iv.len() as u32,
            cipher: (text.start as u32, text.len() as u32),
            hash: if self.is_ccm { (0, text.len() as u32) } else { (0, self.len() as u32) },
            digest_at: (self.has_digest && !self.is_ccm).then_some(DIGEST_AT),
            aad_at: (self.is_ccm || !self.aad.is_empty()).then_some(AAD_AT),
        }
    }
}

/// A key with its sessions for requests of one kind.
#[derive(Clone, Copy)]
pub(super) struct Keyed<'a> {
    pub(super) key: &'a Key,
    pub(super) cipher: Cipher,
    pub(super) sessions: &'a Sessions,
    pub(super) how: Use,
}

impl Keyed<'_> {
    pub(super) fn session(&self, instance: &Instance) -> Result<Arc<Session>, SessionError> {
        self.sessions.get(&instance.ring, self.key, self.how)
    }
}

/// Submits a request, and returns it with its instance.
pub(super) fn submit(
    call: CallContext<'_>,
    when_full: WhenFull,
    request: &SymmetricRequest<'_>,
    session: impl Fn(&Instance) -> Result<Arc<Session>, SessionError>,
) -> impl Future<Output = Result<(PendingRequest, u16), RequestError>> {
    let load = |instance: &Instance, slot: &mut SlotGuard| request.load(instance.ring.memory(), slot);
    let submit = move |instance: &Instance, slot: SlotGuard| {
        let session = session(instance)?;
        Ok(instance.ring.perform(slot, session, &request.operation())?)
    };
    call.started.submit(Work::Symmetric, when_full, call.recorder, load, submit)
}

/// A response to a request that the device processed.
pub(super) struct CheckedResponse {
    pub(super) completed: CompletedRequest,
    pub(super) instance: u16,
    /// Whether the tag matched, where the device compared one; true otherwise.
    pub(super) is_verified: bool,
}

impl CheckedResponse {
    /// Returns the digest that the device wrote.
    pub(super) fn digest(&mut self) -> &[u8; MAX_DIGEST] {
        self.completed.parameters()[DIGEST_AT..].first_chunk().expect("parameters are longer")
    }

    /// Returns the tag that the device wrote for `request`.
    pub(super) fn tag(&mut self, request: &SymmetricRequest<'_>) -> [u8; TAG] {
        let mut tag = [0; TAG];
        if request.is_ccm {
            self.completed.input().read(request.text_range().end, &mut tag);
        } else {
            tag.copy_from_slice(&self.completed.parameters()[DIGEST_AT..][..TAG]);
        }
        tag
    }
}

/// Submits a request and waits for its response.
pub(super) async fn run(
    call: CallContext<'_>,
    request: &SymmetricRequest<'_>,
    session: impl Fn(&Instance) -> Result<Arc<Session>, SessionError>,
) -> Result<CheckedResponse, Error> {
    let error = |error| call.error(error);
    let (pending, instance) = submit(call, call.when_full, request, session).await.map_err(error)?;
    let completed = pending.await.map_err(|reason| error(call.started.record_abandoned(reason, instance)))?;
    check(call, completed, instance, request)
}

/// Checks a response, and records it in the instance's health.
pub(super) fn check(
    call: CallContext<'_>,
    completed: CompletedRequest,
    instance: u16,
    request: &SymmetricRequest<'_>,
) -> Result<CheckedResponse, Error> {
    let is_verified = is_verified(call, &completed, instance, || is_untouched(&completed, request))?;
    Ok(CheckedResponse { completed, instance, is_verified })
}

/// Returns whether the tag matched, if the device compared one, and records the response in the instance's health.
///
/// # Errors
/// `Device` when the request failed.
#[inline(always)]
pub(super) fn is_verified(
    call: CallContext<'_>,
    completed: &CompletedRequest,
    instance: u16,
    is_untouched: impl FnOnce() -> bool,
) -> Result<bool, Error> {
    let health = &call.started.instances[usize::from(instance)].health;
    let mut status = completed.status();
    if status == CpaStatus::SUCCESS && completed.api() == Api::Traditional && is_untouched() {
        status = CpaStatus::UNSUPPORTED;
    }
    let is_verified = status == CpaStatus::SUCCESS;
    if !is_verified && status.raw() != NOT_VERIFIED {
        // A rejected request is not a failure of the instance.
        if status != CpaStatus::UNSUPPORTED {
            health.failed(Failure::Request);
        }
        return Err(DeviceError::Failed { status, request: RequestStatus::OK }.into());
    }
    health.succeeded();
    Ok(is_verified)
}

/// Returns whether the device left the text unchanged. The traditional API reports a request that the device rejected
/// as a success, with unchanged text. Only AES-XTS uses it, whose text is at least one block.
fn is_untouched(completed: &CompletedRequest, request: &SymmetricRequest<'_>) -> bool {
    let [text, _] = request.text;
    let mut after = [0; BLOCK];
    completed.input().read(0, &mut after);
    text.first_chunk() == Some(&after)
}
