//! The table of function ids, and the computation of each function from its inputs to its outputs.

use num_bigint::BigUint;

use super::weierstrass::{Curve, P256, P384, Point};
use super::{Operands, PkeError, edwards, prime};

/// A function of the public-key service. The comments list inputs and outputs in the order of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    /// Takes e, m, and returns 2^e mod m.
    DhBase2,
    /// Takes g, e, m, and returns g^e mod m. It is also modular exponentiation, and RSA's public operation and plain
    /// private operation.
    Power,
    /// Takes p, q (half width), e, and returns n, d.
    RsaKeyForm1,
    /// Takes p, q (half width), e, and returns n, d, then dP, dQ, qInv (half width).
    RsaKeyForm2,
    /// Takes c, then p, q, dP, dQ, qInv (half width), and returns m.
    RsaCrt,
    /// Takes a, b, and returns the inverse of a modulo b.
    Inverse,
    /// Takes m, and returns no output: it tests for small factors.
    PrimeGcd,
    /// Takes m, and returns no output: it is Fermat's test.
    PrimeFermat,
    /// Takes x, m, and returns no output: it is a Miller-Rabin round with base x.
    PrimeMillerRabin,
    /// Takes m, and returns no output: it is the Lucas test.
    PrimeLucas,
    /// Takes x, q, and returns p.
    DsaP,
    /// Takes p, q, h, and returns g.
    DsaG,
    /// Takes p, g, x, and returns y.
    DsaY,
    /// Takes k, p, q, g, and returns r.
    DsaR,
    /// Takes m, k, q, r, x, and returns s.
    DsaS,
    /// Takes m, k, p, q, g, x, and returns r, s.
    DsaRs,
    /// Takes r, s, m, p, q, g, y, and returns no output.
    DsaVerify,
    /// Takes k, xG, yG, a, b, q, h, and returns x, y.
    EcMultiply,
    /// Takes x, y, q, a, b, and returns no output: it tests whether the point is on the curve.
    EcVerify,
    /// Takes xG, yG, n, q, a, b, k, and returns r.
    EcdsaR,
    /// Takes e, d, r, k, n, and returns s.
    EcdsaS,
    /// Takes xG, yG, n, q, a, b, k, e, d in one operand that starts with d, and returns r, s.
    EcdsaRs,
    /// Takes e, s, r, n, xG, yG, xQ, yQ, a, b, q in one operand that starts with q, and returns no output.
    EcdsaVerify,
    /// Takes x, y, k on P-256 or P-384, and returns x, y.
    NamedMultiply,
    /// Takes k on P-256 or P-384, and returns x, y.
    NamedGenerator,
    /// Takes k, e, d on P-256 or P-384, and returns r, s.
    NamedEcdsaRs,
    /// Takes x, k on Curve25519 or Curve448, and returns x.
    MontgomeryMultiply,
    /// Takes k on Curve25519 or Curve448, and returns x.
    MontgomeryGenerator,
    /// Takes x, y, k on Ed25519 or Ed448, and returns x, y.
    EdwardsMultiply,
    /// Takes k on Ed25519 or Ed448, and returns x, y.
    EdwardsGenerator,
}

/// The widths in bits that an id determines: that of the operands, and that of q in DSA.
pub(super) type Bits = (u16, u16);

/// Returns the function and the widths of an id.
pub(super) fn lookup(id: u32) -> Option<(Function, Bits)> {
    FUNCTIONS.iter().find_map(|(function, entries)| {
        let entry = entries.iter().find(|entry| entry.0 == id)?;
        Some((*function, (entry.1, entry.2)))
    })
}

