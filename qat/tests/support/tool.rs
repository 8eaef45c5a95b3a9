//! Programs that the tests compare with.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs a tool with `input` on its standard input; its standard output. It must succeed.
#[track_caller]
pub(crate) fn tool(program: impl AsRef<Path>, package: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    let program = program.as_ref();
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
    let output = std::thread::scope(|scope| {
        // A tool that fails closes its input early; its status and message tell.
        scope.spawn(move || drop(stdin.write_all(input)));
        child.wait_with_output().unwrap()
    });
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {args:?}: {}\n{message}", program.display(), output.status);
    output.stdout
}
