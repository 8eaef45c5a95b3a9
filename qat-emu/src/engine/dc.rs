//! The compression service: deflate, LZ4 and LZ4s. The device threads call [`Engine`], which reads and writes host
//! memory only through [`DeviceMemory`].
//!
//! The output is valid, but its bytes differ from those of hardware: tests should decode it instead of comparing it.
//!
//! | Command | Operation |
//! |---|---|
//! | 0 | deflate with fixed-Huffman blocks only (stored ones with auto-select-best or after a verify error) |
//! | 1 | deflate with the blocks that are smallest |
//! | 2 | raw inflate |
//! | 3, 4 | compression and decompression of LZ4 blocks with size words |
//! | 5 | compression to LZ4s sequences |
//!
//! Stateful sessions, dictionaries and the options of later generations are refused as unsupported. The running XXH32
//! of a session is stored in host memory, so that the device itself keeps no session.

mod chain;
mod checksum;
mod deflate;
mod fuzz;
mod lz4;
mod message;
mod search;
#[cfg(test)]
mod tests;

use super::{Outcome, Request};
use crate::memory::{BufferList, DeviceMemory, DmaFault};
use checksum::{IntegrityBlock, Xxh32};
use deflate::{Codec, SearchEffort};
use message::{DcRequest, Operation, ResponseFields, header, status};

pub use chain::SERVICE as CHAIN_SERVICE;
pub use fuzz::fuzz;
pub(crate) use message::is_verify_error;
pub use message::{SERVICE, error};

/// Input is read in steps of this size, so that a request never allocates much more than the host has mapped.
const FETCH: usize = 1 << 20;

/// Selects errors to inject into one request; the default injects none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Injection {
    /// Responds with this error code, zero counters and no output; `None` does not.
    pub error: Option<i8>,
    /// Makes compress-and-verify find a difference: the device recovers with stored blocks where the request allows it,
    /// and otherwise reports [`error::VERIFY`].
    pub verify_error: bool,
    /// Reports inverted checksums.
    pub wrong_checksum: bool,
    /// Limits the output to a number of bytes, if that is smaller than the request's limit; `None` does not.
    pub output_limit: Option<u32>,
    /// Omits this number of bytes at the end of the output, which the device does not report.
    pub short_output: u32,
    /// Stores the input instead of compressing it, which makes tests of everything else faster.
    pub store: bool,
}

/// The result of a codec.
#[derive(Debug, Default)]
struct CodecOutput {
    bytes: Vec<u8>,
    /// The number of input bytes that were converted to `bytes`.
    consumed: usize,
    /// 0, or a code of [`error`].
    error: i8,
    /// Whether nothing in `bytes` is compressed.
    stored: bool,
    end_of_last_block: bool,
}

/// Executes compression requests, as the compression slices of one engine thread do.
#[derive(Default)]
pub struct Engine {
    codec: Codec,
}

impl Engine {
    /// Executes a request of [`SERVICE`] on host memory. A request that this device does not support gets the status
    /// "unsupported". The request and the memory may contain arbitrary bytes.
    pub fn execute(
        &mut self,
        request: &Request,
        memory: &dyn DeviceMemory,
        injection: &Injection,
    ) -> Outcome {
        let request = DcRequest(request);
        let (reply, fault) = match self.run(request, memory, injection) {
            Ok(reply) => (reply, None),
            Err(fault) => (ResponseFields::failure(error::ENDPOINT), Some(fault)),
        };
        Outcome { response: reply.respond(request), fault }
    }

    fn run(
        &mut self,
        request: DcRequest<'_>,
        memory: &dyn DeviceMemory,
        injection: &Injection,
    ) -> Result<ResponseFields, DmaFault> {
        let Some(operation) = request.operation() else {
            return Ok(ResponseFields { status: status::UNSUPPORTED, ..ResponseFields::default() });
        };
        if let Some(code) = injection.error {
            return Ok(ResponseFields::failure(code));
        }
        let verify_error =
            operation.compresses() && (injection.verify_error || request.injects_verify_error());
        if verify_error && !request.recover() {
            return Ok(ResponseFields { header: header::VERIFIED, ..ResponseFields::failure(error::VERIFY) });
        }
        let input = fetch(&request.source(memory)?, memory, request.input_len())?;
        let destination = request.destination(memory)?;
        let mut limit = request.output_len().min(destination.len());
        if let Some(injected) = injection.output_limit {
            limit = limit.min(injected as usize);
        }
        let output = self.transform(request, operation, &input, limit, verify_error || injection.store);
        let input = &input[..output.consumed];
        let kept = output.bytes.len().saturating_sub(injection.short_output as usize);
        destination.scatter(memory, 0, &output.bytes[..kept])?;
        let checksums = checksums(request, operation, memory, input, &output.bytes, injection)?;

        let mut reply = ResponseFields {
            error: output.error,
            consumed: output.consumed as u32,
            produced: kept as u32,
            checksums,
            ..ResponseFields::default()
        };
        let mut set = |condition: bool, bits| {
            if condition {
                reply.header |= bits
            }
        };
        set(operation.compresses() && request.verify(), header::VERIFIED);
        set(verify_error, header::VERIFIED | header::RECOVERED);
        set(operation.compresses() && output.stored, header::STORED);
        if output.end_of_last_block {
            reply.status |= status::END_OF_LAST_BLOCK;
        }
        if output.error != 0 {
            reply.status |= status::COMPRESSION_FAILED;
            if operation == Operation::DeflateDynamic {
                reply.status |= status::TRANSLATOR_FAILED;
                reply.translator_error = output.error;
            }
        }
        Ok(reply)
    }

