//! The real libqat 26.08.
#![cfg(all(feature = "loaded", target_os = "linux"))]

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use common::{check, load, real_libqat};
use object::{Object as _, ObjectSymbol as _};
use qat_sys::Symbols;

/// 26.08 as Debian builds it needs a newer C library than some systems have; there, only its export table is checked.
#[test]
fn the_real_26_08_loads_or_exports_all() {
    let Some(dir) = real_libqat("QAT_TEST_LIBQAT_2608") else { return };
    match load(&dir) {
        Ok(library) => check(&library, "26.08"),
        Err(error) => {
            let text = error.to_string();
            let is_foreign = text.contains("GLIBC_") || text.contains("libnuma.so.1");
            assert!(is_foreign, "{text}");
            eprintln!("NOT LOADED, only its export table is checked: {text}");
            let mut exported = exports(&dir.join("libqat.so.4"));
            exported.extend(exports(&dir.join("libusdm.so.0")));
            let groups = Symbols::GROUPS.iter().flat_map(|group| group.functions);
            let expected: Vec<_> = Symbols::REQUIRED.iter().chain(groups).collect();
            assert!(expected.len() > 200, "the table is empty");
            let missing: Vec<_> = expected.iter().filter(|name| !exported.contains(**name as &str)).collect();
            assert!(missing.is_empty(), "{missing:?}");
        }
    }
}

/// The names in a library's dynamic symbol table that it defines.
fn exports(library: &Path) -> BTreeSet<String> {
    let data = std::fs::read(library).unwrap();
    let file = object::File::parse(&*data).unwrap();
    let defined = file.dynamic_symbols().filter(|symbol| symbol.is_definition());
    defined.map(|symbol| symbol.name().unwrap().to_owned()).collect()
}
