//! AES-XTS on the CPU (IEEE 1619): tweaks and ciphertext stealing around RustCrypto's AES. aws-lc has it for 64-byte keys
//! only, and not for Rust; crates that have it work block by block, which is several times slower.

use accel_core::Key;
use aes::cipher::{
    Array, Block, BlockCipherDecrypt, BlockCipherEncrypt, BlockSizeUser, KeyInit, consts::U16,
};
use aes::{Aes128, Aes256};

const BLOCK: usize = 16;
/// Blocks enciphered at once: they fill AES's pipeline, and their tweaks the first cache not.
const BATCH: usize = 64;

/// A key's two halves, expanded; in a box of the key's.
#[allow(clippy::large_enum_variant)]
pub(super) enum Xts {
    Aes128(Pair<Aes128>),
    Aes256(Pair<Aes256>),
}

pub(super) struct Pair<C> {
    data: C,
    tweak: C,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Encrypt,
    Decrypt,
}

impl Xts {
    /// `None` for a key of another length than 32 or 64 bytes.
    pub(super) fn new(key: &Key) -> Option<Self> {
        let bytes = key.encryption();
        match bytes.len() {
            32 => Pair::new(bytes).map(Self::Aes128),
            64 => Pair::new(bytes).map(Self::Aes256),
            _ => None,
        }
    }

    /// Encrypts a data unit of at least a block to `output`, which is as long.
    pub(super) fn encrypt(&self, tweak: [u8; BLOCK], input: &[u8], output: &mut [u8]) {
        match self {
            Self::Aes128(pair) => pair.apply(tweak, input, output, Direction::Encrypt),
            Self::Aes256(pair) => pair.apply(tweak, input, output, Direction::Encrypt),
        }
    }

    /// The reverse.
    pub(super) fn decrypt(&self, tweak: [u8; BLOCK], input: &[u8], output: &mut [u8]) {
        match self {
            Self::Aes128(pair) => pair.apply(tweak, input, output, Direction::Decrypt),
            Self::Aes256(pair) => pair.apply(tweak, input, output, Direction::Decrypt),
        }
    }
}

impl<C> Pair<C>
where
    C: KeyInit + BlockSizeUser<BlockSize = U16> + BlockCipherEncrypt + BlockCipherDecrypt,
{
    fn new(key: &[u8]) -> Option<Self> {
        let (data, tweak) = key.split_at(key.len() / 2);
        Some(Self { data: C::new_from_slice(data).ok()?, tweak: C::new_from_slice(tweak).ok()? })
    }

    fn cipher(&self, blocks: &mut [Block<C>], direction: Direction) {
        match direction {
            Direction::Encrypt => self.data.encrypt_blocks(blocks),
            Direction::Decrypt => self.data.decrypt_blocks(blocks),
        }
    }

    fn apply(&self, tweak: [u8; BLOCK], input: &[u8], output: &mut [u8], direction: Direction) {
        let mut first = Array(tweak);
        self.tweak.encrypt_block(&mut first);
        let mut next = u128::from_le_bytes(first.0);

        // Ciphertext stealing takes the last whole block together with what is behind it.
        let rest = input.len() % BLOCK;
        let whole = if rest == 0 { input.len() } else { input.len() - rest - BLOCK };
        let (input, last_input) = input.split_at(whole);
        let (output, last_output) = output.split_at_mut(whole);
        let mut tweaks = [0; BATCH];
        for (input, output) in input.chunks(BATCH * BLOCK).zip(output.chunks_mut(BATCH * BLOCK)) {
            let (input, _) = input.as_chunks::<BLOCK>();
            let (output, _) = Block::<C>::slice_as_chunks_mut(output);
            for ((input, output), tweak) in input.iter().zip(&mut *output).zip(&mut tweaks) {
                *tweak = next;
                next = double(next);
                output.0 = (u128::from_le_bytes(*input) ^ *tweak).to_le_bytes();
            }
            self.cipher(output, direction);
            for (output, tweak) in output.iter_mut().zip(&tweaks) {
                output.0 = (u128::from_le_bytes(output.0) ^ tweak).to_le_bytes();
            }
        }
        if let Some((block, rest)) = last_input.split_first_chunk() {
            let (this, last) = (next, double(next));
            // Decryption meets the two in the other order.
            let (one, two) = if direction == Direction::Encrypt { (this, last) } else { (last, this) };
            let made = self.block(*block, one, direction);
            let mut stolen = made;
            stolen[..rest.len()].copy_from_slice(rest);
            let (block, behind) = last_output.split_at_mut(BLOCK);
            block.copy_from_slice(&self.block(stolen, two, direction));
            behind.copy_from_slice(&made[..rest.len()]);
        }
    }

    fn block(&self, input: [u8; BLOCK], tweak: u128, direction: Direction) -> [u8; BLOCK] {
        let mut blocks = [Array((u128::from_le_bytes(input) ^ tweak).to_le_bytes())];
        self.cipher(&mut blocks, direction);
        (u128::from_le_bytes(blocks[0].0) ^ tweak).to_le_bytes()
    }
}

/// The next block's tweak: times the primitive element, modulo x^128 + x^7 + x^2 + x + 1 (IEEE 1619, section 5.2).
const fn double(tweak: u128) -> u128 {
    let carry = (tweak >> 127).wrapping_neg() & 0x87;
    tweak << 1 ^ carry
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use xts_mode::Xts128;

    use super::*;

    fn theirs<C>(key: &[u8], tweak: [u8; BLOCK], data: &[u8]) -> Vec<u8>
    where
        C: KeyInit + BlockSizeUser<BlockSize = U16> + BlockCipherEncrypt,
    {
        let (one, two) = key.split_at(key.len() / 2);
        let mut data = data.to_vec();
        let xts = Xts128::new(C::new_from_slice(one).unwrap(), C::new_from_slice(two).unwrap());
        xts.encrypt_sector(&mut data, Array(tweak));
        data
    }

    /// Several batches, with and without stealing, beside a crate that goes block by block.
    #[test]
    fn the_same_as_another_implementation() {
        let units = proptest::collection::vec(any::<u8>(), BLOCK..4 * BATCH * BLOCK);
        let config = ProptestConfig::with_cases(200);
        proptest!(config, |(data in units, key in any::<[u8; 32]>(), other in any::<[u8; 32]>(), tweak in any::<[u8; BLOCK]>())| {
            let long = [key, other].concat();
            let sealed = [theirs::<Aes128>(&key, tweak, &data), theirs::<Aes256>(&long, tweak, &data)];
            for (key, sealed) in [&key[..], &long].into_iter().zip(sealed) {
                let xts = Xts::new(&Key::new(key)).unwrap();
                let mut output = vec![0; data.len()];
                xts.encrypt(tweak, &data, &mut output);
                prop_assert!(output == sealed, "{} bytes", data.len());
                xts.decrypt(tweak, &sealed, &mut output);
                prop_assert!(output == data, "{} bytes", data.len());
            }
        });
    }
}
