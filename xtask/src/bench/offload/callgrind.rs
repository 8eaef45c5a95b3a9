//! What callgrind counted in a program on a device that answers at once.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};

use super::{Program, Rig, report};

/// The device, which answers on the program's own threads.
const DEVICE: &str = "libqat_emu";
/// What makes it answer.
const SERVE: &str = "qat_emu_serve";
/// The library in front of the polls that calls it.
const AT_ONCE: &str = "at_once";
/// What the thread calls that starts and stops the library. Where it is one of its own, the wait for the mailbox and the
/// wiping of memory are no part of a request; where it is the caller's, `measured` cuts them off.
const START: &str = "icp_sal_userStart";
/// Entry points of the C library's allocator, `free` aside.
const ALLOCATIONS: [&str; 6] = ["malloc", "calloc", "realloc", "memalign", "posix_memalign", "aligned_alloc"];

/// What a program executed from the function `measured` on, in all threads, without the device.
#[derive(Debug, Default)]
pub(super) struct Profile {
    /// Instructions by object file.
    pub(super) objects: BTreeMap<String, i64>,
    pub(super) allocations: i64,
    pub(super) clock_reads: i64,
}

impl Profile {
    /// Runs a program under callgrind.
    pub(super) fn of(rig: &Rig, device: &[OsString], program: &Program) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir_in(rig.scratch.path())?;
        let out = dir.path().join("profile");
        let mut tool: Vec<OsString> =
            ["valgrind", "--tool=callgrind", "--separate-threads=yes", "--fair-sched=yes"]
                .map(Into::into)
                .into();
        tool.extend(["--zero-before=measured", "--zero-before=offload::measured*"].map(Into::into));
        tool.push(["--callgrind-out-file=".as_ref(), out.as_os_str()].into_iter().collect());
        let mut command = rig.at_once(device, &tool, program);
        // Else the first call of each function would pay for all.
        command.env("LD_BIND_NOW", "1");
        // Callgrind counts `rep movsb` once for each byte; vector copies are counted as they are executed.
        command.env("GLIBC_TUNABLES", "glibc.cpu.x86_rep_movsb_threshold=0x40000000");
        report(command).context("valgrind is needed for the count of instructions")?;
        let mut profile = Self::default();
        for entry in fs::read_dir(dir.path())? {
            profile.add(Thread::parse(&fs::read_to_string(entry?.path())?))?;
        }
        ensure!(profile.objects.contains_key("libqat"), "callgrind left no profile of the program's threads");
        Ok(profile)
    }

    fn add(&mut self, thread: Thread) -> anyhow::Result<()> {
        if thread.calls.contains_key(START) && !thread.measures {
            let is_request = |name: &&String| name.starts_with("icp_sal_") && name.contains("Poll");
            let polls = thread.calls.keys().find(is_request);
            ensure!(
                polls.is_none(),
                "the thread that starts the library, which is not counted, calls {polls:?}"
            );
            return Ok(());
        }
        let calls = |names: &[&str]| -> i64 {
            let counts = names.iter().filter_map(|name| thread.calls.get(*name));
            counts.map(|calls| calls.count).sum()
        };
        self.allocations += calls(&ALLOCATIONS);
        self.clock_reads += calls(&["clock_gettime"]);
        let mut objects = thread.objects;
        let own = objects.remove(DEVICE).unwrap_or_default();
        objects.remove(AT_ONCE);
        // The device calls nothing but the C library.
        let served = thread.calls.get(SERVE).map_or(0, |calls| calls.cost);
        *objects.entry("libc".to_owned()).or_default() -= (served - own).max(0);
        for (object, cost) in objects {
            *self.objects.entry(object).or_default() += cost;
        }
        Ok(())
    }
}

/// Calls of one function, but those by the device.
#[derive(Debug, Default, PartialEq, Eq)]
struct Calls {
    count: i64,
    /// With all that was called by it.
    cost: i64,
}

/// The profile of one thread.
#[derive(Debug, Default)]
struct Thread {
    objects: BTreeMap<String, i64>,
    calls: BTreeMap<String, Calls>,
    /// Whether the measured function ran here.
    measures: bool,
}

