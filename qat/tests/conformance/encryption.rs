//! The blocking and asynchronous calls of [`accel_core::EncryptionAccelerator`].

use accel_core::{Cipher, CipherOptions, Error, Iv, Key};
use pollster::block_on;

use crate::support::{SIZES, Subject, contents, key, noise, same, text};

fn iv(cipher: Cipher) -> Iv {
    Iv::new(&noise(cipher.iv_len())).unwrap()
}

/// Options with associated data where the cipher authenticates.
fn options(cipher: Cipher) -> CipherOptions<'static> {
    let options = CipherOptions::new(cipher).iv(iv(cipher));
    if cipher.tag_len() > 0 { options.aad(&b"associated"[..]) } else { options }
}

pub(crate) fn round_trips(subject: &Subject) {
    for size in SIZES.into_iter().chain([15, 16, 17, 31, 32]) {
        for (kind, plain) in contents(size) {
            for &cipher in subject.ciphers {
                let what = (kind, size, cipher);
                let (key, options) = (key(cipher), options(cipher));
                if !subject.takes(&key, &plain, &options) {
                    continue;
                }
                let (sealed, done) = subject.encryption.encrypt(&key, &plain, &options).unwrap();
                assert_eq!(sealed.len(), cipher.ciphertext_len(size), "{what:?}");
                assert_eq!((done.outcome.bytes_in, done.outcome.bytes_out), (size, sealed.len()), "{what:?}");
                assert_eq!(Some(done.iv), options.iv);
                assert!((subject.may_run_on)(done.outcome.path), "{what:?} ran on {}", done.outcome.path);
                if size > 16 {
                    assert!(sealed[..size] != plain[..], "{what:?}: not encrypted");
                }
                let (opened, outcome) = subject.encryption.decrypt(&key, &sealed, &options).unwrap();
                assert_eq!((outcome.bytes_in, outcome.bytes_out), (sealed.len(), size), "{what:?}");
                assert!((subject.may_run_on)(outcome.path));
                same(&opened, &plain, what);
            }
        }
    }
}

pub(crate) fn into_any_room(subject: &Subject) {
    for size in [0, 1, 15, 16, 17, 1000] {
        let plain = text(size);
        for &cipher in subject.ciphers {
            let (key, options) = (key(cipher), options(cipher));
            if !subject.takes(&key, &plain, &options) {
                continue;
            }
            let (sealed, _) = subject.encryption.encrypt(&key, &plain, &options).unwrap();
            for room in 0..sealed.len() + 20 {
                let mut output = vec![0xA5; room];
                match subject.encryption.encrypt_into(&key, &plain, &mut output, &options) {
                    Ok(done) => {
                        assert!(room >= sealed.len() && done.outcome.bytes_out == sealed.len());
                        same(&output[..sealed.len()], &sealed, (cipher, room));
                        assert!(
                            output[sealed.len()..].iter().all(|byte| *byte == 0xA5),
                            "{cipher}: beyond its end"
                        );
                    }
                    Err(Error::OutputTooSmall { required, available }) => {
                        assert!(room < sealed.len(), "{cipher}: {room}");
                        assert_eq!((required, available), (Some(sealed.len()), room));
                    }
                    Err(error) => panic!("{cipher}, {size} bytes into {room}: {error}"),
                }
            }
            let body = sealed.len() - cipher.tag_len();
            for room in 0..body + 20 {
                let mut output = vec![0xA5; room];
                match subject.encryption.decrypt_into(&key, &sealed, &mut output, &options) {
                    Ok(outcome) => {
                        assert_eq!(outcome.bytes_out, size);
                        assert!(room >= body, "{cipher}: {room}");
                        same(&output[..size], &plain, (cipher, room));
                        assert!(output[body..].iter().all(|byte| *byte == 0xA5), "{cipher}: beyond its end");
                    }
                    Err(Error::OutputTooSmall { required, available }) => {
                        assert!(room < body, "{cipher}: {room}");
                        assert_eq!((required, available), (Some(body), room));
                    }
                    Err(error) => panic!("{cipher}, {size} bytes into {room}: {error}"),
                }
            }
        }
    }
}

