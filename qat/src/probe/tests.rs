//! Tests of the probe with directories that imitate sysfs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Instant;

use accel_core::Error;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::error::Unavailability;

/// A directory that imitates the `sys` and `dev` of a machine.
pub(crate) struct Tree(TempDir);

impl Tree {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Other users need access too; see `as_another_user`.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(directory.path().join("sys/bus/pci/devices")).unwrap();
        Self(directory)
    }

    pub(crate) fn probe(&self) -> QatProbe {
        QatProbe::with_root(self.0.path())
    }

    pub(crate) fn file(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn link(&self, path: impl AsRef<Path>, target: &str) {
        symlink(target, self.0.path().join(path)).unwrap();
    }

    /// Creates a PCI function as the kernel shows it: a link in the list of devices to a directory elsewhere.
    pub(crate) fn function(&self, address: &str, vendor: u16, device: u16) -> Entry<'_> {
        let directory = format!("sys/devices/pci0000:00/{address}");
        self.file(format!("{directory}/vendor"), format!("{vendor:#06x}\n"));
        self.file(format!("{directory}/device"), format!("{device:#06x}\n"));
        self.link(
            format!("sys/bus/pci/devices/{address}"),
            &format!("../../../devices/pci0000:00/{address}"),
        );
        Entry { tree: self, directory }
    }
}

pub(crate) struct Entry<'a> {
    tree: &'a Tree,
    directory: String,
}

impl Entry<'_> {
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        self.tree.file(format!("{}/{name}", self.directory), content);
        self
    }

    pub(crate) fn link(&self, name: &str, target: &str) -> &Self {
        self.tree.link(format!("{}/{name}", self.directory), target);
        self
    }
}

/// Runs `work` without the rights of root in a new thread, because the system call changes only the calling thread.
pub(super) fn as_another_user<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            if rustix::process::geteuid().is_root() {
                let nobody = rustix::process::Uid::from_raw(65_534);
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            }
            work()
        });
        other.join().unwrap()
    })
}

fn ids(devices: &[QatDevice]) -> Vec<&str> {
    devices.iter().map(|device| device.id.0.as_str()).collect()
}

/// Returns Sapphire Rapids as `qat.service` configures it, with one virtual function per device instead of sixteen.
fn configured() -> Tree {
    let tree = Tree::new();
    for (bus, services, group) in [("6b", "sym;asym", 15), ("70", "dc", 16)] {
        tree.function(&format!("0000:{bus}:00.0"), 0x8086, 0x4940)
            .file("numa_node", "0\n")
            .file("sriov_numvfs", "1\n")
            .file("sriov_totalvfs", "16\n")
            .file("qat/state", "up\n")
            .file("qat/cfg_services", format!("{services}\n"))
            .file("qat/num_rps", "64\n")
            .link("driver", "../../../bus/pci/drivers/4xxx")
            .link("iommu_group", "../../../kernel/iommu_groups/7")
            .link("virtfn0", &format!("../0000:{bus}:00.1"));
        tree.function(&format!("0000:{bus}:00.1"), 0x8086, 0x4941)
            .file("numa_node", "0\n")
            .link("driver", "../../../bus/pci/drivers/vfio-pci")
            .link("iommu_group", &format!("../../../kernel/iommu_groups/{group}"))
            .link("physfn", &format!("../0000:{bus}:00.0"));
        tree.file(format!("dev/vfio/{group}"), "");
    }
    tree.file("dev/vfio/vfio", "");
    // Other entries of a PCI bus: a network card of the same vendor, and names that are not addresses.
    tree.function("0000:00:1f.6", 0x8086, 0x15f9);
    tree.function("0000:00:02.0", 0x10de, 0x4940);
    tree.file("sys/bus/pci/devices/README/vendor", "0x8086\n");
    tree
}

