//! `cargo xtask ci samples`: Intel's own programs on emulated devices. Their output is not sufficient, because they
//! also succeed when they skip tests or work in software. The counters of the device are checked in addition.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;
use std::{fs, thread};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use xshell::{Shell, cmd};

use crate::emulator::Program;
use crate::libqat;
use crate::workspace::{self, target_dir};

/// A run of `cpa_sample_code`.
struct Run {
    release: &'static str,
    services: &'static str,
    arguments: &'static str,
    /// The minimum number of requests that the device must count, by service and command.
    commands: &'static [(&'static str, &'static str, u64)],
}

const fn run(
    release: &'static str,
    services: &'static str,
    arguments: &'static str,
    commands: &'static [(&'static str, &'static str, u64)],
) -> Run {
    Run { release, services, arguments, commands }
}

/// The runs are concurrent, because the programs sleep most of the time. The job takes as long as the longest one.
const RUNS: &[Run] = &[
    run(
        "24.02",
        "dc",
        "signOfLife=1 runTests=32 includeLZ4=1",
        &[
            ("dc", "deflate-static", 132),
            ("dc", "deflate-dynamic", 128),
            ("dc", "deflate-decompress", 132),
            ("dc", "lz4-compress", 80),
            ("dc", "lz4-decompress", 40),
        ],
    ),
    run(
        "24.02",
        "dc",
        "runTests=32 includeLZ4=1 dcLoops=1",
        &[
            ("dc", "deflate-static", 12_868),
            ("dc", "deflate-dynamic", 12_672),
            ("dc", "deflate-decompress", 12_868),
            ("dc", "lz4-compress", 7_120),
            ("dc", "lz4-decompress", 3_560),
        ],
    ),
    run(
        "24.02",
        "sym",
        "signOfLife=1 runTests=1",
        &[("sym", "cipher", 2_560), ("sym", "cipher-hash", 2_560)],
    ),
    run(
        "24.02",
        "sym",
        "runTests=1 cySymLoops=20",
        &[("sym", "cipher", 51_200), ("sym", "cipher-hash", 51_200)],
    ),
    run("24.02", "asym", "signOfLife=1 runTests=2", &[("asym", "pke", 160)]),
    run("24.02", "asym", "runTests=2 cyAsymLoops=2", &[("asym", "pke", 480)]),
    run("24.02", "asym", "signOfLife=1 runTests=4", &[("asym", "pke", 244)]),
    run("24.02", "asym", "signOfLife=1 runTests=8", &[("asym", "pke", 164)]),
    run("24.02", "asym", "signOfLife=1 runTests=16", &[("asym", "pke", 320)]),
    run("24.02", "asym", "runTests=16 cyAsymLoops=2", &[("asym", "pke", 800)]),
    run("24.02", "dcc", "runTests=128 dcLoops=1", &[("dc", "hash-compress", 392)]),
    run(
        "26.08",
        "dc",
        "signOfLife=1 runTests=32 includeLZ4=1",
        &[
            ("dc", "deflate-static", 164),
            ("dc", "deflate-dynamic", 160),
            ("dc", "deflate-decompress", 164),
            ("dc", "lz4-compress", 80),
            ("dc", "lz4-decompress", 40),
        ],
    ),
    run(
        "26.08",
        "dc",
        "signOfLife=1 runTests=64",
        &[("dc", "deflate-static", 84), ("dc", "deflate-dynamic", 80), ("dc", "deflate-decompress", 164)],
    ),
    run(
        "26.08",
        "sym",
        "signOfLife=1 runTests=1",
        &[("sym", "cipher", 11_520), ("sym", "cipher-hash", 2_560)],
    ),
    run("26.08", "dcc", "runTests=128 dcLoops=1", &[("dc", "hash-compress", 392)]),
    run("26.08", "asym", "signOfLife=1 runTests=2", &[("asym", "pke", 160)]),
    run("26.08", "asym", "signOfLife=1 runTests=16", &[("asym", "pke", 320)]),
];

