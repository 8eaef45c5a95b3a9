//! Programs that the tests compare with.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs a tool with `input` on its standard input and returns its standard output. It must succeed.
#[track_caller]
pub(crate) fn tool(program: impl AsRef<Path>, package: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    let program = program.as_ref();
    let output = run(program, package, args, input);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {args:?}: {}\n{message}", program.display(), output.status);
    output.stdout
}

/// Returns what a tool makes of `input`, or `None` if it refuses it.
#[track_caller]
pub(crate) fn verdict(program: &str, package: &str, args: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let output = run(program.as_ref(), package, args, input);
    output.status.success().then_some(output.stdout)
}

#[track_caller]
fn run(program: &Path, package: &str, args: &[&str], input: &[u8]) -> Output {
    let mut child = match Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            panic!("{} is missing: apt-get install {package}", program.display())
        }
        Err(error) => panic!("{}: {error}", program.display()),
    };
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // A tool that fails closes its input early; its status and message say why.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    })
}
