//! Signals that end the command remove the temporary file first.
//!
//! [`output`](crate::output) announces its temporary file here. On Unix the work is done in the signal handler itself:
//! it needs no thread, so that a limit on processes does not matter, and it runs for `abort` as well, which the process
//! raises in the middle of something. Signals that were ignored when the command started stay ignored.

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

    /// Signals whose default action ends a process. Those that report a fault of the program (SIGSEGV, SIGBUS, SIGILL,
    /// SIGFPE) are left to the standard library, and SIGPIPE is ignored by it.
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
    /// A thread that has the signals blocked creates, publishes or removes a temporary file.
    const CHANGING: u8 = 2;

    static STATE: AtomicU8 = AtomicU8::new(NONE);
    static DIRECTORY: AtomicI32 = AtomicI32::new(-1);
    /// Ends with a zero byte that is never overwritten.
    static NAME: [AtomicU8; TEMPORARY_LEN + 1] = [const { AtomicU8::new(0) }; TEMPORARY_LEN + 1];

    /// Installs the handlers. Called once, before there are other threads.
    pub(crate) fn install() {
        let signals = SigSet::from_iter(FATAL.iter().copied());
        // None arrives between the installation of a handler and its removal where the signal was ignored.
        let mask = signals.thread_swap_mask(SigmaskHow::SIG_BLOCK);
        let action = SigAction::new(SigHandler::Handler(end), SaFlags::SA_RESTART, signals);
        for &number in FATAL {
            // SAFETY: sigaction(2), as nix documents it, requires a handler that calls async-signal-safe functions only,
            // which is what `end` does.
            let before = unsafe { sigaction(number, &action) };
            if let Ok(before) = before
                && matches!(before.handler(), SigHandler::SigIgn)
            {
                // SAFETY: sigaction(2) makes no demand on an action that runs no code.
                let _ = unsafe { sigaction(number, &before) };
            }
        }
        // Beyond the file size limit a write fails with an error that is reported.
        // SAFETY: sigaction(2) makes no demand on an action that runs no code.
        let _ = unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) };
        if let Ok(mask) = mask {
            let _ = mask.thread_set_mask();
        }
    }

    /// The handler: removes the temporary file and lets the signal take its default action. Everything that it calls is on
    /// the list of async-signal-safe functions in POSIX (2.4.3): poll, unlinkat, sigaction, raise.
    extern "C" fn end(number: i32) {
        remove_pending();
        if let Ok(number) = Signal::try_from(number) {
            // SAFETY: sigaction(2) makes no demand on an action that runs no code.
            let _ = unsafe { signal(number, SigHandler::SigDfl) };
            // It is blocked until this handler returns, and then ends the process.
            let _ = raise(number);
        }
    }

    fn remove_pending() {
        // Another thread finishes what it does with the file. If it is this thread, which happens for SIGABRT only, or if
        // the file system hangs, the wait ends all the same.
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
            // SAFETY: `BorrowedFd::borrow_raw` wants a descriptor that stays open. `Guard::announce` was given a
            // directory that its caller keeps open until it has called `Guard::forget`.
            let directory = unsafe { BorrowedFd::borrow_raw(directory) };
            let _ = unlinkat(directory, name, AtFlags::empty());
        }
    }

    /// While it lives, the signals are blocked on this thread, and a handler on another thread waits: a temporary file
    /// appears, is published or is removed as one step.
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

        /// From the end of this guard on, signals remove `name` in `directory`, which stays open until
        /// [`forget`](Self::forget).
        pub(crate) fn announce(&mut self, directory: &Directory, name: &TemporaryName) {
            for (to, from) in NAME.iter().zip(name.as_str().bytes()) {
                to.store(from, Ordering::SeqCst);
            }
            let descriptor: RawFd = directory.descriptor().as_raw_fd();
            DIRECTORY.store(descriptor, Ordering::SeqCst);
            self.next = PENDING;
        }

        /// From the end of this guard on, signals remove nothing.
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
            // The code of a process that Ctrl-C ended, STATUS_CONTROL_C_EXIT.
            std::process::exit(0xC000_013A_u32 as i32);
        });
    }

    /// While it lives, the handler waits: a temporary file appears, is published or is removed as one step.
    pub(crate) struct Guard(MutexGuard<'static, Option<PathBuf>>);

    impl Guard {
        pub(crate) fn new() -> Self {
            Self(PENDING.lock().unwrap_or_else(PoisonError::into_inner))
        }

        /// From the end of this guard on, Ctrl-C removes `name` in `directory`.
        pub(crate) fn announce(&mut self, directory: &Directory, name: &TemporaryName) {
            *self.0 = Some(directory.join(name.as_str().as_ref()));
        }

        /// From the end of this guard on, Ctrl-C removes nothing.
        pub(crate) fn forget(&mut self) {
            *self.0 = None;
        }
    }
}
