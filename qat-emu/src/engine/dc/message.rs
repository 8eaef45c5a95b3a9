//! Typed access to the compression messages.
//!
//! A request contains everything that an operation needs. The response contains counters, checksums and two error
//! codes: one of the compression slice, and one of the translator, which is the slice for dynamic Huffman coding.

use super::super::{Request, Response};
use crate::memory::{BufferList, DeviceMemory, DmaFault};

/// Is the service id of compression requests (byte 2).
pub const SERVICE: u8 = 9;

/// Defines the error codes of a response, which the library passes on as its request status.
pub mod error {
    /// A deflate block has type 3.
    pub const INVALID_BLOCK_TYPE: i8 = -1;
    /// The length of a stored block and its complement do not match.
    pub const BAD_STORED_BLOCK_LEN: i8 = -2;
    /// A deflate block has more than 286 length codes or 30 distance codes.
    pub const TOO_MANY_CODES: i8 = -3;
    /// The code length code is incomplete or over-subscribed.
    pub const INCOMPLETE_CODE_LENS: i8 = -4;
    /// A code length is repeated without a first length, or beyond the end of the table.
    pub const MORE_REPEAT: i8 = -6;
    /// The literal and length code is invalid.
    pub const BAD_LITLEN_CODES: i8 = -7;
    /// The distance code is invalid.
    pub const BAD_DIST_CODES: i8 = -8;
    /// The stream contains a code that the block does not define.
    pub const INVALID_CODE: i8 = -9;
    /// A distance reaches before the start of the data.
    pub const INVALID_DIST: i8 = -10;
    /// The destination is full.
    pub const OVERFLOW: i8 = -11;
    /// The source ends inside the stream.
    pub const INCOMPLETE_FILE: i8 = -15;
    /// A transfer to or from host memory failed.
    pub const ENDPOINT: i8 = -17;
    /// Compress-and-verify found a difference.
    pub const VERIFY: i8 = -18;
    /// The size word of an LZ4 block exceeds the configured block size.
    pub const LZ4_MAX_BLOCK_SIZE_EXCEEDED: i8 = -93;
    /// An LZ4 block decompresses to more than the configured block size.
    pub const LZ4_BLOCK_OVERFLOW: i8 = -95;
    /// An LZ4 distance is zero or reaches before the start of the data.
    pub const LZ4_DISTANCE_OUT_OF_RANGE: i8 = -100;
}

/// The bits of the response's status byte (6).
pub(crate) mod status {
    pub(crate) const COMPRESSION_FAILED: u8 = 1 << 5;
    pub(crate) const TRANSLATOR_FAILED: u8 = 1 << 4;
    pub(crate) const END_OF_LAST_BLOCK: u8 = 1 << 3;
    pub(crate) const UNSUPPORTED: u8 = 1 << 2;
}

/// The bits of the response's header flags (byte 3).
pub(crate) mod header {
    pub(crate) const VALID: u8 = 1 << 7;
    pub(crate) const VERIFIED: u8 = 1 << 6;
    pub(crate) const RECOVERED: u8 = 1 << 5;
    pub(crate) const STORED: u8 = 1 << 4;
}

/// The bits of the request's parameter flags (byte 72).
mod parameter {
    pub(super) const FINAL_BLOCK: u32 = 1 << 6;
    pub(super) const VERIFY: u32 = 1 << 16;
    pub(super) const RECOVER: u32 = 1 << 17;
    pub(super) const INJECT_VERIFY_ERROR: u32 = 1 << 18;
    pub(super) const INTEGRITY_BLOCK: u32 = 1 << 19;
    pub(super) const ACCUMULATE_XXH32: u32 = 1 << 20;
    /// Flags of later generations: append a CRC, drop data, partial decompression.
    pub(super) const LATER_GENERATIONS: u32 = 1 << 24 | 1 << 25 | 1 << 27;
}

/// The service flag (byte 4) of a stateful session.
const STATEFUL: u8 = 1 << 2;
/// The service flag (byte 4) which selects stored blocks where they are smaller.
const AUTO_SELECT_BEST: u8 = 1 << 3;

/// An operation of the compression service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    DeflateStatic,
    DeflateDynamic,
    Inflate,
    Lz4Compress,
    Lz4Decompress,
    Lz4sCompress,
}

impl Operation {
    /// Returns the operation of a command byte, if the device has it.
    pub(crate) fn from_command(command: u8) -> Option<Self> {
        Some(match command {
            0 => Self::DeflateStatic,
            1 => Self::DeflateDynamic,
            2 => Self::Inflate,
            3 => Self::Lz4Compress,
            4 => Self::Lz4Decompress,
            5 => Self::Lz4sCompress,
            _ => return None,
        })
    }

    pub(crate) fn compresses(self) -> bool {
        !matches!(self, Self::Inflate | Self::Lz4Decompress)
    }

    pub(crate) fn is_deflate(self) -> bool {
        matches!(self, Self::DeflateStatic | Self::DeflateDynamic | Self::Inflate)
    }
}

/// A compression request, whose fields are read by byte offset.
#[derive(Clone, Copy)]
pub(crate) struct DcRequest<'a>(pub(crate) &'a Request);

