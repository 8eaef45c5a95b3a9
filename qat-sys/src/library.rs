//! Loading and linking of libqat and libusdm. The crate `qat` calls this once per process; no function of the libraries
//! is called here.

use std::fmt;

use crate::{MissingSymbols, Symbols};

/// libqat and libusdm with all their functions resolved.
///
/// The code stays loaded until this is dropped; see the section on unloading in the crate documentation.
#[derive(Debug)]
pub struct Library {
    symbols: Symbols,
    /// The handles are dropped after the addresses, which are valid only while the libraries are loaded.
    #[cfg(feature = "loaded")]
    _handles: Vec<loaded::Handle>,
}

impl Library {
    /// Loads libusdm and libqat at run time.
    ///
    /// The names tried are those in `options`, and otherwise the default ones. A name in `options` has no substitute:
    /// when it cannot be loaded, no other name is tried. libusdm is loaded first, because libqat depends on it; the
    /// loader then finds it for libqat even when it is not in a system directory.
    ///
    /// # Errors
    /// [`LoadError::NotFound`] when a library cannot be loaded, with each name tried and the reason;
    /// [`LoadError::MissingSymbols`] when the libraries lack functions that every supported release has.
    ///
    /// # Safety
    /// The caller must ensure that
    /// * the files with these names are a libqat of major version 4 and a libusdm of major version 0, whose functions
    ///   have the signatures of qatlib's headers, and that their initialisers may run in this process;
    /// * after the `Library` is dropped, no function pointer from [`symbols`](Self::symbols) is called, and no callback
    ///   or thread of the libraries runs.
    #[cfg(feature = "loaded")]
    pub unsafe fn load(options: &LoadOptions) -> Result<Self, LoadError> {
        // SAFETY: `loaded::load` requires what the `# Safety` section of this function requires of its caller.
        unsafe { loaded::load(options) }
    }

    /// Returns the libraries that this program was linked with.
    ///
    /// Unlike [`load`](Self::load), this cannot fail, because the program does not start without them. Groups newer
    /// than the library at build time are absent, even if the library at run time has them.
    #[cfg(feature = "linked")]
    #[must_use]
    pub fn linked() -> Self {
        // SAFETY: `Symbols::resolve` requires functions with the signatures of the headers that stay callable. The
        // linker found each function under the C name that the headers declare, in a library that stays loaded until
        // the process ends.
        let symbols = unsafe { Symbols::resolve(crate::functions::linked::address) };
        Self {
            symbols: symbols.expect("required functions are linked without condition"),
            #[cfg(feature = "loaded")]
            _handles: Vec::new(),
        }
    }

    /// Returns the table of functions.
    #[must_use]
    pub fn symbols(&self) -> &Symbols {
        &self.symbols
    }
}

/// Creates a library from functions of another source, such as stubs in a test.
impl From<Symbols> for Library {
    fn from(symbols: Symbols) -> Self {
        Self {
            symbols,
            #[cfg(feature = "loaded")]
            _handles: Vec::new(),
        }
    }
}

/// An attempt to load a library.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// The file name or path that was passed to the system.
    pub name: String,
    /// The error message of the system.
    pub reason: String,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.reason)
    }
}

/// The reason why the libraries could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A library does not exist, or the system refuses to load it.
    #[error(
        "libqat cannot be loaded ({}); check that qatlib 23.08 or newer is installed (from Debian 13 and \
         Ubuntu 24.04 on: libqat4; Fedora, SUSE: qatlib), or name the files in QAT_LIBRARY and USDM_LIBRARY",
        list(tried)
    )]
    #[non_exhaustive]
    NotFound {
        /// The attempts, in their order.
        tried: Vec<Attempt>,
    },
    /// A library was loaded, but lacks functions of a supported libqat.
    #[error(
        "{library} is not the libqat of qatlib 23.08 or newer: {missing}; check the file that the name refers to, and \
         that libqat and libusdm are of the same release"
    )]
    #[non_exhaustive]
    MissingSymbols {
        /// The name under which libqat was loaded.
        library: String,
        /// The functions that it lacks.
        missing: MissingSymbols,
    },
}