/// Without an IV one is drawn, a new one each time; decryption needs it.
pub(crate) fn ivs(subject: &Subject) {
    let plain = text(100);
    for &cipher in subject.ciphers {
        let (key, options) = (key(cipher), CipherOptions::new(cipher));
        let (first, one) = subject.encryption.encrypt(&key, &plain, &options).unwrap();
        let (second, two) = subject.encryption.encrypt(&key, &plain, &options).unwrap();
        assert!(one.iv != two.iv && first != second, "{cipher}: the same IV twice");
        assert_eq!(one.iv.as_bytes().len(), cipher.iv_len());
        let (opened, _) = subject.encryption.decrypt(&key, &first, &options.clone().iv(one.iv)).unwrap();
        same(&opened, &plain, cipher);
        let error = subject.encryption.decrypt(&key, &first, &options).unwrap_err();
        assert!(matches!(error, Error::InvalidArgument { argument: "IV", .. }), "{cipher}: {error}");
        let other = Iv::new(&vec![0; 28 - cipher.iv_len()]).unwrap();
        for error in [
            subject.encryption.encrypt(&key, &plain, &options.clone().iv(other)).unwrap_err(),
            subject.encryption.decrypt(&key, &first, &options.clone().iv(other)).unwrap_err(),
        ] {
            assert!(matches!(error, Error::InvalidArgument { argument: "IV", .. }), "{cipher}: {error}");
        }
    }
    for len in (0..40).filter(|len| ![12, 16].contains(len)) {
        assert!(matches!(Iv::new(&vec![0; len]), Err(Error::InvalidArgument { argument: "IV", .. })));
    }
}

pub(crate) fn futures_equal_blocking_calls(subject: &Subject) {
    for &digest in subject.digests {
        let key = Key::new(b"some key");
        for plain in [Vec::new(), text(70_001)] {
            let (mac, done) = subject.encryption.hmac(&key, digest, &plain).unwrap();
            assert_eq!((done.bytes_in, done.bytes_out), (plain.len(), digest.len()));
            assert!((subject.may_run_on)(done.path), "{digest:?} ran on {}", done.path);
            let future = subject.encryption.hmac_async(key.clone(), digest, plain.clone());
            let (future, future_done) = block_on(future).unwrap();
            same(&future, &mac, digest);
            assert_eq!((future_done.bytes_in, future_done.bytes_out), (plain.len(), digest.len()));
        }
    }
    for plain in [Vec::new(), text(70_001)] {
        for &cipher in subject.ciphers {
            let (encryption, key, options) = (&subject.encryption, key(cipher), options(cipher));
            if !subject.takes(&key, &plain, &options) {
                let refused = block_on(encryption.encrypt_async(key, plain.clone(), options)).unwrap_err();
                let is_said = match cipher.plaintext_lens().contains(&plain.len()) {
                    true => matches!(refused, Error::Unsupported { .. }),
                    false => matches!(refused, Error::InvalidArgument { .. }),
                };
                assert!(is_said, "{cipher}: {refused}");
                continue;
            }
            let (sealed, done) = encryption.encrypt(&key, &plain, &options).unwrap();
            let (future, future_done) =
                block_on(encryption.encrypt_async(key.clone(), plain.clone(), options.clone())).unwrap();
            same(&future, &sealed, cipher);
            assert_eq!((future_done.iv, future_done.outcome.bytes_out), (done.iv, done.outcome.bytes_out));
            let room = vec![0; sealed.len()];
            let done =
                block_on(encryption.encrypt_into_async(key.clone(), plain.clone(), room, options.clone()));
            assert_eq!(done.result.unwrap().outcome.bytes_out, sealed.len());
            same(&done.output, &sealed, cipher);
            same(&done.input, &plain, cipher);
            let (opened, outcome) =
                block_on(encryption.decrypt_async(key.clone(), sealed.clone(), options.clone())).unwrap();
            same(&opened, &plain, cipher);
            assert_eq!(outcome.bytes_in, sealed.len());
            let room = vec![0; sealed.len()];
            let done =
                block_on(encryption.decrypt_into_async(key.clone(), sealed.clone(), room, options.clone()));
            assert_eq!(done.result.unwrap().bytes_out, plain.len());
            same(&done.output[..plain.len()], &plain, cipher);
            same(&done.input, &sealed, cipher);

            let done = block_on(encryption.encrypt_into_async(
                key.clone(),
                vec![b'x'; 16],
                Vec::new(),
                options.clone(),
            ));
            assert!(matches!(done.result, Err(Error::OutputTooSmall { .. })) && done.input == [b'x'; 16]);
            let wrong = options.clone().iv(Iv::new(&vec![9; 28 - cipher.iv_len()]).unwrap());
            let done = block_on(encryption.decrypt_into_async(key, sealed.clone(), vec![1; 7], wrong));
            assert!(matches!(done.result, Err(Error::InvalidArgument { .. })));
            assert_eq!((done.input, done.output), (sealed, vec![1; 7]));
        }
    }
}

