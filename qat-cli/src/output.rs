//! Where output goes: a temporary file that becomes the target when complete, standard output, or a device.
//!
//! What reaches a disk when: with `sync` the file before its rename and the directory after it, so that a source can be
//! removed; otherwise whenever the system writes back.

use std::fs::{self, File, FileTimes, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use tempfile::NamedTempFile;

use crate::exit::{Exit, Failure, Result};

/// The temporary file that a signal has to remove. Held while a name appears or becomes final, so that a signal finds
/// either the temporary file or the whole one.
static PENDING: Mutex<Option<PathBuf>> = Mutex::new(None);

fn pending() -> MutexGuard<'static, Option<PathBuf>> {
    PENDING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file in the making.
pub(crate) struct PendingFile {
    temporary: NamedTempFile,
    target: PathBuf,
    overwrite: bool,
}

impl PendingFile {
    /// Begins a file that will be `target`. It is open to its owner only, or as the umask has it where `private` is
    /// false.
    pub(crate) fn create(target: &Path, overwrite: bool, private: bool) -> Result<Self> {
        if fs::metadata(target).is_ok_and(|metadata| metadata.is_dir()) {
            let message = format!("{}: is a directory: name a file with -o", target.display());
            return Err(Failure::new(Exit::Io, message));
        }
        if !overwrite && fs::symlink_metadata(target).is_ok() {
            return Err(Failure::exists(target));
        }
        static HANDLER: Once = Once::new();
        HANDLER.call_once(remove_on_signal);
        let mut builder = tempfile::Builder::new();
        builder.prefix(".qat-").suffix(".tmp");
        #[cfg(unix)]
        if !private {
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        #[cfg(not(unix))]
        let _ = private;
        let mut pending = pending();
        let temporary = builder
            .tempfile_in(directory(target))
            .map_err(|error| Failure::writing(target.display(), &error))?;
        *pending = Some(temporary.path().to_owned());
        Ok(Self { temporary, target: target.to_owned(), overwrite })
    }

    pub(crate) fn file(&self) -> &File {
        self.temporary.as_file()
    }

    /// Gives the file the mode, times and, where permitted, owner of `source`, and its name.
    pub(crate) fn commit(self, source: Option<&Metadata>, sync: bool) -> Result<()> {
        let failed = |error: &io::Error| Failure::writing(self.target.display(), error);
        if let Some(source) = source {
            copy_attributes(source, self.temporary.as_file()).map_err(|error| failed(&error))?;
        }
        if sync {
            self.temporary.as_file().sync_all().map_err(|error| failed(&error))?;
        }
        let target = self.target;
        {
            let _pending = pending();
            let persisted = if self.overwrite {
                self.temporary.persist(&target)
            } else {
                self.temporary.persist_noclobber(&target)
            };
            persisted.map_err(|refused| match refused.error.kind() {
                io::ErrorKind::AlreadyExists => Failure::exists(&target),
                _ => Failure::writing(target.display(), &refused.error),
            })?;
        }
        #[cfg(unix)]
        if sync {
            File::open(directory(&target))
                .and_then(|directory| directory.sync_all())
                .map_err(|error| Failure::writing(target.display(), &error))?;
        }
        Ok(())
    }
}

/// The directory of `path`.
fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn copy_attributes(source: &Metadata, file: &File) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
        // Bits that give rights to a program, such as set-user-id, are not for data.
        let mut mode = source.mode() & 0o777;
        let own = file.metadata()?;
        if own.gid() != source.gid() && fchown(file, None, Some(source.gid())).is_err() {
            // Another group would get what the source's had: leave it no more than everyone.
            mode &= 0o707 | (mode & 0o007) << 3;
        }
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        if own.uid() != source.uid() {
            // Only root may give files away; the file is then the caller's.
            let _ = fchown(file, Some(source.uid()), None);
        }
    }
    let times = FileTimes::new().set_modified(source.modified()?);
    let times = source.accessed().map_or(times, |accessed| times.set_accessed(accessed));
    file.set_times(times)
}

/// Removes the temporary file. The result keeps the name from becoming final until the process is gone.
fn remove_pending() -> MutexGuard<'static, Option<PathBuf>> {
    let pending = pending();
    if let Some(path) = &*pending {
        let _ = fs::remove_file(path);
    }
    pending
}

#[cfg(unix)]
fn remove_on_signal() {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;

    // Beyond the file size limit a write shall fail, not kill.
    let _ = signal_hook::flag::register(SIGXFSZ, std::sync::Arc::default());
    let ignored = ignored_signals();
    let watched = [SIGHUP, SIGINT, SIGTERM].into_iter().filter(|signal| ignored & 1 << (signal - 1) == 0);
    let Ok(mut signals) = Signals::new(watched) else { return };
    std::thread::spawn(move || {
        for signal in signals.forever() {
            let _pending = remove_pending();
            let _ = emulate_default_handler(signal);
        }
    });
}

/// Signals that the caller wants ignored, as `nohup` and a shell's `&` do: bit n - 1 for signal n.
#[cfg(unix)]
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

#[cfg(windows)]
fn remove_on_signal() {
    let _ = ctrlc::set_handler(|| {
        let _pending = remove_pending();
        // The code of a process that Ctrl-C ended, STATUS_CONTROL_C_EXIT.
        std::process::exit(0xC000_013A_u32 as i32);
    });
}

/// A standard stream without the buffer of the standard library's own.
#[cfg(unix)]
pub(crate) fn unbuffered(stream: &impl std::os::fd::AsFd) -> io::Result<File> {
    stream.as_fd().try_clone_to_owned().map(File::from)
}

/// A standard stream without the buffer of the standard library's own.
#[cfg(windows)]
pub(crate) fn unbuffered(stream: &impl std::os::windows::io::AsHandle) -> io::Result<File> {
    stream.as_handle().try_clone_to_owned().map(File::from)
}
