//! Decryption of messages of any length. `single` does what is one request, without the futures of this module.

use accel_core::{Cipher, CipherOptions, Error, Iv, Key, Outcome, Result};

use super::layout::{self, BLOCK};
use super::request::{self, SymmetricRequest};
use super::seal::{aead, authenticated, keyed, path, pieces, plain};
use super::trial;
use crate::device::instances::CallContext;
use crate::software::cipher::{check_decrypt, unpadded_len};

/// Decrypts to the front of `output`, which contains no plaintext after a failure.
///
/// # Errors
/// As the trait method [`decrypt_into`](accel_core::EncryptionAccelerator::decrypt_into).
pub(crate) async fn decrypt(
    call: CallContext<'_>,
    key: &Key,
    ciphertext: &[u8],
    output: &mut [u8],
    options: &CipherOptions<'_>,
) -> Result<Outcome> {
    let (iv, body, tag) = check_decrypt(key, ciphertext, output.len(), options)?;
    let cipher = options.cipher;
    trial::admit(call, cipher, key, body.is_empty()).await?;
    let output = &mut output[..body.len()];
    let (bytes_out, instance) = open(call, key, [body, tag], output, (cipher, &iv, &options.aad)).await?;
    Ok(Outcome { bytes_in: ciphertext.len(), bytes_out, path: path(instance) })
}

/// Decrypts to `output`, which is as long as the ciphertext without its tag. Returns the plaintext's length, and the
/// instance that processed the last request.
pub(super) async fn open(
    call: CallContext<'_>,
    key: &Key,
    [body, tag]: [&[u8]; 2],
    output: &mut [u8],
    (cipher, iv, aad): (Cipher, &Iv, &[u8]),
) -> Result<(usize, Option<u16>)> {
    let failed = || Error::Authentication { cipher };
    let keyed = keyed(key, cipher, cipher != Cipher::AesCtr, aad, body.len())?;
    let iv = iv.as_bytes();
    let bit_len = layout::bit_len(aad);
    let request = match cipher {
        Cipher::AesGcm | Cipher::ChaCha20Poly1305 => SymmetricRequest { tag, ..aead(cipher, iv, aad, body) },
        Cipher::AesCcm => SymmetricRequest { tag, tail: tag, ..aead(cipher, iv, aad, body) },
        Cipher::AesXts => plain(iv, [body, &[]]),
        Cipher::AesCbcHmacSha256 => SymmetricRequest { tag, ..authenticated(iv, aad, [body, &[]], &bit_len) },
        _ => {
            let done = pieces(call, keyed, iv, body, output).await.and_then(|instance| {
                let is_padded = cipher.is_padded();
                let len = if is_padded { unpadded_len(output).ok_or_else(failed)? } else { output.len() };
                Ok((len, instance))
            });
            if done.is_err() {
                output.fill(0);
            }
            return done;
        }
    };
    let response = request::run(call, &request, |instance| keyed.session(instance)).await?;
    if !response.is_verified {
        return Err(failed());
    }
    let text_at = request.text_range().start;
    let mut len = body.len();
    if cipher.is_padded() {
        let mut last = [0; BLOCK];
        response.completed.input().read(text_at + len - BLOCK, &mut last);
        len -= BLOCK - unpadded_len(&last).ok_or_else(failed)?;
    }
    response.completed.input().read(text_at, &mut output[..len]);
    Ok((len, Some(response.instance)))
}
