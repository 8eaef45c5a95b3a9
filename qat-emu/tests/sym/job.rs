//! Requests and content descriptors that are built by hand in the library's format.

use qat_emu::engine::sym::execute;
use qat_emu::engine::{Outcome, Request};

use crate::common::{Buffer, Host};

pub(crate) const INLINE_IV: u16 = 1 << 2;
pub(crate) const CONSTANT_TABLE: u16 = 1 << 3;
pub(crate) const UPDATE_STATE: u16 = 1 << 4;
pub(crate) const RETURN: u16 = 1 << 5;
pub(crate) const COMPARE: u16 = 1 << 6;
pub(crate) const CCM: u16 = 1 << 7;
pub(crate) const GCM: u16 = 2 << 7;
pub(crate) const IN_BUFFER: u16 = 1 << 10;
pub(crate) const IV_12: u16 = 1 << 11;
pub(crate) const SINGLE_PASS: u16 = 1 << 13;
const UNIFIED: u16 = 1 << 14;

pub(crate) const START: u16 = 1;
pub(crate) const END: u16 = 2;
pub(crate) const MIDDLE: u16 = 3;

pub(crate) const ECB: u32 = 0;
pub(crate) const CBC: u32 = 1;
pub(crate) const CTR: u32 = 2;
pub(crate) const MODE_GCM: u32 = 4;
pub(crate) const MODE_CCM: u32 = 5;
pub(crate) const XTS: u32 = 6;

/// Returns the AES algorithm code for a key.
pub(crate) fn aes(key: &[u8]) -> u32 {
    match key.len() {
        16 => 3,
        24 => 4,
        32 => 5,
        len => panic!("no AES key has {len} bytes"),
    }
}

/// A request in preparation.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) request: Request,
    pub(crate) descriptor: Vec<u8>,
}

impl Job {
    pub(crate) fn new(command: u8) -> Self {
        let mut request = [0; 128];
        request[1] = command;
        request[2] = 4;
        request[3] = 0x80;
        request[24..32].copy_from_slice(&0x1122_3344_5566_7788_u64.to_le_bytes());
        Self { request, descriptor: Vec::new() }
    }

    pub(crate) fn flags(mut self, flags: u16) -> Self {
        let old = u16::from_le_bytes([self.request[4], self.request[5]]);
        self.request[4..6].copy_from_slice(&(old | flags).to_le_bytes());
        self
    }

    pub(crate) fn u8(mut self, at: usize, value: usize) -> Self {
        self.request[at] = u8::try_from(value).expect("fits the field");
        self
    }

    pub(crate) fn u32(mut self, at: usize, value: usize) -> Self {
        self.request[at..at + 4].copy_from_slice(&u32::try_from(value).expect("fits").to_le_bytes());
        self
    }

    pub(crate) fn u64(mut self, at: usize, value: u64) -> Self {
        self.request[at..at + 8].copy_from_slice(&value.to_le_bytes());
        self
    }

    /// Appends a cipher part: CTR, XTS, GCM and ChaCha20 use the unified slice, the other modes the legacy slice.
    pub(crate) fn cipher(self, algorithm: u32, mode: u32, decrypt: bool, key: &[u8]) -> Self {
        let unified = !matches!(mode, ECB | CBC | MODE_CCM);
        let convert = decrypt && matches!(mode, ECB | CBC) && algorithm >= 3;
        let word = algorithm | mode << 4 | u32::from(decrypt) << 8 | u32::from(convert) << 9;
        let at = self.descriptor.len();
        let mut job = self.u8(110, at / 8).u8(109, key.len() / 8);
        job.descriptor.extend(word.to_le_bytes());
        job.descriptor.resize(at + if unified { 16 } else { 8 }, 0);
        job.descriptor.extend(key);
        job.descriptor.resize(job.descriptor.len().next_multiple_of(8), 0);
        if unified { job.flags(UNIFIED) } else { job }
    }

