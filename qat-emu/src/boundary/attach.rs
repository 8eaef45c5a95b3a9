//! The emulator of this process: its creation, and the functions that the hooks call. Everything here runs inside the
//! program's calls of the C library, so that panics are caught and the emulator's own calls pass through the hooks.

use std::{
    cell::Cell,
    ffi::{CStr, OsStr, c_char, c_int, c_ulong, c_void},
    marker::PhantomData,
    os::unix::ffi::OsStrExt as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    ptr, slice,
    sync::{
        Once,
        atomic::{AtomicBool, AtomicPtr, Ordering},
    },
};

use super::{
    files::{self, VfioFile},
    next,
    paths::{self, MANAGER_SOCKET, Redirected, Target},
    shared, tree,
    vfio::{Argument, Vfio},
};
use crate::{
    config::Config,
    counters::Counters,
    debugfs::{self, Content},
    device::vf::Vf,
    machine::Machine,
};

/// The environment variable that names the private tree of `qat-emu run` for the programs that it starts.
pub(crate) const TREE_VARIABLE: &str = "QAT_EMU_TREE";
/// The name of the scenario inside that tree; the next constant names the directory for each process's counters.
pub(crate) const SCENARIO_FILE: &str = "scenario.json";
pub(crate) const COUNTERS_DIRECTORY: &str = "counters";

/// What a process needs to create its emulator; forked children inherit it.
pub(super) struct EmulatorSetup {
    pub(super) tree: PathBuf,
    pub(super) config: Config,
    /// Whether the counters are kept in a file below the tree.
    pub(super) shared_counters: bool,
}

/// The emulator of this process.
pub(super) struct AttachedEmulator {
    pub(super) machine: &'static Machine,
    setup: &'static EmulatorSetup,
    vfio: Vfio,
}

/// The values of both pointers are leaked when they are replaced, because another thread may still use them in a hook.
static ATTACHED: AtomicPtr<AttachedEmulator> = AtomicPtr::new(ptr::null_mut());
static SETUP: AtomicPtr<EmulatorSetup> = AtomicPtr::new(ptr::null_mut());

thread_local! {
    static PASS_THROUGH: Cell<bool> = const { Cell::new(false) };
}

/// Ends the pass-through mode of the hooks on this thread when it is dropped.
pub(super) struct PassThrough {
    before: bool,
    /// Keeps the value on its thread.
    not_send: PhantomData<*const ()>,
}

impl Drop for PassThrough {
    fn drop(&mut self) {
        let _ = PASS_THROUGH.try_with(|flag| flag.set(self.before));
    }
}

/// Switches the hooks on this thread to pass-through mode, which the emulator's own file accesses need.
pub(super) fn pass_through() -> PassThrough {
    let before = PASS_THROUGH.try_with(|flag| flag.replace(true)).unwrap_or(true);
    PassThrough { before, not_send: PhantomData }
}

fn passes_through() -> bool {
    PASS_THROUGH.try_with(Cell::get).unwrap_or(true)
}

/// Runs the emulator's part of a hook, and returns `otherwise` if it panics: a panic must not unwind into C.
fn catch_panics<T>(otherwise: T, work: impl FnOnce() -> T) -> T {
    let _guard = pass_through();
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(otherwise)
}

/// Returns the emulator if it exists already.
pub(super) fn attached() -> Option<&'static AttachedEmulator> {
    // SAFETY: as_ref of a raw pointer requires null or a valid value: `ATTACHED` is null or points to a leaked box.
    unsafe { ATTACHED.load(Ordering::Acquire).as_ref() }
}

/// Returns the emulator, and creates it if this process has a setup for one.
fn attached_or_create() -> Option<&'static AttachedEmulator> {
    attached().or_else(|| create(setup()?))
}

fn setup() -> Option<&'static EmulatorSetup> {
    static ENVIRONMENT: AtomicBool = AtomicBool::new(false);
    // SAFETY: as_ref of a raw pointer requires null or a valid value: `SETUP` is null or points to a leaked box.
    let known = unsafe { SETUP.load(Ordering::Acquire).as_ref() };
    if known.is_some() || ENVIRONMENT.swap(true, Ordering::SeqCst) {
        return known;
    }
    let tree = PathBuf::from(std::env::var_os(TREE_VARIABLE)?);
    let text = std::fs::read(tree.join(SCENARIO_FILE)).map_err(|e| e.to_string());
    match text.and_then(|text| serde_json::from_slice(&text).map_err(|e| e.to_string())) {
        Ok(config) => Some(set_up(EmulatorSetup { tree, config, shared_counters: true })),
        Err(error) => {
            eprintln!(
                "qat-emu: there is no device, because {} cannot be read: {error}",
                tree.join(SCENARIO_FILE).display()
            );
            None
        }
    }
}