pub(crate) fn wrong_arguments(subject: &Subject) {
    let plain = text(100);
    for &digest in subject.digests {
        for key in [Key::new(&[]), Key::with_mac(&[0; 32], &[0; 32])] {
            let error = subject.encryption.hmac(&key, digest, &plain).unwrap_err();
            assert!(matches!(error, Error::InvalidArgument { argument: "key", .. }), "{digest:?}: {error}");
        }
    }
    for &cipher in subject.ciphers {
        let sealed = subject.encryption.encrypt(&key(cipher), &plain, &options(cipher)).unwrap().0;
        let wrong_mac = match cipher {
            Cipher::AesCbcHmacSha256 => {
                vec![Key::new(&[0; 32]), Key::with_mac(&[0; 32], &[0; 15]), Key::with_mac(&[0; 20], &[0; 32])]
            }
            // Two keys that are one.
            Cipher::AesXts => vec![Key::with_mac(key(cipher).encryption(), &[0; 32]), Key::new(&[7; 64])],
            _ => vec![Key::with_mac(&[0; 32], &[0; 32])],
        };
        let lengths =
            (0..70).filter(|len| !cipher.key_lens().contains(len)).map(|len| Key::new(&vec![1; len]));
        for key in lengths.chain(wrong_mac) {
            let error = subject.encryption.encrypt(&key, &plain, &options(cipher)).unwrap_err();
            assert!(matches!(error, Error::InvalidArgument { argument: "key", .. }), "{cipher}: {error}");
            let error = subject.encryption.decrypt(&key, &sealed, &options(cipher)).unwrap_err();
            assert!(matches!(error, Error::InvalidArgument { argument: "key", .. }), "{cipher}: {error}");
        }
        for &len in cipher.key_lens() {
            let key = match cipher {
                Cipher::AesCbcHmacSha256 => Key::with_mac(&vec![3; len], &[4; 16]),
                _ => Key::new(&noise(len)),
            };
            let sealed = subject.encryption.encrypt(&key, &plain, &options(cipher)).unwrap().0;
            same(
                &subject.encryption.decrypt(&key, &sealed, &options(cipher)).unwrap().0,
                &plain,
                (cipher, len),
            );
        }
        if cipher.tag_len() == 0 {
            let with_aad = options(cipher).aad(&b"x"[..]);
            for error in [
                subject.encryption.encrypt(&key(cipher), &plain, &with_aad).unwrap_err(),
                subject.encryption.decrypt(&key(cipher), &sealed, &with_aad).unwrap_err(),
            ] {
                let refused = matches!(error, Error::InvalidArgument { argument: "associated data", .. });
                assert!(refused, "{cipher}: {error}");
            }
        }
    }
}

