//! The command `qat-emu run`: prepares a machine, runs a program on it, and reports what the devices did.

mod elf;
mod options;

use std::{
    env,
    ffi::OsString,
    fs, io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, ExitStatus},
};

use options::{Action, Options};
use qat_emu::{Preload, Snapshot, send_signal};
use signal_hook::{
    consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM},
    iterator::Signals,
};

/// The exit code when the program could not be run or a requirement was not met; common programs do not use it.
pub(crate) const FAILED: u8 = 125;

/// Any failure, with the sentence to print.
pub(crate) type Error = Box<dyn std::error::Error>;

pub(crate) fn main(parser: lexopt::Parser) -> Result<ExitCode, Error> {
    match options::parse(parser)? {
        Action::Help => {
            print!("{}", options::HELP);
            Ok(ExitCode::SUCCESS)
        }
        Action::Version => {
            println!("qat-emu {}", env!("CARGO_PKG_VERSION"));
            Ok(ExitCode::SUCCESS)
        }
        Action::Run(options) => run(&options),
    }
}

fn run(options: &Options) -> Result<ExitCode, Error> {
    let program = find_program(Path::new(&options.program))?;
    elf::check(&program)?;
    for node in options.config.absent_nodes() {
        eprintln!(
            "qat-emu: NUMA node {node} has no cores on this computer, so devices on it report that they have no node"
        );
    }
    let preload = Preload::new(&options.config)?;
    if let Some(data) = &options.data {
        preload.share_data(data)?;
    }
    let mut signals = Signals::new([SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM])?;
    let mut child = command(options, &program, &preload)
        .spawn()
        .map_err(|e| format!("cannot run {}: {e}", program.display()))?;
    let status = wait(&mut child, &mut signals)?;
    let reports = preload.reports()?;
    if let Some(path) = &options.report {
        report(path, options, status, &reports)?;
    }
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    let unmet = unmet_requirements(options, &reports);
    for requirement in &unmet {
        eprintln!("qat-emu: {requirement}");
    }
    let code = if code == 0 && !unmet.is_empty() { FAILED } else { (code & 0xFF) as u8 };
    Ok(ExitCode::from(code))
}

/// Returns the file that a shell would run.
fn find_program(name: &Path) -> Result<PathBuf, Error> {
    if name.components().count() > 1 {
        return Ok(name.to_owned());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| format!("{}: not found in PATH: install it, or give its path", name.display()).into())
}

fn command(options: &Options, program: &Path, preload: &Preload) -> Command {
    let (variable, tree) = preload.environment();
    let mut command = match &options.loader {
        None => {
            let mut command = Command::new(program);
            command.env("LD_PRELOAD", joined(Some(preload.library()), env::var_os("LD_PRELOAD")));
            if let Some(directory) = &options.library_path {
                command.env("LD_LIBRARY_PATH", joined(Some(directory), env::var_os("LD_LIBRARY_PATH")));
            }
            command
        }
        Some(loader) => {
            let mut command = Command::new(loader);
            if let Some(directory) = &options.library_path {
                command.arg("--library-path").arg(directory);
            }
            command.arg("--preload").arg(preload.library()).arg(program);
            command
        }
    };
    command.args(&options.arguments).env(variable, tree);
    command
}

/// Joins paths to a colon-separated list.
fn joined(first: Option<&Path>, rest: Option<OsString>) -> OsString {
    let mut list = first.map_or_else(OsString::new, |path| path.as_os_str().to_owned());
    if let Some(rest) = rest.filter(|rest| !rest.is_empty()) {
        list.push(":");
        list.push(rest);
    }
    list
}

/// Waits for the program. Signals of the terminal reach the program directly; SIGTERM and SIGHUP are passed on to it.
fn wait(child: &mut Child, signals: &mut Signals) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        for signal in signals.wait() {
            if signal == SIGTERM || signal == SIGHUP {
                send_signal(child.id(), signal)?;
            }
        }
    }
}

fn report(
    path: &Path,
    options: &Options,
    status: ExitStatus,
    reports: &[(u32, Snapshot)],
) -> Result<(), Error> {
    let processes: Vec<_> = reports
        .iter()
        .map(|(process, counters)| {
            serde_json::json!({ "process": process, "audit": counters.audit(), "counters": counters })
        })
        .collect();
    let report = serde_json::json!({
        "program": options.program.to_string_lossy(),
        "exit_code": status.code(),
        "signal": status.signal(),
        "requests": reports.iter().map(|(_, c)| c.requests()).sum::<u64>(),
        "processes": processes,
    });
    let text = serde_json::to_string_pretty(&report)? + "\n";
    if path == Path::new("-") {
        eprint!("{text}");
    } else {
        fs::write(path, text).map_err(|e| format!("cannot write the report {}: {e}", path.display()))?;
    }
    Ok(())
}

/// Returns a sentence for each requirement that the run does not meet.
fn unmet_requirements(options: &Options, reports: &[(u32, Snapshot)]) -> Vec<String> {
    let mut unmet = Vec::new();
    let requests: u64 = reports.iter().map(|(_, counters)| counters.requests()).sum();
    if requests < options.require_requests {
        unmet.push(format!(
            "the devices saw {requests} requests, {} are required: the program may have done the work in software",
            options.require_requests
        ));
    }
    if options.require_clean {
        if reports.is_empty() {
            unmet.push("no process looked for devices: the program may not use libqat".to_owned());
        }
        for (process, counters) in reports {
            unmet.extend(counters.audit().into_iter().map(|finding| format!("process {process}: {finding}")));
        }
    }
    unmet
}
