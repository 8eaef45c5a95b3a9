//! `cargo xtask bench --only offload`: this project's layer on libqat beside a C program that does the same requests on
//! the same library and the same device, in instructions and in throughput.

mod callgrind;
mod depth;
mod engines;
mod instructions;
mod strace;

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, anyhow, bail, ensure};
use xshell::{Shell, cmd};

use super::figures;
use crate::libqat::{self, headers};
use crate::tools;
use crate::workspace::target_dir;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    /// Fewer sizes and depths.
    pub(crate) quick: bool,
}

pub(crate) fn run(
    sh: &Shell,
    effort: Effort,
    hardware: bool,
    wanted: impl Fn(&str) -> bool,
) -> anyhow::Result<()> {
    let [instructions, depth, engines] =
        ["offload-instructions", "offload-depth", "offload-engines"].map(wanted);
    if !instructions && !depth && !engines {
        return Ok(());
    }
    tools::need(sh, &["cc", "strace", "valgrind"])?;
    let rig = Rig::new(sh, hardware)?;
    figures::print_machine(sh)?;
    println!("library  {}", fs::canonicalize(rig.libraries.join("libqat.so.4"))?.display());
    println!("device   {}", if hardware { "this machine's" } else { "emulated by qat-emu" });
    let mut failures = Failures { hardware, count: 0 };
    if instructions && hardware {
        println!("\ninstructions are counted on the emulated device only: a real one has a clock of its own");
    } else if instructions {
        instructions::measure(&rig, effort.quick, &mut failures);
    }
    if depth {
        depth::measure(sh, &rig, effort, &mut failures)?;
    }
    if engines {
        engines::measure(&rig, effort, &mut failures)?;
    }
    ensure!(failures.count == 0, "{} rows above were not measured", failures.count);
    Ok(())
}

/// Rows without a figure. The run goes on, so that the other rows are not lost, and fails in the end.
struct Failures {
    hardware: bool,
    count: usize,
}

impl Failures {
    /// The figure of a row, or a line with the reason why there is none.
    fn or_print<T>(&mut self, row: &str, measured: anyhow::Result<T>) -> Option<T> {
        let error = match measured {
            Ok(figure) => return Some(figure),
            Err(error) => error,
        };
        // Devices differ in what they offer; the emulated one has all that is asked of it.
        if !(self.hardware && error.downcast_ref::<Absent>().is_some()) {
            self.count += 1;
        }
        let text = format!("{error:#}");
        let reason = |line: &&str| line.starts_with("offload: ") || line.starts_with("baseline: ");
        println!("{row:<28} not measured: {}", text.lines().find(reason).unwrap_or(&text));
        None
    }
}

/// The engine does not do what is asked on this machine.
#[derive(Debug)]
struct Absent(String);

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Absent {}

/// What is measured, with its options.
enum Program {
    /// `qat/benches/baseline.c`.
    Baseline(String),
    /// `qat/benches/offload.rs`.
    Offload(String),
}

impl Program {
    fn new(ours: bool, options: String) -> Self {
        if ours { Self::Offload(options) } else { Self::Baseline(options) }
    }
}

/// What is needed to run a program on a device.
struct Rig {
    /// `qat-emu`; `None` for real devices.
    emulator: Option<PathBuf>,
    libraries: PathBuf,
    baseline: PathBuf,
    offload: PathBuf,
    /// `qat/benches/at_once.c`, and the baseline with it.
    at_once: PathBuf,
    baseline_at_once: PathBuf,
    /// For files that one run of the rig leaves for its next step.
    scratch: tempfile::TempDir,
}

