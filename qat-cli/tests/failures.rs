//! Tests of failures: invalid input, outputs that cannot be written, and signals. Each checks the exit code, the cause
//! and the remedy in the message, and that no file is left.

mod common;

use std::fs;

use common::{FORMATS, Run, TestDir, sample};

/// Runs `qat`, and checks that it fails with `code` and `parts` and leaves the directory unchanged.
#[track_caller]
fn fails_clean(dir: &TestDir, args: &str, code: i32, parts: &[&str]) -> Run {
    let before: Vec<_> = dir.names().into_iter().map(|name| (fs::read(dir.path(&name)).ok(), name)).collect();
    let run = dir.qat(args).failed(code, parts);
    let after: Vec<_> = dir.names().into_iter().map(|name| (fs::read(dir.path(&name)).ok(), name)).collect();
    assert!(before == after, "{args} left something else behind: {:?}", dir.names());
    run
}

#[test]
fn damaged_files_are_refused() {
    let plain = sample(3_500_000);
    for (format, suffix) in FORMATS {
        let dir = TestDir::new();
        dir.write("good", &plain);
        dir.qat(&format!("compress -q --format {format} good")).ok();
        let good = dir.read(&format!("good.{suffix}"));
        let bad = format!("bad.{suffix}");
        for keep in [1, 3, 11, good.len() / 3, good.len() - 5, good.len() - 1] {
            dir.write(&bad, &good[..keep]);
            for threads in [1, 3] {
                fails_clean(&dir, &format!("decompress --threads {threads} {bad}"), 4, &[&bad]);
            }
        }
        dir.write(&bad, "");
        fails_clean(&dir, &format!("decompress {bad}"), 4, &[&bad]);
        // Raw deflate has no checksum.
        if format != "deflate" {
            for at in [0, good.len() / 2, good.len() - 1] {
                let mut flipped = good.clone();
                flipped[at] ^= 0x10;
                dir.write(&bad, flipped);
                fails_clean(&dir, &format!("decompress {bad}"), 4, &[&bad]);
            }
        }
        dir.write(&bad, [&good[..], b"garbage"].concat());
        fails_clean(&dir, &format!("decompress {bad}"), 4, &["something else follows"]);
        dir.write(&bad, &plain[..1000]);
        fails_clean(&dir, &format!("decompress --rm {bad}"), 4, &[&bad]);
    }
}

#[test]
fn truncation_is_named() {
    let dir = TestDir::new();
    dir.write("a", sample(10_000));
    for (format, suffix) in FORMATS {
        dir.qat(&format!("compress -q --format {format} a")).ok();
        let good = dir.read(&format!("a.{suffix}"));
        dir.write(&format!("b.{suffix}"), &good[..good.len() - 6]);
        fails_clean(&dir, &format!("decompress b.{suffix}"), 4, &["truncated", "obtain an intact copy"]);
    }
}

#[test]
fn the_wrong_format_is_refused() {
    let dir = TestDir::new();
    dir.write("a", sample(10_000));
    dir.qat("compress -q a").ok();
    for format in ["zlib", "lz4", "zstd"] {
        fails_clean(&dir, &format!("decompress -o b --format {format} a.gz"), 4, &["a.gz: "]);
    }
    fails_clean(&dir, "decompress -o b a", 4, &["unrecognised format", "--format deflate"]);
}

#[test]
fn altered_and_foreign_ciphertext_is_refused() {
    let dir = TestDir::new();
    dir.qat("keygen -o key").ok();
    dir.qat("keygen -o other").ok();
    dir.write("a", sample(2_500_000));
    dir.qat("encrypt -q --key-file key --aad x a").ok();
    fails_clean(&dir, "decrypt --key-file other --aad x -o b a.tink", 5, &["a.tink: no key of the keyset"]);
    fails_clean(&dir, "decrypt --key-file key --aad y -o b a.tink", 5, &["associated data"]);
    fails_clean(&dir, "decrypt --key-file key -o b a", 4, &["not a stream that this keyset encrypted"]);
    let good = dir.read("a.tink");
    for (at, code) in [(0, 4), (5, 5), (100, 5), (1_500_000, 5), (good.len() - 1, 5)] {
        let mut flipped = good.clone();
        flipped[at] ^= 1;
        dir.write("bad.tink", flipped);
        fails_clean(&dir, "decrypt --key-file key --aad x bad.tink", code, &["bad.tink: "]);
    }
    for (keep, code) in [(0, 4), (1, 4), (39, 4), (40, 5), (50, 5), (1 << 20, 5), (good.len() - 1, 5)] {
        dir.write("bad.tink", &good[..keep]);
        fails_clean(&dir, "decrypt --key-file key --aad x bad.tink", code, &["bad.tink: "]);
    }
}

