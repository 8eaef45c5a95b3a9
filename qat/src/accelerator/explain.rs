//! Finds the cause of what libqat only reports as "no device", "failed" or "no instances". The accelerator calls it
//! after each failed start, and after a start without instances of some service.
//!
//! libqat reports a status at most, but the causes are visible in sysfs, from where the probe reads the devices.
//! Nothing here changes the system.

use accel_core::{DeviceId, Error, HardwareProbe};
use qat_sys::Library;

use super::qat_devices;
use crate::error::Unavailability;
use crate::probe::{Access, DeviceState, Function, HugePages, QatDevice, Support};
use crate::report::Services;
use crate::service::Service;

/// The conditions under which libqat uses the system's huge pages.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct HugePageUse {
    /// Whether this release uses them as soon as the system has any.
    pub(super) unasked: bool,
    /// The value of `QAT_MAX_2M_HPG_PER_PROCESS`; `None` when it is not set.
    pub(super) wanted: Option<u64>,
}

impl HugePageUse {
    /// Returns the conditions in this process. qatlib 25.08 to 26.02 use huge pages unasked (QAT20-42018 in its list of
    /// issues); 26.02 is not recognised, since it has the same functions as 26.08.
    pub(super) fn of(library: Option<&Library>) -> Self {
        let has =
            |name| library.is_some_and(|library| library.symbols().groups().any(|group| group.name == name));
        let wanted = std::env::var("QAT_MAX_2M_HPG_PER_PROCESS").ok();
        Self {
            unasked: has("capability_by_type") && !has("zstd"),
            // libqat reads text that is not a number as 0.
            wanted: wanted.map(|text| text.parse().unwrap_or_default()),
        }
    }
}

/// Returns the specific cause of a failed start, or `reason` when it is specific already or no cause is visible.
pub(super) fn explain(
    reason: Unavailability,
    probe: &dyn HardwareProbe,
    huge_pages: HugePageUse,
) -> Unavailability {
    let is_vague = matches!(
        reason,
        Unavailability::NoDevice
            | Unavailability::StartFailed { .. }
            | Unavailability::NoInstances { service: None }
    );
    if !is_vague {
        return reason;
    }
    let devices = match qat_devices(probe) {
        Ok(devices) => devices,
        Err(error) => {
            tracing::debug!(%error, "the probe failed, so the cause of the failed start is not known");
            let Error::Unavailable { reason: cause, .. } = error else { return reason };
            return match cause.downcast_ref::<Unavailability>() {
                Some(cause) if reason == Unavailability::NoDevice => cause.clone(),
                _ => reason,
            };
        }
    };
    if let Some(device) = usable(&devices).next() {
        return explain_usable(reason, &devices, device, huge_pages);
    }
    let virtual_functions = || supported(&devices).filter(|device| device.is_virtual());
    if let Some(closed) = virtual_functions().find_map(|device| device.vfio.as_ref()) {
        return Unavailability::NoPermission { path: closed.path.clone() };
    }
    if reason != Unavailability::NoDevice {
        return reason;
    }
    if let Some(device) = virtual_functions().next() {
        return down(&devices, device).unwrap_or_else(|| Unavailability::NotBound {
            device: device.id.clone(),
            driver: device.driver.clone(),
        });
    }
    if let Some(reason) =
        supported(&devices).filter_map(without_virtual_functions).min_by_key(|(rank, _)| *rank)
    {
        return reason.1;
    }
    let first = |support| devices.iter().find(|device| device.support == support).map(|it| it.id.clone());
    match (first(Support::OutOfTree), first(Support::Legacy)) {
        (Some(device), _) => Unavailability::OutOfTreeDriver { device },
        (None, Some(device)) => Unavailability::LegacyDevice { device },
        (None, None) => reason,
    }
}

/// Returns why libqat does not use a device that is bound to VFIO and accessible.
fn explain_usable(
    reason: Unavailability,
    devices: &[QatDevice],
    device: &QatDevice,
    huge_pages: HugePageUse,
) -> Unavailability {
    if let Some(down) = down(devices, device) {
        return down;
    }
    if reason == Unavailability::NoDevice {
        return Unavailability::NotOffered { device: device.id.clone() };
    }
    if let Some(none) = no_huge_pages(device, huge_pages) {
        return none;
    }
    let is_configured = |device: &&QatDevice| device.services.as_ref().is_some_and(|it| !it.is_empty());
    match (&reason, usable(devices).find(is_configured)) {
        (Unavailability::NoInstances { .. }, Some(device)) => {
            Unavailability::NoInstancesLeft { device: device.id.clone(), service: None }
        }
        _ => reason,
    }
}

