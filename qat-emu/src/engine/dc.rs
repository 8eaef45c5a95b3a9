//! Compression service: deflate, LZ4, LZ4s.
