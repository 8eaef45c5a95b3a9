//! Links libqat and libusdm when the feature `linked` asks for it; otherwise only declares the `cfg` names.

/// The releases that brought functions, as in `src/functions.rs`.
const RELEASES: [&str; 7] = ["23.08", "23.11", "24.02", "24.09", "25.08", "26.02", "26.08"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let values = RELEASES.map(|release| format!("{release:?}")).join(", ");
    println!("cargo::rustc-check-cfg=cfg(qatlib, values({values}))");
    #[cfg(feature = "linked")]
    link();
}

/// Links both libraries and says with `cfg(qatlib = "…")` which releases' functions may be referenced.
#[cfg(feature = "linked")]
fn link() {
    let probe = |name: &str| {
        pkg_config::Config::new().atleast_version(RELEASES[0]).probe(name).unwrap_or_else(|error| {
            eprintln!(
                "feature `linked` of qat-sys: pkg-config finds no {name} of qatlib {} or newer; install \
                 its development files (Debian 13 and newer: apt-get install libqat-dev libusdm-dev; Ubuntu 24.04: \
                 libqat-dev; Debian 12 has none) or use the feature `loaded`, which needs none.\n{error}",
                RELEASES[0]
            );
            std::process::exit(1)
        })
    };
    let version = probe("libqat").version;
    probe("libusdm");
    // "24.02.0" sorts after "24.02", before "24.09".
    for release in RELEASES.iter().filter(|release| **release <= version.as_str()) {
        println!("cargo::rustc-cfg=qatlib=\"{release}\"");
    }
}
