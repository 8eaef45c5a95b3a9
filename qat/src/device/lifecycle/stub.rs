//! Symbol tables of stub functions, for tests of detection and start without libqat. Only tests use them.

use std::ffi::{CStr, c_void};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

use accel_core::{
    AcceleratorTypes, Device, DeviceChanges, DeviceId, Error, HardwareProbe, Result as AccelResult,
};
use qat_sys::{CpaStatus, Symbols};

use crate::error::Unavailability;
use crate::probe::QatDevice;

/// The calls that a stub library counts.
pub(crate) struct Counts {
    pub(crate) loads: AtomicUsize,
    pub(crate) starts: AtomicUsize,
    pub(crate) stops: AtomicUsize,
    pub(crate) owner: Mutex<Option<ThreadId>>,
}

impl Counts {
    pub(crate) const fn new() -> Self {
        let (loads, starts, stops) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        Self { loads, starts, stops, owner: Mutex::new(None) }
    }

    /// Returns the numbers of loads, starts and stops.
    pub(crate) fn seen(&self) -> [usize; 3] {
        [&self.loads, &self.starts, &self.stops].map(|count| count.load(std::sync::atomic::Ordering::SeqCst))
    }
}

/// The functions that start, stop and watchdog call, and that need not write a result.
const STARTING: &[&[u8]] = &[
    b"cpaDcInstanceGetInfo2",
    b"cpaDcSetAddressTranslation",
    b"cpaDcStartInstance",
    b"cpaDcStopInstance",
    b"cpaDcDpRegCbFunc",
    b"cpaDcBufferListGetMetaSize",
    b"cpaCyInstanceGetInfo2",
    b"cpaCySetAddressTranslation",
    b"cpaCyStartInstance",
    b"cpaCyStopInstance",
    b"cpaCySymDpRegCbFunc",
    b"cpaCyBufferListGetMetaSize",
    b"cpaDcInstanceSetNotificationCb",
    b"cpaCyInstanceSetNotificationCb",
    b"icp_sal_poll_device_events",
    b"icp_sal_check_all_devices",
    b"icp_sal_get_num_pfs",
    b"cpaDcGetStats",
    b"cpaCySymQueryStats64",
];

extern "C" fn done() -> CpaStatus {
    qat_sys::CPA_STATUS_SUCCESS
}

pub(crate) extern "C" fn unexpected() -> CpaStatus {
    // Unwinding out of a C function aborts the process, which fails the test.
    panic!("a C function was called that detection must not call")
}

/// Returns a table with the functions that `find` returns. Other functions must not be called, and the optional groups
/// of `without` are absent.
pub(crate) fn symbols(without: &[&str], find: impl Fn(&[u8]) -> Option<*const c_void>) -> Symbols {
    let is_left_out = |name: &CStr| {
        let name = name.to_str().unwrap_or_default();
        Symbols::GROUPS.iter().any(|group| without.contains(&group.name) && group.functions.contains(&name))
    };
    let resolve = |name: &CStr| {
        if is_left_out(name) {
            return std::ptr::null();
        }
        let started = if STARTING.contains(&name.to_bytes()) { done } else { unexpected };
        find(name.to_bytes()).unwrap_or(started as *const c_void)
    };
    // SAFETY: `Symbols::resolve`: the stubs that are called have the signatures of libqat's headers.
    unsafe { Symbols::resolve(resolve) }.expect("no required function is null")
}

