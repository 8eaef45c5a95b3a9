//! Decompression: streams found in the input, each by requests that hold all of it.

use accel_core::{Error, Format, Outcome, Result};

use super::compress::{outcome, ran_full, wrong_checksum};
use super::lz4;
use super::request::{DecodedResponse, StatelessRequest};
use super::session::{Checksum, SessionKind};
use crate::device::inflight::{CompletedRequest, Direction};
use crate::device::instances::CallContext;
use crate::formats::{gzip, zlib};
use crate::job::output::Output;
use crate::settings::Integrity;
use crate::software;

/// Most input of the first request for a stream whose end is not known; each further one takes [`MORE`] times as much.
const FIRST_INPUT: usize = 4 << 20;
/// Least input of such a request.
const LEAST_INPUT: usize = 1 << 10;
/// How much more input the next request takes than one that did not reach the stream's end, and than the member before.
const MORE: usize = 4;
/// Least room for output. Too little costs another request, and a line of libqat's on the standard error stream.
pub(super) const LEAST_ROOM: usize = 64 << 10;
/// Least room of the first request for a stream of unknown length: small ones never run out of it.
const FIRST_ROOM: usize = 512 << 10;
/// What a byte of deflate data can become at most: a match of 258 bytes for two bits, and its block's header.
const MAX_RATIO: usize = 1040;
/// Most output of one request.
const MAX_ROOM: usize = 512 << 20;

/// Decompresses all of `input`.
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
        // Zstandard would be here, where `capabilities.compression.zstd.decompress` is: from qatlib 25.08 on, and for
        // devices after generation 4.
        other => return Err(super::not_offered(other, Direction::Decompress)),
    }
    Ok(outcome(input.len(), output.written(), last))
}

/// Checks a zlib stream's trailer, and with `is_checked` the device's checksum, against each other and `plain`.
pub(super) fn check_zlib(trailer: &[u8; 4], adler: u32, plain: &[u8], is_checked: bool) -> Result<()> {
    match zlib::check_trailer(trailer, adler) {
        // The format does not say the length, so the trailer fits the device's sum even if output is missing.
        Ok(()) if is_checked && Checksum::Adler32.of(plain) != adler => Err(wrong_checksum()),
        checked => witness(checked, adler, Checksum::Adler32, plain),
    }
}

/// Checks a gzip member's trailer against the device's checksum and `plain`.
pub(super) fn check_gzip(trailer: &[u8; gzip::TRAILER_LEN], crc: u32, plain: &[u8]) -> Result<()> {
    witness(gzip::check_trailer(trailer, crc, plain.len() as u64), crc, Checksum::Crc32, plain)
}

/// When the stream's own checksum does not fit the device's: are the data to blame, or the device?
fn witness(checked: Result<()>, device: u32, checksum: Checksum, plain: &[u8]) -> Result<()> {
    match checked {
        Ok(()) => Ok(()),
        Err(corrupt) if checksum.of(plain) == device => Err(corrupt),
        Err(_) => Err(wrong_checksum()),
    }
}

/// What the first request for a stream takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Guess {
    /// Bytes of input.
    taken: usize,
    /// Plain length of the stream, where it says so.
    plain: Option<usize>,
}

impl Guess {
    /// All of `input` is one stream, as far as anybody knows.
    fn whole(input: &[u8]) -> Self {
        Self { taken: input.len(), plain: None }
    }
}

/// How much input the members of a gzip file are likely to take. A request with more than its member is copied for
/// nothing, so that many small members with all that follows them would cost the square of the file's length. What is
/// handed to the device stays below a multiple of that length: each guess is at most [`MORE`] times the member before or
/// what did not reach the end of this one, and a file that lied about a member's length is not believed again.
#[derive(Debug)]
struct Members {
    /// For a member that does not say its length.
    likely: usize,
    /// Lengths in headers were true so far.
    is_honest: bool,
}

impl Default for Members {
    fn default() -> Self {
        Self { likely: FIRST_INPUT, is_honest: true }
    }
}

