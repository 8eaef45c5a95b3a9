//! Authenticated encryption: AES-GCM and GMAC, AES-CCM, and ChaCha20-Poly1305, in a single pass or over two slices.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use poly1305::Poly1305;
use poly1305::universal_hash::KeyInit;

use super::auth::cbc_mac;
use super::chain::{compare, initial_vector};
use super::cipher::{
    ALGORITHM_CHACHA20, BlockCipher, CipherSetup, MODE_CCM, MODE_CTR, MODE_GCM, increment, xor,
};
use super::request::{Partial, Payload, Region, SymRequest, fetch, fetch_array};
use super::{Completion, SymError};
use crate::memory::DeviceMemory;

/// The length in bytes of the running state of a partial message, which replaces the IV.
const STATE_LEN: usize = 48;
/// The bit in the first byte of CCM's block B0 which says that associated data follows.
const CCM_HAS_AAD: u8 = 0x40;

/// Executes command 0 with single pass, in which one slice encrypts and authenticates.
pub(super) fn single_pass(
    message: SymRequest<'_>,
    memory: &dyn DeviceMemory,
) -> Result<Completion, SymError> {
    let setup = CipherSetup::read(message, memory)?;
    let payload = Payload::new(message, memory)?;
    let region = message.cipher_region();
    let partial = message.flags().partial();
    let aad = if partial.resumes() { Vec::new() } else { associated_data(message, memory, &payload)? };
    let mut data = payload.read(region)?;
    let tag = if (setup.algorithm, setup.mode) == (ALGORITHM_CHACHA20, MODE_CTR) {
        if partial != Partial::None {
            return Err(SymError::Unsupported);
        }
        let iv = initial_vector(message, memory, 12)?;
        Some(chacha20_poly1305(&setup, &iv, &aad, &mut data)?)
    } else {
        let cipher = setup.block_cipher()?;
        if !cipher.is_aes() {
            return Err(SymError::Unsupported);
        }
        let mut state = if partial.resumes() {
            PacketState::parse(&fetch_array(memory, message.u64(64))?)
        } else {
            let len = if setup.mode == MODE_GCM { 12 } else { 16 };
            PacketState { counter: initial_vector(message, memory, len)?, ..PacketState::default() }
        };
        let tag = match setup.mode {
            MODE_GCM => {
                let mut h = [0; 16];
                cipher.encrypt(&mut h);
                if !partial.resumes() {
                    state.counter = gcm_counter(&state.counter, 1);
                }
                let mask = gcm_counter(&state.counter, 1);
                gcm(&cipher, &h, &mut state, setup.decrypt, &aad, &mut data, mask)
            }
            MODE_CCM => ccm(&cipher, &mut state, setup.decrypt, partial, &aad, &mut data)?,
            _ => return Err(SymError::Unsupported),
        };
        if partial.suspends() {
            if !data.len().is_multiple_of(16) || message.flags().iv_inline() {
                return Err(SymError::Invalid);
            }
            memory.write(message.u64(64), &state.bytes())?;
            None
        } else {
            Some(tag)
        }
    };
    payload.write(region.offset, &data)?;
    match tag {
        Some(tag) => {
            // In GMAC, the data is the associated data.
            let aad_end = if message.u64(88) == 0 { message.hash_region().end() } else { 0 };
            let end = region.end().max(aad_end);
            settle_tag(message, memory, &payload, end, &tag, message.u8(107), message.u8(107))
        }
        None => Ok(Completion::Done),
    }
}

/// Executes AES-GCM over two slices; command 3 decrypts. For an IV that is not 12 bytes long, the request contains J0.
pub(super) fn two_slice_gcm(
    message: SymRequest<'_>,
    memory: &dyn DeviceMemory,
) -> Result<Completion, SymError> {
    let (cipher, payload, region) = two_slices(message, memory)?;
    let key_block: [u8; 20] = fetch_array(memory, message.descriptor(message.quadwords(122)))?;
    let (h, aad_len) = key_block.split_at(16);
    let h: [u8; 16] = std::array::from_fn(|i| h[i]);
    let iv = initial_vector(message, memory, 16)?;
    let mask = if message.flags().gcm_iv_is_12_bytes() { gcm_counter(&iv, 1) } else { iv };
    let hashed = message.hash_region();
    let aad = if region.len == 0 && hashed.len != 0 {
        // In GMAC, the hashed region contains the associated data.
        payload.read(hashed)?
    } else {
        let len = u32::from_be_bytes(std::array::from_fn(|i| aad_len[i])) as usize;
        fetch(memory, message.u64(88), len.min(message.u8(104).into()))?
    };
    let mut data = payload.read(region)?;
    let mut state = PacketState { counter: mask, ..PacketState::default() };
    let tag = gcm(&cipher, &h, &mut state, message.command() == 3, &aad, &mut data, mask);
    payload.write(region.offset, &data)?;
    settle_tag(message, memory, &payload, hashed.end(), &tag, message.u8(118), message.u8(107))
}

