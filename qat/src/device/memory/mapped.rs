//! Memory of the caller's own, mapped for devices by libusdm of 26.02 and later.
//!
//! A block owns its region, so that nobody frees or reads it while a device may write to it. Mappings do not outlive a
//! start: libusdm forgets its container at the stop, and would give the addresses of what it can no longer unmap to other
//! memory. All are taken back before the stop, and made again on the next use.

use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use qat_sys::Symbols;

use super::{Address, Block, Extent, LARGEST, Memory};
use crate::process::ProcessMark;
use crate::raw::mem;

/// Pages as libusdm counts them.
const PAGE: usize = 4096;
/// As long as the longest of the other blocks.
const LONGEST: usize = 1 << LARGEST;

/// Why a region was not mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotMapped {
    /// libusdm is too old.
    Unsupported,
    /// Not whole pages, none, or too many.
    NotPages,
    /// libusdm or the system does not map it.
    Refused,
}

impl Memory {
    /// The memory of `owner` as a block.
    pub(crate) fn adopt<R: AsMut<[u8]> + Send + 'static>(
        &'static self,
        owner: R,
    ) -> Result<Block, (R, NotMapped)> {
        if self.symbols.usdm_iova.is_none() {
            return Err((owner, NotMapped::Unsupported));
        }
        let region = Region::new(owner).map_err(|owner| (owner, NotMapped::NotPages))?;
        let Some(bus) = self.mapped.map(self.symbols, &region) else {
            // SAFETY: made of an `R` above, not mapped, and never used.
            return Err((unsafe { region.into_owner() }, NotMapped::Refused));
        };
        let address = Address { start: region.start, bus };
        let extent = Extent { address, len: region.len, class: 0, memory: self, region: Some(region) };
        Ok(Block::new(Box::new(extent)))
    }
}

/// A region of a caller's own.
pub(super) struct Region {
    /// A box of what owns the memory.
    owner: NonNull<dyn Send>,
    start: NonNull<u8>,
    len: usize,
    process: ProcessMark,
}

// SAFETY: the owner is `Send`, and the memory is its own; see `Region::new`.
unsafe impl Send for Region {}
// SAFETY: shared, it gives no access to the owner, and only addresses of the memory.
unsafe impl Sync for Region {}

impl Region {
    /// Takes `owner` and the memory that it gives; gives it back where that is not whole pages.
    fn new<R: AsMut<[u8]> + Send + 'static>(owner: R) -> Result<Self, R> {
        let owner = NonNull::from(Box::leak(Box::new(owner)));
        // SAFETY: the box just made. Borrowed for ever: whatever `R` is, nobody else has this memory as long as the owner
        // is neither used nor dropped.
        let memory: &'static mut [u8] = unsafe { (*owner.as_ptr()).as_mut() };
        let (start, len) = (NonNull::from(&mut *memory).cast::<u8>(), memory.len());
        if start.addr().get().is_multiple_of(PAGE) && len.is_multiple_of(PAGE) && len > 0 && len <= LONGEST {
            return Ok(Self { owner, start, len, process: ProcessMark::of_this() });
        }
        // SAFETY: the same box, to which nothing refers any more.
        Err(*unsafe { Box::from_raw(owner.as_ptr()) })
    }

    /// Gives the owner back.
    ///
    /// # Safety
    /// It is an `R`; the region is not mapped, and its memory is not used any more.
    unsafe fn into_owner<R>(self) -> R {
        // SAFETY: the box of `new`, once: a region has no other way to give it away.
        *unsafe { Box::from_raw(self.owner.as_ptr().cast::<R>()) }
    }

    /// Drops the owner.
    ///
    /// # Safety
    /// The region is not mapped, and its memory is not used any more.
    unsafe fn free(self) {
        // SAFETY: the box of `new`, once: a region has no other way to give it away.
        drop(unsafe { Box::from_raw(self.owner.as_ptr()) });
    }
}

/// What of the callers' regions is mapped, through one node's memory.
#[derive(Default)]
pub(crate) struct Mappings(Mutex<State>);

#[derive(Default)]
struct State {
    /// libqat is started.
    is_open: bool,
    /// Bus address and length by address; `None` of what could not be unmapped.
    mapped: BTreeMap<usize, Option<(u64, usize)>>,
}

impl Mappings {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// libqat is started.
    pub(crate) fn open(&self) {
        self.lock().is_open = true;
    }

    /// Takes all mappings back, before libqat is stopped.
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

    /// Where devices see the region in this start, mapped now if need be.
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
        // SAFETY: the region's memory is its own and stays, whole pages of it, until `release`; libqat is started.
        let bus = unsafe { mem::map(group, region.start, region.len) }?;
        state.mapped.insert(start, Some((bus, region.len)));
        Some(bus)
    }

    /// Whether nothing of the region is mapped any more.
    fn unmap(&self, symbols: &Symbols, region: &Region) -> bool {
        if !region.process.is_this() {
            // The parent's mapping is of the parent's memory.
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

    /// Frees a region that nobody uses any more. One that a device may still reach stays for good.
    pub(super) fn release(&self, symbols: &Symbols, region: Region) {
        if self.unmap(symbols, &region) {
            // SAFETY: not mapped; the caller's block was the one user.
            unsafe { region.free() };
        } else {
            tracing::error!(bytes = region.len, "memory that could not be unmapped from the device is lost");
        }
    }
}

fn unmap(symbols: &Symbols, start: usize, len: usize) -> bool {
    let Some(group) = &symbols.usdm_iova else { return true };
    // SAFETY: mapped by `Mappings::map`, with this length, and unmapped once; a device that still has a request with it is
    // refused from now on.
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

    /// A part of two pages, which tells when it is dropped.
    struct Owner {
        /// One page more, to begin with a page.
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
        // Over a stop it stays what it is, and is mapped again when it is needed.
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

    /// A device may still write to it, so nobody else gets it.
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
        // SAFETY: never freed.
        assert_eq!(unsafe { last.unwrap().read() }, 7);
    }
}
