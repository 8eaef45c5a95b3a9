//! The command `qat`, which compresses, decompresses, encrypts and decrypts files on Intel QAT or the CPU.
//!
//! The command handles file names, attributes, options and messages; `qat::stream` processes the data. The exit codes
//! are listed in `exit`.

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

/// Prints help, the version, or the usage error that clap found.
fn answer(error: &clap::Error) -> Result<()> {
    if error.use_stderr() {
        let _ = error.print();
        return Err(Failure::new(Exit::Usage, ""));
    }
    // Opening standard output reports a closed one. clap would write to the /dev/null that replaces it, without an
    // error.
    let printed = standard::output().and_then(|file| {
        error.print()?;
        io::stdout().flush()?;
        standard::close(file)
    });
    printed.map_err(|error| Failure::writing(standard::OUTPUT, &error))
}
