//! Tests of files and pipes as inputs and outputs.

mod common;

use common::{FORMATS, TestDir, feed, sample};

/// Empty, one byte, less than a block, and several blocks.
const SIZES: [usize; 4] = [0, 1, 70_000, 3_500_000];

#[test]
fn every_format_goes_through_files_and_pipes() {
    for (format, suffix) in FORMATS {
        for size in SIZES {
            let (dir, plain) = (TestDir::new(), sample(size));
            dir.write("a", &plain);
            dir.qat(&format!("compress -q --format {format} a")).ok();
            let packed = format!("a.{suffix}");
            assert_eq!(dir.names(), ["a", &packed]);
            dir.qat(&format!("decompress -q -o b {packed}")).ok();
            assert!(dir.read("b") == plain, "{format} {size}");

            let piped = dir.pipe(&format!("compress --format {format} --threads 3"), &plain).ok().stdout;
            let named = if format == "deflate" { "--format deflate -" } else { "" };
            assert!(dir.pipe(&format!("decompress {named}"), &piped).ok().stdout == plain);
            assert!(dir.qat(&format!("decompress -c {packed}")).ok().stdout == plain);
        }
    }
}

#[test]
fn encryption_goes_through_files_and_pipes() {
    for key in ["keygen -o key", "keygen --hex -o key"] {
        for size in SIZES {
            let (dir, plain) = (TestDir::new(), sample(size));
            dir.write("a", &plain);
            dir.qat(key).ok();
            dir.qat("encrypt --key-file key --aad name=a a").ok();
            dir.qat("decrypt --key-file key --aad name=a -o b a.tink").ok();
            assert!(dir.read("b") == plain, "{size}");
            let sealed = dir.pipe("encrypt --key-file key", &plain).ok().stdout;
            assert!(dir.pipe("decrypt --key-file key -", &sealed).ok().stdout == plain);
        }
    }
    let dir = TestDir::new();
    let key = dir.qat("keygen -o -").ok().stdout;
    dir.write("a", "attack at dawn");
    dir.pipe("encrypt --key-file - a", &key).ok();
    assert_eq!(dir.pipe("decrypt --key-file - -c a.tink", &key).ok().stdout, b"attack at dawn");
    dir.pipe("decrypt --key-file - -", &key).failed(2, &["key is read from standard input"]);
}

#[test]
fn gzip_reads_and_is_read() {
    let (dir, plain) = (TestDir::new(), sample(3_500_000));
    dir.write("a", &plain);
    for args in ["-l fast", "-l 0", "-l best", "--independent"] {
        let packed = dir.qat(&format!("compress -c {args} a")).ok().stdout;
        let mut gzip = dir.command("gzip");
        gzip.arg("-dc");
        let theirs = feed(gzip, &packed);
        assert!(theirs.status.success() && theirs.stdout == plain, "{args}");
    }
    let theirs = dir.command("gzip").args(["-c", "a"]).output().unwrap().stdout;
    assert!(dir.pipe("decompress", &theirs.repeat(2)).ok().stdout == plain.repeat(2));
}

#[test]
fn several_files_and_a_total() {
    let dir = TestDir::new();
    for name in ["a", "b", "c"] {
        dir.write(name, sample(100_000));
    }
    let said = dir.qat("compress --rm a b c").ok().stderr;
    assert_eq!(dir.names(), ["a.gz", "b.gz", "c.gz"]);
    assert_eq!(said.lines().count(), 4, "{said}");
    assert!(said.contains("a -> a.gz: 100 kB -> "), "{said}");
    assert!(said.contains("3 files in total: 300 kB -> "), "{said}");
    let all = dir.qat("decompress -q -c a.gz b.gz c.gz").ok();
    assert_eq!((all.stdout, all.stderr), (sample(100_000).repeat(3), String::new()));
    // One invalid file among valid ones: the valid ones are processed, and the exit code reports the failure.
    dir.write("b.gz", "no gzip");
    dir.qat("decompress a.gz b.gz c.gz").failed(4, &["b.gz: unrecognised", "2 files in total"]);
    assert_eq!(dir.names(), ["a", "a.gz", "b.gz", "c", "c.gz"]);
    dir.qat("compress -o one a c").failed(2, &["-o FILE requires a single input"]);
    dir.qat("compress -c --format zlib a c").failed(2, &["cannot be concatenated"]);
    dir.qat("compress -c --rm a").failed(2, &["cannot be used with"]);
    // Concatenated members are one gzip file.
    let both = dir.qat("compress -c a c").ok().stdout;
    assert_eq!(dir.pipe("decompress", &both).ok().stdout, sample(100_000).repeat(2));
}

#[test]
fn the_summary_says_where_and_why() {
    let dir = TestDir::new();
    dir.write("a", sample(3_000_000));
    let said = dir.qat("compress --engine software -v --threads 2 a").ok().stderr;
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
    let dir = TestDir::new();
    dir.write("a", "first");
    dir.write("a.gz", "mine");
    dir.qat("compress a").failed(8, &["a.gz: already exists", "-f"]);
    assert_eq!(dir.read("a.gz"), b"mine");
    dir.qat("compress -f a").ok();
    dir.qat("compress a.gz").failed(8, &["already has the suffix .gz", "-f"]);
    dir.qat("compress -f a.gz").ok();
    dir.qat("decompress a").failed(8, &["unknown suffix", "-o"]);
    dir.qat("compress -f -o a a").failed(2, &["same file"]);
    dir.qat("decompress -o b a.gz.gz").ok();
    assert_eq!(dir.read("b"), dir.read("a.gz"));
    assert_eq!(dir.names(), ["a", "a.gz", "a.gz.gz", "b"]);
    assert_eq!(dir.read("a"), b"first");
    // The last of the options --rm and --keep applies.
    dir.qat("compress -o c --rm -k a").ok();
    dir.qat("compress -o d -k --rm a").ok();
    assert_eq!(dir.names(), ["a.gz", "a.gz.gz", "b", "c", "d"]);
}

