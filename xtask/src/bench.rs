//! `cargo xtask bench`: the command `qat` beside its peers: whole processes, interleaved, file to file, medians.

mod corpus;
mod figures;
mod offload;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use xshell::{Shell, cmd};

use crate::workspace::target_dir;
use crate::{flags, tools};
use figures::{median, print_machine};

/// One measured command; `{}` in `arguments` stands for nothing: all read standard input and write standard output.
struct Row {
    program: String,
    arguments: Vec<String>,
    ours: bool,
}

/// Commands that do the same job; ratios are taken within a group.
struct Group {
    name: &'static str,
    input: std::path::PathBuf,
    rows: Vec<Row>,
}

impl flags::Bench {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        let wanted = |name: &str| self.only.as_deref().is_none_or(|only| name.contains(only));
        let rounds = self.rounds.unwrap_or(5).max(1);
        if !self.only.as_deref().is_some_and(|only| only.starts_with("offload")) {
            processes(sh, rounds, wanted)?;
        }
        offload::run(sh, offload::Effort { rounds, quick: self.quick }, self.hardware, wanted)
    }
}

fn processes(sh: &Shell, rounds: usize, wanted: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    tools::need(sh, &["gzip", "igzip", "lz4", "openssl", "pigz", "zstd"])?;
    cmd!(sh, "cargo build --release --locked --package qat-cli").run()?;
    let qat = target_dir().join("release/qat");
    let corpus = corpus::file(sh)?;
    print_machine(sh)?;
    println!("input    {} bytes of sources, code and one archive", fs::metadata(&corpus)?.len());
    for group in groups(sh, &qat, &corpus)? {
        if wanted(group.name) {
            measure(&group, rounds)?;
        }
    }
    Ok(())
}

fn row(line: &str, qat: &Path) -> Row {
    let mut words = line.split_whitespace().map(str::to_owned);
    let program = words.next().unwrap_or_default();
    let ours = program == "qat";
    Row { program: if ours { qat.display().to_string() } else { program }, arguments: words.collect(), ours }
}

fn groups(sh: &Shell, qat: &Path, corpus: &Path) -> anyhow::Result<Vec<Group>> {
    let dir = corpus.parent().expect("a path below target");
    let key = dir.join("key.json");
    if !key.exists() {
        cmd!(sh, "{qat} keygen --output {key}").quiet().run()?;
    }
    let packed = |name: &str, line: &str| -> anyhow::Result<std::path::PathBuf> {
        let path = dir.join(name);
        if !path.exists() {
            run(&row(line, qat), corpus, &path)?;
        }
        Ok(path)
    };
    let all_cores = std::thread::available_parallelism()?;
    let key = key.display();
    let group = |name, input: &Path, lines: &[String]| Group {
        name,
        input: input.to_owned(),
        rows: lines.iter().map(|line| row(line, qat)).collect(),
    };
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let q = "qat compress --engine software -q --stdout";
    let d = "qat decompress --engine software -q --stdout";
    let zstd =
        |level: u32| [format!("{q} --format zstd -l {level}"), format!("zstd -{level} -T{all_cores} -c")];
    let openssl = "openssl enc -aes-256-ctr -K 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f -iv \
                   00000000000000000000000000000000";
    Ok(vec![
        group(
            "gzip-fast",
            corpus,
            &[
                format!("{q} -l 1"),
                "igzip -0 -c".into(),
                "igzip -1 -c".into(),
                "pigz -1 -c".into(),
                "gzip -1 -c".into(),
            ],
        ),
        group(
            "gzip-2",
            corpus,
            &[format!("{q} -l 2"), "igzip -2 -c".into(), "igzip -3 -c".into(), "pigz -2 -c".into()],
        ),
        group("gzip-6", corpus, &[format!("{q} -l 6"), "pigz -6 -c".into(), "gzip -6 -c".into()]),
        group("gzip-9", corpus, &[format!("{q} -l 9"), "pigz -9 -c".into()]),
        group(
            "gunzip-own",
            &packed("own.gz", &format!("{q} -l 6"))?,
            &[d.into(), "igzip -d -c".into(), "pigz -d -c".into(), "gzip -d -c".into()],
        ),
        group(
            "gunzip-independent",
            &packed("independent.gz", &format!("{q} -l 6 --independent"))?,
            &[d.into(), "igzip -d -c".into(), "pigz -d -c".into(), "gzip -d -c".into()],
        ),
        group(
            "gunzip-one-member",
            &packed("one.gz", "gzip -6 -c")?,
            &[d.into(), "igzip -d -c".into(), "pigz -d -c".into(), "gzip -d -c".into()],
        ),
        group("lz4-fast", corpus, &[format!("{q} --format lz4 -l 1"), "lz4 -1 -c".into()]),
        group("lz4-9", corpus, &[format!("{q} --format lz4 -l 9"), "lz4 -9 -c".into()]),
        group("unlz4", &packed("one.lz4", "lz4 -1 -c")?, &[d.into(), "lz4 -d -c".into()]),
        group("zstd-1", corpus, &zstd(1)),
        group("zstd-2", corpus, &zstd(2)),
        group("zstd-3", corpus, &zstd(3)),
        group("zstd-6", corpus, &zstd(6)),
        group("zstd-9", corpus, &zstd(9)),
        group("zstd-12", corpus, &zstd(12)),
        group(
            "unzstd-own",
            &packed("own.zst", &format!("{q} --format zstd -l 3"))?,
            &lines(&[d, "zstd -d -c"]),
        ),
        group(
            "unzstd-independent",
            &packed("independent.zst", &format!("{q} --format zstd -l 3 --independent"))?,
            &lines(&[d, "zstd -d -c"]),
        ),
        group("unzstd-one-frame", &packed("one.zst", "zstd -3 -c")?, &lines(&[d, "zstd -d -c"])),
        group(
            "encrypt",
            corpus,
            &[
                format!("qat encrypt --engine software -q --stdout --key-file {key}"),
                openssl.to_owned(),
                openssl.replace("ctr", "cbc"),
            ],
        ),
    ])
}