/// Computes a function and writes its outputs.
pub(super) fn run(function: Function, bits: Bits, operands: &Operands<'_>) -> Result<(), PkeError> {
    let len = octets(bits.0);
    let half = len / 2;
    let one = || BigUint::from(1_u8);
    match function {
        Function::DhBase2 => {
            let [e, m] = operands.inputs(len)?;
            operands.output(0, len, &power(&BigUint::from(2_u8), &e, &m)?)
        }
        Function::Power => {
            let [g, e, m] = operands.inputs(len)?;
            operands.output(0, len, &power(&g, &e, &m)?)
        }
        Function::RsaKeyForm1 | Function::RsaKeyForm2 => {
            let [p, q] = operands.inputs(half)?;
            let e = operands.input(2, len)?;
            if p <= one() || q <= one() {
                return Err(PkeError::Failed);
            }
            let (p1, q1) = (&p - 1_u8, &q - 1_u8);
            let lambda = &p1 * &q1 / gcd(&p1, &q1);
            let d = inverse(&e, &lambda)?;
            operands.output(0, len, &(&p * &q))?;
            operands.output(1, len, &d)?;
            if function == Function::RsaKeyForm2 {
                operands.output(2, half, &(&d % p1))?;
                operands.output(3, half, &(&d % q1))?;
                operands.output(4, half, &inverse(&q, &p)?)?;
            }
            Ok(())
        }
        Function::RsaCrt => {
            let c = operands.input(0, len)?;
            let half_input = |index| operands.input(index, half);
            let (p, q) = (half_input(1)?, half_input(2)?);
            let m1 = power(&c, &half_input(3)?, &p)?;
            let m2 = power(&c, &half_input(4)?, &q)?;
            // This is RFC 8017, 5.1.2, with p added so that the difference is positive.
            let h = (m1 + &p - &m2 % &p) * half_input(5)? % &p;
            operands.output(0, len, &(m2 + h * q))
        }
        Function::Inverse => {
            let [a, b] = operands.inputs(len)?;
            operands.output(0, len, &inverse(&a, &b)?)
        }
        Function::PrimeGcd => require(prime::no_small_factor(&operands.input(0, len)?)),
        Function::PrimeFermat => require(prime::fermat(&operands.input(0, len)?)),
        Function::PrimeMillerRabin => {
            let [x, m] = operands.inputs(len)?;
            require(prime::miller_rabin(&x, &m))
        }
        Function::PrimeLucas => require(prime::lucas(&operands.input(0, len)?)),
        Function::DsaP
        | Function::DsaG
        | Function::DsaY
        | Function::DsaR
        | Function::DsaS
        | Function::DsaRs
        | Function::DsaVerify => dsa(function, len, octets(bits.1), operands),
        Function::EcMultiply => {
            let [k, x, y, a, b, q] = operands.inputs(len)?;
            // The cofactor is one quadword on the widest curves; 0 means that there is none.
            let cofactor = operands.input(6, if bits.0 == 521 { 8 } else { len })?;
            let curve = Curve::new(q, a, b)?;
            let k = if cofactor == BigUint::ZERO { k } else { k * cofactor };
            output_point(operands, len, &curve.multiply(&k, &curve.point(x, y)?)?)
        }
        Function::EcVerify => {
            let [x, y, q, a, b] = operands.inputs(len)?;
            Curve::new(q, a, b)?.point(x, y).map(|_| ())
        }
        Function::EcdsaR => {
            let [x, y, n, q, a, b, k] = operands.inputs(len)?;
            let curve = Curve::new(q, a, b)?;
            operands.output(0, len, &curve.ecdsa_r(&curve.point(x, y)?, &n, &k)?)
        }
        Function::EcdsaS => {
            let [e, d, r, k, n] = operands.inputs(len)?;
            operands.output(0, len, &signature_s(&e, &d, &r, &k, &n)?)
        }
        Function::EcdsaRs => {
            let [x, y, n, q, a, b, k, e, d] = operands.concatenated(len)?;
            let curve = Curve::new(q, a, b)?;
            let generator = curve.point(x, y)?;
            output_ecdsa(operands, len, &curve, &generator, &n, &[k, e, d])
        }
        Function::EcdsaVerify => {
            let [e, s, r, n, x_g, y_g, x_q, y_q, a, b, q] = operands.concatenated(len)?;
            let curve = Curve::new(q, a, b)?;
            let (generator, key) = (curve.point(x_g, y_g)?, curve.point(x_q, y_q)?);
            require(curve.ecdsa_verify(&generator, &n, &key, &e, &r, &s)?)
        }
        Function::NamedMultiply => {
            let [x, y, k] = operands.inputs(len)?;
            let curve = named(bits).curve()?;
            output_point(operands, len, &curve.multiply(&k, &curve.point(x, y)?)?)
        }
        Function::NamedGenerator => {
            let [k] = operands.inputs(len)?;
            let curve = named(bits).curve()?;
            output_point(operands, len, &curve.multiply(&k, &named(bits).generator())?)
        }
        Function::NamedEcdsaRs => {
            let inputs = operands.inputs(len)?;
            let curve = named(bits).curve()?;
            output_ecdsa(operands, len, &curve, &named(bits).generator(), &named(bits).order(), &inputs)
        }
        Function::MontgomeryMultiply => {
            let [x, k] = operands.inputs(len)?;
            operands.output(0, len, &edwards::montgomery(bits.0, &k, Some(&x)))
        }
        Function::MontgomeryGenerator => {
            let [k] = operands.inputs(len)?;
            operands.output(0, len, &edwards::montgomery(bits.0, &k, None))
        }
        Function::EdwardsMultiply => {
            let [x, y, k] = operands.inputs(len)?;
            let (x, y) = edwards::multiply(bits.0, &k, Some((x, y))).ok_or(PkeError::Failed)?;
            output_point(operands, len, &Point { x, y })
        }
        Function::EdwardsGenerator => {
            let [k] = operands.inputs(len)?;
            let (x, y) = edwards::multiply(bits.0, &k, None).ok_or(PkeError::Failed)?;
            output_point(operands, len, &Point { x, y })
        }
    }
}

