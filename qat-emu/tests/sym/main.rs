//! Tests of the symmetric engine against NIST, RFC and Wycheproof vectors and independent implementations.

#[path = "../common/mod.rs"]
mod common;

mod aead;
mod chain;
mod cipher;
mod faults;
mod hash;
mod job;
mod key;
