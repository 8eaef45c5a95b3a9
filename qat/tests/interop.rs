//! Against tools that nobody here wrote, both ways: gzip, pigz, lz4, zstd, OpenSSL, Python's zlib and gzip.
//!
//! A tool that is missing fails its test and names the Debian package.

mod support;

use std::fs;

use accel_core::{
    Checksum, Cipher, CipherOptions, CompressOptions, DecompressOptions, Digest, Format, Iv, Key, Level,
    Operation,
};
use qat::stream;
use support::tool::{tool, verdict};
use support::{NAMED_LEVELS, Subject, contents, hex, noise, rules, same, settings, software, text, to_hex};

fn pack(subject: &Subject, plain: &[u8], options: &CompressOptions) -> Vec<u8> {
    let mut packed = Vec::new();
    stream::compress(plain, &mut packed, &subject.engine, options, &settings(2)).unwrap();
    packed
}

/// Reads `packed` in every way there is.
#[track_caller]
fn we_read(subject: &Subject, packed: &[u8], format: Format, plain: &[u8], what: &str) {
    for threads in [1, 3] {
        let (mut out, named) = (Vec::new(), (format == Format::Deflate).then_some(format));
        let summary = stream::decompress(packed, &mut out, &subject.engine, named, &settings(threads))
            .unwrap_or_else(|error| panic!("{what}, {threads} threads: {error}"));
        assert_eq!(summary.format, Some(format), "{what}");
        same(&out, plain, what);
    }
    let (out, _) = subject
        .compression
        .decompress(packed, &DecompressOptions::new(format))
        .unwrap_or_else(|error| panic!("{what}, one-shot: {error}"));
    same(&out, plain, what);
    let mut exact = vec![0; plain.len()];
    subject.compression.decompress_into(packed, &mut exact, &DecompressOptions::new(format)).unwrap();
    same(&exact, plain, what);
}

const SIZES: [usize; 6] = [0, 1, 65_535, 65_536, 65_537, 2_300_000];

/// The verdicts of the conformance suite at the borders of the standards are those of the formats' own tools.
#[test]
fn the_tools_draw_the_same_borders() {
    for rules::Case { name, packed, plain } in rules::deflate() {
        let member = rules::gzip(&packed, plain.as_deref().unwrap_or_default(), false);
        assert_eq!(verdict("gzip", "gzip", &["-dc"], &member), plain, "gzip: {name}");
        let script = "import sys, zlib; d = zlib.decompressobj(-15); sys.stdout.buffer.write(d.decompress(sys.stdin.buffer.read())); sys.exit(not d.eof)";
        assert_eq!(verdict("python3", "python3", &["-c", script], &packed), plain, "zlib: {name}");
    }
    // Of a frame that it has in whole, libzstd does not compare raw and repeated blocks with the window. RFC 8878 does.
    let is_told = |case: &rules::Case| case.plain.is_some() || !case.name.contains("window");
    for rules::Case { name, packed, plain } in rules::zstd().into_iter().filter(is_told) {
        assert_eq!(verdict("zstd", "zstd", &["-dc"], &packed), plain, "zstd: {name}");
    }
}

/// Every output of ours, by stream and by one call, through the tool's decompressor.
fn they_read(subject: &Subject, format: Format, program: &str, args: &[&str]) {
    for size in SIZES {
        for (kind, plain) in contents(size) {
            for level in NAMED_LEVELS {
                let options = CompressOptions::new(format).level(level);
                let what = (program, kind, size, level);
                same(&tool(program, program, args, &pack(subject, &plain, &options)), &plain, what);
                if level == Level::Balanced {
                    let (packed, _) = subject.compression.compress(&plain, &options).unwrap();
                    same(&tool(program, program, args, &packed), &plain, what);
                }
            }
        }
    }
}

/// Every way in `ways` to run the tool's compressor, from a pipe and from a file.
fn we_read_theirs(subject: &Subject, format: Format, program: &str, ways: &[&[&str]]) {
    let dir = tempfile::tempdir().unwrap();
    for size in SIZES {
        for (kind, plain) in contents(size) {
            let file = dir.path().join(format!("{kind}-{size}"));
            fs::write(&file, &plain).unwrap();
            for (i, args) in ways.iter().enumerate() {
                // All ways on the text; elsewhere a few.
                if kind != "text" && i >= 3 {
                    continue;
                }
                let what = format!("{program} {args:?} {kind} {size}");
                we_read(subject, &tool(program, program, args, &plain), format, &plain, &what);
                if i >= 4 {
                    continue;
                }
                let from_file = [args, &["-c", file.to_str().unwrap()][..]].concat();
                we_read(subject, &tool(program, program, &from_file, b""), format, &plain, &what);
            }
        }
    }
}

