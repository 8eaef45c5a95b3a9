//! Tests of `qat-emu run`, which runs other programs on emulated devices. This executable is such a program: it does
//! not use the crate itself, so that only preloading can give it the emulator.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod libqat;

use std::{
    env, fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use cbc::cipher::{BlockModeEncrypt, KeyIvInit, block_padding::NoPadding};
use libqat::{FAIL, SUCCESS, dc, sample, sym};

/// Runs one test of this executable again, as a program under `qat-emu run`.
fn run(options: &[&str], test: &str) -> Output {
    let program = env::current_exe().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_qat-emu"));
    command.arg("run").args(options).arg("--").arg(program).args(["--exact", test, "--nocapture"]);
    if let Some(directory) = options.iter().skip_while(|o| **o != "--library-path").nth(1) {
        command.env("QAT_TEST_LIBQAT_2402", directory.split(':').next().unwrap());
    }
    let child = command.env(INSIDE, "1").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let tree = format!("/dev/shm/qat-emu-{}-0", child.id());
    let output = child.wait_with_output().unwrap();
    assert!(!Path::new(&tree).exists(), "{tree} is left");
    output
}

/// The environment variable that is set in the program under `qat-emu run`.
const INSIDE: &str = "TEST_INSIDE";

fn inside() -> bool {
    env::var_os(INSIDE).is_some()
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

fn report(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_program_compresses_and_the_report_proves_it() {
    if libqat::library().is_none() {
        return;
    }
    if inside() {
        let library = libqat::library().unwrap();
        library.start();
        let session = dc::Session::new(library, library.dc_instances()[0], dc::STATIC);
        let plain = sample(50_000);
        let (status, _, data) = session.run(true, &plain, 60_000);
        assert_eq!(status, SUCCESS);
        assert_eq!(miniz_oxide::inflate::decompress_to_vec(&data).unwrap(), plain);
        let cipher = sym::Session::new(library, library.cy_instances()[0], true, &[3; 16], None);
        let message = sym::Message { iv: &[5; 16], text: &[7; 64], ..Default::default() };
        let (status, output, _) = cipher.run(&message);
        let expected = cbc::Encryptor::<aes::Aes128>::new(&[3; 16].into(), &[5; 16].into());
        assert_eq!((status, output), (SUCCESS, expected.encrypt_padded_vec::<NoPadding>(&[7; 64])));
        assert_eq!((session.remove(), cipher.remove(), library.stop()), (SUCCESS, SUCCESS, SUCCESS));
        return;
    }
    prove(&[]);
}

#[test]
fn the_same_with_libqat_26_08() {
    let Some(newer) = libqat::newer() else { return };
    let mut options = vec!["--library-path", &newer.library_path];
    if let Some(loader) = &newer.loader {
        options.extend(["--loader", loader.to_str().unwrap()]);
    }
    prove(&options);
    // Only this release reads each algorithm separately, and the node of a device, which it uses as an unchecked index
    // into a table of this computer's nodes.
    let scenario = env::temp_dir().join(format!("qat-emu-scenario-{}.toml", std::process::id()));
    fs::write(&scenario, "capability_version = 4\n[[device]]\nnuma_node = 63\n").unwrap();
    options.extend(["--scenario", scenario.to_str().unwrap()]);
    prove(&options);
    fs::remove_file(&scenario).unwrap();
}

/// Runs the compressing program and checks the report about it.
fn prove(how: &[&str]) {
    let path = env::temp_dir().join(format!("qat-emu-report-{}-{}.json", std::process::id(), how.len()));
    let options = ["--services", "sym;dc", "--require-requests", "2", "--require-clean", "--report"];
    let output = run(
        &[how, &options[..], &[path.to_str().unwrap()]].concat(),
        "a_program_compresses_and_the_report_proves_it",
    );
    assert!(output.status.success(), "{}", text(&output));
    let report = report(&path);
    fs::remove_file(&path).unwrap();
    assert_eq!(report["requests"], 2);
    let process = &report["processes"][0];
    assert_eq!(process["counters"]["services"]["dc"]["commands"]["deflate-static"], 1);
    assert_eq!(process["audit"], serde_json::json!([]));
}

#[test]
fn requirements_fail_a_program_that_used_no_device() {
    if inside() {
        return;
    }
    let output = run(&["--require-requests", "1"], "requirements_fail_a_program_that_used_no_device");
    assert_eq!(output.status.code(), Some(125));
    assert!(text(&output).contains("the devices saw 0 requests, 1 are required"), "{}", text(&output));
}

#[test]
fn a_program_that_does_not_stop_is_not_clean() {
    if libqat::library().is_none() {
        return;
    }
    if inside() {
        libqat::library().unwrap().start();
        return;
    }
    let output = run(&["--require-clean"], "a_program_that_does_not_stop_is_not_clean");
    assert_eq!(output.status.code(), Some(125));
    assert!(text(&output).contains("mappings for device access left"), "{}", text(&output));
}

/// Without the emulator, this executable sees no device, which proves that the other tests depend on the preloading.
#[test]
fn without_the_emulator_there_is_no_device() {
    let Some(library) = libqat::library() else { return };
    if !inside() && !Path::new("/dev/vfio/vfio").exists() {
        assert_eq!(library.try_start(), FAIL);
    }
}

#[test]
fn exit_codes_pass_through() {
    let emulator = env!("CARGO_BIN_EXE_qat-emu");
    let run = |arguments: &[&str]| Command::new(emulator).args(arguments).output().unwrap();
    assert_eq!(run(&["run", "--", "sh", "-c", "exit 7"]).status.code(), Some(7));
    assert_eq!(run(&["run", "--", "sh", "-c", "kill -9 $$"]).status.code(), Some(128 + 9));
    assert_eq!(run(&["run", "--vfs", "2", "sh", "-c", "exit 0", "--vfs"]).status.code(), Some(0));
}

#[test]
fn what_cannot_be_attached_is_named() {
    let emulator = env!("CARGO_BIN_EXE_qat-emu");
    let run = |arguments: &[&str]| Command::new(emulator).args(arguments).output().unwrap();
    let expect = |arguments: &[&str], message: &str| {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(125));
        assert!(text(&output).contains(message), "{}", text(&output));
    };
    expect(&["run", "--", "no-such-program"], "not found in PATH");
    expect(&["run", "--services", "sym;asym;dc", "--", "true"], "at most two");
    expect(&["run", "--vsf", "1", "--", "true"], "--vsf");
    expect(
        &["run", "--engine-cpu", "1023", "--", "true"],
        "engine_cpu is 1023, but threads of this process may not run",
    );
    expect(&["start"], "no command `start`");
    let directory = env::temp_dir().join(format!("qat-emu-elf-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let (own, other) = if cfg!(target_arch = "aarch64") { (183, 62) } else { (62, 183) };
    let musl = format!("/lib/ld-musl-{}.so.1", env::consts::ARCH);
    let programs = [
        ("static", program(2, own, None), "statically linked"),
        ("musl", program(2, own, Some(&musl)), "uses the C library musl"),
        ("foreign", program(2, other, Some("/lib/ld-linux.so")), "another architecture"),
        ("narrow", program(1, 3, None), "another architecture"),
        ("short", program(2, own, Some(&musl))[..100].to_vec(), "cannot read the program headers"),
    ];
    for (name, bytes, message) in programs {
        let path = directory.join(name);
        fs::write(&path, bytes).unwrap();
        expect(&["run", "--", path.to_str().unwrap()], message);
    }
    fs::remove_dir_all(&directory).unwrap();
}

/// Returns the start of an ELF program with this word size (1 or 2 times 32 bits), machine and interpreter.
fn program(class: u8, machine: u8, loader: Option<&str>) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..6].copy_from_slice(&[0x7F, b'E', b'L', b'F', class, 1]);
    bytes[18] = machine;
    if let Some(loader) = loader {
        // One program header follows: its type, then position and size of the interpreter's name.
        bytes[32] = 64;
        bytes[56] = 1;
        let mut header = [0; 56];
        header[0] = 3;
        header[8] = 64 + 56;
        header[32] = loader.len() as u8 + 1;
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(loader.as_bytes());
        bytes.push(0);
    }
    bytes
}

#[test]
fn the_help_names_every_option() {
    let help = Command::new(env!("CARGO_BIN_EXE_qat-emu")).arg("--help").output().unwrap();
    assert!(help.status.success());
    let help = text(&help);
    let options: Vec<_> =
        help.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2).collect();
    assert!(options.len() > 15, "{options:?}");
    // An unknown option is refused by its name; a known one fails because its value or the program is missing.
    for option in options {
        let refused = Command::new(env!("CARGO_BIN_EXE_qat-emu")).args(["run", option]).output().unwrap();
        assert!(!text(&refused).contains("invalid option"), "{option}: {}", text(&refused));
    }
}
