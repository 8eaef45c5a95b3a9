//! Counters in a file that outlives the process.

use std::{fs::File, io, os::fd::AsRawFd, path::Path, ptr, ptr::NonNull};

use crate::counters::{Counters, Snapshot};

/// Maps a file of the size of the counters.
fn map(file: &File) -> io::Result<NonNull<Counters>> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: mmap(2) of a file at an address of the kernel's choice touches no memory that is in use.
    let start = unsafe {
        libc::mmap(ptr::null_mut(), size_of::<Counters>(), access, libc::MAP_SHARED, file.as_raw_fd(), 0)
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mmap returned null"))
}

/// Makes a file with counters, all zero, which stays mapped for the rest of the process.
pub(super) fn create(path: &Path) -> io::Result<&'static Counters> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    file.set_len(size_of::<Counters>() as u64)?;
    let counters = map(&file)?;
    // SAFETY: page-aligned, of the right size, never unmapped; the counters are atomics, for which all bit patterns
    // are valid.
    Ok(unsafe { counters.as_ref() })
}

/// Reads such a file.
pub(crate) fn read(path: &Path) -> io::Result<Snapshot> {
    let file = File::options().read(true).write(true).open(path)?;
    if file.metadata()?.len() != size_of::<Counters>() as u64 {
        return Err(io::Error::other("not a counters file of this version"));
    }
    let counters = map(&file)?;
    // SAFETY: as in `create`, and mapped until the snapshot is taken.
    let snapshot = unsafe { counters.as_ref() }.snapshot();
    // SAFETY: the mapping made above, which nothing refers to any more.
    unsafe { libc::munmap(counters.as_ptr().cast(), size_of::<Counters>()) };
    Ok(snapshot)
}
