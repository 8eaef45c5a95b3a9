//! A QAT function as a typed record, and its place in [`Device`]'s property map.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use accel_core::{AcceleratorTypes, Device, DeviceId};
use serde::{Serialize, Serializer};

use super::model::{Model, VENDOR_INTEL};
use crate::service::Service;

/// Names of the properties that [`QatProbe`](super::QatProbe) sets on a [`Device`]. A fact that cannot be read has no
/// entry.
pub mod property {
    /// Family: `4xxx`.
    pub const MODEL: &str = "model";
    /// Hardware generation: `4`.
    pub const GENERATION: &str = "generation";
    /// `physical` or `virtual`.
    pub const FUNCTION: &str = "function";
    /// Of a virtual function: the address of its physical one.
    pub const PHYSICAL_FUNCTION: &str = "physical-function";
    /// Of a physical function: the addresses of its virtual ones, separated by spaces.
    pub const VIRTUAL_FUNCTIONS: &str = "virtual-functions";
    /// Of a physical function: how many virtual ones are switched on.
    pub const VIRTUAL_FUNCTIONS_ENABLED: &str = "virtual-functions-enabled";
    /// Of a physical function: how many virtual ones it can have.
    pub const VIRTUAL_FUNCTIONS_TOTAL: &str = "virtual-functions-total";
    /// NUMA node.
    pub const NUMA_NODE: &str = "numa-node";
    /// IOMMU group.
    pub const IOMMU_GROUP: &str = "iommu-group";
    /// The file through which a process uses a function that is bound to `vfio-pci` or `qat_vfio_pci`, or the first that is
    /// in the way.
    pub const VFIO_PATH: &str = "vfio-path";
    /// What this process may do with it: `granted`, `denied` or `missing`.
    pub const VFIO_ACCESS: &str = "vfio-access";
    /// `up` or `down`, as the kernel says it.
    pub const STATE: &str = "state";
    /// Configured services in the kernel's words: `sym;asym`. A virtual function has those of its physical one.
    pub const SERVICES: &str = "services";
    /// Ring pairs.
    pub const RING_PAIRS: &str = "ring-pairs";
    /// Of a physical function with a driver: the directory of the driver's debug files, whether or not this process may
    /// read them.
    pub const DEBUG_PATH: &str = "debug-path";
    /// `supported`, `legacy` (QAT 1.x), `out-of-tree` or `unknown`.
    pub const SUPPORT: &str = "support";
}

/// One QAT function. [`Device`] and this convert into each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QatDevice {
    /// PCI address.
    pub id: DeviceId,
    /// Where the probe found it.
    pub path: PathBuf,
    /// PCI device id.
    pub product_id: u16,
    /// Family.
    pub model: &'static Model,
    /// Physical or virtual, and its relatives.
    pub function: Function,
    /// Kernel driver bound to it.
    pub driver: Option<String>,
    /// NUMA node, on machines that have more than one.
    pub numa_node: Option<u32>,
    /// IOMMU group.
    pub iommu_group: Option<u32>,
    /// The way into it from user space, for a function bound to `vfio-pci` or `qat_vfio_pci`.
    pub vfio: Option<Vfio>,
    /// Whether the kernel driver has it up; physical functions of generation 4 and later.
    pub state: Option<DeviceState>,
    /// Configured services, of a virtual function those of its physical one; generation 4 and later.
    pub services: Option<Vec<Service>>,
    /// Ring pairs, where the kernel tells.
    pub ring_pairs: Option<u32>,
    /// Directory of the driver's debug files, of a physical function with a driver; whether they can be read says
    /// [`DeviceCounters`](super::DeviceCounters).
    pub debug_path: Option<PathBuf>,
    /// Whether libqat can drive it here.
    pub support: Support,
}

