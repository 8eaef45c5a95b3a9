//! The device's computing engines: a request message in, a response message out, host memory through
//! [`DeviceMemory`](crate::memory::DeviceMemory). Safe code, no state of the process boundary.

pub mod dc;
pub mod pke;
pub mod sym;

/// A request descriptor of a compression or symmetric ring.
pub type Request = [u8; 128];
/// A response descriptor of any ring.
pub type Response = [u8; 32];
