//! Against Google's Tink for Python, both ways: streams, keysets, and every form of a keyset.
//!
//! Tink comes from PyPI, see `support/python.rs`.

mod support;

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use qat::stream::{self, Keyset, StreamError};
use support::python::python;
use support::tool::tool;
use support::{contents, noise, same, settings, software, text, to_hex};

/// Does what the lines of its standard input say.
const TINK_SCRIPT: &str = r#"
import io, sys, tink
from tink import cleartext_keyset_handle, streaming_aead
streaming_aead.register()

def primitive(path):
    handle = cleartext_keyset_handle.read(tink.JsonKeysetReader(open(path).read()))
    return handle.primitive(streaming_aead.StreamingAead)

count = 0
for line in sys.stdin:
    what, *rest = line.rstrip("\n").split("\t")
    if what == "keyset":
        template, path = rest
        handle = tink.new_keyset_handle(getattr(streaming_aead.streaming_aead_key_templates, template))
        with open(path, "w") as file:
            cleartext_keyset_handle.write(tink.JsonKeysetWriter(file), handle)
    elif what == "encrypt":
        keyset, aad, source, target = rest
        with primitive(keyset).new_encrypting_stream(open(target, "wb"), aad.encode()) as stream:
            stream.write(open(source, "rb").read())
    elif what == "decrypt":
        keyset, aad, source, expected = rest
        with primitive(keyset).new_decrypting_stream(open(source, "rb"), aad.encode()) as stream:
            assert stream.read() == open(expected, "rb").read(), line
    elif what == "refuse":
        keyset, aad, source = rest
        try:
            with primitive(keyset).new_decrypting_stream(open(source, "rb"), aad.encode()) as stream:
                stream.read()
        except tink.TinkError:
            pass
        else:
            raise AssertionError(line)
    elif what == "judge":
        keyset, source, verdict = rest
        try:
            with primitive(keyset).new_decrypting_stream(open(source, "rb"), b"") as stream:
                stream.read()
            judged = "taken"
        except tink.TinkError:
            judged = "refused"
        open(verdict, "w").write(judged)
    count += 1
print(count)
"#;

fn tink(python: &Path, lines: &[String]) {
    let done = tool(python, "python3-venv", &["-c", TINK_SCRIPT], lines.concat().as_bytes());
    assert_eq!(String::from_utf8(done).unwrap().trim(), lines.len().to_string());
}

/// One keyset of the enabled keys of several, as Tink's JSON.
fn merged(keysets: &[&str], primary: usize) -> String {
    let json: Vec<serde_json::Value> =
        keysets.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let keys: Vec<_> = json.iter().map(|keyset| keyset["key"][0].clone()).collect();
    serde_json::json!({ "primaryKeyId": json[primary]["primaryKeyId"], "key": keys }).to_string()
}

