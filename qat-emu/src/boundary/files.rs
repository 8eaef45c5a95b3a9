//! Which file descriptors are ours. Readable without a lock, because `close` is called from everywhere.

use std::{
    ffi::c_int,
    sync::atomic::{AtomicU32, Ordering},
};

/// What one of our descriptors stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VfioFile {
    Container,
    /// The group of a virtual function, by index.
    Group(usize),
    /// A virtual function, by index.
    Device(usize),
}

const DESCRIPTORS: usize = 1 << 16;
/// Bits 7:0 virtual function, 15:8 kind (0 none).
static TABLE: [AtomicU32; DESCRIPTORS] = [const { AtomicU32::new(0) }; DESCRIPTORS];

fn entry(fd: c_int) -> Option<&'static AtomicU32> {
    TABLE.get(usize::try_from(fd).ok()?)
}

fn decode(word: u32) -> Option<VfioFile> {
    let vf = (word & 0xFF) as usize;
    match word >> 8 & 0xFF {
        1 => Some(VfioFile::Container),
        2 => Some(VfioFile::Group(vf)),
        3 => Some(VfioFile::Device(vf)),
        _ => None,
    }
}

/// Remembers a descriptor; `false` when its number is too high.
pub(super) fn remember(fd: c_int, file: VfioFile) -> bool {
    let (kind, vf) = match file {
        VfioFile::Container => (1, 0),
        VfioFile::Group(vf) => (2, vf),
        VfioFile::Device(vf) => (3, vf),
    };
    let word = kind << 8 | (vf as u32 & 0xFF);
    entry(fd).map(|e| e.store(word, Ordering::Release)).is_some()
}

pub(super) fn lookup(fd: c_int) -> Option<VfioFile> {
    decode(entry(fd)?.load(Ordering::Acquire))
}

/// Forgets a descriptor and says what it was.
pub(super) fn forget(fd: c_int) -> Option<VfioFile> {
    let entry = entry(fd)?;
    // The plain load keeps the pages of the table clean for all the descriptors that are not ours.
    if entry.load(Ordering::Relaxed) == 0 {
        return None;
    }
    decode(entry.swap(0, Ordering::AcqRel))
}
