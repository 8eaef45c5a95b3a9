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

/// Schedule the test run starts a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Schedule {
    /// The job starts after the job before it has finished.
    Sequential,
    /// The job starts together with the job before it, and runs concurrently with those after it, because it mostly
    /// waits or uses one core.
    Concurrent,
    /// The test run does not start the job. It is run by hand, or on another runner.
    Manual,
}

/// A job: its name, when the test run starts it, the programs that it needs, what it checks, and its function.
struct Job {
    name: &'static str,
    schedule: Schedule,
    tools: &'static [&'static str],
    about: &'static str,
    run: fn(&Shell) -> anyhow::Result<()>,
}

const fn job(
    name: &'static str,
    schedule: Schedule,
    tools: &'static [&'static str],
    about: &'static str,
    run: fn(&Shell) -> anyhow::Result<()>,
) -> Job {
    Job { name, schedule, tools, about, run }
}

use Schedule::{Concurrent, Manual, Sequential};

/// The jobs in the order of a test run. Those that fail fast come first.
const JOBS: &[Job] = &[
    job("fmt", Sequential, &[], "the formatting", checks::fmt),
    job("tidy", Sequential, &["git"], "the rules that no compiler checks", |sh| flags::Tidy {}.run(sh)),
    job(
        "drift",
        Sequential,
        &[],
        "bindings and coverage table against both releases of libqat",
        checks::drift,
    ),
    job(
        "clippy",
        Sequential,
        &["cc"],
        "lints, in every feature combination that changes code",
        checks::clippy,
    ),
    job("build", Sequential, &["cc"], "compilation and downloads for the jobs below", tests::build),
    job("samples", Concurrent, &["cc"], "Intel's own programs on emulated devices", samples::samples),
    job(
        "valgrind",
        Concurrent,
        &["valgrind"],
        "memcheck on libqat, the emulated device and the crates",
        memory::memcheck,
    ),
    job(
        "test",
        Sequential,
        tools::FOR_TESTS,
        "unit, conformance, vector, interoperability and command tests",
        tests::test,
    ),
    job(
        "linked",
        Sequential,
        &["cc", "pkg-config"],
        "qat-sys linked against libqat instead of loading it",
        tests::linked,
    ),
    job("docs", Sequential, &["cc"], "documentation without warnings, and its examples", tests::docs),
    job("examples", Sequential, &["cc"], "a run of every example", tests::examples),
    job("bench-smoke", Sequential, &["cc"], "one pass of each bench", tests::bench_smoke),
    job("fuzz-smoke", Sequential, &["c++"], "some seconds of each fuzz target", fuzz::smoke),
    job(
        "package",
        Manual,
        &["git"],
        "the packages to publish: complete, and building by themselves",
        packages::package,
    ),
    job("msrv", Sequential, &["cc"], "the oldest supported compiler", checks::msrv),
    job(
        "windows-gnu",
        Sequential,
        &["x86_64-w64-mingw32-gcc", "wine"],
        "the Windows build, and its unit tests under Wine",
        windows::gnu,
    ),
    job(
        "deny",
        Sequential,
        &["cc", "git"],
        "licences, bans, sources and advisories of the dependencies",
        checks::deny,
    ),
    job("miri", Manual, &["cc"], "the bookkeeping of requests under Miri", memory::miri),
    job(
        "native",
        Manual,
        &[],
        "unit tests on a runner without Debian's packages (Windows, macOS)",
        windows::native,
    ),
    job(
        "fuzz-asan",
        Manual,
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
        let jobs: Vec<&Job> = JOBS.iter().filter(|job| job.schedule != Manual).collect();
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
