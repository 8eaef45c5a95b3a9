//! Signal handlers that remove the temporary file before a signal ends the command.
//!
//! [`output`](crate::output) announces its temporary file here. On Unix the signal handler itself removes the file. It
//! needs no thread, so that a limit on processes does not matter, and it also handles SIGABRT, which `abort` raises on
//! the current thread. Signals that were ignored when the command started remain ignored.

#[cfg(unix)]
pub(crate) use unix::{Guard, install};
#[cfg(windows)]
pub(crate) use windows::{Guard, install};

#[cfg(unix)]
mod unix {
    use std::ffi::CStr;
    use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
    use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};

    use nix::sys::signal::{
        SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, raise, sigaction, signal,
    };
    use rustix::event::poll;
    use rustix::fs::{AtFlags, Timespec, unlinkat};

    use crate::directory::{Directory, TEMPORARY_LEN, TemporaryName};

    /// The signals whose default action ends a process. The standard library handles those that report an error of the
    /// program (SIGSEGV, SIGBUS, SIGILL, SIGFPE), and ignores SIGPIPE.
    const FATAL: &[Signal] = &[
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTRAP,
        Signal::SIGABRT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGALRM,
        Signal::SIGTERM,
        Signal::SIGXCPU,
        Signal::SIGVTALRM,
        Signal::SIGPROF,
        Signal::SIGSYS,
        #[cfg(target_os = "linux")]
        Signal::SIGIO,
        #[cfg(target_os = "linux")]
        Signal::SIGPWR,
        #[cfg(target_os = "linux")]
        Signal::SIGSTKFLT,
    ];

    /// There is no temporary file.
    const NONE: u8 = 0;
    /// [`NAME`] in [`DIRECTORY`] is a temporary file.
    const PENDING: u8 = 1;
    /// A thread that has blocked the signals is creating, publishing or removing a temporary file.
    const CHANGING: u8 = 2;

    static STATE: AtomicU8 = AtomicU8::new(NONE);
    static DIRECTORY: AtomicI32 = AtomicI32::new(-1);
    /// The last byte is zero and is never overwritten, so that the name is a C string.
    static NAME: [AtomicU8; TEMPORARY_LEN + 1] = [const { AtomicU8::new(0) }; TEMPORARY_LEN + 1];

    /// Installs the handlers. `main` calls this once, before there are other threads.
    pub(crate) fn install() {
        let signals = SigSet::from_iter(FATAL.iter().copied());
        // Blocking delays signals until the handlers of those that were ignored are removed again.
        let mask = signals.thread_swap_mask(SigmaskHow::SIG_BLOCK);
        let action = SigAction::new(SigHandler::Handler(end), SaFlags::SA_RESTART, signals);
        for &number in FATAL {
            // SAFETY: `nix::sys::signal::sigaction` requires that the handler calls only functions that are
            // async-signal-safe according to POSIX (XSH 2.4.3), and shares data through atomics only. The documentation
            // of `end` lists the functions; the data are `STATE`, `NAME` and `DIRECTORY`.
            let before = unsafe { sigaction(number, &action) };
            if let Ok(before) = before
                && matches!(before.handler(), SigHandler::SigIgn)
            {
                // SAFETY: `nix::sys::signal::sigaction` restricts handlers only. `before` is SIG_IGN, which has no
                // handler.
                let _ = unsafe { sigaction(number, &before) };
            }
        }
        // With SIGXFSZ ignored, a write beyond the file size limit fails with an error, which is reported.
        // SAFETY: `nix::sys::signal::signal` restricts handlers only. SIG_IGN has no handler.
        let _ = unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) };
        if let Ok(mask) = mask {
            let _ = mask.thread_set_mask();
        }
    }

    /// Handles a signal: removes the temporary file and raises the signal again with its default action. It calls only
    /// functions that POSIX (XSH 2.4.3) lists as async-signal-safe: poll, unlinkat, sigaction, raise.
    extern "C" fn end(number: i32) {
        remove_pending();
        if let Ok(number) = Signal::try_from(number) {
            // SAFETY: `nix::sys::signal::signal` restricts handlers only. SIG_DFL has no handler.
            let _ = unsafe { signal(number, SigHandler::SigDfl) };
            // The signal is blocked until this handler returns, and then ends the process.
            let _ = raise(number);
        }
    }

    fn remove_pending() {
        // Another thread is changing the file, and is waited for. The wait is limited, because the thread may be this
        // one, which is possible for SIGABRT only, or the file system may hang.
        const ROUNDS: usize = 5000;
        let millisecond = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        for _ in 0..ROUNDS {
            if STATE.load(Ordering::SeqCst) != CHANGING {
                break;
            }
            let _ = poll(&mut [], Some(&millisecond));
        }
        if STATE.load(Ordering::SeqCst) == NONE {
            return;
        }
        let name = std::array::from_fn::<u8, { TEMPORARY_LEN + 1 }, _>(|at| NAME[at].load(Ordering::SeqCst));
        let directory = DIRECTORY.load(Ordering::SeqCst);
        if let Ok(name) = CStr::from_bytes_until_nul(&name)
            && directory >= 0
        {
            // SAFETY: `BorrowedFd::borrow_raw` requires a descriptor that is open for the lifetime of the result. The
            // documentation of `Guard::announce` requires that the directory stays open until `Guard::forget`, which
            // resets `DIRECTORY` to -1.
            let directory = unsafe { BorrowedFd::borrow_raw(directory) };
            let _ = unlinkat(directory, name, AtFlags::empty());
        }
    }

    /// Blocks the signals on this thread and makes a handler on another thread wait, until it is dropped. The creation,
    /// publication or removal of a temporary file is one step for the handler.
    pub(crate) struct Guard {
        mask: Option<SigSet>,
        next: u8,
    }

    impl Guard {
        pub(crate) fn new() -> Self {
            let signals = SigSet::from_iter(FATAL.iter().copied());
            let mask = signals.thread_swap_mask(SigmaskHow::SIG_BLOCK).ok();
            Self { mask, next: STATE.swap(CHANGING, Ordering::SeqCst) }
        }

        /// Registers `name` in `directory`. After this guard is dropped, signals remove that file. The directory must
        /// stay open until [`forget`](Self::forget) is called.
        pub(crate) fn announce(&mut self, directory: &Directory, name: &TemporaryName) {
            for (to, from) in NAME.iter().zip(name.as_str().bytes()) {
                to.store(from, Ordering::SeqCst);
            }
            let descriptor: RawFd = directory.descriptor().as_raw_fd();
            DIRECTORY.store(descriptor, Ordering::SeqCst);
            self.next = PENDING;
        }

        /// Unregisters the file. After this guard is dropped, signals remove nothing.
        pub(crate) fn forget(&mut self) {
            DIRECTORY.store(-1, Ordering::SeqCst);
            self.next = NONE;
        }
    }

    impl Drop for Guard {
        fn drop(&mut self) {
            STATE.store(self.next, Ordering::SeqCst);
            if let Some(mask) = &self.mask {
                let _ = mask.thread_set_mask();
            }
        }
    }
}

