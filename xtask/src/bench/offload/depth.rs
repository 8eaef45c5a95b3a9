//! Throughput against the number of requests in flight, on a device that takes its time.

use std::ffi::OsString;
use std::fs;

use anyhow::{Context as _, ensure};
use xshell::Shell;

use super::{Effort, Failures, Program, Rig, report};
use crate::bench::figures::median;
use crate::libqat;

/// The emulated device: it computes nothing, which would measure this machine's CPU, but answers as late as if.
const DEVICE: &str = "\
[[device]]
services = \"dc\"
[timing]
latency_us = 100
engines = 4
bytes_per_second = 100_000_000
null = true
";

const DEPTHS: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];
const QUICK_DEPTHS: [usize; 4] = [1, 8, 64, 256];
const SIZES: [usize; 3] = [4 << 10, 64 << 10, 256 << 10];
const QUICK_SIZES: [usize; 1] = [64 << 10];

struct Column {
    name: &'static str,
    ours: bool,
    options: &'static str,
}

const fn c(name: &'static str, options: &'static str) -> Column {
    Column { name, ours: false, options }
}

const fn qat(name: &'static str, options: &'static str) -> Column {
    Column { name, ours: true, options }
}

const COLUMNS: [Column; 7] = [
    c("C", "-m session"),
    c("C, dp", "-m dp"),
    c("C, copies", "-m session -c"),
    qat("dma", "-a dma"),
    qat("blocking", "-a blocking"),
    qat("futures", "-a futures"),
    qat("batch", "-a batch"),
];

/// MB/s of this device: all engines busy, or `depth` requests that each take their engine's time and the latency.
fn limit(bytes: usize, depth: usize) -> f64 {
    let seconds = 100e-6 + bytes as f64 / 100e6;
    (depth as f64 * bytes as f64 / seconds / 1e6).min(400.0)
}

/// Requests for about a fifth of a second.
fn requests(bytes: usize, depth: usize) -> usize {
    ((0.2e6 * limit(bytes, depth) / bytes as f64) as usize).max(2 * depth)
}

pub(super) fn measure(sh: &Shell, rig: &Rig, effort: Effort, failures: &mut Failures) -> anyhow::Result<()> {
    let scenario = rig.scratch.path().join("device.toml");
    fs::write(&scenario, DEVICE)?;
    let device: Vec<OsString> = ["--scenario".into(), scenario.into()].into();
    println!("\ndepth: deflate level 1, MB/s, medians of {} rounds", effort.rounds);
    if rig.emulator.is_some() {
        println!(
            "device   100 us and 100 MB/s in each of 4 engines; in brackets the share of what it can give"
        );
    }
    println!("C        one thread, one instance; dp: data plane; copies: as slices need them");
    println!("dma, futures, batch: one thread; blocking: as many threads as depth");
    println!("QATzip   qatzip-test, one thread, up to 16 in flight (its default), software fallback off");
    let intel = QatZip::new(sh, rig)?;
    let (sizes, depths) = match effort.quick {
        true => (&QUICK_SIZES[..], &QUICK_DEPTHS[..]),
        false => (&SIZES[..], &DEPTHS[..]),
    };
    for &bytes in sizes {
        print!("\n{:<10}", format!("{} KiB", bytes >> 10));
        COLUMNS.iter().for_each(|column| print!(" {:>14}", column.name));
        println!();
        let (mut qatzip, mut has_qatzip) = (Vec::new(), Ok(()));
        for &depth in depths {
            let speeds = row(rig, &device, bytes, depth, effort.rounds, failures);
            // Beside the others, in the same run.
            while qatzip.len() < effort.rounds && has_qatzip.is_ok() {
                has_qatzip = intel.run(rig, &device, bytes).map(|speed| qatzip.push(speed));
            }
            print!("{depth:<10}");
            for speed in speeds {
                let cell = speed.map(|speed| cell(rig, speed, limit(bytes, depth)));
                print!(" {:>14}", cell.as_deref().unwrap_or("-"));
            }
            println!();
        }
        if failures.or_print("QATzip", has_qatzip).is_some() {
            println!("{:<10} {:>14}", "QATzip", cell(rig, median(qatzip), limit(bytes, 16)));
        }
    }
    Ok(())
}

