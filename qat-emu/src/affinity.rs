//! Restricts threads to CPU cores. The configuration tries a core with it, and the process boundary pins the device
//! threads. It never changes threads of the program.

use std::{io, thread};

/// Restricts the calling thread to one core.
pub(crate) fn run_on(cpu: usize) -> io::Result<()> {
    if cpu >= 8 * size_of::<libc::cpu_set_t>() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: cpu_set_t is a C structure of integers (CPU_SET(3)); all zero is its empty set.
    let mut only: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: CPU_SET(3) requires a core below the size of the set in bits, which was checked above.
    unsafe { libc::CPU_SET(cpu, &mut only) };
    // SAFETY: sched_setaffinity(2) reads a set of the given size; process id 0 means the calling thread.
    if unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &only) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Checks whether threads may run on a core, by starting a thread that restricts itself to it.
pub(crate) fn try_cpu(cpu: usize) -> io::Result<()> {
    let tried = thread::Builder::new().spawn(move || run_on(cpu))?;
    tried.join().unwrap_or_else(|_| Err(io::Error::other("the thread that tried panicked")))
}
