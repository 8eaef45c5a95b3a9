//! The command `qat`.

fn main() {}
