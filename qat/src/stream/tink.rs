//! Tink's streaming AEAD AES-GCM-HKDF: encryption and decryption of streams.
//!
//! A stream is a header and segments. The header consists of one length byte, a salt of the length of the derived key,
//! and a 7-byte nonce prefix. Each segment is encrypted with AES-GCM. HKDF (RFC 5869) derives the key from the key of
//! the keyset, the salt and the associated data. The nonce consists of the prefix, the number of the segment and a byte
//! that marks the last one. The format is specified in Tink's document "AES-GCM-HKDF Streaming AEAD". Programs call
//! [`encrypt`] and [`decrypt`]; neither ever writes plaintext that was not authenticated.

use std::io::{Read, Write};
use std::sync::atomic::Ordering;

use accel_core::{Cipher, CipherOptions, EncryptionAccelerator, Error, ExecutedOn, Iv, Key};
use aws_lc_rs::hkdf;
use zeroize::Zeroizing;

use super::keyset::StreamingKey;
use super::pipeline::{self, Produced};
use super::source::{Blocks, CountingReader, fill};
use super::{Engine, Keyset, Settings, StreamError, Summary};
use crate::software::cipher::random;
use crate::software::wipe::with_wiped_stack;

type Result<T, E = StreamError> = std::result::Result<T, E>;

const PREFIX_LEN: usize = 7;
const TAG_LEN: usize = 16;

/// A segment of the stream: its input, and its output.
#[derive(Default)]
struct Segment {
    input: Vec<u8>,
    output: Vec<u8>,
    output_len: usize,
    number: u32,
    last: bool,
    ran: Option<ExecutedOn>,
}

/// The derived key and the nonce prefix of one stream.
struct StreamCipher {
    key: Key,
    prefix: [u8; PREFIX_LEN],
}

impl StreamCipher {
    /// Derives the key of a stream from a key of the keyset.
    fn derive(key: &StreamingKey, salt: &[u8], prefix: [u8; PREFIX_LEN], aad: &[u8]) -> Result<Self> {
        struct Len(usize);
        impl hkdf::KeyType for Len {
            fn len(&self) -> usize {
                self.0
            }
        }
        let failed = |_| Error::Internal { engine: "aws-lc", detail: "HKDF failed".into() };
        let mut derived = Zeroizing::new(vec![0; key.derived_len]);
        with_wiped_stack(|| {
            hkdf::Salt::new(key.hkdf(), salt)
                .extract(key.bytes())
                .expand(&[aad], Len(key.derived_len))
                .and_then(|okm| okm.fill(&mut derived))
        })
        .map_err(failed)?;
        Ok(Self { key: Key::new(&derived), prefix })
    }

    fn options(&self, number: u32, last: bool) -> Result<CipherOptions<'static>> {
        let mut nonce = [0; PREFIX_LEN + 5];
        nonce[..PREFIX_LEN].copy_from_slice(&self.prefix);
        nonce[PREFIX_LEN..PREFIX_LEN + 4].copy_from_slice(&number.to_be_bytes());
        nonce[PREFIX_LEN + 4] = u8::from(last);
        Ok(CipherOptions::new(Cipher::AesGcm).iv(Iv::new(&nonce)?))
    }
}

/// Returns the next segment number. A stream has at most 2^32 segments.
fn numbered(next: &mut u64) -> Result<u32> {
    let number = u32::try_from(*next).map_err(|_| StreamError::TooLong)?;
    *next += 1;
    Ok(number)
}

/// Encrypts everything that `input` yields to `output` with the primary key of the keyset. The associated data `aad`
/// are authenticated and not part of the output; decryption needs the same.
///
/// # Errors
/// [`StreamError::Read`], [`StreamError::Write`], [`StreamError::Thread`], [`StreamError::Memory`],
/// [`StreamError::TooLong`], and [`StreamError::Work`] with any error of the accelerator.
pub fn encrypt<R, W>(
    input: R,
    mut output: W,
    engine: &Engine,
    keyset: &Keyset,
    aad: &[u8],
    settings: &Settings,
) -> Result<Summary>
where
    R: Read + Send,
    W: Write,
{
    let key = keyset.primary();
    let mut header = vec![key.header_len() as u8; key.header_len()];
    random(&mut header[1..])?;
    let (salt, prefix) = split_header(&header, key);
    let cipher = StreamCipher::derive(key, salt, prefix, aad)?;

    let mut summary = Summary::new(None);
    let mut blocks = Blocks::new(CountingReader::new(input, &settings.progress));
    let (mut next, mut write_header) = (0, true);
    let plain_len = key.segment_len - TAG_LEN;
    pipeline::run(
        settings.threads,
        |segment: &mut Segment| {
            segment.number = numbered(&mut next)?;
            // The header counts towards the length of the first segment.
            let len = if segment.number == 0 { plain_len - key.header_len() } else { plain_len };
            segment.last = blocks.next(&mut segment.input, len)?;
            Ok(if segment.last { Produced::Last } else { Produced::Block })
        },
        |segment| {
            let len = segment.input.len() + TAG_LEN;
            segment.output.resize(segment.output.len().max(len), 0);
            let options = cipher.options(segment.number, segment.last)?;
            let done = engine.accelerator.encrypt_into(
                &cipher.key,
                &segment.input,
                &mut segment.output,
                &options,
            )?;
            (segment.output_len, segment.ran) = (len, Some(done.outcome.path));
            Ok(())
        },
        |segment| {
            if std::mem::take(&mut write_header) {
                output.write_all(&header).map_err(StreamError::Write)?;
                summary.bytes_out += header.len() as u64;
            }
            finish(segment, &mut output, &mut summary, settings)
        },
    )?;
    output.flush().map_err(StreamError::Write)?;
    Ok(summary)
}

