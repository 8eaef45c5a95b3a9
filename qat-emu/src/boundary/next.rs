//! The next definitions of the functions that the hooks intercept, which are usually those of the C library.

use std::{
    ffi::{CStr, c_char, c_int, c_ulong, c_void},
    mem::transmute,
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

/// The next definition of a C function, which is looked up on first use.
struct Next {
    name: &'static CStr,
    address: AtomicPtr<c_void>,
}

impl Next {
    const fn new(name: &'static CStr) -> Self {
        Self { name, address: AtomicPtr::new(ptr::null_mut()) }
    }

    fn address(&self) -> Option<*mut c_void> {
        let known = self.address.load(Ordering::Relaxed);
        if !known.is_null() {
            return Some(known);
        }
        // SAFETY: dlsym(3) takes a NUL-terminated name; RTLD_NEXT is valid from any object.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        // Two threads that do this at the same time store the same address.
        self.address.store(found, Ordering::Relaxed);
        (!found.is_null()).then_some(found)
    }
}

/// Sets `errno` and returns −1, as a system call does.
pub(super) fn fail(errno: c_int) -> c_int {
    // SAFETY: errno(3) allows the call on any thread; the function has no arguments.
    let location = unsafe { libc::__errno_location() };
    // SAFETY: errno(3): the location is valid for the calling thread, and no other thread uses it.
    unsafe { *location = errno };
    -1
}

/// Declares a function that calls the next definition of a C function, with the result where there is no definition.
macro_rules! next {
    ($name:ident as $c_name:literal ($($argument:ident: $type:ty),*) -> $result:ty, $missing:expr) => {
        /// Calls the next definition.
        ///
        /// # Safety
        /// The arguments follow the contract of the C function.
        pub(super) unsafe fn $name($($argument: $type),*) -> $result {
            static NEXT: Next = Next::new($c_name);
            let Some(address) = NEXT.address() else { return $missing };
            // SAFETY: transmute requires a function of this type at the address: the C library declares it with these
            // types.
            let function = unsafe {
                transmute::<*mut c_void, unsafe extern "C" fn($($type),*) -> $result>(address)
            };
            // SAFETY: the C function's contract, which this function's contract passes on to the caller.
            unsafe { function($($argument),*) }
        }
    };
}

pub(super) type Filter = Option<unsafe extern "C" fn(*const c_void) -> c_int>;
pub(super) type Order = Option<unsafe extern "C" fn(*mut *const c_void, *mut *const c_void) -> c_int>;

next!(open as c"open" (path: *const c_char, flags: c_int, mode: c_int) -> c_int, fail(libc::ENOSYS));
next!(open64 as c"open64" (path: *const c_char, flags: c_int, mode: c_int) -> c_int, fail(libc::ENOSYS));
next!(ioctl as c"ioctl" (fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int, fail(libc::ENOSYS));
next!(close as c"close" (fd: c_int) -> c_int, fail(libc::ENOSYS));
next!(stat as c"stat" (path: *const c_char, into: *mut c_void) -> c_int, fail(libc::ENOSYS));
next!(stat64 as c"stat64" (path: *const c_char, into: *mut c_void) -> c_int, fail(libc::ENOSYS));
next!(xstat64 as c"__xstat64" (version: c_int, path: *const c_char, into: *mut c_void) -> c_int, {
    // Since 2.33, the C library has it only for old programs, where dlsym does not find it. The structure is the same.
    let _ = version;
    // SAFETY: `stat64` has the contract of stat(2), which the caller follows with the same arguments.
    unsafe { stat64(path, into) }
});
next!(fopen as c"fopen" (path: *const c_char, mode: *const c_char) -> *mut c_void, {
    fail(libc::ENOSYS);
    ptr::null_mut()
});
next!(fopen64 as c"fopen64" (path: *const c_char, mode: *const c_char) -> *mut c_void, {
    fail(libc::ENOSYS);
    ptr::null_mut()
});
next!(scandir as c"scandir" (path: *const c_char, list: *mut *mut *mut c_void, filter: Filter, order: Order) -> c_int,
    fail(libc::ENOSYS));
next!(scandir64 as c"scandir64" (path: *const c_char, list: *mut *mut *mut c_void, filter: Filter, order: Order) -> c_int,
    fail(libc::ENOSYS));
next!(connect as c"connect" (fd: c_int, address: *const c_void, length: u32) -> c_int, fail(libc::ENOSYS));
next!(usleep as c"usleep" (microseconds: u32) -> c_int, fail(libc::ENOSYS));
