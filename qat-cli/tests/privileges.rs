//! Tests that a `qat` with more privileges than its caller loads no library that the caller chose.
//!
//! The command is copied and given privileges as an administrator would: as root by set-user-ID or a file capability,
//! and otherwise by set-group-ID for another of this user's groups. The test fails with an explanation where neither is
//! possible.

#![cfg(target_os = "linux")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::fs::{StatVfsMountFlags, XattrFlags, setxattr, statvfs};
use rustix::process::{getegid, geteuid, getgroups};
use tempfile::TempDir;

/// The user that calls the command when the tests run as root.
const NOBODY: u32 = 65_534;
/// The names of the libraries that the command loads.
const NAMES: [&str; 3] = ["libqat.so.4", "libusdm.so.0", "libisal.so.2"];

/// A directory with the command and with libraries that create a file when they are loaded.
struct Trap {
    directory: TempDir,
}

impl Trap {
    fn new() -> Self {
        // A file system that is not mounted with nosuid.
        let places = [std::env::temp_dir(), PathBuf::from("/var/tmp"), env!("CARGO_TARGET_TMPDIR").into()];
        let obeys = |place: &&PathBuf| {
            statvfs(place.as_path()).is_ok_and(|about| !about.f_flag.contains(StatVfsMountFlags::NOSUID))
        };
        let place =
            places.iter().find(obeys).unwrap_or_else(|| panic!("all of {places:?} are mounted nosuid"));
        let directory = tempfile::tempdir_in(place).unwrap();
        let trap = Self { directory };
        // The command may run as another user.
        fs::set_permissions(trap.directory.path(), Permissions::from_mode(0o755)).unwrap();
        for (name, mode) in [("libraries", 0o755), ("marks", 0o777)] {
            fs::create_dir(trap.path(name)).unwrap();
            fs::set_permissions(trap.path(name), Permissions::from_mode(mode)).unwrap();
        }
        fs::copy(env!("CARGO_BIN_EXE_qat"), trap.path("qat")).unwrap();
        trap.permit(0o755);
        for name in NAMES {
            let source = format!(
                "#include <fcntl.h>\n__attribute__((constructor)) static void mark(void) {{ open(\"{}\", O_CREAT, 0644); }}\n",
                trap.path("marks").join(name).display()
            );
            let (file, library) = (trap.path("mark.c"), trap.path("libraries").join(name));
            fs::write(&file, source).unwrap();
            let cc = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&file).status();
            assert!(cc.is_ok_and(|status| status.success()), "no C compiler: apt-get install gcc");
        }
        trap
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn permit(&self, mode: u32) {
        fs::set_permissions(self.path("qat"), Permissions::from_mode(mode)).unwrap();
    }

    /// Runs `qat info` with an environment that names these libraries. Returns the names of those that were loaded, and
    /// the output.
    fn info(&self, by_variables: bool) -> (Vec<String>, String) {
        let libraries = self.path("libraries");
        let mut command = Command::new(self.path("qat"));
        command.arg("info").env("LD_LIBRARY_PATH", &libraries);
        for (variable, name) in [("QAT_LIBRARY", NAMES[0]), ("USDM_LIBRARY", NAMES[1])] {
            if by_variables {
                command.env(variable, libraries.join(name));
            } else {
                command.env_remove(variable);
            }
        }
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let Output { status, stdout, stderr } = command.output().unwrap();
        let said = String::from_utf8(stdout).unwrap() + &String::from_utf8_lossy(&stderr);
        assert!(status.success(), "{status}: {said}");
        let mut marks = Vec::new();
        for entry in fs::read_dir(self.path("marks")).unwrap() {
            let path = entry.unwrap().path();
            marks.push(path.file_name().unwrap().to_str().unwrap().to_owned());
            fs::remove_file(path).unwrap();
        }
        marks.sort();
        (marks, said)
    }

    fn assert_obeys(&self) {
        for by_variables in [true, false] {
            let (marks, said) = self.info(by_variables);
            let mut all = NAMES;
            all.sort_unstable();
            assert_eq!(marks, all, "{said}");
            assert!(!said.contains("ignored"), "{said}");
        }
    }

    fn assert_ignores(&self, why: &str) {
        for by_variables in [true, false] {
            let (marks, said) = self.info(by_variables);
            assert_eq!(marks, Vec::<String>::new(), "{why}: {said}");
            let is_said =
                said.contains("ignored: QAT_LIBRARY, USDM_LIBRARY, because this process has more privileges");
            assert_eq!(is_said, by_variables, "{why}: {said}");
        }
    }
}

/// Gives `file` CAP_CHOWN, as `setcap cap_chown=ep` does.
fn add_capability(file: &Path) {
    // `struct vfs_cap_data` of linux/capability.h: VFS_CAP_REVISION_2 and the effective bit, then the permitted and the
    // inheritable set in two halves.
    let words: [u32; 5] = [0x0200_0001, 1, 0, 0, 0];
    let value: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    setxattr(file, "security.capability", &value, XattrFlags::empty()).unwrap();
}

#[test]
fn a_caller_with_fewer_rights_names_no_library() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    assert!(
        !status.contains("NoNewPrivs:\t1"),
        "this process may gain no rights (no_new_privs), so that nothing can be shown: run the test outside of the sandbox"
    );
    let trap = Trap::new();
    trap.assert_obeys();
    if geteuid().is_root() {
        trap.permit(0o4755);
        trap.assert_ignores("set-user-ID");
        trap.permit(0o755);
        trap.assert_obeys();
        add_capability(&trap.path("qat"));
        trap.assert_ignores("a file capability");
        return;
    }
    let own = getegid();
    let other = getgroups().unwrap().into_iter().find(|group| *group != own).unwrap_or_else(|| {
        panic!("run this test as root or as a user of two groups: a file with more rights than its caller is needed")
    });
    chown(trap.path("qat"), None, Some(other.as_raw())).unwrap();
    trap.permit(0o2755);
    trap.assert_ignores("set-group-ID");
}
