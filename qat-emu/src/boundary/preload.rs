//! The emulator for other programs, which load it by `LD_PRELOAD`: [`Preload`] prepares their machine and reads the
//! counters that they leave.

use std::{
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    attach::{COUNTERS_DIRECTORY, SCENARIO_FILE, TREE_VARIABLE},
    shared,
    tree::{self, TreeError},
};
use crate::{
    config::{Config, ConfigError},
    counters::Snapshot,
};

/// The file name of this crate as a shared library.
const LIBRARY: &str = "libqat_emu.so";
/// The environment variable with the library's path, where the library is not beside the program that preloads it.
const LIBRARY_VARIABLE: &str = "QAT_EMU_LIBRARY";

/// Explains why no machine can be prepared for other programs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PreloadError {
    /// The shared library was not found.
    #[error(
        "{LIBRARY} is not beside this program (tried {tried}); build it with `cargo build -p qat-emu` or set \
         {LIBRARY_VARIABLE} to its path"
    )]
    NoLibrary {
        /// Lists the paths that were tried.
        tried: String,
    },
    /// The machine cannot be emulated.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The private tree cannot be created.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// Provides a machine for the programs that run with its [`environment`](Self::environment). Each process among them
/// has its own emulator, and stores its counters here. The private tree is removed when this is dropped.
#[derive(Debug)]
#[must_use = "the machine disappears when this is dropped"]
pub struct Preload {
    tree: PathBuf,
    library: PathBuf,
}

impl Preload {
    /// Prepares a machine.
    ///
    /// # Errors
    /// Returns [`PreloadError`] when the shared library is missing, the machine is impossible or there is no tmpfs.
    pub fn new(config: &Config) -> Result<Self, PreloadError> {
        config.validate()?;
        let library = find_library()?;
        let preload = Self { tree: tree::directory()?, library };
        tree::fill(&preload.tree, config)?;
        let counters = preload.tree.join(COUNTERS_DIRECTORY);
        fs::create_dir(&counters).map_err(|source| TreeError::Write { path: counters, source })?;
        let scenario = serde_json::to_vec(config).map_err(|e| ConfigError::Syntax(e.to_string()))?;
        tree::write(&preload.tree, SCENARIO_FILE, &scenario)?;
        Ok(preload)
    }

    /// Returns the path of the shared library to preload.
    #[must_use]
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// Returns the environment variable by which a program with the preloaded library finds this machine.
    #[must_use]
    pub fn environment(&self) -> (&'static str, OsString) {
        (TREE_VARIABLE, self.tree.clone().into())
    }

    /// Makes `directory` visible to the programs as `/usr/share/qat`, where Intel's samples look for their data.
    ///
    /// # Errors
    /// Returns [`PreloadError`] when the link cannot be created.
    pub fn share_data(&self, directory: &Path) -> Result<(), PreloadError> {
        let link = self.tree.join("usr/share/qat");
        let made = fs::canonicalize(directory).and_then(|directory| {
            fs::create_dir_all(self.tree.join("usr/share"))?;
            std::os::unix::fs::symlink(directory, &link)
        });
        made.map_err(|source| TreeError::Write { path: link, source }.into())
    }

    /// Returns the counters of each process that looked for devices, by process id. They are complete when the process
    /// has ended.
    ///
    /// # Errors
    /// Returns the error of the operating system when the files cannot be read.
    pub fn reports(&self) -> io::Result<Vec<(u32, Snapshot)>> {
        let mut reports = Vec::new();
        for entry in fs::read_dir(self.tree.join(COUNTERS_DIRECTORY))? {
            let entry = entry?;
            if let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                reports.push((process, shared::read(&entry.path())?));
            }
        }
        reports.sort_by_key(|(process, _)| *process);
        Ok(reports)
    }
}

impl Drop for Preload {
    fn drop(&mut self) {
        // If the removal fails, the tree occupies some kilobytes of memory until the next boot.
        let _ = fs::remove_dir_all(&self.tree);
    }
}

fn find_library() -> Result<PathBuf, PreloadError> {
    if let Some(named) = env::var_os(LIBRARY_VARIABLE) {
        return Ok(PathBuf::from(named));
    }
    let program = env::current_exe().unwrap_or_default();
    // Cargo builds programs in the profile's directory, and tests and libraries that only tests need in `deps` below
    // it.
    let near = program.ancestors().skip(1).take(2);
    let tried: Vec<_> = near.flat_map(|dir| [dir.join(LIBRARY), dir.join("deps").join(LIBRARY)]).collect();
    // The other directory may contain an older build.
    let modified = |path: &Path| fs::metadata(path).and_then(|m| m.modified()).ok();
    let newest = tried.iter().filter(|path| path.exists()).max_by_key(|path| modified(path));
    newest.cloned().ok_or_else(|| PreloadError::NoLibrary {
        tried: tried.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "),
    })
}

/// Sends a signal to another process.
///
/// # Errors
/// Returns the error of the operating system.
#[doc(hidden)]
pub fn send_signal(process: u32, signal: i32) -> io::Result<()> {
    // SAFETY: kill(2) takes no pointer.
    if unsafe { libc::kill(process.cast_signed(), signal) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
