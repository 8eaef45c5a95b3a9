//! The QAT hardware as an accelerator.

mod batch;
mod counted;
mod dma;
mod encryption;
mod explain;
mod futures;
mod operations;
mod retry;

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

/// Compression and encryption on QAT hardware, never on the CPU. Cheap to clone; clones are one accelerator.
///
/// Construction touches nothing. The first question that needs an answer loads libqat, asks it for a device and starts
/// it; concurrent askers wait for that one answer. Hardware stays until [`shutdown`](Self::shutdown) or the last drop. All
/// accelerators of a process share one started libqat; the last one to go stops it.
///
/// # Hardware that comes later
/// A process may be started before `qat.service` has set up the devices. Where there is no hardware, later calls look again,
/// after pauses that double from one second to one minute, and as soon as the probe finds that devices have come or gone and
/// have been still for a second. The one call that looks waits for the start, others go on with the old answer meanwhile;
/// no thread and no timer does it, so that nothing happens while nobody asks. What comes of it is an event (`tracing`) and in
/// the registry. [`reinitialize`](Self::reinitialize) looks at once. A start that gave some services and not others is not
/// repeated.
///
/// While there is an answer, the registry has it under `qat` and below: what libqat and the device offer is present,
/// everything else absent with the reason.
///
/// Operations fail with [`Error::Unavailable`] without a device, with [`Error::Unsupported`] where device or library do
/// not do them, and with [`Error::Device`] and a [`DeviceError`](crate::DeviceError) inside when the device fails.
/// [`AutoAccelerator`](crate::AutoAccelerator) does the work on the CPU in all these cases.
///
/// # Compression
/// | format | on the device |
/// |---|---|
/// | gzip, zlib, deflate | levels 1 to 12; decompression of a stream, member by member, is one request each, of at most what [`HardwareSettings::memory`] holds |
/// | LZ4 frame | levels 1 to 12; blocks side by side, linked ones in one request |
/// | LZ4 block | levels 1 to 12; at most 4 MiB |
/// | Zstandard | levels 1 to 12: the device finds the matches, libzstd codes them here; no decompression |
///
/// Named levels are 1, 6 and 9. Empty input, and stored blocks of LZ4 frames, need no device; an outcome without any
/// request says [`SoftwareReason::TooSmall`](accel_core::SoftwareReason::TooSmall).
///
/// # Encryption
/// Each cipher goes through one trial for each start and key length, compared with the CPU: libqat reports a request that
/// the device refused as done. One that fails is [`Error::Unsupported`] and absent from the registry; a single request
/// that was refused is an [`Error::Device`], never a result. Sessions live in the [`Key`](accel_core::Key), so clone a
/// key rather than building it anew.
///
/// AES-GCM and ChaCha20-Poly1305 take at most 240 bytes of associated data, whose length should not change from call to
/// call: it is part of a session, of which a key keeps four for each instance and direction. Libqat does not take
/// ChaCha20-Poly1305 of no bytes. What is authenticated, AES-CBC encryption and digests go as one request, which holds
/// at most half of [`HardwareSettings::memory`].
///
/// # Forked processes
/// In a child, hardware that the parent started is [`Unavailability::Forked`]; `reinitialize` starts afresh there.
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
    /// The same as the publication's.
    answer: Arc<ArcSwapOption<Detection>>,
    retry: Retry,
    // Dropped in this order: first nobody is told of the hardware any more, then it goes.
    publication: Arc<Publication>,
    lease: Mutex<Option<Lease>>,
}

/// Where the answer is put up, for callers and for the registry. A recovery changes it.
struct Publication {
    answer: Arc<ArcSwapOption<Detection>>,
    probe: Arc<dyn HardwareProbe>,
    published: Mutex<Option<Published>>,
    /// Failed trials that the registry knows of.
    failures: AtomicU32,
}

/// Behind an answer that may change.
struct Published {
    /// What the answer follows, with a started libqat.
    current: Option<Arc<DriverState>>,
    registration: Option<Registration>,
}

/// What detection came to.
struct Detection {
    /// Of the process that asked.
    process: ProcessMark,
    result: lifecycle::StartResult,
    /// Why services are missing that `result` has no instances of.
    missing: Missing,
    /// Whose telemetry says how busy the hardware is; looked for on the first question.
    measured: OnceLock<Vec<QatDevice>>,
}

impl Default for QatAccelerator {
    /// The system's QAT, with a registry of its own.
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
    /// An accelerator that will tell `registry` what it finds and asks `probe` why it finds nothing.
    ///
    /// Stores the two and touches nothing. Of several accelerators on one registry, the first to detect is the one that
    /// tells it.
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

    /// The same with other settings, if it is the first to start the hardware in this process. Forgets what was found
    /// and counted.
    #[must_use]
    pub fn with_settings(self, settings: HardwareSettings) -> Self {
        Self::with_parts(self.0.registry.clone(), self.0.probe.clone(), self.0.driver, settings)
    }

    /// The registry that it fills.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// Why the hardware cannot be used; `None` when it can. Initialises on the first call.
    #[must_use]
    pub fn unavailability(&self) -> Option<Arc<Unavailability>> {
        self.0.answer().result.as_ref().err().cloned()
    }

