//! The command `qat info`, which prints devices, libraries and capabilities.
//!
//! With `--json` it prints one object with stable names: `version`; `qat`, which is [`qat::info::Info`] serialised
//! (`available`, `unavailability` {`kind`, `message`}, `ignored_variables`, `library` {`path`, `release_at_least`,
//! `groups`}, `devices`, `devices_error`, `counters` [{`device`, `firmware`, `firmware_error`, `telemetry`,
//! `telemetry_error`}], `services` [{`service`, `instances`, `unavailability`}], `capabilities`); and `cpu` {`threads`,
//! `isal` {`available`, `reason`, `path`}}. Values that are unknown or absent are `null`.

use std::fmt::{self, Display};
use std::path::Path;

use qat::info::Info as QatInfo;
use qat::probe::{CountersError, DeviceCounters};
use qat::{QatAccelerator, software};
use serde::Serialize;
use serde_json::Value;

use crate::args::Info;
use crate::exit::{Exit, Failure, Result};
use crate::standard;

#[derive(Serialize)]
struct Report {
    version: &'static str,
    qat: QatInfo,
    cpu: Cpu,
}

/// The CPU engine, which is always available.
#[derive(Serialize)]
struct Cpu {
    threads: usize,
    isal: Isal,
}

/// ISA-L, the optional library of the CPU engine.
#[derive(Serialize)]
struct Isal {
    available: bool,
    reason: Option<&'static str>,
    /// The file that it was loaded from, whose name ends with the version; `None` where it was not loaded or the file
    /// is unknown.
    path: Option<&'static Path>,
}

/// Prints the report. A missing device or library is part of the report, and not a failure.
pub(crate) fn print(args: &Info) -> Result<()> {
    let isal = software::isal();
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        qat: QatAccelerator::default().info(),
        cpu: Cpu {
            threads: std::thread::available_parallelism().map_or(1, Into::into),
            isal: Isal { available: isal.is_ok(), reason: isal.err(), path: isal.ok().flatten() },
        },
    };
    let text = if args.json {
        let json = serde_json::to_string_pretty(&report);
        json.map_err(|error| {
            Failure::new(Exit::Internal, format!("cannot serialise the report as JSON: {error}"))
        })? + "\n"
    } else {
        report.to_string()
    };
    standard::print(text.as_bytes()).map_err(|error| Failure::writing(standard::OUTPUT, &error))
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, qat, cpu } = self;
        writeln!(f, "qat {version}")?;
        match &qat.unavailability {
            None => writeln!(f, "QAT: available")?,
            Some(reason) => writeln!(f, "QAT: not available: {reason}")?,
        }
        if !qat.ignored_variables.is_empty() {
            writeln!(
                f,
                "ignored: {}, because this process has more privileges than its caller (set-user-ID, set-group-ID or \
                 file capabilities)",
                qat.ignored_variables.join(", ")
            )?;
        }
        match &qat.library {
            None => writeln!(f, "libqat: not loaded")?,
            Some(library) => {
                let path = library.path.as_ref().map_or("loaded".into(), |path| path.display().to_string());
                writeln!(f, "libqat: {path}, qatlib {} or newer", library.release_at_least)?;
                for group in library.groups.iter().filter(|group| !group.present) {
                    writeln!(f, "  not supported: {}, which requires qatlib {}", group.name, group.since)?;
                }
            }
        }
        match &qat.devices_error {
            None if qat.devices.is_empty() => writeln!(f, "devices: none found")?,
            None => writeln!(f, "devices: {}", qat.devices.len())?,
            Some(error) => writeln!(f, "devices: unknown: {error}")?,
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
            for counters in qat.counters.iter().filter(|counters| counters.device == device.id) {
                write_counters(f, counters)?;
            }
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
        writeln!(f, "CPU: {} threads, all formats and ciphers", cpu.threads)?;
        let file = cpu.isal.path.map_or_else(String::new, |path| format!(" from {}", path.display()));
        match cpu.isal.reason {
            None => {
                writeln!(f, "  ISA-L: loaded{file}, for compression at level 1 of gzip, zlib and deflate")
            }
            Some(reason) => writeln!(
                f,
                "  ISA-L: not used: {reason}; install it to speed up level 1 of gzip, zlib and deflate (Debian, \
                 Ubuntu: libisal2; Fedora: isa-l)"
            ),
        }
    }
}

