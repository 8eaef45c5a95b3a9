//! Writes shell completions and manual pages of the command `qat` to a directory. `cargo xtask dist` runs it.

#[allow(dead_code)]
#[path = "../src/args.rs"]
mod args;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, ValueEnum};
use clap_complete::Shell;

fn main() -> io::Result<()> {
    let directory: PathBuf =
        std::env::args_os().nth(1).ok_or_else(|| io::Error::other("usage: assets DIRECTORY"))?.into();
    std::fs::create_dir_all(&directory)?;
    for &shell in Shell::value_variants() {
        let written = clap_complete::generate_to(shell, &mut args::Cli::command(), "qat", &directory)?;
        sync(&written)?;
    }
    clap_mangen::generate_to(args::Cli::command(), &directory)?;
    for entry in std::fs::read_dir(&directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "1") {
            sync(&path)?;
        }
    }
    Ok(())
}

/// Returns the errors that some file systems report only when a file is written to disk or closed, which the generators
/// above do not detect.
fn sync(path: &Path) -> io::Result<()> {
    File::options().write(true).open(path)?.sync_all()
}
