//! The report at the end of a test run: the duration of each job, the slowest test programs, and the number of tests.

use std::fs;
use std::time::{Duration, Instant};

/// A job that has finished.
#[derive(Debug, Default)]
pub(super) struct FinishedJob {
    pub(super) name: &'static str,
    pub(super) concurrent: bool,
    pub(super) succeeded: bool,
    pub(super) took: Duration,
    pub(super) tests: Tests,
    /// The parts that the job reported as not checked.
    pub(super) gaps: Vec<String>,
    /// The test programs, by the names that Cargo prints, with their durations.
    pub(super) programs: Vec<(String, Duration)>,
}

/// The numbers of tests, from the last lines of test programs.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tests {
    pub(super) passed: u64,
    pub(super) failed: u64,
}

impl Tests {
    /// Parses `test result: ok. 3 passed; 0 failed; ...`.
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

/// The report of a test run.
pub(super) struct Report {
    start: Instant,
    /// The time from the start of this process, which was `cargo run` first, until the test run. It is that of building
    /// xtask.
    before: Duration,
    jobs: Vec<FinishedJob>,
}

impl Report {
    pub(super) fn start() -> Self {
        Self { start: Instant::now(), before: age().unwrap_or_default(), jobs: Vec::new() }
    }

    pub(super) fn add(&mut self, job: FinishedJob) {
        self.jobs.push(job);
    }

    /// Returns the names of the jobs that failed.
    pub(super) fn failures(&self) -> Vec<&str> {
        self.jobs.iter().filter(|job| !job.succeeded).map(|job| job.name).collect()
    }

    /// Prints the report. The last line is the number of tests that passed.
    pub(super) fn print(&self) {
        println!("\n{:<14} {:>7} {:>7}", "job", "seconds", "tests");
        println!("{:<14} {:>7}", "(these tasks)", self.before.as_secs());
        let mut tests = Tests::default();
        for job in &self.jobs {
            let count = job.tests.passed + job.tests.failed;
            let count = if count == 0 { String::new() } else { count.to_string() };
            let concurrent = if job.concurrent { "  concurrent" } else { "" };
            let failed = if job.succeeded { "" } else { "  FAILED" };
            println!("{:<14} {:>7} {count:>7}{concurrent}{failed}", job.name, job.took.as_secs());
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
        println!("\n{total} s in total ({} min {} s)", total / 60, total % 60);
        println!("\n{} passed, {} failed", tests.passed, tests.failed);
    }
}

/// Returns the age of this process, including the programs that it executed before, where the system reports it.
fn age() -> Option<Duration> {
    let uptime: f64 = fs::read_to_string("/proc/uptime").ok()?.split_whitespace().next()?.parse().ok()?;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field, the name of the program, may contain spaces. The 22nd is the start time in hundredths of a
    // second.
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
