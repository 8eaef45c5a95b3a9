//! Tests with many requests, many starts and forked children, and of the CPU time of an idle device.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod libqat;
#[path = "libqat/machine.rs"]
mod machine;

use std::{
    env, fs,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use cbc::cipher::{BlockModeEncrypt, KeyIvInit, block_padding::NoPadding};
use libqat::{Handle, Libqat, RETRY, SUCCESS, dc, sample, sym};
use machine::{with_machine, with_started};
use qat_emu::{Config, Emulator, Fault, FaultKind, Services};

/// Reads a number from the environment, which makes a short test long.
fn scale(name: &str, short: usize) -> usize {
    env::var(name).map_or(short, |value| value.parse().unwrap())
}

const KEY: [u8; 16] = *b"a key for tests.";
const THREADS: usize = 8;

fn encrypted(iv: &[u8; 16], plain: &[u8]) -> Vec<u8> {
    let cipher = cbc::Encryptor::<aes::Aes128>::new(&KEY.into(), &(*iv).into());
    cipher.encrypt_padded_vec::<NoPadding>(plain)
}

/// Instance handles that any thread may use.
#[derive(Clone, Copy)]
struct Instances(Handle, Handle);
// SAFETY: instance handles may be used on any thread, because libqat locks its rings itself.
unsafe impl Send for Instances {}

/// Compresses and encrypts at the same time, and checks all results.
fn work(library: &'static Libqat, instances: Instances, seed: usize, requests: usize) {
    const IN_FLIGHT: usize = 15;
    let Instances(compression, crypto) = instances;
    let session = dc::Session::new(library, compression, dc::STATIC);
    let cipher = sym::Session::new(library, crypto, true, &KEY, None);
    let mut done = 0;
    while done < requests {
        let mut flying = Vec::new();
        for number in 0..IN_FLIGHT {
            let plain = sample(200 + (done + number * 37 + seed * 101) % 3000);
            let (status, request) = session.submit(true, &plain, 4096);
            assert_eq!(status, SUCCESS);
            flying.push((plain, request));
        }
        let plain: Vec<u8> = (0..256).map(|i| (i * 7 + seed + done) as u8).collect();
        let iv = [(done % 251) as u8; 16];
        let (status, output, _) = cipher.run(&sym::Message { iv: &iv, text: &plain, ..Default::default() });
        assert_eq!((status, output), (SUCCESS, encrypted(&iv, &plain)));
        for (plain, request) in flying {
            assert_eq!(request.completion.wait(|| session.poll()), SUCCESS);
            let data = &request.output.bytes()[..request.results.produced as usize];
            assert!(
                miniz_oxide::inflate::decompress_to_vec(data).unwrap() == plain,
                "another request's result"
            );
        }
        done += IN_FLIGHT + 1;
    }
    assert_eq!((session.remove(), cipher.remove()), (SUCCESS, SUCCESS));
}

fn load(config: Config, requests: usize) {
    with_started(config, |library, emulator: &Emulator| {
        let (compression, crypto) = (library.dc_instances(), library.cy_instances());
        assert_eq!((compression.len(), crypto.len()), (THREADS, THREADS));
        thread::scope(|scope| {
            for (seed, pair) in compression.into_iter().zip(crypto).enumerate() {
                let instances = Instances(pair.0, pair.1);
                scope.spawn(move || work(library, instances, seed, requests / THREADS));
            }
        });
        let counters = emulator.counters();
        assert!(counters.requests() >= requests as u64 / 2);
        assert_eq!(counters.requests(), counters.responses());
        assert_eq!(counters.vf_requests.len(), 4);
    });
}

/// Runs eight threads on sixteen instances; `QAT_TEST_REQUESTS` sets the number of requests.
#[test]
fn nothing_is_lost_or_swapped() {
    load(Config::with_vfs(4, Services::SYM_DC), scale("QAT_TEST_REQUESTS", 10_000));
}

#[test]
fn nothing_is_lost_on_two_engine_threads_either() {
    let mut config = Config::with_vfs(4, Services::SYM_DC);
    config.engine_threads = 2;
    load(config, scale("QAT_TEST_REQUESTS", 10_000));
}

#[test]
fn device_threads_stay_on_their_core() {
    let mut config = Config::with_vfs(1, Services::SYM_DC);
    config.engine_threads = 2;
    config.engine_cpu = Some(0);
    with_started(config, |_, _| {
        let on_first = || {
            let tasks =
                fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path().join("status"));
            let status = tasks.filter_map(|status| fs::read_to_string(status).ok());
            let is_device = |status: &String| status.starts_with("Name:\tqat-emu\n");
            status.filter(|s| is_device(s) && s.contains("\nCpus_allowed_list:\t0\n")).count()
        };
        // At this time, the second process may not have started its requests.
        let start = Instant::now();
        while on_first() < 2 && start.elapsed() < Duration::from_secs(10) {
            thread::yield_now();
        }
        assert_eq!(on_first(), 2);
    });
}

#[test]
fn without_engine_threads_the_caller_says_when() {
    let mut config = Config::with_vfs(1, Services::SYM_DC);
    config.engine_threads = 0;
    with_started(config, |library, emulator| {
        let session = dc::Session::new(library, library.dc_instances()[0], dc::STATIC);
        let plain = sample(20_000);
        let (status, request) = session.submit(true, &plain, 30_000);
        assert_eq!((status, session.poll(), session.poll()), (SUCCESS, RETRY, RETRY));
        emulator.serve();
        assert_eq!((session.poll(), request.completion.status()), (SUCCESS, Some(SUCCESS)));
        let data = &request.output.bytes()[..request.results.produced as usize];
        assert_eq!(miniz_oxide::inflate::decompress_to_vec(data).unwrap(), plain);
        assert_eq!(session.remove(), SUCCESS);
    });
}

