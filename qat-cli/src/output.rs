//! Where output goes: a temporary file that becomes the target when it is complete, a file that can only be written in
//! place, or a stream such as standard output or a device.
//!
//! Which of them is decided before any work. A target is written in place where it exists, may be overwritten, and cannot
//! be replaced by renaming: it is a mount point, somebody else's in a sticky directory, or in a directory that may not be
//! written to. Such output is not atomic.
//!
//! With `sync` the file reaches the disk before its rename and the directory after it, so that a source can be removed;
//! otherwise the system writes back when it likes.

use std::fs::{self, File, FileTimes, Metadata};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::directory::{self, Access, Directory, Published, TemporaryName, parent};
use crate::exit::{Exit, Failure, Result};
use crate::input::Files;
use crate::report::{self, name};
use crate::signals::Guard;
use crate::standard::{self, Waiting};

/// What an output is to be.
pub(crate) struct Request<'a> {
    pub(crate) target: &'a Path,
    /// The user named the target, with `-o`; otherwise its name was made from the input's.
    pub(crate) is_named: bool,
    pub(crate) overwrite: bool,
    /// Who may open the file while it is written.
    pub(crate) access: Access,
    /// Long runs of zeros become holes.
    pub(crate) sparse: bool,
    /// The output must be a file, since its source is to be removed.
    pub(crate) must_be_file: bool,
    pub(crate) quiet: bool,
}

/// An output that is being written.
pub(crate) struct Output {
    name: String,
    file: File,
    place: Place,
    sparse: bool,
    /// Bytes so far, holes included.
    position: u64,
    /// Zero bytes at the end that were not written.
    hole: u64,
}

enum Place {
    /// Standard output, another inherited descriptor, a device or a pipe.
    Stream,
    /// An existing file, which keeps its content until the first byte is written.
    Existing { truncated: bool },
    /// A temporary file.
    Temporary(Temporary),
}

/// What became of an output that is complete.
pub(crate) struct Finished {
    /// Some of the source's mode, times and access control list could not be given to it.
    pub(crate) lacks_attributes: bool,
}

impl Output {
    /// Opens standard output.
    pub(crate) fn standard() -> Result<Self> {
        let file = standard::output().map_err(|error| Failure::writing(standard::OUTPUT, &error))?;
        Ok(Self::new(standard::OUTPUT.to_owned(), file, Place::Stream, false))
    }

    /// Opens what `request` names; `files` are those that the run needs otherwise.
    pub(crate) fn open(request: &Request, files: &mut Files) -> Result<Self> {
        let target = request.target;
        let failed = |error: io::Error| Failure::writing(name(target), &error);
        #[cfg(unix)]
        if request.is_named
            && let Some(file) = standard::inherited(target)
        {
            return Self::stream(request, file.map_err(failed)?);
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
            let message = format!("{}: is a directory: name a file with -o", name(target));
            return Err(Failure::new(Exit::Io, message));
        }
        if request.is_named && followed.as_ref().is_some_and(|followed| !followed.is_file()) {
            return Self::stream(request, File::options().write(true).open(target).map_err(failed)?);
        }
        if found.is_some() && !request.overwrite {
            return Err(Failure::exists(target));
        }
        if let Some(followed) = &followed {
            files.check_target(target, followed)?;
        }

        let directory = Directory::open(parent(target)).map_err(failed)?;
        let file_name = Path::new(target.file_name().ok_or_else(|| failed(ErrorKind::IsADirectory.into()))?);
        let is_file = followed.as_ref().is_some_and(Metadata::is_file);
        let (file, place) = if is_file && directory.is_fixed(file_name) {
            (directory.open_existing(file_name).map_err(failed)?, Place::Existing { truncated: false })
        } else {
            match Temporary::create(directory, request) {
                Ok((temporary, file)) => (file, Place::Temporary(temporary)),
                Err(error) => {
                    let is_refused =
                        matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem);
                    let open = || Directory::open(parent(target))?.open_existing(file_name);
                    let existing = if is_file && is_refused { open().ok() } else { None };
                    (existing.ok_or_else(|| failed(error))?, Place::Existing { truncated: false })
                }
            }
        };
        if let Place::Temporary(temporary) = &place
            && !request.quiet
            && let Some(path) = files.first_look(parent(target))
        {
            for abandoned in temporary.directory.abandoned(path) {
                let abandoned = name(&path.join(abandoned));
                report::warn(format_args!(
                    "{abandoned}: temporary file of a qat that was killed, and of no use: remove it"
                ));
            }
        }
        Ok(Self::new(name(target), file, place, request.sparse))
    }

    fn new(name: String, file: File, place: Place, sparse: bool) -> Self {
        Self { name, file, place, sparse, position: 0, hole: 0 }
    }

    fn stream(request: &Request, file: File) -> Result<Self> {
        if request.must_be_file {
            return Err(Failure::new(Exit::Usage, "--rm needs input and output to be files"));
        }
        Ok(Self::new(name(request.target), file, Place::Stream, false))
    }

    /// Returns the name of the output for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the file that is written to.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Returns whether the output goes to where the caller has opened it, or to a device.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.place, Place::Stream)
    }

    /// Returns what a message about an early end must say about the output.
    pub(crate) fn note(&self) -> String {
        match self.place {
            Place::Existing { truncated: true } => incomplete(&self.name),
            _ => String::new(),
        }
    }

    /// Completes the output: a file gets the mode, times and, where permitted, owner of `source`, and its final name.
    pub(crate) fn finish(mut self, source: Option<(&File, &Metadata)>, sync: bool) -> Result<Finished> {
        let note = self.note();
        self.end().map_err(|error| Failure::writing(&self.name, &error).with(&note))?;
        let Self { name, file, place, .. } = self;
        let failed = |error: &io::Error| Failure::writing(&name, error);
        let close = |file: File| -> io::Result<()> {
            if sync {
                sync_file(&file)?;
            }
            standard::close(file)
        };
        let mut lacks_attributes = false;
        match place {
            Place::Stream => standard::close(file).map_err(|error| failed(&error))?,
            Place::Existing { .. } => close(file).map_err(|error| failed(&error).with(&incomplete(&name)))?,
            Place::Temporary(temporary) => {
                if let Some((source, metadata)) = source {
                    for (what, error) in copy_attributes(source, metadata, &file) {
                        lacks_attributes = true;
                        let cause = crate::exit::cause(&error);
                        report::warn(format_args!(
                            "{name}: cannot set its {what}: {cause}; the content is complete"
                        ));
                    }
                }
                close(file).map_err(|error| failed(&error))?;
                temporary.publish(&name, sync)?;
            }
        }
        Ok(Finished { lacks_attributes })
    }

    /// Brings the file to its full length.
    fn end(&mut self) -> io::Result<()> {
        self.begin()?;
        if self.hole > 0 {
            self.file.set_len(self.position)?;
        }
        Ok(())
    }

    /// Gives up the old content of a file that is written in place.
    fn begin(&mut self) -> io::Result<()> {
        if let Place::Existing { truncated } = &mut self.place
            && !*truncated
        {
            self.file.set_len(0)?;
            *truncated = true;
        }
        Ok(())
    }
}

