//! The device: registers, mailbox, ring pairs and virtual functions. The machine's threads drive it. It is safe code
//! that reaches registers and memory through traits, so that tests and fuzzing run it without a process boundary.

pub(crate) mod bank;
mod flat;
mod fuzz;
pub(crate) mod mailbox;
pub(crate) mod registers;
pub(crate) mod vf;

pub use fuzz::fuzz;
pub use mailbox::Notification;
