//! Tests that kill the command at arbitrary times: the target is complete or absent, and the source exists unless the
//! target is complete.
//!
//! `QAT_TEST_KILLS=300` sets the number of kills for the CPU and for the emulated device.

#![cfg(target_os = "linux")]

mod common;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{TestDir, feed, sample};

fn kills() -> u32 {
    std::env::var("QAT_TEST_KILLS").map_or(60, |text| text.parse().expect("QAT_TEST_KILLS is a number"))
}

/// A source, and the arguments that create `out` from it.
const WORK: [(&str, &str); 4] = [
    ("a", "compress"),
    ("a.gz", "decompress"),
    ("a", "encrypt --key-file key"),
    ("a.tink", "decrypt --key-file key"),
];

/// Kills `qat` at times that are distributed over its whole run time and a little longer.
fn kill_loop(dir: &TestDir, kills: u32, command: impl Fn(&str) -> Command) {
    let plain = sample(6_000_000);
    dir.write("a", &plain);
    dir.qat("keygen -o key").ok();
    dir.qat("compress -q a").ok();
    dir.qat("encrypt -q --key-file key a").ok();
    let sources = WORK.map(|(source, _)| dir.read(source));
    let quiet = |mut command: Command| {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    // The run time of each is measured, to choose the times of the kills.
    let lives = WORK.map(|(source, args)| {
        let start = Instant::now();
        let done = quiet(command(&format!("{args} -f -o out {source}"))).status().unwrap();
        assert!(done.success(), "{args}");
        start.elapsed()
    });
    std::fs::remove_file(dir.path("out")).unwrap();
    let (mut whole, mut killed) = (0, 0);
    for number in 0..kills {
        let which = number as usize % WORK.len();
        let (source, args) = WORK[which];
        let rm = if (number as usize / WORK.len()).is_multiple_of(2) { "" } else { "--rm" };
        dir.write(source, &sources[which]);
        let mut child = quiet(command(&format!("{args} {rm} -o out {source}"))).spawn().unwrap();
        // Multiples of the golden ratio are distributed evenly for any number of kills, while the load of the machine
        // varies.
        let share = f64::from(number) * 0.618_033_988_75 % 1.0;
        std::thread::sleep(lives[which].mul_f64(share * 1.1).min(Duration::from_secs(20)));
        let _ = child.kill();
        killed += u32::from(!child.wait().unwrap().success());

        let is_there = dir.path(source).exists();
        assert!(!is_there || dir.read(source) == sources[which], "kill {number}: {args} {rm}: source");
        if dir.path("out").exists() {
            whole += 1;
            let out = dir.read("out");
            let made = match args.split(' ').next() {
                Some("compress") => {
                    let mut gzip = dir.command("gzip");
                    gzip.arg("-dc");
                    let output = feed(gzip, &out);
                    assert!(output.status.success(), "kill {number}: {args} {rm}: not whole");
                    output.stdout
                }
                Some("encrypt") => dir.qat("decrypt -q --key-file key -c out").ok().stdout,
                _ => out,
            };
            assert!(made == plain, "kill {number}: {args} {rm}: not whole");
        } else {
            assert!(is_there, "kill {number}: {args} {rm}: source and target are gone");
        }
        for name in dir.names() {
            if name == "out" || name.starts_with(".qat-") {
                std::fs::remove_file(dir.path(&name)).unwrap();
            }
        }
        dir.write("a", &plain);
    }
    println!("{killed} of {kills} were killed in time, {whole} outputs were whole, none was partial");
    assert!(killed > 0, "all were done before the kill");
}

#[test]
fn killed_runs_leave_whole_files_or_none() {
    let dir = TestDir::new();
    kill_loop(&dir, kills(), |args| dir.qat_command(args));
}

#[cfg(target_env = "gnu")]
#[test]
fn killed_runs_on_the_device_leave_whole_files_or_none() {
    let Some(machine) = common::device::Machine::new() else { return };
    kill_loop(&machine.dir, kills(), |args| {
        // The emulated devices support only compression.
        let engine = if args.contains("compress") { "qat" } else { "auto" };
        machine.command(&format!("{args} --engine {engine}"))
    });
}
