//! The sessions of one instance for compression: one for each kind of request, created by the first of its kind.
//! `request`, `single` and `zero_copy` ask for them.

use std::sync::Arc;

use qat_sys as sys;

use crate::device::inflight::{Api, Direction, Session, SessionError, Stateless};
use crate::device::instances::Instance;
use crate::settings::Huffman;

/// The kind of requests that a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionKind {
    Deflate { level: u8, huffman: Huffman, checksum: Checksum },
    Inflate { checksum: Checksum },
    Lz4 { level: u8, block: Lz4Block },
    Unlz4 { block: Lz4Block, has_block_checksums: bool },
    Lz4s { level: u8 },
}

/// The checksum of the plain data that the device computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checksum {
    Crc32,
    Adler32,
}

impl Checksum {
    /// Computes the checksum on the CPU.
    pub(super) fn of(self, plain: &[u8]) -> u32 {
        match self {
            Self::Crc32 => libdeflater::crc32(plain),
            Self::Adler32 => libdeflater::adler32(plain),
        }
    }
}

/// The maximum block size of an LZ4 frame: 64 KiB, 256 KiB, 1 MiB or 4 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lz4Block(u8);

impl Lz4Block {
    /// Returns the size of exactly `len` bytes, if it exists.
    pub(crate) fn of_len(len: usize) -> Option<Self> {
        (0..4).map(Self).find(|block| block.len() == len)
    }

    /// Returns the smallest size of at least `len` bytes, if it exists.
    pub(crate) fn for_len(len: usize) -> Option<Self> {
        (0..4).map(Self).find(|block| block.len() >= len)
    }

    pub(crate) const fn len(self) -> usize {
        1 << (16 + 2 * self.0)
    }
}

/// The number of levels in the API. Generation 4 has three, to which libqat maps them.
const LEVELS: usize = 12;
const DEFLATE: usize = 0;
const INFLATE: usize = DEFLATE + LEVELS * 2 * 2;
const LZ4: usize = INFLATE + 2;
const UNLZ4: usize = LZ4 + LEVELS * 4;
const LZ4S: usize = UNLZ4 + 4 * 2;
const KINDS: usize = LZ4S + LEVELS;

impl SessionKind {
    pub(super) const fn direction(self) -> Direction {
        match self {
            Self::Inflate { .. } | Self::Unlz4 { .. } => Direction::Decompress,
            Self::Deflate { .. } | Self::Lz4 { .. } | Self::Lz4s { .. } => Direction::Compress,
        }
    }

    /// Returns the initial value of the checksum.
    pub(super) const fn seed(self) -> u32 {
        match self {
            Self::Deflate { checksum: Checksum::Adler32, .. }
            | Self::Inflate { checksum: Checksum::Adler32 } => 1,
            _ => 0,
        }
    }

    fn index(self) -> usize {
        let at = |level: u8| usize::from(level) - 1;
        match self {
            Self::Deflate { level, huffman, checksum } => {
                DEFLATE + at(level) * 4 + huffman as usize * 2 + checksum as usize
            }
            Self::Inflate { checksum } => INFLATE + checksum as usize,
            Self::Lz4 { level, block } => LZ4 + at(level) * 4 + usize::from(block.0),
            Self::Unlz4 { block, has_block_checksums } => {
                UNLZ4 + usize::from(block.0) * 2 + usize::from(has_block_checksums)
            }
            Self::Lz4s { level } => LZ4S + at(level),
        }
    }

    fn setup(self) -> sys::CpaDcSessionSetupData {
        let (format, direction, level) = match self {
            Self::Deflate { level, .. } => (sys::CPA_DC_DEFLATE, sys::CPA_DC_DIR_COMPRESS, level),
            Self::Inflate { .. } => (sys::CPA_DC_DEFLATE, sys::CPA_DC_DIR_DECOMPRESS, 1),
            Self::Lz4 { level, .. } => (sys::CPA_DC_LZ4, sys::CPA_DC_DIR_COMPRESS, level),
            Self::Unlz4 { .. } => (sys::CPA_DC_LZ4, sys::CPA_DC_DIR_DECOMPRESS, 1),
            Self::Lz4s { level } => (sys::CPA_DC_LZ4S, sys::CPA_DC_DIR_COMPRESS, level),
        };
        let huffman = match self {
            Self::Deflate { huffman: Huffman::Dynamic, .. } => sys::CPA_DC_HT_FULL_DYNAMIC,
            _ => sys::CPA_DC_HT_STATIC,
        };
        let block = match self {
            Self::Lz4 { block, .. } | Self::Unlz4 { block, .. } => u32::from(block.0),
            _ => 0,
        };
        let checksum = match self {
            Self::Deflate { checksum, .. } | Self::Inflate { checksum } => match checksum {
                Checksum::Crc32 => sys::CPA_DC_CRC32,
                Checksum::Adler32 => sys::CPA_DC_ADLER32,
            },
            Self::Lz4 { .. } | Self::Unlz4 { .. } | Self::Lz4s { .. } => sys::CPA_DC_XXHASH32,
        };
        sys::CpaDcSessionSetupData {
            compLevel: level.into(),
            compType: format,
            huffType: huffman,
            autoSelectBestHuffmanTree: sys::CPA_DC_ASB_ENABLED,
            sessDirection: direction,
            sessState: sys::CPA_DC_STATELESS,
            windowSize: sys::CPA_DC_WINSIZE_32K,
            minMatch: sys::CPA_DC_MIN_3_BYTE_MATCH,
            lz4BlockMaxSize: block,
            lz4BlockChecksum: matches!(self, Self::Unlz4 { has_block_checksums: true, .. }).into(),
            // libqat ignores this field for decompression.
            lz4BlockIndependence: matches!(self, Self::Lz4 { .. }).into(),
            checksum,
            accumulateXXHash: sys::CPA_FALSE,
        }
    }
}

/// Identifies the session that a request needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionSlot {
    kind: SessionKind,
    api: Api,
    index: usize,
}

impl SessionSlot {
    /// Returns the session for requests of this kind. `is_flat` states whether input and output are one buffer each.
    pub(super) fn new(kind: SessionKind, how: Stateless, is_flat: bool) -> Self {
        let is_deflate = matches!(kind, SessionKind::Deflate { .. } | SessionKind::Inflate { .. });
        let is_whole = how.flush == sys::CPA_DC_FLUSH_FINAL && !how.is_verified;
        let api = if is_deflate && is_whole && is_flat { Api::DataPlane } else { Api::Traditional };
        Self { kind, api, index: kind.index() }
    }
}

/// The number of sessions that an instance for compression may have: one for each kind and each of the two APIs.
pub(crate) const SESSIONS: usize = 2 * KINDS;

/// Returns the session of `instance` for requests that need `slot`, which the first of them creates.
#[inline]
pub(super) fn session(instance: &Instance, slot: SessionSlot) -> Result<&Arc<Session>, SessionError> {
    let at = slot.api as usize * KINDS + slot.index;
    instance.sessions.get(at, || instance.ring.compression_session(slot.api, &slot.kind.setup()))
}
