//! Instructions, heap allocations and system calls per request, on a device that answers at once.
//!
//! How often a poll finds nothing depends on the device, and so does how a program waits; neither must count. So the
//! device has no threads: it answers on the thread that polls, just before the poll looks (`qat/benches/at_once.c`). No
//! poll finds nothing, nobody waits, and what is left is what requests cost. What the device itself executed is taken
//! out again. The difference of two runs, with N requests and with 2N, is without what happens once.
//!
//! Blocking calls are counted at depth 1: of more threads most wait for each other, and callgrind runs one at a time.
//! Where several threads poll all the same, as those of futures do, counts vary; each is taken twice to see.

use std::collections::BTreeSet;
use std::ffi::OsString;

use super::callgrind::Profile;
use super::{Failures, Program, Rig, strace};

/// A program and its options, without number, size and depth of the requests.
struct Row {
    name: &'static str,
    ours: bool,
    arguments: &'static str,
    /// The row of the C program that does the same: copies where this one has to copy.
    like: usize,
}

const fn c(name: &'static str, arguments: &'static str, like: usize) -> Row {
    Row { name, ours: false, arguments, like }
}

const fn qat(name: &'static str, arguments: &'static str, like: usize) -> Row {
    Row { name, ours: true, arguments, like }
}

/// Requests of one kind.
struct Group {
    name: &'static str,
    sizes: [usize; 2],
    device: &'static [&'static str],
    rows: &'static [Row],
}

const GROUPS: [Group; 2] = [
    Group {
        name: "deflate",
        sizes: [64 << 10, 4 << 10],
        device: &["--engine-threads", "0", "--services", "dc", "--null"],
        rows: &[
            c("C, session", "-m session", 0),
            c("C, data plane", "-m dp", 1),
            c("C, session, copies", "-m session -c", 2),
            qat("qat, device memory", "-m deflate -a dma", 0),
            qat("qat, blocking slices", "-m deflate -a blocking", 2),
            qat("qat, futures", "-m deflate -a futures", 2),
        ],
    },
    Group {
        name: "AES-256-GCM",
        sizes: [16 << 10, 4 << 10],
        // The null device leaves messages as they are, and so fails the trial of the cipher.
        device: &["--engine-threads", "0", "--services", "sym"],
        rows: &[
            c("C, session", "-m gcm", 0),
            c("C, data plane", "-m gcm-dp", 1),
            c("C, session, copies", "-m gcm -c", 2),
            qat("qat, blocking slices", "-m gcm -a blocking", 2),
            qat("qat, futures", "-m gcm -a futures", 2),
        ],
    },
];

/// The shorter of two runs: a multiple of the depths.
const REQUESTS: i64 = 256;
/// The same for system calls, which cost less to count; more, so that a rare one is not taken for none.
const TRACED: i64 = 2048;
/// Requests of ours before that: memory comes in pieces, the last of them late. The C program has all of its own.
const WARM_UP: &str = "-w 1024";

/// Per request.
struct Cost {
    /// Instructions, and how far two counts of them are apart, as a share.
    total: f64,
    apart: f64,
    /// By object, highest first.
    instructions: Vec<(String, f64)>,
    allocations: f64,
    clock_reads: f64,
    system_calls: Vec<(String, f64)>,
}

pub(super) fn measure(rig: &Rig, quick: bool, failures: &mut Failures) {
    println!(
        "\nper request: instructions of all threads that submit or poll, the device's own not counted, mean of two"
    );
    println!(
        "counts and how far they are apart; ratios to the C program that does the same and to the plain one; heap"
    );
    println!("allocations, clock reads and system calls");
    for group in &GROUPS {
        for bytes in if quick { &group.sizes[..1] } else { &group.sizes[..] } {
            for depth in [1, 64] {
                table(rig, group, bytes, depth, failures);
            }
        }
    }
}

