//! Tests that no data are lost: sources that change, key files among the inputs, closed streams, and file systems that
//! refuse operations.

#![cfg(target_os = "linux")]

mod common;

use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use common::linux::{is_root, with_faults};
use common::{Run, TestDir, feed, sample};

fn mode(dir: &TestDir, name: &str) -> u32 {
    fs::metadata(dir.path(name)).unwrap().mode() & 0o7777
}

/// Writes a file whose time of change is in the past, so that later changes can be detected.
fn write_old(dir: &TestDir, name: &str, bytes: &[u8]) {
    dir.write(name, bytes);
    let file = File::options().write(true).open(dir.path(name)).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_234_567_890);
    file.set_times(FileTimes::new().set_modified(time)).unwrap();
}

/// Returns what `gzip -dc` decompresses `packed` to.
fn gunzip(dir: &TestDir, packed: &[u8]) -> Vec<u8> {
    let mut gzip = dir.command("gzip");
    gzip.arg("-dc");
    let output = feed(gzip, packed);
    assert!(output.status.success());
    output.stdout
}

/// A command that creates `out` from a source.
struct Work {
    source: &'static str,
    args: &'static str,
}

const WORK: [Work; 4] = [
    Work { source: "a", args: "compress -o out" },
    Work { source: "a.gz", args: "decompress -o out" },
    Work { source: "a", args: "encrypt --key-file key -o out" },
    Work { source: "a.tink", args: "decrypt --key-file key -o out" },
];

impl Work {
    /// Returns the plain content of `out`.
    fn plain(&self, dir: &TestDir) -> Vec<u8> {
        let out = dir.read("out");
        match self.args.split(' ').next() {
            Some("compress") => gunzip(dir, &out),
            Some("encrypt") => dir.qat("decrypt --key-file key -c out").ok().stdout,
            _ => out,
        }
    }
}

/// Returns a directory with a file in plain, compressed and encrypted form.
fn prepared(plain: &[u8]) -> TestDir {
    let dir = TestDir::new();
    dir.write("a", plain);
    dir.qat("keygen -o key").ok();
    dir.qat("compress -q a").ok();
    dir.qat("encrypt -q --key-file key a").ok();
    for name in ["a", "a.gz", "a.tink"] {
        let bytes = dir.read(name);
        write_old(&dir, name, &bytes);
    }
    dir
}

#[test]
fn a_source_that_changed_is_not_removed() {
    // The change that another process makes after the end of the source was read, and the reason for which the source
    // is kept.
    for (event, reason) in [
        ("mv other SOURCE", "another file replaced it"),
        ("printf more >> SOURCE", "changed while it was read"),
        ("printf x | dd of=SOURCE conv=notrunc status=none", "changed while it was read"),
        ("truncate -s 10 SOURCE", "changed while it was read"),
        ("mv SOURCE elsewhere", "was renamed or removed"),
    ] {
        for work in &WORK {
            let dir = prepared(&sample(300_000));
            dir.write("other", "the other file");
            let event = event.replace("SOURCE", work.source);
            let plain = dir.read("a");
            let faults = [("FILE", &*format!("/{}", work.source)), ("RUN", &*format!("0:{event}"))];
            let run = dir.faulty(&faults, &format!("{} --rm {}", work.args, work.source));
            run.failed(3, &[work.source, "not removed because", reason]);
            if !event.contains("elsewhere") {
                assert!(dir.path(work.source).exists(), "{event}");
            }
            assert!(work.plain(&dir) == plain, "{event}");
        }
    }
}

#[test]
fn a_source_that_does_not_change_is_removed() {
    for work in &WORK {
        let dir = prepared(&sample(300_000));
        dir.qat(&format!("{} --rm {}", work.args, work.source)).ok();
        assert!(!dir.path(work.source).exists() && dir.path("out").exists());
    }
}

