//! Property tests with random data, layouts and requests.

use super::deflate::check_overflow;
use super::*;

/// Generates bytes with structure: runs, copies and noise.
fn data() -> impl Strategy<Value = Vec<u8>> {
    let run = (any::<u8>(), 1..2000usize).prop_map(|(byte, len)| vec![byte; len]);
    let noise = prop::collection::vec(any::<u8>(), 0..2000);
    let text = (0..20_000usize).prop_map(text);
    prop::collection::vec(prop_oneof![run, noise, text], 0..6).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_data_survives_any_split(plain in data(), command in 0..6u8, depth in 0..16u32, pieces in 1..200usize,
                                   flat: bool, last: bool, auto: bool) {
        prop_assume!(command != INFLATE && command != UNLZ4);
        let pieces = if flat { 1 } else { pieces };
        let mut job = Job { pieces, flat, ..Job::new(command).depth(depth).space(plain.len() * 2 + 1024) };
        job.parameters = if last { FINAL } else { 0 };
        let job = if auto { job.auto() } else { job };
        // A flat buffer cannot be empty here, because the mapping would not exist.
        let done = if flat && plain.is_empty() { job.run(&[0]) } else { job.run(&plain) };
        let plain = if flat && plain.is_empty() { vec![0] } else { plain };
        prop_assert_eq!((done.error, done.consumed), (0, plain.len()));
        let decoded = match command {
            LZ4 => lz4_blocks(&done.output, 1 << 16).0,
            LZ4S => { let mut out = Vec::new(); sequences(&done.output, 2, &mut out); out }
            _ => {
                let (decoded, finished) = other_inflate(&done.output, plain.len());
                prop_assert_eq!(finished, last);
                if command == STATIC && !auto {
                    prop_assert!(blocks(&done.output).iter().all(|b| b.0 == 1 || b.1 == 0));
                }
                decoded
            }
        };
        prop_assert!(decoded == plain);
        if command <= DYNAMIC && last {
            let back = Job { pieces, ..Job::new(INFLATE).space(plain.len()) }.run(&done.output);
            prop_assert_eq!((back.error, back.sums), (0, done.sums));
            prop_assert!(back.output == plain);
        }
    }

    #[test]
    fn any_overflow_is_exact(plain in data(), command in 0..2u8, space in 0..4000usize, auto: bool) {
        check_overflow(command, &plain, space, auto);
    }

    #[test]
    fn xxh32_splits_anywhere(plain in data(), cuts in prop::collection::vec(0..100usize, 0..20)) {
        let (mut hash, mut rest) = (Xxh32::new(), &plain[..]);
        for cut in cuts {
            let (part, next) = rest.split_at(cut.min(rest.len()));
            hash.update(part);
            rest = next;
        }
        hash.update(rest);
        prop_assert_eq!(hash.digest(), twox_hash::XxHash32::oneshot(0, &plain));
    }

    #[test]
    fn corrupted_streams_end_in_a_response(plain in data(), command in prop_oneof![Just(INFLATE), Just(UNLZ4)],
                                           at in any::<prop::sample::Index>(), flip in 1..=255u8) {
        let mut stream = Job::new(if command == INFLATE { DYNAMIC } else { LZ4 }).run(&plain).output;
        prop_assume!(!stream.is_empty());
        let at = at.index(stream.len());
        stream[at] ^= flip;
        let done = Job::new(command).space(100_000).run(&stream);
        prop_assert!(done.consumed <= stream.len() && done.fault.is_none());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_requests_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 128..3000), command in 0..8u8,
                                      plausible: bool, small in any::<[u16; 2]>()) {
        if plausible {
            bytes[1] = command;
            bytes[2] = if command == 7 { CHAIN_SERVICE } else { SERVICE };
            bytes[4] &= 1 << 3;
            bytes[75] &= 0;
            bytes[76..80].fill(0);
            for at in [39, 47, 71, 87, 111] {
                bytes[at] &= 0x7F;
            }
            bytes[56..60].copy_from_slice(&u32::from(small[0] % 2800).to_le_bytes());
            bytes[60..64].copy_from_slice(&u32::from(small[1]).to_le_bytes());
        }
        fuzz(&bytes);
    }
}
