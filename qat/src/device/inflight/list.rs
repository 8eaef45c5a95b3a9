//! The memory of a request's input or output, and the buffer lists that describe it to libqat. `device::compression`
//! and `device::encryption` fill the memory; `ring` passes the lists.

use std::ops::Range;
use std::ptr::{self, NonNull};

use qat_sys::{CpaBufferList, CpaFlatBuffer, CpaPhysBufferList, CpaPhysFlatBuffer};

use crate::device::memory::{Block, Memory, NoMemory};

/// The maximum number of buffers in one list.
pub(crate) const MAX_BUFFERS: usize = 64;
/// The length of the blocks that longer data is divided into, unless that needs more than [`MAX_BUFFERS`] blocks.
pub(crate) const MAX_FLAT: usize = 1 << 20;

/// The memory of a request's input or output. A single block, the usual case, needs no allocation on the heap.
#[derive(Default)]
pub(crate) struct Blocks {
    first: Option<Block>,
    /// The offset in the first block at which the data begins.
    start: usize,
    rest: Option<Box<[Block]>>,
    len: usize,
}

impl Blocks {
    /// Returns the first `len` bytes of `block`.
    fn one(block: Block, len: usize) -> Self {
        Self::part(block, 0..len)
    }

    /// Returns the bytes of `block` in `range`.
    ///
    /// # Panics
    /// Panics when the range exceeds the block.
    pub(crate) fn part(block: Block, range: Range<usize>) -> Self {
        assert!(range.end <= block.len());
        Self { start: range.start, len: range.len(), first: Some(block), rest: None }
    }

    /// Allocates `len` bytes.
    pub(crate) fn with_room(memory: &'static Memory, len: usize) -> Result<Self, NoMemory> {
        if len <= MAX_FLAT {
            return Ok(Self::one(memory.take(len)?, len));
        }
        let piece = MAX_FLAT.max(len.div_ceil(MAX_BUFFERS).next_power_of_two());
        let blocks = (0..len).step_by(piece).map(|at| memory.take(piece.min(len - at)));
        Ok(Self { rest: Some(blocks.collect::<Result<_, _>>()?), len, ..Self::default() })
    }

    /// Allocates a block and copies `bytes`, at most [`MAX_FLAT`], into it.
    #[inline(always)]
    pub(crate) fn copied(memory: &'static Memory, bytes: &[u8]) -> Result<Self, NoMemory> {
        let mut block = memory.take(bytes.len())?;
        block.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
        Ok(Self::one(block, bytes.len()))
    }

    /// Frees the blocks, if there are any.
    pub(super) fn clear(&mut self) {
        if self.first.is_some() || self.rest.is_some() {
            *self = Self::default();
        }
    }

    /// Replaces these blocks, of which there are usually none.
    pub(super) fn put(&mut self, blocks: Self) {
        self.clear();
        // The old value is empty, and the check for that in its destructor takes longer than the move.
        std::mem::forget(std::mem::replace(self, blocks));
    }

    /// Iterates over the parts of the data in order; together they are `len` bytes.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces().map(|(block, at, len)| &block.bytes()[at..][..len as usize])
    }

    fn parts_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let (mut left, mut start) = (self.len, self.start);
        self.first.iter_mut().chain(self.rest.iter_mut().flatten()).map(move |block| {
            let bytes = &mut block.bytes_mut()[std::mem::take(&mut start)..];
            let len = bytes.len().min(left);
            left -= len;
            &mut bytes[..len]
        })
    }

    /// Writes `bytes` at offset `at`.
    ///
    /// # Panics
    /// Panics when the bytes do not fit.
    pub(crate) fn write(&mut self, mut at: usize, mut bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
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
        assert!(bytes.is_empty(), "{} bytes do not fit", bytes.len());
    }

    /// Fills `out` with the bytes at offset `at`.
    ///
    /// # Panics
    /// Panics when there are too few bytes.
    #[inline(always)]
    pub(crate) fn read(&self, at: usize, out: &mut [u8]) {
        match &self.first {
            // The usual case is a single block.
            Some(block) if at + out.len() <= self.len => {
                out.copy_from_slice(&block.bytes()[self.start + at..][..out.len()]);
            }
            _ => self.gather(at, out),
        }
    }

    fn gather(&self, mut at: usize, mut out: &mut [u8]) {
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
        assert!(out.is_empty(), "{} bytes are missing", out.len());
    }

    /// Returns the bus address and the length of the data; `None` if it is empty or in several blocks.
    pub(super) fn flat(&self) -> Option<(u64, u32)> {
        let block = self.first.as_ref().filter(|_| self.rest.is_none() && self.len > 0)?;
        // A block has at most 64 MiB, so the length fits into 32 bits.
        Some((block.bus_address(self.start), self.len as u32))
    }

    /// Iterates over the blocks, with the offset and the length of the data in each.
    fn pieces(&self) -> impl Iterator<Item = (&Block, usize, u32)> {
        let (mut left, mut start) = (self.len, self.start);
        self.first.iter().chain(self.rest.iter().flatten()).map(move |block| {
            let at = std::mem::take(&mut start);
            let len = (block.len() - at).min(left);
            left -= len;
            // A block has at most 64 MiB, so the length fits into 32 bits.
            (block, at, len as u32)
        })
    }

    /// Returns the block; `None` for data in several blocks.
    pub(crate) fn into_block(self) -> Option<Block> {
        self.first
    }
}

