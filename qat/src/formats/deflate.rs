//! Deflate streams (RFC 1951): converts a complete stream to one that more data can follow.
//!
//! libdeflate writes complete streams only. [`reopen`] finds the header of the last block, clears its final bit, and
//! ends the stream with an empty stored block, which ends on a byte boundary. Such streams can be concatenated to one
//! stream. To find that header, all symbols before it are read, but nothing is decompressed: only the number of bits of
//! each literal and match matters. The CPU engine calls this; the module itself never compresses or decompresses.

/// The reason why a stream was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReopenError {
    /// The input is not one complete deflate stream.
    Invalid,
    /// The buffer has no space for the empty stored block.
    NoRoom,
}

type Result<T, E = ReopenError> = std::result::Result<T, E>;

/// Converts the complete deflate stream in the first `len` bytes of `buffer` to one that ends on a byte boundary and
/// that more blocks can follow. Returns the new length, which is larger by at most 5 bytes: the header of a stored
/// block, which may need a byte of its own, and its two length fields.
///
/// # Errors
/// [`ReopenError`], and then `buffer` is unchanged.
pub(crate) fn reopen(buffer: &mut [u8], len: usize) -> Result<usize> {
    let Last { header, end, is_stored } = find_last(&buffer[..len])?;
    if len != end.div_ceil(8) {
        return Err(ReopenError::Invalid);
    }
    // The bits after the last block become the header of the stored block: not final, type 0.
    let padding = len * 8 - end;
    let lengths = if padding >= 3 { len } else { len + 1 };
    if !is_stored {
        let marker = buffer.get_mut(len..lengths + 4).ok_or(ReopenError::NoRoom)?;
        marker.fill(0);
        let (_, complement) = marker.split_at_mut(lengths - len + 2);
        complement.fill(0xff);
        buffer[len - 1] &= 0xff >> padding;
    }
    buffer[header / 8] &= !(1 << (header % 8));
    // A stored block always ends on a byte boundary.
    Ok(if is_stored { len } else { lengths + 4 })
}

/// The position of the last block of a stream.
#[derive(Debug, PartialEq, Eq)]
struct Last {
    /// The first bit of its header.
    header: usize,
    /// The first bit after the block.
    end: usize,
    is_stored: bool,
}

/// Calls `reopen` for the fuzz target. Returns `None` where it refuses the stream.
pub fn fuzz_reopen(buffer: &mut [u8], len: usize) -> Option<usize> {
    reopen(buffer, len).ok()
}

/// Walks a stream from block to block, and returns the last one.
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
            _ => return Err(ReopenError::Invalid),
        }
        if bits.at > stream.len() * 8 {
            return Err(ReopenError::Invalid);
        }
        if is_final {
            return Ok(Last { header, end: bits.at, is_stored: kind == 0 });
        }
    }
}

/// A position in a stream, counted in bits.
struct Bits<'a> {
    stream: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// Returns at least the next 57 bits. After the end of the stream they are zeroes.
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
        // A position after the end is an error. Otherwise a walk over zeroes would not end.
        let rest = self.stream.get(byte..).ok_or(ReopenError::Invalid)?;
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
            return Err(ReopenError::Invalid);
        }
        self.at += len * 8;
        Ok(())
    }
}

const MAX_CODE_LEN: usize = 15;
/// The number of symbols of each alphabet, including those that only the fixed codes have.
const LITERALS: usize = 288;
const DISTANCES: usize = 32;
const END_OF_BLOCK: usize = 256;

/// The number of bits that index a table. Longer codes are compared one length after another.
const INDEX_BITS: usize = 11;
const INDEX: usize = (1 << INDEX_BITS) - 1;
/// The number of entries of the tables of one alphabet. The table for `n` index bits begins at `1 << n`, for each `n` up to
/// [`INDEX_BITS`].
const ENTRIES: usize = 2 << INDEX_BITS;

// An entry of a table states how many bits to pass over, extra bits included, and which table is the next one.
const COUNT: u16 = 0x3f;
/// The block ends, the code is longer than the index, or the code has no symbol. The slow path decides.
const SPECIAL: u16 = 1 << 6;
/// The end of the block. It is always set together with [`SPECIAL`].
const END: u16 = 1 << 7;
/// A distance follows. The bit is the offset of the tables for distances from those for literals and lengths.
const THEN_DISTANCE: u16 = ENTRIES as u16;
const LONG: u16 = SPECIAL;

/// The most bits that one lookup passes over: an index and the extra bits of a distance.
const MAX_COUNT: usize = INDEX_BITS + 13;

/// Returns the number of extra bits of a literal or length symbol (RFC 1951, section 3.2.5), or `None` for a symbol
/// that must not occur.
const fn length_extra(symbol: usize) -> Option<u16> {
    match symbol {
        0..=264 | 285 => Some(0),
        265..=284 => Some(((symbol - 261) / 4) as u16),
        _ => None,
    }
}

