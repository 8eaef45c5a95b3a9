//! Public-key service: RSA, DH, modular arithmetic, elliptic curves.
