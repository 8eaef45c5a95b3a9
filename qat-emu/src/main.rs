//! The command `qat-emu`, which runs a program on emulated QAT devices.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod run;

use std::process::ExitCode;

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn main() -> ExitCode {
    match run::main(lexopt::Parser::from_env()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("qat-emu: {error}");
            ExitCode::from(run::FAILED)
        }
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn main() -> ExitCode {
    eprintln!("qat-emu: this emulator requires Linux with glibc, because libqat does");
    ExitCode::FAILURE
}
