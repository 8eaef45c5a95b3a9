//! `QatAccelerator`: detects the hardware, registers its capabilities, and offers its operations as the traits of
//! `accel_core`.
//!
//! Programs call it, directly or through `AutoAccelerator`. It calls the module `device`, and never does an operation's
//! work on the CPU.

mod batch;
mod counted;
mod dma;
mod explain;
mod futures;
mod operations;
mod retry;
mod single;

pub use dma::{DmaCompletion, DmaRequest, DmaSession};

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Instant;

use accel_core::{AcceleratorTypes, Error, HardwareProbe, Recorder, Result};
use arc_swap::ArcSwapOption;
use capability_registry::{Feature, Registration, Registry, State, Value};

use crate::device::instances::Started;
use crate::device::lifecycle::{self, Driver, DriverState, Lease, StateObserver};
use crate::error::HARDWARE;
use crate::error::Unavailability;
use crate::probe::{self, DeviceCounters, DeviceState, QatDevice, QatProbe, Support, Telemetry};
use crate::process::ProcessMark;
use crate::report::Capabilities;
use crate::report::Services;
use crate::report::{Info, LibraryInfo, ServiceInfo};
use crate::service::Service;
use crate::settings::HardwareSettings;
use explain::{Configured, HugePageUse, explain};
use retry::Retry;

/// Compression and encryption on QAT hardware, never on the CPU. Clones are cheap and share one accelerator.
///
/// Construction does not access the system. The first call that needs the hardware loads libqat, asks it for a device
/// and starts it; concurrent callers wait for the result. The hardware is kept until [`shutdown`](Self::shutdown) or
/// until the last clone is dropped. All accelerators of a process share one started libqat, which the last one stops.
///
/// # Hardware that appears later
/// A process may be started before `qat.service` has set up the devices. While there is no hardware, later calls check
/// again, after pauses that double from one second to one minute, and as soon as the probe finds that devices were
/// added or removed and have not changed for a second. The call that checks waits for the start, while others continue
/// with the old result. Neither a thread nor a timer does this, so nothing happens without calls. The outcome is
/// reported as a `tracing` event and in the registry. [`reinitialize`](Self::reinitialize) checks immediately. A start
/// that provided some services but not others is not repeated.
///
/// After detection, the registry has the result under `qat` and below: what libqat and the device offer is present,
/// everything else is absent with the reason.
///
/// Operations fail with [`Error::Unavailable`] without a device, with [`Error::Unsupported`] where the device or the
/// library does not support them, and with [`Error::Device`], whose reason is a [`DeviceError`](crate::DeviceError),
/// when the device fails. [`AutoAccelerator`](crate::AutoAccelerator) uses the CPU in all these cases.
///
/// # Compression
/// | format | on the device |
/// |---|---|
/// | gzip, zlib, deflate | levels 1 to 12; decompression takes one request for each stream or member, which must fit into [`HardwareSettings::memory`] |
/// | LZ4 frame | levels 1 to 12; independent blocks in parallel, linked blocks in one request |
/// | LZ4 block | levels 1 to 12; at most 4 MiB |
/// | Zstandard | levels 1 to 12: the device finds the matches, and libzstd encodes them on the CPU; no decompression |
///
/// Named levels are 1, 6 and 9. Empty input, and stored blocks of LZ4 frames, need no device; the outcome of an
/// operation without any request states [`SoftwareReason::TooSmall`](accel_core::SoftwareReason::TooSmall).
///
/// # Encryption
/// Each cipher is tried once for each start and key length, and the result is compared with the CPU's, because libqat
/// reports a request that the device rejected as a success. A cipher that fails its trial is [`Error::Unsupported`] and
/// absent from the registry; a single request that was rejected is an [`Error::Device`], never a result. Sessions are
/// kept in the [`Key`](accel_core::Key), so a program should clone a key rather than create it again.
///
/// AES-GCM and ChaCha20-Poly1305 accept at most 240 bytes of associated data. Its length should not change from call to
/// call, because it is part of a session, of which a key keeps four for each instance and direction. libqat does not
/// accept an empty message for ChaCha20-Poly1305. Authenticated encryption and digests take one request, which may use
/// at most half of [`HardwareSettings::memory`].
///
/// # Forked processes
/// In a child process, hardware that the parent started is [`Unavailability::Forked`]; `reinitialize` starts it in the
/// child.
///
/// # Examples
/// ```
/// let qat = qat::QatAccelerator::default();
/// match qat.unavailability() {
///     None => println!("QAT: {:?}", qat.info().services),
///     Some(reason) => println!("no QAT: {reason}"),
/// }
/// ```
#[derive(Clone)]
pub struct QatAccelerator(Arc<Inner>);

