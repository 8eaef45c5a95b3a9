//! Messages that are one request with no other data than their text, without the futures that others need. `seal` and
//! `open` handle everything else.

use accel_core::{Cipher, CipherOptions, Error, ExecutedOn, Iv, Key, Outcome, Result};

use super::layout::{self, BLOCK};
use super::request::{AAD_AT, DIGEST_AT, IV_AT, LEAST, TAG, is_verified};
use super::seal::keyed;
use super::trial;
use crate::device::inflight::{
    Blocks, CompletedRequest, MAX_FLAT, PendingRequest, SlotGuard, Symmetric, Work,
};
use crate::device::instances::{CallContext, Instance, Submitted};
use crate::device::memory::NoMemory;
use crate::software::cipher::{check_decrypt, check_encrypt};

/// An encryption that consists of one request.
pub(crate) struct Sealing {
    cipher: Cipher,
    text_len: usize,
}

impl Sealing {
    /// Submits the request, and returns it with its instance. Returns `None` for what [`encrypt`](super::encrypt) has
    /// to do: other data than text, more than one request, a cipher that had no trial yet, or waiting while the device
    /// is full.
    #[inline(always)]
    pub(crate) fn begin(
        call: CallContext<'_>,
        key: &Key,
        plaintext: &[u8],
        available: usize,
        options: &CipherOptions<'_>,
    ) -> Result<Option<(Self, PendingRequest, u16)>> {
        let (iv, _) = check_encrypt(key, plaintext.len(), available, options)?;
        let what = (options.cipher, &iv, &*options.aad);
        let begun = submit(call, key, plaintext, &[], what, false)?;
        let sealing = Self { cipher: options.cipher, text_len: plaintext.len() };
        Ok(begun.map(|(pending, instance)| (sealing, pending, instance)))
    }

    /// Writes the ciphertext of the response to the front of `output`.
    #[inline(always)]
    pub(crate) fn finish(
        self,
        call: CallContext<'_>,
        mut completed: CompletedRequest,
        instance: u16,
        output: &mut [u8],
    ) -> Result<Outcome> {
        is_verified(call, &completed, instance, || false)?;
        let bytes_out = self.text_len + self.cipher.tag_len();
        let (body, tag) = output[..bytes_out].split_at_mut(self.text_len);
        completed.input().read(0, body);
        // The compiler knows the length of this copy, which saves a call of memcpy.
        if let Some(tag) = tag.first_chunk_mut::<TAG>() {
            tag.copy_from_slice(&completed.parameters()[DIGEST_AT..][..TAG]);
        }
        Ok(Outcome { bytes_in: self.text_len, bytes_out, path: ExecutedOn::Hardware { instance } })
    }
}

/// A decryption that consists of one request.
pub(crate) struct Opening {
    cipher: Cipher,
    text_len: usize,
}

impl Opening {
    /// Submits the request, and returns it with its instance. Returns `None` for what [`decrypt`](super::decrypt) has
    /// to do: other data than text, more than one request, a cipher that had no trial yet, or waiting while the device
    /// is full.
    #[inline(always)]
    pub(crate) fn begin(
        call: CallContext<'_>,
        key: &Key,
        ciphertext: &[u8],
        available: usize,
        options: &CipherOptions<'_>,
    ) -> Result<Option<(Self, PendingRequest, u16)>> {
        let (iv, body, tag) = check_decrypt(key, ciphertext, available, options)?;
        let what = (options.cipher, &iv, &*options.aad);
        let begun = submit(call, key, body, tag, what, true)?;
        let opening = Self { cipher: options.cipher, text_len: body.len() };
        Ok(begun.map(|(pending, instance)| (opening, pending, instance)))
    }

    /// Writes the plaintext of the response to the front of `output`, unless the tag does not match.
    #[inline(always)]
    pub(crate) fn finish(
        self,
        call: CallContext<'_>,
        completed: &CompletedRequest,
        instance: u16,
        output: &mut [u8],
    ) -> Result<Outcome> {
        let Self { cipher, text_len } = self;
        if !is_verified(call, completed, instance, || false)? {
            return Err(Error::Authentication { cipher });
        }
        completed.input().read(0, &mut output[..text_len]);
        let bytes_in = text_len + cipher.tag_len();
        Ok(Outcome { bytes_in, bytes_out: text_len, path: ExecutedOn::Hardware { instance } })
    }
}

/// Returns whether a message with this text is a single request of the data-plane API with no other data.
#[inline(always)]
fn is_single(cipher: Cipher, text_len: usize) -> bool {
    let most = match cipher {
        Cipher::AesGcm | Cipher::ChaCha20Poly1305 => MAX_FLAT,
        Cipher::AesXts if text_len.is_multiple_of(BLOCK) => MAX_FLAT,
        Cipher::AesCtr => layout::PIECE,
        _ => 0,
    };
    (LEAST..=most).contains(&text_len)
}

#[inline(always)]
fn submit(
    call: CallContext<'_>,
    key: &Key,
    text: &[u8],
    tag: &[u8],
    (cipher, iv, aad): (Cipher, &Iv, &[u8]),
    is_decrypting: bool,
) -> Result<Option<(PendingRequest, u16)>> {
    if !is_single(cipher, text.len()) || !trial::is_good_already(call, cipher, key) {
        return Ok(None);
    }
    let keyed = keyed(key, cipher, is_decrypting && cipher != Cipher::AesCtr, aad, text.len())?;
    let (iv, len) = (iv.as_bytes(), text.len() as u32);
    let load = |instance: &Instance, slot: &mut SlotGuard| {
        let memory = instance.ring.memory();
        if text.len() > memory.limit() / 2 {
            return Err(NoMemory::TooLarge);
        }
        slot.load(Blocks::copied(memory, text)?, Blocks::default());
        let parameters = slot.parameters();
        match iv.first_chunk::<12>() {
            Some(usual) if iv.len() == 12 => parameters[IV_AT..][..12].copy_from_slice(usual),
            _ => parameters[IV_AT..][..iv.len()].copy_from_slice(iv),
        }
        if !aad.is_empty() {
            parameters[AAD_AT..][..aad.len()].copy_from_slice(aad);
        }
        if !tag.is_empty() {
            parameters[DIGEST_AT..][..tag.len()].copy_from_slice(tag);
        }
        Ok(())
    };
    let operation = Symmetric {
        iv_at: IV_AT,
        iv_len: iv.len() as u32,
        cipher: (0, len),
        hash: (0, len),
        digest_at: (cipher.tag_len() > 0).then_some(DIGEST_AT),
        aad_at: (!aad.is_empty()).then_some(AAD_AT),
    };
    let submit = |instance: &Instance, slot: SlotGuard| {
        Ok(instance.ring.perform(slot, keyed.session(instance)?, &operation)?)
    };
    match call.started.try_submit(Work::Symmetric, call.when_full, call.recorder, &mut None, load, submit) {
        Ok(Submitted::Pending(pending, instance)) => Ok(Some((pending, instance))),
        Ok(Submitted::Full(_)) => Ok(None),
        Err(error) => Err(call.error(error)),
    }
}