/// A speed, with its share of the device's where that is known.
fn cell(rig: &Rig, speed: f64, limit: f64) -> String {
    match rig.emulator {
        Some(_) => format!("{speed:.1} ({:.2})", speed / limit),
        None => format!("{speed:.1}"),
    }
}

/// MB/s of each column, in rounds, so that what disturbs a moment disturbs all. No figure where a program failed.
fn row(
    rig: &Rig,
    device: &[OsString],
    bytes: usize,
    depth: usize,
    rounds: usize,
    failures: &mut Failures,
) -> [Option<f64>; COLUMNS.len()] {
    let mut speeds = [const { Some(Vec::new()) }; COLUMNS.len()];
    for _ in 0..rounds {
        for (speeds, column) in speeds.iter_mut().zip(&COLUMNS) {
            let Some(before) = speeds else { continue };
            let options = format!("{} -s {bytes} -d {depth} -n {}", column.options, requests(bytes, depth));
            let run = report(rig.command(device, &Program::new(column.ours, options)));
            match failures.or_print(&format!("{depth}, {}", column.name), run) {
                Some(report) => before.push(report.speed()),
                None => *speeds = None,
            }
        }
    }
    speeds.map(|speeds| speeds.map(median))
}

/// Intel's test program of QATzip, which has the loop that is timed here.
struct QatZip {
    loader: std::path::PathBuf,
    libraries: std::path::PathBuf,
    program: std::path::PathBuf,
    input: std::path::PathBuf,
}

const QATZIP_INPUT: usize = 4 << 20;

impl QatZip {
    fn new(sh: &Shell, rig: &Rig) -> anyhow::Result<Self> {
        let root = libqat::programs(sh, libqat::release(None, "24.02")?)?;
        let libraries = root.join(libqat::LIB);
        let input = rig.scratch.path().join("input");
        let text = include_bytes!("depth.rs");
        fs::write(&input, text.iter().copied().cycle().take(QATZIP_INPUT).collect::<Vec<_>>())?;
        let loader = libraries.join("ld-linux-x86-64.so.2");
        Ok(Self { loader, program: root.join("usr/bin/qatzip-test"), libraries, input })
    }

    /// MB/s with hardware buffers of so many bytes.
    fn run(&self, rig: &Rig, device: &[OsString], bytes: usize) -> anyhow::Result<f64> {
        let loops = "20";
        let options = format!("-m 4 -t 1 -l {loops} -B 0 -D comp -C {bytes} -L 1 -T static -O gzipext -i");
        let mut program: Vec<OsString> = vec![self.program.clone().into()];
        program.extend(options.split(' ').map(Into::into));
        program.push(self.input.clone().into());
        let mut command = match &rig.emulator {
            Some(emulator) => {
                let mut command = std::process::Command::new(emulator);
                command.args(["run", "--require-requests", "1", "--loader"]).arg(&self.loader);
                command.arg("--library-path").arg(&self.libraries).args(device).arg("--").args(&program);
                command
            }
            None => {
                let mut command = std::process::Command::new(&self.loader);
                command.arg("--library-path").arg(&self.libraries).args(&program);
                command
            }
        };
        let output = command.output()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        ensure!(output.status.success(), "qatzip-test failed: {}\n{text}", output.status);
        // It names microseconds msec.
        let number =
            |name: &str| -> Option<f64> { text.split_once(name)?.1.split(',').next()?.trim().parse().ok() };
        let microseconds = number("msec=").with_context(|| format!("no time from qatzip-test: {text}"))?;
        let loops: f64 = loops.parse()?;
        Ok(QATZIP_INPUT as f64 * loops / microseconds)
    }
}
