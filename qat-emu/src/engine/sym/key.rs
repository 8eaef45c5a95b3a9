//! Key derivation: SSL 3.0, TLS 1.0 to 1.2, MGF1 and HKDF.
//!
//! The source of these requests is a flat structure of addresses, and their destination is a flat buffer. The secret of
//! TLS, and the salt or pseudo-random key of HKDF, are passed as hash prefixes, padded with zeros to a block as HMAC
//! pads its key. The descriptor selects the hash. The table lists where a request contains each length in bytes:
//!
//! | Request byte | SSL 3.0 | TLS 1.0 to 1.2 | MGF1 | HKDF |
//! |---|---|---|---|---|
//! | 56 (u16) | secret | secret | mask | secret |
//! | 58 | output | output | digest | output of Expand |
//! | 59 | labels | label | seed | info, or the number of labels |
//! | 60 | rounds | seed | | input keying material |
//! | 61 | | | | number of labels below each label |
//! | Source | seed, labels, secret | seed, label | the seed itself | keying material, info or labels, labels below |
//!
//! TLS 1.0 uses P_MD5 of the first half of the secret, which is the outer prefix, and P_SHA-1 of the second half. A
//! label of TLS 1.3 has 80 bytes: the HkdfLabel of RFC 8446 in 78 bytes, its length, and flags. In a label of the first
//! level, flag *i* requests a second key with label *i* of the second level. In a label of the second level, flags 0, 1
//! and 2 shorten the output to 12, 16 and 32 bytes.

use super::auth::{inner_algorithm, outer_algorithm, prefixes};
use super::cipher::xor;
use super::digest::{Algorithm, digest, hmac};
use super::request::{SymRequest, fetch, fetch_array};
use super::{Completion, SymError};
use crate::memory::DeviceMemory;

/// The length in bytes of a label structure: the HkdfLabel, its length, and the flags.
const LABEL_LEN: usize = 80;
/// The position of the HkdfLabel's length.
const LABEL_SIZE_AT: usize = 78;
/// The position of the flags.
const LABEL_FLAGS_AT: usize = 79;
/// The largest number of labels on each level of a request.
const MAX_LABELS: usize = 4;
/// The length in bytes of the seed of SSL 3.0, which consists of both randoms.
const SSL_SEED_LEN: usize = 64;

/// Executes command 6 (RFC 6101, 6.1): MD5(secret, SHA-1(label, secret, seed)) for the labels "A", "BB", "CCC", ...
pub(super) fn ssl3(message: SymRequest<'_>, memory: &dyn DeviceMemory) -> Result<Completion, SymError> {
    let source: [u8; 24] = fetch_array(memory, message.u64(32))?;
    let seed = fetch(memory, address(&source, 0), SSL_SEED_LEN)?;
    let labels = fetch(memory, address(&source, 1), message.u8(59).into())?;
    let secret = fetch(memory, address(&source, 2), message.u16(56).into())?;
    let mut output = Vec::new();
    let mut rest = &labels[..];
    for round in 1..=usize::from(message.u8(60)) {
        let (label, after) = rest.split_at(round.min(rest.len()));
        rest = after;
        let inner = digest(Algorithm::Sha1, &[label, &secret, &seed]);
        output.extend(digest(Algorithm::Md5, &[&secret, &inner]));
    }
    output.truncate(message.u8(58).into());
    write_output(message, memory, &output)
}

/// Executes command 7 (RFC 2246, 5): P_MD5 of one half of the secret XOR P_SHA-1 of the other half.
pub(super) fn tls_1_1(message: SymRequest<'_>, memory: &dyn DeviceMemory) -> Result<Completion, SymError> {
    let (inner, outer) = prefixes(message, memory, message.u64(88))?;
    let seed = tls_seed(message, memory)?;
    let len = message.u8(58).into();
    let mut output = expand_tls(inner_algorithm(message, memory)?, &inner, &seed, len);
    xor(&mut output, &expand_tls(outer_algorithm(message, memory)?, &outer, &seed, len));
    write_output(message, memory, &output)
}

/// Executes command 8 (RFC 5246, 5).
pub(super) fn tls_1_2(message: SymRequest<'_>, memory: &dyn DeviceMemory) -> Result<Completion, SymError> {
    let (secret, _) = prefixes(message, memory, message.u64(88))?;
    let seed = tls_seed(message, memory)?;
    let algorithm = inner_algorithm(message, memory)?;
    write_output(message, memory, &expand_tls(algorithm, &secret, &seed, message.u8(58).into()))
}

