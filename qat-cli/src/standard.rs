//! The standard streams and other inherited descriptors, and input and output on non-blocking descriptors.
//!
//! [`run`](crate::run), [`keys`](crate::keys), [`info`](crate::info) and [`report`](crate::report) access standard
//! input, output and error through this module only. It never closes a descriptor that the caller of the command
//! opened; it uses duplicates.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
#[cfg(unix)]
use std::os::fd::AsFd as AsDescriptor;
#[cfg(windows)]
use std::os::windows::io::AsHandle as AsDescriptor;

/// The name of standard input in messages.
pub(crate) const INPUT: &str = "standard input";
/// The name of standard output in messages.
pub(crate) const OUTPUT: &str = "standard output";

/// Opens a duplicate of standard input, without the standard library's buffer.
pub(crate) fn input() -> io::Result<File> {
    check_open(0)?;
    duplicate(&io::stdin())
}

/// Opens a duplicate of standard output, without the standard library's buffer.
pub(crate) fn output() -> io::Result<File> {
    check_open(1)?;
    duplicate(&io::stdout())
}

/// Writes all of `text` to standard output and closes the duplicate that it used.
pub(crate) fn print(text: &[u8]) -> io::Result<()> {
    let file = output()?;
    Waiting(&file).write_all(text)?;
    close(file)
}

/// Closes `file` and returns the error of close(2), in which network file systems and quotas may report lost data.
#[cfg(unix)]
pub(crate) fn close(file: File) -> io::Result<()> {
    Ok(nix::unistd::close(file)?)
}

/// Closes `file`. Windows reports no write errors when a handle is closed.
#[cfg(windows)]
pub(crate) fn close(file: File) -> io::Result<()> {
    drop(file);
    Ok(())
}

#[cfg(unix)]
fn duplicate(stream: &impl AsDescriptor) -> io::Result<File> {
    stream.as_fd().try_clone_to_owned().map(File::from)
}

#[cfg(windows)]
fn duplicate(stream: &impl AsDescriptor) -> io::Result<File> {
    stream.as_handle().try_clone_to_owned().map(File::from)
}

/// A reader or writer that waits until a non-blocking descriptor is ready, so that it behaves as a blocking one.
pub(crate) struct Waiting<T>(pub(crate) T);

impl<T: Read + AsDescriptor> Read for Waiting<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => wait(&self.0, Ready::Read)?,
                done => return done,
            }
        }
    }
}

impl<T: Write + AsDescriptor> Write for Waiting<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => wait(&self.0, Ready::Write)?,
                done => return done,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The operation that a descriptor must be ready for.
#[derive(Clone, Copy)]
enum Ready {
    Read,
    Write,
}

/// Waits until `stream` is ready, or has an error or an end to report.
#[cfg(unix)]
fn wait(stream: &impl AsDescriptor, ready: Ready) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};

    let flags = match ready {
        Ready::Read => PollFlags::IN,
        Ready::Write => PollFlags::OUT,
    };
    match poll(&mut [PollFd::new(stream, flags)], None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Returns an error. The standard library opens only blocking handles on Windows, so that this is not expected.
#[cfg(windows)]
fn wait(_: &impl AsDescriptor, _: Ready) -> io::Result<()> {
    Err(ErrorKind::WouldBlock.into())
}

#[cfg(unix)]
use unix::check_open;
#[cfg(unix)]
pub(crate) use unix::inherited;

#[cfg(windows)]
fn check_open(_: u8) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
mod unix {
    use std::fs::{self, File};
    use std::io;
    use std::os::fd::{BorrowedFd, RawFd};
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicU8, Ordering};

    use rustix::io::{Errno, FdFlags, fcntl_getfd};

    /// Bit n is set where descriptor n was closed when the command started. The standard library opens /dev/null in
    /// place of closed standard streams before `main`, so that `main` cannot see that they were closed.
    static CLOSED: AtomicU8 = AtomicU8::new(0);

    // SAFETY: the System V ABI (gABI, "Initialization and Termination Functions") and dyld call each pointer in this
    // section as a C function before `main`. Under the C calling convention a function may ignore the arguments that
    // they pass. The function makes three system calls and a store to an atomic, and needs nothing that the standard
    // library initialises before `main`.
    #[used]
    #[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
    #[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
    static BEFORE_MAIN: extern "C" fn() = note_closed_streams;

    extern "C" fn note_closed_streams() {
        let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
        let closed = streams.iter().enumerate().filter(|(_, stream)| fcntl_getfd(stream) == Err(Errno::BADF));
        CLOSED.store(closed.map(|(number, _)| 1 << number).sum(), Ordering::Relaxed);
    }

    /// Fails with EBADF where the standard stream `number` was closed when the command started.
    pub(super) fn check_open(number: u8) -> io::Result<()> {
        if CLOSED.load(Ordering::Relaxed) & 1 << number != 0 { Err(Errno::BADF.into()) } else { Ok(()) }
    }

    /// Returns a duplicate of the descriptor that `path` names, as `/dev/stdout`, `/dev/fd/3` and `/proc/self/fd/3` do,
    /// directly or by symbolic links, or `None` where it names none. Opening such a name would start at offset 0 of a
    /// file that the caller has already written to, and renaming over it would replace the link and not the file.
    pub(crate) fn inherited(path: &Path) -> Option<io::Result<File>> {
        // The number of symbolic links that Linux follows for a path.
        const MAX_LINKS: usize = 40;
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            let link = fs::read_link(&path).ok()?;
            let parent = crate::directory::parent(&path);
            if let Some(number) = descriptor(&path, parent) {
                return Some(duplicate(number));
            }
            path = parent.join(link);
        }
        None
    }

    /// Returns the number of this process's descriptor that `path`, in the directory `parent`, names.
    fn descriptor(path: &Path, parent: &Path) -> Option<RawFd> {
        let number = path.file_name()?.to_str()?.parse().ok()?;
        let parent = fs::canonicalize(parent).ok()?;
        let is_own = |own: &str| fs::canonicalize(own).is_ok_and(|own: PathBuf| own == parent);
        (is_own("/proc/self/fd") || is_own("/proc/thread-self/fd")).then_some(number)
    }

    fn duplicate(number: RawFd) -> io::Result<File> {
        if let 0..=2 = number {
            check_open(number as u8)?;
        }
        // SAFETY: `BorrowedFd::borrow_raw` requires a descriptor that is not -1 and stays open for the lifetime of the
        // result. The number was found in this process's list of open descriptors. The parent process opened it,
        // because everything that the command opens is closed on exec, and the command closes no descriptor that it
        // inherited.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        if fcntl_getfd(descriptor)?.contains(FdFlags::CLOEXEC) {
            return Err(Errno::BADF.into());
        }
        Ok(File::from(descriptor.try_clone_to_owned()?))
    }
}
