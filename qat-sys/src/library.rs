//! libqat and libusdm, loaded or linked.

use std::fmt;

use crate::{MissingSymbols, Symbols};

/// libqat and libusdm, ready to be called.
///
/// Keeps the code loaded; see the crate's section on unloading.
#[derive(Debug)]
pub struct Library {
    symbols: Symbols,
    /// Below the addresses, which are worth nothing without them.
    #[cfg(feature = "loaded")]
    _handles: Vec<loaded::Handle>,
}

impl Library {
    /// Loads libusdm and libqat at run time.
    ///
    /// The names tried are a closed list: those in `options`, else the default ones. A name in `options` has no
    /// substitute: when it cannot be loaded, nothing else is tried in its place. libusdm goes first, because libqat needs
    /// it, and finds it by that even when it lies in no system directory.
    ///
    /// # Errors
    /// [`LoadError::NotFound`] when a library cannot be loaded, with each name tried and the reason;
    /// [`LoadError::MissingSymbols`] when the libraries lack functions that every supported release has.
    ///
    /// # Safety
    /// The files that these names lead to are run with the rights of the process. They are a libqat and a libusdm of
    /// major version 4 and 0, and so have the functions that qatlib's headers declare. No function pointer from
    /// [`symbols`](Self::symbols) is called, and no callback or thread of the library runs, after the `Library` is dropped.
    #[cfg(feature = "loaded")]
    pub unsafe fn load(options: &LoadOptions) -> Result<Self, LoadError> {
        // SAFETY: the same contract.
        unsafe { loaded::load(options) }
    }

    /// The libraries that this program was linked with.
    ///
    /// Unlike [`load`](Self::load), this cannot find them missing: without them the program does not start. Groups newer
    /// than the library at build time are absent, whatever the library at run time has.
    #[cfg(feature = "linked")]
    #[must_use]
    pub fn linked() -> Self {
        // SAFETY: the linker found each function under the C name that the headers declare it with, in a library that
        // stays loaded until the process ends.
        let symbols = unsafe { Symbols::resolve(crate::functions::linked::address) };
        Self {
            symbols: symbols.expect("required functions are linked without condition"),
            #[cfg(feature = "loaded")]
            _handles: Vec::new(),
        }
    }

    /// The functions.
    #[must_use]
    pub fn symbols(&self) -> &Symbols {
        &self.symbols
    }
}

/// A library made of functions from elsewhere, such as stubs in a test.
impl From<Symbols> for Library {
    fn from(symbols: Symbols) -> Self {
        Self {
            symbols,
            #[cfg(feature = "loaded")]
            _handles: Vec::new(),
        }
    }
}

/// One try to load a library.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// The file name or path given to the system.
    pub name: String,
    /// What the system said.
    pub reason: String,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.reason)
    }
}