#[test]
fn a_source_that_is_cut_short_is_named() {
    for rm in ["", "--rm"] {
        let dir = TestDir::new();
        write_old(&dir, "a", &sample(3_000_000));
        let faults = [("FILE", "/a"), ("RUN", "1:truncate -s 1000000 a")];
        let run = dir.faulty(&faults, &format!("compress --threads 1 {rm} a"));
        run.failed(3, &["a: ", if rm.is_empty() { "became shorter" } else { "not removed because" }]);
        assert_eq!(dir.read("a").len(), 1_000_000);
        // A Zstandard frame states the length of its content, so that it cannot be completed.
        write_old(&dir, "a", &sample(3_000_000));
        let run = dir.faulty(&faults, &format!("compress --format zstd --threads 1 {rm} a"));
        run.failed(3, &["a: ", "became shorter"]);
        assert_eq!((dir.read("a").len(), dir.path("a.zst").exists()), (1_000_000, false));
    }
    // A source that grows is read to its end, which is not a failure.
    let dir = TestDir::new();
    write_old(&dir, "a", &sample(300_000));
    let said = dir.faulty(&[("FILE", "/a"), ("RUN", "1:printf more >> a")], "compress a").ok().stderr;
    assert!(said.contains("warning: a: changed while it was read"), "{said}");
}

#[test]
fn the_key_is_no_input_and_no_output() {
    let refusal: &[&str] = &["is the key file of this command"];
    for rm in ["", "--rm "] {
        let dir = TestDir::new();
        dir.qat("keygen -o k").ok();
        dir.write("a", "text");
        let key = dir.read("k");
        symlink("k", dir.path("link")).unwrap();
        dir.qat(&format!("encrypt {rm}--key-file k a k ./k")).failed(8, refusal);
        dir.qat(&format!("encrypt {rm}--key-file link k")).failed(8, refusal);
        dir.qat(&format!("encrypt -f {rm}--key-file k link")).failed(8, refusal);
        dir.shell(&format!("\"$QAT\" encrypt {rm} --key-file - k < k")).failed(8, refusal);
        dir.shell("\"$QAT\" encrypt --key-file k < k").failed(8, refusal);
        fs::hard_link(dir.path("k"), dir.path("again")).unwrap();
        dir.qat(&format!("encrypt -f {rm}--key-file k again")).failed(8, refusal);
        // The key file is not overwritten either.
        dir.qat(&format!("decrypt -f {rm}--key-file k -o k a.tink")).failed(8, refusal);
        dir.shell("\"$QAT\" decrypt --key-file k -c a.tink >> k").failed(8, refusal);
        assert_eq!(dir.read("k"), key);
        assert_eq!(dir.qat("decrypt --key-file k -c a.tink").ok().stdout, b"text");
    }
}

#[test]
fn no_file_of_a_run_is_overwritten_by_another() {
    let dir = TestDir::new();
    dir.write("a", "first");
    dir.qat("compress -q a").ok();
    dir.write("a", "second");
    dir.qat("compress -q --format zstd a").ok();
    dir.qat("decompress -f --rm a.gz a.zst").failed(8, &["a: already written from another input"]);
    assert_eq!((dir.names(), dir.read("a")), (vec!["a".to_owned(), "a.zst".to_owned()], b"first".to_vec()));
    dir.qat("compress -q a").ok();
    dir.qat("compress -f --rm a a.gz").failed(8, &["a.gz: is another input"]);
    // A file that is appended to itself would never end.
    dir.shell("\"$QAT\" compress -c a >> a").failed(2, &["same file"]);
    assert_eq!(dir.read("a"), b"first");
}

#[test]
fn closed_streams_are_errors() {
    let dir = TestDir::new();
    dir.write("a", "text");
    dir.qat("keygen -o k").ok();
    dir.qat("compress -q a").ok();
    dir.qat("encrypt -q --key-file k a").ok();
    let closed: &[&str] = &["Bad file descriptor"];
    for args in [
        "compress -c a",
        "compress -o - a",
        "decompress -c a.gz",
        "encrypt --key-file k -c a",
        "decrypt --key-file k -c a.tink",
        "keygen -o -",
        "keygen -o /dev/stdout",
        "info",
        "info --json",
        "--help",
        "compress --help",
        "--version",
    ] {
        dir.shell(&format!("\"$QAT\" {args} >&-")).failed(3, closed);
        // Descriptors of the caller that refer to /dev/null, like those that the standard library opens, are no error.
        dir.shell(&format!("\"$QAT\" {args} 1<> /dev/null < /dev/null")).ok();
        if !args.contains("keygen -o /dev/stdout") {
            dir.shell(&format!("\"$QAT\" {args} > /dev/full")).failed(3, &["No space left"]);
        }
    }
    for args in [
        "compress",
        "compress -c -",
        "decompress",
        "encrypt --key-file k",
        "encrypt --key-file - a",
        "decrypt --key-file k",
    ] {
        dir.shell(&format!("\"$QAT\" {args} <&- > out")).failed(3, closed);
    }
    // Messages that cannot be printed are no failure, and are not written to another descriptor.
    dir.shell("\"$QAT\" compress -f a 2>&-").ok();
    assert_eq!(gunzip(&dir, &dir.read("a.gz")), b"text");
    assert_eq!(dir.read("out"), b"");
}

