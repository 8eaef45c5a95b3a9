//! The device's computing engines. Each takes a request message, reads and writes host memory through [`DeviceMemory`],
//! and returns a response message. The engines are safe code and use nothing of the process boundary.

pub mod dc;
pub mod pke;
pub mod sym;

use crate::{
    memory::{DeviceMemory, DmaFault},
    message,
    service::Service,
};

pub use crate::message::{Request, Response};

/// Contains the result of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Is the response for the response ring.
    pub response: Response,
    /// Is the refused access that ended the request, which the response reports as an error; `None` if there was none.
    pub fault: Option<DmaFault>,
}

impl Outcome {
    /// Returns whether the request was refused as unsupported, which some functions of `libqat` treat as success.
    #[must_use]
    pub fn unsupported(&self) -> bool {
        message::is_unsupported(&self.response)
    }
}

/// The engines of one device thread with the state that they keep between requests.
#[derive(Default)]
pub(crate) struct Engines {
    compression: dc::Engine,
}

impl Engines {
    /// Executes one request of a ring of `service`. With `null`, symmetric and public-key requests get a response
    /// without being computed.
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
