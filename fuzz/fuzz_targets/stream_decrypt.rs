//! Decryption of arbitrary bytes with a known key: the result is an error, and no plaintext is output.
#![no_main]

use libfuzzer_sys::fuzz_target;
use qat::stream::{self, Engine, Keyset, Settings};

fuzz_target!(|data: &[u8]| {
    let keyset = Keyset::parse(&"5a".repeat(32)).expect("64 hexadecimal digits");
    let engine = Engine::software(&qat::SoftwareAccelerator::new());
    let settings = Settings::default().threads(std::num::NonZeroUsize::MIN);
    // The second input begins with the length of the header, so that the code after it is reached.
    let input = [&[40], data].concat();
    for input in [data, &input] {
        let mut out = Vec::new();
        assert!(
            stream::decrypt(input, &mut out, &engine, &keyset, b"", &settings).is_err() && out.is_empty()
        );
    }
});