#[test]
fn malformed_key_files_are_named_and_not_shown() {
    let dir = TestDir::new();
    dir.write("a", "text");
    for (content, part) in [
        (&b""[..], "neither"),
        (b"correct horse battery staple", "neither"),
        (b"c0ffee", "64 digits"),
        (b"{\"primaryKeyId\": \"c0ffee\"}", "malformed Tink keyset"),
        (b"\xff\xfe\x00", "neither"),
    ] {
        dir.write("key", content);
        let run = fails_clean(&dir, "encrypt -q --key-file key a", 5, &["key: ", part, "qat keygen"]);
        assert!(!run.stderr.contains("c0ffee") && !run.stderr.contains("horse"), "{}", run.stderr);
    }
    fails_clean(&dir, "encrypt --key-file nokey a", 3, &["nokey: cannot read", "check the name"]);
    dir.qat("encrypt a").failed(2, &["--key-file"]);
}

#[test]
fn a_bomb_ends_at_the_limit() {
    let dir = TestDir::new();
    dir.write("zeros", vec![0; 40 << 20]);
    for (format, suffix) in FORMATS {
        dir.qat(&format!("compress -q --format {format} zeros")).ok();
        let bomb = format!("zeros.{suffix}");
        fails_clean(
            &dir,
            &format!("decompress --limit 39M -o out {bomb}"),
            7,
            &["40894464 bytes", "--limit"],
        );
        let limited = dir.qat(&format!("decompress -c --limit 1000000 {bomb}")).failed(7, &["limit"]);
        assert!(limited.stdout.len() <= 1_000_000);
        assert_eq!(dir.qat(&format!("decompress -c --limit 40M {bomb}")).ok().stdout.len(), 40 << 20);
    }
}

