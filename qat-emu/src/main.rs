//! `qat-emu`: runs a program on emulated QAT devices.

mod run;

use std::process::ExitCode;

fn main() -> ExitCode {
    match run::main(lexopt::Parser::from_env()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("qat-emu: {error}");
            ExitCode::from(run::FAILED)
        }
    }
}
