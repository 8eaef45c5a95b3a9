//! What the tests with a real libqat share. Each release is tested in a program of its own: the system's loader takes a
//! second libqat's libusdm for the first one's, which has the same soname.

use std::ffi::CStr;
use std::path::{Path, PathBuf};

use qat_sys::{CPA_STATUS_FAIL, CPA_STATUS_STR_FAIL, CPA_STATUS_SUCCESS};
use qat_sys::{Library, LoadError, LoadOptions, Symbols};

/// The directory of a real libqat, from `cargo xtask libqat`. Without it the test says so and proves nothing; with
/// `QAT_TEST_REQUIRE_LIBQAT=1`, as in CI, it fails.
pub(crate) fn real_libqat(variable: &str) -> Option<PathBuf> {
    let dir = std::env::var_os(variable).map(PathBuf::from);
    if dir.is_none() {
        let required = std::env::var_os("QAT_TEST_REQUIRE_LIBQAT").is_some_and(|value| value == "1");
        assert!(!required, "{variable} is not set; set it to the directory that `cargo xtask libqat` prints");
        eprintln!("NOT TESTED: {variable} is not set");
    }
    dir
}

/// The names of the groups that a release has.
fn groups_of(release: &str) -> Vec<&'static str> {
    Symbols::GROUPS.iter().filter(|group| group.since <= release).map(|group| group.name).collect()
}

pub(crate) fn check(library: &Library, release: &str) {
    let symbols = library.symbols();
    let found: Vec<_> = symbols.groups().map(|group| group.name).collect();
    assert_eq!(found, groups_of(release));

    let mut text = [0_i8; qat_sys::CPA_STATUS_MAX_STR_LENGTH_IN_BYTES as usize];
    // SAFETY: needs no instance, and the text has the room that `cpa_dc.h` asks for.
    let status = unsafe {
        (symbols.cpaDcGetStatusText)(qat_sys::CPA_INSTANCE_HANDLE_SINGLE, CPA_STATUS_FAIL, text.as_mut_ptr())
    };
    assert_eq!(status, CPA_STATUS_SUCCESS);
    let text = text.map(i8::cast_unsigned);
    assert_eq!(CStr::from_bytes_until_nul(&text), Ok(CPA_STATUS_STR_FAIL));
}

pub(crate) fn load(dir: &Path) -> Result<Library, LoadError> {
    // SAFETY: `cargo xtask libqat` checked the digest of what it unpacked there.
    unsafe { Library::load(&LoadOptions::default().with_library(dir.join("libqat.so.4"))) }
}