/// Why there is no [`Library`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A library is not there, or the system refuses it.
    #[error(
        "libqat cannot be loaded ({}); check that qatlib 23.08 or newer is installed (from Debian 13 and \
         Ubuntu 24.04 on: libqat4; Fedora, SUSE: qatlib), or name the files in QAT_LIBRARY and USDM_LIBRARY",
        list(tried)
    )]
    #[non_exhaustive]
    NotFound {
        /// What was tried, in this order.
        tried: Vec<Attempt>,
    },
    /// A library is there, but is not a libqat that this crate knows.
    #[error(
        "{library} is no libqat of qatlib 23.08 or newer: {missing}; check what the name leads to, and that libqat and \
         libusdm are of one release"
    )]
    #[non_exhaustive]
    MissingSymbols {
        /// The name under which libqat was loaded.
        library: String,
        /// The functions it lacks.
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

    /// The names to try when the options give none: libusdm, if it is a file of its own, and libqat.
    #[cfg(unix)]
    const DEFAULTS: (Option<&str>, &str) = (Some("libusdm.so.0"), "libqat.so.4");
    #[cfg(windows)]
    const DEFAULTS: (Option<&str>, &str) = (None, "qat.dll");

    /// Which files [`Library::load`] takes. The default is the system's own.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    #[non_exhaustive]
    pub struct LoadOptions {
        /// The libqat to take in place of `libqat.so.4` or `qat.dll`.
        pub library: Option<PathBuf>,
        /// The libusdm to take in place of the `libusdm.so.0` beside [`library`](Self::library), or of the system's.
        pub usdm: Option<PathBuf>,
    }

    impl LoadOptions {
        /// The files that the environment variables `QAT_LIBRARY` and `USDM_LIBRARY` name; empty ones name none.
        ///
        /// A process that has more rights than its caller (set-user-ID, set-group-ID, file capabilities: `AT_SECURE` of
        /// getauxval(3)) ignores both, as the system's loader ignores `LD_LIBRARY_PATH` there: the caller's code would run
        /// with the rights of the file. [`ignored_variables`](Self::ignored_variables) says which were.
        #[must_use]
        pub fn from_env() -> Self {
            if is_privileged() {
                return Self::default();
            }
            let [library, usdm] = VARIABLES.map(|name| value(name).map(PathBuf::from));
            Self { library, usdm }
        }

        /// The environment variables that [`from_env`](Self::from_env) ignores in this process although they are set.
        #[must_use]
        pub fn ignored_variables() -> Vec<&'static str> {
            let is_set = |name: &&str| is_privileged() && value(name).is_some();
            VARIABLES.into_iter().filter(is_set).collect()
        }

        /// Takes this libqat, and the libusdm beside it if there is one.
        #[must_use]
        pub fn with_library(mut self, library: impl Into<PathBuf>) -> Self {
            self.library = Some(library.into());
            self
        }

        /// Takes this libusdm.
        #[must_use]
        pub fn with_usdm(mut self, usdm: impl Into<PathBuf>) -> Self {
            self.usdm = Some(usdm.into());
            self
        }

        /// libusdm, if it is a file of its own, and libqat.
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

    /// The variables that name libqat and libusdm.
    const VARIABLES: [&str; 2] = ["QAT_LIBRARY", "USDM_LIBRARY"];

    fn value(variable: &str) -> Option<OsString> {
        std::env::var_os(variable).filter(|value| !value.is_empty())
    }

    /// Whether this process has more rights than whoever started it and chose its environment.
    fn is_privileged() -> bool {
        #[cfg(target_os = "linux")]
        {
            // SAFETY: getauxval(3): reads a value that the kernel left at the start; any type may be asked for.
            unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
        }
        // libqat is Linux's; elsewhere no such file of it is known.
        #[cfg(not(target_os = "linux"))]
        {
            false
        }
    }

    /// # Safety
    /// As for [`Library::load`].
    pub(super) unsafe fn load(options: &LoadOptions) -> Result<Library, LoadError> {
        let (usdm, library) = options.names();
        let mut tried = Vec::new();
        let mut handles = Vec::new();
        for name in usdm.iter().chain([&library]) {
            // SAFETY: running the file's initialisers is part of the contract.
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
        // Looking in libqat finds libusdm's functions too on Linux, but not everywhere.
        let find =
            |name: &CStr| handles.iter().rev().map(|handle| address(handle, name)).find(|at| !at.is_null());
        // SAFETY: by the contract, what the libraries export under these names are the functions of the headers; they stay
        // loaded as long as the `Library` lives.
        let symbols =
            unsafe { Symbols::resolve(|name| find(name).unwrap_or(ptr::null())) }.map_err(|missing| {
                LoadError::MissingSymbols { library: library.display().to_string(), missing }
            })?;
        Ok(Library { symbols, _handles: handles })
    }

    /// # Safety
    /// The file's initialisers run.
    unsafe fn open(name: &OsStr) -> Result<Handle, libloading::Error> {
        #[cfg(unix)]
        {
            use libloading::os::unix::{RTLD_LOCAL, RTLD_NOW};
            // SAFETY: this function's own contract.
            unsafe { Handle::open(Some(name), RTLD_NOW | RTLD_LOCAL) }
        }
        #[cfg(windows)]
        // SAFETY: this function's own contract.
        unsafe {
            Handle::new(name)
        }
    }

    fn address(handle: &Handle, name: &CStr) -> *const c_void {
        // SAFETY: only the address is taken; nothing is read through it or called.
        let symbol = unsafe { handle.get::<*const c_void>(name.to_bytes_with_nul()) };
        symbol.map_or(ptr::null(), |symbol| *symbol)
    }

    /// The system's words, which the error keeps as its source, without the name that they often begin with.
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
