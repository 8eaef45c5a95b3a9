//! The device: registers, mailbox, ring pairs. Safe code on typed views of what the library wrote.

pub(crate) mod bank;
mod flat;
mod fuzz;
pub(crate) mod mailbox;
pub(crate) mod registers;
pub(crate) mod vf;

pub use fuzz::fuzz;
pub use mailbox::Notification;
