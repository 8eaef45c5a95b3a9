//! Tests that no data are lost: sources that change, key files among the inputs, closed streams, and file systems that
//! refuse operations.

#![cfg(target_os = "linux")]

mod common;

use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use common::linux::{is_root, with_faults};
use common::{Run, TestDir, feed, sample};

fn mode(room: &TestDir, name: &str) -> u32 {
    fs::metadata(room.path(name)).unwrap().mode() & 0o7777
}

/// Writes a file whose time of change is in the past, so that later changes can be detected.
fn write_old(room: &TestDir, name: &str, bytes: &[u8]) {
    room.write(name, bytes);
    let file = File::options().write(true).open(room.path(name)).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_234_567_890);
    file.set_times(FileTimes::new().set_modified(time)).unwrap();
}

/// Returns what `gzip -dc` decompresses `packed` to.
fn gunzip(room: &TestDir, packed: &[u8]) -> Vec<u8> {
    let mut gzip = room.command("gzip");
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
    fn plain(&self, room: &TestDir) -> Vec<u8> {
        let out = room.read("out");
        match self.args.split(' ').next() {
            Some("compress") => gunzip(room, &out),
            Some("encrypt") => room.qat("decrypt --key-file key -c out").ok().stdout,
            _ => out,
        }
    }
}

/// Returns a directory with a file in plain, compressed and encrypted form.
fn prepared(plain: &[u8]) -> TestDir {
    let room = TestDir::new();
    room.write("a", plain);
    room.qat("keygen -o key").ok();
    room.qat("compress -q a").ok();
    room.qat("encrypt -q --key-file key a").ok();
    for name in ["a", "a.gz", "a.tink"] {
        let bytes = room.read(name);
        write_old(&room, name, &bytes);
    }
    room
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
            let room = prepared(&sample(300_000));
            room.write("other", "the other file");
            let event = event.replace("SOURCE", work.source);
            let plain = room.read("a");
            let faults = [("FILE", &*format!("/{}", work.source)), ("RUN", &*format!("0:{event}"))];
            let run = room.faulty(&faults, &format!("{} --rm {}", work.args, work.source));
            run.failed(3, &[work.source, "not removed because", reason]);
            if !event.contains("elsewhere") {
                assert!(room.path(work.source).exists(), "{event}");
            }
            assert!(work.plain(&room) == plain, "{event}");
        }
    }
}

#[test]
fn a_source_that_does_not_change_is_removed() {
    for work in &WORK {
        let room = prepared(&sample(300_000));
        room.qat(&format!("{} --rm {}", work.args, work.source)).ok();
        assert!(!room.path(work.source).exists() && room.path("out").exists());
    }
}

#[test]
fn a_source_that_is_cut_short_is_named() {
    for rm in ["", "--rm"] {
        let room = TestDir::new();
        write_old(&room, "a", &sample(3_000_000));
        let faults = [("FILE", "/a"), ("RUN", "1:truncate -s 1000000 a")];
        let run = room.faulty(&faults, &format!("compress --threads 1 {rm} a"));
        run.failed(3, &["a: ", if rm.is_empty() { "became shorter" } else { "not removed because" }]);
        assert_eq!(room.read("a").len(), 1_000_000);
        // A Zstandard frame states the length of its content, so that it cannot be completed.
        write_old(&room, "a", &sample(3_000_000));
        let run = room.faulty(&faults, &format!("compress --format zstd --threads 1 {rm} a"));
        run.failed(3, &["a: ", "became shorter"]);
        assert_eq!((room.read("a").len(), room.path("a.zst").exists()), (1_000_000, false));
    }
    // A source that grows is read to its end, which is not a failure.
    let room = TestDir::new();
    write_old(&room, "a", &sample(300_000));
    let said = room.faulty(&[("FILE", "/a"), ("RUN", "1:printf more >> a")], "compress a").ok().stderr;
    assert!(said.contains("warning: a: changed while it was read"), "{said}");
}