/// The messages of `cpa_sample_code` about parts that it skipped, which it does not report as failures. Parts that
/// these runs do not request have different messages.
const SKIPPED_MESSAGES: &[&str] =
    &["Invalid test", "Unsupported", "not supported on logical instance", "No tests were executed", "ERROR"];

/// The files that the samples read, which the packages do not contain.
const FILES: &[(&str, usize)] = &[("calgary", 3_251_493), ("calgary32", 32_768), ("canterbury", 2_768_317)];

/// The number of seconds after which a program is considered to hang.
const TIMEOUT: &str = "600";

pub(super) fn samples(sh: &Shell) -> anyhow::Result<()> {
    workspace::emulator(sh)?;
    let directory = target_dir().join("samples");
    sh.remove_path(&directory)?;
    let data = directory.join("data");
    sh.create_dir(&data)?;
    for (seed, (name, bytes)) in (1..).zip(FILES) {
        fs::write(data.join(name), corpus(seed, *bytes))?;
    }
    guide(sh)?;
    quickassist_zip(sh, &directory, &data.join("calgary"))?;
    cpa_sample_code(sh, &directory, &data)
}

/// Follows the guide in the documentation of the crate literally.
fn guide(sh: &Shell) -> anyhow::Result<()> {
    let text = sh.read_file("qat-emu/src/lib.rs")?;
    let commands: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("//! $ ")).collect();
    ensure!(commands.len() == 4, "the guide has {} commands", commands.len());
    let mut last = String::new();
    for command in commands {
        last = cmd!(sh, "sh -c {command}").ignore_stderr().read()?;
    }
    let bytes = fs::metadata("Cargo.lock")?.len();
    ensure!(
        last.contains(&format!("\"bytes_in\": {bytes},")),
        "the guide ends with {last:?}, not {bytes} bytes"
    );
    ensure!(last.contains("deflate-dynamic"), "the guide ends with {last:?}");
    Ok(())
}

/// Runs all of [`RUNS`] concurrently.
fn cpa_sample_code(sh: &Shell, directory: &Path, data: &Path) -> anyhow::Result<()> {
    let name = OsString::from("cpa_sample_code");
    let mut programs = Vec::new();
    for run in RUNS {
        programs.push(Program::find(sh, libqat::release(None, run.release)?, &name)?);
    }
    let results: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = (0..)
            .zip(RUNS.iter().zip(&programs))
            .map(|(number, (run, program))| {
                let report = directory.join(format!("{number}.json"));
                scope.spawn(move || run.check(program, data, &report))
            })
            .collect();
        running.into_iter().map(|run| run.join().expect("no check panics")).collect()
    });
    let mut failed = 0;
    for (run, result) in RUNS.iter().zip(results) {
        let Run { release, arguments, .. } = run;
        match result {
            Ok(said) => println!("cpa_sample_code {release} {arguments}: {said}"),
            Err(error) => {
                failed += 1;
                eprintln!("cpa_sample_code {release} {arguments}: {error:#}");
            }
        }
    }
    ensure!(failed == 0, "{failed} of {} runs of cpa_sample_code failed", RUNS.len());
    Ok(())
}