/// The error numbers of EDQUOT and EIO.
const CLOSE_ERRORS: [(&str, &str); 2] = [("122", "Disk quota exceeded"), ("5", "Input/output error")];

#[test]
fn errors_of_close_are_errors() {
    for (number, words) in CLOSE_ERRORS {
        for work in &WORK {
            let dir = prepared(&sample(300_000));
            let before = dir.names();
            let faults = [("FILE", "/.qat-"), ("CLOSE", number)];
            let run = dir.faulty(&faults, &format!("{} --rm {}", work.args, work.source));
            run.failed(3, &["out: cannot write", words]);
            assert_eq!(dir.names(), before);
        }
        let dir = prepared(b"text");
        dir.faulty(&[("FILE", "/.qat-"), ("CLOSE", number)], "keygen -o new").failed(3, &["new", words]);
        assert!(!dir.path("new").exists());
        for args in ["compress -c a", "decompress -c a.gz", "keygen -o -", "info", "--help", "--version"] {
            let mut command = dir.qat_command(args);
            with_faults(&mut command, &[("FILE", "/printed"), ("CLOSE", number)]);
            command.stdout(File::create(dir.path("printed")).unwrap());
            Run::new(args, command.output().unwrap()).failed(3, &["standard output", words]);
        }
    }
}

#[test]
fn refused_metadata_keep_the_output() {
    for (call, what) in [("fchmod", "mode"), ("utimensat", "times")] {
        let dir = TestDir::new();
        write_old(&dir, "a", &sample(300_000));
        fs::set_permissions(dir.path("a"), Permissions::from_mode(0o644)).unwrap();
        let injection = format!("{call}:error=EPERM");
        let said = dir.injected(&[&injection], "compress a").ok().stderr;
        assert!(
            said.contains(&format!("warning: a.gz: cannot set {what}: Operation not permitted")),
            "{said}"
        );
        assert!(gunzip(&dir, &dir.read("a.gz")) == dir.read("a"));
        assert_eq!(mode(&dir, "a.gz"), if call == "fchmod" { 0o600 } else { 0o644 });
        let run = dir.injected(&[&injection], "compress -f --rm a");
        run.failed(3, &["a: not removed because", "some of its attributes could not be copied"]);
        assert!(gunzip(&dir, &dir.read("a.gz")) == dir.read("a"));
    }
}

#[test]
fn modes_are_never_wider_than_asked() {
    // The access of another process to the output while it is written.
    let dir = TestDir::new();
    write_old(&dir, "a", &sample(300_000));
    fs::set_permissions(dir.path("a"), Permissions::from_mode(0o644)).unwrap();
    let faults = [("FILE", "/a"), ("RUN", "0:umask 0; stat -c %a .qat-*.tmp > seen")];
    dir.faulty(&faults, "compress a").ok();
    assert_eq!((&dir.read("seen")[..], mode(&dir, "a.gz")), (&b"600\n"[..], 0o644));
}

/// File systems without RENAME_NOREPLACE, then without hard links as well, and then without renaming.
const OLD_FILE_SYSTEMS: [&[&str]; 3] = [
    &["renameat2:error=EINVAL"],
    &["renameat2:error=EINVAL", "linkat:error=EPERM"],
    &["renameat2:error=EINVAL", "linkat:error=EPERM", "renameat:error=EXDEV"],
];

