//! Public-key calls of the library, whose structures are sequences of flat buffers followed by some words.

use std::{
    ffi::{c_int, c_void},
    ptr,
};

use super::{
    Completion, DmaBuffer, FlatBuffer, Handle, Libqat, MISMATCH, SUCCESS, Status, complete, refused,
};

pub type FlatCallback = unsafe extern "C" fn(*mut c_void, Status, *mut c_void, *mut FlatBuffer);
pub type VerifyCallback = unsafe extern "C" fn(*mut c_void, Status, *mut c_void, c_int);
pub type OneCallback = unsafe extern "C" fn(*mut c_void, Status, *mut c_void, c_int, *mut FlatBuffer);
pub type TwoCallback =
    unsafe extern "C" fn(*mut c_void, Status, *mut c_void, c_int, *mut FlatBuffer, *mut FlatBuffer);
pub type RsaCallback =
    unsafe extern "C" fn(*mut c_void, Status, *mut c_void, *mut RsaPrivateKey, *mut RsaPublicKey);

pub type FlatFunction =
    unsafe extern "C" fn(Handle, FlatCallback, *mut c_void, *const c_void, *mut FlatBuffer) -> Status;
pub type VerifyFunction =
    unsafe extern "C" fn(Handle, VerifyCallback, *mut c_void, *const c_void, *mut c_int) -> Status;
pub type OneFunction = unsafe extern "C" fn(
    Handle,
    OneCallback,
    *mut c_void,
    *const c_void,
    *mut c_int,
    *mut FlatBuffer,
) -> Status;
pub type TwoFunction = unsafe extern "C" fn(
    Handle,
    TwoCallback,
    *mut c_void,
    *const c_void,
    *mut c_int,
    *mut FlatBuffer,
    *mut FlatBuffer,
) -> Status;

#[repr(C)]
pub struct RsaPublicKey {
    pub n: FlatBuffer,
    pub e: FlatBuffer,
}

#[repr(C)]
pub struct RsaPrivateKey {
    pub version: u32,
    pub form: u32,
    pub n: FlatBuffer,
    pub d: FlatBuffer,
    /// The values p, q, d mod p - 1, d mod q - 1, 1/q mod p.
    pub crt: [FlatBuffer; 5],
}

#[repr(C)]
struct RsaGenerate {
    p: FlatBuffer,
    q: FlatBuffer,
    modulus_bytes: u32,
    version: u32,
    form: u32,
    e: FlatBuffer,
}

#[repr(C)]
struct RsaOperation {
    key: *const c_void,
    input: FlatBuffer,
}

#[repr(C)]
struct Prime {
    candidate: FlatBuffer,
    gcd: u32,
    fermat: u32,
    rounds: u32,
    random: FlatBuffer,
    lucas: u32,
}

#[repr(C)]
struct Row<const N: usize> {
    flats: [FlatBuffer; N],
    words: [u32; 2],
}

#[repr(C)]
struct Curve {
    kind: u64,
    field: u64,
    /// The values p, a, b and the cofactor.
    parameters: [FlatBuffer; 4],
}

#[repr(C)]
struct OnCurve<const N: usize> {
    flats: [FlatBuffer; N],
    curve: *const Curve,
    generator: u32,
}

#[repr(C)]
struct MontgomeryEdwards {
    curve: u32,
    generator: u32,
    flats: [FlatBuffer; 3],
}

const PRIME_FIELD: u32 = 1;

unsafe extern "C" fn flat(tag: *mut c_void, status: Status, _: *mut c_void, _: *mut FlatBuffer) {
    // SAFETY: `complete` requires the tag of a `Completion`: `Asym::call` passed it, and waits for this callback.
    unsafe { complete(tag, status) };
}

unsafe extern "C" fn verify(tag: *mut c_void, status: Status, _: *mut c_void, holds: c_int) {
    // SAFETY: `complete` requires the tag of a `Completion`: `Asym::call` passed it, and waits for this callback.
    unsafe { complete(tag, judged(status, holds)) };
}

unsafe extern "C" fn one(tag: *mut c_void, status: Status, _: *mut c_void, holds: c_int, _: *mut FlatBuffer) {
    // SAFETY: `complete` requires the tag of a `Completion`: `Asym::call` passed it, and waits for this callback.
    unsafe { complete(tag, judged(status, holds)) };
}

