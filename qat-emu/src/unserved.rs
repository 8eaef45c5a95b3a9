//! Tables of the registers, messages and request flags that the device acts on, and of those that deliberately have no
//! effect, with the reasons.
//!
//! The device compares registers and requests with these tables. It refuses a request with any other flag as
//! unsupported; any other bit of a register has no effect. The audit reports both, so that the device acknowledges
//! nothing that it does not do. This module contains tables only and uses no other module of the crate.

/// Describes a value that has no effect on this device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WithoutEffect {
    /// Names the register, message or flags.
    pub what: &'static str,
    /// Gives the reason why the value has no effect.
    pub why: &'static str,
}

/// Lists everything that is known and deliberately has no effect.
pub const WITHOUT_EFFECT: &[WithoutEffect] = &[
    WithoutEffect {
        what: "ring configuration, bits 5 to 14: watermarks",
        why: "they set the flags \"nearly full\" and \"nearly empty\", which no library reads and which are always zero here",
    },
    WithoutEffect {
        what: "ring register 0x174, bits 2 and 6: source of interrupts",
        why: "they select \"not empty\", which is the only source here and needs no selection",
    },
    WithoutEffect {
        what: "PCI command, bits 0, 1 and 6 to 10: I/O and memory space, errors, interrupt pin",
        why: "the windows are memory of the process that always exists, and the device has neither bus errors nor a pin",
    },
    WithoutEffect {
        what: "mailbox message 10: restart prepared",
        why: "the kernel waits for this message before it resets the device; here the test that announced the restart also announces its end",
    },
    WithoutEffect {
        what: "compression, service flags 4, 5 and 7: enhanced selection of blocks, no header for stored blocks, no secure memory",
        why: "this generation has none of these, and its firmware ignores the bits",
    },
    WithoutEffect {
        what: "compression, parameter flags 0 and 1: start and end of a packet",
        why: "they concern state between requests, and stateful requests are refused",
    },
    WithoutEffect {
        what: "compression, parameter flag 16: verify",
        why: "the response reports verification as done, but the output is not decompressed: tests verify the compressors instead, and the fault `verify-error` simulates a difference",
    },
    WithoutEffect {
        what: "compression, parameter flags 21 to 23: kind of the injected verify error",
        why: "the response is the same for all kinds",
    },
    WithoutEffect {
        what: "compression, configuration words: format, window, and search parameters except the depth",
        why: "the command determines the format; the other fields change only how well the hardware compresses",
    },
    WithoutEffect {
        what: "content descriptor: its size, the order of the slices, lengths of keys, states and padding",
        why: "they follow from the command and the algorithm, which the device uses instead",
    },
    WithoutEffect {
        what: "cipher and hash configuration: length of the digest to compare, length of associated data",
        why: "the device uses the fields of the request instead",
    },
];

/// The kinds of things that the audit reports when the device does not serve them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum UnservedKind {
    RingRegister,
    MailboxRegister,
    ConfigurationSpace,
    MailboxMessage,
    RequestFlags,
}

impl UnservedKind {
    pub(crate) const ALL: [Self; 5] = [
        Self::RingRegister,
        Self::MailboxRegister,
        Self::ConfigurationSpace,
        Self::MailboxMessage,
        Self::RequestFlags,
    ];

    pub(crate) fn index(self) -> usize {
        self as usize
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RingRegister => "ring register",
            Self::MailboxRegister => "mailbox register",
            Self::ConfigurationSpace => "PCI configuration space",
            Self::MailboxMessage => "mailbox message",
            Self::RequestFlags => "request flags",
        }
    }

    /// Returns what the device did with it.
    pub(crate) fn outcome(self) -> &'static str {
        match self {
            Self::RequestFlags => "refused",
            Self::MailboxMessage => "not known",
            _ => "acknowledged without effect",
        }
    }
}

/// Returns the known bits of a ring pair's register, by its offset in the ring pair's page.
pub(crate) fn ring_register(offset: usize) -> u32 {
    const WATERMARKS: u32 = 0x7FE0;
    const SIZE: u32 = 0x1F;
    const SEEN: u32 = 1 << 31;
    match offset {
        // These are the heads, the tails, the status "empty", and the high words of the addresses.
        0xC0 | 0xC4 | 0x100 | 0x104 | 0x14C | 0x1080 | 0x1084 => u32::MAX,
        // The source of interrupts is "not empty" for either ring.
        0x174 => 0x44,
        // Bit 1 enables interrupts of the response ring.
        0x17C => 2,
        // The coalescing control consists of a switch and a time.
        0x180 => 1 << 31 | 0xFFFF,
        // Bit 0 lets the arbiter serve the ring pair.
        0x19C => 1,
        0x1000 | 0x1004 => SEEN | WATERMARKS | SIZE,
        // The addresses are aligned to 64 bytes; the device uses bit 0 to mark a register that it has read.
        0x1040 | 0x1044 => !0x3E,
        _ => 0,
    }
}

