//! Emulated devices with Intel's own library, which the command runs on.

use std::env;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use qat_emu::{Config, Preload, Services};

use super::TestDir;

/// A directory to run `qat` in, and devices that it can use.
pub(crate) struct Machine {
    pub(crate) dir: TestDir,
    pub(crate) devices: Preload,
    libraries: PathBuf,
}

impl Machine {
    /// Returns `None` where the environment names no libqat, and reports that outside of the captured output of the
    /// tests.
    pub(crate) fn new() -> Option<Self> {
        const VARIABLE: &str = "QAT_TEST_LIBQAT_2402";
        let Some(libraries) = env::var_os(VARIABLE).map(PathBuf::from) else {
            let text = format!(
                "\nNOT TESTED: the command on emulated devices. Set {VARIABLE} to the directory that `cargo xtask libqat` \
                 prints.\n"
            );
            assert!(env::var_os("QAT_TEST_REQUIRE_LIBQAT").is_none_or(|value| value != "1"), "{text}");
            // The test harness captures the output of `eprintln!`.
            std::io::stderr().write_all(text.as_bytes()).unwrap();
            return None;
        };
        let devices = Preload::new(&Config::with_vfs(2, Services::DC)).unwrap();
        Some(Self { dir: TestDir::new(), devices, libraries })
    }

    pub(crate) fn command(&self, args: &str) -> Command {
        let mut command = self.dir.qat_command(args);
        let (variable, tree) = self.devices.environment();
        command
            .env("LD_PRELOAD", self.devices.library())
            .env(variable, tree)
            .env("QAT_LIBRARY", self.libraries.join("libqat.so.4"))
            .env("USDM_LIBRARY", self.libraries.join("libusdm.so.0"))
            .env_remove("QAT_POLICY");
        command
    }
}