/// Defines a module with a stub library, its counts and its driver: `name: available 1, start 0, instances
/// [compression, decompression, symmetric, asymmetric]`.
macro_rules! stub_library {
    (
        $name:ident: available $available:expr, start $start:expr, instances $instances:expr
        $(, without $without:expr)?
        $(, clock $clock:expr)?
    ) => {
        mod $name {
            use std::ffi::{c_char, c_void};
            use std::sync::atomic::Ordering::SeqCst;
            use std::thread;

            use qat_sys as sys;

            use crate::device::lifecycle::Driver;
            use crate::device::lifecycle::stub::{Counts, symbols};

            pub(crate) static COUNTS: Counts = Counts::new();
            pub(crate) static DRIVER: Driver = Driver::with_clock(load, CLOCK);
            const CLOCK: fn() -> u64 = [$($clock as fn() -> u64,)? crate::raw::clock::now][0];
            const INSTANCES: [u16; 4] = $instances;

            fn load() -> Result<sys::Library, sys::LoadError> {
                COUNTS.loads.fetch_add(1, SeqCst);
                let without: &[&str] = [$($without.as_slice(),)? &[]][0];
                let find = |name: &[u8]| {
                    Some(match name {
                        b"icp_sal_userIsQatAvailable" => is_available as *const c_void,
                        b"icp_sal_userStart" => start as *const c_void,
                        b"icp_sal_userStop" => stop as *const c_void,
                        b"cpaGetNumInstances" => num_instances as *const c_void,
                        b"cpaGetInstances" => instances as *const c_void,
                        b"cpaDcQueryCapabilities" => compression as *const c_void,
                        b"cpaDcQueryCapabilityByType" => compression_by_type as *const c_void,
                        b"cpaCySymQueryCapabilities" => symmetric as *const c_void,
                        b"cpaCyQueryCapabilities" => crypto as *const c_void,
                        _ => return None,
                    })
                };
                Ok(symbols(without, find).into())
            }

            extern "C" fn is_available() -> sys::CpaBoolean {
                $available
            }

            extern "C" fn start(_: *const c_char) -> sys::CpaStatus {
                COUNTS.starts.fetch_add(1, SeqCst);
                *COUNTS.owner.lock().unwrap() = Some(thread::current().id());
                $start
            }

            extern "C" fn stop() -> sys::CpaStatus {
                COUNTS.stops.fetch_add(1, SeqCst);
                assert_eq!(*COUNTS.owner.lock().unwrap(), Some(thread::current().id()), "stopped by another thread");
                sys::CPA_STATUS_SUCCESS
            }

            fn count(service: sys::CpaAccelerationServiceType) -> u16 {
                match service {
                    sys::CPA_ACC_SVC_TYPE_DATA_COMPRESSION => INSTANCES[0],
                    sys::CPA_ACC_SVC_TYPE_DATA_DECOMPRESSION => INSTANCES[1],
                    sys::CPA_ACC_SVC_TYPE_CRYPTO_SYM => INSTANCES[2],
                    sys::CPA_ACC_SVC_TYPE_CRYPTO_ASYM => INSTANCES[3],
                    other => panic!("service {other}"),
                }
            }

            /// Writes nothing when there are no instances, as libqat 24.02 does after a stop.
            extern "C" fn num_instances(
                service: sys::CpaAccelerationServiceType,
                out: *mut u16,
            ) -> sys::CpaStatus {
                let count = count(service);
                if count > 0 {
                    // SAFETY: `cpa.h`: the caller passes space for one number.
                    unsafe { out.write(count) };
                }
                sys::CPA_STATUS_SUCCESS
            }

            extern "C" fn instances(
                service: sys::CpaAccelerationServiceType,
                wanted: u16,
                out: *mut sys::CpaInstanceHandle,
            ) -> sys::CpaStatus {
                assert_eq!(wanted, count(service));
                for i in 0..usize::from(wanted) {
                    // SAFETY: `cpa.h`: the caller passes space for `wanted` handles.
                    unsafe { out.add(i).write(std::ptr::without_provenance_mut(i + 1)) };
                }
                sys::CPA_STATUS_SUCCESS
            }

            extern "C" fn compression(
                _: sys::CpaInstanceHandle,
                out: *mut sys::CpaDcInstanceCapabilities,
            ) -> sys::CpaStatus {
                let capabilities = sys::CpaDcInstanceCapabilities {
                    statelessDeflateCompression: 1,
                    statelessDeflateDecompression: 1,
                    statelessLZ4SCompression: 1,
                    dynamicHuffman: 1,
                    checksumCRC32: 1,
                    compressAndVerify: 1,
                    ..Default::default()
                };
                // SAFETY: libqat's headers: the caller passes space for one structure.
                unsafe { out.write(capabilities) };
                sys::CPA_STATUS_SUCCESS
            }

            extern "C" fn compression_by_type(
                _: sys::CpaInstanceHandle,
                request: sys::CpaDcCapabilityReq,
                out: *mut sys::CpaDcCapabilityResp,
            ) -> sys::CpaStatus {
                assert_eq!((request.algo, request.capId), (sys::CPA_DC_ZSTD, sys::CPA_DC_CAP_BOOL_STATELESS));
                if request.dir != sys::CPA_DC_DIR_COMPRESS {
                    return sys::CPA_STATUS_UNSUPPORTED;
                }
                // SAFETY: `cpa_dc_capabilities.h`: the caller passes space for one union.
                unsafe { (*out).boolStatus = 1 };
                sys::CPA_STATUS_SUCCESS
            }

            extern "C" fn symmetric(
                _: sys::CpaInstanceHandle,
                out: *mut sys::CpaCySymCapabilitiesInfo,
            ) -> sys::CpaStatus {
                let bit = |id: u32| 1 << id;
                let capabilities = sys::CpaCySymCapabilitiesInfo {
                    ciphers: [bit(sys::CPA_CY_SYM_CIPHER_AES_GCM) | bit(sys::CPA_CY_SYM_CIPHER_AES_CBC)],
                    hashes: [bit(sys::CPA_CY_SYM_HASH_AES_GCM)],
                    ..Default::default()
                };
                // SAFETY: libqat's headers: the caller passes space for one structure.
                unsafe { out.write(capabilities) };
                sys::CPA_STATUS_SUCCESS
            }

            extern "C" fn crypto(
                _: sys::CpaInstanceHandle,
                out: *mut sys::CpaCyCapabilitiesInfo,
            ) -> sys::CpaStatus {
                // SAFETY: libqat's headers: the caller passes space for one structure.
                unsafe { out.write(sys::CpaCyCapabilitiesInfo { rsaSupported: 1, ..Default::default() }) };
                sys::CPA_STATUS_SUCCESS
            }
        }
    };
}