#[test]
fn the_key_is_no_input_and_no_output() {
    let refusal: &[&str] = &["is the key file of this command"];
    for rm in ["", "--rm "] {
        let room = TestDir::new();
        room.qat("keygen -o k").ok();
        room.write("a", "text");
        let key = room.read("k");
        symlink("k", room.path("link")).unwrap();
        room.qat(&format!("encrypt {rm}--key-file k a k ./k")).failed(8, refusal);
        room.qat(&format!("encrypt {rm}--key-file link k")).failed(8, refusal);
        room.qat(&format!("encrypt -f {rm}--key-file k link")).failed(8, refusal);
        room.shell(&format!("\"$QAT\" encrypt {rm} --key-file - k < k")).failed(8, refusal);
        room.shell("\"$QAT\" encrypt --key-file k < k").failed(8, refusal);
        fs::hard_link(room.path("k"), room.path("again")).unwrap();
        room.qat(&format!("encrypt -f {rm}--key-file k again")).failed(8, refusal);
        // The key file is not overwritten either.
        room.qat(&format!("decrypt -f {rm}--key-file k -o k a.tink")).failed(8, refusal);
        room.shell("\"$QAT\" decrypt --key-file k -c a.tink >> k").failed(8, refusal);
        assert_eq!(room.read("k"), key);
        assert_eq!(room.qat("decrypt --key-file k -c a.tink").ok().stdout, b"text");
    }
}

#[test]
fn no_file_of_a_run_is_overwritten_by_another() {
    let room = TestDir::new();
    room.write("a", "first");
    room.qat("compress -q a").ok();
    room.write("a", "second");
    room.qat("compress -q --format zstd a").ok();
    room.qat("decompress -f --rm a.gz a.zst").failed(8, &["a: was written from another input"]);
    assert_eq!((room.names(), room.read("a")), (vec!["a".to_owned(), "a.zst".to_owned()], b"first".to_vec()));
    room.qat("compress -q a").ok();
    room.qat("compress -f --rm a a.gz").failed(8, &["a.gz: is another input"]);
    // A file that is appended to itself would never end.
    room.shell("\"$QAT\" compress -c a >> a").failed(2, &["same file"]);
    assert_eq!(room.read("a"), b"first");
}

#[test]
fn closed_streams_are_errors() {
    let room = TestDir::new();
    room.write("a", "text");
    room.qat("keygen -o k").ok();
    room.qat("compress -q a").ok();
    room.qat("encrypt -q --key-file k a").ok();
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
        room.shell(&format!("\"$QAT\" {args} >&-")).failed(3, closed);
        // Descriptors of the caller that refer to /dev/null, like those that the standard library opens, are no error.
        room.shell(&format!("\"$QAT\" {args} 1<> /dev/null < /dev/null")).ok();
        if !args.contains("keygen -o /dev/stdout") {
            room.shell(&format!("\"$QAT\" {args} > /dev/full")).failed(3, &["No space left"]);
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
        room.shell(&format!("\"$QAT\" {args} <&- > out")).failed(3, closed);
    }
    // Messages that cannot be printed are no failure, and are not written to another descriptor.
    room.shell("\"$QAT\" compress -f a 2>&-").ok();
    assert_eq!(gunzip(&room, &room.read("a.gz")), b"text");
    assert_eq!(room.read("out"), b"");
}

/// The error numbers of EDQUOT and EIO.
const CLOSE_ERRORS: [(&str, &str); 2] = [("122", "Disk quota exceeded"), ("5", "Input/output error")];

#[test]
fn errors_of_close_are_errors() {
    for (number, words) in CLOSE_ERRORS {
        for work in &WORK {
            let room = prepared(&sample(300_000));
            let before = room.names();
            let faults = [("FILE", "/.qat-"), ("CLOSE", number)];
            let run = room.faulty(&faults, &format!("{} --rm {}", work.args, work.source));
            run.failed(3, &["out: cannot write", words]);
            assert_eq!(room.names(), before);
        }
        let room = prepared(b"text");
        room.faulty(&[("FILE", "/.qat-"), ("CLOSE", number)], "keygen -o new").failed(3, &["new", words]);
        assert!(!room.path("new").exists());
        for args in ["compress -c a", "decompress -c a.gz", "keygen -o -", "info", "--help", "--version"] {
            let mut command = room.qat_command(args);
            with_faults(&mut command, &[("FILE", "/printed"), ("CLOSE", number)]);
            command.stdout(File::create(room.path("printed")).unwrap());
            Run::new(args, command.output().unwrap()).failed(3, &["standard output", words]);
        }
    }
}

