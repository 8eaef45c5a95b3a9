//! Tests of the accelerator on stub tables: each reason, one detection, the registry.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use qat_sys::{Library, LoadError, LoadOptions};

use accel_core::{
    Checksum, CipherOptions, CompressionAccelerator, DeviceId, EncryptionAccelerator, HardwareAccelerator,
    Key, Operation,
};

use super::*;
use crate::device::lifecycle::stub::{ChangingProbe, FakeProbe, stub_library};
use crate::error::CpaStatus;
use crate::probe::{Access, VENDOR_INTEL, Vfio};

fn accelerator(driver: &'static Driver) -> QatAccelerator {
    QatAccelerator::with_driver(Registry::new(), FakeProbe::none(), driver)
}

fn reason(qat: &QatAccelerator) -> Unavailability {
    (*qat.unavailability().expect("the hardware is not to be had")).clone()
}

fn states(registry: &Registry) -> Vec<(String, String)> {
    let snapshot = registry.snapshot();
    snapshot.entries().iter().map(|(feature, state)| (feature.to_string(), state.to_string())).collect()
}

/// A function of this PCI device id, as a probe finds it before anything is set up.
fn device(product_id: u16) -> QatDevice {
    let id = DeviceId(format!("0000:6b:00.{}", product_id & 7));
    let device = accel_core::Device::new(id, "", VENDOR_INTEL, product_id);
    QatDevice::try_from(&device).unwrap()
}

#[test]
fn construction_touches_nothing() {
    stub_library!(untouched: available 1, start 0, instances [1, 0, 0, 0]);
    let probe: Arc<dyn HardwareProbe> = FakeProbe::none();
    let registry = Registry::new();
    let rounds = 10_000;
    let started = Instant::now();
    for _ in 0..rounds {
        drop(QatAccelerator::with_driver(registry.clone(), probe.clone(), &untouched::DRIVER));
    }
    println!("construction and drop: {:?}", started.elapsed() / rounds);
    assert_eq!(untouched::COUNTS.seen(), [0, 0, 0]);
    assert!(states(&registry).is_empty());
}

#[test]
fn a_device_is_started_once_told_to_the_registry_and_stopped_by_the_thread_that_started_it() {
    stub_library!(full: available 1, start 0, instances [8, 0, 4, 2]);
    let registry = Registry::new();
    let qat = QatAccelerator::with_driver(registry.clone(), FakeProbe::none(), &full::DRIVER);
    assert!(qat.is_available());
    qat.initialize().unwrap();
    assert!(qat.unavailability_for(AcceleratorTypes::all()).is_none());
    let second = accelerator(&full::DRIVER);
    assert!(second.is_available());
    assert_eq!(full::COUNTS.seen(), [1, 1, 0]);

    let not_offered = "absent: the device or this release of libqat does not offer it";
    let expected = [
        ("qat", "present: 14"),
        ("qat.compression", "present: 8"),
        ("qat.compression.deflate", "present"),
        ("qat.compression.lz4", not_offered),
        ("qat.compression.lz4s", "present"),
        ("qat.compression.zstd", "present"),
        ("qat.encryption", "present: 4"),
        ("qat.encryption.aes-cbc", "present"),
        ("qat.encryption.aes-cbc-hmac-sha-256", not_offered),
        ("qat.encryption.aes-ccm", not_offered),
        ("qat.encryption.aes-ctr", not_offered),
        ("qat.encryption.aes-gcm", "present"),
        ("qat.encryption.aes-xts", not_offered),
        ("qat.encryption.chacha20-poly1305", not_offered),
        ("qat.encryption.hmac-sha-2", not_offered),
        ("qat.encryption.hmac-sha-3", not_offered),
        ("qat.public-key", "present: 2"),
        ("qat.public-key.dh", not_offered),
        ("qat.public-key.ecdh", not_offered),
        ("qat.public-key.ecdsa", not_offered),
        ("qat.public-key.rsa", "present"),
    ];
    let mut found = states(&registry);
    found.sort();
    assert_eq!(found, expected.map(|(name, state)| (name.to_owned(), state.to_owned())));
    let capabilities = qat.capabilities().unwrap();
    assert!(capabilities.encryption.offers(accel_core::Cipher::AesGcm));
    assert!(!capabilities.compression.zstd.decompress, "a refused question is a no");

    let info = qat.info();
    assert!(info.available && info.unavailability.is_none());
    assert_eq!(info.services.iter().map(|it| it.instances).collect::<Vec<_>>(), [8, 0, 4, 2]);
    assert_eq!(info.library.as_ref().unwrap().release_at_least, "26.08");
    let json = serde_json::to_value(&info).unwrap();
    assert_eq!(json["services"][1]["service"], "decomp");
    assert_eq!(json["services"][1]["unavailability"]["kind"], "no-instances");
    assert_eq!(json["capabilities"]["compression"]["deflate"]["compress"], true);

    drop(second);
    assert_eq!(full::COUNTS.seen(), [1, 1, 0], "still in use");
    qat.shutdown();
    assert_eq!(full::COUNTS.seen(), [1, 1, 1]);
    assert!(states(&registry).is_empty());
    assert_eq!(reason(&qat), Unavailability::Stopped);
    assert!(!qat.is_available());

    qat.reinitialize().unwrap();
    assert!(qat.is_available() && registry.is_present("qat.compression.deflate"));
    assert_eq!(full::COUNTS.seen(), [1, 2, 1], "the library stays loaded");
    let clone = qat.clone();
    drop(qat);
    assert!(clone.is_available());
    drop(clone);
    assert_eq!(full::COUNTS.seen(), [1, 2, 2]);
    assert!(states(&registry).is_empty());
}

