//! The real libqat 24.02.
#![cfg(all(feature = "loaded", target_os = "linux"))]

mod common;

use common::{check, load, real_libqat};

#[test]
fn the_real_24_02_loads() {
    let Some(dir) = real_libqat("QAT_TEST_LIBQAT_2402") else { return };
    check(&load(&dir).unwrap(), "24.02");
}