struct Inner {
    registry: Registry,
    probe: Arc<dyn HardwareProbe>,
    driver: &'static Driver,
    settings: HardwareSettings,
    recorder: Arc<Recorder>,
    /// The current result of detection, shared with `publication`.
    answer: Arc<ArcSwapOption<Detection>>,
    retry: Retry,
    // The fields are dropped in this order: the registration ends before the lease stops the hardware.
    publication: Arc<Publication>,
    lease: Mutex<Option<Lease>>,
}

/// Publishes the result of detection to callers and to the registry. A recovery of the hardware changes it.
struct Publication {
    answer: Arc<ArcSwapOption<Detection>>,
    probe: Arc<dyn HardwareProbe>,
    published: Mutex<Option<Published>>,
    /// The number of failed trials that the registry reflects.
    failures: AtomicU32,
}

/// The published result's connection to the driver and the registry.
struct Published {
    /// The driver state that the result follows; `None` when libqat was not started.
    current: Option<Arc<DriverState>>,
    registration: Option<Registration>,
}

/// The result of detection.
struct Detection {
    /// The process that ran detection.
    process: ProcessMark,
    result: lifecycle::StartResult,
    /// Why services have no instances in `result`.
    missing: Missing,
    /// The devices whose telemetry determines the utilisation; the first query looks for them.
    measured: OnceLock<Vec<QatDevice>>,
}

impl Default for QatAccelerator {
    /// Returns an accelerator for the system's QAT hardware, with a registry of its own.
    fn default() -> Self {
        Self::new(Registry::new(), Arc::new(QatProbe::new()))
    }
}

impl std::fmt::Debug for QatAccelerator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let answer = self.0.answer.load();
        f.debug_struct("QatAccelerator")
            .field(
                "answer",
                &answer.as_ref().map(|answer| answer.result.as_ref().map(|started| started.services)),
            )
            .finish_non_exhaustive()
    }
}

impl QatAccelerator {
    /// Returns an accelerator that registers in `registry` what it detects, and uses `probe` to find out why there is
    /// no hardware.
    ///
    /// The call does not access the system. Of several accelerators with one registry, the first that detects
    /// registers.
    #[must_use]
    pub fn new(registry: Registry, probe: Arc<dyn HardwareProbe>) -> Self {
        Self::with_driver(registry, probe, &lifecycle::SYSTEM)
    }

    pub(crate) fn with_driver(
        registry: Registry,
        probe: Arc<dyn HardwareProbe>,
        driver: &'static Driver,
    ) -> Self {
        Self::with_parts(registry, probe, driver, HardwareSettings::default())
    }

    fn with_parts(
        registry: Registry,
        probe: Arc<dyn HardwareProbe>,
        driver: &'static Driver,
        settings: HardwareSettings,
    ) -> Self {
        let recorder = Arc::new(Recorder::new());
        let answer = Arc::new(ArcSwapOption::empty());
        let publication = Arc::new(Publication {
            answer: answer.clone(),
            probe: probe.clone(),
            published: Mutex::default(),
            failures: AtomicU32::new(0),
        });
        let (lease, retry) = (Mutex::default(), Retry::new());
        Self(Arc::new(Inner {
            registry,
            probe,
            driver,
            settings,
            recorder,
            answer,
            retry,
            publication,
            lease,
        }))
    }

    /// Returns an accelerator with other settings, without results and statistics of this one. The settings apply only
    /// if the accelerator is the first to start the hardware in this process.
    #[must_use]
    pub fn with_settings(self, settings: HardwareSettings) -> Self {
        Self::with_parts(self.0.registry.clone(), self.0.probe.clone(), self.0.driver, settings)
    }