    /// Why the hardware cannot be used for one of `types`; `None` when it can be used for all of them. A device may
    /// serve encryption without compression, or the other way round.
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

    /// Whether the hardware can be used for all of `types`. Initialises on the first call.
    #[must_use]
    pub fn is_available_for(&self, types: AcceleratorTypes) -> bool {
        let answer = self.0.answer();
        answer.result.as_ref().is_ok_and(|started| missing_service(&started.services, types).is_none())
    }

    /// What library and device offer; `None` when the hardware cannot be used.
    #[must_use]
    pub fn capabilities(&self) -> Option<Capabilities> {
        self.0.answer().result.as_ref().ok().map(|started| started.offered().capabilities)
    }

    /// Everything that is known of QAT here. Initialises on the first call, and looks for devices and reads their
    /// counters each time.
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

    /// Forgets the answer and asks again: after a device came or went, after a shutdown, in a forked child. While other
    /// accelerators use the started libqat, this one joins them and sees what they see.
    ///
    /// # Errors
    /// As [`initialize`](accel_core::HardwareAccelerator::initialize).
    pub fn reinitialize(&self) -> Result<()> {
        let _detection = self.0.driver.lock_detection();
        self.0.release(None);
        self.0.detect().result.as_ref().map(drop).map_err(|reason| unavailable(reason.clone()))
    }

    /// Gives the hardware back and empties the registry's entries. Operations fail with [`Unavailability::Stopped`]
    /// from now on. Dropping the last clone does the same.
    pub fn shutdown(&self) {
        let _detection = self.0.driver.lock_detection();
        self.0.release(Some(Unavailability::Stopped));
    }

    /// Share of the capacity in use of all devices that could do this accelerator's work, where all of them tell.
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

    /// Requests running now.
    pub(crate) fn in_flight(&self) -> u64 {
        self.0.recorder.in_flight()
    }
}

impl Inner {
    /// The answer, found now if it was not before.
    fn answer(&self) -> Arc<Detection> {
        if let Some(answer) = self.valid_answer() {
            return if answer.result.is_err() && self.is_look_due() {
                self.look_again(answer)
            } else {
                answer
            };
        }
        let _detection = self.driver.lock_detection();
        if let Some(answer) = self.valid_answer() {
            return answer;
        }
        if self.answer.load().is_some() {
            return self.release(Some(Unavailability::Forked)).expect("just given");
        }
        self.detect()
    }

    /// The answer there is, unless it is that of a parent who started the hardware.
    fn valid_answer(&self) -> Option<Arc<Detection>> {
        let answer = self.answer.load();
        let answer = answer.as_ref()?;
        let is_of_a_start =
            answer.result.as_ref().err().is_none_or(|reason| reason.is_of_a_started_library());
        (!is_of_a_start || answer.process.is_this()).then(|| answer.clone())
    }

    /// Whether the next question looks for hardware once more.
    #[inline]
    fn is_look_due(&self) -> bool {
        self.retry.is_due(|| self.driver.now())
    }

    /// Looks for hardware once more, if nobody else does.
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

    /// Puts up an answer without hardware, or none, empties the registry and gives the hardware back.
    fn release(&self, reason: Option<Unavailability>) -> Option<Arc<Detection>> {
        self.retry.stop();
        let answer = reason.map(|reason| Detection::new(Err(Arc::new(reason)), &*self.probe));
        let published = {
            // Under the lock, so that no change of the hardware's comes after.
            let mut published = self.publication.lock();
            self.answer.store(answer.clone());
            published.take()
        };
        drop(published);
        let lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(lease);
        answer
    }

    /// Asks library and device, tells the registry, keeps the answer. The caller holds the detection lock and has
    /// released what an earlier answer held.
    fn detect(&self) -> Arc<Detection> {
        let (started_at, fingerprint) = (Instant::now(), self.probe.fingerprint());
        let acquired = self.acquire();
        if acquired.is_err() {
            self.retry.start(self.driver.now(), fingerprint);
        }
        self.publish(acquired, started_at)
    }

    /// Starts libqat or joins those who use it.
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

    /// Tells the registry and keeps the answer. The caller holds the detection lock.
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
                // What changes from now on waits for the lock.
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

/// Why services have no instances.
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
    /// Asks `probe` where libqat has no instances of some service.
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

    /// What the registry is told.
    fn entries(&self) -> Vec<(Feature, State)> {
        entries(&services_of(&self.result), &self.missing)
    }
}

impl Publication {
    fn lock(&self) -> MutexGuard<'_, Option<Published>> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the registry what the device turned out not to do, if that is news.
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

/// Whether libqat may have given us a share of this device.
fn is_at_work(device: &QatDevice) -> bool {
    let work = AcceleratorTypes::COMPRESSION | AcceleratorTypes::ENCRYPTION;
    device.support == Support::Supported
        && device.state != Some(DeviceState::Down)
        && device.types().intersects(work)
}

/// The first service that one of `types` needs and that has no instance.
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

/// The registry's entries for an answer.
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