impl Rig {
    fn new(sh: &Shell, hardware: bool) -> anyhow::Result<Self> {
        let release = libqat::release(None, "24.02")?;
        // A machine with devices has the library that goes with its manager.
        let installed = if hardware { libqat::installed() } else { None };
        let libraries = installed.map_or_else(|| libqat::libraries(sh, release), Ok)?;
        let headers = headers::directory(sh, release)?;
        let target = target_dir();
        cmd!(sh, "cargo build --release --locked --package qat-emu").run()?;
        let scratch = tempfile::tempdir()?;
        let cc = |name: &str, source: &str, own: &[&Path]| -> anyhow::Result<PathBuf> {
            let out = scratch.path().join(name);
            cmd!(sh, "cc -O2 -g -std=c11 -Wall -Wextra -Werror -I {headers} -L {libraries} -o {out}")
                .args(if name.ends_with(".so") { &["-shared", "-fPIC"][..] } else { &[] })
                .arg(source)
                .args(own)
                .args(["-Wl,--no-as-needed", "-l:libqat.so.4", "-l:libusdm.so.0"])
                .arg("-Wl,--allow-shlib-undefined")
                .run()?;
            Ok(out)
        };
        let at_once = cc("at_once.so", "qat/benches/at_once.c", &[])?;
        Ok(Self {
            emulator: (!hardware).then(|| target.join("release/qat-emu")),
            baseline: cc("baseline", "qat/benches/baseline.c", &[])?,
            // Linked by its path, and so found by it.
            baseline_at_once: cc("baseline_at_once", "qat/benches/baseline.c", &[&at_once])?,
            at_once,
            offload: bench_executable(sh, "offload")?,
            libraries,
            scratch,
        })
    }

    /// A command on the device; the options before the program are `qat-emu run`'s.
    fn command(&self, device: &[OsString], program: &Program) -> Command {
        match program {
            Program::Baseline(options) => self.on_device(device, &words(&self.baseline, options)),
            Program::Offload(options) => self.on_device(device, &words(&self.offload, options)),
        }
    }

    /// A program below a tool, on an emulated device that answers when it is polled.
    fn at_once(&self, device: &[OsString], tool: &[OsString], program: &Program) -> Command {
        let program = match program {
            Program::Baseline(options) => words(&self.baseline_at_once, options),
            Program::Offload(options) => words(&self.offload, options),
        };
        let mut command = self.on_device(device, &[tool, &program].concat());
        // The one in front of libqat; what it lacks is found behind it.
        command.env("QAT_LIBRARY", &self.at_once);
        command
    }

    fn on_device(&self, device: &[OsString], words: &[OsString]) -> Command {
        let Some(emulator) = &self.emulator else {
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]).env("LD_LIBRARY_PATH", &self.libraries);
            return command;
        };
        let mut command = Command::new(emulator);
        command.args(["run", "--require-requests", "1", "--require-clean", "--library-path"]);
        command.arg(&self.libraries).args(device).arg("--").args(words);
        command
    }
}

/// Builds a bench of `qat` and finds the program.
fn bench_executable(sh: &Shell, name: &str) -> anyhow::Result<PathBuf> {
    let messages = cmd!(sh, "cargo bench --no-run --locked --package qat --bench {name}")
        .arg("--message-format=json-render-diagnostics")
        .read()?;
    let path =
        messages.lines().rev().find_map(|line| line.split_once("\"executable\":\"")?.1.split('"').next());
    Ok(path.with_context(|| format!("cargo names no executable for the bench {name}"))?.into())
}

/// A program and its options.
fn words(program: &Path, options: &str) -> Vec<OsString> {
    [program.into()].into_iter().chain(options.split_whitespace().map(OsString::from)).collect()
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
    if !output.status.success() {
        let failure = format!("{command:?} failed: {}\n{stdout}{stderr}", output.status);
        // `qat/benches/offload.rs` says so.
        return Err(if output.status.code() == Some(3) { Absent(failure).into() } else { anyhow!(failure) });
    }
    let number = |name: &str| {
        stdout.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
    };
    let (Some(bytes), Some(seconds)) = (number("in"), number("seconds")) else {
        bail!("{command:?} printed no report: {stdout}{stderr}");
    };
    Ok(Report { bytes, seconds })
}
