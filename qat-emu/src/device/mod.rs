//! The device: registers, mailbox, ring pairs. Safe code on typed views of what the library wrote.

pub(crate) mod bank;
pub(crate) mod mailbox;
pub(crate) mod message;
pub(crate) mod registers;
pub(crate) mod vf;

pub use mailbox::Notification;