    /// Returns the registry that the accelerator registers its capabilities in.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// Returns why the hardware cannot be used; `None` when it can. The first call initialises the hardware.
    #[must_use]
    pub fn unavailability(&self) -> Option<Arc<Unavailability>> {
        self.0.answer().result.as_ref().err().cloned()
    }

    /// Returns why the hardware cannot be used for one of `types`; `None` when it can be used for all of them. A device
    /// may support encryption without compression, or the other way round. The first call initialises the hardware.
    #[must_use]
    pub fn unavailability_for(&self, types: AcceleratorTypes) -> Option<Arc<Unavailability>> {
        let answer = self.0.answer();
        match &answer.result {
            Err(reason) => Some(reason.clone()),
            Ok(started) => {
                missing_service(&started.services, types).map(|service| answer.missing.reason(&service))
            }
        }
    }

    /// Returns whether the hardware can be used for all of `types`. The first call initialises the hardware.
    #[must_use]
    pub fn is_available_for(&self, types: AcceleratorTypes) -> bool {
        let answer = self.0.answer();
        answer.result.as_ref().is_ok_and(|started| missing_service(&started.services, types).is_none())
    }

    /// Returns the capabilities of library and device; `None` when the hardware cannot be used. The first call
    /// initialises the hardware.
    #[must_use]
    pub fn capabilities(&self) -> Option<Capabilities> {
        self.0.answer().result.as_ref().ok().map(|started| started.offered().capabilities)
    }