/// The services that the usable devices are configured for, to compare with those that libqat offers.
#[derive(Debug, Default)]
pub(super) struct Configured {
    /// Each service with the first usable device that is configured for it.
    services: Vec<(Service, DeviceId)>,
}

impl Configured {
    /// Reads the configuration of the devices that this process can use. It is empty where the kernel does not show it,
    /// as inside a virtual machine.
    pub(super) fn read(probe: &dyn HardwareProbe) -> Self {
        let devices = qat_devices(probe).unwrap_or_default();
        let mut services: Vec<(Service, DeviceId)> = Vec::new();
        for device in usable(&devices) {
            for service in device.services.iter().flatten() {
                if !services.iter().any(|(seen, _)| seen == service) {
                    services.push((service.clone(), device.id.clone()));
                }
            }
        }
        Self { services }
    }

    fn device_with(&self, service: &Service) -> Option<&DeviceId> {
        let is_one = |(configured, _): &&(Service, DeviceId)| match (service, configured) {
            // A device for chaining compresses, too.
            (Service::Compression, Service::CompressionChaining) => true,
            _ => configured == service,
        };
        self.services.iter().find(is_one).map(|(_, device)| device)
    }

    /// Returns the cause if no device is configured for any service that libqat offers: libqat assumes its own defaults
    /// when a device does not respond.
    pub(super) fn no_answer(&self, offered: &Services) -> Option<Unavailability> {
        let (_, device) = self.services.first()?;
        let mut offered = offered.instances.by_service().into_iter().filter(|(_, count)| *count > 0);
        offered.all(|(service, _)| self.device_with(&service).is_none()).then(|| Unavailability::NoAnswer {
            device: device.clone(),
            configured: self.services.iter().map(|(service, _)| service.clone()).collect(),
        })
    }

    /// Returns why there are no instances of `service`.
    pub(super) fn missing(&self, service: Service) -> Unavailability {
        match self.device_with(&service) {
            Some(device) => {
                Unavailability::NoInstancesLeft { device: device.clone(), service: Some(service) }
            }
            None => Unavailability::NoInstances { service: Some(service) },
        }
    }
}

fn supported(devices: &[QatDevice]) -> impl Iterator<Item = &QatDevice> {
    devices.iter().filter(|device| device.support == Support::Supported)
}

/// Returns the virtual functions that are bound to VFIO and accessible to this process.
fn usable(devices: &[QatDevice]) -> impl Iterator<Item = &QatDevice> {
    let is_open = |device: &&QatDevice| {
        device.is_virtual() && device.vfio.as_ref().is_some_and(|vfio| vfio.access == Access::Granted)
    };
    supported(devices).filter(is_open)
}

/// Returns the cause if the physical function of a virtual one is down.
fn down(devices: &[QatDevice], device: &QatDevice) -> Option<Unavailability> {
    let Function::Virtual { physical: Some(physical) } = &device.function else { return None };
    let physical = devices.iter().find(|device| device.id == *physical)?;
    (physical.state == Some(DeviceState::Down))
        .then(|| Unavailability::DeviceDown { device: physical.id.clone() })
}

/// Returns why a physical function has no virtual ones, with a rank that is lower the fewer steps are missing.
fn without_virtual_functions(device: &QatDevice) -> Option<(u8, Unavailability)> {
    if device.is_virtual() {
        return None;
    }
    let id = device.id.clone();
    Some(match (&device.driver, device.model.kernel_driver()) {
        (None, expected) => {
            let module = format!("qat_{}", expected.unwrap_or(device.model.name));
            (3, Unavailability::NoDriver { device: id, module })
        }
        (Some(driver), Some(expected)) if driver != expected => {
            (2, Unavailability::OtherDriver { device: id, driver: driver.clone(), expected })
        }
        _ if device.state == Some(DeviceState::Down) => (1, Unavailability::DeviceDown { device: id }),
        _ => (0, Unavailability::NoVirtualFunctions { device: id }),
    })
}

