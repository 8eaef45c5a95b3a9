//! Stop, start, fork and the end of processes with requests on the device: Intel's libqat 24.02 on the emulated device.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

#[path = "emulated/machine.rs"]
mod machine;

use std::future::Future;
use std::io::Read;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use accel_core::{CompressOptions, CompressionAccelerator, Error, Format, HardwareAccelerator};
use qat::{DeviceError, HardwareSettings, QatAccelerator, Unavailability};
use qat_emu::{Config, Fault, FaultKind, Services, Timing};

use machine::{Machine, alone, alone_with_each, is_newer};

const GZIP: CompressOptions = CompressOptions::new(Format::Gzip);
const LONGEST: Duration = Duration::from_secs(30);

fn scale(name: &str, short: u64) -> u64 {
    env::var(name).map_or(short, |value| value.parse().unwrap())
}

fn gunzip(packed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut plain).unwrap();
    plain
}

fn works(qat: &QatAccelerator) -> bool {
    let plain = b"on the device ".repeat(50);
    qat.compress(&plain, &GZIP)
        .is_ok_and(|(packed, outcome)| outcome.path.is_hardware() && gunzip(&packed) == plain)
}

fn assert_no_memory(qat: &QatAccelerator) {
    for memory in qat.info().memory {
        assert_eq!((memory.in_use, memory.allocated), (0, 0), "{memory:?}");
    }
}

/// A stop waits for what is on the device, as long as it may; requests that come later are told.
#[test]
fn a_stop_with_requests_in_flight() {
    alone("a_stop_with_requests_in_flight", || {
        let config = Config::with_vfs(1, Services::DC).timing(Timing::latency(Duration::from_millis(100)));
        let machine = Machine::new(config);
        for _ in 0..5 {
            let qat = machine.accelerator();
            assert_eq!(qat.unavailability(), None);
            let answered = AtomicU64::new(0);
            thread::scope(|scope| {
                for _ in 0..16 {
                    scope.spawn(|| match qat.compress(&[7; 5000], &GZIP) {
                        Ok((packed, _)) => {
                            assert_eq!(gunzip(&packed), [7; 5000]);
                            answered.fetch_add(1, Relaxed);
                        }
                        Err(Error::Unavailable { reason, .. }) => {
                            assert_eq!(reason.downcast_ref(), Some(&Unavailability::Stopped));
                        }
                        Err(Error::Device { reason, .. }) => {
                            assert_eq!(reason.downcast_ref(), Some(&DeviceError::Gone));
                        }
                        Err(error) => panic!("{error}"),
                    });
                }
                while qat.info().instances.iter().map(|it| it.requests).sum::<u64>() < 4 {
                    thread::yield_now();
                }
                qat.shutdown();
            });
            assert!(answered.into_inner() >= 4, "what was in flight is waited for");
            assert_no_memory(&qat);
            machine.assert_clean();
        }
    });
}

/// A program that is started before its device, as a daemon before `qat.service`: later calls find it, with no word from the
/// program.
#[test]
fn a_device_that_comes_after_the_first_call() {
    alone_with_each("a_device_that_comes_after_the_first_call", || {
        let machine = Machine::new(Config::with_vfs(1, Services::DC));
        let nodes = fs::read_dir(machine.emulator.tree().join("dev/vfio")).unwrap();
        let mut paths = nodes.map(|node| node.unwrap().path());
        let group = paths.find(|path| !path.ends_with("vfio/vfio")).expect("a node for the function");
        let hidden = machine.emulator.tree().join("dev/hidden");
        fs::rename(&group, &hidden).unwrap();
        let qat = machine.accelerator();
        assert!(!works(&qat));
        assert!(!qat.registry().is_present("qat"));
        fs::rename(&hidden, &group).unwrap();
        let started = Instant::now();
        while !works(&qat) {
            assert!(started.elapsed() < LONGEST, "{:?}", qat.unavailability());
            thread::sleep(Duration::from_millis(10));
        }
        println!("found after {:?}", started.elapsed());
        assert!(qat.registry().is_present("qat.compression"));
        drop(qat);
        machine.assert_clean();
    });
}

