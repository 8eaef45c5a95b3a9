//! Ciphers on the CPU: aws-lc's, and what it does not offer to Rust.

use accel_core::{Cipher, CipherOptions, Error, Iv, Key, Result};
use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    self as block, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{constant_time, hmac};

use super::ccm::Ccm;
use super::wipe::{WipedBox, with_wiped_frames, with_wiped_stack};
use super::xts::Xts;

const BLOCK: usize = 16;

/// What is derived from a key once and kept with it, in a box of its own that it never leaves.
#[allow(clippy::large_enum_variant)]
enum Prepared {
    Aead(LessSafeKey),
    Cbc {
        encrypting: EncryptingKey,
        decrypting: DecryptingKey,
        mac: Option<hmac::Key>,
    },
    /// Encryption and decryption are the same operation.
    Ctr(EncryptingKey),
    Xts(Xts),
    Ccm(Ccm),
}

/// Sets the cipher up, and leaves nothing of the key on the stack.
fn prepare(cipher: Cipher, key: &Key) -> Result<WipedBox<Prepared>> {
    with_wiped_stack(|| set_up(cipher, key).map(WipedBox::new))
}

fn set_up(cipher: Cipher, key: &Key) -> Result<Prepared> {
    let bytes = key.encryption();
    let wrong = || Error::Internal {
        engine: crate::error::SOFTWARE,
        detail: "it refused a key of a valid length".into(),
    };
    let refused = |_| wrong();
    let unbound = || {
        let algorithm = match bytes.len() {
            16 => &block::AES_128,
            24 => &block::AES_192,
            _ => &block::AES_256,
        };
        UnboundCipherKey::new(algorithm, bytes).map_err(refused)
    };
    Ok(match cipher {
        Cipher::AesGcm | Cipher::ChaCha20Poly1305 => {
            let algorithm = match (cipher, bytes.len()) {
                (Cipher::ChaCha20Poly1305, _) => &aead::CHACHA20_POLY1305,
                (_, 16) => &aead::AES_128_GCM,
                (_, 24) => &aead::AES_192_GCM,
                _ => &aead::AES_256_GCM,
            };
            Prepared::Aead(LessSafeKey::new(UnboundKey::new(algorithm, bytes).map_err(refused)?))
        }
        Cipher::AesCbc | Cipher::AesCbcHmacSha256 => Prepared::Cbc {
            encrypting: EncryptingKey::cbc(unbound()?).map_err(refused)?,
            decrypting: DecryptingKey::cbc(unbound()?).map_err(refused)?,
            mac: key.mac().map(|mac| hmac::Key::new(hmac::HMAC_SHA256, mac)),
        },
        Cipher::AesCtr => Prepared::Ctr(EncryptingKey::ctr(unbound()?).map_err(refused)?),
        Cipher::AesXts => Prepared::Xts(Xts::new(key).ok_or_else(wrong)?),
        Cipher::AesCcm => Prepared::Ccm(Ccm::new(key).ok_or_else(wrong)?),
        other => return Err(unsupported(other)),
    })
}

fn unsupported(cipher: Cipher) -> Error {
    Error::Unsupported {
        accelerator: crate::error::SOFTWARE,
        operation: cipher.to_string().into(),
        remedy: "choose one of those that Cipher::ALL lists".into(),
    }
}

/// Runs `with` on the prepared key, from the key itself or, where another engine took its place, made for the call.
fn with_prepared<T>(cipher: Cipher, key: &Key, with: impl FnOnce(&Prepared) -> Result<T>) -> Result<T> {
    match key.prepared(cipher, |key| prepare(cipher, key))? {
        Some(prepared) => with(prepared),
        None => with(&*prepare(cipher, key)?),
    }
}

/// Runs an operation and leaves nothing of the key on the stack. aws-lc's ChaCha20-Poly1305 copies the key there, and
/// RustCrypto's AES, which XTS and CCM are built on, its round keys; neither wipes them. aws-lc's AES works on the round keys
/// where they are.
fn guarded<T>(cipher: Cipher, operation: impl FnOnce() -> T) -> T {
    match cipher {
        Cipher::ChaCha20Poly1305 | Cipher::AesXts | Cipher::AesCcm => with_wiped_frames(operation),
        _ => operation(),
    }
}

fn check_aad(options: &CipherOptions<'_>) -> Result<()> {
    if options.cipher.tag_len() == 0 && !options.aad.is_empty() {
        return Err(Error::InvalidArgument {
            argument: "associated data",
            remedy: format!("{} does not authenticate: use an authenticated cipher", options.cipher).into(),
        });
    }
    Ok(())
}

