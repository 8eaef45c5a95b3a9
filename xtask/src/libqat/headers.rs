//! `cargo xtask headers`: finds the C headers.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use xshell::{Shell, cmd};

use super::Release;
use crate::{flags, libqat};

impl flags::Headers {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        let release = libqat::release(self.release.as_deref(), "26.08")?;
        println!("{}", directory(sh, release)?.display());
        Ok(())
    }
}

/// Returns the directory with the headers of the release: the installed one if its content is exactly the pinned one,
/// and otherwise one unpacked from the pinned packages.
pub(crate) fn directory(sh: &Shell, release: &Release) -> anyhow::Result<PathBuf> {
    let mut installed = vec![PathBuf::from("/usr/include/qat")];
    if let Ok(include) = cmd!(sh, "pkg-config --variable=includedir libqat").quiet().ignore_stderr().read() {
        installed.push(Path::new(&include).join("qat"));
    }
    for dir in installed {
        if digest(sh, &dir).is_ok_and(|digest| digest == release.headers_sha256) {
            return Ok(dir);
        }
    }
    let dir = libqat::unpacked(sh, release)
        .with_context(|| {
            let name = release.name;
            format!(
                "no headers of qatlib {name}: neither installed nor to be fetched. Install the packages \
                 (`apt-get install libqat-dev libusdm-dev`) on a system that has {name}"
            )
        })?
        .join("usr/include/qat");
    let found = digest(sh, &dir)?;
    anyhow::ensure!(
        found == release.headers_sha256,
        "the headers in {} have the digest {found} instead of the pinned {}; delete the directory",
        dir.display(),
        release.headers_sha256
    );
    Ok(dir)
}

/// Returns the names of the header files in `dir`, sorted.
pub(crate) fn files(sh: &Shell, dir: &Path) -> anyhow::Result<Vec<String>> {
    let mut names: Vec<String> = sh
        .read_dir(dir)?
        .iter()
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .filter(|name| name.ends_with(".h"))
        .collect();
    names.sort();
    Ok(names)
}

/// Returns the output of `sha256sum *.h | sha256sum` in the C locale.
fn digest(sh: &Shell, dir: &Path) -> anyhow::Result<String> {
    let names = files(sh, dir)?;
    let _guard = sh.push_dir(dir);
    let sums = cmd!(sh, "sha256sum {names...}").quiet().read()?;
    let line = cmd!(sh, "sha256sum").stdin(sums + "\n").quiet().read()?;
    Ok(line.split_whitespace().next().unwrap_or_default().to_owned())
}
