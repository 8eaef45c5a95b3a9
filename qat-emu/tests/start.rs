//! Start and stop of the real library on emulated devices.

mod libqat;

use libqat::{FAIL, SUCCESS, with_machine, with_started};
use qat_emu::{Config, Service, Services};

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

#[test]
fn every_mix_of_services_gives_its_instances() {
    let mixes = [
        (Services::DC, 4, 0),
        (Services::SYM, 0, 4),
        (Services::ASYM, 0, 4),
        (Services::SYM_DC, 2, 2),
        (Services::ASYM_DC, 2, 2),
        (Services::ASYM_SYM, 0, 2),
    ];
    for (services, dc, cy) in mixes {
        with_started(Config::with_vfs(1, services), |library, _| {
            let found = (library.dc_instances().len(), library.cy_instances().len());
            assert_eq!(found, (dc, cy), "{services}");
        });
    }
}

#[test]
fn eight_functions_over_two_devices_are_all_seen() {
    let mut config = Config::with_vfs(4, Services::DC);
    config.devices.push(qat_emu::Device::new(4, Services::SYM, 1));
    with_started(config, |library, emulator| {
        assert_eq!((library.dc_instances().len(), library.cy_instances().len()), (16, 16));
        assert_eq!(emulator.counters().service(Service::Compression).requests, 0);
    });
}

#[test]
fn without_a_function_the_start_fails() {
    with_machine(Config::with_vfs(0, Services::DC), |library, _| {
        assert_eq!(library.try_start(), FAIL);
    });
}
