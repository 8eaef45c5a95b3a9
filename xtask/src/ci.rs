//! `cargo xtask test` and `cargo xtask ci JOB`: the same jobs on a developer's machine and on every runner.

mod checks;
mod fuzz;
mod memory;
mod packages;
mod report;
mod run;
mod samples;
mod tests;
mod windows;
mod wine;

use std::time::Instant;

use anyhow::Context as _;
use xshell::Shell;

use crate::{flags, tools};

/// When the test run starts a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// The job starts after the job before it has ended.
    InTurn,
    /// The job starts together with the job before it, and runs beside those after it, because it mostly waits or uses
    /// one core.
    Beside,
    /// The test run does not start the job. It is run by hand, or on another runner.
    Alone,
}

/// A job: its name, when the test run starts it, the programs that it needs, what it checks, and its function.
struct Job {
    name: &'static str,
    when: When,
    tools: &'static [&'static str],
    about: &'static str,
    run: fn(&Shell) -> anyhow::Result<()>,
}

const fn job(
    name: &'static str,
    when: When,
    tools: &'static [&'static str],
    about: &'static str,
    run: fn(&Shell) -> anyhow::Result<()>,
) -> Job {
    Job { name, when, tools, about, run }
}

use When::{Alone, Beside, InTurn};

/// The jobs in the order of a test run. Those that fail fast come first.
const JOBS: &[Job] = &[
    job("fmt", InTurn, &[], "the formatting", checks::fmt),
    job("tidy", InTurn, &["git"], "the rules that no compiler checks", |sh| flags::Tidy {}.run(sh)),
    job("drift", InTurn, &[], "bindings and coverage table against both releases of libqat", checks::drift),
    job("clippy", InTurn, &["cc"], "lints, in every feature combination that changes code", checks::clippy),
    job("build", InTurn, &["cc"], "compilation and downloads for the jobs below", tests::build),
    job("samples", Beside, &["cc"], "Intel's own programs on emulated devices", samples::samples),
    job(
        "valgrind",
        Beside,
        &["valgrind"],
        "memcheck on libqat, the emulated device and the crates",
        memory::memcheck,
    ),
    job(
        "test",
        InTurn,
        tools::FOR_TESTS,
        "unit, conformance, vector, interoperability and command tests",
        tests::test,
    ),
    job(
        "linked",
        InTurn,
        &["cc", "pkg-config"],
        "qat-sys linked against libqat instead of loading it",
        tests::linked,
    ),
    job("docs", InTurn, &["cc"], "documentation without warnings, and its examples", tests::docs),
    job("examples", InTurn, &["cc"], "a run of every example", tests::examples),
    job("bench-smoke", InTurn, &["cc"], "one pass of each bench", tests::bench_smoke),
    job("fuzz-smoke", InTurn, &["c++"], "some seconds of each fuzz target", fuzz::smoke),
    job(
        "package",
        Alone,
        &["git"],
        "the packages to publish: complete, and building by themselves",
        packages::package,
    ),
    job("msrv", InTurn, &["cc"], "the oldest supported compiler", checks::msrv),
    job(
        "windows-gnu",
        InTurn,
        &["x86_64-w64-mingw32-gcc", "wine"],
        "the Windows build, and its unit tests under Wine",
        windows::gnu,
    ),
    job(
        "deny",
        InTurn,
        &["cc", "git"],
        "licences, bans, sources and advisories of the dependencies",
        checks::deny,
    ),
    job("miri", Alone, &["cc"], "the bookkeeping of requests under Miri", memory::miri),
    job(
        "native",
        Alone,
        &[],
        "unit tests on a runner without Debian's packages (Windows, macOS)",
        windows::native,
    ),
    job(
        "fuzz-asan",
        Alone,
        &["c++", "gzip", "zstd", "lz4"],
        "some minutes of each fuzz target under AddressSanitizer, on a nightly toolchain",
        fuzz::address_sanitizer,
    ),
];

impl flags::Test {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        let mut report = report::Report::start();
        if self.install {
            println!("installing the Debian packages that the tests need");
            tools::install(sh)?;
        }
        let jobs: Vec<&Job> = JOBS.iter().filter(|job| job.when != Alone).collect();
        let all: Vec<&str> = jobs.iter().flat_map(|job| job.tools).copied().collect();
        tools::need(sh, &all)?;
        run::all(&jobs, &mut report)
    }
}

impl flags::Ci {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        if self.job == "list" {
            for job in JOBS {
                println!("{:<12} {}", job.name, job.about);
            }
            return Ok(());
        }
        let job = JOBS
            .iter()
            .find(|job| job.name == self.job)
            .with_context(|| format!("unknown job {:?}; `cargo xtask ci list` prints all jobs", self.job))?;
        println!("==> {}: {}", job.name, job.about);
        let start = Instant::now();
        tools::need(sh, job.tools)?;
        (job.run)(sh).with_context(|| format!("job {} failed", job.name))?;
        println!("==> {} took {} s", job.name, start.elapsed().as_secs());
        Ok(())
    }
}