/// Returns the cause if libqat needs huge pages that are not available.
fn no_huge_pages(device: &QatDevice, HugePageUse { unasked, wanted }: HugePageUse) -> Option<Unavailability> {
    let HugePages { total, free, is_open } = HugePages::beside(device);
    let asks = wanted.is_some_and(|wanted| wanted > 0);
    let node = device.vfio.as_ref().and_then(|vfio| vfio.path.file_name()?.to_str());
    let without_iommu = node.is_some_and(|name| name.starts_with("noiommu-"));
    let uses = asks || (unasked && total > 0);
    let lacks = if uses { free == 0 || !is_open } else { without_iommu };
    lacks.then_some(Unavailability::NoHugePages { wanted, total, free })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::error::CpaStatus;
    use crate::probe::tests::Tree;

    const PHYSICAL: &str = "0000:6b:00.0";
    const VIRTUAL: &str = "0000:6b:00.1";
    const UNUSED: HugePageUse = HugePageUse { unasked: false, wanted: None };

    fn physical(tree: &Tree, product: u16, driver: Option<&str>, state: &str) {
        let function = tree.function(PHYSICAL, 0x8086, product);
        function.file("sriov_numvfs", "0\n").file("sriov_totalvfs", "16\n");
        if let Some(driver) = driver {
            function.link("driver", &format!("../../../bus/pci/drivers/{driver}"));
        }
        if !state.is_empty() {
            function.file("qat/state", state).file("qat/cfg_services", "dc\n");
        }
    }

    fn virtual_function(tree: &Tree, driver: Option<&str>, node: Option<&str>) {
        let function = tree.function(VIRTUAL, 0x8086, 0x4941);
        function.link("physfn", &format!("../{PHYSICAL}"));
        function.link("iommu_group", "../../../kernel/iommu_groups/15");
        if let Some(driver) = driver {
            function.link("driver", &format!("../../../bus/pci/drivers/{driver}"));
        }
        if let Some(node) = node {
            tree.file("dev/vfio/vfio", "");
            tree.file(format!("dev/vfio/{node}"), "");
        }
    }

    fn huge_pages(tree: &Tree, total: u64, free: u64) {
        let directory = "sys/kernel/mm/hugepages/hugepages-2048kB";
        tree.file(format!("{directory}/nr_hugepages"), format!("{total}\n"));
        tree.file(format!("{directory}/free_hugepages"), format!("{free}\n"));
    }

    fn of(tree: &Tree, reason: Unavailability, pages: HugePageUse) -> (&'static str, String) {
        let reason = explain(reason, &tree.probe(), pages);
        (reason.kind(), reason.to_string())
    }

    fn no_device(tree: &Tree) -> (&'static str, String) {
        of(tree, Unavailability::NoDevice, UNUSED)
    }

    #[track_caller]
    fn assert_says((kind, text): (&str, String), expected: &str, parts: &[&str]) {
        assert_eq!(kind, expected, "{text}");
        for part in parts {
            assert!(text.contains(part), "no {part:?} in {text}");
        }
        // Each cause has its own remedy.
        let advice = [("sriov_numvfs", "no-virtual-functions"), ("cfg_services", "no-instances")];
        for (word, of) in advice {
            assert_eq!(text.contains(word), kind == of, "{kind}: {text}");
        }
    }

    #[test]
    fn each_state_of_a_physical_function_has_its_own_remedy() {
        for (product, module) in
            [(0x4940, "qat_4xxx"), (0x4944, "qat_4xxx"), (0x4946, "qat_420xx"), (0x4948, "qat_6xxx")]
        {
            let tree = Tree::new();
            physical(&tree, product, None, "");
            let load = format!("modprobe {module}");
            assert_says(no_device(&tree), "no-driver", &[PHYSICAL, &load, "firmware"]);

            let tree = Tree::new();
            physical(&tree, product, Some("vfio-pci"), "");
            let bind = format!("/sys/bus/pci/drivers/{}/bind", &module[4..]);
            assert_says(no_device(&tree), "other-driver", &[PHYSICAL, "bound to vfio-pci", &bind]);

            let tree = Tree::new();
            physical(&tree, product, Some(&module[4..]), "down\n");
            assert_says(no_device(&tree), "device-down", &[PHYSICAL, "write up to", "qat/state"]);

            for state in ["up\n", ""] {
                let tree = Tree::new();
                physical(&tree, product, Some(&module[4..]), state);
                assert_says(no_device(&tree), "no-virtual-functions", &[PHYSICAL, "qat.service"]);
            }
        }
    }

    #[test]
    fn of_several_the_one_nearest_to_working_is_named() {
        let tree = Tree::new();
        physical(&tree, 0x4940, None, "");
        let second = tree.function("0000:70:00.0", 0x8086, 0x4940);
        second.link("driver", "../../../bus/pci/drivers/4xxx").file("qat/state", "down\n");
        assert_says(no_device(&tree), "device-down", &["0000:70:00.0"]);
    }

    #[test]
    fn virtual_functions_are_explained_by_their_driver_and_their_device() {
        for driver in [None, Some("4xxxvf"), Some("uio_pci_generic")] {
            let tree = Tree::new();
            physical(&tree, 0x4940, Some("4xxx"), "up\n");
            virtual_function(&tree, driver, None);
            let bound = format!("bound to {}", driver.unwrap_or("no driver"));
            assert_says(no_device(&tree), "not-bound", &[VIRTUAL, &bound]);
        }
        for driver in ["vfio-pci", "qat_vfio_pci"] {
            let tree = Tree::new();
            physical(&tree, 0x4940, Some("4xxx"), "up\n");
            virtual_function(&tree, Some(driver), Some("15"));
            assert_says(no_device(&tree), "not-offered", &[VIRTUAL, "qat.service"]);
        }
        let tree = Tree::new();
        physical(&tree, 0x4940, Some("4xxx"), "down\n");
        virtual_function(&tree, Some("vfio-pci"), Some("15"));
        for reason in [Unavailability::NoDevice, failed(), Unavailability::NoInstances { service: None }] {
            assert_says(of(&tree, reason, UNUSED), "device-down", &[PHYSICAL]);
        }
    }

    fn failed() -> Unavailability {
        Unavailability::StartFailed { status: CpaStatus::FAIL }
    }

    #[test]
    fn a_start_that_lacks_huge_pages_says_so() {
        let wants = |wanted| HugePageUse { unasked: false, wanted: Some(wanted) };
        let unasked = HugePageUse { unasked: true, wanted: None };
        let tree = Tree::new();
        physical(&tree, 0x4940, Some("4xxx"), "up\n");
        virtual_function(&tree, Some("vfio-pci"), Some("15"));
        tree.file("dev/hugepages/qat/.keep", "");
        let none = Unavailability::NoInstances { service: None };
        for reason in [failed(), none.clone()] {
            let text = of(&tree, reason.clone(), wants(8));
            assert_says(
                text,
                "no-huge-pages",
                &["0 of the system's 0", "QAT_MAX_2M_HPG_PER_PROCESS asks", "nr_hugepages"],
            );
            for pages in [UNUSED, wants(0), unasked] {
                assert_ne!(of(&tree, reason.clone(), pages).0, "no-huge-pages", "{pages:?}");
            }
        }
        // Other processes use all pages; qatlib 25.08 still needs some.
        huge_pages(&tree, 64, 0);
        for pages in [wants(8), unasked] {
            assert_says(of(&tree, none.clone(), pages), "no-huge-pages", &["0 of the system's 64"]);
        }
        huge_pages(&tree, 64, 64);
        for pages in [wants(8), unasked] {
            assert_says(of(&tree, none.clone(), pages), "no-instances-left", &[VIRTUAL]);
        }
        // VFIO without an IOMMU needs huge pages.
        let tree = Tree::new();
        physical(&tree, 0x4940, Some("4xxx"), "up\n");
        virtual_function(&tree, Some("vfio-pci"), Some("noiommu-15"));
        assert_says(
            of(&tree, failed(), UNUSED),
            "no-huge-pages",
            &["VFIO without an IOMMU", "set QAT_MAX_2M"],
        );
    }

    #[test]
    fn missing_instances_of_configured_devices_are_not_blamed_on_the_configuration() {
        let none = Unavailability::NoInstances { service: None };
        let tree = Tree::new();
        physical(&tree, 0x4940, Some("4xxx"), "up\n");
        virtual_function(&tree, Some("vfio-pci"), Some("15"));
        assert_says(
            of(&tree, none.clone(), UNUSED),
            "no-instances-left",
            &[VIRTUAL, "other processes", "dmesg"],
        );
        assert_says(of(&tree, failed(), UNUSED), "start-failed", &[]);
        // Inside a virtual machine the configuration is not visible.
        let guest = Tree::new();
        virtual_function(&guest, Some("vfio-pci"), Some("15"));
        assert_says(of(&guest, none, UNUSED), "no-instances", &[]);
    }
}
