//! Intel's own library for the tests. It is loaded with `dlopen` and declared by hand from its public headers, so that
//! the tests share nothing with the crates that they test.

#![allow(dead_code, unreachable_pub, reason = "each test executable uses its part")]

pub mod chain;
pub mod dc;
pub mod dp;
pub mod key;
pub mod pke;
pub mod sym;

use std::{
    env,
    ffi::{c_char, c_int, c_void},
    io::Write,
    path::{Path, PathBuf},
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicI32, Ordering},
    },
    time::{Duration, Instant},
};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

pub type Status = c_int;
pub type Handle = *mut c_void;
pub const SUCCESS: Status = 0;
pub const FAIL: Status = -1;
pub const RETRY: Status = -2;
pub const INVALID_PARAM: Status = -4;
pub const UNSUPPORTED: Status = -6;
/// The status that stands for a success whose callback reports a negative result, such as a wrong digest.
pub const MISMATCH: Status = 1000;

#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct FlatBuffer {
    pub len: u32,
    pub data: *mut u8,
}

#[repr(C)]
#[derive(Debug)]
pub struct BufferList {
    pub count: u32,
    pub buffers: *mut FlatBuffer,
    pub user_data: *mut c_void,
    pub meta: *mut c_void,
}

macro_rules! library {
    ($($name:ident($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions that the tests call, under their C names.
        #[allow(non_snake_case)]
        pub struct Libqat {
            $(pub $name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
            directory: PathBuf,
            /// The function `cpaDcSetCrcControlData`, which 26.08 introduced.
            pub set_crc_control: Option<SetCrcControl>,
            /// The functions `cpaInstanceSetResponseMode` and `cpaInstanceSetIntCoalescingTimer`, which 26.08
            /// introduced.
            pub set_response_mode: Option<SetMode>,
            pub set_coalescing: Option<SetMode>,
        }

        impl Libqat {
            fn load(directory: &Path) -> Result<Self, libloading::Error> {
                // The memory driver is loaded first, so that libqat's dependency on it is found by name.
                // SAFETY: Library::open runs the library's initialisers, which have no requirements in Intel's
                // libraries.
                let usdm = unsafe { Library::open(Some(directory.join("libusdm.so.0")), RTLD_NOW | RTLD_LOCAL) }?;
                // SAFETY: Library::open runs the library's initialisers, which have no requirements in Intel's
                // libraries.
                let qat = unsafe { Library::open(Some(directory.join("libqat.so.4")), RTLD_NOW | RTLD_LOCAL) }?;
                let this = Self {
                    $($name: {
                        let name = concat!(stringify!($name), "\0").as_bytes();
                        // SAFETY: Library::get requires the function's type, which is that of the public headers.
                        let found = unsafe { qat.get(name) };
                        // SAFETY: Library::get requires the function's type, which is that of the public headers.
                        *found.or_else(|_| unsafe { usdm.get(name) })?
                    },)*
                    directory: directory.to_owned(),
                    set_crc_control: {
                        // SAFETY: Library::get requires the function's type, which is that of the public headers.
                        let found = unsafe { qat.get(b"cpaDcSetCrcControlData\0") };
                        found.ok().map(|function| *function)
                    },
                    set_response_mode: {
                        // SAFETY: Library::get requires the function's type, which is that of the public headers.
                        let found = unsafe { qat.get(b"cpaInstanceSetResponseMode\0") };
                        found.ok().map(|function| *function)
                    },
                    set_coalescing: {
                        // SAFETY: Library::get requires the function's type, which is that of the public headers.
                        let found = unsafe { qat.get(b"cpaInstanceSetIntCoalescingTimer\0") };
                        found.ok().map(|function| *function)
                    },
                };
                // The libraries stay loaded for the rest of the process.
                std::mem::forget((usdm, qat));
                Ok(this)
            }
        }
    };
}

pub type DcCallback = unsafe extern "C" fn(*mut c_void, Status);
pub type SymCallback = unsafe extern "C" fn(*mut c_void, Status, u32, *mut c_void, *mut BufferList, c_int);
pub type SetCrcControl = unsafe extern "C" fn(Handle, *mut c_void, *mut dc::CrcControl) -> Status;
pub type SetMode = unsafe extern "C" fn(Handle, c_int, u32) -> Status;
pub type Translate = unsafe extern "C" fn(*mut c_void) -> u64;
pub type Notify = unsafe extern "C" fn(Handle, *mut c_void, u32);

library! {
    icp_sal_userStart(*const c_char) -> Status;
    icp_sal_userStop() -> Status;
    icp_sal_poll_device_events() -> Status;
    icp_sal_check_device(u32) -> Status;
    icp_sal_DcPollInstance(Handle, u32) -> Status;
    icp_sal_CyPollInstance(Handle, u32) -> Status;
    icp_sal_DcGetFileDescriptor(Handle, *mut c_int) -> Status;
    icp_sal_CyGetFileDescriptor(Handle, *mut c_int) -> Status;
    qaeMemAllocNUMA(usize, c_int, usize) -> *mut c_void;
    qaeMemFreeNUMA(*mut *mut c_void);
    qaeVirtToPhysNUMA(*mut c_void) -> u64;
    cpaDcGetNumInstances(*mut u16) -> Status;
    cpaDcGetInstances(u16, *mut Handle) -> Status;
    cpaDcSetAddressTranslation(Handle, Translate) -> Status;
    cpaDcStartInstance(Handle, u16, *mut *mut BufferList) -> Status;
    cpaDcStopInstance(Handle) -> Status;
    cpaDcInstanceSetNotificationCb(Handle, Notify, *mut c_void) -> Status;
    cpaDcBufferListGetMetaSize(Handle, u32, *mut u32) -> Status;
    cpaDcGetSessionSize(Handle, *mut dc::SessionSetup, *mut u32, *mut u32) -> Status;
    cpaDcInitSession(Handle, *mut c_void, *mut dc::SessionSetup, *mut BufferList, Option<DcCallback>) -> Status;
    cpaDcRemoveSession(Handle, *mut c_void) -> Status;
    cpaDcCompressData2(Handle, *mut c_void, *mut BufferList, *mut BufferList, *mut dc::Operation, *mut dc::Results,
        *mut c_void) -> Status;
    cpaDcDecompressData(Handle, *mut c_void, *mut BufferList, *mut BufferList, *mut dc::Results, u32,
        *mut c_void) -> Status;
    cpaCyGetNumInstances(*mut u16) -> Status;
    cpaCyGetInstances(u16, *mut Handle) -> Status;
    cpaCySetAddressTranslation(Handle, Translate) -> Status;
    cpaCyStartInstance(Handle) -> Status;
    cpaCyStopInstance(Handle) -> Status;
    cpaCyBufferListGetMetaSize(Handle, u32, *mut u32) -> Status;
    cpaCySymSessionCtxGetSize(Handle, *const sym::SessionSetup, *mut u32) -> Status;
    cpaCySymInitSession(Handle, SymCallback, *const sym::SessionSetup, *mut c_void) -> Status;
    cpaCySymRemoveSession(Handle, *mut c_void) -> Status;
    cpaCySymPerformOp(Handle, *mut c_void, *const sym::Operation, *const BufferList, *mut BufferList, *mut c_int)
        -> Status;
    cpaDcQueryCapabilities(Handle, *mut c_void) -> Status;
    cpaDcDecompressData2(Handle, *mut c_void, *mut BufferList, *mut BufferList, *mut dc::Operation, *mut dc::Results,
        *mut c_void) -> Status;
    cpaDcResetXXHashState(Handle, *mut c_void) -> Status;
    cpaDcGenerateHeader(*mut c_void, *mut FlatBuffer, *mut u32) -> Status;
    cpaDcGenerateFooter(*mut c_void, *mut FlatBuffer, *mut dc::Results) -> Status;
    cpaDcGetStats(Handle, *mut c_void) -> Status;
    cpaDcNsCompressData(Handle, *mut dc::SessionSetup, *mut BufferList, *mut BufferList, *mut dc::Operation,
        *mut dc::Results, DcCallback, *mut c_void) -> Status;
    cpaDcNsDecompressData(Handle, *mut dc::SessionSetup, *mut BufferList, *mut BufferList, *mut dc::Operation,
        *mut dc::Results, DcCallback, *mut c_void) -> Status;
    cpaDcChainGetSessionSize(Handle, u32, u8, *mut chain::ChainSetup, *mut u32) -> Status;
    cpaDcChainInitSession(Handle, *mut c_void, u32, u8, *mut chain::ChainSetup, Option<DcCallback>) -> Status;
    cpaDcChainPerformOp(Handle, *mut c_void, *mut BufferList, *mut BufferList, u32, u8, *mut chain::ChainOperation,
        *mut chain::ChainResults, *mut c_void) -> Status;
    cpaDcChainRemoveSession(Handle, *mut c_void) -> Status;
    cpaDcDpGetSessionSize(Handle, *mut dc::SessionSetup, *mut u32) -> Status;
    cpaDcDpInitSession(Handle, *mut c_void, *mut dc::SessionSetup) -> Status;
    cpaDcDpRemoveSession(Handle, *mut c_void) -> Status;
    cpaDcDpRegCbFunc(Handle, dp::DcCallback) -> Status;
    cpaDcDpEnqueueOp(*mut dp::DcOperation, c_int) -> Status;
    cpaDcDpEnqueueOpBatch(u32, *mut *mut dp::DcOperation, c_int) -> Status;
    cpaDcDpPerformOpNow(Handle) -> Status;
    icp_sal_DcPollDpInstance(Handle, u32) -> Status;
    cpaCySymDpSessionCtxGetSize(Handle, *const sym::SessionSetup, *mut u32) -> Status;
    cpaCySymDpInitSession(Handle, *const sym::SessionSetup, *mut c_void) -> Status;
    cpaCySymDpRemoveSession(Handle, *mut c_void) -> Status;
    cpaCySymDpRegCbFunc(Handle, dp::SymCallback) -> Status;
    cpaCySymDpEnqueueOp(*mut dp::SymOperation, c_int) -> Status;
    cpaCySymDpEnqueueOpBatch(u32, *mut *mut dp::SymOperation, c_int) -> Status;
    cpaCySymDpPerformOpNow(Handle) -> Status;
    icp_sal_CyPollDpInstance(Handle, u32) -> Status;
    cpaCyKeyGenSsl(Handle, pke::FlatCallback, *mut c_void, *const c_void, *mut FlatBuffer) -> Status;
    cpaCyKeyGenTls(Handle, pke::FlatCallback, *mut c_void, *const c_void, *mut FlatBuffer) -> Status;
    cpaCyKeyGenTls2(Handle, pke::FlatCallback, *mut c_void, *const c_void, u32, *mut FlatBuffer) -> Status;
    cpaCyKeyGenTls3(Handle, pke::FlatCallback, *mut c_void, *const c_void, u32, *mut FlatBuffer) -> Status;
    cpaCyKeyGenMgf(Handle, pke::FlatCallback, *mut c_void, *const c_void, *mut FlatBuffer) -> Status;
    cpaCyKeyGenMgfExt(Handle, pke::FlatCallback, *mut c_void, *const c_void, *mut FlatBuffer) -> Status;
    cpaCyLnModExp(Handle, pke::FlatCallback, *mut c_void, *const c_void, *mut FlatBuffer) -> Status;
    cpaCyLnModInv(Handle, pke::FlatCallback, *mut c_void, *const c_void, *mut FlatBuffer) -> Status;
    cpaCyDhKeyGenPhase1(Handle, pke::FlatCallback, *mut c_void, *const c_void, *mut FlatBuffer) -> Status;
    cpaCyDhKeyGenPhase2Secret(Handle, pke::FlatCallback, *mut c_void, *const c_void, *mut FlatBuffer) -> Status;
    cpaCyRsaEncrypt(Handle, pke::FlatCallback, *mut c_void, *const c_void, *mut FlatBuffer) -> Status;
    cpaCyRsaDecrypt(Handle, pke::FlatCallback, *mut c_void, *const c_void, *mut FlatBuffer) -> Status;
    cpaCyRsaGenKey(Handle, pke::RsaCallback, *mut c_void, *const c_void, *mut pke::RsaPrivateKey,
        *mut pke::RsaPublicKey) -> Status;
    cpaCyPrimeTest(Handle, pke::VerifyCallback, *mut c_void, *const c_void, *mut c_int) -> Status;
    cpaCyEcPointVerify(Handle, pke::VerifyCallback, *mut c_void, *const c_void, *mut c_int) -> Status;
    cpaCyEcdsaVerify(Handle, pke::VerifyCallback, *mut c_void, *const c_void, *mut c_int) -> Status;
    cpaCyDsaVerify(Handle, pke::VerifyCallback, *mut c_void, *const c_void, *mut c_int) -> Status;
    cpaCyEcdsaSignR(Handle, pke::OneCallback, *mut c_void, *const c_void, *mut c_int, *mut FlatBuffer) -> Status;
    cpaCyEcdsaSignS(Handle, pke::OneCallback, *mut c_void, *const c_void, *mut c_int, *mut FlatBuffer) -> Status;
    cpaCyDsaGenYParam(Handle, pke::OneCallback, *mut c_void, *const c_void, *mut c_int, *mut FlatBuffer) -> Status;
    cpaCyEcPointMultiply(Handle, pke::TwoCallback, *mut c_void, *const c_void, *mut c_int, *mut FlatBuffer,
        *mut FlatBuffer) -> Status;
    cpaCyEcGenericPointMultiply(Handle, pke::TwoCallback, *mut c_void, *const c_void, *mut c_int,
        *mut FlatBuffer, *mut FlatBuffer) -> Status;
    cpaCyEcGenericPointVerify(Handle, pke::VerifyCallback, *mut c_void, *const c_void, *mut c_int) -> Status;
    cpaCyEcMontEdwdsPointMultiply(Handle, pke::TwoCallback, *mut c_void, *const c_void, *mut c_int,
        *mut FlatBuffer, *mut FlatBuffer) -> Status;
    cpaCyEcdhPointMultiply(Handle, pke::TwoCallback, *mut c_void, *const c_void, *mut c_int, *mut FlatBuffer,
        *mut FlatBuffer) -> Status;
    cpaCyEcdsaSignRS(Handle, pke::TwoCallback, *mut c_void, *const c_void, *mut c_int, *mut FlatBuffer,
        *mut FlatBuffer) -> Status;
    cpaCyDsaSignRS(Handle, pke::TwoCallback, *mut c_void, *const c_void, *mut c_int, *mut FlatBuffer,
        *mut FlatBuffer) -> Status;
}

// SAFETY: the function pointers stay valid on every thread, because the library is never unloaded.
unsafe impl Send for Libqat {}
// SAFETY: the function pointers stay valid, because the library is never unloaded. Its headers say which functions may
// run at the same time, and the tests follow that.
unsafe impl Sync for Libqat {}

/// The directory of libraries in Debian's packages.
pub const LIB: &str = "usr/lib/x86_64-linux-gnu";

/// Reports a missing library where the output of passing tests does not hide it, or fails where the library is
/// required.
pub fn missing(release: &str, command: &str, variable: &str, tried: &[PathBuf]) {
    let tried: Vec<_> = tried.iter().map(|p| p.display().to_string()).collect();
    let text = format!(
        "\nlibqat {release} is MISSING, so NOTHING WAS TESTED with it on the emulated device. Tried: {}. Run \
         `{command}`, install libqat4 and libusdm0, or set {variable} to the directory with libqat.so.4 and \
         libusdm.so.0.\n",
        tried.join(", ")
    );
    assert!(env::var_os("QAT_TEST_REQUIRE_LIBQAT").is_none_or(|v| v != "1"), "{text}");
    // The test harness captures the output of `eprintln!`, so this writes directly.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Returns the directories that may contain the library.
pub fn candidates() -> Vec<PathBuf> {
    if let Some(named) = env::var_os("QAT_TEST_LIBQAT_2402") {
        return vec![PathBuf::from(named)];
    }
    let system = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"].map(PathBuf::from);
    [packages().join("24.02").join(LIB)].into_iter().chain(system).collect()
}

/// Returns the library, which is loaded once.
pub fn library() -> Option<&'static Libqat> {
    static LIBRARY: OnceLock<Option<Libqat>> = OnceLock::new();
    LIBRARY
        .get_or_init(|| {
            let tried = candidates();
            let Some(found) = tried.iter().find(|d| d.join("libqat.so.4").exists()) else {
                missing("24.02", "cargo xtask libqat", "QAT_TEST_LIBQAT_2402", &tried);
                return None;
            };
            Some(Libqat::load(found).unwrap_or_else(|e| panic!("{}: {e:?}", found.display())))
        })
        .as_ref()
}

/// Runs one test of this executable in a process of its own, with these environment variables.
pub fn rerun(test: &str, variables: &[(&str, &str)]) {
    run(&this(), &["--exact", test], variables);
}

/// Runs a command that begins with these lines.
fn run(line: &str, arguments: &[&str], variables: &[(&str, &str)]) {
    let mut words = line.split('\n');
    let mut command = std::process::Command::new(words.next().unwrap());
    command.args(words).args(arguments).envs(variables.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{variables:?}: {}{}", text(&output.stdout), text(&output.stderr));
}

/// Returns the directory in which `cargo xtask libqat` unpacks; test executables are in target/PROFILE/deps.
fn packages() -> PathBuf {
    let this = this();
    let executable = Path::new(this.lines().last().unwrap());
    executable.ancestors().nth(3).unwrap().join("libqat")
}

/// Returns the directory with the libraries of Intel's programs.
pub fn programs() -> PathBuf {
    place("QAT_TEST_LOADER_DIR", "24.02-programs")
}

fn place(variable: &str, package: &str) -> PathBuf {
    env::var_os(variable).map_or_else(|| packages().join(package).join(LIB), PathBuf::from)
}

/// Returns the name of this executable, which a loader hides from the system.
fn this() -> String {
    env::var(LOADER).unwrap_or_else(|_| env::current_exe().unwrap().display().to_string())
}

/// The environment variable of a process that runs through a loader: the loader, its arguments, and this executable,
/// one per line.
const LOADER: &str = "TEST_LOADER";

/// The location of libqat 26.08, and the loader that it needs.
pub struct Newer {
    pub directory: PathBuf,
    /// The directories to search for libraries.
    pub library_path: String,
    /// A loader of a newer C library, where the system's is too old.
    pub loader: Option<PathBuf>,
}

/// Returns the location of libqat 26.08. Its package requires a newer C library than some systems have; it is then used
/// with the loader of the programs' package.
pub fn newer() -> Option<Newer> {
    let directory = place("QAT_TEST_LIBQAT_2608", "26.08");
    if !directory.join("libqat.so.4").exists() {
        missing("26.08", "cargo xtask libqat --release 26.08", "QAT_TEST_LIBQAT_2608", &[directory]);
        return None;
    }
    let programs = programs();
    // SAFETY: gnu_get_libc_version(3) has no arguments.
    let version = unsafe { libc::gnu_get_libc_version() };
    // SAFETY: CStr::from_ptr requires a NUL-terminated string; gnu_get_libc_version(3) returns a constant one.
    let version = unsafe { std::ffi::CStr::from_ptr(version) }.to_str().unwrap();
    let minor: u32 = version.split('.').nth(1).unwrap().parse().unwrap();
    if minor >= 38 {
        let library_path = directory.display().to_string();
        return Some(Newer { directory, library_path, loader: None });
    }
    let loader = programs.join("ld-linux-x86-64.so.2");
    if !loader.exists() {
        missing("26.08", "cargo xtask libqat --programs", "QAT_TEST_LOADER_DIR", &[loader]);
        return None;
    }
    let library_path = format!("{}:{}", directory.display(), programs.display());
    Some(Newer { directory, library_path, loader: Some(loader) })
}

/// Runs all tests of this executable except `this_test` with libqat 26.08 instead of 24.02.
pub fn all_with_newer(this_test: &str) {
    let Some(newer) = newer() else { return };
    let exe = this();
    let line = newer.loader.map_or(exe.clone(), |loader| {
        [&loader.display().to_string(), "--library-path", &newer.library_path, &exe].join("\n")
    });
    let directory = newer.directory.to_str().unwrap();
    run(&line, &["--skip", this_test], &[("QAT_TEST_LIBQAT_2402", directory), (LOADER, &line)]);
}

/// Translates an address for the library, which takes a plain function.
unsafe extern "C" fn translate(address: *mut c_void) -> u64 {
    let library = library().expect("called by the library");
    // SAFETY: `qaeVirtToPhysNUMA` takes an address in memory of libusdm; the library translates only such memory.
    unsafe { (library.qaeVirtToPhysNUMA)(address) }
}

impl Libqat {
    /// Returns whether the library is 26.08 or later.
    pub fn newer(&self) -> bool {
        self.set_crc_control.is_some()
    }

    pub fn start(&self) {
        // SAFETY: `icp_sal_userStart` requires a NUL-terminated section name (`icp_sal_user.h`).
        assert_eq!(unsafe { (self.icp_sal_userStart)(c"SSL".as_ptr()) }, SUCCESS, "icp_sal_userStart");
    }

    pub fn try_start(&self) -> Status {
        // SAFETY: `icp_sal_userStart` requires a NUL-terminated section name (`icp_sal_user.h`).
        unsafe { (self.icp_sal_userStart)(c"SSL".as_ptr()) }
    }

    pub fn stop(&self) -> Status {
        // SAFETY: `icp_sal_userStop` has no arguments; it is called on the thread that started the library, as 24.02
        // requires.
        unsafe { (self.icp_sal_userStop)() }
    }

    /// Returns the compression instances after starting them.
    pub fn dc_instances(&self) -> Vec<Handle> {
        let mut count = 0;
        // SAFETY: libqat's headers require a pointer to the result, which lives during the call.
        assert_eq!(unsafe { (self.cpaDcGetNumInstances)(&raw mut count) }, SUCCESS);
        let mut instances = vec![ptr::null_mut(); usize::from(count)];
        if count > 0 {
            // SAFETY: libqat's headers require space for `count` handles, which the vector has.
            assert_eq!(unsafe { (self.cpaDcGetInstances)(count, instances.as_mut_ptr()) }, SUCCESS);
        }
        for instance in &instances {
            // SAFETY: libqat's headers require a valid instance handle, which the library itself returned.
            assert_eq!(unsafe { (self.cpaDcSetAddressTranslation)(*instance, translate) }, SUCCESS);
            // SAFETY: libqat's headers require a valid instance handle, which the library itself returned; this
            // generation needs no intermediate buffers.
            assert_eq!(unsafe { (self.cpaDcStartInstance)(*instance, 0, ptr::null_mut()) }, SUCCESS);
        }
        instances
    }

    /// Returns the crypto instances after starting them.
    pub fn cy_instances(&self) -> Vec<Handle> {
        let mut count = 0;
        // SAFETY: libqat's headers require a pointer to the result, which lives during the call.
        assert_eq!(unsafe { (self.cpaCyGetNumInstances)(&raw mut count) }, SUCCESS);
        let mut instances = vec![ptr::null_mut(); usize::from(count)];
        if count > 0 {
            // SAFETY: libqat's headers require space for `count` handles, which the vector has.
            assert_eq!(unsafe { (self.cpaCyGetInstances)(count, instances.as_mut_ptr()) }, SUCCESS);
        }
        for instance in &instances {
            // SAFETY: libqat's headers require a valid instance handle, which the library itself returned.
            assert_eq!(unsafe { (self.cpaCySetAddressTranslation)(*instance, translate) }, SUCCESS);
            // SAFETY: libqat's headers require a valid instance handle, which the library itself returned.
            assert_eq!(unsafe { (self.cpaCyStartInstance)(*instance) }, SUCCESS);
        }
        instances
    }

    /// Allocates memory that the device can access, set to zero.
    pub fn alloc(&'static self, bytes: usize) -> DmaBuffer {
        // SAFETY: `qaeMemAllocNUMA` takes any size, node and alignment (`qae_mem.h`).
        let start: *mut u8 = unsafe { (self.qaeMemAllocNUMA)(bytes.max(1), 0, 64) }.cast();
        assert!(!start.is_null(), "qaeMemAllocNUMA of {bytes} bytes");
        // SAFETY: ptr::write_bytes requires writable memory of this size, which was just allocated.
        unsafe { ptr::write_bytes(start, 0, bytes) };
        DmaBuffer { start, bytes, library: self }
    }

    pub fn alloc_from(&'static self, bytes: &[u8]) -> DmaBuffer {
        let mut buffer = self.alloc(bytes.len());
        buffer.bytes_mut().copy_from_slice(bytes);
        buffer
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// Memory that the device can access, which is freed when this is dropped.
pub struct DmaBuffer {
    start: *mut u8,
    bytes: usize,
    library: &'static Libqat,
}

// SAFETY: the memory belongs to no thread.
unsafe impl Send for DmaBuffer {}

impl DmaBuffer {
    pub fn as_ptr(&self) -> *mut u8 {
        self.start
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: slice::from_raw_parts requires initialised memory of this size: `alloc` allocated it and set it to
        // zero.
        unsafe { std::slice::from_raw_parts(self.start, self.bytes) }
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: slice::from_raw_parts_mut requires initialised memory of this size that is borrowed exclusively:
        // `alloc` set it to zero, and tests wait for the device before they use it.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.bytes) }
    }

    /// Returns the address that the device uses.
    pub fn iova(&self) -> u64 {
        // SAFETY: `qaeVirtToPhysNUMA` takes an address of memory that this library allocated (`qae_mem.h`).
        unsafe { (self.library.qaeVirtToPhysNUMA)(self.start.cast()) }
    }

    pub fn flat(&self) -> FlatBuffer {
        FlatBuffer { len: u32::try_from(self.bytes).unwrap(), data: self.start }
    }
}

impl Drop for DmaBuffer {
    fn drop(&mut self) {
        let mut start = self.start.cast();
        // SAFETY: `qaeMemFreeNUMA` takes an address that `qaeMemAllocNUMA` returned and that is not used any more
        // (`qae_mem.h`).
        unsafe { (self.library.qaeMemFreeNUMA)(&raw mut start) };
    }
}

/// A buffer list with its metadata over memory that the device can access.
pub struct List {
    pub list: Box<BufferList>,
    flats: Vec<FlatBuffer>,
    _meta: DmaBuffer,
}

impl List {
    pub fn new(library: &'static Libqat, meta_bytes: u32, buffers: &[&DmaBuffer]) -> Self {
        let meta = library.alloc(meta_bytes as usize);
        let mut flats: Vec<_> = buffers.iter().map(|b| b.flat()).collect();
        let list = Box::new(BufferList {
            count: u32::try_from(flats.len()).unwrap(),
            buffers: flats.as_mut_ptr(),
            user_data: ptr::null_mut(),
            meta: meta.as_ptr().cast(),
        });
        Self { list, flats, _meta: meta }
    }

    /// Creates a list of `buffer` in `pieces` parts of about the same length.
    pub fn scattered(library: &'static Libqat, meta_bytes: u32, buffer: &DmaBuffer, pieces: usize) -> Self {
        let mut this = Self::new(library, meta_bytes, &[buffer]);
        let step = buffer.bytes.div_ceil(pieces).max(1);
        let starts = (0..buffer.bytes.max(1)).step_by(step);
        this.flats = starts
            .map(|at| FlatBuffer {
                len: u32::try_from(step.min(buffer.bytes - at)).unwrap(),
                data: buffer.start.wrapping_add(at),
            })
            .collect();
        this.list.count = u32::try_from(this.flats.len()).unwrap();
        this
    }

    pub fn as_mut_ptr(&mut self) -> *mut BufferList {
        self.list.buffers = self.flats.as_mut_ptr();
        &raw mut *self.list
    }
}

const NOT_DONE: i32 = i32::MIN;

/// The status that a callback delivers.
pub struct Completion(pub Box<AtomicI32>);

impl Completion {
    pub fn new() -> Self {
        Self(Box::new(AtomicI32::new(NOT_DONE)))
    }

    pub fn tag(&self) -> *mut c_void {
        ptr::from_ref::<AtomicI32>(&self.0).cast_mut().cast()
    }

    pub fn status(&self) -> Option<Status> {
        Some(self.0.load(Ordering::Acquire)).filter(|status| *status != NOT_DONE)
    }

    /// Polls until the callback has delivered the status.
    pub fn wait(&self, poll: impl Fn() -> Status) -> Status {
        let start = Instant::now();
        loop {
            let polled = poll();
            assert!(polled == SUCCESS || polled == RETRY, "poll returned {polled}");
            if let Some(status) = self.status() {
                return status;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "no result within 20 s");
            std::thread::yield_now();
        }
    }
}

/// # Safety
/// `tag` comes from a [`Completion`] that still exists.
pub unsafe fn complete(tag: *mut c_void, status: Status) {
    // SAFETY: the contract of this function, which the caller follows.
    let place = unsafe { &*tag.cast_const().cast::<AtomicI32>() };
    place.store(status, Ordering::Release);
}

/// # Errors
/// Returns any status except success.
pub fn refused(status: Status) -> Result<(), Status> {
    if status == SUCCESS { Ok(()) } else { Err(status) }
}

/// Returns text that compresses like natural text.
pub fn sample(bytes: usize) -> Vec<u8> {
    let words = ["the ", "quick ", "device ", "model ", "reads ", "a ", "descriptor, ", "then ", "results. "];
    let mut state = 1_u32;
    let mut text = Vec::with_capacity(bytes + 16);
    while text.len() < bytes {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.extend_from_slice(words[(state >> 24) as usize % words.len()].as_bytes());
    }
    text.truncate(bytes);
    text
}
