//! Data at the borders of what the standards allow, made bit by bit, and whether a decoder takes them.

use super::hex;

/// Deflate data, and what they stand for; `None` where zlib and gzip refuse them.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) packed: Vec<u8>,
    pub(crate) plain: Option<Vec<u8>>,
}

/// Bits as RFC 1951 packs them.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: usize,
}

impl Bits {
    /// The low `count` bits of a number, the least significant first.
    fn number(&mut self, value: usize, count: usize) -> &mut Self {
        for bit in 0..count {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            self.bytes[self.used / 8] |= ((value >> bit & 1) as u8) << (self.used % 8);
            self.used += 1;
        }
        self
    }

    /// A Huffman code of `count` bits, the most significant first.
    fn code(&mut self, code: usize, count: usize) -> &mut Self {
        for bit in (0..count).rev() {
            self.number(code >> bit & 1, 1);
        }
        self
    }
}

/// The canonical code of the symbol at `symbol` (RFC 1951 section 3.2.2), and its length.
fn code_of(lens: &[u8], symbol: usize) -> (usize, usize) {
    let len = usize::from(lens[symbol]);
    let mut code = 0;
    for shorter in 1..len {
        code = (code + lens.iter().filter(|other| usize::from(**other) == shorter).count()) << 1;
    }
    code += lens[..symbol].iter().filter(|other| usize::from(**other) == len).count();
    (code, len)
}

/// A last block with these codes, and then what `data` adds. The code of the code lengths is complete: four bits for
/// each length, and none for repetitions.
fn dynamic(litlen: &[u8], dist: &[u8], data: impl FnOnce(&mut Bits)) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.number(1, 1).number(2, 2);
    bits.number(litlen.len() - 257, 5).number(dist.len() - 1, 5).number(15, 4);
    for symbol in [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15] {
        bits.number(if symbol < 16 { 4 } else { 0 }, 3);
    }
    for len in litlen.iter().chain(dist) {
        bits.code(usize::from(*len), 4);
    }
    data(&mut bits);
    bits.bytes
}

/// A last block with the fixed codes.
fn fixed(data: impl FnOnce(&mut Bits)) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.number(1, 1).number(1, 2);
    data(&mut bits);
    bits.bytes
}

/// Code lengths of `count` symbols, four of which have a code of two bits: `a`, `b`, the end of the block, and the match
/// length 3 (symbol 257).
fn litlen(count: usize) -> Vec<u8> {
    let mut lens = vec![0; count];
    for symbol in [usize::from(b'a'), usize::from(b'b'), 256, 257] {
        lens[symbol] = 2;
    }
    lens
}

/// So many code lengths, which are these and zeros.
fn padded(lens: &[u8], count: usize) -> Vec<u8> {
    let mut all = lens.to_vec();
    all.resize(count, 0);
    all
}

/// Adds `a`, three more by a match whose distance has the code `distance`, and the end of the block.
fn match_of(lens: &[u8], distance: (usize, usize)) -> impl Fn(&mut Bits) + use<> {
    let codes = [usize::from(b'a'), 257, 256].map(|symbol| code_of(lens, symbol));
    move |bits| {
        for (code, len) in [codes[0], codes[1], distance, codes[2]] {
            bits.code(code, len);
        }
    }
}

