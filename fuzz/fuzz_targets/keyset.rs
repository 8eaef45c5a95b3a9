//! Key files: a keyset that parses is the same after it was written and parsed again, and no error contains a key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use qat::stream::Keyset;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Keyset::parse(text) {
        Ok(keyset) => {
            let json = keyset.to_json();
            let again = Keyset::parse(&json).expect("what was written is read");
            assert_eq!(*again.to_json(), *json);
        }
        Err(error) => drop(error.to_string()),
    }
});
