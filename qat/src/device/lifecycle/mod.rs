//! The one libqat of the process: it is loaded once, started and stopped by one thread, and shared by all accelerators.
//! The module `accelerator` calls this one; nothing here submits requests.
//!
//! libqat 24.02 remembers which thread started it: a stop from another thread reports success and makes every later
//! start fail. Therefore a thread of this crate starts libqat, supervises it, and stops it.

mod owner;
mod start;
mod state;

use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, mpsc};
use std::thread::{self, JoinHandle};

use once_cell::sync::OnceCell;
use qat_sys::{self as sys, Library, LoadError, Symbols};

use owner::Owner;
pub(crate) use state::{DriverState, StartResult, StateObserver};

use crate::device::polling;
use crate::error::Unavailability;
use crate::process::PerProcess;
use crate::raw::{clock, cy, dc, instance, sal};
use crate::report::{Capabilities, MemoryInfo, Services};
use crate::service::Service;
use crate::settings::HardwareSettings;

/// The section name that libqat's samples and its default configuration use. The kernel's driver has no sections and
/// ignores it.
const PROCESS_NAME: &CStr = c"SSL";

/// The function that loads the library.
pub(crate) type Load = fn() -> Result<Library, LoadError>;

/// Access to libqat in this process. Programs use [`SYSTEM`]; a test creates its own with stubs.
pub(crate) struct Driver {
    load: Load,
    /// Returns the nanoseconds of a monotonic clock.
    clock: fn() -> u64,
    process: PerProcess<Process>,
}

/// The system's libqat.
pub(crate) static SYSTEM: Driver = Driver::new(load_system);

fn load_system() -> Result<Library, LoadError> {
    let ignored = sys::LoadOptions::ignored_variables();
    if !ignored.is_empty() {
        tracing::warn!(
            variables = ignored.join(", "),
            "environment variables are ignored, because this process has more rights than its caller (set-user-ID, \
             set-group-ID or file capabilities)"
        );
    }
    // SAFETY: `Library::load`: the named files are trusted like every shared library of the process, and the driver
    // keeps the library loaded until the process ends.
    unsafe { Library::load(&sys::LoadOptions::from_env()) }
}

/// The driver's data in one process. It is never freed, so that libqat stays loaded for its callbacks and its own
/// threads.
struct Process {
    pid: u32,
    library: OnceCell<Library>,
    detection: Mutex<()>,
    state: Mutex<State>,
    memory: start::Memories,
    recoveries: AtomicU64,
}

#[derive(Default)]
struct State {
    users: usize,
    running: Option<Running>,
    /// The last start that its users gave up. The next one waits for its end.
    ending: Option<Arc<Ending>>,
}

/// A libqat that is being stopped, by the thread that owns it.
struct Ending(Mutex<Option<JoinHandle<()>>>);

impl Ending {
    /// Returns when libqat is stopped. The threads that [`polling::is_helper_thread`] names must not call it, because the
    /// thread that stops libqat waits for them, or is one of them.
    fn wait(&self) {
        let mut thread = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that owns libqat panicked");
        }
    }
}

/// A started libqat and the thread that owns it.
struct Running {
    current: Arc<DriverState>,
    /// Dropping it makes the thread stop libqat and end.
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

/// A share in the started library. Dropping the last one stops libqat, and waits for that unless a waker drops it on a thread
/// of this crate.
pub(crate) struct Lease {
    process: &'static Process,
    current: Arc<DriverState>,
}

impl Lease {
    pub(crate) fn current(&self) -> &Arc<DriverState> {
        &self.current
    }
}

impl Driver {
    pub(crate) const fn new(load: Load) -> Self {
        Self::with_clock(load, clock::now)
    }

    pub(crate) const fn with_clock(load: Load, clock: fn() -> u64) -> Self {
        Self { load, clock, process: PerProcess::new() }
    }

    pub(crate) fn now(&self) -> u64 {
        (self.clock)()
    }