fn table(rig: &Rig, group: &Group, bytes: &usize, depth: usize, failures: &mut Failures) {
    let title = format!("{}, {} KiB, depth {depth}", group.name, bytes >> 10);
    println!(
        "\n{title:<28} {:>7} {:>6} {:>8} {:>9} {:>6} {:>6} {:>7}  of which",
        "instr.", "apart", "to like", "to plain", "heap", "clock", "system"
    );
    let mut totals = Vec::new();
    for row in group.rows.iter().filter(|row| depth == 1 || !row.arguments.contains("blocking")) {
        let options = format!("{} -s {bytes} -d {depth}", row.arguments);
        let Some(cost) = failures.or_print(row.name, cost(rig, group.device, row, &options)) else {
            totals.push(f64::NAN);
            continue;
        };
        let total = cost.total;
        totals.push(total);
        let parts = |all: &[(String, f64)], least: f64, digits: usize| {
            let shown = all.iter().filter(|(_, cost)| cost.abs() >= least);
            shown.map(|(name, cost)| format!("{name} {cost:.digits$}")).collect::<Vec<_>>()
        };
        let of_which =
            [parts(&cost.instructions, 0.5, 0), parts(&cost.system_calls, 0.005, 2)].concat().join(", ");
        let system: f64 = cost.system_calls.iter().map(|(_, calls)| calls).sum();
        println!(
            "{:<28} {total:>7.0} {:>5.1}% {:>8.3} {:>9.3} {:>6.2} {:>6.2} {system:>7.2}  {of_which}",
            row.name,
            100.0 * cost.apart,
            total / totals[row.like],
            total / totals[0],
            cost.allocations,
            cost.clock_reads
        );
    }
}

fn cost(rig: &Rig, device: &[&str], row: &Row, options: &str) -> anyhow::Result<Cost> {
    let device: Vec<_> = device.iter().map(OsString::from).collect();
    let warm_up = if row.ours { WARM_UP } else { "" };
    let program = |requests: i64| Program::new(row.ours, format!("{options} -n {requests} {warm_up}"));
    let profile = |requests| Profile::of(rig, &device, &program(requests));
    let pairs = [(); 2].map(|()| Ok::<_, anyhow::Error>((profile(REQUESTS)?, profile(2 * REQUESTS)?)));
    let [first, second] = pairs;
    let (first, second) = (first?, second?);
    let traced = |requests| strace::calls(rig, &device, &program(requests));
    let (few, many) = (traced(TRACED)?, traced(2 * TRACED)?);

    // Of the requests that both longer runs have more than the shorter ones.
    let each = |of: &dyn Fn(&Profile) -> i64| {
        let difference = |(one, two): &(Profile, Profile)| (of(two) - of(one)) as f64 / REQUESTS as f64;
        [difference(&first), difference(&second)]
    };
    let mean = |[a, b]: [f64; 2]| (a + b) / 2.0;
    let totals = each(&|profile| profile.objects.values().sum());
    let all = [&first.0, &first.1, &second.0, &second.1];
    let names: BTreeSet<_> = all.iter().flat_map(|profile| profile.objects.keys()).collect();
    let of = |name: &String| mean(each(&|profile| profile.objects.get(name).copied().unwrap_or_default()));
    let mut instructions: Vec<_> = names.into_iter().map(|name| (name.clone(), of(name))).collect();
    instructions.sort_by(|a, b| b.1.total_cmp(&a.1));
    let more = |(name, count): (&String, &i64)| {
        let before = few.get(name).copied().unwrap_or_default();
        (name.clone(), (count - before) as f64 / TRACED as f64)
    };
    let mut system_calls: Vec<_> = many.iter().map(more).collect();
    system_calls.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(Cost {
        total: mean(totals),
        apart: (totals[0] - totals[1]).abs() / mean(totals),
        instructions,
        allocations: mean(each(&|profile| profile.allocations)),
        clock_reads: mean(each(&|profile| profile.clock_reads)),
        system_calls,
    })
}
