//! Readers of compressed data that share nothing with the device: decoders that were written from the formats'
//! descriptions, and the system's own zlib, lz4 and zstd.

use std::{
    env,
    ffi::{c_int, c_uint, c_ulong, c_void},
    io::Write,
    path::PathBuf,
    ptr,
};

use libloading::os::unix::Library;

use crate::libqat;

/// Computes the CRC-32 of ISO 3309 bit by bit.
pub(crate) fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xEDB8_8320 * (sum & 1)))
    })
}

/// Computes the Adler-32 of RFC 1950.
pub(crate) fn adler32(data: &[u8]) -> u32 {
    let (a, b) = data.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    b << 16 | a
}

/// Computes the CRC-64 of ECMA-182: most significant bit first, initial value zero, not inverted.
pub(crate) fn crc64(data: &[u8]) -> u64 {
    data.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ u64::from(*byte) << 56, |sum, _| (sum << 1) ^ (0x42F0_E1EB_A9EA_3693 * (sum >> 63)))
    })
}

/// Computes the CRC-64 of xz: the same polynomial, least significant bit first, initial value all ones, inverted.
pub(crate) fn crc64_xz(data: &[u8]) -> u64 {
    !data.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u64::from(*byte), |sum, _| (sum >> 1) ^ (0xC96C_5795_D787_0F42 * (sum & 1)))
    })
}

/// One sequence: literals, and the match after them.
pub(crate) struct Sequence {
    pub(crate) literals: usize,
    pub(crate) offset: usize,
    pub(crate) length: usize,
}

/// Decodes LZ4 sequences and appends to `output`. The length of a match is its nibble plus `base`; in LZ4s, where
/// `base` is one below the shortest match, 0 means that there is none.
pub(crate) fn sequences(mut input: &[u8], base: usize, lz4s: bool, output: &mut Vec<u8>) -> Vec<Sequence> {
    fn take<'a>(input: &mut &'a [u8], count: usize) -> &'a [u8] {
        let (head, rest) = input.split_at(count);
        *input = rest;
        head
    }
    fn length(input: &mut &[u8], nibble: u8) -> usize {
        let mut length = usize::from(nibble);
        let mut last = if nibble == 15 { 255 } else { 0 };
        while last == 255 {
            last = take(input, 1)[0];
            length += usize::from(last);
        }
        length
    }
    let mut found = Vec::new();
    while !input.is_empty() {
        let token = take(&mut input, 1)[0];
        let literals = length(&mut input, token >> 4);
        output.extend(take(&mut input, literals));
        let mut sequence = Sequence { literals, offset: 0, length: 0 };
        // The last sequence of LZ4 has no match; in LZ4s, a sequence itself says whether it has one.
        if lz4s || !input.is_empty() {
            if let (false, [low, high]) = (lz4s && input.is_empty(), [input.first(), input.get(1)]) {
                let offset = [low, high].map(|byte| usize::from(*byte.expect("an offset")));
                take(&mut input, 2);
                sequence.offset = offset[0] | offset[1] << 8;
            }
            let count = length(&mut input, token & 15);
            if !lz4s || count != 0 {
                sequence.length = count + base;
                assert!(sequence.offset > 0 && sequence.offset <= output.len(), "an offset in the data");
                for _ in 0..sequence.length {
                    output.push(output[output.len() - sequence.offset]);
                }
            }
        }
        found.push(sequence);
    }
    found
}

/// Decodes LZ4 blocks with their size words, which may refer to earlier blocks; also returns the number of raw blocks.
pub(crate) fn lz4_blocks(mut input: &[u8], largest: usize) -> (Vec<u8>, usize) {
    let (mut output, mut raw) = (Vec::new(), 0);
    while let Some((word, rest)) = input.split_first_chunk::<4>() {
        let word = u32::from_le_bytes(*word);
        let (block, rest) = rest.split_at((word & 0x7fff_ffff) as usize);
        let before = output.len();
        if word >> 31 != 0 {
            output.extend(block);
            raw += 1;
        } else {
            sequences(block, 4, false, &mut output);
        }
        assert!(output.len() - before <= largest, "a block of {} bytes", output.len() - before);
        input = rest;
    }
    (output, raw)
}

