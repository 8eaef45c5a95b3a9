//! Loading: what is said when a library is absent or another one.
#![cfg(all(feature = "loaded", target_os = "linux"))]

use qat_sys::{Library, LoadError, LoadOptions, Symbols};

#[test]
fn an_absent_library_is_reported_with_the_names_tried() {
    let options =
        LoadOptions::default().with_library("/absent/libqat.so.4").with_usdm("/absent/libusdm.so.0");
    // SAFETY: there is nothing to load.
    let error = unsafe { Library::load(&options) }.unwrap_err();
    let LoadError::NotFound { tried, .. } = &error else { panic!("{error}") };
    let names: Vec<_> = tried.iter().map(|attempt| attempt.name.as_str()).collect();
    assert_eq!(names, ["/absent/libusdm.so.0", "/absent/libqat.so.4"]);
    let text = error.to_string();
    for part in ["/absent/libusdm.so.0: ", "/absent/libqat.so.4: ", "No such file", "QAT_LIBRARY", "libqat4"]
    {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
}

#[test]
fn another_library_lacks_every_required_function() {
    let options = LoadOptions::default().with_library("libc.so.6").with_usdm("libm.so.6");
    // SAFETY: both are loaded in every process anyway, and none of their functions is called.
    let error = unsafe { Library::load(&options) }.unwrap_err();
    let LoadError::MissingSymbols { library, missing, .. } = &error else { panic!("{error}") };
    assert_eq!(library, "libc.so.6");
    assert_eq!(missing.names, Symbols::REQUIRED);
    assert!(error.to_string().starts_with("libc.so.6 is not the libqat"), "{error}");
}
