//! The files that the kernel's driver offers about a device: counters, heartbeat, telemetry
//! (`Documentation/ABI/testing/debugfs-driver-qat*` of the kernel). Each is written anew when it is opened.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    sync::{PoisonError, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use crate::{
    config::{Model, Service},
    counters::Work,
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
    CONTROL,
    "telemetry/device_data",
];
const CONTROL: &str = "telemetry/control";

/// Whether what a program writes to a file has an effect.
pub(crate) fn is_writable(path: &[u8]) -> bool {
    path.ends_with(CONTROL.as_bytes())
}

/// Directory of a device.
fn directory(model: Model, device: usize) -> String {
    format!("/sys/kernel/debug/qat_{}_{}/", model.driver_name(), physical_address(device))
}

/// Paths of a device's files, and what they hold at first.
pub(crate) fn files(model: Model, device: usize) -> impl Iterator<Item = (String, &'static str)> {
    let directory = directory(model, device);
    FILES.iter().map(move |file| (format!("{directory}{file}"), if *file == CONTROL { "0\n" } else { "" }))
}

/// What a file holds.
pub(crate) enum Content {
    Text(String),
    /// What was written to it last; also of files that there are not.
    Stored,
    /// Nothing before another file allows it.
    NotNow,
}

/// What a file holds now; `stored` gives what was written to another one.
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
        "telemetry/device_data" => {
            let directory = directory(machine.config.devices[device].model, device);
            let control = stored(&(directory + CONTROL)).and_then(|text| text.trim().parse().ok());
            let mut telemetry = machine.telemetry[device].lock().unwrap_or_else(PoisonError::into_inner);
            match control {
                Some(window @ 1..=4) => telemetry.look(machine, device, window),
                _ => {
                    *telemetry = Telemetry::default();
                    return Content::NotNow;
                }
            }
        }
        _ => return Content::Stored,
    })
}

/// The samples of a device since somebody first looked after telemetry was switched on. The kernel takes one each second;
/// here they are taken by whoever looks, over what passed since the last one, when that is a second or more.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    last: Option<(Instant, [Work; 3])>,
    taken: u64,
    samples: VecDeque<Vec<(String, u64)>>,
}

const SECOND: Duration = Duration::from_secs(1);

impl Telemetry {
    /// What the driver shows: the last sample, and with a `window` of several also least, most and average of these.
    fn look(&mut self, machine: &Machine, device: usize, window: usize) -> String {
        let now = Instant::now();
        let vfs = || machine.vfs.iter().filter(|vf| vf.identity.device == device);
        let work = Service::ALL
            .map(|service| vfs().map(|vf| machine.counters.work(vf.identity.index, service)).sum::<Work>());
        let (since, before) = *self.last.get_or_insert((now, work));
        let passed = now.saturating_duration_since(since);
        if passed >= SECOND {
            self.samples.push_back(sample(machine, &before, &work, passed));
            self.last = Some((now, work));
            self.taken += 1;
        }
        let surplus = self.samples.len().saturating_sub(window);
        self.samples.drain(..surplus);

        let mut text = format!("{:<23}{:20}\n", "sample_cnt", self.taken);
        // Zeros before the first.
        let none = sample(machine, &work, &work, SECOND).into_iter().map(|(name, _)| (name, 0)).collect();
        for (i, (name, current)) in self.samples.back().unwrap_or(&none).iter().enumerate() {
            let _ = write!(text, "{name:<23}{current:20}");
            if window > 1 {
                let values = || self.samples.iter().map(|sample| sample[i].1);
                let (least, most) = (values().min().unwrap_or(0), values().max().unwrap_or(0));
                let average = values().sum::<u64>().checked_div(self.samples.len() as u64).unwrap_or(0);
                let _ = write!(text, "{least:20}{most:20}{average:20}");
            }
            text.push('\n');
        }
        text
    }
}

/// One sample: what a device did between `before` and `now`.
fn sample(machine: &Machine, before: &[Work; 3], now: &[Work; 3], passed: Duration) -> Vec<(String, u64)> {
    let nanoseconds = passed.as_nanos().max(1) as u64;
    let bytes: u64 = now.iter().zip(before).map(|(now, before)| now.bytes - before.bytes).sum();
    // Of data alone, in and out of the device alike.
    let megabits = bytes.saturating_mul(8_000) / nanoseconds / 2;
    let mut lines = vec![
        (
            "pci_trans_cnt".to_owned(),
            now.iter().zip(before).map(|(now, before)| now.executed - before.executed).sum(),
        ),
        ("max_rd_lat".to_owned(), 0),
        ("rd_lat_acc_avg".to_owned(), 0),
        ("max_gp_lat".to_owned(), 0),
        ("gp_lat_acc_avg".to_owned(), machine.config.timing.latency_us * 1000),
        ("bw_in".to_owned(), megabits),
        ("bw_out".to_owned(), megabits),
    ];
    // One engine for each service, as busy as the threads that compute for it.
    for (service, slice) in
        [(Service::Compression, "cpr"), (Service::Asymmetric, "pke"), (Service::Symmetric, "ucs")]
    {
        let (now, before) = (now[service.index()], before[service.index()]);
        let busy = now.busy_nanoseconds - before.busy_nanoseconds;
        lines.push((format!("util_{slice}0"), (busy.saturating_mul(100) / nanoseconds).min(100)));
        lines.push((format!("exec_{slice}0"), now.executed));
    }
    lines
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
            machine.counters.executed(origin, counters::Outcome { verify_error, ..Default::default() });
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