/// A `CpaBufferList` together with its flat buffers.
pub(super) struct List {
    header: CpaBufferList,
    buffers: [CpaFlatBuffer; MAX_BUFFERS],
}

impl List {
    /// Creates an empty list whose private metadata is at `meta`.
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

    /// Makes the list describe the memory of `blocks`, and returns its address, which is valid until the list is moved.
    pub(super) fn name(&mut self, blocks: &Blocks) -> *mut CpaBufferList {
        let mut count = 0;
        for ((block, at, len), buffer) in blocks.pieces().zip(&mut self.buffers) {
            *buffer = CpaFlatBuffer { dataLenInBytes: len, pData: block.at(at).as_ptr() };
            count += 1;
        }
        self.header.numBuffers = count;
        self.header.pBuffers = self.buffers.as_mut_ptr();
        &mut self.header
    }
}

/// A `CpaPhysBufferList` followed by its flat buffers, as a device reads it.
#[repr(C)]
pub(super) struct PhysicalList {
    header: CpaPhysBufferList,
    buffers: [CpaPhysFlatBuffer; MAX_BUFFERS],
}

impl PhysicalList {
    /// Creates a list that describes the memory of `blocks`.
    pub(super) fn new(blocks: &Blocks) -> Self {
        let none = CpaPhysFlatBuffer { dataLenInBytes: 0, reserved: 0, bufferPhysAddr: 0 };
        let mut list = Self { header: CpaPhysBufferList::default(), buffers: [none; MAX_BUFFERS] };
        for ((block, at, len), buffer) in blocks.pieces().zip(&mut list.buffers) {
            (buffer.dataLenInBytes, buffer.bufferPhysAddr) = (len, block.bus_address(at));
            list.header.numBuffers += 1;
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::{c_int, c_void};

    use super::*;
    use crate::device::lifecycle::stub::symbols;

    extern "C" fn alloc(len: usize, _: c_int, align: usize) -> *mut c_void {
        let layout = std::alloc::Layout::from_size_align(len, align).unwrap();
        // SAFETY: `alloc_zeroed`: the length is not 0. The slab is leaked, so nothing frees the memory.
        unsafe { std::alloc::alloc_zeroed(layout) }.cast()
    }

    extern "C" fn bus_address(memory: *mut c_void) -> u64 {
        memory.addr() as u64
    }

    fn memory(limit: usize) -> &'static Memory {
        let find = |name: &[u8]| match name {
            b"qaeMemAllocNUMA" => Some(alloc as *const c_void),
            b"qaeVirtToPhysNUMA" => Some(bus_address as *const c_void),
            _ => None,
        };
        let symbols = Box::leak(Box::new(symbols(&[], find)));
        Box::leak(Box::new(Memory::new(symbols, 0, limit)))
    }

    fn pattern(len: usize) -> Vec<u8> {
        let mut bytes = (0..=250).collect::<Vec<u8>>().repeat(len / 251 + 1);
        bytes.truncate(len);
        bytes
    }

    #[test]
    fn data_of_any_length_is_scattered_and_gathered() {
        let memory = memory(256 << 20);
        for len in
            [0, 1, MAX_FLAT - 1, MAX_FLAT, MAX_FLAT + 1, 3 * MAX_FLAT + 5, MAX_BUFFERS * MAX_FLAT, 70 << 20]
        {
            let mut blocks = Blocks::with_room(memory, len).unwrap();
            let plain = pattern(len);
            blocks.write(0, &plain);
            assert_eq!(blocks.len, len);
            assert!(blocks.parts().collect::<Vec<_>>().concat() == plain, "{len}");
            let count = blocks.parts().filter(|part| !part.is_empty()).count();
            assert!(count <= MAX_BUFFERS && (count > 1) == (len > MAX_FLAT), "{len}: {count} parts");
            // Reads begin at any offset and cross the borders of parts.
            for at in [0, 1, MAX_FLAT - 3, MAX_FLAT, MAX_FLAT + 1, len.saturating_sub(7)] {
                let Some(expected) = plain.get(at..(at + 2 * MAX_FLAT + 3).min(len)) else { continue };
                let mut out = vec![0; expected.len()];
                blocks.read(at, &mut out);
                assert!(out == expected, "{len} from {at}");
            }
            if len > MAX_FLAT + 4 {
                blocks.write(MAX_FLAT - 4, b"borders!");
                let mut out = [0; 10];
                blocks.read(MAX_FLAT - 5, &mut out);
                assert_eq!(&out[1..9], b"borders!");
                assert_eq!((out[0], out[9]), (plain[MAX_FLAT - 5], plain[MAX_FLAT + 4]));
            }
            let mut list = List::new(NonNull::dangling());
            let header = list.name(&blocks);
            assert!(!header.is_null());
            let named = &list.buffers[..list.header.numBuffers as usize];
            assert_eq!(named.iter().map(|buffer| buffer.dataLenInBytes as usize).sum::<usize>(), len);
            for (buffer, part) in named.iter().zip(blocks.parts()) {
                assert_eq!(
                    (buffer.pData.cast_const(), buffer.dataLenInBytes as usize),
                    (part.as_ptr(), part.len())
                );
            }
            let physical = PhysicalList::new(&blocks);
            assert_eq!(physical.header.numBuffers as usize, named.len());
            for (physical, buffer) in physical.buffers.iter().zip(named) {
                // `bus_address` of this test returns the address of the process.
                assert_eq!(physical.bufferPhysAddr, buffer.pData.addr() as u64);
                assert_eq!(physical.dataLenInBytes, buffer.dataLenInBytes);
            }
        }
    }

    #[test]
    fn a_part_of_a_block_begins_where_it_is_said() {
        let memory = memory(1 << 20);
        let mut blocks = Blocks::one(memory.take(100).unwrap(), 100);
        blocks.write(0, &pattern(100));
        let blocks = Blocks::part(blocks.into_block().unwrap(), 10..90);
        let mut out = [0; 80];
        blocks.read(0, &mut out);
        assert_eq!(out[..], pattern(90)[10..]);
        blocks.read(79, &mut out[..1]);
        assert_eq!(out[0], 89);
        let mut list = List::new(NonNull::dangling());
        list.name(&blocks);
        assert_eq!(list.buffers[0].dataLenInBytes, 80);
        assert_eq!(list.buffers[0].pData.cast_const(), blocks.parts().next().unwrap().as_ptr());
        let physical = PhysicalList::new(&blocks).buffers[0];
        assert_eq!(
            (physical.bufferPhysAddr, physical.dataLenInBytes),
            (list.buffers[0].pData.addr() as u64, 80)
        );
    }

    #[test]
    fn a_copy_is_one_block_with_the_bytes() {
        for len in [0, 1, 100, MAX_FLAT] {
            let plain = pattern(len);
            let blocks = Blocks::copied(memory(4 << 20), &plain).unwrap();
            assert!(blocks.parts().collect::<Vec<_>>() == [&plain[..]], "{len}");
            let mut out = vec![0; len / 2];
            blocks.read(len - len / 2, &mut out);
            assert!(out[..] == plain[len - len / 2..], "{len}");
        }
    }

    #[test]
    #[should_panic(expected = "1 bytes are missing")]
    fn what_is_not_there_is_not_read() {
        Blocks::copied(memory(1 << 20), &[0; 10]).unwrap().read(5, &mut [0; 6]);
    }

    #[test]
    #[should_panic(expected = "1 bytes do not fit")]
    fn too_much_is_not_written() {
        Blocks::with_room(memory(1 << 20), 10).unwrap().write(5, &[0; 6]);
    }

    #[test]
    fn the_memorys_limit_is_kept() {
        assert_eq!(Blocks::with_room(memory(4 << 20), 5 << 20).err(), Some(NoMemory::Limit));
    }
}