/// A device whose mailbox is dead has no instances, whatever it is configured for: the configuration is not blamed.
#[test]
fn a_dead_mailbox_is_named() {
    alone_with_each("a_dead_mailbox_is_named", || {
        let mut config = Config::with_vfs(1, Services::DC);
        config.host = true;
        config.start.mailbox_dead = true;
        let machine = Machine::new(config);
        let qat = machine.accelerator();
        let reason = qat.unavailability().expect("nothing of it can be used");
        println!("{reason}");
        assert!(matches!(reason.kind(), "no-answer" | "no-instances-left"), "{reason}");
        let text = reason.to_string();
        assert!(text.contains("dmesg") && !text.contains("cfg_services"), "{text}");
        assert!(!qat.registry().is_present("qat.*"));
        drop(qat);
        machine.assert_clean();
    });
}

/// A request that is never answered: the stop gives up, and the stopped device cannot reach the memory any more.
#[test]
fn a_stop_with_requests_that_are_never_answered() {
    alone("a_stop_with_requests_that_are_never_answered", || {
        let config = Config::with_vfs(1, Services::DC).fault(Fault::new(FaultKind::Lost).every(1));
        let machine = Machine::new(config);
        let qat = machine.accelerator().with_settings(HardwareSettings::default().deadline(LONGEST));
        assert_eq!(qat.unavailability(), None);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| qat.compress(&[7; 5000], &GZIP).unwrap_err());
            while qat.info().instances.iter().all(|it| it.in_flight == 0) {
                thread::yield_now();
            }
            let started = Instant::now();
            qat.shutdown();
            println!("stopped after {:?}", started.elapsed());
            let Error::Device { reason, .. } = waiting.join().unwrap() else { panic!("another error") };
            assert_eq!(reason.downcast_ref(), Some(&DeviceError::Gone));
        });
        assert_no_memory(&qat);
        let audit = machine.emulator.counters().audit();
        assert_eq!(audit, ["1 requests abandoned when their ring was taken away"]);
        machine.emulator.disarm();
        qat.reinitialize().unwrap();
        assert!(works(&qat));
    });
}

