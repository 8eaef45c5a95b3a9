//! Scattered buffers as libqat takes them.

use std::ops::Range;
use std::ptr::{self, NonNull};

use qat_sys::{CpaBufferList, CpaFlatBuffer};

use crate::mem::{Block, Memory, NoMemory};

/// Most buffers of one list.
pub(crate) const MAX_BUFFERS: usize = 64;
/// Larger data are scattered over blocks of this length, as long as the list is long enough for them.
const PIECE: usize = 1 << 20;

/// The memory of one side of a request. A single block, the usual case, costs no allocation.
#[derive(Default)]
pub(crate) struct Blocks {
    first: Option<Block>,
    /// Where in the first block the data begin.
    start: usize,
    rest: Vec<Block>,
    len: usize,
}

impl Blocks {
    /// The first `len` bytes of `block`.
    fn one(block: Block, len: usize) -> Self {
        Self::part(block, 0..len)
    }

    /// These bytes of `block`.
    ///
    /// # Panics
    /// When it does not have them.
    pub(crate) fn part(block: Block, range: Range<usize>) -> Self {
        assert!(range.end <= block.len());
        Self { start: range.start, len: range.len(), first: Some(block), rest: Vec::new() }
    }

    /// Room for `len` bytes.
    pub(crate) fn with_room(memory: &'static Memory, len: usize) -> Result<Self, NoMemory> {
        if len <= PIECE {
            return Ok(Self::one(memory.take(len)?, len));
        }
        let piece = PIECE.max(len.div_ceil(MAX_BUFFERS).next_power_of_two());
        let mut blocks = Self { rest: Vec::with_capacity(len.div_ceil(piece)), len, ..Self::default() };
        for at in (0..len).step_by(piece) {
            blocks.rest.push(memory.take(piece.min(len - at))?);
        }
        Ok(blocks)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The parts in order; together [`len`](Self::len) bytes.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let (mut left, mut start) = (self.len, self.start);
        self.first.iter().chain(&self.rest).map(move |block| {
            let bytes = &block.bytes()[std::mem::take(&mut start)..];
            let len = bytes.len().min(left);
            left -= len;
            &bytes[..len]
        })
    }

    fn parts_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let (mut left, mut start) = (self.len, self.start);
        self.first.iter_mut().chain(&mut self.rest).map(move |block| {
            let bytes = &mut block.bytes_mut()[std::mem::take(&mut start)..];
            let len = bytes.len().min(left);
            left -= len;
            &mut bytes[..len]
        })
    }

    /// Writes `bytes` from offset `at` on.
    ///
    /// # Panics
    /// When they do not fit.
    pub(crate) fn write(&mut self, mut at: usize, mut bytes: &[u8]) {
        for part in self.parts_mut() {
            if at >= part.len() {
                at -= part.len();
                continue;
            }
            let len = bytes.len().min(part.len() - at);
            part[at..at + len].copy_from_slice(&bytes[..len]);
            bytes = &bytes[len..];
            at = 0;
        }
        assert!(bytes.is_empty(), "{} bytes too many", bytes.len());
    }

    /// Fills `out` with the bytes from offset `at` on.
    ///
    /// # Panics
    /// When there are too few.
    pub(crate) fn read(&self, mut at: usize, mut out: &mut [u8]) {
        for part in self.parts() {
            if at >= part.len() {
                at -= part.len();
                continue;
            }
            let part = &part[at..];
            let (now, later) = out.split_at_mut(part.len().min(out.len()));
            now.copy_from_slice(&part[..now.len()]);
            out = later;
            at = 0;
        }
        assert!(out.is_empty(), "{} bytes are not there", out.len());
    }

    /// The one block, where there is one.
    pub(crate) fn into_block(self) -> Option<Block> {
        self.first
    }
}

/// A `CpaBufferList` with its flat buffers in place.
pub(super) struct List {
    header: CpaBufferList,
    buffers: [CpaFlatBuffer; MAX_BUFFERS],
}

impl List {
    /// An empty list with metadata at `meta`.
    pub(super) fn new(meta: NonNull<u8>) -> Self {
        Self {
            header: CpaBufferList {
                numBuffers: 0,
                pBuffers: ptr::null_mut(),
                pUserData: ptr::null_mut(),
                pPrivateMetaData: meta.as_ptr().cast(),
            },
            buffers: [CpaFlatBuffer { dataLenInBytes: 0, pData: ptr::null_mut() }; MAX_BUFFERS],
        }
    }

    /// Names the memory of `blocks`, and gives the address of the list, which holds as long as it is not moved.
    pub(super) fn name(&mut self, blocks: &Blocks) -> *mut CpaBufferList {
        let (mut left, mut start, mut count) = (blocks.len, blocks.start, 0);
        for (block, buffer) in blocks.first.iter().chain(&blocks.rest).zip(&mut self.buffers) {
            let at = std::mem::take(&mut start);
            let len = (block.len() - at).min(left);
            // A block has at most 64 MiB.
            buffer.dataLenInBytes = len as u32;
            buffer.pData = block.at(at).as_ptr();
            left -= len;
            count += 1;
        }
        debug_assert_eq!(left, 0);
        self.header.numBuffers = count;
        self.header.pBuffers = self.buffers.as_mut_ptr();
        &mut self.header
    }
}