#[test]
fn refused_metadata_keep_the_output() {
    for (call, what) in [("fchmod", "mode"), ("utimensat", "times")] {
        let room = TestDir::new();
        write_old(&room, "a", &sample(300_000));
        fs::set_permissions(room.path("a"), Permissions::from_mode(0o644)).unwrap();
        let injection = format!("{call}:error=EPERM");
        let said = room.injected(&[&injection], "compress a").ok().stderr;
        assert!(
            said.contains(&format!("warning: a.gz: cannot set {what}: Operation not permitted")),
            "{said}"
        );
        assert!(gunzip(&room, &room.read("a.gz")) == room.read("a"));
        assert_eq!(mode(&room, "a.gz"), if call == "fchmod" { 0o600 } else { 0o644 });
        let run = room.injected(&[&injection], "compress -f --rm a");
        run.failed(3, &["a: not removed because", "some of its attributes could not be copied"]);
        assert!(gunzip(&room, &room.read("a.gz")) == room.read("a"));
    }
}

#[test]
fn modes_are_never_wider_than_asked() {
    // The access of another process to the output while it is written.
    let room = TestDir::new();
    write_old(&room, "a", &sample(300_000));
    fs::set_permissions(room.path("a"), Permissions::from_mode(0o644)).unwrap();
    let faults = [("FILE", "/a"), ("RUN", "0:umask 0; stat -c %a .qat-*.tmp > seen")];
    room.faulty(&faults, "compress a").ok();
    assert_eq!((&room.read("seen")[..], mode(&room, "a.gz")), (&b"600\n"[..], 0o644));
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
            let room = prepared(&sample(300_000));
            let plain = room.read("a");
            let before = mode(&room, work.source);
            room.injected(injections, &format!("{} --rm {}", work.args, work.source)).ok();
            assert!(!room.path(work.source).exists());
            assert_eq!(mode(&room, "out"), before);
            assert!(work.plain(&room) == plain, "{injections:?}");
            assert!(!room.names().iter().any(|name| name.starts_with(".qat-")), "{:?}", room.names());
        }
        let room = TestDir::new();
        room.injected(injections, "keygen -o k").ok();
        assert_eq!((room.names(), mode(&room, "k")), (vec!["k".to_owned()], 0o600));
        room.write("a", "text");
        room.write("a.gz", "mine");
        room.injected(injections, "compress a").failed(8, &["already exists"]);
        assert_eq!(room.read("a.gz"), b"mine");
        room.injected(injections, "compress -f a").ok();
        assert_eq!(gunzip(&room, &room.read("a.gz")), b"text");
    }
    // The error of a full disk is not replaced by that of a later method.
    let room = TestDir::new();
    room.write("a", "text");
    room.injected(&["renameat2:error=ENOSPC"], "compress a").failed(3, &["No space left"]);
    assert_eq!(room.names(), ["a"]);
}

#[test]
fn targets_that_appear_meanwhile_stay() {
    for injections in OLD_FILE_SYSTEMS {
        let room = TestDir::new();
        room.write("a", "text");
        let mut command = room.injected_command(injections, "compress a");
        with_faults(&mut command, &[("FILE", "/a"), ("RUN", "0:printf mine > a.gz")]);
        Run::new("compress a", command.output().unwrap()).failed(8, &["a.gz: already exists"]);
        assert_eq!(
            (room.names(), room.read("a.gz")),
            (vec!["a".to_owned(), "a.gz".to_owned()], b"mine".to_vec())
        );
    }
}

#[test]
fn names_of_descriptors_are_these_descriptors() {
    let room = TestDir::new();
    room.write("a", "text");
    room.qat("compress -q a").ok();
    symlink("/proc/self/fd/1", room.path("link")).unwrap();
    symlink("link", room.path("link-to-link")).unwrap();
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
            room.write("out", "");
            // Data that were written to the descriptor before are kept.
            room.shell(&format!("{{ printf head; \"$QAT\" decompress {force} -o {name} a.gz; }} > out")).ok();
            assert_eq!(room.read("out"), b"headtext", "{force} {name}");
            let piped = room.shell(&format!("\"$QAT\" decompress {force} -o {name} a.gz | cat")).ok();
            assert_eq!(piped.stdout, b"text", "{force} {name}");
        }
        room.shell(&format!("\"$QAT\" decompress {force} -o /dev/fd/3 a.gz 3> out")).ok();
        assert_eq!(room.read("out"), b"text");
        room.shell("\"$QAT\" keygen --hex -o /dev/fd/3 3> out").ok();
        assert_eq!(room.read("out").len(), 65);
        // The descriptor is closed, or was not opened by the caller.
        room.shell(&format!("\"$QAT\" decompress {force} -o /dev/stdout a.gz >&-"))
            .failed(3, &["/dev/stdout"]);
        for number in 3..8 {
            room.qat(&format!("decompress {force} -o /dev/fd/{number} a.gz")).failed(3, &["cannot write"]);
        }
        room.qat(&format!("decompress {force} --rm -o /dev/stdout a.gz")).failed(2, &["--rm"]);
    }
    assert!(fs::symlink_metadata(room.path("link")).unwrap().is_symlink());
    assert_eq!(room.names(), ["a", "a.gz", "link", "link-to-link", "out"]);
}

