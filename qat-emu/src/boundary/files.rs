//! The table of the file descriptors that belong to the emulator. The hooks look every descriptor up here, without a
//! lock, because programs call `close` in every context.

use std::{
    ffi::c_int,
    sync::atomic::{AtomicU32, Ordering},
};

/// What a descriptor of the emulator stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VfioFile {
    Container,
    /// The group of a virtual function, by the function's index over all devices.
    Group(usize),
    /// A virtual function, by its index over all devices.
    Device(usize),
}

const DESCRIPTORS: usize = 1 << 16;
/// One word per descriptor: bits 7:0 virtual function, 15:8 kind (0 none).
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

/// Records a descriptor; returns `false` when its number is too high.
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

/// Removes a descriptor from the table and returns what it stood for.
pub(super) fn forget(fd: c_int) -> Option<VfioFile> {
    let entry = entry(fd)?;
    // The plain load does not write to the table, so that its pages stay unallocated for foreign descriptors.
    if entry.load(Ordering::Relaxed) == 0 {
        return None;
    }
    decode(entry.swap(0, Ordering::AcqRel))
}
