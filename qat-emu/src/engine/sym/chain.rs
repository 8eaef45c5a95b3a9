//! Commands 0 to 3: cipher, hash, and both in either order over one working copy of the data.

use super::auth::Authenticator;
use super::cipher::CipherSetup;
use super::request::{Partial, Payload, Region, SymRequest, fetch};
use super::{Completion, SymError};
use crate::memory::DeviceMemory;

/// Executes command 0 without single pass.
pub(super) fn cipher(message: SymRequest<'_>, memory: &dyn DeviceMemory) -> Result<Completion, SymError> {
    let region = message.cipher_region();
    let mut copy = WorkingCopy::load(message, memory, region)?;
    copy.cipher(message, memory)?;
    copy.store(region)?;
    Ok(Completion::Done)
}

/// Executes command 1.
pub(super) fn hash(message: SymRequest<'_>, memory: &dyn DeviceMemory) -> Result<Completion, SymError> {
    let mut copy = WorkingCopy::load(message, memory, message.hash_region())?;
    let (completion, appended) = copy.hash(message, memory, message.flags().partial())?;
    if let Some(region) = appended {
        copy.store(region)?;
    }
    Ok(completion)
}

/// Executes command 2.
pub(super) fn cipher_then_hash(
    message: SymRequest<'_>,
    memory: &dyn DeviceMemory,
) -> Result<Completion, SymError> {
    let mut copy = WorkingCopy::load(message, memory, chained_region(message))?;
    copy.cipher(message, memory)?;
    // The library chains a complete hash with each packet of a partial cipher.
    let (completion, appended) = copy.hash(message, memory, Partial::None)?;
    copy.store_chained(message, appended)?;
    Ok(completion)
}

/// Executes command 3. A digest that is returned in the buffer is written before the cipher runs, because the ciphered
/// region may include it (MAC then encrypt).
pub(super) fn hash_then_cipher(
    message: SymRequest<'_>,
    memory: &dyn DeviceMemory,
) -> Result<Completion, SymError> {
    let mut copy = WorkingCopy::load(message, memory, chained_region(message))?;
    let (completion, appended) = copy.hash(message, memory, Partial::None)?;
    copy.cipher(message, memory)?;
    copy.store_chained(message, appended)?;
    Ok(completion)
}

/// Returns the smallest region that contains the ciphered and the hashed region.
fn chained_region(message: SymRequest<'_>) -> Region {
    let (cipher, hash) = (message.cipher_region(), message.hash_region());
    if cipher.len == 0 {
        return hash;
    }
    if hash.len == 0 {
        return cipher;
    }
    let offset = cipher.offset.min(hash.offset);
    Region { offset, len: cipher.end().max(hash.end()) - offset }
}

/// Reads the IV of a request.
pub(super) fn initial_vector(
    message: SymRequest<'_>,
    memory: &dyn DeviceMemory,
    len: usize,
) -> Result<[u8; 16], SymError> {
    let mut iv = [0; 16];
    if message.flags().iv_inline() {
        iv = message.bytes(64);
    } else {
        memory.read(message.u64(64), &mut iv[..len])?;
    }
    Ok(iv)
}

/// Compares a digest with the expected one.
pub(super) fn compare(digest: &[u8], expected: &[u8]) -> Completion {
    if digest == expected { Completion::Done } else { Completion::Mismatch }
}

/// A working copy of a contiguous part of the source.
struct WorkingCopy<'a> {
    payload: Payload<'a>,
    start: usize,
    data: Vec<u8>,
}

impl<'a> WorkingCopy<'a> {
    fn load(message: SymRequest<'_>, memory: &'a dyn DeviceMemory, region: Region) -> Result<Self, SymError> {
        let payload = Payload::new(message, memory)?;
        let data = payload.read(region)?;
        Ok(Self { payload, start: region.offset, data })
    }

    /// Extends the copy to the end of `region` with the data that follows it in the source.
    fn extend(&mut self, region: Region) -> Result<(), SymError> {
        let end = self.start + self.data.len();
        if region.end() > end {
            self.data.extend(self.payload.read(Region { offset: end, len: region.end() - end })?);
        }
        Ok(())
    }

    fn slice(&mut self, region: Region) -> Result<&mut [u8], SymError> {
        if region.len == 0 {
            return Ok(&mut []);
        }
        let start = region.offset.checked_sub(self.start).ok_or(SymError::Invalid)?;
        self.data.get_mut(start..start + region.len).ok_or(SymError::Invalid)
    }

    /// Writes a region of the copy to the destination.
    fn store(&self, region: Region) -> Result<(), SymError> {
        if region.len == 0 {
            return Ok(());
        }
        let start = region.offset.checked_sub(self.start).ok_or(SymError::Invalid)?;
        let run = self.data.get(start..start + region.len).ok_or(SymError::Invalid)?;
        self.payload.write(region.offset, run)
    }

    /// Writes the result of a chained operation. If the destination is another buffer, that includes the data that only
    /// the hash has read.
    fn store_chained(&self, message: SymRequest<'_>, appended: Option<Region>) -> Result<(), SymError> {
        let cipher = message.cipher_region();
        self.store(if self.payload.in_place() { cipher } else { chained_region(message) })?;
        match appended {
            Some(region) => self.store(region),
            None => Ok(()),
        }
    }

    fn cipher(&mut self, message: SymRequest<'_>, memory: &dyn DeviceMemory) -> Result<(), SymError> {
        let setup = CipherSetup::read(message, memory)?;
        let len = setup.iv_len();
        let mut iv = initial_vector(message, memory, len)?;
        let region = message.cipher_region();
        setup.run(&mut iv, self.slice(region)?)?;
        if message.flags().update_state() && !message.flags().iv_inline() && len != 0 {
            memory.write(message.u64(64), &iv[..len])?;
        }
        Ok(())
    }

    /// Hashes the hashed region. Returns the region of the digest if it was written to the buffer.
    fn hash(
        &mut self,
        message: SymRequest<'_>,
        memory: &dyn DeviceMemory,
        partial: Partial,
    ) -> Result<(Completion, Option<Region>), SymError> {
        let (flags, region) = (message.flags(), message.hash_region());
        let mut authenticator = Authenticator::begin(message, memory, partial)?;
        authenticator.update(self.slice(region)?);
        let Some(mut digest) = authenticator.end(memory)? else { return Ok((Completion::Done, None)) };
        digest.truncate(message.u8(118).into());
        let in_buffer = Region { offset: region.end(), len: digest.len() };
        let mut appended = None;
        if flags.return_digest() {
            if flags.digest_in_buffer() {
                self.extend(in_buffer)?;
                self.slice(in_buffer)?.copy_from_slice(&digest);
                appended = Some(in_buffer);
            } else {
                memory.write(message.u64(96), &digest)?;
            }
        }
        if flags.compare_digest() {
            let compared = usize::from(message.u8(107));
            if compared != 0 {
                digest.truncate(compared);
            }
            let expected = if flags.digest_in_buffer() {
                let at = Region { len: digest.len(), ..in_buffer };
                self.extend(at)?;
                self.slice(at)?.to_vec()
            } else {
                fetch(memory, message.u64(96), digest.len())?
            };
            return Ok((compare(&digest, &expected), appended));
        }
        Ok((Completion::Done, appended))
    }
}