/// Executes AES-CCM over two slices. The MAC covers the plaintext, so that encryption hashes first (command 3).
pub(super) fn two_slice_ccm(
    message: SymRequest<'_>,
    memory: &dyn DeviceMemory,
) -> Result<Completion, SymError> {
    let (cipher, payload, region) = two_slices(message, memory)?;
    let aad = fetch(memory, message.u64(88), message.u8(104).into())?;
    let mut data = payload.read(region)?;
    let mut state = PacketState { counter: initial_vector(message, memory, 16)?, ..PacketState::default() };
    let tag = ccm(&cipher, &mut state, message.command() == 2, Partial::None, &aad, &mut data)?;
    payload.write(region.offset, &data)?;
    settle_tag(message, memory, &payload, region.end(), &tag, message.u8(118), message.u8(107))
}

fn two_slices<'a>(
    message: SymRequest<'_>,
    memory: &'a dyn DeviceMemory,
) -> Result<(BlockCipher, Payload<'a>, Region), SymError> {
    let setup = CipherSetup::read(message, memory)?;
    let cipher = setup.block_cipher()?;
    if setup.mode != MODE_CTR || !cipher.is_aes() || message.flags().partial() != Partial::None {
        return Err(SymError::Unsupported);
    }
    Ok((cipher, Payload::new(message, memory)?, message.cipher_region()))
}

/// Returns the associated data of a single pass, which is in its own buffer, or in the source for GMAC.
fn associated_data(
    message: SymRequest<'_>,
    memory: &dyn DeviceMemory,
    payload: &Payload<'_>,
) -> Result<Vec<u8>, SymError> {
    // The fields are those of the hashed region in the other commands.
    let (iova, region) = (message.u64(88), message.hash_region());
    if iova == 0 {
        payload.read(region)
    } else {
        fetch(memory, iova.wrapping_add(region.offset as u64), region.len)
    }
}

/// Returns or compares the tag, according to the flags.
fn settle_tag(
    message: SymRequest<'_>,
    memory: &dyn DeviceMemory,
    payload: &Payload<'_>,
    data_end: usize,
    tag: &[u8; 16],
    returned: u8,
    compared: u8,
) -> Result<Completion, SymError> {
    let flags = message.flags();
    if flags.return_digest() {
        let tag = tag.get(..returned.into()).ok_or(SymError::Invalid)?;
        if flags.digest_in_buffer() {
            payload.write(data_end, tag)?;
        } else {
            memory.write(message.u64(96), tag)?;
        }
    }
    if flags.compare_digest() {
        let compared = if compared == 0 { returned } else { compared };
        let tag = tag.get(..compared.into()).ok_or(SymError::Invalid)?;
        let expected = if flags.digest_in_buffer() {
            payload.read(Region { offset: data_end, len: tag.len() })?
        } else {
            fetch(memory, message.u64(96), tag.len())?
        };
        return Ok(compare(tag, &expected));
    }
    Ok(Completion::Done)
}

/// The state of a partial message between two packets.
#[derive(Default)]
struct PacketState {
    /// The counter block of the last keystream block that was used.
    counter: [u8; 16],
    /// The value of GHASH or CBC-MAC so far.
    mac: [u8; 16],
    aad_len: u64,
    data_len: u64,
}