fn named(bits: Bits) -> &'static super::weierstrass::NamedCurve {
    if bits.0 == 384 { &P384 } else { &P256 }
}

fn output_point(operands: &Operands<'_>, len: usize, point: &Point) -> Result<(), PkeError> {
    operands.output(0, len, &point.x)?;
    operands.output(1, len, &point.y)
}

fn output_ecdsa(
    operands: &Operands<'_>,
    len: usize,
    curve: &Curve,
    generator: &Point,
    n: &BigUint,
    [k, e, d]: &[BigUint; 3],
) -> Result<(), PkeError> {
    let r = curve.ecdsa_r(generator, n, k)?;
    operands.output(0, len, &r)?;
    operands.output(1, len, &signature_s(e, d, &r, k, n)?)
}

/// Computes the DSA functions of FIPS 186-4, section 4 and appendices A and B.
fn dsa(function: Function, len: usize, q_len: usize, operands: &Operands<'_>) -> Result<(), PkeError> {
    let wide = |index| operands.input(index, len);
    let narrow = |index| operands.input(index, q_len);
    match function {
        Function::DsaP => {
            let (x, q) = (wide(0)?, narrow(1)?);
            if q == BigUint::ZERO {
                return Err(PkeError::Failed);
            }
            let c = &x % (&q * 2_u8);
            operands.output(0, len, &(x + 1_u8 - c))
        }
        Function::DsaG => {
            let (p, q, h) = (wide(0)?, narrow(1)?, wide(2)?);
            if p == BigUint::ZERO || q == BigUint::ZERO {
                return Err(PkeError::Failed);
            }
            let g = power(&h, &((&p - 1_u8) / q), &p)?;
            require(g > BigUint::from(1_u8))?;
            operands.output(0, len, &g)
        }
        Function::DsaY => {
            let (p, g, x) = (wide(0)?, wide(1)?, narrow(2)?);
            operands.output(0, len, &power(&g, &x, &p)?)
        }
        Function::DsaR => {
            let (k, p, q, g) = (narrow(0)?, wide(1)?, narrow(2)?, wide(3)?);
            operands.output(0, q_len, &dsa_r(&k, &p, &q, &g)?)
        }
        Function::DsaS => {
            let [m, k, q, r, x] = operands.inputs(q_len)?;
            operands.output(0, q_len, &signature_s(&m, &x, &r, &k, &q)?)
        }
        Function::DsaRs => {
            let (m, k, p) = (narrow(0)?, narrow(1)?, wide(2)?);
            let (q, g, x) = (narrow(3)?, wide(4)?, narrow(5)?);
            let r = dsa_r(&k, &p, &q, &g)?;
            operands.output(0, q_len, &r)?;
            operands.output(1, q_len, &signature_s(&m, &x, &r, &k, &q)?)
        }
        _ => {
            let (r, s, m) = (narrow(0)?, narrow(1)?, narrow(2)?);
            let (p, q, g, y) = (wide(3)?, narrow(4)?, wide(5)?, wide(6)?);
            let in_range = |value: &BigUint| *value != BigUint::ZERO && *value < q;
            require(in_range(&r) && in_range(&s))?;
            let w = inverse(&s, &q)?;
            let v = power(&g, &(m * &w % &q), &p)? * power(&y, &(&r * w % &q), &p)? % p % q;
            require(v == r)
        }
    }
}