/// Raw deflate at the borders. The verdicts are zlib's, gzip's and, by its list of errors in `cpa_dc.h`, the device's.
pub(crate) fn deflate() -> Vec<Case> {
    let case = |name, packed, plain: Option<&[u8]>| Case { name, packed, plain: plain.map(<[u8]>::to_vec) };
    let mut cases = Vec::new();
    let four = Some(&b"aaaa"[..]);

    // How many codes a block may declare, used or not (section 3.2.7 has up to 32 for distances, of which the last two
    // "will never actually occur", section 3.2.6; zlib and gzip refuse to declare them).
    let two = [1, 1];
    for (name, lits, dists, plain) in [
        ("286 and 30 codes", 286, 30, four),
        ("287 literal and length codes", 287, 30, None),
        ("288 literal and length codes", 288, 30, None),
        ("31 distance codes", 286, 31, None),
        ("32 distance codes", 286, 32, None),
    ] {
        let lens = litlen(lits);
        cases.push(case(name, dynamic(&lens, &padded(&two, dists), match_of(&lens, (0, 1))), plain));
    }

    // One distance code, or none (section 3.2.7).
    let lens = litlen(258);
    let (a, end) = (code_of(&lens, usize::from(b'a')), code_of(&lens, 256));
    let literals = |bits: &mut Bits| {
        bits.code(a.0, a.1).code(end.0, end.1);
    };
    cases.push(case("one distance code", dynamic(&lens, &[1], match_of(&lens, (0, 1))), four));
    cases.push(case(
        "the unused one of one distance code",
        dynamic(&lens, &[1], match_of(&lens, (1, 1))),
        None,
    ));
    cases.push(case("no distance code", dynamic(&lens, &[0], literals), Some(b"a")));
    cases.push(case("a match without distance codes", dynamic(&lens, &[0], match_of(&lens, (0, 1))), None));
    cases.push(case("one distance code of two bits", dynamic(&lens, &[2], literals), None));
    cases.push(case("an incomplete distance code", dynamic(&lens, &[2, 2, 2], literals), None));
    cases.push(case("too many distance codes of one bit", dynamic(&lens, &[1, 1, 1], literals), None));

    // The code of literals and lengths.
    let mut incomplete = litlen(258);
    incomplete[usize::from(b'b')] = 0;
    cases.push(case(
        "an incomplete literal code",
        dynamic(&incomplete, &two, |bits| {
            literals(bits);
        }),
        None,
    ));
    let mut over = litlen(258);
    over[usize::from(b'c')] = 2;
    cases.push(case(
        "an over-subscribed literal code",
        dynamic(&over, &two, |bits| {
            literals(bits);
        }),
        None,
    ));
    let mut endless = litlen(258);
    (endless[256], endless[usize::from(b'c')]) = (0, 2);
    cases.push(case(
        "no code for the end of the block",
        dynamic(&endless, &two, |bits| {
            bits.code(0, 2);
        }),
        None,
    ));
    let mut only_end = vec![0; 257];
    only_end[256] = 1;
    cases.push(case(
        "nothing but the end of the block",
        dynamic(&only_end, &[0], |bits| {
            bits.code(0, 1);
        }),
        Some(b""),
    ));

    // Symbols that the fixed codes have and nothing uses (section 3.2.6): lengths 286 and 287, distances 30 and 31.
    let fixed_match = |length: (usize, usize), distance: usize, extra: usize| {
        fixed(|bits| {
            bits.code(0x30 + usize::from(b'a'), 8).code(length.0, length.1);
            bits.code(distance, 5).number(0, extra).code(0, 7);
        })
    };
    cases.push(case("a fixed match", fixed_match((1, 7), 0, 0), four));
    cases.push(case("length symbol 286", fixed_match((0xc6, 8), 0, 0), None));
    cases.push(case("length symbol 287", fixed_match((0xc7, 8), 0, 0), None));
    cases.push(case("distance symbol 30", fixed_match((1, 7), 30, 13), None));
    cases.push(case("distance symbol 31", fixed_match((1, 7), 31, 13), None));
    cases.push(case("a distance before the beginning", fixed_match((1, 7), 1, 0), None));

    // Blocks by themselves.
    cases.push(case("a stored block", hex("01 0100 feff 61"), Some(b"a")));
    cases.push(case("a stored block with a wrong complement", hex("01 0100 fefe 61"), None));
    cases.push(case("the reserved type", hex("07 00 00 00"), None));
    cases
}

/// The gzip member of deflate data, with the field that states its lengths or without.
pub(crate) fn gzip(deflated: &[u8], plain: &[u8], is_sized: bool) -> Vec<u8> {
    let mut member = vec![0x1f, 0x8b, 8, if is_sized { 4 } else { 0 }, 0, 0, 0, 0, 0, 255];
    if is_sized {
        member.extend_from_slice(&[12, 0, b'Q', b'Z', 8, 0]);
        member.extend_from_slice(&(plain.len() as u32).to_le_bytes());
        member.extend_from_slice(&(deflated.len() as u32).to_le_bytes());
    }
    member.extend_from_slice(deflated);
    let crc = qat::software::checksum(accel_core::Checksum::Crc32, plain).unwrap() as u32;
    member.extend_from_slice(&crc.to_le_bytes());
    member.extend_from_slice(&(plain.len() as u32).to_le_bytes());
    member
}