unsafe extern "C" fn two(
    tag: *mut c_void,
    status: Status,
    _: *mut c_void,
    holds: c_int,
    _: *mut FlatBuffer,
    _: *mut FlatBuffer,
) {
    // SAFETY: `complete` requires the tag of a `Completion`: `Asym::call` passed it, and waits for this callback.
    unsafe { complete(tag, judged(status, holds)) };
}

unsafe extern "C" fn rsa(
    tag: *mut c_void,
    status: Status,
    _: *mut c_void,
    _: *mut RsaPrivateKey,
    _: *mut RsaPublicKey,
) {
    // SAFETY: `complete` requires the tag of a `Completion`: `Asym::call` passed it, and waits for this callback.
    unsafe { complete(tag, status) };
}

fn judged(status: Status, holds: c_int) -> Status {
    if status == SUCCESS && holds == 0 { MISMATCH } else { status }
}

/// The callback of functions that have one result and no verification.
pub const FLAT_CALLBACK: FlatCallback = flat;

/// Operands in memory that the device can access.
pub struct Operands {
    library: &'static Libqat,
    buffers: Vec<DmaBuffer>,
}

impl Operands {
    pub fn new(library: &'static Libqat) -> Self {
        Self { library, buffers: Vec::new() }
    }

    pub fn put(&mut self, bytes: &[u8]) -> FlatBuffer {
        if bytes.is_empty() {
            return FlatBuffer { len: 0, data: ptr::null_mut() };
        }
        self.buffers.push(self.library.alloc_from(bytes));
        self.buffers.last().expect("just pushed").flat()
    }

    pub fn put_all<const N: usize>(&mut self, values: [&[u8]; N]) -> [FlatBuffer; N] {
        values.map(|value| self.put(value))
    }
}

/// The public-key functions of a crypto instance. Every method waits for the callback. Its error is the status of the
/// call or of the callback, or [`MISMATCH`].
#[derive(Clone, Copy)]
pub struct Asym {
    pub library: &'static Libqat,
    pub instance: Handle,
}

impl Asym {
    /// Calls `submit` with the tag and waits.
    pub fn call(self, submit: impl FnOnce(*mut c_void) -> Status) -> Result<(), Status> {
        let completion = Completion::new();
        refused(submit(completion.tag()))?;
        refused(completion.wait(|| {
            // SAFETY: libqat's headers require a valid instance handle, which the library itself returned.
            unsafe { (self.library.icp_sal_CyPollInstance)(self.instance, 0) }
        }))
    }

    /// Calls a function whose structure has only flat buffers, with one result of `room` bytes.
    pub fn flat<const N: usize>(
        self,
        function: FlatFunction,
        inputs: [&[u8]; N],
        room: usize,
    ) -> Result<Vec<u8>, Status> {
        let mut operands = Operands::new(self.library);
        let operation = Row { flats: operands.put_all(inputs), words: [0; 2] };
        self.flat_of(function, (&raw const operation).cast(), room)
    }

    fn flat_of(
        self,
        function: FlatFunction,
        operation: *const c_void,
        room: usize,
    ) -> Result<Vec<u8>, Status> {
        let output = self.library.alloc(room);
        let mut result = output.flat();
        let (result, instance) = (&raw mut result, self.instance);
        // SAFETY: libqat's headers require that the operation, its operands and the result live until the callback, for
        // which `call` waits.
        self.call(|tag| unsafe { function(instance, flat, tag, operation, result) })?;
        Ok(output.bytes().to_vec())
    }

    /// Calls a verification; returns `Err(MISMATCH)` when its result is negative.
    pub fn verify<const N: usize>(self, function: VerifyFunction, inputs: [&[u8]; N]) -> Result<(), Status> {
        let mut operands = Operands::new(self.library);
        let operation = Row { flats: operands.put_all(inputs), words: [PRIME_FIELD, 0] };
        self.verify_of(function, (&raw const operation).cast())
    }

