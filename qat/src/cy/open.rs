//! Decryption.

use accel_core::{Cipher, CipherOptions, Error, Iv, Key, Outcome, Result};
use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::layout::{self, BLOCK};
use super::request::{self, Request};
use super::seal::{aead, authenticated, keyed, path, pieces};
use super::trial;
use crate::instance::Call;
use crate::software::cipher::{check_decrypt, unpadded_len};

/// Decrypts to the front of `output`, which holds no plaintext after a failure.
pub(crate) async fn decrypt(
    call: Call<'_>,
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

/// Decrypts to `output`, which is as long as the ciphertext without its tag; the plaintext's length, and the instance
/// that did it.
pub(super) async fn open(
    call: Call<'_>,
    key: &Key,
    [body, tag]: [&[u8]; 2],
    output: &mut [u8],
    (cipher, iv, aad): (Cipher, &Iv, &[u8]),
) -> Result<(usize, Option<u16>)> {
    let failed = || Error::Authentication { cipher };
    // The tag of nothing is made and compared here: of nothing that comes back nobody could tell that it was refused.
    let is_decrypting = cipher != Cipher::AesCtr && !body.is_empty();
    let keyed = keyed(key, cipher, is_decrypting, aad)?;
    let iv = iv.as_bytes();
    let bit_len = layout::bit_len(aad);
    let request = match cipher {
        Cipher::AesGcm | Cipher::ChaCha20Poly1305 => {
            Request { tag: if is_decrypting { tag } else { &[] }, ..aead(iv, aad, body) }
        }
        Cipher::AesCbcHmacSha256 => authenticated(iv, aad, [body, &[]], &bit_len),
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
    let mut answer = request::run(call, &request, |instance| keyed.session(instance)).await?;
    if !answer.is_verified {
        return Err(failed());
    }
    if request.tag.is_empty() {
        verify_slices_are_equal(&answer.digest()[..tag.len()], tag).map_err(|_| failed())?;
    }
    let text_at = request.text_range().start;
    let mut len = body.len();
    if cipher.is_padded() {
        let mut last = [0; BLOCK];
        answer.landed.input().read(text_at + len - BLOCK, &mut last);
        len -= BLOCK - unpadded_len(&last).ok_or_else(failed)?;
    }
    answer.landed.input().read(text_at, &mut output[..len]);
    Ok((len, Some(answer.instance)))
}
