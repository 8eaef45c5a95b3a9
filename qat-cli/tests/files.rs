//! Tests of files and pipes as inputs and outputs.

mod common;

use common::{FORMATS, TestDir, feed, sample};

/// Empty, one byte, less than a block, and several blocks.
const SIZES: [usize; 4] = [0, 1, 70_000, 3_500_000];

#[test]
fn every_format_goes_through_files_and_pipes() {
    for (format, suffix) in FORMATS {
        for size in SIZES {
            let (room, plain) = (TestDir::new(), sample(size));
            room.write("a", &plain);
            room.qat(&format!("compress -q --format {format} a")).ok();
            let packed = format!("a.{suffix}");
            assert_eq!(room.names(), ["a", &packed]);
            room.qat(&format!("decompress -q -o b {packed}")).ok();
            assert!(room.read("b") == plain, "{format} {size}");

            let piped = room.pipe(&format!("compress --format {format} --threads 3"), &plain).ok().stdout;
            let named = if format == "deflate" { "--format deflate -" } else { "" };
            assert!(room.pipe(&format!("decompress {named}"), &piped).ok().stdout == plain);
            assert!(room.qat(&format!("decompress -c {packed}")).ok().stdout == plain);
        }
    }
}

#[test]
fn encryption_goes_through_files_and_pipes() {
    for key in ["keygen -o key", "keygen --hex -o key"] {
        for size in SIZES {
            let (room, plain) = (TestDir::new(), sample(size));
            room.write("a", &plain);
            room.qat(key).ok();
            room.qat("encrypt --key-file key --aad name=a a").ok();
            room.qat("decrypt --key-file key --aad name=a -o b a.tink").ok();
            assert!(room.read("b") == plain, "{size}");
            let sealed = room.pipe("encrypt --key-file key", &plain).ok().stdout;
            assert!(room.pipe("decrypt --key-file key -", &sealed).ok().stdout == plain);
        }
    }
    let room = TestDir::new();
    let key = room.qat("keygen -o -").ok().stdout;
    room.write("a", "attack at dawn");
    room.pipe("encrypt --key-file - a", &key).ok();
    assert_eq!(room.pipe("decrypt --key-file - -c a.tink", &key).ok().stdout, b"attack at dawn");
    room.pipe("decrypt --key-file - -", &key).failed(2, &["key is read from standard input"]);
}

#[test]
fn gzip_reads_and_is_read() {
    let (room, plain) = (TestDir::new(), sample(3_500_000));
    room.write("a", &plain);
    for args in ["-l fast", "-l 0", "-l best", "--independent"] {
        let packed = room.qat(&format!("compress -c {args} a")).ok().stdout;
        let mut gzip = room.command("gzip");
        gzip.arg("-dc");
        let theirs = feed(gzip, &packed);
        assert!(theirs.status.success() && theirs.stdout == plain, "{args}");
    }
    let theirs = room.command("gzip").args(["-c", "a"]).output().unwrap().stdout;
    assert!(room.pipe("decompress", &theirs.repeat(2)).ok().stdout == plain.repeat(2));
}

#[test]
fn several_files_and_a_total() {
    let room = TestDir::new();
    for name in ["a", "b", "c"] {
        room.write(name, sample(100_000));
    }
    let said = room.qat("compress --rm a b c").ok().stderr;
    assert_eq!(room.names(), ["a.gz", "b.gz", "c.gz"]);
    assert_eq!(said.lines().count(), 4, "{said}");
    assert!(said.contains("a -> a.gz: 100 kB -> "), "{said}");
    assert!(said.contains("3 files in total: 300 kB -> "), "{said}");
    let all = room.qat("decompress -q -c a.gz b.gz c.gz").ok();
    assert_eq!((all.stdout, all.stderr), (sample(100_000).repeat(3), String::new()));
    // One invalid file among valid ones: the valid ones are processed, and the exit code reports the failure.
    room.write("b.gz", "no gzip");
    room.qat("decompress a.gz b.gz c.gz").failed(4, &["b.gz: unrecognised", "total of 2 files"]);
    assert_eq!(room.names(), ["a", "a.gz", "b.gz", "c", "c.gz"]);
    room.qat("compress -o one a c").failed(2, &["-o names one output"]);
    room.qat("compress -c --format zlib a c").failed(2, &["no valid file"]);
    room.qat("compress -c --rm a").failed(2, &["cannot be used with"]);
    // Concatenated members are one gzip file.
    let both = room.qat("compress -c a c").ok().stdout;
    assert_eq!(room.pipe("decompress", &both).ok().stdout, sample(100_000).repeat(2));
}

#[test]
fn the_summary_says_where_and_why() {
    let room = TestDir::new();
    room.write("a", sample(3_000_000));
    let said = room.qat("compress --engine software -v --threads 2 a").ok().stderr;
    for part in [
        "3.00 MB -> ",
        "ratio ",
        " MB/s",
        "on the CPU (chosen by the caller)",
        "gzip, threads 2",
        "blocks: 3 ",
    ] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
}

#[test]
fn names_are_not_guessed_and_not_overwritten() {
    let room = TestDir::new();
    room.write("a", "first");
    room.write("a.gz", "mine");
    room.qat("compress a").failed(8, &["a.gz: exists already", "-f"]);
    assert_eq!(room.read("a.gz"), b"mine");
    room.qat("compress -f a").ok();
    room.qat("compress a.gz").failed(8, &["has the suffix .gz already", "-f"]);
    room.qat("compress -f a.gz").ok();
    room.qat("decompress a").failed(8, &["unknown suffix", "-o"]);
    room.qat("compress -f -o a a").failed(2, &["same file"]);
    room.qat("decompress -o b a.gz.gz").ok();
    assert_eq!(room.read("b"), room.read("a.gz"));
    assert_eq!(room.names(), ["a", "a.gz", "a.gz.gz", "b"]);
    assert_eq!(room.read("a"), b"first");
    // The last of the options --rm and --keep applies.
    room.qat("compress -o c --rm -k a").ok();
    room.qat("compress -o d -k --rm a").ok();
    assert_eq!(room.names(), ["a.gz", "a.gz.gz", "b", "c", "d"]);
}

