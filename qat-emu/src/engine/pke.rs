//! Public-key service: RSA, DH, DSA, modular arithmetic, primality tests, elliptic curves.
//!
//! [`execute`] takes one 64-byte request of service 3. The function id names the operation and the width of its
//! operands; operands are big-endian and as wide as the function says, and come and go through two lists of
//! addresses. Requests can be chained by address, as the library chains primality tests; the chain stops at the
//! first that fails.
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
//! Not served, and so answered as unsupported: curves over GF(2^m), SM2, and keys protected by KPT.

mod edwards;
mod functions;
mod prime;
mod weierstrass;

use num_bigint::BigUint;

use super::sym::ERROR_ENDPOINT;
use super::{Outcome, Response};
use crate::memory::{DeviceMemory, DmaFault};

/// A request descriptor of an asymmetric ring.
pub type PkeRequest = [u8; 64];

/// Response status: the operation failed, or what was to be verified does not hold.
const STATUS_FAILED: u8 = 1 << 6;
/// Response status: the device does not know this function.
const STATUS_UNSUPPORTED: u8 = 1 << 2;
/// Requests that a chain may have: more than any number of primality rounds that the library offers.
const MAX_CHAIN: usize = 256;

/// Why an operation has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PkeError {
    /// An address outside the mapped memory.
    Fault(DmaFault),
    /// A function that this device does not have.
    Unsupported,
    /// No result exists, or the thing to verify does not hold.
    Failed,
}

impl From<DmaFault> for PkeError {
    fn from(fault: DmaFault) -> Self {
        Self::Fault(fault)
    }
}

/// Executes one public-key request, and those chained to it.
///
/// The response is complete in every case, also for a request that is refused. The caller may rewrite its status
/// (byte 5) and error code (byte 4) to inject a fault.
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

/// The little-endian quadword at `at`, its high half missing at the end.
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

    /// The bytes of an input of `len` bytes.
    fn bytes(&self, index: usize, len: usize) -> Result<Vec<u8>, PkeError> {
        let mut bytes = vec![0; len];
        self.memory.read(*self.inputs.get(index).ok_or(PkeError::Failed)?, &mut bytes)?;
        Ok(bytes)
    }

    /// An input of `len` bytes.
    fn input(&self, index: usize, len: usize) -> Result<BigUint, PkeError> {
        Ok(BigUint::from_bytes_be(&self.bytes(index, len)?))
    }

    /// The first `N` inputs, of `len` bytes each.
    fn inputs<const N: usize>(&self, len: usize) -> Result<[BigUint; N], PkeError> {
        let mut values = std::array::from_fn(|_| BigUint::ZERO);
        for (index, value) in values.iter_mut().enumerate() {
            *value = self.input(index, len)?;
        }
        Ok(values)
    }

    /// `N` values of `len` bytes each, together the first input as one big number: the last value comes first.
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
