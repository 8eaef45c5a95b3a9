//! A typed view of the request message and of the data that it names.

use super::SymError;
use crate::engine::Request;
use crate::memory::{BufferList, DeviceMemory};

/// Protocol field: none.
pub(super) const PROTOCOL_NONE: u16 = 0;
/// Protocol field: AES-CCM.
pub(super) const PROTOCOL_CCM: u16 = 1;
/// Protocol field: AES-GCM or GMAC.
pub(super) const PROTOCOL_GCM: u16 = 2;

/// Bytes of host memory that are read before the buffer for them grows.
const READ_STEP: usize = 1 << 20;

/// Which packet of a sequence a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Partial {
    /// A whole message.
    None,
    /// The first packet: fresh state in, running state out.
    Start,
    /// PacketState state in and out.
    Middle,
    /// PacketState state in, result out.
    End,
}

impl Partial {
    /// Whether the running state of an earlier packet has to be loaded.
    pub(super) fn resumes(self) -> bool {
        matches!(self, Self::Middle | Self::End)
    }

    /// Whether more packets follow.
    pub(super) fn suspends(self) -> bool {
        matches!(self, Self::Start | Self::Middle)
    }
}

/// The service-specific flags, bytes 4 and 5.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flags(u16);

impl Flags {
    fn bit(self, position: u32) -> bool {
        self.0 >> position & 1 != 0
    }

    pub(super) fn partial(self) -> Partial {
        match self.0 & 3 {
            0 => Partial::None,
            1 => Partial::Start,
            2 => Partial::End,
            _ => Partial::Middle,
        }
    }

    /// The IV is in the request itself, not behind a pointer.
    pub(super) fn iv_inline(self) -> bool {
        self.bit(2)
    }

    /// The configuration words come from the device's own table.
    pub(super) fn constant_table(self) -> bool {
        self.bit(3)
    }

    pub(super) fn update_state(self) -> bool {
        self.bit(4)
    }

    pub(super) fn return_digest(self) -> bool {
        self.bit(5)
    }

    pub(super) fn compare_digest(self) -> bool {
        self.bit(6)
    }

    pub(super) fn protocol(self) -> u16 {
        self.0 >> 7 & 7
    }

    pub(super) fn digest_in_buffer(self) -> bool {
        self.bit(10)
    }

    pub(super) fn gcm_iv_is_12_bytes(self) -> bool {
        self.bit(11)
    }

    pub(super) fn single_pass(self) -> bool {
        self.bit(13)
    }

    /// The unified crypto slice, whose configuration block is 16 bytes instead of 8.
    pub(super) fn unified_slice(self) -> bool {
        self.0 >> 14 == 1
    }
}

/// A request message, read by byte offset.
#[derive(Debug, Clone, Copy)]
pub(super) struct SymRequest<'a>(&'a Request);

impl<'a> SymRequest<'a> {
    pub(super) fn new(request: &'a Request) -> Self {
        Self(request)
    }

    pub(super) fn bytes<const N: usize>(self, at: usize) -> [u8; N] {
        let mut out = [0; N];
        out.copy_from_slice(&self.0[at..at + N]);
        out
    }

    pub(super) fn u8(self, at: usize) -> u8 {
        self.0[at]
    }

    pub(super) fn u16(self, at: usize) -> u16 {
        u16::from_le_bytes(self.bytes(at))
    }

    pub(super) fn u32(self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(at))
    }

    pub(super) fn u64(self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes(at))
    }

    /// A byte that counts quadwords, in bytes.
    pub(super) fn quadwords(self, at: usize) -> u64 {
        u64::from(self.0[at]) * 8
    }

    pub(super) fn command(self) -> u8 {
        self.u8(1)
    }

    pub(super) fn flags(self) -> Flags {
        Flags(self.u16(4))
    }

    /// Source and destination are scatter-gather lists.
    fn scattered(self) -> bool {
        self.u8(6) & 1 != 0
    }

    /// Bytes 8 to 23 hold the cipher key, not the descriptor's address.
    pub(super) fn key_inline(self) -> bool {
        self.u8(6) & 2 != 0
    }

    /// Address `offset` bytes into the content descriptor.
    pub(super) fn descriptor(self, offset: u64) -> u64 {
        self.u64(8).wrapping_add(offset)
    }

    /// Offset and length in bytes of the ciphered region.
    pub(super) fn cipher_region(self) -> Region {
        Region { offset: self.u32(56) as usize, len: self.u32(60) as usize }
    }

    /// Offset and length in bytes of the hashed region.
    pub(super) fn hash_region(self) -> Region {
        Region { offset: self.u32(80) as usize, len: self.u32(84) as usize }
    }
}

/// A run of bytes in the source or destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) offset: usize,
    pub(super) len: usize,
}

impl Region {
    pub(super) fn end(self) -> usize {
        self.offset + self.len
    }
}

/// The source and the destination of a request.
pub(super) struct Payload<'a> {
    memory: &'a dyn DeviceMemory,
    source: BufferList,
    destination: Option<BufferList>,
}

impl<'a> Payload<'a> {
    pub(super) fn new(message: SymRequest<'_>, memory: &'a dyn DeviceMemory) -> Result<Self, SymError> {
        let (source, destination) = (message.u64(32), message.u64(40));
        let list = |iova, len| {
            if message.scattered() {
                BufferList::from_sgl(memory, iova)
            } else {
                Ok(BufferList::flat(iova, len))
            }
        };
        // The library leaves the destination empty or repeats the source when it works in place.
        let in_place = destination == 0 || destination == source;
        Ok(Self {
            memory,
            source: list(source, message.u32(48))?,
            destination: if in_place { None } else { Some(list(destination, message.u32(52))?) },
        })
    }

    pub(super) fn in_place(&self) -> bool {
        self.destination.is_none()
    }

    /// Copies `region` out of the source.
    pub(super) fn read(&self, region: Region) -> Result<Vec<u8>, SymError> {
        in_steps(region.len, |done, into| Ok(self.source.gather(self.memory, region.offset + done, into)?))
    }

    /// Copies `data` into the destination.
    pub(super) fn write(&self, offset: usize, data: &[u8]) -> Result<(), SymError> {
        let destination = self.destination.as_ref().unwrap_or(&self.source);
        Ok(destination.scatter(self.memory, offset, data)?)
    }
}

/// Reads `len` bytes from a flat address.
pub(super) fn fetch(memory: &dyn DeviceMemory, iova: u64, len: usize) -> Result<Vec<u8>, SymError> {
    in_steps(len, |done, into| Ok(memory.read(iova.wrapping_add(done as u64), into)?))
}

/// Fills `len` bytes step by step, so that a length no mapped memory can satisfy fails before it is allocated.
fn in_steps(
    len: usize,
    mut read: impl FnMut(usize, &mut [u8]) -> Result<(), SymError>,
) -> Result<Vec<u8>, SymError> {
    let mut data = Vec::new();
    while data.len() < len {
        let (done, step) = (data.len(), READ_STEP.min(len - data.len()));
        data.try_reserve(step).map_err(|_| SymError::Invalid)?;
        data.resize(done + step, 0);
        read(done, &mut data[done..])?;
    }
    Ok(data)
}

/// Reads `N` bytes from a flat address.
pub(super) fn fetch_array<const N: usize>(memory: &dyn DeviceMemory, iova: u64) -> Result<[u8; N], SymError> {
    let mut data = [0; N];
    memory.read(iova, &mut data)?;
    Ok(data)
}
