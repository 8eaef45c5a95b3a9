//! Compression on the device: formats around stateless requests.

mod compress;
mod decompress;
mod request;
mod session;
pub(crate) mod zero_copy;

pub(crate) use compress::compress;
pub(crate) use decompress::decompress;
pub(crate) use session::Sessions;

pub use session::Huffman;