/// Loads a library of the system, or of the package with Intel's programs.
pub(crate) fn system(name: &str) -> Option<Library> {
    let places = [PathBuf::from(name), libqat::programs().join(name)];
    let found = places.into_iter().find_map(|place| {
        // SAFETY: Library::new runs the library's initialisers, which have no requirements in these libraries.
        unsafe { Library::new(place) }.ok()
    });
    if found.is_none() {
        let text = format!("\n{name} is MISSING, so it READ NOTHING of what the device compressed.\n");
        assert!(env::var_os("QAT_TEST_REQUIRE_LIBQAT").is_none_or(|v| v != "1"), "{text}");
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
    found
}

/// Returns a function of a library that stays loaded.
///
/// # Safety
/// `F` is the type of the function.
unsafe fn function<F: Copy>(library: &Library, name: &str) -> F {
    // SAFETY: the contract of this function, which the caller follows.
    *unsafe { library.get::<F>(name.as_bytes()) }.expect("a function of the library")
}

/// Reads a zlib stream (RFC 1950) with the system's zlib.
pub(crate) fn zlib(stream: &[u8], len: usize) -> Option<Vec<u8>> {
    let library = system("libz.so.1")?;
    type Uncompress = unsafe extern "C" fn(*mut u8, *mut c_ulong, *const u8, c_ulong) -> c_int;
    // SAFETY: the type is that of the function in zlib.h.
    let uncompress: Uncompress = unsafe { function(&library, "uncompress") };
    let mut output = vec![0; len + 1];
    let mut count = output.len() as c_ulong;
    // SAFETY: the function reads and writes buffers of the given lengths, which are those of the slices.
    let status =
        unsafe { uncompress(output.as_mut_ptr(), &raw mut count, stream.as_ptr(), stream.len() as c_ulong) };
    assert_eq!(status, 0, "uncompress");
    output.truncate(count as usize);
    Some(output)
}

/// Reads an LZ4 frame with the system's lz4.
pub(crate) fn lz4_frame(frame: &[u8], len: usize) -> Option<Vec<u8>> {
    let library = system("liblz4.so.1")?;
    type Create = unsafe extern "C" fn(*mut *mut c_void, c_uint) -> usize;
    type Free = unsafe extern "C" fn(*mut c_void) -> usize;
    type Decompress =
        unsafe extern "C" fn(*mut c_void, *mut u8, *mut usize, *const u8, *mut usize, *const c_void) -> usize;
    // SAFETY: the type is that of the function in lz4frame.h.
    let create: Create = unsafe { function(&library, "LZ4F_createDecompressionContext") };
    // SAFETY: the type is that of the function in lz4frame.h.
    let free: Free = unsafe { function(&library, "LZ4F_freeDecompressionContext") };
    // SAFETY: the type is that of the function in lz4frame.h.
    let decompress: Decompress = unsafe { function(&library, "LZ4F_decompress") };
    let mut context = ptr::null_mut();
    // SAFETY: the function takes a pointer to the context, which lives during the call, and LZ4F_VERSION.
    assert_eq!(unsafe { create(&raw mut context, 100) }, 0);
    let mut output = vec![0; len + 1];
    let (mut written, mut read) = (0, 0);
    loop {
        let (mut room, mut rest) = (output.len() - written, frame.len() - read);
        // SAFETY: the function reads and writes buffers of the given lengths, which are those of the slices.
        let status = unsafe {
            decompress(
                context,
                output.as_mut_ptr().wrapping_add(written),
                &raw mut room,
                frame.as_ptr().wrapping_add(read),
                &raw mut rest,
                ptr::null(),
            )
        };
        written += room;
        read += rest;
        if status == 0 {
            break;
        }
        assert!(status < 1 << 40 && room + rest > 0, "LZ4F_decompress");
    }
    assert_eq!(read, frame.len());
    // SAFETY: the function takes a context, which was created above and is not used any more.
    unsafe { free(context) };
    output.truncate(written);
    Some(output)
}

/// Lets zstd check the sequences against the data and compress them, and reads the frame with zstd.
pub(crate) fn zstd_of_sequences(found: &[Sequence], plain: &[u8]) -> Option<Vec<u8>> {
    #[repr(C)]
    struct ZstdSequence {
        offset: c_uint,
        literals: c_uint,
        length: c_uint,
        repeat: c_uint,
    }
    const VALIDATE_SEQUENCES: c_int = 1009;
    let library = system("libzstd.so.1")?;
    type Create = unsafe extern "C" fn() -> *mut c_void;
    type Free = unsafe extern "C" fn(*mut c_void) -> usize;
    type Set = unsafe extern "C" fn(*mut c_void, c_int, c_int) -> usize;
    type Pack = unsafe extern "C" fn(
        *mut c_void,
        *mut u8,
        usize,
        *const ZstdSequence,
        usize,
        *const u8,
        usize,
    ) -> usize;
    type Unpack = unsafe extern "C" fn(*mut u8, usize, *const u8, usize) -> usize;
    // SAFETY: the type is that of the function in zstd.h.
    let create: Create = unsafe { function(&library, "ZSTD_createCCtx") };
    // SAFETY: the type is that of the function in zstd.h.
    let free: Free = unsafe { function(&library, "ZSTD_freeCCtx") };
    // SAFETY: the type is that of the function in zstd.h.
    let set: Set = unsafe { function(&library, "ZSTD_CCtx_setParameter") };
    // SAFETY: the type is that of the function in zstd.h.
    let pack: Pack = unsafe { function(&library, "ZSTD_compressSequences") };
    // SAFETY: the type is that of the function in zstd.h.
    let unpack: Unpack = unsafe { function(&library, "ZSTD_decompress") };
    let mut rows: Vec<ZstdSequence> = Vec::new();
    let mut carried = 0;
    for sequence in found {
        carried += sequence.literals;
        if sequence.length > 0 {
            let (offset, length) = (sequence.offset as c_uint, sequence.length as c_uint);
            rows.push(ZstdSequence { offset, literals: carried as c_uint, length, repeat: 0 });
            carried = 0;
        }
    }
    let mut frame = vec![0; plain.len() + 4096];
    // SAFETY: `ZSTD_createCCtx` has no arguments.
    let context = unsafe { create() };
    // SAFETY: the function takes a context, which was created above.
    assert_eq!(unsafe { set(context, VALIDATE_SEQUENCES, 1) }, 1);
    // SAFETY: the function reads and writes buffers of the given lengths, which are those of the slices.
    let packed = unsafe {
        pack(context, frame.as_mut_ptr(), frame.len(), rows.as_ptr(), rows.len(), plain.as_ptr(), plain.len())
    };
    assert!(packed <= frame.len(), "ZSTD_compressSequences");
    // SAFETY: the function takes a context, which was created above and is not used any more.
    unsafe { free(context) };
    let mut output = vec![0; plain.len() + 1];
    // SAFETY: the function reads and writes buffers of the given lengths, which are those of the slices.
    let count = unsafe { unpack(output.as_mut_ptr(), output.len(), frame.as_ptr(), packed) };
    assert!(count <= output.len(), "ZSTD_decompress");
    output.truncate(count);
    Some(output)
}
