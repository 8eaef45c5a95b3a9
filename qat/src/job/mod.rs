//! What every engine needs of a job, whether it runs on the device or on the CPU.

mod work_class;

use accel_core::{Format, Outcome, Recorder, Result};

pub(crate) use work_class::WorkClass;

/// Runs `work` and counts it in `recorder`.
pub(crate) fn recorded(recorder: &Recorder, work: impl FnOnce() -> Result<Outcome>) -> Result<Outcome> {
    let in_flight = recorder.start();
    let result = work();
    in_flight.finish(result.as_ref());
    result
}

/// Returns a first guess of the length that `input` has when it is decompressed. gzip's own length field is a hint,
/// bounded by what deflate can reach (1032 : 1).
pub(crate) fn size_hint(input: &[u8], format: Format) -> usize {
    let guess = input.len().saturating_mul(4);
    match (format, input.last_chunk::<4>()) {
        (Format::Gzip, Some(length)) => {
            let length = u32::from_le_bytes(*length) as usize;
            if length <= input.len().saturating_mul(1032) { length.max(1) } else { guess }
        }
        _ => guess,
    }
}
