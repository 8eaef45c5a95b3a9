//! The files that the kernel's driver offers about a device: counters, heartbeat, telemetry
//! (`Documentation/ABI/testing/debugfs-driver-qat*` of the kernel). Each is written anew when it is opened.

use std::sync::atomic::Ordering::Relaxed;

use crate::{
    config::{Model, Service},
    device::vf::physical_address,
    machine::Machine,
};

const FILES: [&str; 8] = [
    "fw_counters",
    "cnv_errors",
    "heartbeat/status",
    "heartbeat/queries_sent",
    "heartbeat/queries_failed",
    "heartbeat/config",
    "telemetry/control",
    "telemetry/device_data",
];

/// Directory of a device.
fn directory(model: Model, device: usize) -> String {
    format!("/sys/kernel/debug/qat_{}_{}/", model.driver_name(), physical_address(device))
}

/// Paths of a device's files.
pub(crate) fn paths(model: Model, device: usize) -> impl Iterator<Item = String> {
    FILES.iter().map(move |file| directory(model, device) + file)
}

/// What a file holds now; `None` when there is no such file.
pub(crate) fn content(machine: &Machine, path: &str) -> Option<String> {
    let devices = machine.config.devices.iter().enumerate();
    let (device, file) =
        devices.filter_map(|(i, d)| Some((i, path.strip_prefix(&directory(d.model, i))?))).next()?;
    let counters = machine.counters.snapshot();
    let of_device = |by_vf: &[u64]| -> u64 {
        let vfs = machine.vfs.iter().filter(|vf| vf.identity.device == device);
        vfs.filter_map(|vf| by_vf.get(vf.identity.index)).sum()
    };
    Some(match file {
        "fw_counters" => {
            let (requests, responses) = (of_device(&counters.vf_requests), of_device(&counters.vf_responses));
            format!("AE          Requests        Responses\n{:2}: {requests:16} {responses:16}\n", 0)
        }
        "cnv_errors"
            if machine.config.devices[device].services.ring_pairs().contains(&Service::Compression) =>
        {
            let count = of_device(&counters.vf_verify_errors);
            let last = if count == 0 { "No Error [0]" } else { "Checksum Error [0]" };
            format!("AE      Total Errors      Last Error\n0: {count}  {last}\n")
        }
        "cnv_errors" => "No engine configured for comp\n".to_owned(),
        // Reading it is the query.
        "heartbeat/status" => {
            machine.counters.heartbeat_queries.fetch_add(1, Relaxed);
            if is_alive(machine, device) { "0\n" } else { "-1\n" }.to_owned()
        }
        "heartbeat/queries_sent" => format!("{}\n", machine.counters.heartbeat_queries.load(Relaxed)),
        "heartbeat/queries_failed" => {
            let queries = machine.counters.heartbeat_queries.load(Relaxed);
            format!("{}\n", if is_alive(machine, device) { 0 } else { queries })
        }
        // Milliseconds, fixed in this generation.
        "heartbeat/config" => "200\n".to_owned(),
        "telemetry/control" => "1\n".to_owned(),
        "telemetry/device_data" => {
            let share = |service: Service| {
                let services: u64 = counters.services.values().map(|s| s.busy_nanoseconds).sum();
                (counters.service(service).busy_nanoseconds * 100).checked_div(services).unwrap_or(0)
            };
            let bytes: u64 = counters.services.values().map(|s| s.bytes_in + s.bytes_out).sum();
            let lines = [
                ("sample_cnt", 1),
                ("pci_trans_cnt", of_device(&counters.vf_requests) + of_device(&counters.vf_responses)),
                ("max_rd_lat", 0),
                ("rd_lat_acc_avg", 0),
                ("max_gp_lat", 0),
                ("gp_lat_acc_avg", machine.config.timing.latency_us * 1000),
                ("bw_in", bytes * 8 / 1_000_000),
                ("bw_out", bytes * 8 / 1_000_000),
                ("util_cpr0", share(Service::Compression)),
                ("util_ucs0", share(Service::Symmetric)),
                ("util_pke0", share(Service::Asymmetric)),
                ("exec_cpr0", counters.service(Service::Compression).requests),
                ("exec_ucs0", counters.service(Service::Symmetric).requests),
                ("exec_pke0", counters.service(Service::Asymmetric).requests),
            ];
            lines.iter().map(|(name, value)| format!("{name:<23}{value:20}\n")).collect()
        }
        _ => return None,
    })
}

fn is_alive(machine: &Machine, device: usize) -> bool {
    let mut vfs = machine.vfs.iter().filter(|vf| vf.identity.device == device);
    !machine.config.start.heartbeat_dead && vfs.all(|vf| !vf.is_dead())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Services, counters};

    #[test]
    fn verification_errors_are_counted_by_device() {
        let mut config = Config::with_vfs(1, Services::DC);
        config.devices.push(crate::Device::new(1, Services::DC, 0));
        let machine = Machine::new(config, Box::leak(Box::default())).unwrap();
        let origin = counters::Origin { vf: 1, bank: 0, service: Service::Compression, command: 1 };
        for verify_error in [true, false, true] {
            machine.counters.fetched(origin, 1);
            machine.counters.executed(origin, counters::Outcome { verify_error, ..Default::default() });
        }
        let lines = |device| {
            let path = directory(Model::Gen4xxx, device) + "cnv_errors";
            content(&machine, &path).unwrap().lines().nth(1).unwrap().to_owned()
        };
        assert_eq!([lines(0), lines(1)], ["0: 0  No Error [0]", "0: 2  Checksum Error [0]"]);
    }
}
