//! Tests of injected faults, as the real library reports them.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod libqat;
#[path = "libqat/machine.rs"]
mod machine;

use std::{
    env,
    ffi::c_void,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use libqat::{FAIL, Handle, Libqat, SUCCESS, dc, sample, sym};
use machine::{with_machine, with_started};
use qat_emu::{Config, Emulator, Fault, FaultKind, Notification, Services, Timing};

fn with_fault(kind: FaultKind, test: impl FnOnce(&dc::Session, &Emulator)) {
    let config = Config::with_vfs(1, Services::SYM_DC).fault(Fault::new(kind));
    with_machine(config, |library, emulator| {
        library.start();
        let session = dc::Session::new(library, library.dc_instances()[0], dc::DYNAMIC);
        test(&session, emulator);
        session.remove();
        assert_eq!(library.stop(), SUCCESS);
        assert_eq!(emulator.counters().injected_faults, 1, "{kind:?}");
    });
}

#[test]
fn error_codes_reach_the_caller() {
    for code in [-1, -2, -3, -4, -5, -6, -7, -8, -9, -10, -12, -13, -16, -17, -19] {
        with_fault(FaultKind::Error { code }, |session, _| {
            let (status, results, _) = session.run(true, &sample(5000), 8192);
            assert_eq!((status, results.status), (FAIL, i32::from(code)));
            // The next request succeeds.
            let (status, results, _) = session.run(true, &sample(5000), 8192);
            assert_eq!((status, results.status), (SUCCESS, 0));
        });
    }
}

#[test]
fn verification_fails() {
    with_fault(FaultKind::VerifyError, |session, _| {
        let (status, results, _) = session.run(true, &sample(5000), 8192);
        assert_eq!((status, results.status), (FAIL, -18));
    });
}

#[test]
fn output_runs_over_at_the_exact_byte() {
    with_fault(FaultKind::OverflowAt { bytes: 1500 }, |session, _| {
        let (status, results, data) = session.run(true, &sample(50_000), 65_536);
        assert_eq!((status, results.status), (SUCCESS, -11));
        assert!(data.len() <= 1500 && results.consumed > 0);
    });
}

#[test]
fn checksum_and_output_lie() {
    let plain = sample(5000);
    with_fault(FaultKind::WrongChecksum, |session, _| {
        let wrong = session.run(true, &plain, 8192).1.checksum;
        let right = session.run(true, &plain, 8192).1.checksum;
        assert_ne!(wrong, right);
    });
    with_fault(FaultKind::ShortOutput { bytes: 3 }, |session, _| {
        let (status, results, data) = session.run(true, &plain, 8192);
        assert_eq!((status, results.status), (SUCCESS, 0));
        assert!(miniz_oxide::inflate::decompress_to_vec(&data).is_err());
    });
}

#[test]
fn late_and_reordered_responses_arrive() {
    with_fault(FaultKind::Late { microseconds: 50_000 }, |session, _| {
        let start = Instant::now();
        assert_eq!(session.run(true, &sample(500), 2048).0, SUCCESS);
        assert!(start.elapsed() >= Duration::from_millis(50));
    });
    with_fault(FaultKind::Reordered { overtaken_by: 2 }, |session, _| {
        let requests: Vec<_> = (0..4).map(|_| session.submit(true, &sample(500), 2048).1).collect();
        let mut order = Vec::new();
        while order.len() < 4 {
            session.poll_one();
            for (number, request) in requests.iter().enumerate() {
                if request.completion.status().is_some() && !order.contains(&number) {
                    order.push(number);
                }
            }
        }
        assert_eq!(order, [1, 2, 0, 3]);
    });
}

#[test]
fn lost_responses_are_found_by_the_audit() {
    with_fault(FaultKind::Lost, |session, emulator| {
        let (status, lost) = session.submit(true, &sample(500), 2048);
        assert_eq!(status, SUCCESS);
        assert_eq!(session.run(true, &sample(500), 2048).0, SUCCESS);
        assert_eq!(lost.completion.status(), None);
        let audit = emulator.counters().audit();
        assert_eq!(audit.len(), 2, "{audit:?}");
        assert!(audit[0].contains("mappings for device access left"), "{audit:?}");
        assert_eq!(audit[1], "1 requests abandoned when their ring was taken away");
    });
}

#[test]
fn latency_is_as_asked() {
    let config = Config::with_vfs(1, Services::SYM_DC).timing(Timing::latency(Duration::from_millis(20)));
    with_started(config, |library, _| {
        let session = dc::Session::new(library, library.dc_instances()[0], dc::STATIC);
        let start = Instant::now();
        let requests: Vec<_> = (0..100).map(|_| session.submit(true, &sample(500), 2048).1).collect();
        for request in &requests {
            assert_eq!(request.completion.wait(|| session.poll()), SUCCESS);
        }
        let took = start.elapsed();
        // The requests are delayed at the same time, not one after the other.
        assert!(took >= Duration::from_millis(20) && took < Duration::from_millis(400), "{took:?}");
        assert_eq!(session.remove(), SUCCESS);
    });
}

/// 40 requests of 10,000 bytes on two engines of 1 MB/s take 200 ms.
#[test]
fn bandwidth_is_as_asked() {
    let config = Config::with_vfs(1, Services::SYM_DC).timing(Timing::bandwidth(1_000_000, 2));
    with_started(config, |library, _| {
        let session = dc::Session::new(library, library.dc_instances()[0], dc::STATIC);
        let start = Instant::now();
        let requests: Vec<_> = (0..40).map(|_| session.submit(true, &sample(10_000), 16_384).1).collect();
        for request in &requests {
            assert_eq!(request.completion.wait(|| session.poll()), SUCCESS);
        }
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(200) && took < Duration::from_millis(900), "{took:?}");
        assert_eq!(session.remove(), SUCCESS);
    });
}

