//! Requests that the device must refuse, and requests made of anything.

use proptest::prelude::*;
use qat_emu::engine::sym::execute;

use crate::common::{Host, Random};
use crate::hash::{SHA1, SHA256};
use crate::job::*;

#[test]
fn unsupported_requests_say_so() {
    let host = Host::new();
    let data = [7; 64];
    let unsupported = |job: Job| {
        let (job, destination) = job.attach(&host, &data, 0);
        let outcome = job.run(&host);
        assert!(outcome.unsupported && outcome.fault.is_none());
        assert_eq!((outcome.response[5], outcome.response[6]), (0, 4));
        assert_eq!(host.gather(&destination), data, "a refused request changes nothing");
    };
    for command in [4, 5, 10, 11, 17, 255] {
        unsupported(Job::new(command));
    }
    // ARC4, Kasumi, SNOW 3G, ZUC, SM4; F8; hashes this device does not have.
    for algorithm in [6, 7, 8, 9, 10, 12, 13, 15] {
        unsupported(Job::new(0).cipher(algorithm, CBC, false, &[0; 32]).iv(&[0; 16]).cipher_region(0, 64));
    }
    unsupported(Job::new(0).cipher(3, 3, false, &[0; 16]).iv(&[0; 16]).cipher_region(0, 64));
    for code in [0, 9, 10, 11, 12, 13, 14, 15, 20, 22, 29, 63] {
        unsupported(Job::new(1).hash(code, 0, 0, &[0; 64], &[0; 64], 16).hash_region(0, 64));
    }
    unsupported(Job::new(0).flags(CONSTANT_TABLE).u8(110, 24).iv(&[0; 16]).cipher_region(0, 64));
    unsupported(Job::new(1).flags(CONSTANT_TABLE).u8(114, 99).hash_region(0, 64));
}

#[test]
fn contradicting_lengths_are_invalid() {
    let host = Host::new();
    let invalid = |job: Job| {
        let outcome = job.attach(&host, &[7; 64], 0).0.run(&host);
        assert_eq!((outcome.response[6], outcome.unsupported, outcome.fault), (0x82, false, None));
    };
    invalid(Job::new(0).cipher(3, CBC, false, &[0; 16]).iv(&[0; 16]).cipher_region(0, 17));
    invalid(Job::new(0).cipher(3, ECB, false, &[0; 16]).cipher_region(0, 15));
    invalid(Job::new(0).cipher(3, XTS, false, &[0; 16]).iv(&[0; 16]).cipher_region(0, 15));
    // A partial hash stops between blocks only.
    let state = host.alloc(&[0; 64]);
    invalid(
        Job::new(1).plain_hash(&SHA256).flags(START | UPDATE_STATE).u64(88, state + 40).hash_region(0, 63),
    );
}

/// Takes each mapping of a working request away in turn: a fault with its address, an error, no success.
#[test]
fn every_unmapped_access_is_a_fault() {
    let host = Host::new();
    let mut random = Random(40);
    let data = random.bytes(96);
    let chain = |flags| {
        Job::new(2)
            .cipher(3, CBC, false, &[1; 16])
            .hmac_prefixed(&host, &SHA1, b"key", 20)
            .flags(flags | UPDATE_STATE)
            .u64(64, host.alloc(&[0; 16]))
            .u64(96, host.alloc(&[0; 20]))
            .cipher_region(0, 96)
            .hash_region(0, 96)
    };
    let single_pass = Job::new(0)
        .cipher(3, MODE_GCM, false, &[1; 16])
        .flags(SINGLE_PASS | RETURN)
        .u64(64, host.alloc(&[0; 16]))
        .cipher_region(0, 96)
        .u32(84, 16)
        .u64(88, host.alloc(&[0; 16]))
        .u64(96, host.alloc(&[0; 16]))
        .u8(107, 16);
    for job in [chain(RETURN), single_pass] {
        let (mut job, _) = job.attach(&host, &data, 1);
        job = job.clone().u64(8, host.alloc(&job.descriptor));
        job.descriptor.clear();
        let mut faults = 0;
        for iova in host.mappings() {
            let bytes = host.unmap(iova);
            let outcome = job.run(&host);
            match outcome.fault {
                Some(fault) => {
                    assert!((iova..iova + bytes.len() as u64 + 1).contains(&fault.iova), "{fault}");
                    assert_eq!((outcome.response[5] as i8, outcome.response[6]), (-17, 0x80));
                    assert!(!outcome.unsupported);
                    faults += 1;
                }
                None => assert_eq!(outcome.response[6], 0),
            }
            host.map(iova, bytes);
        }
        assert!(faults > 8, "{faults} of the mappings are used");
    }
}

#[test]
fn a_length_beyond_memory_is_a_fault_not_an_allocation() {
    let host = Host::new();
    let at = host.alloc(&[0; 64]);
    let job = Job::new(0).cipher(3, CTR, false, &[0; 16]).iv(&[0; 16]).cipher_region(0, u32::MAX as usize);
    let outcome = job.flat(at, u32::MAX as usize).run(&host);
    assert!(outcome.fault.is_some());
    let job = Job::new(0)
        .cipher(3, MODE_GCM, false, &[0; 16])
        .flags(SINGLE_PASS)
        .iv(&[0; 12])
        .u32(84, u32::MAX as usize);
    assert!(job.u64(88, at).flat(at, 64).run(&host).fault.is_some());
}

/// Random bytes whose addresses point into mapped memory, so that they reach deep.
fn plausible(bytes: &[u8], at: u64) -> [u8; 128] {
    let mut request: [u8; 128] = bytes[..128].try_into().expect("128 bytes");
    request[1] %= 18;
    for (slot, byte) in [8, 32, 40, 64, 88, 96].into_iter().zip(&bytes[128..]) {
        if *byte < 230 {
            request[slot..slot + 8].copy_from_slice(&(at + u64::from(*byte) * 16).to_le_bytes());
        }
    }
    for slot in [56, 60, 80, 84, 48, 52] {
        if bytes[128] & 3 != 0 {
            request[slot + 1] &= 7;
            request[slot + 2..slot + 4].fill(0);
        }
    }
    request
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn arbitrary_requests_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 134),
        memory in any::<u64>(),
        tame in any::<bool>(),
    ) {
        let host = Host::new();
        let mut content = Random(memory).bytes(8192);
        // Small counts where a list would have them.
        for block in content.chunks_exact_mut(16) {
            block[8] %= 4;
            block[9..12].fill(0);
        }
        let at = host.alloc(&content);
        let request = if tame { plausible(&bytes, at) } else { bytes[..128].try_into().expect("128") };
        let outcome = execute(&request, &host);
        prop_assert_eq!(outcome.response[1], 1);
        prop_assert_eq!(&outcome.response[8..16], &request[24..32]);
        if outcome.fault.is_some() || outcome.unsupported {
            prop_assert_ne!(outcome.response[6], 0);
        }
    }
}
