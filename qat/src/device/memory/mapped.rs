//! Memory of callers, mapped for devices by libusdm of qatlib 26.02 and later. The module `memory` calls it; nothing
//! here allocates.
//!
//! A block owns its region, so that nobody frees or reads the region while a device may write to it. Mappings do not
//! outlive a start: libusdm discards its container at the stop, and would later assign the bus addresses of regions
//! that it can no longer unmap to other memory. Therefore all regions are unmapped before the stop, and mapped again on
//! their next use.

use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use qat_sys::Symbols;

use super::{Address, Block, Extent, LARGEST, Memory};
use crate::process::ProcessMark;
use crate::raw::mem;

/// The length of a page in libusdm.
const PAGE: usize = 4096;
/// The maximum length of a region, equal to the largest block of the slab.
const LONGEST: usize = 1 << LARGEST;

/// Why a region was not mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotMapped {
    /// libusdm is older than qatlib 26.02.
    Unsupported,
    /// The region is empty, too long, or not whole pages.
    NotPages,
    /// libusdm or the system did not map the region.
    Refused,
}

impl Memory {
    /// Maps the memory of `owner` as a block.
    ///
    /// # Errors
    /// `owner`, with the reason why its memory was not mapped.
    pub(crate) fn adopt<R: AsMut<[u8]> + Send + 'static>(
        &'static self,
        owner: R,
    ) -> Result<Block, (R, NotMapped)> {
        if self.symbols.usdm_iova.is_none() {
            return Err((owner, NotMapped::Unsupported));
        }
        let region = Region::new(owner).map_err(|owner| (owner, NotMapped::NotPages))?;
        let Some(bus) = self.mapped.map(self.symbols, &region) else {
            // SAFETY: `Region::into_owner`: the region was created from an `R` above, is not mapped, and its memory was
            // never used.
            return Err((unsafe { region.into_owner() }, NotMapped::Refused));
        };
        let address = Address { start: region.start, bus };
        let extent = Extent { address, len: region.len, class: 0, memory: self, region: Some(region) };
        Ok(Block::new(Box::new(extent)))
    }
}

/// Memory of a caller, with its owner.
pub(super) struct Region {
    /// The value that owns the memory, leaked from a box.
    owner: NonNull<dyn Send>,
    start: NonNull<u8>,
    len: usize,
    process: ProcessMark,
}

// SAFETY: the owner is `Send` by the bound of `Region::new`, and the memory belongs to it.
unsafe impl Send for Region {}
// SAFETY: a shared region gives no access to the owner, and only the addresses of the memory.
unsafe impl Sync for Region {}

impl Region {
    /// Creates a region of the memory that `owner` refers to. Returns `owner` as the error where the memory is not
    /// whole pages.
    fn new<R: AsMut<[u8]> + Send + 'static>(owner: R) -> Result<Self, R> {
        let owner = NonNull::from(Box::leak(Box::new(owner)));
        // SAFETY: the pointer comes from the box that was leaked above. The borrow is unbounded: nobody else accesses
        // this memory while the owner is neither used nor dropped, whatever `R` is.
        let memory: &'static mut [u8] = unsafe { (*owner.as_ptr()).as_mut() };
        let (start, len) = (NonNull::from(&mut *memory).cast::<u8>(), memory.len());
        if start.addr().get().is_multiple_of(PAGE) && len.is_multiple_of(PAGE) && len > 0 && len <= LONGEST {
            return Ok(Self { owner, start, len, process: ProcessMark::of_this() });
        }
        // SAFETY: `Box::from_raw`: the pointer comes from the box that was leaked above, and nothing else refers to it.
        Err(*unsafe { Box::from_raw(owner.as_ptr()) })
    }

    /// Returns the owner.
    ///
    /// # Safety
    /// The owner is an `R`, the region is not mapped, and its memory is not used any more.
    unsafe fn into_owner<R>(self) -> R {
        // SAFETY: `Box::from_raw`: `new` leaked the box of an `R`, and consuming the region releases it once.
        *unsafe { Box::from_raw(self.owner.as_ptr().cast::<R>()) }
    }

    /// Drops the owner.
    ///
    /// # Safety
    /// The region is not mapped, and its memory is not used any more.
    unsafe fn free(self) {
        // SAFETY: `Box::from_raw`: `new` leaked the box, and consuming the region releases it once.
        drop(unsafe { Box::from_raw(self.owner.as_ptr()) });
    }
}

