//! The device's computing engines: a request message in, a response message out, host memory through
//! [`DeviceMemory`]. Safe code, no state of the process boundary.

pub mod dc;
pub mod pke;
pub mod sym;

use crate::{config::Service, device::message, memory::DeviceMemory};

/// A request descriptor of a compression or symmetric ring.
pub type Request = [u8; 128];
/// A response descriptor of any ring.
pub type Response = [u8; 32];

/// The engines of one device thread with the state they keep between requests.
#[derive(Default)]
pub(crate) struct Engines {}

impl Engines {
    /// Executes one request; with `null` without computing.
    pub(crate) fn execute(
        &mut self,
        service: Service,
        request: &Request,
        memory: &dyn DeviceMemory,
        null: bool,
    ) -> Response {
        let _ = (service, memory, null);
        message::reply(request)
    }
}