/// Futures dropped before they were polled, while in flight, and when the answer is there; and some that outlive the stop.
#[test]
fn futures_are_dropped_in_every_state() {
    alone("futures_are_dropped_in_every_state", || {
        let config = Config::with_vfs(1, Services::DC).timing(Timing::latency(Duration::from_millis(5)));
        let machine = Machine::new(config);
        let qat = machine.accelerator();
        assert!(works(&qat));
        let mut context = Context::from_waker(Waker::noop());
        let future = || qat.compress_async(vec![7; 5000], GZIP);
        for round in 0..60 {
            let mut futures: Vec<_> = (0..8).map(|_| future()).collect();
            for (i, future) in futures.iter_mut().enumerate() {
                if i % 2 == 0 {
                    let _ = pin!(future).poll(&mut context);
                }
            }
            if round % 3 == 0 {
                thread::sleep(Duration::from_millis(20));
            }
            let kept = futures.split_off(futures.len() - round % 3);
            drop(futures);
            for future in kept {
                let (packed, _) = pollster::block_on(future).unwrap();
                assert_eq!(gunzip(&packed), [7; 5000]);
            }
        }
        // Eight a round, of which none, one or two were waited for.
        let counted = qat.statistics();
        assert_eq!((counted.abandoned, counted.errors, counted.in_flight), (60 * 7, 0, 0));
        let started = Instant::now();
        while qat.info().instances.iter().any(|it| it.slots_in_use > 0) {
            // Nobody waits for the last answers; whoever polls next takes them in.
            assert!(works(&qat));
            assert!(started.elapsed() < LONGEST, "{:?}", qat.info().instances);
        }
        let (mut begun, unbegun) = (future(), future());
        let _ = pin!(&mut begun).poll(&mut context);
        qat.shutdown();
        for late in [begun, unbegun] {
            let result = pollster::block_on(late);
            println!("after the stop: {:?}", result.as_ref().map(|(packed, _)| packed.len()));
            if let Ok((packed, _)) = result {
                assert_eq!(gunzip(&packed), [7; 5000]);
            }
        }
        assert!(qat.info().memory.iter().all(|memory| memory.in_use == 0), "{:?}", qat.info().memory);
        // The next stop gives back what the late ones left in the slab.
        qat.reinitialize().unwrap();
        qat.shutdown();
        assert_no_memory(&qat);
        machine.assert_clean();
    });
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Drops the last accelerator, and the future that it was of, when it is woken: on a thread of the crate's.
struct DropsAll {
    all: Mutex<Option<(QatAccelerator, Task)>>,
    dropped_on: mpsc::Sender<Option<String>>,
}

impl Wake for DropsAll {
    fn wake(self: Arc<Self>) {
        let Some(all) = self.all.lock().unwrap().take() else { return };
        drop(all);
        self.dropped_on.send(thread::current().name().map(str::to_owned)).unwrap();
    }
}

/// Has a waker on the thread `name` drop the last accelerator. It must not wait for itself, and what comes after it
/// starts where the stop has ended.
fn dropped_on(name: &str, config: Config, settings: HardwareSettings) -> Machine {
    let machine = Machine::new(config);
    for _ in 0..5 {
        let qat = machine.accelerator().with_settings(settings);
        assert_eq!(qat.unavailability(), None);
        let (dropped_on, dropped) = mpsc::channel();
        let waker = Arc::new(DropsAll { all: Mutex::default(), dropped_on });
        let compressing = qat.compress_async(vec![7; 5000], GZIP);
        let mut future = Box::pin(async { drop(compressing.await) });
        {
            let mut all = waker.all.lock().unwrap();
            let waker = Waker::from(waker.clone());
            assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            *all = Some((qat, future));
        }
        let dropped_on = dropped.recv_timeout(LONGEST).expect("the thread waits for itself");
        assert_eq!(dropped_on.as_deref(), Some(name));
        let (again, answered) = mpsc::channel();
        let next = machine.accelerator().with_settings(settings);
        thread::spawn(move || again.send(next.unavailability()).map(|()| drop(next)));
        assert_eq!(answered.recv_timeout(LONGEST).expect("the stop does not end"), None);
    }
    machine
}

#[test]
fn the_last_accelerator_is_dropped_by_the_polling_thread() {
    alone_with_each("the_last_accelerator_is_dropped_by_the_polling_thread", || {
        let config = Config::with_vfs(1, Services::DC).timing(Timing::latency(Duration::from_millis(20)));
        let machine = dropped_on("qat-poll", config, HardwareSettings::default());
        let qat = machine.accelerator();
        assert!(works(&qat));
        qat.shutdown();
        assert_no_memory(&qat);
        machine.assert_clean();
    });
}

/// A request that is never answered ends by the deadline, which the thread that owns libqat looks after.
#[test]
fn the_last_accelerator_is_dropped_by_the_thread_that_owns_libqat() {
    alone_with_each("the_last_accelerator_is_dropped_by_the_thread_that_owns_libqat", || {
        let config = Config::with_vfs(1, Services::DC).fault(Fault::new(FaultKind::Lost).every(1));
        let settings = HardwareSettings::default().deadline(Duration::from_millis(100));
        let machine = dropped_on("qat-driver", config, settings);
        machine.emulator.disarm();
        let qat = machine.accelerator();
        assert!(works(&qat));
        qat.shutdown();
        assert_no_memory(&qat);
    });
}

/// Compresses when it is woken, as an executor does that runs its tasks in wakers.
struct Compresses {
    qat: QatAccelerator,
    came_to: mpsc::Sender<(Option<String>, Result<(), Error>)>,
}

impl Wake for Compresses {
    fn wake(self: Arc<Self>) {
        let result = self.qat.compress(&[7; 5000], &GZIP).map(drop);
        self.came_to.send((thread::current().name().map(str::to_owned), result)).unwrap();
    }
}

/// The stop wakes what waits for an answer that never comes. What is asked then must not wait for the stop.
#[test]
fn a_stop_wakes_those_who_ask_again() {
    alone_with_each("a_stop_wakes_those_who_ask_again", || {
        let config = Config::with_vfs(1, Services::DC).fault(Fault::new(FaultKind::Lost).every(1));
        let machine = Machine::new(config);
        let qat = machine.accelerator().with_settings(HardwareSettings::default().deadline(LONGEST));
        assert_eq!(qat.unavailability(), None);
        let (came_to, asked) = mpsc::channel();
        let waker = Waker::from(Arc::new(Compresses { qat: qat.clone(), came_to }));
        let mut future = qat.compress_async(vec![7; 5000], GZIP);
        assert!(pin!(&mut future).poll(&mut Context::from_waker(&waker)).is_pending());
        let (restarted, restarts) = mpsc::channel();
        let again = qat.clone();
        thread::spawn(move || restarted.send(again.reinitialize()));
        let (thread, result) = asked.recv_timeout(LONGEST).expect("the question waits for the stop");
        assert_eq!(thread.as_deref(), Some("qat-driver"));
        let Err(Error::Unavailable { reason, .. }) = result else { panic!("{result:?}") };
        assert_eq!(reason.downcast_ref(), Some(&Unavailability::Stopped));
        restarts.recv_timeout(LONGEST).expect("the stop does not end").unwrap();
        machine.emulator.disarm();
        assert!(works(&qat));
    });
}

/// What a process has that a start and its stop might leave behind.
#[derive(Debug, Clone, Copy)]
struct Footprint {
    descriptors: usize,
    threads: usize,
    mappings: usize,
    /// Bytes that malloc has given out, to libqat and to us.
    heap: usize,
    resident: usize,
}

impl Footprint {
    fn now(threads: usize) -> Self {
        let count = |directory| fs::read_dir(directory).unwrap().count();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        // SAFETY: reads the allocator's counters, under its locks.
        let heap = unsafe { libc::mallinfo2() };
        Self {
            descriptors: count("/proc/self/fd"),
            threads: machine::threads(threads),
            mappings: fs::read_to_string("/proc/self/maps").unwrap().lines().count(),
            heap: heap.uordblks + heap.hblkhd,
            resident: resident.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10,
        }
    }

    /// The same but for what is kept on purpose.
    fn assert_not_above(self, first: Self) {
        assert_eq!((self.descriptors, self.threads), (first.descriptors, first.threads));
        // The heap may become two mappings.
        assert!(self.mappings <= first.mappings + 2, "{self:?} after {first:?}");
        // What malloc keeps for a thread counts as given out.
        assert!(self.heap <= first.heap + (64 << 10), "{self:?} after {first:?}");
        assert!(self.resident <= first.resident + (1 << 20), "{self:?} after {first:?}");
    }
}

/// `QAT_TEST_STARTS` sets the number.
#[test]
fn starts_and_stops_with_work_between() {
    alone("starts_and_stops_with_work_between", || {
        let machine = Machine::new(Config::with_vfs(1, Services::DC));
        let qat = machine.accelerator();
        let started = Instant::now();
        let starts = scale("QAT_TEST_STARTS", 40);
        // What is made once and kept, there is from the beginning: every slot is in use at the same time.
        qat.reinitialize().unwrap();
        machine.emulator.arm(Fault::new(FaultKind::RingStalled { microseconds: 20_000 }).every(1));
        let mut all: Vec<_> = (0..4 * 600).map(|_| qat.compress_async(vec![1; 100], GZIP)).collect();
        for future in &mut all {
            let _ = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
        }
        assert!(qat.info().instances.iter().all(|it| it.slots_in_use >= 511), "{:?}", qat.info().instances);
        machine.emulator.disarm();
        drop(all);
        qat.shutdown();
        let mut first = None;
        for number in 1..=starts {
            qat.reinitialize().unwrap();
            assert!(works(&qat));
            pollster::block_on(qat.compress_async(vec![1; 100], GZIP)).unwrap();
            qat.shutdown();
            assert_no_memory(&qat);
            let now = Footprint::now(first.map_or(0, |first: Footprint| first.threads));
            now.assert_not_above(*first.get_or_insert(now));
            if number.is_power_of_two() || number == starts {
                println!("{number}: {now:?}");
            }
        }
        println!("{starts} starts with work, {:?} each", started.elapsed() / starts as u32);
        machine.assert_clean();
    });
}

/// More threads than slots or cores, on four instances.
#[test]
fn a_thousand_threads_on_four_instances() {
    alone("a_thousand_threads_on_four_instances", || {
        let machine = Machine::new(Config::with_vfs(1, Services::DC));
        let qat = machine.accelerator();
        assert_eq!(qat.unavailability(), None);
        let together = Barrier::new(1000);
        thread::scope(|scope| {
            for number in 0..1000_u32 {
                let (qat, together) = (&qat, &together);
                let spawned = thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, move || {
                    together.wait();
                    for round in 0..3 {
                        let plain = (number + round).to_le_bytes().repeat(100);
                        let (packed, outcome) = qat.compress(&plain, &GZIP).unwrap();
                        assert!(outcome.path.is_hardware());
                        assert!(gunzip(&packed) == plain, "another request's answer");
                    }
                });
                spawned.unwrap();
            }
        });
        let info = qat.info();
        assert_eq!(info.instances.len(), 4);
        assert!(
            info.instances.iter().all(|it| it.slots_in_use == 0 && it.errors == 0),
            "{:?}",
            info.instances
        );
        assert_eq!(info.instances.iter().map(|it| it.requests).sum::<u64>(), 3000);
        qat.shutdown();
        assert_no_memory(&qat);
        machine.assert_clean();
    });
}