#[test]
fn a_configured_machine_is_read_in_full() {
    let tree = configured();
    let devices = tree.probe().devices().unwrap();
    assert_eq!(ids(&devices), ["0000:6b:00.0", "0000:6b:00.1", "0000:70:00.0", "0000:70:00.1"]);
    let [physical, share, _, compressing] = &devices[..] else { unreachable!() };

    assert_eq!((physical.model.name, physical.model.generation), ("4xxx", Some(4)));
    let expected = Function::Physical {
        enabled: Some(1),
        total: Some(16),
        virtual_functions: vec![DeviceId("0000:6b:00.1".to_owned())],
    };
    assert_eq!(physical.function, expected);
    assert_eq!(physical.driver.as_deref(), Some("4xxx"));
    assert_eq!((physical.numa_node, physical.iommu_group), (Some(0), Some(7)));
    assert_eq!((physical.state.clone(), physical.ring_pairs), (Some(DeviceState::Up), Some(64)));
    assert_eq!(physical.vfio, None);
    assert_eq!(physical.debug_path, Some(tree.0.path().join("sys/kernel/debug/qat_4xxx_0000:6b:00.0")));
    assert_eq!(share.debug_path, None);

    assert_eq!(share.function, Function::Virtual { physical: Some(physical.id.clone()) });
    assert_eq!(share.services, Some(vec![Service::Symmetric, Service::Asymmetric]));
    let vfio = share.vfio.as_ref().unwrap();
    assert_eq!(
        (vfio.path.as_path(), vfio.access),
        (tree.0.path().join("dev/vfio/15").as_path(), Access::Granted)
    );
    assert_eq!(compressing.types(), AcceleratorTypes::COMPRESSION);
    assert_eq!(share.support, Support::Supported);
}

#[test]
fn discovery_filters_by_type_and_finds_by_id() {
    let tree = configured();
    let probe = tree.probe();
    let found = probe.discover(AcceleratorTypes::COMPRESSION).unwrap();
    assert_eq!(found.iter().map(|it| it.id.0.as_str()).collect::<Vec<_>>(), ["0000:70:00.0", "0000:70:00.1"]);
    assert_eq!(found[1].name, "Intel QAT 4xxx virtual function");
    assert_eq!((found[1].vendor_id, found[1].product_id), (0x8086, 0x4941));
    assert_eq!(found[1].properties[property::SERVICES], "dc");
    assert_eq!(found[1].properties[property::VFIO_ACCESS], "granted");
    assert_eq!(probe.discover(AcceleratorTypes::PUBLIC_KEY).unwrap().len(), 2);
    assert_eq!(probe.discover(AcceleratorTypes::empty()).unwrap().len(), 4);

    let id = DeviceId("0000:70:00.1".to_owned());
    assert_eq!(probe.device(&id).unwrap().as_ref(), Some(&found[1]));
    for absent in ["0000:70:00.2", "0000:00:1f.6", "", "..", "../../../etc", "0000:70:00.1/../0000:70:00.1"] {
        assert_eq!(probe.device(&DeviceId(absent.to_owned())).unwrap(), None, "{absent:?}");
    }
}

