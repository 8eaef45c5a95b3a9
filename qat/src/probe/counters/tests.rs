//! Tests with debug files in the kernel's documented form, and in others.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::probe::tests::as_another_user;

/// A directory with the debug files of one device.
struct Files(TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("telemetry")).unwrap();
        for (name, content) in files {
            fs::write(directory.path().join(name), content).unwrap();
        }
        Self(directory)
    }

    fn telemetry(control: &str, data: &str) -> Result<Telemetry, CountersError> {
        Telemetry::read(Self::new(&[("telemetry/control", control), ("telemetry/device_data", data)]).path())
    }

    fn firmware(text: &str) -> Result<FirmwareCounters, CountersError> {
        FirmwareCounters::read(Self::new(&[("fw_counters", text)]).path())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

/// The columns have the widths of the kernel's `adf_fw_counters.c`.
#[test]
fn firmware_counters_are_added_up() {
    let text = "AE          Requests        Responses\n \
                0:             1000              999\n \
                1:               20               20\n\
                11:                0                0\n";
    let counters = Files::firmware(text).unwrap();
    assert_eq!(counters.engines[2], EngineCounters { engine: 11, requests: 0, responses: 0 });
    assert_eq!((counters.engines.len(), counters.requests(), counters.responses()), (3, 1020, 1019));
    let most = format!("AE Requests Responses\n0: {0} 1\n1: {0} 1", u64::MAX);
    assert_eq!(Files::firmware(&most).unwrap().requests(), u64::MAX);
}

#[test]
fn firmware_counters_of_another_form_are_not_known() {
    let title = "AE          Requests        Responses\n";
    for (text, line) in [
        (String::new(), ""),
        ("AE Requests\n0: 1 2\n".to_owned(), "AE Requests"),
        (format!("{title}0 1 2\n"), "0 1 2"),
        (format!("{title}0: 1\n"), "0: 1"),
        (format!("{title}0: 1 2 3\n"), "0: 1 2 3"),
        (format!("{title}0: 1 -2\n"), "0: 1 -2"),
        (format!("{title}70000: 1 2\n"), "70000: 1 2"),
        (format!("{title}0: 1 99999999999999999999\n"), "0: 1 99999999999999999999"),
    ] {
        let Err(CountersError::Unknown { line: named, .. }) = Files::firmware(&text) else {
            panic!("{text:?}")
        };
        assert_eq!(&*named, line);
    }
    let long = Files::firmware(&"9".repeat(100_000)).unwrap_err();
    assert_eq!(long.kind(), "failed", "{long}");
}

/// Returns lines as the kernel's `adf_tl_debugfs.c` prints them: the name in 23 columns, each value in 20.
fn lines(counters: &[(&str, &[u64])]) -> String {
    let line = |(name, values): &(&str, &[u64])| {
        let values: String = values.iter().map(|value| format!("{value:20}")).collect();
        format!("{name:<23}{values}\n")
    };
    counters.iter().map(line).collect()
}

#[test]
fn telemetry_is_the_current_value_or_the_average() {
    let now =
        lines(&[("sample_cnt", &[7]), ("bw_in", &[12_345]), ("util_cpr0", &[40]), ("util_cpr1", &[60])]);
    let telemetry = Files::telemetry("1\n", &now).unwrap();
    assert_eq!((telemetry.window, telemetry.samples, telemetry.counters["bw_in"]), (1, 7, 12_345));
    assert_eq!(utilisation(&[telemetry]), Some(0.5));

    let history =
        lines(&[("sample_cnt", &[9]), ("util_cpr0", &[100, 1, 100, 25]), ("exec_cpr0", &[5, 5, 5, 5])]);
    let telemetry = Files::telemetry("4\n", &history).unwrap();
    assert_eq!((telemetry.window, telemetry.counters["util_cpr0"]), (4, 25));
    assert_eq!(utilisation(&[telemetry]), Some(0.25));
}

#[test]
fn the_kind_of_slice_with_most_to_do_counts() {
    let device = |counters: &[(&str, u64)]| Telemetry {
        window: 1,
        samples: 1,
        counters: counters.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
    };
    // Two devices, one of which has twice as many slices of one kind: 30 % of cpr, 60 % of ucs, 0 % of pke.
    let devices = [
        device(&[
            ("util_cpr0", 90),
            ("util_cpr1", 0),
            ("util_ucs0", 20),
            ("util_pke0", 0),
            ("exec_pke0", 100),
        ]),
        device(&[("util_cpr0", 0), ("util_ucs0", 900), ("max_gp_lat", 100)]),
    ];
    assert_eq!(utilisation(&devices), Some(0.6));
    assert_eq!(utilisation(&[]), None);
    assert_eq!(utilisation(&[device(&[("bw_in", 3)])]), None);
}

#[test]
fn telemetry_that_is_not_there_has_a_reason() {
    let data = lines(&[("sample_cnt", &[0]), ("util_cpr0", &[0])]);
    let kind = |control, data: &str| Files::telemetry(control, data).unwrap_err().kind();
    assert_eq!(kind("0\n", &data), "off");
    assert_eq!(kind("1\n", &data), "no-sample");
    for (control, data) in [
        ("5\n", "sample_cnt 1"),
        ("-1\n", "sample_cnt 1"),
        ("on\n", "sample_cnt 1"),
        ("1\n", ""),
        ("1\n", "util_cpr0 3"),
        ("1\n", "sample_cnt 1\n\n"),
        ("1\n", "sample_cnt 1\nutil_cpr0 1 2"),
        ("1\n", "sample_cnt 1\nutil_cpr0 x"),
    ] {
        assert_eq!(kind(control, data), "unknown", "{control:?} {data:?}");
    }
    let files = Files::new(&[("telemetry/control", "0")]);
    let off = Telemetry::read(files.path()).unwrap_err().to_string();
    assert!(off.contains("off") && off.contains("telemetry/control"), "{off}");
}

#[test]
fn files_that_are_not_there_or_not_ours_have_a_reason() {
    let files = Files::new(&[("telemetry/control", "1")]);
    for missing in [FirmwareCounters::read(files.path()).err(), Telemetry::read(files.path()).err()] {
        let missing = missing.unwrap();
        assert!(missing.kind() == "missing" && missing.to_string().contains("debugfs"), "{missing}");
    }
    // A directory in place of the file exists and cannot be read as a file.
    fs::create_dir(files.path().join("fw_counters")).unwrap();
    assert_eq!(FirmwareCounters::read(files.path()).unwrap_err().kind(), "failed");
    // The kernel gives `/sys/kernel/debug` to root in the same way.
    fs::set_permissions(files.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let path = files.path().to_owned();
    let denied = as_another_user(move || Telemetry::read(&path).unwrap_err());
    assert!(denied.kind() == "denied" && denied.to_string().contains("root"), "{denied}");
    let json = serde_json::to_value(&denied).unwrap();
    assert_eq!((json["kind"].as_str(), json["message"].is_string()), (Some("denied"), true));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn arbitrary_contents_never_panic(
        firmware in "(AE Requests Responses\n)?([0-9: \n]{0,60}|.{0,60})",
        data in "(sample_cnt [0-9]{1,21}\n)?((util_[a-z0-9]{0,4} [0-9 ]{0,90}|.{0,60})\n){0,4}",
    ) {
        let _ = Files::firmware(&firmware);
        if let Ok(telemetry) = Files::telemetry("2", &data) {
            let share = utilisation(&[telemetry]);
            prop_assert!(share.is_none_or(|share| (0.0..=1.0).contains(&share)), "{share:?}");
        }
    }
}
