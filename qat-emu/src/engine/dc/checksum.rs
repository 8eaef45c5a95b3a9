//! The checksums that the codec crates do not offer: CRC-64 with a polynomial that is chosen at run time, and XXH32
//! with a state that is stored in host memory between requests.

use crate::memory::{DeviceMemory, DmaFault};

/// A CRC-64 for the integrity block, most significant bit first.
pub(crate) struct Crc64 {
    table: [u64; 256],
    reflect_in: bool,
    reflect_out: bool,
    xor_out: u64,
}

impl Crc64 {
    pub(crate) fn new(polynomial: u64, reflect_in: bool, reflect_out: bool, xor_out: u64) -> Self {
        let table = std::array::from_fn(|byte| {
            (0..8).fold((byte as u64) << 56, |r, _| (r << 1) ^ if r >> 63 == 1 { polynomial } else { 0 })
        });
        Self { table, reflect_in, reflect_out, xor_out }
    }

    /// Computes the CRC of `data`, starting with the register value `seed`.
    pub(crate) fn checksum(&self, seed: u64, data: &[u8]) -> u64 {
        let register = data.iter().fold(seed, |register, &byte| {
            let byte = if self.reflect_in { byte.reverse_bits() } else { byte };
            register << 8 ^ self.table[usize::from((register >> 56) as u8 ^ byte)]
        });
        (if self.reflect_out { register.reverse_bits() } else { register }) ^ self.xor_out
    }
}

/// The end-to-end integrity block: 64 bytes in host memory, with seeds that are replaced by results.
pub(crate) struct IntegrityBlock {
    iova: u64,
    bytes: [u8; 64],
}

impl IntegrityBlock {
    const INPUT_CRC: usize = 8;
    const OUTPUT_CRC: usize = 16;
    const TRANSLATOR_OUTPUT_CRC: usize = 32;

    pub(crate) fn read(memory: &dyn DeviceMemory, iova: u64) -> Result<Self, DmaFault> {
        let mut bytes = [0; 64];
        memory.read(iova, &mut bytes)?;
        Ok(Self { iova, bytes })
    }

    fn word(&self, at: usize) -> u32 {
        u32::from_le_bytes(std::array::from_fn(|i| self.bytes[at + i]))
    }

    fn quad(&self, at: usize) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|i| self.bytes[at + i]))
    }

    /// Returns the seeds of CRC-32 and Adler-32.
    pub(crate) fn seeds(&self) -> [u32; 2] {
        [self.word(0), self.word(4)]
    }

    /// Replaces the seeds by the results, with inverted CRC-64s if `invert` is set. Bytes 24..32 stay unchanged,
    /// because nothing reads them back: older libraries expect the translator's input CRC there, newer ones the
    /// reflection flags.
    pub(crate) fn write(
        mut self,
        memory: &dyn DeviceMemory,
        checksums: [u32; 2],
        input: &[u8],
        output: &[u8],
        invert: bool,
    ) -> Result<(), DmaFault> {
        let crc = Crc64::new(self.quad(40), self.word(24) != 0, self.word(28) != 0, self.quad(48));
        for (at, data) in
            [(Self::INPUT_CRC, input), (Self::OUTPUT_CRC, output), (Self::TRANSLATOR_OUTPUT_CRC, output)]
        {
            let sum = crc.checksum(self.quad(at), data) ^ if invert { u64::MAX } else { 0 };
            self.bytes[at..at + 8].copy_from_slice(&sum.to_le_bytes());
        }
        self.bytes[..4].copy_from_slice(&checksums[0].to_le_bytes());
        self.bytes[4..8].copy_from_slice(&checksums[1].to_le_bytes());
        memory.write(self.iova, &self.bytes)
    }
}

const PRIME: [u32; 5] = [0x9E37_79B1, 0x85EB_CA77, 0xC2B2_AE3D, 0x27D4_EB2F, 0x1656_67B1];

/// An XXH32 with seed 0 in progress, in the format of the library's session memory (40 bytes): input counter, output
/// counter, four lanes, and up to 15 bytes that are not hashed yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Xxh32 {
    total: u32,
    lanes: [u32; 4],
    tail: [u8; 16],
}

impl Xxh32 {
    pub(crate) fn new() -> Self {
        let lanes = [PRIME[0].wrapping_add(PRIME[1]), PRIME[1], 0, PRIME[0].wrapping_neg()];
        Self { total: 0, lanes, tail: [0; 16] }
    }

    pub(crate) fn read(memory: &dyn DeviceMemory, iova: u64) -> Result<Self, DmaFault> {
        let mut bytes = [0; 40];
        memory.read(iova, &mut bytes)?;
        let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        Ok(Self {
            total: word(0),
            lanes: std::array::from_fn(|i| word(8 + 4 * i)),
            tail: std::array::from_fn(|i| bytes[24 + i]),
        })
    }

    pub(crate) fn write(&self, memory: &dyn DeviceMemory, iova: u64, produced: u32) -> Result<(), DmaFault> {
        let mut bytes = [0; 40];
        let words = [self.total, produced].into_iter().chain(self.lanes);
        for (field, word) in bytes.chunks_exact_mut(4).zip(words) {
            field.copy_from_slice(&word.to_le_bytes());
        }
        bytes[24..].copy_from_slice(&self.tail);
        memory.write(iova, &bytes)
    }

    fn stripe(&mut self, stripe: &[u8]) {
        for (lane, word) in self.lanes.iter_mut().zip(stripe.chunks_exact(4)) {
            let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
            *lane = lane.wrapping_add(word.wrapping_mul(PRIME[1])).rotate_left(13).wrapping_mul(PRIME[0]);
        }
    }

    pub(crate) fn update(&mut self, mut data: &[u8]) {
        let held = self.total as usize % 16;
        self.total = self.total.wrapping_add(data.len() as u32);
        if held > 0 {
            let take = data.len().min(16 - held);
            self.tail[held..held + take].copy_from_slice(&data[..take]);
            data = &data[take..];
            if held + take < 16 {
                return;
            }
            let tail = self.tail;
            self.stripe(&tail);
        }
        let stripes = data.chunks_exact(16);
        let rest = stripes.remainder();
        stripes.for_each(|stripe| self.stripe(stripe));
        self.tail[..rest.len()].copy_from_slice(rest);
    }

    pub(crate) fn digest(&self) -> u32 {
        let mut hash = if self.total >= 16 {
            let [a, b, c, d] = self.lanes;
            let rotated = [a.rotate_left(1), b.rotate_left(7), c.rotate_left(12), d.rotate_left(18)];
            rotated.into_iter().fold(0, u32::wrapping_add)
        } else {
            PRIME[4]
        };
        hash = hash.wrapping_add(self.total);
        let words = self.tail[..self.total as usize % 16].chunks_exact(4);
        let rest = words.remainder();
        for word in words {
            let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
            hash = hash.wrapping_add(word.wrapping_mul(PRIME[2])).rotate_left(17).wrapping_mul(PRIME[3]);
        }
        for &byte in rest {
            hash = hash
                .wrapping_add(u32::from(byte).wrapping_mul(PRIME[4]))
                .rotate_left(11)
                .wrapping_mul(PRIME[0]);
        }
        hash = (hash ^ hash >> 15).wrapping_mul(PRIME[1]);
        hash = (hash ^ hash >> 13).wrapping_mul(PRIME[2]);
        hash ^ hash >> 16
    }
}
