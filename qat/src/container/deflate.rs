//! Deflate streams (RFC 1951): a complete one made into one that more can follow.
//!
//! libdeflate writes complete streams only. [`reopen`] finds the header of the last block, clears its final bit, and ends
//! the stream with an empty stored block, which reaches to a byte border. Such streams joined behind each other are one
//! stream. To find that header, all symbols before it are read, but nothing is decompressed: a literal or a match is only
//! as long as its bits are.

/// Why a stream was left as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not one complete deflate stream.
    Invalid,
    /// The buffer has no room for the empty stored block.
    NoRoom,
}

type Result<T, E = Fault> = std::result::Result<T, E>;

/// Makes the complete deflate stream in the first `len` bytes of `buffer` one that ends on a byte border with more to
/// come; the new length, which is greater by at most 5 bytes: a
/// stored block's header, which may need a byte of its own, and its two lengths.
pub(crate) fn reopen(buffer: &mut [u8], len: usize) -> Result<usize> {
    let Last { header, end, is_stored } = find_last(&buffer[..len])?;
    if len != end.div_ceil(8) {
        return Err(Fault::Invalid);
    }
    // Bits behind the last block are to be those of the stored block's header: not final, type 0.
    let padding = len * 8 - end;
    let lengths = if padding >= 3 { len } else { len + 1 };
    if !is_stored {
        let marker = buffer.get_mut(len..lengths + 4).ok_or(Fault::NoRoom)?;
        marker.fill(0);
        let (_, complement) = marker.split_at_mut(lengths - len + 2);
        complement.fill(0xff);
        buffer[len - 1] &= 0xff >> padding;
    }
    buffer[header / 8] &= !(1 << (header % 8));
    // A stored block ends on a byte border by itself.
    Ok(if is_stored { len } else { lengths + 4 })
}

/// The last block of a stream.
#[derive(Debug, PartialEq, Eq)]
struct Last {
    /// The bit where its header begins.
    header: usize,
    /// The bit behind it.
    end: usize,
    is_stored: bool,
}

/// [`reopen`] for the fuzz target; `None` where it refuses the stream.
pub fn fuzz_reopen(buffer: &mut [u8], len: usize) -> Option<usize> {
    reopen(buffer, len).ok()
}

/// Walks a stream from block to block.
fn find_last(stream: &[u8]) -> Result<Last> {
    let mut bits = Bits { stream, at: 0 };
    let mut codes = Codes::new();
    loop {
        let header = bits.at;
        let is_final = bits.take(1)? == 1;
        let kind = bits.take(2)?;
        match kind {
            0 => bits.stored()?,
            1 => {
                codes.fixed()?;
                codes.block(&mut bits)?;
            }
            2 => {
                codes.dynamic(&mut bits)?;
                codes.block(&mut bits)?;
            }
            _ => return Err(Fault::Invalid),
        }
        if bits.at > stream.len() * 8 {
            return Err(Fault::Invalid);
        }
        if is_final {
            return Ok(Last { header, end: bits.at, is_stored: kind == 0 });
        }
    }
}

/// A position in a stream, in bits.
struct Bits<'a> {
    stream: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// At least the next 57 bits; behind the stream's end there are zeroes.
    #[inline(always)]
    fn peek(&self) -> Result<u64> {
        let byte = self.at / 8;
        let word = match self.stream.get(byte..).and_then(<[u8]>::first_chunk) {
            Some(word) => u64::from_le_bytes(*word),
            None => self.peek_at_end(byte)?,
        };
        Ok(word >> (self.at % 8))
    }

    #[cold]
    fn peek_at_end(&self, byte: usize) -> Result<u64> {
        // A position behind the end is an error, so that a walk over zeroes ends.
        let rest = self.stream.get(byte..).ok_or(Fault::Invalid)?;
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        Ok(u64::from_le_bytes(word))
    }

    fn take(&mut self, count: u32) -> Result<usize> {
        let value = self.peek()? & ((1 << count) - 1);
        self.at += count as usize;
        Ok(value as usize)
    }

    /// Passes over the rest of a stored block (RFC 1951, section 3.2.4).
    fn stored(&mut self) -> Result<()> {
        self.at = self.at.next_multiple_of(8);
        let (len, complement) = (self.take(16)?, self.take(16)?);
        if len ^ complement != 0xffff {
            return Err(Fault::Invalid);
        }
        self.at += len * 8;
        Ok(())
    }
}