#[test]
fn help_lists_every_exit_code_and_format() {
    let dir = TestDir::new();
    let help = String::from_utf8(dir.qat("--help").ok().stdout).unwrap();
    for code in ["0 ", "1 ", "2 ", "3 ", "4 ", "5 ", "6 ", "7 ", "8 ", "141 "] {
        assert!(help.contains(&format!("\n  {code}")), "{code}");
    }
    for (format, suffix) in FORMATS {
        assert!(help.contains(format) && help.contains(&format!(".{suffix} ")), "{format}");
    }
    assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    dir.qat("compress --no-such-option").failed(2, &["--no-such-option"]);
    dir.qat("compress -l turbo a").failed(2, &["fast, balanced, best"]);
    dir.qat("decompress --limit 5X a").failed(2, &["powers of 1024"]);
    dir.qat("compress --threads 0 a").failed(2, &["1 to 1024"]);
    dir.write("a", "a");
    dir.qat("compress -l 200 a").failed(2, &["invalid level"]);
    assert_eq!(dir.names(), ["a"]);
}

#[cfg(unix)]
mod unix {
    use std::fs::{self, File, FileTimes, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::time::{Duration, SystemTime};

    use super::*;

    fn mode(dir: &TestDir, name: &str) -> u32 {
        fs::metadata(dir.path(name)).unwrap().mode() & 0o7777
    }

    #[test]
    fn modes_and_times_follow_the_source() {
        let dir = TestDir::new();
        dir.qat("keygen -o key").ok();
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
        for bits in [0o600, 0o640, 0o444, 0o4755] {
            dir.write("a", "text");
            let file = File::options().write(true).open(dir.path("a")).unwrap();
            file.set_times(FileTimes::new().set_modified(time).set_accessed(time)).unwrap();
            file.set_permissions(Permissions::from_mode(bits)).unwrap();
            dir.qat("compress --rm a").ok();
            dir.qat("encrypt --rm --key-file key a.gz").ok();
            dir.qat("decrypt --rm --key-file key a.gz.tink").ok();
            dir.qat("decompress --rm a.gz").ok();
            assert_eq!(dir.names(), ["a", "key"]);
            assert_eq!(mode(&dir, "a"), bits & 0o777);
            assert_eq!(fs::metadata(dir.path("a")).unwrap().modified().unwrap(), time);
            fs::remove_file(dir.path("a")).unwrap();
        }
        // Without a source, the umask determines the mode.
        dir.pipe("compress -o piped", b"text").ok();
        dir.write("plain", "text");
        assert_eq!(mode(&dir, "piped"), mode(&dir, "plain"));
    }

    #[test]
    fn owner_and_group_follow_where_permitted() {
        let dir = TestDir::new();
        dir.write("a", "text");
        // Only root may change the owner; for other users the source is their own already.
        let _ = std::os::unix::fs::chown(dir.path("a"), Some(1), Some(1));
        dir.qat("compress a").ok();
        let [a, packed] = ["a", "a.gz"].map(|name| fs::metadata(dir.path(name)).unwrap());
        assert_eq!((a.uid(), a.gid(), a.mode()), (packed.uid(), packed.gid(), packed.mode()));
    }

    #[test]
    fn links_directories_and_devices_are_not_what_they_seem() {
        let dir = TestDir::new();
        dir.write("a", "text");
        fs::create_dir(dir.path("dir")).unwrap();
        symlink("a", dir.path("link")).unwrap();
        dir.qat("compress link").failed(8, &["symbolic link", "-f"]);
        dir.qat("compress dir").failed(3, &["dir: cannot read: is a directory", "tar"]);
        dir.qat("compress -o dir a").failed(3, &["dir: is a directory"]);
        dir.qat("compress /dev/null").failed(8, &["not a regular file", "-c"]);
        dir.qat("compress nothing").failed(3, &["nothing: cannot read: No such file", "check the name"]);
        assert_eq!(dir.names(), ["a", "dir", "link"]);
        assert_eq!(dir.qat("compress -c /dev/null").ok().stdout, dir.pipe("compress", b"").ok().stdout);
        dir.qat("compress -o /dev/null a").ok();
        dir.qat("compress -f link").ok();
        dir.qat("decompress -c link.gz").ok();
        fs::hard_link(dir.path("a"), dir.path("again")).unwrap();
        dir.qat("compress --rm again").failed(8, &["hard links", "-f"]);
        assert_eq!(dir.names(), ["a", "again", "dir", "link", "link.gz"]);
    }

    #[test]
    fn keys_are_private() {
        let dir = TestDir::new();
        dir.qat("keygen -o key").ok();
        assert_eq!(mode(&dir, "key"), 0o600);
        let key = dir.read("key");
        dir.qat("keygen -o key").failed(8, &["key: already exists"]);
        assert_eq!(dir.read("key"), key);
        dir.write("a", "text");
        assert!(!dir.qat("encrypt --key-file key a").ok().stderr.contains("warning"));
        fs::set_permissions(dir.path("key"), Permissions::from_mode(0o640)).unwrap();
        let said = dir.qat("decrypt --key-file key -c a.tink").ok().stderr;
        assert!(said.contains("warning: key: other users can read this key file; use chmod 600"), "{said}");
        let quiet = dir.qat("decrypt -q --key-file key -c a.tink").ok();
        assert_eq!((quiet.stdout, quiet.stderr), (b"text".to_vec(), String::new()));
    }
}
