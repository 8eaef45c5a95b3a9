//! The record of everything that is known about QAT on this machine. `QatAccelerator::info` creates it, and the command
//! `qat info` prints it.

use std::fs;
use std::path::PathBuf;

use qat_sys::{Library, Symbols};
use serde::Serialize;

use crate::error::Unavailability;
use crate::probe::{DeviceCounters, QatDevice, Service};
use crate::report::Capabilities;

/// Everything that is known about QAT on this machine, with the reason for whatever is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Info {
    /// Whether the hardware can be used.
    pub available: bool,
    /// Why the hardware cannot be used; `None` when it can.
    pub unavailability: Option<Unavailability>,
    /// The environment variables that name libraries and are ignored, because this process has more rights than its
    /// caller (set-user-ID, set-group-ID or file capabilities).
    pub ignored_variables: Vec<&'static str>,
    /// The loaded libqat; `None` when it is not loaded.
    pub library: Option<LibraryInfo>,
    /// The devices that the probe found, whether usable or not.
    pub devices: Vec<QatDevice>,
    /// Why the probe could not list devices; `None` when it could.
    pub devices_error: Option<String>,
    /// The kernel driver's counters of the physical functions among `devices`, for all processes together.
    pub counters: Vec<DeviceCounters>,
    /// The services of the device; empty when the hardware cannot be used.
    pub services: Vec<ServiceInfo>,
    /// The capabilities that library and device report; `None` when the hardware cannot be used.
    pub capabilities: Option<Capabilities>,
    /// The instances that this process uses; empty when the hardware cannot be used.
    pub instances: Vec<InstanceInfo>,
    /// The device memory of this process, by NUMA node. Its entries remain until the process ends.
    pub memory: Vec<MemoryInfo>,
    /// The number of times that libqat was restarted after a device failure, since this process loaded it.
    pub recoveries: u64,
}

/// The libqat that this process uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LibraryInfo {
    /// The path of the library file; `None` where `/proc/self/maps` does not name it.
    pub path: Option<PathBuf>,
    /// The newest qatlib release whose functions the library has. A later release without new functions is not
    /// distinguishable from it.
    pub release_at_least: &'static str,
    /// The optional groups of functions, present or not.
    pub groups: Vec<GroupInfo>,
}

/// An optional group of functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GroupInfo {
    /// The name of the group in `qat_sys::Symbols`.
    pub name: &'static str,
    /// The qatlib release that introduced the group.
    pub since: &'static str,
    /// Whether the loaded library has the group.
    pub present: bool,
}

/// libqat's own counters of an instance since its start. libqat does not count requests of the data-plane API, which
/// most requests use; it does count recovered compressions of both APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct LibraryCounts {
    /// The number of requests that libqat accepted.
    pub requests: u64,
    /// The number of responses.
    pub completed: u64,
    /// The number of rejected requests and of responses that report an error.
    pub errors: u64,
    /// The number of compressions whose verification failed and that the device recovered with stored blocks.
    pub recovered: u64,
}

/// An instance of the started library, with its state and counters. The counters begin at zero with each start of
/// libqat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InstanceInfo {
    /// The index of the instance, as in [`ExecutedOn::Hardware`](accel_core::ExecutedOn::Hardware).
    pub index: u16,
    /// The service that the instance provides.
    pub service: Service,
    /// The NUMA node of the instance's device.
    pub node: i32,
    /// The number of submitted requests.
    pub requests: u64,
    /// The number of requests that failed because of the device.
    pub errors: u64,
    /// The number of times that a request found the instance full.
    pub retries: u64,
    /// The number of requests that are in flight now, including those that are `parked`.
    pub in_flight: u32,
    /// The number of requests that no caller waits for any more, but whose memory is kept until the device responds.
    pub parked: usize,
    /// The number of slots in the request table that are not free.
    pub slots_in_use: usize,
    /// Whether the instance is suspended now because its requests failed.
    pub suspended: bool,
    /// The number of times that the instance was suspended.
    pub suspensions: u64,
    /// libqat's own counters of the instance; `None` where libqat does not report them.
    pub library: Option<LibraryCounts>,
}

/// The device memory of one NUMA node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MemoryInfo {
    /// The NUMA node.
    pub node: i32,
    /// The number of bytes allocated from libusdm.
    pub allocated: usize,
    /// The number of bytes in blocks that requests, sessions and [`DmaBuffer`](crate::dma::DmaBuffer)s use.
    pub in_use: usize,
    /// The maximum number of bytes that may be allocated.
    pub limit: usize,
}

/// A service of the started library, with its number of instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ServiceInfo {
    /// The service.
    pub service: Service,
    /// The number of instances that this process has.
    pub instances: u16,
    /// Why there are no instances; `None` when there are some.
    pub unavailability: Option<Unavailability>,
}

/// The oldest qatlib release that `qat-sys` supports.
const OLDEST: &str = "23.08";

impl LibraryInfo {
    pub(crate) fn of(library: &Library) -> Self {
        let symbols = library.symbols();
        let has = |name| symbols.groups().any(|group| group.name == name);
        Self {
            path: file_of(symbols.icp_sal_userStart as usize),
            release_at_least: symbols.groups().map(|group| group.since).max().unwrap_or(OLDEST),
            groups: Symbols::GROUPS
                .iter()
                .map(|group| GroupInfo { name: group.name, since: group.since, present: has(group.name) })
                .collect(),
        }
    }
}

/// Returns the file whose mapping contains `address` (proc(5): `from-to permissions offset device inode path`).
fn file_of(address: usize) -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines().find_map(|line| {
        let mut fields = line.splitn(6, ' ');
        let (from, to) = fields.next()?.split_once('-')?;
        let number = |text| usize::from_str_radix(text, 16).ok();
        let path = fields.last()?.trim_start();
        ((number(from)?..number(to)?).contains(&address) && path.starts_with('/')).then(|| path.into())
    })
}