#[test]
fn the_output_directory_is_gone() {
    let dir = TestDir::new();
    dir.write("a", "text");
    fails_clean(&dir, "compress -o gone/a.gz a", 3, &["gone/a.gz: cannot write", "create the directory"]);
    fails_clean(&dir, "keygen -o gone/key", 3, &["gone/key: cannot write"]);
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{Read, Write};
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn full_disks_are_named() {
        let dir = TestDir::new();
        dir.write("a", sample(2_000_000));
        dir.qat("compress -q a").ok();
        let full: &[&str] = &["cannot write: No space left on device", "free some space"];
        fails_clean(&dir, "compress -o /dev/full a", 3, full);
        dir.shell("\"$QAT\" compress -c a > /dev/full").failed(3, full);
        dir.shell("\"$QAT\" decompress -c a.gz > /dev/full").failed(3, full);
        dir.shell("\"$QAT\" keygen -o - > /dev/full").failed(3, full);
        // The unit is 512 bytes or 1 KiB, depending on the shell.
        let limited = dir.shell("ulimit -f 200; \"$QAT\" decompress --rm -o out a.gz");
        limited.failed(3, &["out: cannot write: File too large", "ulimit -f"]);
        assert_eq!(dir.names(), ["a", "a.gz"]);
    }

    #[test]
    fn a_closed_pipe_ends_quietly() {
        let dir = TestDir::new();
        dir.write("a", sample(20_000_000));
        dir.qat("compress -q a").ok();
        for args in ["decompress -c a.gz a.gz", "compress -c -l 0 a"] {
            let mut command = dir.qat_command(args);
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            child.stdout.take().unwrap().read_exact(&mut [0; 10]).unwrap();
            let output = child.wait_with_output().unwrap();
            assert_eq!((output.status.code(), &output.stderr[..]), (Some(141), &b""[..]), "{args}");
        }
    }

    #[test]
    fn unreadable_inputs_are_named() {
        let dir = TestDir::new();
        dir.shell("\"$QAT\" compress < .").failed(3, &["standard input: cannot read", "directory"]);
        dir.write("a", "text");
        dir.shell("ln -s b b; true").ok();
        dir.qat("compress -c b").failed(3, &["b: cannot read"]);
        // Root may read every file, so that this part is effective for other users only.
        dir.shell("chmod 0 a").ok();
        if fs::read(dir.path("a")).is_err() {
            dir.qat("compress a").failed(3, &["a: cannot read: Permission denied", "permission"]);
        }
        assert_eq!(dir.names(), ["a", "b"]);
    }

    /// Starts `qat`, and returns when it has created its temporary file and waits for more input.
    fn in_mid_work(dir: &TestDir, command: &mut Command) -> Child {
        let before = dir.names().len();
        command.stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(&sample(6 << 20)).unwrap();
        let start = Instant::now();
        while dir.names().len() == before {
            assert!(start.elapsed() < Duration::from_secs(60), "no temporary file: {:?}", dir.names());
            std::thread::sleep(Duration::from_millis(5));
        }
        child
    }

    fn send(signal: &str, child: &Child) {
        let kill = Command::new("sh").args(["-c", &format!("kill -{signal} {}", child.id())]).status();
        assert!(kill.unwrap().success());
    }

    /// The signals whose default action ends a process, by name and by number on x86 and ARM.
    const FATAL: [(&str, i32); 16] = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("TRAP", 5),
        ("ABRT", 6),
        ("USR1", 10),
        ("USR2", 12),
        ("ALRM", 14),
        ("TERM", 15),
        ("STKFLT", 16),
        ("XCPU", 24),
        ("VTALRM", 26),
        ("PROF", 27),
        ("IO", 29),
        ("PWR", 30),
        ("SYS", 31),
    ];

    #[test]
    fn signals_leave_nothing() {
        for (name, number) in FATAL {
            let dir = TestDir::new();
            // Signals may be ignored in the process that runs the tests, for example by nohup.
            let mut command = dir.command("env");
            command.args(["--default-signal", "sh", "-c", "ulimit -c 0; exec \"$QAT\" compress -o out"]);
            command.env("QAT", env!("CARGO_BIN_EXE_qat"));
            let mut child = in_mid_work(&dir, &mut command);
            // `wait` would close standard input, so that the end of the input would race with the signal.
            let _stdin = child.stdin.take();
            send(&number.to_string(), &child);
            assert_eq!(child.wait().unwrap().signal(), Some(number), "{name}");
            assert_eq!(dir.names(), [""; 0], "{name}");
        }
    }

    /// A limit on processes counts threads, and does not apply to root.
    #[test]
    fn no_thread_to_be_had_is_no_panic() {
        let dir = TestDir::new();
        dir.write("a", sample(5_000_000));
        dir.open_to_everyone();
        let limited = |args: &str| dir.unprivileged(&format!("exec prlimit --nproc=1 -- \"$QAT\" {args}"));
        limited("compress --engine software --threads 1 a").ok();
        limited("decompress --engine software --threads 1 -o b a.gz").ok();
        assert_eq!(dir.read("b"), dir.read("a"));
        let refused = limited("compress --engine software --threads 4 -o c a");
        assert!(!refused.stderr.contains("panicked"), "{}", refused.stderr);
        assert_ne!(refused.code, Some(0));
        assert_eq!(dir.names(), ["a", "a.gz", "b"]);
        // A signal handler needs no thread either.
        let script = "mkfifo pipe
            prlimit --nproc=1 -- \"$QAT\" compress --engine software --threads 1 -o out < pipe & exec 3> pipe
            while ! ls .qat-* > ls 2>&1; do head -c 1000000 a >&3; done
            kill $!; wait $!";
        assert_eq!(dir.unprivileged(script).code, Some(128 + 15));
        assert_eq!(dir.names(), ["a", "a.gz", "b", "ls", "pipe"]);
    }

    #[test]
    fn temporary_files_of_killed_runs_are_named() {
        let dir = TestDir::new();
        let mut child = in_mid_work(&dir, &mut dir.qat_command("compress -o out"));
        let temporary = dir.names().pop().unwrap();
        dir.write("a", "text");
        // The temporary file is in use, so that no warning is printed.
        let said = dir.qat("compress a").ok().stderr;
        assert!(!said.contains(".qat-"), "{said}");
        child.kill().unwrap();
        child.wait().unwrap();
        let said = dir.qat("compress -f a").ok().stderr;
        assert!(
            said.contains(&format!(
                "warning: ./{temporary}: temporary file of a qat process that was killed"
            )),
            "{said}"
        );
        assert!(!dir.qat("compress -q -f a").ok().stderr.contains(".qat-"));
        // The warning is printed once for each directory, and only for temporary files of this command.
        dir.write("b", "text");
        dir.write(".qat-notes.tmp", "mine");
        let said = dir.qat("compress -f a b").ok().stderr;
        assert_eq!(said.matches("killed").count(), 1, "{said}");
    }

    #[test]
    fn an_ignored_signal_stays_ignored() {
        let dir = TestDir::new();
        let mut shell = dir.command("sh");
        shell
            .args(["-c", "trap '' HUP; exec \"$QAT\" compress -o out"])
            .env("QAT", env!("CARGO_BIN_EXE_qat"));
        let child = in_mid_work(&dir, &mut shell);
        send("HUP", &child);
        std::thread::sleep(Duration::from_millis(50));
        assert!(child.wait_with_output().unwrap().status.success());
        assert_eq!(dir.names(), ["out"]);
    }

    #[test]
    fn a_target_that_appears_meanwhile_is_not_overwritten() {
        let dir = TestDir::new();
        let child = in_mid_work(&dir, &mut dir.qat_command("compress -o out"));
        dir.write("out", "mine");
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(8));
        assert_eq!((dir.names(), dir.read("out")), (vec!["out".to_owned()], b"mine".to_vec()));
    }

    #[test]
    fn a_directory_that_goes_meanwhile_is_named() {
        let dir = TestDir::new();
        fs::create_dir(dir.path("dir")).unwrap();
        let mut command = dir.qat_command("compress -o dir/out");
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(&sample(6 << 20)).unwrap();
        while fs::read_dir(dir.path("dir")).unwrap().next().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        fs::remove_dir_all(dir.path("dir")).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("dir/out: cannot write"), "{said}");
        assert_eq!(dir.names(), [""; 0]);
    }
}