const MAX_CODE_LEN: usize = 15;
/// Symbols of the two alphabets, with those that only the fixed codes have.
const LITERALS: usize = 288;
const DISTANCES: usize = 32;
const END_OF_BLOCK: usize = 256;

/// Bits that index the tables; longer codes are read bit by bit.
const LITERAL_BITS: usize = 11;
const DISTANCE_BITS: usize = 9;

// A table's entry is one byte: the number of bits to pass over in the lower five, and above them what they are.
const COUNT: u8 = 0x1f;
const KIND: u8 = 0xe0;
/// One or several literals.
const LITERAL: u8 = 0;
/// A length, maybe behind literals: a distance follows.
const LENGTH: u8 = 1 << 5;
/// The end of the block, maybe behind literals.
const END: u8 = 2 << 5;
/// A code that is longer than the index, or none.
const LONG: u8 = 3 << 5;

/// Extra bits of a literal or length symbol (RFC 1951, section 3.2.5); `None` for those that must not occur.
const fn length_extra(symbol: usize) -> Option<u8> {
    match symbol {
        0..=264 | 285 => Some(0),
        265..=284 => Some(((symbol - 261) / 4) as u8),
        _ => None,
    }
}

/// Extra bits of a distance symbol.
const fn distance_extra(symbol: usize) -> Option<u8> {
    match symbol {
        0..=3 => Some(0),
        4..=29 => Some((symbol / 2 - 1) as u8),
        _ => None,
    }
}

/// A canonical Huffman code, for what the tables do not have.
struct Canonical<const N: usize> {
    /// How many codes there are of each length.
    counts: [u16; MAX_CODE_LEN + 1],
    /// The symbols in the order of their codes.
    symbols: [u16; N],
}

impl<const N: usize> Canonical<N> {
    const EMPTY: Self = Self { counts: [0; MAX_CODE_LEN + 1], symbols: [0; N] };

    /// Takes the code lengths of the symbols; calls `each` with symbol, bit-reversed code, and its length.
    fn assign(&mut self, lens: &[u8], mut each: impl FnMut(usize, usize, usize)) -> Result<()> {
        self.counts = [0; MAX_CODE_LEN + 1];
        for len in lens {
            self.counts[usize::from(*len)] += 1;
        }
        self.counts[0] = 0;
        let (mut places, mut codes) = ([0_usize; MAX_CODE_LEN + 2], [0_usize; MAX_CODE_LEN + 2]);
        for len in 1..=MAX_CODE_LEN {
            let count = usize::from(self.counts[len]);
            places[len + 1] = places[len] + count;
            if codes[len] + count > 1 << len {
                return Err(Fault::Invalid);
            }
            codes[len + 1] = (codes[len] + count) << 1;
        }
        for (symbol, len) in lens.iter().enumerate().filter(|(_, len)| **len > 0) {
            let len = usize::from(*len);
            self.symbols[places[len]] = symbol as u16;
            places[len] += 1;
            let reversed = (codes[len] as u16).reverse_bits() >> (16 - len);
            codes[len] += 1;
            each(symbol, usize::from(reversed), len);
        }
        Ok(())
    }

    /// The symbol whose code begins `word`, and the code's length.
    #[cold]
    fn read(&self, word: u64) -> Result<(usize, usize)> {
        let (mut code, mut first, mut place) = (0, 0, 0);
        for len in 1..=MAX_CODE_LEN {
            code |= (word >> (len - 1)) as usize & 1;
            let count = usize::from(self.counts[len]);
            if code < first + count {
                return Ok((usize::from(self.symbols[place + code - first]), len));
            }
            place += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        Err(Fault::Invalid)
    }
}

/// The codes of a block and their tables.
struct Codes {
    literals: Canonical<LITERALS>,
    distances: Canonical<DISTANCES>,
    literal_table: [u8; 1 << LITERAL_BITS],
    distance_table: [u8; 1 << DISTANCE_BITS],
}

impl Codes {
    const fn new() -> Self {
        Self {
            literals: Canonical::EMPTY,
            distances: Canonical::EMPTY,
            literal_table: [LONG; 1 << LITERAL_BITS],
            distance_table: [LONG; 1 << DISTANCE_BITS],
        }
    }