#[test]
fn operations_that_the_hardware_lacks_are_refused_and_counted() {
    stub_library!(working: available 1, start 0, instances [1, 0, 0, 0]);
    let qat = accelerator(&working::DRIVER);
    let error = qat.process(&Operation::Checksum(Checksum::Crc32), b"plain").unwrap_err();
    assert!(matches!(error, Error::Unsupported { accelerator: "qat", .. }), "{error}");
    assert!(error.to_string().contains("use AutoAccelerator or SoftwareAccelerator"), "{error}");
    let error = qat.process(&Operation::Encrypt, b"plain").unwrap_err();
    assert!(error.to_string().contains("EncryptionAccelerator::encrypt"), "{error}");
    let unknown = Operation::Named("transmogrify".into());
    assert!(matches!(qat.process(&unknown, b""), Err(Error::InvalidArgument { .. })));
    let cipher = CipherOptions::new(accel_core::Cipher::AesGcm);
    let error = qat.encrypt(&Key::new(&[0; 16]), b"plain", &cipher).unwrap_err();
    let Error::Unavailable { reason, .. } = &error else { panic!("{error}") };
    let expected = Unavailability::NoInstances { service: Some(Service::Symmetric) };
    assert_eq!(reason.downcast_ref(), Some(&expected));
    let statistics = qat.statistics();
    assert_eq!((statistics.operations, statistics.errors, statistics.in_flight), (0, 4, 0));
}

#[test]
fn one_service_can_be_there_without_the_other() {
    stub_library!(crypto: available 1, start 0, instances [0, 0, 2, 0]);
    let qat = accelerator(&crypto::DRIVER);
    assert!(qat.is_available());
    assert!(qat.unavailability_for(AcceleratorTypes::ENCRYPTION | AcceleratorTypes::HASHING).is_none());
    assert!(qat.is_available_for(AcceleratorTypes::HASHING));
    assert!(!qat.is_available_for(AcceleratorTypes::COMPRESSION));
    let missing = qat.unavailability_for(AcceleratorTypes::all()).unwrap();
    assert_eq!(*missing, Unavailability::NoInstances { service: Some(Service::Compression) });
    assert!(missing.to_string().contains("cfg_services"), "{missing}");
    let registry = qat.registry();
    assert!(registry.is_present("qat.encryption.aes-gcm") && !registry.is_present("qat.compression"));
    let deflate = registry.get("qat.compression.deflate").unwrap();
    assert_eq!(deflate.reason(), Some(missing.to_string().as_str()));
}

#[test]
fn an_old_library_is_not_asked_for_what_it_does_not_know() {
    // With the group, the stub would answer the question for decompression instances with 3.
    stub_library!(old: available 1, start 0, instances [1, 3, 0, 0], without ["capability_by_type"]);
    let qat = accelerator(&old::DRIVER);
    let info = qat.info();
    assert_eq!(info.services[1].instances, 0);
    assert!(!qat.capabilities().unwrap().compression.zstd.compress);
    let groups = info.library.unwrap().groups;
    let by_type = groups.iter().find(|group| group.name == "capability_by_type").unwrap();
    assert!(!by_type.present && by_type.since == "25.08");
}

