//! Messages of the command on standard error: progress, a line per file, a total, warnings and errors. Nothing here
//! goes to standard output.

use std::fmt::{self, Display};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use qat::accel_core::{Format, SoftwareReason};
use qat::stream::{Progress, Summary};

use crate::standard::Waiting;

/// Prints `text` to standard error. A failure to print it is ignored.
pub(crate) fn say(text: impl Display) {
    write(&format!("{text}\n"));
}

/// Prints a warning to standard error.
pub(crate) fn warn(text: impl Display) {
    say(format_args!("qat: warning: {text}"));
}

fn write(text: &str) {
    let _ = Waiting(io::stderr().lock()).write_all(text.as_bytes());
}

/// Returns the name of a file for messages. On a terminal control characters are escaped, because they could move the
/// cursor, or hide or forge text.
pub(crate) fn name(path: &Path) -> String {
    let name = path.display().to_string();
    if io::stderr().is_terminal() { escape_controls(&name) } else { name }
}

fn escape_controls(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for character in name.chars() {
        if character.is_control() {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// The amount of data processed, the engines that processed it, and the time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    files: u64,
    bytes_in: u64,
    bytes_out: u64,
    hardware: u64,
    software: [u64; SoftwareReason::ALL.len()],
    elapsed: Duration,
    packs: bool,
    /// Whether a ratio is printed. Encryption has none, because it keeps the length.
    has_ratio: bool,
}

impl Tally {
    /// Returns the tally of one stream. `packs` is set for compression and encryption, whose input is the plain side.
    pub(crate) fn new(summary: &Summary, packs: bool, elapsed: Duration) -> Self {
        Self {
            files: 1,
            bytes_in: summary.bytes_in,
            bytes_out: summary.bytes_out,
            hardware: summary.hardware,
            software: SoftwareReason::ALL.map(|reason| summary.software.count(reason)),
            elapsed,
            packs,
            has_ratio: summary.format.is_some(),
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.files += other.files;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.hardware += other.hardware;
        for (sum, count) in self.software.iter_mut().zip(other.software) {
            *sum += count;
        }
        self.elapsed += other.elapsed;
        (self.packs, self.has_ratio) = (other.packs, other.has_ratio);
    }

    pub(crate) fn files(&self) -> u64 {
        self.files
    }

    /// Returns the details that `-v` prints.
    pub(crate) fn details(&self, format: Option<Format>, threads: usize) -> String {
        let format = format.map_or("Tink AES-GCM-HKDF streaming".to_owned(), |format| format.to_string());
        let blocks: Vec<String> = [("on QAT".to_owned(), self.hardware)]
            .into_iter()
            .chain(
                SoftwareReason::ALL
                    .iter()
                    .zip(self.software)
                    .map(|(reason, count)| (format!("on the CPU ({reason})"), count)),
            )
            .filter(|(_, count)| *count > 0)
            .map(|(place, count)| format!("{count} {place}"))
            .collect();
        let blocks = if blocks.is_empty() { "none".to_owned() } else { blocks.join(", ") };
        format!(
            "  {format}, threads {threads}, bytes in {}, bytes out {}, seconds {:.3}, blocks: {blocks}",
            self.bytes_in,
            self.bytes_out,
            self.elapsed.as_secs_f64()
        )
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", Bytes(self.bytes_in), Bytes(self.bytes_out))?;
        let (plain, packed) =
            if self.packs { (self.bytes_in, self.bytes_out) } else { (self.bytes_out, self.bytes_in) };
        if self.has_ratio && packed > 0 {
            write!(f, ", ratio {:.2}", plain as f64 / packed as f64)?;
        }
        write!(f, ", {}", Speed(plain, self.elapsed))?;
        let software: u64 = self.software.iter().sum();
        let reasons = || {
            let counted = SoftwareReason::ALL.iter().zip(self.software).filter(|(_, count)| *count > 0);
            counted.map(|(reason, _)| reason.to_string()).collect::<Vec<_>>().join(", ")
        };
        match (self.hardware, software) {
            (0, 0) => Ok(()),
            (_, 0) => f.write_str(", on QAT"),
            (0, _) => write!(f, ", on the CPU ({})", reasons()),
            (hardware, _) => {
                write!(f, ", {hardware} blocks on QAT, {software} on the CPU ({})", reasons())
            }
        }
    }
}

/// A number of bytes, printed with three digits and a decimal unit.
struct Bytes(u64);

impl Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1000 {
            return write!(f, "{} B", self.0);
        }
        let mut value = self.0 as f64;
        let mut units = ["kB", "MB", "GB", "TB", "PB", "EB"].into_iter();
        let mut unit = "B";
        // 999.5 would be printed with four digits.
        while value >= 999.5 {
            value /= 1000.0;
            unit = units.next().unwrap_or("ZB");
        }
        let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
        write!(f, "{value:.digits$} {unit}")
    }
}

/// A number of bytes per duration, printed in MB/s.
struct Speed(u64, Duration);

impl Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let speed = self.0 as f64 / self.1.as_secs_f64().max(1e-9) / 1e6;
        write!(f, "{speed:.*} MB/s", usize::from(speed < 99.95))
    }
}

