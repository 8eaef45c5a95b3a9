//! Instructions per request in the threads that submit and poll, on the null device.
//!
//! How often a poll finds nothing depends on the device, so it must not count. Three runs, with N requests, 2N requests
//! and N requests on a slower device, differ in requests and polls; callgrind counts both, and what is linear in them
//! is solved exactly: instructions = start + requests x (cost of a request) + polls x (cost of a poll that finds nothing).
//! One poll for each round of requests in flight then belongs to them.

use std::ffi::OsString;

use anyhow::ensure;

use super::callgrind::Profile;
use super::{Rig, refusal, words};

/// A program and its options, without the number of requests.
struct Row {
    name: &'static str,
    ours: bool,
    arguments: &'static str,
}

const fn row(name: &'static str, ours: bool, arguments: &'static str) -> Row {
    Row { name, ours, arguments }
}

/// The first row is what the others are compared with.
const GROUPS: &[(&str, &[Row])] = &[
    (
        "deflate",
        &[
            row("C, session", false, "-m session"),
            row("C, session, copies", false, "-m session -c"),
            row("C, session, 8 buffers", false, "-m session -b 8"),
            row("C, no session", false, "-m ns"),
            row("C, data plane", false, "-m dp"),
            row("qat, blocking", true, "-m deflate -a blocking"),
            row("qat, futures", true, "-m deflate -a futures"),
            row("qat, device memory", true, "-m deflate -a dma"),
        ],
    ),
    (
        "AES-256-GCM",
        &[
            row("C", false, "-m gcm"),
            row("C, copies", false, "-m gcm -c"),
            row("C, data plane", false, "-m gcm-dp"),
            row("qat, blocking", true, "-m gcm -a blocking"),
        ],
    ),
];

/// Requests of the shorter runs: a multiple of the depths.
const REQUESTS: i64 = 256;

/// Instructions per request by object, and of a poll that finds nothing.
struct Cost {
    objects: Vec<(String, f64)>,
    poll: f64,
}

pub(super) fn measure(rig: &Rig) -> anyhow::Result<()> {
    for (group, rows) in GROUPS {
        for bytes in [4 << 10, 64 << 10] {
            for depth in [1, 64] {
                println!("\n{group}, {} KiB, depth {depth}: instructions per request", bytes >> 10);
                println!("{:<22} {:>9} {:>7} {:>10}  of which", "", "total", "to C", "empty poll");
                let mut first = None;
                for row in *rows {
                    let cost = match cost(rig, row, bytes, depth) {
                        Ok(cost) => cost,
                        Err(error) if row.ours => {
                            println!("{:<22} {}", row.name, refusal(&error));
                            continue;
                        }
                        Err(error) => return Err(error),
                    };
                    let total: f64 = cost.objects.iter().map(|(_, cost)| cost).sum();
                    let ratio = total / *first.get_or_insert(total);
                    let parts: Vec<_> = cost
                        .objects
                        .iter()
                        .filter(|(_, cost)| cost.abs() >= 0.5)
                        .map(|(object, cost)| format!("{object} {cost:.0}"))
                        .collect();
                    println!(
                        "{:<22} {total:>9.0} {ratio:>7.3} {:>10.0}  {}",
                        row.name,
                        cost.poll,
                        parts.join(", ")
                    );
                }
            }
        }
    }
    Ok(())
}

fn cost(rig: &Rig, row: &Row, bytes: usize, depth: i64) -> anyhow::Result<Cost> {
    let program = if row.ours { &rig.offload } else { &rig.baseline };
    let run = |requests: i64, latency_us: i64| {
        let options = format!("{} -s {bytes} -d {depth} -n {requests}", row.arguments);
        let device = ["--null", "--latency-us", &latency_us.to_string()].map(OsString::from);
        Profile::of(rig, &device, &words(program, &options))
    };
    let (one, two, slow) = (run(REQUESTS, 0)?, run(2 * REQUESTS, 0)?, run(REQUESTS, 2000 + 1000 * depth)?);
    ensure!(slow.polls() - one.polls() >= REQUESTS, "the slower device was not polled more often");
    let of = |profile: &Profile, object: &String| profile.objects.get(object).copied().unwrap_or_default();
    let mut cost = Cost { objects: Vec::new(), poll: 0.0 };
    for object in two.objects.keys().filter(|object| *object != "libqat_emu") {
        let poll = (of(&slow, object) - of(&one, object)) as f64 / (slow.polls() - one.polls()) as f64;
        let rest = (of(&two, object) - of(&one, object)) as f64 - poll * (two.polls() - one.polls()) as f64;
        cost.objects.push((object.clone(), rest / REQUESTS as f64 + poll / depth as f64));
        cost.poll += poll;
    }
    cost.objects.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(cost)
}