#[test]
fn a_library_without_device_is_not_started() {
    stub_library!(bare: available 0, start 0, instances [9, 9, 9, 9]);
    let qat = accelerator(&bare::DRIVER);
    assert!(!qat.is_available());
    assert_eq!(reason(&qat), Unavailability::NoDevice);
    assert_eq!(bare::COUNTS.seen(), [1, 0, 0]);
    let error = qat.initialize().unwrap_err();
    assert!(error.is_device_fault() && error.to_string().contains("PCI bus"), "{error}");
    for name in ["qat", "qat.compression", "qat.compression.deflate", "qat.encryption.aes-gcm"] {
        let state = qat.registry().get(name).unwrap();
        assert_eq!(state.reason(), Some(Unavailability::NoDevice.to_string().as_str()), "{name}");
    }
    let info = qat.info();
    assert!(!info.available && info.library.is_some() && info.services.is_empty());
    assert_eq!(info.unavailability, Some(Unavailability::NoDevice));
    let registry = qat.registry().clone();
    drop(qat);
    assert!(states(&registry).is_empty());
}

#[test]
fn the_probe_explains_why_the_library_sees_nothing() {
    stub_library!(blind: available 0, start 0, instances [0, 0, 0, 0]);
    let id = |device: &QatDevice| device.id.clone();
    let with_vfio = |path: &str, access| {
        let mut it = device(0x4941);
        it.driver = Some("vfio-pci".to_owned());
        it.vfio = Some(Vfio { path: path.into(), access });
        it
    };
    let (mut physical, virtual_function, legacy) = (device(0x4940), device(0x4941), device(0x37c8));
    physical.driver = Some("4xxx".to_owned());
    let mut out_of_tree = device(0x4940);
    out_of_tree.support = Support::OutOfTree;
    let denied = with_vfio("/dev/vfio/15", Access::Denied);
    let missing = with_vfio("/dev/vfio/vfio", Access::Missing);
    let granted = with_vfio("/dev/vfio/16", Access::Granted);
    let cases = [
        (vec![], Unavailability::NoDevice),
        (vec![legacy.clone()], Unavailability::LegacyDevice { device: id(&legacy) }),
        (vec![legacy, out_of_tree.clone()], Unavailability::OutOfTreeDriver { device: id(&out_of_tree) }),
        (vec![physical.clone()], Unavailability::NoVirtualFunctions { device: id(&physical) }),
        (
            vec![physical.clone(), virtual_function.clone()],
            Unavailability::NotBound { device: id(&virtual_function), driver: None },
        ),
        (
            vec![physical, virtual_function, denied.clone()],
            Unavailability::NoPermission { path: "/dev/vfio/15".into() },
        ),
        (vec![missing], Unavailability::NoPermission { path: "/dev/vfio/vfio".into() }),
        (vec![denied, granted.clone()], Unavailability::NotOffered { device: id(&granted) }),
    ];
    for (devices, expected) in cases {
        let probe = Arc::new(FakeProbe(Ok(devices)));
        let qat = QatAccelerator::with_driver(Registry::new(), probe, &blind::DRIVER);
        assert_eq!(reason(&qat), expected);
    }
    let unreadable =
        Unavailability::NoDeviceList { path: "/sys/bus/pci/devices".into(), reason: "denied".into() };
    let probe = Arc::new(FakeProbe(Err(unreadable.clone())));
    let qat = QatAccelerator::with_driver(Registry::new(), probe, &blind::DRIVER);
    assert_eq!(reason(&qat), unreadable);
    assert!(qat.info().devices_error.is_some());
}

#[test]
fn a_failed_start_keeps_its_status_or_names_the_closed_file() {
    stub_library!(failing: available 1, start -3, instances [0, 0, 0, 0]);
    let qat = accelerator(&failing::DRIVER);
    assert_eq!(reason(&qat), Unavailability::StartFailed { status: CpaStatus::RESOURCE });
    assert!(reason(&qat).to_string().contains("RESOURCE (-3)"));
    let mut closed = device(0x4941);
    closed.vfio = Some(Vfio { path: "/dev/vfio/15".into(), access: Access::Denied });
    let probe = Arc::new(FakeProbe(Ok(vec![closed])));
    let qat = QatAccelerator::with_driver(Registry::new(), probe, &failing::DRIVER);
    assert_eq!(reason(&qat), Unavailability::NoPermission { path: "/dev/vfio/15".into() });
    assert_eq!(failing::COUNTS.seen(), [1, 2, 0], "what did not start is not stopped");
}