/// The zlib stream of deflate data.
pub(crate) fn zlib(deflated: &[u8], plain: &[u8]) -> Vec<u8> {
    let adler = qat::software::checksum(accel_core::Checksum::Adler32, plain).unwrap() as u32;
    [&[0x78, 0x9c], deflated, &adler.to_be_bytes()].concat()
}

/// A Zstandard frame with one block, whose header (RFC 8878 section 3.1.1.2) has this type and size. `window` is the
/// window descriptor, without which the frame is a single segment of `plain_len` bytes.
fn zstd_frame(window: Option<u8>, plain_len: u32, kind: u32, size: u32, content: &[u8]) -> Vec<u8> {
    let mut frame = 0xFD2F_B528_u32.to_le_bytes().to_vec();
    frame.push(if window.is_some() { 0x80 } else { 0xa0 });
    frame.extend(window);
    frame.extend_from_slice(&plain_len.to_le_bytes());
    frame.extend_from_slice(&(size << 3 | kind << 1 | 1).to_le_bytes()[..3]);
    frame.extend_from_slice(content);
    frame
}

/// Zstandard frames at the borders: no block is larger than the window or 128 KiB (RFC 8878 section 3.1.1.2.4).
pub(crate) fn zstd() -> Vec<Case> {
    const RAW: u32 = 0;
    const RLE: u32 = 1;
    let most = 128 << 10;
    let case = |name, packed, plain: Option<Vec<u8>>| Case { name, packed, plain };
    let bytes = |len: u32| vec![b'z'; len as usize];
    let raw = |window, len: u32| zstd_frame(window, len, RAW, len, &bytes(len));
    let rle = |window, len: u32| zstd_frame(window, len, RLE, len, b"z");
    let mut reserved_bit = raw(None, 5);
    reserved_bit[4] |= 8;
    // The smallest window is 1 KiB, and the next one an eighth longer (section 3.1.1.1.2).
    vec![
        case("a raw block of 128 KiB", raw(None, most), Some(bytes(most))),
        case("a raw block of more than 128 KiB", raw(None, most + 1), None),
        case("a repeated byte of 128 KiB", rle(None, most), Some(bytes(most))),
        case("a repeated byte of more than 128 KiB", rle(None, most + 1), None),
        case("a raw block as long as the window", raw(Some(0), 1024), Some(bytes(1024))),
        case("a raw block longer than the window", raw(Some(0), 1025), None),
        case("a raw block as long as the next window", raw(Some(1), 1152), Some(bytes(1152))),
        case("a repeated byte longer than the next window", rle(Some(1), 1153), None),
        case("a block of the reserved type", zstd_frame(None, 5, 3, 5, &bytes(5)), None),
        case("a reserved bit of the frame header", reserved_bit, None),
    ]
}

/// LZ4 blocks at the borders (LZ4 block format description).
pub(crate) fn lz4() -> Vec<Case> {
    let case = |name, packed: &str, plain: Option<&[u8]>| Case {
        name,
        packed: hex(packed),
        plain: plain.map(<[u8]>::to_vec),
    };
    vec![
        case("a match one byte back", "10 61 0100 50 6262626262", Some(b"aaaaabbbbb")),
        case("a match no byte back", "10 61 0000 50 6262626262", None),
        case("a match before the beginning", "10 61 0200 50 6262626262", None),
        case("zeros among the literals", "50 0000000000", Some(&[0; 5])),
        case("an end without literals", "10 61 0100", None),
        case("nothing", "00", Some(b"")),
    ]
}

/// The LZ4 frame of one block.
pub(crate) fn lz4_frame(block: &[u8]) -> Vec<u8> {
    // Version 1, independent blocks of at most 64 KiB, no checksums.
    let descriptor = [0x60, 0x40];
    let checksum = (qat::software::checksum(accel_core::Checksum::XxHash32, &descriptor).unwrap() >> 8) as u8;
    let mut frame = hex("04224d18");
    frame.extend_from_slice(&descriptor);
    frame.push(checksum);
    frame.extend_from_slice(&(block.len() as u32).to_le_bytes());
    frame.extend_from_slice(block);
    frame.extend_from_slice(&[0; 4]);
    frame
}