    /// Appends a hash part with its two states; `final_len` is the length of the digest.
    pub(crate) fn hash(
        self,
        code: u32,
        mode: u32,
        counter: u32,
        state1: &[u8],
        state2: &[u8],
        final_len: usize,
    ) -> Self {
        let word = code & 15 | mode << 4 | (final_len as u32) << 8 | (code >> 4) << 22;
        let at = self.descriptor.len();
        let (len1, len2) = (state1.len().next_multiple_of(8), state2.len().next_multiple_of(8));
        let mut job =
            self.u8(114, at / 8).u8(118, final_len).u8(121, len1).u8(122, (at + 16 + len1) / 8).u8(123, len2);
        job.descriptor.extend(word.to_le_bytes());
        job.descriptor.extend([0; 4]);
        job.descriptor.extend(counter.to_be_bytes());
        job.descriptor.extend([0; 4]);
        job.descriptor.extend(state1);
        job.descriptor.resize(at + 16 + len1, 0);
        job.descriptor.extend(state2);
        job.descriptor.resize(at + 16 + len1 + len2, 0);
        job
    }

    /// Appends an outer hash part, for nested hashes.
    pub(crate) fn outer_hash(self, code: u32, mode: u32, state: &[u8]) -> Self {
        let at = self.descriptor.len();
        let mut job = self.u8(124, at / 8).u8(125, state.len().next_multiple_of(8));
        job.descriptor.extend((code & 15 | mode << 4 | (code >> 4) << 22).to_le_bytes());
        job.descriptor.resize(at + 16, 0);
        job.descriptor.extend(state);
        job.descriptor.resize(job.descriptor.len().next_multiple_of(8), 0);
        job
    }

    pub(crate) fn iv(mut self, iv: &[u8]) -> Self {
        self.request[64..64 + iv.len()].copy_from_slice(iv);
        self.flags(INLINE_IV)
    }

    pub(crate) fn cipher_region(self, offset: usize, len: usize) -> Self {
        self.u32(56, offset).u32(60, len)
    }

    pub(crate) fn hash_region(self, offset: usize, len: usize) -> Self {
        self.u32(80, offset).u32(84, len)
    }

    /// Sets scatter-gather lists as source and destination.
    pub(crate) fn buffers(mut self, source: &Buffer, destination: &Buffer) -> Self {
        self.request[6] |= 1;
        self.u64(32, source.iova).u64(40, destination.iova)
    }

    /// Sets one flat buffer as source and destination.
    pub(crate) fn flat(self, iova: u64, len: usize) -> Self {
        self.u64(32, iova).u64(40, iova).u32(48, len).u32(52, len)
    }

    /// Maps the descriptor and executes the request; checks that the response identifies the request.
    pub(crate) fn run(&self, host: &Host) -> Outcome {
        let mut job = self.clone();
        if !self.descriptor.is_empty() {
            job = job.u64(8, host.alloc(&self.descriptor)).u8(18, self.descriptor.len() / 8);
        }
        let outcome = execute(&job.request, host);
        assert_eq!(outcome.response[1..4], [1, 4, 0x80]);
        assert_eq!(outcome.response[7], self.request[1]);
        assert_eq!(outcome.response[8..16], self.request[24..32]);
        assert_eq!(outcome.response[16..], [0; 16]);
        outcome
    }

    /// Executes the request and requires success.
    pub(crate) fn pass(&self, host: &Host) {
        assert_eq!(self.run(host).response[4..7], [0, 0, 0], "a plain success");
    }

    /// Executes the request and requires that only the digest differs.
    pub(crate) fn mismatch(&self, host: &Host) {
        let outcome = self.run(host);
        assert_eq!((outcome.response[5], outcome.response[6]), (0, 0x80), "a digest that differs");
        assert_eq!(outcome.fault, None);
    }

    /// Processes `data` and returns the result, in place for even seeds.
    pub(crate) fn transform(&self, host: &Host, data: &[u8], seed: u64) -> Vec<u8> {
        let (job, destination) = self.attach(host, data, seed);
        job.pass(host);
        host.gather(&destination)
    }

    /// Adds buffers with `data`; for even seeds, the destination is the source.
    pub(crate) fn attach(&self, host: &Host, data: &[u8], seed: u64) -> (Self, Buffer) {
        let source = host.scatter(data, seed);
        let destination =
            if seed.is_multiple_of(2) { source.clone() } else { host.scatter(&vec![0; data.len()], !seed) };
        (self.clone().buffers(&source, &destination), destination)
    }
}
