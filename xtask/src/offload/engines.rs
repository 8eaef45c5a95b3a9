//! The engines beside each other: QAT's ratio to software, and what the engine that uses both makes of them.

use std::ffi::OsString;
use std::fs;
use std::process::Command;

use super::{Rig, refusal, report, words};
use crate::bench::median;

const ENGINES: [&str; 3] = ["qat", "software", "auto"];
const WORK: [&str; 5] =
    ["-m deflate -l 1", "-m deflate -l 3", "-m deflate -l 6", "-m deflate -l 9", "-m gcm"];
const SIZES: [usize; 3] = [4 << 10, 64 << 10, 256 << 10];
/// Bytes per measurement.
const BYTES: usize = 32 << 20;

pub(super) fn measure(rig: &Rig, rounds: usize) -> anyhow::Result<()> {
    if rig.emulator.is_none() {
        return table(rig, "the machine's", &[], &WORK, rounds);
    }
    // Slower than this machine's CPU at this level, and faster; levels mean nothing to a device that does not compute.
    for megabytes in [10, 100] {
        let scenario = rig.scratch.path().join(format!("{megabytes}.toml"));
        let timing =
            format!("latency_us = 100\nengines = 4\nbytes_per_second = {megabytes}_000_000\nnull = true\n");
        fs::write(&scenario, format!("[[device]]\nservices = \"dc\"\n[timing]\n{timing}"))?;
        let name = format!("100 us and {megabytes} MB/s in each of 4 engines");
        table(rig, &name, &["--scenario".into(), scenario.into()], &WORK[2..3], rounds)?;
    }
    Ok(())
}

fn table(rig: &Rig, name: &str, device: &[OsString], work: &[&str], rounds: usize) -> anyhow::Result<()> {
    println!("\nengines, device: {name}; MB/s from 64 threads, medians of {rounds} rounds");
    println!(
        "{:<26} {:>10} {:>10} {:>10} {:>12} {:>12}",
        "", "qat", "software", "auto", "qat/software", "auto/sum"
    );
    for work in work {
        for bytes in SIZES {
            print!("{:<26}", format!("{work}, {} KiB", bytes >> 10));
            match row(rig, device, &format!("{work} -s {bytes} -d 64 -n {}", BYTES / bytes), rounds) {
                Ok([qat, software, auto, to_software, to_sum]) => {
                    println!(" {qat:>10.1} {software:>10.1} {auto:>10.1} {to_software:>12.2} {to_sum:>12.2}")
                }
                Err(error) => println!(" {}", refusal(&error)),
            }
        }
    }
    Ok(())
}

fn row(rig: &Rig, device: &[OsString], options: &str, rounds: usize) -> anyhow::Result<[f64; 5]> {
    let mut columns: [Vec<f64>; 5] = Default::default();
    for _ in 0..rounds {
        let mut speeds = [0.0; ENGINES.len()];
        for (speed, engine) in speeds.iter_mut().zip(ENGINES) {
            let program = words(&rig.offload, &format!("-e {engine} {options}"));
            let command = match engine {
                // Without a device: a run in which it saw nothing counts as failed.
                "software" => {
                    let mut command = Command::new(&rig.offload);
                    command.args(&program[1..]);
                    command
                }
                _ => rig.command(device, &program),
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