#[cfg(windows)]
mod windows {
    use std::fs;
    use std::path::PathBuf;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use crate::directory::{Directory, TemporaryName};

    static PENDING: Mutex<Option<PathBuf>> = Mutex::new(None);

    /// Installs the handler of Ctrl-C.
    pub(crate) fn install() {
        let _ = ctrlc::set_handler(|| {
            let guard = Guard::new();
            if let Some(path) = &*guard.0 {
                let _ = fs::remove_file(path);
            }
            // The exit code of a process that Ctrl-C ended, STATUS_CONTROL_C_EXIT.
            std::process::exit(0xC000_013A_u32 as i32);
        });
    }

    /// Makes the handler wait until it is dropped. The creation, publication or removal of a temporary file is one step
    /// for the handler.
    pub(crate) struct Guard(MutexGuard<'static, Option<PathBuf>>);

    impl Guard {
        pub(crate) fn new() -> Self {
            Self(PENDING.lock().unwrap_or_else(PoisonError::into_inner))
        }

        /// Registers `name` in `directory`. After this guard is dropped, Ctrl-C removes that file.
        pub(crate) fn announce(&mut self, directory: &Directory, name: &TemporaryName) {
            *self.0 = Some(directory.join(name.as_str().as_ref()));
        }

        /// Unregisters the file. After this guard is dropped, Ctrl-C removes nothing.
        pub(crate) fn forget(&mut self) {
            *self.0 = None;
        }
    }
}
