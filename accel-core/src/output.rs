//! The output of a job: a buffer of the caller's, or a vector that grows up to a limit.

use crate::{Error, Job, Result};

/// The smallest number of bytes by which a vector grows, or that it starts with on a guess.
const STEP: usize = 64 << 10;
/// The largest number of bytes that are allocated on a guess.
const MAX_GUESS: usize = 1 << 30;

/// Where a job writes: the front of a buffer of the caller's, or a vector that grows up to a limit.
///
/// An engine asks for [room](Self::room_for), writes to it, and says by [`advance`](Self::advance) how much of it it used.
/// What it has [written](Self::filled) remains readable, which is what the decoders of formats with a window need.
///
/// # Examples
/// ```
/// use accel_core::Output;
///
/// fn copy(input: &[u8], output: &mut Output<'_>) -> accel_core::Result<()> {
///     output.write(input)
/// }
/// let mut growing = Output::growing();
/// copy(b"to be", &mut growing)?;
/// assert_eq!(growing.into_vec(), b"to be");
/// assert!(copy(b"to be", &mut Output::fixed(&mut [0; 3])).is_err());
/// # Ok::<(), accel_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Output<'a> {
    target: Target<'a>,
    written: usize,
    limit: usize,
}

#[derive(Debug)]
enum Target<'a> {
    Fixed(&'a mut [u8]),
    Growing(Vec<u8>),
}

impl<'a> Output<'a> {
    /// Makes an output that is the front of `buffer`.
    #[must_use]
    #[inline]
    pub const fn fixed(buffer: &'a mut [u8]) -> Self {
        Self { target: Target::Fixed(buffer), written: 0, limit: usize::MAX }
    }

    /// Makes an output that is a vector. It allocates nothing before the first room is asked for.
    #[must_use]
    #[inline]
    pub const fn growing() -> Output<'static> {
        Output { target: Target::Growing(Vec::new()), written: 0, limit: usize::MAX }
    }

    /// Returns this output with another limit: the largest number of bytes that may be written to it.
    #[must_use]
    #[inline]
    pub const fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Returns whether this is a buffer of the caller's, which cannot grow.
    #[must_use]
    #[inline]
    pub const fn is_fixed(&self) -> bool {
        matches!(self.target, Target::Fixed(_))
    }

    /// Returns the largest number of bytes that may be written in all.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Returns the largest number of bytes that can still be written.
    #[must_use]
    pub fn remaining(&self) -> usize {
        let most = match &self.target {
            Target::Fixed(buffer) => buffer.len().min(self.limit),
            Target::Growing(_) => self.limit,
        };
        most - self.written
    }

    /// Returns the number of bytes that were written.
    #[must_use]
    pub const fn written(&self) -> usize {
        self.written
    }

    /// Returns the bytes that were written.
    #[must_use]
    pub fn filled(&self) -> &[u8] {
        &self.buffer()[..self.written]
    }

    #[inline]
    fn buffer(&self) -> &[u8] {
        match &self.target {
            Target::Fixed(buffer) => buffer,
            Target::Growing(buffer) => buffer,
        }
    }

    /// Returns the bytes that were written, and the room behind them.
    #[inline]
    pub fn split(&mut self) -> (&[u8], &mut [u8]) {
        let limit = self.limit;
        let buffer: &mut [u8] = match &mut self.target {
            Target::Fixed(buffer) => buffer,
            Target::Growing(buffer) => buffer,
        };
        let end = buffer.len().min(limit);
        let (filled, room) = buffer[..end].split_at_mut(self.written);
        (filled, room)
    }

    /// Returns the room behind what was written, as it is now. A growing output has none at first.
    #[inline]
    pub fn room(&mut self) -> &mut [u8] {
        self.split().1
    }

    /// Returns room for what takes `len` bytes at most: `len` bytes or more of a growing output, and all that is left of a
    /// fixed one, which may be less.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] when a growing output may not become so long.
    #[inline]
    pub fn room_for(&mut self, len: usize) -> Result<&mut [u8]> {
        if !self.is_fixed() {
            self.reserve(len)?;
        }
        Ok(self.room())
    }

    /// Counts the first `len` bytes of the room as written.
    ///
    /// # Panics
    /// When the room is shorter.
    #[inline]
    pub fn advance(&mut self, len: usize) {
        let written = self.written.saturating_add(len);
        assert!(written <= self.buffer().len().min(self.limit), "more was written than there was room for");
        self.written = written;
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// [`Error::OutputTooSmall`] or [`Error::LimitExceeded`] when they have no room; nothing is written then.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let (required, available) = (self.written.saturating_add(bytes.len()), self.buffer().len());
        let room = self.room_for(bytes.len())?.get_mut(..bytes.len());
        room.ok_or(Error::OutputTooSmall { required: Some(required), available })?.copy_from_slice(bytes);
        self.written = required;
        Ok(())
    }

    /// Forgets what was written, so that the same job can be tried again.
    pub const fn clear(&mut self) {
        self.written = 0;
    }

    /// Makes room for about `len` bytes where this is a growing output without any: an engine's guess of the whole output.
    pub fn expect(&mut self, len: usize) {
        if let Target::Growing(buffer) = &mut self.target
            && buffer.is_empty()
        {
            *buffer = vec![0; len.clamp(STEP, MAX_GUESS).min(self.limit)];
        }
    }

    /// Makes sure that there is room for `more` bytes.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] when the limit forbids it, [`Error::OutputTooSmall`] when a fixed output ends before.
    pub fn reserve(&mut self, more: usize) -> Result<()> {
        if self.room().len() >= more {
            return Ok(());
        }
        let need = self.written.saturating_add(more);
        if need > self.limit {
            return Err(Error::LimitExceeded { limit: self.limit as u64 });
        }
        match &mut self.target {
            Target::Fixed(buffer) => {
                // What follows will need room as well.
                Err(Error::OutputTooSmall { required: None, available: buffer.len() })
            }
            Target::Growing(buffer) => {
                let len = need.max(buffer.len().saturating_mul(2).min(self.limit));
                if self.written == 0 {
                    // Zeroed pages come from the system untouched, where resizing would write them all.
                    *buffer = vec![0; len];
                } else {
                    buffer.resize(len, 0);
                }
                Ok(())
            }
        }
    }

    /// Makes more room than there is now, by an amount that keeps the number of growths small.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve).
    pub fn grow(&mut self) -> Result<()> {
        let more = self.room().len().saturating_add(1);
        if let Target::Fixed(buffer) = &self.target
            && buffer.len() <= self.limit
        {
            return Err(Error::OutputTooSmall { required: None, available: buffer.len() });
        }
        self.reserve(more)
    }

    /// Returns the vector of a growing output, cut to what was written. It is empty for a fixed output.
    #[must_use]
    #[inline]
    pub fn into_vec(self) -> Vec<u8> {
        match self.target {
            Target::Fixed(_) => Vec::new(),
            Target::Growing(mut buffer) => {
                buffer.truncate(self.written);
                buffer
            }
        }
    }
}

