//! Throughput against the number of requests in flight, on a device that takes its time.

use std::ffi::OsString;
use std::fs;

use anyhow::{Context as _, ensure};
use xshell::Shell;

use super::{Report, Rig, refusal, report, words};
use crate::bench::median;
use crate::{flags, libqat};

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

const DEPTHS: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, 128];
const SIZES: [usize; 4] = [4 << 10, 16 << 10, 64 << 10, 256 << 10];

/// MB/s of this device: all engines busy, or `depth` requests that each take their engine's time and the latency.
fn limit(bytes: usize, depth: usize) -> f64 {
    let seconds = 100e-6 + bytes as f64 / 100e6;
    (depth as f64 * bytes as f64 / seconds / 1e6).min(400.0)
}

/// Requests for about a fifth of a second.
fn requests(bytes: usize, depth: usize) -> usize {
    ((0.2e6 * limit(bytes, depth) / bytes as f64) as usize).max(2 * depth)
}

pub(super) fn measure(sh: &Shell, rig: &Rig, rounds: usize) -> anyhow::Result<()> {
    let scenario = rig.scratch.path().join("device.toml");
    fs::write(&scenario, DEVICE)?;
    let device: Vec<OsString> = ["--scenario".into(), scenario.into()].into();
    println!("\ndepth: deflate level 1, MB/s, medians of {rounds} rounds");
    println!("device   100 us and 100 MB/s in each of 4 engines (emulated unless --hardware)");
    println!("QATzip   qatzip-test, one thread, up to 16 in flight (its default), software fallback off");
    let intel = QatZip::new(sh, rig)?;
    for bytes in SIZES {
        println!(
            "\n{:<10} {:>10} {:>10} {:>10} {:>10}",
            format!("{} KiB", bytes >> 10),
            "device",
            "C",
            "qat",
            "qat to C"
        );
        let mut qatzip = Vec::new();
        for depth in DEPTHS {
            let (mut c, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
            let mut refused = None;
            for _ in 0..rounds {
                let line = format!("-s {bytes} -d {depth} -n {}", requests(bytes, depth));
                let run = |program| report(rig.command(&device, &words(program, &line))).map(Report::speed);
                let theirs = run(&rig.baseline)?;
                c.push(theirs);
                match run(&rig.offload) {
                    Ok(speed) => {
                        ours.push(speed);
                        ratios.push(speed / theirs);
                    }
                    Err(error) => refused = Some(error),
                }
                if depth == DEPTHS[DEPTHS.len() - 1] {
                    qatzip.push(intel.run(rig, &device, bytes)?);
                }
            }
            // What real devices can give is not known beforehand.
            let device = rig.emulator.as_ref().map(|_| format!("{:.1}", limit(bytes, depth)));
            print!("{depth:<10} {:>10} {:>10.1}", device.unwrap_or_default(), median(c));
            match refused {
                None => println!(" {:>10.1} {:>10.3}", median(ours), median(ratios)),
                Some(error) => println!(" {}", refusal(&error)),
            }
        }
        println!("{:<10} {:>10} {:>10.1}", "QATzip", "", median(qatzip));
    }
    Ok(())
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
        let root = libqat::programs(sh, flags::release(None, "24.02")?)?;
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
