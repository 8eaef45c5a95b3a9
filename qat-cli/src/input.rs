//! The inputs of the command, and the checks that protect them: that no output replaces a file that the run still
//! needs, and that an input did not change before it is removed. [`run`](crate::run) calls this.

use std::collections::HashSet;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::exit::{Exit, Failure, Result};
use crate::report::name;
use crate::standard::{self, Waiting};

/// The identity of a file: device and inode.
#[cfg(unix)]
pub(crate) type Identity = (u64, u64);
/// The identity of a file: its canonical path.
#[cfg(windows)]
pub(crate) type Identity = PathBuf;

/// Returns the identity of a regular file, from its `metadata` or from its `path`, which standard input does not have.
pub(crate) fn identity(path: Option<&Path>, metadata: &Metadata) -> Option<Identity> {
    if !metadata.is_file() {
        return None;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let _ = path;
        Some((metadata.dev(), metadata.ino()))
    }
    #[cfg(windows)]
    fs::canonicalize(path?).ok()
}

/// The files that a run reads and writes, so that no output replaces one that is still needed.
#[derive(Default)]
pub(crate) struct Files {
    /// The key file; `None` where there is none.
    key: Option<Identity>,
    /// The inputs that were not processed yet.
    waiting: HashSet<Identity>,
    /// The input that is being processed; `None` where it is not a regular file.
    source: Option<Identity>,
    /// The outputs that are complete.
    written: HashSet<Identity>,
    /// The directories that were searched for temporary files of killed processes.
    searched: HashSet<PathBuf>,
}

impl Files {
    /// Returns the files of a run with the key file `key`.
    pub(crate) fn new(key: Option<Identity>) -> Self {
        Self { key, ..Self::default() }
    }

    /// Records the inputs that will be processed.
    pub(crate) fn expect(&mut self, paths: &[PathBuf]) {
        let found = paths.iter().filter_map(|path| identity(Some(path), &fs::metadata(path).ok()?));
        self.waiting.extend(found);
    }

