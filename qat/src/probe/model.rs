//! The QAT product families, identified by PCI ids. The probe uses the table; it reads nothing.

use accel_core::AcceleratorTypes;
use serde::Serialize;

use super::Support;
use crate::service::Service;

/// The PCI vendor id of Intel.
pub const VENDOR_INTEL: u16 = 0x8086;

/// A family of QAT devices.
///
/// # Examples
/// ```
/// use qat::probe::{Model, VENDOR_INTEL};
///
/// let (model, is_physical) = Model::of(VENDOR_INTEL, 0x4940).expect("a QAT device");
/// assert_eq!((model.name, is_physical), ("4xxx", true));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct Model {
    /// Intel's short name of the family, such as `4xxx`.
    pub name: &'static str,
    /// The hardware generation; `None` where Intel does not number it.
    pub generation: Option<u8>,
    /// The PCI device id of the physical function; `None` where it is not public.
    pub physical_id: Option<u16>,
    /// The PCI device ids of the virtual functions.
    pub virtual_ids: &'static [u16],
    /// The largest number of virtual functions of one physical function; `None` where it is not public.
    pub max_virtual_functions: Option<u16>,
    #[serde(skip)]
    built_for: AcceleratorTypes,
}

impl Model {
    /// Every known family.
    pub const ALL: &'static [Self] = &[
        Self::new("DH895xCC", Some(1), Some(0x0435), &[0x0443, 0x0442], Some(32), ALL_SERVICES),
        Self::new("C62x", Some(2), Some(0x37c8), &[0x37c9], Some(16), ALL_SERVICES),
        Self::new("C3xxx", Some(2), Some(0x19e2), &[0x19e3], Some(16), ALL_SERVICES),
        Self::new("200xx", Some(2), Some(0x18ee), &[0x18ef], Some(16), SYMMETRIC),
        Self::new("D15xx", Some(2), Some(0x6f54), &[0x6f55], Some(16), SYMMETRIC),
        Self::new("C4xxx", Some(3), Some(0x18a0), &[0x18a1], Some(128), CRYPTO),
        Self::new("300xx", Some(3), None, &[0x578b], None, AcceleratorTypes::empty()),
        Self::new("4xxx", Some(4), Some(0x4940), &[0x4941], Some(16), ALL_SERVICES),
        Self::new("401xx", Some(4), Some(0x4942), &[0x4943], Some(16), ALL_SERVICES),
        Self::new("402xx", Some(4), Some(0x4944), &[0x4945], Some(16), ALL_SERVICES),
        Self::new("420xx", Some(5), Some(0x4946), &[0x4947], Some(16), ALL_SERVICES),
        Self::new("6xxx", Some(6), Some(0x4948), &[0x4949], Some(16), ALL_SERVICES),
        Self::new("apfxx", None, None, &[0x1454], None, SYMMETRIC),
        Self::new("virtual", None, None, &[0x0da5], None, AcceleratorTypes::empty()),
    ];

    const fn new(
        name: &'static str,
        generation: Option<u8>,
        physical_id: Option<u16>,
        virtual_ids: &'static [u16],
        max_virtual_functions: Option<u16>,
        built_for: AcceleratorTypes,
    ) -> Self {
        Self { name, generation, physical_id, virtual_ids, max_virtual_functions, built_for }
    }

    /// Returns the family of a PCI function and whether the function is a physical one, or `None` for a function that
    /// is not QAT.
    #[must_use]
    pub fn of(vendor_id: u16, product_id: u16) -> Option<(&'static Self, bool)> {
        if vendor_id != VENDOR_INTEL {
            return None;
        }
        Self::ALL.iter().find_map(|model| {
            if model.physical_id == Some(product_id) {
                return Some((model, true));
            }
            model.virtual_ids.contains(&product_id).then_some((model, false))
        })
    }

    /// Returns the types of work that the family supports; a configuration may allow less. Empty where that is not
    /// public.
    #[must_use]
    pub const fn types(&self) -> AcceleratorTypes {
        self.built_for
    }

    /// Returns the name in sysfs of the kernel's own driver for the physical function, or `None` for a family that
    /// libqat does not support. The name of its module has `qat_` before it.
    #[must_use]
    pub(crate) fn kernel_driver(&self) -> Option<&'static str> {
        Some(match self.physical_id? {
            0x4940 | 0x4942 | 0x4944 => "4xxx",
            0x4946 => "420xx",
            0x4948 => "6xxx",
            _ => return None,
        })
    }

    /// Returns whether libqat can use this family with the kernel's own driver.
    #[must_use]
    pub const fn support(&self) -> Support {
        match self.generation {
            Some(4..) => Support::Supported,
            Some(_) => Support::Legacy,
            None => Support::Unknown,
        }
    }
}

const SYMMETRIC: AcceleratorTypes = Service::Symmetric.types();
const CRYPTO: AcceleratorTypes = SYMMETRIC.union(Service::Asymmetric.types());
const ALL_SERVICES: AcceleratorTypes = CRYPTO.union(Service::Compression.types());
