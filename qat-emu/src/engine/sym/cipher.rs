//! Block ciphers and their modes, as the cipher part of the content descriptor configures them.

use aes::{Aes128, Aes192, Aes256};
use des::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit, array::ArraySize};
use des::{Des, TdesEde3};

use super::SymError;
use super::request::{SymRequest, fetch, fetch_array};
use crate::memory::DeviceMemory;

/// The algorithm of the single pass that is not based on AES.
pub(super) const ALGORITHM_CHACHA20: u8 = 11;
pub(super) const MODE_CTR: u8 = 2;
pub(super) const MODE_GCM: u8 = 4;
pub(super) const MODE_CCM: u8 = 5;
const MODE_ECB: u8 = 0;
const MODE_CBC: u8 = 1;
const MODE_XTS: u8 = 6;

/// The number of blocks of keystream, or of tweaks, that are computed at once.
const BATCH: usize = 64;

/// A cipher configuration with its key.
pub(super) struct CipherSetup {
    pub(super) algorithm: u8,
    pub(super) mode: u8,
    pub(super) decrypt: bool,
    /// Whether the key is stored in its normal form and the device derives the decryption key.
    convert: bool,
    pub(super) key: Vec<u8>,
}

/// The cipher configuration words of the device's constant table: index, algorithm, mode, decrypt, convert.
const TABLE: [(u8, u8, u8, bool, bool); 14] = [
    (9, 1, MODE_ECB, false, false),
    (10, 1, MODE_ECB, true, false),
    (11, 1, MODE_CBC, false, false),
    (12, 1, MODE_CBC, true, false),
    (13, 1, MODE_CTR, false, false),
    (14, 3, MODE_ECB, false, false),
    (15, 3, MODE_ECB, false, true),
    (16, 3, MODE_ECB, true, false),
    (17, 3, MODE_ECB, true, true),
    (18, 3, MODE_CBC, false, false),
    (19, 3, MODE_CBC, false, true),
    (20, 3, MODE_CBC, true, false),
    (21, 3, MODE_CBC, true, true),
    (22, 3, MODE_CTR, false, false),
];

impl CipherSetup {
    /// Reads the cipher part of the descriptor.
    pub(super) fn read(message: SymRequest<'_>, memory: &dyn DeviceMemory) -> Result<Self, SymError> {
        let flags = message.flags();
        let (algorithm, mode, decrypt, convert, key_at) = if flags.constant_table() {
            let index = message.u8(110);
            let entry = TABLE.iter().find(|entry| entry.0 == index).ok_or(SymError::Unsupported)?;
            (entry.1, entry.2, entry.3, entry.4, 0)
        } else {
            let at = message.quadwords(110);
            let word = u32::from_le_bytes(fetch_array(memory, message.descriptor(at))?);
            let bits = |shift: u32, mask: u32| (word >> shift & mask) as u8;
            let header = if flags.unified_slice() { 16 } else { 8 };
            (bits(0, 15), bits(4, 15), word >> 8 & 1 != 0, word >> 9 & 1 != 0, at + header)
        };
        let key_len = match algorithm {
            0 => 0,
            1 => 8,
            3 => 16,
            2 | 4 => 24,
            5 | ALGORITHM_CHACHA20 => 32,
            _ => return Err(SymError::Unsupported),
        };
        let key = if message.key_inline() {
            message.bytes::<16>(8).get(..key_len).ok_or(SymError::Unsupported)?.to_vec()
        } else {
            fetch(memory, message.descriptor(key_at), key_len)?
        };
        Ok(Self { algorithm, mode, decrypt, convert, key })
    }

