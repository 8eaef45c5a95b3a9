//! Futures of the CPU engine: who may wait for them, and what becomes of them when a process forks or ends.

mod support;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use accel_core::{
    BoxFuture, CompressOptions, CompressionAccelerator, Digest, EncryptionAccelerator, Format,
    HardwareAccelerator, Key, Outcome, Result,
};
use pollster::block_on;
use qat::{AutoAccelerator, Policy, QatAccelerator, SoftwareAccelerator};
use support::text;

const GZIP: CompressOptions = CompressOptions::new(Format::Gzip);

/// Beyond this, something waits without end.
const LONGEST: Duration = Duration::from_secs(120);

type Packed = Result<(Vec<u8>, Outcome)>;

/// What `work` makes; a test in which it never ends fails.
fn ends<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || send.send(work()));
    receive.recv_timeout(LONGEST).expect("a deadlock, or a panic")
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// The engines that do their work on the CPU.
fn engines() -> [Arc<dyn CompressionAccelerator>; 2] {
    let auto = AutoAccelerator::new(QatAccelerator::default(), Policy::Never);
    [Arc::new(SoftwareAccelerator::new()), Arc::new(auto)]
}

/// Storage engines run on rayon's global pool and block there.
#[test]
fn every_thread_of_a_callers_pool_may_wait() {
    for engine in engines() {
        let packed = ends(move || {
            rayon_core::broadcast(|_| {
                let futures: Vec<_> = (0..4).map(|_| engine.compress_async(text(100_000), GZIP)).collect();
                futures.into_iter().map(|future| block_on(future).unwrap().0.len()).max()
            })
        });
        assert!(packed.len() >= cores() && packed.iter().all(|len| *len > Some(0)));
    }
}

/// A waker that goes on with the work in place, on whichever thread it is called, and blocks there.
struct InPlace(SoftwareAccelerator, mpsc::Sender<usize>);

impl Wake for InPlace {
    fn wake(self: Arc<Self>) {
        let next = self.0.compress_async(text(50_000), GZIP);
        let _ = self.1.send(block_on(next).unwrap().0.len());
    }
}

#[test]
fn wakers_may_block_on_the_worker_threads() {
    let woken = ends(|| {
        let software = SoftwareAccelerator::new().with_queue_limit(NonZeroUsize::MIN);
        let (send, receive) = mpsc::channel();
        let waker = Waker::from(Arc::new(InPlace(software.clone(), send)));
        let mut futures: Vec<BoxFuture<Packed>> =
            (0..4 * cores()).map(|_| software.compress_async(text(100_000), GZIP)).collect();
        let mut done = 0;
        while !futures.is_empty() {
            futures.retain_mut(|future| {
                let is_ready = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
                done += usize::from(is_ready);
                !is_ready
            });
            thread::yield_now();
        }
        drop(waker);
        (done, receive.iter().count())
    });
    assert_eq!(woken.0, 4 * cores());
}

#[test]
fn a_small_queue_takes_all_that_comes() {
    let software = SoftwareAccelerator::new().with_queue_limit(NonZeroUsize::MIN);
    let auto = AutoAccelerator::with_queue_limit(QatAccelerator::default(), Policy::Never, NonZeroUsize::MIN);
    let engines: [Arc<dyn EncryptionAccelerator>; 2] = [Arc::new(software), Arc::new(auto)];
    for engine in engines {
        let plain = text(20_000);
        let (expected, _) = engine.hmac(&Key::new(b"key"), Digest::Sha256, &plain).unwrap();
        let before = engine.statistics().operations;
        let count = 300;
        let futures: Vec<_> =
            (0..count).map(|_| engine.hmac_async(Key::new(b"key"), Digest::Sha256, plain.clone())).collect();
        for future in futures.into_iter().rev() {
            assert_eq!(block_on(future).unwrap().0, expected);
        }
        let counted = engine.statistics();
        assert_eq!((counted.operations - before, counted.abandoned, counted.in_flight), (count, 0, 0));
    }
}

#[test]
fn small_ciphers_and_macs_are_ready_at_once() {
    let software = SoftwareAccelerator::new();
    let mut small = software.hmac_async(Key::new(b"key"), Digest::Sha256, vec![7; 4096]);
    assert!(small.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    assert_eq!(software.statistics().operations, 1);
}

#[cfg(unix)]
mod processes {
    use super::*;
    use std::process::Command;
    use std::time::Instant;

    use accel_core::{Error, Level};

    /// Runs one test of this file in a process of its own.
    fn alone(test: &str, body: impl FnOnce()) {
        const ALONE: &str = "QAT_TEST_ALONE";
        if std::env::var(ALONE).is_ok_and(|name| name == test) {
            return body();
        }
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args([test, "--exact", "--nocapture"]).env(ALONE, test);
        let output = ends(move || child.output().unwrap());
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    }

    #[test]
    fn a_forked_child_makes_threads_of_its_own() {
        alone("processes::a_forked_child_makes_threads_of_its_own", || {
            let software = SoftwareAccelerator::new().with_queue_limit(NonZeroUsize::MIN);
            let plain = text(3_000_000);
            // One that runs, one that is queued, and some that wait for room.
            let before: Vec<_> =
                (0..cores() + 4).map(|_| software.compress_async(plain.clone(), GZIP)).collect();
            // SAFETY: the child runs this and leaves by `_exit`; glibc's allocator survives a fork.
            let child = unsafe { libc::fork() };
            if child == 0 {
                let mut before = before;
                let unwaited = before.split_off(2);
                let are_refused = before
                    .into_iter()
                    .all(|future| matches!(block_on(future), Err(Error::Unavailable { .. })));
                drop(unwaited);
                let works = block_on(software.compress_async(plain, GZIP)).is_ok();
                // SAFETY: ends the child at once, without the parent's exit handlers.
                unsafe { libc::_exit(i32::from(!are_refused) << 1 | i32::from(!works)) };
            }
            assert!(child > 0);
            let mut status = 0;
            // SAFETY: waits for the child just made and writes one number.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "status {status:#x}");
            // The parent's are not touched.
            for future in before {
                assert!(block_on(future).is_ok());
            }
        });
    }

    /// With more work queued than there is time for.
    #[test]
    fn no_thread_keeps_a_process_from_ending() {
        alone("processes::no_thread_keeps_a_process_from_ending", || {
            let hard = CompressOptions::new(Format::Zstd).level(Level::Exact(22));
            let software = SoftwareAccelerator::new();
            let plain = text(1 << 20);
            let started = Instant::now();
            block_on(software.compress_async(plain.clone(), hard)).unwrap();
            let count = 2 * (LONGEST.as_millis() / started.elapsed().as_millis().max(1)) as usize * cores();
            let futures: Vec<_> =
                (0..count.min(400)).map(|_| software.compress_async(plain.clone(), hard)).collect();
            assert!(software.statistics().in_flight > 0);
            std::mem::forget(futures);
        });
    }
}
