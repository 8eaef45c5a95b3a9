//! The system calls of a program on a device that answers at once.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;

use anyhow::Context as _;

use super::{Program, Rig, report};

/// Counts by name, from a program's start to its end.
pub(super) fn calls(
    rig: &Rig,
    device: &[OsString],
    program: &Program,
) -> anyhow::Result<BTreeMap<String, i64>> {
    let out = tempfile::NamedTempFile::new_in(rig.scratch.path())?;
    let mut tool: Vec<OsString> = ["strace", "-f", "-c", "-o"].map(Into::into).into();
    tool.push(out.path().into());
    report(rig.at_once(device, &tool, program)).context("strace is needed for the count of system calls")?;
    Ok(parse(&fs::read_to_string(out.path())?))
}

/// Reads strace's summary: share, seconds, microseconds for each, calls, errors if there were any, name.
fn parse(text: &str) -> BTreeMap<String, i64> {
    let row = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let name = words.last().filter(|name| **name != "total")?;
        Some(((*name).to_owned(), words.get(3)?.parse().ok()?))
    };
    text.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_read() {
        // The form of strace 6.1.
        let calls = parse(
            "% time     seconds  usecs/call     calls    errors syscall\n\
             ------ ----------- ----------- --------- --------- ----------------\n\
             62.50    0.000100          10        10           read\n\
             37.50    0.000060          20         3         1 openat\n\
             ------ ----------- ----------- --------- --------- ----------------\n\
             100.00    0.000160          12        13         1 total\n",
        );
        assert_eq!(calls, BTreeMap::from([("read".to_owned(), 10), ("openat".to_owned(), 3)]));
    }
}
