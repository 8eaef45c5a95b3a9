//! The reading end of a stream: blocks with a look ahead, and a buffer to parse from.

use std::io::{self, ErrorKind, Read};
use std::sync::atomic::Ordering;

use accel_core::{Error, Format};

use super::pipeline::{reserve, room};
use super::{Progress, StreamError};
use crate::error::SOFTWARE;

type Result<T, E = StreamError> = std::result::Result<T, E>;

/// Counts what is read.
pub(super) struct Counted<'a, R> {
    reader: R,
    progress: &'a Progress,
}

impl<'a, R> Counted<'a, R> {
    pub(super) fn new(reader: R, progress: &'a Progress) -> Self {
        Self { reader, progress }
    }
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buffer)?;
        self.progress.bytes_in.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Reads until `buffer` is full or the input ends; the bytes read.
pub(super) fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> Result<usize> {
    let mut have = 0;
    while have < buffer.len() {
        match reader.read(&mut buffer[have..]) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(StreamError::Read(error)),
        }
    }
    Ok(have)
}

/// Cuts a reader into blocks and knows which one is the last.
pub(super) struct Blocks<R> {
    reader: R,
    /// A byte that was read to see whether there is more.
    ahead: Option<u8>,
}

impl<R: Read> Blocks<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, ahead: None }
    }

    /// Fills `block` with up to `len` bytes; whether it is the last. Only the first block can be empty.
    pub(super) fn next(&mut self, block: &mut Vec<u8>, len: usize) -> Result<bool> {
        // One byte more than wanted tells whether something follows.
        room(block, len + 1)?;
        block.truncate(len + 1);
        let head = usize::from(self.ahead.is_some());
        if let Some(byte) = self.ahead.take() {
            block[0] = byte;
        }
        let have = head + fill(&mut self.reader, &mut block[head..])?;
        self.ahead = block.get(len).copied().filter(|_| have > len);
        block.truncate(have.min(len));
        Ok(self.ahead.is_none())
    }
}

/// How much is read at a time.
const CHUNK: usize = 256 << 10;
/// How much memory is asked for at a time where the input says how long it will be: memory grows with what arrives, not
/// with what a header claims.
const STEP: usize = 1 << 20;

/// A buffered reader to parse from.
///
/// A read that fails is as good as the end of the input until the data that were read before it are used up: whoever
/// misses something asks [`ended_early`](Self::ended_early) why, and whoever is content [`check_end`](Self::check_end).
pub(super) struct Source<R> {
    reader: Reading<R>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes taken so far.
    taken: u64,
}

/// A reader, and how its last read went.
struct Reading<R> {
    reader: R,
    /// Nothing more is read.
    ended: bool,
    /// Why reading failed.
    failed: Option<io::Error>,
    /// The last read filled all the room that it was given, so that the next one is not expected to wait.
    flowing: bool,
}

impl<R: Read> Reading<R> {
    /// Reads once; the bytes read, 0 when the input has ended or failed.
    fn read(&mut self, to: &mut [u8]) -> usize {
        while !self.ended {
            match self.reader.read(to) {
                Ok(n) => {
                    (self.ended, self.flowing) = (n == 0, n == to.len());
                    return n;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => (self.ended, self.failed) = (true, Some(error)),
            }
        }
        0
    }
}

impl<R: Read> Source<R> {
    pub(super) fn new(reader: R) -> Self {
        let reader = Reading { reader, ended: false, failed: None, flowing: true };
        Self { reader, buffer: vec![0; CHUNK], start: 0, end: 0, taken: 0 }
    }

    /// What is buffered.
    pub(super) fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// At least `want` bytes, fewer only where the input ends. It reads no more often than it must.
    pub(super) fn peek(&mut self, want: usize) -> &[u8] {
        while self.buffered().len() < want && self.more() {}
        self.buffered()
    }

    /// As [`peek`](Self::peek), but stops where the next read might wait for whoever writes the input.
    pub(super) fn peek_ready(&mut self, want: usize) -> &[u8] {
        while self.buffered().len() < want && self.reader.flowing && self.more() {}
        self.buffered()
    }