/// Returns the known bits of a register in the mailbox window, by its offset.
pub(crate) fn mailbox_register(offset: usize) -> u32 {
    match offset {
        // This register masks the mailbox's interrupt; the next ones are the two mailbox words.
        0x1004 => 1,
        0x1008 | 0x100C => u32::MAX,
        _ => 0,
    }
}

/// Returns the known bits of a word of the configuration space, by its offset.
pub(crate) fn configuration_word(offset: usize) -> u32 {
    match offset {
        // The command word has bits for address spaces, bus master, errors and the interrupt pin.
        4 => 0x7 | 0x7C0,
        _ => 0,
    }
}

/// A field of flags in the requests of one service.
struct FlagField {
    service: u8,
    at: usize,
    bytes: usize,
    /// The bits that the engines act on or refuse themselves, and those of [`WITHOUT_EFFECT`].
    known: u32,
}

const ASYMMETRIC: u8 = 3;
const SYMMETRIC: u8 = 4;
const COMPRESSION: u8 = 9;
const CHAIN: u8 = 0x0B;

/// The only flag of the header, which every request sets.
const VALID: u8 = 1 << 7;
/// The position of that flag's byte in a request.
const HEADER_FLAGS: usize = 3;

const FLAGS: [FlagField; 12] = [
    // Known are partial packets, inline IV, constant table, state update, digest returned and compared, CCM and GCM,
    // digest in the buffer, IV of 12 bytes, single pass and unified slice. Unknown are SNOW 3G (bit 9), ZUC (bit 12)
    // and the wireless slice (bit 15).
    FlagField { service: SYMMETRIC, at: 4, bytes: 2, known: 0x6DFF },
    // Known are scatter-gather lists and the inline key.
    FlagField { service: SYMMETRIC, at: 6, bytes: 1, known: 3 },
    // Unknown are a CRC after the cipher and the wireless slices.
    FlagField { service: SYMMETRIC, at: 7, bytes: 1, known: 0 },
    // Known are stateful sessions (which the engine refuses), the choice of the best block, and flags of earlier
    // generations.
    FlagField { service: COMPRESSION, at: 4, bytes: 2, known: 0xBC },
    FlagField { service: COMPRESSION, at: 6, bytes: 1, known: 3 },
    FlagField { service: COMPRESSION, at: 7, bytes: 1, known: 0 },
    // Known are start and end, final block, verify, recover, injected error and its kind, integrity and running XXH32.
    // Unknown are the flags of later generations.
    FlagField { service: COMPRESSION, at: 72, bytes: 4, known: 0x00FF_0043 },
    FlagField { service: ASYMMETRIC, at: 4, bytes: 2, known: 0 },
    FlagField { service: ASYMMETRIC, at: 6, bytes: 2, known: 0 },
    // Unknown are the appended CRC, verification, the derived key and the running CRC-64.
    FlagField { service: CHAIN, at: 4, bytes: 2, known: 0 },
    FlagField { service: CHAIN, at: 6, bytes: 1, known: 3 },
    FlagField { service: CHAIN, at: 7, bytes: 1, known: 0 },
];

/// Returns the position and value of the first flags in a request that this device does not know. A request without
/// the flag "valid" counts as a request with unknown flags.
pub(crate) fn unknown_flags(request: &[u8]) -> Option<(usize, u32)> {
    let byte = |at: usize| request.get(at).copied().unwrap_or(0);
    let header = byte(HEADER_FLAGS) ^ VALID;
    if header != 0 {
        return Some((HEADER_FLAGS, header.into()));
    }
    FLAGS.iter().filter(|flags| flags.service == byte(2)).find_map(|flags| {
        let value = (0..flags.bytes).fold(0, |value, i| value | u32::from(byte(flags.at + i)) << (8 * i));
        let unknown = value & !flags.known;
        (unknown != 0).then_some((flags.at, unknown))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_the_table() {
        let document: String = include_str!("../DEVICE.md").split_whitespace().collect::<Vec<_>>().join(" ");
        for WithoutEffect { what, why } in WITHOUT_EFFECT {
            assert!(document.contains(&format!("| {what} | {why} |")), "{what}");
        }
    }

    #[test]
    fn flags_are_checked_by_service() {
        let request = |service: u8, at: usize, value: u8| {
            let mut request = [0; 128];
            (request[2], request[3]) = (service, VALID);
            request[at] = value;
            request
        };
        assert_eq!(unknown_flags(&[0x7F; 128]), Some((3, 0xFF)));
        assert_eq!(unknown_flags(&request(SYMMETRIC, 3, 0)), Some((3, 0x80)));
        assert_eq!(unknown_flags(&request(SYMMETRIC, 5, 0x10)), Some((4, 0x1000)), "ZUC");
        assert_eq!(unknown_flags(&request(SYMMETRIC, 75, 8)), None);
        assert_eq!(unknown_flags(&request(COMPRESSION, 75, 8)), Some((72, 0x0800_0000)), "partial output");
        assert_eq!(unknown_flags(&request(COMPRESSION, 4, 0xB8)), None);
    }
}
