//! The directory of an output: creation of temporary files, and publication under their final name.
//!
//! [`output`](crate::output) calls this. On Unix every operation is relative to an open directory, so that relative
//! paths need no absolute form: they work below a directory that may not be searched or whose absolute path is too
//! long, and an output remains in its directory when the directory is renamed. Nothing here replaces a file unless the
//! caller allows it.

use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind};
use std::path::Path;

/// Returns the directory that `path` is in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

const PREFIX: &str = ".qat-";
const SUFFIX: &str = ".tmp";
const RANDOM_LEN: usize = 10;
/// The length in bytes of the name of a temporary file.
#[cfg(unix)]
pub(crate) const TEMPORARY_LEN: usize = PREFIX.len() + RANDOM_LEN + SUFFIX.len();

/// The name of a temporary file, which always has the same length.
pub(crate) struct TemporaryName(String);

impl TemporaryName {
    fn random() -> Self {
        const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        // The keys of each `RandomState` differ and are seeded by the operating system.
        let mut random = RandomState::new().build_hasher().finish();
        let mut name = PREFIX.to_owned();
        for _ in 0..RANDOM_LEN {
            name.push(char::from(LETTERS[(random % 36) as usize]));
            random /= 36;
        }
        Self(name + SUFFIX)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether `name` is that of a temporary file of this command.
    #[cfg(unix)]
    pub(crate) fn matches(name: &std::ffi::OsStr) -> bool {
        let name = name.as_encoded_bytes();
        name.len() == TEMPORARY_LEN
            && name.starts_with(PREFIX.as_bytes())
            && name.ends_with(SUFFIX.as_bytes())
    }
}

/// The users who may open a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Only the owner.
    Owner,
    /// The users whom the umask allows.
    Umask,
}

/// Returns whether publication must stop at `error`, because no other method can succeed after it.
fn is_final(error: &io::Error) -> bool {
    let kinds = [
        ErrorKind::AlreadyExists,
        ErrorKind::StorageFull,
        ErrorKind::QuotaExceeded,
        ErrorKind::NotFound,
        ErrorKind::IsADirectory,
    ];
    #[cfg(unix)]
    let is_failed_device = rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::IO);
    #[cfg(windows)]
    let is_failed_device = false;
    kinds.contains(&error.kind()) || is_failed_device
}

/// The result of [`Directory::publish`].
pub(crate) enum Published {
    /// The file has its final name, and the temporary name is removed.
    Renamed,
    /// The file cannot be renamed over the existing one. That one is open for writing and unchanged; the caller must
    /// copy the content into it.
    CopyOver(File),
    /// The file cannot be renamed at all. A new empty file has the final name; the caller must copy the content into
    /// it.
    CopyNew(File),
}