/// Whether a function is the device itself or a share of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// The device itself.
    Physical {
        /// Virtual functions that are switched on.
        enabled: Option<u16>,
        /// Virtual functions that it can have.
        total: Option<u16>,
        /// The virtual functions, by number.
        virtual_functions: Vec<DeviceId>,
    },
    /// A share, which is what a process uses.
    Virtual {
        /// The device, where it is visible; inside a virtual machine it is not.
        physical: Option<DeviceId>,
    },
}

/// The way into a function through VFIO.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Vfio {
    /// The group's node, or the first file that is in the way of using it.
    pub path: PathBuf,
    /// What this process may do with it.
    pub access: Access,
}

/// Texts of a closed set that go through a property and a JSON document alike.
macro_rules! words {
    ($type:ident { $($variant:ident = $word:literal),+ }) => {
        impl $type {
            const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.word())
            }
        }
    };
}

/// What this process may do with a file, found out without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reading and writing.
    Granted,
    /// Not both of them.
    Denied,
    /// There is no such file.
    Missing,
}

words!(Access { Granted = "granted", Denied = "denied", Missing = "missing" });

/// Whether libqat can drive a device on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Support {
    /// Generation 4 or later under the kernel's own driver.
    Supported,
    /// QAT 1.x: only Intel's out-of-tree driver and its own library offer it to processes.
    Legacy,
    /// A device that libqat could drive, taken by Intel's out-of-tree driver.
    OutOfTree,
    /// A device of another kind, which libqat does not name.
    Unknown,
}

words!(Support { Supported = "supported", Legacy = "legacy", OutOfTree = "out-of-tree", Unknown = "unknown" });

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Supported => "supported",
            Self::Legacy => {
                "not supported: QAT 1.x works for processes only with Intel's out-of-tree driver and its own library"
            }
            Self::Unknown => "not supported: libqat does not know this device",
            Self::OutOfTree => "not supported: Intel's out-of-tree driver is loaded; use the kernel's own driver",
        })
    }
}

/// Whether the kernel driver has a device up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceState {
    /// Working.
    Up,
    /// Not working; it can be configured now.
    Down,
    /// A word that is not known here.
    Other(Box<str>),
}

impl fmt::Display for DeviceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Other(word) => word,
        })
    }
}

impl FromStr for DeviceState {
    type Err = Infallible;

    fn from_str(word: &str) -> Result<Self, Infallible> {
        Ok(match word {
            "up" => Self::Up,
            "down" => Self::Down,
            other => Self::Other(other.into()),
        })
    }
}

/// In JSON these are the kernel's words.
macro_rules! serialize_as_text {
    ($($type:ty),+) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )+};
}
serialize_as_text!(DeviceState);

/// A [`Device`] that is no QAT function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{id} ({vendor_id:04x}:{product_id:04x}) is not a QAT function; ask QatProbe for devices")]
pub struct NotQat {
    /// Its id.
    pub id: DeviceId,
    /// Its PCI vendor id.
    pub vendor_id: u16,
    /// Its PCI device id.
    pub product_id: u16,
}

impl QatDevice {
    /// What it can work on: as configured where that can be read, else as built.
    #[must_use]
    pub fn types(&self) -> AcceleratorTypes {
        match &self.services {
            Some(services) => services.iter().map(Service::types).collect(),
            None => self.model.types(),
        }
    }

    /// Whether this is a virtual function.
    #[must_use]
    pub const fn is_virtual(&self) -> bool {
        matches!(self.function, Function::Virtual { .. })
    }
}

