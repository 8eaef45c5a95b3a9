//! Writes shell completions and man pages of the command `qat` into a directory.

#[allow(dead_code)]
#[path = "../src/args.rs"]
mod args;

use std::io;
use std::path::PathBuf;

use clap::{CommandFactory, ValueEnum};
use clap_complete::Shell;

fn main() -> io::Result<()> {
    let directory: PathBuf =
        std::env::args_os().nth(1).ok_or_else(|| io::Error::other("usage: assets DIRECTORY"))?.into();
    std::fs::create_dir_all(&directory)?;
    for &shell in Shell::value_variants() {
        clap_complete::generate_to(shell, &mut args::Cli::command(), "qat", &directory)?;
    }
    clap_mangen::generate_to(args::Cli::command(), &directory)
}
