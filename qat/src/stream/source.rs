//! The reading end of a stream: blocks with a look ahead, and a buffer to parse from.

use std::io::{self, ErrorKind, Read};
use std::sync::atomic::Ordering;

use super::pipeline::room;
use super::{Progress, StreamError};

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
        room(block, len + 1);
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

/// A buffered reader to parse from, which can be asked for any number of bytes at once.
pub(super) struct Source<R> {
    reader: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    ended: bool,
    /// Bytes taken so far.
    taken: u64,
}

impl<R: Read> Source<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, buffer: vec![0; CHUNK], start: 0, end: 0, ended: false, taken: 0 }
    }

    /// What is buffered.
    pub(super) fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// At least `want` bytes, fewer only where the input ends.
    pub(super) fn peek(&mut self, want: usize) -> Result<&[u8]> {
        while self.end - self.start < want && !self.ended {
            self.read_more(want)?;
        }
        Ok(self.buffered())
    }

    /// More bytes than now; whether there were any.
    pub(super) fn more(&mut self) -> Result<bool> {
        let before = self.end - self.start;
        self.peek(before + 1)?;
        Ok(self.end - self.start > before)
    }

    fn read_more(&mut self, want: usize) -> Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let size = (want + CHUNK).max(self.buffer.len());
        self.buffer.resize(size, 0);
        loop {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(n) => {
                    self.ended = n == 0;
                    self.end += n;
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(StreamError::Read(error)),
            }
        }
    }

    /// Takes `len` buffered bytes away.
    pub(super) fn consume(&mut self, len: usize) {
        self.start += len;
        self.taken += len as u64;
        debug_assert!(self.start <= self.end, "consumed more than was buffered");
    }

    /// Appends exactly `len` bytes to `to`; whether there were that many.
    pub(super) fn take(&mut self, len: usize, to: &mut Vec<u8>) -> Result<bool> {
        let buffered = self.buffered();
        let head = buffered.len().min(len);
        to.extend_from_slice(&buffered[..head]);
        self.consume(head);
        if head == len {
            return Ok(true);
        }
        // Grow with what arrives, not with what a header claims.
        let mut missing = len - head;
        while missing > 0 {
            let at = to.len();
            let step = missing.min(1 << 20);
            to.resize(at + step, 0);
            let have = fill(&mut self.reader, &mut to[at..])?;
            to.truncate(at + have);
            self.taken += have as u64;
            missing -= have;
            if have < step {
                self.ended = true;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Appends all that is left to `to`; whether that was at most `most` bytes.
    pub(super) fn take_rest(&mut self, most: usize, to: &mut Vec<u8>) -> Result<bool> {
        let before = to.len();
        to.extend_from_slice(self.buffered());
        // One byte more tells whether something follows.
        let more = (most + 1).saturating_sub(to.len() - before) as u64;
        self.reader.by_ref().take(more).read_to_end(to).map_err(StreamError::Read)?;
        self.start = self.end;
        self.taken += (to.len() - before) as u64;
        Ok(to.len() - before <= most)
    }

    /// Bytes taken so far.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }
}
