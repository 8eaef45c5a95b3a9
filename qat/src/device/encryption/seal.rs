//! Encryption of messages of any length. `single` does what is one request, without the futures of this module.

use accel_core::{Cipher, CipherOptions, Error, ExecutedOn, Iv, Key, Outcome, Result, SoftwareReason};

use super::layout::{self, BLOCK, LINK};
use super::request::{self, Keyed, SymmetricRequest, TAG, check, submit};
use super::session::{Sessions, Use};
use super::{max_aad, trial, unsupported};
use crate::device::inflight::Api;
use crate::device::instances::{CallContext, Window};
use crate::software::cipher::check_encrypt;

/// Encrypts to the front of `output`.
///
/// # Errors
/// As the trait method [`encrypt_into`](accel_core::EncryptionAccelerator::encrypt_into).
pub(crate) async fn encrypt(
    call: CallContext<'_>,
    key: &Key,
    plaintext: &[u8],
    output: &mut [u8],
    options: &CipherOptions<'_>,
) -> Result<Outcome> {
    let (iv, total) = check_encrypt(key, plaintext.len(), output.len(), options)?;
    let cipher = options.cipher;
    trial::admit(call, cipher, key, plaintext.is_empty()).await?;
    let instance = seal(call, key, plaintext, &mut output[..total], (cipher, &iv, &options.aad)).await?;
    Ok(Outcome { bytes_in: plaintext.len(), bytes_out: total, path: path(instance) })
}

/// Returns where the operation ran. An empty message of AES-CTR needs no request; `instance` is `None` then.
pub(super) fn path(instance: Option<u16>) -> ExecutedOn {
    instance
        .map_or(ExecutedOn::Software(SoftwareReason::TooSmall), |instance| ExecutedOn::Hardware { instance })
}

/// Returns `key` with its sessions for a direction, the length of `aad`, and a text of `len` bytes.
#[inline(always)]
pub(super) fn keyed<'a>(
    key: &'a Key,
    cipher: Cipher,
    is_decrypting: bool,
    aad: &[u8],
    len: usize,
) -> Result<Keyed<'a>> {
    let aad_len = match max_aad(cipher) {
        Some(most) if aad.len() > most => return Err(too_much_aad(cipher, aad.len(), most)),
        Some(_) => aad.len() as u32,
        None => 0,
    };
    let is_in_part = cipher == Cipher::AesXts && !len.is_multiple_of(BLOCK);
    let api = if is_in_part { Api::Traditional } else { Api::DataPlane };
    let sessions = Sessions::of(key, cipher)?;
    Ok(Keyed { key, cipher, sessions, how: Use { is_decrypting, aad_len, api } })
}

#[cold]
fn too_much_aad(cipher: Cipher, len: usize, most: usize) -> Error {
    unsupported(
        format!("{cipher} with {len} bytes of associated data, of which the device accepts at most {most}"),
        "shorten the associated data, or use the CPU",
    )
}

/// Encrypts to all of `output`, whose length is that of the ciphertext with its tag. Returns the instance that
/// processed the last request.
pub(super) async fn seal(
    call: CallContext<'_>,
    key: &Key,
    plaintext: &[u8],
    output: &mut [u8],
    (cipher, iv, aad): (Cipher, &Iv, &[u8]),
) -> Result<Option<u16>> {
    let keyed = keyed(key, cipher, false, aad, plaintext.len())?;
    let (padding, padding_len) = layout::padding(plaintext.len());
    let padding = if cipher.is_padded() { &padding[..padding_len] } else { &[] };
    let iv = iv.as_bytes();
    let bit_len = layout::bit_len(aad);
    let request = match cipher {
        Cipher::AesCtr => return pieces(call, keyed, iv, plaintext, output).await,
        Cipher::AesCbc => return chain(call, keyed, iv, [plaintext, padding], output).await,
        Cipher::AesGcm | Cipher::ChaCha20Poly1305 | Cipher::AesCcm => aead(cipher, iv, aad, plaintext),
        Cipher::AesCbcHmacSha256 => authenticated(iv, aad, [plaintext, padding], &bit_len),
        _ => plain(iv, [plaintext, padding]),
    };
    let mut response = request::run(call, &request, |instance| keyed.session(instance)).await?;
    let text = request.text_range();
    let (body, tag) = output.split_at_mut(text.len());
    response.completed.input().read(text.start, body);
    if !tag.is_empty() {
        tag.copy_from_slice(&response.tag(&request));
    }
    Ok(Some(response.instance))
}

