//! Tests with requests that the device must refuse, and with arbitrary requests.

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
        assert!(outcome.unsupported() && outcome.fault.is_none());
        assert_eq!((outcome.response[5], outcome.response[6]), (0, 4));
        assert_eq!(host.gather(&destination), data, "a refused request changes nothing");
    };
    for command in [4, 5, 10, 11, 17, 255] {
        unsupported(Job::new(command));
    }
    // These are ARC4, Kasumi, SNOW 3G, ZUC, SM4, F8, and hashes that this device does not have.
    for algorithm in [6, 7, 8, 9, 10, 12, 13, 15] {
        unsupported(Job::new(0).cipher(algorithm, CBC, false, &[0; 32]).iv(&[0; 16]).cipher_region(0, 64));
    }
    unsupported(Job::new(0).cipher(3, 3, false, &[0; 16]).iv(&[0; 16]).cipher_region(0, 64));
    for code in [9, 10, 11, 12, 13, 14, 15, 20, 22, 29, 63] {
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
        assert_eq!((outcome.response[6], outcome.unsupported(), outcome.fault), (0x82, false, None));
    };
    invalid(Job::new(0).cipher(3, CBC, false, &[0; 16]).iv(&[0; 16]).cipher_region(0, 17));
    invalid(Job::new(0).cipher(3, ECB, false, &[0; 16]).cipher_region(0, 15));
    invalid(Job::new(0).cipher(3, XTS, false, &[0; 16]).iv(&[0; 16]).cipher_region(0, 15));
    // A partial hash can only stop between blocks.
    let state = host.alloc(&[0; 64]);
    invalid(
        Job::new(1).plain_hash(&SHA256).flags(START | UPDATE_STATE).u64(88, state + 40).hash_region(0, 63),
    );
}

/// Removes each mapping of a working request in turn: the result is a fault with its address, and an error.
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
                    assert!(!outcome.unsupported());
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

/// Returns working requests of every kind, to be modified.
fn working_requests(host: &Host) -> Vec<Job> {
    let data = Random(41).bytes(112);
    let state = host.alloc(&[0; 320]);
    let tag = host.alloc(&[0; 64]);
    let text = |job: Job| job.attach(host, &data, 1).0.u64(96, tag).u8(107, 12).flags(RETURN);
    let cipher = |algorithm, mode| {
        let key = vec![9; [0, 8, 24, 16, 24, 32][algorithm as usize]];
        Job::new(0).cipher(algorithm, mode, mode == XTS, &key).iv(&[3; 16]).cipher_region(0, 96)
    };
    let aead = |algorithm, mode| {
        let key = vec![9; if algorithm == 3 { 16 } else { 32 }];
        let aad = [&[0x41][..], &[2; 31]].concat();
        let job = Job::new(0).cipher(algorithm, mode, false, &key).flags(SINGLE_PASS).cipher_region(0, 96);
        job.u64(64, state).u32(84, 32).u64(88, host.alloc(&aad))
    };
    let derive = |command| {
        let source: Vec<u8> = [state, state, state].iter().flat_map(|word| word.to_le_bytes()).collect();
        Job::new(command)
            .hmac_prefixed(host, &SHA256, b"key", 32)
            .u64(32, host.alloc(&source))
            .u64(40, state)
            .u8(56, 16)
            .u8(58, 32)
            .u8(59, 4)
            .u8(60, 4)
            .u8(61, 4)
    };
    let mut jobs: Vec<Job> = [(0, CBC), (1, CBC), (2, CTR), (3, CBC), (4, ECB), (5, CTR), (3, XTS), (5, XTS)]
        .map(|(algorithm, mode)| text(cipher(algorithm, mode)))
        .into();
    jobs.extend([(3, MODE_GCM), (3, MODE_CCM), (11, CTR)].map(|(a, m)| text(aead(a, m))));
    jobs.push(text(Job::new(1).plain_hash(&SHA256).hash_region(0, 64).u64(88, state + 40)));
    jobs.push(text(Job::new(1).hmac_precomputed(&SHA1, b"key", 12).hash_region(0, 64).u64(88, state + 32)));
    jobs.push(text(Job::new(1).hmac_prefixed(host, &SHA1, b"key", 12).hash_region(0, 64)));
    jobs.push(text(Job::new(1).hash(7, 1, 0, &[0; 16], &[5; 48], 16).hash_region(0, 64).u64(88, state + 24)));
    jobs.push(text(Job::new(1).hash(8, 1, 0, &[0; 16], &[5; 32], 16).hash_region(0, 64).u64(88, state + 24)));
    jobs.push(text(Job::new(1).hash(19, 0, 0, &[0; 64], &[], 64).hash_region(0, 72).u64(88, state + 72)));
    for command in [2, 3] {
        let job = Job::new(command).cipher(3, CTR, false, &[9; 16]).iv(&[3; 16]).cipher_region(0, 96);
        jobs.push(text(job.clone().hmac_precomputed(&SHA256, b"key", 32).hash_region(8, 100)));
        let job = job.u64(88, state).u8(104, 32).hash_region(0, 96);
        jobs.push(text(job.clone().hash(10, 1, 0, &[0; 16], &[5; 40], 16).flags(GCM)));
        jobs.push(text(job.hash(8, 1, 0, &[0; 16], &[5; 32], 16).flags(CCM)));
    }
    jobs.extend([6, 7, 8, 9, 12, 13, 14, 15, 16].map(derive));
    jobs.into_iter()
        .map(|job| {
            let at = host.alloc(&job.descriptor);
            Job { descriptor: Vec::new(), ..job.u64(8, at) }
        })
        .collect()
}

/// All these requests succeed before they are modified.
#[test]
fn working_requests_work() {
    let host = Host::new();
    for job in working_requests(&host) {
        let outcome = job.run(&host);
        assert_eq!(outcome.response[5..7], [0, 0], "command {}", job.request[1]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn damaged_requests_never_panic(
        chosen in any::<proptest::sample::Index>(),
        flags in any::<u16>(),
        edits in proptest::collection::vec((1_usize..128, any::<u8>()), 0..5),
        memory in proptest::collection::vec((any::<u64>(), any::<u8>()), 0..12),
    ) {
        let host = Host::new();
        let jobs = working_requests(&host);
        let mut request = jobs[chosen.index(jobs.len())].request;
        // Only some flags change, because otherwise every request would be refused.
        request[4] ^= flags.to_le_bytes()[0] & 0x77;
        request[5] ^= flags.to_le_bytes()[1] & 0x0c & request[24];
        for (at, value) in edits {
            request[at] = value;
        }
        for (at, value) in memory {
            host.disturb(at, value);
        }
        let outcome = execute(&request, &host);
        prop_assert_eq!(outcome.response[1], 1);
    }

    #[test]
    fn arbitrary_requests_never_panic(bytes in proptest::collection::vec(any::<u8>(), 128)) {
        let host = Host::new();
        host.alloc(&[0; 4096]);
        let request = bytes.try_into().expect("128 bytes");
        let outcome = execute(&request, &host);
        prop_assert_eq!(outcome.response[1], 1);
        prop_assert_eq!(&outcome.response[8..16], &request[24..32]);
        if outcome.fault.is_some() || outcome.unsupported() {
            prop_assert_ne!(outcome.response[6], 0);
        }
    }
}
