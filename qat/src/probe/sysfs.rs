//! Reading of sysfs. The probe calls this. Unexpected content of a file makes a property unknown, and is never an
//! error.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use accel_core::{DeviceId, Error, Result};

use super::device::{Access, DeviceState, Function, QatDevice, Support, Vfio};
use super::model::Model;
use crate::error::Unavailability;
use crate::service::Service;

/// The most bytes that are read from one file. A file in sysfs has at most one page.
const MAX_TEXT: u64 = 4096;
/// The drivers that give user space access to a function: the generic one, and the kernel's own for virtual functions
/// of QAT, which supports live migration as well.
const VFIO_DRIVERS: &[&str] = &["vfio-pci", "qat_vfio_pci"];

fn pci_devices(root: &Path) -> PathBuf {
    root.join("sys/bus/pci/devices")
}

/// Returns a number that changes when a node in `dev/vfio` is created or removed, which means that a function was bound
/// to VFIO or unbound.
pub(super) fn fingerprint(vfio: &Path) -> u64 {
    #[cfg(unix)]
    if let Ok(about) = fs::metadata(vfio) {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        use std::os::unix::fs::MetadataExt as _;
        let mut hasher = DefaultHasher::new();
        (about.dev(), about.ino(), about.mtime(), about.mtime_nsec(), about.ctime(), about.ctime_nsec())
            .hash(&mut hasher);
        return hasher.finish();
    }
    let _ = vfio;
    0
}

/// The 2 MiB huge pages of the system, which libqat uses for the memory of a device where it is configured to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HugePages {
    pub(crate) total: u64,
    pub(crate) free: u64,
    /// Whether this process may create files in the directory that libqat uses for them.
    pub(crate) is_open: bool,
}

impl HugePages {
    /// Reads the huge pages of the machine that `device` was found on. A kernel without huge pages has none.
    pub(crate) fn beside(device: &QatDevice) -> Self {
        // The path is the root, `sys/bus/pci/devices` and the address.
        let root = device.path.ancestors().nth(5).unwrap_or(Path::new("/"));
        let directory = root.join("sys/kernel/mm/hugepages/hugepages-2048kB");
        let count = |name| number(&directory, name).unwrap_or_default();
        Self {
            total: count("nr_hugepages"),
            free: count("free_hugepages"),
            is_open: access(&root.join("dev/hugepages/qat")) == Access::Granted,
        }
    }
}

/// Returns every QAT function, ordered by address.
pub(super) fn devices(root: &Path) -> Result<Vec<QatDevice>> {
    let path = pci_devices(root);
    let unreadable = |source: std::io::Error| Error::Unavailable {
        accelerator: crate::error::HARDWARE,
        reason: Arc::new(Unavailability::NoDeviceList {
            path: path.clone(),
            reason: source.to_string().into(),
        }),
    };
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut devices = Vec::new();
    for entry in entries {
        let name = entry.map_err(unreadable)?.file_name();
        devices.extend(name.to_str().and_then(|name| read(root, name)));
    }
    devices.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    Ok(devices)
}

pub(super) fn device(root: &Path, id: &DeviceId) -> Option<QatDevice> {
    read(root, &id.0)
}

/// Returns the function at `address`, or `None` where it is not QAT.
fn read(root: &Path, address: &str) -> Option<QatDevice> {
    if !is_pci_address(address) {
        return None;
    }
    let path = pci_devices(root).join(address);
    let product_id = hex(&path, "device")?;
    let (model, is_physical) = Model::of(hex(&path, "vendor")?, product_id)?;
    let driver = link_name(&path, "driver");
    let iommu_group = link_name(&path, "iommu_group").and_then(|name| name.parse().ok());
    let (function, owner) = if is_physical {
        (physical_function(&path), Some(path.clone()))
    } else {
        let physical = link_name(&path, "physfn").filter(|name| is_pci_address(name));
        let owner = physical.as_ref().map(|name| pci_devices(root).join(name));
        (Function::Virtual { physical: physical.map(DeviceId) }, owner)
    };
    Some(QatDevice {
        id: DeviceId(address.to_owned()),
        product_id,
        model,
        function,
        numa_node: number(&path, "numa_node"),
        iommu_group,
        vfio: iommu_group
            .filter(|_| driver.as_deref().is_some_and(|driver| VFIO_DRIVERS.contains(&driver)))
            .map(|group| vfio(root, group)),
        debug_path: driver
            .as_ref()
            .filter(|_| is_physical)
            .map(|driver| root.join(format!("sys/kernel/debug/qat_{driver}_{address}"))),
        driver,
        state: text(&path, "qat/state")
            .map(|word| word.parse::<DeviceState>().unwrap_or_else(|e| match e {})),
        services: owner
            .and_then(|owner| text(&owner, "qat/cfg_services"))
            .map(|list| Service::parse_list(&list)),
        ring_pairs: number(&path, "qat/num_rps"),
        support: support(root, model),
        path,
    })
}