fn dsa_r(k: &BigUint, p: &BigUint, q: &BigUint, g: &BigUint) -> Result<BigUint, PkeError> {
    let r = power(g, k, p)? % nonzero(q)?;
    nonzero(&r)?;
    Ok(r)
}

/// Computes s of DSA and ECDSA: (e + d r) / k.
fn signature_s(e: &BigUint, d: &BigUint, r: &BigUint, k: &BigUint, n: &BigUint) -> Result<BigUint, PkeError> {
    let s = inverse(k, n)? * (e + d * r) % n;
    nonzero(&s)?;
    Ok(s)
}

fn require(condition: bool) -> Result<(), PkeError> {
    if condition { Ok(()) } else { Err(PkeError::Failed) }
}

pub(super) fn nonzero(value: &BigUint) -> Result<&BigUint, PkeError> {
    if *value == BigUint::ZERO { Err(PkeError::Failed) } else { Ok(value) }
}

fn power(base: &BigUint, exponent: &BigUint, modulus: &BigUint) -> Result<BigUint, PkeError> {
    Ok(base.modpow(exponent, nonzero(modulus)?))
}

/// Returns the inverse of `value`, or an error if there is none.
pub(super) fn inverse(value: &BigUint, modulus: &BigUint) -> Result<BigUint, PkeError> {
    value.modinv(nonzero(modulus)?).ok_or(PkeError::Failed)
}

fn gcd(a: &BigUint, b: &BigUint) -> BigUint {
    let (mut a, mut b) = (a.clone(), b.clone());
    while b != BigUint::ZERO {
        (a, b) = (b.clone(), a % b);
    }
    a
}

/// Returns the length in bytes of an operand, which consists of whole quadwords.
fn octets(bits: u16) -> usize {
    usize::from(bits).div_ceil(64) * 8
}

/// A function id and the widths that it determines.
type Entry = (u32, u16, u16);