#[test]
fn a_start_without_instances_is_stopped_again() {
    stub_library!(idle: available 1, start 0, instances [0, 0, 0, 0]);
    let qat = accelerator(&idle::DRIVER);
    assert_eq!(reason(&qat), Unavailability::NoInstances { service: None });
    assert_eq!(idle::COUNTS.seen(), [1, 1, 1]);
}

#[test]
fn what_no_device_is_configured_for_is_no_service() {
    stub_library!(unasked: available 1, start 0, instances [0, 0, 2, 0]);
    let mut usable = device(0x4941);
    usable.vfio = Some(Vfio { path: "/dev/vfio/15".into(), access: Access::Granted });
    let with = |services: &[Service]| {
        let devices = vec![QatDevice { services: Some(services.to_vec()), ..usable.clone() }];
        QatAccelerator::with_driver(Registry::new(), Arc::new(FakeProbe(Ok(devices))), &unasked::DRIVER)
    };
    // What libqat 24.02 offers of a device for compression whose mailbox is dead.
    let qat = with(&[Service::Compression]);
    let configured = vec![Service::Compression];
    assert_eq!(reason(&qat), Unavailability::NoAnswer { device: usable.id.clone(), configured });
    assert!(reason(&qat).to_string().contains("dmesg") && !reason(&qat).to_string().contains("cfg_services"));
    assert_eq!(unasked::COUNTS.seen(), [1, 1, 1], "it is stopped");

    // Configured for both, and only one of them is there.
    let qat = with(&[Service::Symmetric, Service::Compression]);
    assert!(qat.is_available_for(AcceleratorTypes::ENCRYPTION));
    let expected =
        Unavailability::NoInstancesLeft { device: usable.id.clone(), service: Some(Service::Compression) };
    assert_eq!(qat.unavailability_for(AcceleratorTypes::COMPRESSION).as_deref(), Some(&expected));
    let told = qat.registry().get("qat.compression.deflate").unwrap();
    assert_eq!(told.reason(), Some(expected.to_string().as_str()));
    assert_eq!(qat.info().services[0].unavailability, Some(expected));

    // Not configured: the advice is to do so.
    let qat = with(&[Service::Symmetric]);
    let missing = qat.unavailability_for(AcceleratorTypes::COMPRESSION).unwrap();
    assert_eq!(*missing, Unavailability::NoInstances { service: Some(Service::Compression) });
}

const SECOND: u64 = 1_000_000_000;

/// The parts of a machine whose devices come later, each test its own.
macro_rules! later_machine {
    ($name:ident) => {
        mod $name {
            use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};

            pub(super) static AVAILABLE: AtomicU32 = AtomicU32::new(0);
            pub(super) static ASKED: AtomicUsize = AtomicUsize::new(0);
            pub(super) static NOW: AtomicU64 = AtomicU64::new(0);

            pub(super) fn is_available() -> qat_sys::CpaBoolean {
                ASKED.fetch_add(1, SeqCst);
                AVAILABLE.load(SeqCst) as qat_sys::CpaBoolean
            }

            pub(super) fn now() -> u64 {
                NOW.load(SeqCst)
            }
        }
    };
}

later_machine!(slow_boot);

