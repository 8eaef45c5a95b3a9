//! Decompression: finds the streams or members in the input, and decompresses each with requests that contain all of
//! it. `lz4` handles the LZ4 formats.

use accel_core::{Error, Format, Outcome, Output, Result};

use super::compress::{outcome, ran_full, wrong_checksum};
use super::lz4;
use super::request::{DecodedResponse, StatelessRequest};
use super::session::{Checksum, SessionKind};
use crate::device::inflight::{CompletedRequest, Direction};
use crate::device::instances::CallContext;
use crate::formats::{gzip, zlib};
use crate::settings::Integrity;
use crate::software;

/// The maximum input of the first request for a stream whose end is not known. Each further request takes [`MORE`]
/// times as much.
const FIRST_INPUT: usize = 4 << 20;
/// The minimum input of such a request.
const LEAST_INPUT: usize = 1 << 10;
/// The factor by which the next request takes more input than one that did not reach the stream's end, or than the
/// previous member.
const MORE: usize = 4;
/// The minimum output buffer. One that is too short costs another request, and libqat prints a line to standard error.
pub(super) const LEAST_ROOM: usize = 64 << 10;
/// The minimum output buffer of the first request for a stream of unknown length, which suffices for small streams.
const FIRST_ROOM: usize = 512 << 10;
/// The maximum plain bytes for a byte of deflate data: a match of 258 bytes takes two bits, and its block has a header.
const MAX_RATIO: usize = 1040;
/// The maximum output buffer of one request.
const MAX_ROOM: usize = 512 << 20;

/// Decompresses all of `input`.
///
/// # Errors
/// As the trait method [`decompress_into`](accel_core::CompressionAccelerator::decompress_into).
pub(crate) async fn decompress(
    call: CallContext<'_>,
    input: &[u8],
    output: &mut Output<'_>,
    format: Format,
) -> Result<Outcome> {
    super::check_offered(call, format, Direction::Decompress)?;
    let mut last = None;
    let is_checked = call.started.settings.integrity != Integrity::Trust;
    let penalise_on_error = |result, last: Option<u16>| match last {
        Some(instance) => call.penalise_on_error(instance, result),
        None => result,
    };
    match format {
        Format::Deflate => {
            let whole = Guess::whole(input);
            let used = inflate(call, input, output, Checksum::Crc32, format, whole, &mut last).await?.0;
            software::nothing_after(input, used, format)?;
        }
        Format::Zlib => {
            zlib::check_header(input)?.ok_or(Error::Truncated { format })?;
            let start = output.written();
            let body = &input[zlib::HEADER_LEN..];
            let (used, adler) =
                inflate(call, body, output, Checksum::Adler32, format, Guess::whole(body), &mut last).await?;
            let used = used + zlib::HEADER_LEN;
            let trailer = input[used..].first_chunk().ok_or(Error::Truncated { format })?;
            let plain = &output.filled()[start..];
            penalise_on_error(check_zlib(trailer, adler, plain, is_checked), last)?;
            software::nothing_after(input, used + zlib::TRAILER_LEN, format)?;
        }
        Format::Gzip => {
            let (mut at, mut members) = (0, Members::default());
            loop {
                let header = gzip::parse_header(&input[at..])?.ok_or(Error::Truncated { format })?;
                at += header.len;
                let start = output.written();
                let body = &input[at..];
                let guess = members.guess(header.sizes, body.len());
                let (used, crc) =
                    inflate(call, body, output, Checksum::Crc32, format, guess, &mut last).await?;
                members.learn(guess, used);
                at += used;
                let trailer = input[at..].first_chunk().ok_or(Error::Truncated { format })?;
                let plain = &output.filled()[start..];
                penalise_on_error(check_gzip(trailer, crc, plain), last)?;
                at += gzip::TRAILER_LEN;
                if !software::is_member_next(&input[at..], at)? {
                    break;
                }
            }
        }
        Format::Lz4Block => lz4::block(call, input, output, format, &mut last).await?,
        Format::Lz4Frame => lz4::frames(call, input, output, &mut last).await?,
        // Zstandard belongs here when `capabilities.compression.zstd.decompress` is set, which needs qatlib 25.08 and a
        // device after generation 4.
        other => return Err(super::not_offered(other, Direction::Decompress)),
    }
    Ok(outcome(input.len(), output.written(), last))
}

/// Checks a zlib stream's trailer against the device's checksum, and with `is_checked` the device's checksum against
/// `plain`.
pub(super) fn check_zlib(trailer: &[u8; 4], adler: u32, plain: &[u8], is_checked: bool) -> Result<()> {
    match zlib::check_trailer(trailer, adler) {
        // The format has no length, so trailer and checksum match even if output is missing.
        Ok(()) if is_checked && Checksum::Adler32.of(plain) != adler => Err(wrong_checksum()),
        checked => witness(checked, adler, Checksum::Adler32, plain),
    }
}

