//! Hash functions that can start and stop with an explicit chaining value.
//!
//! HMAC with precomputed states and partial packets require this; the interfaces of the hash crates do not offer it.

use keccak::Keccak;

/// A hash function of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Sha1,
    Md5,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Sha3_224,
    Sha3_256,
    Sha3_384,
    Sha3_512,
}

impl Algorithm {
    /// Returns the algorithm of a configuration word; `None` for the MACs and for algorithms that this device does not
    /// have.
    pub(super) fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            1 => Self::Sha1,
            2 => Self::Md5,
            3 => Self::Sha224,
            4 => Self::Sha256,
            5 => Self::Sha384,
            6 => Self::Sha512,
            16 => Self::Sha3_224,
            17 => Self::Sha3_256,
            18 => Self::Sha3_384,
            19 => Self::Sha3_512,
            _ => return None,
        })
    }

    /// Returns the block length in bytes, which is the rate for SHA-3.
    pub(super) fn block_len(self) -> usize {
        match self {
            Self::Md5 | Self::Sha1 | Self::Sha224 | Self::Sha256 => 64,
            Self::Sha384 | Self::Sha512 => 128,
            Self::Sha3_224 | Self::Sha3_256 | Self::Sha3_384 | Self::Sha3_512 => 200 - 2 * self.digest_len(),
        }
    }

    /// Returns the digest length in bytes.
    pub(super) fn digest_len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha224 | Self::Sha3_224 => 28,
            Self::Sha256 | Self::Sha3_256 => 32,
            Self::Sha384 | Self::Sha3_384 => 48,
            Self::Sha512 | Self::Sha3_512 => 64,
        }
    }

    /// Returns the length in bytes of the chaining value.
    pub(super) fn state_len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha224 | Self::Sha256 => 32,
            Self::Sha384 | Self::Sha512 => 64,
            Self::Sha3_224 | Self::Sha3_256 | Self::Sha3_384 | Self::Sha3_512 => 200,
        }
    }

    /// Returns whether this is SHA-3, whose state has 200 bytes.
    pub(super) fn is_sha3(self) -> bool {
        self.state_len() == 200
    }
}

/// A chaining value.
#[derive(Clone)]
enum Core {
    Md5([u32; 4]),
    Sha1([u32; 5]),
    Sha2Narrow([u32; 8]),
    Sha2Wide([u64; 8]),
    Sha3(Box<[u64; 25]>),
}

/// A hash in progress.
#[derive(Clone)]
pub(super) struct Hasher {
    algorithm: Algorithm,
    core: Core,
    /// The number of bytes absorbed into `core`.
    count: u64,
    /// The bytes of an incomplete block that are not absorbed yet.
    pending: Vec<u8>,
}

impl Hasher {
    /// Starts with the initial value of the standard (FIPS 180-4, FIPS 202, RFC 1321).
    pub(super) fn new(algorithm: Algorithm) -> Self {
        let core = match algorithm {
            Algorithm::Md5 => Core::Md5([0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476]),
            Algorithm::Sha1 => Core::Sha1([0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0]),
            Algorithm::Sha224 => Core::Sha2Narrow([
                0xc105_9ed8,
                0x367c_d507,
                0x3070_dd17,
                0xf70e_5939,
                0xffc0_0b31,
                0x6858_1511,
                0x64f9_8fa7,
                0xbefa_4fa4,
            ]),
            Algorithm::Sha256 => Core::Sha2Narrow([
                0x6a09_e667,
                0xbb67_ae85,
                0x3c6e_f372,
                0xa54f_f53a,
                0x510e_527f,
                0x9b05_688c,
                0x1f83_d9ab,
                0x5be0_cd19,
            ]),
            Algorithm::Sha384 => Core::Sha2Wide([
                0xcbbb_9d5d_c105_9ed8,
                0x629a_292a_367c_d507,
                0x9159_015a_3070_dd17,
                0x152f_ecd8_f70e_5939,
                0x6733_2667_ffc0_0b31,
                0x8eb4_4a87_6858_1511,
                0xdb0c_2e0d_64f9_8fa7,
                0x47b5_481d_befa_4fa4,
            ]),
            Algorithm::Sha512 => Core::Sha2Wide([
                0x6a09_e667_f3bc_c908,
                0xbb67_ae85_84ca_a73b,
                0x3c6e_f372_fe94_f82b,
                0xa54f_f53a_5f1d_36f1,
                0x510e_527f_ade6_82d1,
                0x9b05_688c_2b3e_6c1f,
                0x1f83_d9ab_fb41_bd6b,
                0x5be0_cd19_137e_2179,
            ]),
            _ => Core::Sha3(Box::new([0; 25])),
        };
        Self { algorithm, core, count: 0, pending: Vec::new() }
    }

