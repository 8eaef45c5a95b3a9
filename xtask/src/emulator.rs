//! `cargo xtask emu`: runs a program on emulated devices, from a checkout.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use xshell::{Shell, cmd};

use crate::libqat::{self, Release};
use crate::{flags, workspace};

impl flags::Emu {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        let release = libqat::release(self.release.as_deref(), "24.02")?;
        let separator = self.arguments.iter().position(|argument| argument == "--");
        let (options, program) = match separator {
            Some(at) => (&self.arguments[..at], &self.arguments[at + 1..]),
            None => (&[][..], &self.arguments[..]),
        };
        ensure!(!program.is_empty(), "no program to run: cargo xtask emu -- PROGRAM ARGS...");
        let Program { emulator, options: own, command } = Program::find(sh, release, &program[0])?;
        let arguments = &program[1..];
        // The shell's directory is the root of the workspace, but the program runs in the caller's directory.
        sh.change_dir(std::env::current_dir()?);
        cmd!(sh, "{emulator} run {own...} {options...} -- {command} {arguments...}").quiet().run()?;
        Ok(())
    }
}

/// A program, and the options that `qat-emu run` needs to run it on a release of libqat.
pub(crate) struct Program {
    /// The path of the command `qat-emu`.
    pub(crate) emulator: PathBuf,
    /// The options that name the libraries and, for one of Intel's programs, the loader.
    pub(crate) options: Vec<OsString>,
    /// The file or the name of the program.
    pub(crate) command: OsString,
}

impl Program {
    /// Builds the emulator, downloads the library and finds the program.
    pub(crate) fn find(sh: &Shell, release: &Release, name: &OsString) -> anyhow::Result<Self> {
        let emulator = workspace::emulator(sh)?;
        let root = libqat::programs(sh, release)?;
        let library = root.join(libqat::LIB);
        let path = root.join("usr/bin").join(name);
        let is_intels = Path::new(name).components().count() == 1 && path.is_file();
        let (options, command) = if is_intels {
            let loader = library.join("ld-linux-x86-64.so.2");
            (["--library-path".into(), library.into(), "--loader".into(), loader.into()].into(), path.into())
        } else {
            (["--library-path".into(), libqat::libraries(sh, release)?.into()].into(), name.clone())
        };
        Ok(Self { emulator, options, command })
    }
}