    /// Returns everything that is known about QAT on this machine. The first call initialises the hardware, and each
    /// call lists the devices and reads their counters.
    #[must_use]
    pub fn info(&self) -> Info {
        let answer = self.0.answer();
        let (devices, devices_error) = match qat_devices(&*self.0.probe) {
            Ok(devices) => (devices, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let services = answer.result.as_ref().ok().map(|started| started.offered());
        let service_info = |(service, instances): (Service, u16)| ServiceInfo {
            unavailability: (instances == 0).then(|| Unavailability::clone(&answer.missing.reason(&service))),
            service,
            instances,
        };
        Info {
            available: services.is_some(),
            unavailability: answer.result.as_ref().err().map(|reason| Unavailability::clone(reason)),
            ignored_variables: qat_sys::LoadOptions::ignored_variables(),
            library: self.0.driver.library().map(LibraryInfo::of),
            counters: devices.iter().filter_map(DeviceCounters::read).collect(),
            devices,
            devices_error,
            services: services
                .map(|services| services.instances.by_service().map(service_info).into())
                .unwrap_or_default(),
            capabilities: services.map(|services| services.capabilities),
            instances: answer.result.as_ref().map(|started| started.instance_infos()).unwrap_or_default(),
            memory: self.0.driver.memory(),
            recoveries: self.0.driver.recoveries(),
        }
    }

    /// Repeats detection: after a device was added or removed, after a shutdown, or in a forked child. While other
    /// accelerators use the started libqat, this one joins them and uses the same devices.
    ///
    /// # Errors
    /// [`Unavailable`](Error::Unavailable) when there is no usable hardware.
    pub fn reinitialize(&self) -> Result<()> {
        let Some(_detection) = self.0.driver.lock_detection() else {
            return Err(unavailable(Arc::new(Unavailability::Stopped)));
        };
        self.0.release(None);
        self.0.detect().result.as_ref().map(drop).map_err(|reason| unavailable(reason.clone()))
    }

    /// Releases the hardware and removes the registry's entries. Operations fail with [`Unavailability::Stopped`]
    /// afterwards. Dropping the last clone releases the hardware, too.
    ///
    /// The last accelerator of the process waits until libqat is stopped. On a thread of this crate, where a waker may run,
    /// and while another stop is in progress, this call does not wait: the stop continues by itself, and an operation that
    /// would need a start fails with [`Unavailability::Stopped`].
    pub fn shutdown(&self) {
        // Without the lock, this shutdown comes before what its holder finds.
        let _detection = self.0.driver.lock_detection();
        self.0.release(Some(Unavailability::Stopped));
    }

    /// Returns the utilisation of all devices that could do this accelerator's work, from 0 to 1; `None` unless all of
    /// them report telemetry.
    pub(crate) fn utilisation(&self) -> Option<f64> {
        let answer = self.0.valid_answer()?;
        answer.result.as_ref().ok()?;
        let measured = answer.measured.get_or_init(|| {
            let mut devices = qat_devices(&*self.0.probe).unwrap_or_default();
            devices.retain(|device| !device.is_virtual() && is_at_work(device));
            devices
        });
        let read = |device: &QatDevice| Telemetry::read(device.debug_path.as_deref()?).ok();
        probe::utilisation(&measured.iter().map(read).collect::<Option<Vec<_>>>()?)
    }

    /// Returns the number of operations that run now.
    pub(crate) fn in_flight(&self) -> u64 {
        self.0.recorder.in_flight()
    }
}

impl Inner {
    /// Returns the result of detection, which the first call runs.
    fn answer(&self) -> Arc<Detection> {
        if let Some(answer) = self.valid_answer() {
            return if answer.result.is_err() && self.is_look_due() {
                self.look_again(answer)
            } else {
                answer
            };
        }
        let Some(_detection) = self.driver.lock_detection() else {
            return Detection::new(Err(Arc::new(Unavailability::Stopped)), &*self.probe);
        };
        if let Some(answer) = self.valid_answer() {
            return answer;
        }
        if self.answer.load().is_some() {
            return self
                .release(Some(Unavailability::Forked))
                .expect("`release` returns a result when it was passed a reason");
        }
        self.detect()
    }

    /// Returns the current result, unless the parent of this process started the hardware.
    fn valid_answer(&self) -> Option<Arc<Detection>> {
        let answer = self.answer.load();
        let answer = answer.as_ref()?;
        let is_of_a_start =
            answer.result.as_ref().err().is_none_or(|reason| reason.is_of_a_started_library());
        (!is_of_a_start || answer.process.is_this()).then(|| answer.clone())
    }

    /// Returns whether a repeated check for hardware is due.
    #[inline]
    fn is_look_due(&self) -> bool {
        self.retry.is_due(|| self.driver.now())
    }

    /// Checks for hardware again, unless another thread is doing so.
    #[cold]
    fn look_again(&self, before: Arc<Detection>) -> Arc<Detection> {
        let Some(_detection) = self.driver.try_lock_detection() else { return before };
        let Some(answer) = self.valid_answer() else { return before };
        let Some(reason) = answer.result.as_ref().err().filter(|_| self.is_look_due()) else { return answer };
        if !self.retry.is_to_try(self.driver.now(), self.probe.fingerprint()) {
            return answer;
        }
        let started_at = Instant::now();
        match self.acquire() {
            Ok(lease) => self.publish(Ok(lease), started_at),
            Err(now) => {
                let again_in = self.retry.failed(self.driver.now());
                if now == **reason {
                    tracing::debug!(%now, ?again_in, "QAT is still not available");
                    return answer;
                }
                self.publish(Err(now), started_at)
            }
        }
    }

    /// Publishes `reason`, or no result at all, removes the registration and releases the hardware. The caller holds
    /// the detection lock.
    fn release(&self, reason: Option<Unavailability>) -> Option<Arc<Detection>> {
        self.retry.stop();
        let answer = reason.map(|reason| Detection::new(Err(Arc::new(reason)), &*self.probe));
        let published = {
            // The lock keeps a recovery, which the owning thread publishes, from overwriting the result.
            let mut published = self.publication.lock();
            self.answer.store(answer.clone());
            published.take()
        };
        drop(published);
        let lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(lease);
        answer
    }

    /// Starts the hardware and publishes the result. The caller holds the detection lock and has released the hardware
    /// of an earlier result.
    fn detect(&self) -> Arc<Detection> {
        let (started_at, fingerprint) = (Instant::now(), self.probe.fingerprint());
        let acquired = self.acquire();
        if acquired.is_err() {
            self.retry.start(self.driver.now(), fingerprint);
        }
        self.publish(acquired, started_at)
    }

    /// Starts libqat, or joins the accelerators that use it.
    fn acquire(&self) -> Result<Lease, Unavailability> {
        let lease = self
            .driver
            .acquire(self.settings)
            .map_err(|reason| explain(reason, &*self.probe, HugePageUse::of(self.driver.library())))?;
        let no_answer = lease.current().state().ok().and_then(|started| {
            missing_service(&started.services, AcceleratorTypes::all())?;
            Configured::read(&*self.probe).no_answer(&started.services)
        });
        no_answer.map_or(Ok(lease), Err)
    }

    /// Publishes the result of detection to callers and to the registry. The caller holds the detection lock.
    fn publish(&self, acquired: Result<Lease, Unavailability>, started_at: Instant) -> Arc<Detection> {
        let took = started_at.elapsed();
        let mut published = self.publication.lock();
        let (current, result) = match acquired {
            Ok(lease) => {
                self.retry.stop();
                let current = lease.current().clone();
                *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = Some(lease);
                let observer: Weak<Publication> = Arc::downgrade(&self.publication);
                current.subscribe(observer);
                // Later changes wait for the lock in `changed`, so none of them is overwritten by this state.
                let state = current.state();
                (Some(current), state)
            }
            Err(reason) => (None, Err(Arc::new(reason))),
        };
        match &result {
            Ok(started) => {
                tracing::info!(?took, instances = started.services.instances.total(), "QAT is available");
            }
            Err(reason) => tracing::info!(?took, %reason, "QAT is not available"),
        }
        let answer = Detection::new(result, &*self.probe);
        let entries = answer.entries();
        let registration = match published.take().and_then(|published| published.registration) {
            Some(registration) => registration.replace(entries).map(|_| registration),
            None => self.registry.register(HARDWARE, entries),
        };
        let registration = registration
            .inspect_err(|error| tracing::warn!(%error, "could not update the capability registry"))
            .ok();
        *published = Some(Published { current, registration });
        self.publication.store(answer)
    }
}

/// Why services have no instances, for each service.
struct Missing([Arc<Unavailability>; 4]);

impl Missing {
    const SERVICES: [Service; 4] =
        [Service::Compression, Service::Decompression, Service::Symmetric, Service::Asymmetric];

    fn new(configured: &Configured) -> Self {
        Self(Self::SERVICES.map(|service| Arc::new(configured.missing(service))))
    }

    fn reason(&self, service: &Service) -> Arc<Unavailability> {
        let at = Self::SERVICES.iter().position(|it| it == service).unwrap_or_default();
        self.0[at].clone()
    }
}

impl Detection {
    /// Creates a result. Uses `probe` when libqat has no instances of some service.
    fn new(result: lifecycle::StartResult, probe: &dyn HardwareProbe) -> Arc<Self> {
        let is_partial =
            |started: &Arc<Started>| missing_service(&started.services, AcceleratorTypes::all()).is_some();
        let configured = if result.as_ref().is_ok_and(is_partial) {
            Configured::read(probe)
        } else {
            Configured::default()
        };
        let missing = Missing::new(&configured);
        Arc::new(Self { process: ProcessMark::of_this(), result, missing, measured: OnceLock::new() })
    }

    /// Returns the registry's entries for this result.
    fn entries(&self) -> Vec<(Feature, State)> {
        entries(&services_of(&self.result), &self.missing)
    }
}

impl Publication {
    fn lock(&self) -> MutexGuard<'_, Option<Published>> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Updates the registry if more operations have failed their trial since the last update.
    fn report_failed_trials(&self) {
        let published = self.lock();
        let answer = self.answer.load();
        let Some(answer) = answer.as_ref() else { return };
        let Ok(started) = &answer.result else { return };
        let failures = started.trials.failures();
        if self.failures.swap(failures, Relaxed) != failures
            && let Some(Published { registration: Some(registration), .. }) = &*published
            && let Err(error) = registration.replace(answer.entries())
        {
            tracing::warn!(%error, "could not update the capability registry");
        }
    }

    fn store(&self, answer: Arc<Detection>) -> Arc<Detection> {
        self.failures.store(answer.result.as_ref().map_or(0, |started| started.trials.failures()), Relaxed);
        self.answer.store(Some(answer.clone()));
        answer
    }
}

impl StateObserver for Publication {
    fn changed(&self) {
        let published = self.lock();
        let Some(Published { current: Some(current), registration }) = &*published else { return };
        let answer = Detection::new(current.state(), &*self.probe);
        if let Some(registration) = registration
            && let Err(error) = registration.replace(answer.entries())
        {
            tracing::warn!(%error, "could not update the capability registry");
        }
        self.store(answer);
    }
}

fn unavailable(reason: Arc<Unavailability>) -> Error {
    Error::Unavailable { accelerator: HARDWARE, reason }
}

fn qat_devices(probe: &dyn HardwareProbe) -> Result<Vec<QatDevice>> {
    let devices = probe.discover(AcceleratorTypes::empty())?;
    Ok(devices.iter().filter_map(|device| QatDevice::try_from(device).ok()).collect())
}

/// Returns whether libqat may have given this process instances of the device.
fn is_at_work(device: &QatDevice) -> bool {
    let work = AcceleratorTypes::COMPRESSION | AcceleratorTypes::ENCRYPTION;
    device.support == Support::Supported
        && device.state != Some(DeviceState::Down)
        && device.types().intersects(work)
}

/// Returns the first service that one of `types` needs and that has no instance.
fn missing_service(services: &Services, types: AcceleratorTypes) -> Option<Service> {
    let instances = &services.instances;
    let is_missing = |asked, count: u64| count == 0 && types.intersects(asked);
    if is_missing(AcceleratorTypes::COMPRESSION, compression_instances(services)) {
        Some(Service::Compression)
    } else if is_missing(AcceleratorTypes::ENCRYPTION | AcceleratorTypes::HASHING, instances.symmetric.into())
    {
        Some(Service::Symmetric)
    } else if is_missing(AcceleratorTypes::PUBLIC_KEY, instances.asymmetric.into()) {
        Some(Service::Asymmetric)
    } else {
        None
    }
}

fn compression_instances(services: &Services) -> u64 {
    u64::from(services.instances.compression) + u64::from(services.instances.decompression)
}

fn services_of(result: &lifecycle::StartResult) -> Result<Services, Arc<Unavailability>> {
    result.as_ref().map(|started| started.offered()).map_err(Arc::clone)
}

/// Returns the registry's entries for a result of detection.
fn entries(result: &Result<Services, Arc<Unavailability>>, missing: &Missing) -> Vec<(Feature, State)> {
    let services = result.as_ref().copied().unwrap_or_default();
    let Services { instances, capabilities } = services;
    let reason = result.as_ref().err().map(|reason| Arc::<str>::from(reason.to_string()));
    let counted = |service: Option<Service>, count: u64| match &reason {
        Some(reason) => State::Absent(reason.clone()),
        None if count == 0 => State::absent(match service {
            Some(service) => missing.reason(&service).to_string(),
            None => Unavailability::NoInstances { service: None }.to_string(),
        }),
        None => State::Present(Value::Integer(count)),
    };
    let compression = counted(Some(Service::Compression), compression_instances(&services));
    let encryption = counted(Some(Service::Symmetric), instances.symmetric.into());
    let public_key = counted(Some(Service::Asymmetric), instances.asymmetric.into());
    let below = |parent: &State, is_offered: bool| match parent {
        State::Absent(_) => parent.clone(),
        State::Present(_) if is_offered => State::present(),
        State::Present(_) => State::absent("the device or this release of libqat does not offer it"),
    };
    let mut entries = vec![(Feature::from_static("qat"), counted(None, instances.total()))];
    let mut branch = |name: &'static str, state: State, finer: &[(Feature, bool)]| {
        entries.extend(finer.iter().map(|(feature, offered)| (feature.clone(), below(&state, *offered))));
        entries.push((Feature::from_static(name), state));
    };
    branch("qat.compression", compression, &capabilities.compression.features());
    branch("qat.encryption", encryption, &capabilities.encryption.features());
    branch("qat.public-key", public_key, &capabilities.public_key.features());
    entries
}

#[cfg(test)]
mod tests;
