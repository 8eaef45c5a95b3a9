//! Where things stand in a request's data, and what they are.

/// A block of AES.
pub(super) const BLOCK: usize = 16;
/// Data of one request of a cipher whose pieces stand for themselves, in whole blocks.
pub(super) const PIECE: usize = 128 << 10;

/// Data of one request of a chain, which waits for each before the next: long enough for the way there not to matter.
pub(super) const LINK: usize = 4 << 20;

/// Where libqat wants the associated data of AES-CCM, behind what it writes there itself (`cpa_cy_sym.h`): the first block
/// of the MAC, which begins with flags and the nonce, and the data's own length.
pub(super) const CCM_AAD_AT: usize = 18;
/// Where the nonce stands in that block, and in the counter's.
pub(super) const CCM_NONCE_AT: usize = 1;

/// PKCS#7 padding (RFC 5652, section 6.3) for a plaintext of `len` bytes: this many bytes of this value.
pub(super) fn padding(len: usize) -> ([u8; BLOCK], usize) {
    let count = BLOCK - len % BLOCK;
    ([count as u8; BLOCK], count)
}

/// The counter block `blocks` behind `first`.
pub(super) fn counter(first: &[u8; BLOCK], blocks: usize) -> [u8; BLOCK] {
    u128::from_be_bytes(*first).wrapping_add(blocks as u128).to_be_bytes()
}

/// Where the piece that begins at `at` ends.
pub(super) fn piece_end(at: usize, len: usize) -> usize {
    at.saturating_add(PIECE).min(len)
}

/// The bit length of the associated data, which its HMAC ends with (RFC 7518, section 5.2.2.1).
pub(super) fn bit_len(aad: &[u8]) -> [u8; 8] {
    (aad.len() as u64 * 8).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_fills_the_last_block_and_is_never_empty() {
        assert_eq!(padding(0), ([16; 16], 16));
        assert_eq!(padding(1).1, 15);
        assert_eq!(padding(15), ([1; 16], 1));
        assert_eq!(padding(16).1, 16);
        assert_eq!(padding(100), ([12; 16], 12));
    }

    /// NIST SP 800-38A, F.5: the counter blocks of its examples.
    #[test]
    fn counters_are_128_bit_big_endian() {
        let first = 0xf0f1_f2f3_f4f5_f6f7_f8f9_fafb_fcfd_feff_u128.to_be_bytes();
        assert_eq!(counter(&first, 0), first);
        assert_eq!(counter(&first, 1), 0xf0f1_f2f3_f4f5_f6f7_f8f9_fafb_fcfd_ff00_u128.to_be_bytes());
        assert_eq!(counter(&first, 3), 0xf0f1_f2f3_f4f5_f6f7_f8f9_fafb_fcfd_ff02_u128.to_be_bytes());
        assert_eq!(counter(&[0xff; 16], 1), [0; 16]);
    }

    #[test]
    fn pieces_are_whole_blocks() {
        assert_eq!(piece_end(0, 5), 5);
        assert_eq!(piece_end(0, PIECE + 1) % BLOCK, 0);
        assert_eq!(piece_end(PIECE, PIECE + 1), PIECE + 1);
        assert_eq!(piece_end(0, 0), 0);
    }

    /// RFC 7518, appendix B.1: 42 bytes of associated data.
    #[test]
    fn the_bit_length_is_that_of_the_rfc() {
        let aad = b"The second principle of Auguste Kerckhoffs";
        assert_eq!(bit_len(aad), [0, 0, 0, 0, 0, 0, 1, 0x50]);
    }
}
