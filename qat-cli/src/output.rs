//! The output of the command: a temporary file that is renamed when it is complete, an existing file that is written in
//! kind, or a stream such as standard output or a device. [`run`](crate::run) and [`keys`](crate::keys) call this.
//!
//! The kind is decided before any data are processed. A target is written in place where it exists, may be overwritten,
//! and cannot be replaced by renaming: it is a mount point, another user's file in a sticky directory, or in a
//! directory without write permission. Such output is not atomic.
//!
//! With `sync`, the file is written to disk before it is renamed, and then the directory, so that the source can be
//! removed. Otherwise the system writes them to disk at a later time.

use std::fs::{self, File, FileTimes, Metadata};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::directory::{self, Access, Directory, Published, TemporaryName, parent};
use crate::exit::{Exit, Failure, Result};
use crate::input::Files;
use crate::report::{self, name};
use crate::signals::Guard;
use crate::standard::{self, Waiting};

/// The parameters of an output.
pub(crate) struct OutputOptions<'a> {
    pub(crate) target: &'a Path,
    /// Whether the user named the target with `-o`; otherwise its name was derived from the input's.
    pub(crate) is_named: bool,
    pub(crate) overwrite: bool,
    /// The users who may open the file while it is written.
    pub(crate) access: Access,
    /// Whether long runs of zeros become holes.
    pub(crate) sparse: bool,
    /// Whether the output must be a file, because its source will be removed.
    pub(crate) must_be_file: bool,
    pub(crate) quiet: bool,
}

/// An output that is being written.
pub(crate) struct Output {
    name: String,
    file: File,
    kind: OutputKind,
    sparse: bool,
    /// The number of bytes so far, including holes.
    position: u64,
    /// The number of zero bytes at the end that were not written.
    hole: u64,
}

enum OutputKind {
    /// Standard output, another inherited descriptor, a device or a pipe.
    Stream,
    /// An existing file, which keeps its content until the first byte is written.
    Existing { truncated: bool },
    /// A temporary file.
    Temporary(Temporary),
}

/// Describes an output that is complete.
pub(crate) struct Finished {
    /// Whether the file system refused some of the source's mode, times or access control list.
    pub(crate) lacks_attributes: bool,
}

impl Output {
    /// Opens standard output.
    pub(crate) fn standard() -> Result<Self> {
        let file = standard::output().map_err(|error| Failure::writing(standard::OUTPUT, &error))?;
        Ok(Self::new(standard::OUTPUT.to_owned(), file, OutputKind::Stream, false))
    }

