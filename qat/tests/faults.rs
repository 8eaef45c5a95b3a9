//! Faults of the device under load: Intel's libqat on the emulated device of `qat-emu`. With a policy that may use the
//! CPU every request ends with the right bytes; on the device alone with the right bytes or the error that fits. Nothing
//! hangs, nothing leaks.
//!
//! `QAT_TEST_FAULT_REQUESTS` sets the number of requests of each run.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

#[path = "emulated/machine.rs"]
mod machine;

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use std::{env, thread};

use accel_core::{CompressOptions, CompressionAccelerator, DecompressOptions, Error, ExecutedOn, Format};
use capability_registry::State;
use qat::{
    AutoAccelerator, DeviceError, HardwareSettings, Integrity, Policy, QatAccelerator, Unavailability,
};
use qat_emu::{Config, Fault, FaultKind, Notification, Services};

use machine::{Machine, alone, alone_with_each, is_newer};

const THREADS: u64 = 8;
const DEADLINE: Duration = Duration::from_millis(400);
/// Far more than a request may take: the deadlines of several pieces, a restart that sleeps, a slow machine.
const LONGEST: Duration = Duration::from_secs(30);

fn requests(short: u64) -> u64 {
    env::var("QAT_TEST_FAULT_REQUESTS").map_or(short, |value| value.parse().unwrap())
}

