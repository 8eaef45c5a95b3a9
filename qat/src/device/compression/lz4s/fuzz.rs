//! The entry point of the fuzz target, which supplies the device's output. Only the fuzz target and tests call it.

use accel_core::{Error, Output};

use super::{BLOCK_MAX, FrameWriter, MinMatch};
use crate::software::zstd;

/// Encodes frames of arbitrary bytes as LZ4s: of two blocks that the LZ4s decompresses to, if it is valid, and of bytes
/// that it may not decompress to.
///
/// # Panics
/// Panics on a defect: when valid LZ4s is rejected, or when a frame does not decompress to its plain bytes.
pub fn fuzz(bytes: &[u8]) {
    let Some((&choice, lz4s)) = bytes.split_first() else { return };
    let min_match = if choice & 1 == 0 { MinMatch::Three } else { MinMatch::Four };
    if let Some(block) = expand(lz4s, min_match)
        && !block.is_empty()
    {
        let mut frame = vec![0; zstd::bound(2 * block.len())];
        let plain = block.repeat(2);
        let written = write(&plain, [block.len(); 2], lz4s, min_match, &mut frame)
            .expect("the LZ4s decompresses to these bytes");
        let mut back = Output::growing().with_limit(plain.len());
        back.expect(plain.len());
        zstd::decompress(&frame[..written], &mut back).expect("a frame");
        assert!(back.filled() == plain);
        if plain.len() > block.len() + 1 {
            let error =
                write(&plain, [block.len() - 1; 2], lz4s, min_match, &mut frame).expect_err("a wrong length");
            assert!(error.is_device_fault(), "{error}");
        }
    }
    // The first half of the bytes is the plain data, and the second half the LZ4s.
    let (plain, lz4s) = lz4s.split_at(lz4s.len() / 2);
    if plain.is_empty() {
        return;
    }
    let mut frame = vec![0; zstd::bound(plain.len())];
    match write(plain, [plain.len(), 0], lz4s, min_match, &mut frame) {
        Ok(_) => assert_eq!(expand(lz4s, min_match).as_deref(), Some(plain)),
        Err(Error::Device { .. }) => {}
        Err(other) => panic!("{other}"),
    }
}

fn write(
    plain: &[u8],
    lens: [usize; 2],
    lz4s: &[u8],
    min_match: MinMatch,
    output: &mut [u8],
) -> accel_core::Result<usize> {
    let mut writer = FrameWriter::new(plain, output, min_match)?;
    for len in lens {
        if len > 0 {
            writer.block(len, lz4s)?;
        }
    }
    writer.finish()
}

/// Decompresses LZ4s by a direct implementation of its layout. Returns `None` when it is invalid or longer than a
/// block.
pub(super) fn expand(lz4s: &[u8], min_match: MinMatch) -> Option<Vec<u8>> {
    let mut bytes = lz4s.iter().copied();
    let mut plain = Vec::new();
    let length = |bytes: &mut dyn Iterator<Item = u8>, nibble: u8| {
        let (mut sum, mut more) = (usize::from(nibble), nibble == 15);
        while more {
            let byte = bytes.next()?;
            sum += usize::from(byte);
            more = byte == 255;
        }
        Some(sum)
    };
    while let Some(token) = bytes.next() {
        for _ in 0..length(&mut bytes, token >> 4)? {
            plain.push(bytes.next()?);
        }
        let Some(low) = bytes.next() else { break };
        let distance = usize::from(low) | usize::from(bytes.next()?) << 8;
        let code = length(&mut bytes, token & 15)?;
        if code > 0 {
            for _ in 0..code + if min_match == MinMatch::Three { 2 } else { 3 } {
                let from = plain.len().checked_sub(distance).filter(|_| distance > 0)?;
                plain.push(plain[from]);
                if plain.len() > BLOCK_MAX {
                    return None;
                }
            }
        }
    }
    (plain.len() <= BLOCK_MAX).then_some(plain)
}
