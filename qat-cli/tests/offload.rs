//! Tests of the command on the emulated devices of `qat-emu`, with Intel's own library.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;

use common::device::Machine;
use common::{FORMATS, Run, sample};
use qat_emu::Service;

impl Machine {
    fn qat(&self, args: &str) -> Run {
        Run::new(args, self.command(args).output().unwrap())
    }

    /// Returns the number of requests that the devices have processed so far. All processes that used them have ended.
    fn requests(&self) -> u64 {
        let reports = self.devices.reports().unwrap();
        for (process, counters) in &reports {
            assert_eq!(counters.audit(), Vec::<String>::new(), "process {process}");
        }
        reports.iter().map(|(_, counters)| counters.service(Service::Compression).requests).sum()
    }
}

#[track_caller]
fn says(run: &Run, part: &str) {
    assert!(run.stderr.contains(part), "{}: no {part:?} in {}", run.args, run.stderr);
}

#[test]
fn every_format_on_the_device() {
    let Some(machine) = Machine::new() else { return };
    let plain = sample(3_000_000);
    machine.dir.write("a", &plain);
    for (format, suffix) in FORMATS {
        let before = machine.requests();
        let run = machine.qat(&format!("compress --engine qat --format {format} a")).ok();
        says(&run, ", on QAT");
        // Each block of an LZ4 stream has 4 MiB and is one request; the blocks of other formats are smaller.
        let requests = machine.requests() - before;
        assert!(requests >= if format == "lz4" { 1 } else { 3 }, "{format}: {requests} requests");
        // The device supports compression to Zstandard, but not decompression.
        let engine = if format == "zstd" { "software" } else { "qat" };
        let before = machine.requests();
        let run = machine.qat(&format!("decompress --engine {engine} -o b a.{suffix}")).ok();
        says(&run, if format == "zstd" { ", on the CPU" } else { ", on QAT" });
        assert_eq!(machine.requests() > before, format != "zstd", "{format}");
        assert_eq!(machine.dir.read("b"), plain, "{format}");
        std::fs::remove_file(machine.dir.path("b")).unwrap();

        // The device reads what the CPU wrote, including formats that do not state the lengths of their blocks.
        if format != "zstd" {
            machine.dir.qat(&format!("compress -f --engine software --format {format} a")).ok();
            let run = machine.qat(&format!("decompress --engine qat -o b a.{suffix}")).ok();
            says(&run, ", on QAT");
            assert_eq!(machine.dir.read("b"), plain, "{format}");
            std::fs::remove_file(machine.dir.path("b")).unwrap();
        }
    }
}

#[test]
fn auto_says_where_it_worked() {
    let Some(machine) = Machine::new() else { return };
    let plain = sample(5_000_000);
    machine.dir.write("a", &plain);
    for (format, suffix) in FORMATS {
        let run = machine.qat(&format!("compress --format {format} a")).ok();
        assert!(run.stderr.contains("on QAT") || run.stderr.contains("on the CPU ("), "{}", run.stderr);
        assert!(!run.stderr.contains("hardware unavailable"), "{}", run.stderr);
        let run = machine.qat(&format!("decompress -o b a.{suffix}")).ok();
        if matches!(format, "zstd" | "zlib" | "deflate") {
            says(&run, "on the CPU (not supported by the hardware path)");
        }
        assert_eq!(machine.dir.read("b"), plain, "{format}");
        std::fs::remove_file(machine.dir.path("b")).unwrap();
    }
    machine.requests();
}

#[test]
fn what_the_device_does_not_do_has_an_exit_code() {
    let Some(machine) = Machine::new() else { return };
    machine.dir.write("a", sample(200_000));
    machine.dir.qat("compress --format zstd a").ok();
    for (args, parts) in [
        ("decompress --engine qat -o b a.zst", ["decompressing Zstandard", "--engine auto"]),
        ("compress --engine qat -l 0 -o b a", ["deflate at level 0", "1 to 12"]),
        ("compress --engine qat --format zstd -l 19 -o b a", ["Zstandard at level 19", "--engine auto"]),
    ] {
        machine.qat(args).failed(6, &parts);
    }
    // The CPU does what the device does not support, where the engine allows it.
    says(
        &machine.qat("compress --format zstd -l 19 -o c a").ok(),
        "on the CPU (not supported by the hardware path)",
    );

    machine.qat("compress --engine qat a").ok();
    let mut packed = machine.dir.read("a.gz");
    let middle = packed.len() / 2;
    packed[middle] ^= 0x55;
    machine.dir.write("bad.gz", &packed);
    machine.qat("decompress --engine qat bad.gz").failed(4, &["bad.gz", "obtain an intact copy"]);
    machine.dir.write("cut.gz", &packed[..middle]);
    machine.qat("decompress --engine qat cut.gz").failed(4, &["cut.gz", "obtain an intact copy"]);
    machine.qat("decompress --engine qat --limit 1000 -o b a.gz").failed(7, &["--limit"]);
    assert_eq!(machine.dir.names(), ["a", "a.gz", "a.zst", "bad.gz", "c", "cut.gz"]);
    machine.requests();
}
