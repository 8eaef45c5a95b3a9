//! `cargo xtask demo`: compresses and encrypts a real file, and checks the results with other programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use xshell::{Shell, cmd};

use crate::workspace::{project_root, target_dir};
use crate::{flags, tools};

/// The formats of the command: name, suffix, and an independent program that reads it.
const FORMATS: &[(&str, &str, &str)] =
    &[("gzip", "gz", "gzip"), ("zstd", "zst", "zstd"), ("lz4", "lz4", "lz4")];

impl flags::Demo {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        let file = match self.file {
            // The shell's directory is the root of the workspace, but the path is relative to the caller's directory.
            Some(file) => std::path::absolute(file)?,
            None => project_root().join("Cargo.lock"),
        };
        let plain = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        tools::need(sh, &["cc"])?;
        eprintln!("building the command `qat` with optimisation; this takes minutes the first time");
        cmd!(sh, "cargo build --release --locked --package qat-cli").quiet().run()?;

        let start = Instant::now();
        let directory = tempfile::tempdir()?;
        let demo = Demo { program: target_dir().join("release/qat"), directory: directory.path(), plain };
        println!("\n{}: {} bytes, copied to a temporary directory", file.display(), demo.plain.len());
        fs::write(demo.path("demo"), &demo.plain)?;
        for format in FORMATS {
            demo.compress(sh, *format)?;
        }
        demo.encrypt()?;
        println!("\nAll outputs are identical to the input ({:.2} s).", start.elapsed().as_secs_f64());
        Ok(())
    }
}

struct Demo<'a> {
    program: PathBuf,
    directory: &'a Path,
    plain: Vec<u8>,
}

impl Demo<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Prints a command, runs it and prints its output. Returns whether it succeeded.
    fn qat(&self, arguments: &[&str]) -> anyhow::Result<bool> {
        println!("\n$ qat {}", arguments.join(" "));
        let mut command = Command::new(&self.program);
        // Both streams go to standard output, so that the lines keep their order.
        command.args(arguments).current_dir(self.directory).stdin(Stdio::null());
        let output = command.output().with_context(|| format!("cannot run {}", self.program.display()))?;
        print!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Ok(output.status.success())
    }

    fn must(&self, arguments: &[&str]) -> anyhow::Result<()> {
        ensure!(self.qat(arguments)?, "`qat {}` failed", arguments.join(" "));
        Ok(())
    }

    fn compare(&self, found: &[u8], whose: &str) -> anyhow::Result<()> {
        ensure!(found == self.plain, "the output of {whose} differs from the input");
        println!("  the output of {whose} is identical to the input ({} bytes)", found.len());
        Ok(())
    }

    fn compress(&self, sh: &Shell, (format, suffix, reader): (&str, &str, &str)) -> anyhow::Result<()> {
        self.must(&["compress", "--format", format, "demo"])?;
        let (packed, again) = (format!("demo.{suffix}"), format!("again.{suffix}.plain"));
        if tools::found(sh, reader) {
            let output = Command::new(reader).args(["-dc", &packed]).current_dir(self.directory).output()?;
            ensure!(output.status.success(), "{reader} cannot read {packed}");
            self.compare(&output.stdout, &format!("{reader} -dc"))?;
        } else {
            println!("  {reader} is not installed; the file is not checked with another program");
        }
        self.must(&["decompress", &packed, "-o", &again])?;
        self.compare(&fs::read(self.path(&again))?, "qat")
    }

    fn encrypt(&self) -> anyhow::Result<()> {
        self.must(&["keygen", "-o", "key"])?;
        self.must(&["encrypt", "--key-file", "key", "demo"])?;
        let sealed = fs::read(self.path("demo.tink"))?;
        self.must(&["decrypt", "--key-file", "key", "demo.tink", "-o", "opened"])?;
        self.compare(&fs::read(self.path("opened"))?, "qat")?;

        let mut altered = sealed;
        let middle = altered.len() / 2;
        altered[middle] ^= 1;
        fs::write(self.path("altered.tink"), altered)?;
        println!("\n(one bit of a copy is altered)");
        ensure!(
            !self.qat(&["decrypt", "--key-file", "key", "altered.tink", "-o", "forged"])?,
            "an altered copy was decrypted"
        );
        ensure!(!self.path("forged").exists(), "an altered copy left a file");
        println!("  the altered copy is refused, and leaves no file");
        Ok(())
    }
}