    /// The codes of a block without codes of its own (RFC 1951, section 3.2.6).
    fn fixed(&mut self) -> Result<()> {
        let mut lens = [8; LITERALS];
        lens[144..256].fill(9);
        lens[256..280].fill(7);
        self.set(&lens, &[5; DISTANCES])
    }

    /// Reads the codes of a block (RFC 1951, section 3.2.7).
    fn dynamic(&mut self, bits: &mut Bits<'_>) -> Result<()> {
        const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let literals = bits.take(5)? + 257;
        let distances = bits.take(5)? + 1;
        let mut lens = [0; 19];
        for symbol in &ORDER[..bits.take(4)? + 4] {
            lens[*symbol] = bits.take(3)? as u8;
        }
        let mut meta = Canonical::<19>::EMPTY;
        meta.assign(&lens, |_, _, _| {})?;
        let mut all = [0; LITERALS + DISTANCES];
        let lens = all.get_mut(..literals + distances).ok_or(Fault::Invalid)?;
        let mut at = 0;
        while at < lens.len() {
            let (symbol, len) = meta.read(bits.peek()?)?;
            bits.at += len;
            let (value, count) = match symbol {
                0..=15 => (symbol as u8, 1),
                16 if at == 0 => return Err(Fault::Invalid),
                16 => (lens[at - 1], 3 + bits.take(2)?),
                17 => (0, 3 + bits.take(3)?),
                _ => (0, 11 + bits.take(7)?),
            };
            lens.get_mut(at..at + count).ok_or(Fault::Invalid)?.fill(value);
            at += count;
        }
        let (literals, distances) = lens.split_at(literals);
        self.set(literals, distances)
    }

    fn set(&mut self, literals: &[u8], distances: &[u8]) -> Result<()> {
        if literals.len() > LITERALS || distances.len() > DISTANCES {
            return Err(Fault::Invalid);
        }
        // What follows a literal in the same index is taken with it, so that most lookups pass over several symbols.
        let mut single = [LONG; 1 << LITERAL_BITS];
        let mut code_lens = [0_u8; 1 << LITERAL_BITS];
        self.literals.assign(literals, |symbol, code, len| {
            let (Some(extra), true) = (length_extra(symbol), len <= LITERAL_BITS) else { return };
            let kind = match symbol {
                0..END_OF_BLOCK => LITERAL,
                END_OF_BLOCK => END,
                _ => LENGTH,
            };
            for index in (code..1 << LITERAL_BITS).step_by(1 << len) {
                single[index] = kind | (len as u8 + extra);
                code_lens[index] = len as u8;
            }
        })?;
        for (index, entry) in self.literal_table.iter_mut().enumerate() {
            *entry = single[index];
            while *entry & KIND == LITERAL {
                let used = usize::from(*entry);
                let next = single[index >> used];
                let known = used + usize::from(code_lens[index >> used]);
                if next & KIND == LONG || known > LITERAL_BITS {
                    break;
                }
                *entry += next;
            }
        }
        self.distance_table.fill(LONG);
        let table = &mut self.distance_table;
        self.distances.assign(distances, |symbol, code, len| {
            let (Some(extra), true) = (distance_extra(symbol), len <= DISTANCE_BITS) else { return };
            for index in (code..1 << DISTANCE_BITS).step_by(1 << len) {
                table[index] = len as u8 + extra;
            }
        })
    }

    /// Passes over the symbols of a block, its end included.
    fn block(&self, bits: &mut Bits<'_>) -> Result<()> {
        loop {
            let mut word = bits.peek()?;
            let mut entry = self.literal_table[word as usize % (1 << LITERAL_BITS)];
            if entry & KIND == LITERAL {
                // Enough bits are left for another lookup and a distance: 11 + 16 + 22.
                bits.at += usize::from(entry);
                word >>= entry;
                entry = self.literal_table[word as usize % (1 << LITERAL_BITS)];
            }
            let count = entry & COUNT;
            match entry & KIND {
                LITERAL => bits.at += usize::from(count),
                LENGTH => {
                    bits.at += usize::from(count);
                    word >>= count;
                    match self.distance_table[word as usize % (1 << DISTANCE_BITS)] {
                        LONG => self.long_distance(bits)?,
                        count => bits.at += usize::from(count),
                    }
                }
                END => {
                    bits.at += usize::from(count);
                    return Ok(());
                }
                _ => {
                    let (symbol, len) = self.literals.read(bits.peek()?)?;
                    bits.at += len + usize::from(length_extra(symbol).ok_or(Fault::Invalid)?);
                    match symbol {
                        0..END_OF_BLOCK => {}
                        END_OF_BLOCK => return Ok(()),
                        _ => self.long_distance(bits)?,
                    }
                }
            }
        }
    }