#[test]
fn links_are_replaced_and_not_followed() {
    let room = TestDir::new();
    room.write("a", "text");
    room.write("real", "mine");
    symlink("real", room.path("a.gz")).unwrap();
    symlink("nowhere", room.path("dangling")).unwrap();
    room.qat("compress a").failed(8, &["a.gz: already exists"]);
    room.qat("compress -o a.gz a").failed(8, &["a.gz: already exists"]);
    room.qat("compress -o dangling a").failed(8, &["dangling: already exists"]);
    room.qat("keygen -o dangling").failed(8, &["dangling: already exists"]);
    room.qat("compress -f a").ok();
    room.qat("compress -f -o dangling a").ok();
    for name in ["a.gz", "dangling"] {
        assert!(fs::symlink_metadata(room.path(name)).unwrap().is_file());
        assert_eq!(gunzip(&room, &room.read(name)), b"text");
    }
    assert_eq!((room.names().len(), room.read("real")), (4, b"mine".to_vec()));
    // A symbolic link to the source itself.
    fs::remove_file(room.path("a.gz")).unwrap();
    symlink("a", room.path("a.gz")).unwrap();
    room.qat("compress -f a").failed(2, &["same file"]);
    assert_eq!(room.read("a"), b"text");
}

/// rename(2) returns EBUSY for a target that is a mount point.
#[test]
fn mount_points_are_written_in_place() {
    let script =
        |args: &str| format!("unshare -m sh -c 'mount --bind mounted target || exit 77; \"$QAT\" {args}'");
    let room = TestDir::new();
    room.write("a", sample(300_000));
    room.write("mounted", sample(600_000));
    room.write("target", "below");
    fs::set_permissions(room.path("mounted"), Permissions::from_mode(0o640)).unwrap();
    if room.shell(&script("--version")).code != Some(0) {
        use std::io::Write;
        let text = "\nNOT TESTED: outputs that are mount points. It takes root, or user namespaces.\n";
        std::io::stderr().write_all(text.as_bytes()).unwrap();
        return;
    }
    room.shell(&script("compress -o target a")).failed(8, &["already exists"]);
    assert_eq!(room.read("mounted").len(), 600_000);
    room.shell(&script("compress -f --rm -o target a")).ok();
    assert!(gunzip(&room, &room.read("mounted")) == sample(300_000));
    assert_eq!((room.read("target"), mode(&room, "mounted")), (b"below".to_vec(), 0o640));
    assert_eq!(room.names(), ["mounted", "target"]);
}

/// These failures are found only when the output is renamed.
#[test]
fn what_cannot_be_renamed_over_is_copied_over() {
    for error in ["EBUSY", "EPERM", "EXDEV"] {
        let room = TestDir::new();
        room.write("a", sample(300_000));
        room.write("out", sample(600_000));
        fs::set_permissions(room.path("out"), Permissions::from_mode(0o604)).unwrap();
        let injection = format!("renameat:error={error}");
        room.injected(&[&injection], "compress -f --rm -o out a").ok();
        assert!(gunzip(&room, &room.read("out")) == sample(300_000));
        assert_eq!((room.names(), mode(&room, "out")), (vec!["out".to_owned()], 0o604));
    }
    let room = TestDir::new();
    room.write("a", "text");
    room.write("out", "mine");
    room.injected(&["renameat:error=EIO"], "compress -f -o out a").failed(3, &["out: cannot write"]);
    assert_eq!((room.names().len(), room.read("out")), (2, b"mine".to_vec()));
}

