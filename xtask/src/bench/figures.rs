//! What every table of figures has: the machine they come from, and medians.

use std::fs;

use xshell::{Shell, cmd};

/// Prints what figures depend on besides the code.
pub(crate) fn print_machine(sh: &Shell) -> anyhow::Result<()> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let cores = std::thread::available_parallelism()?;
    let commit = cmd!(sh, "git rev-parse --short HEAD").quiet().read()?;
    let dirty = !cmd!(sh, "git status --porcelain").quiet().read()?.is_empty();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("machine  {} x {}", cores, model.unwrap_or("unknown"));
    println!("compiler {}", cmd!(sh, "rustc --version").quiet().read()?);
    println!("commit   {commit}{}", if dirty { " with local changes" } else { "" });
    println!("load     {} before the run", load.split_whitespace().next().unwrap_or("unknown"));
    Ok(())
}

/// The value in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}
