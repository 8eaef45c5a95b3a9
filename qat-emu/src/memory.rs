//! Host memory as the device sees it: IO virtual addresses, flat buffers and scatter-gather lists.
//!
//! The engines access memory only through [`DeviceMemory`]. They are therefore safe code, and tests run them on a plain
//! map of byte vectors; the process boundary implements the trait over the memory that the library mapped.

use std::fmt;

/// Describes a device access outside memory that the library mapped for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the device may not {access} {len} bytes at IO address {iova:#x}: they are outside mapped memory")]
pub struct DmaFault {
    /// Is the first IO virtual address of the refused access.
    pub iova: u64,
    /// Is the length of the access in bytes.
    pub len: usize,
    /// Is the direction of the access.
    pub access: Access,
}

/// Names the direction of a device access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The device reads host memory.
    Read,
    /// The device writes host memory.
    Write,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

/// Reads and writes host memory by IO virtual addresses.
pub trait DeviceMemory {
    /// Copies `into.len()` bytes from `iova`.
    ///
    /// # Errors
    /// Returns [`DmaFault`] when any byte of the range is not mapped; the content of `into` is then unspecified.
    fn read(&self, iova: u64, into: &mut [u8]) -> Result<(), DmaFault>;

    /// Copies `from` to `iova`.
    ///
    /// # Errors
    /// Returns [`DmaFault`] when any byte of the range is not mapped; nothing is written then.
    fn write(&self, iova: u64, from: &[u8]) -> Result<(), DmaFault>;
}

/// Describes one contiguous part of a source or destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Is the IO virtual address of the first byte.
    pub iova: u64,
    /// Is the length in bytes.
    pub len: u32,
}

/// Describes a source or destination as a request does: one flat buffer or a scatter-gather list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BufferList {
    segments: Vec<Segment>,
}

/// The library's own upper limit of the number of buffers in a list.
const MAX_SEGMENTS: u32 = 256;

impl BufferList {
    /// Creates a list of a single flat buffer.
    #[must_use]
    pub fn flat(iova: u64, len: u32) -> Self {
        Self { segments: vec![Segment { iova, len }] }
    }

    /// Reads the scatter-gather list at `iova`. It consists of a 16-byte header, whose byte 8 starts the buffer count,
    /// and entries of 16 bytes (u32 length, u32 zero, u64 address).
    ///
    /// # Errors
    /// Returns [`DmaFault`] when the list itself is not mapped, or contains more buffers than the library can create.
    pub fn from_sgl(memory: &dyn DeviceMemory, iova: u64) -> Result<Self, DmaFault> {
        let mut header = [0; 16];
        memory.read(iova, &mut header)?;
        let count = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
        if count > MAX_SEGMENTS {
            return Err(DmaFault { iova, len: 16 + 16 * count as usize, access: Access::Read });
        }
        let mut entries = vec![0; 16 * count as usize];
        memory.read(iova.wrapping_add(16), &mut entries)?;
        let segments = entries
            .chunks_exact(16)
            .map(|e| Segment {
                len: u32::from_le_bytes([e[0], e[1], e[2], e[3]]),
                iova: u64::from_le_bytes([e[8], e[9], e[10], e[11], e[12], e[13], e[14], e[15]]),
            })
            .collect();
        Ok(Self { segments })
    }

    /// Returns the sum of the segments' lengths in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.segments.iter().map(|s| s.len as usize).sum()
    }

    /// Returns whether the list contains no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies `into.len()` bytes starting `offset` bytes into the list.
    ///
    /// # Errors
    /// Returns [`DmaFault`] when a segment is not mapped, or when the list is shorter than the range.
    pub fn gather(&self, memory: &dyn DeviceMemory, offset: usize, into: &mut [u8]) -> Result<(), DmaFault> {
        let mut done = 0;
        self.each(offset, into.len(), Access::Read, |iova, len| {
            memory.read(iova, &mut into[done..done + len])?;
            done += len;
            Ok(())
        })
    }

    /// Writes `from` starting `offset` bytes into the list.
    ///
    /// # Errors
    /// Returns [`DmaFault`] when a segment is not mapped, or when the list is shorter than the range; the segments
    /// before the refused one are written.
    pub fn scatter(&self, memory: &dyn DeviceMemory, offset: usize, from: &[u8]) -> Result<(), DmaFault> {
        let mut done = 0;
        self.each(offset, from.len(), Access::Write, |iova, len| {
            memory.write(iova, &from[done..done + len])?;
            done += len;
            Ok(())
        })
    }

    /// Calls `visit` for each part of the range `[offset, offset + len)` that lies in one segment.
    fn each(
        &self,
        offset: usize,
        len: usize,
        access: Access,
        mut visit: impl FnMut(u64, usize) -> Result<(), DmaFault>,
    ) -> Result<(), DmaFault> {
        let (mut skip, mut left) = (offset, len);
        for segment in &self.segments {
            if left == 0 {
                break;
            }
            let room = segment.len as usize;
            if skip >= room {
                skip -= room;
                continue;
            }
            let run = (room - skip).min(left);
            visit(segment.iova.wrapping_add(skip as u64), run)?;
            skip = 0;
            left -= run;
        }
        if left == 0 { Ok(()) } else { Err(DmaFault { iova: 0, len: left, access }) }
    }
}