    /// Creates the block cipher; a key that is stored for decryption is converted back first.
    pub(super) fn block_cipher(&self) -> Result<BlockCipher, SymError> {
        // For XTS, libqat 24.02 stores the key for decryption and sets the bit `convert` nevertheless; 26.08 leaves it
        // clear.
        let reversed = self.decrypt
            && match self.mode {
                MODE_XTS => true,
                MODE_ECB | MODE_CBC => !self.convert,
                _ => false,
            };
        match self.algorithm {
            3 | 5 if reversed => BlockCipher::new(self.algorithm, &forward_key(&self.key)),
            4 if reversed => Err(SymError::Unsupported),
            _ => BlockCipher::new(self.algorithm, &self.key),
        }
    }

    /// Returns the length in bytes of the state that `libqat` calls the IV; 0 if the mode has none.
    pub(super) fn iv_len(&self) -> usize {
        match (self.algorithm, self.mode) {
            (0, _) | (_, MODE_ECB) => 0,
            (1 | 2, _) => 8,
            _ => 16,
        }
    }

    /// Runs the mode over `data`, and stores in `iv` the IV of the next packet.
    pub(super) fn run(&self, iv: &mut [u8; 16], data: &mut [u8]) -> Result<(), SymError> {
        let cipher = self.block_cipher()?;
        let aligned = data.len().is_multiple_of(cipher.block_len());
        match self.mode {
            MODE_ECB | MODE_CBC if !aligned => return Err(SymError::Invalid),
            MODE_ECB if self.decrypt => cipher.decrypt(data),
            MODE_ECB => cipher.encrypt(data),
            MODE_CBC if self.decrypt => cipher.cbc_decrypt(iv, data),
            MODE_CBC => cipher.cbc_encrypt(iv, data),
            MODE_CTR => cipher.ctr(iv, cipher.block_len(), data),
            MODE_XTS if cipher.block_len() == 16 => cipher.xts(self.decrypt, iv, data)?,
            _ => return Err(SymError::Unsupported),
        }
        Ok(())
    }
}

/// A block cipher with its key.
pub(super) enum BlockCipher {
    /// Copies the data.
    Null,
    Des(Des),
    TripleDes(TdesEde3),
    Aes128(Aes128),
    Aes192(Aes192),
    Aes256(Aes256),
}

impl BlockCipher {
    fn new(algorithm: u8, key: &[u8]) -> Result<Self, SymError> {
        let cipher = match algorithm {
            0 => Ok(Self::Null),
            1 => Des::new_from_slice(key).map(Self::Des),
            2 => TdesEde3::new_from_slice(key).map(Self::TripleDes),
            3 => Aes128::new_from_slice(key).map(Self::Aes128),
            4 => Aes192::new_from_slice(key).map(Self::Aes192),
            5 => Aes256::new_from_slice(key).map(Self::Aes256),
            _ => return Err(SymError::Unsupported),
        };
        cipher.map_err(|_| SymError::Invalid)
    }

    /// Creates an AES-128 cipher, which has the only key size of the device's MAC modes.
    pub(super) fn aes_128(key: &[u8; 16]) -> Self {
        Self::Aes128(Aes128::new(&Array(*key)))
    }

    /// Returns whether this is AES, which the AEAD modes require.
    pub(super) fn is_aes(&self) -> bool {
        matches!(self, Self::Aes128(_) | Self::Aes192(_) | Self::Aes256(_))
    }

    /// Returns the block length in bytes; 1 for the null cipher, which accepts any length.
    fn block_len(&self) -> usize {
        match self {
            Self::Null => 1,
            Self::Des(_) | Self::TripleDes(_) => 8,
            _ => 16,
        }
    }

    /// Encrypts each whole block of `data` independently.
    pub(super) fn encrypt(&self, data: &mut [u8]) {
        match self {
            Self::Null => {}
            Self::Des(cipher) => cipher.encrypt_blocks(blocks(data)),
            Self::TripleDes(cipher) => cipher.encrypt_blocks(blocks(data)),
            Self::Aes128(cipher) => cipher.encrypt_blocks(blocks(data)),
            Self::Aes192(cipher) => cipher.encrypt_blocks(blocks(data)),
            Self::Aes256(cipher) => cipher.encrypt_blocks(blocks(data)),
        }
    }

