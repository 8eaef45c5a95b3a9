//! Discovery of QAT devices in sysfs. It only reads, opens no device, and needs neither libqat nor privileges.
//!
//! [`QatProbe`] finds every physical and virtual function of every QAT family. As an [`accel_core::HardwareProbe`] it
//! returns [`Device`] records, whose properties are named in [`property`]; [`QatDevice`] is the typed form of such a
//! record. [`QatAccelerator`](crate::QatAccelerator) uses it to explain why no device is available, and programs may
//! call it directly.
//!
//! [`DeviceCounters`] reads the counters that the kernel's driver keeps for a device, which usually only root may read.
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
pub use counters::{CountersError, DeviceCounters, EngineCounters, FirmwareCounters, Telemetry};
pub use device::{Access, DeviceState, Function, NotQat, QatDevice, Support, Vfio, property};
pub use model::{Model, VENDOR_INTEL};
pub(crate) use sysfs::HugePages;

/// Finds QAT devices below a root directory, which is `/` by default.
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
    /// The path of `dev/vfio` below the root. It is joined once, because it is read repeatedly.
    vfio: PathBuf,
}

impl Default for QatProbe {
    fn default() -> Self {
        Self::new()
    }
}

impl QatProbe {
    /// Returns a probe of this machine.
    #[must_use]
    pub fn new() -> Self {
        Self::with_root("/")
    }

    /// Returns a probe of the machine whose `sys` and `dev` are below `root`, such as a mounted host in a container, or
    /// a directory made for a test.
    #[must_use]
    pub fn with_root(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self { vfio: root.join("dev/vfio"), root }
    }

    /// Returns every QAT function, ordered by address.
    ///
    /// # Errors
    /// [`Error::Unavailable`](accel_core::Error::Unavailable) when the list of PCI functions exists and cannot be read.
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
                    // The last known list remains in effect until it can be read again.
                    Err(error) => tracing::debug!(%error, "the QAT probe could not read the list of devices"),
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

/// Returns the differences between two lists, both ordered by id.
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
