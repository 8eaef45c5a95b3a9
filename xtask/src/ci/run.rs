//! Runs the jobs of a test run. Each is a separate process, whose output is written to a file and printed when it
//! fails.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, PipeReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::report::{FinishedJob, Report, Tests};
use super::{Job, Schedule};
use crate::workspace::{BUILT, project_root, target_dir};

/// The interval after which a job without output is reported as running.
const HEARTBEAT: Duration = Duration::from_secs(60);
/// The prefix with which a job reports what it could not check. The report repeats these lines.
pub(super) const GAP: &str = "NOT CHECKED: ";
/// The number of lines that are printed of a failed job.
const SHOWN: usize = 200;

/// Runs `jobs` until one fails, waits for the concurrent ones, and prints the report.
pub(super) fn all(jobs: &[&'static Job], report: &mut Report) -> anyhow::Result<()> {
    let runner = Runner::new(jobs.len())?;
    let finished = thread::scope(|scope| {
        let (mut finished, mut concurrent) = (Vec::new(), Vec::new());
        for (number, job) in (1..).zip(jobs.iter().copied()) {
            if job.schedule == Schedule::Concurrent {
                let runner = &runner;
                concurrent.push(scope.spawn(move || runner.run(number, job)));
                continue;
            }
            let result = runner.run(number, job);
            let may_continue = result.as_ref().is_ok_and(|finished| finished.succeeded);
            finished.push(result);
            if !may_continue {
                break;
            }
        }
        finished.extend(concurrent.into_iter().map(|job| job.join().expect("no runner panics")));
        finished.into_iter().collect::<anyhow::Result<Vec<_>>>()
    })?;
    let ran = finished.len();
    for job in finished {
        report.add(job);
    }
    report.print();
    let failures = report.failures();
    if !failures.is_empty() {
        bail!(
            "{} failed after {ran} of {} jobs; repeat with `cargo xtask ci {}`",
            failures.join(" and "),
            jobs.len(),
            failures[0]
        );
    }
    Ok(())
}

struct Runner {
    /// A copy of this program. Cargo replaces the running one when it builds the workspace.
    program: PathBuf,
    logs: PathBuf,
    jobs: usize,
}

impl Runner {
    fn new(jobs: usize) -> anyhow::Result<Self> {
        let logs = target_dir().join("ci");
        fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
        let program = logs.join("xtask");
        // The copy is written to another name and renamed, because the copy of an earlier run may still be running.
        let fresh = logs.join("xtask.new");
        fs::copy(std::env::current_exe()?, &fresh)?;
        fs::rename(fresh, &program)?;
        Ok(Self { program, logs, jobs })
    }

    fn run(&self, number: usize, job: &'static Job) -> anyhow::Result<FinishedJob> {
        let place = format!("[{number:>2}/{}] {}", self.jobs, job.name);
        let concurrent = job.schedule == Schedule::Concurrent;
        println!(
            "{place}: {}{}",
            job.about,
            if concurrent { ", concurrently with the next jobs" } else { "" }
        );
        let start = Instant::now();
        let path = self.logs.join(job.name).with_extension("log");
        let log = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let (child, lines) = self.start(job, concurrent)?;
        let mut running =
            RunningJob { place: &place, log, start, finished: FinishedJob::default(), program: None };
        let status = running.follow(child, &lines, job.name == "test")?;
        let finished = FinishedJob {
            name: job.name,
            concurrent,
            succeeded: status.success(),
            took: start.elapsed(),
            ..running.finished
        };
        let seconds = finished.took.as_secs();
        if finished.succeeded {
            let tests = finished.tests.passed;
            println!(
                "{place} took {seconds} s{}",
                if tests > 0 { format!(", {tests} tests passed") } else { String::new() }
            );
        } else {
            show(&place, &path, status)?;
        }
        Ok(finished)
    }

    /// Starts the job, and returns its process and the lines that it prints.
    fn start(&self, job: &Job, concurrent: bool) -> anyhow::Result<(Child, Receiver<Vec<u8>>)> {
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new(&self.program);
        command.args(["ci", job.name]).current_dir(project_root()).stdin(Stdio::null());
        command.stdout(writer.try_clone()?).stderr(writer).env("CARGO_TERM_COLOR", "never");
        if concurrent {
            command.env(BUILT, "1");
        }
        let child = command.spawn().with_context(|| format!("cannot run {}", self.program.display()))?;
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || read(reader, &sender));
        Ok((child, receiver))
    }
}

