//! The command `qat`: compress, decompress, encrypt and decrypt files on Intel QAT, or on the CPU.
//!
//! It only names files: all work on bytes is `qat::stream`'s. How it ends is listed in `exit`.

mod args;
mod exit;
mod info;
mod keys;
mod output;
mod report;
mod run;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Compress(args) => run::compress(&args),
        Command::Decompress(args) => run::decompress(&args),
        Command::Encrypt(args) => run::encrypt(&args),
        Command::Decrypt(args) => run::decrypt(&args),
        Command::Keygen(args) => keys::generate(&args),
        Command::Info(args) => info::print(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            failure.exit.into()
        }
    }
}