/// Encrypts with AES-CBC. Each request continues from the last block of the previous one.
async fn chain(
    call: CallContext<'_>,
    keyed: Keyed<'_>,
    iv: &[u8],
    [plaintext, padding]: [&[u8]; 2],
    output: &mut [u8],
) -> Result<Option<u16>> {
    let mut iv: [u8; BLOCK] = *iv.first_chunk().expect("checked to be a block");
    let mut links = plaintext.chunks(LINK).peekable();
    let mut at = 0;
    loop {
        let link = links.next().unwrap_or_default();
        let is_last = links.peek().is_none();
        let request = plain(&iv, [link, if is_last { padding } else { &[] }]);
        let len = request.text_range().len();
        let response = request::run(call, &request, |instance| keyed.session(instance)).await?;
        let made = &mut output[at..at + len];
        response.completed.input().read(0, made);
        if is_last {
            return Ok(Some(response.instance));
        }
        iv = *made.last_chunk().expect("as long as a link");
        at += len;
    }
}

/// Returns a request without a tag.
pub(super) fn plain<'a>(iv: &'a [u8], text: [&'a [u8]; 2]) -> SymmetricRequest<'a> {
    SymmetricRequest { text, iv, ..SymmetricRequest::default() }
}

/// Returns a request for AES-GCM, ChaCha20-Poly1305 or AES-CCM that writes a tag.
pub(super) fn aead<'a>(cipher: Cipher, iv: &'a [u8], aad: &'a [u8], text: &'a [u8]) -> SymmetricRequest<'a> {
    let is_ccm = cipher == Cipher::AesCcm;
    let tail = if is_ccm { &[0; TAG][..] } else { &[] };
    SymmetricRequest {
        text: [text, &[]],
        tail,
        iv,
        aad,
        has_digest: true,
        is_ccm,
        ..SymmetricRequest::default()
    }
}

/// Returns a request for AES-CBC with HMAC (RFC 7518, section 5.2.2.1). The HMAC covers associated data, IV, ciphertext
/// and length, in this order.
pub(super) fn authenticated<'a>(
    iv: &'a [u8],
    aad: &'a [u8],
    text: [&'a [u8]; 2],
    bit_len: &'a [u8; 8],
) -> SymmetricRequest<'a> {
    SymmetricRequest {
        head: [aad, iv],
        text,
        tail: bit_len,
        iv,
        has_digest: true,
        ..SymmetricRequest::default()
    }
}

/// Runs a cipher whose pieces are independent: AES-CTR in both directions, and the decryption of AES-CBC. `output` is
/// as long as `input`. Returns the instance that processed the last request.
pub(super) async fn pieces(
    call: CallContext<'_>,
    keyed: Keyed<'_>,
    iv: &[u8],
    input: &[u8],
    output: &mut [u8],
) -> Result<Option<u16>> {
    let first: [u8; BLOCK] = *iv.first_chunk().expect("checked to be a block");
    let mut window = Window::new();
    let mut sent = 0;
    let mut last = None;
    loop {
        while sent < input.len() && !window.is_full() {
            let end = layout::piece_end(sent, input.len());
            let iv = match keyed.cipher {
                Cipher::AesCtr => layout::counter(&first, sent / BLOCK),
                _ => input[..sent].last_chunk().copied().unwrap_or(first),
            };
            let piece = plain(&iv, [&input[sent..end], &[]]);
            let submitted =
                submit(call, window.when_full(call.when_full), &piece, |instance| keyed.session(instance))
                    .await;
            if !window.push(submitted, sent..end).map_err(|error| call.error(error))? {
                break;
            }
            sent = end;
        }
        let Some(next) = window.next(call.started).await else { return Ok(last) };
        let (completed, instance, range) = next.map_err(|error| call.error(error))?;
        let response = check(call, completed, instance, &SymmetricRequest::default())?;
        response.completed.input().read(0, &mut output[range]);
        last = Some(instance);
    }
}
