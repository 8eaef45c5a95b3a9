//! The engines beside each other: QAT's ratio to software, and what the engine that uses both makes of them.

use std::ffi::OsString;
use std::fs;
use std::process::Command;

use super::{Effort, Failures, Program, Rig, report, words};
use crate::bench::median;

const ENGINES: [&str; 3] = ["qat", "software", "auto"];
const WORK: [&str; 7] = [
    "-m deflate -l 1",
    "-m deflate -l 3",
    "-m deflate -l 6",
    "-m deflate -l 9",
    "-m inflate",
    "-m gcm",
    "-m gcm-open",
];
const SIZES: [usize; 3] = [4 << 10, 64 << 10, 256 << 10];
/// Bytes per measurement.
const BYTES: usize = 32 << 20;

pub(super) fn measure(rig: &Rig, effort: Effort, failures: &mut Failures) -> anyhow::Result<()> {
    if rig.emulator.is_none() {
        table(rig, "this machine's", &[], &WORK, effort, failures);
        return Ok(());
    }
    // Slower than this machine's CPU at this level, and faster; levels mean nothing to a device that does not compute.
    for megabytes in [10, 100] {
        let scenario = rig.scratch.path().join(format!("{megabytes}.toml"));
        let timing =
            format!("latency_us = 100\nengines = 4\nbytes_per_second = {megabytes}_000_000\nnull = true\n");
        fs::write(&scenario, format!("[[device]]\nservices = \"dc\"\n[timing]\n{timing}"))?;
        let name = format!("100 us and {megabytes} MB/s in each of 4 engines");
        table(rig, &name, &["--scenario".into(), scenario.into()], &["-m deflate -l 6"], effort, failures);
    }
    Ok(())
}

fn table(rig: &Rig, name: &str, device: &[OsString], work: &[&str], effort: Effort, failures: &mut Failures) {
    println!("\nengines, device: {name}; MB/s from 64 threads, medians of {} rounds", effort.rounds);
    println!(
        "{:<28} {:>10} {:>10} {:>10} {:>12} {:>12}",
        "", "qat", "software", "auto", "qat/software", "auto/sum"
    );
    let sizes = if effort.quick { &SIZES[1..2] } else { &SIZES[..] };
    for work in work {
        for bytes in sizes {
            let title = format!("{work}, {} KiB", bytes >> 10);
            let options = format!("{work} -s {bytes} -d 64 -n {}", BYTES / bytes);
            let measured = row(rig, device, &options, effort.rounds);
            if let Some([qat, software, auto, to_software, to_sum]) = failures.or_print(&title, measured) {
                println!(
                    "{title:<28} {qat:>10.1} {software:>10.1} {auto:>10.1} {to_software:>12.2} {to_sum:>12.2}"
                );
            }
        }
    }
}

fn row(rig: &Rig, device: &[OsString], options: &str, rounds: usize) -> anyhow::Result<[f64; 5]> {
    let mut columns: [Vec<f64>; 5] = Default::default();
    for _ in 0..rounds {
        let mut speeds = [0.0; ENGINES.len()];
        for (speed, engine) in speeds.iter_mut().zip(ENGINES) {
            let options = format!("-e {engine} {options}");
            let command = match engine {
                // Without a device: a run in which it saw nothing counts as failed.
                "software" => {
                    let mut command = Command::new(&rig.offload);
                    command.args(&words(&rig.offload, &options)[1..]);
                    command
                }
                _ => rig.command(device, &Program::Offload(options)),
            };
            *speed = report(command)?.speed();
        }
        let [qat, software, auto] = speeds;
        for (column, value) in
            columns.iter_mut().zip([qat, software, auto, qat / software, auto / (qat + software)])
        {
            column.push(value);
        }
    }
    Ok(columns.map(median))
}
