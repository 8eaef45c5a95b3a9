//! A Python with the packages that the tests compare with.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The packages and their releases. `cargo xtask test` installs from the same file.
const REQUIREMENTS: &str = include_str!("python-requirements.txt");

/// Returns a Python that has them: the one that `QAT_TEST_TINK_PYTHON` names, or a virtual environment below cargo's
/// target directory, which the first run makes.
pub(crate) fn python() -> PathBuf {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON
        .get_or_init(|| std::env::var_os("QAT_TEST_TINK_PYTHON").map_or_else(environment, PathBuf::from))
        .clone()
}

fn environment() -> PathBuf {
    let requirements = REQUIREMENTS.split_whitespace();
    let venv =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(requirements.clone().collect::<Vec<_>>().join("-"));
    let (python, ready) = (venv.join("bin/python"), venv.join("ready"));
    if !ready.exists() {
        let make = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv).status();
        assert!(
            make.is_ok_and(|status| status.success()),
            "no virtual environment: apt-get install python3-venv"
        );
        let install =
            Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(requirements).status();
        assert!(
            install.is_ok_and(|status| status.success()),
            "pip install {REQUIREMENTS:?} failed: it needs PyPI or a mirror"
        );
        std::fs::write(ready, "").unwrap();
    }
    python
}