/// Returns the number of extra bits of a distance symbol, or `None` for a symbol that must not occur.
const fn distance_extra(symbol: usize) -> Option<u16> {
    match symbol {
        0..=3 => Some(0),
        4..=29 => Some((symbol / 2 - 1) as u16),
        _ => None,
    }
}

/// Returns the table entry of a literal or length symbol, without the length of its code.
const fn length_entry(symbol: usize) -> u16 {
    match (symbol, length_extra(symbol)) {
        (0..END_OF_BLOCK, _) => 0,
        (END_OF_BLOCK, _) => SPECIAL | END,
        (_, Some(extra)) => THEN_DISTANCE | extra,
        (_, None) => LONG,
    }
}

/// Returns the table entry of a distance symbol, without the length of its code.
const fn distance_entry(symbol: usize) -> u16 {
    match distance_extra(symbol) {
        Some(extra) => extra,
        None => LONG,
    }
}

/// A canonical Huffman code (RFC 1951, section 3.2.2).
struct Canonical<const N: usize> {
    /// The number of codes of each length.
    counts: [u16; MAX_CODE_LEN + 1],
    /// The symbols in the order of their codes.
    symbols: [u16; N],
}

impl<const N: usize> Canonical<N> {
    const EMPTY: Self = Self { counts: [0; MAX_CODE_LEN + 1], symbols: [0; N] };

    /// Builds the code from the code lengths of at most `N` symbols.
    fn set(&mut self, lens: &[u8]) -> Result<()> {
        if lens.len() > N {
            return Err(ReopenError::Invalid);
        }
        self.counts = [0; MAX_CODE_LEN + 1];
        for len in lens {
            self.counts[usize::from(*len)] += 1;
        }
        self.counts[0] = 0;
        let (mut places, mut codes) = ([0_usize; MAX_CODE_LEN + 2], 0_usize);
        for len in 1..=MAX_CODE_LEN {
            let count = usize::from(self.counts[len]);
            places[len + 1] = places[len] + count;
            codes = (codes << 1) + count;
            if codes > 1 << len {
                return Err(ReopenError::Invalid);
            }
        }
        for (symbol, len) in lens.iter().enumerate().filter(|(_, len)| **len > 0) {
            let place = &mut places[usize::from(*len)];
            self.symbols[*place] = symbol as u16;
            *place += 1;
        }
        Ok(())
    }

    /// Fills a table for each number `n` of index bits, which begins at `1 << n`. The entry at each index is that of the
    /// symbol whose code is in the lowest bits of the index, and contains the length of the code.
    fn fill(&self, tables: &mut [u16], entry: impl Fn(usize) -> u16) {
        tables[..2].fill(LONG);
        let (mut code, mut symbols) = (0_u16, self.symbols.iter());
        for len in 1..tables.len().ilog2() as usize {
            // The table for one bit less is duplicated, and then the codes of this length are added.
            let (start, half) = (1 << len, 1 << (len - 1));
            tables.copy_within(half..start, start);
            tables.copy_within(half..start, start + half);
            code <<= 1;
            for symbol in symbols.by_ref().take(usize::from(self.counts[len])) {
                let reversed = code.reverse_bits() >> (16 - len);
                let entry = entry(usize::from(*symbol));
                tables[start + usize::from(reversed)] = if entry == LONG { LONG } else { entry + len as u16 };
                code += 1;
            }
        }
    }

    /// Returns the symbol whose code is in the lowest bits of `word`, and the length of the code in bits.
    #[cold]
    fn read(&self, word: u64) -> Result<(usize, usize)> {
        let bits = usize::from((word as u16).reverse_bits());
        let (mut first, mut place) = (0, 0);
        for len in 1..=MAX_CODE_LEN {
            let count = usize::from(self.counts[len]);
            let code = bits >> (16 - len);
            if code < first + count {
                return Ok((usize::from(self.symbols[place + code - first]), len));
            }
            place += count;
            first = (first + count) << 1;
        }
        Err(ReopenError::Invalid)
    }
}

/// The two codes of a block and their tables.
struct Codes {
    literals: Canonical<LITERALS>,
    distances: Canonical<DISTANCES>,
    /// The tables for literals and lengths, followed by those for distances.
    tables: [u16; 2 * ENTRIES],
}

impl Codes {
    const fn new() -> Self {
        Self { literals: Canonical::EMPTY, distances: Canonical::EMPTY, tables: [LONG; 2 * ENTRIES] }
    }