    fn decrypt(&self, data: &mut [u8]) {
        match self {
            Self::Null => {}
            Self::Des(cipher) => cipher.decrypt_blocks(blocks(data)),
            Self::TripleDes(cipher) => cipher.decrypt_blocks(blocks(data)),
            Self::Aes128(cipher) => cipher.decrypt_blocks(blocks(data)),
            Self::Aes192(cipher) => cipher.decrypt_blocks(blocks(data)),
            Self::Aes256(cipher) => cipher.decrypt_blocks(blocks(data)),
        }
    }

    fn cbc_encrypt(&self, iv: &mut [u8; 16], data: &mut [u8]) {
        let len = self.block_len();
        if matches!(self, Self::Null) {
            return;
        }
        for block in data.chunks_exact_mut(len) {
            xor(block, &iv[..len]);
            self.encrypt(block);
            iv[..len].copy_from_slice(block);
        }
    }

    fn cbc_decrypt(&self, iv: &mut [u8; 16], data: &mut [u8]) {
        let len = self.block_len();
        if matches!(self, Self::Null) || data.is_empty() {
            return;
        }
        let ciphertext = data.to_vec();
        self.decrypt(data);
        xor(&mut data[..len], &iv[..len]);
        xor(&mut data[len..], &ciphertext);
        iv[..len].copy_from_slice(&ciphertext[ciphertext.len() - len..]);
    }

    /// XORs `data` with the keystream of `counter`, and advances the counter, which is in the last `width` bytes of the
    /// block.
    pub(super) fn ctr(&self, counter: &mut [u8; 16], width: usize, data: &mut [u8]) {
        let len = self.block_len();
        if matches!(self, Self::Null) {
            return;
        }
        for chunk in data.chunks_mut(BATCH * len) {
            let mut stream = [0; BATCH * 16];
            let stream = &mut stream[..chunk.len().next_multiple_of(len)];
            for block in stream.chunks_exact_mut(len) {
                block.copy_from_slice(&counter[..len]);
                increment(&mut counter[len - width..len]);
            }
            self.encrypt(stream);
            xor(chunk, stream);
        }
    }

    /// Runs XTS with ciphertext stealing; `tweak` is already encrypted, because the library prepares it so.
    fn xts(&self, decrypt: bool, tweak: &mut [u8; 16], data: &mut [u8]) -> Result<(), SymError> {
        if data.is_empty() {
            return Ok(());
        }
        let (whole, tail) = (data.len() / 16, data.len() % 16);
        if whole == 0 {
            return Err(SymError::Invalid);
        }
        let apply = |blocks: &mut [u8], tweaks: &[u8]| {
            xor(blocks, tweaks);
            if decrypt {
                self.decrypt(blocks)
            } else {
                self.encrypt(blocks)
            }
            xor(blocks, tweaks);
        };
        let stolen = usize::from(tail != 0);
        for chunk in data[..(whole - stolen) * 16].chunks_mut(BATCH * 16) {
            let mut tweaks = [0; BATCH * 16];
            let tweaks = &mut tweaks[..chunk.len()];
            for place in tweaks.chunks_exact_mut(16) {
                place.copy_from_slice(tweak);
                double(tweak);
            }
            apply(chunk, tweaks);
        }
        if tail != 0 {
            // For decryption, the last whole block and the remainder use each other's tweak.
            let mut later = *tweak;
            double(&mut later);
            let (first, second) = if decrypt { (later, *tweak) } else { (*tweak, later) };
            let (block, rest) = data[(whole - 1) * 16..].split_at_mut(16);
            apply(block, &first);
            block[..tail].swap_with_slice(rest);
            apply(block, &second);
            *tweak = later;
            double(tweak);
        }
        Ok(())
    }
}

/// Returns the whole blocks of `data`.
fn blocks<N: ArraySize>(data: &mut [u8]) -> &mut [Array<u8, N>] {
    Array::slice_as_chunks_mut(data).0
}

