//! Tests of libqat's event mode, which 26.08 introduced: the program sleeps until the device interrupts, and polls only
//! then.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod libqat;
#[path = "libqat/machine.rs"]
mod machine;

use std::{ffi::c_int, time::Instant};

use libqat::{Handle, Libqat, RETRY, SUCCESS, UNSUPPORTED, dc, sample, sym};
use machine::with_started;
use qat_emu::{Config, Services};

/// Values of `CpaAccelerationServiceType` and `CpaInstanceResponseMode`.
const COMPRESSION: c_int = 1;
const SYMMETRIC: c_int = 6;
const BY_POLLING: u32 = 1;
const BY_EVENT: u32 = 2;

/// Waits for an event of the descriptor.
fn wait_for_event(fd: c_int) {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: poll(2) reads and writes as many structures as given, which is one.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 20_000) };
    assert_eq!(ready, 1, "no event within 20 s");
}

/// Returns the descriptor of a compression instance, which exists only in event mode.
fn descriptor(library: &Libqat, instance: Handle) -> Result<c_int, libqat::Status> {
    let mut fd = -1;
    // SAFETY: libqat's headers require a valid instance handle, which the library itself returned, and a pointer to the
    // result, which lives during the call.
    let status = unsafe { (library.icp_sal_DcGetFileDescriptor)(instance, &raw mut fd) };
    if status == SUCCESS { Ok(fd) } else { Err(status) }
}

/// Waits for all of a session's requests, and polls only after an event.
fn collect(session: &dc::Session, fd: c_int, requests: &[dc::Request]) {
    let start = Instant::now();
    while requests.iter().any(|request| request.completion.status().is_none()) {
        assert!(start.elapsed().as_secs() < 20, "an event without a response");
        wait_for_event(fd);
        let polled = session.poll();
        assert!(polled == SUCCESS || polled == RETRY, "poll returned {polled}");
    }
    assert!(requests.iter().all(|request| request.completion.status() == Some(SUCCESS)));
}

/// Both instances of a function share its descriptor, and a poll also takes the events of the other instance.
#[test]
fn responses_are_announced_by_events() {
    with_started(Config::with_vfs(1, Services::SYM_DC), |library, emulator| {
        let instances = library.dc_instances();
        let (Some(set_mode), Some(set_coalescing)) = (library.set_response_mode, library.set_coalescing)
        else {
            assert_eq!(descriptor(library, instances[0]), Err(UNSUPPORTED));
            return;
        };
        for instance in &instances {
            // SAFETY: libqat's headers require a valid instance handle, which the library itself returned.
            assert_eq!(unsafe { set_mode(*instance, COMPRESSION, BY_EVENT) }, SUCCESS);
        }
        let sessions: Vec<_> =
            instances.iter().map(|instance| dc::Session::new(library, *instance, dc::STATIC)).collect();
        let fd = descriptor(library, instances[0]).unwrap();
        assert_eq!(descriptor(library, instances[1]), Ok(fd));
        let plain = sample(5000);
        // The times are the library's default, none, and the longest possible.
        for coalescing in [None, Some(0), Some(512_000)] {
            if let Some(nanoseconds) = coalescing {
                for instance in &instances {
                    // SAFETY: libqat's headers require a valid instance handle, which the library itself returned.
                    assert_eq!(unsafe { set_coalescing(*instance, COMPRESSION, nanoseconds) }, SUCCESS);
                }
            }
            for round in 0..30 {
                let count = 1 + round % 4;
                let submitted = sessions.iter().map(|session| {
                    let requests = (0..count).map(|_| {
                        let (status, request) = session.submit(true, &plain, 8192);
                        assert_eq!(status, SUCCESS);
                        request
                    });
                    requests.collect::<Vec<_>>()
                });
                let submitted: Vec<_> = submitted.collect();
                for (session, requests) in sessions.iter().zip(&submitted) {
                    collect(session, fd, requests);
                }
            }
        }
        assert!(emulator.counters().interrupts > 0);
        // After the return to polling, there is no descriptor and nothing to wait for.
        for (instance, session) in instances.iter().zip(&sessions) {
            // SAFETY: libqat's headers require a valid instance handle, which the library itself returned.
            assert_eq!(unsafe { set_mode(*instance, COMPRESSION, BY_POLLING) }, SUCCESS);
            assert_eq!(descriptor(library, *instance), Err(UNSUPPORTED));
            assert_eq!(session.run(true, &plain, 8192).0, SUCCESS);
            assert_eq!(session.remove(), SUCCESS);
        }
    });
}

/// Event mode works for symmetric instances, too.
#[test]
fn symmetric_responses_are_announced_by_events() {
    with_started(Config::with_vfs(1, Services::SYM_DC), |library, _| {
        let instance = library.cy_instances()[0];
        let Some(set_mode) = library.set_response_mode else { return };
        // SAFETY: libqat's headers require a valid instance handle, which the library itself returned.
        assert_eq!(unsafe { set_mode(instance, SYMMETRIC, BY_EVENT) }, SUCCESS);
        let mut fd = -1;
        // SAFETY: libqat's headers require a valid instance handle, which the library itself returned, and a pointer to
        // the result, which lives during the call.
        assert_eq!(unsafe { (library.icp_sal_CyGetFileDescriptor)(instance, &raw mut fd) }, SUCCESS);
        let session = sym::Session::new(library, instance, true, &[7; 16], None);
        for round in 0..50_u8 {
            let packet = sym::Packet { iv: &[round; 16], ..sym::Packet::new(&[1; 64]) };
            let result = session.perform_after(&packet, || wait_for_event(fd)).unwrap();
            assert_eq!(result.status, SUCCESS);
            assert_ne!(result.text, [1; 64]);
        }
        assert_eq!(session.remove(), SUCCESS);
    });
}

#[test]
fn the_same_with_libqat_26_08() {
    machine::all_with_newer("the_same_with_libqat_26_08");
}