    fn verify_of(self, function: VerifyFunction, operation: *const c_void) -> Result<(), Status> {
        let mut verdict = 0;
        let (verdict, instance) = (&raw mut verdict, self.instance);
        // SAFETY: libqat's headers require that everything in the request lives until its callback, for which `call`
        // waits.
        self.call(|tag| unsafe { function(instance, verify, tag, operation, verdict) })
    }

    /// Calls a function with a verification and one result.
    pub fn one<const N: usize>(
        self,
        function: OneFunction,
        inputs: [&[u8]; N],
        room: usize,
    ) -> Result<Vec<u8>, Status> {
        let mut operands = Operands::new(self.library);
        let operation = Row { flats: operands.put_all(inputs), words: [PRIME_FIELD, 0] };
        let output = self.library.alloc(room);
        let (mut verdict, mut result) = (0, output.flat());
        let (verdict, result, instance) = (&raw mut verdict, &raw mut result, self.instance);
        let operation = (&raw const operation).cast();
        // SAFETY: libqat's headers require that everything in the request lives until its callback, for which `call`
        // waits.
        self.call(|tag| unsafe { function(instance, one, tag, operation, verdict, result) })?;
        Ok(output.bytes().to_vec())
    }

    /// Calls a function with a verification and two results; `last` is the word after the field type.
    pub fn two<const N: usize>(
        self,
        function: TwoFunction,
        inputs: [&[u8]; N],
        last: u32,
        room: usize,
    ) -> Result<[Vec<u8>; 2], Status> {
        let mut operands = Operands::new(self.library);
        let operation = Row { flats: operands.put_all(inputs), words: [PRIME_FIELD, last] };
        self.two_of(function, (&raw const operation).cast(), room)
    }

    fn two_of(
        self,
        function: TwoFunction,
        operation: *const c_void,
        room: usize,
    ) -> Result<[Vec<u8>; 2], Status> {
        let outputs = [self.library.alloc(room), self.library.alloc(room)];
        let (mut verdict, [mut first, mut second]) = (0, [outputs[0].flat(), outputs[1].flat()]);
        let verdict = &raw mut verdict;
        let (first, second, instance) = (&raw mut first, &raw mut second, self.instance);
        // SAFETY: libqat's headers require that everything in the request lives until its callback, for which `call`
        // waits.
        self.call(|tag| unsafe { function(instance, two, tag, operation, verdict, first, second) })?;
        Ok(outputs.map(|output| output.bytes().to_vec()))
    }

    /// Multiplies a point of the curve with p, a, b, and cofactor 1.
    pub fn multiply(
        self,
        k: &[u8],
        point: [&[u8]; 2],
        curve: [&[u8]; 3],
        generator: bool,
    ) -> Result<[Vec<u8>; 2], Status> {
        let mut operands = Operands::new(self.library);
        let curve = operands.curve(curve);
        let flats = operands.put_all([k, point[0], point[1]]);
        let operation = OnCurve { flats, curve: &raw const curve, generator: u32::from(generator) };
        let function = self.library.cpaCyEcGenericPointMultiply;
        self.two_of(function, (&raw const operation).cast(), point[0].len())
    }

    /// Checks whether a point is on the curve.
    pub fn on_curve(self, point: [&[u8]; 2], curve: [&[u8]; 3]) -> Result<(), Status> {
        let mut operands = Operands::new(self.library);
        let curve = operands.curve(curve);
        let operation = OnCurve { flats: operands.put_all(point), curve: &raw const curve, generator: 0 };
        self.verify_of(self.library.cpaCyEcGenericPointVerify, (&raw const operation).cast())
    }

    /// Multiplies a point, or the generator, of a curve: 1 Curve25519, 2 Ed25519, 3 Curve448, 4 Ed448.
    pub fn montgomery_edwards(
        self,
        curve: u32,
        k: &[u8],
        point: Option<[&[u8]; 2]>,
        room: usize,
    ) -> Result<[Vec<u8>; 2], Status> {
        let mut operands = Operands::new(self.library);
        let [x, y] = point.unwrap_or([&[], &[]]);
        let operation = MontgomeryEdwards {
            curve,
            generator: u32::from(point.is_none()),
            flats: operands.put_all([k, x, y]),
        };
        self.two_of(self.library.cpaCyEcMontEdwdsPointMultiply, (&raw const operation).cast(), room)
    }

