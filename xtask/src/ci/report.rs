//! What a test run says in the end: how long each job took, which test programs were slowest, how many tests passed.

use std::fs;
use std::time::{Duration, Instant};

/// How one job ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    pub(super) name: &'static str,
    pub(super) beside: bool,
    pub(super) succeeded: bool,
    pub(super) took: Duration,
    pub(super) tests: Tests,
    /// What the job said that it left out.
    pub(super) gaps: Vec<String>,
    /// Test programs, by the names that Cargo gives them.
    pub(super) programs: Vec<(String, Duration)>,
}

/// Numbers of tests, from the closing lines of test programs.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tests {
    pub(super) passed: u64,
    pub(super) failed: u64,
}

impl Tests {
    /// Reads `test result: ok. 3 passed; 0 failed; ...`.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let counts = line.trim().strip_prefix("test result: ")?;
        let count = |what: &str| {
            counts.split([';', '.']).find_map(|part| part.trim().strip_suffix(what)?.trim().parse().ok())
        };
        Some(Self { passed: count("passed")?, failed: count("failed")? })
    }

    pub(super) fn add(&mut self, more: Self) {
        self.passed += more.passed;
        self.failed += more.failed;
    }
}

/// A test run.
pub(super) struct Report {
    start: Instant,
    /// From the start of this process, which `cargo run` has been, too: so it is the build of these tasks.
    before: Duration,
    jobs: Vec<Ended>,
}

impl Report {
    pub(super) fn start() -> Self {
        Self { start: Instant::now(), before: age().unwrap_or_default(), jobs: Vec::new() }
    }

    pub(super) fn add(&mut self, job: Ended) {
        self.jobs.push(job);
    }

    /// Names of the jobs that failed.
    pub(super) fn failures(&self) -> Vec<&str> {
        self.jobs.iter().filter(|job| !job.succeeded).map(|job| job.name).collect()
    }

    /// Prints all of it; the last line is how many tests passed.
    pub(super) fn print(&self) {
        println!("\n{:<14} {:>7} {:>7}", "job", "seconds", "tests");
        println!("{:<14} {:>7}", "(these tasks)", self.before.as_secs());
        let mut tests = Tests::default();
        for job in &self.jobs {
            let count = job.tests.passed + job.tests.failed;
            let count = if count == 0 { String::new() } else { count.to_string() };
            let beside = if job.beside { "  beside others" } else { "" };
            let failed = if job.succeeded { "" } else { "  FAILED" };
            println!("{:<14} {:>7} {count:>7}{beside}{failed}", job.name, job.took.as_secs());
            tests.add(job.tests);
        }
        let mut programs: Vec<_> = self
            .jobs
            .iter()
            .flat_map(|job| job.programs.iter().map(move |program| (job.name, program)))
            .collect();
        programs.sort_by_key(|(_, (_, took))| std::cmp::Reverse(*took));
        println!("\nthe slowest test programs, in seconds");
        for (job, (name, took)) in programs.iter().take(10) {
            println!("{:>7.1}  {job}: {name}", took.as_secs_f64());
        }
        for job in &self.jobs {
            for gap in &job.gaps {
                println!("\n{}: {gap}", job.name);
            }
        }
        let total = (self.before + self.start.elapsed()).as_secs();
        println!("\n{total} s in all ({} min {} s)", total / 60, total % 60);
        println!("\n{} passed, {} failed", tests.passed, tests.failed);
    }
}

/// How long this process has been there, in whatever program, where the system says so.
fn age() -> Option<Duration> {
    let uptime: f64 = fs::read_to_string("/proc/uptime").ok()?.split_whitespace().next()?.parse().ok()?;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, the second field, may have spaces in it; the 22nd is the start, in hundredths of a second.
    let start: f64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    Duration::try_from_secs_f64(uptime - start / 100.0).ok()
}

#[cfg(test)]
mod tests {
    use super::Tests;

    #[test]
    fn closing_lines_are_counted() {
        let line = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.02s\r";
        assert_eq!(Tests::parse(line), Some(Tests { passed: 12, failed: 0 }));
        let line = "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(Tests::parse(line), Some(Tests { passed: 1, failed: 2 }));
        assert_eq!(Tests::parse("test engines::levels ... ok"), None);
    }
}
