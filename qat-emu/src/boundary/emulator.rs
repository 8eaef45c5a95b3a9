//! The emulator inside a test executable.

use std::{
    ffi::CString,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use super::{
    attach::{self, AttachedEmulator, EmulatorSetup, attached, pass_through},
    hooks,
    tree::{self, TreeError},
};
use crate::{
    config::{Config, ConfigError},
    counters::Snapshot,
    device::Notification,
    fault::Fault,
};

/// Names of the functions that the emulator stands in front of, one a line.
///
/// The build script of a package whose tests use [`Emulator`] exports them from the test executables:
/// `cargo:rustc-link-arg-tests=-Wl,--export-dynamic-symbol=NAME` for each, or once
/// `cargo:rustc-link-arg-tests=-rdynamic`.
pub const HOOKS: &str = hooks::NAMES;

/// Why the emulator cannot attach to this process.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// There is one already; a process has one.
    #[error("an emulator is attached to this process already; drop it first")]
    Attached,
    /// The hooks are linked in and not exported, so that a loaded libqat would not find them.
    #[error(
        "libqat would call the C library's `{name}` instead of the emulator's: let the build script of this package \
         print `cargo:rustc-link-arg-tests=-rdynamic` (or `-bins`, `-examples`)"
    )]
    NotExported {
        /// The first function that resolves elsewhere.
        name: String,
    },
    /// The machine cannot be emulated.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The private tree cannot be made.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// The emulated machine of this process. A libqat that is loaded with `dlopen` sees it until this is dropped.
///
/// ```no_run
/// use qat_emu::{Config, Emulator, Services};
///
/// let emulator = Emulator::attach(Config::with_vfs(2, Services::DC))?;
/// // Load libqat, call icp_sal_userStart, compress, stop.
/// assert_eq!(emulator.counters().audit(), Vec::<String>::new());
/// # Ok::<(), qat_emu::AttachError>(())
/// ```
#[derive(Debug)]
#[must_use = "the devices disappear when this is dropped"]
pub struct Emulator {
    tree: PathBuf,
    process: u32,
}

static IN_USE: AtomicBool = AtomicBool::new(false);

impl Emulator {
    /// Makes the machine and puts it below the C library.
    ///
    /// # Errors
    /// [`AttachError`] when there is an emulator already, the hooks are not in effect, or the machine cannot be made.
    pub fn attach(config: Config) -> Result<Self, AttachError> {
        config.validate()?;
        check_exported()?;
        if IN_USE.swap(true, Ordering::SeqCst) {
            return Err(AttachError::Attached);
        }
        // From here on, dropping undoes what was done.
        let mut emulator = Self { tree: PathBuf::new(), process: std::process::id() };
        let _guard = pass_through();
        emulator.tree = tree::directory()?;
        tree::fill(&emulator.tree, &config)?;
        let setup =
            attach::set_up(EmulatorSetup { tree: emulator.tree.clone(), config, shared_counters: false });
        attach::create(setup);
        Ok(emulator)
    }

    /// What the devices of this process saw. In a forked child that has not used a device this is all zero.
    #[must_use]
    pub fn counters(&self) -> Snapshot {
        attached().map(|a| a.machine.snapshot()).unwrap_or_default()
    }

    /// The private tree that stands in for `/dev/vfio` and parts of `/sys`.
    #[must_use]
    pub fn tree(&self) -> &Path {
        &self.tree
    }

    /// Executes and answers on this thread what was submitted. With [`Config::engine_threads`] 0 nothing else does, so
    /// that a test decides when the answers come. The shared library exports it as `void qat_emu_serve(void)`.
    pub fn serve(&self) {
        attach::serve();
    }

    /// Tells one virtual function, by index over all devices, that its device restarts, failed or is back. After the
    /// first two it answers nothing until the library opens it again.
    pub fn notify(&self, vf: usize, notification: Notification) {
        self.with_vf(vf, |vf| vf.notify(notification));
    }

    /// Arms a fault from now on, after those of the configuration.
    pub fn arm(&self, fault: Fault) {
        if let Some(attached) = attached() {
            attached.machine.faults.arm(fault);
        }
    }

    /// Takes all faults away.
    pub fn disarm(&self) {
        if let Some(attached) = attached() {
            attached.machine.faults.disarm();
        }
    }

    /// Takes a virtual function away: it answers nothing and cannot be opened.
    pub fn remove(&self, vf: usize) {
        self.with_vf(vf, crate::device::vf::Vf::remove);
    }

    /// Brings a removed virtual function back; the library has to open it again.
    pub fn restore(&self, vf: usize) {
        self.with_vf(vf, crate::device::vf::Vf::restore);
    }

    /// Has the firmware of a device hang: none of its virtual functions answers, and its heartbeat is gone. Its mailbox is
    /// the kernel's, and works.
    pub fn hang(&self, device: usize) {
        if let Some(attached) = attached() {
            attached.machine.set_hung(device, true);
        }
    }

    /// Has a hung device go on where it stopped.
    pub fn revive(&self, device: usize) {
        if let Some(AttachedEmulator { machine, .. }) = attached() {
            machine.set_hung(device, false);
            machine.wake();
        }
    }

    fn with_vf(&self, vf: usize, act: impl FnOnce(&crate::device::vf::Vf)) {
        let Some(AttachedEmulator { machine, .. }) = attached() else { return };
        if let Some(vf) = machine.vf(vf) {
            act(vf);
            machine.wake();
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // A forked child has a copy of this value, and the tree is its parent's.
        if self.process != std::process::id() {
            return;
        }
        let _guard = pass_through();
        let machine = attached().map(|a| a.machine);
        attach::detach();
        if let Some(machine) = machine {
            machine.stop();
        }
        if !self.tree.as_os_str().is_empty() {
            // A tree that stays costs some kilobytes of memory until the next boot.
            let _ = fs::remove_dir_all(&self.tree);
        }
        IN_USE.store(false, Ordering::SeqCst);
    }
}

/// Checks that what a loaded library would find under the names of the hooks are the hooks: something in front of the
/// next definition.
fn check_exported() -> Result<(), AttachError> {
    // A reference to one of them makes the linker take the object with all of them.
    std::hint::black_box(hooks::open64 as *const ());
    for name in HOOKS.split_whitespace() {
        let c_name = CString::new(name).unwrap_or_default();
        // SAFETY: dlsym(3) takes a NUL-terminated name; both handles are valid from any object.
        let first = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c_name.as_ptr()) };
        // SAFETY: as above.
        let next = unsafe { libc::dlsym(libc::RTLD_NEXT, c_name.as_ptr()) };
        if first == next {
            return Err(AttachError::NotExported { name: name.to_owned() });
        }
    }
    Ok(())
}
