//! Runs the library on an emulated machine inside the test executable.

#![allow(dead_code, unreachable_pub, reason = "each test executable uses its part")]

use std::sync::{Mutex, MutexGuard, PoisonError};

use qat_emu::{Config, Emulator};

use super::libqat::{self, Libqat, SUCCESS, library};

/// Stops the library after a failed test, so that the next one can start it.
struct Stopped(&'static Libqat);

impl Drop for Stopped {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

/// Runs a test with the library on an emulated machine; only one runs in this process at a time. All tests of an
/// executable use the same services, because libqat remembers them after it stops.
pub fn with_machine(config: Config, test: impl FnOnce(&'static Libqat, &Emulator)) {
    let _one = one_at_a_time();
    let Some(library) = library() else { return };
    let emulator = Emulator::attach(config).unwrap();
    let _stopped = Stopped(library);
    test(library, &emulator);
}

fn one_at_a_time() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs all tests except `this_test` with libqat 26.08, one at a time.
pub fn all_with_newer(this_test: &str) {
    let _one = one_at_a_time();
    libqat::all_with_newer(this_test);
}

/// Runs a test like [`with_machine`], with the library started before it and stopped after it, and checks that nothing
/// is left behind.
pub fn with_started(config: Config, test: impl FnOnce(&'static Libqat, &Emulator)) {
    with_machine(config, |library, emulator| {
        library.start();
        test(library, emulator);
        assert_eq!(library.stop(), SUCCESS);
        assert_eq!(emulator.counters().audit(), Vec::<String>::new());
    });
}
