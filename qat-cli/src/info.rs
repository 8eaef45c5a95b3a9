//! `qat info`.
//!
//! With `--json` one object, whose names stay: `version`; `qat`, which is [`qat::Info`] as it serialises itself
//! (`available`, `unavailability` {`kind`, `message`}, `library` {`path`, `release_at_least`, `groups`}, `devices`,
//! `devices_error`, `services` [{`service`, `instances`, `unavailability`}], `capabilities`); and `cpu` {`threads`,
//! `isal` {`available`, `reason`}}. What is not known or not there is `null`.

use std::fmt::{self, Display};
use std::io::{self, Write};

use qat::{Info as QatInfo, QatAccelerator, software};
use serde::Serialize;
use serde_json::Value;

use crate::args::Info;
use crate::exit::{Exit, Failure, Result};
use crate::output;

#[derive(Serialize)]
struct Report {
    version: &'static str,
    qat: QatInfo,
    cpu: Cpu,
}

/// The CPU engine, which is always there.
#[derive(Serialize)]
struct Cpu {
    threads: usize,
    isal: Isal,
}

/// The optional part of the CPU engine.
#[derive(Serialize)]
struct Isal {
    available: bool,
    reason: Option<&'static str>,
}

/// Prints what there is. That something is missing is an answer and no failure.
pub(crate) fn print(args: &Info) -> Result<()> {
    let isal = software::isal().err();
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        qat: QatAccelerator::default().info(),
        cpu: Cpu {
            threads: std::thread::available_parallelism().map_or(1, Into::into),
            isal: Isal { available: isal.is_none(), reason: isal },
        },
    };
    let text = if args.json {
        let json = serde_json::to_string_pretty(&report);
        json.map_err(|error| Failure::new(Exit::Internal, format!("not expressible as JSON: {error}")))?
            + "\n"
    } else {
        report.to_string()
    };
    output::unbuffered(&io::stdout())
        .and_then(|mut stdout| stdout.write_all(text.as_bytes()))
        .map_err(|error| Failure::writing("standard output", &error))
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, qat, cpu } = self;
        writeln!(f, "qat {version}")?;
        match &qat.unavailability {
            None => writeln!(f, "QAT: available")?,
            Some(reason) => writeln!(f, "QAT: not available: {reason}")?,
        }
        match &qat.library {
            None => writeln!(f, "libqat: not loaded")?,
            Some(library) => {
                let path = library.path.as_ref().map_or("loaded".into(), |path| path.display().to_string());
                writeln!(f, "libqat: {path}, qatlib {} or newer", library.release_at_least)?;
                for group in library.groups.iter().filter(|group| !group.present) {
                    writeln!(f, "  without {}, which needs qatlib {}", group.name, group.since)?;
                }
            }
        }
        match &qat.devices_error {
            None if qat.devices.is_empty() => writeln!(f, "devices: none found")?,
            None => writeln!(f, "devices: {}", qat.devices.len())?,
            Some(error) => writeln!(f, "devices: not known: {error}")?,
        }
        for device in &qat.devices {
            write!(f, "  {} {}", device.id, device.model.name)?;
            f.write_str(if device.is_virtual() { ", virtual function" } else { ", physical function" })?;
            write!(f, ", driver {}", device.driver.as_deref().unwrap_or("none"))?;
            if let Some(state) = &device.state {
                write!(f, ", {state}")?;
            }
            if let Some(services) = &device.services {
                let services: Vec<String> = services.iter().map(ToString::to_string).collect();
                write!(f, ", services {}", services.join(";"))?;
            }
            if let Some(node) = device.numa_node {
                write!(f, ", NUMA node {node}")?;
            }
            writeln!(f, ", {}", device.support)?;
        }
        for service in &qat.services {
            write!(f, "service {}: {} instances", service.service, service.instances)?;
            match &service.unavailability {
                None => writeln!(f)?,
                Some(reason) => writeln!(f, ": {reason}")?,
            }
        }
        if let Some(capabilities) = &qat.capabilities {
            let mut names = Vec::new();
            granted(&serde_json::to_value(capabilities).unwrap_or_default(), "", &mut names);
            writeln!(f, "capabilities: {}", names.join(", "))?;
        }
        writeln!(f, "CPU: {} threads, every format and cipher", cpu.threads)?;
        match cpu.isal.reason {
            None => writeln!(f, "  ISA-L: loaded, for levels 1 and 2 of gzip, zlib and deflate"),
            Some(reason) => writeln!(
                f,
                "  ISA-L: not loaded: {reason}; it makes levels 1 and 2 of gzip, zlib and deflate faster (Debian, Ubuntu: libisal2; Fedora: isa-l)"
            ),
        }
    }
}

/// The dotted names of what is true in `value`.
fn granted(value: &Value, name: &str, names: &mut Vec<String>) {
    match value {
        Value::Bool(true) => names.push(name.to_owned()),
        Value::Object(members) => {
            for (member, value) in members {
                let dot = if name.is_empty() { "" } else { "." };
                granted(value, &format!("{name}{dot}{member}"), names);
            }
        }
        _ => {}
    }
}