    /// Resumes from a chaining value in its memory format, after `count` bytes.
    ///
    /// Words are big-endian, except those of MD5 and SHA-3, which are little-endian. Missing bytes count as zero.
    pub(super) fn resume(algorithm: Algorithm, state: &[u8], count: u64) -> Self {
        let mut bytes = [0; 200];
        let len = state.len().min(200);
        bytes[..len].copy_from_slice(&state[..len]);
        let narrow = bytes.as_chunks::<4>().0;
        let wide = bytes.as_chunks::<8>().0;
        let core = match algorithm {
            Algorithm::Md5 => Core::Md5(std::array::from_fn(|i| u32::from_le_bytes(narrow[i]))),
            Algorithm::Sha1 => Core::Sha1(std::array::from_fn(|i| u32::from_be_bytes(narrow[i]))),
            Algorithm::Sha224 | Algorithm::Sha256 => {
                Core::Sha2Narrow(std::array::from_fn(|i| u32::from_be_bytes(narrow[i])))
            }
            Algorithm::Sha384 | Algorithm::Sha512 => {
                Core::Sha2Wide(std::array::from_fn(|i| u64::from_be_bytes(wide[i])))
            }
            _ => Core::Sha3(Box::new(std::array::from_fn(|i| u64::from_le_bytes(wide[i])))),
        };
        Self { algorithm, core, count, pending: Vec::new() }
    }

    /// Returns the chaining value in its memory format, and the number of bytes that it covers; `None` inside a block.
    pub(super) fn suspend(&self) -> Option<(Vec<u8>, u64)> {
        self.pending.is_empty().then(|| (self.chaining_value(), self.count))
    }

    fn chaining_value(&self) -> Vec<u8> {
        match &self.core {
            Core::Md5(words) => words.iter().flat_map(|w| w.to_le_bytes()).collect(),
            Core::Sha1(words) => words.iter().flat_map(|w| w.to_be_bytes()).collect(),
            Core::Sha2Narrow(words) => words.iter().flat_map(|w| w.to_be_bytes()).collect(),
            Core::Sha2Wide(words) => words.iter().flat_map(|w| w.to_be_bytes()).collect(),
            Core::Sha3(words) => words.iter().flat_map(|w| w.to_le_bytes()).collect(),
        }
    }

    /// Absorbs `data`.
    pub(super) fn update(&mut self, mut data: &[u8]) {
        let block = self.algorithm.block_len();
        if !self.pending.is_empty() {
            let take = (block - self.pending.len()).min(data.len());
            self.pending.extend_from_slice(&data[..take]);
            data = &data[take..];
            if self.pending.len() < block {
                return;
            }
            let full = std::mem::take(&mut self.pending);
            self.absorb(&full);
        }
        let whole = data.len() - data.len() % block;
        self.absorb(&data[..whole]);
        self.pending.extend_from_slice(&data[whole..]);
    }

    /// Absorbs whole blocks.
    fn absorb(&mut self, data: &[u8]) {
        self.count = self.count.wrapping_add(data.len() as u64);
        match &mut self.core {
            Core::Md5(state) => md5::block_api::compress(state, data.as_chunks().0),
            Core::Sha1(state) => sha1::block_api::compress(state, data.as_chunks().0),
            Core::Sha2Narrow(state) => sha2::block_api::compress256(state, data.as_chunks().0),
            Core::Sha2Wide(state) => sha2::block_api::compress512(state, data.as_chunks().0),
            Core::Sha3(state) => Keccak::new().with_f1600(|permute| {
                for block in data.chunks_exact(self.algorithm.block_len()) {
                    for (lane, bytes) in state.iter_mut().zip(block.as_chunks().0) {
                        *lane ^= u64::from_le_bytes(*bytes);
                    }
                    permute(state);
                }
            }),
        }
    }

    /// Pads the message and returns the digest.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let block = self.algorithm.block_len();
        let len = self.count.wrapping_add(self.pending.len() as u64);
        let mut last = std::mem::take(&mut self.pending);
        if self.algorithm.is_sha3() {
            last.push(0x06);
            last.resize(block, 0);
            last[block - 1] |= 0x80;
        } else {
            let field = block / 8;
            last.push(0x80);
            last.resize((last.len() + field).next_multiple_of(block), 0);
            let end = last.len();
            let bits = u128::from(len) * 8;
            if self.algorithm == Algorithm::Md5 {
                last[end - 8..].copy_from_slice(&bits.to_le_bytes()[..8]);
            } else {
                last[end - field..].copy_from_slice(&bits.to_be_bytes()[16 - field..]);
            }
        }
        self.absorb(&last);
        let mut digest = self.chaining_value();
        digest.truncate(self.algorithm.digest_len());
        digest
    }
}

/// Computes the hash of the concatenation of `parts`.
pub(super) fn digest(algorithm: Algorithm, parts: &[&[u8]]) -> Vec<u8> {
    let mut hasher = Hasher::new(algorithm);
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finish()
}

/// Computes the HMAC (RFC 2104) of the concatenation of `parts`.
pub(super) fn hmac(algorithm: Algorithm, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut inner = keyed(algorithm, key, INNER_PAD);
    parts.iter().for_each(|part| inner.update(part));
    let mut outer = keyed(algorithm, key, OUTER_PAD);
    outer.update(&inner.finish());
    outer.finish()
}

/// The byte with which HMAC's inner hash XORs its key.
pub(super) const INNER_PAD: u8 = 0x36;
/// The byte with which HMAC's outer hash XORs its key.
pub(super) const OUTER_PAD: u8 = 0x5c;

/// Creates a hash that has absorbed the padded key of HMAC.
pub(super) fn keyed(algorithm: Algorithm, key: &[u8], pad: u8) -> Hasher {
    let hashed;
    let mut block = vec![pad; algorithm.block_len()];
    let key = if key.len() > block.len() {
        hashed = digest(algorithm, &[key]);
        &hashed
    } else {
        key
    };
    super::cipher::xor(&mut block, key);
    let mut hasher = Hasher::new(algorithm);
    hasher.update(&block);
    hasher
}
