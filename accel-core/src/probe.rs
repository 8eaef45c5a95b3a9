//! Devices: what a probe finds, and how it reports changes.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use crate::{AcceleratorTypes, Result};

/// Identifies a device on this machine. For a PCI function it is the address, such as `0000:6b:00.0`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct DeviceId(pub String);

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Describes one device as a probe found it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Device {
    /// The device's identity on this machine.
    pub id: DeviceId,
    /// The product's name.
    pub name: String,
    /// What the device can work on: as it is configured where that can be read, otherwise as it was built.
    #[cfg_attr(feature = "serde", serde(with = "types_as_bits"))]
    pub types: AcceleratorTypes,
    /// The PCI vendor id.
    pub vendor_id: u16,
    /// The PCI device id.
    pub product_id: u16,
    /// The kernel driver that is bound to the device, or `None` if there is none.
    pub driver: Option<String>,
    /// The path under which the probe found the device.
    pub path: PathBuf,
    /// Further facts by name, as text. The probe documents which there are.
    pub properties: BTreeMap<String, String>,
}

impl Device {
    /// Makes the record of a device with no driver, no types and no properties yet.
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

/// Describes how a device differs between two looks at the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceChange {
    /// The device was not there before.
    Added(Device),
    /// The device is gone; the record is its last one.
    Removed(Device),
    /// The device's record differs because its driver, its services or its state changed.
    Changed {
        /// The record of the earlier look.
        before: Device,
        /// The record of the later one.
        after: Device,
    },
}

/// The receiving end of a subscription to changes. Dropping it ends the subscription.
#[derive(Debug)]
pub struct DeviceChanges {
    changes: mpsc::Receiver<DeviceChange>,
    /// Never sent to; its end is how the probe learns that nobody listens any more.
    _listening: mpsc::Sender<Infallible>,
}

impl DeviceChanges {
    /// Makes a subscription and returns the probe's end and the subscriber's end.
    #[must_use]
    pub fn channel() -> (DeviceChangeSender, Self) {
        let (sender, changes) = mpsc::channel();
        let (listening, listener) = mpsc::channel();
        (DeviceChangeSender { sender, listener }, Self { changes, _listening: listening })
    }

    /// Returns the next change if one is waiting.
    #[must_use]
    pub fn try_recv(&self) -> Option<DeviceChange> {
        self.changes.try_recv().ok()
    }

    /// Waits for the next change for at most `timeout`.
    #[must_use]
    pub fn recv_timeout(&self, timeout: Duration) -> Option<DeviceChange> {
        self.changes.recv_timeout(timeout).ok()
    }
}

/// The end of a subscription that a probe feeds.
#[derive(Debug)]
pub struct DeviceChangeSender {
    sender: mpsc::Sender<DeviceChange>,
    listener: mpsc::Receiver<Infallible>,
}

impl DeviceChangeSender {
    /// Reports a change to the subscriber. If the subscriber is gone the change is dropped.
    pub fn send(&self, change: DeviceChange) {
        // `wait` is what reports a subscriber that is gone.
        let _ = self.sender.send(change);
    }

    /// Waits for `interval`, or until the subscriber is gone, and returns whether it is still there.
    #[must_use]
    pub fn wait(&self, interval: Duration) -> bool {
        matches!(self.listener.recv_timeout(interval), Err(mpsc::RecvTimeoutError::Timeout))
    }
}

/// A probe, which finds devices. It only reads.
pub trait HardwareProbe: Send + Sync {
    /// Returns the devices that can work on at least one of `types`, ordered by id. [`AcceleratorTypes::empty`] asks for
    /// every device, including those of unknown type.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable) when the machine's device tree is there and cannot be read.
    /// A machine without devices is an empty list.
    fn discover(&self, types: AcceleratorTypes) -> Result<Vec<Device>>;

    /// Returns one device by its id, or `None` if it is not there.
    ///
    /// # Errors
    /// As [`discover`](Self::discover).
    fn device(&self, id: &DeviceId) -> Result<Option<Device>>;

    /// Reports every change from now on. The probe looks every `interval`.
    ///
    /// # Errors
    /// As [`discover`](Self::discover), for the first look.
    fn subscribe(&self, interval: Duration) -> Result<DeviceChanges>;

    /// A number that is another one after devices came, went, or became usable. Looks at no device, so that it may be
    /// asked every second. 0 where the probe has no such number, as in the provided method.
    fn fingerprint(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_subscription_ends_the_wait_at_once() {
        let (sender, changes) = DeviceChanges::channel();
        let device = Device::new(DeviceId("0000:6b:00.0".to_owned()), "device", 0x8086, 0x4940);
        sender.send(DeviceChange::Added(device.clone()));
        assert!(sender.wait(Duration::ZERO));
        assert_eq!(changes.try_recv(), Some(DeviceChange::Added(device)));
        assert_eq!(changes.try_recv(), None);
        let waiting = std::thread::spawn(move || sender.wait(Duration::from_secs(3600)));
        drop(changes);
        assert!(!waiting.join().unwrap());
    }
}
