//! Hash-then-compress chaining: a request on the ring refers to a symmetric and a compression request in host memory,
//! and to the memory for their responses.

use super::message::{DcRequest, header, status};
use super::{Engine, Injection};
use crate::engine::{Outcome, Request, Response};
use crate::memory::{DeviceMemory, DmaFault};
use crate::unserved::unknown_flags;

/// Is the service id of chaining requests (byte 2).
pub const SERVICE: u8 = 0x0B;

/// The commands for hash then compress; older libraries use one for static (3) and one for dynamic (4) compression.
const HASH_COMPRESS: [u8; 2] = [3, 4];

/// The status bit of a failed symmetric request.
const CRYPTO_FAILED: u8 = 1 << 7;
/// The status bits of a request in the chain that end the chain.
const LINK_FAILED: u8 =
    CRYPTO_FAILED | status::COMPRESSION_FAILED | status::TRANSLATOR_FAILED | status::UNSUPPORTED;

impl Engine {
    /// Executes a chaining request: `symmetric` executes the symmetric request, then this engine executes the
    /// compression request. Their responses are written to host memory, and the returned response is for the ring.
    pub fn execute_chain(
        &mut self,
        request: &Request,
        memory: &dyn DeviceMemory,
        injection: &Injection,
        symmetric: &mut dyn FnMut(&Request, &dyn DeviceMemory) -> Outcome,
    ) -> Outcome {
        let view = DcRequest(request);
        if view.service() != SERVICE || !HASH_COMPRESS.contains(&view.command()) {
            return Outcome { response: respond(view, status::UNSUPPORTED), fault: None };
        }
        let mut links = || {
            let (hash, pack) = (read_request(memory, view.quad(80))?, read_request(memory, view.quad(64))?);
            if unknown_flags(&hash).or_else(|| unknown_flags(&pack)).is_some() {
                return Ok(Outcome { response: respond(view, status::UNSUPPORTED), fault: None });
            }
            let hashed = symmetric(&hash, memory);
            memory.write(view.quad(88), &hashed.response)?;
            let failed =
                hashed.response[6] & LINK_FAILED | if hashed.fault.is_some() { CRYPTO_FAILED } else { 0 };
            if failed != 0 {
                return Ok(Outcome { response: respond(view, failed), fault: hashed.fault });
            }
            let packed = self.execute(&pack, memory, injection);
            memory.write(view.quad(72), &packed.response)?;
            Ok(Outcome { response: respond(view, packed.response[6] & LINK_FAILED), fault: packed.fault })
        };
        links().unwrap_or_else(|fault| Outcome {
            response: respond(view, status::COMPRESSION_FAILED),
            fault: Some(fault),
        })
    }
}

fn read_request(memory: &dyn DeviceMemory, iova: u64) -> Result<Request, DmaFault> {
    let mut request = [0; 128];
    memory.read(iova, &mut request)?;
    Ok(request)
}

fn respond(request: DcRequest<'_>, status: u8) -> Response {
    let mut response = [0; 32];
    response[1] = request.command();
    response[2] = request.service();
    response[3] = header::VALID;
    response[6] = status;
    response[7] = request.command();
    response[8..16].copy_from_slice(&request.0[24..32]);
    response[16] = 2; // The chain has two requests.
    response
}