#[test]
fn tink_and_we_read_each_other() {
    let subject = software();
    let python = python();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let encrypt = |keyset: &str, plain: &[u8], aad: &str| {
        let (mut sealed, keyset) = (Vec::new(), Keyset::parse(keyset).unwrap());
        stream::encrypt(plain, &mut sealed, &subject.engine, &keyset, aad.as_bytes(), &settings(2)).unwrap();
        sealed
    };
    let decrypt = |keyset: &str, sealed: &[u8], aad: &str, threads| -> Result<Vec<u8>, StreamError> {
        let (mut plain, keyset) = (Vec::new(), Keyset::parse(keyset).unwrap());
        stream::decrypt(sealed, &mut plain, &subject.engine, &keyset, aad.as_bytes(), &settings(threads))?;
        Ok(plain)
    };

    // Tink's keysets of every AES-GCM-HKDF template, and ours.
    let templates =
        ["AES256_GCM_HKDF_1MB", "AES256_GCM_HKDF_4KB", "AES128_GCM_HKDF_1MB", "AES128_GCM_HKDF_4KB"];
    tink(&python, &templates.map(|name| format!("keyset\t{name}\t{}\n", path(name))));
    let mut keysets: Vec<(String, String)> =
        templates.iter().map(|name| (name.to_string(), fs::read_to_string(path(name)).unwrap())).collect();
    keysets.push(("generated".into(), Keyset::generate().unwrap().to_json().to_string()));
    keysets.push(("hexadecimal".into(), Keyset::parse(&to_hex(&noise(32))).unwrap().to_json().to_string()));
    // Written again by us, a keyset is the same to Tink.
    keysets.push(("rewritten".into(), Keyset::parse(&keysets[1].1).unwrap().to_json().to_string()));
    let texts: Vec<&str> = keysets.iter().map(|(_, text)| text.as_str()).collect();
    let several = merged(&[texts[0], texts[1], texts[2], texts[3], texts[4]], 3);
    keysets.push(("several".into(), several));

    let mut lines = Vec::new();
    let mut cases = Vec::new();
    for (name, keyset) in &keysets {
        fs::write(path(name), keyset).unwrap();
        let (segment, header) = match name.as_str() {
            "AES256_GCM_HKDF_4KB" | "rewritten" => (4096, 40),
            "AES128_GCM_HKDF_1MB" => (1 << 20, 24),
            "AES128_GCM_HKDF_4KB" | "several" => (4096, 24),
            _ => (1 << 20, 40),
        };
        let (first, next): (usize, usize) = (segment - header - 16, segment - 16);
        let borders =
            [first - 1, first, first + 1, first + next - 1, first + next, first + next + 1, first + 2 * next];
        for size in [0, 1, 1000, 65_536].into_iter().chain(borders) {
            let (plain, aad) = (text(size), if size % 2 == 0 { "" } else { "associated data" });
            let stem = format!("{name}-{size}");
            let (source, theirs, ours) =
                (path(&stem), path(&format!("{stem}.tink")), path(&format!("{stem}.ours")));
            let sealed = encrypt(keyset, &plain, aad);
            assert_eq!(usize::from(sealed[0]), header, "{name}");
            fs::write(&source, &plain).unwrap();
            fs::write(&ours, &sealed).unwrap();
            lines.push(format!("encrypt\t{}\t{aad}\t{source}\t{theirs}\n", path(name)));
            lines.push(format!("decrypt\t{}\t{aad}\t{ours}\t{source}\n", path(name)));
            lines.push(format!("refuse\t{}\t{aad}?\t{ours}\n", path(name)));
            cases.push((name, keyset, plain, aad, theirs));
        }
    }
    // What any of several keys sealed, the keyset of all of them opens, there as here.
    let several = &keysets.last().unwrap().1;
    for (name, keyset) in &keysets[..5] {
        let ours = path(&format!("{name}.by-one"));
        fs::write(&ours, encrypt(keyset, b"by one of several", "x")).unwrap();
        fs::write(path("by-one"), b"by one of several").unwrap();
        lines.push(format!("decrypt\t{}\tx\t{ours}\t{}\n", path("several"), path("by-one")));
        same(&decrypt(several, &fs::read(&ours).unwrap(), "x", 1).unwrap(), b"by one of several", name);
    }
    tink(&python, &lines);
    assert_eq!(cases.len(), 8 * 11);
    for (name, keyset, plain, aad, theirs) in cases {
        let sealed = fs::read(theirs).unwrap();
        for threads in [1, 3] {
            same(&decrypt(keyset, &sealed, aad, threads).unwrap(), &plain, (name, plain.len()));
        }
        same(&decrypt(several, &sealed, aad, 1).unwrap_or_else(|_| plain.clone()), &plain, (name, "several"));
        let error = decrypt(keyset, &sealed, "other", 1).unwrap_err();
        assert!(matches!(error, StreamError::NoMatchingKey), "{name}: {error}");
    }
}

#[test]
fn a_hundred_megabytes_both_ways() {
    let subject = software();
    let plain = contents(25_000_000).map(|(_, part)| part).concat();
    let (python, dir) = (python(), tempfile::tempdir().unwrap());
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (keyset, mut ours, mut opened) = (Keyset::generate().unwrap(), Vec::new(), Vec::new());
    stream::encrypt(&plain[..], &mut ours, &subject.engine, &keyset, b"", &settings(2)).unwrap();
    fs::write(path("keyset"), keyset.to_json().as_bytes()).unwrap();
    fs::write(path("plain"), &plain).unwrap();
    fs::write(path("ours"), ours).unwrap();
    let line = |call: &str, from: &str, to: &str| {
        format!("{call}\t{}\t\t{}\t{}\n", path("keyset"), path(from), path(to))
    };
    tink(&python, &[line("encrypt", "plain", "theirs"), line("decrypt", "ours", "plain")]);
    let theirs = fs::read(path("theirs")).unwrap();
    stream::decrypt(&theirs[..], &mut opened, &subject.engine, &keyset, b"", &settings(2)).unwrap();
    same(&opened, &plain, "Tink");
}

/// A form of one and the same keyset, and whether a reader of it gets the key.
struct Form {
    name: String,
    json: String,
    taken: bool,
}