#[test]
fn every_generation_is_recognised() {
    // The ids and counts from the tables of the kernel and of DPDK, written independently.
    let families = [
        ("DH895xCC", 1, 0x0435, 0x0443, Support::Legacy),
        ("C62x", 2, 0x37c8, 0x37c9, Support::Legacy),
        ("C3xxx", 2, 0x19e2, 0x19e3, Support::Legacy),
        ("200xx", 2, 0x18ee, 0x18ef, Support::Legacy),
        ("D15xx", 2, 0x6f54, 0x6f55, Support::Legacy),
        ("C4xxx", 3, 0x18a0, 0x18a1, Support::Legacy),
        ("4xxx", 4, 0x4940, 0x4941, Support::Supported),
        ("401xx", 4, 0x4942, 0x4943, Support::Supported),
        ("402xx", 4, 0x4944, 0x4945, Support::Supported),
        ("420xx", 5, 0x4946, 0x4947, Support::Supported),
        ("6xxx", 6, 0x4948, 0x4949, Support::Supported),
    ];
    for (name, generation, physical, share, support) in families {
        let tree = Tree::new();
        tree.function("0000:01:00.0", 0x8086, physical);
        tree.function("0000:01:00.1", 0x8086, share);
        let devices = tree.probe().devices().unwrap();
        assert_eq!(devices.len(), 2, "{name}");
        for device in &devices {
            let model = device.model;
            assert_eq!((model.name, model.generation, device.support), (name, Some(generation), support));
            assert!(device.types().contains(AcceleratorTypes::ENCRYPTION), "as built: {name}");
        }
        assert!(!devices[0].is_virtual() && devices[1].is_virtual());
        // A virtual function whose physical one is not visible, as inside a virtual machine.
        assert_eq!(devices[1].function, Function::Virtual { physical: None });
    }
    let others = [
        (0x0442, Support::Legacy),
        (0x578b, Support::Legacy),
        (0x1454, Support::Unknown),
        (0x0da5, Support::Unknown),
    ];
    for (id, support) in others {
        let tree = Tree::new();
        tree.function("0000:01:00.1", 0x8086, id);
        let device = &tree.probe().devices().unwrap()[0];
        assert!(device.is_virtual() && device.support == support, "{id:04x}");
    }
}

#[test]
fn the_out_of_tree_driver_is_recognised_and_said() {
    let tree = configured();
    tree.file("sys/module/usdm_drv/initstate", "live\n");
    let found = tree.probe().discover(AcceleratorTypes::empty()).unwrap();
    assert_eq!(found[0].properties[property::SUPPORT], "out-of-tree");
    let support = QatDevice::try_from(&found[0]).unwrap().support;
    assert!(support.to_string().contains("use the kernel's own driver"));
}

#[test]
fn a_physical_function_without_virtual_ones() {
    let tree = Tree::new();
    tree.function("0000:6b:00.0", 0x8086, 0x4944)
        .file("sriov_numvfs", "0\n")
        .file("numa_node", "-1\n")
        .file("qat/state", "down\n")
        .file("qat/cfg_services", "dcc\n");
    let device = &tree.probe().devices().unwrap()[0];
    let expected = Function::Physical { enabled: Some(0), total: None, virtual_functions: vec![] };
    assert_eq!(device.function, expected);
    assert_eq!((device.numa_node, device.state.clone()), (None, Some(DeviceState::Down)));
    assert_eq!(device.types(), AcceleratorTypes::COMPRESSION | AcceleratorTypes::HASHING);
}

#[test]
fn access_is_told_without_opening() {
    let tree = configured();
    let set_mode = |path: &str, mode| {
        fs::set_permissions(tree.0.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    let vfio = || {
        let devices = as_another_user(|| tree.probe().devices().unwrap());
        let vfio = devices[1].vfio.clone().unwrap();
        (vfio.path.file_name().unwrap().to_str().unwrap().to_owned(), vfio.access)
    };
    set_mode("dev/vfio/vfio", 0o666);
    set_mode("dev/vfio/15", 0o600);
    assert_eq!(vfio(), ("15".to_owned(), Access::Denied));
    set_mode("dev/vfio/15", 0o666);
    assert_eq!(vfio(), ("15".to_owned(), Access::Granted));
    fs::rename(tree.0.path().join("dev/vfio/15"), tree.0.path().join("dev/vfio/noiommu-15")).unwrap();
    assert_eq!(vfio(), ("noiommu-15".to_owned(), Access::Granted));
    fs::remove_file(tree.0.path().join("dev/vfio/noiommu-15")).unwrap();
    assert_eq!(vfio(), ("15".to_owned(), Access::Missing));
    set_mode("dev/vfio/vfio", 0o444);
    assert_eq!(vfio(), ("vfio".to_owned(), Access::Denied));
}

#[test]
fn malformed_and_unreadable_files_are_facts_not_known() {
    let tree = Tree::new();
    tree.function("0000:6b:00.0", 0x8086, 0x4940)
        .file("numa_node", "zero")
        .file("sriov_numvfs", "99999999999999999999")
        .file("sriov_totalvfs", b"\xff\xfe\x00")
        .file("qat/state", "sideways\n")
        .file("qat/cfg_services", " sym ;; dc;teleport\n")
        .file("qat/num_rps", "")
        .file("driver", "not a link")
        .file("virtfn0", "not a link")
        .link("virtfn1", "../not-an-address")
        .link("iommu_group", "/");
    // A function that cannot be identified is not a QAT function.
    tree.function("0000:6c:00.0", 0x8086, 0x4940).file("device", "4940\n");
    tree.file("sys/bus/pci/devices/0000:6d:00.0/vendor", "0x8086\n");
    let devices = tree.probe().devices().unwrap();
    assert_eq!(ids(&devices), ["0000:6b:00.0"]);
    let device = &devices[0];
    let nothing = Function::Physical { enabled: None, total: None, virtual_functions: vec![] };
    assert_eq!(device.function, nothing);
    assert_eq!(
        (device.numa_node, device.iommu_group, device.ring_pairs, &device.driver),
        (None, None, None, &None)
    );
    assert_eq!(device.state, Some(DeviceState::Other("sideways".into())));
    let services = vec![Service::Symmetric, Service::Compression, Service::Other("teleport".into())];
    assert_eq!(device.services, Some(services));

    let secret = tree.0.path().join("sys/devices/pci0000:00/0000:6b:00.0/qat/state");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o0)).unwrap();
    let devices = as_another_user(|| tree.probe().devices().unwrap());
    assert_eq!((devices.len(), devices[0].state.clone()), (1, None));
}