impl Directory {
    /// Creates a temporary file with a new name, open for reading and writing. `announce` receives the name before the
    /// file exists, so that a signal handler can remove it.
    pub(crate) fn create_temporary(
        &self,
        access: Access,
        mut announce: impl FnMut(&TemporaryName),
    ) -> io::Result<(TemporaryName, File)> {
        // A collision is practically impossible. If it repeats, another process creates these names deliberately.
        const ATTEMPTS: usize = 100;
        for _ in 1..ATTEMPTS {
            let name = TemporaryName::random();
            announce(&name);
            match self.create(name.as_str().as_ref(), access) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                created => return created.map(|file| (name, file)),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    /// Renames the file `from` to `to`, which is replaced only where `overwrite` is set. Where the file system or the
    /// mount does not support one method, others follow, and none of them can lose a file.
    pub(crate) fn publish(&self, from: &TemporaryName, to: &Path, overwrite: bool) -> io::Result<Published> {
        let from = from.as_str().as_ref();
        if overwrite {
            match self.rename(from, to) {
                Ok(()) => return Ok(Published::Renamed),
                Err(error) if is_final(&error) => return Err(error),
                // A mount point is busy, and a file in a sticky directory may not be replaced. Either may still be
                // writable.
                Err(error) => match self.open_existing(to) {
                    Ok(existing) => return Ok(Published::CopyOver(existing)),
                    Err(opening) if opening.kind() == ErrorKind::NotFound => {}
                    Err(_) => return Err(error),
                },
            }
        }
        match self.rename_new(from, to) {
            Ok(()) => return Ok(Published::Renamed),
            Err(error) if is_final(&error) => return Err(error),
            Err(_) => {}
        }
        match self.link(from, to) {
            Ok(()) => {
                // The output is complete under its final name, so that a failure to remove the temporary name is
                // ignored.
                let _ = self.remove(from);
                return Ok(Published::Renamed);
            }
            Err(error) if is_final(&error) => return Err(error),
            Err(_) => {}
        }
        // This creates the name exclusively, so that a file that another process creates meanwhile is not replaced.
        let claimed = self.create(to, Access::Owner)?;
        match self.rename(from, to) {
            Ok(()) => Ok(Published::Renamed),
            Err(error) if is_final(&error) => {
                let _ = self.remove(to);
                Err(error)
            }
            Err(_) => Ok(Published::CopyNew(claimed)),
        }
    }
}

#[cfg(unix)]
pub(crate) use unix::Directory;
#[cfg(windows)]
pub(crate) use windows::Directory;

#[cfg(unix)]
mod unix {
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
    use std::os::unix::fs::MetadataExt;

    use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat, renameat, statat, unlinkat};
    use rustix::io::Errno;

    use super::*;

    /// An open directory.
    pub(crate) struct Directory(OwnedFd);

    impl Directory {
        pub(crate) fn open(path: &Path) -> io::Result<Self> {
            // `PATH` requires permission neither to read the directory nor to write to it.
            #[cfg(any(target_os = "linux", target_os = "android"))]
            let access = OFlags::PATH;
            #[cfg(not(any(target_os = "linux", target_os = "android")))]
            let access = OFlags::RDONLY;
            let flags = access | OFlags::DIRECTORY | OFlags::CLOEXEC;
            Ok(Self(openat(CWD, path, flags, Mode::empty())?))
        }

        pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }

        /// Creates the file `name`, open for reading and writing; fails where the name exists.
        pub(super) fn create(&self, name: &Path, access: Access) -> io::Result<File> {
            let mode = match access {
                Access::Owner => Mode::RUSR | Mode::WUSR,
                Access::Umask => Mode::from_raw_mode(0o666),
            };
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            Ok(openat(&self.0, name, flags, mode)?.into())
        }

        /// Opens the regular file `name` for writing and leaves its content unchanged. Symbolic links are followed,
        /// except in a sticky directory such as /tmp, where any user could have created them.
        pub(crate) fn open_existing(&self, name: &Path) -> io::Result<File> {
            let sticky = if self.is_sticky()? { OFlags::NOFOLLOW } else { OFlags::empty() };
            // Without NONBLOCK, opening a FIFO that replaced the file would wait for a reader.
            let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK | sticky;
            let file = File::from(openat(&self.0, name, flags, Mode::empty())?);
            if file.metadata()?.is_file() { Ok(file) } else { Err(ErrorKind::InvalidInput.into()) }
        }

        pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            Ok(renameat(&self.0, from, &self.0, to)?)
        }

