//! Independent implementations that compute the expected values of several tests. Hashes are selected by the device's
//! codes: 1 SHA-1, 2 MD5, 3 to 6 SHA-2, 16 to 19 SHA-3, each from the shortest to the longest digest.

use hmac::digest::{Digest, DynDigest};
use hmac::{Hmac, KeyInit, Mac};

/// Computes a hash with the one-shot functions of the hash crates, which buffer and pad themselves.
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

/// Computes HMAC with an independent crate.
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

/// Computes P_hash of RFC 5246, section 5, with an independent HMAC.
pub(crate) fn p_hash(code: u32, secret: &[u8], seed: &[u8], len: usize) -> Vec<u8> {
    let (mut a, mut out) = (seed.to_vec(), Vec::new());
    while out.len() < len {
        a = hmac(code, secret, &a);
        out.extend(hmac(code, secret, &[&a[..], seed].concat()));
    }
    out.truncate(len);
    out
}

/// Encrypts one block with AES.
pub(crate) fn encrypt_block(key: &[u8], block: [u8; 16]) -> [u8; 16] {
    use aes::cipher::BlockCipherEncrypt;
    let mut block = block.into();
    match key.len() {
        16 => aes::Aes128::new_from_slice(key).expect("key").encrypt_block(&mut block),
        24 => aes::Aes192::new_from_slice(key).expect("key").encrypt_block(&mut block),
        _ => aes::Aes256::new_from_slice(key).expect("key").encrypt_block(&mut block),
    }
    block.into()
}

/// Computes J0 of NIST SP 800-38D, 7.1.
pub(crate) fn initial_counter(h: &[u8; 16], iv: &[u8]) -> [u8; 16] {
    use ghash::universal_hash::UniversalHash;
    if iv.len() == 12 {
        let mut counter = [0, 0, 0, 1].repeat(4);
        counter[..12].copy_from_slice(iv);
        return counter.try_into().expect("a block");
    }
    let mut hash = ghash::GHash::new(&(*h).into());
    hash.update_padded(iv);
    hash.update(&[((iv.len() as u128) * 8).to_be_bytes().into()]);
    hash.finalize().into()
}

/// Encrypts whole blocks with AES-128-CBC.
pub(crate) fn cbc_encrypt(key: &[u8], iv: &[u8], plain: &[u8]) -> Vec<u8> {
    use cbc::cipher::{BlockModeEncrypt, KeyIvInit, block_padding::NoPadding};
    cbc::Encryptor::<aes::Aes128>::new_from_slices(key, iv)
        .expect("key and IV")
        .encrypt_padded_vec::<NoPadding>(plain)
}

/// Computes the pseudo-random function of RFC 2246, section 5: the halves of a secret of odd length share a byte.
pub(crate) fn tls_1_1(secret: &[u8], seed: &[u8], len: usize) -> Vec<u8> {
    let half = secret.len().div_ceil(2);
    let md5 = p_hash(2, &secret[..half], seed, len);
    let sha1 = p_hash(1, &secret[secret.len() - half..], seed, len);
    md5.iter().zip(sha1).map(|(a, b)| a ^ b).collect()
}

/// Computes up to three rounds of RFC 6101, section 6.1.
pub(crate) fn ssl3(secret: &[u8], seed: &[u8], len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for label in [&b"A"[..], b"BB", b"CCC"] {
        let inner = hash(1, &[label, secret, seed].concat());
        out.extend(hash(2, &[secret, &inner].concat()));
    }
    out.truncate(len);
    out
}

/// Computes MGF1 of RFC 8017, B.2.1.
pub(crate) fn mgf1(code: u32, seed: &[u8], len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for counter in 0_u32.. {
        if out.len() >= len {
            break;
        }
        out.extend(hash(code, &[seed, &counter.to_be_bytes()].concat()));
    }
    out.truncate(len);
    out
}

/// Builds the HkdfLabel of RFC 8446, 7.1.
pub(crate) fn hkdf_label(len: u16, name: &[u8], context: &[u8]) -> Vec<u8> {
    let full = [b"tls13 ", name].concat();
    let mut label = len.to_be_bytes().to_vec();
    label.push(full.len() as u8);
    label.extend(full);
    label.push(context.len() as u8);
    label.extend(context);
    label
}