#[test]
fn help_lists_every_exit_code_and_format() {
    let room = TestDir::new();
    let help = String::from_utf8(room.qat("--help").ok().stdout).unwrap();
    for code in ["0 ", "1 ", "2 ", "3 ", "4 ", "5 ", "6 ", "7 ", "8 ", "141 "] {
        assert!(help.contains(&format!("\n  {code}")), "{code}");
    }
    for (format, suffix) in FORMATS {
        assert!(help.contains(format) && help.contains(&format!(".{suffix} ")), "{format}");
    }
    assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    room.qat("compress --no-such-option").failed(2, &["--no-such-option"]);
    room.qat("compress -l turbo a").failed(2, &["fast, balanced, best"]);
    room.qat("decompress --limit 5X a").failed(2, &["powers of 1024"]);
    room.qat("compress --threads 0 a").failed(2, &["1 to 1024"]);
    room.write("a", "a");
    room.qat("compress -l 200 a").failed(2, &["invalid level"]);
    assert_eq!(room.names(), ["a"]);
}

#[cfg(unix)]
mod unix {
    use std::fs::{self, File, FileTimes, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::time::{Duration, SystemTime};

    use super::*;

    fn mode(room: &TestDir, name: &str) -> u32 {
        fs::metadata(room.path(name)).unwrap().mode() & 0o7777
    }

    #[test]
    fn modes_and_times_follow_the_source() {
        let room = TestDir::new();
        room.qat("keygen -o key").ok();
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
        for bits in [0o600, 0o640, 0o444, 0o4755] {
            room.write("a", "text");
            let file = File::options().write(true).open(room.path("a")).unwrap();
            file.set_times(FileTimes::new().set_modified(time).set_accessed(time)).unwrap();
            file.set_permissions(Permissions::from_mode(bits)).unwrap();
            room.qat("compress --rm a").ok();
            room.qat("encrypt --rm --key-file key a.gz").ok();
            room.qat("decrypt --rm --key-file key a.gz.tink").ok();
            room.qat("decompress --rm a.gz").ok();
            assert_eq!(room.names(), ["a", "key"]);
            assert_eq!(mode(&room, "a"), bits & 0o777);
            assert_eq!(fs::metadata(room.path("a")).unwrap().modified().unwrap(), time);
            fs::remove_file(room.path("a")).unwrap();
        }
        // Without a source, the umask determines the mode.
        room.pipe("compress -o piped", b"text").ok();
        room.write("plain", "text");
        assert_eq!(mode(&room, "piped"), mode(&room, "plain"));
    }

    #[test]
    fn owner_and_group_follow_where_permitted() {
        let room = TestDir::new();
        room.write("a", "text");
        // Only root may change the owner; for other users the source is their own already.
        let _ = std::os::unix::fs::chown(room.path("a"), Some(1), Some(1));
        room.qat("compress a").ok();
        let [a, packed] = ["a", "a.gz"].map(|name| fs::metadata(room.path(name)).unwrap());
        assert_eq!((a.uid(), a.gid(), a.mode()), (packed.uid(), packed.gid(), packed.mode()));
    }

    #[test]
    fn links_directories_and_devices_are_not_what_they_seem() {
        let room = TestDir::new();
        room.write("a", "text");
        fs::create_dir(room.path("dir")).unwrap();
        symlink("a", room.path("link")).unwrap();
        room.qat("compress link").failed(8, &["symbolic link", "-f"]);
        room.qat("compress dir").failed(3, &["dir: cannot read: is a directory", "tar"]);
        room.qat("compress -o dir a").failed(3, &["dir: is a directory"]);
        room.qat("compress /dev/null").failed(8, &["not a regular file", "-c"]);
        room.qat("compress nothing").failed(3, &["nothing: cannot read: No such file", "check the name"]);
        assert_eq!(room.names(), ["a", "dir", "link"]);
        assert_eq!(room.qat("compress -c /dev/null").ok().stdout, room.pipe("compress", b"").ok().stdout);
        room.qat("compress -o /dev/null a").ok();
        room.qat("compress -f link").ok();
        room.qat("decompress -c link.gz").ok();
        fs::hard_link(room.path("a"), room.path("again")).unwrap();
        room.qat("compress --rm again").failed(8, &["hard links", "-f"]);
        assert_eq!(room.names(), ["a", "again", "dir", "link", "link.gz"]);
    }

    #[test]
    fn keys_are_private() {
        let room = TestDir::new();
        room.qat("keygen -o key").ok();
        assert_eq!(mode(&room, "key"), 0o600);
        let key = room.read("key");
        room.qat("keygen -o key").failed(8, &["key: exists already"]);
        assert_eq!(room.read("key"), key);
        room.write("a", "text");
        assert!(!room.qat("encrypt --key-file key a").ok().stderr.contains("warning"));
        fs::set_permissions(room.path("key"), Permissions::from_mode(0o640)).unwrap();
        let said = room.qat("decrypt --key-file key -c a.tink").ok().stderr;
        assert!(said.contains("warning: key: other users can read this key file; use chmod 600"), "{said}");
        let quiet = room.qat("decrypt -q --key-file key -c a.tink").ok();
        assert_eq!((quiet.stdout, quiet.stderr), (b"text".to_vec(), String::new()));
    }
}
