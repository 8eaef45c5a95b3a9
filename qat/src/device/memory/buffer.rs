//! The public kind of device memory.

use std::ops::{Deref, DerefMut};

use super::{Block, NoMemory};

/// Memory that the device reads and writes without a copy: pinned, of the accelerator's NUMA node, contiguous to the
/// device. From [`QatAccelerator::dma_buffer`](crate::QatAccelerator::dma_buffer), or
/// [`map_memory`](crate::QatAccelerator::map_memory) for memory of the caller's own; derefs to its bytes.
///
/// The accelerator's has unspecified content at first (never another process's), and goes back to its slab when dropped.
/// Both outlive the accelerator if need be.
pub struct DmaBuffer {
    block: Block,
    len: usize,
}

impl DmaBuffer {
    /// The front of `block`.
    pub(crate) fn new(block: Block, len: usize) -> Self {
        debug_assert!(len <= block.len());
        Self { block, len }
    }

    pub(crate) fn into_block(self) -> Block {
        self.block
    }

    /// Makes it ready for a request of this start.
    pub(crate) fn prepare(&mut self) -> Result<(), NoMemory> {
        self.block.prepare()
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Most bytes that [`resize`](Self::resize) can make it.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.block.len()
    }

    /// Sets the length in bytes, without touching the content.
    ///
    /// # Panics
    /// When `len` is more than [`capacity`](Self::capacity).
    pub fn resize(&mut self, len: usize) {
        assert!(len <= self.capacity(), "{len} bytes in a buffer of {}", self.capacity());
        self.len = len;
    }

    /// The NUMA node of the memory.
    #[must_use]
    pub fn node(&self) -> i32 {
        self.block.memory().node()
    }
}

impl Deref for DmaBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.block.bytes()[..self.len]
    }
}

impl DerefMut for DmaBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.block.bytes_mut()[..self.len]
    }
}

impl std::fmt::Debug for DmaBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DmaBuffer").field("len", &self.len).field("capacity", &self.capacity()).finish()
    }
}
