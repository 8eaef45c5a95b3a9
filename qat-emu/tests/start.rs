//! Tests of starting and stopping the real library on emulated devices.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod libqat;
#[path = "libqat/machine.rs"]
mod machine;

use std::{env, fs};

use libqat::{FAIL, SUCCESS};
use machine::{with_machine, with_started};
use qat_emu::{Config, Services};

#[test]
fn starts_and_stops_again_and_again() {
    with_machine(Config::with_vfs(1, Services::SYM_DC), |library, emulator| {
        for _ in 0..3 {
            library.start();
            assert_eq!((library.dc_instances().len(), library.cy_instances().len()), (2, 2));
            assert_eq!(library.stop(), SUCCESS);
        }
        let counters = emulator.counters();
        assert_eq!(counters.audit(), Vec::<String>::new());
        assert!(counters.mailbox_messages > 0 && counters.maps == counters.unmaps);
    });
}

/// Each combination runs in a process of its own, because libqat remembers a device's services after it stops.
#[test]
fn every_mix_of_services_gives_its_instances() {
    let mixes = [
        ("dc", 4, 0),
        ("dcc", 4, 0),
        ("sym", 0, 4),
        ("asym", 0, 4),
        ("sym;dc", 2, 2),
        ("asym;dc", 2, 2),
        ("asym;sym", 0, 2),
    ];
    if let Ok(mix) = env::var("TEST_MIX") {
        let services: Services = mix.parse().unwrap();
        with_started(Config::with_vfs(1, services), |library, _| {
            let found = (mix.as_str(), library.dc_instances().len(), library.cy_instances().len());
            assert!(mixes.contains(&found), "{found:?}");
        });
        return;
    }
    for (mix, ..) in mixes {
        libqat::rerun("every_mix_of_services_gives_its_instances", &[("TEST_MIX", mix)]);
    }
}

/// Without a policy, libqat uses at most six functions.
#[test]
fn functions_over_two_devices_are_all_seen() {
    let mut config = Config::with_vfs(3, Services::DC);
    config.devices.push(qat_emu::Device::new(3, Services::SYM, 1));
    with_started(config, |library, emulator| {
        assert_eq!((library.dc_instances().len(), library.cy_instances().len()), (12, 12));
        assert_eq!(emulator.counters().device_opens, 12);
    });
}

#[test]
fn without_a_function_the_start_fails() {
    with_machine(Config::with_vfs(0, Services::DC), |library, _| {
        assert_eq!(library.try_start(), FAIL);
    });
}

/// With visible physical functions, the library reads the kernel's heartbeat file. The test runs in a process of its
/// own, because the library remembers the physical functions.
#[test]
fn a_host_has_a_heartbeat() {
    if env::var_os("TEST_HOST").is_none() {
        libqat::rerun("a_host_has_a_heartbeat", &[("TEST_HOST", "1")]);
        return;
    }
    for (dead, expected) in [("false", SUCCESS), ("true", FAIL)] {
        let scenario = format!("host = true\n[start]\nheartbeat_dead = {dead}");
        with_started(Config::from_toml(&scenario).unwrap(), |library, emulator| {
            assert_eq!((library.dc_instances().len(), library.cy_instances().len()), (2, 2));
            // SAFETY: `icp_sal_check_device` takes any package number.
            assert_eq!(unsafe { (library.icp_sal_check_device)(0) }, expected);
            emulator.hang(0);
            // SAFETY: `icp_sal_check_device` takes any package number.
            assert_eq!(unsafe { (library.icp_sal_check_device)(0) }, FAIL);
            emulator.revive(0);
            // SAFETY: `icp_sal_check_device` takes any package number.
            assert_eq!(unsafe { (library.icp_sal_check_device)(0) }, expected);
        });
    }
}

/// A file of sysfs cannot be written, because the emulator would not act on it.
#[test]
fn files_of_sysfs_are_read_only() {
    with_machine(Config::default(), |_, _| {
        for file in
            ["/sys/bus/pci/drivers/vfio-pci/bind", "/sys/kernel/iommu_groups/200/devices/0000:10:00.1/vendor"]
        {
            assert_eq!(fs::write(file, "1").unwrap_err().raw_os_error(), Some(libc::EACCES), "{file}");
        }
    });
}

/// The kernel's files of a device are up to date by whichever path they are opened. As in the kernel, the telemetry
/// cannot be read before it is switched on.
#[test]
fn debug_files_are_the_kernels() {
    with_machine(Config::default(), |_, emulator| {
        let real = std::path::PathBuf::from("/sys/kernel/debug/qat_4xxx_0000:10:00.0");
        for directory in [emulator.tree().join(real.strip_prefix("/").unwrap()), real] {
            let read = |name: &str| fs::read_to_string(directory.join(name));
            let lines = "AE          Requests        Responses\n 0:                0                0\n";
            assert_eq!(read("fw_counters").unwrap(), lines);
            // A file for which writing has no effect cannot be opened for writing.
            for file in ["fw_counters", "heartbeat/config"] {
                let refused = fs::write(directory.join(file), "1").unwrap_err();
                assert_eq!(refused.raw_os_error(), Some(libc::EACCES), "{file}");
            }
            fs::write(directory.join("telemetry/control"), "0\n").unwrap();
            let refused = read("telemetry/device_data").unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(libc::EPERM));
            for (control, values) in [("1", 1), ("3", 4)] {
                fs::write(directory.join("telemetry/control"), control).unwrap();
                assert_eq!(read("telemetry/control").unwrap(), control);
                let data = read("telemetry/device_data").unwrap();
                let line = data.lines().find(|line| line.starts_with("util_cpr0 ")).unwrap();
                assert_eq!(line.len(), 23 + 20 * values, "{line:?}");
            }
        }
    });
}

#[test]
fn the_same_with_libqat_26_08() {
    machine::all_with_newer("the_same_with_libqat_26_08");
}
