//! The command `qat`: compress, decompress, encrypt and decrypt files on Intel QAT, or on the CPU.
//!
//! It only names files: all work on bytes is `qat::stream`'s. How it ends is listed in `exit`.

mod args;
mod directory;
mod exit;
mod info;
mod input;
mod keys;
mod output;
mod report;
mod run;
mod signals;
mod standard;
mod suffix;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use exit::{Exit, Failure, Result};

fn main() -> ExitCode {
    signals::install();
    let done = match Cli::try_parse() {
        Ok(cli) => run_command(cli.command),
        Err(error) => answer(&error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            failure.exit.into()
        }
    }
}

fn run_command(command: Command) -> Result<()> {
    match command {
        Command::Compress(args) => run::compress(&args),
        Command::Decompress(args) => run::decompress(&args),
        Command::Encrypt(args) => run::encrypt(&args),
        Command::Decrypt(args) => run::decrypt(&args),
        Command::Keygen(args) => keys::generate(&args),
        Command::Info(args) => info::print(&args),
    }
}

/// Prints what was asked for, help or the version, or what is wrong with the command line.
fn answer(error: &clap::Error) -> Result<()> {
    if error.use_stderr() {
        let _ = error.print();
        return Err(Failure::new(Exit::Usage, ""));
    }
    // Opened for the error that it may give: clap would write to what takes the place of a closed stream.
    let printed = standard::output().and_then(|file| {
        error.print()?;
        io::stdout().flush()?;
        standard::close(file)
    });
    printed.map_err(|error| Failure::writing(standard::OUTPUT, &error))
}
