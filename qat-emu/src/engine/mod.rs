//! The device's computing engines: a request message in, a response message out, host memory through
//! [`DeviceMemory`]. Safe code, no state of the process boundary.

pub mod dc;
pub mod pke;
pub mod sym;

use crate::{
    config::Service,
    device::message,
    memory::{DeviceMemory, DmaFault},
};

/// A request descriptor of a compression or symmetric ring.
pub type Request = [u8; 128];
/// A response descriptor of any ring.
pub type Response = [u8; 32];

/// The engines of one device thread with the state they keep between requests.
#[derive(Default)]
pub(crate) struct Engines {
    compression: dc::Engine,
}

impl Engines {
    /// Executes one request of a ring of `service`; with `null` symmetric and public-key requests are answered
    /// without computing. Returns the answer and the access that was refused, if one ended the request.
    pub(crate) fn execute(
        &mut self,
        service: Service,
        request: &Request,
        memory: &dyn DeviceMemory,
        injection: &dc::Injection,
        null: bool,
    ) -> (Response, Option<DmaFault>) {
        match (service, request[2]) {
            (Service::Compression, dc::SERVICE) => {
                let dc::Completion { response, fault } = self.compression.execute(request, memory, injection);
                (response, fault)
            }
            (Service::Compression, dc::CHAIN_SERVICE) => {
                let mut symmetric = |request: &Request, memory: &dyn DeviceMemory| {
                    let sym::Outcome { response, fault, .. } = sym::execute(request, memory);
                    dc::Completion { response, fault }
                };
                let dc::Completion { response, fault } =
                    self.compression.execute_chain(request, memory, injection, &mut symmetric);
                (response, fault)
            }
            (Service::Symmetric | Service::Asymmetric, _) if null => (message::reply(request), None),
            (Service::Symmetric, _) => {
                let sym::Outcome { response, fault, .. } = sym::execute(request, memory);
                (response, fault)
            }
            (Service::Asymmetric, _) => {
                let mut half = [0; 64];
                half.copy_from_slice(&request[..64]);
                let sym::Outcome { response, fault, .. } = pke::execute(&half, memory);
                (response, fault)
            }
            (Service::Compression, _) => (message::unsupported(request), None),
        }
    }
}