#[test]
fn gzip_reads_ours() {
    they_read(&software(), Format::Gzip, "gzip", &["-dc"]);
}

#[test]
fn pigz_reads_ours() {
    they_read(&software(), Format::Gzip, "pigz", &["-dc"]);
    they_read(&software(), Format::Zlib, "pigz", &["-dc"]);
}

#[test]
fn lz4_reads_ours() {
    they_read(&software(), Format::Lz4Frame, "lz4", &["-dc"]);
}

#[test]
fn zstd_reads_ours() {
    they_read(&software(), Format::Zstd, "zstd", &["-dc"]);
}

#[test]
fn we_read_gzip() {
    we_read_theirs(&software(), Format::Gzip, "gzip", &[&[], &["-n"], &["-1"], &["-9"]]);
}

#[test]
fn we_read_pigz() {
    let subject = software();
    let ways: [&[&str]; 5] = [&[], &["-p4", "-b", "128"], &["-i", "-b", "64"], &["-0"], &["-R"]];
    we_read_theirs(&subject, Format::Gzip, "pigz", &ways);
    we_read_theirs(&subject, Format::Zlib, "pigz", &[&["-z"], &["-z", "-p4", "-b", "128"], &["-z", "-9"]]);
}

#[test]
fn we_read_lz4() {
    let ways: [&[&str]; 10] = [
        &[],
        &["-BD"],
        &["-l"],
        &["-BX"],
        &["-B5", "-BD", "-BX"],
        &["-B5", "-9", "-BD"],
        &["--no-frame-crc"],
        &["--no-frame-crc", "-BD", "-BX", "-B6"],
        &["-12"],
        &["--fast=9"],
    ];
    we_read_theirs(&software(), Format::Lz4Frame, "lz4", &ways);
}

#[test]
fn we_read_zstd() {
    let subject = software();
    let ways: [&[&str]; 9] = [
        &[],
        &["--long=27"],
        &["--no-check"],
        &["-19"],
        &["--fast=7"],
        &["-T2", "-B65536"],
        &["--no-content-size"],
        &["--ultra", "-22", "--long=27"],
        &["--rsyncable", "-T2"],
    ];
    we_read_theirs(&subject, Format::Zstd, "zstd", &ways);
    // A match 40 MB back, over more plain data than is decoded whole: a window of 128 MiB.
    let part = noise(1 << 20);
    let plain = [&part[..], &vec![b'-'; 40 << 20], &part].concat();
    let packed = tool("zstd", "zstd", &["--long=27", "-3"], &plain);
    assert!(packed.len() < 3 << 19, "no long match");
    we_read(&subject, &packed, Format::Zstd, &plain, "zstd --long=27");
}

#[test]
fn members_and_frames_follow_each_other() {
    let subject = software();
    let (a, b) = (text(200_000), noise(1000));
    let both = [&a[..], &b, &a].concat();
    let gzip = |args: &[&str], plain: &[u8]| tool("gzip", "gzip", args, plain);
    let members = [
        gzip(&["-c"], &a),
        tool("pigz", "pigz", &["-c"], &b),
        pack(&subject, &a, &CompressOptions::new(Format::Gzip)),
    ];
    we_read(&subject, &members.concat(), Format::Gzip, &both, "three members");
    same(&gzip(&["-dc"], &members.concat()), &both, "three members to gzip");
    let padded = [&members.concat()[..], &[0; 5000]].concat();
    we_read(&subject, &padded, Format::Gzip, &both, "zero-padded");
    same(&gzip(&["-dcq"], &members.concat()), &both, "three members to gzip");

    let skippable = [&0x184D_2A5A_u32.to_le_bytes()[..], &5_u32.to_le_bytes(), b"hello"].concat();
    let lz4 = |args: &[&str], plain: &[u8]| tool("lz4", "lz4", args, plain);
    let frames = [
        skippable.clone(),
        lz4(&["-c"], &a),
        lz4(&["-lc"], &b),
        skippable.clone(),
        lz4(&["-lc"], &a),
        pack(&subject, b"end", &CompressOptions::new(Format::Lz4Frame)),
        skippable.clone(),
    ]
    .concat();
    let plain = [&both[..], b"end"].concat();
    same(&lz4(&["-dc"], &frames), &plain, "lz4's own reading");
    we_read(&subject, &frames, Format::Lz4Frame, &plain, "LZ4 frames, legacy and skippable");

    let zstd = |args: &[&str], plain: &[u8]| tool("zstd", "zstd", args, plain);
    let frames = [
        zstd(&["-c"], &a),
        skippable.clone(),
        pack(&subject, &b, &CompressOptions::new(Format::Zstd)),
        zstd(&["-c", "--no-check"], &a),
        skippable,
    ]
    .concat();
    same(&zstd(&["-dc"], &frames), &both, "zstd's own reading");
    we_read(&subject, &frames, Format::Zstd, &both, "Zstandard frames");
}