impl Run {
    /// Runs the program, and returns a summary of its results.
    fn check(&self, program: &Program, data: &Path, path: &Path) -> anyhow::Result<String> {
        let least: u64 = self.commands.iter().map(|(.., least)| least).sum();
        let mut command = emulated(program, self.services, path, least);
        command.arg("--data").arg(data).arg("--").arg(&program.command).args(self.arguments.split(' '));
        let start = Instant::now();
        let output = command.output().context("cannot run timeout(1)")?;
        let seconds = start.elapsed().as_secs();
        let text = text(&output);
        let check = || {
            ensure!(output.status.success(), "{}", output.status);
            ensure!(
                text.contains("Sample code completed successfully."),
                "the program did not report that it completed"
            );
            if let Some(words) = SKIPPED_MESSAGES.iter().find(|words| text.contains(**words)) {
                bail!("it says {words:?}");
            }
            let report = Report::read(path)?;
            for (service, command, least) in self.commands {
                let count = report.commands(service)[*command].as_u64().unwrap_or(0);
                ensure!(
                    count >= *least,
                    "the device counted {count} requests {command} instead of at least {least}"
                );
            }
            // Every response that the program counted was sent by the device.
            let answers: u64 = text
                .lines()
                .filter_map(|line| line.strip_prefix("Total Responses")?.trim().parse::<u64>().ok())
                .sum();
            ensure!(answers > 0, "the program counted no response");
            ensure!(
                report.requests >= answers,
                "it counted {answers} answers, the device {}",
                report.requests
            );
            Ok(format!("{} requests, {seconds} s", report.requests))
        };
        check().with_context(|| format!("after {seconds} s: {}", last_lines(&text)))
    }
}

/// The counters of the device, from a report without errors.
struct Report {
    requests: u64,
    /// The counters of the only process.
    counters: Value,
}

impl Report {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let mut report: Value = serde_json::from_slice(&fs::read(path)?)?;
        let processes = report["processes"].as_array().map_or(0, Vec::len);
        ensure!(processes == 1, "{processes} processes looked for devices");
        ensure!(report["exit_code"] == 0, "the program's exit code is {}", report["exit_code"]);
        let requests = report["requests"].as_u64().context("the report counts no requests")?;
        let process = &mut report["processes"][0];
        ensure!(process["audit"] == serde_json::json!([]), "the audit found {}", process["audit"]);
        let counters = process["counters"].take();
        for (service, seen) in counters["services"].as_object().context("the report names no services")? {
            ensure!(seen["unsupported"] == 0, "{} requests {service} are unsupported", seen["unsupported"]);
            ensure!(seen["requests"] == seen["responses"], "some requests of {service} have no response");
            // −15 means that an inflated stream is not complete, which the library treats as a success.
            let codes = seen["error_codes"].as_object().context("the report names no error codes")?;
            ensure!(codes.keys().all(|code| code == "-15"), "errors of {service}: {}", seen["error_codes"]);
        }
        Ok(Self { requests, counters })
    }

    fn commands(&self, service: &str) -> &Value {
        &self.counters["services"][service]["commands"]
    }

    /// Returns the number of bytes that the compression service read and wrote.
    fn bytes(&self) -> [Option<u64>; 2] {
        ["bytes_in", "bytes_out"].map(|count| self.counters["services"]["dc"][count].as_u64())
    }
}

/// Returns `qat-emu run` with all arguments except the program.
fn emulated(program: &Program, services: &str, report: &Path, requests: u64) -> Command {
    let mut command = Command::new("timeout");
    command.arg(TIMEOUT).arg(&program.emulator).arg("run").args(&program.options);
    command.args(["--services", services, "--require-clean", "--require-requests", &requests.to_string()]);
    command.arg("--report").arg(report);
    command
}

/// A format of QATzip: its options, the suffix of its files, and an independent program that reads it.
const FORMATS: &[(&[&str], &str, &str)] = &[
    (&["-O", "gzip"], "gz", "gzip"),
    (&["-O", "gzipext"], "gz", "gzip"),
    (&["-A", "lz4", "-O", "lz4"], "lz4", "lz4"),
];

