//! The hash part of the content descriptor: plain hashes, HMAC in both modes, nested hashes and the AES MACs.

use super::SymError;
use super::cipher::{BlockCipher, xor};
use super::digest::{Algorithm, Hasher, INNER_PAD, OUTER_PAD, keyed};
use super::request::{Partial, SymRequest, fetch, fetch_array};
use crate::memory::DeviceMemory;

const MODE_PLAIN: u32 = 0;
const MODE_HMAC_PRECOMPUTED: u32 = 1;
const MODE_HMAC_PREFIX: u32 = 2;
const NULL: u32 = 0;
const AES_XCBC_MAC: u32 = 7;
const AES_CBC_MAC: u32 = 8;
/// The length in bytes of the longest digest of the null algorithm, which is the length of its state.
const NULL_LEN: usize = 32;
/// The bits of a setup block that this device knows: algorithm, mode and length to compare. SHA-3 with another padding
/// is unknown.
const KNOWN_SETUP: u32 = 0x00C0_7FFF;
/// The hash flags that this device knows: nested, and mode 2, which the setup block also contains. The other flags
/// select SNOW 3G and ZUC.
const KNOWN_HASH_FLAGS: u8 = 1 | 1 << 5;
/// The length in bytes of the counter that precedes the running state of a partial hash.
const COUNTER_LEN: u64 = 8;

/// The hash configuration words of the device's constant table: index, algorithm, mode.
const TABLE: [(u8, u32, u32); 7] =
    [(37, 2, 0), (41, 1, 0), (46, 1, 1), (48, 3, 0), (54, 4, 0), (60, 5, 0), (70, 6, 0)];

/// A hash configuration and the addresses of its states.
#[derive(Clone, Copy)]
struct HashSetup {
    code: u32,
    mode: u32,
    /// The number of bytes that state 1 has absorbed.
    count: u64,
    /// The address of state 1; `None` if the descriptor has none.
    state1: Option<u64>,
    /// The address of state 2.
    state2: u64,
}

impl HashSetup {
    fn read(message: SymRequest<'_>, memory: &dyn DeviceMemory) -> Result<Self, SymError> {
        let state1_len = u64::from(message.u8(121));
        if message.flags().constant_table() {
            let index = message.u8(114);
            let &(_, code, mode) =
                TABLE.iter().find(|entry| entry.0 == index).ok_or(SymError::Unsupported)?;
            // The states follow a 16-byte cipher key; a plain digest has no descriptor.
            let state1 = message.descriptor(16);
            let keyed = mode == MODE_HMAC_PRECOMPUTED;
            return Ok(Self {
                code,
                mode,
                count: if keyed { 64 } else { 0 },
                state1: keyed.then_some(state1),
                state2: state1.wrapping_add(state1_len),
            });
        }
        Self::at(
            memory,
            message.descriptor(message.quadwords(114)),
            message.descriptor(message.quadwords(122)),
        )
    }

    /// Reads the setup block at `iova`.
    fn at(memory: &dyn DeviceMemory, iova: u64, state2: u64) -> Result<Self, SymError> {
        let block: [u8; 16] = fetch_array(memory, iova)?;
        let word = u32::from_le_bytes([block[0], block[1], block[2], block[3]]);
        let counter = u32::from_be_bytes([block[8], block[9], block[10], block[11]]);
        if word & !KNOWN_SETUP != 0 {
            return Err(SymError::Unsupported);
        }
        Ok(Self {
            code: word & 15 | (word >> 22 & 3) << 4,
            mode: word >> 4 & 15,
            count: u64::from(counter),
            state1: Some(iova.wrapping_add(16)),
            state2,
        })
    }

    fn algorithm(&self) -> Result<Algorithm, SymError> {
        Algorithm::from_code(self.code).ok_or(SymError::Unsupported)
    }

    /// Creates a hash that starts with state 1.
    fn hasher(&self, memory: &dyn DeviceMemory) -> Result<Hasher, SymError> {
        let algorithm = self.algorithm()?;
        match self.state1 {
            Some(iova) if !algorithm.is_sha3() => {
                let state = fetch(memory, iova, algorithm.state_len())?;
                Ok(Hasher::resume(algorithm, &state, self.count))
            }
            _ => Ok(Hasher::new(algorithm)),
        }
    }
}

/// Returns the hash algorithm of the descriptor's inner setup block.
pub(super) fn inner_algorithm(
    message: SymRequest<'_>,
    memory: &dyn DeviceMemory,
) -> Result<Algorithm, SymError> {
    HashSetup::read(message, memory)?.algorithm()
}

