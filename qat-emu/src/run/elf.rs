//! Checks whether the emulator can be preloaded into a program. It reads the program's ELF headers only.

use std::{fs::File, io::Read, os::unix::fs::FileExt, path::Path};

use super::Error;

const HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;
const INTERPRETER: u32 = 3;
const MACHINE: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };

fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    bytes.get(offset..offset + 2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    bytes.get(offset..).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b))
}

/// Returns the reason if the emulator cannot be preloaded into a program. Scripts pass the check, because their
/// interpreter and the programs that they start are loaded separately.
pub(super) fn check(path: &Path) -> Result<(), Error> {
    let name = path.display();
    let mut file = File::open(path).map_err(|e| format!("cannot read {name}: {e}"))?;
    let mut header = Vec::new();
    file.by_ref()
        .take(HEADER_BYTES as u64)
        .read_to_end(&mut header)
        .map_err(|e| format!("cannot read {name}: {e}"))?;
    if !header.starts_with(b"\x7fELF") {
        return Ok(());
    }
    // The first two bytes mean ELF-64 and little-endian.
    if header.get(4..6) != Some(&[2, 1]) || u16_at(&header, 18) != MACHINE {
        return Err(format!(
            "{name} is built for another architecture, so the emulator cannot be loaded into it: use a build for {}",
            std::env::consts::ARCH
        )
        .into());
    }
    let count = usize::from(u16_at(&header, 56));
    let mut program_headers = vec![0; count * PROGRAM_HEADER_BYTES];
    let read = file.read_exact_at(&mut program_headers, u64_at(&header, 32));
    read.map_err(|e| format!("cannot read the program headers of {name}: {e}"))?;
    let interpreter = program_headers
        .chunks_exact(PROGRAM_HEADER_BYTES)
        .find(|h| u16_at(h, 0) == INTERPRETER as u16 && u16_at(h, 2) == 0)
        .map(|h| (u64_at(h, 8), u64_at(h, 32)));
    let Some((offset, bytes)) = interpreter else {
        return Err(format!(
            "{name} is statically linked, so the emulator cannot be loaded into it: link it dynamically, or use the emulator \
             in process (crate qat-emu)"
        )
        .into());
    };
    let mut interpreter = vec![0; usize::try_from(bytes).unwrap_or(0).min(4096)];
    let read = file.read_exact_at(&mut interpreter, offset);
    read.map_err(|e| format!("cannot read the interpreter of {name}: {e}"))?;
    let interpreter = String::from_utf8_lossy(&interpreter);
    if interpreter.contains("musl") {
        return Err(format!(
            "{name} uses the C library musl ({}), but libqat and this emulator require glibc: use a build for glibc",
            interpreter.trim_end_matches('\0')
        )
        .into());
    }
    Ok(())
}
