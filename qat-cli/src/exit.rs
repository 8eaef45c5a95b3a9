//! How the command ends: exit codes, and messages that name cause and remedy.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | success |
//! | 1 | internal failure, or a device failed |
//! | 2 | the command line cannot be meant |
//! | 3 | a file cannot be read or written; disk full; a source changed while it was read |
//! | 4 | bad input: corrupt, truncated, followed by something else, unknown format |
//! | 5 | wrong key or associated data, altered ciphertext, malformed key file |
//! | 6 | the engine is not available, or does not do this |
//! | 7 | the decompressed size exceeds `--limit`, or a Zstandard window `--long` |
//! | 8 | refused: output exists, input no regular file or suffixed already, terminal |
//! | 141 | closed pipe (128 + SIGPIPE, as a shell shows it) |
//!
//! Death by signal is death by that signal, so that a shell sees it as such.

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

/// Why a file was not worked on to its end.
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

    /// Adds `note` to a message that is shown.
    pub(crate) fn with(mut self, note: &str) -> Self {
        if !self.message.is_empty() {
            self.message.push_str(note);
        }
        self
    }

    /// Says why on stderr; a closed pipe ends quietly.
    pub(crate) fn report(&self) {
        if !self.message.is_empty() {
            report::say(format_args!("qat: {}", self.message));
        }
    }

    /// Work on `input` for `output` ended with `error`.
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
            | StreamError::TruncatedHeader => "; the file is damaged or incomplete: get a good copy",
            StreamError::Work(Error::TrailingData { .. }) => {
                ": see what it is before it is cut off, or get a good copy"
            }
            StreamError::Work(Error::Authentication { .. }) => "; a stream cut short ends like this too",
            StreamError::Work(Error::LimitExceeded { .. }) => " (--limit)",
            StreamError::Work(Error::Unavailable { .. }) => {
                "; `qat info` says more, and --engine software does without"
            }
            // What the CPU refuses is refused by every engine.
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

    /// `name` cannot be read.
    pub(crate) fn reading(name: impl Display, error: &io::Error) -> Self {
        let remedy = match error.kind() {
            io::ErrorKind::NotFound => ": check the name",
            io::ErrorKind::PermissionDenied => ": ask its owner for read permission",
            io::ErrorKind::IsADirectory => ": name the files in it, or pack it with tar first",
            _ => device_remedy(error).unwrap_or_default(),
        };
        Self::new(Exit::Io, format!("{name}: cannot read: {}{remedy}", cause(error)))
    }

    /// `name` cannot be written.
    pub(crate) fn writing(name: impl Display, error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        if error.kind() == Kind::BrokenPipe {
            return Self::new(Exit::ClosedPipe, String::new());
        }
        let remedy = match error.kind() {
            Kind::StorageFull | Kind::QuotaExceeded => ": free space, or write elsewhere with -o",
            Kind::FileTooLarge => ": raise the limit (ulimit -f), or write elsewhere with -o",
            Kind::NotFound | Kind::NotADirectory => {
                ": the directory is not there: make it, or write elsewhere with -o"
            }
            _ => device_remedy(error).unwrap_or(": write elsewhere with -o or -c"),
        };
        Self::new(Exit::Io, format!("{name}: cannot write: {}{remedy}", cause(error)))
    }

    /// `path` exists and is not overwritten.
    pub(crate) fn exists(path: &Path) -> Self {
        let path = report::name(path);
        Self::new(Exit::Refused, format!("{path}: exists already: use -f to overwrite it, or another -o"))
    }
}

/// Returns the remedy for errors whose cause the operating system names by number only.
fn device_remedy(error: &io::Error) -> Option<&'static str> {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        match Errno::from_io_error(error)? {
            Errno::BADF => {
                Some(": it is closed, or not open for this: check the redirections of the command")
            }
            Errno::IO => Some(": the device or network under it failed: see the kernel's log"),
            _ => None,
        }
    }
    #[cfg(windows)]
    {
        let _ = error;
        None
    }
}

/// Returns the system's words without the number.
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
