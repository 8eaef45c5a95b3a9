//! x
mod x {}
#[path = "../libqat/mod.rs"]
mod libqat;
#[path = "../libqat/machine.rs"]
mod machine;