    pub fn rsa_encrypt(self, n: &[u8], e: &[u8], input: &[u8]) -> Result<Vec<u8>, Status> {
        let mut operands = Operands::new(self.library);
        let key = RsaPublicKey { n: operands.put(n), e: operands.put(e) };
        let operation = RsaOperation { key: (&raw const key).cast(), input: operands.put(input) };
        self.flat_of(self.library.cpaCyRsaEncrypt, (&raw const operation).cast(), n.len())
    }

    /// Decrypts with n and d, or with p, q and the rest of the second form.
    pub fn rsa_decrypt(
        self,
        whole: [&[u8]; 2],
        crt: Option<[&[u8]; 5]>,
        input: &[u8],
    ) -> Result<Vec<u8>, Status> {
        let mut operands = Operands::new(self.library);
        let [n, d] = operands.put_all(if crt.is_some() { [&[], &[]] } else { whole });
        let key = RsaPrivateKey {
            version: 1,
            form: if crt.is_some() { 2 } else { 1 },
            n,
            d,
            crt: operands.put_all(crt.unwrap_or([&[]; 5])),
        };
        let operation = RsaOperation { key: (&raw const key).cast(), input: operands.put(input) };
        self.flat_of(self.library.cpaCyRsaDecrypt, (&raw const operation).cast(), whole[0].len())
    }

    /// Returns n and d, and in the second form also d mod p - 1, d mod q - 1 and 1/q mod p.
    pub fn rsa_generate(self, form: u32, p: &[u8], q: &[u8], e: &[u8]) -> Result<Vec<Vec<u8>>, Status> {
        let mut operands = Operands::new(self.library);
        let len = 2 * p.len();
        let operation = RsaGenerate {
            p: operands.put(p),
            q: operands.put(q),
            modulus_bytes: u32::try_from(len).unwrap(),
            version: 1,
            form,
            e: operands.put(e),
        };
        let n = self.library.alloc(len);
        let d = self.library.alloc(len);
        let public_e = self.library.alloc_from(e);
        let crt: [DmaBuffer; 5] = std::array::from_fn(|_| self.library.alloc(p.len()));
        let mut private = RsaPrivateKey {
            version: 1,
            form,
            n: n.flat(),
            d: d.flat(),
            crt: [0, 1, 2, 3, 4].map(|i: usize| crt[i].flat()),
        };
        let mut public = RsaPublicKey { n: n.flat(), e: public_e.flat() };
        let (instance, function) = (self.instance, self.library.cpaCyRsaGenKey);
        let (private, public) = (&raw mut private, &raw mut public);
        let operation = (&raw const operation).cast();
        // SAFETY: libqat's headers require that everything in the request lives until its callback, for which `call`
        // waits.
        self.call(|tag| unsafe { function(instance, rsa, tag, operation, private, public) })?;
        let whole = [&n, &d];
        let rest = if form == 2 { &crt[2..] } else { &[] };
        Ok(whole.into_iter().chain(rest).map(|buffer| buffer.bytes().to_vec()).collect())
    }

    /// Returns r and s for p, q, g, x, k and the digest.
    pub fn dsa_sign(self, inputs: [&[u8]; 6], room: usize) -> Result<[Vec<u8>; 2], Status> {
        self.two(self.library.cpaCyDsaSignRS, inputs, 0, room)
    }

    /// Runs all tests that the library has, with one Miller-Rabin round for each base.
    pub fn is_prime(self, candidate: &[u8], bases: &[&[u8]]) -> Result<(), Status> {
        let mut operands = Operands::new(self.library);
        let operation = Prime {
            candidate: operands.put(candidate),
            gcd: 1,
            fermat: 1,
            rounds: u32::try_from(bases.len()).unwrap(),
            random: operands.put(&bases.concat()),
            lucas: 1,
        };
        self.verify_of(self.library.cpaCyPrimeTest, (&raw const operation).cast())
    }
}

impl Operands {
    fn curve(&mut self, [p, a, b]: [&[u8]; 3]) -> Curve {
        Curve { kind: 1, field: PRIME_FIELD.into(), parameters: self.put_all([p, a, b, &[1]]) }
    }
}
