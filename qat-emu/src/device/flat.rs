//! Host memory that consists of plain bytes, for tests and fuzzing.

use std::sync::{Mutex, PoisonError};

use super::bank::{AddressSpace, RingMemory};
use crate::memory::{Access, DeviceMemory, DmaFault};

/// Bytes that are mapped at the IO virtual address [`START`](Self::START).
pub(crate) struct FlatMemory(Mutex<Vec<u8>>);

impl FlatMemory {
    pub(crate) const START: u64 = 0x1000;

    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self(Mutex::new(bytes.to_vec()))
    }

    fn with<T>(
        &self,
        iova: u64,
        len: usize,
        access: Access,
        act: impl FnOnce(&mut [u8]) -> T,
    ) -> Result<T, DmaFault> {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let start = iova.checked_sub(Self::START).and_then(|start| usize::try_from(start).ok());
        let range = start.and_then(|start| Some(start..start.checked_add(len)?));
        range.and_then(|range| bytes.get_mut(range)).map(act).ok_or(DmaFault { iova, len, access })
    }
}

impl DeviceMemory for FlatMemory {
    fn read(&self, iova: u64, into: &mut [u8]) -> Result<(), DmaFault> {
        self.with(iova, into.len(), Access::Read, |bytes| into.copy_from_slice(bytes))
    }

    fn write(&self, iova: u64, from: &[u8]) -> Result<(), DmaFault> {
        self.with(iova, from.len(), Access::Write, |bytes| bytes.copy_from_slice(from))
    }
}

impl RingMemory for FlatMemory {
    fn load_word(&self, iova: u64) -> Result<u32, DmaFault> {
        let mut word = [0; 4];
        self.read(iova, &mut word)?;
        Ok(u32::from_le_bytes(word))
    }

    fn store_word(&self, iova: u64, value: u32) -> Result<(), DmaFault> {
        self.write(iova, &value.to_le_bytes())
    }

    fn was_mapped(&self, _: u64) -> bool {
        false
    }
}

impl AddressSpace for FlatMemory {
    fn with_memory(&self, act: &mut dyn FnMut(&dyn RingMemory)) {
        act(self);
    }
}
