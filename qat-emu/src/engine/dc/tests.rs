//! Tests of the compression service: requests are built by hand over a map of host memory, and other implementations
//! read the output.

mod deflate;
mod lz4;
mod properties;
mod service;

use std::cell::RefCell;
use std::collections::BTreeMap;

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};
use proptest::prelude::*;

use super::checksum::{Crc64, Xxh32};
use super::*;
use crate::memory::Access;

const STATIC: u8 = 0;
const DYNAMIC: u8 = 1;
const INFLATE: u8 = 2;
const LZ4: u8 = 3;
const UNLZ4: u8 = 4;
const LZ4S: u8 = 5;

const FINAL: u32 = 1 << 6;
const VERIFY: u32 = 1 << 16;
const RECOVER: u32 = 1 << 17;
const INJECT: u32 = 1 << 18;
const INTEGRITY: u32 = 1 << 19;
const ACCUMULATE: u32 = 1 << 20;

const SOURCE: u64 = 0x10_0000_0000;
const DESTINATION: u64 = 0x20_0000_0000;
const LISTS: u64 = 0x1000;
const STATE: u64 = 0x8000;
const BLOCK: u64 = 0x9000;

thread_local! {
    /// All requests of a test share one engine, because no request may influence the next one.
    static ENGINE: RefCell<Engine> = RefCell::default();
}

/// Checks that an engine can be moved to the thread that owns it.
const _: fn() = || {
    fn sendable<T: Send>() {}
    sendable::<Engine>();
};

/// Host memory that consists of separate mappings.
#[derive(Default)]
struct Host(RefCell<BTreeMap<u64, Vec<u8>>>);

impl Host {
    fn map(&self, iova: u64, bytes: Vec<u8>) {
        self.0.borrow_mut().insert(iova, bytes);
    }

    fn bytes(&self, iova: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.read(iova, &mut bytes).unwrap();
        bytes
    }

    fn with<R>(
        &self,
        iova: u64,
        len: usize,
        access: Access,
        f: impl FnOnce(&mut [u8]) -> R,
    ) -> Result<R, DmaFault> {
        let mut maps = self.0.borrow_mut();
        maps.range_mut(..=iova)
            .next_back()
            .and_then(|(start, bytes)| {
                let at = (iova - start) as usize;
                bytes.get_mut(at..at.checked_add(len)?)
            })
            .map(f)
            .ok_or(DmaFault { iova, len, access })
    }
}

impl DeviceMemory for Host {
    fn read(&self, iova: u64, into: &mut [u8]) -> Result<(), DmaFault> {
        self.with(iova, into.len(), Access::Read, |bytes| into.copy_from_slice(bytes))
    }

    fn write(&self, iova: u64, from: &[u8]) -> Result<(), DmaFault> {
        self.with(iova, from.len(), Access::Write, |bytes| bytes.copy_from_slice(from))
    }
}

/// A request in preparation, as the library would build it.
#[derive(Clone)]
struct Job {
    command: u8,
    service_flags: u8,
    parameters: u32,
    low: u32,
    high: u32,
    seeds: [u32; 2],
    space: usize,
    pieces: usize,
    flat: bool,
    injection: Injection,
}

impl Job {
    fn new(command: u8) -> Self {
        Self {
            command,
            service_flags: 0,
            parameters: FINAL | VERIFY,
            low: if command == UNLZ4 { 0 } else { 1 << 8 },
            high: 0,
            seeds: [0, 1],
            space: 1 << 19,
            pieces: 1,
            flat: false,
            injection: Injection::default(),
        }
    }

    fn depth(mut self, depth: u32) -> Self {
        self.low = self.low & !0xF00 | depth << 8;
        self
    }

    fn flags(mut self, parameters: u32) -> Self {
        self.parameters = parameters;
        self
    }

    fn space(mut self, space: usize) -> Self {
        self.space = space;
        self
    }

    fn auto(mut self) -> Self {
        self.service_flags |= 1 << 3;
        self
    }

    fn inject(mut self, injection: Injection) -> Self {
        self.injection = injection;
        self
    }

    /// Maps `contents` in pieces that are far apart, and the list that refers to them.
    fn list(&self, host: &Host, at: u64, base: u64, contents: &[u8]) -> Vec<(u64, usize)> {
        let size = contents.len().div_ceil(self.pieces).max(1);
        let mut list = vec![0; 16];
        let mut places = Vec::new();
        for (i, piece) in contents.chunks(size).enumerate() {
            let iova = base + ((i as u64) << 28);
            host.map(iova, piece.to_vec());
            places.push((iova, piece.len()));
            list.extend((piece.len() as u64).to_le_bytes());
            list.extend(iova.to_le_bytes());
        }
        list[8..12].copy_from_slice(&(places.len() as u32).to_le_bytes());
        host.map(at, list);
        places
    }