/// Lists every id that is supported.
#[rustfmt::skip]
const FUNCTIONS: &[(Function, &[Entry])] = &[
    (Function::DhBase2, &[
        (0x1c0b_1a10, 768, 0), (0x220b_1a27, 1024, 0), (0x2e0b_1a3e, 1536, 0), (0x3e0b_1a55, 2048, 0),
        (0x3a0b_1a6c, 3072, 0), (0x4a0b_1a83, 4096, 0), (0x8d0b_3626, 8192, 0),
    ]),
    (Function::Power, &[
        (0x210c_1a1b, 768, 0), (0x290c_1a32, 1024, 0), (0x390c_1a49, 1536, 0), (0x4d0c_1a60, 2048, 0),
        (0x510c_1a77, 3072, 0), (0x690c_1a8e, 4096, 0), (0xcd0d_3636, 8192, 0), (0x1c16_1b21, 512, 0),
        (0x1c16_1b3c, 512, 0), (0x3511_1bf7, 1024, 0), (0x3511_1c12, 1024, 0), (0x4d11_1cdc, 1536, 0),
        (0x4d11_1cf7, 1536, 0), (0x6e11_1dba, 2048, 0), (0x6e11_1dda, 2048, 0), (0x7d11_1ea3, 3072, 0),
        (0x7d11_1ebe, 3072, 0), (0xa510_1f7e, 4096, 0), (0xa510_1f98, 4096, 0), (0xc313_35c6, 8192, 0),
        (0xc313_35e6, 8192, 0), (0x150c_2327, 512, 0), (0x2d0c_233e, 1024, 0), (0x410c_2355, 1536, 0),
        (0x5e12_236c, 2048, 0), (0x6016_2388, 2560, 0), (0x650c_23a9, 3072, 0), (0x8016_23c0, 3584, 0),
        (0x850c_23e1, 4096, 0), (0xc50c_3646, 8192, 0),
    ]),
    (Function::RsaKeyForm1, &[
        (0x191d_1a9a, 512, 0), (0x3618_1b71, 1024, 0), (0x531d_1c46, 1536, 0), (0x7218_1d2e, 2048, 0),
        (0x6019_1e16, 3072, 0), (0x7d1f_1ef6, 4096, 0),
    ]),
    (Function::RsaKeyForm2, &[
        (0x1940_1acc, 512, 0), (0x4045_1b9e, 1024, 0), (0x3239_1c78, 1536, 0), (0x4234_1d5b, 2048, 0),
        (0x6833_1e45, 3072, 0), (0x9125_1f27, 4096, 0),
    ]),
    (Function::RsaCrt, &[
        (0x1c13_1b57, 512, 0), (0x2613_1c2d, 1024, 0), (0x4511_1d12, 1536, 0), (0x5912_1dfa, 2048, 0),
        (0x8112_1ed9, 3072, 0), (0xb111_1fb2, 4096, 0), (0xc913_3606, 8192, 0),
    ]),
    (Function::Inverse, &[
        (0x0906_23f8, 128, 0), (0x0a06_23fe, 192, 0), (0x0a06_2404, 256, 0), (0x0b06_240a, 384, 0),
        (0x0c06_2410, 512, 0), (0x0e06_2416, 768, 0), (0x1006_241c, 1024, 0), (0x1806_2422, 1536, 0),
        (0x2006_2428, 2048, 0), (0x3006_242e, 3072, 0), (0x4006_2434, 4096, 0), (0x8807_3656, 8192, 0),
        (0x0906_243a, 128, 0), (0x0a06_2440, 192, 0), (0x0a06_2446, 256, 0), (0x0e0b_244c, 384, 0),
        (0x110b_2457, 512, 0), (0x170b_2462, 768, 0), (0x1d0b_246d, 1024, 0), (0x290b_2478, 1536, 0),
        (0x350b_2483, 2048, 0), (0x4d0b_248e, 3072, 0), (0x650b_2499, 4096, 0), (0xc80d_3666, 8192, 0),
    ]),
    (Function::PrimeGcd, &[
        (0x1920_1fcd, 192, 0), (0x1920_1ff7, 256, 0), (0x1920_2021, 384, 0), (0x1b1b_204b, 512, 0),
        (0x170c_2070, 768, 0), (0x130f_2085, 1024, 0), (0x1d0c_2094, 1536, 0), (0x210c_20a5, 2048, 0),
        (0x290c_20b6, 3072, 0), (0x310c_20c7, 4096, 0),
    ]),
    (Function::PrimeFermat, &[
        (0x0e11_20d8, 160, 0), (0x1211_20ee, 512, 0), (0x1916_2104, 512, 0), (0x1911_2124, 768, 0),
        (0x1f11_213a, 1024, 0), (0x2b11_2150, 1536, 0), (0x3b11_2166, 2048, 0), (0x3a11_217c, 3072, 0),
        (0x4a11_2192, 4096, 0),
    ]),
    (Function::PrimeMillerRabin, &[
        (0x0e12_21a8, 160, 0), (0x1112_21bf, 512, 0), (0x1d0d_21d6, 768, 0), (0x250d_21ed, 1024, 0),
        (0x350d_2204, 1536, 0), (0x490d_221b, 2048, 0), (0x4d0d_2232, 3072, 0), (0x650d_2249, 4096, 0),
        (0x1818_2260, 512, 0),
    ]),
    (Function::PrimeLucas, &[
        (0x0e0c_227e, 160, 0), (0x110c_228f, 512, 0), (0x130c_22a0, 768, 0), (0x150c_22b1, 1024, 0),
        (0x190c_22c2, 1536, 0), (0x1d0c_22d3, 2048, 0), (0x250c_22e4, 3072, 0), (0x6615_22f5, 4096, 0),
        (0x1617_230a, 512, 0),
    ]),
    (Function::DsaP, &[
        (0x3818_24a4, 1024, 160), (0x341d_25be, 2048, 224), (0x4311_26b7, 2048, 256),
        (0x4b11_27e0, 3072, 256),
    ]),
    (Function::DsaG, &[
        (0x2614_24d4, 1024, 160), (0x4b14_26ed, 2048, 256), (0x4f14_2816, 3072, 256),
    ]),
    (Function::DsaY, &[
        (0x2912_24ed, 1024, 160), (0x4d12_25ea, 2048, 256), (0x5112_282f, 3072, 256),
    ]),
    (Function::DsaR, &[
        (0x2c1c_2504, 1024, 160), (0x511c_2601, 2048, 224), (0x5b18_2706, 2048, 256),
        (0x5928_2846, 3072, 256),
    ]),
    (Function::DsaS, &[
        (0x1214_2526, 160, 160), (0x1514_2623, 224, 224), (0x1514_2733, 256, 256),
    ]),
    (Function::DsaRs, &[
        (0x301e_2540, 1024, 160), (0x571e_263d, 2048, 224), (0x5a2a_274d, 2048, 256),
        (0x6129_2874, 3072, 256),
    ]),
    (Function::DsaVerify, &[
        (0x323a_2570, 1024, 160), (0x6930_266d, 2048, 224), (0x723a_2789, 2048, 256),
        (0x7f43_28ae, 3072, 256),
    ]),
    (Function::EcMultiply, &[
        (0x4320_33a6, 256, 0), (0x4125_3419, 512, 0), (0x5511_346e, 521, 0),
    ]),
    (Function::EcVerify, &[
        (0x1f0c_33fc, 256, 0), (0x2612_345c, 512, 0), (0x0e07_34be, 521, 0),
    ]),
    (Function::EcdsaR, &[
        (0x431b_2f22, 256, 0), (0x4e25_30b3, 512, 0), (0x772c_31fe, 521, 0),
    ]),
    (Function::EcdsaS, &[
        (0x2b25_2f6d, 256, 0), (0x2518_30fa, 512, 0), (0x5234_3251, 521, 0),
    ]),
    (Function::EcdsaRs, &[
        (0x6a3c_2fa6, 256, 0), (0x5a2b_3127, 512, 0), (0x494a_329b, 521, 0),
    ]),
    (Function::EcdsaVerify, &[
        (0x325b_3023, 256, 0), (0x3553_318a, 512, 0), (0x554c_331f, 521, 0),
    ]),
    (Function::NamedMultiply, &[
        (0x0a08_3546, 256, 0), (0x0b08_3586, 384, 0),
    ]),
    (Function::NamedGenerator, &[
        (0x1207_3556, 256, 0), (0x0b07_3596, 384, 0),
    ]),
    (Function::NamedEcdsaRs, &[
        (0x1813_3566, 256, 0), (0x1a13_35a6, 384, 0),
    ]),
    (Function::MontgomeryMultiply, &[
        (0x0a06_34c6, 256, 0), (0x0c06_3506, 512, 0),
    ]),
    (Function::MontgomeryGenerator, &[
        (0x0a06_34d6, 256, 0), (0x0c06_3516, 512, 0),
    ]),
    (Function::EdwardsMultiply, &[
        (0x100b_34e6, 256, 0), (0x1a0b_3526, 512, 0),
    ]),
    (Function::EdwardsGenerator, &[
        (0x100a_34f6, 256, 0), (0x1a0a_3536, 512, 0),
    ]),
];