/// Fills `bytes` from the operating system. aws-lc's own generator gathers entropy for 80 ms on its first use.
pub(crate) fn random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(|error| Error::Internal {
        engine: "the operating system's random generator",
        detail: error.to_string().into(),
    })
}

fn nonce(iv: &Iv) -> Result<Nonce> {
    Nonce::try_assume_unique_for_key(iv.as_bytes()).map_err(|_| engine_failed())
}

fn bytes<const LEN: usize>(iv: &Iv) -> Result<[u8; LEN]> {
    iv.as_bytes().first_chunk().copied().ok_or_else(engine_failed)
}

fn block_iv(iv: &Iv) -> Result<FixedLength<BLOCK>> {
    bytes::<BLOCK>(iv).map(FixedLength::from)
}

fn engine_failed() -> Error {
    Error::Internal {
        engine: crate::error::SOFTWARE,
        detail: "an operation with valid arguments failed".into(),
    }
}

/// Checks what an encryption is given, with `available` bytes of room; the IV to use and the ciphertext's length.
pub(crate) fn check_encrypt(
    key: &Key,
    plaintext_len: usize,
    available: usize,
    options: &CipherOptions<'_>,
) -> Result<(Iv, usize)> {
    let cipher = options.cipher;
    key.check(cipher)?;
    check_aad(options)?;
    let iv = options.iv.ok_or(Error::InvalidArgument {
        argument: "IV",
        remedy: "a job that encrypts names one; EncryptionAccelerator::encrypt draws one where there is none"
            .into(),
    })?;
    iv.check(cipher)?;
    let lens = cipher.plaintext_lens();
    if !lens.contains(&plaintext_len) {
        return Err(Error::InvalidArgument {
            argument: "plaintext",
            remedy: format!("{cipher} takes {} to {} bytes, not {plaintext_len}", lens.start(), lens.end())
                .into(),
        });
    }
    let total = cipher.ciphertext_len(plaintext_len);
    if available < total {
        return Err(Error::OutputTooSmall { required: Some(total), available });
    }
    Ok((iv, total))
}

/// Checks what a decryption is given; the IV, and the ciphertext without and of the tag.
pub(crate) fn check_decrypt<'a>(
    key: &Key,
    ciphertext: &'a [u8],
    available: usize,
    options: &CipherOptions<'_>,
) -> Result<(Iv, &'a [u8], &'a [u8])> {
    let cipher = options.cipher;
    key.check(cipher)?;
    check_aad(options)?;
    let iv = options.iv.ok_or(Error::InvalidArgument {
        argument: "IV",
        remedy: "decryption needs the one that encryption used or returned".into(),
    })?;
    iv.check(cipher)?;
    let failed = || Error::Authentication { cipher };
    let (body, tag) = ciphertext
        .len()
        .checked_sub(cipher.tag_len())
        .map(|at| ciphertext.split_at(at))
        .ok_or_else(failed)?;
    let is_possible = match cipher.is_padded() {
        true => !body.is_empty() && body.len() % BLOCK == 0,
        false => cipher.plaintext_lens().contains(&body.len()),
    };
    if !is_possible {
        return Err(failed());
    }
    if available < body.len() {
        return Err(Error::OutputTooSmall { required: Some(body.len()), available });
    }
    Ok((iv, body, tag))
}

/// Encrypts to the front of `output`, which must hold `cipher.ciphertext_len(plaintext.len())`; the bytes written.
pub(crate) fn encrypt(
    key: &Key,
    plaintext: &[u8],
    output: &mut [u8],
    options: &CipherOptions<'_>,
) -> Result<usize> {
    let cipher = options.cipher;
    let (iv, total) = check_encrypt(key, plaintext.len(), output.len(), options)?;
    let output = &mut output[..total];
    let (body, tag) = output.split_at_mut(total - cipher.tag_len());
    with_prepared(cipher, key, |prepared| match prepared {
        Prepared::Aead(aead) => {
            let nonce = nonce(&iv)?;
            let seal = || {
                aead.seal_out_of_place_scatter(nonce, Aad::from(&*options.aad), plaintext, body, &[], tag)
                    .map_err(|_| engine_failed())
            };
            guarded(cipher, seal)
        }
        Prepared::Cbc { encrypting, mac, .. } => {
            let padding = body.len() - plaintext.len();
            body[..plaintext.len()].copy_from_slice(plaintext);
            body[plaintext.len()..].fill(padding as u8);
            encrypting
                .less_safe_encrypt(body, EncryptionContext::Iv128(block_iv(&iv)?))
                .map_err(|_| engine_failed())?;
            if let Some(mac) = mac {
                tag.copy_from_slice(&authenticate(mac, &iv, &options.aad, body).as_ref()[..tag.len()]);
            }
            Ok(())
        }
        Prepared::Ctr(ctr) => {
            body.copy_from_slice(plaintext);
            ctr.less_safe_encrypt(body, EncryptionContext::Iv128(block_iv(&iv)?))
                .map_err(|_| engine_failed())
                .map(drop)
        }
        Prepared::Xts(xts) => {
            let tweak = bytes(&iv)?;
            guarded(cipher, || xts.encrypt(tweak, plaintext, body));
            Ok(())
        }
        Prepared::Ccm(ccm) => {
            let nonce = bytes(&iv)?;
            let made = guarded(cipher, || ccm.seal(nonce, &options.aad, plaintext, body));
            tag.copy_from_slice(&made.map_err(|_| engine_failed())?);
            Ok(())
        }
    })?;
    Ok(total)
}

