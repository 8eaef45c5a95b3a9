//! Parses the command line of `qat-emu` into a machine and a program to run.

use std::{ffi::OsString, path::PathBuf, str::FromStr};

use lexopt::{Arg, ValueExt};
use qat_emu::{Config, Device, Model, Services};

use super::Error;

pub(crate) const HELP: &str = "\
Runs a program on emulated Intel QAT devices, below the unmodified libqat that it uses.

Usage: qat-emu run [OPTIONS] [--] PROGRAM [ARGUMENTS...]

Machine:
  --vfs N               virtual functions of each device (default 1)
  --devices N           devices (default 1)
  --numa-nodes N        number of this computer's NUMA nodes to distribute the devices over (default 1)
  --services LIST       services of the virtual functions: dc, sym, asym, two of them joined by ';', or dcc
                        (hash and compress in one request) (default sym;dc)
  --model NAME          4xxx, 401xx, 402xx or 420xx (default 4xxx)
  --engine-threads N    threads that execute requests (default 1); with 0 they are executed when the program calls
                        qat_emu_serve(), on that thread
  --engine-cpu N        the only core that these threads run on (default: any); `taskset` keeps the program off it
  --latency-us N        time from request to response in microseconds (default: none added)
  --bandwidth N         bytes that each device reads per second (default: no limit)
  --null                skip the computation: stored blocks, no encryption, no public-key arithmetic
  --scenario FILE       read machine and faults from a TOML file; the options above override its values

Program:
  --library-path DIRS   directories with libqat.so.4 and libusdm.so.0, searched first
  --loader FILE         dynamic loader to run the program with, when it needs a newer C library than the system's
  --data DIR            directory that the program sees as /usr/share/qat, where Intel's samples read their files

Result:
  --report FILE         write counters and audit of each process as JSON; - for standard error
  --require-requests N  fail when the devices saw fewer requests, for example because a program used software instead
  --require-clean       fail when the audit of a process finds anything, such as memory that was not unmapped, or
                        requests without a response, unsupported ones, or accesses outside mapped memory

  -h, --help            print this text
  -V, --version         print the version

The exit code is the program's; 128 + N when signal N ended it; 125 when it could not be run or a requirement was
not met.

Example: compress with QATzip, and prove that a device did the work instead of QATzip's software:
  qat-emu run --services dc --require-requests 1 --require-clean -- qzip -k -O gzip FILE
";

pub(crate) enum Action {
    Help,
    Version,
    Run(Box<Options>),
}

#[derive(Default)]
pub(crate) struct Options {
    pub(crate) config: Config,
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) library_path: Option<PathBuf>,
    pub(crate) loader: Option<PathBuf>,
    pub(crate) data: Option<PathBuf>,
    pub(crate) report: Option<PathBuf>,
    pub(crate) require_requests: u64,
    pub(crate) require_clean: bool,
}

/// The machine as far as options define it.
#[derive(Default)]
struct MachineOptions {
    scenario: Option<PathBuf>,
    vfs: Option<usize>,
    devices: Option<usize>,
    numa_nodes: Option<usize>,
    services: Option<Services>,
    model: Option<Model>,
    engine_threads: Option<usize>,
    engine_cpu: Option<usize>,
    latency_us: Option<u64>,
    bandwidth: Option<u64>,
    null: bool,
}

impl MachineOptions {
    fn config(&self) -> Result<Config, Error> {
        let mut config = self.scenario.as_deref().map_or_else(|| Ok(Config::default()), Config::from_file)?;
        if let Some(devices) = self.devices {
            let pattern = config.devices.first().cloned().unwrap_or_default();
            config.devices = vec![pattern; devices];
        }
        for (number, device) in config.devices.iter_mut().enumerate() {
            let Device { vfs, services, model, numa_node, .. } = device;
            *vfs = self.vfs.unwrap_or(*vfs);
            *services = self.services.unwrap_or(*services);
            *model = self.model.unwrap_or(*model);
            if let Some(nodes) = self.numa_nodes {
                *numa_node = i32::try_from(number % nodes.max(1))?;
            }
        }
        config.engine_threads = self.engine_threads.unwrap_or(config.engine_threads);
        config.engine_cpu = self.engine_cpu.or(config.engine_cpu);
        config.timing.latency_us = self.latency_us.unwrap_or(config.timing.latency_us);
        config.timing.bytes_per_second = self.bandwidth.unwrap_or(config.timing.bytes_per_second);
        config.timing.null |= self.null;
        config.validate()?;
        Ok(config)
    }
}

/// Parses the value of an option.
fn value<T: FromStr>(parser: &mut lexopt::Parser) -> Result<T, Error>
where
    T::Err: Into<Error> + Send + Sync + 'static,
{
    parser.value()?.string()?.parse::<T>().map_err(Into::into)
}

pub(crate) fn parse(mut parser: lexopt::Parser) -> Result<Action, Error> {
    let mut options = Box::<Options>::default();
    let mut machine = MachineOptions::default();
    let mut command_given = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Action::Help),
            Arg::Short('V') | Arg::Long("version") => return Ok(Action::Version),
            Arg::Value(command) if !command_given => {
                if command != "run" {
                    return Err(format!(
                        "no command `{}`: the only command is `run`; see qat-emu --help",
                        command.display()
                    )
                    .into());
                }
                command_given = true;
            }
            Arg::Value(program) => {
                options.program = program;
                options.arguments = parser.raw_args()?.collect();
            }
            Arg::Long("vfs") => machine.vfs = Some(value(&mut parser)?),
            Arg::Long("devices") => machine.devices = Some(value(&mut parser)?),
            Arg::Long("numa-nodes") => machine.numa_nodes = Some(value(&mut parser)?),
            Arg::Long("services") => machine.services = Some(value(&mut parser)?),
            Arg::Long("model") => machine.model = Some(value(&mut parser)?),
            Arg::Long("engine-threads") => machine.engine_threads = Some(value(&mut parser)?),
            Arg::Long("engine-cpu") => machine.engine_cpu = Some(value(&mut parser)?),
            Arg::Long("latency-us") => machine.latency_us = Some(value(&mut parser)?),
            Arg::Long("bandwidth") => machine.bandwidth = Some(value(&mut parser)?),
            Arg::Long("null") => machine.null = true,
            Arg::Long("scenario") => machine.scenario = Some(parser.value()?.into()),
            Arg::Long("library-path") => options.library_path = Some(parser.value()?.into()),
            Arg::Long("loader") => options.loader = Some(parser.value()?.into()),
            Arg::Long("data") => options.data = Some(parser.value()?.into()),
            Arg::Long("report") => options.report = Some(parser.value()?.into()),
            Arg::Long("require-requests") => options.require_requests = value(&mut parser)?,
            Arg::Long("require-clean") => options.require_clean = true,
            other => return Err(other.unexpected().into()),
        }
    }
    if options.program.is_empty() {
        return Err("no program to run: name it after the options; see qat-emu --help".into());
    }
    options.config = machine.config()?;
    Ok(Action::Run(options))
}
