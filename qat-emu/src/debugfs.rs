//! The debugfs files that the kernel's driver offers for a device: counters, heartbeat and telemetry, as described in
//! the kernel's `Documentation/ABI/testing/debugfs-driver-qat*`. The process boundary asks for the content of a file
//! each time a program opens it, and writes it to the private tree; this module itself touches no file.

use std::sync::{PoisonError, atomic::Ordering::Relaxed};

use crate::{
    config::Model, counters::WorkTotals, device::vf::physical_address, machine::Machine, service::Service,
    telemetry::Telemetry,
};

const FILES: [&str; 8] = [
    "fw_counters",
    "cnv_errors",
    "heartbeat/status",
    "heartbeat/queries_sent",
    "heartbeat/queries_failed",
    "heartbeat/config",
    CONTROL,
    "telemetry/device_data",
];
const CONTROL: &str = "telemetry/control";

/// Returns whether writing to a file has an effect.
pub(crate) fn is_writable(path: &[u8]) -> bool {
    path.ends_with(CONTROL.as_bytes())
}

/// Returns the debugfs directory of a device.
fn directory(model: Model, device: usize) -> String {
    format!("/sys/kernel/debug/qat_{}_{}/", model.driver_name(), physical_address(device))
}

/// Returns the paths of a device's files with their initial content.
pub(crate) fn files(model: Model, device: usize) -> impl Iterator<Item = (String, &'static str)> {
    let directory = directory(model, device);
    FILES.iter().map(move |file| (format!("{directory}{file}"), if *file == CONTROL { "0\n" } else { "" }))
}

/// The content of a file when it is opened.
pub(crate) enum Content {
    Text(String),
    /// The file keeps what was written to it last. This is also the content of files that do not exist.
    Stored,
    /// The file cannot be read before `telemetry/control` enables it.
    NotNow,
}

/// Returns the current content of a file; `stored` reads what was written to another file.
pub(crate) fn content(machine: &Machine, path: &str, stored: impl Fn(&str) -> Option<String>) -> Content {
    let mut devices = machine.config.devices.iter().enumerate();
    let found = devices.find_map(|(i, d)| Some((i, path.strip_prefix(&directory(d.model, i))?)));
    let Some((device, file)) = found else { return Content::Stored };
    let counters = machine.counters.snapshot();
    let of_device = |by_vf: &[u64]| -> u64 {
        let vfs = machine.vfs.iter().filter(|vf| vf.identity.device == device);
        vfs.filter_map(|vf| by_vf.get(vf.identity.index)).sum()
    };
    Content::Text(match file {
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
        // Reading the file is the query.
        "heartbeat/status" => {
            machine.counters.heartbeat_queries.fetch_add(1, Relaxed);
            if is_alive(machine, device) { "0\n" } else { "-1\n" }.to_owned()
        }
        "heartbeat/queries_sent" => format!("{}\n", machine.counters.heartbeat_queries.load(Relaxed)),
        "heartbeat/queries_failed" => {
            let queries = machine.counters.heartbeat_queries.load(Relaxed);
            format!("{}\n", if is_alive(machine, device) { 0 } else { queries })
        }
        // The period in milliseconds is fixed in this generation.
        "heartbeat/config" => "200\n".to_owned(),
        "telemetry/device_data" => {
            let directory = directory(machine.config.devices[device].model, device);
            let control = stored(&(directory + CONTROL)).and_then(|text| text.trim().parse().ok());
            let mut telemetry = machine.telemetry[device].lock().unwrap_or_else(PoisonError::into_inner);
            match control {
                Some(window @ 1..=4) => {
                    let latency_us = machine.config.timing.latency_us;
                    telemetry.report(work(machine, device), latency_us, window)
                }
                _ => {
                    *telemetry = Telemetry::default();
                    return Content::NotNow;
                }
            }
        }
        _ => return Content::Stored,
    })
}

/// Returns the work of a device so far, by service.
fn work(machine: &Machine, device: usize) -> [WorkTotals; 3] {
    let vfs = || machine.vfs.iter().filter(|vf| vf.identity.device == device);
    Service::ALL.map(|service| vfs().map(|vf| machine.counters.work(vf.identity.index, service)).sum())
}

fn is_alive(machine: &Machine, device: usize) -> bool {
    let mut vfs = machine.vfs.iter().filter(|vf| vf.identity.device == device);
    !machine.config.start.heartbeat_dead && !machine.is_hung(device) && vfs.all(|vf| !vf.is_dead())
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
            machine
                .counters
                .executed(origin, counters::ExecutionResult { verify_error, ..Default::default() });
        }
        let lines = |device| {
            let path = directory(Model::Gen4xxx, device) + "cnv_errors";
            match content(&machine, &path, |_| None) {
                Content::Text(text) => text.lines().nth(1).unwrap().to_owned(),
                _ => panic!("no text"),
            }
        };
        assert_eq!([lines(0), lines(1)], ["0: 0  No Error [0]", "0: 2  Checksum Error [0]"]);
    }
}
