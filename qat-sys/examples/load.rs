//! Says which libqat this machine has, or why none can be used: `cargo run -p qat-sys --example load`.
//!
//! `QAT_LIBRARY` and `USDM_LIBRARY` name other files than the system's.

use std::process::ExitCode;

use qat_sys::{Library, LoadOptions, Symbols};

fn main() -> ExitCode {
    let options = LoadOptions::from_env();
    // SAFETY: whoever sets the variables, or installed libqat, is trusted with this process.
    let library = match unsafe { Library::load(&options) } {
        Ok(library) => library,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    match options.library {
        Some(path) => println!("loaded {}", path.display()),
        None => println!("loaded the system's libqat"),
    }
    println!("{} required functions", Symbols::REQUIRED.len());
    let present: Vec<_> = library.symbols().groups().collect();
    for group in Symbols::GROUPS {
        let has = if present.contains(&group) { "has" } else { "lacks" };
        println!("{has} {} ({} functions, since qatlib {})", group.name, group.functions.len(), group.since);
    }
    ExitCode::SUCCESS
}