/// Runs `body` in a forked child; its exit code has to be 0.
fn in_child(body: impl FnOnce() -> bool) {
    // SAFETY: the child runs `body` and leaves by `_exit`; glibc's allocator survives a fork, and the tests of this file
    // have a process each.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let is_good = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(false);
        // SAFETY: ends the child at once, without the parent's exit handlers.
        unsafe { libc::_exit(i32::from(!is_good)) };
    }
    assert!(child > 0);
    let mut status = 0;
    // SAFETY: waits for the child just made and writes one number.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "status {status:#x}");
}

#[test]
fn forks_before_and_after_the_start() {
    alone("forks_before_and_after_the_start", || {
        let machine = Machine::new(Config::with_vfs(1, Services::DC));
        let qat = machine.accelerator();
        // Before: the child starts as if it were alone.
        in_child(|| {
            works(&qat) && {
                qat.shutdown();
                true
            }
        });
        assert!(works(&qat));
        in_child(|| {
            let Err(Error::Unavailable { reason, .. }) = qat.compress(b"plain", &GZIP) else { return false };
            let is_forked = reason.downcast_ref() == Some(&Unavailability::Forked);
            let starts_afresh = qat.reinitialize().is_ok() && works(&qat);
            qat.shutdown();
            is_forked && starts_afresh
        });
        assert!(works(&qat));
        qat.shutdown();
        assert_no_memory(&qat);
        machine.assert_clean();
    });
}