/// Returns the hash algorithm of the descriptor's outer setup block.
pub(super) fn outer_algorithm(
    message: SymRequest<'_>,
    memory: &dyn DeviceMemory,
) -> Result<Algorithm, SymError> {
    outer_setup(message, memory)?.algorithm()
}

fn outer_setup(message: SymRequest<'_>, memory: &dyn DeviceMemory) -> Result<HashSetup, SymError> {
    HashSetup::at(memory, message.descriptor(message.quadwords(124)), 0)
}

/// Reads the inner and the outer prefix from the buffer that starts with the inner one.
pub(super) fn prefixes(
    message: SymRequest<'_>,
    memory: &dyn DeviceMemory,
    buffer: u64,
) -> Result<(Vec<u8>, Vec<u8>), SymError> {
    let inner = fetch(memory, buffer, message.u8(104).into())?;
    let outer = fetch(memory, buffer.wrapping_add(message.quadwords(127)), message.u8(117).into())?;
    Ok((inner, outer))
}

/// A hash or MAC over the request's hashed region.
pub(super) struct Authenticator {
    mac: MacState,
    /// The address of the running state of a partial message.
    state: u64,
    partial: Partial,
}

enum MacState {
    /// Null authentication, whose digest is always zero.
    Null,
    /// A hash, and the outer hash that absorbs its digest.
    Hash { inner: Hasher, outer: Option<Hasher> },
    /// AES-XCBC-MAC and AES-CMAC: `keys` are those for a full and for a padded last block, and `chained` is a block
    /// that is not encrypted until it is known whether it is the last one.
    Xcbc { cipher: BlockCipher, keys: [[u8; 16]; 2], chained: [u8; 16], filled: usize, started: bool },
    /// AES-CBC-MAC, padded with zeros.
    CbcMac { cipher: BlockCipher, chained: [u8; 16], filled: usize },
}

impl Authenticator {
    /// Reads the descriptor, and the running state if `partial` continues a message.
    pub(super) fn begin(
        message: SymRequest<'_>,
        memory: &dyn DeviceMemory,
        partial: Partial,
    ) -> Result<Self, SymError> {
        let setup = HashSetup::read(message, memory)?;
        let hash_flags = message.u8(113);
        if hash_flags & !KNOWN_HASH_FLAGS != 0 {
            return Err(SymError::Unsupported);
        }
        let nested = hash_flags & 1 != 0;
        let storage = COUNTER_LEN + u64::from(message.u8(121));
        let pointer = message.u64(88);
        // The pointer is the address of the prefixes; for later packets it is that of the running state, before the
        // prefixes.
        let (mut state, prefix) = if partial.resumes() {
            (pointer, pointer.wrapping_add(storage))
        } else {
            (pointer.wrapping_sub(storage), pointer)
        };
        if setup.code == NULL {
            // A null hash has no state, so that it cannot be continued.
            let whole = partial == Partial::None;
            return if whole {
                Ok(Self { mac: MacState::Null, state, partial })
            } else {
                Err(SymError::Unsupported)
            };
        }
        let saved: Option<[u8; 24]> =
            if partial.resumes() { Some(fetch_array(memory, state)?) } else { None };
        let mac = match (setup.code, setup.mode) {
            (AES_XCBC_MAC, _) => {
                let keys: [u8; 48] = fetch_array(memory, setup.state2)?;
                let key = |i: usize| std::array::from_fn(|j| keys[16 * i + j]);
                MacState::Xcbc {
                    cipher: BlockCipher::aes_128(&key(0)),
                    keys: [key(1), key(2)],
                    chained: saved.map_or([0; 16], mac_state),
                    filled: if saved.is_some() { 16 } else { 0 },
                    started: saved.is_some(),
                }
            }
            (AES_CBC_MAC, _) => MacState::CbcMac {
                cipher: BlockCipher::aes_128(&fetch_array(memory, setup.state2)?),
                chained: saved.map_or([0; 16], mac_state),
                filled: 0,
            },
            (_, MODE_PLAIN | MODE_HMAC_PRECOMPUTED | MODE_HMAC_PREFIX) => {
                let algorithm = setup.algorithm()?;
                let (inner, outer) = match setup.mode {
                    MODE_HMAC_PRECOMPUTED => {
                        if algorithm.is_sha3() {
                            return Err(SymError::Unsupported);
                        }
                        let state = fetch(memory, setup.state2, algorithm.state_len())?;
                        let outer = Hasher::resume(algorithm, &state, algorithm.block_len() as u64);
                        (setup.hasher(memory)?, Some(outer))
                    }
                    MODE_HMAC_PREFIX => {
                        let (inner, outer) = prefixes(message, memory, prefix)?;
                        if inner.len().max(outer.len()) > algorithm.block_len() {
                            return Err(SymError::Invalid);
                        }
                        (keyed(algorithm, &inner, INNER_PAD), Some(keyed(algorithm, &outer, OUTER_PAD)))
                    }
                    _ if nested => {
                        let (inner_prefix, outer_prefix) = prefixes(message, memory, prefix)?;
                        let mut inner = setup.hasher(memory)?;
                        inner.update(&inner_prefix);
                        let mut outer = outer_setup(message, memory)?.hasher(memory)?;
                        outer.update(&outer_prefix);
                        (inner, Some(outer))
                    }
                    _ => (setup.hasher(memory)?, None),
                };
                if algorithm.is_sha3() {
                    // The state of SHA-3 is longer than the space before the prefixes, so it is stored after them.
                    let behind = message.quadwords(127) + u64::from(message.u8(117));
                    state = prefix.wrapping_add(behind);
                }
                let inner = if partial.resumes() {
                    let saved = fetch(memory, state, COUNTER_LEN as usize + algorithm.state_len())?;
                    let (counter, state) = saved.split_at(COUNTER_LEN as usize);
                    let count = counter.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
                    Hasher::resume(algorithm, state, count)
                } else {
                    inner
                };
                MacState::Hash { inner, outer }
            }
            _ => return Err(SymError::Unsupported),
        };
        Ok(Self { mac, state, partial })
    }