/// Stores a setup for the rest of the process.
pub(super) fn set_up(setup: EmulatorSetup) -> &'static EmulatorSetup {
    let setup = Box::leak(Box::new(setup));
    SETUP.store(setup, Ordering::Release);
    setup
}

/// Removes emulator and setup, after which the hooks pass all calls through.
pub(super) fn detach() {
    SETUP.store(ptr::null_mut(), Ordering::Release);
    ATTACHED.store(ptr::null_mut(), Ordering::Release);
}

/// Creates the emulator of a setup. When several threads do so, the first one's emulator is used.
pub(super) fn create(setup: &'static EmulatorSetup) -> Option<&'static AttachedEmulator> {
    static FORK_HANDLER: Once = Once::new();
    FORK_HANDLER.call_once(|| {
        // SAFETY: pthread_atfork(3): the handler may only do what is async-signal-safe, and it only stores to an
        // atomic.
        unsafe { libc::pthread_atfork(None, None, Some(forked)) };
    });
    let counters = if setup.shared_counters { shared_counters(&setup.tree) } else { None };
    let counters = counters.unwrap_or_else(|| Box::leak(Box::<Counters>::default()));
    let machine = match Machine::new(setup.config.clone(), counters) {
        Ok(machine) => &*Box::leak(Box::new(machine)),
        Err(error) => {
            eprintln!("qat-emu: there is no device: {error}");
            return None;
        }
    };
    let fresh = Box::into_raw(Box::new(AttachedEmulator { machine, setup, vfio: Vfio::new(machine) }));
    // If another thread was first, this emulator is leaked; it has no thread and no descriptor yet.
    let _ = ATTACHED.compare_exchange(ptr::null_mut(), fresh, Ordering::AcqRel, Ordering::Acquire);
    attached()
}

fn shared_counters(tree: &Path) -> Option<&'static Counters> {
    let path = tree.join(COUNTERS_DIRECTORY).join(std::process::id().to_string());
    shared::create(&path)
        .inspect_err(|error| eprintln!("qat-emu: the counters of this process are not reported, because {} cannot be created: {error}", path.display()))
        .ok()
}

/// Runs in a forked child, where the device threads do not exist and locks may be held by threads that do not exist.
/// The next use creates a new emulator. Descriptors keep their meaning, as they would with the kernel.
extern "C" fn forked() {
    ATTACHED.store(ptr::null_mut(), Ordering::Release);
}

/// Returns the path inside the tree that replaces `path`; `None` when the emulator does not replace it.
///
/// # Safety
/// `path` is null or a NUL-terminated string.
pub(super) unsafe fn redirect(path: *const c_char) -> Option<Redirected> {
    if path.is_null() {
        return None;
    }
    // SAFETY: CStr::from_ptr requires a NUL-terminated string, which this function's contract guarantees.
    let path = unsafe { CStr::from_ptr(path) }.to_bytes();
    // The driver's files are updated also when they are opened by their path in the tree.
    let (path, target) = match paths::target(path) {
        Some(target) => (path, target),
        None => (in_tree(path)?, Target::Debug),
    };
    if passes_through() {
        return None;
    }
    catch_panics(None, || {
        let exists_in_tree = |path: &[u8]| {
            let path = Path::new(OsStr::from_bytes(path));
            Some(setup()?.tree.join(path.strip_prefix("/").ok()?).exists())
        };
        let ours = match target {
            Target::Data => exists_in_tree(paths::DATA)?,
            Target::Physical => exists_in_tree(path)?,
            _ => true,
        };
        if !ours {
            return None;
        }
        let attached = attached_or_create()?;
        let mut target = target;
        if let (Target::Debug, Ok(path)) = (target, std::str::from_utf8(path)) {
            let stored = |path: &str| tree::read(&attached.setup.tree, path);
            match debugfs::content(attached.machine, path, stored) {
                Content::Text(text) => tree::write(&attached.setup.tree, path, text.as_bytes()).ok()?,
                Content::NotNow => target = Target::Refused,
                Content::Stored => {}
            }
        }
        Redirected::new(attached.setup.tree.as_os_str().as_encoded_bytes(), path, target)
    })
}

/// Returns the path of a file of the kernel's driver that is named by its path in the private tree.
fn in_tree(path: &[u8]) -> Option<&[u8]> {
    if passes_through() {
        return None;
    }
    // SAFETY: as_ref of a raw pointer requires null or a valid value: `SETUP` is null or points to a leaked box.
    let setup = unsafe { SETUP.load(Ordering::Acquire).as_ref() }?;
    let path = path.strip_prefix(setup.tree.as_os_str().as_bytes())?;
    (paths::target(path) == Some(Target::Debug)).then_some(path)
}

