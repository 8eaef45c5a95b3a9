//! What callgrind counted in the threads that use libqat.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};

use super::{Rig, report};

/// Instructions by object file, and how often functions were called.
#[derive(Debug, Default)]
pub(super) struct Profile {
    pub(super) objects: BTreeMap<String, i64>,
    pub(super) calls: BTreeMap<String, i64>,
}

impl Profile {
    /// Runs a program under callgrind.
    pub(super) fn of(rig: &Rig, device: &[OsString], program: &[OsString]) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir_in(rig.scratch.path())?;
        let out = dir.path().join("profile");
        let mut all: Vec<OsString> =
            ["valgrind", "--tool=callgrind", "--separate-threads=yes", "--fair-sched=yes"]
                .map(Into::into)
                .into();
        // The start of libqat waits for the device as long as that takes.
        all.extend(["--zero-before=measured", "--zero-before=offload::measured*"].map(Into::into));
        all.push(["--callgrind-out-file=".as_ref(), out.as_os_str()].into_iter().collect());
        all.extend_from_slice(program);
        let mut command = rig.command(device, &all);
        // Else the first call of each function would pay for all.
        command.env("LD_BIND_NOW", "1");
        // Callgrind counts `rep movsb` once for each byte; vector copies are counted as they are executed.
        command.env("GLIBC_TUNABLES", "glibc.cpu.x86_rep_movsb_threshold=0x40000000");
        report(command).context("valgrind is needed for the count of instructions")?;
        let mut profile = Self::default();
        for entry in fs::read_dir(dir.path())? {
            profile.add_thread(&entry?.path(), &short(&program[0].to_string_lossy()))?;
        }
        ensure!(!profile.objects.is_empty(), "callgrind left no profile of the callers' threads");
        Ok(profile)
    }

    /// Adds a thread if the program runs in it or libqat does; else it is the emulator's, that is, the device.
    fn add_thread(&mut self, path: &Path, program: &str) -> anyhow::Result<()> {
        let thread = parse(&fs::read_to_string(path)?);
        if !["libqat", program].iter().any(|object| thread.objects.contains_key(*object)) {
            return Ok(());
        }
        for (object, cost) in thread.objects {
            *self.objects.entry(object).or_default() += cost;
        }
        for (function, count) in thread.calls {
            *self.calls.entry(function).or_default() += count;
        }
        Ok(())
    }

    /// How often an instance was polled, by whichever of the library's functions.
    pub(super) fn polls(&self) -> i64 {
        let polls = |name: &str| name.starts_with("icp_sal_") && name.ends_with("Instance");
        self.calls.iter().filter(|(name, _)| polls(name)).map(|(_, count)| count).sum()
    }
}

/// Reads the profile of one thread. Names are given once, as `(number) name`, and by number from then on; the line after
/// `calls=` is the cost of what was called, which its own lines have too.
fn parse(text: &str) -> Profile {
    let (mut objects, mut functions) = (BTreeMap::new(), BTreeMap::new());
    let (mut object, mut called) = (String::new(), String::new());
    let mut profile = Profile::default();
    let mut callee_cost = false;
    for line in text.lines() {
        match line.split_once('=') {
            Some(("ob", name)) => object = resolve(&mut objects, name),
            Some(("cob", name)) => drop(resolve(&mut objects, name)),
            Some(("fn", name)) => drop(resolve(&mut functions, name)),
            Some(("cfn", name)) => called = resolve(&mut functions, name),
            Some(("calls", counts)) => {
                let count = counts.split(' ').next().and_then(|count| count.parse::<i64>().ok());
                *profile.calls.entry(called.clone()).or_default() += count.unwrap_or_default();
                callee_cost = true;
            }
            None if line.starts_with(|c: char| c.is_ascii_digit() || "+-*".contains(c)) => {
                let cost = line.rsplit(' ').next().and_then(|cost| cost.parse::<i64>().ok());
                if !callee_cost {
                    *profile.objects.entry(short(&object)).or_default() += cost.unwrap_or_default();
                }
                callee_cost = false;
            }
            _ => {}
        }
    }
    profile
}

fn resolve(names: &mut BTreeMap<String, String>, text: &str) -> String {
    match text.split_once(") ") {
        Some((number, name)) => {
            names.insert(number.to_owned(), name.to_owned());
            name.to_owned()
        }
        None => names.get(text.trim_end_matches(')')).cloned().unwrap_or_default(),
    }
}

/// `/usr/lib/libqat.so.4.2.0` is `libqat`, `offload-0123456789abcdef` is `offload`.
fn short(object: &str) -> String {
    let name = object.rsplit('/').next().unwrap_or(object);
    name.split(['.', '-']).next().unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_read() {
        // By hand, after the format's description in valgrind's manual.
        let profile = parse(
            "events: Ir\nob=(1) /lib/liba.so.1\nfn=(1) outer\n16 400\ncob=(2) /bin/b-0f\ncfn=(2) inner\ncalls=3 50\n\
             16 800\n+1 7\n\nob=(2)\nfn=(2)\n50 800\nob=(1)\nfn=(3) other\n* 5\ncob=(2)\ncfn=(2)\ncalls=2 50\n* 9\n",
        );
        assert_eq!(profile.objects, BTreeMap::from([("liba".to_owned(), 412), ("b".to_owned(), 800)]));
        assert_eq!(profile.calls, BTreeMap::from([("inner".to_owned(), 5)]));
    }
}
