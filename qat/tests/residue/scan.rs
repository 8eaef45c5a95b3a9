//! Secrets, and the search for them in this process's memory.

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::process::Command;

use zeroize::Zeroizing;

use crate::aes;

/// Has the program draw a secret.
pub(crate) const DRAW: &str = "--draw";

const MASK: u8 = 0xa5;
const CHUNK: usize = 1 << 20;

/// Bytes that this process holds masked, and what of them must be nowhere in memory in the clear.
pub(crate) struct Secret {
    masked: Vec<u8>,
    /// Halves of 16 masked bytes each.
    needles: Vec<[u64; 2]>,
}

/// In the child: prints the masked digits of a new secret, then those of all that could be found of it.
pub(crate) fn draw(len: usize) {
    let mut secret = vec![0; len];
    File::open("/dev/urandom").unwrap().read_exact(&mut secret).unwrap();
    let mut needles: Vec<[u8; 16]> = Vec::new();
    let mut add = |bytes: &[u8]| {
        needles.extend(bytes.windows(16).step_by(8).map(|window| <[u8; 16]>::try_from(window).unwrap()));
        needles.extend(bytes.last_chunk::<16>());
    };
    add(&secret);
    // RFC 2104's pads.
    for pad in [0x36, 0x5c] {
        add(&secret.iter().map(|byte| byte ^ pad).collect::<Vec<u8>>());
    }
    // As text: a keyset's encoded key begins at a multiple of three bytes.
    add(secret.iter().map(|byte| format!("{byte:02x}")).collect::<String>().as_bytes());
    add(base64(&secret[..secret.len() / 3 * 3]).as_bytes());
    // AES-XTS's is two keys.
    let keys = if len == 64 { vec![&secret[..32], &secret[32..]] } else { vec![&secret[..]] };
    for key in keys.into_iter().filter(|key| matches!(key.len(), 16 | 24 | 32)) {
        for round_key in aes::round_keys(key) {
            add(&round_key);
            add(&aes::inverse(&round_key));
        }
    }
    if len == 32 {
        for round_key in [&secret[..16], &secret[16..]].into_iter().flat_map(aes::round_keys) {
            needles.push(round_key);
            needles.push(aes::inverse(&round_key));
        }
    }
    for bytes in std::iter::once(&secret[..]).chain(needles.iter().map(|needle| &needle[..])) {
        println!("{}", bytes.iter().map(|byte| format!("{:02x}", byte ^ MASK)).collect::<String>());
    }
}

/// RFC 4648, section 4, of whole groups.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = bytes.chunks_exact(3).flat_map(|group| {
        let number = group.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| DIGITS[number >> shift & 63] as char)
    });
    digits.collect()
}

impl Secret {
    /// A new one of `len` bytes.
    pub(crate) fn draw(len: usize) -> Self {
        let program = std::env::current_exe().unwrap();
        let output = Command::new(program).args([DRAW, &len.to_string()]).output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        let digit = |digit: u8| (digit as char).to_digit(16).unwrap() as u8;
        let mut lines = text.lines().map(|line| -> Vec<u8> {
            line.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
        });
        let masked = lines.next().unwrap();
        let needles = lines.map(|needle| {
            let (halves, _) = needle.as_chunks::<8>();
            [0, 1].map(|half| u64::from_le_bytes(halves[half]))
        });
        Self { needles: needles.collect(), masked }
    }

    /// Lends the secret in the clear; this process's copy is wiped behind it.
    #[inline(never)]
    pub(crate) fn with<T>(&self, work: impl FnOnce(&[u8]) -> T) -> T {
        let mut bytes = Zeroizing::new(self.masked.clone());
        let mask = black_box(MASK);
        bytes.iter_mut().for_each(|byte| *byte ^= mask);
        work(&bytes)
    }

    /// Its hexadecimal digits.
    pub(crate) fn hex(&self) -> Zeroizing<String> {
        self.with(|bytes| {
            let mut text = Zeroizing::new(String::with_capacity(2 * bytes.len()));
            for nibble in bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]) {
                text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
            }
            text
        })
    }

    /// Where in this process's writable memory something of it is.
    pub(crate) fn places(&self) -> Vec<String> {
        let mask = black_box(u64::from_ne_bytes([MASK; 8]));
        let mut may_begin = vec![false; 1 << 16];
        for [first, _] in &self.needles {
            may_begin[(first >> 48) as usize] = true;
        }
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let memory = File::open("/proc/self/mem").unwrap();
        let mut places = Vec::new();
        let mut chunk = vec![0; CHUNK];
        let own = chunk.as_ptr().addr() as u64;
        for map in maps.lines() {
            let mut fields = map.split_ascii_whitespace();
            let (range, mode) = (fields.next().unwrap(), fields.next().unwrap());
            let (from, to) = range.split_once('-').unwrap();
            let [from, to] = [from, to].map(|address| u64::from_str_radix(address, 16).unwrap());
            if !mode.starts_with("rw") {
                continue;
            }
            let mut at = from;
            while at < to {
                let wanted = (to - at).min(CHUNK as u64) as usize;
                let Ok(read) = memory.read_at(&mut chunk[..wanted], at) else { break };
                for (offset, bytes) in chunk[..read].windows(16).enumerate() {
                    let address = at + offset as u64;
                    let (halves, _) = bytes.as_chunks::<8>();
                    let found = [0, 1].map(|half| u64::from_le_bytes(halves[half]) ^ mask);
                    let is_own = (own..own + CHUNK as u64).contains(&address);
                    if may_begin[(found[0] >> 48) as usize] && !is_own && self.needles.contains(&found) {
                        let name = fields.clone().nth(3).unwrap_or("anonymous");
                        places.push(format!("{name} {range} at {address:#x}{}", stack_of(from, to)));
                    }
                }
                if read < 16 {
                    break;
                }
                // What lies across the border of two chunks is found in the second.
                at += if at + read as u64 == to { read } else { read - 15 } as u64;
            }
        }
        chunk.fill(0);
        black_box(&chunk);
        places
    }
}

/// Whether this thread's stack lies there.
fn stack_of(from: u64, to: u64) -> &'static str {
    let local = 0_u8;
    let here = std::ptr::from_ref(black_box(&local)).addr() as u64;
    if (from..to).contains(&here) { " (this thread's stack)" } else { "" }
}
