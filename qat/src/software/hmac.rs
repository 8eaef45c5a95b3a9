//! HMAC on the CPU: aws-lc's, which it has for SHA-2; for SHA-3 it is put together from its digests.

use accel_core::{Digest, Key, Result};
use aws_lc_rs::{digest, hmac};
use zeroize::Zeroizing;

use super::hash;
use super::wipe::{WipedBox, with_wiped_stack};

/// What is derived from a key once and kept with it, in a box of its own that it never leaves.
#[allow(clippy::large_enum_variant)]
enum Prepared {
    Sha2(hmac::Key),
    /// The digests of the inner and of the outer pad (RFC 2104, section 2), to go on from.
    Sha3([digest::Context; 2]),
}

/// Computes the HMAC of `input` and gives it to `with`, whose result it returns.
pub(crate) fn hmac<T>(key: &Key, digest: Digest, input: &[u8], with: impl FnOnce(&[u8]) -> T) -> Result<T> {
    key.check_hmac()?;
    match key.prepared_hmac(digest, |key| prepare(key, digest))? {
        Some(prepared) => Ok(prepared.of(input, with)),
        None => Ok(prepare(key, digest)?.of(input, with)),
    }
}

/// Sets the HMAC up, and leaves nothing of the key on the stack.
fn prepare(key: &Key, digest: Digest) -> Result<WipedBox<Prepared>> {
    with_wiped_stack(|| set_up(key, digest).map(WipedBox::new))
}

fn set_up(key: &Key, digest: Digest) -> Result<Prepared> {
    let sha2 = match digest {
        Digest::Sha224 => hmac::HMAC_SHA224,
        Digest::Sha256 => hmac::HMAC_SHA256,
        Digest::Sha384 => hmac::HMAC_SHA384,
        Digest::Sha512 => hmac::HMAC_SHA512,
        _ => return pads(key, digest),
    };
    Ok(Prepared::Sha2(hmac::Key::new(sha2, key.encryption())))
}

fn pads(key: &Key, digest: Digest) -> Result<Prepared> {
    let algorithm = hash::algorithm(digest)?;
    let short = short_key(key.encryption(), digest)?;
    let pad = |value: u8| {
        let mut block = Zeroizing::new(vec![value; digest.block_len()]);
        block.iter_mut().zip(short.iter()).for_each(|(pad, key)| *pad ^= key);
        let mut context = digest::Context::new(algorithm);
        context.update(&block);
        context
    };
    Ok(Prepared::Sha3([pad(0x36), pad(0x5c)]))
}

/// The key, or its digest where it is longer than the digest's block (RFC 2104, section 2).
pub(crate) fn short_key(key: &[u8], digest: Digest) -> Result<Zeroizing<Vec<u8>>> {
    let is_short = key.len() <= digest.block_len();
    Ok(Zeroizing::new(if is_short { key.to_vec() } else { hash::digest(digest, key)? }))
}

impl Prepared {
    fn of<T>(&self, input: &[u8], with: impl FnOnce(&[u8]) -> T) -> T {
        match self {
            Self::Sha2(key) => with(hmac::sign(key, input).as_ref()),
            Self::Sha3([inner, outer]) => {
                let (mut inner, mut outer) = (inner.clone(), outer.clone());
                inner.update(input);
                outer.update(inner.finish().as_ref());
                with(outer.finish().as_ref())
            }
        }
    }
}