/// Checks a gzip member's trailer against the device's checksum and the length of `plain`.
pub(super) fn check_gzip(trailer: &[u8; gzip::TRAILER_LEN], crc: u32, plain: &[u8]) -> Result<()> {
    witness(gzip::check_trailer(trailer, crc, plain.len() as u64), crc, Checksum::Crc32, plain)
}

/// Determines whether the data or the device is wrong when the stream's checksum does not match the device's, by
/// computing the checksum on the CPU.
fn witness(checked: Result<()>, device: u32, checksum: Checksum, plain: &[u8]) -> Result<()> {
    match checked {
        Ok(()) => Ok(()),
        Err(corrupt) if checksum.of(plain) == device => Err(corrupt),
        Err(_) => Err(wrong_checksum()),
    }
}

/// The parameters of the first request for a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Guess {
    /// The bytes of input.
    taken: usize,
    /// The plain length that the stream states; `None` if it does not.
    plain: Option<usize>,
}

impl Guess {
    /// Returns the guess that all of `input` is one stream.
    fn whole(input: &[u8]) -> Self {
        Self { taken: input.len(), plain: None }
    }
}

/// The expected input length of a gzip file's members. Input beyond the end of a member is copied to the device in
/// vain, so that a request with all remaining input for each of many small members would cost the square of the file's
/// length. The total that is copied stays below a multiple of that length: each guess is at most [`MORE`] times the
/// previous member, or [`MORE`] times the request that did not reach the end of this one, and after a wrong length in a
/// header, further headers are ignored.
#[derive(Debug)]
struct Members {
    /// The guess for a member that does not state its length.
    likely: usize,
    /// Whether all lengths in headers were right so far.
    is_honest: bool,
}

impl Default for Members {
    fn default() -> Self {
        Self { likely: FIRST_INPUT, is_honest: true }
    }
}

impl Members {
    /// Returns the first request for a member at the front of `available` bytes of input. `sizes` are the lengths in
    /// its header.
    fn guess(&self, sizes: Option<gzip::MemberSizes>, available: usize) -> Guess {
        let sizes = sizes.filter(|sizes| self.is_honest && sizes.deflated > 0);
        Guess {
            taken: sizes.map_or(self.likely, |sizes| sizes.deflated as usize).min(available),
            plain: sizes.map(|sizes| sizes.plain as usize),
        }
    }

    /// Records that the member took `used` bytes.
    fn learn(&mut self, guess: Guess, used: usize) {
        self.is_honest &= guess.plain.is_none() || guess.taken == used;
        self.likely = used.saturating_mul(MORE).clamp(LEAST_INPUT, FIRST_INPUT);
    }
}

/// Returns the input length of the request after one with `taken` of `available` bytes that did not reach the stream's
/// end.
fn more_input(taken: usize, available: usize) -> usize {
    taken.saturating_mul(MORE).min(available)
}

/// Inflates one stream from the front of `input`, and returns the bytes consumed and the checksum of the plain data.
/// `guess` determines the first request.
async fn inflate(
    call: CallContext<'_>,
    input: &[u8],
    output: &mut Output<'_>,
    checksum: Checksum,
    format: Format,
    guess: Guess,
    last: &mut Option<u16>,
) -> Result<(usize, u32)> {
    let kind = SessionKind::Inflate { checksum };
    if input.is_empty() {
        return Err(Error::Truncated { format });
    }
    let mut taken = guess.taken;
    let mut room = room_for(call, output, taken, guess.plain);
    loop {
        let request = StatelessRequest { kind, prefix: &[], input: &input[..taken], room, is_open: false };
        let (completed, instance) = call.run(request).await.map_err(|error| call.error(error))?;
        let response = call.decode(&completed, instance, taken, room, format)?;
        if response.overflow {
            // A stateless request cannot be continued, so it is repeated with a longer output buffer.
            more_than(output, room)?;
            let more = (room * 4).min(most(call, output, taken));
            if room >= taken.saturating_mul(MAX_RATIO).max(LEAST_ROOM) {
                return call.penalise_on_error(instance, Err(ran_full()));
            }
            if room >= more {
                return Err(Error::Unsupported {
                    accelerator: crate::error::HARDWARE,
                    operation: format!("a {format} stream of more than {room} bytes of output").into(),
                    remedy:
                        "use a format with members or frames, raise HardwareSettings::memory, or use the CPU"
                            .into(),
                });
            }
            room = more;
            continue;
        }
        if !response.end_of_stream {
            if taken == input.len() {
                return Err(Error::Truncated { format });
            }
            taken = more_input(taken, input.len());
            room = room_for(call, output, taken, None).max(room);
            continue;
        }
        accept(&completed, &response, output)?;
        *last = Some(instance);
        let plain = output.filled();
        let plain = &plain[plain.len() - response.produced..];
        if format == Format::Deflate
            && call.started.settings.integrity != Integrity::Trust
            && libdeflater::crc32(plain) != response.checksum
        {
            // Raw deflate has no trailer, so only this comparison detects wrong output.
            return call.penalise_on_error(instance, Err(wrong_checksum()));
        }
        return Ok((response.consumed, response.checksum));
    }
}

