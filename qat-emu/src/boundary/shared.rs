//! Counters in a shared file, which outlives the process that counts.

use std::{fs::File, io, os::fd::AsRawFd, path::Path, ptr, ptr::NonNull};

use crate::counters::{Counters, Snapshot};

/// Maps a file that has the size of the counters.
fn map(file: &File) -> io::Result<NonNull<Counters>> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: mmap(2) of a file at an address that the kernel chooses changes no existing mapping.
    let start = unsafe {
        libc::mmap(ptr::null_mut(), size_of::<Counters>(), access, libc::MAP_SHARED, file.as_raw_fd(), 0)
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mmap returned a null address"))
}

/// Creates a file with counters that are all zero, and maps it for the rest of the process.
pub(super) fn create(path: &Path) -> io::Result<&'static Counters> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    file.set_len(size_of::<Counters>() as u64)?;
    let counters = map(&file)?;
    // SAFETY: NonNull::as_ref requires an aligned value that stays valid: the mapping is page-aligned, has the size of
    // the counters and is never unmapped. The counters are atomics, for which all bit patterns are valid.
    Ok(unsafe { counters.as_ref() })
}

/// Reads the counters from such a file.
pub(crate) fn read(path: &Path) -> io::Result<Snapshot> {
    let file = File::options().read(true).write(true).open(path)?;
    if file.metadata()?.len() != size_of::<Counters>() as u64 {
        return Err(io::Error::other("the file does not contain counters of this version of qat-emu"));
    }
    let counters = map(&file)?;
    // SAFETY: NonNull::as_ref requires an aligned value that stays valid: the mapping is page-aligned, has the size of
    // the counters, which are atomics, and is unmapped only below.
    let snapshot = unsafe { counters.as_ref() }.snapshot();
    // SAFETY: munmap(2) of the mapping that was made above; nothing refers to it any more.
    unsafe { libc::munmap(counters.as_ptr().cast(), size_of::<Counters>()) };
    Ok(snapshot)
}