    fn message(&self, input: usize) -> Request {
        let mut request = [0; 128];
        let mut put = |at: usize, bytes: &[u8]| request[at..at + bytes.len()].copy_from_slice(bytes);
        put(1, &[self.command, 9, 0x80, self.service_flags]);
        put(6, &[if self.flat { 2 } else { 3 }]);
        put(8, &self.low.to_be_bytes());
        put(12, &self.high.to_be_bytes());
        put(24, &0x1122_3344_5566_7788u64.to_le_bytes());
        let (source, destination) = if self.flat { (SOURCE, DESTINATION) } else { (LISTS, LISTS + 0x2000) };
        put(32, &source.to_le_bytes());
        put(40, &destination.to_le_bytes());
        if self.flat {
            put(48, &(input as u32).to_le_bytes());
            put(52, &(self.space as u32).to_le_bytes());
        }
        put(56, &(input as u32).to_le_bytes());
        put(60, &(self.space as u32).to_le_bytes());
        if self.parameters & INTEGRITY == 0 {
            put(64, &self.seeds[0].to_le_bytes());
            put(68, &self.seeds[1].to_le_bytes());
        } else {
            put(64, &BLOCK.to_le_bytes());
        }
        put(72, &self.parameters.to_le_bytes());
        put(99, &[0x45]);
        put(104, &STATE.to_le_bytes());
        request
    }

    fn run(&self, input: &[u8]) -> Done {
        self.run_on(&Host::default(), input)
    }

    fn run_on(&self, host: &Host, input: &[u8]) -> Done {
        self.list(host, LISTS, SOURCE, input);
        let places = self.list(host, LISTS + 0x2000, DESTINATION, &vec![0xA5; self.space]);
        let message = self.message(input.len());
        let completion = ENGINE.with_borrow_mut(|engine| engine.execute(&message, host, &self.injection));
        let r = completion.response;
        let word = |at: usize| u32::from_le_bytes([r[at], r[at + 1], r[at + 2], r[at + 3]]);
        let mut output = Vec::new();
        for (iova, len) in places {
            output.extend(host.bytes(iova, len));
        }
        let produced = word(20) as usize;
        let untouched = completion.fault.is_some() || output[produced..].iter().all(|&b| b == 0xA5);
        assert!(untouched, "wrote past the produced bytes");
        output.truncate(produced);
        assert_eq!((r[1], r[2], r[7]), (1, 9, self.command));
        assert_eq!(r[8..16], 0x1122_3344_5566_7788u64.to_le_bytes());
        Done {
            output,
            consumed: word(16) as usize,
            sums: [word(24), word(28)],
            header: r[3],
            translator_error: r[4] as i8,
            error: r[5] as i8,
            status: r[6],
            fault: completion.fault,
        }
    }
}

struct Done {
    output: Vec<u8>,
    consumed: usize,
    sums: [u32; 2],
    header: u8,
    translator_error: i8,
    error: i8,
    status: u8,
    fault: Option<DmaFault>,
}

/// Inflates with another implementation; returns the plain bytes, and whether the final block was reached.
fn other_inflate(stream: &[u8], room: usize) -> (Vec<u8>, bool) {
    let mut plain = vec![0; room + 1];
    let flags =
        inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF | inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
    let (status, read, written) = decompress(&mut DecompressorOxide::new(), stream, &mut plain, 0, flags);
    plain.truncate(written);
    assert_eq!(read, stream.len(), "bytes behind the stream");
    match status {
        TINFLStatus::Done => (plain, true),
        TINFLStatus::NeedsMoreInput => (plain, false),
        other => panic!("not a deflate stream: {other:?}"),
    }
}

