//! The functions that libqat and its memory driver call, in front of the C library's; and one for programs that know
//! of the emulator.
//!
//! `open` and `ioctl` are variadic in C; their optional argument is an integer or a pointer, which the x86-64 and
//! aarch64 System V conventions pass in the register of a third fixed argument.

use std::ffi::{c_char, c_int, c_ulong, c_void};

use super::{
    attach,
    next::{self, Filter, Order},
    paths::Redirected,
};

/// The exported names, for build scripts and the check that they are in effect.
pub(super) const NAMES: &str = include_str!("hooks.txt");

macro_rules! open_hook {
    ($name:ident, $next:ident, ($($mode:ident: $type:ty)?), $doc:literal) => {
        #[doc = $doc]
        ///
        /// # Safety
        /// As for the C function.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(path: *const c_char, flags: c_int $(, $mode: $type)?) -> c_int {
            // SAFETY: the caller passes a path as for open(2), or null.
            let redirected = unsafe { attach::redirect(path) };
            let mode = 0 $(| $mode)?;
            let Some(redirected) = redirected else {
                // SAFETY: the caller's arguments.
                return unsafe { next::$next(path, flags, mode) };
            };
            // SAFETY: `redirected` holds a NUL-terminated path.
            attach::open_redirected(&redirected, flags, || unsafe { next::$next(redirected.as_ptr(), flags, mode) })
        }
    };
}

open_hook!(open, open, (mode: c_int), "`open(2)`.");
open_hook!(open64, open64, (mode: c_int), "`open(2)` with 64-bit offsets.");
open_hook!(__open_2, open, (), "`open` without a mode, as fortified programs call it.");
open_hook!(__open64_2, open64, (), "`open64` without a mode, as fortified programs call it.");

/// `ioctl(2)`.
///
/// # Safety
/// As for the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
    // SAFETY: the caller's arguments.
    match unsafe { attach::ioctl(fd, request, argument) } {
        Some(result) => result,
        // SAFETY: the caller's arguments.
        None => unsafe { next::ioctl(fd, request, argument) },
    }
}

/// `close(2)`.
///
/// # Safety
/// As for the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn close(fd: c_int) -> c_int {
    attach::before_close(fd);
    // SAFETY: the caller's argument.
    unsafe { next::close(fd) }
}

macro_rules! path_hook {
    ($name:ident, $next:ident, ([$($before:ident: $bt:ty)?] path $(, $after:ident: $at:ty)*) -> $result:ty, $doc:literal) => {
        #[doc = $doc]
        ///
        /// # Safety
        /// As for the C function.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($before: $bt,)? path: *const c_char $(, $after: $at)*) -> $result {
            // SAFETY: the caller passes a path as for the C function, or null.
            let redirected = unsafe { attach::redirect(path) };
            let path = redirected.as_ref().map_or(path, Redirected::as_ptr);
            // SAFETY: the caller's arguments, or a NUL-terminated path of our own.
            unsafe { next::$next($($before,)? path $(, $after)*) }
        }
    };
}

path_hook!(stat, stat, ([] path, into: *mut c_void) -> c_int, "`stat(2)`.");
path_hook!(stat64, stat64, ([] path, into: *mut c_void) -> c_int, "`stat(2)` with 64-bit offsets.");
path_hook!(__xstat64, xstat64, ([version: c_int] path, into: *mut c_void) -> c_int, "`stat64` of a C library before 2.33.");
path_hook!(fopen, fopen, ([] path, mode: *const c_char) -> *mut c_void, "`fopen(3)`.");
path_hook!(fopen64, fopen64, ([] path, mode: *const c_char) -> *mut c_void, "`fopen(3)` with 64-bit offsets.");
path_hook!(scandir, scandir,
    ([] path, list: *mut *mut *mut c_void, filter: Filter, order: Order) -> c_int, "`scandir(3)`.");
path_hook!(scandir64, scandir64,
    ([] path, list: *mut *mut *mut c_void, filter: Filter, order: Order) -> c_int, "`scandir(3)` with 64-bit offsets.");

/// `connect(2)`: hides the manager daemon, which would hand out the host's own devices.
///
/// # Safety
/// As for the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn connect(fd: c_int, address: *const c_void, length: u32) -> c_int {
    // SAFETY: the caller passes an address of `length` bytes, as for connect(2).
    if unsafe { attach::is_manager_address(address, length) } {
        return next::fail(libc::ENOENT);
    }
    // SAFETY: the caller's arguments.
    unsafe { next::connect(fd, address, length) }
}

/// `usleep(3)`: the library sleeps so while it waits for the mailbox, which it gives up for ever after some
/// milliseconds. Answered here, a busy machine cannot make the device thread come too late.
///
/// # Safety
/// As for the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn usleep(microseconds: u32) -> c_int {
    attach::serve_mailboxes();
    // SAFETY: the caller's argument.
    unsafe { next::usleep(microseconds) }
}

/// [`Emulator::serve`](crate::Emulator::serve) for programs that find it by this name, such as a library in front of
/// libqat's polls.
#[unsafe(no_mangle)]
pub extern "C" fn qat_emu_serve() {
    attach::serve();
}
