//! Tests of the behaviour that users know from gzip, zstd and xz: suffixes, sparse files, non-blocking streams, and
//! unusual directories and names.

#![cfg(target_os = "linux")]

mod common;

use std::fs::{self, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use common::{Run, TestDir, sample};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

#[test]
fn suffixes_are_those_of_gzip_and_zstd() {
    let dir = TestDir::new();
    dir.write("a.tar", "an archive");
    dir.qat("compress -q a.tar").ok();
    dir.qat("compress -q --format zstd a.tar").ok();
    dir.qat("compress -q --format lz4 a.tar").ok();
    fs::remove_file(dir.path("a.tar")).unwrap();
    for (packed, names, plain) in [
        ("a.tar.gz", &["b.tgz", "b.taz", "b.TGZ"][..], "b.tar"),
        ("a.tar.gz", &["b.GZ", "b.z", "b.Gz"][..], "b"),
        ("a.tar.zst", &["b.zstd", "b.ZST"][..], "b"),
        ("a.tar.zst", &["b.tzst"][..], "b.tar"),
        ("a.tar.lz4", &["b.tlz4"][..], "b.tar"),
    ] {
        for name in names {
            fs::copy(dir.path(packed), dir.path(name)).unwrap();
            dir.qat(&format!("decompress --rm {name}")).ok();
            assert_eq!(dir.read(plain), b"an archive", "{name}");
            fs::remove_file(dir.path(plain)).unwrap();
            // The suffix shows that the file is compressed already.
            fs::copy(dir.path(packed), dir.path(name)).unwrap();
            let format = packed.rsplit('.').next().unwrap().replace("gz", "gzip").replace("zst", "zstd");
            dir.qat(&format!("compress --format {format} {name}")).failed(8, &["already has the suffix"]);
            fs::remove_file(dir.path(name)).unwrap();
        }
    }
    assert_eq!(dir.names(), ["a.tar.gz", "a.tar.lz4", "a.tar.zst"]);
}

#[test]
fn zeros_become_holes() {
    let dir = TestDir::new();
    dir.qat("keygen -o key").ok();
    let blocks = |name: &str| fs::metadata(dir.path(name)).unwrap().blocks();
    // Holes at the end, in the middle and at the beginning; only a hole; no hole; lengths that are no multiple of a
    // block.
    let hole = vec![0; (8 << 20) + 4321];
    let data = sample(100_001);
    for (plain, most) in [
        ([&hole[..], &data, &hole].concat(), 2000),
        ([&data[..], &hole, &data].concat(), 2000),
        (hole.clone(), 500),
        (data.clone(), 2000),
        ([&data[..], &[0; 31 << 10], &data].concat(), 2000),
    ] {
        dir.write("a", &plain);
        dir.qat("compress -q -f a").ok();
        dir.qat("encrypt -q -f --key-file key a").ok();
        dir.qat("decompress -q -f -o b a.gz").ok();
        assert!(dir.read("b") == plain);
        assert!(blocks("b") <= most, "{}", blocks("b"));
        dir.qat("decrypt -q -f --key-file key -o b a.tink").ok();
        assert!(dir.read("b") == plain);
        assert!(blocks("b") <= most, "{}", blocks("b"));
        // Standard output gets no holes.
        assert!(dir.qat("decompress -q -c a.gz").ok().stdout == plain);
        // The earlier content of the file is overwritten completely.
        dir.shell("\"$QAT\" decompress -q a.gz -c 1<> b").ok();
        assert!(dir.read("b") == plain);
    }
}

/// Makes both ends of a pipe non-blocking, as those of a terminal or an event loop may be.
fn set_nonblocking(descriptor: &impl std::os::fd::AsFd) {
    fcntl_setfl(descriptor, fcntl_getfl(descriptor).unwrap() | OFlags::NONBLOCK).unwrap();
}

#[test]
fn non_blocking_streams_are_waited_for() {
    let dir = TestDir::new();
    let plain = sample(3_000_000);
    dir.write("a", &plain);
    dir.qat("keygen -o key").ok();
    for (there, back) in [("compress", "decompress"), ("encrypt --key-file key", "decrypt --key-file key")] {
        let packed = through_slow_pipes(&dir, there, &plain);
        assert!(through_slow_pipes(&dir, back, &packed) == plain);
    }
    // The key comes from a pipe that is not ready, and the output is longer than the buffer of a pipe.
    let key = dir.read("key");
    assert!(!through_slow_pipes(&dir, "encrypt --key-file - -c a", &key).is_empty());
    assert!(through_slow_pipes(&dir, "--help", b"").len() > 1000);
    assert!(through_slow_pipes(&dir, "info", b"").len() > 100);
    assert!(through_slow_pipes(&dir, "keygen --hex -o -", b"").len() == 65);
}

/// Runs `qat` with `input` through non-blocking pipes whose other ends are slow.
fn through_slow_pipes(dir: &TestDir, args: &str, input: &[u8]) -> Vec<u8> {
    let (stdin, mut feed) = io::pipe().unwrap();
    let (mut drain, stdout) = io::pipe().unwrap();
    let (mut said, stderr) = io::pipe().unwrap();
    set_nonblocking(&stdin);
    set_nonblocking(&stdout);
    set_nonblocking(&stderr);
    let mut command = dir.qat_command(args);
    let mut child = command.stdin(stdin).stdout(stdout).stderr(stderr).spawn().unwrap();
    drop(command);
    let mut output = Vec::new();
    let mut messages = String::new();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let (head, rest) = input.split_at(input.len().min(10));
            for part in [head, rest] {
                std::thread::sleep(Duration::from_millis(100));
                if feed.write_all(part).is_err() {
                    return;
                }
            }
        });
        scope.spawn(|| said.read_to_string(&mut messages).unwrap());
        std::thread::sleep(Duration::from_millis(300));
        drain.read_to_end(&mut output).unwrap();
    });
    assert!(child.wait().unwrap().success(), "{args}: {messages}");
    output
}

