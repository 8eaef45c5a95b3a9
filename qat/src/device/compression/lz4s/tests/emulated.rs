//! Tests with LZ4s of the emulated device's engine.

use std::cell::RefCell;

use qat_emu::engine::dc::{Engine, Injection, SERVICE};
use qat_emu::memory::{Access, DeviceMemory, DmaFault};

use super::*;

const SOURCE: u64 = 1 << 32;
const DESTINATION: u64 = 2 << 32;

struct Memory<'a> {
    source: &'a [u8],
    destination: RefCell<Vec<u8>>,
}

impl DeviceMemory for Memory<'_> {
    fn read(&self, iova: u64, into: &mut [u8]) -> Result<(), DmaFault> {
        let at = iova.checked_sub(SOURCE).map_or(usize::MAX, |at| at as usize);
        let bytes = self.source.get(at..).and_then(|it| it.get(..into.len()));
        into.copy_from_slice(bytes.ok_or(DmaFault { iova, len: into.len(), access: Access::Read })?);
        Ok(())
    }

    fn write(&self, iova: u64, from: &[u8]) -> Result<(), DmaFault> {
        let at = iova.checked_sub(DESTINATION).map_or(usize::MAX, |at| at as usize);
        let mut destination = self.destination.borrow_mut();
        let room = destination.get_mut(at..).and_then(|it| it.get_mut(..from.len()));
        room.ok_or(DmaFault { iova, len: from.len(), access: Access::Write })?.copy_from_slice(from);
        Ok(())
    }
}

/// Compresses to LZ4s with a request as libqat builds it, with flat buffers.
fn compress(engine: &mut Engine, plain: &[u8], min_match: MinMatch) -> Vec<u8> {
    let (len, space) = (plain.len() as u32, plain.len() as u32 + 1024);
    let depth = 1 << 8;
    let low: u32 = if min_match == MinMatch::Four { depth | 1 << 4 } else { depth };
    let mut request = [0; 128];
    let mut put = |at: usize, bytes: &[u8]| request[at..at + bytes.len()].copy_from_slice(bytes);
    put(1, &[5, SERVICE, 0x80, 0, 0, 2]);
    put(8, &low.to_be_bytes());
    put(32, &SOURCE.to_le_bytes());
    put(40, &DESTINATION.to_le_bytes());
    for (at, word) in [(48, len), (52, space), (56, len), (60, space), (68, 1), (72, 1 << 6)] {
        put(at, &word.to_le_bytes());
    }
    let memory = Memory { source: plain, destination: RefCell::new(vec![0; space as usize]) };
    let done = engine.execute(&request, &memory, &Injection::default());
    let word = |at: usize| u32::from_le_bytes(*done.response[at..].first_chunk().unwrap());
    assert_eq!((done.fault, done.response[5], word(16)), (None, 0, len));
    let mut lz4s = memory.destination.into_inner();
    lz4s.truncate(word(20) as usize);
    lz4s
}

#[test]
fn an_emulated_devices_blocks_become_frames() {
    let engine = RefCell::new(Engine::default());
    for plain in samples() {
        for min_match in MIN_MATCHES {
            for block_len in [BLOCK_MAX, 64 << 10, 5000] {
                let lz4s = |block: &[u8]| compress(&mut engine.borrow_mut(), block, min_match);
                let frame = write(&plain, block_len, min_match, lz4s).unwrap();
                check(&frame, &plain);
            }
        }
    }
    // The two shortest matches define two formats: LZ4s of one, read as the other, decompresses to other bytes.
    let plain = text(10_000);
    let three = compress(&mut engine.borrow_mut(), &plain, MinMatch::Three);
    assert!(write(&plain, BLOCK_MAX, MinMatch::Four, |_| three.clone()).unwrap_err().is_device_fault());
}