/// Decompresses what we wrote, compares it, and compresses it again for us to read.
const PYTHON: &str = r#"
import gzip, pathlib, sys, zlib
count = 0
for plain_file in sorted(pathlib.Path(sys.argv[1]).glob("*.plain")):
    plain = plain_file.read_bytes()
    for suffix, read, write in [
        (".gz", gzip.decompress, lambda data: gzip.compress(data)),
        (".zz", zlib.decompress, lambda data: zlib.compress(data, 9)),
        (".deflate", lambda data: zlib.decompress(data, -15), lambda data: zlib.compress(data, 1)[2:-4]),
    ]:
        for packed in plain_file.parent.glob(plain_file.stem + "-*" + suffix):
            assert read(packed.read_bytes()) == plain, packed
            count += 1
        plain_file.with_suffix(".python" + suffix).write_bytes(write(plain))
    sums = zlib.crc32(plain).to_bytes(4, "big") + zlib.adler32(plain).to_bytes(4, "big")
    plain_file.with_suffix(".sums").write_bytes(sums)
print(count)
"#;

#[test]
fn python_and_we_read_each_other() {
    let subject = software();
    let dir = tempfile::tempdir().unwrap();
    let formats = [(Format::Gzip, "gz"), (Format::Zlib, "zz"), (Format::Deflate, "deflate")];
    let (mut cases, mut written) = (Vec::new(), 0);
    for size in SIZES {
        for (kind, plain) in contents(size) {
            let stem = format!("{kind}_{size}");
            fs::write(dir.path().join(format!("{stem}.plain")), &plain).unwrap();
            for (format, suffix) in formats {
                for level in if size < 1 << 20 { &NAMED_LEVELS[..] } else { &[Level::Fast] } {
                    let options = CompressOptions::new(format).level(*level);
                    let (one_shot, _) = subject.compression.compress(&plain, &options).unwrap();
                    for (how, packed) in [("stream", pack(&subject, &plain, &options)), ("call", one_shot)] {
                        fs::write(dir.path().join(format!("{stem}-{how}-{level}.{suffix}")), packed).unwrap();
                        written += 1;
                    }
                }
            }
            cases.push((stem, plain));
        }
    }
    let read = tool("python3", "python3", &["-c", PYTHON, dir.path().to_str().unwrap()], b"");
    assert_eq!(String::from_utf8(read).unwrap().trim(), written.to_string());
    for (stem, plain) in cases {
        for (format, suffix) in formats {
            let packed = fs::read(dir.path().join(format!("{stem}.python.{suffix}"))).unwrap();
            we_read(&subject, &packed, format, &plain, &format!("Python's {suffix} of {stem}"));
        }
        let sums: Vec<u8> = [Checksum::Crc32, Checksum::Adler32]
            .into_iter()
            .flat_map(|sum| subject.compression.process(&Operation::Checksum(sum), &plain).unwrap().0)
            .collect();
        same(&sums, &fs::read(dir.path().join(format!("{stem}.sums"))).unwrap(), stem);
    }
}

#[test]
fn a_hundred_megabytes_both_ways() {
    let subject = software();
    let plain = contents(25_000_000).map(|(_, part)| part).concat();
    // Python's own gzip and zlib modules, since pigz is one more program around the library of that name.
    let inflate = "import sys, zlib; sys.stdout.buffer.write(zlib.decompress(sys.stdin.buffer.read()))";
    let deflate = "import sys, zlib; sys.stdout.buffer.write(zlib.compress(sys.stdin.buffer.read(), 1))";
    let tools: [(Format, &str, &[&str], &[&str]); 5] = [
        (Format::Gzip, "gzip", &["-1"], &["-dc"]),
        (Format::Gzip, "pigz", &["-1"], &["-dc"]),
        (Format::Zlib, "python3", &["-c", deflate], &["-c", inflate]),
        (Format::Lz4Frame, "lz4", &["-1"], &["-dc"]),
        (Format::Zstd, "zstd", &["-1"], &["-dc"]),
    ];
    for (format, program, compress, decompress) in tools {
        let ours = pack(&subject, &plain, &CompressOptions::new(format).level(Level::Fast));
        same(&tool(program, program, decompress, &ours), &plain, program);
        let (theirs, mut read) = (tool(program, program, compress, &plain), Vec::new());
        stream::decompress(&theirs[..], &mut read, &subject.engine, None, &settings(2)).unwrap();
        same(&read, &plain, program);
    }
}