/// SplitMix64: what a request is like follows from its number.
fn draw(seed: u64) -> u64 {
    let z = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn plain(number: u64) -> Vec<u8> {
    // Mostly a piece or less; now and then several.
    let most = if number.is_multiple_of(61) { 300_000 } else { 12_000 };
    let len = 1 + draw(number) % most;
    (0..len).map(|at| if at % 5 == 0 { draw(number ^ at << 20) as u8 } else { (at / 7) as u8 }).collect()
}

const FORMATS: [Format; 4] = [Format::Gzip, Format::Zlib, Format::Deflate, Format::Lz4Frame];

/// What others make of our output.
fn foreign_decompress(packed: &[u8], format: Format) -> Vec<u8> {
    let mut plain = Vec::new();
    match format {
        Format::Gzip => flate2::read::GzDecoder::new(packed).read_to_end(&mut plain),
        Format::Zlib => flate2::read::ZlibDecoder::new(packed).read_to_end(&mut plain),
        Format::Deflate => flate2::read::DeflateDecoder::new(packed).read_to_end(&mut plain),
        _ => lz4_flex::frame::FrameDecoder::new(packed).read_to_end(&mut plain),
    }
    .unwrap();
    plain
}

fn foreign_compress(plain: &[u8], format: Format) -> Vec<u8> {
    let (mut packed, level) = (Vec::new(), flate2::Compression::new(6));
    match format {
        Format::Gzip => flate2::read::GzEncoder::new(plain, level).read_to_end(&mut packed),
        Format::Zlib => flate2::read::ZlibEncoder::new(plain, level).read_to_end(&mut packed),
        _ => flate2::read::DeflateEncoder::new(plain, level).read_to_end(&mut packed),
    }
    .unwrap();
    packed
}

/// What the requests of a run came to.
#[derive(Default)]
struct Tally {
    hardware: AtomicU64,
    software: AtomicU64,
    errors: AtomicU64,
    by_kind: std::sync::Mutex<BTreeMap<String, u64>>,
    slowest: std::sync::Mutex<Duration>,
}

impl Tally {
    fn count(&self, what: String) {
        *self.by_kind.lock().unwrap().entry(what).or_default() += 1;
    }
}

/// Whether the device may answer so.
type May = fn(&Error) -> bool;

/// One request, by its number.
fn one(engine: &dyn CompressionAccelerator, number: u64, may_fail: Option<May>, tally: &Tally) {
    let (plain, format) = (plain(number), FORMATS[(draw(number) >> 40) as usize % FORMATS.len()]);
    let packs = format == Format::Lz4Frame || number.is_multiple_of(2);
    let started = Instant::now();
    let result = if packs {
        engine.compress(&plain, &CompressOptions::new(format)).map(|(packed, outcome)| {
            assert!(foreign_decompress(&packed, format) == plain, "wrong bytes: {number} {format}");
            outcome
        })
    } else {
        let packed = foreign_compress(&plain, format);
        engine.decompress(&packed, &DecompressOptions::new(format)).map(|(unpacked, outcome)| {
            assert!(unpacked == plain, "wrong bytes: {number} {format}");
            outcome
        })
    };
    let took = started.elapsed();
    assert!(took < LONGEST, "request {number} took {took:?}");
    let mut slowest = tally.slowest.lock().unwrap();
    *slowest = took.max(*slowest);
    drop(slowest);
    match (result, may_fail) {
        (Ok(outcome), _) => match outcome.path {
            ExecutedOn::Hardware { .. } => drop(tally.hardware.fetch_add(1, Relaxed)),
            ExecutedOn::Software(reason) => {
                tally.software.fetch_add(1, Relaxed);
                tally.count(format!("on the CPU: {reason:?}"));
                assert!(may_fail.is_none(), "{number} ran on the CPU");
            }
        },
        (Err(error), Some(may_fail)) => {
            assert!(may_fail(&error), "{number}, {format}, packs {packs}: {error}");
            tally.errors.fetch_add(1, Relaxed);
            tally.count(error.to_string());
            // Else all requests would be gone before the device is back.
            thread::sleep(Duration::from_millis(5));
        }
        (Err(error), None) => panic!("{number}, {format}, packs {packs}: {error}"),
    }
}

fn load(engine: &dyn CompressionAccelerator, seed: u64, requests: u64, may_fail: Option<May>) -> Tally {
    let tally = Tally::default();
    thread::scope(|scope| {
        for worker in 0..THREADS {
            let tally = &tally;
            scope.spawn(move || {
                for number in (worker..requests).step_by(THREADS as usize) {
                    one(engine, seed << 32 | number, may_fail, tally);
                }
            });
        }
    });
    tally
}

/// A failure of the device, said so.
fn is_device_error(error: &Error) -> bool {
    match error {
        Error::Device { reason, .. } => reason.downcast_ref::<DeviceError>().is_some(),
        Error::Unavailable { reason, .. } => matches!(
            reason.downcast_ref(),
            Some(Unavailability::Recovering { .. } | Unavailability::NotRecovered { .. })
        ),
        Error::Busy { .. } => true,
        _ => false,
    }
}

/// Or of the data, which a broken device may take for corrupt.
fn is_device_error_or_corrupt(error: &Error) -> bool {
    is_device_error(error) || matches!(error, Error::Corrupt { .. })
}

fn settings() -> HardwareSettings {
    HardwareSettings::default().deadline(DEADLINE)
}

/// Until the device works again, for so long.
fn wait_for_device(qat: &QatAccelerator) {
    let started = Instant::now();
    loop {
        let plain = plain(1);
        match qat.compress(&plain, &CompressOptions::new(Format::Gzip)) {
            Ok((packed, _)) => return assert!(foreign_decompress(&packed, Format::Gzip) == plain),
            Err(error) => assert!(started.elapsed() < LONGEST, "{error}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// What has to hold when no request runs any more: slots are free but for those whose answer never comes.
fn assert_nothing_held(qat: &QatAccelerator) {
    let started = Instant::now();
    loop {
        let info = qat.info();
        if info.instances.iter().all(|it| it.slots_in_use == it.parked && it.in_flight as usize == it.parked)
        {
            return;
        }
        assert!(started.elapsed() < LONGEST, "{:?}", info.instances);
        thread::sleep(Duration::from_millis(10));
    }
}

/// After the stop: no memory, no mapping, and only the findings that are faults' own.
fn assert_nothing_left(qat: &QatAccelerator, machine: &Machine, expected: &[&str]) {
    for memory in qat.info().memory {
        assert_eq!((memory.in_use, memory.allocated), (0, 0), "{memory:?}");
    }
    let audit = machine.emulator.counters().audit();
    let findings: Vec<_> =
        audit.iter().filter(|finding| !expected.iter().any(|expected| finding.contains(expected))).collect();
    assert!(findings.is_empty(), "{findings:?}");
}

const ABANDONED: &str = "requests abandoned when their ring was taken away";
/// 26.08 does not give back what it mapped when it failed to open a restarted device again.
const MAPPINGS: &str = "mappings for device access left";

fn left_by_a_restart() -> Vec<&'static str> {
    if is_newer() { vec![ABANDONED, MAPPINGS] } else { vec![ABANDONED] }
}

const UNSUPPORTED: &str = "requests that the device does not support";

/// How requests get to the device.
#[derive(Debug, Clone, Copy)]
enum Through {
    Accelerator,
    Policy(Policy),
}

const ALL_WAYS: [Through; 3] =
    [Through::Accelerator, Through::Policy(Policy::Threshold(0)), Through::Policy(Policy::Always)];

/// One run on a machine of its own.
fn run(
    faults: &[Fault],
    through: Through,
    settings: HardwareSettings,
    (seed, requests): (u64, u64),
    may_fail: May,
    expected: &[&str],
) {
    let mut config = Config::with_vfs(2, Services::DC);
    config.seed = seed;
    let config = faults.iter().fold(config, |config, fault| config.fault(fault.clone()));
    let machine = Machine::new(config);
    let qat = machine.accelerator().with_settings(settings);
    assert_eq!(qat.unavailability(), None);
    let started = Instant::now();
    let tally = match through {
        Through::Accelerator => load(&qat, seed, requests, Some(may_fail)),
        Through::Policy(policy) => {
            let auto = AutoAccelerator::new(qat.clone(), policy);
            load(&auto, seed, requests, matches!(policy, Policy::Always).then_some(may_fail))
        }
    };
    let Tally { hardware, software, errors, by_kind, slowest } = tally;
    println!(
        "{through:?} {faults:?}: {hardware:?} on the device, {software:?} on the CPU, {errors:?} errors in {:?}, the \
         slowest took {:?}, {} faults, {} recoveries; {:?}",
        started.elapsed(),
        slowest.into_inner().unwrap(),
        machine.emulator.counters().injected_faults,
        qat.info().recoveries,
        by_kind.into_inner().unwrap()
    );
    assert_eq!(hardware.into_inner() + software.into_inner() + errors.into_inner(), requests);
    // By default the policy may find the CPU the better choice, all the time.
    let may_avoid = matches!(through, Through::Policy(Policy::Auto));
    assert!(may_avoid || machine.emulator.counters().injected_faults > 0);
    machine.emulator.disarm();
    wait_for_device(&qat);
    assert_nothing_held(&qat);
    qat.shutdown();
    assert_nothing_left(&qat, &machine, expected);
}

/// What hits single requests.
fn on_requests() -> Vec<(FaultKind, f64, May, &'static [&'static str])> {
    vec![
        (FaultKind::Lost, 0.01, is_device_error, &[ABANDONED]),
        (FaultKind::Late { microseconds: 20_000 }, 0.05, is_device_error, &[]),
        (FaultKind::Reordered { overtaken_by: 3 }, 0.05, is_device_error, &[]),
        (FaultKind::RingStalled { microseconds: 50_000 }, 0.02, is_device_error, &[]),
        (FaultKind::Error { code: -4 }, 0.05, is_device_error_or_corrupt, &[]),
        (FaultKind::Error { code: -13 }, 0.05, is_device_error, &[]),
        (FaultKind::Error { code: -17 }, 0.05, is_device_error, &[]),
        (FaultKind::VerifyError, 0.05, is_device_error, &[]),
        (FaultKind::WrongChecksum, 0.05, is_device_error, &[]),
        (FaultKind::OverflowAt { bytes: 1500 }, 0.05, is_device_error, &[]),
        (FaultKind::ShortOutput { bytes: 3 }, 0.05, is_device_error, &[]),
        (FaultKind::Unsupported, 0.05, is_device_error, &[UNSUPPORTED]),
    ]
}

/// A short output is seen by comparing CRCs of the memory only.
fn settings_for(kind: FaultKind) -> HardwareSettings {
    match kind {
        FaultKind::ShortOutput { .. } => settings().integrity(Integrity::EndToEnd),
        _ => settings(),
    }
}

#[test]
fn each_fault_of_requests_alone() {
    alone("each_fault_of_requests_alone", || {
        for (seed, (kind, chance, may_fail, expected)) in (1..).zip(on_requests()) {
            for through in ALL_WAYS {
                let fault = Fault::new(kind).every(1).probability(chance);
                run(&[fault], through, settings_for(kind), (seed, requests(400)), may_fail, expected);
            }
        }
    });
}

/// Ways to try in one process. 26.08 keeps events of a device over the stop, and meets them in the next start, so that
/// only the first machine of a process is what it seems.
fn ways<T>(all: impl IntoIterator<Item = T>) -> impl Iterator<Item = T> {
    all.into_iter().take(if is_newer() { 1 } else { usize::MAX })
}

fn on_device(name: &str, kind: FaultKind) {
    alone_with_each(name, || {
        for (seed, through) in ways((30..).zip(ALL_WAYS)) {
            let fault = Fault::new(kind).after(100).every(200).times(2);
            let expected = if kind == FaultKind::Restart { left_by_a_restart() } else { vec![ABANDONED] };
            run(&[fault], through, settings(), (seed, requests(800)), is_device_error, &expected);
        }
    });
}

#[test]
fn fatal_errors() {
    on_device("fatal_errors", FaultKind::FatalError);
}

/// The answers that libqat 24.02 makes up after a fatal error, if it is polled on by the traditional call, are for requests
/// in a row; where one was lost before, it takes a null pointer for a request.
#[test]
fn a_fatal_error_after_lost_answers() {
    alone("a_fatal_error_after_lost_answers", || {
        for lost in [2, 5, 7] {
            let config = Config::with_vfs(1, Services::DC).fault(Fault::new(FaultKind::Lost).every(lost));
            let machine = Machine::new(config.fault(Fault::new(FaultKind::FatalError).after(151)));
            let qat = machine.accelerator().with_settings(settings());
            assert_eq!(qat.unavailability(), None);
            // LZ4 has no other calls than the traditional ones.
            let options = CompressOptions::new(Format::Lz4Frame);
            let mut all: Vec<_> =
                (0..300).map(|number| Box::pin(qat.compress_async(plain(number), options))).collect();
            let mut ended = Vec::new();
            all.retain_mut(|future| {
                match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(result) => ended.push(result),
                    Poll::Pending => return true,
                }
                false
            });
            ended.extend(all.into_iter().map(pollster::block_on));
            let failed: Vec<_> = ended.into_iter().filter_map(Result::err).collect();
            assert!(failed.iter().all(is_device_error), "{failed:?}");
            assert!(failed.len() > 20, "{}", failed.len());
            machine.emulator.disarm();
            wait_for_device(&qat);
            assert!(qat.info().recoveries >= 1);
            assert_nothing_held(&qat);
            qat.shutdown();
            assert_nothing_left(&qat, &machine, &[ABANDONED]);
        }
    });
}

#[test]
fn restarts() {
    on_device("restarts", FaultKind::Restart);
}

/// All of them on one device, the whole time.
#[test]
fn everything_at_once() {
    alone_with_each("everything_at_once", || {
        let mut faults: Vec<_> = on_requests()
            .into_iter()
            .map(|(kind, chance, ..)| Fault::new(kind).every(1).probability(chance / 10.0))
            .collect();
        let requests = requests(1200);
        for kind in [FaultKind::Restart, FaultKind::FatalError] {
            faults.push(Fault::new(kind).after(requests / 4).every(requests / 2).on_vf(faults.len() % 2));
        }
        for (seed, policy) in ways([(50, Policy::Threshold(0)), (51, Policy::Auto), (52, Policy::Always)]) {
            let settings = settings().integrity(Integrity::EndToEnd);
            let mut expected = left_by_a_restart();
            expected.push(UNSUPPORTED);
            let through = Through::Policy(policy);
            run(&faults, through, settings, (seed, requests), is_device_error_or_corrupt, &expected);
        }
    });
}

/// One of two virtual functions goes for good: its instances rest more and more, those of the other one do the work.
#[test]
fn one_of_two_functions_is_taken_away() {
    alone("one_of_two_functions_is_taken_away", || {
        let config = Config::with_vfs(2, Services::DC);
        let machine = Machine::new(config.fault(Fault::new(FaultKind::Removed).on_vf(1).after(20)));
        let qat = machine.accelerator().with_settings(settings());
        let tally = load(&qat, 60, requests(600), Some(is_device_error));
        let info = qat.info();
        assert_eq!((qat.unavailability(), info.recoveries), (None, 0));
        let (good, bad): (Vec<_>, Vec<_>) = info.instances.iter().partition(|it| it.suspensions == 0);
        assert!(!good.is_empty() && !bad.is_empty() && bad.len() <= 4, "{:?}", info.instances);
        assert!(bad.iter().all(|it| it.errors > 0));
        assert!(tally.hardware.into_inner() > 300, "{:?}", tally.by_kind);
        qat.shutdown();
        assert_nothing_left(&qat, &machine, &[ABANDONED]);
    });
}

/// The only one goes. When nothing answers any more, libqat is stopped and started; 24.02 does not come back in this
/// process, and the reason says so. The CPU does the work meanwhile and after.
#[test]
fn the_only_function_is_taken_away() {
    alone_with_each("the_only_function_is_taken_away", || {
        let machine = Machine::new(Config::with_vfs(1, Services::DC));
        let qat = machine.accelerator().with_settings(settings());
        let auto = AutoAccelerator::new(qat.clone(), Policy::Threshold(0));
        wait_for_device(&qat);
        machine.emulator.remove(0);
        let started = Instant::now();
        let mut number = 70 << 32;
        let tally = Tally::default();
        let reason = loop {
            thread::scope(|scope| {
                for worker in 0..THREADS {
                    let (qat, auto, tally) = (&qat, &auto, &tally);
                    scope.spawn(move || {
                        one(qat, number + 2 * worker, Some(is_device_error), tally);
                        one(auto, number + 2 * worker + 1, None, tally);
                    });
                }
            });
            number += 2 * THREADS;
            match qat.unavailability().as_deref() {
                Some(Unavailability::NotRecovered { .. }) => break qat.unavailability().unwrap(),
                _ => assert!(started.elapsed() < LONGEST, "{:?}", qat.info().instances),
            }
        };
        println!("after {:?}: {reason}; {:?}", started.elapsed(), tally.by_kind);
        assert!(qat.registry().nearest("qat").unwrap().1.reason().unwrap().contains("did not restart"));
        one(&auto, number, None, &tally);
        qat.shutdown();
        assert_nothing_left(&qat, &machine, &[ABANDONED]);
    });
}

/// While a device restarts, the registry says so, requests are refused with the reason, and none waits.
fn is_told_and_over_by_itself(name: &str, notification: Notification) {
    alone_with_each(name, || {
        let machine = Machine::new(Config::with_vfs(1, Services::DC));
        let qat = machine.accelerator().with_settings(settings());
        wait_for_device(&qat);
        let registry = qat.registry().clone();
        let before = registry.snapshot();
        let mut changes = registry.subscribe("*".parse().unwrap());
        machine.emulator.notify(0, notification);
        let gone = changes.recv_timeout(LONGEST).unwrap();
        let state = changes.snapshot().get("qat.compression.deflate").cloned();
        let reason = state.as_ref().and_then(State::reason).unwrap();
        assert!(reason.contains("is being restarted"), "{reason}");
        assert!(!gone.is_empty());
        changes.recv_timeout(LONGEST).unwrap();
        assert_eq!(registry.snapshot().entries(), before.entries());
        wait_for_device(&qat);
        assert_eq!(qat.info().recoveries, 1);
        qat.shutdown();
        assert_nothing_left(&qat, &machine, &left_by_a_restart());
    });
}

#[test]
fn a_restart_is_told_and_over_by_itself() {
    is_told_and_over_by_itself("a_restart_is_told_and_over_by_itself", Notification::Restarting);
}

#[test]
fn a_fatal_error_is_told_and_over_by_itself() {
    is_told_and_over_by_itself("a_fatal_error_is_told_and_over_by_itself", Notification::FatalError);
}

fn on_a_host(devices: usize) -> Config {
    let mut config = Config::with_vfs(1, Services::DC);
    config.devices.resize(devices, config.devices[0].clone());
    config.host = true;
    config
}

/// The firmware hangs with requests on the device. No deadline is near: it is the missing heartbeat that tells. Requests end
/// with the error that fits, or on the CPU; the registry says why; and with the heartbeat everything is back.
#[test]
fn a_lost_heartbeat_is_seen_and_told_until_it_is_back() {
    alone_with_each("a_lost_heartbeat_is_seen_and_told_until_it_is_back", || {
        let machine = Machine::new(on_a_host(1));
        let qat = machine.accelerator().with_settings(HardwareSettings::default().deadline(2 * LONGEST));
        let auto = AutoAccelerator::new(qat.clone(), Policy::Threshold(0));
        wait_for_device(&qat);
        let registry = qat.registry().clone();
        let before = registry.snapshot();
        let reason = || registry.nearest("qat").unwrap().1.reason().map(str::to_owned);
        assert_eq!(reason(), None);

        machine.emulator.arm(Fault::new(FaultKind::Hung));
        let (plain, gzip) = (plain(2), CompressOptions::new(Format::Gzip));
        let started = Instant::now();
        thread::scope(|scope| {
            let caught = scope.spawn(|| qat.compress(&plain, &gzip).unwrap_err());
            let rescued = scope.spawn(|| auto.compress(&plain, &gzip).unwrap());
            let Error::Device { reason, .. } = caught.join().unwrap() else { panic!("another error") };
            assert_eq!(reason.downcast_ref(), Some(&DeviceError::Gone));
            let (packed, outcome) = rescued.join().unwrap();
            assert!(foreign_decompress(&packed, Format::Gzip) == plain && !outcome.path.is_hardware());
        });
        assert!(started.elapsed() < LONGEST, "{:?}", started.elapsed());

        // It starts anew, and is told that nothing answers behind libqat.
        let reason_now = loop {
            let error = qat.compress(&plain, &gzip).unwrap_err();
            assert!(is_device_error(&error), "{error}");
            match qat.unavailability().as_deref() {
                Some(Unavailability::NotRecovered { failure, cause }) => {
                    assert_eq!(**cause, Unavailability::NoHeartbeat);
                    break failure.clone();
                }
                _ => assert!(started.elapsed() < LONGEST, "{error}"),
            }
            thread::sleep(Duration::from_millis(10));
        };
        assert!(reason_now.contains("heartbeat"), "{reason_now}");
        let absent = registry.snapshot().get("qat.compression.deflate").unwrap().reason().unwrap().to_owned();
        assert!(absent.contains("heartbeat") && reason().unwrap().contains("heartbeat"), "{absent}");
        assert!(!auto.compress(&plain, &gzip).unwrap().1.path.is_hardware());
        assert_eq!(qat.info().recoveries, 0);

        machine.emulator.disarm();
        machine.emulator.revive(0);
        wait_for_device(&qat);
        assert_eq!(registry.snapshot().entries(), before.entries());
        assert_eq!((qat.info().recoveries, qat.unavailability()), (1, None));
        qat.shutdown();
        assert_nothing_left(&qat, &machine, &[ABANDONED]);
    });
}

/// The firmware of one device of two hangs: the other one does the work, and nothing is started anew.
#[test]
fn one_of_two_devices_loses_its_heartbeat() {
    alone_with_each("one_of_two_devices_loses_its_heartbeat", || {
        let machine = Machine::new(on_a_host(2));
        let qat = machine.accelerator().with_settings(settings());
        wait_for_device(&qat);
        let queries = || -> u64 {
            let file = "sys/kernel/debug/qat_4xxx_0000:10:00.0/heartbeat/queries_sent";
            std::fs::read_to_string(machine.emulator.tree().join(file)).unwrap().trim().parse().unwrap()
        };
        let before = queries();
        machine.emulator.hang(0);
        let started = Instant::now();
        let mut hardware = 0;
        // The dead one is asked first, and then the other one: three times.
        for seed in 80.. {
            hardware += load(&qat, seed, requests(200), Some(is_device_error)).hardware.into_inner();
            if queries() >= before + 6 {
                break;
            }
            assert!(started.elapsed() < LONGEST, "{} queries", queries() - before);
        }
        let info = qat.info();
        assert_eq!((qat.unavailability(), info.recoveries), (None, 0));
        assert!(hardware > 100 && info.instances.iter().any(|it| it.suspensions > 0), "{:?}", info.instances);
        qat.shutdown();
        assert_nothing_left(&qat, &machine, &[ABANDONED]);
    });
}
