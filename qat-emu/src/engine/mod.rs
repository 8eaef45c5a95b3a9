//! The device's computing engines: a request message in, a response message out, host memory through
//! [`DeviceMemory`]. Safe code, no state of the process boundary.

pub mod dc;
pub mod pke;
pub mod sym;

use crate::{
    memory::{DeviceMemory, DmaFault},
    message,
    service::Service,
};

pub use crate::message::{Request, Response};

/// What one request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The answer for the response ring.
    pub response: Response,
    /// The refused access, if one ended the request; the response then reports an error.
    pub fault: Option<DmaFault>,
}

impl Outcome {
    /// Whether the request was refused as unsupported, which `libqat` takes for success in places.
    #[must_use]
    pub fn unsupported(&self) -> bool {
        message::is_unsupported(&self.response)
    }
}

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
    ) -> Outcome {
        let plain = |response| Outcome { response, fault: None };
        match (service, request[2]) {
            (Service::Compression, dc::SERVICE) => self.compression.execute(request, memory, injection),
            (Service::Compression, dc::CHAIN_SERVICE) => {
                self.compression.execute_chain(request, memory, injection, &mut sym::execute)
            }
            (Service::Symmetric | Service::Asymmetric, _) if null => plain(message::reply(request)),
            (Service::Symmetric, _) => sym::execute(request, memory),
            (Service::Asymmetric, _) => {
                let mut half = [0; 64];
                half.copy_from_slice(&request[..64]);
                pke::execute(&half, memory)
            }
            (Service::Compression, _) => plain(message::unsupported(request)),
        }
    }
}
