//! The causes for which QAT hardware cannot be used. The accelerator and the module `device::lifecycle` create them;
//! nothing here looks at the machine.

use std::path::PathBuf;
use std::sync::Arc;

use accel_core::DeviceId;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::error::CpaStatus;
use crate::service::Service;

/// Why QAT hardware cannot be used on this machine, in this process, or at this time. Each message says what to check.
///
/// It is serialised as its `kind` and its message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailability {
    /// libqat or libusdm cannot be loaded.
    #[error(
        "libqat cannot be loaded, tried {}; check that qatlib 23.08 or newer is installed (from Debian 13 and \
         Ubuntu 24.04 on: libqat4; Fedora, SUSE: qatlib), or name the files in QAT_LIBRARY and USDM_LIBRARY",
        tried.join("; ")
    )]
    NoLibrary {
        /// Each file name that was tried, in order, with the system's error message.
        tried: Vec<String>,
    },

    /// A library was loaded that lacks functions which every supported release has.
    #[error(
        "{library} is not the libqat of qatlib 23.08 or newer, it lacks {}; install libqat and libusdm of the same release",
        missing.join(", ")
    )]
    MissingSymbols {
        /// The file name under which libqat was loaded.
        library: String,
        /// The names of the C functions that the library lacks.
        missing: Vec<&'static str>,
    },

    /// No QAT device is visible to this machine.
    #[error(
        "libqat is installed but finds no device: no QAT function of generation 4 or later is visible on the PCI bus; check \
         that the processor has one, that it is enabled in the firmware, and in a virtual machine or container that virtual \
         functions are passed through"
    )]
    NoDevice,

    /// The list of PCI functions cannot be read, so that it is unknown whether there are devices.
    #[error("the list of PCI functions {} cannot be read ({reason}); check that /sys is mounted", path.display())]
    NoDeviceList {
        /// The directory that lists the PCI functions.
        path: PathBuf,
        /// The system's error message.
        reason: Arc<str>,
    },

    /// All devices are of QAT 1.x.
    #[error(
        "{device} is a QAT 1.x device; libqat supports generation 4 and later, and this crate does not support Intel's \
         out-of-tree driver"
    )]
    LegacyDevice {
        /// The first such device.
        device: DeviceId,
    },

    /// The device is bound to Intel's out-of-tree driver.
    #[error(
        "{device} is bound to Intel's out-of-tree driver, which libqat cannot use; remove that driver (qat_4xxx with \
         usdm_drv) and load the kernel's own"
    )]
    OutOfTreeDriver {
        /// The first such device.
        device: DeviceId,
    },

    /// A device is present, but no driver is bound to it.
    #[error(
        "{device} has no driver; load the kernel's own (modprobe {module}), and if it does not bind to the device, read the \
         kernel's log (dmesg): often its firmware is missing (package linux-firmware, {module}.bin; then rebuild the initramfs)"
    )]
    #[non_exhaustive]
    NoDriver {
        /// The first physical function without a driver.
        device: DeviceId,
        /// The kernel module that drives the device.
        module: String,
    },

    /// A device is present, but bound to another driver than the one that creates virtual functions.
    #[error(
        "{device} is bound to {driver}, not to {expected}, the kernel's own driver for it; unbind it (write {device} to \
         /sys/bus/pci/drivers/{driver}/unbind, then to /sys/bus/pci/drivers/{expected}/bind), and check that nothing binds \
         it at boot (vfio-pci.ids on the kernel's command line, driverctl)"
    )]
    #[non_exhaustive]
    OtherDriver {
        /// The first such physical function.
        device: DeviceId,
        /// The driver that it is bound to.
        driver: String,
        /// The driver that it needs.
        expected: &'static str,
    },

    /// The driver reports that the device is down.
    #[error(
        "{device} is down (qat/state); start qat.service or write up to /sys/bus/pci/devices/{device}/qat/state, and if it \
         does not stay up, read the kernel's log (dmesg)"
    )]
    #[non_exhaustive]
    DeviceDown {
        /// The first physical function that is down.
        device: DeviceId,
    },

    /// A device is present, but it has no virtual functions, which are what a process uses.
    #[error(
        "{device} has no virtual functions (sriov_numvfs is 0); start qat.service or write their number to its \
         sriov_numvfs, and check that the IOMMU (VT-d, intel_iommu=on) and SR-IOV are enabled"
    )]
    NoVirtualFunctions {
        /// The first physical function.
        device: DeviceId,
    },

    /// Virtual functions are present, but none is bound to `vfio-pci` or `qat_vfio_pci`.
    #[error(
        "the virtual function {device} is bound to {}, not to vfio-pci or qat_vfio_pci; start qat.service, and check that the \
         IOMMU is enabled (/sys/kernel/iommu_groups is not empty)",
        driver.as_deref().unwrap_or("no driver")
    )]
    NotBound {
        /// The first virtual function.
        device: DeviceId,
        /// The driver that it is bound to; `None` when it has none.
        driver: Option<String>,
    },

    /// This process may not open the device's files.
    #[error(
        "this process may not read and write {}; add its user to the group qat and log in again, or pass the file into the \
         container",
        path.display()
    )]
    NoPermission {
        /// The first file that this process may not open.
        path: PathBuf,
    },

    /// The devices are set up correctly, but libqat does not see them.
    #[error(
        "libqat finds no device although {device} is bound to VFIO and accessible to this process; restart qat.service, and \
         check that libqat is new enough for the device"
    )]
    NotOffered {
        /// The first usable virtual function.
        device: DeviceId,
    },

    /// libqat found a device but failed to start.
    #[error(
        "libqat does not start: {status}; check the limit of locked memory (ulimit -l: 16 MiB for each virtual function, \
         and the buffers in addition), that other processes left virtual functions free (QAT_POLICY=1 shares them), and \
         what libqat printed to standard error"
    )]
    StartFailed {
        /// The status that `icp_sal_userStart` returned.
        status: CpaStatus,
    },

    /// libqat needs huge pages of 2 MiB, and none are available to it.
    #[error(
        "libqat does not start because it lacks huge pages: {free} of the system's {total} pages of 2 MiB are free; {}",
        huge_pages(*wanted, *total)
    )]
    #[non_exhaustive]
    NoHugePages {
        /// The value of `QAT_MAX_2M_HPG_PER_PROCESS`, in pages; `None` when it is not set.
        wanted: Option<u64>,
        /// The number of huge pages of 2 MiB that the system has.
        total: u64,
        /// The number of them that are free.
        free: u64,
    },

    /// The physical function does not respond to libqat, which then assumes services that the device does not have.
    #[error(
        "{device} is configured for {}, but libqat sees other services: the mailbox between the virtual function and its \
         physical function does not respond; read the kernel's log (dmesg), restart qat.service, and then restart this process, \
         because libqat does not ask again",
        list(configured)
    )]
    #[non_exhaustive]
    NoAnswer {
        /// The first usable virtual function.
        device: DeviceId,
        /// The services that the usable virtual functions are configured for.
        configured: Vec<Service>,
    },

    /// Devices are configured for a service and accessible to this process, but libqat has no instance of it.
    #[error(
        "libqat runs without instances of {} although {device} is configured for it and accessible to this process; check that \
         other processes left instances free (QAT_POLICY=1 shares them) and that the device responds (dmesg), and restart this \
         process if it lost a device before",
        service.as_ref().map_or("any service".to_owned(), |service| format!("the service {service}"))
    )]
    #[non_exhaustive]
    NoInstancesLeft {
        /// The first usable virtual function that is configured for it.
        device: DeviceId,
        /// The service; `None` when there are no instances of any service.
        service: Option<Service>,
    },

    /// The thread that has to own libqat could not be created.
    #[error(
        "could not create the thread that owns libqat: {reason}; check the limit of processes (ulimit -u)"
    )]
    NoThread {
        /// The system's error message.
        reason: Arc<str>,
    },

    /// libqat runs but has no instance of a service for this process.
    #[error(
        "libqat runs without instances of {}; check qat/cfg_services of the physical functions (often some serve sym;asym \
         and others dc), restart qat.service after a change, and check that other processes left instances free{}",
        service.as_ref().map_or("any service".to_owned(), |service| format!("the service {service}")),
        // libqat 24.02 never asks a device again that once did not respond.
        if service.is_none() { "; restart this process if it lost a device before" } else { "" }
    )]
    NoInstances {
        /// The service; `None` when there are no instances of any service.
        service: Option<Service>,
    },

    /// The device failed, and libqat is being restarted.
    #[error("{failure}; libqat is being restarted")]
    Recovering {
        /// What happened to the device.
        failure: Arc<str>,
    },

    /// The device failed, and restarting libqat has not succeeded yet.
    #[error(
        "{failure}, and libqat did not restart: {cause}; the restart is repeated at least once a minute, but some releases \
         find a lost device only in a new process: restart this process if the error persists"
    )]
    NotRecovered {
        /// What happened to the device.
        failure: Arc<str>,
        /// Why the last start failed.
        cause: Arc<Unavailability>,
    },

    /// libqat starts, but the physical functions do not respond.
    #[error(
        "libqat starts, but the physical functions still have no heartbeat; read the kernel's log about them (dmesg), and \
         reset them"
    )]
    NoHeartbeat,

    /// The process was forked after the start; the device belongs to the parent.
    #[error(
        "the device was started by the parent of this process; call reinitialize to start it in this process"
    )]
    Forked,

    /// The accelerator was shut down.
    #[error("the accelerator was shut down; call reinitialize to start again")]
    Stopped,
}