/// The mapped regions of callers on one NUMA node.
#[derive(Default)]
pub(crate) struct Mappings(Mutex<State>);

#[derive(Default)]
struct State {
    /// Whether libqat is started, so that regions can be mapped.
    is_open: bool,
    /// The bus address and length of each mapping, by address; `None` for a region that could not be unmapped.
    mapped: BTreeMap<usize, Option<(u64, usize)>>,
}

impl Mappings {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Allows mapping, because libqat was started.
    pub(crate) fn open(&self) {
        self.lock().is_open = true;
    }

    /// Unmaps all regions, because libqat is about to stop.
    pub(crate) fn close(&self, symbols: &Symbols) {
        let mut state = self.lock();
        state.is_open = false;
        state.mapped.retain(|start, mapping| {
            let is_unmapped = mapping.is_some_and(|(_, len)| unmap(symbols, *start, len));
            if !is_unmapped {
                *mapping = None;
            }
            !is_unmapped
        });
    }

    /// Returns the region's bus address in this start, mapping it if necessary; `None` where it cannot be mapped.
    pub(super) fn map(&self, symbols: &Symbols, region: &Region) -> Option<u64> {
        if !region.process.is_this() {
            return None;
        }
        let mut state = self.lock();
        let start = region.start.addr().get();
        if let Some(mapping) = state.mapped.get(&start) {
            return mapping.map(|(bus, _)| bus);
        }
        let group = symbols.usdm_iova.as_ref().filter(|_| state.is_open)?;
        // SAFETY: `mem::map`: libqat is started, because `is_open` is set under the lock. The region consists of whole
        // pages that it owns until `release`, which unmaps it first.
        let bus = unsafe { mem::map(group, region.start, region.len) }?;
        state.mapped.insert(start, Some((bus, region.len)));
        Some(bus)
    }

    /// Unmaps the region, and returns whether no device can access it any more.
    fn unmap(&self, symbols: &Symbols, region: &Region) -> bool {
        if !region.process.is_this() {
            // The mapping refers to memory of the parent process, not to this copy.
            return true;
        }
        let mut state = self.lock();
        let start = region.start.addr().get();
        let Some(mapping) = state.mapped.get_mut(&start) else { return true };
        let is_unmapped = mapping.is_some_and(|(_, len)| unmap(symbols, start, len));
        if is_unmapped {
            state.mapped.remove(&start);
        } else {
            *mapping = None;
        }
        is_unmapped
    }

    /// Frees a region that is no longer used. A region that a device may still access is leaked.
    pub(super) fn release(&self, symbols: &Symbols, region: Region) {
        if self.unmap(symbols, &region) {
            // SAFETY: `Region::free`: the region is not mapped, and the dropped block was its only user.
            unsafe { region.free() };
        } else {
            tracing::error!(
                bytes = region.len,
                "memory that libusdm could not unmap from the device is leaked"
            );
        }
    }
}

fn unmap(symbols: &Symbols, start: usize, len: usize) -> bool {
    let Some(group) = &symbols.usdm_iova else { return true };
    // SAFETY: `mem::unmap`: `Mappings::map` mapped this address with this length in this start, and each mapping is
    // removed once. The IOMMU blocks a device that still has a request with it.
    unsafe { mem::unmap(group, start, len) }
}

#[cfg(test)]
mod tests {
    use std::ffi::{c_int, c_void};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

    use super::super::NoMemory;
    use super::*;
    use crate::device::lifecycle::stub::symbols;

    /// Memory that contains two whole pages, and that records when it is dropped.
    struct Owner {
        /// One page more than needed, so that a part of it begins at a page boundary.
        bytes: Vec<u8>,
        part: std::ops::Range<usize>,
        is_dropped: Arc<AtomicBool>,
    }