/// Returns the concatenation of a TLS request's label and seed.
fn tls_seed(message: SymRequest<'_>, memory: &dyn DeviceMemory) -> Result<Vec<u8>, SymError> {
    let source: [u8; 16] = fetch_array(memory, message.u64(32))?;
    let mut seed = fetch(memory, address(&source, 1), message.u8(59).into())?;
    seed.extend(fetch(memory, address(&source, 0), message.u8(60).into())?);
    Ok(seed)
}

/// Computes `len` bytes of P_hash of RFC 2246 and RFC 5246.
fn expand_tls(algorithm: Algorithm, secret: &[u8], seed: &[u8], len: usize) -> Vec<u8> {
    let mut output = Vec::new();
    let mut chained = hmac(algorithm, secret, &[seed]);
    while output.len() < len {
        output.extend(hmac(algorithm, secret, &[&chained, seed]));
        chained = hmac(algorithm, secret, &[&chained]);
    }
    output.truncate(len);
    output
}

/// Executes command 9 (RFC 8017, B.2.1).
pub(super) fn mgf1(message: SymRequest<'_>, memory: &dyn DeviceMemory) -> Result<Completion, SymError> {
    let seed = fetch(memory, message.u64(32), message.u8(59).into())?;
    let algorithm = inner_algorithm(message, memory)?;
    let len = usize::from(message.u16(56));
    let mut output = Vec::new();
    for counter in 0_u32.. {
        if output.len() >= len {
            break;
        }
        output.extend(digest(algorithm, &[&seed, &counter.to_be_bytes()]));
    }
    output.truncate(len);
    write_output(message, memory, &output)
}

/// Executes commands 12 to 16 (RFC 5869; RFC 8446, 7.1). All derived keys are written one after the other.
pub(super) fn hkdf(message: SymRequest<'_>, memory: &dyn DeviceMemory) -> Result<Completion, SymError> {
    let command = message.command();
    let extracts = matches!(command, 12 | 14 | 16);
    let source: [u8; 24] = fetch_array(memory, message.u64(32))?;
    let algorithm = inner_algorithm(message, memory)?;
    let (key, _) = prefixes(message, memory, message.u64(88))?;
    let mut output = Vec::new();
    let key = if extracts {
        let ikm = fetch(memory, address(&source, 0), message.u8(60).into())?;
        hmac(algorithm, &key, &[&ikm])
    } else {
        key
    };
    if extracts {
        output.extend(&key);
    }
    match command {
        13 | 14 => {
            let info = fetch(memory, address(&source, 1), message.u8(59).into())?;
            output.extend(expand(algorithm, &key, &info, message.u8(58).into()));
        }
        15 | 16 => {
            let count = usize::from(message.u8(59)).min(MAX_LABELS);
            let children = usize::from(message.u8(61)).min(MAX_LABELS);
            let labels = fetch(memory, address(&source, 1), count * LABEL_LEN)?;
            for label in labels.as_chunks::<LABEL_LEN>().0 {
                let parent = expand(algorithm, &key, hkdf_label(label), algorithm.digest_len());
                output.extend(&parent);
                for child in (0..children).filter(|child| label[LABEL_FLAGS_AT] >> child & 1 != 0) {
                    let at = address(&source, 2).wrapping_add((child * LABEL_LEN) as u64);
                    let label: [u8; LABEL_LEN] = fetch_array(memory, at)?;
                    let len = match label[LABEL_FLAGS_AT] {
                        flags if flags & 1 != 0 => 12,
                        flags if flags & 2 != 0 => 16,
                        flags if flags & 4 != 0 => 32,
                        _ => algorithm.digest_len(),
                    };
                    output.extend(expand(algorithm, &parent, hkdf_label(&label), len));
                }
            }
        }
        _ => {}
    }
    write_output(message, memory, &output)
}

/// Returns the HkdfLabel of a label structure.
fn hkdf_label(label: &[u8; LABEL_LEN]) -> &[u8] {
    &label[..usize::from(label[LABEL_SIZE_AT]).min(LABEL_SIZE_AT)]
}

/// Computes `len` bytes of HKDF-Expand of RFC 5869.
fn expand(algorithm: Algorithm, key: &[u8], info: &[u8], len: usize) -> Vec<u8> {
    let mut output = Vec::new();
    let mut block = Vec::new();
    for counter in 1..=255 {
        if output.len() >= len {
            break;
        }
        block = hmac(algorithm, key, &[&block, info, &[counter]]);
        output.extend(&block);
    }
    output.truncate(len);
    output
}

/// Returns the address with number `index` of a request's source structure.
fn address(source: &[u8], index: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| source[8 * index + i]))
}

fn write_output(
    message: SymRequest<'_>,
    memory: &dyn DeviceMemory,
    output: &[u8],
) -> Result<Completion, SymError> {
    memory.write(message.u64(40), output)?;
    Ok(Completion::Done)
}