#[test]
fn a_device_that_comes_later_is_found_by_a_later_call() {
    stub_library!(
        booting: available super::slow_boot::is_available(), start 0, instances [1, 0, 0, 0],
        clock super::slow_boot::now
    );
    let (asked, now) = (
        || slow_boot::ASKED.load(SeqCst),
        |tenths: u64| {
            slow_boot::NOW.store(tenths * SECOND / 10, SeqCst);
        },
    );
    let probe = Arc::new(ChangingProbe::default());
    let qat = QatAccelerator::with_driver(Registry::new(), probe.clone(), &booting::DRIVER);
    let compress = || qat.compress(&[7; 100], &accel_core::CompressOptions::new(accel_core::Format::Gzip));
    let events = Events::default();
    let _guard = tracing::subscriber::set_default(events.clone());
    for (at, expected) in [(0, 1), (9, 1), (10, 2), (19, 2), (20, 2), (30, 3), (69, 3), (70, 4)] {
        now(at);
        for _ in 0..3 {
            assert!(!qat.is_available());
            assert!(matches!(compress(), Err(Error::Unavailable { .. })));
        }
        assert_eq!(asked(), expected, "after {at} tenths of a second");
    }
    // Another reason is news.
    let mut unbound = device(0x4941);
    unbound.driver = Some("4xxxvf".to_owned());
    probe.devices.lock().unwrap().push(unbound);
    now(150);
    assert!(matches!(reason(&qat), Unavailability::NotBound { .. }));
    assert!(qat.registry().get("qat").unwrap().reason().unwrap().contains("not to vfio-pci"));
    assert_eq!(asked(), 5);

    // It is bound: something changes, and when it has been still for a second, the device is started.
    let told = events.count("QAT is available");
    slow_boot::AVAILABLE.store(1, SeqCst);
    probe.fingerprint.store(1, SeqCst);
    for at in [159, 160, 169] {
        now(at);
        assert!(!qat.is_available(), "after {at} tenths of a second");
    }
    now(170);
    assert!(qat.is_available() && qat.unavailability().is_none());
    assert!(qat.registry().is_present("qat.compression.deflate"));
    assert_eq!((asked(), booting::COUNTS.seen()), (6, [1, 1, 0]));
    assert_eq!((told, events.count("QAT is available")), (0, 1));

    // There is nothing to look for any more.
    now(100_000);
    assert!(qat.is_available());
    qat.shutdown();
    now(200_000);
    assert_eq!(reason(&qat), Unavailability::Stopped);
    assert_eq!((asked(), booting::COUNTS.seen()), (6, [1, 1, 1]));
}

later_machine!(impatient);

#[test]
fn reinitialize_looks_at_once_and_the_pauses_begin_anew() {
    stub_library!(
        asked_for: available super::impatient::is_available(), start 0, instances [1, 0, 0, 0],
        clock super::impatient::now
    );
    let asked = || impatient::ASKED.load(SeqCst);
    let qat = accelerator(&asked_for::DRIVER);
    for at in [0, 1, 3, 7] {
        impatient::NOW.store(at * SECOND, SeqCst);
        assert!(!qat.is_available());
    }
    assert_eq!(asked(), 4);
    assert!(qat.reinitialize().is_err());
    assert_eq!(asked(), 5);
    impatient::NOW.store(8 * SECOND, SeqCst);
    assert!(!qat.is_available());
    assert_eq!(asked(), 6, "a second after the failure, not eight");
    impatient::AVAILABLE.store(1, SeqCst);
    assert!(!qat.is_available());
    qat.reinitialize().unwrap();
    assert!(qat.is_available());
}

later_machine!(crowded);

static IS_STARTING: AtomicBool = AtomicBool::new(false);
static MAY_START: AtomicBool = AtomicBool::new(false);

/// Sleeps until the test has seen that nobody else waits.
fn start_when_allowed() -> i32 {
    IS_STARTING.store(true, SeqCst);
    while !MAY_START.load(SeqCst) {
        thread::yield_now();
    }
    0
}

#[test]
fn one_call_looks_and_the_others_go_on() {
    stub_library!(
        watched: available super::crowded::is_available(), start super::start_when_allowed(), instances [1, 0, 0, 0],
        clock super::crowded::now
    );
    let qat = accelerator(&watched::DRIVER);
    assert!(!qat.is_available());
    crowded::AVAILABLE.store(1, SeqCst);
    crowded::NOW.store(SECOND, SeqCst);
    thread::scope(|scope| {
        let looking = scope.spawn(|| qat.is_available());
        while !IS_STARTING.load(SeqCst) {
            thread::yield_now();
        }
        for _ in 0..100 {
            assert!(!qat.is_available());
        }
        MAY_START.store(true, SeqCst);
        assert!(looking.join().unwrap());
    });
    assert!(qat.is_available());
    assert_eq!(watched::COUNTS.seen(), [1, 1, 0]);
}

/// Counts events by their message.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<String>>>);

