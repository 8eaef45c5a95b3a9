//! Curves y^2 = x^3 + ax + b over GF(q), in Jacobian coordinates.

use num_bigint::BigUint;

use super::PkeError;
use super::functions::{inverse, nonzero};

/// A standardised curve, as hexadecimal digits.
pub(super) struct NamedCurve {
    q: &'static [u8],
    b: &'static [u8],
    n: &'static [u8],
    x: &'static [u8],
    y: &'static [u8],
}

impl NamedCurve {
    pub(super) fn curve(&self) -> Result<Curve, PkeError> {
        let q = parse(self.q);
        let a = &q - 3_u8;
        Curve::new(q, a, parse(self.b))
    }

    pub(super) fn generator(&self) -> Point {
        Point { x: parse(self.x), y: parse(self.y) }
    }

    pub(super) fn order(&self) -> BigUint {
        parse(self.n)
    }
}

fn parse(digits: &[u8]) -> BigUint {
    BigUint::parse_bytes(digits, 16).unwrap_or_default()
}

/// The curve P-256 (FIPS 186-4, D.1.2.3).
pub(super) const P256: NamedCurve = NamedCurve {
    q: b"ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
    b: b"5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b",
    n: b"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
    x: b"6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
    y: b"4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
};

/// The curve P-384 (FIPS 186-4, D.1.2.4).
pub(super) const P384: NamedCurve = NamedCurve {
    q: b"fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff",
    b: b"b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef",
    n: b"ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    x: b"aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7",
    y: b"3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f",
};

/// A point in affine coordinates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) x: BigUint,
    pub(super) y: BigUint,
}

/// A point with x = X / Z^2 and y = Y / Z^3, where Z is 0 for the point at infinity.
struct Jacobian {
    x: BigUint,
    y: BigUint,
    z: BigUint,
}

pub(super) struct Curve {
    q: BigUint,
    a: BigUint,
    b: BigUint,
}

impl Curve {
    /// Creates a curve over the odd modulus `q`.
    pub(super) fn new(q: BigUint, a: BigUint, b: BigUint) -> Result<Self, PkeError> {
        if q <= BigUint::from(3_u8) || !q.bit(0) {
            return Err(PkeError::Failed);
        }
        let (a, b) = (a % &q, b % &q);
        Ok(Self { q, a, b })
    }

    /// Creates a point; returns an error if it is not on the curve.
    pub(super) fn point(&self, x: BigUint, y: BigUint) -> Result<Point, PkeError> {
        let right = (&x * &x * &x + &self.a * &x + &self.b) % &self.q;
        if x < self.q && y < self.q && &y * &y % &self.q == right {
            Ok(Point { x, y })
        } else {
            Err(PkeError::Failed)
        }
    }

    /// Multiplies `point` by `k`; returns an error if the result is the point at infinity.
    pub(super) fn multiply(&self, k: &BigUint, point: &Point) -> Result<Point, PkeError> {
        self.affine(&self.ladder(k, point))
    }

    /// Computes r of ECDSA: the x coordinate of k times the generator, modulo n.
    pub(super) fn ecdsa_r(&self, generator: &Point, n: &BigUint, k: &BigUint) -> Result<BigUint, PkeError> {
        let r = self.multiply(k, generator)?.x % nonzero(n)?;
        nonzero(&r)?;
        Ok(r)
    }

    /// Verifies an ECDSA signature (FIPS 186-4, 6.4).
    pub(super) fn ecdsa_verify(
        &self,
        generator: &Point,
        n: &BigUint,
        key: &Point,
        e: &BigUint,
        r: &BigUint,
        s: &BigUint,
    ) -> Result<bool, PkeError> {
        nonzero(r)?;
        nonzero(s)?;
        if r >= n || s >= n {
            return Ok(false);
        }
        let w = inverse(s, n)?;
        let first = self.ladder(&(e * &w % n), generator);
        let second = self.ladder(&(r * w % n), key);
        Ok(self.affine(&self.add(&first, &second))?.x % n == *r)
    }

    fn affine(&self, point: &Jacobian) -> Result<Point, PkeError> {
        let z = inverse(&point.z, &self.q)?;
        let z2 = &z * &z % &self.q;
        Ok(Point { x: &point.x * &z2 % &self.q, y: &point.y * z2 % &self.q * z % &self.q })
    }

    fn ladder(&self, k: &BigUint, point: &Point) -> Jacobian {
        let one = BigUint::from(1_u8);
        let base = Jacobian { x: point.x.clone(), y: point.y.clone(), z: one.clone() };
        let mut sum = Jacobian { x: one.clone(), y: one, z: BigUint::ZERO };
        for bit in (0..k.bits()).rev() {
            sum = self.double(&sum);
            if k.bit(bit) {
                sum = self.add(&sum, &base);
            }
        }
        sum
    }

    /// Computes `a - b` for reduced values.
    fn sub(&self, a: &BigUint, b: &BigUint) -> BigUint {
        if a >= b { a - b } else { a + &self.q - b }
    }

    fn mul(&self, a: &BigUint, b: &BigUint) -> BigUint {
        a * b % &self.q
    }

    fn double(&self, point: &Jacobian) -> Jacobian {
        let yy = self.mul(&point.y, &point.y);
        let s = self.mul(&point.x, &yy) * 4_u8 % &self.q;
        let zz = self.mul(&point.z, &point.z);
        let m = (self.mul(&point.x, &point.x) * 3_u8 + &self.a * self.mul(&zz, &zz)) % &self.q;
        let x = self.sub(&self.mul(&m, &m), &(&s * 2_u8 % &self.q));
        let yyyy = self.mul(&yy, &yy) * 8_u8 % &self.q;
        let y = self.sub(&self.mul(&m, &self.sub(&s, &x)), &yyyy);
        Jacobian { x, y, z: self.mul(&point.y, &point.z) * 2_u8 % &self.q }
    }

    fn add(&self, a: &Jacobian, b: &Jacobian) -> Jacobian {
        let copy = |p: &Jacobian| Jacobian { x: p.x.clone(), y: p.y.clone(), z: p.z.clone() };
        if a.z == BigUint::ZERO {
            return copy(b);
        }
        if b.z == BigUint::ZERO {
            return copy(a);
        }
        let (za, zb) = (self.mul(&a.z, &a.z), self.mul(&b.z, &b.z));
        let (u1, u2) = (self.mul(&a.x, &zb), self.mul(&b.x, &za));
        let s1 = self.mul(&a.y, &self.mul(&zb, &b.z));
        let s2 = self.mul(&b.y, &self.mul(&za, &a.z));
        let (h, r) = (self.sub(&u2, &u1), self.sub(&s2, &s1));
        if h == BigUint::ZERO && r == BigUint::ZERO {
            return self.double(a);
        }
        let hh = self.mul(&h, &h);
        let hhh = self.mul(&hh, &h);
        let v = self.mul(&u1, &hh);
        let x = self.sub(&self.sub(&self.mul(&r, &r), &hhh), &(&v * 2_u8 % &self.q));
        let y = self.sub(&self.mul(&r, &self.sub(&v, &x)), &self.mul(&s1, &hhh));
        // If h is 0, the points are opposite, and the product is 0, as required for the point at infinity.
        Jacobian { x, y, z: self.mul(&self.mul(&a.z, &b.z), &h) }
    }
}