    pub(super) fn update(&mut self, data: &[u8]) {
        match &mut self.mac {
            MacState::Null => {}
            MacState::Hash { inner, .. } => inner.update(data),
            MacState::Xcbc { cipher, chained, filled, started, .. } => {
                *started |= !data.is_empty();
                cbc_mac(cipher, chained, filled, data, true);
            }
            MacState::CbcMac { cipher, chained, filled } => cbc_mac(cipher, chained, filled, data, false),
        }
    }

    /// Ends the packet: writes the running state, or returns the whole digest.
    pub(super) fn end(self, memory: &dyn DeviceMemory) -> Result<Option<Vec<u8>>, SymError> {
        if !self.partial.suspends() {
            return Ok(Some(self.mac.finish()));
        }
        let (state, count) = match &self.mac {
            MacState::Hash { inner, .. } => inner.suspend().ok_or(SymError::Invalid)?,
            MacState::Xcbc { chained, filled: 16, .. } | MacState::CbcMac { chained, filled: 0, .. } => {
                (chained.to_vec(), 0)
            }
            _ => return Err(SymError::Invalid),
        };
        memory.write(self.state, &[&count.to_le_bytes()[..], &state].concat())?;
        Ok(None)
    }
}

impl MacState {
    fn finish(self) -> Vec<u8> {
        match self {
            Self::Null => vec![0; NULL_LEN],
            Self::Hash { inner, outer: None } => inner.finish(),
            Self::Hash { inner, outer: Some(mut outer) } => {
                outer.update(&inner.finish());
                outer.finish()
            }
            Self::Xcbc { cipher, keys, mut chained, filled, started } => {
                if started && filled == 16 {
                    xor(&mut chained, &keys[0]);
                } else {
                    chained[filled] ^= 0x80;
                    xor(&mut chained, &keys[1]);
                }
                cipher.encrypt(&mut chained);
                chained.to_vec()
            }
            Self::CbcMac { cipher, mut chained, filled } => {
                if filled != 0 {
                    cipher.encrypt(&mut chained);
                }
                chained.to_vec()
            }
        }
    }
}

/// Returns the chaining block of a MAC, which follows the counter of a saved state.
fn mac_state(saved: [u8; 24]) -> [u8; 16] {
    std::array::from_fn(|i| saved[COUNTER_LEN as usize + i])
}

/// Chains `data` into a block; with `hold`, a full block is not encrypted before more data follows.
pub(super) fn cbc_mac(
    cipher: &BlockCipher,
    chained: &mut [u8; 16],
    filled: &mut usize,
    mut data: &[u8],
    hold: bool,
) {
    while !data.is_empty() {
        if *filled == 16 {
            cipher.encrypt(chained);
            *filled = 0;
        }
        let take = (16 - *filled).min(data.len());
        xor(&mut chained[*filled..], &data[..take]);
        *filled += take;
        data = &data[take..];
        if *filled == 16 && !hold {
            cipher.encrypt(chained);
            *filled = 0;
        }
    }
}