#[test]
fn names_stay_relative_in_very_deep_directories() {
    let dir = TestDir::new();
    // The script creates a path longer than PATH_MAX, one directory at a time.
    let script = r#"
import os, subprocess, sys
for _ in range(30):
    os.mkdir("d" * 200)
    os.chdir("d" * 200)
open("a", "w").write("text")
qat = os.environ["QAT"]
def run(args):
    subprocess.run([qat] + args.split(), check=True)
run("keygen -o key")
run("compress --rm a")
run("encrypt --rm --key-file key a.gz")
run("decrypt --rm --key-file key a.gz.tink")
run("decompress --rm a.gz")
run("compress -f -o ./b a")
assert sorted(os.listdir(".")) == ["a", "b", "key"], os.listdir(".")
assert open("a").read() == "text"
"#;
    let mut command = dir.command("python3");
    command.args(["-c", script]).env("QAT", env!("CARGO_BIN_EXE_qat"));
    Run::new("deep", command.output().unwrap()).ok();
}

#[test]
fn names_stay_relative_below_a_closed_directory() {
    let dir = TestDir::new();
    dir.open_to_everyone();
    fs::create_dir_all(dir.path("closed/open")).unwrap();
    for name in ["closed", "closed/open"] {
        dir.give(name);
    }
    let work = "cd closed/open && chmod 0 .. && printf text > a && \"$QAT\" compress --rm a && \
                \"$QAT\" decompress -f -o b a.gz; code=$?; cd /; exit $code";
    let run = dir.unprivileged(work);
    fs::set_permissions(dir.path("closed"), Permissions::from_mode(0o755)).unwrap();
    run.ok();
    assert_eq!(dir.read("closed/open/b"), b"text");
}

/// A directory that may be written to and searched, but not read, cannot be opened to sync it.
#[test]
fn directories_need_not_be_readable() {
    let dir = TestDir::new();
    dir.open_to_everyone();
    fs::create_dir(dir.path("drop")).unwrap();
    fs::set_permissions(dir.path("drop"), Permissions::from_mode(0o333)).unwrap();
    dir.give("drop");
    let run =
        dir.unprivileged("cd drop && printf text > a && \"$QAT\" compress --rm a && \"$QAT\" keygen -o key");
    fs::set_permissions(dir.path("drop"), Permissions::from_mode(0o755)).unwrap();
    run.ok();
    assert!(dir.path("drop/a.gz").exists() && dir.path("drop/key").exists() && !dir.path("drop/a").exists());
}

