//! The programs that tasks and tests run, and the Debian packages that contain them.

use anyhow::ensure;
use xshell::{Shell, cmd};

/// A program that tasks or tests run, and the Debian package that contains it.
const PROGRAMS: &[(&str, &str)] = &[
    ("apt-get", "apt"),
    ("c++", "g++"),
    ("cc", "gcc"),
    ("dpkg-deb", "dpkg"),
    ("git", "git"),
    ("gzip", "gzip"),
    ("igzip", "isal"),
    ("lz4", "lz4"),
    ("openssl", "openssl"),
    ("pigz", "pigz"),
    ("pkg-config", "pkg-config"),
    ("python3", "python3"),
    ("strace", "strace"),
    ("valgrind", "valgrind"),
    ("wine", "wine"),
    ("x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64"),
    ("zstd", "zstd"),
];

/// The programs that the tests start, in addition to those of every system.
pub(crate) const FOR_TESTS: &[&str] =
    &["c++", "cc", "gzip", "igzip", "lz4", "openssl", "pigz", "pkg-config", "python3", "strace", "zstd"];

/// Packages that contain no program of their own to check for.
const LIBRARIES: &[&str] = &["libisal2", "libclang-dev", "libssl-dev", "python3-venv", "ca-certificates"];

/// Returns whether the shell finds a program.
pub(crate) fn found(sh: &Shell, program: &str) -> bool {
    cmd!(sh, "sh -c 'command -v $0' {program}").quiet().ignore_stdout().ignore_stderr().run().is_ok()
}

/// Fails, and names the packages to install, unless all `programs` are installed.
pub(crate) fn need(sh: &Shell, programs: &[&str]) -> anyhow::Result<()> {
    let missing: Vec<&str> = programs.iter().copied().filter(|program| !found(sh, program)).collect();
    ensure!(missing.is_empty(), "{}", message(&missing));
    Ok(())
}

/// Returns the message for programs that are not installed.
fn message(missing: &[&str]) -> String {
    let package = |program: &str| {
        PROGRAMS.iter().find(|(name, _)| *name == program).map_or("", |(_, package)| *package).to_owned()
    };
    let packages: Vec<String> = missing.iter().map(|program| package(program)).collect();
    format!(
        "not installed: {}. On Debian and Ubuntu: `apt-get install {}`, or `cargo xtask test --install` for everything \
         that the tests need",
        missing.join(", "),
        packages.join(" ")
    )
}

/// Installs everything that the tests need.
pub(crate) fn install(sh: &Shell) -> anyhow::Result<()> {
    ensure!(found(sh, "apt-get"), "--install supports only Debian and Ubuntu; install the tools by hand");
    let packages: Vec<&str> =
        PROGRAMS.iter().map(|(_, package)| *package).chain(LIBRARIES.iter().copied()).collect();
    let apt: &[&str] =
        if cmd!(sh, "id -u").quiet().read()? == "0" { &["apt-get"] } else { &["sudo", "-E", "apt-get"] };
    let (program, rest) = (apt[0], &apt[1..]);
    let _quiet = sh.push_env("DEBIAN_FRONTEND", "noninteractive");
    cmd!(sh, "{program} {rest...} update -qq").run()?;
    cmd!(sh, "{program} {rest...} install -qq -y --no-upgrade --no-install-recommends {packages...}")
        .run()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use xshell::Shell;

    use super::{FOR_TESTS, PROGRAMS, message, need};

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let said = message(&["igzip", "x86_64-w64-mingw32-gcc"]);
        assert!(said.starts_with("not installed: igzip, x86_64-w64-mingw32-gcc."), "{said}");
        assert!(said.contains("`apt-get install isal gcc-mingw-w64-x86-64`"), "{said}");
        assert!(need(&Shell::new().unwrap(), &["no-such-program-of-anyone"]).is_err());
    }

    #[test]
    fn each_program_has_a_package() {
        let known = |program: &&str| PROGRAMS.iter().any(|(name, _)| name == program);
        assert!(FOR_TESTS.iter().all(known));
    }
}