#[test]
fn both_vfio_drivers_are_a_way_in() {
    let tree = configured();
    let driver = tree.0.path().join("sys/devices/pci0000:00/0000:6b:00.1/driver");
    fs::remove_file(&driver).unwrap();
    symlink("../../../bus/pci/drivers/qat_vfio_pci", &driver).unwrap();
    let vfio = tree.probe().devices().unwrap()[1].vfio.clone().unwrap();
    assert_eq!((vfio.path.file_name().unwrap().to_str(), vfio.access), (Some("15"), Access::Granted));
}

#[test]
fn the_fingerprint_changes_with_the_nodes_of_functions() {
    let tree = Tree::new();
    let print = || tree.probe().fingerprint();
    let mut seen = vec![print()];
    tree.file("dev/vfio/vfio", "");
    seen.push(print());
    // The resolution of file times is the tick of the kernel's clock.
    thread::sleep(Duration::from_millis(20));
    tree.file("dev/vfio/15", "");
    seen.push(print());
    thread::sleep(Duration::from_millis(20));
    fs::remove_file(tree.0.path().join("dev/vfio/15")).unwrap();
    seen.push(print());
    assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "{seen:?}");
    assert_eq!(print(), print());
}

#[test]
fn no_sysfs_is_no_device_and_a_closed_one_is_an_error() {
    let empty = tempfile::tempdir().unwrap();
    let probe = QatProbe::with_root(empty.path());
    assert_eq!(probe.discover(AcceleratorTypes::empty()).unwrap(), []);
    assert_eq!(probe.device(&DeviceId("0000:6b:00.0".to_owned())).unwrap(), None);

    let tree = Tree::new();
    let list = tree.0.path().join("sys/bus/pci/devices");
    fs::set_permissions(&list, fs::Permissions::from_mode(0o0)).unwrap();
    let error = as_another_user(|| tree.probe().discover(AcceleratorTypes::empty()).unwrap_err());
    let Error::Unavailable { reason, .. } = error else { panic!("{error}") };
    assert!(matches!(
        reason.downcast_ref(),
        Some(Unavailability::NoDeviceList { path, .. }) if *path == list
    ));
}