impl DcRequest<'_> {
    fn bytes<const N: usize>(self, at: usize) -> [u8; N] {
        std::array::from_fn(|i| self.0[at + i])
    }

    pub(crate) fn word(self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(at))
    }

    pub(crate) fn quad(self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes(at))
    }

    pub(crate) fn command(self) -> u8 {
        self.0[1]
    }

    pub(crate) fn service(self) -> u8 {
        self.0[2]
    }

    /// Returns the operation, or `None` if a device of this generation does not support it or one of its options.
    pub(crate) fn operation(self) -> Option<Operation> {
        let beyond = self.service() != SERVICE
            || self.0[4] & STATEFUL != 0
            || self.flags() & parameter::LATER_GENERATIONS != 0
            || self.word(76) != 0; // These are the length and type of a dictionary.
        if beyond { None } else { Operation::from_command(self.command()) }
    }

    pub(crate) fn auto_select_best(self) -> bool {
        self.0[4] & AUTO_SELECT_BEST != 0
    }

    /// Returns the low configuration word; the library stores both words in big-endian byte order.
    fn config_low(self) -> u32 {
        u32::from_be_bytes(self.bytes(8))
    }

    fn config_high(self) -> u32 {
        u32::from_be_bytes(self.bytes(12))
    }

    /// Returns the binary logarithm of the number of match candidates to examine.
    pub(crate) fn search_depth(self) -> u32 {
        self.config_low() >> 8 & 0xF
    }

    /// Returns the length in bytes of the shortest match in LZ4s data.
    pub(crate) fn min_match(self) -> usize {
        if self.config_low() & 1 << 4 == 0 { 3 } else { 4 }
    }

    /// Returns the largest plain size in bytes of an LZ4 block.
    pub(crate) fn lz4_block_max(self, operation: Operation) -> usize {
        let code = if operation.compresses() { self.config_high() >> 19 } else { self.config_low() >> 8 };
        0x1_0000 << (2 * (code & 3))
    }

    /// Returns whether a checksum follows each LZ4 block.
    pub(crate) fn lz4_block_checksum(self) -> bool {
        self.config_low() & 1 << 3 != 0
    }

    fn list(self, memory: &dyn DeviceMemory, address: usize, len: usize) -> Result<BufferList, DmaFault> {
        if self.0[6] & 1 == 0 {
            Ok(BufferList::flat(self.quad(address), self.word(len)))
        } else {
            BufferList::from_sgl(memory, self.quad(address))
        }
    }

    pub(crate) fn source(self, memory: &dyn DeviceMemory) -> Result<BufferList, DmaFault> {
        self.list(memory, 32, 48)
    }

    pub(crate) fn destination(self, memory: &dyn DeviceMemory) -> Result<BufferList, DmaFault> {
        self.list(memory, 40, 52)
    }

    /// Returns the number of input bytes to process.
    pub(crate) fn input_len(self) -> usize {
        self.word(56) as usize
    }

    /// Returns the number of output bytes for which the destination has space.
    pub(crate) fn output_len(self) -> usize {
        self.word(60) as usize
    }

    fn flags(self) -> u32 {
        self.word(72)
    }

    pub(crate) fn final_block(self) -> bool {
        self.flags() & parameter::FINAL_BLOCK != 0
    }

    pub(crate) fn verify(self) -> bool {
        self.flags() & parameter::VERIFY != 0
    }

    pub(crate) fn recover(self) -> bool {
        self.flags() & parameter::RECOVER != 0
    }

    pub(crate) fn injects_verify_error(self) -> bool {
        self.flags() & parameter::INJECT_VERIFY_ERROR != 0
    }

    /// Returns the address of the integrity block if the request has one; otherwise bytes 64..72 contain the two seeds.
    pub(crate) fn integrity_block(self) -> Option<u64> {
        (self.flags() & parameter::INTEGRITY_BLOCK != 0).then(|| self.quad(64))
    }

    /// Returns the address of the session's running XXH32 if the request continues one.
    pub(crate) fn xxh32_state(self) -> Option<u64> {
        (self.flags() & parameter::ACCUMULATE_XXH32 != 0).then(|| self.quad(104))
    }
}

/// The fields of a compression response that depend on the result.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ResponseFields {
    pub(crate) header: u8,
    pub(crate) translator_error: i8,
    pub(crate) error: i8,
    pub(crate) status: u8,
    pub(crate) consumed: u32,
    pub(crate) produced: u32,
    pub(crate) checksums: [u32; 2],
}

impl ResponseFields {
    /// Creates the fields for a failure of the compression slice, with zero counters.
    pub(crate) fn failure(error: i8) -> Self {
        Self { error, status: status::COMPRESSION_FAILED, ..Self::default() }
    }

    /// Returns the response to `request`.
    pub(crate) fn respond(self, request: DcRequest<'_>) -> Response {
        let mut response = [0; 32];
        response[1] = 1;
        response[2] = request.service();
        response[3] = header::VALID | self.header;
        response[4] = self.translator_error as u8;
        response[5] = self.error as u8;
        response[6] = self.status;
        response[7] = request.command();
        response[8..16].copy_from_slice(&request.0[24..32]);
        let words = [self.consumed, self.produced, self.checksums[0], self.checksums[1]];
        for (field, word) in response[16..].chunks_exact_mut(4).zip(words) {
            field.copy_from_slice(&word.to_le_bytes());
        }
        response
    }
}

/// Returns whether a response of the compression service reports that verification found a difference, whether the
/// device recovered or not.
pub(crate) fn is_verify_error(response: &Response) -> bool {
    response[2] == SERVICE
        && (response[3] & header::RECOVERED != 0 || response[5] == error::VERIFY.cast_unsigned())
}