fn physical_function(path: &Path) -> Function {
    let mut virtual_functions: Vec<(u16, DeviceId)> = fs::read_dir(path)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            let name = name.to_str()?;
            let target = link_name(path, name).filter(|target| is_pci_address(target));
            Some((name.strip_prefix("virtfn")?.parse().ok()?, DeviceId(target?)))
        })
        .collect();
    virtual_functions.sort_unstable();
    Function::Physical {
        enabled: number(path, "sriov_numvfs"),
        total: number(path, "sriov_totalvfs"),
        virtual_functions: virtual_functions.into_iter().map(|(_, id)| id).collect(),
    }
}

/// Returns the access of this process to a group: to the container node first, and then to the node of the group.
fn vfio(root: &Path, group: u32) -> Vfio {
    let directory = root.join("dev/vfio");
    let container = directory.join("vfio");
    let access = access(&container);
    if access != Access::Granted {
        return Vfio { path: container, access };
    }
    let node = directory.join(group.to_string());
    // The kernel uses this name without an IOMMU, and only where the administrator enabled that mode.
    let unprotected = directory.join(format!("noiommu-{group}"));
    let path = if !node.exists() && unprotected.exists() { unprotected } else { node };
    Vfio { access: self::access(&path), path }
}

#[cfg(target_os = "linux")]
fn access(path: &Path) -> Access {
    use rustix::fs::{Access as Mode, AtFlags, CWD, accessat};
    match accessat(CWD, path, Mode::READ_OK | Mode::WRITE_OK, AtFlags::EACCESS) {
        Ok(()) => Access::Granted,
        Err(rustix::io::Errno::NOENT) => Access::Missing,
        Err(_) => Access::Denied,
    }
}

#[cfg(not(target_os = "linux"))]
fn access(_: &Path) -> Access {
    Access::Missing
}

fn support(root: &Path, model: &Model) -> Support {
    let support = model.support();
    // The files that show Intel's out-of-tree driver: its device files and its memory module.
    let marks = ["dev/qat_dev_processes", "dev/usdm_drv", "sys/module/usdm_drv"];
    let is_out_of_tree = || marks.iter().any(|mark| root.join(mark).exists());
    if support == Support::Supported && is_out_of_tree() { Support::OutOfTree } else { support }
}

/// Returns whether `text` is `domain:bus:device.function` in lower-case hexadecimal, which is the form of the kernel.
fn is_pci_address(text: &str) -> bool {
    let is_hex = |part: &str, digits: std::ops::RangeInclusive<usize>| {
        digits.contains(&part.len()) && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let mut parts = text.splitn(3, ':');
    let [Some(domain), Some(bus), Some(rest)] = [parts.next(), parts.next(), parts.next()] else {
        return false;
    };
    rest.split_once('.').is_some_and(|(device, function)| {
        is_hex(domain, 4..=8) && is_hex(bus, 2..=2) && is_hex(device, 2..=2) && is_hex(function, 1..=1)
    })
}

/// Returns the trimmed text of a file, or `None` when it cannot be read.
fn text(directory: &Path, name: &str) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(directory.join(name)).ok()?.take(MAX_TEXT).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim().to_owned())
}

fn number<T: FromStr>(directory: &Path, name: &str) -> Option<T> {
    text(directory, name)?.parse().ok()
}

fn hex(directory: &Path, name: &str) -> Option<u16> {
    u16::from_str_radix(text(directory, name)?.strip_prefix("0x")?, 16).ok()
}

/// Returns the last component of the target of a symbolic link.
fn link_name(directory: &Path, name: &str) -> Option<String> {
    fs::read_link(directory.join(name)).ok()?.file_name()?.to_str().map(str::to_owned)
}
