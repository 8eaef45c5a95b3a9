//! Typed views of request and response descriptors: the fields that are common to all services.

use crate::service::Service;

/// A request descriptor of a compression or symmetric ring.
pub type Request = [u8; 128];
/// A response descriptor of any ring.
pub type Response = [u8; 32];

/// Service ids in byte 2 of a request.
pub(crate) mod service_id {
    /// Asks for an answer and nothing else.
    pub(crate) const NULL: u8 = 0;
    pub(crate) const ASYMMETRIC: u8 = 3;
    pub(crate) const SYMMETRIC: u8 = 4;
    pub(crate) const COMPRESSION: u8 = 9;
    /// Hash and compress in one request, on compression rings.
    pub(crate) const CHAIN: u8 = 0x0B;
}

/// Status bits in byte 6 of a response.
pub(crate) mod status {
    pub(crate) const CRYPTO_FAILED: u8 = 1 << 7;
    pub(crate) const ASYMMETRIC_FAILED: u8 = 1 << 6;
    pub(crate) const COMPRESSION_FAILED: u8 = 1 << 5;
    pub(crate) const UNSUPPORTED: u8 = 1 << 2;
}

/// The service that a request asks for, if it is one of ours.
pub(crate) fn service(request: &Request) -> Option<Service> {
    match request[2] {
        service_id::ASYMMETRIC => Some(Service::Asymmetric),
        service_id::SYMMETRIC => Some(Service::Symmetric),
        service_id::COMPRESSION | service_id::CHAIN => Some(Service::Compression),
        _ => None,
    }
}

/// The command of a request as it is counted: those of chaining after those of compression.
pub(crate) fn command(request: &Request) -> u8 {
    match request[2] {
        service_id::ASYMMETRIC => 0,
        service_id::CHAIN => CHAIN_COMMANDS | request[1],
        service_id::NULL => NULL_COMMAND,
        _ => request[1],
    }
}

/// Where the commands of chaining begin in the counters.
pub(crate) const CHAIN_COMMANDS: u8 = 16;

/// The request that asks for nothing, in the counters.
pub(crate) const NULL_COMMAND: u8 = 31;

/// Reads a little-endian word of a descriptor.
pub(crate) fn word(bytes: &[u8], offset: usize) -> u32 {
    bytes.get(offset..offset + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

/// Writes one.
pub(crate) fn set_word(bytes: &mut [u8], offset: usize, value: u32) {
    if let Some(place) = bytes.get_mut(offset..offset + 4) {
        place.copy_from_slice(&value.to_le_bytes());
    }
}

/// A response with the fields that are copied from the request, and nothing else set.
pub(crate) fn reply(request: &Request) -> Response {
    let mut response = [0; 32];
    response[2] = request[2];
    response[3] = 0x80;
    if request[2] == service_id::ASYMMETRIC {
        // Bytes 16..32 return the addresses of the input and output lists.
        response[8..16].copy_from_slice(&request[24..32]);
        response[16..24].copy_from_slice(&request[32..40]);
        response[24..32].copy_from_slice(&request[40..48]);
    } else {
        response[1] = 1;
        response[7] = request[1];
        response[8..16].copy_from_slice(&request[24..32]);
    }
    response
}

/// Where a response of the service in byte 2 holds its status byte, and the bit for "failed".
fn status_place(message: &[u8]) -> (usize, u8) {
    match message[2] {
        service_id::ASYMMETRIC => (5, status::ASYMMETRIC_FAILED),
        service_id::COMPRESSION | service_id::CHAIN => (6, status::COMPRESSION_FAILED),
        _ => (6, status::CRYPTO_FAILED),
    }
}

/// A response that reports `code` and no data.
pub(crate) fn failed(request: &Request, code: i8) -> Response {
    let mut response = reply(request);
    let (place, bit) = status_place(request);
    response[place] = bit;
    response[place - 1] = code.cast_unsigned();
    response
}

/// A response that says the request is not supported.
pub(crate) fn unsupported(request: &Request) -> Response {
    let mut response = reply(request);
    response[status_place(request).0] = status::UNSUPPORTED;
    response
}

/// The code of a response that reports a failure.
pub(crate) fn error_code(response: &Response) -> Option<i8> {
    let (place, _) = status_place(response);
    let failed = response[place] & (0xF0 | status::UNSUPPORTED) != 0;
    failed.then(|| response[place - 1].cast_signed())
}

/// Whether a response says that the request is not supported.
pub(crate) fn is_unsupported(response: &Response) -> bool {
    response[status_place(response).0] & status::UNSUPPORTED != 0
}
