//! Typed access to the fields of a symmetric request and to the data that it refers to.

use super::SymError;
use crate::engine::Request;
use crate::memory::{BufferList, DeviceMemory};

/// The value of the protocol field for no protocol.
pub(super) const PROTOCOL_NONE: u16 = 0;
/// The value of the protocol field for AES-CCM.
pub(super) const PROTOCOL_CCM: u16 = 1;
/// The value of the protocol field for AES-GCM and GMAC.
pub(super) const PROTOCOL_GCM: u16 = 2;

/// The number of bytes of host memory that are read before the buffer for them grows.
const READ_STEP: usize = 1 << 20;

/// The position of a request's packet in a sequence of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Partial {
    /// The request contains a whole message.
    None,
    /// The request contains the first packet, which starts a new state and writes it.
    Start,
    /// The request reads the running state and writes it.
    Middle,
    /// The request reads the running state and writes the result.
    End,
}

impl Partial {
    /// Returns whether the running state of an earlier packet has to be loaded.
    pub(super) fn resumes(self) -> bool {
        matches!(self, Self::Middle | Self::End)
    }

    /// Returns whether more packets follow.
    pub(super) fn suspends(self) -> bool {
        matches!(self, Self::Start | Self::Middle)
    }
}

/// The service-specific flags in bytes 4 and 5.
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

    /// Returns whether the IV is in the request itself, instead of at an address.
    pub(super) fn iv_inline(self) -> bool {
        self.bit(2)
    }

    /// Returns whether the configuration words are taken from the device's own table.
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

    /// Returns whether the request uses the unified crypto slice, whose configuration block has 16 bytes instead of 8.
    pub(super) fn unified_slice(self) -> bool {
        self.0 >> 14 == 1
    }
}

/// A symmetric request, whose fields are read by byte offset.
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

    /// Returns in bytes the value of a byte that counts quadwords.
    pub(super) fn quadwords(self, at: usize) -> u64 {
        u64::from(self.0[at]) * 8
    }

    pub(super) fn command(self) -> u8 {
        self.u8(1)
    }

    pub(super) fn flags(self) -> Flags {
        Flags(self.u16(4))
    }

    /// Returns whether source and destination are scatter-gather lists.
    fn scattered(self) -> bool {
        self.u8(6) & 1 != 0
    }

    /// Returns whether bytes 8 to 23 contain the cipher key instead of the descriptor's address.
    pub(super) fn key_inline(self) -> bool {
        self.u8(6) & 2 != 0
    }

    /// Returns the address `offset` bytes into the content descriptor.
    pub(super) fn descriptor(self, offset: u64) -> u64 {
        self.u64(8).wrapping_add(offset)
    }

    /// Returns offset and length in bytes of the ciphered region.
    pub(super) fn cipher_region(self) -> Region {
        Region { offset: self.u32(56) as usize, len: self.u32(60) as usize }
    }

    /// Returns offset and length in bytes of the hashed region.
    pub(super) fn hash_region(self) -> Region {
        Region { offset: self.u32(80) as usize, len: self.u32(84) as usize }
    }
}

/// A contiguous part of the source or destination.
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
        // For an operation in place, the library sets the destination to zero or to the source.
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

/// Reads `len` bytes in steps, so that a length beyond the mapped memory fails before it is allocated.
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
