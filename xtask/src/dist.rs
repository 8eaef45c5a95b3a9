//! `cargo xtask dist`: generates completions and manual pages of the command.

use xshell::{Shell, cmd};

use crate::flags;
use crate::workspace::target_dir;

impl flags::Dist {
    pub(crate) fn run(self, sh: &Shell) -> anyhow::Result<()> {
        let dir = target_dir().join("dist");
        sh.create_dir(&dir)?;
        cmd!(sh, "cargo run --locked --package qat-cli --example assets -- {dir}").run()?;
        println!("{}", dir.display());
        Ok(())
    }
}