pub(crate) use stub_library;

/// A probe that returns these devices, or this error.
pub(crate) struct FakeProbe(pub(crate) Result<Vec<QatDevice>, Unavailability>);

/// A probe whose devices change.
#[derive(Default)]
pub(crate) struct ChangingProbe {
    pub(crate) devices: Mutex<Vec<QatDevice>>,
    pub(crate) fingerprint: AtomicU64,
}

impl HardwareProbe for ChangingProbe {
    fn discover(&self, _: AcceleratorTypes) -> AccelResult<Vec<Device>> {
        Ok(self.devices.lock().unwrap().iter().map(Device::from).collect())
    }

    fn device(&self, _: &DeviceId) -> AccelResult<Option<Device>> {
        unreachable!("detection asks for all devices")
    }

    fn subscribe(&self, _: std::time::Duration) -> AccelResult<DeviceChanges> {
        unreachable!("detection does not subscribe")
    }

    fn fingerprint(&self) -> u64 {
        self.fingerprint.load(std::sync::atomic::Ordering::SeqCst)
    }
}

impl FakeProbe {
    pub(crate) fn none() -> Arc<Self> {
        Arc::new(Self(Ok(Vec::new())))
    }
}

impl HardwareProbe for FakeProbe {
    fn discover(&self, _: AcceleratorTypes) -> AccelResult<Vec<Device>> {
        match &self.0 {
            Ok(devices) => Ok(devices.iter().map(Device::from).collect()),
            Err(reason) => Err(Error::Unavailable { accelerator: "qat", reason: Arc::new(reason.clone()) }),
        }
    }

    fn device(&self, _: &DeviceId) -> AccelResult<Option<Device>> {
        unreachable!("detection asks for all devices")
    }

    fn subscribe(&self, _: std::time::Duration) -> AccelResult<DeviceChanges> {
        unreachable!("detection does not subscribe")
    }
}