    /// Opens the output that `options` describes. `files` are those of the run, which it must not replace.
    pub(crate) fn open(options: &OutputOptions, files: &mut Files) -> Result<Self> {
        let target = options.target;
        let failed = |error: io::Error| Failure::writing(name(target), &error);
        #[cfg(unix)]
        if options.is_named
            && let Some(file) = standard::inherited(target)
        {
            return Self::stream(options, file.map_err(failed)?);
        }
        let found = match fs::symlink_metadata(target) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        let followed = found.as_ref().and_then(|_| fs::metadata(target).ok());
        let is_separator = |byte: &u8| std::path::is_separator(char::from(*byte));
        let names_directory = target.as_os_str().as_encoded_bytes().last().is_some_and(is_separator);
        if followed.as_ref().is_some_and(Metadata::is_dir) || names_directory {
            let message = format!("{}: is a directory; name a file with -o", name(target));
            return Err(Failure::new(Exit::Io, message));
        }
        if options.is_named && followed.as_ref().is_some_and(|followed| !followed.is_file()) {
            return Self::stream(options, File::options().write(true).open(target).map_err(failed)?);
        }
        if found.is_some() && !options.overwrite {
            return Err(Failure::exists(target));
        }
        if let Some(followed) = &followed {
            files.check_target(target, followed)?;
        }

        let directory = Directory::open(parent(target)).map_err(failed)?;
        let file_name = Path::new(target.file_name().ok_or_else(|| failed(ErrorKind::IsADirectory.into()))?);
        let is_file = followed.as_ref().is_some_and(Metadata::is_file);
        let (file, kind) = if is_file && directory.is_fixed(file_name) {
            (directory.open_existing(file_name).map_err(failed)?, OutputKind::Existing { truncated: false })
        } else {
            match Temporary::create(directory, options) {
                Ok((temporary, file)) => (file, OutputKind::Temporary(temporary)),
                Err(error) => {
                    let is_refused =
                        matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem);
                    let open = || Directory::open(parent(target))?.open_existing(file_name);
                    let existing = if is_file && is_refused { open().ok() } else { None };
                    (existing.ok_or_else(|| failed(error))?, OutputKind::Existing { truncated: false })
                }
            }
        };
        if let OutputKind::Temporary(temporary) = &kind
            && !options.quiet
            && let Some(path) = files.first_look(parent(target))
        {
            for abandoned in temporary.directory.abandoned(path) {
                let abandoned = name(&path.join(abandoned));
                report::warn(format_args!(
                    "{abandoned}: temporary file of a qat process that was killed; it can be removed"
                ));
            }
        }
        Ok(Self::new(name(target), file, kind, options.sparse))
    }

    fn new(name: String, file: File, kind: OutputKind, sparse: bool) -> Self {
        Self { name, file, kind, sparse, position: 0, hole: 0 }
    }

    fn stream(options: &OutputOptions, file: File) -> Result<Self> {
        if options.must_be_file {
            return Err(Failure::new(Exit::Usage, "--rm requires files as input and output"));
        }
        Ok(Self::new(name(options.target), file, OutputKind::Stream, false))
    }

    /// Returns the name of the output for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the file that is written to.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Returns whether the output is a stream: an inherited descriptor, a device or a pipe.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.kind, OutputKind::Stream)
    }

    /// Returns the note about the output for the message of a failure.
    pub(crate) fn note(&self) -> String {
        match self.kind {
            OutputKind::Existing { truncated: true } => incomplete(&self.name),
            _ => String::new(),
        }
    }

    /// Completes the output. A file receives the mode, times and, where permitted, owner of `source`, and then its
    /// final name.
    pub(crate) fn finish(mut self, source: Option<(&File, &Metadata)>, sync: bool) -> Result<Finished> {
        let note = self.note();
        self.end().map_err(|error| Failure::writing(&self.name, &error).with(&note))?;
        let Self { name, file, kind, .. } = self;
        let failed = |error: &io::Error| Failure::writing(&name, error);
        let close = |file: File| -> io::Result<()> {
            if sync {
                sync_file(&file)?;
            }
            standard::close(file)
        };
        let mut lacks_attributes = false;
        match kind {
            OutputKind::Stream => standard::close(file).map_err(|error| failed(&error))?,
            OutputKind::Existing { .. } => {
                close(file).map_err(|error| failed(&error).with(&incomplete(&name)))?
            }
            OutputKind::Temporary(temporary) => {
                if let Some((source, metadata)) = source {
                    for (what, error) in copy_attributes(source, metadata, &file) {
                        lacks_attributes = true;
                        let cause = crate::exit::cause(&error);
                        report::warn(format_args!(
                            "{name}: cannot set {what}: {cause}; the content is complete"
                        ));
                    }
                }
                close(file).map_err(|error| failed(&error))?;
                temporary.publish(&name, sync)?;
            }
        }
        Ok(Finished { lacks_attributes })
    }

    /// Sets the file to its full length.
    fn end(&mut self) -> io::Result<()> {
        self.begin()?;
        if self.hole > 0 {
            self.file.set_len(self.position)?;
        }
        Ok(())
    }

    /// Truncates a file that is written in place, before the first write.
    fn begin(&mut self) -> io::Result<()> {
        if let OutputKind::Existing { truncated } = &mut self.kind
            && !*truncated
        {
            self.file.set_len(0)?;
            *truncated = true;
        }
        Ok(())
    }
}

fn incomplete(name: &str) -> String {
    format!("; {name} was written in place and is incomplete")
}

