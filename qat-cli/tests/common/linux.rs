//! Helpers for Linux: errors injected by a preloaded library or by strace, and users without privileges.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::{Run, TestDir};

/// Builds the library from `faults.c`, once for each test program.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/faults.c");
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (library, own) =
            (directory.join("faults.so"), directory.join(format!("faults-{}.so", std::process::id())));
        let built = Command::new("cc")
            .args(["-O1", "-Wall", "-Werror", "-shared", "-fPIC", source, "-ldl", "-o"])
            .arg(&own)
            .status()
            .expect("the tests need a C compiler, cc");
        assert!(built.success());
        // Another test program may be using the existing file.
        std::fs::rename(own, &library).unwrap();
        library
    })
}

/// Adds the faults of `faults.c` to the environment of `command`; names are given without their common prefix.
pub(crate) fn with_faults<'a>(command: &'a mut Command, faults: &[(&str, &str)]) -> &'a mut Command {
    for (name, value) in faults {
        command.env(format!("QAT_FAULT_{name}"), value);
    }
    command.env("LD_PRELOAD", library())
}

impl TestDir {
    /// Runs `qat` with faults; see [`with_faults`].
    pub(crate) fn faulty(&self, faults: &[(&str, &str)], args: &str) -> Run {
        let mut command = self.qat_command(args);
        Run::new(args, with_faults(&mut command, faults).output().unwrap())
    }

    /// Runs `qat` with strace, which makes system calls fail, as in `renameat2:error=EINVAL`.
    pub(crate) fn injected(&self, injections: &[&str], args: &str) -> Run {
        let output = self.injected_command(injections, args).output().expect("the tests need strace");
        Run::new(args, output)
    }

    pub(crate) fn injected_command(&self, injections: &[&str], args: &str) -> Command {
        let calls: Vec<_> = injections.iter().filter_map(|injection| injection.split(':').next()).collect();
        let mut command = self.command("strace");
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={}", calls.join(","))]);
        for injection in injections {
            command.args(["-e", &format!("inject={injection}")]);
        }
        command.arg(env!("CARGO_BIN_EXE_qat")).args(args.split_whitespace());
        command
    }

    /// Runs a shell script as a user without privileges, with the path of the command in `$QAT`. [`give`](Self::give)
    /// gives that user the files that it needs.
    pub(crate) fn unprivileged(&self, script: &str) -> Run {
        let mut command = self.command("sh");
        command.args(["-c", script]);
        // That user may have no access to the build directory.
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let copy = directory.path().join("qat");
        std::fs::copy(env!("CARGO_BIN_EXE_qat"), &copy).unwrap();
        command.env("QAT", copy);
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        Run::new(script, command.output().unwrap())
    }

    /// Lets every user write to the directory.
    pub(crate) fn open_to_everyone(&self) {
        std::fs::set_permissions(self.path(""), Permissions::from_mode(0o777)).unwrap();
    }

    /// Gives `name` to the user of [`unprivileged`](Self::unprivileged).
    pub(crate) fn give(&self, name: &str) {
        if is_root() {
            std::os::unix::fs::chown(self.path(name), Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
}

/// The ids of the user `nobody` and of the group `nogroup`.
const NOBODY: u32 = 65534;

/// Returns whether the tests run as root, for whom permissions are not checked.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
