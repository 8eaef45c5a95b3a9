//! The curves of RFC 7748 and RFC 8032. Operands are numbers, not the encodings of the RFCs.

use num_bigint::BigUint;

/// A Montgomery curve and the corresponding Edwards curve.
struct Parameters {
    p: BigUint,
    /// The constant (A - 2) / 4 of the Montgomery curve.
    a24: u32,
    /// The coordinate u of the Montgomery curve's generator.
    u: u8,
    /// The coefficient a of the Edwards curve.
    a: BigUint,
    /// The coefficient d of the Edwards curve.
    d: BigUint,
    /// The generator of the Edwards curve.
    generator: (BigUint, BigUint),
}

fn parameters(bits: u16) -> Parameters {
    let decimal = |digits: &[u8]| BigUint::parse_bytes(digits, 10).unwrap_or_default();
    let one = BigUint::from(1_u8);
    if bits == 256 {
        let p = (&one << 255) - 19_u8;
        let a = &p - 1_u8;
        Parameters {
            a24: 121_665,
            u: 9,
            a,
            d: decimal(b"37095705934669439343138083508754565189542113879843219016388785533085940283555"),
            generator: (
                decimal(b"15112221349535400772501151409588531511454012693041857206046113283949847762202"),
                decimal(b"46316835694926478169428394003475163141307993866256225615783033603165251855960"),
            ),
            p,
        }
    } else {
        let p = (&one << 448) - (&one << 224) - 1_u8;
        let d = &p - 39_081_u32;
        Parameters {
            a24: 39_081,
            u: 5,
            a: one,
            d,
            generator: (
                decimal(
                    b"224580040295924300187604334099896036246789641632564134246125461686950415467406032909029192869357953282578032075146446173674602635247710",
                ),
                decimal(
                    b"298819210078481492676017930443930673437544040154080242095928241372331506189835876003536878655418784733982303233503462500531545062832660",
                ),
            ),
            p,
        }
    }
}

/// Computes X25519 (256 bits) or X448 (512 bits) of RFC 7748, section 5, of `u` or of the generator. It decodes the
/// scalar itself.
pub(super) fn montgomery(bits: u16, k: &BigUint, u: Option<&BigUint>) -> BigUint {
    let Parameters { p, a24, u: base, .. } = parameters(bits);
    let mut k = k.clone();
    let (low, top) = if bits == 256 { (3, 255) } else { (2, 448) };
    (0..low).for_each(|bit| k.set_bit(bit, false));
    (top..k.bits()).for_each(|bit| k.set_bit(bit, false));
    k.set_bit(if bits == 256 { 254 } else { 447 }, true);
    let mut u = u.cloned().unwrap_or_else(|| base.into());
    (top..u.bits()).for_each(|bit| u.set_bit(bit, false));
    let x1 = u % &p;
    let sub = |a: &BigUint, b: &BigUint| (a + &p - b) % &p;
    let one = BigUint::from(1_u8);
    let (mut x2, mut z2, mut x3, mut z3) = (one.clone(), BigUint::ZERO, x1.clone(), one);
    for bit in (0..top).rev() {
        let swap = k.bit(bit);
        if swap {
            std::mem::swap(&mut x2, &mut x3);
            std::mem::swap(&mut z2, &mut z3);
        }
        let (a, b) = ((&x2 + &z2) % &p, sub(&x2, &z2));
        let (aa, bb) = (&a * &a % &p, &b * &b % &p);
        let e = sub(&aa, &bb);
        let (c, d) = (&x3 + &z3, sub(&x3, &z3));
        let (da, cb) = (d * a % &p, c * b % &p);
        let (sum, difference) = (&da + &cb, sub(&da, &cb));
        x3 = &sum * &sum % &p;
        z3 = &x1 * (&difference * &difference % &p) % &p;
        x2 = &aa * bb % &p;
        z2 = &e * (aa + &e * a24) % &p;
        if swap {
            std::mem::swap(&mut x2, &mut x3);
            std::mem::swap(&mut z2, &mut z3);
        }
    }
    // The exponentiation returns 0 as the inverse of 0, as the RFC requires.
    x2 * z2.modpow(&(&p - 2_u8), &p) % p
}

/// Multiplies a point of edwards25519 (256 bits) or edwards448 (512 bits), or the generator, by `k`. Returns `None` for
/// a point that is not on the curve.
pub(super) fn multiply(
    bits: u16,
    k: &BigUint,
    point: Option<(BigUint, BigUint)>,
) -> Option<(BigUint, BigUint)> {
    let curve = parameters(bits);
    let p = &curve.p;
    let one = BigUint::from(1_u8);
    let (x, y) = point.unwrap_or_else(|| curve.generator.clone());
    let (xx, yy) = (&x * &x % p, &y * &y % p);
    if x >= *p || y >= *p || (&curve.a * &xx + &yy) % p != (&one + &curve.d * (xx * yy % p)) % p {
        return None;
    }
    let base = (x, y, one.clone());
    let mut sum = (BigUint::ZERO, one.clone(), one);
    for bit in (0..k.bits()).rev() {
        sum = add(&curve, &sum, &sum);
        if k.bit(bit) {
            sum = add(&curve, &sum, &base);
        }
    }
    let z = sum.2.modinv(p)?;
    Some((sum.0 * &z % p, sum.1 * z % p))
}

type Projective = (BigUint, BigUint, BigUint);

/// Adds two points by the complete formula in projective coordinates.
fn add(curve: &Parameters, first: &Projective, second: &Projective) -> Projective {
    let p = &curve.p;
    let a = &first.2 * &second.2 % p;
    let b = &a * &a % p;
    let c = &first.0 * &second.0 % p;
    let d = &first.1 * &second.1 % p;
    let e = &curve.d * (&c * &d % p) % p;
    let (f, g) = ((&b + p - &e) % p, (b + e) % p);
    let cross = (&first.0 + &first.1) * (&second.0 + &second.1) % p;
    let x = &a * &f % p * ((cross + p + p - &c - &d) % p) % p;
    let y = a * &g % p * ((d + p * p - &curve.a * c % p) % p) % p;
    (x, y, f * g % p)
}
