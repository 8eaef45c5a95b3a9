//! Primality tests (FIPS 186-4, appendix C.3). Each function applies one test to a candidate.

use num_bigint::{BigInt, BigUint, Sign};

/// The upper bound of the factors that are searched for.
const SMALL: u16 = 1 << 10;

/// Returns whether no small number divides `m`, except `m` itself.
pub(super) fn no_small_factor(m: &BigUint) -> bool {
    *m > BigUint::from(1_u8)
        && (2..SMALL).all(|factor| m % factor != BigUint::ZERO || *m == BigUint::from(factor))
}

/// Returns whether 2^(m-1) is 1 modulo `m`.
pub(super) fn fermat(m: &BigUint) -> bool {
    let one = BigUint::from(1_u8);
    *m > one && BigUint::from(2_u8).modpow(&(m - 1_u8), m) == one
}

/// Runs one Miller-Rabin round with the base `x`; returns whether `m` passes.
pub(super) fn miller_rabin(x: &BigUint, m: &BigUint) -> bool {
    let one = BigUint::from(1_u8);
    if *m <= one || !m.bit(0) {
        return *m == BigUint::from(2_u8);
    }
    let last = m - 1_u8;
    let twos = last.trailing_zeros().unwrap_or(0);
    let mut z = x.modpow(&(&last >> twos), m);
    if z == one || z == last {
        return true;
    }
    for _ in 1..twos {
        z = &z * &z % m;
        if z == last {
            return true;
        }
    }
    false
}

/// Runs the Lucas test with Selfridge's parameters (C.3.3); returns whether `m` passes.
pub(super) fn lucas(m: &BigUint) -> bool {
    let root = m.sqrt();
    if *m <= BigUint::from(2_u8) || !m.bit(0) || &root * &root == *m {
        return *m == BigUint::from(2_u8);
    }
    // The candidates are 5, -7, 9, -11, ...; the search ends because `m` is no square, so that half of them are
    // non-residues.
    let Some(d) =
        (0_i32..).map(|i| if i % 2 == 0 { 5 + 2 * i } else { -5 - 2 * i }).find_map(|d| match jacobi(d, m) {
            -1 => Some(Some(d)),
            0 if BigUint::from(d.unsigned_abs()) != *m => Some(None),
            _ => None,
        })
    else {
        return false;
    };
    let Some(d) = d else { return false };
    let modulus = BigInt::from(m.clone());
    let reduce = |value: BigInt| ((value % &modulus) + &modulus) % &modulus;
    let halve = |value: BigInt| {
        let value = reduce(value);
        if value.bit(0) { (value + &modulus) >> 1 } else { value >> 1 }
    };
    let k = m + 1_u8;
    let (mut u, mut v) = (BigInt::from(1), BigInt::from(1));
    for bit in (0..k.bits() - 1).rev() {
        (u, v) = (reduce(&u * &v), halve(&v * &v + &u * &u * d));
        if k.bit(bit) {
            (u, v) = (halve(&u + &v), halve(&v + &u * d));
        }
    }
    u.sign() == Sign::NoSign
}

/// Computes the Jacobi symbol (a/n) for odd n (C.5).
fn jacobi(a: i32, n: &BigUint) -> i32 {
    let mut a = BigInt::from(a);
    let mut n = BigInt::from(n.clone());
    a = ((a % &n) + &n) % &n;
    let mut sign = 1;
    let low = |value: &BigInt, mask: u8| value.iter_u32_digits().next().unwrap_or(0) as u8 & mask;
    while a.sign() != Sign::NoSign {
        while !a.bit(0) {
            a >>= 1;
            if matches!(low(&n, 7), 3 | 5) {
                sign = -sign;
            }
        }
        std::mem::swap(&mut a, &mut n);
        if low(&a, 3) == 3 && low(&n, 3) == 3 {
            sign = -sign;
        }
        a %= &n;
    }
    if n == BigInt::from(1) { sign } else { 0 }
}
