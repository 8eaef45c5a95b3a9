//! What only Linux has: errors that a preloaded library or strace injects, users without rights.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::{Room, Run};

/// Builds the library that `faults.c` describes, once for each test program.
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
        // Another test program may use the one that is there.
        std::fs::rename(own, &library).unwrap();
        library
    })
}

/// Lets `command` run with the faults of `faults.c`, given without their common prefix.
pub(crate) fn with_faults<'a>(command: &'a mut Command, faults: &[(&str, &str)]) -> &'a mut Command {
    for (name, value) in faults {
        command.env(format!("QAT_FAULT_{name}"), value);
    }
    command.env("LD_PRELOAD", library())
}

impl Room {
    /// `qat` with faults; see [`with_faults`].
    pub(crate) fn faulty(&self, faults: &[(&str, &str)], args: &str) -> Run {
        let mut command = self.qat_command(args);
        Run::new(args, with_faults(&mut command, faults).output().unwrap())
    }

    /// `qat` below strace, which lets system calls fail as in `renameat2:error=EINVAL`.
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

    /// The shell as a user without rights, `$QAT` for the command. Files that the user needs are given to it by
    /// [`give`](Self::give).
    pub(crate) fn unprivileged(&self, script: &str) -> Run {
        let mut command = self.command("sh");
        command.args(["-c", script]);
        // The build directory may be closed to that user.
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

    /// Lets every user write to the room.
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

/// The user and group `nobody` and `nogroup`.
const NOBODY: u32 = 65534;

/// Whether the tests run as root, who may do everything.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