/// Decrypts everything that `input` yields to `output` with the key of the keyset that fits. Each segment is written
/// only after it was authenticated. A stream that was truncated, reordered or spliced ends with an error at the first
/// segment that shows it.
///
/// # Errors
/// [`StreamError::Read`], [`StreamError::Write`], [`StreamError::Thread`], [`StreamError::Memory`],
/// [`StreamError::NotEncrypted`], [`StreamError::TruncatedHeader`], [`StreamError::NoMatchingKey`] where no key
/// decrypts the first segment, and [`StreamError::Work`] with [`Authentication`](Error::Authentication) for a later
/// segment that was altered, or with any error of the accelerator.
pub fn decrypt<R, W>(
    mut input: R,
    mut output: W,
    engine: &Engine,
    keyset: &Keyset,
    aad: &[u8],
    settings: &Settings,
) -> Result<Summary>
where
    R: Read + Send,
    W: Write,
{
    let mut input = CountingReader::new(&mut input, &settings.progress);
    let mut header_len = [0];
    if fill(&mut input, &mut header_len)? == 0 {
        return Err(StreamError::TruncatedHeader);
    }
    let header_len = usize::from(header_len[0]);
    let candidates: Vec<_> = keyset.keys().filter(|key| key.header_len() == header_len).collect();
    // One byte more than the longest first segment shows whether something follows it.
    let Some(longest) = candidates.iter().map(|key| key.segment_len - header_len).max() else {
        return Err(StreamError::NotEncrypted { header_len });
    };
    let mut header = vec![header_len as u8; header_len];
    if fill(&mut input, &mut header[1..])? < header_len - 1 {
        return Err(StreamError::TruncatedHeader);
    }
    let mut head = vec![0; longest + 1];
    let have = fill(&mut input, &mut head)?;
    head.truncate(have);

    let mut chosen = None;
    for key in candidates {
        let (salt, prefix) = split_header(&header, key);
        let cipher = StreamCipher::derive(key, salt, prefix, aad)?;
        let len = head.len().min(key.segment_len - header_len);
        let input = head[..len].to_vec();
        let mut first = Segment { input, last: len == head.len(), ..Segment::default() };
        match open(&mut first, engine, &cipher) {
            Ok(()) => {
                chosen = Some((key, cipher));
                break;
            }
            Err(StreamError::Work(Error::Authentication { .. })) => {}
            Err(error) => return Err(error),
        }
    }
    let (key, cipher) = chosen.ok_or(StreamError::NoMatchingKey)?;

    let mut summary = Summary::new(None);
    summary.bytes_in = header_len as u64;
    let mut blocks = Blocks::new(head.as_slice().chain(input));
    let mut next = 0;
    pipeline::run(
        settings.threads,
        |segment: &mut Segment| {
            segment.number = numbered(&mut next)?;
            let len = key.segment_len - if segment.number == 0 { header_len } else { 0 };
            segment.last = blocks.next(&mut segment.input, len)?;
            Ok(if segment.last { Produced::Last } else { Produced::Block })
        },
        |segment| open(segment, engine, &cipher),
        |segment| finish(segment, &mut output, &mut summary, settings),
    )?;
    output.flush().map_err(StreamError::Write)?;
    Ok(summary)
}

fn split_header<'a>(header: &'a [u8], key: &StreamingKey) -> (&'a [u8], [u8; PREFIX_LEN]) {
    let (salt, prefix) = header[1..].split_at(key.derived_len);
    let mut bytes = [0; PREFIX_LEN];
    bytes.copy_from_slice(prefix);
    (salt, bytes)
}

fn open(segment: &mut Segment, engine: &Engine, cipher: &StreamCipher) -> Result<()> {
    let len = segment.input.len().saturating_sub(TAG_LEN);
    let room = pipeline::room(&mut segment.output, len)?;
    let options = cipher.options(segment.number, segment.last)?;
    let done = engine.accelerator.decrypt_into(&cipher.key, &segment.input, room, &options)?;
    (segment.output_len, segment.ran) = (len, Some(done.path));
    Ok(())
}

fn finish(
    segment: &Segment,
    output: &mut impl Write,
    summary: &mut Summary,
    settings: &Settings,
) -> Result<()> {
    output.write_all(&segment.output[..segment.output_len]).map_err(StreamError::Write)?;
    if let Some(path) = segment.ran {
        summary.ran(path);
    }
    summary.bytes_in += segment.input.len() as u64;
    summary.bytes_out += segment.output_len as u64;
    settings.progress.bytes_out.fetch_add(segment.output_len as u64, Ordering::Relaxed);
    Ok(())
}
