//! The fields of request and response descriptors that are common to all services. The engines, the device and the
//! counters use them; fields of one service are read by its engine.

use crate::service::Service;

/// Is a request descriptor of a compression or symmetric ring.
pub type Request = [u8; 128];
/// Is a response descriptor of any ring.
pub type Response = [u8; 32];

/// The service ids in byte 2 of a request.
pub(crate) mod service_id {
    /// Requests a response and nothing else.
    pub(crate) const NULL: u8 = 0;
    pub(crate) const ASYMMETRIC: u8 = 3;
    pub(crate) const SYMMETRIC: u8 = 4;
    pub(crate) const COMPRESSION: u8 = 9;
    /// Hashes and compresses in one request, on compression rings.
    pub(crate) const CHAIN: u8 = 0x0B;
}

/// The status bits in byte 6 of a response (byte 5 for public-key requests).
pub(crate) mod status {
    pub(crate) const CRYPTO_FAILED: u8 = 1 << 7;
    pub(crate) const ASYMMETRIC_FAILED: u8 = 1 << 6;
    pub(crate) const COMPRESSION_FAILED: u8 = 1 << 5;
    pub(crate) const UNSUPPORTED: u8 = 1 << 2;
}

/// Returns the service of a request, or `None` if the device does not have it.
pub(crate) fn service(request: &Request) -> Option<Service> {
    match request[2] {
        service_id::ASYMMETRIC => Some(Service::Asymmetric),
        service_id::SYMMETRIC => Some(Service::Symmetric),
        service_id::COMPRESSION | service_id::CHAIN => Some(Service::Compression),
        _ => None,
    }
}

/// Returns the command of a request as the counters number it: the commands of chaining follow those of compression.
pub(crate) fn command(request: &Request) -> u8 {
    match request[2] {
        service_id::ASYMMETRIC => 0,
        service_id::CHAIN => CHAIN_COMMANDS | request[1],
        service_id::NULL => NULL_COMMAND,
        _ => request[1],
    }
}

/// The number of the first chaining command in the counters.
pub(crate) const CHAIN_COMMANDS: u8 = 16;

/// The number of the null request in the counters.
pub(crate) const NULL_COMMAND: u8 = 31;

/// Reads a little-endian word of a descriptor; 0 if it lies outside.
pub(crate) fn word(bytes: &[u8], offset: usize) -> u32 {
    bytes.get(offset..offset + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

/// Writes a little-endian word of a descriptor; does nothing if it lies outside.
pub(crate) fn set_word(bytes: &mut [u8], offset: usize, value: u32) {
    if let Some(place) = bytes.get_mut(offset..offset + 4) {
        place.copy_from_slice(&value.to_le_bytes());
    }
}

/// Returns a response that contains only the fields that are copied from the request.
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

/// Returns the position of the status byte in a message of the service in byte 2, and the bit that means "failed".
fn status_place(message: &[u8]) -> (usize, u8) {
    match message[2] {
        service_id::ASYMMETRIC => (5, status::ASYMMETRIC_FAILED),
        service_id::COMPRESSION | service_id::CHAIN => (6, status::COMPRESSION_FAILED),
        _ => (6, status::CRYPTO_FAILED),
    }
}

/// Returns a response that reports the error `code` and contains no data.
pub(crate) fn failed(request: &Request, code: i8) -> Response {
    let mut response = reply(request);
    let (place, bit) = status_place(request);
    response[place] = bit;
    response[place - 1] = code.cast_unsigned();
    response
}

/// Returns a response which reports that the request is not supported.
pub(crate) fn unsupported(request: &Request) -> Response {
    let mut response = reply(request);
    response[status_place(request).0] = status::UNSUPPORTED;
    response
}

/// Returns the error code of a response, or `None` if it reports success.
pub(crate) fn error_code(response: &Response) -> Option<i8> {
    let (place, _) = status_place(response);
    let failed = response[place] & (0xF0 | status::UNSUPPORTED) != 0;
    failed.then(|| response[place - 1].cast_signed())
}

/// Returns whether a response reports that the request is not supported.
pub(crate) fn is_unsupported(response: &Response) -> bool {
    response[status_place(response).0] & status::UNSUPPORTED != 0
}
