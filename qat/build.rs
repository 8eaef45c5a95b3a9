//! Exports the functions of the emulated device from the test executables, so that a libqat loaded there with `dlopen`
//! binds to them instead of to the C library.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Linkers elsewhere do not know the option, and there is no emulated device.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-link-arg-tests=-rdynamic");
    }
}
