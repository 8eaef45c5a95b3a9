//! Exports the hooks from this package's own test executables, so that a libqat that they load with `dlopen` calls the
//! hooks instead of the C library.

const HOOKS: &str = include_str!("src/boundary/hooks.txt");

fn main() {
    println!("cargo:rerun-if-changed=src/boundary/hooks.txt");
    // On other systems the crate is empty, and linkers do not know the option.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    for hook in HOOKS.split_whitespace() {
        println!("cargo:rustc-link-arg-tests=-Wl,--export-dynamic-symbol={hook}");
    }
}
