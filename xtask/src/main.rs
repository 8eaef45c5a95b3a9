//! The development tasks of the project, which `cargo xtask` runs.
#![forbid(unsafe_code)]

mod bench;
mod bindings;
mod ci;
mod demo;
mod dist;
mod emulator;
mod flags;
mod libqat;
mod tidy;
mod tools;
mod workspace;

use std::process::ExitCode;

use xshell::Shell;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let flags = flags::Xtask::from_env_or_exit();
    let sh = &Shell::new()?;
    sh.change_dir(workspace::project_root());
    match flags.subcommand {
        flags::XtaskCmd::Demo(cmd) => cmd.run(sh),
        flags::XtaskCmd::Headers(cmd) => cmd.run(sh),
        flags::XtaskCmd::Libqat(cmd) => cmd.run(sh),
        flags::XtaskCmd::Emu(cmd) => cmd.run(sh),
        flags::XtaskCmd::Bindgen(cmd) => cmd.run(sh),
        flags::XtaskCmd::Symbols(cmd) => cmd.run(sh),
        flags::XtaskCmd::Test(cmd) => cmd.run(sh),
        flags::XtaskCmd::Ci(cmd) => cmd.run(sh),
        flags::XtaskCmd::Tidy(cmd) => cmd.run(sh),
        flags::XtaskCmd::Bench(cmd) => cmd.run(sh),
        flags::XtaskCmd::Dist(cmd) => cmd.run(sh),
    }
}