#[test]
fn changes_are_told_and_the_watch_ends_with_its_subscriber() {
    let tree = configured();
    let changes = tree.probe().subscribe(Duration::from_millis(5)).unwrap();
    let wait = || changes.recv_timeout(Duration::from_secs(30)).expect("a change");
    assert_eq!(changes.try_recv(), None);

    tree.file("sys/devices/pci0000:00/0000:70:00.0/qat/state", "down\n");
    let DeviceChange::Changed { before, after } = wait() else { panic!() };
    assert_eq!((before.properties[property::STATE].as_str(), after.id.0.as_str()), ("up", "0000:70:00.0"));

    // The directory of the virtual function is removed, and with it all that is known about it.
    fs::remove_file(tree.0.path().join("sys/bus/pci/devices/0000:70:00.1")).unwrap();
    let DeviceChange::Removed(gone) = wait() else { panic!() };
    assert_eq!(gone.id.0, "0000:70:00.1");

    tree.function("0000:75:00.0", 0x8086, 0x4940);
    let DeviceChange::Added(added) = wait() else { panic!() };
    assert_eq!(added.id.0, "0000:75:00.0");

    let named = || {
        let tasks = fs::read_dir("/proc/self/task").unwrap();
        tasks
            .filter(|task| {
                let name = fs::read_to_string(task.as_ref().unwrap().path().join("comm"));
                name.is_ok_and(|name| name == "qat-probe\n")
            })
            .count()
    };
    let before = named();
    let idle = tree.probe().subscribe(Duration::from_secs(3600)).unwrap();
    drop(idle);
    let started = Instant::now();
    drop(changes);
    while named() >= before.max(1) {
        assert!(started.elapsed() < Duration::from_secs(30), "the watching thread is still there");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn differences_name_each_device_once() {
    let tree = configured();
    let all = tree.probe().discover(AcceleratorTypes::empty()).unwrap();
    assert!(differences(&all, &all).is_empty());
    assert_eq!(differences(&[], &all).len(), 4);
    let mut later = all.clone();
    later[2].driver = None;
    let gone = later.remove(0);
    let expected = [
        DeviceChange::Removed(gone),
        DeviceChange::Changed { before: all[2].clone(), after: later[1].clone() },
    ];
    assert_eq!(differences(&all, &later), expected);
}

#[test]
fn this_machine_can_be_probed() {
    for device in QatProbe::new().devices().unwrap() {
        println!("{device:?}");
    }
}

/// Every file that the probe reads; the tests give them arbitrary content.
const FILES: [&str; 8] = [
    "vendor",
    "device",
    "numa_node",
    "sriov_numvfs",
    "sriov_totalvfs",
    "qat/state",
    "qat/cfg_services",
    "qat/num_rps",
];

fn content() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..100),
        "[-0-9a-fx;sym dc]{0,20}\n?".prop_map(String::into_bytes),
        Just(vec![b'9'; 5000]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn arbitrary_contents_never_panic_and_records_convert_both_ways(
        replaced in proptest::collection::btree_map(0..FILES.len(), content(), 0..FILES.len()),
        is_physical: bool,
        target in "[/.a-f0-9:]{1,20}",
    ) {
        let tree = Tree::new();
        let function = tree.function("0000:6b:00.0", 0x8086, if is_physical { 0x4940 } else { 0x4941 });
        for link in ["driver", "iommu_group", "physfn", "virtfn0"] {
            function.link(link, &target);
        }
        for (file, content) in replaced {
            function.file(FILES[file], content);
        }
        for device in tree.probe().devices().unwrap() {
            let record = Device::from(&device);
            prop_assert_eq!(QatDevice::try_from(&record), Ok(device));
        }
    }

    #[test]
    fn arbitrary_properties_never_panic(
        properties in proptest::collection::btree_map(
            prop_oneof![Just(property::NUMA_NODE), Just(property::VFIO_ACCESS), Just(property::VFIO_PATH),
                Just(property::SUPPORT), Just(property::SERVICES), Just(property::VIRTUAL_FUNCTIONS)],
            ".*", 0..6),
    ) {
        let mut device = Device::new(DeviceId(String::new()), "", VENDOR_INTEL, 0x4940);
        device.properties = properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        prop_assert!(QatDevice::try_from(&device).is_ok());
        device.product_id = 0;
        prop_assert!(QatDevice::try_from(&device).is_err());
    }
}
