//! Exit codes, and error messages that state the cause and the remedy. Every module of the command reports failures as
//! [`Failure`]; nothing else ends the process.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | success |
//! | 1 | internal error, or a device failed |
//! | 2 | usage error |
//! | 3 | I/O error: a file cannot be read or written; disk full; an input changed while it was read |
//! | 4 | invalid input: corrupt, truncated, trailing data, unknown format |
//! | 5 | wrong key or associated data, altered ciphertext, malformed key file |
//! | 6 | the engine is unavailable or does not support the operation |
//! | 7 | the decompressed size exceeds `--limit`, or a Zstandard window exceeds `--long` |
//! | 8 | refused: the output exists, the input is not a regular file or already has the suffix, terminal |
//! | 141 | closed pipe (128 + SIGPIPE, as a shell reports it) |
//!
//! A signal that ends the command keeps its default action, so that a shell sees which signal it was.

use std::fmt::Display;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use qat::accel_core::Error;
use qat::stream::StreamError;

use crate::report;

/// An exit code other than success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Internal = 1,
    Usage = 2,
    Io = 3,
    BadInput = 4,
    Key = 5,
    Engine = 6,
    Limit = 7,
    Refused = 8,
    ClosedPipe = 141,
}

/// The reason why a file was not processed completely.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// Appends `note` to a message that is not empty.
    pub(crate) fn with(mut self, note: &str) -> Self {
        if !self.message.is_empty() {
            self.message.push_str(note);
        }
        self
    }

    /// Prints the message to standard error. A closed pipe has no message.
    pub(crate) fn report(&self) {
        if !self.message.is_empty() {
            report::say(format_args!("qat: {}", self.message));
        }
    }

    /// Returns the failure for `error` while `input` was processed to `output`.
    pub(crate) fn stream(input: impl Display, output: impl Display, error: &StreamError) -> Self {
        let exit = match error {
            StreamError::Write(error) => return Self::writing(output, error),
            StreamError::Read(error) => return Self::reading(input, error),
            StreamError::Work(error) => match error {
                Error::Unavailable { .. } | Error::Unsupported { .. } | Error::Busy { .. } => Exit::Engine,
                Error::InvalidArgument { .. } => Exit::Usage,
                Error::LimitExceeded { .. } => Exit::Limit,
                Error::Corrupt { .. } | Error::Truncated { .. } | Error::TrailingData { .. } => {
                    Exit::BadInput
                }
                Error::Authentication { .. } => Exit::Key,
                _ => Exit::Internal,
            },
            StreamError::UnknownFormat
            | StreamError::TruncatedHeader
            | StreamError::NotEncrypted { .. }
            | StreamError::TooLong => Exit::BadInput,
            StreamError::NoMatchingKey => Exit::Key,
            StreamError::WindowLimit { .. } => Exit::Limit,
            _ => Exit::Internal,
        };
        let remedy = match error {
            StreamError::Work(Error::Corrupt { .. } | Error::Truncated { .. })
            | StreamError::TruncatedHeader => "; the file is damaged or incomplete: obtain an intact copy",
            StreamError::Work(Error::TrailingData { .. }) => {
                "; inspect the trailing data before you remove them, or obtain an intact copy"
            }
            StreamError::Work(Error::Authentication { .. }) => "; a truncated file has the same effect",
            StreamError::Work(Error::LimitExceeded { .. }) => " (--limit)",
            StreamError::Work(Error::Unavailable { .. }) => {
                "; see `qat info` for details, or use --engine software"
            }
            // Operations that the CPU does not support are supported by no engine.
            StreamError::Work(Error::Unsupported { accelerator: "software", .. }) => "",
            StreamError::Work(Error::Unsupported { .. }) => " (--engine auto)",
            StreamError::WindowLimit { required, .. } => {
                let log = required.next_power_of_two().ilog2();
                return Self::new(exit, format!("{input}: {error} (--long={log})"));
            }
            StreamError::Memory { .. } => " (--threads)",
            StreamError::UnknownFormat => " (--format deflate)",
            _ => "",
        };
        Self::new(exit, format!("{input}: {error}{remedy}"))
    }

    /// Returns the failure for an error while `name` was read.
    pub(crate) fn reading(name: impl Display, error: &io::Error) -> Self {
        let remedy = match error.kind() {
            io::ErrorKind::NotFound => "; check the name",
            io::ErrorKind::PermissionDenied => "; read permission is required",
            io::ErrorKind::IsADirectory => "; name the files in it, or create a tar archive first",
            _ => device_remedy(error).unwrap_or_default(),
        };
        Self::new(Exit::Io, format!("{name}: cannot read: {}{remedy}", cause(error)))
    }

    /// Returns the failure for an error while `name` was written.
    pub(crate) fn writing(name: impl Display, error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        if error.kind() == Kind::BrokenPipe {
            return Self::new(Exit::ClosedPipe, String::new());
        }
        let remedy = match error.kind() {
            Kind::StorageFull | Kind::QuotaExceeded => {
                "; free some space, or choose another location with -o"
            }
            Kind::FileTooLarge => "; raise the limit (ulimit -f), or choose another location with -o",
            Kind::NotFound | Kind::NotADirectory => {
                "; create the directory, or choose another location with -o"
            }
            _ => device_remedy(error).unwrap_or("; choose another location with -o, or use -c"),
        };
        Self::new(Exit::Io, format!("{name}: cannot write: {}{remedy}", cause(error)))
    }

    /// Returns the failure for an output `path` that exists and may not be overwritten.
    pub(crate) fn exists(path: &Path) -> Self {
        let path = report::name(path);
        Self::new(
            Exit::Refused,
            format!("{path}: already exists; use -f to overwrite it, or -o to choose another name"),
        )
    }
}

/// Returns the remedy for errors that the standard library has no kind for.
fn device_remedy(error: &io::Error) -> Option<&'static str> {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        match Errno::from_io_error(error)? {
            Errno::BADF => {
                Some("; it is closed or opened in the wrong mode: check the redirections of the command")
            }
            Errno::IO => Some("; the device or network failed: see the kernel log"),
            _ => None,
        }
    }
    #[cfg(windows)]
    {
        let _ = error;
        None
    }
}

/// Returns the message of the operating system without the error number.
pub(crate) fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