impl Thread {
    /// Names are given once, as `(number) name`, and by number from then on; the line after `calls=` is the cost of
    /// what was called, which its own lines have too.
    fn parse(text: &str) -> Self {
        let (mut objects, mut functions) = (BTreeMap::new(), BTreeMap::new());
        let (mut object, mut called) = (String::new(), String::new());
        let mut thread = Self::default();
        let mut ran = BTreeSet::new();
        let mut callee = None;
        for line in text.lines() {
            match line.split_once('=') {
                Some(("ob", name)) => object = short(&resolve(&mut objects, name)),
                Some(("cob", name)) => drop(resolve(&mut objects, name)),
                Some(("fn", name)) => drop(ran.insert(resolve(&mut functions, name))),
                Some(("cfn", name)) => called = plain(&resolve(&mut functions, name)).to_owned(),
                Some(("calls", counts)) => {
                    let count = counts.split(' ').next().and_then(|count| count.parse::<i64>().ok());
                    callee = count;
                }
                None if line.starts_with(|c: char| c.is_ascii_digit() || "+-*".contains(c)) => {
                    let cost = line.rsplit(' ').next().and_then(|cost| cost.parse::<i64>().ok());
                    let cost = cost.unwrap_or_default();
                    match callee.take() {
                        None => *thread.objects.entry(object.clone()).or_default() += cost,
                        Some(count) if object != DEVICE => {
                            let calls = thread.calls.entry(called.clone()).or_default();
                            calls.count += count;
                            calls.cost += cost;
                        }
                        Some(_) => {}
                    }
                }
                _ => {}
            }
        }
        thread.measures = ran.iter().any(|name| name == "measured" || name.starts_with("offload::measured"));
        thread
    }
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

/// `malloc@@GLIBC_2.2.5` and `recursive'2` are called `malloc` and `recursive`.
fn plain(function: &str) -> &str {
    function.split(['@', '\'']).next().unwrap_or(function)
}

/// `/usr/lib/libqat.so.4.2.0` is `libqat`, `offload-0123456789abcdef` is `offload`.
fn short(object: &str) -> String {
    let name = Path::new(object).file_name().map_or_else(|| object.into(), |name| name.to_string_lossy());
    name.split(['.', '-']).next().unwrap_or(&name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_read() {
        // By hand, after the format's description in valgrind's manual.
        let thread = Thread::parse(
            "events: Ir\nob=(1) /lib/liba.so.1\nfn=(1) outer\n16 400\ncob=(2) /bin/b-0f\ncfn=(2) inner\ncalls=3 50\n\
             16 800\n+1 7\n\nob=(2)\nfn=(2)\n50 800\nob=(1)\nfn=(3) measured\n* 5\ncob=(2)\ncfn=(2)\ncalls=2 50\n* 9\n\
             ob=(3) /x/libqat_emu.so\nfn=(4) device\n1 30\ncfn=(2)\ncalls=7 50\n1 70\n",
        );
        let objects =
            [("liba", 412), ("b", 800), ("libqat_emu", 30)].map(|(name, cost)| (name.to_owned(), cost));
        assert_eq!(thread.objects, BTreeMap::from(objects));
        assert_eq!(thread.calls, BTreeMap::from([("inner".to_owned(), Calls { count: 5, cost: 809 })]));
        assert!(thread.measures);
    }

    #[test]
    fn the_device_is_no_part_of_a_program() {
        // 100 instructions of the program, 20 of the layer that has the device answer; the device's 50, and 8 of the
        // C library's for it, where the program has 5 of its own.
        let mut profile = Profile::default();
        let program = Thread::parse(
            "ob=(1) /bin/program\nfn=(1) measured\n1 100\ncob=(2) /x/at_once.so\ncfn=(2) poll\ncalls=1 1\n1 78\n\
             cob=(4) /lib/libc.so.6\ncfn=(4) malloc@@GLIBC_2.2.5\ncalls=2 1\n1 5\nob=(2)\nfn=(2)\n1 20\n\
             cob=(3) /x/libqat_emu.so\ncfn=(3) qat_emu_serve\ncalls=1 1\n1 58\nob=(3)\nfn=(3)\n1 50\ncob=(4)\n\
             cfn=(4)\ncalls=4 1\n1 8\nob=(4)\nfn=(4)\n1 13\n",
        );
        profile.add(program).unwrap();
        let starting =
            "ob=(1) /bin/program\nfn=(1) thread\n1 7\ncfn=(2) icp_sal_userStart\ncalls=1 1\n1 60\n";
        profile.add(Thread::parse(starting)).unwrap();
        let objects = [("program", 100), ("libc", 5)].map(|(name, cost)| (name.to_owned(), cost));
        assert_eq!(profile.objects, BTreeMap::from(objects));
        assert_eq!(profile.allocations, 2);
        let polling = format!("{starting}cfn=(3) icp_sal_DcPollInstance\ncalls=1 1\n1 60\n");
        assert!(profile.add(Thread::parse(&polling)).is_err());
    }
}
