//! QAT devices as sysfs shows them. Only reads, opens no device, and needs neither libqat nor privileges.
//!
//! [`QatProbe`] finds every physical and virtual function of every QAT family. As an [`accel_core::HardwareProbe`] it
//! gives [`Device`] records whose properties [`property`] names; [`QatDevice`] is the same as a type.
//!
//! [`DeviceCounters`] is what the kernel's driver counts of a device, for those who may read it.
//!
//! Machines without QAT, and systems without sysfs, have no devices; that is not an error.

mod counters;
mod device;
mod model;
mod sysfs;
#[cfg(all(test, target_os = "linux"))]
pub(crate) mod tests;

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use accel_core::{AcceleratorTypes, Device, DeviceChange, DeviceChanges, DeviceId, HardwareProbe, Result};

pub use crate::service::Service;
pub(crate) use counters::utilisation;
pub use counters::{DeviceCounters, EngineCounters, FirmwareCounters, Telemetry, Unread};
pub use device::{Access, DeviceState, Function, NotQat, QatDevice, Support, Vfio, property};
pub use model::{Model, VENDOR_INTEL};
pub(crate) use sysfs::HugePages;

/// Finds QAT devices below a root directory, `/` unless told otherwise.
///
/// # Examples
/// ```
/// use accel_core::{AcceleratorTypes, HardwareProbe};
/// use qat::probe::{QatDevice, QatProbe};
///
/// for device in QatProbe::new().discover(AcceleratorTypes::COMPRESSION)? {
///     let qat = QatDevice::try_from(&device)?;
///     println!("{} {} on NUMA node {:?}", qat.id, device.name, qat.numa_node);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct QatProbe {
    root: PathBuf,
    /// `dev/vfio` below it: joined once, since it is looked at from time to time.
    vfio: PathBuf,
}

impl Default for QatProbe {
    fn default() -> Self {
        Self::new()
    }
}

impl QatProbe {
    /// A probe of this machine.
    #[must_use]
    pub fn new() -> Self {
        Self::with_root("/")
    }

    /// A probe of the machine whose `sys` and `dev` are below `root`: a mounted host in a container, or a tree made for
    /// a test.
    #[must_use]
    pub fn with_root(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self { vfio: root.join("dev/vfio"), root }
    }

    /// Every QAT function, ordered by id.
    ///
    /// # Errors
    /// [`Error::Unavailable`](accel_core::Error::Unavailable) when the list of PCI functions is there and cannot be
    /// read.
    pub fn devices(&self) -> Result<Vec<QatDevice>> {
        sysfs::devices(&self.root)
    }
}

impl HardwareProbe for QatProbe {
    fn discover(&self, types: AcceleratorTypes) -> Result<Vec<Device>> {
        let devices = self.devices()?;
        let is_asked = |device: &&QatDevice| types.is_empty() || device.types().intersects(types);
        Ok(devices.iter().filter(is_asked).map(Device::from).collect())
    }

    fn device(&self, id: &DeviceId) -> Result<Option<Device>> {
        Ok(sysfs::device(&self.root, id).as_ref().map(Device::from))
    }

    fn fingerprint(&self) -> u64 {
        sysfs::fingerprint(&self.vfio)
    }

    fn subscribe(&self, interval: Duration) -> Result<DeviceChanges> {
        let mut before = self.discover(AcceleratorTypes::empty())?;
        let (sender, changes) = DeviceChanges::channel();
        let probe = self.clone();
        let watch = move || {
            while sender.wait(interval) {
                match probe.discover(AcceleratorTypes::empty()) {
                    Ok(after) => {
                        differences(&before, &after).into_iter().for_each(|change| sender.send(change));
                        before = after;
                    }
                    // What was seen last stays true until a later look says otherwise.
                    Err(error) => tracing::debug!(%error, "the QAT probe could not look"),
                }
            }
        };
        thread::Builder::new().name("qat-probe".to_owned()).spawn(watch).map_err(|error| {
            accel_core::Error::Unavailable {
                accelerator: crate::error::HARDWARE,
                reason: std::sync::Arc::new(error),
            }
        })?;
        Ok(changes)
    }
}

/// What changed between two lists, both ordered by id.
fn differences(before: &[Device], after: &[Device]) -> Vec<DeviceChange> {
    let in_list = |list: &[Device], id: &DeviceId| list.binary_search_by(|device| device.id.cmp(id)).ok();
    let removed = before.iter().filter(|device| in_list(after, &device.id).is_none());
    let mut changes: Vec<_> = removed.cloned().map(DeviceChange::Removed).collect();
    changes.extend(after.iter().filter_map(|device| match in_list(before, &device.id) {
        None => Some(DeviceChange::Added(device.clone())),
        Some(at) if before[at] != *device => {
            Some(DeviceChange::Changed { before: before[at].clone(), after: device.clone() })
        }
        Some(_) => None,
    }));
    changes
}
