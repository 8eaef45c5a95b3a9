//! The entry point for fuzzing the device: the caller chooses the registers, the mailbox words, the rings and
//! everything that requests refer to.

use super::{
    bank::{Bank, StandaloneContext},
    flat::FlatMemory,
    mailbox::Mailbox,
    registers::{
        BankOffsets, MISC_BAR_BYTES, PlainWindow, REQUEST, RESPONSE, RING_BAR_BYTES, Registers, VF_TO_PF,
    },
};
use crate::{
    config::{Config, Services, Timing},
    engine::Engines,
    message::word,
    service::Service,
};

/// Runs a device on arbitrary registers and memory. The first 32 bytes choose the service, the ring registers and a
/// mailbox word; the rest is the memory, which is mapped at address 0x1000.
///
/// # Panics
/// Panics when an engine panicked or a request was lost, which are defects of the emulator.
pub fn fuzz(bytes: &[u8]) {
    let Some((head, memory)) = bytes.split_first_chunk::<32>() else { return };
    let misc = PlainWindow::new(MISC_BAR_BYTES);
    let config = Config { capability_version: 2 + head[1] % 3, ..Config::default() };
    let mailbox = Mailbox::new(Services::SYM_DC, &config);
    misc.store(VF_TO_PF, word(head, 4) | 1);
    mailbox.serve(&misc, &mut |_| {});

    let rings = PlainWindow::new(RING_BAR_BYTES);
    let service = Service::ALL[usize::from(head[0]) % Service::ALL.len()];
    let mut bank = Bank::new(0, 0, service);
    let offsets = BankOffsets(0);
    for (ring, at) in [(REQUEST, 8), (RESPONSE, 20)] {
        rings.store(offsets.config(ring), u32::from(head[at]));
        // The address is usually inside the memory, so that the device finds requests.
        rings.store(offsets.base_low(ring), FlatMemory::START as u32 + u32::from(word(head, at + 1) as u16));
        rings.store(offsets.base_high(ring), u32::from(head[at + 3] & 1));
        rings.store(offsets.tail(ring), word(head, at + 4));
    }
    rings.store(offsets.arbiter(), 1);
    let memory = FlatMemory::new(memory);
    let standalone = StandaloneContext::default();
    let timing = Timing { null: head[2] & 1 == 1, ..Timing::default() };
    let context = standalone.ring_context(&rings, &memory, timing);
    let mut engines = Engines::default();
    for _ in 0..4 {
        bank.serve(&context, &mut engines);
    }
    let seen = standalone.counters.snapshot();
    assert_eq!(seen.engine_panics, 0, "an engine panicked");
    assert_eq!(seen.requests(), seen.responses() + seen.in_work, "a request was lost");
    bank.reset(&rings, &standalone.counters);
    assert_eq!(standalone.counters.snapshot().in_work, 0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn arbitrary_registers_and_memory_are_survived(
            mut head in proptest::array::uniform32(any::<u8>()),
            memory in proptest::collection::vec(any::<u8>(), 0..4096),
            sane in any::<bool>(),
        ) {
            if sane {
                // These are rings of four messages at the start of the memory, with two requests of the right service.
                head[8..20].copy_from_slice(&[3, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
                head[20..].copy_from_slice(&[1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            }
            let mut bytes = [&head[..], &memory].concat();
            let service = [9, 4, 3][usize::from(head[0]) % 3];
            for slot in 0..2 {
                if let Some(place) = bytes.get_mut(32 + slot * 128 + 2) {
                    *place = service;
                }
            }
            super::fuzz(&bytes);
        }
    }
}