    fn process(&'static self) -> &'static Process {
        self.process.get(|| Process {
            pid: std::process::id(),
            library: OnceCell::new(),
            detection: Mutex::new(()),
            state: Mutex::default(),
            memory: start::Memories::default(),
            recoveries: AtomicU64::new(0),
        })
    }

    /// Acquires the lock that an accelerator holds during detection, so that concurrent first callers wait for one
    /// result. Returns `None` only on the threads that [`polling::is_helper_thread`] names, when another thread holds the
    /// lock and may be waiting for such a thread.
    pub(crate) fn lock_detection(&'static self) -> Option<MutexGuard<'static, ()>> {
        if polling::is_helper_thread() {
            return self.try_lock_detection();
        }
        Some(self.process().detection.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Acquires the detection lock unless another thread holds it.
    pub(crate) fn try_lock_detection(&'static self) -> Option<MutexGuard<'static, ()>> {
        match self.process().detection.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Returns the library; `None` while it is not loaded.
    pub(crate) fn library(&'static self) -> Option<&'static Library> {
        self.process().library.get()
    }

    /// Returns the device memory of this process, by NUMA node.
    pub(crate) fn memory(&'static self) -> Vec<MemoryInfo> {
        self.process().memory.infos()
    }

    /// Returns how often libqat was restarted after a failure.
    pub(crate) fn recoveries(&'static self) -> u64 {
        self.process().recoveries.load(Relaxed)
    }

    /// Loads and starts libqat, or joins the accelerators that use it.
    ///
    /// # Errors
    /// The cause of the failure. [`Unavailability::NoDevice`] only means that libqat sees no device; the accelerator
    /// finds out why.
    pub(crate) fn acquire(&'static self, settings: HardwareSettings) -> Result<Lease, Unavailability> {
        let process = self.process();
        let mut state = process.lock_between_stops()?;
        let symbols = process.library.get_or_try_init(self.load)?.symbols();
        let running = match &mut state.running {
            Some(running) => running,
            none => {
                // SAFETY: `sal::is_qat_available`: the table has libqat's functions by the contract of `Library::load`.
                if !unsafe { sal::is_qat_available(symbols) } {
                    return Err(Unavailability::NoDevice);
                }
                none.insert(Running::start(symbols, settings, process)?)
            }
        };
        let current = running.current.clone();
        state.users += 1;
        Ok(Lease { process, current })
    }
}

impl Process {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the state when no stop is going on. It waits without the lock, since what the stop wakes may want it.
    fn lock_between_stops(&self) -> Result<MutexGuard<'_, State>, Unavailability> {
        loop {
            let mut state = self.lock();
            let Some(ending) = state.ending.clone() else { return Ok(state) };
            if polling::is_helper_thread() {
                return Err(Unavailability::Stopped);
            }
            drop(state);
            ending.wait();
            state = self.lock();
            if state.ending.as_ref().is_some_and(|last| Arc::ptr_eq(last, &ending)) {
                state.ending = None;
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.process.pid != std::process::id() {
            // Only the parent may stop its libqat, and the owning thread does not exist in the child.
            return;
        }
        let ending = {
            let mut state = self.process.lock();
            state.users -= 1;
            if state.users > 0 {
                return;
            }
            let Some(Running { stop, thread, .. }) = state.running.take() else { return };
            drop(stop);
            let ending = Arc::new(Ending(Mutex::new(Some(thread))));
            state.ending = Some(ending.clone());
            ending
        };
        // A waker that drops the last accelerator runs on a thread that the stop waits for: it leaves the stop to go on
        // by itself, and the next start waits for its end.
        if !polling::is_helper_thread() {
            ending.wait();
        }
    }
}

impl Running {
    fn start(
        symbols: &'static Symbols,
        settings: HardwareSettings,
        process: &'static Process,
    ) -> Result<Self, Unavailability> {
        let (answer, answered) = mpsc::channel();
        let (stop, stopped) = mpsc::channel::<()>();
        let owner = Owner::new(symbols, settings, process);
        let own = move || {
            polling::mark_helper_thread();
            owner.run(&answer, &stopped);
        };
        let no_thread = |error: std::io::Error| Unavailability::NoThread { reason: error.to_string().into() };
        let thread = thread::Builder::new().name("qat-driver".to_owned()).spawn(own).map_err(no_thread)?;
        match answered.recv() {
            Ok(Ok(current)) => Ok(Self { current, stop, thread }),
            refused => {
                drop(stop);
                let panicked = thread.join().is_err();
                Err(match refused {
                    Ok(Err(unavailability)) => unavailability,
                    _ => Unavailability::NoThread {
                        reason: format!("it ended early (panic: {panicked})").into(),
                    },
                })
            }
        }
    }
}

/// Queries the instances and capabilities of the started library. A query that fails counts as "none".
///
/// # Safety
/// libqat is started, and is not stopped before this returns.
unsafe fn services(symbols: &Symbols) -> Services {
    let count = |service, kind| {
        // SAFETY: `instance::num_instances`: the symbols are libqat's by this function's contract.
        let count = unsafe { instance::num_instances(symbols, kind) };
        count.unwrap_or_else(|status| {
            tracing::debug!(%service, %status, "libqat did not report the number of instances");
            0
        })
    };
    let first = |service, kind, count: u16| {
        if count == 0 {
            return None;
        }
        // SAFETY: `instance::instances`: libqat is started by this function's contract, and it reported the count in
        // this start.
        match unsafe { instance::instances(symbols, kind, count) } {
            Ok(handles) => handles.into_iter().find(|handle| !handle.is_null()),
            Err(status) => {
                tracing::debug!(%service, %status, "libqat did not list the instances");
                None
            }
        }
    };
    let mut services = Services::default();
    let Services { instances, capabilities } = &mut services;

    let kind = sys::CPA_ACC_SVC_TYPE_DATA_COMPRESSION;
    instances.compression = count(Service::Compression, kind);
    if let Some(handle) = first(Service::Compression, kind, instances.compression) {
        // SAFETY: `ask_compression`: `handle` is a compression instance of this start, which runs by this function's
        // contract.
        unsafe { ask_compression(symbols, handle, capabilities) };
    }
    // Older releases do not know the service, and would print an error to standard error.
    if symbols.capability_by_type.is_some() {
        let kind = sys::CPA_ACC_SVC_TYPE_DATA_DECOMPRESSION;
        instances.decompression = count(Service::Decompression, kind);
    }

    let kind = sys::CPA_ACC_SVC_TYPE_CRYPTO_SYM;
    instances.symmetric = count(Service::Symmetric, kind);
    if let Some(handle) = first(Service::Symmetric, kind, instances.symmetric) {
        // SAFETY: `cy::symmetric_capabilities`: `handle` is a symmetric instance of this start, which runs by this
        // function's contract.
        match unsafe { cy::symmetric_capabilities(symbols, handle) } {
            Ok(raw) => capabilities.encryption = (&raw).into(),
            Err(status) => tracing::debug!(%status, "libqat did not report its ciphers"),
        }
    }

    let kind = sys::CPA_ACC_SVC_TYPE_CRYPTO_ASYM;
    instances.asymmetric = count(Service::Asymmetric, kind);
    if let Some(handle) = first(Service::Asymmetric, kind, instances.asymmetric) {
        // SAFETY: `cy::capabilities`: `handle` is a crypto instance of this start, which runs by this function's
        // contract.
        match unsafe { cy::capabilities(symbols, handle) } {
            Ok(raw) => capabilities.public_key = (&raw).into(),
            Err(status) => tracing::debug!(%status, "libqat did not report its public-key operations"),
        }
    }
    services
}

/// Queries the capabilities of compression.
///
/// # Safety
/// libqat is started and `handle` is a compression instance of this start.
unsafe fn ask_compression(
    symbols: &Symbols,
    handle: sys::CpaInstanceHandle,
    capabilities: &mut Capabilities,
) {
    // SAFETY: `dc::capabilities`: `handle` is a compression instance of this start by this function's contract.
    match unsafe { dc::capabilities(symbols, handle) } {
        Ok(raw) => capabilities.compression = (&raw).into(),
        Err(status) => tracing::debug!(%status, "libqat did not report its formats"),
    }
    let Some(group) = &symbols.capability_by_type else { return };
    let has_zstd = |dir| {
        let request =
            sys::CpaDcCapabilityReq { algo: sys::CPA_DC_ZSTD, dir, capId: sys::CPA_DC_CAP_BOOL_STATELESS };
        // SAFETY: `dc::has_capability`: `handle` is valid by this function's contract, and the capability is a Boolean
        // one.
        unsafe { dc::has_capability(group, handle, request) }.unwrap_or(false)
    };
    capabilities.compression.zstd.compress = has_zstd(sys::CPA_DC_DIR_COMPRESS);
    capabilities.compression.zstd.decompress = has_zstd(sys::CPA_DC_DIR_DECOMPRESS);
}

#[cfg(test)]
pub(crate) mod stub;