/// Returns the maximum output buffer of a request with `taken` bytes of input: one byte more than `output` may take, so
/// that excess output is detected, and no more than such input can become or the device's memory holds.
fn most(call: CallContext<'_>, output: &Output<'_>, taken: usize) -> usize {
    let device = (call.started.settings.memory / 4 * 3).saturating_sub(taken).min(MAX_ROOM);
    let wanted = output.remaining().saturating_add(1).min(taken.saturating_mul(MAX_RATIO));
    wanted.min(device).max(LEAST_ROOM)
}

/// Returns the first output buffer for `taken` bytes of input. `plain` is the length that the stream states.
fn room_for(call: CallContext<'_>, output: &mut Output<'_>, taken: usize, plain: Option<usize>) -> usize {
    let room = output.room().len().saturating_add(1);
    let guess = match plain {
        Some(plain) => plain.saturating_add(1),
        None if output.is_fixed() => room,
        None => room.max(taken.saturating_mul(if taken <= FIRST_INPUT { 8 } else { 4 })).max(FIRST_ROOM),
    };
    guess.clamp(LEAST_ROOM, most(call, output, taken))
}

/// Returns an error if `output` may not take more than `room` bytes.
fn more_than(output: &mut Output<'_>, room: usize) -> Result<()> {
    if room < output.remaining() { Ok(()) } else { output.reserve(room.saturating_add(1)) }
}

/// Copies the output of a response to the caller.
pub(super) fn accept(
    completed: &CompletedRequest,
    response: &DecodedResponse,
    output: &mut Output<'_>,
) -> Result<()> {
    output.reserve(response.produced)?;
    completed.output().read(0, &mut output.room()[..response.produced]);
    output.advance(response.produced);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the bytes that are copied to the device for members of these lengths, each with the length in its
    /// header.
    fn handed(members: &[(usize, Option<u32>)]) -> usize {
        let (mut rest, mut handed) = (members.iter().map(|(len, _)| len).sum::<usize>(), 0);
        let mut seen = Members::default();
        for (len, said) in members {
            let sizes = said.map(|deflated| gzip::MemberSizes { plain: 1 << 20, deflated });
            let guess = seen.guess(sizes, rest);
            let mut taken = guess.taken;
            handed += taken;
            while taken < *len {
                taken = more_input(taken, rest);
                handed += taken;
            }
            seen.learn(guess, *len);
            rest -= len;
        }
        handed
    }

    /// The square of the length of any of these files would be hundreds of times as much.
    #[test]
    fn what_is_copied_to_the_device_is_a_small_multiple_of_the_file() {
        let small = [(31, None)].repeat(32_000);
        let honest = [(100_000, Some(100_000))].repeat(50);
        let lying = [(2000, Some(u32::MAX))].repeat(10_000);
        let lying_short = [(100_000, Some(1))].repeat(50);
        let mixed: Vec<_> = (0..400_usize).map(|i| (if i % 2 == 0 { 40 } else { 50_000 }, None)).collect();
        let growing: Vec<_> = (0..22).map(|i| (32 << i, None)).collect();
        let falling: Vec<_> = growing.iter().rev().copied().collect();
        for (what, members) in [
            ("small", small),
            ("honest", honest),
            ("lying", lying),
            ("lying short", lying_short),
            ("mixed", mixed),
            ("growing", growing),
            ("falling", falling),
        ] {
            let len: usize = members.iter().map(|(len, _)| len).sum();
            // The bound is the first guess, the minimum for each member, and eleven times the length of the file.
            let bound = FIRST_INPUT.min(len) + members.len() * LEAST_INPUT + 11 * len;
            let handed = handed(&members);
            assert!(handed <= bound, "{what}: {handed} bytes for {len}, more than {bound}");
            if what == "honest" {
                assert_eq!(handed, len);
            }
        }
    }
}
