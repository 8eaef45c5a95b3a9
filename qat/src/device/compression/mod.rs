//! Compression on the device: formats around stateless requests.

mod compress;
mod decompress;
mod lz4;
pub(crate) mod lz4s;
mod request;
mod session;
mod single;
pub(crate) mod zero_copy;
mod zstd;

use accel_core::{Error, Format, Result};

use crate::device::inflight::Direction;
use crate::device::instances::CallContext;
use crate::report::Directions;

pub(crate) use compress::{compress, hardware_level};
pub(crate) use decompress::decompress;
pub(crate) use session::SESSIONS;
pub(crate) use single::Single;

/// Refuses what library and device do not offer.
fn check_offered(call: CallContext<'_>, format: Format, direction: Direction) -> Result<()> {
    let offered = &call.started.services.capabilities.compression;
    let directions = match format {
        Format::Lz4Block | Format::Lz4Frame => offered.lz4,
        // The native format is not used yet, so only what LZ4s gives counts.
        Format::Zstd => Directions { decompress: false, ..offered.lz4s },
        _ => offered.deflate,
    };
    let is_offered = match direction {
        Direction::Compress => directions.compress,
        Direction::Decompress => directions.decompress,
    };
    if is_offered { Ok(()) } else { Err(not_offered(format, direction)) }
}

fn not_offered(format: Format, direction: Direction) -> Error {
    let what = if direction == Direction::Compress { "compressing to" } else { "decompressing" };
    Error::Unsupported {
        accelerator: crate::error::HARDWARE,
        operation: format!("{what} {format} on this device").into(),
        remedy: "choose another format, or the CPU".into(),
    }
}
