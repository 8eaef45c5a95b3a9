//! Host memory for tests of the engines: separate allocations with unmapped gaps between them.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod known;
pub(crate) mod reference;

use std::cell::RefCell;
use std::collections::BTreeMap;

use qat_emu::memory::{Access, DeviceMemory, DmaFault};

/// Mapped memory by IO virtual address.
#[derive(Default)]
pub(crate) struct Host(RefCell<BTreeMap<u64, Vec<u8>>>);

/// A buffer to which a request refers, and its pieces.
#[derive(Clone)]
pub(crate) struct Buffer {
    /// The address of the list, or of the only piece.
    pub(crate) iova: u64,
    pieces: Vec<(u64, usize)>,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Maps a copy of `bytes` after a gap.
    pub(crate) fn alloc(&self, bytes: &[u8]) -> u64 {
        let mut map = self.0.borrow_mut();
        let end = map.last_key_value().map_or(0x20_0000, |(at, data)| at + data.len() as u64);
        let iova = (end + 4096).next_multiple_of(64);
        map.insert(iova, bytes.to_vec());
        iova
    }

    /// Maps `data` in pieces whose lengths follow from `seed`, some of them empty, and a list of the pieces.
    pub(crate) fn scatter(&self, data: &[u8], seed: u64) -> Buffer {
        let mut random = Random(seed);
        let mut pieces = Vec::new();
        let mut rest = data;
        while !rest.is_empty() && pieces.len() < 200 {
            let len = (random.next() as usize % (data.len() + 1).min(61)).min(rest.len());
            pieces.push((self.alloc(&rest[..len]), len));
            rest = &rest[len..];
        }
        pieces.push((self.alloc(rest), rest.len()));
        let mut list = vec![0; 16];
        list[8..12].copy_from_slice(&(pieces.len() as u32).to_le_bytes());
        for (iova, len) in &pieces {
            list.extend((*len as u64).to_le_bytes());
            list.extend(iova.to_le_bytes());
        }
        Buffer { iova: self.alloc(&list), pieces }
    }

    /// Returns the content of a buffer.
    pub(crate) fn gather(&self, buffer: &Buffer) -> Vec<u8> {
        buffer.pieces.iter().flat_map(|(iova, len)| self.get(*iova, *len)).collect()
    }

    /// Returns `len` bytes at `iova`.
    pub(crate) fn get(&self, iova: u64, len: usize) -> Vec<u8> {
        let mut data = vec![0; len];
        self.read(iova, &mut data).expect("the test reads what it mapped");
        data
    }

    /// Returns the address of every mapping, in order.
    pub(crate) fn mappings(&self) -> Vec<u64> {
        self.0.borrow().keys().copied().collect()
    }

    /// Changes one byte of one mapping; `at` selects both.
    pub(crate) fn disturb(&self, at: u64, value: u8) {
        let mut map = self.0.borrow_mut();
        let index = at as usize % map.len().max(1);
        if let Some(data) = map.values_mut().nth(index).filter(|data| !data.is_empty()) {
            let position = (at >> 32) as usize % data.len();
            data[position] = value;
        }
    }

    /// Removes a mapping and returns its content.
    pub(crate) fn unmap(&self, iova: u64) -> Vec<u8> {
        self.0.borrow_mut().remove(&iova).expect("mapped")
    }

    /// Restores a mapping.
    pub(crate) fn map(&self, iova: u64, data: Vec<u8>) {
        self.0.borrow_mut().insert(iova, data);
    }

    fn with(&self, iova: u64, len: usize, access: Access, f: impl FnOnce(&mut [u8])) -> Result<(), DmaFault> {
        if len == 0 {
            return Ok(());
        }
        let mut map = self.0.borrow_mut();
        map.range_mut(..=iova)
            .next_back()
            .and_then(|(at, data)| {
                let start = usize::try_from(iova - at).ok()?;
                data.get_mut(start..start.checked_add(len)?)
            })
            .map(f)
            .ok_or(DmaFault { iova, len, access })
    }
}

impl DeviceMemory for Host {
    fn read(&self, iova: u64, into: &mut [u8]) -> Result<(), DmaFault> {
        self.with(iova, into.len(), Access::Read, |data| into.copy_from_slice(data))
    }

    fn write(&self, iova: u64, from: &[u8]) -> Result<(), DmaFault> {
        self.with(iova, from.len(), Access::Write, |data| data.copy_from_slice(from))
    }
}

/// A SplitMix64 generator, for reproducible lengths and contents.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}
