//! The telemetry samples of a device, and the text in which the kernel's driver reports them. The machine keeps one
//! [`Telemetry`] for each device, and the debugfs file is made from it.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    time::{Duration, Instant},
};

use crate::{counters::WorkTotals, service::Service};

/// The samples of a device since its telemetry was first read after it was switched on. The kernel takes a sample each
/// second. Here a read takes a sample of the time since the last one, if that is at least a second.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    last: Option<(Instant, [WorkTotals; 3])>,
    taken: u64,
    samples: VecDeque<Vec<(String, u64)>>,
}

const SECOND: Duration = Duration::from_secs(1);

impl Telemetry {
    /// Returns the driver's report of the last sample. With a `window` of several samples, it also contains their
    /// minimum, maximum and average.
    pub(crate) fn report(&mut self, work: [WorkTotals; 3], latency_us: u64, window: usize) -> String {
        let now = Instant::now();
        let (since, before) = *self.last.get_or_insert((now, work));
        let passed = now.saturating_duration_since(since);
        if passed >= SECOND {
            self.samples.push_back(sample(latency_us, &before, &work, passed));
            self.last = Some((now, work));
            self.taken += 1;
        }
        let surplus = self.samples.len().saturating_sub(window);
        self.samples.drain(..surplus);

        let mut text = format!("{:<23}{:20}\n", "sample_cnt", self.taken);
        // Before the first sample the driver reports zeros.
        let none = sample(latency_us, &work, &work, SECOND).into_iter().map(|(name, _)| (name, 0)).collect();
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

/// Returns one sample: the work of a device between `before` and `now`.
fn sample(
    latency_us: u64,
    before: &[WorkTotals; 3],
    now: &[WorkTotals; 3],
    passed: Duration,
) -> Vec<(String, u64)> {
    let nanoseconds = passed.as_nanos().max(1) as u64;
    let bytes: u64 = now.iter().zip(before).map(|(now, before)| now.bytes - before.bytes).sum();
    // The bytes contain the data alone; input and output count in equal parts.
    let megabits = bytes.saturating_mul(8_000) / nanoseconds / 2;
    let mut lines = vec![
        (
            "pci_trans_cnt".to_owned(),
            now.iter().zip(before).map(|(now, before)| now.executed - before.executed).sum(),
        ),
        ("max_rd_lat".to_owned(), 0),
        ("rd_lat_acc_avg".to_owned(), 0),
        ("max_gp_lat".to_owned(), 0),
        ("gp_lat_acc_avg".to_owned(), latency_us * 1000),
        ("bw_in".to_owned(), megabits),
        ("bw_out".to_owned(), megabits),
    ];
    // Each service has one engine, whose utilisation is that of the threads that compute for it.
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