/// Decrypts to the front of `output`, which must hold the ciphertext without its tag; the plaintext's length.
pub(crate) fn decrypt(
    key: &Key,
    ciphertext: &[u8],
    output: &mut [u8],
    options: &CipherOptions<'_>,
) -> Result<usize> {
    let cipher = options.cipher;
    let (iv, body, tag) = check_decrypt(key, ciphertext, output.len(), options)?;
    let failed = || Error::Authentication { cipher };
    let output = &mut output[..body.len()];
    let plain_len = with_prepared(cipher, key, |prepared| match prepared {
        Prepared::Aead(aead) => {
            let nonce = nonce(&iv)?;
            let open = || {
                aead.open_separate_gather(nonce, Aad::from(&*options.aad), body, tag, output)
                    .map_err(|_| failed())
            };
            guarded(cipher, open).map(|()| output.len())
        }
        Prepared::Cbc { decrypting, mac, .. } => {
            if let Some(mac) = mac {
                let expected = authenticate(mac, &iv, &options.aad, body);
                constant_time::verify_slices_are_equal(&expected.as_ref()[..tag.len()], tag)
                    .map_err(|_| failed())?;
            }
            output.copy_from_slice(body);
            decrypting
                .decrypt(output, DecryptionContext::Iv128(block_iv(&iv)?))
                .map_err(|_| engine_failed())?;
            unpadded_len(output).ok_or_else(failed)
        }
        Prepared::Ctr(ctr) => {
            output.copy_from_slice(body);
            ctr.less_safe_encrypt(output, EncryptionContext::Iv128(block_iv(&iv)?))
                .map_err(|_| engine_failed())
                .map(|_| output.len())
        }
        Prepared::Xts(xts) => {
            let tweak = bytes(&iv)?;
            guarded(cipher, || xts.decrypt(tweak, body, output));
            Ok(output.len())
        }
        Prepared::Ccm(ccm) => {
            let tag = *tag.first_chunk().ok_or_else(failed)?;
            let nonce = bytes(&iv)?;
            guarded(cipher, || ccm.open(nonce, &options.aad, body, tag, output)).map_err(|_| failed())?;
            Ok(output.len())
        }
    });
    if plain_len.is_err() {
        output.fill(0);
    }
    plain_len
}

/// HMAC over associated data, IV, ciphertext and the associated data's bit length (RFC 7518 section 5.2.2.1).
fn authenticate(mac: &hmac::Key, iv: &Iv, aad: &[u8], body: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(mac);
    context.update(aad);
    context.update(iv.as_bytes());
    context.update(body);
    context.update(&(aad.len() as u64 * 8).to_be_bytes());
    context.sign()
}

/// Length without PKCS#7 padding (RFC 5652 section 6.3), `None` when the padding is not one. Looks at the whole last
/// block whatever it finds, so that the time taken does not tell where it differs.
pub(crate) fn unpadded_len(padded: &[u8]) -> Option<usize> {
    let last = padded.last_chunk::<BLOCK>()?;
    let padding = last[BLOCK - 1];
    let mut bad = u8::from(padding == 0) | u8::from(usize::from(padding) > BLOCK);
    for (i, byte) in last.iter().enumerate() {
        let inside = u8::from(i + usize::from(padding) >= BLOCK).wrapping_neg();
        bad |= inside & (byte ^ padding);
    }
    (std::hint::black_box(bad) == 0).then(|| padded.len() - usize::from(padding))
}