/// Sends the lines of the reader until all processes that could write have finished.
fn read(reader: PipeReader, lines: &mpsc::Sender<Vec<u8>>) {
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        if !reader.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) || lines.send(line).is_err() {
            return;
        }
    }
}

/// A running job.
struct RunningJob<'a> {
    place: &'a str,
    log: File,
    start: Instant,
    finished: FinishedJob,
    /// The running test program and its start time; `None` between programs.
    program: Option<(String, Instant)>,
}

impl RunningJob<'_> {
    fn follow(
        &mut self,
        mut child: Child,
        lines: &Receiver<Vec<u8>>,
        prints_tests: bool,
    ) -> anyhow::Result<ExitStatus> {
        let mut heartbeat = Instant::now();
        let status = loop {
            match lines.recv_timeout(Duration::from_secs(1)) {
                Ok(line) => self.line(&line, prints_tests)?,
                Err(RecvTimeoutError::Disconnected) => break child.wait()?,
                // A process that the job started may keep the pipe open after the job has finished.
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(status) = child.try_wait()? {
                        break status;
                    }
                }
            }
            if heartbeat.elapsed() > HEARTBEAT {
                heartbeat = Instant::now();
                let doing = self.program.as_ref().map_or(String::new(), |(name, _)| format!(", in {name}"));
                println!("{}: {} s so far{doing}", self.place, self.start.elapsed().as_secs());
            }
        };
        self.program_ends();
        Ok(status)
    }

    fn line(&mut self, line: &[u8], prints_tests: bool) -> anyhow::Result<()> {
        self.log.write_all(line)?;
        let line = String::from_utf8_lossy(line);
        if let Some(name) = program(&line) {
            self.program_ends();
            self.program = Some((name, Instant::now()));
        }
        if line.starts_with(GAP) {
            self.finished.gaps.push(line.trim_end().to_owned());
        }
        if let Some(tests) = Tests::parse(&line) {
            self.finished.tests.add(tests);
            if prints_tests && tests != Tests::default() {
                println!("     {}", self.program.as_ref().map_or("", |(name, _)| name.as_str()));
                println!("{}", line.trim_end());
            }
        }
        Ok(())
    }

    fn program_ends(&mut self) {
        if let Some((name, since)) = self.program.take() {
            self.finished.programs.push((name, since.elapsed()));
        }
    }
}

/// Returns the test program that Cargo is starting: `Running unittests src/lib.rs (target/debug/deps/qat-0123)`.
fn program(line: &str) -> Option<String> {
    let line = line.trim();
    if let Some(name) = line.strip_prefix("Doc-tests ") {
        return Some(format!("documentation of {name}"));
    }
    let name = line.strip_prefix("Running ")?;
    let Some((source, file)) = name.split_once(" (") else { return Some(name.to_owned()) };
    let stem = Path::new(file.trim_end_matches(')')).file_stem()?.to_str()?;
    let krate = stem.rsplit_once('-').map_or(stem, |(krate, _)| krate);
    Some(if source.starts_with("unittests") { format!("{source} of {krate}") } else { source.to_owned() })
}

fn show(place: &str, path: &Path, status: ExitStatus) -> anyhow::Result<()> {
    let text = String::from_utf8_lossy(&fs::read(path)?).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let shown = &lines[lines.len().saturating_sub(SHOWN)..];
    println!(
        "{place} FAILED ({status}). The last {} of {} lines of {}:\n{}\n{place} FAILED",
        shown.len(),
        lines.len(),
        path.display(),
        shown.join("\n")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::program;

    #[test]
    fn programs_go_by_their_source() {
        let line = "     Running unittests src/lib.rs (target/debug/deps/qat_emu-0a1b2c)\n";
        assert_eq!(program(line).as_deref(), Some("unittests src/lib.rs of qat_emu"));
        let line = "     Running tests/faults.rs (target/debug/deps/faults-0a1b2c)\n";
        assert_eq!(program(line).as_deref(), Some("tests/faults.rs"));
        assert_eq!(program("   Doc-tests qat\n").as_deref(), Some("documentation of qat"));
        assert_eq!(program("test files::are_kept ... ok\n"), None);
    }
}