impl Events {
    fn count(&self, message: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|it| *it == message).count()
    }
}

impl tracing::Subscriber for Events {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Message(String);
        impl tracing::field::Visit for Message {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" {
                    self.0 = format!("{value:?}");
                }
            }
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        self.0.lock().unwrap().push(message.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_missing_library_is_looked_for_again_on_demand_only() {
    static LOADS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    fn load() -> Result<Library, LoadError> {
        LOADS.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        // SAFETY: there is nothing to load.
        unsafe { Library::load(&LoadOptions::default().with_library("/nowhere/libqat.so.4")) }
    }
    static DRIVER: Driver = Driver::with_clock(load, || 0);
    let qat = accelerator(&DRIVER);
    for _ in 0..3 {
        assert!(!qat.is_available());
    }
    assert_eq!(LOADS.load(std::sync::atomic::Ordering::SeqCst), 1);
    let Unavailability::NoLibrary { tried } = reason(&qat) else { panic!("{}", reason(&qat)) };
    assert!(tried.iter().any(|name| name.starts_with("/nowhere/libqat.so.4: ")), "{tried:?}");
    assert!(qat.info().library.is_none());
    assert!(qat.reinitialize().is_err());
    assert_eq!(LOADS.load(std::sync::atomic::Ordering::SeqCst), 2);
}

#[cfg(target_os = "linux")]
#[test]
fn a_library_that_is_no_libqat_is_told_apart() {
    fn load() -> Result<Library, LoadError> {
        // SAFETY: the C library is in this process already.
        unsafe { Library::load(&LoadOptions::default().with_library("libc.so.6").with_usdm("libc.so.6")) }
    }
    static DRIVER: Driver = Driver::new(load);
    let Unavailability::MissingSymbols { library, missing } = reason(&accelerator(&DRIVER)) else { panic!() };
    assert_eq!(library, "libc.so.6");
    assert_eq!(missing, qat_sys::Symbols::REQUIRED);
}

#[test]
fn sixty_four_threads_make_one_detection() {
    stub_library!(shared: available 1, start { thread::sleep(std::time::Duration::from_millis(20)); 0 }, instances [1, 0, 0, 0]);
    let qat = accelerator(&shared::DRIVER);
    let barrier = Barrier::new(64);
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                barrier.wait();
                assert!(qat.is_available());
                assert_eq!(shared::COUNTS.seen(), [1, 1, 0]);
            });
        }
    });
    drop(qat);
    assert_eq!(shared::COUNTS.seen(), [1, 1, 1]);
}

#[test]
fn two_accelerators_on_one_registry_do_not_quarrel() {
    stub_library!(twice: available 1, start 0, instances [1, 0, 0, 0]);
    let registry = Registry::new();
    let make = || QatAccelerator::with_driver(registry.clone(), FakeProbe::none(), &twice::DRIVER);
    let (first, second) = (make(), make());
    assert!(first.is_available() && second.is_available());
    assert!(registry.is_present("qat.compression"));
    drop(second);
    assert!(registry.is_present("qat.compression"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_forked_child_is_told_so_and_can_start_afresh() {
    stub_library!(forked: available 1, start 0, instances [1, 0, 0, 0]);
    let qat = accelerator(&forked::DRIVER);
    assert!(qat.is_available());
    // SAFETY: the child only runs this accelerator and leaves by `_exit`; no lock that it takes is ever held by another
    // thread of this process, and glibc's allocator survives a fork.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let is_forked = reason(&qat) == Unavailability::Forked && !qat.is_available();
        let is_untold = states(qat.registry()).is_empty();
        let starts_afresh = qat.reinitialize().is_ok() && qat.is_available();
        qat.shutdown();
        let is_stopped = forked::COUNTS.seen() == [2, 2, 1];
        let code = [is_forked, is_untold, starts_afresh, is_stopped]
            .iter()
            .fold(0, |code, ok| code << 1 | i32::from(!ok));
        // SAFETY: ends the child at once, without the parent's exit handlers.
        unsafe { libc::_exit(code) };
    }
    assert!(child > 0);
    let mut status = 0;
    // SAFETY: waits for the child just made and writes one number.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "bits of what failed: {status:#x}");
    assert!(qat.is_available(), "the parent goes on");
    drop(qat);
    assert_eq!(forked::COUNTS.seen(), [1, 1, 1]);
}