/// A removed function does not respond. When it is restored, stopping and starting the library makes it work again.
#[test]
fn a_function_can_be_taken_away_and_come_back() {
    with_machine(Config::with_vfs(1, Services::SYM_DC), |library, emulator| {
        library.start();
        let session = dc::Session::new(library, library.dc_instances()[0], dc::STATIC);
        assert_eq!(session.run(true, &sample(500), 2048).0, SUCCESS);
        emulator.arm(Fault::new(FaultKind::Removed));
        let (status, lost) = session.submit(true, &sample(500), 2048);
        assert_eq!(status, SUCCESS);
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(50) {
            session.poll();
        }
        assert_eq!(lost.completion.status(), None);
        emulator.disarm();
        emulator.restore(0);
        library.stop();
        library.start();
        let session = dc::Session::new(library, library.dc_instances()[0], dc::STATIC);
        assert_eq!(session.run(true, &sample(500), 2048).0, SUCCESS);
        assert_eq!((session.remove(), library.stop()), (SUCCESS, SUCCESS));
        assert_eq!(emulator.counters().abandoned, 1);
    });
}

#[test]
fn an_unsupported_cipher_is_success_to_the_library_and_not_to_the_audit() {
    let config = Config::with_vfs(1, Services::SYM_DC).fault(Fault::new(FaultKind::Unsupported));
    with_machine(config, |library, emulator| {
        library.start();
        let session = sym::Session::new(library, library.cy_instances()[0], true, &[7; 16], None);
        let message = sym::Message { iv: &[0; 16], text: &[1; 64], ..Default::default() };
        let (status, output, _) = session.run(&message);
        assert_eq!((status, output), (SUCCESS, vec![1; 64]));
        assert_eq!((session.remove(), library.stop()), (SUCCESS, SUCCESS));
        assert_eq!(emulator.counters().audit(), ["1 requests that the device does not support and refused"]);
    });
}

static EVENTS: AtomicU32 = AtomicU32::new(0);

unsafe extern "C" fn notified(_: Handle, _: *mut c_void, event: u32) {
    EVENTS.fetch_or(1 << event, Ordering::SeqCst);
}

/// Polls for device events until `event` arrives.
fn wait_for_event(library: &Libqat, event: u32) {
    let start = Instant::now();
    while EVENTS.load(Ordering::SeqCst) & 1 << event == 0 {
        // SAFETY: `icp_sal_poll_device_events` has no arguments.
        unsafe { (library.icp_sal_poll_device_events)() };
        assert!(start.elapsed() < Duration::from_secs(10), "no event {event}");
    }
}

/// After either event, the library works again when it was stopped and started.
#[test]
fn fatal_errors_and_restarts_are_announced_and_survived() {
    const RESTARTING: u32 = 0;
    const FATAL_ERROR: u32 = 2;
    for (notification, event) in
        [(Notification::FatalError, FATAL_ERROR), (Notification::Restarting, RESTARTING)]
    {
        with_machine(Config::with_vfs(1, Services::SYM_DC), |library, emulator| {
            EVENTS.store(0, Ordering::SeqCst);
            library.start();
            let instance = library.dc_instances()[0];
            // SAFETY: libqat's headers require a valid instance handle, which the library itself returned, and a
            // callback that exists for the rest of the process.
            let set =
                unsafe { (library.cpaDcInstanceSetNotificationCb)(instance, notified, std::ptr::null_mut()) };
            assert_eq!(set, SUCCESS);
            let session = dc::Session::new(library, instance, dc::STATIC);
            assert_eq!(session.run(true, &sample(500), 2048).0, SUCCESS);
            emulator.notify(0, notification);
            wait_for_event(library, event);
            assert_eq!(library.stop(), SUCCESS);
            library.start();
            let session = dc::Session::new(library, library.dc_instances()[0], dc::STATIC);
            assert_eq!(session.run(true, &sample(500), 2048).0, SUCCESS);
            assert_eq!(session.remove(), SUCCESS);
            assert_eq!(library.stop(), SUCCESS);
        });
    }
}

/// Each case runs in a process of its own, because a failed start changes the library's later behaviour.
#[test]
fn what_keeps_a_program_from_starting() {
    let faults = ["group_busy = [0]", "group_denied = [0]", "start_refused = true", "map_refused_after = 0"];
    if let Ok(fault) = env::var("TEST_FAULT") {
        let config = Config::from_toml(&format!("[start]\n{fault}")).unwrap();
        with_machine(config, |library, emulator| {
            assert_eq!(library.try_start(), FAIL);
            assert_eq!(emulator.counters().requests(), 0);
        });
        return;
    }
    for fault in faults {
        libqat::rerun("what_keeps_a_program_from_starting", &[("TEST_FAULT", fault)]);
    }
}

/// The library starts although the mailbox does not respond: it assumes the services that it was built with, and never
/// asks again in this process.
#[test]
fn a_dead_mailbox_gives_the_wrong_instances() {
    if env::var_os("TEST_MAILBOX").is_none() {
        libqat::rerun("a_dead_mailbox_gives_the_wrong_instances", &[("TEST_MAILBOX", "dead")]);
        return;
    }
    let mut config = Config::with_vfs(1, Services::SYM_DC);
    config.start.mailbox_dead = true;
    with_machine(config, |library, _| {
        library.start();
        assert_eq!((library.dc_instances().len(), library.cy_instances().len()), (0, 2));
        assert_eq!(library.stop(), SUCCESS);
    });
}

#[test]
fn the_same_with_libqat_26_08() {
    machine::all_with_newer("the_same_with_libqat_26_08");
}
