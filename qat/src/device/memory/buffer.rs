//! `DmaBuffer`, the device memory that programs own. The accelerator creates it; nothing here allocates.

use std::ops::{Deref, DerefMut};

use super::{Block, NoMemory};

/// Memory that the device reads and writes without a copy. It is pinned, on the accelerator's NUMA node, and contiguous
/// for the device. [`QatAccelerator::dma_buffer`](crate::QatAccelerator::dma_buffer) allocates it, and
/// [`map_memory`](crate::QatAccelerator::map_memory) maps memory of the caller. It dereferences to its bytes.
///
/// The initial content of an allocated buffer is unspecified, but never comes from another process. Dropping the buffer
/// returns its memory to the accelerator's slab, or drops the mapped region. A buffer may outlive its accelerator.
pub struct DmaBuffer {
    block: Block,
    len: usize,
}

impl DmaBuffer {
    /// Creates a buffer of the first `len` bytes of `block`.
    pub(crate) fn new(block: Block, len: usize) -> Self {
        debug_assert!(len <= block.len());
        Self { block, len }
    }

    pub(crate) fn into_block(self) -> Block {
        self.block
    }

    /// Prepares the buffer for a request in the current start of libqat.
    pub(crate) fn prepare(&mut self) -> Result<(), NoMemory> {
        self.block.prepare()
    }

    /// Returns the length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether the length is 0.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the maximum length in bytes that [`resize`](Self::resize) accepts.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.block.len()
    }

    /// Sets the length in bytes, without changing the content.
    ///
    /// # Panics
    /// Panics when `len` is greater than [`capacity`](Self::capacity).
    pub fn resize(&mut self, len: usize) {
        assert!(len <= self.capacity(), "a buffer of {} bytes cannot hold {len}", self.capacity());
        self.len = len;
    }

    /// Returns the NUMA node of the memory.
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