/// The size in bytes of the aligned blocks that become holes. Shorter holes would not justify a system call.
const HOLE: usize = 32 << 10;

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begin()?;
        if !self.sparse {
            return Waiting(&self.file).write(bytes);
        }
        let is_hole = |block: &[u8]| block == &[0; HOLE][..block.len()];
        // Blocks end at multiples of that size; the first and the last one may be shorter.
        let head = (HOLE - (self.position % HOLE as u64) as usize).min(bytes.len());
        let (head, rest) = bytes.split_at(head);
        let blocks = || std::iter::once(head).chain(rest.chunks(HOLE));
        let zeros: usize = blocks().take_while(|block| is_hole(block)).map(<[u8]>::len).sum();
        if zeros > 0 {
            self.hole += zeros as u64;
            self.position += zeros as u64;
            return Ok(zeros);
        }
        let data: usize = blocks().take_while(|block| !is_hole(block)).map(<[u8]>::len).sum();
        if self.hole > 0 {
            (&self.file).seek(SeekFrom::Start(self.position))?;
            self.hole = 0;
        }
        let written = Waiting(&self.file).write(&bytes[..data])?;
        self.position += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A temporary file, which is removed when this is dropped before it is published.
struct Temporary {
    directory: Directory,
    name: TemporaryName,
    target: PathBuf,
    overwrite: bool,
    /// The duplicate that holds the lock, which shows other processes that this one is running. It stays open until the
    /// file has its final name.
    file: File,
    keep: bool,
}

impl Temporary {
    /// Creates the file, and returns a duplicate to write to, which can be closed before the file is renamed.
    fn create(directory: Directory, options: &OutputOptions) -> io::Result<(Self, File)> {
        let mut guard = Guard::new();
        let created = directory.create_temporary(options.access, |name| guard.announce(&directory, name));
        let (name, file) = created.inspect_err(|_| guard.forget())?;
        drop(guard);
        let (target, overwrite) = (options.target.to_owned(), options.overwrite);
        // From here on, dropping `temporary` removes the file.
        let temporary = Self { directory, name, target, overwrite, file, keep: false };
        directory::lock(&temporary.file);
        let duplicate = temporary.file.try_clone()?;
        Ok((temporary, duplicate))
    }

    /// Renames the file to its final name; `name` is that name for messages.
    fn publish(mut self, name: &str, sync: bool) -> Result<()> {
        let target = Path::new(self.target.file_name().unwrap_or_default());
        let failed = |error: io::Error| match error.kind() {
            ErrorKind::AlreadyExists => Failure::exists(&self.target),
            _ => Failure::writing(name, &error),
        };
        let published = {
            let mut guard = Guard::new();
            let published = self.directory.publish(&self.name, target, self.overwrite);
            if let Ok(Published::Renamed) = published {
                guard.forget();
                self.keep = true;
            }
            published.map_err(failed)?
        };
        match published {
            Published::Renamed => {}
            Published::CopyOver(existing) => self.copy_to(existing, true, sync).map_err(|error| {
                // The temporary file is the only copy of the output, and of the input where that was a pipe.
                self.keep = true;
                let whole = report::name(&parent(&self.target).join(self.name.as_str()));
                Failure::writing(name, &error).with(&incomplete(name)).with(&format!("; {whole} is complete"))
            })?,
            Published::CopyNew(new) => {
                let permissions = self.file.metadata().map(|metadata| metadata.permissions());
                let copied = permissions.and_then(|permissions| {
                    let _ = new.set_permissions(permissions);
                    self.copy_to(new, false, sync)
                });
                copied.map_err(|error| {
                    let _ = self.directory.remove(target);
                    failed(error)
                })?;
            }
        }
        if sync {
            self.directory.sync(&self.file).map_err(failed)?;
        }
        Ok(())
    }

    /// Copies the whole file over the content of `to`.
    fn copy_to(&self, mut to: File, truncate: bool, sync: bool) -> io::Result<()> {
        if truncate {
            to.set_len(0)?;
        }
        let mut from = &self.file;
        from.rewind()?;
        io::copy(&mut from, &mut to)?;
        if sync {
            sync_file(&to)?;
        }
        standard::close(to)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let mut guard = Guard::new();
        if !self.keep {
            let _ = self.directory.remove(self.name.as_str().as_ref());
        }
        guard.forget();
    }
}

