//! Memory that devices reach: a slab over libusdm, one for each NUMA node.
//!
//! Nothing else can get into a request, by type, but what a caller gave away to be mapped: libqat 24.02 refuses foreign
//! memory, and 26.08 sends the device to bus address 0 instead.

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

/// Smallest block, as a power of two.
const SMALLEST: u32 = 11;
/// Largest block, as a power of two: the most that libusdm hands out in one piece.
const LARGEST: u32 = 26;
const CLASSES: usize = (LARGEST - SMALLEST + 1) as usize;
/// What is asked of libusdm at once for blocks smaller than that.
const CHUNK: usize = 512 << 10;
/// Enough for every structure of libqat and for whole cache lines.
const ALIGN: usize = 64;

/// The slab of one NUMA node. Never freed itself; [`trim`](Self::trim) gives what is unused back to libusdm.
pub(crate) struct Memory {
    symbols: &'static Symbols,
    node: i32,
    limit: usize,
    allocated: AtomicUsize,
    /// Free blocks. The last one given back is the next one taken, because the caches still have it.
    classes: [Mutex<Stack>; CLASSES],
    chunks: Mutex<Vec<Chunk>>,
    mapped: Mappings,
}

/// Boxes, because a block is moved from hand to hand with each request.
type Stack = Vec<Box<Extent>>;

/// One allocation of libusdm, cut into blocks of one class.
struct Chunk {
    address: Address,
    len: usize,
    class: usize,
}

/// Where a block is: to the process, and to the device.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address {
    start: NonNull<u8>,
    bus: u64,
}

// SAFETY: an address of memory that belongs to no thread; who holds it holds the memory.
unsafe impl Send for Address {}
// SAFETY: the same; shared, it is only compared.
unsafe impl Sync for Address {}

impl Address {
    pub(crate) fn as_ptr(self) -> NonNull<u8> {
        self.start
    }
}

/// Why there is no memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoMemory {
    /// More than one block can hold.
    TooLarge,
    /// The limit is reached; blocks in use will come back.
    Limit,
    /// libusdm has none.
    System,
}

impl Memory {
    /// An empty slab on `node` that grows to at most `limit` bytes.
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

    /// The NUMA node.
    pub(crate) fn node(&self) -> i32 {
        self.node
    }

    /// Bytes taken from libusdm and not given back.
    pub(crate) fn allocated(&self) -> usize {
        self.allocated.load(Relaxed)
    }

    /// Bytes of blocks that somebody has.
    pub(crate) fn in_use(&self) -> usize {
        let chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = chunks.iter().map(|chunk| chunk.len).sum();
        let free = |class| self.free(class).len() * Self::block_len(class);
        all.saturating_sub((0..CLASSES).map(free).sum())
    }

    /// libqat is started: callers' regions can be mapped.
    pub(crate) fn open(&self) {
        self.mapped.open();
    }

    /// libqat is about to stop: no caller's region stays mapped.
    pub(crate) fn close(&self) {
        self.mapped.close(self.symbols);
    }

    /// Most bytes that it grows to.
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

    /// A block of at least `len` bytes, of whatever content.
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
        // SAFETY: the symbols are libusdm's by the contract of their loading.
        let start = unsafe { mem::alloc(self.symbols, len, self.node, ALIGN) }.ok_or(NoMemory::System)?;
        // SAFETY: the same, and the memory is its own.
        let Some(bus) = (unsafe { mem::bus_address(self.symbols, start) }) else {
            // SAFETY: just allocated, and nobody else knows it.
            unsafe { mem::free(self.symbols, start) };
            return Err(NoMemory::System);
        };
        let first = Address { start, bus };
        self.allocated.fetch_add(len, Relaxed);
        chunks.push(Chunk { address: first, len, class });
        let mut free = self.free(class);
        // Room for all that can ever be given back, so that no drop allocates.
        let blocks: usize =
            chunks.iter().filter(|chunk| chunk.class == class).map(|chunk| chunk.len / block_len).sum();
        free.reserve(blocks);
        let extent =
            |address| Box::new(Extent { address, len: block_len, class, memory: self, region: None });
        free.extend((block_len..len).step_by(block_len).map(|at| {
            // SAFETY: `at` is below `len`, so it stays inside the allocation.
            let start = unsafe { start.add(at) };
            extent(Address { start, bus: bus + at as u64 })
        }));
        Ok(extent(first))
    }

    /// Gives chunks back of which no block is in use.
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
            // SAFETY: allocated by `grow`, once; all its blocks were in the queue, so nobody has one.
            unsafe { mem::free(self.symbols, chunk.address.start) };
            self.allocated.fetch_sub(chunk.len, Relaxed);
            false
        });
        for (class, extents) in free.into_iter().enumerate() {
            self.free(class).extend(extents);
        }
    }
}

/// What a block is of.
struct Extent {
    address: Address,
    len: usize,
    class: usize,
    memory: &'static Memory,
    /// Of memory that is a caller's own, which is of no class.
    region: Option<Region>,
}

/// A block of device memory; goes back to its slab when dropped.
pub(crate) struct Block(ManuallyDrop<Box<Extent>>);

impl Block {
    fn new(extent: Box<Extent>) -> Self {
        Self(ManuallyDrop::new(extent))
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.len
    }

    pub(crate) fn as_ptr(&self) -> NonNull<u8> {
        self.0.address.start
    }

    /// Where it is.
    pub(crate) fn address(&self) -> Address {
        self.0.address
    }

    /// The address of the byte at `offset`.
    ///
    /// # Panics
    /// When the block is not that long.
    pub(crate) fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset < self.len());
        // SAFETY: inside the block.
        unsafe { self.0.address.start.add(offset) }
    }

    /// Where a device sees the byte at `offset`; the block is contiguous to it.
    ///
    /// # Panics
    /// When the block is not that long.
    pub(crate) fn bus_address(&self, offset: usize) -> u64 {
        assert!(offset < self.len());
        self.0.address.bus + offset as u64
    }

    pub(crate) fn memory(&self) -> &'static Memory {
        self.0.memory
    }

    /// Makes it ready for a request of this start; the slab's blocks always are.
    pub(crate) fn prepare(&mut self) -> Result<(), NoMemory> {
        if let Some(region) = &self.0.region {
            let bus = self.0.memory.mapped.map(self.0.memory.symbols, region);
            self.0.address.bus = bus.ok_or(NoMemory::System)?;
        }
        Ok(())
    }

    /// Its content. Nobody hands a block to a device without giving it away.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `qae_mem.h`: mapped, zeroed at first, and this block's alone, or a region that it owns; a device that
        // writes to it has it in a slot, where this function is not called.
        unsafe { std::slice::from_raw_parts(self.0.address.start.as_ptr(), self.len()) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `bytes`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.0.address.start.as_ptr(), self.len()) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: nothing uses it after this.
        let mut extent = unsafe { ManuallyDrop::take(&mut self.0) };
        let memory = extent.memory;
        match extent.region.take() {
            None => memory.free(extent.class).push(extent),
            Some(region) => memory.mapped.release(memory.symbols, region),
        }
    }
}