/// A process dies with requests on the device; the next one finds it as if nothing had been.
#[test]
fn a_killed_process_hinders_nobody() {
    alone("a_killed_process_hinders_nobody", || {
        let config = Config::with_vfs(1, Services::DC).timing(Timing::latency(Duration::from_millis(50)));
        let machine = Machine::new(config);
        let qat = machine.accelerator();
        for _ in 0..3 {
            // SAFETY: as in `in_child`; this child is killed.
            let child = unsafe { libc::fork() };
            if child == 0 {
                loop {
                    works(&qat);
                }
            }
            assert!(child > 0);
            thread::sleep(Duration::from_millis(300));
            let mut status = 0;
            // SAFETY: a child of this process, not waited for before.
            assert_eq!(unsafe { libc::kill(child, libc::SIGKILL) }, 0);
            // SAFETY: the same, and writes one number.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            assert!(libc::WIFSIGNALED(status), "it was still at work: {status:#x}");
            qat.reinitialize().unwrap();
            assert!(works(&qat));
            qat.shutdown();
            machine.assert_clean();
        }
    });
}

const PAGE: usize = 4096;

/// Whole pages of this program's own, which tell when they are freed.
struct Own {
    /// One page more, to begin with a page.
    bytes: Vec<u8>,
    is_free: Arc<AtomicBool>,
}

