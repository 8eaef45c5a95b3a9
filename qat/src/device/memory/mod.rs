//! Memory that devices access: a slab allocator over libusdm for each NUMA node, and memory of callers that is mapped.
//! Requests, sessions and `DmaBuffer`s use it; nothing here submits requests.
//!
//! By type, a request can use no other memory. libqat 24.02 rejects other memory, and 26.08 would let the device access
//! bus address 0 instead.

mod buffer;
mod mapped;

use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use qat_sys::Symbols;

use crate::raw::mem;

pub use buffer::DmaBuffer;
pub(crate) use mapped::NotMapped;
use mapped::{Mappings, Region};

/// The base-2 logarithm of the smallest block's length.
const SMALLEST: u32 = 11;
/// The base-2 logarithm of the largest block's length, which is the maximum of one libusdm allocation.
const LARGEST: u32 = 26;
const CLASSES: usize = (LARGEST - SMALLEST + 1) as usize;
/// The bytes that are allocated from libusdm at once for smaller blocks.
const CHUNK: usize = 512 << 10;
/// The alignment of blocks, which suffices for every structure of libqat and for whole cache lines.
const ALIGN: usize = 64;

/// The slab allocator of one NUMA node. It is never freed itself; [`trim`](Self::trim) returns unused memory to
/// libusdm.
pub(crate) struct Memory {
    symbols: &'static Symbols,
    node: i32,
    limit: usize,
    allocated: AtomicUsize,
    /// The free blocks by class. The block that was freed last is taken first, because it is still in the CPU caches.
    classes: [Mutex<Stack>; CLASSES],
    chunks: Mutex<Vec<Chunk>>,
    mapped: Mappings,
}

/// The free blocks of one class. They are boxed, because each request moves its blocks several times.
type Stack = Vec<Box<Extent>>;

/// One allocation of libusdm, divided into blocks of one class.
struct Chunk {
    address: Address,
    len: usize,
    class: usize,
}

/// The address of a block in the process, and its bus address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address {
    start: NonNull<u8>,
    bus: u64,
}

// SAFETY: `qae_mem.h` ties memory to no thread; an address is only dereferenced by the owner of its block or chunk.
unsafe impl Send for Address {}
// SAFETY: a shared address is only compared and passed to libqat, never dereferenced.
unsafe impl Sync for Address {}

impl Address {
    pub(crate) fn as_ptr(self) -> NonNull<u8> {
        self.start
    }
}

/// Why memory could not be allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoMemory {
    /// The length exceeds the largest block.
    TooLarge,
    /// The limit is reached until blocks in use are freed.
    Limit,
    /// libusdm has no memory.
    System,
}

impl Memory {
    /// Creates an empty slab on `node` that grows to at most `limit` bytes.
    pub(crate) fn new(symbols: &'static Symbols, node: i32, limit: usize) -> Self {
        Self {
            symbols,
            node,
            limit,
            allocated: AtomicUsize::new(0),
            classes: [const { Mutex::new(Vec::new()) }; CLASSES],
            chunks: Mutex::default(),
            mapped: Mappings::default(),
        }
    }

    /// Returns the NUMA node.
    pub(crate) fn node(&self) -> i32 {
        self.node
    }

    /// Returns the number of bytes allocated from libusdm.
    pub(crate) fn allocated(&self) -> usize {
        self.allocated.load(Relaxed)
    }

    /// Returns the number of bytes in blocks that are not free.
    pub(crate) fn in_use(&self) -> usize {
        let chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = chunks.iter().map(|chunk| chunk.len).sum();
        let free = |class| self.free(class).len() * Self::block_len(class);
        all.saturating_sub((0..CLASSES).map(free).sum())
    }

    /// Allows mapping regions of callers, because libqat was started.
    pub(crate) fn open(&self) {
        self.mapped.open();
    }

    /// Unmaps all regions of callers, because libqat is about to stop.
    pub(crate) fn close(&self) {
        self.mapped.close(self.symbols);
    }

    /// Returns the maximum number of bytes that may be allocated from libusdm.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    #[inline(always)]
    fn class_of(len: usize) -> Result<usize, NoMemory> {
        let power = len.max(1).checked_next_power_of_two().ok_or(NoMemory::TooLarge)?.ilog2();
        if power > LARGEST {
            return Err(NoMemory::TooLarge);
        }
        Ok(power.saturating_sub(SMALLEST) as usize)
    }

    const fn block_len(class: usize) -> usize {
        1 << (SMALLEST as usize + class)
    }

    #[inline(always)]
    fn free(&self, class: usize) -> MutexGuard<'_, Stack> {
        self.classes[class].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a block of at least `len` bytes with unspecified content.
    #[inline(always)]
    pub(crate) fn take(&'static self, len: usize) -> Result<Block, NoMemory> {
        let class = Self::class_of(len)?;
        let free = self.free(class).pop();
        let extent = match free {
            Some(extent) => extent,
            None => self.grow(class)?,
        };
        Ok(Block::new(extent))
    }

