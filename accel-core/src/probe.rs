//! Devices: what a probe finds, and how it tells of changes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use crate::{AcceleratorTypes, Result};

/// Identity of a device on this machine; for PCI functions their address, `0000:6b:00.0`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct DeviceId(pub String);

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One device as a probe found it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Device {
    /// Identity.
    pub id: DeviceId,
    /// The product's name.
    pub name: String,
    /// What the device can work on, as configured where that can be read, else as built.
    #[cfg_attr(feature = "serde", serde(with = "types_as_bits"))]
    pub types: AcceleratorTypes,
    /// PCI vendor id.
    pub vendor_id: u16,
    /// PCI device id.
    pub product_id: u16,
    /// Kernel driver bound to it.
    pub driver: Option<String>,
    /// Where the probe found it.
    pub path: PathBuf,
    /// Further facts by name, as text; the probe documents which.
    pub properties: BTreeMap<String, String>,
}

impl Device {
    /// A device with no driver, no types and no properties yet.
    #[must_use]
    pub fn new(id: DeviceId, name: impl Into<String>, vendor_id: u16, product_id: u16) -> Self {
        Self {
            id,
            name: name.into(),
            types: AcceleratorTypes::empty(),
            vendor_id,
            product_id,
            driver: None,
            path: PathBuf::new(),
            properties: BTreeMap::new(),
        }
    }
}

#[cfg(feature = "serde")]
mod types_as_bits {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::AcceleratorTypes;

    pub(super) fn serialize<S: Serializer>(types: &AcceleratorTypes, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u32(types.bits())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<AcceleratorTypes, D::Error> {
        u32::deserialize(d).map(AcceleratorTypes::from_bits_retain)
    }
}

/// A difference between two looks at the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceChange {
    /// A device that was not there before.
    Added(Device),
    /// A device that is gone; the record is its last one.
    Removed(Device),
    /// A device whose record differs: its driver, services or state changed.
    Changed {
        /// The record of the earlier look.
        before: Device,
        /// The record of the later one.
        after: Device,
    },
}

/// Receiving end of a subscription to changes. Dropping it ends the subscription.
#[derive(Debug)]
pub struct DeviceChanges(mpsc::Receiver<DeviceChange>);

impl DeviceChanges {
    /// Wraps the receiving end that a probe feeds.
    #[must_use]
    pub const fn new(receiver: mpsc::Receiver<DeviceChange>) -> Self {
        Self(receiver)
    }

    /// The next change, if one is waiting.
    #[must_use]
    pub fn try_recv(&self) -> Option<DeviceChange> {
        self.0.try_recv().ok()
    }

    /// The next change, waiting for at most `timeout`.
    #[must_use]
    pub fn recv_timeout(&self, timeout: Duration) -> Option<DeviceChange> {
        self.0.recv_timeout(timeout).ok()
    }
}

/// Finds devices. A probe only reads.
pub trait HardwareProbe: Send + Sync {
    /// The devices that can work on at least one of `types`, ordered by id. [`AcceleratorTypes::empty`] asks for
    /// every device, those of unknown type included.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable) when the machine's device tree is there and cannot be read.
    /// A machine without devices is an empty list.
    fn discover(&self, types: AcceleratorTypes) -> Result<Vec<Device>>;

    /// One device by its id, `None` when it is not there.
    ///
    /// # Errors
    /// As [`discover`](Self::discover).
    fn device(&self, id: &DeviceId) -> Result<Option<Device>>;

    /// Tells of every change from now on, looking every `interval`.
    ///
    /// # Errors
    /// As [`discover`](Self::discover), for the first look.
    fn subscribe(&self, interval: Duration) -> Result<DeviceChanges>;
}