/// The forms that proto3's JSON mapping, the wire format of the key and Tink's rules for keysets allow and forbid.
fn keyset_forms() -> Vec<Form> {
    // The bytes of this key make its base64 have all of the characters in which the two alphabets differ.
    let key = "fbf0".repeat(16);
    let json: serde_json::Value = serde_json::from_str(&Keyset::parse(&key).unwrap().to_json()).unwrap();
    let value = json["key"][0]["keyData"]["value"].as_str().unwrap();
    assert!(value.contains(['+', '/']) && value.ends_with('='), "{value}");
    let wire = STANDARD.decode(value).unwrap();
    let url = "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey";
    let element = format!(
        r#"{{"keyData":{{"typeUrl":"{url}","value":"{value}","keyMaterialType":"SYMMETRIC"}},"status":"ENABLED","keyId":1000,"outputPrefixType":"RAW"}}"#
    );
    let usual = format!(r#"{{"primaryKeyId":1000,"key":[{element}]}}"#);

    let mut forms = Vec::new();
    let mut form = |name: &str, json: String, taken| forms.push(Form { name: name.to_owned(), json, taken });
    form("usual", usual.clone(), true);
    let mut each = |from: &str, taken: &[&str], refused: &[&str]| {
        assert!(usual.contains(from), "{from}");
        for (values, is_taken) in [(taken, true), (refused, false)] {
            for value in values {
                form(&format!("{value} for {from}"), usual.replace(from, value), is_taken);
            }
        }
    };
    each(
        "1000",
        &[
            r#""1000""#,
            "1e3",
            r#""1e3""#,
            "1000.0",
            r#""1000.0""#,
            "10000e-1",
            r#""+1000""#,
            r#""01000""#,
            r#""1E3""#,
            "4294967295",
            "-0",
            r#""-0""#,
            "null",
        ],
        &[
            r#"" 1000""#,
            r#""1000 ""#,
            "true",
            r#""0x3e8""#,
            "1000.5",
            r#""1000.5""#,
            "4294967296",
            r#""4294968296""#,
            "-1000",
            "[1000]",
            "{}",
            r#""""#,
            r#""inf""#,
            "NaN",
            "1e400",
            "01000",
        ],
    );
    each(
        r#""ENABLED""#,
        &["1", r#""1""#, "1.0"],
        &[
            r#""1.0""#,
            r#""enabled""#,
            "7",
            "2",
            "0",
            r#""DISABLED""#,
            r#""UNKNOWN_STATUS""#,
            "null",
            r#""NOPE""#,
            "99999999999",
            r#""DESTROYED""#,
            "-1",
            "[]",
        ],
    );
    each(
        r#""RAW""#,
        &["3", r#""3""#, r#""TINK""#, r#""LEGACY""#, r#""CRUNCHY""#],
        &[r#""UNKNOWN_PREFIX""#, "0", "null", "9", r#""NOPE""#, r#""WITH_ID_REQUIREMENT""#],
    );
    each(
        r#""SYMMETRIC""#,
        &["1", r#""1""#, "null", r#""ASYMMETRIC_PRIVATE""#, r#""REMOTE""#, "77", "0"],
        &[r#""NOPE""#, "{}"],
    );
    let quoted = format!(r#""{value}""#);
    let text = |value: String| format!(r#""{value}""#);
    each(
        &quoted,
        &[
            &text(value.trim_end_matches('=').to_owned()),
            &text(value.replace('+', "-").replace('/', "_")),
            &text(value.replace('+', "-")),
            &text(value.replace('/', "\\/").replace('=', "\\u003d")),
        ],
        &["null", "5", r#""""#, &text(value.trim_end_matches('=')[1..].to_owned())],
    );
    each(url, &[], &["", "AesGcmKey", &url.replace("Streaming", "")]);

    let mut change = |name: &str, from: &str, to: &str, taken| {
        assert!(usual.contains(from), "{from}");
        form(name, usual.replace(from, to), taken);
    };
    change("no primary id", r#""primaryKeyId":1000,"#, "", false);
    change("null for the primary id alone", r#""primaryKeyId":1000"#, r#""primaryKeyId":null"#, false);
    change("no status", r#""status":"ENABLED","#, "", false);
    change("no prefix", r#","outputPrefixType":"RAW""#, "", false);
    change("no material", r#","keyMaterialType":"SYMMETRIC""#, "", true);
    change("another case", "primaryKeyId", "PrimaryKeyId", false);
    change("escaped names", r#""key":"#, r#""\u006bey":"#, true);
    change("an unknown member", "{\"primaryKeyId", "{\"comment\":\"x\",\"primaryKeyId", false);
    change("an unknown member of a key", r#""status""#, r#""comment":null,"status""#, false);
    change("an unknown member of the data", r#""typeUrl""#, r#""name":1,"typeUrl""#, false);
    change("a member twice", r#""status""#, r#""status":"ENABLED","status""#, false);
    change("a member in both spellings", r#""primaryKeyId""#, r#""primary_key_id":5,"primaryKeyId""#, true);
    change("both spellings, the other last", r#","key":"#, r#","primary_key_id":5,"key":"#, false);
    change("the data cleared", r#""status""#, r#""key_data":null,"status""#, false);
    change("a trailing comma", "]}", "],}", false);
    change("a comment", "]}", "]} // ours", false);
    let member = format!(r#""value":"{value}","#);
    let parts = usual
        .replace(&member, "")
        .replace(r#""status""#, &format!(r#""key_data":{{"value":"{value}"}},"status""#));
    form("the data in two parts", parts, true);
    let snake = [
        ("primaryKeyId", "primary_key_id"),
        ("keyData", "key_data"),
        ("typeUrl", "type_url"),
        ("keyMaterialType", "key_material_type"),
        ("keyId", "key_id"),
        ("outputPrefixType", "output_prefix_type"),
    ];
    let snake = snake.iter().fold(usual.clone(), |json, (camel, snake)| json.replace(camel, snake));
    form("the names of the .proto file", snake, true);
    form("an empty object", "{}".to_owned(), false);
    form("null for the keys", r#"{"primaryKeyId":1000,"key":null}"#.to_owned(), false);
    form("a key that is not in a list", format!(r#"{{"primaryKeyId":1000,"key":{element}}}"#), false);

    let other = element.replace("1000", "7");
    let mut beside = |name: &str, second: &str, taken| {
        form(name, format!(r#"{{"primaryKeyId":1000,"key":[{second},{element}]}}"#), taken);
    };
    beside("two primaries", &element, false);
    beside("a disabled one of the same id", &element.replace("ENABLED", "DISABLED"), true);
    beside("two of one id that is not the primary's", &format!("{other},{other}"), true);
    beside("a destroyed one without data", r#"{"status":"DESTROYED","keyId":7}"#, true);
    beside(
        "a disabled one without data",
        r#"{"status":"DISABLED","keyId":7,"outputPrefixType":"RAW"}"#,
        false,
    );
    beside("a disabled one without prefix", r#"{"status":"DISABLED","keyId":7,"keyData":{}}"#, false);
    let empty = r#"{"status":"DISABLED","keyId":7,"keyData":{},"outputPrefixType":"RAW"}"#;
    beside("a disabled one with nothing in it", empty, true);
    let foreign = other.replace("AesGcmHkdfStreamingKey", "AesGcmKey");
    beside("a disabled one of another type", &foreign.replace("ENABLED", "DISABLED"), true);
    beside("one of another type", &foreign, false);
    beside("one of a status that has no name", &foreign.replace("\"ENABLED\"", "7"), true);
    beside("null", "null", false);
    beside("nothing", "{}", false);

    let material = |message: &[&[u8]]| {
        let encoded = STANDARD.encode(message.concat());
        usual.replace(value, &encoded)
    };
    form("an unknown number", material(&[&wire, b"\x20\x05"]), true);
    form("unknown bytes", material(&[&wire, b"\x2a\x02hi"]), true);
    form("unknown 64 bits", material(&[&wire, b"\x31\0\0\0\0\0\0\0\0"]), true);
    form("unknown 32 bits", material(&[&wire, b"\x35\0\0\0\0"]), true);
    form("a field of another type", material(&[&wire, b"\x0a\x01x"]), true);
    form("a key that is replaced", material(&[b"\x1a\x02hi", &wire]), true);
    form("parameters in parts", material(&[b"\x12\x02\x08\x64", &wire]), true);
    form("version 2^32", material(&[&wire, b"\x08\x80\x80\x80\x80\x10"]), true);
    form("version 1", material(&[&wire, b"\x08\x01"]), false);
    form("field 0", material(&[&wire, b"\x00\x01"]), false);
    form("cut off", material(&[&wire[..wire.len() - 1]]), false);
    form("no key", material(&[&wire[..wire.len() - 34]]), false);
    form("another hash", material(&[&wire, b"\x12\x02\x18\x02"]), false);
    form("no hash", material(&[&wire, b"\x12\x02\x18\x00"]), false);
    form("a derived key of 24 bytes", material(&[&wire, b"\x12\x02\x10\x18"]), false);
    form("segments without room", material(&[&wire, b"\x12\x02\x08\x38"]), false);
    forms
}

/// What Tink for Python takes by the accidents of its language, and this crate does not: Python's underscores, spaces and
/// digits in numbers, a Boolean or a fraction for an enumerator, characters in base64 that are none.
fn accidents(forms: &[Form]) -> Vec<Form> {
    let usual = &forms[0].json;
    let mut accidents = Vec::new();
    for (from, to) in [
        ("1000", r#""1_000""#),
        ("1000", r#""\t1000""#),
        ("1000", r#""١٠٠٠""#),
        (r#""ENABLED""#, "1.7"),
        (r#""ENABLED""#, "true"),
        (r#""value":""#, r#""value":"\n"#),
        (r#""value":""#, r#""value":"*"#),
    ] {
        let json = usual.replace(from, to);
        accidents.push(Form { name: format!("{from} as {to}"), json, taken: true });
    }
    accidents
}

/// Tink is asked about each form, and says what the table says; so does this crate.
#[test]
fn keysets_are_read_in_every_form_that_tink_reads() {
    let subject = software();
    let python = python();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let forms = keyset_forms();
    let accidents = accidents(&forms);
    let seal = |json: &str| {
        let (mut sealed, keyset) = (Vec::new(), Keyset::parse(json).unwrap());
        stream::encrypt(&b"attack"[..], &mut sealed, &subject.engine, &keyset, b"", &settings(1)).unwrap();
        sealed
    };
    fs::write(path("sealed"), seal(&forms[0].json)).unwrap();
    let mut lines = Vec::new();
    for (i, form) in forms.iter().chain(&accidents).enumerate() {
        fs::write(path(&format!("keyset-{i}")), &form.json).unwrap();
        let (keyset, verdict) = (path(&format!("keyset-{i}")), path(&format!("verdict-{i}")));
        lines.push(format!("judge\t{keyset}\t{}\t{verdict}\n", path("sealed")));
    }
    tink(&python, &lines);
    for (i, form) in forms.iter().chain(&accidents).enumerate() {
        let judged = fs::read_to_string(path(&format!("verdict-{i}"))).unwrap();
        assert_eq!(judged == "taken", form.taken, "Tink on {}: {judged}: {}", form.name, form.json);
        let ours = Keyset::parse(&form.json);
        let expected = form.taken && i < forms.len();
        assert_eq!(ours.is_ok(), expected, "{}: {:?}: {}", form.name, ours.err(), form.json);
        let Ok(keyset) = ours else { continue };
        let mut plain = Vec::new();
        let sealed = fs::read(path("sealed")).unwrap();
        stream::decrypt(&sealed[..], &mut plain, &subject.engine, &keyset, b"", &settings(1)).unwrap();
        same(&plain, b"attack", &form.name);
    }

    // The other hashes that Tink has for HKDF, SHA-1 and SHA-512, both ways.
    let mut lines = Vec::new();
    let with_hash = |number: u8| {
        let json: serde_json::Value = serde_json::from_str(&forms[0].json).unwrap();
        let value = json["key"][0]["keyData"]["value"].as_str().unwrap();
        let mut wire = STANDARD.decode(value).unwrap();
        wire.extend([0x12, 2, 0x18, number]);
        (number, forms[0].json.replace(value, &STANDARD.encode(wire)))
    };
    fs::write(path("plain"), b"attack").unwrap();
    for (number, json) in [1, 4].map(with_hash) {
        let [keyset, ours, theirs] =
            ["keyset", "ours", "theirs"].map(|name| path(&format!("{name}-hash-{number}")));
        fs::write(&keyset, Keyset::parse(&json).unwrap().to_json().as_bytes()).unwrap();
        fs::write(&ours, seal(&json)).unwrap();
        lines.push(format!("decrypt\t{keyset}\t\t{ours}\t{}\n", path("plain")));
        lines.push(format!("encrypt\t{keyset}\t\t{}\t{theirs}\n", path("plain")));
    }
    tink(&python, &lines);
    for (number, json) in [1, 4].map(with_hash) {
        let (keyset, mut plain) = (Keyset::parse(&json).unwrap(), Vec::new());
        assert!(keyset.to_hex().is_none(), "hexadecimal stands for SHA-256");
        let sealed = fs::read(path(&format!("theirs-hash-{number}"))).unwrap();
        stream::decrypt(&sealed[..], &mut plain, &subject.engine, &keyset, b"", &settings(1)).unwrap();
        same(&plain, b"attack", number);
    }
}
