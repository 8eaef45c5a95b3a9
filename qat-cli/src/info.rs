//! `qat info`.

use crate::args::Info;
use crate::exit::Result;

pub(crate) fn print(_args: &Info) -> Result<()> {
    Ok(())
}