    impl AsMut<[u8]> for Owner {
        fn as_mut(&mut self) -> &mut [u8] {
            let at = self.bytes.as_ptr().addr().wrapping_neg() % PAGE;
            &mut self.bytes[at..][self.part.clone()]
        }
    }

    impl Drop for Owner {
        fn drop(&mut self) {
            self.is_dropped.store(true, SeqCst);
        }
    }

    fn owner(part: std::ops::Range<usize>) -> (Owner, Arc<AtomicBool>) {
        let is_dropped = Arc::<AtomicBool>::default();
        (Owner { bytes: vec![7; 3 * PAGE], part, is_dropped: is_dropped.clone() }, is_dropped)
    }

    extern "C" fn map(_: *mut c_void, len: usize) -> u64 {
        assert_eq!(len, 2 * PAGE);
        2 << 20
    }

    extern "C" fn unmapped(_: *mut c_void, _: usize) -> c_int {
        0
    }

    extern "C" fn stuck(_: *mut c_void, _: usize) -> c_int {
        1
    }

    fn memory(unmap: extern "C" fn(*mut c_void, usize) -> c_int, without: &[&str]) -> &'static Memory {
        let find = |name: &[u8]| match name {
            b"qaeMemMapContiguousIova" => Some(map as *const c_void),
            b"qaeMemUnmapContiguousIova" => Some(unmap as *const c_void),
            _ => None,
        };
        let symbols = Box::leak(Box::new(symbols(without, find)));
        Box::leak(Box::new(Memory::new(symbols, 0, 1 << 20)))
    }

    #[test]
    fn a_region_is_its_blocks_until_the_end() {
        let memory = memory(unmapped, &[]);
        memory.open();
        let (region, is_dropped) = owner(0..2 * PAGE);
        let Ok(mut block) = memory.adopt(region) else { panic!("not mapped") };
        assert_eq!((block.len(), block.bus_address(5)), (2 * PAGE, (2 << 20) + 5));
        assert!(block.bytes().iter().all(|byte| *byte == 7));
        block.bytes_mut()[2 * PAGE - 1] = 9;
        // The region keeps its content over a stop, and is mapped again on its next use.
        memory.close();
        assert_eq!(block.prepare(), Err(NoMemory::System));
        assert_eq!(block.bytes()[2 * PAGE - 1], 9);
        memory.open();
        assert_eq!(block.prepare(), Ok(()));
        assert!(!is_dropped.load(SeqCst));
        drop(block);
        assert!(is_dropped.load(SeqCst) && memory.mapped.lock().mapped.is_empty());
    }

    #[test]
    fn what_is_not_mapped_comes_back() {
        let here = memory(unmapped, &[]);
        let refused = |memory: &'static Memory, part| {
            let (region, is_dropped) = owner(part);
            let Err((mut region, why)) = memory.adopt(region) else { panic!("mapped") };
            region.as_mut().fill(1);
            assert!(!is_dropped.load(SeqCst));
            why
        };
        assert_eq!(refused(here, 0..2 * PAGE), NotMapped::Refused);
        here.open();
        for part in [0..0, 0..PAGE + 1, 1..PAGE + 1, 64..PAGE] {
            assert_eq!(refused(here, part), NotMapped::NotPages);
        }
        let older = memory(unmapped, &["usdm_iova"]);
        older.open();
        assert_eq!(refused(older, 0..2 * PAGE), NotMapped::Unsupported);
    }

    /// A device may still write to the memory, so it must not be freed.
    #[test]
    fn what_cannot_be_unmapped_stays_for_good() {
        let memory = memory(stuck, &[]);
        memory.open();
        let (mut last, mut freed) = (None, Vec::new());
        for closes in [false, true] {
            let (region, is_dropped) = owner(0..2 * PAGE);
            let Ok(mut block) = memory.adopt(region) else { panic!("not mapped") };
            if closes {
                memory.close();
                memory.open();
                assert_eq!(block.prepare(), Err(NoMemory::System));
            }
            last = Some(block.as_ptr());
            drop(block);
            freed.push(is_dropped.load(SeqCst));
        }
        assert_eq!(freed, [false, false]);
        // SAFETY: the region is leaked, so the memory is never freed.
        assert_eq!(unsafe { last.unwrap().read() }, 7);
    }
}