    /// Reads once, so that more is buffered than now; whether there was any.
    pub(super) fn more(&mut self) -> bool {
        let have = self.end - self.start;
        // What is moved is no more than what was consumed, unless there is no other room.
        if have <= self.start || self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, have);
        }
        if have == self.buffer.len() {
            self.buffer.resize(have + CHUNK, 0);
        }
        let to = (self.end + CHUNK).min(self.buffer.len());
        let read = self.reader.read(&mut self.buffer[self.end..to]);
        self.end += read;
        read > 0
    }

    /// Takes `len` buffered bytes away. It fails, and takes nothing, where fewer are buffered: a decoder that claims to
    /// have read more than it was given is not to be trusted with the bytes that follow.
    pub(super) fn consume(&mut self, len: usize) -> Result<()> {
        let buffered = self.buffered().len();
        if len > buffered {
            let detail = format!("a decoder claims {len} bytes of input, and was given {buffered}").into();
            return Err(Error::Internal { engine: SOFTWARE, detail }.into());
        }
        self.start += len;
        self.taken += len as u64;
        Ok(())
    }

    /// Appends exactly `len` bytes to `to`; whether there were that many.
    pub(super) fn take(&mut self, len: usize, to: &mut Vec<u8>) -> Result<bool> {
        self.take_while(len, to, |_| true)
    }

    /// As [`take`](Self::take), but stops where the next read might wait for whoever writes the input.
    pub(super) fn take_ready(&mut self, len: usize, to: &mut Vec<u8>) -> Result<bool> {
        self.take_while(len, to, |reader| reader.flowing)
    }

    fn take_while(
        &mut self,
        len: usize,
        to: &mut Vec<u8>,
        may_read: impl Fn(&Reading<R>) -> bool,
    ) -> Result<bool> {
        let head = self.buffered().len().min(len);
        reserve(to, head)?;
        to.extend_from_slice(&self.buffered()[..head]);
        self.consume(head)?;
        let mut missing = len - head;
        while missing > 0 {
            let (mut at, step) = (to.len(), missing.min(STEP));
            reserve(to, step)?;
            to.resize(at + step, 0);
            let mut read = 1;
            while at < to.len() && read > 0 && may_read(&self.reader) {
                read = self.reader.read(&mut to[at..]);
                at += read;
                missing -= read;
                self.taken += read as u64;
            }
            let is_full = at == to.len();
            to.truncate(at);
            if !is_full {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Appends all that is left to `to`; whether that was at most `most` bytes.
    pub(super) fn take_rest(&mut self, most: usize, to: &mut Vec<u8>) -> Result<bool> {
        // One byte more tells whether something follows.
        if self.take(most + 1, to)? {
            return Ok(false);
        }
        self.check_end().map(|()| true)
    }

    /// Puts bytes that were taken back in front of what is buffered.
    pub(super) fn put_back(&mut self, bytes: &[u8]) -> Result<()> {
        if self.start < bytes.len() {
            let mut buffer = Vec::new();
            let len = bytes.len() + self.buffered().len();
            reserve(&mut buffer, len.max(CHUNK))?;
            buffer.extend_from_slice(bytes);
            buffer.extend_from_slice(self.buffered());
            buffer.resize(len.max(CHUNK), 0);
            (self.buffer, self.start, self.end) = (buffer, 0, len);
        } else {
            self.start -= bytes.len();
            self.buffer[self.start..][..bytes.len()].copy_from_slice(bytes);
        }
        self.taken -= bytes.len() as u64;
        Ok(())
    }

    /// Bytes taken so far.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Why there is not more: reading failed, or data of `format` are cut off.
    pub(super) fn ended_early(&mut self, format: Format) -> StreamError {
        self.reader.failed.take().map_or(Error::Truncated { format }.into(), StreamError::Read)
    }

    /// Fails if the input did not end but could not be read any further.
    pub(super) fn check_end(&mut self) -> Result<()> {
        self.reader.failed.take().map_or(Ok(()), |error| Err(StreamError::Read(error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A decoder's count beyond what it was given is an error, and leaves the source as it was.
    #[test]
    fn more_than_is_buffered_is_not_consumed() {
        let mut source = Source::new(&b"0123456789"[..]);
        assert_eq!(source.peek(10).len(), 10);
        source.consume(4).unwrap();
        for len in [7, CHUNK, usize::MAX] {
            let error = source.consume(len).unwrap_err();
            assert!(matches!(error, StreamError::Work(Error::Internal { .. })), "{error}");
            assert_eq!((source.buffered(), source.taken()), (&b"456789"[..], 4));
        }
        source.consume(6).unwrap();
        assert_eq!((source.buffered(), source.taken()), (&b""[..], 10));
    }
}