#[test]
fn files_in_closed_directories_are_written_in_place() {
    let room = TestDir::new();
    let plain = sample(300_000);
    room.write("a", &plain);
    room.qat("compress -q a").ok();
    fs::create_dir(room.path("closed")).unwrap();
    for (name, bits) in [("open", 0o666), ("shut", 0o444)] {
        room.write(&format!("closed/{name}"), "mine");
        fs::set_permissions(room.path(&format!("closed/{name}")), Permissions::from_mode(bits)).unwrap();
    }
    room.write("bad.gz", "not gzip");
    let packed = room.read("a.gz");
    room.write("cut.gz", &packed[..packed.len() - 20]);
    symlink("open", room.path("closed/link")).unwrap();
    for (name, bits) in [("closed", 0o555), ("", 0o777)] {
        fs::set_permissions(room.path(name), Permissions::from_mode(bits)).unwrap();
    }
    let read = |name: &str| fs::read(room.path("closed").join(name)).unwrap();
    let denied: &[&str] = &["cannot write: Permission denied"];
    room.unprivileged("\"$QAT\" compress -o closed/new a").failed(3, denied);
    room.unprivileged("\"$QAT\" decompress -o closed/open a.gz").failed(8, &["already exists"]);
    room.unprivileged("\"$QAT\" decompress -f -o closed/shut a.gz").failed(3, denied);
    // The file is unchanged until the first byte of output is written.
    room.unprivileged("\"$QAT\" decompress -f -o closed/open bad.gz").failed(4, &["unrecognised format"]);
    assert_eq!((read("open"), read("shut")), (b"mine".to_vec(), b"mine".to_vec()));
    room.unprivileged("\"$QAT\" decompress -f -o closed/open a.gz").ok();
    assert!(read("open") == plain);
    room.unprivileged("\"$QAT\" compress -f -o closed/link a").ok();
    assert!(gunzip(&room, &read("open")) == plain);
    let inode = || fs::metadata(room.path("closed/open")).unwrap().ino();
    let before = inode();
    room.unprivileged("\"$QAT\" decompress --threads 1 -f -o closed/open cut.gz").failed(4, &["cut.gz"]);
    assert_eq!(inode(), before);
    // An empty output truncates the file.
    room.unprivileged(": | \"$QAT\" compress -q | \"$QAT\" decompress -f -o closed/open").ok();
    assert_eq!(read("open"), b"");
    // A file of another user in a sticky directory cannot be renamed over.
    if is_root() {
        fs::set_permissions(room.path("closed"), Permissions::from_mode(0o1777)).unwrap();
        room.unprivileged("\"$QAT\" decompress -f -o closed/open a.gz").ok();
        assert!(read("open") == plain);
        room.unprivileged("\"$QAT\" decompress -f -o closed/shut a.gz").failed(3, denied);
        room.unprivileged("\"$QAT\" decompress -f -o closed/link a.gz")
            .failed(3, &["closed/link: cannot write"]);
    }
    fs::set_permissions(room.path("closed"), Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn what_fails_in_place_is_said_to_be_incomplete() {
    let room = TestDir::new();
    room.write("a", sample(5_000_000));
    room.qat("compress -q a").ok();
    let packed = room.read("a.gz");
    room.write("cut.gz", &packed[..packed.len() - 20]);
    room.write("out", "mine");
    room.qat("decompress -f -o out cut.gz").failed(4, &["cut.gz"]);
    assert_eq!(room.read("out"), b"mine");
    fs::create_dir(room.path("closed")).unwrap();
    room.write("closed/out", "mine");
    fs::set_permissions(room.path("closed/out"), Permissions::from_mode(0o666)).unwrap();
    fs::set_permissions(room.path("closed"), Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(room.path(""), Permissions::from_mode(0o777)).unwrap();
    let run = room.unprivileged("\"$QAT\" decompress --threads 1 -f -o closed/out cut.gz");
    run.failed(4, &["cut.gz", "closed/out was written in place and is incomplete"]);
    fs::set_permissions(room.path("closed"), Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn what_was_decoded_is_written_before_an_error() {
    let room = TestDir::new();
    let plain = sample(6_000_000);
    room.write("a", &plain);
    room.shell("gzip -k a").ok();
    let packed = room.read("a.gz");
    let most = plain.len() - (2 << 20);
    // A read error in the middle of the input, as from a bad sector.
    let faults = [("FILE", "/a.gz"), ("READ", "5:5")];
    let run = room
        .faulty(&faults, "decompress --threads 1 -c a.gz")
        .failed(3, &["a.gz: cannot read: Input/output"]);
    assert!(!run.stdout.is_empty() && plain.starts_with(&run.stdout));
    // A truncated file.
    room.write("cut.gz", &packed[..packed.len() - 20]);
    let run = room.qat("decompress --threads 1 -c cut.gz").failed(4, &["cut.gz"]);
    assert!(run.stdout.len() > most && plain.starts_with(&run.stdout), "{}", run.stdout.len());
    // With -o, no output file appears.
    room.faulty(&faults, "decompress -o out a.gz").failed(3, &["Input/output error", "kernel log"]);
    assert!(!room.path("out").exists());
}
