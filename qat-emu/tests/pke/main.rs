//! Tests of the public-key engine against RFC and Wycheproof vectors and the results of another implementation.

#[path = "../common/mod.rs"]
mod common;

mod curves;
mod integers;

use common::Host;
use proptest::prelude::*;
use qat_emu::engine::Outcome;
use qat_emu::engine::pke::{PkeRequest, execute};

/// A request of one function: inputs in their memory format, and the lengths of the outputs.
pub(crate) struct Call<'a> {
    pub(crate) id: u32,
    pub(crate) inputs: &'a [&'a [u8]],
    pub(crate) outputs: &'a [usize],
}

impl Call<'_> {
    /// Maps the operands and the lists; returns the request and the addresses of the outputs.
    fn attach(&self, host: &Host, next: u64) -> (PkeRequest, Vec<u64>) {
        let list = |entries: &[u64]| {
            host.alloc(&entries.iter().flat_map(|entry| entry.to_le_bytes()).collect::<Vec<_>>())
        };
        let inputs: Vec<u64> = self.inputs.iter().map(|input| host.alloc(input)).collect();
        let outputs: Vec<u64> = self.outputs.iter().map(|len| host.alloc(&vec![0xee; *len])).collect();
        let mut request = [0; 64];
        request[2] = 3;
        request[3] = 0x80;
        request[20..24].copy_from_slice(&self.id.to_le_bytes());
        request[24..32].copy_from_slice(&0x8877_6655_4433_2211_u64.to_le_bytes());
        request[32..40].copy_from_slice(&list(&inputs).to_le_bytes());
        request[40..48].copy_from_slice(&list(&outputs).to_le_bytes());
        request[48] = outputs.len() as u8;
        request[49] = inputs.len() as u8;
        request[56..].copy_from_slice(&next.to_le_bytes());
        (request, outputs)
    }

    fn outcome(&self, host: &Host) -> (Outcome, Vec<Vec<u8>>) {
        let (request, outputs) = self.attach(host, 0);
        let outcome = execute(&request, host);
        assert_eq!(outcome.response[..4], [0, 0, 3, 0x80]);
        assert_eq!(outcome.response[6..8], [0, 0]);
        assert_eq!(outcome.response[8..16], request[24..32]);
        assert_eq!(outcome.response[16..], request[32..48]);
        let outputs = outputs.iter().zip(self.outputs).map(|(at, len)| host.get(*at, *len)).collect();
        (outcome, outputs)
    }

    /// Executes the request, requires success and returns the outputs.
    pub(crate) fn run(&self) -> Vec<Vec<u8>> {
        let (outcome, outputs) = self.outcome(&Host::new());
        assert_eq!(outcome.response[4..6], [0, 0], "function {:#x}", self.id);
        outputs
    }

    /// Executes the request and returns whether the status is success; any other status has to be a plain failure.
    pub(crate) fn holds(&self) -> bool {
        let (outcome, _) = self.outcome(&Host::new());
        assert_eq!((outcome.response[4], outcome.fault, outcome.unsupported()), (0, None, false));
        assert!(matches!(outcome.response[5], 0 | 0x40));
        outcome.response[5] == 0
    }
}

/// Returns `bytes` with leading zeros added or removed so that they have length `len`.
pub(crate) fn widen(bytes: &[u8], len: usize) -> Vec<u8> {
    let excess = bytes.len().saturating_sub(len);
    assert!(bytes[..excess].iter().all(|byte| *byte == 0), "the value fits");
    [&vec![0; len.saturating_sub(bytes.len())][..], &bytes[excess..]].concat()
}

#[test]
fn unknown_functions_are_unsupported() {
    // These are PKE_INIT, GF(2^m) multiplication, SM2, KPT, and ids of no function.
    for id in [0x0806_169f, 0x3b24_2e38, 0x2222_16fe, 0x751d_3716, 0, u32::MAX] {
        let (outcome, _) = Call { id, inputs: &[], outputs: &[] }.outcome(&Host::new());
        assert!(outcome.unsupported() && outcome.fault.is_none());
        assert_eq!(outcome.response[4..6], [0, 4]);
    }
}

#[test]
fn every_unmapped_access_is_a_fault() {
    let host = Host::new();
    let call = Call { id: 0x150c_2327, inputs: &[&[3; 64], &[5; 64], &[7; 64]], outputs: &[64] };
    let (request, _) = call.attach(&host, 0);
    for iova in host.mappings() {
        let bytes = host.unmap(iova);
        let outcome = execute(&request, &host);
        assert_eq!(outcome.fault.map(|fault| fault.iova), Some(iova));
        assert_eq!((outcome.response[4] as i8, outcome.response[5]), (-17, 0x40));
        host.map(iova, bytes);
    }
    assert_eq!(execute(&request, &host).fault, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Every function refuses or computes arbitrary operands: small ones, zeros and noise.
    #[test]
    fn arbitrary_operands_never_panic(index in any::<proptest::sample::Index>(), seed in any::<u64>(), shape in 0_u8..4) {
        let host = Host::new();
        let mut random = common::Random(seed);
        let mut content = match shape {
            0 => vec![0; 12 * 128],
            1 => random.bytes(12 * 128),
            // These are small numbers wherever an operand may end.
            _ => (0..12 * 128).map(|i| if i % 8 == 7 { random.next() as u8 % 16 } else { 0 }).collect(),
        };
        content[0] &= 1;
        let at = host.alloc(&content);
        let list: Vec<u8> = (0..16_u64).flat_map(|i| (at + i * 8).to_le_bytes()).collect();
        let list = host.alloc(&list);
        let ids = ALL_IDS;
        let mut request = [0; 64];
        request[20..24].copy_from_slice(&ids[index.index(ids.len())].to_le_bytes());
        request[32..40].copy_from_slice(&list.to_le_bytes());
        request[40..48].copy_from_slice(&list.to_le_bytes());
        request[48..50].copy_from_slice(&[5, 11]);
        let outcome = execute(&request, &host);
        prop_assert!(!outcome.unsupported());
    }

    #[test]
    fn arbitrary_requests_never_panic(bytes in proptest::collection::vec(any::<u8>(), 64)) {
        let outcome = execute(&bytes.try_into().expect("64 bytes"), &Host::new());
        prop_assert_ne!(outcome.response[5], 0);
    }
}

/// One id of each family, with operands of moderate width.
const ALL_IDS: [u32; 36] = [
    0x1c0b_1a10,
    0x210c_1a1b,
    0x191d_1a9a,
    0x1940_1acc,
    0x1c16_1b21,
    0x1c16_1b3c,
    0x1c13_1b57,
    0x150c_2327,
    0x0906_23f8,
    0x0906_243a,
    0x1920_1fcd,
    0x1916_2104,
    0x1818_2260,
    0x1617_230a,
    0x3818_24a4,
    0x2614_24d4,
    0x2912_24ed,
    0x2c1c_2504,
    0x1214_2526,
    0x301e_2540,
    0x323a_2570,
    0x4320_33a6,
    0x1f0c_33fc,
    0x431b_2f22,
    0x2b25_2f6d,
    0x6a3c_2fa6,
    0x325b_3023,
    0x5511_346e,
    0x554c_331f,
    0x0a08_3546,
    0x1207_3556,
    0x1a13_35a6,
    0x0a06_34c6,
    0x0c06_3516,
    0x100b_34e6,
    0x1a0a_3536,
];