/// `zstd --long=28` writes frames with a window beyond the default limit when it reads a pipe.
#[cfg(unix)]
#[test]
fn a_large_window_names_its_option() {
    let dir = TestDir::new();
    dir.shell("head -c 200000000 /dev/zero | zstd -q --long=28 > a.zst").ok();
    let run = fails_clean(&dir, "decompress a.zst", 7, &["268435456", "134217728", "--long=28"]);
    assert!(!run.stderr.contains("damaged"), "{}", run.stderr);
    for option in ["--long=28", "--long"] {
        dir.qat(&format!("decompress -f {option} a.zst")).ok();
        assert_eq!(dir.read("a").len(), 200_000_000);
    }
    for option in ["--long=32", "--long=9", "--long=x"] {
        dir.qat(&format!("decompress {option} a.zst")).failed(2, &["--long"]);
    }
}

/// Memory that the system refuses is an error with a remedy, and leaves no temporary file.
#[cfg(target_os = "linux")]
#[test]
fn too_little_memory_is_said() {
    let dir = TestDir::new();
    dir.shell("head -c 500000000 /dev/zero | zstd -q --long=27 > a.zst").ok();
    let before = dir.names();
    // The limit is less than the 128 MiB of the frame's window.
    let script =
        "ulimit -v 130000; exec env MALLOC_ARENA_MAX=1 $QAT decompress --engine software --threads 2 a.zst";
    dir.shell(script).failed(1, &["cannot allocate", "fewer threads"]);
    assert_eq!(dir.names(), before);
}