    /// Records that `input` is being processed. The key file is refused as an input: encrypted with itself and removed,
    /// it would be lost together with everything that it encrypted.
    pub(crate) fn begin(&mut self, input: &Input) -> Result<()> {
        self.source = input.identity();
        if let Some(source) = &self.source {
            self.waiting.remove(source);
            if self.key.as_ref() == Some(source) {
                let name = &input.name;
                return Err(Failure::new(
                    Exit::Refused,
                    format!(
                        "{name}: is the key file of this command; remove it from the list of files, and keep it safe"
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Refuses the existing file `target` as an output where writing to it would destroy another file of the run.
    pub(crate) fn check_target(&self, target: &Path, metadata: &Metadata) -> Result<()> {
        let Some(found) = identity(Some(target), metadata) else { return Ok(()) };
        self.check_identity(&name(target), &found)?;
        let refused = |what: &str| {
            let message = format!("{}: {what}; choose another output with -o", name(target));
            Err(Failure::new(Exit::Refused, message))
        };
        if self.written.contains(&found) {
            return refused("already written from another input of this command");
        }
        if self.waiting.contains(&found) {
            return refused("is another input of this command");
        }
        Ok(())
    }

    /// Refuses the stream `output`, such as standard output, where it is the input or the key file.
    pub(crate) fn check_stream(&self, name: &str, output: &File) -> Result<()> {
        let found = output.metadata().ok().and_then(|metadata| identity(None, &metadata));
        found.map_or(Ok(()), |found| self.check_identity(name, &found))
    }

    fn check_identity(&self, name: &str, found: &Identity) -> Result<()> {
        if self.key.as_ref() == Some(found) {
            let message = format!("{name}: is the key file of this command; choose another output with -o");
            return Err(Failure::new(Exit::Refused, message));
        }
        if self.source.as_ref() == Some(found) {
            let message =
                format!("{name}: input and output are the same file; choose another output with -o");
            return Err(Failure::new(Exit::Usage, message));
        }
        Ok(())
    }

    /// Records that the output `target` is complete.
    pub(crate) fn wrote(&mut self, target: &Path) {
        let found = fs::metadata(target).ok().and_then(|metadata| identity(Some(target), &metadata));
        self.written.extend(found);
    }

    /// Returns `directory` on the first call for it, and `None` on later ones.
    pub(crate) fn first_look<'a>(&mut self, directory: &'a Path) -> Option<&'a Path> {
        self.searched.insert(directory.to_owned()).then_some(directory)
    }
}

/// How an input changed while it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It did not change.
    None,
    /// It was written to.
    Written,
    /// It became shorter, so that some of its data may not have been read.
    Shrunk,
}

/// An open input.
pub(crate) struct Input {
    pub(crate) file: File,
    /// The name for messages.
    pub(crate) name: String,
    /// The path; `None` for standard input.
    path: Option<PathBuf>,
    /// The metadata of the open file at the time when it was opened.
    opened: Metadata,
}

impl Input {
    pub(crate) fn standard() -> Result<Self> {
        let failed = |error: io::Error| Failure::reading(standard::INPUT, &error);
        let file = standard::input().map_err(failed)?;
        let opened = file.metadata().map_err(failed)?;
        Ok(Self { file, name: standard::INPUT.to_owned(), path: None, opened })
    }

    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // The metadata are those of the open file, because another file may have replaced it under its name.
        let opened = file.metadata()?;
        Ok(Self { file, name: name(path), path: Some(path.to_owned()), opened })
    }

    /// Returns the length in bytes, or `None` where it is unknown.
    pub(crate) fn len(&self) -> Option<u64> {
        self.opened.is_file().then_some(self.opened.len())
    }

    /// Returns the file whose attributes the output receives, or `None` for an input that is not a named regular file.
    pub(crate) fn source(&self) -> Option<(&File, &Metadata)> {
        (self.path.is_some() && self.opened.is_file()).then_some((&self.file, &self.opened))
    }

    /// Returns a reader that stops at the first end of the file. Data that are appended later are not part of the
    /// input.
    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader { file: Waiting(&self.file), ended: false }
    }

    fn identity(&self) -> Option<Identity> {
        identity(self.path.as_deref(), &self.opened)
    }

    /// Returns how the open file changed since it was opened.
    pub(crate) fn change(&self) -> Change {
        let Ok(now) = self.file.metadata() else { return Change::None };
        if !now.is_file() {
            Change::None
        } else if now.len() < self.opened.len() {
            Change::Shrunk
        } else if is_rewritten(&self.opened, &now) {
            Change::Written
        } else {
            Change::None
        }
    }

    /// Returns why the source must not be removed after `read` bytes of it were read, or `None` where it may: its name
    /// must still refer to the open file, and the file must still have the content that was read.
    pub(crate) fn keeps(&self, read: u64) -> Option<&'static str> {
        let path = self.path.as_deref()?;
        let Ok(named) = fs::metadata(path) else {
            return Some("it was renamed or removed while it was read");
        };
        if identity(Some(path), &named) != self.identity() {
            return Some("another file replaced it while it was read");
        }
        let changed =
            self.change() != Change::None || is_rewritten(&self.opened, &named) || named.len() != read;
        changed.then_some("it changed while it was read")
    }

    /// Removes the source.
    pub(crate) fn remove(self) -> io::Result<()> {
        let Self { file, path, .. } = self;
        // Windows does not remove open files.
        drop(file);
        path.map_or(Ok(()), fs::remove_file)
    }
}

/// Reads an [`Input`].
pub(crate) struct Reader<'a> {
    file: Waiting<&'a File>,
    ended: bool,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended {
            return Ok(0);
        }
        let read = self.file.read(buffer)?;
        self.ended = read == 0 && !buffer.is_empty();
        Ok(read)
    }
}

fn is_rewritten(before: &Metadata, now: &Metadata) -> bool {
    before.len() != now.len() || before.modified().ok() != now.modified().ok()
}