#[test]
fn control_characters_are_escaped_on_a_terminal_only() {
    let dir = TestDir::new();
    let name = "a\u{1b}]0;owned\u{7}\u{9b}2J\nb";
    dir.write(name, "text");
    let script = r#"
import os, pty, sys
os.environ["TERM"] = "dumb"
sys.exit(os.waitstatus_to_exitcode(pty.spawn([os.environ["QAT"], *sys.argv[1:]])))
"#;
    for (args, code) in
        [(&["compress", name][..], 0), (&["compress", name], 8), (&["compress", "\u{1b}[31mno"], 3)]
    {
        let mut command = dir.command("python3");
        command.args(["-c", script]).args(args).env("QAT", env!("CARGO_BIN_EXE_qat"));
        let run = Run::new("terminal", command.output().unwrap());
        let shown = String::from_utf8(run.stdout.clone()).unwrap();
        assert_eq!(run.code, Some(code), "{shown}");
        assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{9b}']), "{shown:?}");
        assert!(shown.contains(r"\u{1b}"), "{shown:?}");
        assert!(args[1] != name || shown.contains(r"\u{9b}2J\nb"), "{shown:?}");
    }
    // Names are unchanged where standard error is not a terminal, so that scripts can use them.
    let mut command = dir.qat_command("compress -f");
    command.arg(name);
    let run = Run::new("pipe", command.output().unwrap()).ok();
    assert!(run.stderr.contains(name), "{:?}", run.stderr);
}

/// Returns a POSIX access control list, version 2, in the form of acl(5) and the kernel: tag, permissions, id.
fn access_list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        list.extend_from_slice(&tag.to_le_bytes());
        list.extend_from_slice(&permissions.to_le_bytes());
        list.extend_from_slice(&id.to_le_bytes());
    }
    list
}

#[test]
fn access_lists_are_not_widened() {
    use rustix::fs::{XattrFlags, getxattr, setxattr};
    const ACCESS: &str = "system.posix_acl_access";
    const NOBODY: u32 = u32::MAX;
    let set =
        |path: &std::path::Path, name: &str, list: &[u8]| setxattr(path, name, list, XattrFlags::empty());
    let read = |path: &std::path::Path| {
        let mut list = vec![0; 1000];
        getxattr(path, ACCESS, &mut list[..]).map(|len| list[..len].to_vec())
    };
    // Owner rw, user 1234 r, group none, mask r, others none: the mode shows the mask, 0640.
    let private =
        access_list(&[(1, 6, NOBODY), (2, 4, 1234), (4, 0, NOBODY), (16, 4, NOBODY), (32, 0, NOBODY)]);
    let dir = TestDir::new();
    dir.write("a", sample(100_000));
    if let Err(error) = set(&dir.path("a"), ACCESS, &private) {
        let text =
            format!("\nNOT TESTED: access control lists. The file system of temporary files says: {error}\n");
        io::stderr().write_all(text.as_bytes()).unwrap();
        return;
    }
    dir.qat("keygen -o key").ok();
    for (args, out) in [("compress", "a.gz"), ("encrypt --key-file key", "a.tink")] {
        dir.qat(&format!("{args} a")).ok();
        assert_eq!(read(&dir.path(out)).unwrap(), private, "{out}");
    }
    // When the list cannot be set, only the owner gets permissions.
    let run = dir.injected(&["fsetxattr:error=EPERM"], "compress -f a").ok();
    assert!(run.stderr.contains("warning: a.gz: cannot set mode"), "{}", run.stderr);
    assert_eq!(fs::metadata(dir.path("a.gz")).unwrap().mode() & 0o777, 0o600);
    // The directory's default list gives user 1234 all permissions. The output of a source without a list does not
    // inherit it.
    fs::create_dir(dir.path("shared")).unwrap();
    let shared =
        access_list(&[(1, 7, NOBODY), (2, 7, 1234), (4, 7, NOBODY), (16, 7, NOBODY), (32, 5, NOBODY)]);
    set(&dir.path("shared"), "system.posix_acl_default", &shared).unwrap();
    dir.write("b", "text");
    fs::set_permissions(dir.path("b"), Permissions::from_mode(0o640)).unwrap();
    dir.qat("compress -o shared/b.gz b").ok();
    assert_eq!(fs::metadata(dir.path("shared/b.gz")).unwrap().mode() & 0o777, 0o640);
    assert_eq!(read(&dir.path("shared/b.gz")), Err(rustix::io::Errno::NODATA));
}
