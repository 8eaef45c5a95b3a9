//! The hooks: functions of the C library that libqat and its memory driver call, and that this crate defines in front
//! of the C library. Each passes calls that do not concern the emulator to the next definition. One more function is
//! for programs that know the emulator.
//!
//! `open` and `ioctl` are variadic in C. Their optional argument is an integer or a pointer, which the System V calling
//! conventions of x86-64 and aarch64 pass in the register of a third fixed argument.

use std::ffi::{c_char, c_int, c_ulong, c_void};

use super::{
    attach,
    next::{self, Filter, Order},
    paths::Redirected,
};

/// The exported names, for build scripts and for the check that a loaded library binds to them.
pub(super) const NAMES: &str = include_str!("hooks.txt");

macro_rules! open_hook {
    ($name:ident, $next:ident, ($($mode:ident: $type:ty)?), $doc:literal) => {
        #[doc = $doc]
        ///
        /// # Safety
        /// The arguments follow the contract of the C function.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(path: *const c_char, flags: c_int $(, $mode: $type)?) -> c_int {
            // SAFETY: `attach::redirect` requires null or a NUL-terminated path, which open(2) requires from the
            // caller.
            let redirected = unsafe { attach::redirect(path) };
            let mode = 0 $(| $mode)?;
            let Some(redirected) = redirected else {
                // SAFETY: `next::$next` has the contract of open(2), which the caller follows with the same arguments.
                return unsafe { next::$next(path, flags, mode) };
            };
            // SAFETY: `next::$next` has the contract of open(2); `redirected` contains a NUL-terminated path.
            attach::open_redirected(&redirected, flags, || unsafe { next::$next(redirected.as_ptr(), flags, mode) })
        }
    };
}

open_hook!(open, open, (mode: c_int), "Intercepts `open(2)`.");
open_hook!(open64, open64, (mode: c_int), "Intercepts `open(2)` with 64-bit offsets.");
open_hook!(__open_2, open, (), "Intercepts `open` without a mode, as fortified programs call it.");
open_hook!(__open64_2, open64, (), "Intercepts `open64` without a mode, as fortified programs call it.");

/// Executes VFIO calls on descriptors of the emulator, and passes other calls of `ioctl(2)` on.
///
/// # Safety
/// The arguments follow the contract of `ioctl(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
    // SAFETY: `attach::ioctl` has the contract of ioctl(2), which the caller follows with the same arguments.
    match unsafe { attach::ioctl(fd, request, argument) } {
        Some(result) => result,
        // SAFETY: `next::ioctl` has the contract of ioctl(2), which the caller follows with the same arguments.
        None => unsafe { next::ioctl(fd, request, argument) },
    }
}

/// Releases a descriptor of the emulator, and passes the call of `close(2)` on.
///
/// # Safety
/// The argument follows the contract of `close(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn close(fd: c_int) -> c_int {
    attach::before_close(fd);
    // SAFETY: `next::close` has the contract of close(2), which the caller follows with the same argument.
    unsafe { next::close(fd) }
}

macro_rules! path_hook {
    ($name:ident, $next:ident, ([$($before:ident: $bt:ty)?] path $(, $after:ident: $at:ty)*) -> $result:ty, $doc:literal) => {
        #[doc = $doc]
        ///
        /// # Safety
        /// The arguments follow the contract of the C function.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($before: $bt,)? path: *const c_char $(, $after: $at)*) -> $result {
            // SAFETY: `attach::redirect` requires null or a NUL-terminated path, which the C function requires from the
            // caller.
            let redirected = unsafe { attach::redirect(path) };
            let path = redirected.as_ref().map_or(path, Redirected::as_ptr);
            // SAFETY: `next::$next` has the contract of the C function, which the caller follows; a redirected path is
            // NUL-terminated.
            unsafe { next::$next($($before,)? path $(, $after)*) }
        }
    };
}

path_hook!(stat, stat, ([] path, into: *mut c_void) -> c_int, "Intercepts `stat(2)`.");
path_hook!(stat64, stat64, ([] path, into: *mut c_void) -> c_int, "Intercepts `stat(2)` with 64-bit offsets.");
path_hook!(__xstat64, xstat64, ([version: c_int] path, into: *mut c_void) -> c_int, "Intercepts `stat64` of a C library before 2.33.");
path_hook!(fopen, fopen, ([] path, mode: *const c_char) -> *mut c_void, "Intercepts `fopen(3)`.");
path_hook!(fopen64, fopen64, ([] path, mode: *const c_char) -> *mut c_void, "Intercepts `fopen(3)` with 64-bit offsets.");
path_hook!(scandir, scandir,
    ([] path, list: *mut *mut *mut c_void, filter: Filter, order: Order) -> c_int, "Intercepts `scandir(3)`.");
path_hook!(scandir64, scandir64,
    ([] path, list: *mut *mut *mut c_void, filter: Filter, order: Order) -> c_int, "Intercepts `scandir(3)` with 64-bit offsets.");

/// Hides the manager daemon, which would give out the host's own devices, and passes other calls of `connect(2)` on.
///
/// # Safety
/// The arguments follow the contract of `connect(2)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn connect(fd: c_int, address: *const c_void, length: u32) -> c_int {
    // SAFETY: `attach::is_manager_address` requires null or `length` readable bytes, which connect(2) requires, too.
    if unsafe { attach::is_manager_address(address, length) } {
        return next::fail(libc::ENOENT);
    }
    // SAFETY: `next::connect` has the contract of connect(2), which the caller follows with the same arguments.
    unsafe { next::connect(fd, address, length) }
}

/// Serves the mailboxes, and passes the call of `usleep(3)` on. The library sleeps in this way while it waits for a
/// mailbox response, and gives up for the rest of the process after some milliseconds. Serving the mailbox here
/// prevents that a busy machine runs the device thread too late.
///
/// # Safety
/// The argument follows the contract of `usleep(3)`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn usleep(microseconds: u32) -> c_int {
    attach::serve_mailboxes();
    // SAFETY: `next::usleep` has the contract of usleep(3), which the caller follows with the same argument.
    unsafe { next::usleep(microseconds) }
}

/// Does what [`Emulator::serve`](crate::Emulator::serve) does, for programs that find it by this name, such as a
/// library that intercepts libqat's poll functions.
#[unsafe(no_mangle)]
pub extern "C" fn qat_emu_serve() {
    attach::serve();
}
