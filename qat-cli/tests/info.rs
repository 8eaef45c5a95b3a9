//! Tests of `qat info` and of the engines on a machine without libqat.

mod common;

use common::TestDir;
use serde_json::Value;

/// Runs `qat` with a libqat path that does not exist.
fn without_library(dir: &TestDir, args: &str) -> std::process::Output {
    dir.qat_command(args).env("QAT_LIBRARY", "/nowhere/libqat.so.4").output().unwrap()
}

#[test]
fn absence_has_a_reason_and_is_no_failure() {
    let dir = TestDir::new();
    let text = without_library(&dir, "info");
    let said = String::from_utf8(text.stdout).unwrap();
    assert!(text.status.success());
    for part in
        ["QAT: not available: libqat cannot be loaded", "check that qatlib", "libqat: not loaded", "ISA-L"]
    {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    let json: Value = serde_json::from_slice(&without_library(&dir, "info --json").stdout).unwrap();
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(json["qat"]["available"], false);
    assert_eq!(json["qat"]["unavailability"]["kind"], "no-library");
    assert!(json["qat"]["unavailability"]["message"].is_string());
    assert!(json["qat"]["library"].is_null() && json["qat"]["capabilities"].is_null());
    assert!(json["qat"]["devices"].is_array() && json["qat"]["services"].is_array());
    assert!(json["cpu"]["threads"].as_u64().unwrap() > 0);
    assert_eq!(json["cpu"]["isal"]["available"].as_bool().unwrap(), json["cpu"]["isal"]["reason"].is_null());
}

#[test]
fn engines_fall_back_or_fail_as_asked() {
    let dir = TestDir::new();
    dir.write("a", common::sample(100_000));
    let auto = without_library(&dir, "compress a");
    assert!(auto.status.success());
    let said = String::from_utf8(auto.stderr).unwrap();
    assert!(said.contains("on the CPU (hardware unavailable)"), "{said}");
    let qat = without_library(&dir, "compress --engine qat -o b a");
    let said = String::from_utf8(qat.stderr).unwrap();
    assert_eq!(qat.status.code(), Some(6), "{said}");
    for part in ["a: qat is not available", "qat info", "--engine software"] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    assert_eq!(dir.names(), ["a", "a.gz"]);
}