    /// Runs the codec of `operation`; with `store`, it stores the input instead of compressing it.
    fn transform(
        &mut self,
        request: DcRequest<'_>,
        operation: Operation,
        input: &[u8],
        limit: usize,
        store: bool,
    ) -> CodecOutput {
        let block_max = request.lz4_block_max(operation);
        let depth = (!store).then(|| request.search_depth());
        match operation {
            Operation::DeflateStatic | Operation::DeflateDynamic if store => {
                deflate::store(input, limit, request.final_block())
            }
            Operation::DeflateStatic | Operation::DeflateDynamic => {
                let fixed = operation == Operation::DeflateStatic;
                let effort = SearchEffort { fixed, search_depth: request.search_depth() };
                let choose_stored = !fixed || request.auto_select_best();
                self.codec.compress(input, limit, effort, request.final_block(), choose_stored)
            }
            Operation::Inflate => self.codec.decompress(input, limit),
            Operation::Lz4Compress => lz4::compress(input, limit, block_max, depth),
            Operation::Lz4Decompress => {
                lz4::decompress(input, limit, block_max, request.lz4_block_checksum())
            }
            Operation::Lz4sCompress => lz4::compress_lz4s(input, limit, request.min_match(), depth),
        }
    }
}

/// Returns the CRC-32, and the Adler-32 or XXH32, of the plain data, and updates the integrity block and the session's
/// running XXH32.
fn checksums(
    request: DcRequest<'_>,
    operation: Operation,
    memory: &dyn DeviceMemory,
    input: &[u8],
    output: &[u8],
    injection: &Injection,
) -> Result<[u32; 2], DmaFault> {
    let plain = if operation.compresses() { input } else { output };
    let block = request.integrity_block().map(|iova| IntegrityBlock::read(memory, iova)).transpose()?;
    let seeds = block.as_ref().map_or([request.word(64), request.word(68)], IntegrityBlock::seeds);
    let crc32 = zlib_rs::crc32::crc32(seeds[0], plain);
    let second = if operation.is_deflate() {
        zlib_rs::adler32::adler32(seeds[1], plain)
    } else if let Some(iova) = request.xxh32_state() {
        let mut hash = Xxh32::read(memory, iova)?;
        hash.update(plain);
        hash.write(memory, iova, output.len() as u32)?;
        hash.digest()
    } else {
        let mut hash = Xxh32::new();
        hash.update(plain);
        hash.digest()
    };
    let sums = [crc32, second].map(|sum| if injection.wrong_checksum { !sum } else { sum });
    if let Some(block) = block {
        block.write(memory, sums, input, output, injection.wrong_checksum)?;
    }
    Ok(sums)
}

/// Reads the first `len` bytes of a buffer list.
fn fetch(list: &BufferList, memory: &dyn DeviceMemory, len: usize) -> Result<Vec<u8>, DmaFault> {
    let mut bytes = Vec::new();
    while bytes.len() < len {
        let done = bytes.len();
        bytes.resize(len.min(done + FETCH), 0);
        list.gather(memory, done, &mut bytes[done..])?;
    }
    Ok(bytes)
}

/// Handles an overflow: returns the output of approximately the longest prefix of the input, shorter than `too_long`,
/// for which `attempt` produces at most `limit` bytes.
fn fill(limit: usize, too_long: usize, mut attempt: impl FnMut(usize) -> Option<Vec<u8>>) -> CodecOutput {
    let mut output = CodecOutput { error: error::OVERFLOW, ..CodecOutput::default() };
    let (mut low, mut high) = (0, too_long);
    // The search ends when only a few bytes of the output are unused.
    while high - low > 1 && limit - output.bytes.len() > 4 + limit / 512 {
        let len = low + (high - low) / 2;
        match attempt(len) {
            Some(bytes) => {
                output.bytes = bytes;
                output.consumed = len;
                low = len;
            }
            None => high = len,
        }
    }
    output
}
