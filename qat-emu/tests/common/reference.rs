//! Independent implementations behind the expected values of several tests. Hashes go by the device's codes: 1 SHA-1,
//! 2 MD5, 3 to 6 SHA-2, 16 to 19 SHA-3, each from the shortest to the longest digest.

use hmac::digest::{Digest, DynDigest};
use hmac::{Hmac, KeyInit, Mac};

/// One-shot hash of the crates' own buffering and padding.
pub(crate) fn hash(code: u32, data: &[u8]) -> Vec<u8> {
    let mut hasher: Box<dyn DynDigest> = match code {
        1 => Box::new(sha1::Sha1::new()),
        2 => Box::new(md5::Md5::new()),
        3 => Box::new(sha2::Sha224::new()),
        4 => Box::new(sha2::Sha256::new()),
        5 => Box::new(sha2::Sha384::new()),
        6 => Box::new(sha2::Sha512::new()),
        16 => Box::new(sha3::Sha3_224::new()),
        17 => Box::new(sha3::Sha3_256::new()),
        18 => Box::new(sha3::Sha3_384::new()),
        _ => Box::new(sha3::Sha3_512::new()),
    };
    hasher.update(data);
    hasher.finalize().into_vec()
}

/// HMAC of an independent crate.
pub(crate) fn hmac(code: u32, key: &[u8], data: &[u8]) -> Vec<u8> {
    macro_rules! mac {
        ($digest:ty) => {{
            let mut mac = Hmac::<$digest>::new_from_slice(key).expect("any key length");
            mac.update(data);
            mac.finalize().into_bytes().to_vec()
        }};
    }
    match code {
        1 => mac!(sha1::Sha1),
        2 => mac!(md5::Md5),
        3 => mac!(sha2::Sha224),
        4 => mac!(sha2::Sha256),
        5 => mac!(sha2::Sha384),
        6 => mac!(sha2::Sha512),
        code => panic!("code {code} has no HMAC here"),
    }
}

/// P_hash of RFC 5246, section 5, on an independent HMAC.
pub(crate) fn p_hash(code: u32, secret: &[u8], seed: &[u8], len: usize) -> Vec<u8> {
    let (mut a, mut out) = (seed.to_vec(), Vec::new());
    while out.len() < len {
        a = hmac(code, secret, &a);
        out.extend(hmac(code, secret, &[&a[..], seed].concat()));
    }
    out.truncate(len);
    out
}