    #[cold]
    fn long_distance(&self, bits: &mut Bits<'_>) -> Result<()> {
        let (symbol, len) = self.distances.read(bits.peek()?)?;
        bits.at += len + usize::from(distance_extra(symbol).ok_or(Fault::Invalid)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::bufread::DeflateDecoder;
    use libdeflater::{CompressionLvl, Compressor};
    use proptest::prelude::*;

    use super::*;

    fn deflate(plain: &[u8], level: i32) -> Vec<u8> {
        let mut compressor = Compressor::new(CompressionLvl::new(level).unwrap());
        let mut packed = vec![0; compressor.deflate_compress_bound(plain.len()) + 5];
        let len = compressor.deflate_compress(plain, &mut packed).unwrap();
        packed.truncate(len);
        packed
    }

    fn reopened(mut packed: Vec<u8>) -> Result<Vec<u8>> {
        let len = packed.len();
        packed.resize(len + 5, 0xa5);
        let len = reopen(&mut packed, len)?;
        packed.truncate(len);
        Ok(packed)
    }

    /// All pieces but the last reopened and joined are one stream to miniz_oxide.
    fn check(pieces: &[(&[u8], i32)]) {
        let (mut whole, mut plain) = (Vec::new(), Vec::new());
        for (i, (piece, level)) in pieces.iter().enumerate() {
            let packed = deflate(piece, *level);
            let is_last = i + 1 == pieces.len();
            whole.extend(if is_last { packed } else { reopened(packed).unwrap() });
            plain.extend_from_slice(piece);
        }
        let mut again = Vec::new();
        DeflateDecoder::new(&whole[..]).read_to_end(&mut again).unwrap();
        assert!(again == plain, "{} bytes in {} pieces", plain.len(), pieces.len());
    }

    /// Text of several dynamic blocks with long and short matches, and bytes that only stored blocks hold.
    fn mixed() -> Vec<u8> {
        let noise = (0..70_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8);
        let words = (0..300_000_u32).flat_map(|i| (i / 7 * 31).to_le_bytes());
        words.chain(noise).chain(std::iter::repeat_n(b'x', 50_000)).collect()
    }

    #[test]
    fn pieces_of_every_level_are_one_stream() {
        let plain = mixed();
        for level in 0..=12 {
            check(&[(&plain, level), (&plain[..1000], level), (b"", level), (b"a", level), (&plain, level)]);
        }
    }

    #[test]
    fn what_is_no_whole_stream_is_refused() {
        let packed = deflate(&mixed(), 6);
        for cut in [0, 1, 100, packed.len() / 2, packed.len() - 1] {
            assert_eq!(reopened(packed[..cut].to_vec()), Err(Fault::Invalid), "{cut} bytes");
        }
        assert_eq!(reopened([&packed[..], b"more"].concat()), Err(Fault::Invalid));
        // The reserved block type; a stored block whose lengths differ; more codes than there can be.
        for bad in [&[0x07][..], &[0x01, 1, 0, 0, 0, 0], &[0x05, 0xff, 0xff, 0xff, 0xff, 0xff]] {
            assert_eq!(reopened(bad.to_vec()), Err(Fault::Invalid), "{bad:x?}");
        }
        let len = packed.len();
        assert_eq!(reopen(&mut packed.clone(), len), Err(Fault::NoRoom));
    }

    proptest! {
        #[test]
        fn any_pieces_are_one_stream(
            pieces in prop::collection::vec(
                (prop::collection::vec(prop_oneof![0_u8..4, any::<u8>()], 0..20_000), 0..=12_i32),
                1..5,
            ),
        ) {
            let pieces: Vec<_> = pieces.iter().map(|(piece, level)| (&piece[..], *level)).collect();
            check(&pieces);
        }

        #[test]
        fn any_bytes_end_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let _ = reopened(bytes);
        }
    }
}