/// The time after which progress is shown.
const PROGRESS_DELAY: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_millis(200);
/// The width of the progress line in columns, which every terminal has.
const COLUMNS: usize = 79;

/// A progress line on the terminal, which is removed when this is dropped.
pub(crate) struct ProgressLine {
    thread: Option<(Sender<()>, JoinHandle<()>)>,
}

impl ProgressLine {
    /// Shows `progress` of the input `name`. `total` is its length in bytes, or `None` where that is unknown.
    pub(crate) fn new(name: &str, progress: &Arc<Progress>, total: Option<u64>, quiet: bool) -> Self {
        if quiet || !io::stderr().is_terminal() {
            return Self { thread: None };
        }
        // A long name is cut at its beginning, because file names usually differ at the end.
        let skip = name.chars().count().saturating_sub(30);
        let name: String = name.chars().skip(skip).collect();
        let progress = Arc::clone(progress);
        let (stop, stopped) = mpsc::channel();
        let work = move || {
            let start = Instant::now();
            let mut wait = PROGRESS_DELAY;
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(wait) {
                wait = INTERVAL;
                let line = progress_line(&name, progress.bytes_in(), total, start.elapsed());
                write(&format!("\r{line:<COLUMNS$.COLUMNS$}"));
            }
            if wait == INTERVAL {
                write(&format!("\r{:COLUMNS$}\r", ""));
            }
        };
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(work);
        Self { thread: thread.ok().map(|thread| (stop, thread)) }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}

fn progress_line(name: &str, done: u64, total: Option<u64>, elapsed: Duration) -> String {
    let speed = Speed(done, elapsed);
    match total.filter(|total| *total > 0) {
        None => format!("{name}: {}, {speed}", Bytes(done)),
        Some(total) => {
            // Reading is ahead of processing, so that 100 % would be shown too early.
            let share = (done as f64 / total as f64).min(0.99);
            let left = elapsed.as_secs_f64() * (1.0 - share) / share.max(1e-6);
            let bar = "#".repeat((share * 10.0) as usize);
            let (minutes, seconds) = (left as u64 / 60, left as u64 % 60);
            format!("{name}: [{bar:<10}] {:3.0} %, {speed}, {minutes}:{seconds:02} left", share * 100.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_three_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (9_994, "9.99 kB"),
            (99_949, "99.9 kB"),
            (99_951, "100 kB"),
            (999_499, "999 kB"),
            (999_500, "1.00 MB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn control_characters_are_escaped() {
        for (name, shown) in [
            ("plain name.gz", "plain name.gz"),
            ("gr\u{fc}n \u{65e5}\u{672c}", "gr\u{fc}n \u{65e5}\u{672c}"),
            ("a\nb\tc\rd", r"a\nb\tc\rd"),
            ("\u{1b}[31mred\u{7}", r"\u{1b}[31mred\u{7}"),
            ("\u{9b}2J\u{7f}", r"\u{9b}2J\u{7f}"),
        ] {
            assert_eq!(escape_controls(name), shown);
        }
    }

    #[test]
    fn progress_fits_a_terminal() {
        let name = "x".repeat(30);
        for (done, total) in [(0, None), (u64::MAX, None), (0, Some(1)), (u64::MAX / 2, Some(u64::MAX))] {
            let line = progress_line(&name, done, total, Duration::from_secs(1000));
            assert!(line.len() <= COLUMNS, "{line}");
        }
        let line = progress_line("a", 250, Some(1000), Duration::from_secs(30));
        assert!(line.contains("25 %") && line.contains("1:30 left"), "{line}");
    }
}