/// Prints the counters of the kernel's driver for a device, or why they cannot be read.
fn write_counters(f: &mut fmt::Formatter<'_>, counters: &DeviceCounters) -> fmt::Result {
    let errors = (&counters.firmware_error, &counters.telemetry_error);
    if let (Some(error @ CountersError::Denied { .. }), Some(CountersError::Denied { .. })) = errors {
        // Without root, permission is denied for both, for every device. One line is enough.
        return writeln!(f, "    counters: {error}");
    }
    if let Some(firmware) = &counters.firmware {
        let (requests, responses) = (firmware.requests(), firmware.responses());
        writeln!(f, "    firmware: {requests} requests, {responses} responses since the device was started")?;
    }
    if let Some(error) = &counters.firmware_error {
        writeln!(f, "    firmware: {error}")?;
    }
    if let Some(telemetry) = &counters.telemetry {
        let slices = telemetry.counters.iter();
        let slices: Vec<_> = slices
            .filter_map(|(name, value)| Some(format!("{} {value} %", name.strip_prefix("util_")?)))
            .collect();
        writeln!(f, "    telemetry: utilisation in the last {} s: {}", telemetry.window, slices.join(", "))?;
    }
    if let Some(error) = &counters.telemetry_error {
        writeln!(f, "    telemetry: {error}")?;
    }
    Ok(())
}

/// Collects the dotted names of the members of `value` that are true.
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::Arc;

    use qat::probe::QatProbe;

    use super::*;

    /// The directory imitates the `sys` of a machine with one device.
    #[test]
    fn counters_are_listed_below_their_device() {
        let root = tempfile::tempdir().unwrap();
        let device = root.path().join("sys/bus/pci/devices/0000:6b:00.0");
        let debug = root.path().join("sys/kernel/debug/qat_4xxx_0000:6b:00.0");
        fs::create_dir_all(&device).unwrap();
        fs::create_dir_all(debug.join("telemetry")).unwrap();
        fs::write(device.join("vendor"), "0x8086\n").unwrap();
        fs::write(device.join("device"), "0x4940\n").unwrap();
        symlink("../../../bus/pci/drivers/4xxx", device.join("driver")).unwrap();
        let said = || {
            let registry = QatAccelerator::default().registry().clone();
            let qat = QatAccelerator::new(registry, Arc::new(QatProbe::with_root(root.path()))).info();
            let isal = Isal { available: true, reason: None, path: None };
            Report { version: "0", qat, cpu: Cpu { threads: 1, isal } }.to_string()
        };
        let text = said();
        assert!(text.contains("    firmware: cannot read /"), "{text}");
        assert!(text.contains("    telemetry: cannot read /"), "{text}");

        fs::write(debug.join("fw_counters"), "AE Requests Responses\n0: 7 6\n1: 10 10\n").unwrap();
        fs::write(debug.join("telemetry/control"), "0\n").unwrap();
        let text = said();
        assert!(text.contains("    firmware: 17 requests, 16 responses since"), "{text}");
        assert!(text.contains("    telemetry: telemetry is off; to switch it on"), "{text}");

        fs::write(debug.join("telemetry/control"), "2\n").unwrap();
        let data = "sample_cnt 9\nbw_in 1 1 1 1\nutil_cpr0 90 10 90 50\nutil_ucs0 0 0 0 0\n";
        fs::write(debug.join("telemetry/device_data"), data).unwrap();
        let text = said();
        assert!(text.contains("    telemetry: utilisation in the last 2 s: cpr0 50 %, ucs0 0 %\n"), "{text}");
    }
}
