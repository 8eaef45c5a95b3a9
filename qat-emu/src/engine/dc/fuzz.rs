//! The entry point for fuzzing the compression service: the caller chooses every byte that it reads.

use super::{CHAIN_SERVICE, Engine, Injection, Outcome};
use crate::memory::{Access, DeviceMemory, DmaFault};

/// Memory in which every address refers to the same bytes, so that random requests reach the codecs. The upper half of
/// the address space is unmapped, and so is any range that is longer than the bytes. Writes are checked and discarded.
struct Wrapped<'a>(&'a [u8]);

impl Wrapped<'_> {
    fn check(&self, iova: u64, len: usize, access: Access) -> Result<(), DmaFault> {
        if iova >> 63 == 1 || len > self.0.len() { Err(DmaFault { iova, len, access }) } else { Ok(()) }
    }
}

impl DeviceMemory for Wrapped<'_> {
    fn read(&self, iova: u64, into: &mut [u8]) -> Result<(), DmaFault> {
        self.check(iova, into.len(), Access::Read)?;
        let start = iova.checked_rem(self.0.len() as u64).unwrap_or(0) as usize;
        for (to, from) in into.iter_mut().zip(self.0.iter().cycle().skip(start)) {
            *to = *from;
        }
        Ok(())
    }

    fn write(&self, iova: u64, from: &[u8]) -> Result<(), DmaFault> {
        self.check(iova, from.len(), Access::Write)
    }
}

/// Executes one request twice on one engine. The first 128 bytes are the request, and the rest is the host memory.
///
/// # Panics
/// Panics when the response reports more than the request allowed, or depends on earlier requests, which are defects of
/// the engine.
pub fn fuzz(bytes: &[u8]) {
    let Some((request, memory)) = bytes.split_first_chunk::<128>() else { return };
    let memory = Wrapped(memory);
    let mut engine = Engine::default();
    let mut run = || {
        if request[2] != CHAIN_SERVICE {
            return engine.execute(request, &memory, &Injection::default());
        }
        engine.execute_chain(request, &memory, &Injection::default(), &mut |request, _| {
            let mut response = [0; 32];
            response.copy_from_slice(&request[..32]);
            Outcome { response, fault: None }
        })
    };
    let response = run().response;
    assert_eq!(response, run().response, "the engine must not remember a request");
    assert_eq!(response[8..16], request[24..32], "the opaque value must come back");
    if request[2] != CHAIN_SERVICE {
        let word = |bytes: &[u8], at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        assert!(word(&response, 16) <= word(request, 56), "consumed more than the input");
        assert!(word(&response, 20) <= word(request, 60), "produced more than the space");
    }
}