const BLOCK_SIZES: [usize; 7] = [0, 1, 15, 16, 17, 65_537, 1 << 20];

#[test]
fn openssl_and_we_read_each_other() {
    let subject = software();
    let wrapping = [
        "ffffffffffffffffffffffffffffffff",
        "00000000fffffffffffffffffffffffe",
        "ffffffffffffffff0000000000000001",
    ];
    for key_len in [16, 24, 32] {
        let key_bytes = noise(key_len);
        let key = Key::new(&key_bytes);
        for (cipher, mode) in [(Cipher::AesCtr, "ctr"), (Cipher::AesCbc, "cbc")] {
            for iv in wrapping {
                for size in BLOCK_SIZES {
                    let plain = text(size);
                    let name = format!("-aes-{}-{mode}", key_len * 8);
                    let key_hex = to_hex(&key_bytes);
                    let args = ["enc", &name, "-K", &key_hex, "-iv", iv];
                    let options = CipherOptions::new(cipher).iv(Iv::new(&hex(iv)).unwrap());
                    let theirs = tool("openssl", "openssl", &args, &plain);
                    let (ours, _) = subject.encryption.encrypt(&key, &plain, &options).unwrap();
                    same(&ours, &theirs, (&name, iv, size));
                    let args = [&args[..], &["-d"]].concat();
                    same(&tool("openssl", "openssl", &args, &ours), &plain, (&name, iv, size));
                    same(
                        &subject.encryption.decrypt(&key, &theirs, &options).unwrap().0,
                        &plain,
                        (&name, size),
                    );
                }
            }
        }
        // The composite, put together from OpenSSL's parts as RFC 7518 section 5.2.2.1 says.
        for mac_len in [16, 32, 64, 100] {
            let (mac, iv, aad, plain) = (text(mac_len), noise(16), text(21), text(1000));
            let name = format!("-aes-{}-cbc", key_len * 8);
            let body = tool(
                "openssl",
                "openssl",
                &["enc", &name, "-K", &to_hex(&key_bytes), "-iv", &to_hex(&iv)],
                &plain,
            );
            let message = [&aad[..], &iv, &body, &(21_u64 * 8).to_be_bytes()].concat();
            let mac_key = format!("hexkey:{}", to_hex(&mac));
            let args = ["dgst", "-sha256", "-mac", "HMAC", "-macopt", &mac_key, "-binary"];
            let tag = tool("openssl", "openssl", &args, &message);
            let options = CipherOptions::new(Cipher::AesCbcHmacSha256).iv(Iv::new(&iv).unwrap()).aad(aad);
            let key = Key::with_mac(&key_bytes, &mac);
            let (ours, _) = subject.encryption.encrypt(&key, &plain, &options).unwrap();
            same(&ours, &[&body[..], &tag[..16]].concat(), (key_len, mac_len));
        }
    }
    for (digest, name) in [
        (Digest::Sha224, "-sha224"),
        (Digest::Sha256, "-sha256"),
        (Digest::Sha384, "-sha384"),
        (Digest::Sha512, "-sha512"),
        (Digest::Sha3_256, "-sha3-256"),
        (Digest::Sha3_384, "-sha3-384"),
        (Digest::Sha3_512, "-sha3-512"),
    ] {
        for size in BLOCK_SIZES.into_iter().chain([55, 56, 64, 111, 112, 128]) {
            let plain = text(size);
            let (ours, _) = subject.compression.process(&Operation::Digest(digest), &plain).unwrap();
            same(&ours, &tool("openssl", "openssl", &["dgst", name, "-binary"], &plain), (name, size));
            // Keys below, at and above the digest's block.
            for key in [1, digest.block_len(), digest.block_len() + 1].map(noise) {
                let (ours, _) = subject.encryption.hmac(&Key::new(&key), digest, &plain).unwrap();
                let mac_key = format!("hexkey:{}", to_hex(&key));
                let args = ["dgst", name, "-mac", "HMAC", "-macopt", &mac_key, "-binary"];
                same(&ours, &tool("openssl", "openssl", &args, &plain), (name, size, key.len()));
            }
        }
    }
}