#[test]
fn recoverable_faults_lose_nothing() {
    let faults = [
        FaultKind::Late { microseconds: 2000 },
        FaultKind::Reordered { overtaken_by: 3 },
        FaultKind::RingStalled { microseconds: 3000 },
    ];
    let config = faults.into_iter().fold(Config::with_vfs(4, Services::SYM_DC), |config, kind| {
        config.fault(Fault::new(kind).every(1).probability(0.01))
    });
    load(config, scale("QAT_TEST_REQUESTS", 10_000));
}

/// `QAT_TEST_STARTS` sets the number of starts, at most 400 with 26.08, which loses two descriptors in each.
#[test]
fn starts_and_stops_many_times() {
    let starts = scale("QAT_TEST_STARTS", 40);
    with_machine(Config::with_vfs(1, Services::SYM_DC), |library, emulator| {
        let starts = if library.newer() { starts.min(400) } else { starts };
        let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
        library.start();
        assert_eq!(library.stop(), SUCCESS);
        let before = descriptors();
        for _ in 0..starts {
            library.start();
            assert_eq!((library.dc_instances().len(), library.cy_instances().len()), (2, 2));
            assert_eq!(library.stop(), SUCCESS);
        }
        assert_eq!(emulator.counters().audit(), Vec::<String>::new());
        // For each function, these are the descriptors of the device and of its events.
        let lost = if library.newer() { 2 * starts } else { 0 };
        assert!(descriptors() <= before + lost, "descriptors leak: {before} before, {} after", descriptors());
    });
}

/// The library waits 500 sleeps of 5 µs for the device's response, and assumes a wrong set of services without one. It
/// has to see the device even if the device's thread waits for a core. `QAT_TEST_BUSY_STARTS` sets the number of
/// starts.
#[test]
fn starts_on_a_busy_machine_find_the_device() {
    const LOOPS: usize = 8;
    let starts = scale("QAT_TEST_BUSY_STARTS", 50);
    with_machine(Config::with_vfs(1, Services::DC), |library, emulator| {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..LOOPS {
                scope.spawn(|| {
                    while !done.load(Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            let outcome = std::panic::catch_unwind(|| {
                for _ in 0..starts {
                    library.start();
                    assert_eq!((library.dc_instances().len(), library.cy_instances().len()), (4, 0));
                    assert_eq!(library.stop(), SUCCESS);
                }
            });
            done.store(true, Relaxed);
            if let Err(panic) = outcome {
                std::panic::resume_unwind(panic);
            }
        });
        assert_eq!(emulator.counters().audit(), Vec::<String>::new());
    });
}

/// A child starts the library itself and compresses, while the parent continues to work.
#[test]
fn a_forked_child_has_devices_of_its_own() {
    with_started(Config::with_vfs(1, Services::SYM_DC), |library, emulator| {
        let session = dc::Session::new(library, library.dc_instances()[0], dc::STATIC);
        let plain = sample(20_000);
        assert_eq!(session.run(true, &plain, 30_000).0, SUCCESS);
        for _ in 0..3 {
            // SAFETY: fork(2): the child uses its own copy of the memory, and ends by _exit(2).
            let child = unsafe { libc::fork() };
            assert!(child >= 0);
            if child == 0 {
                let worked = std::panic::catch_unwind(|| {
                    library.start();
                    let session = dc::Session::new(library, library.dc_instances()[0], dc::STATIC);
                    let (status, _, data) = session.run(true, &plain, 30_000);
                    let back = miniz_oxide::inflate::decompress_to_vec(&data).unwrap();
                    let stopped = (session.remove(), library.stop());
                    (status, stopped, back == plain, emulator.counters().requests())
                });
                let good = worked.is_ok_and(|w| w == (SUCCESS, (SUCCESS, SUCCESS), true, 1));
                // SAFETY: _exit(2) takes a number; it ends the child without running the test harness.
                unsafe { libc::_exit(i32::from(!good)) };
            }
            let mut status = 0;
            // SAFETY: waitpid(2) takes a pointer to the status, which lives during the call.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert_eq!(status, 0, "the child failed");
            assert_eq!(session.run(true, &plain, 30_000).0, SUCCESS);
        }
        assert_eq!(emulator.counters().requests(), 4);
        assert_eq!(session.remove(), SUCCESS);
    });
}

/// Returns the CPU time that the device threads have used.
fn device_time() -> Duration {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let device =
        tasks.filter(|t| fs::read_to_string(t.path().join("comm")).is_ok_and(|c| c.trim() == "qat-emu"));
    let nanoseconds = device.filter_map(|t| {
        let text = fs::read_to_string(t.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

#[test]
fn an_idle_device_costs_under_one_percent() {
    with_started(Config::with_vfs(4, Services::SYM_DC), |library, _| {
        let session = dc::Session::new(library, library.dc_instances()[0], dc::STATIC);
        assert_eq!(session.run(true, &sample(500), 2048).0, SUCCESS);
        thread::sleep(Duration::from_millis(300));
        let (start, before) = (Instant::now(), device_time());
        thread::sleep(Duration::from_secs(2));
        let share = (device_time() - before).as_secs_f64() / start.elapsed().as_secs_f64();
        eprintln!("an idle device costs {:.2} % of a core", share * 100.0);
        assert!(share < 0.01, "{:.2} % of a core", share * 100.0);
        // The device still responds.
        assert_eq!(session.run(true, &sample(500), 2048).0, SUCCESS);
        assert_eq!(session.remove(), SUCCESS);
    });
}

#[test]
fn the_same_with_libqat_26_08() {
    machine::all_with_newer("the_same_with_libqat_26_08");
}