/// Writes `file` to disk, where the file system supports that.
fn sync_file(file: &File) -> io::Result<()> {
    match file.sync_all() {
        #[cfg(unix)]
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => Ok(()),
        synced => synced,
    }
}

/// Gives `file` the mode, access control list, times and, where permitted, owner of `source`, and returns the
/// attributes that the file system refused. Until it receives its mode, only the owner can open the file, and no user
/// gets more permissions than on `source`.
fn copy_attributes(source: &File, metadata: &Metadata, file: &File) -> Vec<(&'static str, io::Error)> {
    let mut refused = Vec::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        if let Err(error) = copy_mode(source, metadata, file) {
            refused.push(("mode", error));
        }
        if file.metadata().is_ok_and(|own| own.uid() != metadata.uid()) {
            // Only root may change the owner. Otherwise the file belongs to the caller.
            let _ = fchown(file, Some(metadata.uid()), None);
        }
    }
    #[cfg(windows)]
    let _ = source;
    let times = metadata.modified().and_then(|modified| {
        let times = FileTimes::new().set_modified(modified);
        let times = metadata.accessed().map_or(times, |accessed| times.set_accessed(accessed));
        file.set_times(times)
    });
    if let Err(error) = times {
        refused.push(("times", error));
    }
    refused
}

#[cfg(unix)]
fn copy_mode(source: &File, metadata: &Metadata, file: &File) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

    let own = file.metadata()?;
    let keeps_group = own.gid() == metadata.gid() || fchown(file, None, Some(metadata.gid())).is_ok();
    // Set-user-ID, set-group-ID and sticky bits are not copied, because the output is data and not the program they
    // were set for.
    let mut mode = metadata.mode() & 0o777;
    let list = access_list(source);
    if !matches!(list, Ok(None)) {
        // With an access control list, the group bits are the mask, which is the maximum of its entries and not the
        // permissions of the group. They are cleared until the list is set.
        mode &= 0o707;
    }
    if !keeps_group {
        // The group of the output differs from that of the source, and gets the permissions of all other users.
        mode &= 0o707 | (mode & 0o007) << 3;
    }
    remove_inherited_list(file);
    // Some file systems refuse every change, even one that changes nothing.
    if own.mode() & 0o7777 != mode {
        file.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    match list? {
        #[cfg(target_os = "linux")]
        Some(list) if keeps_group => {
            Ok(rustix::fs::fsetxattr(file, ACCESS_LIST, &list, rustix::fs::XattrFlags::empty())?)
        }
        _ => Ok(()),
    }
}

/// The extended attribute that holds a POSIX access control list; see acl(5).
#[cfg(target_os = "linux")]
const ACCESS_LIST: &str = "system.posix_acl_access";

/// Returns the access control list of `file`, or `None` where it has none in addition to its mode.
#[cfg(target_os = "linux")]
fn access_list(file: &File) -> io::Result<Option<Vec<u8>>> {
    use rustix::io::Errno;
    // The maximum length of an extended attribute (XATTR_SIZE_MAX).
    let mut list = vec![0; 64 << 10];
    match rustix::fs::fgetxattr(file, ACCESS_LIST, &mut list[..]) {
        Ok(len) => {
            list.truncate(len);
            Ok(Some(list))
        }
        Err(Errno::NODATA | Errno::NOTSUP | Errno::NOSYS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(all(unix, not(target_os = "linux")))]
fn access_list(_: &File) -> io::Result<Option<Vec<u8>>> {
    Ok(None)
}

/// Removes the access control list that `file` inherited from its directory, because the source may not have its
/// entries.
#[cfg(unix)]
fn remove_inherited_list(file: &File) {
    // An error means that there is no list.
    #[cfg(target_os = "linux")]
    let _ = rustix::fs::fremovexattr(file, ACCESS_LIST);
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}