    /// Sets the fixed codes (RFC 1951, section 3.2.6).
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
        meta.set(&lens)?;
        // An entry contains a symbol and, below it, the length of its code, which is at most 7.
        let mut tables = [0; 2 << 7];
        meta.fill(&mut tables, |symbol| (symbol as u16) << 8);
        let mut all = [0; LITERALS + DISTANCES];
        let lens = all.get_mut(..literals + distances).ok_or(ReopenError::Invalid)?;
        let mut at = 0;
        while at < lens.len() {
            let entry = tables[(1 << 7) | (bits.peek()? as usize % (1 << 7))];
            if entry == LONG {
                return Err(ReopenError::Invalid);
            }
            bits.at += usize::from(entry & COUNT);
            let (value, count) = match entry >> 8 {
                symbol @ 0..=15 => (symbol as u8, 1),
                16 if at == 0 => return Err(ReopenError::Invalid),
                16 => (lens[at - 1], 3 + bits.take(2)?),
                17 => (0, 3 + bits.take(3)?),
                _ => (0, 11 + bits.take(7)?),
            };
            lens.get_mut(at..at + count).ok_or(ReopenError::Invalid)?.fill(value);
            at += count;
        }
        let (literals, distances) = lens.split_at(literals);
        self.set(literals, distances)
    }

    fn set(&mut self, literals: &[u8], distances: &[u8]) -> Result<()> {
        self.literals.set(literals)?;
        self.distances.set(distances)?;
        let (first, second) = self.tables.split_at_mut(ENTRIES);
        self.literals.fill(first, length_entry);
        self.distances.fill(second, distance_entry);
        // What follows a literal or a length is passed over with it where the rest of the index tells what it is.
        for at in 1 << INDEX_BITS..ENTRIES {
            let entry = self.tables[at];
            // Without the bits that the entry passes over, `at` is the place in the table of as many index bits as are
            // left, and 0 or 1, where no code is, if none are.
            let rest = self.tables[usize::from(entry & THEN_DISTANCE) + (at >> (entry & COUNT))];
            if entry & SPECIAL == 0 && rest != LONG {
                self.tables[at] = (entry & COUNT) + rest;
            }
        }
        Ok(())
    }

    /// Passes over the symbols of a block, including the end of the block.
    fn block(&self, bits: &mut Bits<'_>) -> Result<()> {
        let mut table = 0;
        loop {
            self.run(bits, &mut table);
            let word = bits.peek()?;
            let entry = self.tables[table | 1 << INDEX_BITS | word as usize & INDEX];
            if entry & SPECIAL == 0 || entry & END != 0 {
                bits.at += usize::from(entry & COUNT);
                table = usize::from(entry & THEN_DISTANCE);
                if entry & END != 0 {
                    return Ok(());
                }
            } else if table == 0 {
                let (symbol, len) = self.literals.read(word)?;
                bits.at += len + usize::from(length_extra(symbol).ok_or(ReopenError::Invalid)?);
                match symbol {
                    0..END_OF_BLOCK => {}
                    END_OF_BLOCK => return Ok(()),
                    _ => table = usize::from(THEN_DISTANCE),
                }
            } else {
                let (symbol, len) = self.distances.read(word)?;
                bits.at += len + usize::from(distance_extra(symbol).ok_or(ReopenError::Invalid)?);
                table = 0;
            }
        }
    }

    /// Passes over symbols, beginning in `table`, until one is [`SPECIAL`] or the last bytes of the stream are reached.
    /// No branch depends on the symbols, because a processor could not predict it.
    fn run(&self, bits: &mut Bits<'_>, table: &mut usize) {
        // `word` contains at least the next `have` bits (modulo 64) of the stream, and `next` is the byte after them.
        let (mut next, mut word, mut have) = (bits.at / 8, 0_u64, 0_u16);
        let mut skip = bits.at as u16 % 8;
        let mut entry = *table as u16;
        'stream: while let Some(bytes) = bits.stream.get(next..).and_then(<[u8]>::first_chunk) {
            // The bits of these bytes that `word` contains already have the same values.
            word |= u64::from_le_bytes(*bytes) << (have % 64);
            next += 7 - usize::from(have % 64 / 8);
            have |= 56;
            const { assert!(7 + 2 * MAX_COUNT <= 56) };
            word >>= skip;
            have -= skip;
            skip = 0;
            for _ in 0..2 {
                let table = usize::from(entry & THEN_DISTANCE);
                let found = self.tables[table | 1 << INDEX_BITS | word as usize & INDEX];
                if found & SPECIAL != 0 {
                    break 'stream;
                }
                entry = found;
                word >>= entry & COUNT;
                have = have.wrapping_sub(entry);
            }
        }
        bits.at = next * 8 + usize::from(skip) - usize::from(have % 64);
        *table = usize::from(entry & THEN_DISTANCE);
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

    /// Verifies with miniz_oxide that all pieces but the last, reopened, and the last one form one stream.
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

    /// Returns text that makes several dynamic blocks with short and long matches, and bytes that make stored blocks.
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
            assert_eq!(reopened(packed[..cut].to_vec()), Err(ReopenError::Invalid), "{cut} bytes");
        }
        assert_eq!(reopened([&packed[..], b"more"].concat()), Err(ReopenError::Invalid));
        // The reserved block type; a stored block whose lengths differ; more codes than their lengths allow.
        for bad in [&[0x07][..], &[0x01, 1, 0, 0, 0, 0], &[0x05, 0xff, 0xff, 0xff, 0xff, 0xff]] {
            assert_eq!(reopened(bad.to_vec()), Err(ReopenError::Invalid), "{bad:x?}");
        }
        let len = packed.len();
        assert_eq!(reopen(&mut packed.clone(), len), Err(ReopenError::NoRoom));
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