fn list(services: &[Service]) -> String {
    services.iter().map(ToString::to_string).collect::<Vec<_>>().join(";")
}

/// Returns what to do so that libqat gets huge pages.
fn huge_pages(wanted: Option<u64>, total: u64) -> String {
    const MORE: &str = "add pages in /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
    match wanted {
        Some(wanted) if wanted > 0 => {
            format!("QAT_MAX_2M_HPG_PER_PROCESS asks for up to {wanted}: {MORE}, or unset the variable")
        }
        _ if total > 0 => format!(
            "this release of libqat uses huge pages as soon as the system has any: {MORE} and check that \
             /dev/hugepages/qat is writable, set nr_hugepages to 0, or update to qatlib 26.08"
        ),
        _ => format!("VFIO without an IOMMU needs them: {MORE} and set QAT_MAX_2M_HPG_PER_PROCESS"),
    }
}

impl Unavailability {
    /// Returns whether a started libqat is being restarted, so that the state belongs to one process.
    pub(crate) const fn is_of_a_started_library(&self) -> bool {
        matches!(self, Self::Recovering { .. } | Self::NotRecovered { .. })
    }

    /// Returns a short, stable name of the cause, without its details.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NoLibrary { .. } => "no-library",
            Self::MissingSymbols { .. } => "missing-symbols",
            Self::NoDevice => "no-device",
            Self::NoDeviceList { .. } => "no-device-list",
            Self::LegacyDevice { .. } => "legacy-device",
            Self::OutOfTreeDriver { .. } => "out-of-tree-driver",
            Self::NoDriver { .. } => "no-driver",
            Self::OtherDriver { .. } => "other-driver",
            Self::DeviceDown { .. } => "device-down",
            Self::NoVirtualFunctions { .. } => "no-virtual-functions",
            Self::NotBound { .. } => "not-bound",
            Self::NoPermission { .. } => "no-permission",
            Self::NotOffered { .. } => "not-offered",
            Self::StartFailed { .. } => "start-failed",
            Self::NoHugePages { .. } => "no-huge-pages",
            Self::NoAnswer { .. } => "no-answer",
            Self::NoInstancesLeft { .. } => "no-instances-left",
            Self::NoThread { .. } => "no-thread",
            Self::NoInstances { .. } => "no-instances",
            Self::Recovering { .. } => "recovering",
            Self::NotRecovered { .. } => "not-recovered",
            Self::NoHeartbeat => "no-heartbeat",
            Self::Forked => "forked",
            Self::Stopped => "stopped",
        }
    }
}

impl From<qat_sys::LoadError> for Unavailability {
    fn from(error: qat_sys::LoadError) -> Self {
        match error {
            qat_sys::LoadError::NotFound { tried, .. } => {
                Self::NoLibrary { tried: tried.iter().map(ToString::to_string).collect() }
            }
            qat_sys::LoadError::MissingSymbols { library, missing, .. } => {
                Self::MissingSymbols { library, missing: missing.names }
            }
            other => Self::NoLibrary { tried: vec![other.to_string()] },
        }
    }
}

impl Serialize for Unavailability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Unavailability", 2)?;
        fields.serialize_field("kind", self.kind())?;
        fields.serialize_field("message", &self.to_string())?;
        fields.end()
    }
}