/// Seconds that one process took, from start to exit.
fn run(row: &Row, input: &Path, output: &Path) -> anyhow::Result<f64> {
    let (stdin, stdout) = (File::open(input)?, File::create(output)?);
    let start = Instant::now();
    let status = Command::new(&row.program)
        .args(&row.arguments)
        .stdin(stdin)
        .stdout(stdout)
        .stderr(Stdio::null())
        .status()
        .with_context(|| format!("{} cannot be started", row.program))?;
    ensure!(status.success(), "{} {:?} failed: {status}", row.program, row.arguments);
    Ok(start.elapsed().as_secs_f64())
}

fn measure(group: &Group, rounds: usize) -> anyhow::Result<()> {
    // Memory, so that no disk is measured.
    let output = tempfile::Builder::new().prefix("qat-bench").tempfile_in("/dev/shm")?;
    let mut seconds = vec![Vec::new(); group.rows.len()];
    let mut sizes = vec![0; group.rows.len()];
    for round in 0..=rounds {
        for (i, row) in group.rows.iter().enumerate() {
            let taken = run(row, &group.input, output.path())?;
            sizes[i] = fs::metadata(output.path())?.len();
            // The first round only warms caches.
            if round > 0 {
                seconds[i].push(taken);
            }
        }
    }
    let input = fs::metadata(&group.input)?.len();
    let larger = |i: usize| input.max(sizes[i]) as f64;
    println!("\n{:<20} {:>10} {:>8} {:>10}  command", group.name, "MB/s", "ratio", "ours/it");
    let ours: Vec<f64> = seconds[0].clone();
    for (i, row) in group.rows.iter().enumerate() {
        // Ratios per round first, then their median: what disturbs a round disturbs both sides of it.
        let quotients = seconds[i].iter().zip(&ours).map(|(theirs, ours)| theirs / ours).collect();
        let speed = larger(i) / median(seconds[i].clone()) / 1e6;
        let ratio = larger(i) / input.min(sizes[i]) as f64;
        let name = if row.ours { "qat" } else { &row.program };
        let arguments: Vec<_> = row.arguments.iter().filter(|word| word.len() < 30).cloned().collect();
        println!(
            "{:<20} {speed:>10.0} {ratio:>8.4} {:>10.2}  {name} {}",
            "",
            median(quotients),
            arguments.join(" ")
        );
    }
    Ok(())
}