/// Opens a redirected path and records what the descriptor stands for. The kernel's files are read-only, except for
/// the telemetry control.
pub(super) fn open_redirected(redirected: &Redirected, flags: c_int, open: impl FnOnce() -> c_int) -> c_int {
    let Some(attached) = attached() else { return next::fail(libc::ENODEV) };
    let creates = flags & libc::O_CREAT != 0;
    let writes = creates || flags & libc::O_ACCMODE != libc::O_RDONLY;
    let path = Path::new(OsStr::from_bytes(redirected.path()));
    // A file that does not exist is reported as such by the open itself.
    let refused = writes && (creates || catch_panics(true, || path.exists()));
    let file = match redirected.target {
        Target::Plain | Target::Physical if refused => return next::fail(libc::EACCES),
        Target::Debug if refused && !debugfs::is_writable(redirected.path()) => {
            return next::fail(libc::EACCES);
        }
        Target::Plain | Target::Physical | Target::Data | Target::Debug => return open(),
        Target::Refused => return next::fail(libc::EPERM),
        Target::Container => VfioFile::Container,
        Target::Group(number) => match group(attached.machine, number) {
            Ok(vf) => VfioFile::Group(vf.identity.index),
            Err(errno) => return next::fail(errno),
        },
    };
    let fd = open();
    if fd < 0 {
        return fd;
    }
    files::remember(fd, file);
    fd
}

/// Returns the virtual function of a group, or the error of a fault that keeps the group closed.
fn group(machine: &'static Machine, number: u32) -> Result<&'static Vf, c_int> {
    let vf = machine.vfs.iter().find(|vf| vf.identity.group == number).ok_or(libc::ENOENT)?;
    let start = &machine.config.start;
    let errno = if vf.is_removed() {
        libc::ENOENT
    } else if start.group_busy.contains(&vf.identity.index) {
        libc::EBUSY
    } else if start.group_denied.contains(&vf.identity.index) {
        libc::EACCES
    } else {
        return Ok(vf);
    };
    machine.counters.injected_faults.fetch_add(1, Ordering::Relaxed);
    Err(errno)
}

/// Executes a VFIO call on a descriptor of the emulator; returns `None` for all other descriptors.
///
/// # Safety
/// The arguments follow the contract of `ioctl(2)` for the given request.
pub(super) unsafe fn ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> Option<c_int> {
    let file = files::lookup(fd)?;
    let attached = attached()?;
    // SAFETY: `Argument::new` requires an argument as in `vfio.h`; the descriptor is a VFIO one, so the caller passes
    // such.
    let argument = unsafe { Argument::new(argument) };
    let result = catch_panics(Some(Err(libc::EIO)), || attached.vfio.ioctl(fd, file, request, &argument))?;
    Some(result.unwrap_or_else(next::fail))
}

/// Handles a descriptor that is about to be closed.
pub(super) fn before_close(fd: c_int) {
    let Some(file) = files::forget(fd) else { return };
    let Some(attached) = attached() else { return };
    catch_panics((), || attached.vfio.before_close(fd, file));
}

/// Serves the mailboxes of this process's machine, if there is one, on the calling thread.
pub(super) fn serve_mailboxes() {
    if let Some(attached) = attached()
        && !passes_through()
    {
        catch_panics((), || attached.machine.serve_mailboxes());
    }
}

/// Executes all pending work of this process's devices on the calling thread.
pub(super) fn serve() {
    if let Some(attached) = attached()
        && !passes_through()
    {
        catch_panics((), || attached.machine.serve_now());
    }
}

/// Returns whether a socket address is that of the manager daemon, and an emulator exists from which it is hidden.
///
/// # Safety
/// `address` is null or points to `length` readable bytes.
pub(super) unsafe fn is_manager_address(address: *const c_void, length: u32) -> bool {
    const PATH: usize = std::mem::offset_of!(libc::sockaddr_un, sun_path);
    if address.is_null() || passes_through() {
        return false;
    }
    // SAFETY: slice::from_raw_parts requires `length` readable bytes, which this function's contract guarantees.
    let bytes = unsafe { slice::from_raw_parts(address.cast::<u8>(), length as usize) };
    let family = bytes.first_chunk().map(|family| i32::from(u16::from_ne_bytes(*family)));
    let path = bytes.get(PATH..).unwrap_or_default();
    family == Some(libc::AF_UNIX)
        && path.starts_with(MANAGER_SOCKET)
        && path.get(MANAGER_SOCKET.len()).is_none_or(|end| *end == 0)
        && catch_panics(None, attached_or_create).is_some()
}
