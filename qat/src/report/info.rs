//! What there is on this machine, in one serialisable record.

use std::fs;
use std::path::PathBuf;

use qat_sys::{Library, Symbols};
use serde::Serialize;

use crate::error::Unavailability;
use crate::probe::{DeviceCounters, QatDevice, Service};
use crate::report::Capabilities;

/// Everything that is known of QAT here, with the reason for whatever is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Info {
    /// Whether the hardware can be used.
    pub available: bool,
    /// Why not.
    pub unavailability: Option<Unavailability>,
    /// Environment variables that name libraries and are ignored, because this process has more rights than its caller
    /// (set-user-ID, set-group-ID or file capabilities).
    pub ignored_variables: Vec<&'static str>,
    /// The library, when it is loaded.
    pub library: Option<LibraryInfo>,
    /// Devices that the probe found, whether usable or not.
    pub devices: Vec<QatDevice>,
    /// Why the probe could not look.
    pub devices_error: Option<String>,
    /// What the kernel's driver counts of the physical functions among them, for all processes together.
    pub counters: Vec<DeviceCounters>,
    /// Services; empty when the hardware cannot be used.
    pub services: Vec<ServiceInfo>,
    /// Capabilities, as library and device answered.
    pub capabilities: Option<Capabilities>,
    /// Instances that this process uses.
    pub instances: Vec<InstanceInfo>,
    /// Device memory of this process, by NUMA node; there until the process ends.
    pub memory: Vec<MemoryInfo>,
    /// New starts of libqat after failures of its devices, since this process loaded it.
    pub recoveries: u64,
}

/// The libqat in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LibraryInfo {
    /// Its file, where the system tells.
    pub path: Option<PathBuf>,
    /// The qatlib release whose functions it has; it may be a later one that brought none.
    pub release_at_least: &'static str,
    /// Optional groups of functions.
    pub groups: Vec<GroupInfo>,
}

/// An optional group of functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GroupInfo {
    /// Its name in `qat_sys::Symbols`.
    pub name: &'static str,
    /// The qatlib release that brought it.
    pub since: &'static str,
    /// Whether this library has it.
    pub present: bool,
}

/// What libqat itself counted of an instance since the start. It counts no requests by its data-plane calls, which most
/// are, but the recoveries of compressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct LibraryCounts {
    /// Requests taken.
    pub requests: u64,
    /// Answers.
    pub completed: u64,
    /// Requests refused, and answers that are errors.
    pub errors: u64,
    /// Compressions whose verification failed, and that the device recovered with stored blocks.
    pub recovered: u64,
}

/// An instance of the started library, and how it fares. Counts are of this start; a recovery begins anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InstanceInfo {
    /// The number that [`ExecutedOn::Hardware`](accel_core::ExecutedOn::Hardware) has.
    pub index: u16,
    /// What it does.
    pub service: Service,
    /// NUMA node.
    pub node: i32,
    /// Requests submitted.
    pub requests: u64,
    /// Requests that failed by the device's fault.
    pub errors: u64,
    /// Times that a request found no room.
    pub retries: u64,
    /// Requests on the device now, among them the `parked`.
    pub in_flight: u32,
    /// Requests that nobody waits for any more, and whose memory waits for the device.
    pub parked: usize,
    /// Slots of the table of requests that are not free.
    pub slots_in_use: usize,
    /// Whether it rests after failures now.
    pub suspended: bool,
    /// Rests so far.
    pub suspensions: u64,
    /// What the library says of it, where it does.
    pub library: Option<LibraryCounts>,
}

/// Device memory of one NUMA node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MemoryInfo {
    /// NUMA node.
    pub node: i32,
    /// Bytes taken from libusdm.
    pub allocated: usize,
    /// Bytes of blocks in use: requests, sessions, [`DmaBuffer`](crate::DmaBuffer)s.
    pub in_use: usize,
    /// Most bytes that may be taken.
    pub limit: usize,
}

/// A service of the started library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ServiceInfo {
    /// Which.
    pub service: Service,
    /// Instances that this process has.
    pub instances: u16,
    /// Why there are none.
    pub unavailability: Option<Unavailability>,
}

/// The oldest release that `qat-sys` binds.
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

/// The file whose mapping holds the address (proc(5): `from-to permissions offset device inode path`).
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