impl PacketState {
    fn parse(bytes: &[u8; STATE_LEN]) -> Self {
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        Self {
            counter: std::array::from_fn(|i| bytes[i]),
            mac: std::array::from_fn(|i| bytes[16 + i]),
            aad_len: word(32),
            data_len: word(40),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        [&self.counter[..], &self.mac, &self.aad_len.to_le_bytes(), &self.data_len.to_le_bytes()].concat()
    }
}

/// Returns the counter block of a 12-byte IV.
fn gcm_counter(iv: &[u8; 16], count: u32) -> [u8; 16] {
    let mut counter = *iv;
    counter[12..].copy_from_slice(&count.to_be_bytes());
    counter
}

/// Runs AES-GCM (NIST SP 800-38D) over one packet; `mask` is J0. Returns the tag of everything so far.
fn gcm(
    cipher: &BlockCipher,
    h: &[u8; 16],
    state: &mut PacketState,
    decrypt: bool,
    aad: &[u8],
    data: &mut [u8],
    mut mask: [u8; 16],
) -> [u8; 16] {
    let mut hash = Ghash { key: GHash::new(&(*h).into()), carried: state.mac };
    hash.update(aad);
    if decrypt {
        hash.update(data);
    }
    // The state contains the block that was used last, so that the next block has the counter after it.
    let mut counter = state.counter;
    increment_32(&mut counter, 1);
    cipher.ctr(&mut counter, 4, data);
    increment_32(&mut state.counter, data.len().div_ceil(16) as u32);
    if !decrypt {
        hash.update(data);
    }
    // Both values may be arbitrary, because they come from host memory.
    state.aad_len = state.aad_len.wrapping_add(aad.len() as u64);
    state.data_len = state.data_len.wrapping_add(data.len() as u64);
    state.mac = hash.value();
    let lengths = [(state.aad_len << 3).to_be_bytes(), (state.data_len << 3).to_be_bytes()];
    hash.update(lengths.as_flattened());
    cipher.encrypt(&mut mask);
    let mut tag = hash.value();
    xor(&mut tag, &mask);
    tag
}

fn increment_32(counter: &mut [u8; 16], by: u32) {
    let count = u32::from_be_bytes(std::array::from_fn(|i| counter[12 + i]));
    counter[12..].copy_from_slice(&count.wrapping_add(by).to_be_bytes());
}

/// A GHASH whose value can be saved between packets, and resumed by adding it to the next block.
struct Ghash {
    key: GHash,
    carried: [u8; 16],
}

impl Ghash {
    /// Absorbs `data`, padded with zeros to whole blocks.
    fn update(&mut self, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let mut hash = self.key.clone();
        let (first, rest) = data.split_at(data.len().min(16));
        xor(&mut self.carried, first);
        hash.update(&[self.carried.into()]);
        hash.update_padded(rest);
        self.carried = hash.finalize().into();
    }

    fn value(&self) -> [u8; 16] {
        self.carried
    }
}

/// Runs AES-CCM (NIST SP 800-38C) over one packet. The counter is A0, and the associated data starts with B0.
fn ccm(
    cipher: &BlockCipher,
    state: &mut PacketState,
    decrypt: bool,
    partial: Partial,
    aad: &[u8],
    data: &mut [u8],
) -> Result<[u8; 16], SymError> {
    let counted = usize::from(state.counter[0]) + 1;
    if counted > 15 {
        return Err(SymError::Invalid);
    }
    let mut mask = state.counter;
    mask[16 - counted..].fill(0);
    if !partial.resumes() {
        let b0 = aad.first_chunk::<16>().ok_or(SymError::Invalid)?;
        // Without associated data, the library still includes the space for its length, which is not hashed.
        let aad = if b0[0] & CCM_HAS_AAD != 0 { aad } else { &b0[..] };
        mac_padded(cipher, &mut state.mac, aad);
    }
    if !decrypt {
        mac_padded(cipher, &mut state.mac, data);
    }
    // The state contains the block that was used last, so that the next block has the counter after it.
    let mut counter = state.counter;
    increment(&mut counter[16 - counted..]);
    cipher.ctr(&mut counter, counted, data);
    let used = data.len().div_ceil(16) as u128;
    state.counter = u128::from_be_bytes(state.counter).wrapping_add(used).to_be_bytes();
    if decrypt {
        mac_padded(cipher, &mut state.mac, data);
    }
    let mut tag = state.mac;
    cipher.encrypt(&mut mask);
    xor(&mut tag, &mask);
    Ok(tag)
}

/// Updates a CBC-MAC with `data`, padded with zeros to whole blocks.
fn mac_padded(cipher: &BlockCipher, mac: &mut [u8; 16], data: &[u8]) {
    let mut filled = 0;
    cbc_mac(cipher, mac, &mut filled, data, false);
    if filled != 0 {
        cipher.encrypt(mac);
    }
}

/// Runs ChaCha20-Poly1305 (RFC 8439), and returns the tag.
fn chacha20_poly1305(
    setup: &CipherSetup,
    iv: &[u8; 16],
    aad: &[u8],
    data: &mut [u8],
) -> Result<[u8; 16], SymError> {
    let mut stream = ChaCha20::new_from_slices(&setup.key, &iv[..12]).map_err(|_| SymError::Invalid)?;
    let mut first = [0; 64];
    stream.apply_keystream(&mut first);
    let mut hash = Poly1305::new_from_slice(&first[..32]).map_err(|_| SymError::Invalid)?;
    hash.update_padded(aad);
    if setup.decrypt {
        hash.update_padded(data);
    }
    stream.try_apply_keystream(data).map_err(|_| SymError::Invalid)?;
    if !setup.decrypt {
        hash.update_padded(data);
    }
    let lengths = [(aad.len() as u64).to_le_bytes(), (data.len() as u64).to_le_bytes()];
    hash.update_padded(lengths.as_flattened());
    Ok(hash.finalize().into())
}