impl Members {
    /// The first request for a member whose data begin `available` bytes of input. `sizes` are what it says of itself.
    fn guess(&self, sizes: Option<gzip::MemberSizes>, available: usize) -> Guess {
        let sizes = sizes.filter(|sizes| self.is_honest && sizes.deflated > 0);
        Guess {
            taken: sizes.map_or(self.likely, |sizes| sizes.deflated as usize).min(available),
            plain: sizes.map(|sizes| sizes.plain as usize),
        }
    }

    /// The member took `used` bytes.
    fn learn(&mut self, guess: Guess, used: usize) {
        self.is_honest &= guess.plain.is_none() || guess.taken == used;
        self.likely = used.saturating_mul(MORE).clamp(LEAST_INPUT, FIRST_INPUT);
    }
}

/// Input of the request after one with `taken` bytes that did not reach the stream's end, of `available` bytes.
fn more_input(taken: usize, available: usize) -> usize {
    taken.saturating_mul(MORE).min(available)
}

/// Inflates one stream from the front of `input`; the bytes consumed, and the plain data's checksum. `guess` is what the
/// first request takes.
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
            // A stateless request does not go on, so it starts again with more room.
            more_than(output, room)?;
            let more = (room * 4).min(most(call, output, taken));
            if room >= taken.saturating_mul(MAX_RATIO).max(LEAST_ROOM) {
                return call.penalise_on_error(instance, Err(ran_full()));
            }
            if room >= more {
                return Err(Error::Unsupported {
                    accelerator: crate::error::HARDWARE,
                    operation: format!("a {format} stream of more than {room} bytes of output").into(),
                    remedy: "use a format with members or frames, more device memory (HardwareSettings), or the CPU"
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
            // No trailer tells.
            return call.penalise_on_error(instance, Err(wrong_checksum()));
        }
        return Ok((response.consumed, response.checksum));
    }
}

/// Most room that a request with `taken` bytes of input may have: one byte more than `output` may take, so that too
/// much is seen as too much; no more than such input can become, nor than the device's memory has.
fn most(call: CallContext<'_>, output: &Output<'_>, taken: usize) -> usize {
    let device = (call.started.settings.memory / 4 * 3).saturating_sub(taken).min(MAX_ROOM);
    let wanted = output.most().saturating_add(1).min(taken.saturating_mul(MAX_RATIO));
    wanted.min(device).max(LEAST_ROOM)
}

/// A first guess for the output of `taken` bytes; `plain` is its length, if the stream tells the truth.
fn room_for(call: CallContext<'_>, output: &mut Output<'_>, taken: usize, plain: Option<usize>) -> usize {
    let room = output.room().len().saturating_add(1);
    let guess = match plain {
        Some(plain) => plain.saturating_add(1),
        None if output.is_fixed() => room,
        None => room.max(taken.saturating_mul(if taken <= FIRST_INPUT { 8 } else { 4 })).max(FIRST_ROOM),
    };
    guess.clamp(LEAST_ROOM, most(call, output, taken))
}

/// The error for more than `room` bytes, if `output` may not take so many.
fn more_than(output: &mut Output<'_>, room: usize) -> Result<()> {
    if room < output.most() { Ok(()) } else { output.reserve(room.saturating_add(1)) }
}

/// Copies an answer's output to the caller.
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

    /// The bytes handed to the device for members of these lengths, each with what it says of its own.
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

    /// The square of the length of any of these would be hundreds of times as much.
    #[test]
    fn what_the_device_is_given_is_a_small_multiple_of_the_file() {
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
            // The first guess, the least for each member, and eleven times what there is at most.
            let bound = FIRST_INPUT.min(len) + members.len() * LEAST_INPUT + 11 * len;
            let handed = handed(&members);
            assert!(handed <= bound, "{what}: {handed} bytes for {len}, more than {bound}");
            if what == "honest" {
                assert_eq!(handed, len);
            }
        }
    }
}
