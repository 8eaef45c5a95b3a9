//! The typed record of a QAT function, and its conversion from and to a [`Device`] with properties. The probe creates
//! records; this module reads no files.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use accel_core::{AcceleratorTypes, Device, DeviceId};
use serde::{Serialize, Serializer};

use super::model::{Model, VENDOR_INTEL};
use crate::service::Service;

/// The names of the properties that [`QatProbe`](super::QatProbe) sets on a [`Device`]. A property that cannot be read
/// has no entry.
pub mod property {
    /// The name of the family, such as `4xxx`.
    pub const MODEL: &str = "model";
    /// The hardware generation, such as `4`.
    pub const GENERATION: &str = "generation";
    /// The kind of function, `physical` or `virtual`.
    pub const FUNCTION: &str = "function";
    /// The address of the physical function that a virtual function belongs to.
    pub const PHYSICAL_FUNCTION: &str = "physical-function";
    /// The addresses of the virtual functions of a physical one, separated by spaces.
    pub const VIRTUAL_FUNCTIONS: &str = "virtual-functions";
    /// The number of virtual functions of a physical one that are switched on.
    pub const VIRTUAL_FUNCTIONS_ENABLED: &str = "virtual-functions-enabled";
    /// The largest number of virtual functions that a physical one can have.
    pub const VIRTUAL_FUNCTIONS_TOTAL: &str = "virtual-functions-total";
    /// The number of the NUMA node.
    pub const NUMA_NODE: &str = "numa-node";
    /// The number of the IOMMU group.
    pub const IOMMU_GROUP: &str = "iommu-group";
    /// The file through which a process uses a function that is bound to `vfio-pci` or `qat_vfio_pci`, or the first
    /// file that prevents that.
    pub const VFIO_PATH: &str = "vfio-path";
    /// The access of this process to that file: `granted`, `denied` or `missing`.
    pub const VFIO_ACCESS: &str = "vfio-access";
    /// The state that the kernel reports, `up` or `down`.
    pub const STATE: &str = "state";
    /// The configured services as the kernel names them, such as `sym;asym`. A virtual function has those of its
    /// physical one.
    pub const SERVICES: &str = "services";
    /// The number of ring pairs.
    pub const RING_PAIRS: &str = "ring-pairs";
    /// The directory of the debug files of a physical function that has a driver, whether or not this process may read
    /// them.
    pub const DEBUG_PATH: &str = "debug-path";
    /// Whether libqat can use the function: `supported`, `legacy` (QAT 1.x), `out-of-tree` or `unknown`.
    pub const SUPPORT: &str = "support";
}

/// A QAT function. It converts from and to a [`Device`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QatDevice {
    /// The PCI address.
    pub id: DeviceId,
    /// The path of the directory in sysfs.
    pub path: PathBuf,
    /// The PCI device id.
    pub product_id: u16,
    /// The family.
    pub model: &'static Model,
    /// Whether the function is physical or virtual, and the functions that belong to it.
    pub function: Function,
    /// The name of the kernel driver that is bound to the function; `None` where there is none.
    pub driver: Option<String>,
    /// The number of the NUMA node; `None` on machines that have only one.
    pub numa_node: Option<u32>,
    /// The number of the IOMMU group; `None` without an IOMMU.
    pub iommu_group: Option<u32>,
    /// How user space reaches the function; `None` unless it is bound to `vfio-pci` or `qat_vfio_pci`.
    pub vfio: Option<Vfio>,
    /// The state that the kernel driver reports; `None` for virtual functions and before generation 4.
    pub state: Option<DeviceState>,
    /// The configured services, which a virtual function has from its physical one; `None` where they cannot be read,
    /// and before generation 4.
    pub services: Option<Vec<Service>>,
    /// The number of ring pairs; `None` where the kernel does not report it.
    pub ring_pairs: Option<u32>,
    /// The directory of the driver's debug files; `None` except for a physical function that has a driver.
    /// [`DeviceCounters`](super::DeviceCounters) reports whether they can be read.
    pub debug_path: Option<PathBuf>,
    /// Whether libqat can use the function on this machine.
    pub support: Support,
}

/// Whether a function is the device itself or a share of it, with the functions that belong to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// The device itself.
    Physical {
        /// The number of virtual functions that are switched on; `None` where it cannot be read.
        enabled: Option<u16>,
        /// The largest number of virtual functions; `None` where it cannot be read.
        total: Option<u16>,
        /// The addresses of the virtual functions, in the order of their numbers.
        virtual_functions: Vec<DeviceId>,
    },
    /// A share of a device, which is what a process uses.
    Virtual {
        /// The address of the physical function; `None` where it is not visible, as inside a virtual machine.
        physical: Option<DeviceId>,
    },
}

/// The access of user space to a function through VFIO.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Vfio {
    /// The node of the IOMMU group, or the first file that prevents its use.
    pub path: PathBuf,
    /// The access of this process to that file.
    pub access: Access,
}

/// Defines an enumeration whose values have the same text in a property and in JSON.
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

/// The access of a process to a file, determined without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// The process may read and write the file.
    Granted,
    /// The process may not read or may not write the file.
    Denied,
    /// The file does not exist.
    Missing,
}

words!(Access { Granted = "granted", Denied = "denied", Missing = "missing" });

/// Whether libqat can use a device on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Support {
    /// The device is of generation 4 or later and has the kernel's own driver.
    Supported,
    /// The device is a QAT 1.x, which only Intel's out-of-tree driver and its own library make available to processes.
    Legacy,
    /// libqat supports the device, but Intel's out-of-tree driver is bound to it.
    OutOfTree,
    /// The device is of a family that libqat does not list.
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

/// The state of a device that the kernel driver reports.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceState {
    /// The device works.
    Up,
    /// The device does not work, and can be configured.
    Down,
    /// The kernel reported another state, which is given here.
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

/// In JSON these values are the kernel's words.
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

/// The error for a [`Device`] that is not a QAT function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{id} ({vendor_id:04x}:{product_id:04x}) is not a QAT function; ask QatProbe for devices")]
pub struct NotQat {
    /// The id of the device.
    pub id: DeviceId,
    /// The PCI vendor id of the device.
    pub vendor_id: u16,
    /// The PCI device id of the device.
    pub product_id: u16,
}

impl QatDevice {
    /// Returns the types of work that the function can do: those that are configured where the configuration can be
    /// read, and otherwise those that the family supports.
    #[must_use]
    pub fn types(&self) -> AcceleratorTypes {
        match &self.services {
            Some(services) => services.iter().map(Service::types).collect(),
            None => self.model.types(),
        }
    }

    /// Returns whether this is a virtual function.
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

    /// Converts a record. A property that is absent or malformed is treated as unknown.
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
