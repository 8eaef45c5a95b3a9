//! Compression and decompression on the device: the formats around stateless requests. The module `accelerator` calls
//! it; the only data that it compresses on the CPU is what the device returns as LZ4s, which libzstd encodes.

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

/// Returns an error for what library and device do not offer.
fn check_offered(call: CallContext<'_>, format: Format, direction: Direction) -> Result<()> {
    let offered = &call.started.services.capabilities.compression;
    let directions = match format {
        Format::Lz4Block | Format::Lz4Frame => offered.lz4,
        // The device's native Zstandard is not used yet, so only LZ4s counts.
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
        remedy: "choose a format that the device offers (`qat info`), or the CPU".into(),
    }
}