/// Computes `into ^= other` over the length of the shorter one.
pub(super) fn xor(into: &mut [u8], other: &[u8]) {
    for (a, b) in into.iter_mut().zip(other) {
        *a ^= b;
    }
}

/// Increments a big-endian number.
pub(super) fn increment(counter: &mut [u8]) {
    for byte in counter.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            break;
        }
    }
}

/// Multiplies an XTS tweak by the generator of the field (IEEE 1619).
fn double(tweak: &mut [u8; 16]) {
    let value = u128::from_le_bytes(*tweak);
    *tweak = ((value << 1) ^ ((value >> 127) * 0x87)).to_le_bytes();
}

/// Computes an AES-128 or AES-256 key from the end of its key schedule.
///
/// For decryption, the library stores the last 16 bytes of the schedule, followed for AES-256 by the 16 bytes before
/// them.
fn forward_key(reversed: &[u8]) -> Vec<u8> {
    let words = reversed.len() / 4;
    let rounds = words + 6;
    // The window starts with the last `words` words of the schedule, and moves back to the first ones, which are the
    // key.
    let mut window: Vec<[u8; 4]> = reversed.as_chunks::<4>().0.to_vec();
    if words == 8 {
        window.rotate_left(4);
    }
    for index in (0..4 * (rounds + 1) - words).rev() {
        // `window` contains w[index + 1 ..= index + words]; the schedule computed the last of these from w[index].
        let last = window[words - 1];
        let position = index + words;
        let mut term = window[words - 2];
        if position.is_multiple_of(words) {
            term.rotate_left(1);
            term = term.map(substitute);
            term[0] ^= round_constant(position / words);
        } else if words == 8 && position % 8 == 4 {
            term = term.map(substitute);
        }
        window.rotate_right(1);
        window[0] = std::array::from_fn(|i| last[i] ^ term[i]);
    }
    window.concat()
}

/// Doubles a value in the AES field (FIPS 197, 4.2.1).
fn xtime(value: u8) -> u8 {
    (value << 1) ^ ((value >> 7) * 0x1b)
}

/// Returns the power of two in the AES field for a round of the key schedule; the first one is 1.
fn round_constant(round: usize) -> u8 {
    (1..round).fold(1, |value, _| xtime(value))
}

/// Computes the AES S-box (FIPS 197, 5.1.1): the inverse in the field, then the affine transformation.
fn substitute(value: u8) -> u8 {
    let multiply =
        |a: u8, b: u8| (0..8).rev().fold(0, |sum, bit| xtime(sum) ^ if b >> bit & 1 != 0 { a } else { 0 });
    // value^254 is the inverse, and 0 for the value 0.
    let inverse = (0..7).fold((1, value), |(product, power), _| {
        let power = multiply(power, power);
        (multiply(product, power), power)
    });
    let b = inverse.0;
    b ^ b.rotate_left(1) ^ b.rotate_left(2) ^ b.rotate_left(3) ^ b.rotate_left(4) ^ 0x63
}

#[cfg(test)]
mod tests {
    use super::{forward_key, substitute};

    /// The expected values are from FIPS 197, table 4 and appendix A.1 and A.3.
    #[test]
    fn key_schedule_runs_backwards() {
        assert_eq!([0x00, 0x01, 0x53, 0xff].map(substitute), [0x63, 0x7c, 0xed, 0x16]);
        let last = hex_literal::hex!("d014f9a8c9ee2589e13f0cc8b6630ca6");
        assert_eq!(forward_key(&last), hex_literal::hex!("2b7e151628aed2a6abf7158809cf4f3c"));
        let last = hex_literal::hex!("fe4890d1e6188d0b046df344706c631e cafaaae3e4d59b349adf6acebd10190d");
        assert_eq!(
            forward_key(&last),
            hex_literal::hex!("603deb1015ca71be2b73aef0857d7781 1f352c073b6108d72d9810a30914dff4")
        );
    }
}
