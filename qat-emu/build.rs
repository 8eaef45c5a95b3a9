//! Exports the hooks from this package's own test executables, so that a libqat loaded there with `dlopen` binds
//! to them instead of to the C library.

const HOOKS: &str = include_str!("src/boundary/hooks.txt");

fn main() {
    println!("cargo:rerun-if-changed=src/boundary/hooks.txt");
    // Elsewhere the crate is empty, and linkers do not know the option.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    for hook in HOOKS.split_whitespace() {
        println!("cargo:rustc-link-arg-tests=-Wl,--export-dynamic-symbol={hook}");
    }
}
