//! Thread-safe store of dot-separated feature strings.