impl From<&QatDevice> for Device {
    fn from(qat: &QatDevice) -> Self {
        let suffix = if qat.is_virtual() { " virtual function" } else { "" };
        let name = format!("Intel QAT {}{suffix}", qat.model.name);
        let mut device = Self::new(qat.id.clone(), name, VENDOR_INTEL, qat.product_id);
        device.types = qat.types();
        device.driver.clone_from(&qat.driver);
        device.path.clone_from(&qat.path);
        let mut set = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                device.properties.insert(name.to_owned(), value);
            }
        };
        let number = |value: Option<u32>| value.map(|value| value.to_string());
        set(property::MODEL, Some(qat.model.name.to_owned()));
        set(property::GENERATION, number(qat.model.generation.map(u32::from)));
        match &qat.function {
            Function::Physical { enabled, total, virtual_functions } => {
                set(property::FUNCTION, Some("physical".to_owned()));
                set(property::VIRTUAL_FUNCTIONS_ENABLED, number(enabled.map(u32::from)));
                set(property::VIRTUAL_FUNCTIONS_TOTAL, number(total.map(u32::from)));
                set(property::VIRTUAL_FUNCTIONS, Some(join(virtual_functions, " ")));
            }
            Function::Virtual { physical } => {
                set(property::FUNCTION, Some("virtual".to_owned()));
                set(property::PHYSICAL_FUNCTION, physical.as_ref().map(ToString::to_string));
            }
        }
        set(property::NUMA_NODE, number(qat.numa_node));
        set(property::IOMMU_GROUP, number(qat.iommu_group));
        if let Some(Vfio { path, access }) = &qat.vfio {
            set(property::VFIO_PATH, Some(path.to_string_lossy().into_owned()));
            set(property::VFIO_ACCESS, Some(access.word().to_owned()));
        }
        set(property::STATE, qat.state.as_ref().map(ToString::to_string));
        set(property::SERVICES, qat.services.as_ref().map(|services| join(services, ";")));
        set(property::RING_PAIRS, number(qat.ring_pairs));
        let debug_path = qat.debug_path.as_ref().map(|path| path.to_string_lossy().into_owned());
        set(property::DEBUG_PATH, debug_path);
        set(property::SUPPORT, Some(qat.support.word().to_owned()));
        device
    }
}

impl TryFrom<&Device> for QatDevice {
    type Error = NotQat;

    /// Properties that are absent or malformed are facts that are not known.
    fn try_from(device: &Device) -> Result<Self, NotQat> {
        let &Device { vendor_id, product_id, .. } = device;
        let (model, is_physical) = Model::of(vendor_id, product_id).ok_or_else(|| NotQat {
            id: device.id.clone(),
            vendor_id,
            product_id,
        })?;
        let text = |name: &str| device.properties.get(name).map(String::as_str);
        let id = |text: &str| DeviceId(text.to_owned());
        let function = if is_physical {
            Function::Physical {
                enabled: parse(text(property::VIRTUAL_FUNCTIONS_ENABLED)),
                total: parse(text(property::VIRTUAL_FUNCTIONS_TOTAL)),
                virtual_functions: text(property::VIRTUAL_FUNCTIONS)
                    .map(|list| list.split_whitespace().map(id).collect())
                    .unwrap_or_default(),
            }
        } else {
            Function::Virtual { physical: text(property::PHYSICAL_FUNCTION).map(id) }
        };
        let vfio = text(property::VFIO_PATH).zip(text(property::VFIO_ACCESS).and_then(Access::from_word));
        Ok(Self {
            id: device.id.clone(),
            path: device.path.clone(),
            product_id,
            model,
            function,
            driver: device.driver.clone(),
            numa_node: parse(text(property::NUMA_NODE)),
            iommu_group: parse(text(property::IOMMU_GROUP)),
            vfio: vfio.map(|(path, access)| Vfio { path: path.into(), access }),
            state: parse(text(property::STATE)),
            services: text(property::SERVICES).map(Service::parse_list),
            ring_pairs: parse(text(property::RING_PAIRS)),
            debug_path: text(property::DEBUG_PATH).map(PathBuf::from),
            support: text(property::SUPPORT).and_then(Support::from_word).unwrap_or(model.support()),
        })
    }
}

fn parse<T: FromStr>(text: Option<&str>) -> Option<T> {
    text?.parse().ok()
}

fn join<T: fmt::Display>(items: &[T], separator: &str) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(separator)
}
