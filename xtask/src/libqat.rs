//! `cargo xtask libqat` and `cargo xtask headers`: finds Intel's libraries, headers and programs.

mod apt;
pub(crate) mod headers;
#[path = "pins.rs"]
mod pins;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail, ensure};
use xshell::{Shell, cmd};

pub(crate) use pins::{RELEASES, Release};

use crate::flags;
use crate::workspace::target_dir;
use pins::{PROGRAM_RUNTIME, Package};

/// The directory of Debian's libraries below a root.
pub(crate) const LIB: &str = "usr/lib/x86_64-linux-gnu";

/// The directories where systems install the libraries.
const SYSTEM: [&str; 3] = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"];

impl flags::Libqat {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        let release = release(self.release.as_deref(), "24.02")?;
        let dir = if self.programs { programs(sh, release)? } else { libraries(sh, release)? };
        println!("{}", dir.display());
        Ok(())
    }
}

/// Returns the release that a flag names.
pub(crate) fn release(flag: Option<&str>, default: &str) -> anyhow::Result<&'static Release> {
    let name = flag.unwrap_or(default);
    RELEASES.iter().find(|release| release.name == name).ok_or_else(|| {
        let known: Vec<_> = RELEASES.iter().map(|release| release.name).collect();
        anyhow!("qatlib {name} is not pinned here; known: {}", known.join(", "))
    })
}

/// Returns the system's directory with `libqat.so.4` and `libusdm.so.0`, of any release.
pub(crate) fn installed() -> Option<PathBuf> {
    let has_both = |dir: &Path| ["libqat.so.4", "libusdm.so.0"].iter().all(|name| dir.join(name).exists());
    SYSTEM.map(Path::new).into_iter().find(|dir| has_both(dir)).map(Path::to_owned)
}

/// Returns the directory with `libqat.so.4` and `libusdm.so.0`: the system's own if it has this release, and otherwise
/// an unpacked one.
pub(crate) fn libraries(sh: &Shell, release: &Release) -> anyhow::Result<PathBuf> {
    for dir in SYSTEM.map(Path::new) {
        let is_release = fs::canonicalize(dir.join("libqat.so.4"))
            .is_ok_and(|real| real.file_name().is_some_and(|name| name == release.libqat_file));
        if is_release && dir.join("libusdm.so.0").exists() {
            return Ok(dir.to_owned());
        }
    }
    let root = unpacked(sh, release).with_context(|| {
        let name = release.name;
        format!(
            "no libqat of qatlib {name}: neither installed nor to be fetched. Install the packages \
             (`apt-get install libqat4 libusdm0`) on a system that has {name}"
        )
    })?;
    Ok(root.join(LIB))
}

/// Returns the root of the unpacked headers and libraries of the release.
pub(crate) fn unpacked(sh: &Shell, release: &Release) -> anyhow::Result<PathBuf> {
    let root = target_dir().join("libqat").join(release.name);
    let packages: Vec<_> = release.packages.iter().collect();
    apt::unpack(sh, &root, release.suite, &packages, &[])?;
    Ok(root)
}

/// Returns the root of Intel's programs, with the libraries, the C library and the loader that they were built for.
/// They run as `$root/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 --library-path $root/usr/lib/x86_64-linux-gnu
/// $root/usr/bin/qzip`, with `--preload` for an additional library.
pub(crate) fn programs(sh: &Shell, release: &Release) -> anyhow::Result<PathBuf> {
    let root = target_dir().join("libqat").join(format!("{}-programs", release.name));
    let is_library = |package: &&Package| !package.name.ends_with("-dev");
    let packages: Vec<_> = release.packages.iter().filter(is_library).chain(release.programs).collect();
    apt::unpack(sh, &root, release.suite, &packages, PROGRAM_RUNTIME)
        .with_context(|| format!("cannot download the programs of qatlib {}", release.name))?;

    let lib = root.join(LIB);
    let loader = lib.join("ld-linux-x86-64.so.2");
    ensure!(loader.exists(), "no loader at {}", loader.display());
    for program in sh.read_dir(root.join("usr/bin"))? {
        if !fs::read(&program)?.starts_with(b"\x7fELF") {
            continue;
        }
        let needed = cmd!(sh, "{loader} --library-path {lib} --list {program}").quiet().read()?;
        let outside = |line: &&str| {
            line.split_once("=>").is_some_and(|(_, path)| !Path::new(path.trim()).starts_with(&root))
        };
        if let Some(line) = needed.lines().find(outside) {
            bail!(
                "{} needs a library that PROGRAM_RUNTIME in xtask/src/pins.rs lacks: {}",
                program.display(),
                line.trim()
            );
        }
    }
    Ok(root)
}
