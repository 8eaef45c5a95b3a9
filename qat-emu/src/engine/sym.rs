//! Symmetric service: ciphers, hashes, AEADs, chaining, key derivation.