#[test]
fn file_systems_without_special_renames_get_output() {
    for injections in OLD_FILE_SYSTEMS {
        for work in &WORK {
            let dir = prepared(&sample(300_000));
            let plain = dir.read("a");
            let before = mode(&dir, work.source);
            dir.injected(injections, &format!("{} --rm {}", work.args, work.source)).ok();
            assert!(!dir.path(work.source).exists());
            assert_eq!(mode(&dir, "out"), before);
            assert!(work.plain(&dir) == plain, "{injections:?}");
            assert!(!dir.names().iter().any(|name| name.starts_with(".qat-")), "{:?}", dir.names());
        }
        let dir = TestDir::new();
        dir.injected(injections, "keygen -o k").ok();
        assert_eq!((dir.names(), mode(&dir, "k")), (vec!["k".to_owned()], 0o600));
        dir.write("a", "text");
        dir.write("a.gz", "mine");
        dir.injected(injections, "compress a").failed(8, &["already exists"]);
        assert_eq!(dir.read("a.gz"), b"mine");
        dir.injected(injections, "compress -f a").ok();
        assert_eq!(gunzip(&dir, &dir.read("a.gz")), b"text");
    }
    // The error of a full disk is not replaced by that of a later method.
    let dir = TestDir::new();
    dir.write("a", "text");
    dir.injected(&["renameat2:error=ENOSPC"], "compress a").failed(3, &["No space left"]);
    assert_eq!(dir.names(), ["a"]);
}

#[test]
fn targets_that_appear_meanwhile_stay() {
    for injections in OLD_FILE_SYSTEMS {
        let dir = TestDir::new();
        dir.write("a", "text");
        let mut command = dir.injected_command(injections, "compress a");
        with_faults(&mut command, &[("FILE", "/a"), ("RUN", "0:printf mine > a.gz")]);
        Run::new("compress a", command.output().unwrap()).failed(8, &["a.gz: already exists"]);
        assert_eq!(
            (dir.names(), dir.read("a.gz")),
            (vec!["a".to_owned(), "a.gz".to_owned()], b"mine".to_vec())
        );
    }
}

#[test]
fn names_of_descriptors_are_these_descriptors() {
    let dir = TestDir::new();
    dir.write("a", "text");
    dir.qat("compress -q a").ok();
    symlink("/proc/self/fd/1", dir.path("link")).unwrap();
    symlink("link", dir.path("link-to-link")).unwrap();
    for force in ["", "-f"] {
        // The links in the test directory come first, so that a regression does not affect those of the system.
        for name in [
            "link",
            "./link-to-link",
            "/dev/stdout",
            "/dev/fd/1",
            "/proc/self/fd/1",
            "/proc/thread-self/fd/1",
        ] {
            dir.write("out", "");
            // Data that were written to the descriptor before are kept.
            dir.shell(&format!("{{ printf head; \"$QAT\" decompress {force} -o {name} a.gz; }} > out")).ok();
            assert_eq!(dir.read("out"), b"headtext", "{force} {name}");
            let piped = dir.shell(&format!("\"$QAT\" decompress {force} -o {name} a.gz | cat")).ok();
            assert_eq!(piped.stdout, b"text", "{force} {name}");
        }
        dir.shell(&format!("\"$QAT\" decompress {force} -o /dev/fd/3 a.gz 3> out")).ok();
        assert_eq!(dir.read("out"), b"text");
        dir.shell("\"$QAT\" keygen --hex -o /dev/fd/3 3> out").ok();
        assert_eq!(dir.read("out").len(), 65);
        // The descriptor is closed, or was not opened by the caller.
        dir.shell(&format!("\"$QAT\" decompress {force} -o /dev/stdout a.gz >&-"))
            .failed(3, &["/dev/stdout"]);
        for number in 3..8 {
            dir.qat(&format!("decompress {force} -o /dev/fd/{number} a.gz")).failed(3, &["cannot write"]);
        }
        dir.qat(&format!("decompress {force} --rm -o /dev/stdout a.gz")).failed(2, &["--rm"]);
    }
    assert!(fs::symlink_metadata(dir.path("link")).unwrap().is_symlink());
    assert_eq!(dir.names(), ["a", "a.gz", "link", "link-to-link", "out"]);
}