fn incomplete(name: &str) -> String {
    format!("; {name} could only be written in place and is incomplete")
}

/// The unit in which zeros are looked for: what is shorter is not worth the system call.
const HOLE: usize = 32 << 10;

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begin()?;
        if !self.sparse {
            return Waiting(&self.file).write(bytes);
        }
        let is_hole = |block: &[u8]| block == &[0; HOLE][..block.len()];
        // Blocks end at multiples of the unit; the first and the last one may be shorter.
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

/// A file in the making; it is removed when this is dropped.
struct Temporary {
    directory: Directory,
    name: TemporaryName,
    target: PathBuf,
    overwrite: bool,
    /// Holds the lock that says that this process is alive. It is open until the file has its final name.
    file: File,
    keep: bool,
}

impl Temporary {
    /// Creates the file; also returns a duplicate to write to, which can be closed before the file gets its name.
    fn create(directory: Directory, request: &Request) -> io::Result<(Self, File)> {
        let mut guard = Guard::new();
        let created = directory.create_temporary(request.access, |name| guard.announce(&directory, name));
        let (name, file) = created.inspect_err(|_| guard.forget())?;
        drop(guard);
        let (target, overwrite) = (request.target.to_owned(), request.overwrite);
        // From here on its drop removes the file.
        let temporary = Self { directory, name, target, overwrite, file, keep: false };
        directory::lock(&temporary.file);
        let duplicate = temporary.file.try_clone()?;
        Ok((temporary, duplicate))
    }

    /// Gives the file its final name, `name` in messages.
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
                // Nothing else has the old content or the new one, if the source was a pipe.
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

/// Writes `file` to disk, where its file system has such a thing.
fn sync_file(file: &File) -> io::Result<()> {
    match file.sync_all() {
        #[cfg(unix)]
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => Ok(()),
        synced => synced,
    }
}

/// Gives `file` the mode, access control list, times and, where permitted, owner of `source`; returns what the file system
/// refused. The file is open to its owner only until it gets its mode, and nobody gets more rights than in `source`.
fn copy_attributes(source: &File, metadata: &Metadata, file: &File) -> Vec<(&'static str, io::Error)> {
    let mut refused = Vec::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        if let Err(error) = copy_mode(source, metadata, file) {
            refused.push(("mode", error));
        }
        if file.metadata().is_ok_and(|own| own.uid() != metadata.uid()) {
            // Only root may give files away; the file is then the caller's.
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
    // Bits that give rights to a program, such as set-user-id, are not for data.
    let mut mode = metadata.mode() & 0o777;
    let list = access_list(source);
    if !matches!(list, Ok(None)) {
        // Beside an access control list the bits of the group are the most that any of its entries grants.
        mode &= 0o707;
    }
    if !keeps_group {
        // Another group would get what the source's had: leave it no more than everyone.
        mode &= 0o707 | (mode & 0o007) << 3;
    }
    remove_inherited_list(file);
    // Some file systems refuse every change, even one to what is so already.
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

/// Returns the access control list of `file`, `None` where it has none beyond its mode.
#[cfg(target_os = "linux")]
fn access_list(file: &File) -> io::Result<Option<Vec<u8>>> {
    use rustix::io::Errno;
    // As long as an extended attribute can be (XATTR_SIZE_MAX).
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

/// Removes the list that `file` got from its directory, whose entries the source may not have.
#[cfg(unix)]
fn remove_inherited_list(file: &File) {
    // Where there is none, there is nothing to do.
    #[cfg(target_os = "linux")]
    let _ = rustix::fs::fremovexattr(file, ACCESS_LIST);
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}
