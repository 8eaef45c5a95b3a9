//! The engines beside each other: QAT's ratio to software, and what the engine that uses both makes of them.

use std::ffi::OsString;
use std::fs;
use std::process::Command;
use std::thread;

use super::{Effort, Failures, Program, Rig, report, words};
use crate::bench::figures::median;

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
/// Bytes per measurement: seconds, beside which the tenth of a second that a slow device's queue takes in the end is short.
const BYTES: usize = 256 << 20;

pub(super) fn measure(rig: &Rig, effort: Effort, failures: &mut Failures) -> anyhow::Result<()> {
    if rig.emulator.is_none() {
        table(rig, &Host::new("this machine's"), &WORK, effort, failures);
        return Ok(());
    }
    let cores = thread::available_parallelism()?.get();
    if cores < 2 {
        println!("\nengines: this machine has one core, which the emulated device shares with the program");
    }
    // Slower than this machine's CPU at this level, and faster; levels mean nothing to a device that does not compute.
    for megabytes in [10, 100] {
        let scenario = rig.scratch.path().join(format!("{megabytes}.toml"));
        let timing =
            format!("latency_us = 100\nengines = 4\nbytes_per_second = {megabytes}_000_000\nnull = true\n");
        fs::write(&scenario, format!("[[device]]\nservices = \"dc\"\n[timing]\n{timing}"))?;
        let device: Vec<OsString> = vec!["--scenario".into(), scenario.into()];
        let name = format!("100 us and {megabytes} MB/s in each of 4 engines");
        let mut hosts = vec![Host {
            name: format!("{name}, on the program's cores"),
            cores: None,
            device: device.clone(),
        }];
        if let Some(last) = cores.checked_sub(1).filter(|last| *last > 0) {
            // As silicon: it computes elsewhere, and only what the host does for it takes the host's cores.
            hosts.insert(
                0,
                Host {
                    name: format!("{name}, on a core of its own"),
                    cores: Some(if last == 1 { "0".to_owned() } else { format!("0-{}", last - 1) }),
                    device: [&device[..], &["--engine-cpu".into(), last.to_string().into()]].concat(),
                },
            );
        }
        for host in hosts {
            table(rig, &host, &["-m deflate -l 6"], effort, failures);
        }
    }
    Ok(())
}

/// What the programs run on.
struct Host {
    name: String,
    /// The cores that they are kept to, software alone as well.
    cores: Option<String>,
    /// Options of `qat-emu run`.
    device: Vec<OsString>,
}

impl Host {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), cores: None, device: Vec::new() }
    }

    fn command(&self, command: Command) -> Command {
        let Some(cores) = &self.cores else { return command };
        let mut kept = Command::new("taskset");
        kept.args(["-c", cores]).arg(command.get_program()).args(command.get_args());
        kept
    }
}

fn table(rig: &Rig, host: &Host, work: &[&str], effort: Effort, failures: &mut Failures) {
    println!("\nengines, device: {}", host.name);
    println!(
        "MB/s from 64 threads on {}, medians of {} rounds",
        host.cores.as_ref().map_or("all cores".to_owned(), |cores| format!("core {cores}")),
        effort.rounds
    );
    println!(
        "{:<28} {:>10} {:>10} {:>10} {:>12} {:>12}",
        "", "qat", "software", "auto", "qat/software", "auto/sum"
    );
    let sizes = if effort.quick { &SIZES[1..2] } else { &SIZES[..] };
    for work in work {
        for bytes in sizes {
            let title = format!("{work}, {} KiB", bytes >> 10);
            let options = format!("{work} -s {bytes} -d 64 -n {}", BYTES / bytes);
            let measured = row(rig, host, &options, effort.rounds);
            if let Some([qat, software, auto, to_software, to_sum]) = failures.or_print(&title, measured) {
                println!(
                    "{title:<28} {qat:>10.1} {software:>10.1} {auto:>10.1} {to_software:>12.2} {to_sum:>12.2}"
                );
            }
        }
    }
}

fn row(rig: &Rig, host: &Host, options: &str, rounds: usize) -> anyhow::Result<[f64; 5]> {
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
                _ => rig.command(&host.device, &Program::Offload(options)),
            };
            *speed = report(host.command(command))?.speed();
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
