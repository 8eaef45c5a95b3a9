//! The emulator inside a test executable: [`Emulator`], which tests attach and control.

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

/// Names the C functions that the emulator intercepts, one per line.
///
/// The build script of a package whose tests use [`Emulator`] exports them from the test executables. It prints
/// `cargo:rustc-link-arg-tests=-Wl,--export-dynamic-symbol=NAME` for each of them, or once
/// `cargo:rustc-link-arg-tests=-rdynamic`.
pub const HOOKS: &str = hooks::NAMES;

/// Explains why the emulator cannot attach to this process.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// An emulator is attached already; a process can have one.
    #[error("an emulator is already attached to this process: drop it before attaching another one")]
    Attached,
    /// The hooks are linked into the executable but not exported, so that a loaded libqat would not find them.
    #[error(
        "libqat would call the C library's `{name}` instead of the emulator's: let the build script of this package \
         print `cargo:rustc-link-arg-tests=-rdynamic` (or `-bins`, `-examples`)"
    )]
    NotExported {
        /// Names the first function that resolves to another definition.
        name: String,
    },
    /// The machine cannot be emulated.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The private tree cannot be created.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// Controls the emulated machine of this process. A libqat that is loaded with `dlopen` sees its devices until this is
/// dropped.
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
    /// Creates the machine and activates the hooks.
    ///
    /// # Errors
    /// Returns [`AttachError`] when an emulator is attached already, the hooks are not exported, or the machine cannot
    /// be created.
    pub fn attach(config: Config) -> Result<Self, AttachError> {
        config.validate()?;
        check_exported()?;
        if IN_USE.swap(true, Ordering::SeqCst) {
            return Err(AttachError::Attached);
        }
        // From here on, dropping `emulator` undoes everything.
        let mut emulator = Self { tree: PathBuf::new(), process: std::process::id() };
        let _guard = pass_through();
        emulator.tree = tree::directory()?;
        tree::fill(&emulator.tree, &config)?;
        let setup =
            attach::set_up(EmulatorSetup { tree: emulator.tree.clone(), config, shared_counters: false });
        attach::create(setup);
        Ok(emulator)
    }

    /// Returns the counters of this process's devices. In a forked child that has not used a device all are zero.
    #[must_use]
    pub fn counters(&self) -> Snapshot {
        attached().map(|a| a.machine.snapshot()).unwrap_or_default()
    }

    /// Returns the private tree that replaces `/dev/vfio` and parts of `/sys`.
    #[must_use]
    pub fn tree(&self) -> &Path {
        &self.tree
    }

    /// Executes all submitted requests on the calling thread and publishes their responses. If
    /// [`Config::engine_threads`] is 0, nothing else executes requests, so that a test determines when responses
    /// arrive. The shared library exports this function as `void qat_emu_serve(void)`.
    pub fn serve(&self) {
        attach::serve();
    }

    /// Notifies a virtual function, by its index over all devices, that its device restarts, failed or has restarted.
    /// After the first two, the function serves no requests until the library opens it again.
    pub fn notify(&self, vf: usize, notification: Notification) {
        self.with_vf(vf, |vf| vf.notify(notification));
    }

    /// Adds a fault with a lower precedence than the existing ones.
    pub fn arm(&self, fault: Fault) {
        if let Some(attached) = attached() {
            attached.machine.faults.arm(fault);
        }
    }

    /// Removes all faults.
    pub fn disarm(&self) {
        if let Some(attached) = attached() {
            attached.machine.faults.disarm();
        }
    }

    /// Removes a virtual function, so that it does not respond and cannot be opened.
    pub fn remove(&self, vf: usize) {
        self.with_vf(vf, crate::device::vf::Vf::remove);
    }

    /// Undoes the removal of a virtual function, which the library then has to open again.
    pub fn restore(&self, vf: usize) {
        self.with_vf(vf, crate::device::vf::Vf::restore);
    }

    /// Makes the firmware of a device hang: none of its virtual functions serves requests, and its heartbeat fails. The
    /// mailbox, which belongs to the kernel, still works.
    pub fn hang(&self, device: usize) {
        if let Some(attached) = attached() {
            attached.machine.set_hung(device, true);
        }
    }

    /// Lets a hung device continue where it stopped.
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
        // A forked child has a copy of this value, but the tree belongs to its parent.
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
            // If the removal fails, the tree occupies some kilobytes of memory until the next boot.
            let _ = fs::remove_dir_all(&self.tree);
        }
        IN_USE.store(false, Ordering::SeqCst);
    }
}

/// Checks that a loaded library would bind to the hooks, which is the case if the first definition of each name is not
/// also the next one.
fn check_exported() -> Result<(), AttachError> {
    // A reference to one hook makes the linker include the object file with all of them.
    std::hint::black_box(hooks::open64 as *const ());
    for name in HOOKS.split_whitespace() {
        let c_name = CString::new(name).unwrap_or_default();
        // SAFETY: dlsym(3) takes a NUL-terminated name and a handle; RTLD_DEFAULT is valid in any object.
        let first = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c_name.as_ptr()) };
        // SAFETY: dlsym(3) takes a NUL-terminated name and a handle; RTLD_NEXT is valid in any object.
        let next = unsafe { libc::dlsym(libc::RTLD_NEXT, c_name.as_ptr()) };
        if first == next {
            return Err(AttachError::NotExported { name: name.to_owned() });
        }
    }
    Ok(())
}