    #[cold]
    fn grow(&'static self, class: usize) -> Result<Box<Extent>, NoMemory> {
        let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(extent) = self.free(class).pop() {
            return Ok(extent);
        }
        let block_len = Self::block_len(class);
        let len = block_len.max(CHUNK);
        if self.allocated() + len > self.limit {
            self.trim_locked(&mut chunks);
            if self.allocated() + len > self.limit {
                return Err(NoMemory::Limit);
            }
        }
        // SAFETY: `mem::alloc`: the symbols are libusdm's by the contract of `Library::load`.
        let start = unsafe { mem::alloc(self.symbols, len, self.node, ALIGN) }.ok_or(NoMemory::System)?;
        // SAFETY: `mem::bus_address`: `mem::alloc` returned the address above.
        let Some(bus) = (unsafe { mem::bus_address(self.symbols, start) }) else {
            // SAFETY: `mem::free`: `mem::alloc` returned the memory above, and nothing else refers to it.
            unsafe { mem::free(self.symbols, start) };
            return Err(NoMemory::System);
        };
        let first = Address { start, bus };
        self.allocated.fetch_add(len, Relaxed);
        chunks.push(Chunk { address: first, len, class });
        let mut free = self.free(class);
        // The stack gets capacity for all blocks of the class, so that dropping a block never allocates.
        let blocks: usize =
            chunks.iter().filter(|chunk| chunk.class == class).map(|chunk| chunk.len / block_len).sum();
        free.reserve(blocks);
        let extent =
            |address| Box::new(Extent { address, len: block_len, class, memory: self, region: None });
        free.extend((block_len..len).step_by(block_len).map(|at| {
            // SAFETY: `NonNull::add`: `at` is less than `len`, so the address is inside the allocation.
            let start = unsafe { start.add(at) };
            extent(Address { start, bus: bus + at as u64 })
        }));
        Ok(extent(first))
    }

    /// Returns chunks to libusdm of which no block is in use.
    pub(crate) fn trim(&self) {
        self.trim_locked(&mut self.chunks.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn trim_locked(&self, chunks: &mut Vec<Chunk>) {
        let mut free: Vec<Stack> = (0..CLASSES).map(|class| std::mem::take(&mut *self.free(class))).collect();
        free.iter_mut().for_each(|extents| extents.sort_unstable_by_key(|extent| extent.address));
        chunks.retain(|chunk| {
            let extents = &mut free[chunk.class];
            let end = chunk.address.start.addr().get() + chunk.len;
            let from = extents.partition_point(|extent| extent.address < chunk.address);
            let to = extents.partition_point(|extent| extent.address.start.addr().get() < end);
            if (to - from) * Self::block_len(chunk.class) < chunk.len {
                return true;
            }
            extents.drain(from..to);
            // SAFETY: `mem::free`: `grow` allocated the chunk, and all its blocks were free, so no request or buffer
            // uses them.
            unsafe { mem::free(self.symbols, chunk.address.start) };
            self.allocated.fetch_sub(chunk.len, Relaxed);
            false
        });
        for (class, extents) in free.into_iter().enumerate() {
            self.free(class).extend(extents);
        }
    }
}

/// The memory of a block.
struct Extent {
    address: Address,
    len: usize,
    class: usize,
    memory: &'static Memory,
    /// The mapped region of a caller, which belongs to no class; `None` for memory of the slab.
    region: Option<Region>,
}

/// A block of device memory, which returns to its slab when it is dropped.
pub(crate) struct Block(ManuallyDrop<Box<Extent>>);

impl Block {
    fn new(extent: Box<Extent>) -> Self {
        Self(ManuallyDrop::new(extent))
    }

    /// Returns the length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.len
    }

    pub(crate) fn as_ptr(&self) -> NonNull<u8> {
        self.0.address.start
    }

    /// Returns the addresses of the block.
    pub(crate) fn address(&self) -> Address {
        self.0.address
    }

    /// Returns the address of the byte at `offset`.
    ///
    /// # Panics
    /// Panics when the block is not longer than `offset`.
    pub(crate) fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset < self.len());
        // SAFETY: `NonNull::add`: the assertion above keeps the address inside the block.
        unsafe { self.0.address.start.add(offset) }
    }

    /// Returns the bus address of the byte at `offset`. The block is contiguous for the device.
    ///
    /// # Panics
    /// Panics when the block is not longer than `offset`.
    pub(crate) fn bus_address(&self, offset: usize) -> u64 {
        assert!(offset < self.len());
        self.0.address.bus + offset as u64
    }

    pub(crate) fn memory(&self) -> &'static Memory {
        self.0.memory
    }

    /// Prepares the block for a request in the current start of libqat, by mapping a caller's region again. Blocks of
    /// the slab are always ready.
    pub(crate) fn prepare(&mut self) -> Result<(), NoMemory> {
        if let Some(region) = &self.0.region {
            let bus = self.0.memory.mapped.map(self.0.memory.symbols, region);
            self.0.address.bus = bus.ok_or(NoMemory::System)?;
        }
        Ok(())
    }

    /// Returns the content. Submitting a block to a device moves the block, so that a borrow cannot overlap a request.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `slice::from_raw_parts`: the memory is mapped, initialised (libusdm zeroes it, `qae_mem.h`; a region
        // was a slice), and owned by this block alone. While a device may write to it, the block is in a slot, whose
        // holder does not call this function.
        unsafe { std::slice::from_raw_parts(self.0.address.start.as_ptr(), self.len()) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: `slice::from_raw_parts_mut`: the memory is valid for the reasons in `bytes`, and `self` is borrowed
        // exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.0.address.start.as_ptr(), self.len()) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: `ManuallyDrop::take`: `drop` is the last use of the field.
        let mut extent = unsafe { ManuallyDrop::take(&mut self.0) };
        let memory = extent.memory;
        match extent.region.take() {
            None => memory.free(extent.class).push(extent),
            Some(region) => memory.mapped.release(memory.symbols, region),
        }
    }
}