#[test]
fn links_are_replaced_and_not_followed() {
    let dir = TestDir::new();
    dir.write("a", "text");
    dir.write("real", "mine");
    symlink("real", dir.path("a.gz")).unwrap();
    symlink("nowhere", dir.path("dangling")).unwrap();
    dir.qat("compress a").failed(8, &["a.gz: already exists"]);
    dir.qat("compress -o a.gz a").failed(8, &["a.gz: already exists"]);
    dir.qat("compress -o dangling a").failed(8, &["dangling: already exists"]);
    dir.qat("keygen -o dangling").failed(8, &["dangling: already exists"]);
    dir.qat("compress -f a").ok();
    dir.qat("compress -f -o dangling a").ok();
    for name in ["a.gz", "dangling"] {
        assert!(fs::symlink_metadata(dir.path(name)).unwrap().is_file());
        assert_eq!(gunzip(&dir, &dir.read(name)), b"text");
    }
    assert_eq!((dir.names().len(), dir.read("real")), (4, b"mine".to_vec()));
    // A symbolic link to the source itself.
    fs::remove_file(dir.path("a.gz")).unwrap();
    symlink("a", dir.path("a.gz")).unwrap();
    dir.qat("compress -f a").failed(2, &["same file"]);
    assert_eq!(dir.read("a"), b"text");
}

/// rename(2) returns EBUSY for a target that is a mount point.
#[test]
fn mount_points_are_written_in_place() {
    let script =
        |args: &str| format!("unshare -m sh -c 'mount --bind mounted target || exit 77; \"$QAT\" {args}'");
    let dir = TestDir::new();
    dir.write("a", sample(300_000));
    dir.write("mounted", sample(600_000));
    dir.write("target", "below");
    fs::set_permissions(dir.path("mounted"), Permissions::from_mode(0o640)).unwrap();
    if dir.shell(&script("--version")).code != Some(0) {
        use std::io::Write;
        let text = "\nNOT TESTED: outputs that are mount points. It takes root, or user namespaces.\n";
        std::io::stderr().write_all(text.as_bytes()).unwrap();
        return;
    }
    dir.shell(&script("compress -o target a")).failed(8, &["already exists"]);
    assert_eq!(dir.read("mounted").len(), 600_000);
    dir.shell(&script("compress -f --rm -o target a")).ok();
    assert!(gunzip(&dir, &dir.read("mounted")) == sample(300_000));
    assert_eq!((dir.read("target"), mode(&dir, "mounted")), (b"below".to_vec(), 0o640));
    assert_eq!(dir.names(), ["mounted", "target"]);
}

/// These failures are found only when the output is renamed.
#[test]
fn what_cannot_be_renamed_over_is_copied_over() {
    for error in ["EBUSY", "EPERM", "EXDEV"] {
        let dir = TestDir::new();
        dir.write("a", sample(300_000));
        dir.write("out", sample(600_000));
        fs::set_permissions(dir.path("out"), Permissions::from_mode(0o604)).unwrap();
        let injection = format!("renameat:error={error}");
        dir.injected(&[&injection], "compress -f --rm -o out a").ok();
        assert!(gunzip(&dir, &dir.read("out")) == sample(300_000));
        assert_eq!((dir.names(), mode(&dir, "out")), (vec!["out".to_owned()], 0o604));
    }
    let dir = TestDir::new();
    dir.write("a", "text");
    dir.write("out", "mine");
    dir.injected(&["renameat:error=EIO"], "compress -f -o out a").failed(3, &["out: cannot write"]);
    assert_eq!((dir.names().len(), dir.read("out")), (2, b"mine".to_vec()));
}