        /// Renames, unless `to` exists.
        #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
        pub(super) fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
            use rustix::fs::{RenameFlags, renameat_with};
            Ok(renameat_with(&self.0, from, &self.0, to, RenameFlags::NOREPLACE)?)
        }

        #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
        pub(super) fn rename_new(&self, _: &Path, _: &Path) -> io::Result<()> {
            Err(ErrorKind::Unsupported.into())
        }

        pub(super) fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
            Ok(linkat(&self.0, from, &self.0, to, AtFlags::empty())?)
        }

        pub(crate) fn remove(&self, name: &Path) -> io::Result<()> {
            Ok(unlinkat(&self.0, name, AtFlags::empty())?)
        }

        /// Writes the changes of the directory to disk. `file` is a file in it.
        pub(crate) fn sync(&self, file: &File) -> io::Result<()> {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let synced = match openat(&self.0, ".", flags, Mode::empty()) {
                Ok(directory) => rustix::fs::fsync(directory),
                // The directory may be written to and searched, but not read.
                #[cfg(target_os = "linux")]
                Err(Errno::ACCESS) => rustix::fs::syncfs(file),
                Err(error) => Err(error),
            };
            #[cfg(not(target_os = "linux"))]
            let _ = file;
            match synced {
                // The file system does not support this for directories.
                Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Ok(()),
                synced => Ok(synced?),
            }
        }

        fn is_sticky(&self) -> io::Result<bool> {
            let directory = rustix::fs::fstat(&self.0)?;
            Ok(Mode::from_raw_mode(directory.st_mode).contains(Mode::SVTX))
        }

        /// Returns whether no other file can be renamed over `name`: it is a mount point, or belongs to another user
        /// and is in a sticky directory.
        pub(crate) fn is_fixed(&self, name: &Path) -> bool {
            #[cfg(target_os = "linux")]
            {
                use rustix::fs::{StatxAttributes, StatxFlags, statx};
                let found = statx(&self.0, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE);
                if found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)) {
                    return true;
                }
            }
            let user = rustix::process::geteuid();
            if user.is_root() || !self.is_sticky().unwrap_or_default() {
                return false;
            }
            let owner = |found: rustix::io::Result<rustix::fs::Stat>| found.map(|found| found.st_uid);
            let file = owner(statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW));
            let directory = owner(rustix::fs::fstat(&self.0));
            file.is_ok() && file != Ok(user.as_raw()) && directory != Ok(user.as_raw())
        }

        /// Returns the names of temporary files that killed processes left in the directory at `path`. A running
        /// process holds a lock on its own. Files that cannot be opened or locked are not included.
        pub(crate) fn abandoned(&self, path: &Path) -> Vec<std::ffi::OsString> {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            let names = entries.map(|entry| entry.file_name()).filter(|name| TemporaryName::matches(name));
            names.filter(|name| self.is_abandoned(name).unwrap_or_default()).collect()
        }

        fn is_abandoned(&self, name: &std::ffi::OsStr) -> io::Result<bool> {
            // A process that has just created its file has this long to lock it.
            const GRACE: std::time::Duration = std::time::Duration::from_secs(10);
            let flags =
                OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
            let file = File::from(openat(&self.0, name, flags, Mode::empty())?);
            let metadata = file.metadata()?;
            if !metadata.is_file() || !try_lock(&file, rustix::fs::FlockOperation::NonBlockingLockShared)? {
                return Ok(false);
            }
            let is_new = || metadata.modified().is_ok_and(|time| time.elapsed().is_ok_and(|age| age < GRACE));
            Ok(metadata.nlink() > 0 && (metadata.len() > 0 || !is_new()))
        }
    }

    fn try_lock(file: &File, operation: rustix::fs::FlockOperation) -> io::Result<bool> {
        match rustix::fs::flock(file, operation) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Marks `file` as in use by this process until it and its duplicates are closed; see
    /// [`abandoned`](Directory::abandoned). Errors are ignored: on a file system without locks, `abandoned` finds no
    /// file either.
    pub(crate) fn lock(file: &File) {
        let _ = try_lock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive);
    }
}

#[cfg(unix)]
pub(crate) use unix::lock;

#[cfg(windows)]
pub(crate) fn lock(_: &File) {}

#[cfg(windows)]
mod windows {
    use std::path::PathBuf;

    use super::*;

    /// The path of a directory.
    pub(crate) struct Directory(PathBuf);

    impl Directory {
        pub(crate) fn open(path: &Path) -> io::Result<Self> {
            if fs::metadata(path)?.is_dir() {
                Ok(Self(path.to_owned()))
            } else {
                Err(ErrorKind::NotADirectory.into())
            }
        }

        pub(crate) fn join(&self, name: &Path) -> PathBuf {
            self.0.join(name)
        }

        /// Creates the file `name`, open for reading and writing; fails where the name exists.
        pub(super) fn create(&self, name: &Path, _: Access) -> io::Result<File> {
            File::options().read(true).write(true).create_new(true).open(self.join(name))
        }

        /// Opens the regular file `name` for writing and leaves its content unchanged.
        pub(crate) fn open_existing(&self, name: &Path) -> io::Result<File> {
            File::options().write(true).open(self.join(name))
        }

        pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            fs::rename(self.join(from), self.join(to))
        }

        /// The standard library has no function that renames unless `to` exists.
        pub(super) fn rename_new(&self, _: &Path, _: &Path) -> io::Result<()> {
            Err(ErrorKind::Unsupported.into())
        }

        pub(super) fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
            fs::hard_link(self.join(from), self.join(to))
        }

        pub(crate) fn remove(&self, name: &Path) -> io::Result<()> {
            fs::remove_file(self.join(name))
        }

        /// Windows has no such operation for directories.
        pub(crate) fn sync(&self, _: &File) -> io::Result<()> {
            Ok(())
        }

        pub(crate) fn is_fixed(&self, _: &Path) -> bool {
            false
        }

        /// Returns nothing, because it is unknown which processes created the files in the directory.
        pub(crate) fn abandoned(&self, _: &Path) -> Vec<std::ffi::OsString> {
            Vec::new()
        }
    }
}
