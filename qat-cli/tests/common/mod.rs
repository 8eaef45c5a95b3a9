//! A directory to run `qat` in, and the result of a run.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// The names of the formats and their suffixes.
pub(crate) const FORMATS: [(&str, &str); 5] =
    [("gzip", "gz"), ("zlib", "zz"), ("deflate", "deflate"), ("lz4", "lz4"), ("zstd", "zst")];

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) mod device;
#[cfg(target_os = "linux")]
pub(crate) mod linux;

/// A directory for one test.
pub(crate) struct TestDir(TempDir);

impl TestDir {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Returns the names of all files in the directory, including temporary ones.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Returns a command that runs `program` in this directory.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    /// Returns a command that runs `qat` with these arguments, which are separated by spaces.
    pub(crate) fn qat_command(&self, args: &str) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_qat"));
        command.args(args.split_whitespace());
        command
    }

    pub(crate) fn qat(&self, args: &str) -> Run {
        Run::new(args, self.qat_command(args).output().unwrap())
    }

    /// Runs `qat` with `input` on its standard input.
    pub(crate) fn pipe(&self, args: &str, input: &[u8]) -> Run {
        Run::new(args, feed(self.qat_command(args), input))
    }

    /// Runs a shell script, with the path of the command in `$QAT`.
    #[cfg(unix)]
    pub(crate) fn shell(&self, script: &str) -> Run {
        let mut command = self.command("sh");
        command.args(["-c", script]).env("QAT", env!("CARGO_BIN_EXE_qat"));
        Run::new(script, command.output().unwrap())
    }
}

/// Runs `command` with `input` on its standard input.
pub(crate) fn feed(mut command: Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // A child that ends early closes the pipe, which is not an error of the test.
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().unwrap()
    })
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) args: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn new(args: &str, output: Output) -> Self {
        let stderr = String::from_utf8(output.stderr).unwrap();
        Self { args: args.to_owned(), code: output.status.code(), stdout: output.stdout, stderr }
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}: {}", self.args, self.stderr);
        self
    }

    /// Checks that the run ended with `code`, and that its message contains each of `parts`.
    #[track_caller]
    pub(crate) fn failed(self, code: i32, parts: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{}: {}", self.args, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}: {}", self.args, self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "{}: no {part:?} in {}", self.args, self.stderr);
        }
        self
    }
}

/// Returns `len` bytes that are compressible, but not to almost nothing.
pub(crate) fn sample(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 16);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        match state % 4 {
            0 => bytes.extend_from_slice(&state.to_le_bytes()),
            _ => bytes.extend_from_slice(b"the quick brown "),
        }
    }
    bytes.truncate(len);
    bytes
}