/// The output of a job that is [submitted](crate::HardwareAccelerator::submit), which owns its buffer.
///
/// # Examples
/// ```
/// use accel_core::{Checksum, OwnedJob, OwnedOutput};
///
/// let job = OwnedJob::Checksum(Checksum::Crc32);
/// let mut output = OwnedOutput::Buffer(vec![0; 8]);
/// let mut room = output.open(job.as_job());
/// room.write(b"1234")?;
/// let written = room.into_vec();
/// assert_eq!(output.close(written), b"1234\0\0\0\0");
/// # Ok::<(), accel_core::Error>(())
/// ```
#[derive(Debug)]
pub enum OwnedOutput {
    /// The front of this vector, whose length in bytes is the room.
    Buffer(Vec<u8>),
    /// A vector that the accelerator makes, and that is as long as what it wrote.
    New,
}

impl OwnedOutput {
    /// Returns the output to write to, with the limit of `job`.
    #[inline]
    pub fn open(&mut self, job: Job<'_>) -> Output<'_> {
        match self {
            Self::Buffer(buffer) => Output::fixed(buffer),
            Self::New => Output::growing(),
        }
        .with_limit(job.limit())
    }

    /// Returns the vector for a [`Completion`](crate::Completion), where `written` is what
    /// [`into_vec`](Output::into_vec) of the opened output returned.
    #[must_use]
    #[inline]
    pub fn close(self, written: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Buffer(buffer) => buffer,
            Self::New => written,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_output_never_grows_and_keeps_its_limit() {
        let mut buffer = [0; 10];
        let mut output = Output::fixed(&mut buffer);
        output.expect(100);
        assert_eq!((output.room_for(100).unwrap().len(), output.remaining()), (10, 10));
        output.write(b"1234567").unwrap();
        assert!(matches!(
            output.write(b"1234"),
            Err(Error::OutputTooSmall { required: Some(11), available: 10 })
        ));
        assert!(matches!(output.grow(), Err(Error::OutputTooSmall { required: None, available: 10 })));
        assert_eq!((output.filled(), output.remaining()), (&b"1234567"[..], 3));
        assert!(output.into_vec().is_empty());

        let mut output = Output::fixed(&mut buffer).with_limit(4);
        assert_eq!((output.room().len(), output.remaining()), (4, 4));
        assert!(matches!(output.reserve(5), Err(Error::LimitExceeded { limit: 4 })));
        output.advance(4);
        assert!(matches!(output.grow(), Err(Error::LimitExceeded { limit: 4 })));
    }

    #[test]
    fn a_growing_output_starts_empty_and_ends_at_its_limit() {
        let mut output = Output::growing().with_limit(200_000);
        assert!(output.room().is_empty() && !output.is_fixed());
        output.expect(1);
        assert_eq!(output.room().len(), STEP);
        output.expect(100_000);
        assert_eq!(output.room().len(), STEP, "a second guess changes nothing");
        output.advance(STEP);
        output.grow().unwrap();
        assert_eq!(output.room().len(), STEP, "twice as long");
        output.write(&[7; 200_000 - STEP]).unwrap();
        assert!(matches!(output.write(b"1"), Err(Error::LimitExceeded { limit: 200_000 })));
        assert_eq!((output.written(), output.remaining()), (200_000, 0));
        output.clear();
        output.write(b"again").unwrap();
        assert_eq!(output.into_vec(), b"again");
    }

    #[test]
    fn room_for_a_known_length_is_exact() {
        let mut output = Output::growing();
        assert_eq!(output.room_for(33).unwrap().len(), 33);
        output.advance(32);
        let bytes = output.into_vec();
        assert_eq!((bytes.len(), bytes.capacity()), (32, 33));
    }

    #[test]
    #[should_panic(expected = "more was written")]
    fn nothing_is_written_beyond_the_limit() {
        Output::fixed(&mut [0; 9]).with_limit(8).advance(9);
    }
}
