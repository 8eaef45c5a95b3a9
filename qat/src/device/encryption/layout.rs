//! The layout of a request's data: block and piece lengths, padding, counters, and offsets that libqat defines. The
//! modules of `device::encryption` use it; nothing here submits requests.

/// The block length of AES in bytes.
pub(super) const BLOCK: usize = 16;
/// The bytes of one request for a cipher whose pieces are independent, in whole blocks.
pub(super) const PIECE: usize = 128 << 10;

/// The bytes of one request of a chain, in which each request waits for the one before: long enough that the latency of
/// a request does not matter.
pub(super) const LINK: usize = 4 << 20;

/// The offset of AES-CCM's associated data (`cpa_cy_sym.h`). libqat writes in front of it the first block of the MAC,
/// which begins with flags and the nonce, and the length of the associated data.
pub(super) const CCM_AAD_AT: usize = 18;
/// The offset of the nonce in that block, and in the counter block.
pub(super) const CCM_NONCE_AT: usize = 1;

/// Returns the PKCS#7 padding (RFC 5652, section 6.3) for a plaintext of `len` bytes: a block that begins with it, and
/// its length.
pub(super) fn padding(len: usize) -> ([u8; BLOCK], usize) {
    let count = BLOCK - len % BLOCK;
    ([count as u8; BLOCK], count)
}

/// Returns the counter block that is `blocks` after `first`.
pub(super) fn counter(first: &[u8; BLOCK], blocks: usize) -> [u8; BLOCK] {
    u128::from_be_bytes(*first).wrapping_add(blocks as u128).to_be_bytes()
}

/// Returns the end of the piece that begins at `at`.
pub(super) fn piece_end(at: usize, len: usize) -> usize {
    at.saturating_add(PIECE).min(len)
}

/// Returns the bit length of the associated data, the last input of its HMAC (RFC 7518, section 5.2.2.1).
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

    /// The expected values are the counter blocks in the examples of NIST SP 800-38A, F.5.
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

    /// The expected value is that of RFC 7518, appendix B.1, for 42 bytes of associated data.
    #[test]
    fn the_bit_length_is_that_of_the_rfc() {
        let aad = b"The second principle of Auguste Kerckhoffs";
        assert_eq!(bit_len(aad), [0, 0, 0, 0, 0, 0, 1, 0x50]);
    }
}
