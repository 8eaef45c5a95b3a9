//! The public-key service: RSA, DH, DSA, modular arithmetic, primality tests and elliptic curves.
//!
//! [`execute`] takes one 64-byte request of service 3. The function id determines the operation and the width of its
//! operands, which are big-endian. Two lists contain the addresses of the inputs and of the outputs. Requests can be
//! chained by address, as the library does for primality tests; the chain ends at the first request that fails.
//!
//! | Family | Widths in bits |
//! |---|---|
//! | DH with base 2 and with any base | 768 to 8192 |
//! | RSA key generation from primes (both forms), public, private, private with CRT | 512 to 8192 |
//! | Modular exponentiation, modular inverse | to 8192 |
//! | Primality: GCD, Fermat, Miller-Rabin, Lucas | 160 to 4096 |
//! | DSA: p, g, y, r, s, both, verification | 1024/160 to 3072/256 |
//! | Curves over GF(p): point multiplication, point check, ECDSA; P-256 and P-384 by name | 256, 512, 521 |
//! | Curve25519, Ed25519, Curve448, Ed448: multiplication of a point and of the generator | |
//!
//! Curves over GF(2^m), SM2, and keys protected by KPT are refused as unsupported.

mod edwards;
mod functions;
mod prime;
mod weierstrass;

use num_bigint::BigUint;

use super::sym::ERROR_ENDPOINT;
use super::{Outcome, Response};
use crate::memory::{DeviceMemory, DmaFault};

/// Is a request descriptor of an asymmetric ring.
pub type PkeRequest = [u8; 64];

/// The response status of an operation that failed, or of a verification with a negative result.
const STATUS_FAILED: u8 = 1 << 6;
/// The response status of a function that the device does not know.
const STATUS_UNSUPPORTED: u8 = 1 << 2;
/// The number of requests that a chain may have, which is more than any number of primality rounds that the library
/// offers.
const MAX_CHAIN: usize = 256;

/// The reason why an operation has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PkeError {
    /// An address is outside the mapped memory.
    Fault(DmaFault),
    /// The device does not have the function.
    Unsupported,
    /// The operation has no result, or the verification has a negative result.
    Failed,
}

impl From<DmaFault> for PkeError {
    fn from(fault: DmaFault) -> Self {
        Self::Fault(fault)
    }
}

/// Executes one public-key request, and the requests chained to it.
///
/// The response is complete even if the request is refused. The caller may change its status (byte 5) and error code
/// (byte 4) to inject a fault.
#[must_use]
pub fn execute(request: &PkeRequest, memory: &dyn DeviceMemory) -> Outcome {
    let (status, error, fault) = match run_chain(request, memory) {
        Ok(()) => (0, 0, None),
        Err(PkeError::Failed) => (STATUS_FAILED, 0, None),
        Err(PkeError::Unsupported) => (STATUS_UNSUPPORTED, 0, None),
        Err(PkeError::Fault(fault)) => (STATUS_FAILED, ERROR_ENDPOINT, Some(fault)),
    };
    let mut response: Response = [0; 32];
    response[2] = request[2];
    response[3] = 0x80;
    response[4] = error;
    response[5] = status;
    response[8..16].copy_from_slice(&request[24..32]);
    response[16..32].copy_from_slice(&request[32..48]);
    Outcome { response, fault }
}

fn run_chain(head: &PkeRequest, memory: &dyn DeviceMemory) -> Result<(), PkeError> {
    let mut request = *head;
    for _ in 0..MAX_CHAIN {
        let operands = Operands::read(&request, memory)?;
        let (function, bits) = functions::lookup(word(&request, 20) as u32).ok_or(PkeError::Unsupported)?;
        functions::run(function, bits, &operands)?;
        let next = word(&request, 56);
        if next == 0 {
            return Ok(());
        }
        memory.read(next, &mut request)?;
    }
    Err(PkeError::Failed)
}

/// Reads the little-endian quadword at `at`; bytes beyond the request's end count as zero.
fn word(request: &PkeRequest, at: usize) -> u64 {
    request[at..].iter().take(8).rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// The operands of one request, by address.
struct Operands<'a> {
    memory: &'a dyn DeviceMemory,
    inputs: Vec<u64>,
    outputs: Vec<u64>,
}

impl<'a> Operands<'a> {
    fn read(request: &PkeRequest, memory: &'a dyn DeviceMemory) -> Result<Self, PkeError> {
        let list = |at, count: u8| {
            let mut bytes = vec![0; 8 * usize::from(count)];
            memory.read(word(request, at), &mut bytes)?;
            Ok::<_, PkeError>(bytes.as_chunks().0.iter().map(|entry| u64::from_le_bytes(*entry)).collect())
        };
        Ok(Self { memory, inputs: list(32, request[49])?, outputs: list(40, request[48])? })
    }

    /// Reads the bytes of an input of `len` bytes.
    fn bytes(&self, index: usize, len: usize) -> Result<Vec<u8>, PkeError> {
        let mut bytes = vec![0; len];
        self.memory.read(*self.inputs.get(index).ok_or(PkeError::Failed)?, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads an input of `len` bytes as a number.
    fn input(&self, index: usize, len: usize) -> Result<BigUint, PkeError> {
        Ok(BigUint::from_bytes_be(&self.bytes(index, len)?))
    }

    /// Reads the first `N` inputs, of `len` bytes each.
    fn inputs<const N: usize>(&self, len: usize) -> Result<[BigUint; N], PkeError> {
        let mut values = std::array::from_fn(|_| BigUint::ZERO);
        for (index, value) in values.iter_mut().enumerate() {
            *value = self.input(index, len)?;
        }
        Ok(values)
    }

    /// Reads `N` values of `len` bytes each, which the first input contains as one large number, the last value first.
    fn concatenated<const N: usize>(&self, len: usize) -> Result<[BigUint; N], PkeError> {
        let bytes = self.bytes(0, N * len)?;
        Ok(std::array::from_fn(|i| {
            let at = (N - 1 - i) * len;
            BigUint::from_bytes_be(&bytes[at..at + len])
        }))
    }

    /// Writes an output of `len` bytes.
    fn output(&self, index: usize, len: usize, value: &BigUint) -> Result<(), PkeError> {
        let bytes = value.to_bytes_be();
        let mut padded = vec![0; len.checked_sub(bytes.len()).ok_or(PkeError::Failed)?];
        padded.extend(bytes);
        Ok(self.memory.write(*self.outputs.get(index).ok_or(PkeError::Failed)?, &padded)?)
    }
}
