//! Whether keys stay in memory after they were dropped: this process searches its own stacks, heaps and other writable
//! memory for them.
//!
//! It is a program of its own because other tests hold keys beside. A child process draws each secret and says what to
//! look for, all of it masked, so that this process holds a secret in the clear only where the library does.

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
#[path = "residue/aes.rs"]
mod aes;
#[cfg(target_os = "linux")]
#[path = "residue/scan.rs"]
mod scan;

#[cfg(target_os = "linux")]
fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some(scan::DRAW) => scan::draw(arguments[1].parse().expect("a length")),
        Some("--list") => println!("residue: test"),
        _ => tests::run(),
    }
}

#[cfg(target_os = "linux")]
mod tests {
    use std::hint::black_box;

    use accel_core::{Cipher, CipherOptions, Digest, EncryptionAccelerator, Key};
    use qat::SoftwareAccelerator;
    use qat::stream::{self, Engine, Keyset, Settings};

    use crate::aes;
    use crate::scan::Secret;

    pub(crate) fn run() {
        aes::known_answers();
        the_search_finds_what_is_there();
        for cipher in Cipher::ALL {
            for &len in cipher.key_lens() {
                no_cipher_leaves_its_key(cipher, len);
            }
        }
        for digest in Digest::ALL {
            for len in [32, 200] {
                no_hmac_leaves_its_key(digest, len);
            }
        }
        no_keyset_leaves_its_keys();
    }

    /// The positive control: the search finds a dead stack frame and freed memory.
    fn the_search_finds_what_is_there() {
        #[inline(never)]
        fn on_the_stack(secret: &Secret) {
            // Deep enough for the calls of the search to leave it alone.
            let mut frame = [0; 64 << 10];
            secret.with(|bytes| frame[1024..][..bytes.len()].copy_from_slice(bytes));
            black_box(&frame);
        }
        let on_stack = Secret::draw(32);
        on_the_stack(&on_stack);
        let places = on_stack.places();
        assert!(places.iter().any(|place| place.contains("stack")), "a dead frame was not found: {places:?}");

        let freed = Secret::draw(32);
        // Many, since the search itself allocates, and one more that keeps them from going back to the system.
        let mut blocks = [(); 100].map(|()| vec![0; 4096]);
        let last = black_box(vec![0; 4096]);
        for block in &mut blocks {
            freed.with(|bytes| block[1024..][..bytes.len()].copy_from_slice(bytes));
        }
        assert!(!freed.places().is_empty(), "the heap was not searched");
        drop(black_box(blocks));
        assert!(!freed.places().is_empty(), "freed memory was not found");
        drop(last);
    }

    #[inline(never)]
    fn no_cipher_leaves_its_key(cipher: Cipher, len: usize) {
        let mac = (cipher == Cipher::AesCbcHmacSha256).then(|| Secret::draw(32));
        let secret = Secret::draw(len);
        let live = use_cipher(cipher, &secret, mac.as_ref());
        assert!(live > 0, "{cipher}: the key in use was not found");
        let what = format!("{cipher}, {len} bytes");
        assert_eq!(secret.places(), [""; 0], "{what}");
        assert_eq!(mac.map_or_else(Vec::new, |mac| mac.places()), [""; 0], "{what}, the MAC key");
    }

    /// Does everything with a key that there is, here and on a worker thread; how often it was in memory meanwhile.
    #[inline(never)]
    fn use_cipher(cipher: Cipher, secret: &Secret, mac: Option<&Secret>) -> usize {
        let software = SoftwareAccelerator::new();
        let key = secret.with(|bytes| match mac {
            Some(mac) => mac.with(|mac| Key::with_mac(bytes, mac)),
            None => Key::new(bytes),
        });
        let options = CipherOptions::new(cipher);
        let plain: Vec<u8> = (0..70_001_u32).map(|i| (i / 7) as u8).collect();
        for len in [16, 1000, plain.len()] {
            let (sealed, done) = software.encrypt(&key, &plain[..len], &options).unwrap();
            let options = options.clone().iv(done.iv);
            assert_eq!(software.decrypt(&key, &sealed, &options).unwrap().0, plain[..len]);
            let sealing = software.encrypt_async(key.clone(), plain[..len].to_vec(), options.clone());
            assert_eq!(pollster::block_on(sealing).unwrap().0, sealed);
            let opening = software.decrypt_async(key.clone(), sealed, options);
            assert_eq!(pollster::block_on(opening).unwrap().0, plain[..len]);
        }
        // A key that is prepared first on a worker thread.
        let fresh = secret.with(|bytes| match mac {
            Some(mac) => mac.with(|mac| Key::with_mac(bytes, mac)),
            None => Key::new(bytes),
        });
        pollster::block_on(software.encrypt_async(fresh, plain, options)).unwrap();
        secret.places().len()
    }

    #[inline(never)]
    fn no_hmac_leaves_its_key(digest: Digest, len: usize) {
        let secret = Secret::draw(len);
        let live = use_hmac(digest, &secret);
        assert!(live > 0, "HMAC {digest:?}: the key in use was not found");
        assert_eq!(secret.places(), [""; 0], "HMAC {digest:?}, {len} bytes");
    }

    #[inline(never)]
    fn use_hmac(digest: Digest, secret: &Secret) -> usize {
        let software = SoftwareAccelerator::new();
        let key = secret.with(Key::new);
        let (mac, _) = software.hmac(&key, digest, &[7; 1000]).unwrap();
        let again = pollster::block_on(software.hmac_async(key.clone(), digest, vec![7; 1000])).unwrap().0;
        assert_eq!(mac, again);
        let fresh = secret.with(Key::new);
        pollster::block_on(software.hmac_async(fresh, digest, vec![7; 70_000])).unwrap();
        secret.places().len()
    }

    fn no_keyset_leaves_its_keys() {
        let secret = Secret::draw(32);
        let live = use_keyset(&secret);
        assert!(live > 0, "the keyset in use was not found");
        assert_eq!(secret.places(), [""; 0], "a keyset");
    }

    #[inline(never)]
    fn use_keyset(secret: &Secret) -> usize {
        let engine = Engine::software(&SoftwareAccelerator::new());
        let keyset = Keyset::parse(&secret.hex()).unwrap();
        drop(keyset.to_hex());
        // Texts of several keysets, so that a buffer that grew would leave its earlier places to nobody.
        let texts = [(); 3].map(|()| keyset.to_json());
        let again = Keyset::parse(&texts[0]).unwrap();
        let plain = vec![7; 3 << 20];
        let (mut sealed, mut opened) = (Vec::new(), Vec::new());
        stream::encrypt(&plain[..], &mut sealed, &engine, &keyset, b"", &Settings::default()).unwrap();
        stream::decrypt(&sealed[..], &mut opened, &engine, &again, b"", &Settings::default()).unwrap();
        assert!(opened == plain);
        secret.places().len()
    }
}
