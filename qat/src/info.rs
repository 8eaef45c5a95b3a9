//! What there is on this machine, in one serialisable record.

use std::fs;
use std::path::PathBuf;

use qat_sys::{Library, Symbols};
use serde::Serialize;

use crate::probe::{QatDevice, Service};
use crate::{Capabilities, Unavailability};

/// Everything that is known of QAT here, with the reason for whatever is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Info {
    /// Whether the hardware can be used.
    pub available: bool,
    /// Why not.
    pub unavailability: Option<Unavailability>,
    /// The library, when it is loaded.
    pub library: Option<LibraryInfo>,
    /// Devices that the probe found, whether usable or not.
    pub devices: Vec<QatDevice>,
    /// Why the probe could not look.
    pub devices_error: Option<String>,
    /// Services; empty when the hardware cannot be used.
    pub services: Vec<ServiceInfo>,
    /// Capabilities, as library and device answered.
    pub capabilities: Option<Capabilities>,
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
