//! Decryption.

use accel_core::{Cipher, CipherOptions, Error, Iv, Key, Outcome, Result};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

use super::layout::{self, BLOCK};
use super::request::{self, Keyed, Request, TELLING};
use super::seal::{aead, authenticated, keyed, path, pieces, plain};
use super::{max_aad, trial};
use crate::instance::{Call, Instance};
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
    if max_aad(cipher).is_some() && body.len() < TELLING {
        return open_short(call, keyed(key, cipher, false, aad)?, [body, tag], output, (iv, aad)).await;
    }
    let keyed = keyed(key, cipher, cipher != Cipher::AesCtr, aad)?;
    let iv = iv.as_bytes();
    let bit_len = layout::bit_len(aad);
    let request = match cipher {
        Cipher::AesGcm | Cipher::ChaCha20Poly1305 => Request { tag, ..aead(cipher, iv, aad, body) },
        Cipher::AesCcm => Request { tag, tail: tag, ..aead(cipher, iv, aad, body) },
        Cipher::AesXts => plain(iv, [body, &[]]),
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
    if request.has_digest && request.tag.is_empty() {
        verify_slices_are_equal(&answer.tag(&request), tag).map_err(|_| failed())?;
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

/// Decrypts a message of which nobody could tell whether the device refused it. These ciphers add a key stream, so
/// encryption decrypts as well, and the tag is that of the plaintext encrypted again.
async fn open_short(
    call: Call<'_>,
    keyed: Keyed<'_>,
    [body, tag]: [&[u8]; 2],
    output: &mut [u8],
    (iv, aad): (&Iv, &[u8]),
) -> Result<(usize, Option<u16>)> {
    let session = |instance: &Instance| keyed.session(instance);
    let mut plain = Zeroizing::new([0; TELLING]);
    let plain = &mut plain[..body.len()];
    if !body.is_empty() {
        let answer = request::run(call, &aead(keyed.cipher, iv.as_bytes(), aad, body), session).await?;
        answer.landed.input().read(0, plain);
    }
    let sealing = aead(keyed.cipher, iv.as_bytes(), aad, plain);
    let mut answer = request::run(call, &sealing, session).await?;
    verify_slices_are_equal(&answer.tag(&sealing), tag)
        .map_err(|_| Error::Authentication { cipher: keyed.cipher })?;
    output.copy_from_slice(plain);
    Ok((output.len(), Some(answer.instance)))
}
