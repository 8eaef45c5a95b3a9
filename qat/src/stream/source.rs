//! Readers for the input of a stream: [`Blocks`] cuts it into blocks and detects the last one, and [`Source`] buffers
//! it for parsing. Both count the bytes that they read, and neither ever writes.

use std::io::{self, ErrorKind, Read};
use std::sync::atomic::Ordering;

use accel_core::{Error, Format};

use super::pipeline::{reserve, room};
use super::{Progress, StreamError};
use crate::error::SOFTWARE;

type Result<T, E = StreamError> = std::result::Result<T, E>;

/// A reader that counts the bytes it reads.
pub(super) struct CountingReader<'a, R> {
    reader: R,
    progress: &'a Progress,
}

impl<'a, R> CountingReader<'a, R> {
    pub(super) fn new(reader: R, progress: &'a Progress) -> Self {
        Self { reader, progress }
    }
}

impl<R: Read> Read for CountingReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buffer)?;
        self.progress.bytes_in.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Reads until `buffer` is full or the input ends, and returns the number of bytes read.
///
/// # Errors
/// [`StreamError::Read`] where the reader fails.
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

/// Cuts a reader into blocks, and detects which block is the last.
pub(super) struct Blocks<R> {
    reader: R,
    /// The byte that was read to find out whether more follows; `None` where none was.
    ahead: Option<u8>,
}

impl<R: Read> Blocks<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, ahead: None }
    }

    /// Fills `block` with up to `len` bytes, and returns whether it is the last. Only the first block can be empty.
    ///
    /// # Errors
    /// [`StreamError::Read`] and [`StreamError::Memory`].
    pub(super) fn next(&mut self, block: &mut Vec<u8>, len: usize) -> Result<bool> {
        // One byte more than requested shows whether more follows.
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

/// The number of bytes requested from the reader in one call.
const CHUNK: usize = 256 << 10;
/// The number of bytes by which memory grows where the input states its length. Memory follows the data that were
/// received, not a length that a header claims.
const STEP: usize = 1 << 20;

/// A buffered reader for parsing.
///
/// A read error counts as the end of the input until all data read before it are consumed. A caller that needs more
/// data then obtains the cause from [`ended_early`](Self::ended_early); a caller that needs none calls
/// [`check_end`](Self::check_end).
pub(super) struct Source<R> {
    reader: Reading<R>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The number of bytes consumed so far.
    taken: u64,
}

/// A reader, and the result of its last read.
struct Reading<R> {
    reader: R,
    /// Whether the input has ended or failed, so that nothing more is read.
    ended: bool,
    /// The error of the reader; `None` where it has not failed.
    failed: Option<io::Error>,
    /// Whether the last read filled the whole buffer, so that the next one is not expected to wait.
    flowing: bool,
}

impl<R: Read> Reading<R> {
    /// Reads once, and returns the number of bytes read, which is 0 when the input has ended or failed.
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

    /// Returns the bytes that are buffered.
    pub(super) fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Returns at least `want` bytes, or fewer where the input ends earlier. It reads only while bytes are missing.
    pub(super) fn peek(&mut self, want: usize) -> &[u8] {
        while self.buffered().len() < want && self.more() {}
        self.buffered()
    }

    /// Does what [`peek`](Self::peek) does, but stops where the next read might wait for the program that writes the
    /// input.
    pub(super) fn peek_ready(&mut self, want: usize) -> &[u8] {
        while self.buffered().len() < want && self.reader.flowing && self.more() {}
        self.buffered()
    }

    /// Reads once to buffer more bytes, and returns whether there were any.
    pub(super) fn more(&mut self) -> bool {
        let have = self.end - self.start;
        // Moving copies at most as many bytes as were consumed, unless the buffer has no other free space.
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

    /// Removes `len` buffered bytes.
    ///
    /// # Errors
    /// `Internal` when fewer bytes are buffered, and then nothing is removed: a decoder that claims to have read more than it
    /// was given cannot be trusted with the bytes that follow.
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

    /// Appends exactly `len` bytes to `to`, and returns whether the input had that many.
    ///
    /// # Errors
    /// [`StreamError::Memory`] where the system refuses the memory.
    pub(super) fn take(&mut self, len: usize, to: &mut Vec<u8>) -> Result<bool> {
        self.take_while(len, to, |_| true)
    }

    /// Does what [`take`](Self::take) does, but stops where the next read might wait for the program that writes the
    /// input.
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

    /// Appends the rest of the input to `to`, and returns whether it was at most `most` bytes.
    ///
    /// # Errors
    /// [`StreamError::Memory`] where the system refuses the memory.
    pub(super) fn take_rest(&mut self, most: usize, to: &mut Vec<u8>) -> Result<bool> {
        // One byte more shows whether something follows.
        if self.take(most + 1, to)? {
            return Ok(false);
        }
        self.check_end().map(|()| true)
    }

    /// Puts bytes that were taken back before the buffered ones.
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

    /// Returns the number of bytes consumed so far.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Returns why there is no more input: the error of the reader, or truncated data of `format`.
    pub(super) fn ended_early(&mut self, format: Format) -> StreamError {
        self.reader.failed.take().map_or(Error::Truncated { format }.into(), StreamError::Read)
    }

    /// Fails where the input did not end but could not be read any further.
    ///
    /// # Errors
    /// [`StreamError::Read`] with the error of the reader.
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
