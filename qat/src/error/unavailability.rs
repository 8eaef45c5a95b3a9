//! Why the hardware cannot be used.

use std::path::PathBuf;
use std::sync::Arc;

use accel_core::DeviceId;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::error::CpaStatus;
use crate::service::Service;

/// Why QAT hardware cannot be used on this machine, in this process, or now. Each text says what to check.
///
/// Serialised as its `kind` and its text.
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
        /// Each name tried, in order, with what the system said.
        tried: Vec<String>,
    },

    /// A library is there that lacks functions of every supported release.
    #[error(
        "{library} is no libqat of qatlib 23.08 or newer, it lacks {}; check that libqat and libusdm are of one release",
        missing.join(", ")
    )]
    MissingSymbols {
        /// The name under which libqat was loaded.
        library: String,
        /// The C functions it lacks.
        missing: Vec<&'static str>,
    },

    /// No QAT device is visible to this machine.
    #[error(
        "libqat is there and finds no device: no QAT function of generation 4 or later is visible on the PCI bus; check \
         that the processor has one, that it is switched on in the firmware, and in a virtual machine or container that \
         virtual functions are passed through"
    )]
    NoDevice,

    /// The list of PCI functions cannot be read, so that nothing can be said of devices.
    #[error("the list of PCI functions {} cannot be read ({reason}); check that /sys is mounted", path.display())]
    NoDeviceList {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        reason: Arc<str>,
    },

    /// Only devices of QAT 1.x are there.
    #[error(
        "{device} is a QAT 1.x device; libqat drives generation 4 and later, and Intel's out-of-tree driver with its own \
         library is not supported here"
    )]
    LegacyDevice {
        /// The first of them.
        device: DeviceId,
    },

    /// Intel's out-of-tree driver has the device.
    #[error(
        "{device} is in the hands of Intel's out-of-tree driver, which libqat cannot use; remove that driver (qat_4xxx \
         with usdm_drv) and load the kernel's own"
    )]
    OutOfTreeDriver {
        /// The first such device.
        device: DeviceId,
    },

    /// A device is there, but no driver has it.
    #[error(
        "{device} has no driver; load the kernel's own (modprobe {module}), and if it does not take the device, look at what \
         it says (dmesg): often its firmware is missing (package linux-firmware, {module}.bin; then build the initramfs anew)"
    )]
    #[non_exhaustive]
    NoDriver {
        /// The first physical function without a driver.
        device: DeviceId,
        /// The kernel module.
        module: String,
    },

    /// A device is there, but another driver than the one that makes virtual functions has it.
    #[error(
        "{device} is bound to {driver}, not to {expected}, the kernel's own driver for it; unbind it (write {device} to \
         /sys/bus/pci/drivers/{driver}/unbind, then to /sys/bus/pci/drivers/{expected}/bind), and check that nothing claims \
         it at boot (vfio-pci.ids on the kernel's command line, driverctl)"
    )]
    #[non_exhaustive]
    OtherDriver {
        /// The first such physical function.
        device: DeviceId,
        /// Its driver.
        driver: String,
        /// The driver it needs.
        expected: &'static str,
    },

    /// The driver has the device down.
    #[error(
        "{device} is down (qat/state); start qat.service or write up to /sys/bus/pci/devices/{device}/qat/state, and if it \
         does not stay up, look at what the kernel says (dmesg)"
    )]
    #[non_exhaustive]
    DeviceDown {
        /// The first physical function that is down.
        device: DeviceId,
    },

    /// A device is there, but it has no virtual functions, which are what a process uses.
    #[error(
        "{device} has no virtual functions (sriov_numvfs is 0); start qat.service or write their number to its \
         sriov_numvfs, and check that the IOMMU (VT-d, intel_iommu=on) and SR-IOV are switched on"
    )]
    NoVirtualFunctions {
        /// The first physical function.
        device: DeviceId,
    },

    /// Virtual functions are there, but none is bound to `vfio-pci` or `qat_vfio_pci`.
    #[error(
        "the virtual function {device} is bound to {}, not to vfio-pci or qat_vfio_pci; start qat.service, and check that the IOMMU is \
         switched on (/sys/kernel/iommu_groups is not empty)",
        driver.as_deref().unwrap_or("no driver")
    )]
    NotBound {
        /// The first virtual function.
        device: DeviceId,
        /// Its driver.
        driver: Option<String>,
    },

    /// The way to the device is closed to this process.
    #[error(
        "this process may not read and write {}; add its user to the group qat and log in again, or pass the file into the \
         container",
        path.display()
    )]
    NoPermission {
        /// The first file in the way.
        path: PathBuf,
    },

    /// Everything looks right, and libqat sees no device all the same.
    #[error(
        "libqat finds no device although {device} is bound to VFIO and open to this process; check qat.service (restart \
         it after an update), and that libqat is new enough for the device"
    )]
    NotOffered {
        /// The first usable virtual function.
        device: DeviceId,
    },

    /// libqat found a device and could not start on it.
    #[error(
        "libqat does not start: {status}; check the limit of locked memory (ulimit -l: 16 MiB for each virtual function and \
         the buffers on top), that other processes left virtual functions free (QAT_POLICY=1 shares them), and what libqat \
         printed on the standard error stream"
    )]
    StartFailed {
        /// What `icp_sal_userStart` returned.
        status: CpaStatus,
    },

    /// libqat wants huge pages of 2 MiB, and there are none for it.
    #[error(
        "libqat does not start for want of huge pages: {free} of the system's {total} pages of 2 MiB are free; {}",
        huge_pages(*wanted, *total)
    )]
    #[non_exhaustive]
    NoHugePages {
        /// What `QAT_MAX_2M_HPG_PER_PROCESS` says; `None` when it is not set.
        wanted: Option<u64>,
        /// Huge pages of 2 MiB that the system has.
        total: u64,
        /// Those of them that are free.
        free: u64,
    },

    /// The physical function does not answer libqat, which takes services for granted then that the device does not have.
    #[error(
        "{device} is configured for {}, but libqat sees other services: the mailbox between the virtual function and its \
         physical one does not answer; look at what the kernel says (dmesg), restart qat.service, and then start this \
         process anew, for libqat does not ask again",
        list(configured)
    )]
    #[non_exhaustive]
    NoAnswer {
        /// The first usable virtual function.
        device: DeviceId,
        /// What the usable virtual functions are configured for.
        configured: Vec<Service>,
    },

    /// Devices are configured for a service and open to this process, and libqat has no instance of it.
    #[error(
        "libqat runs without instances of {} although {device} is configured for it and open to this process; check that \
         other processes left instances free (QAT_POLICY=1 shares them) and that the device answers (dmesg), and start this \
         process anew if it lost a device before",
        service.as_ref().map_or("any service".to_owned(), |service| format!("the service {service}"))
    )]
    #[non_exhaustive]
    NoInstancesLeft {
        /// The first usable virtual function that is configured for it.
        device: DeviceId,
        /// The service; `None` when there is none of any.
        service: Option<Service>,
    },

    /// The thread that has to own the library could not be made.
    #[error("no thread for the driver: {reason}; check the limit of processes (ulimit -u)")]
    NoThread {
        /// What the system said.
        reason: Arc<str>,
    },

    /// libqat runs and has no instance of a service for this process.
    #[error(
        "libqat runs without instances of {}; check qat/cfg_services of the physical functions (often some serve sym;asym \
         and others dc), restart qat.service after a change, and check that other processes left instances free{}",
        service.as_ref().map_or("any service".to_owned(), |service| format!("the service {service}")),
        // libqat 24.02 asks no device again after one did not answer.
        if service.is_none() { "; start this process anew if it lost a device before" } else { "" }
    )]
    NoInstances {
        /// The service; `None` when there is none of any.
        service: Option<Service>,
    },

    /// The device failed, and libqat is being stopped and started anew.
    #[error("{failure}; libqat is being stopped and started anew")]
    Recovering {
        /// What happened.
        failure: Arc<str>,
    },

    /// The device failed, and a new start of libqat did not bring it back yet.
    #[error(
        "{failure}, and libqat did not start anew: {cause}; it is tried again, after a minute at the latest, but some \
         releases find a device that was lost only in a new process"
    )]
    NotRecovered {
        /// What happened.
        failure: Arc<str>,
        /// What the last start came to.
        cause: Arc<Unavailability>,
    },

    /// libqat starts, but nothing answers behind it.
    #[error(
        "libqat starts, but the heartbeat of the physical functions is still dead; look at what the kernel says of them \
         (dmesg), and reset them"
    )]
    NoHeartbeat,

    /// The process was forked after the start; the device belongs to the parent.
    #[error(
        "the device was started by the parent of this process; call reinitialize to start afresh in the child"
    )]
    Forked,

    /// The accelerator was shut down.
    #[error("the accelerator was shut down; call reinitialize to start again")]
    Stopped,
}

fn list(services: &[Service]) -> String {
    services.iter().map(ToString::to_string).collect::<Vec<_>>().join(";")
}

/// What to do for huge pages.
fn huge_pages(wanted: Option<u64>, total: u64) -> String {
    const MORE: &str = "add pages in /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
    match wanted {
        Some(wanted) if wanted > 0 => {
            format!("QAT_MAX_2M_HPG_PER_PROCESS asks for up to {wanted}: {MORE}, or unset the variable")
        }
        _ if total > 0 => format!(
            "this release of libqat takes them as soon as there are any, for whomever: {MORE} and see that \
             /dev/hugepages/qat may be written, set nr_hugepages to 0, or update to qatlib 26.08"
        ),
        _ => format!("VFIO without an IOMMU needs them: {MORE} and set QAT_MAX_2M_HPG_PER_PROCESS"),
    }
}

impl Unavailability {
    /// Whether libqat was started and would be again.
    pub(crate) const fn is_of_a_started_library(&self) -> bool {
        matches!(self, Self::Recovering { .. } | Self::NotRecovered { .. })
    }

    /// A short stable name of the reason, without its particulars.
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
