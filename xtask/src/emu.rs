//! `cargo xtask emu`: a program on emulated devices, from a checkout.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use xshell::{Shell, cmd};

use crate::{flags, libqat};

impl flags::Emu {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        let release = flags::release(self.release.as_deref(), "24.02")?;
        let separator = self.arguments.iter().position(|argument| argument == "--");
        let (options, program) = match separator {
            Some(at) => (&self.arguments[..at], &self.arguments[at + 1..]),
            None => (&[][..], &self.arguments[..]),
        };
        ensure!(!program.is_empty(), "no program to run: cargo xtask emu -- PROGRAM ARGS...");
        cmd!(sh, "cargo build --quiet --package qat-emu").run()?;
        let emulator = crate::target_dir().join("debug/qat-emu");

        let root = libqat::programs(sh, release)?;
        let library = root.join(libqat::LIB);
        let (loader, program) = match intel(&root, &program[0]) {
            Some(path) => {
                let loader = [OsString::from("--loader"), library.join("ld-linux-x86-64.so.2").into()];
                (loader.to_vec(), [&[path.into()][..], &program[1..]].concat())
            }
            None => (Vec::new(), program.to_vec()),
        };
        let library = if loader.is_empty() { libqat::libraries(sh, release)? } else { library };
        // The shell stands in the top level; the program belongs where the caller is.
        sh.change_dir(std::env::current_dir()?);
        cmd!(sh, "{emulator} run --library-path {library} {loader...} {options...} -- {program...}")
            .quiet()
            .run()?;
        Ok(())
    }
}

/// The path of one of Intel's programs.
fn intel(root: &Path, name: &OsString) -> Option<PathBuf> {
    let path = root.join("usr/bin").join(name);
    (Path::new(name).components().count() == 1 && path.is_file()).then_some(path)
}
