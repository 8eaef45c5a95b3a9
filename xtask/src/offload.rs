//! `cargo xtask bench --only offload`: this project's layer on libqat beside a C program that does the same requests on
//! the same library and the same device, in instructions and in throughput.

mod callgrind;
mod depth;
mod engines;
mod instructions;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use xshell::{Shell, cmd};

use crate::{bench, flags, headers, libqat};

pub(crate) fn run(
    sh: &Shell,
    rounds: usize,
    hardware: bool,
    wanted: impl Fn(&str) -> bool,
) -> anyhow::Result<()> {
    let [instructions, depth, engines] =
        ["offload-instructions", "offload-depth", "offload-engines"].map(wanted);
    if !instructions && !depth && !engines {
        return Ok(());
    }
    let rig = Rig::new(sh, hardware)?;
    bench::print_machine(sh)?;
    println!("library  {}", fs::canonicalize(rig.libraries.join("libqat.so.4"))?.display());
    if instructions {
        instructions::measure(&rig)?;
    }
    if depth {
        depth::measure(sh, &rig, rounds)?;
    }
    if engines {
        engines::measure(&rig, rounds)?;
    }
    Ok(())
}

/// What is needed to run a program on a device.
struct Rig {
    /// `qat-emu`; `None` for real devices.
    emulator: Option<PathBuf>,
    libraries: PathBuf,
    /// `qat/benches/baseline.c`.
    baseline: PathBuf,
    /// `qat/benches/offload.rs`.
    offload: PathBuf,
    /// For files that one run of the rig leaves for its next step.
    scratch: tempfile::TempDir,
}

impl Rig {
    fn new(sh: &Shell, hardware: bool) -> anyhow::Result<Self> {
        let release = flags::release(None, "24.02")?;
        let libraries = libqat::libraries(sh, release)?;
        let headers = headers::directory(sh, release)?;
        let target = crate::target_dir();
        cmd!(sh, "cargo build --quiet --release --locked --package qat-emu").run()?;
        let baseline = target.join("release/baseline");
        let source = "qat/benches/baseline.c";
        cmd!(sh, "cc -O2 -g -std=c11 -Wall -Wextra -Werror -I {headers} -o {baseline} {source}")
            .args(["-L".into(), libraries.clone().into_os_string()])
            .args(["-l:libqat.so.4", "-l:libusdm.so.0", "-Wl,--allow-shlib-undefined"])
            .run()?;
        Ok(Self {
            emulator: (!hardware).then(|| target.join("release/qat-emu")),
            libraries,
            baseline,
            offload: bench_executable(sh, "offload")?,
            scratch: tempfile::tempdir()?,
        })
    }

    /// A command on the device; the options before the program are `qat-emu run`'s.
    fn command(&self, device: &[OsString], program: &[OsString]) -> Command {
        let Some(emulator) = &self.emulator else {
            let mut command = Command::new(&program[0]);
            command.args(&program[1..]).env("LD_LIBRARY_PATH", &self.libraries);
            return command;
        };
        let mut command = Command::new(emulator);
        command.args(["run", "--require-requests", "1", "--require-clean", "--library-path"]);
        command.arg(&self.libraries).args(device).arg("--").args(program);
        command
    }
}

/// Builds a bench of `qat` and finds the program.
fn bench_executable(sh: &Shell, name: &str) -> anyhow::Result<PathBuf> {
    let messages = cmd!(sh, "cargo bench --no-run --quiet --locked --package qat --bench {name}")
        .arg("--message-format=json-render-diagnostics")
        .read()?;
    let path =
        messages.lines().rev().find_map(|line| line.split_once("\"executable\":\"")?.1.split('"').next());
    Ok(path.with_context(|| format!("cargo names no executable for the bench {name}"))?.into())
}

/// A program and its options.
fn words(program: &Path, options: &str) -> Vec<OsString> {
    [program.into()].into_iter().chain(options.split(' ').map(OsString::from)).collect()
}

/// What the programs print in the end.
#[derive(Debug, Clone, Copy, Default)]
struct Report {
    bytes: f64,
    seconds: f64,
}

impl Report {
    /// MB/s.
    fn speed(self) -> f64 {
        self.bytes / self.seconds / 1e6
    }
}

/// Runs a program that prints a report.
fn report(mut command: Command) -> anyhow::Result<Report> {
    let output =
        command.output().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{command:?} failed: {}\n{stdout}{stderr}", output.status);
    let number = |name: &str| {
        stdout.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
    };
    let (Some(bytes), Some(seconds)) = (number("in"), number("seconds")) else {
        bail!("{command:?} printed no report: {stdout}{stderr}");
    };
    Ok(Report { bytes, seconds })
}

/// Why our program did not run, in one line.
fn refusal(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    text.lines().find(|line| line.starts_with("offload: ")).unwrap_or(&text).to_owned()
}
