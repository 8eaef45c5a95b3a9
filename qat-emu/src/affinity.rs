//! The cores that a thread may run on.

use std::{io, thread};

/// Keeps this thread on one core.
pub(crate) fn run_on(cpu: usize) -> io::Result<()> {
    if cpu >= 8 * size_of::<libc::cpu_set_t>() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: all zero is the empty set.
    let mut only: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set has a bit for this core.
    unsafe { libc::CPU_SET(cpu, &mut only) };
    // SAFETY: sched_setaffinity(2) reads the set, of that size; 0 is this thread.
    if unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &only) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Whether a thread may run on a core, by a thread that tries.
pub(crate) fn try_cpu(cpu: usize) -> io::Result<()> {
    let tried = thread::Builder::new().spawn(move || run_on(cpu))?;
    tried.join().unwrap_or_else(|_| Err(io::Error::other("the thread that tried panicked")))
}