fn list(tried: &[Attempt]) -> String {
    tried.iter().map(Attempt::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(feature = "loaded")]
pub use loaded::LoadOptions;

#[cfg(feature = "loaded")]
mod loaded {
    use std::ffi::{CStr, OsStr, OsString, c_void};
    use std::path::PathBuf;
    use std::ptr;

    #[cfg(unix)]
    pub(super) use libloading::os::unix::Library as Handle;
    #[cfg(windows)]
    pub(super) use libloading::os::windows::Library as Handle;

    use super::{Attempt, Library, LoadError};
    use crate::Symbols;

    /// The names without options: libusdm, where it is a separate file, and libqat.
    #[cfg(unix)]
    const DEFAULTS: (Option<&str>, &str) = (Some("libusdm.so.0"), "libqat.so.4");
    #[cfg(windows)]
    const DEFAULTS: (Option<&str>, &str) = (None, "qat.dll");

    /// The files that [`Library::load`] loads. By default they are the system's.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    #[non_exhaustive]
    pub struct LoadOptions {
        /// The path or name of libqat; `None` for `libqat.so.4` or `qat.dll`.
        pub library: Option<PathBuf>,
        /// The path or name of libusdm; `None` for the `libusdm.so.0` in the directory of [`library`](Self::library) if
        /// there is one, and otherwise the system's.
        pub usdm: Option<PathBuf>,
    }

    impl LoadOptions {
        /// Returns the files that the environment variables `QAT_LIBRARY` and `USDM_LIBRARY` name. Empty variables are
        /// ignored.
        ///
        /// A process with more privileges than its caller (set-user-ID, set-group-ID, file capabilities: `AT_SECURE` of
        /// getauxval(3)) ignores both variables, as the dynamic loader ignores `LD_LIBRARY_PATH` then. Otherwise the
        /// caller's code would run with the privileges of the file. [`ignored_variables`](Self::ignored_variables)
        /// returns those that were ignored.
        #[must_use]
        pub fn from_env() -> Self {
            if is_privileged() {
                return Self::default();
            }
            let [library, usdm] = VARIABLES.map(|name| value(name).map(PathBuf::from));
            Self { library, usdm }
        }

        /// Returns the environment variables that are set and that [`from_env`](Self::from_env) ignores in this
        /// process.
        #[must_use]
        pub fn ignored_variables() -> Vec<&'static str> {
            let is_set = |name: &&str| is_privileged() && value(name).is_some();
            VARIABLES.into_iter().filter(is_set).collect()
        }

        /// Returns these options with this libqat, and with the libusdm in the same directory if there is one.
        #[must_use]
        pub fn with_library(mut self, library: impl Into<PathBuf>) -> Self {
            self.library = Some(library.into());
            self
        }

        /// Returns these options with this libusdm.
        #[must_use]
        pub fn with_usdm(mut self, usdm: impl Into<PathBuf>) -> Self {
            self.usdm = Some(usdm.into());
            self
        }

        /// Returns the names of libusdm, where it is a separate file, and of libqat.
        pub(super) fn names(&self) -> (Option<PathBuf>, PathBuf) {
            let (usdm, library) = DEFAULTS;
            let beside = || {
                let path = self.library.as_ref()?.parent()?.join(usdm?);
                path.exists().then_some(path)
            };
            let usdm = self.usdm.clone().or_else(beside).or_else(|| usdm.map(PathBuf::from));
            (usdm, self.library.clone().unwrap_or_else(|| PathBuf::from(library)))
        }
    }

    /// The environment variables that name libqat and libusdm.
    const VARIABLES: [&str; 2] = ["QAT_LIBRARY", "USDM_LIBRARY"];

    fn value(variable: &str) -> Option<OsString> {
        std::env::var_os(variable).filter(|value| !value.is_empty())
    }

    /// Returns whether this process has more privileges than the process that started it and chose its environment.
    fn is_privileged() -> bool {
        #[cfg(target_os = "linux")]
        {
            // SAFETY: getauxval(3) has no requirements: it accepts any type, and reads a value that the kernel passed
            // to the process.
            unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
        }
        // libqat exists for Linux only, and no privileged program of another system is known to load one.
        #[cfg(not(target_os = "linux"))]
        {
            false
        }
    }

    /// Loads the libraries that `options` name.
    ///
    /// # Safety
    /// The caller must ensure what the `# Safety` section of [`Library::load`] lists.
    pub(super) unsafe fn load(options: &LoadOptions) -> Result<Library, LoadError> {
        let (usdm, library) = options.names();
        let mut tried = Vec::new();
        let mut handles = Vec::new();
        for name in usdm.iter().chain([&library]) {
            // SAFETY: `open` requires that the initialisers of the file may run, which the `# Safety` section of this
            // function requires of the caller.
            match unsafe { open(name.as_os_str()) } {
                Ok(handle) => handles.push(handle),
                Err(error) => {
                    let name = name.display().to_string();
                    tried.push(Attempt { reason: reason(&name, &error), name });
                }
            }
        }
        if !tried.is_empty() {
            return Err(LoadError::NotFound { tried });
        }
        // On Linux a lookup in libqat also finds the functions of libusdm, but not on every system.
        let find =
            |name: &CStr| handles.iter().rev().map(|handle| address(handle, name)).find(|at| !at.is_null());
        // SAFETY: `Symbols::resolve` requires functions with the signatures of the headers that stay callable. The `#
        // Safety` section of this function requires that the caller names such libraries, and the `Library` keeps them
        // loaded through `_handles`.
        let symbols =
            unsafe { Symbols::resolve(|name| find(name).unwrap_or(ptr::null())) }.map_err(|missing| {
                LoadError::MissingSymbols { library: library.display().to_string(), missing }
            })?;
        Ok(Library { symbols, _handles: handles })
    }

    /// Loads one library.
    ///
    /// # Safety
    /// The caller must ensure that the initialisers of the file may run in this process.
    unsafe fn open(name: &OsStr) -> Result<Handle, libloading::Error> {
        #[cfg(unix)]
        {
            use libloading::os::unix::{RTLD_LOCAL, RTLD_NOW};
            // SAFETY: `libloading::os::unix::Library::open` requires that the initialisers and finalisers of the file
            // may run, which the `# Safety` section of this function requires of the caller.
            unsafe { Handle::open(Some(name), RTLD_NOW | RTLD_LOCAL) }
        }
        #[cfg(windows)]
        // SAFETY: `libloading::os::windows::Library::new` requires that the initialisers and finalisers of the file may
        // run, which the `# Safety` section of this function requires of the caller.
        unsafe {
            Handle::new(name)
        }
    }

    fn address(handle: &Handle, name: &CStr) -> *const c_void {
        // SAFETY: `libloading::os::unix::Library::get` requires that the symbol is used only according to its real
        // type. Only its address is taken here; nothing is read through it or called.
        let symbol = unsafe { handle.get::<*const c_void>(name.to_bytes_with_nul()) };
        symbol.map_or(ptr::null(), |symbol| *symbol)
    }

    /// Returns the system's message, which is the source of the error, without the name that it often begins with.
    fn reason(name: &str, error: &libloading::Error) -> String {
        let words = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
        words.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")).map_or(words.clone(), str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::{Library, LoadError};

    static_assertions::assert_impl_all!(Library: Send, Sync);
    static_assertions::assert_impl_all!(LoadError: Send, Sync, std::error::Error);

    #[cfg(all(feature = "loaded", target_os = "linux"))]
    mod names {
        use std::path::{Path, PathBuf};

        use crate::LoadOptions;

        fn names(options: &LoadOptions) -> (Option<PathBuf>, PathBuf) {
            options.names()
        }

        fn is(found: &(Option<PathBuf>, PathBuf), usdm: &str, library: &str) -> bool {
            found.0.as_deref() == Some(Path::new(usdm)) && found.1 == Path::new(library)
        }

        #[test]
        fn the_default_is_the_systems_own() {
            assert!(is(&names(&LoadOptions::default()), "libusdm.so.0", "libqat.so.4"));
        }

        #[test]
        fn libusdm_lies_beside_libqat_or_in_the_system() {
            let dir = std::env::temp_dir().join(format!("qat-sys-names-{}", std::process::id()));
            std::fs::create_dir_all(&dir).unwrap();
            let (usdm, library) = (dir.join("libusdm.so.0"), dir.join("libqat.so.4"));
            let options = LoadOptions::default().with_library(&library);
            assert!(is(&names(&options), "libusdm.so.0", library.to_str().unwrap()));
            std::fs::write(&usdm, "").unwrap();
            assert!(is(&names(&options), usdm.to_str().unwrap(), library.to_str().unwrap()));
            assert!(is(&names(&options.with_usdm("other")), "other", library.to_str().unwrap()));
            std::fs::remove_dir_all(dir).unwrap();
        }
    }
}
