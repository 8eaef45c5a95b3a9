//! Feature and pattern strings: a name that parses is printed unchanged, and the registry accepts any query without a
//! panic.
#![no_main]

use capability_registry::{Feature, Pattern, Registry};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(feature) = text.parse::<Feature>() {
        assert_eq!(feature.as_str(), text);
        assert!(text.len() <= Feature::MAX_LEN && text.parse::<Pattern>().is_ok());
    }
    let registry = Registry::new();
    assert!(!registry.is_present(text) && registry.get(text).is_none());
});