#[test]
fn files_in_closed_directories_are_written_in_place() {
    let dir = TestDir::new();
    let plain = sample(300_000);
    dir.write("a", &plain);
    dir.qat("compress -q a").ok();
    fs::create_dir(dir.path("closed")).unwrap();
    for (name, bits) in [("open", 0o666), ("shut", 0o444)] {
        dir.write(&format!("closed/{name}"), "mine");
        fs::set_permissions(dir.path(&format!("closed/{name}")), Permissions::from_mode(bits)).unwrap();
    }
    dir.write("bad.gz", "not gzip");
    let packed = dir.read("a.gz");
    dir.write("cut.gz", &packed[..packed.len() - 20]);
    symlink("open", dir.path("closed/link")).unwrap();
    for (name, bits) in [("closed", 0o555), ("", 0o777)] {
        fs::set_permissions(dir.path(name), Permissions::from_mode(bits)).unwrap();
    }
    let read = |name: &str| fs::read(dir.path("closed").join(name)).unwrap();
    let denied: &[&str] = &["cannot write: Permission denied"];
    dir.unprivileged("\"$QAT\" compress -o closed/new a").failed(3, denied);
    dir.unprivileged("\"$QAT\" decompress -o closed/open a.gz").failed(8, &["already exists"]);
    dir.unprivileged("\"$QAT\" decompress -f -o closed/shut a.gz").failed(3, denied);
    // The file is unchanged until the first byte of output is written.
    dir.unprivileged("\"$QAT\" decompress -f -o closed/open bad.gz").failed(4, &["unrecognised format"]);
    assert_eq!((read("open"), read("shut")), (b"mine".to_vec(), b"mine".to_vec()));
    dir.unprivileged("\"$QAT\" decompress -f -o closed/open a.gz").ok();
    assert!(read("open") == plain);
    dir.unprivileged("\"$QAT\" compress -f -o closed/link a").ok();
    assert!(gunzip(&dir, &read("open")) == plain);
    let inode = || fs::metadata(dir.path("closed/open")).unwrap().ino();
    let before = inode();
    dir.unprivileged("\"$QAT\" decompress --threads 1 -f -o closed/open cut.gz").failed(4, &["cut.gz"]);
    assert_eq!(inode(), before);
    // An empty output truncates the file.
    dir.unprivileged(": | \"$QAT\" compress -q | \"$QAT\" decompress -f -o closed/open").ok();
    assert_eq!(read("open"), b"");
    // A file of another user in a sticky directory cannot be renamed over.
    if is_root() {
        fs::set_permissions(dir.path("closed"), Permissions::from_mode(0o1777)).unwrap();
        dir.unprivileged("\"$QAT\" decompress -f -o closed/open a.gz").ok();
        assert!(read("open") == plain);
        dir.unprivileged("\"$QAT\" decompress -f -o closed/shut a.gz").failed(3, denied);
        dir.unprivileged("\"$QAT\" decompress -f -o closed/link a.gz")
            .failed(3, &["closed/link: cannot write"]);
    }
    fs::set_permissions(dir.path("closed"), Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn what_fails_in_place_is_said_to_be_incomplete() {
    let dir = TestDir::new();
    dir.write("a", sample(5_000_000));
    dir.qat("compress -q a").ok();
    let packed = dir.read("a.gz");
    dir.write("cut.gz", &packed[..packed.len() - 20]);
    dir.write("out", "mine");
    dir.qat("decompress -f -o out cut.gz").failed(4, &["cut.gz"]);
    assert_eq!(dir.read("out"), b"mine");
    fs::create_dir(dir.path("closed")).unwrap();
    dir.write("closed/out", "mine");
    fs::set_permissions(dir.path("closed/out"), Permissions::from_mode(0o666)).unwrap();
    fs::set_permissions(dir.path("closed"), Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(dir.path(""), Permissions::from_mode(0o777)).unwrap();
    let run = dir.unprivileged("\"$QAT\" decompress --threads 1 -f -o closed/out cut.gz");
    run.failed(4, &["cut.gz", "closed/out was written in place and is incomplete"]);
    fs::set_permissions(dir.path("closed"), Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn what_was_decoded_is_written_before_an_error() {
    let dir = TestDir::new();
    let plain = sample(6_000_000);
    dir.write("a", &plain);
    dir.shell("gzip -k a").ok();
    let packed = dir.read("a.gz");
    let most = plain.len() - (2 << 20);
    // A read error in the middle of the input, as from a bad sector.
    let faults = [("FILE", "/a.gz"), ("READ", "5:5")];
    let run =
        dir.faulty(&faults, "decompress --threads 1 -c a.gz").failed(3, &["a.gz: cannot read: Input/output"]);
    assert!(!run.stdout.is_empty() && plain.starts_with(&run.stdout));
    // A truncated file.
    dir.write("cut.gz", &packed[..packed.len() - 20]);
    let run = dir.qat("decompress --threads 1 -c cut.gz").failed(4, &["cut.gz"]);
    assert!(run.stdout.len() > most && plain.starts_with(&run.stdout), "{}", run.stdout.len());
    // With -o, no output file appears.
    dir.faulty(&faults, "decompress -o out a.gz").failed(3, &["Input/output error", "kernel log"]);
    assert!(!dir.path("out").exists());
}