impl Own {
    fn new(pages: usize, byte: u8) -> (Self, Arc<AtomicBool>) {
        let is_free = Arc::<AtomicBool>::default();
        (Self { bytes: vec![byte; (pages + 1) * PAGE], is_free: is_free.clone() }, is_free)
    }
}

impl AsMut<[u8]> for Own {
    fn as_mut(&mut self) -> &mut [u8] {
        let at = self.bytes.as_ptr().addr().wrapping_neg() % PAGE;
        let len = self.bytes.len() - PAGE;
        &mut self.bytes[at..at + len]
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.is_free.store(true, Relaxed);
    }
}

/// Memory of the caller's own as input and output, over stops, and never freed while the device may write to it.
#[test]
fn memory_of_the_callers_own() {
    alone_with_each("memory_of_the_callers_own", || {
        let machine = Machine::new(Config::with_vfs(1, Services::DC));
        let deadline = Duration::from_millis(300);
        let qat = machine.accelerator().with_settings(HardwareSettings::default().deadline(deadline));
        assert_eq!(qat.unavailability(), None);
        let map = |pages, byte| {
            let (own, is_free) = Own::new(pages, byte);
            (qat.map_memory(own).map_err(|(_, error)| error), is_free)
        };
        if !is_newer() {
            let (mut own, is_free) = Own::new(3, 9);
            own.as_mut()[5] = 1;
            let Err((mut own, Error::Unsupported { remedy, .. })) = qat.map_memory(own) else { panic!() };
            assert!(remedy.contains("26.02") && own.as_mut()[5] == 1 && !is_free.load(Relaxed));
            return;
        }
        let mapped = || (machine.emulator.counters().maps, machine.emulator.counters().unmaps);
        let before = mapped();
        let (input, input_is_free) = map(100, b'q');
        let (output, output_is_free) = map(150, 0);
        let (mut input, output) = (input.unwrap(), output.unwrap());
        assert_eq!((input.len(), output.len()), (100 * PAGE, 150 * PAGE));
        assert_eq!(mapped(), (before.0 + 2, before.1));
        input[..10].copy_from_slice(b"beginning ");
        let plain = input.to_vec();
        let mut buffers = Some((input, output));
        let mut session = qat.dma_compressor(&GZIP).unwrap();
        let mut packs = || {
            let (input, output) = buffers.take().unwrap();
            let done = session.run(input, output);
            let outcome = done.result.unwrap();
            let (input, output) = done.buffers.unwrap();
            assert!(outcome.path.is_hardware() && gunzip(&output[..outcome.bytes_out]) == plain);
            buffers = Some((input, output));
        };
        packs();

        // No mapping outlives a stop, and the memory does.
        qat.shutdown();
        assert_eq!(machine.emulator.counters().mapped, 0);
        qat.reinitialize().unwrap();
        let started = machine.emulator.counters().mapped;
        packs();
        assert_eq!(machine.emulator.counters().mapped, started + 2);
        drop(buffers);
        assert_eq!(machine.emulator.counters().mapped, started);
        assert!(input_is_free.load(Relaxed) && output_is_free.load(Relaxed));

        // Freed between a stop and a start: what gets its place is nobody else's.
        let (kept, kept_is_free) = map(4, 1);
        qat.shutdown();
        drop(kept);
        assert!(kept_is_free.load(Relaxed));
        qat.reinitialize().unwrap();
        assert!(works(&qat));

        // An answer that never comes: the device may still write, until libqat is stopped.
        machine.emulator.arm(Fault::new(FaultKind::Lost));
        let (input, input_is_free) = map(4, 1);
        let (output, output_is_free) = map(8, 1);
        let done = qat.dma_compressor(&GZIP).unwrap().run(input.unwrap(), output.unwrap());
        assert!(done.result.is_err() && done.buffers.is_none(), "{:?}", done.result);
        assert!(!input_is_free.load(Relaxed) && !output_is_free.load(Relaxed));
        qat.shutdown();
        assert!(input_is_free.load(Relaxed) && output_is_free.load(Relaxed));
        let counters = machine.emulator.counters();
        assert_eq!((counters.mapped, counters.dma_faults, counters.maps), (0, 0, counters.unmaps));
    });
}
