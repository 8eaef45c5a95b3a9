//! The symmetric service: ciphers, hashes, AEADs, chaining and key derivation.
//!
//! [`execute`] processes one 128-byte request of service 4 ("LA") in the same steps as the device: it reads the flags
//! and the descriptor, gathers the regions of the request from the source, computes, and scatters the result to the
//! destination. The hash and cipher states that `libqat` keeps between partial packets are stored in host memory, as
//! with hardware, so that the engine itself has no state.
//!
//! | Command | Supported operations |
//! |---|---|
//! | 0 | AES ECB, CBC, CTR, XTS; DES and 3DES ECB, CBC, CTR; null; single pass AES-GCM, AES-CCM, ChaCha20-Poly1305, GMAC |
//! | 1 | null; MD5, SHA-1, SHA-2, SHA-3, HMAC in modes 1 and 2, nested hash, AES-XCBC-MAC, AES-CMAC, AES-CBC-MAC |
//! | 2, 3 | any cipher with any hash in both orders; AES-GCM, GMAC and AES-CCM over two slices |
//! | 6, 7, 8 | key derivation of SSL 3.0, TLS 1.0/1.1, TLS 1.2 |
//! | 9 | MGF1 |
//! | 12 to 16 | HKDF (RFC 5869) and HKDF-Expand-Label (RFC 8446) |
//!
//! All other requests get a response with the status bit "unsupported". The traditional API of `libqat` ignores this
//! bit, so that the caller of the engine has to count it: see [`Outcome::unsupported`](super::Outcome::unsupported).

mod aead;
mod auth;
mod chain;
mod cipher;
mod digest;
mod key;
mod request;

use super::{Outcome, Request};
use crate::memory::{DeviceMemory, DmaFault};
use request::SymRequest;

/// The response status of a failed operation or a digest that does not match.
const STATUS_CRYPTO: u8 = 1 << 7;
/// The response status of a request that the device does not support.
const STATUS_UNSUPPORTED: u8 = 1 << 2;
/// The response status of a parameter that is out of range.
const STATUS_INVALID: u8 = 1 << 1;
/// The common error code of an access to host memory that failed.
pub(super) const ERROR_ENDPOINT: u8 = (-17_i8).cast_unsigned();

/// The reason why a request was not executed completely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SymError {
    /// An address is outside the mapped memory.
    Fault(DmaFault),
    /// The device does not have the algorithm, the mode or the combination.
    Unsupported,
    /// Lengths or sizes contradict each other.
    Invalid,
}

impl From<DmaFault> for SymError {
    fn from(fault: DmaFault) -> Self {
        Self::Fault(fault)
    }
}

/// The result of an operation that was executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Completion {
    /// The operation succeeded, and the digest matches if the request compares one.
    Done,
    /// The digest that the request compares differs.
    Mismatch,
}

/// Executes one symmetric request.
///
/// The response is complete even if the request is refused. The caller may change its status (byte 6) and error code
/// (byte 5) to inject a fault.
#[must_use]
pub fn execute(request: &Request, memory: &dyn DeviceMemory) -> Outcome {
    let message = SymRequest::new(request);
    let flags = message.flags();
    let protocol = flags.protocol();
    let result = match message.command() {
        0 if flags.single_pass() => aead::single_pass(message, memory),
        _ if flags.single_pass() => Err(SymError::Unsupported),
        2 | 3 if protocol == request::PROTOCOL_GCM => aead::two_slice_gcm(message, memory),
        2 | 3 if protocol == request::PROTOCOL_CCM => aead::two_slice_ccm(message, memory),
        0..=3 if protocol != request::PROTOCOL_NONE => Err(SymError::Unsupported),
        0 => chain::cipher(message, memory),
        1 => chain::hash(message, memory),
        2 => chain::cipher_then_hash(message, memory),
        3 => chain::hash_then_cipher(message, memory),
        6 => key::ssl3(message, memory),
        7 => key::tls_1_1(message, memory),
        8 => key::tls_1_2(message, memory),
        9 => key::mgf1(message, memory),
        12..=16 => key::hkdf(message, memory),
        _ => Err(SymError::Unsupported),
    };
    let (status, error, fault) = match result {
        Ok(Completion::Done) => (0, 0, None),
        Ok(Completion::Mismatch) => (STATUS_CRYPTO, 0, None),
        Err(SymError::Unsupported) => (STATUS_UNSUPPORTED, 0, None),
        Err(SymError::Invalid) => (STATUS_CRYPTO | STATUS_INVALID, 0, None),
        Err(SymError::Fault(fault)) => (STATUS_CRYPTO, ERROR_ENDPOINT, Some(fault)),
    };
    let mut response = [0; 32];
    response[1] = 1;
    response[2] = request[2];
    response[3] = 0x80;
    response[5] = error;
    response[6] = status;
    response[7] = request[1];
    response[8..16].copy_from_slice(&request[24..32]);
    Outcome { response, fault }
}