/// Every way to alter an authenticated message, and the caller's buffer afterwards.
pub(crate) fn failures_leave_no_plaintext(subject: &Subject) {
    let plain = vec![b'S'; 200];
    for &cipher in subject.ciphers.iter().filter(|cipher| cipher.tag_len() > 0) {
        let (key, good) = (key(cipher), options(cipher));
        let (sealed, _) = subject.encryption.encrypt(&key, &plain, &good).unwrap();
        let check = |sealed: &[u8], key: &Key, options: &CipherOptions<'_>, what: &str| {
            let mut output = vec![0; plain.len() + 64];
            let error = subject.encryption.decrypt_into(key, sealed, &mut output, options).unwrap_err();
            let text = sealed.len().saturating_sub(cipher.tag_len());
            if (subject.takes)(cipher, text, options.aad.len()) || sealed.len() < cipher.tag_len() {
                assert!(matches!(error, Error::Authentication { .. }), "{cipher}, {what}: {error}");
            } else {
                assert!(matches!(error, Error::Unsupported { .. }), "{cipher}, {what}: {error}");
            }
            assert!(
                !output.windows(4).any(|four| four == b"SSSS"),
                "{cipher}, {what}: plaintext left behind"
            );
            assert!(subject.encryption.decrypt(key, sealed, options).is_err());
        };
        for bit in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            check(&altered, &key, &good, "bit flip");
        }
        for len in 0..sealed.len() {
            check(&sealed[..len], &key, &good, "cut");
        }
        check(&[&sealed[..], &[0]].concat(), &key, &good, "longer");
        check(&[&sealed[..], &[0; 16]].concat(), &key, &good, "longer by a block");
        check(&sealed, &key, &good.clone().aad(&b"associateD"[..]), "other associated data");
        check(&sealed, &key, &good.clone().aad(&b""[..]), "no associated data");
        check(&sealed, &key, &good.clone().iv(Iv::new(&vec![0; cipher.iv_len()]).unwrap()), "other IV");
        let other = match cipher {
            Cipher::AesCbcHmacSha256 => Key::with_mac(key.encryption(), &[0; 32]),
            _ => Key::new(&[0; 32]),
        };
        check(&sealed, &other, &good, "other key");
    }
    // A unit that is too short for AES-XTS, and one too long for it and AES-CCM.
    for cipher in [Cipher::AesXts, Cipher::AesCcm] {
        let (key, options) = (key(cipher), options(cipher));
        for len in [0, 15, (16 << 20) + 1] {
            if !cipher.plaintext_lens().contains(&len) {
                assert!(!subject.takes(&key, &vec![0; len], &options), "{cipher}: {len}");
            }
        }
    }
    // Without a tag, what can be seen is the padding.
    if subject.ciphers.contains(&Cipher::AesCbc) {
        let (key, options) = (key(Cipher::AesCbc), options(Cipher::AesCbc));
        let (sealed, _) = subject.encryption.encrypt(&key, &plain, &options).unwrap();
        for len in (0..sealed.len()).filter(|len| *len == 0 || len % 16 != 0) {
            let error = subject.encryption.decrypt(&key, &sealed[..len], &options).unwrap_err();
            assert!(matches!(error, Error::Authentication { .. }), "{len} bytes: {error}");
        }
    }
}

/// AES-CCM put together from AES-CBC and AES-CTR as RFC 3610, section 2 says, for lengths that no vectors have.
pub(crate) fn ccm_from_its_parts(subject: &Subject) {
    let run = |cipher, key: &Key, iv: [u8; 16], plain: &[u8]| {
        let options = CipherOptions::new(cipher).iv(Iv::new(&iv).unwrap());
        subject.encryption.encrypt(key, plain, &options).unwrap().0
    };
    let whole_blocks = |data: &mut Vec<u8>| data.resize(data.len().next_multiple_of(16), 0);
    for (key_len, len, aad_len) in
        [(16, 0, 0), (16, 5, 222), (24, 70_001, 1), (32, 1 << 20, 13), (32, 16, 14)]
    {
        let (key, nonce, plain, aad) = (Key::new(&noise(key_len)), noise(12), text(len), noise(aad_len));
        // Flags: a MAC of 16 bytes, a length of 3.
        let mut mac_of = vec![u8::from(aad_len > 0) << 6 | 7 << 3 | 2];
        mac_of.extend(&nonce);
        mac_of.extend(&(len as u32).to_be_bytes()[1..]);
        if aad_len > 0 {
            mac_of.extend((aad_len as u16).to_be_bytes());
            mac_of.extend(&aad);
            whole_blocks(&mut mac_of);
        }
        mac_of.extend(&plain);
        whole_blocks(&mut mac_of);
        let chained = run(Cipher::AesCbc, &key, [0; 16], &mac_of);
        // Behind the last block is one of padding.
        let mac = &chained[mac_of.len() - 16..][..16];
        let mut counter = [0; 16];
        counter[0] = 2;
        counter[1..13].copy_from_slice(&nonce);
        let streamed = run(Cipher::AesCtr, &key, counter, &[mac, &plain].concat());
        let (tag, sealed) = streamed.split_at(16);
        let expected = [sealed, tag].concat();

        let options = CipherOptions::new(Cipher::AesCcm).iv(Iv::new(&nonce).unwrap()).aad(aad);
        let what = (key_len, len, aad_len);
        same(&subject.encryption.encrypt(&key, &plain, &options).unwrap().0, &expected, what);
        same(&subject.encryption.decrypt(&key, &expected, &options).unwrap().0, &plain, what);
    }
}