/// Runs QATzip in both directions in each format. `qzip` has a software path that cannot be disabled, so that the
/// counters of the device must include every byte; `qatzip-test` can disable it.
fn quickassist_zip(sh: &Shell, directory: &Path, file: &Path) -> anyhow::Result<()> {
    let bytes = fs::metadata(file)?.len();
    let release = libqat::release(None, "24.02")?;
    let qzip = Program::find(sh, release, &OsString::from("qzip"))?;
    let report = directory.join("qzip.json");
    let expect = |what: &str, output: &Output, bytes: [Option<u64>; 2]| {
        let check = || {
            ensure!(output.status.success(), "{}", output.status);
            let seen = Report::read(&report)?.bytes();
            let whole = seen.iter().zip(bytes).all(|(seen, bytes)| bytes.is_none() || *seen == bytes);
            ensure!(whole, "the device saw {seen:?} bytes in and out, of {bytes:?}");
            Ok(())
        };
        check().with_context(|| format!("qzip {what}: {}", last_lines(&text(output))))
    };
    for (number, (options, suffix, reader)) in (0..).zip(FORMATS) {
        let stem = directory.join(number.to_string());
        let packed = stem.with_extension(suffix);
        let plain = stem.with_extension("plain");
        let work = |direction: &[&str], to: &Path, from: &Path| {
            let mut command = emulated(&qzip, "dc", &report, 1);
            command.arg("--").arg(&qzip.command).args(direction).args(*options);
            command.args(["-k".as_ref(), "-o".as_ref(), to.as_os_str(), from.as_os_str()]).output()
        };
        expect(options[options.len() - 1], &work(&[], &stem, file)?, [Some(bytes), None])?;
        cmd!(sh, "sh -c '$0 -dc \"$1\" | cmp - \"$2\"' {reader} {packed} {file}").quiet().run()?;
        expect("-d", &work(&["-d"], &plain, &packed)?, [None, Some(bytes)])?;
        cmd!(sh, "cmp {plain} {file}").quiet().run()?;
        println!("qzip {}: {bytes} bytes in both directions", options.join(" "));
    }

    // A file of gzip itself does not state the sizes of its blocks, so that QATzip uses its software path. The check
    // must detect that.
    let foreign = directory.join("foreign.gz");
    fs::write(&foreign, cmd!(sh, "gzip -c {file}").quiet().output()?.stdout)?;
    let mut command = emulated(&qzip, "dc", &report, 1);
    command
        .arg("--")
        .arg(&qzip.command)
        .args(["-d", "-k", "-o"])
        .arg(directory.join("foreign"))
        .arg(&foreign);
    let output = command.output()?;
    let found = (output.status.code(), text(&output).contains("the devices saw 0 requests, 1 are required"));
    ensure!(
        found == (Some(125), true),
        "QATzip in software: {}: {}",
        output.status,
        last_lines(&text(&output))
    );

    let test = Program::find(sh, release, &OsString::from("qatzip-test"))?;
    let mut command = emulated(&test, "dc", &report, 1);
    command.arg("--").arg(&test.command);
    command.args("-m 4 -t 2 -l 4 -v -B 0 -D both -O gzipext -T dynamic".split(' '));
    let output = command.output()?;
    let check = || {
        ensure!(output.status.success(), "{}", output.status);
        let Report { requests, .. } = Report::read(&report)?;
        println!("qatzip-test without software: {requests} requests");
        Ok(())
    };
    check().with_context(|| format!("qatzip-test: {}", last_lines(&text(&output))))
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

/// Returns a corpus that compresses like prose with some binary data: words whose frequency decreases with their rank,
/// and noise in one of sixteen blocks. It is the same on every machine.
fn corpus(seed: u64, bytes: usize) -> Vec<u8> {
    const LETTERS: &[u8] = b"etaoinshrdlcumwfgypbvkjxqz";
    const BLOCK: usize = 4096;
    let mut state = seed;
    // This is SplitMix64.
    let mut next = move |below: u64| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ mixed >> 31) % below) as usize
    };
    let words: Vec<Vec<u8>> =
        (0..4096).map(|_| (0..2 + next(8)).map(|_| LETTERS[next(26).min(next(26))]).collect()).collect();
    let mut corpus = Vec::new();
    while corpus.len() < bytes {
        if corpus.len() / BLOCK % 16 == 15 {
            corpus.extend((0..BLOCK).map(|_| next(256) as u8));
        }
        let magnitude = next(12);
        corpus.extend_from_slice(&words[(1 << magnitude) + next(1 << magnitude)]);
        corpus.push(b"       ,.\n"[next(10)]);
    }
    corpus.truncate(bytes);
    corpus
}