/// Returns the type and plain length of the blocks in a stream that has no dynamic blocks.
fn blocks(stream: &[u8]) -> Vec<(u32, usize)> {
    let mut at = 0;
    let bits = |at: &mut usize, n: usize| {
        let value = (0..n).map(|i| u32::from(stream[(*at + i) / 8] >> ((*at + i) % 8) & 1) << i).sum::<u32>();
        *at += n;
        value
    };
    // The most significant bit of a Huffman code comes first.
    let code = |at: &mut usize, n: usize| bits(at, n).reverse_bits() >> (32 - n);
    let mut found = Vec::new();
    while at < 8 * stream.len() {
        let last = bits(&mut at, 1) == 1;
        let kind = bits(&mut at, 2);
        let mut plain = 0;
        match kind {
            0 => {
                at = at.next_multiple_of(8);
                plain = bits(&mut at, 16) as usize;
                assert_eq!(bits(&mut at, 16), !(plain as u32) & 0xFFFF);
                at += 8 * plain;
            }
            1 => loop {
                let mut value = code(&mut at, 7);
                let symbol = if value < 24 {
                    256 + value
                } else {
                    value = value << 1 | bits(&mut at, 1);
                    match value {
                        0x30..0xC0 => value - 0x30,
                        0xC0..0xC8 => 280 + value - 0xC0,
                        _ => 144 + (value << 1 | bits(&mut at, 1)) - 0x190,
                    }
                };
                match symbol {
                    0..256 => plain += 1,
                    256 => break,
                    285 => plain += 258,
                    _ => {
                        let i = symbol - 257;
                        let extra = (i / 4).saturating_sub(1);
                        let base = if i < 8 { 3 + i } else { 3 + ((4 + i % 4) << extra) };
                        plain += (base + bits(&mut at, extra as usize)) as usize;
                    }
                }
                if symbol > 256 {
                    let distance = code(&mut at, 5);
                    at += (distance / 2).saturating_sub(1) as usize;
                }
            },
            _ => panic!("block type {kind}"),
        }
        found.push((kind, plain));
        if last {
            assert_eq!(at.div_ceil(8), stream.len(), "bytes behind the final block");
            break;
        }
    }
    found
}

/// Decodes sequences whose match nibble counts from `base`; nibble 0 means that there is no match unless `base` is 4.
fn sequences(stream: &[u8], base: usize, plain: &mut Vec<u8>) {
    let mut at = 0;
    let extend = |at: &mut usize, nibble: u8| {
        let mut length = usize::from(nibble);
        if nibble == 15 {
            let full = stream[*at..].iter().take_while(|&&byte| byte == 255).count();
            length += 255 * full + usize::from(stream[*at + full]);
            *at += full + 1;
        }
        length
    };
    while at < stream.len() {
        let token = stream[at];
        at += 1;
        let literals = extend(&mut at, token >> 4);
        plain.extend(&stream[at..at + literals]);
        at += literals;
        if at == stream.len() {
            assert_eq!(token & 15, 0, "the last sequence has no match");
            return;
        }
        let distance = usize::from(u16::from_le_bytes([stream[at], stream[at + 1]]));
        at += 2;
        let code = extend(&mut at, token & 15);
        if code > 0 || base == 4 {
            for _ in 0..code + base {
                plain.push(plain[plain.len() - distance]);
            }
        }
    }
    panic!("the stream ends behind a match");
}

/// Decodes a sequence of LZ4 blocks and checks the block size; returns the plain bytes and the number of raw blocks.
fn lz4_blocks(mut stream: &[u8], block_max: usize) -> (Vec<u8>, usize) {
    let (mut plain, mut raw) = (Vec::new(), 0);
    while let Some((word, rest)) = stream.split_first_chunk::<4>() {
        let word = u32::from_le_bytes(*word);
        let (body, rest) = rest.split_at((word & 0x7FFF_FFFF) as usize);
        let before = plain.len();
        if word >> 31 == 1 {
            raw += 1;
            plain.extend(body);
        } else {
            let mut block = Vec::new();
            sequences(body, 4, &mut block);
            plain.extend(block);
        }
        assert!(plain.len() - before <= block_max);
        stream = rest;
    }
    assert!(stream.is_empty());
    (plain, raw)
}

/// Returns text that consists of random words of this crate's own sources.
fn text(len: usize) -> Vec<u8> {
    let sources =
        [include_str!("../dc.rs"), include_str!("../../memory.rs"), include_str!("lz4.rs")].concat();
    let words: Vec<&str> = sources.split_inclusive(' ').filter(|word| word.len() > 1).collect();
    let mut plain = Vec::with_capacity(len + 80);
    for draw in noise(2 * len).chunks_exact(2) {
        plain.extend(words[usize::from(u16::from_le_bytes([draw[0], draw[1]])) % words.len()].bytes());
        if plain.len() > len {
            break;
        }
    }
    plain.truncate(len);
    plain
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
    .take(len)
    .collect()
}

fn samples() -> Vec<Vec<u8>> {
    let mixed = [text(40_000), noise(40_000), vec![0; 40_000], text(40_000)].concat();
    vec![vec![], vec![7], text(100), text(70_000), noise(70_000), vec![0; 200_000], mixed]
}
