//! Real data to measure with, from what every machine that built the project has: sources, binaries, compressed files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use xshell::{Shell, cmd};

const MIB: usize = 1 << 20;
const TEXT: usize = 60 * MIB;
const BINARY: usize = 32 * MIB;
const PACKED: usize = 4 * MIB;
const ENDINGS: &[&str] = &["c", "h", "rs", "json", "md", "S", "txt", "toml"];

/// A file of 96 MiB: 60 of the dependencies' sources, 32 of the compiler's code, 4 of a compressed archive.
///
/// It depends on the locked dependencies and the compiler, so figures compare within one machine and run only, which is
/// how they are meant.
pub(crate) fn file(sh: &Shell) -> anyhow::Result<PathBuf> {
    let path = crate::workspace::target_dir().join("bench").join("corpus");
    if fs::metadata(&path).is_ok_and(|meta| meta.len() == (TEXT + BINARY + PACKED) as u64) {
        return Ok(path);
    }
    cmd!(sh, "cargo fetch --quiet --locked").run()?;
    let metadata = cmd!(sh, "cargo metadata --format-version 1 --locked").quiet().read()?;
    let mut sources = Vec::new();
    for manifest in metadata.split("\"manifest_path\":\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        if let Some(dir) =
            Path::new(manifest).parent().filter(|dir| dir.to_string_lossy().contains("registry"))
        {
            walk(dir, &mut sources)?;
        }
    }
    // By name first, so that every package is in it and not the first few alone.
    sources.sort_by(|a, b| (a.file_name(), a).cmp(&(b.file_name(), b)));
    let mut corpus = Vec::new();
    for source in sources {
        let bytes = fs::read(&source)?;
        corpus.extend_from_slice(&bytes[..bytes.len().min(MIB)]);
        if corpus.len() >= TEXT {
            break;
        }
    }
    ensure!(corpus.len() >= TEXT, "the dependencies' sources are only {} bytes", corpus.len());
    corpus.truncate(TEXT);

    let sysroot = PathBuf::from(cmd!(sh, "rustc --print sysroot").quiet().read()?);
    let driver = largest(&sysroot.join("lib"), ".so").context("the toolchain has no compiler library")?;
    let code = fs::read(driver)?;
    let from = code.len() / 3;
    corpus.extend_from_slice(code.get(from..from + BINARY).context("the compiler library is too small")?);

    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = cargo_home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let cache = home.context("neither CARGO_HOME nor HOME is set")?.join("registry/cache");
    let registries = fs::read_dir(&cache).with_context(|| format!("cannot read {}", cache.display()))?;
    let archive =
        registries.filter_map(|dir| largest(&dir.ok()?.path(), ".crate")).max_by_key(|path| len(path));
    let packed = fs::read(archive.context("no package archive in Cargo's cache")?)?;
    corpus.extend_from_slice(packed.get(..PACKED).context("the largest package archive is too small")?);

    sh.create_dir(path.parent().expect("a path below target"))?;
    fs::write(&path, corpus)?;
    Ok(path)
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            walk(&path, files)?;
        } else if path.extension().is_some_and(|end| ENDINGS.iter().any(|known| end == *known)) {
            files.push(path);
        }
    }
    Ok(())
}

fn len(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |meta| meta.len())
}

fn largest(dir: &Path, ending: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(dir).ok()?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| path.to_string_lossy().ends_with(ending)).max_by_key(|path| len(path))
}
