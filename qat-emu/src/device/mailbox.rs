//! The mailbox between a virtual function and its physical function: version, capability blocks and notifications. It
//! only reads and writes the two mailbox words; a ring pair is reset by the caller.
//!
//! In a word, bit 0 means "new" (the receiver clears it as an acknowledgement), bit 1 is always set, bits 7:2 contain
//! the type, and bits 31:8 contain data.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use super::registers::{BANKS, PF_TO_VF, Registers, VF_TO_PF};
use crate::{
    config::{Config, Services},
    service::Service,
};

const NEW: u32 = 1;
const ORIGIN: u32 = 2;
/// The compatibility version of every library since 2022.
const COMPATIBILITY: u32 = 5;
/// The version in the response to libraries that are older than the compatibility versions: 1.1.
const LEGACY_VERSION: u32 = 0x11;
/// The first compatibility version whose programs are notified of fatal errors and of the end of a restart.
const FALLBACK: u32 = 5;

/// The types of messages from the virtual function.
mod to_pf {
    pub(super) const INIT: u32 = 0x03;
    pub(super) const SHUTDOWN: u32 = 0x04;
    pub(super) const LEGACY_VERSION: u32 = 0x05;
    pub(super) const VERSION: u32 = 0x06;
    pub(super) const LARGE_BLOCK: u32 = 0x07;
    pub(super) const MEDIUM_BLOCK: u32 = 0x08;
    pub(super) const SMALL_BLOCK: u32 = 0x09;
    pub(super) const RESTARTING_COMPLETE: u32 = 0x0A;
    pub(super) const RING_PAIR_RESET: u32 = 0x10;
}

/// The types of messages to the virtual function.
mod to_vf {
    pub(super) const VERSION: u32 = 0x02;
    pub(super) const BLOCK: u32 = 0x03;
    pub(super) const RING_PAIR_RESET: u32 = 0x10;
}

/// The results of a version exchange.
mod version {
    pub(super) const COMPATIBLE: u32 = 1;
    pub(super) const INCOMPATIBLE: u32 = 2;
    pub(super) const UNKNOWN: u32 = 3;
}

/// The results of a ring pair reset.
mod reset {
    pub(super) const SUCCESS: u32 = 0;
    pub(super) const NOT_SUPPORTED: u32 = 1;
}

/// The bits of a ring pair reset that select one of the four ring pairs; the others are reserved.
const RESET_BANK: u32 = BANKS as u32 - 1;

/// Names an event that the physical function announces to all its virtual functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notification {
    /// The device is about to restart, and requests in flight are lost.
    Restarting,
    /// The device failed and serves no requests until it is opened again.
    FatalError,
    /// The restart is complete.
    Restarted,
}

impl Notification {
    fn word(self) -> u32 {
        let kind = match self {
            Self::Restarting => 1,
            Self::FatalError => 4,
            Self::Restarted => 5,
        };
        kind << 2 | ORIGIN | NEW
    }
}

/// The mailbox of one virtual function as its physical function sees it.
#[derive(Debug)]
pub(crate) struct Mailbox {
    capabilities: Vec<u8>,
    ring_map: Vec<u8>,
    /// Whether the program has announced that it is running.
    started: AtomicBool,
    /// The compatibility version that the program named last.
    compatibility: AtomicU32,
}

/// The result of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notified {
    /// The notification is in the mailbox.
    Sent,
    /// The program has not read the previous word yet.
    Busy,
    /// The kernel's driver does not send this notification to this function.
    NotWanted,
}

/// Whether the mailbox knew the message that it acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handled {
    Known,
    Unknown,
}

impl Mailbox {
    pub(crate) fn new(services: Services, config: &Config) -> Self {
        Self {
            capabilities: capability_block(services, config),
            ring_map: ring_map(services),
            started: AtomicBool::new(false),
            compatibility: AtomicU32::new(0),
        }
    }

    /// Writes a notification to the mailbox under the conditions of the kernel's driver: the program has announced that
    /// it is running, and its version knows the notification.
    pub(crate) fn notify(&self, registers: &dyn Registers, notification: Notification) -> Notified {
        let known = notification == Notification::Restarting || self.compatibility.load(Relaxed) >= FALLBACK;
        if !self.started.load(Relaxed) || !known {
            return Notified::NotWanted;
        }
        if registers.load(PF_TO_VF) & NEW != 0 || registers.load(VF_TO_PF) & NEW != 0 {
            return Notified::Busy;
        }
        registers.store(PF_TO_VF, notification.word());
        Notified::Sent
    }

    /// Responds to the pending message, if any; `reset` resets a ring pair. The response is written before the
    /// acknowledgement, because the library looks for the response only once, after it has seen the acknowledgement.
    pub(crate) fn serve(&self, registers: &dyn Registers, reset: &mut dyn FnMut(usize)) -> Option<Handled> {
        let message = registers.load(VF_TO_PF);
        if message & NEW == 0 {
            return None;
        }
        let (response, handled) = self.respond(message, reset);
        if let Some((kind, data)) = response {
            registers.store(PF_TO_VF, data << 8 | kind << 2 | ORIGIN | NEW);
        }
        registers.store(VF_TO_PF, message & !NEW);
        Some(handled)
    }

    fn respond(&self, message: u32, reset: &mut dyn FnMut(usize)) -> (Option<(u32, u32)>, Handled) {
        let data = message >> 8;
        let bits = |low: u32, width: u32| data >> low & ((1 << width) - 1);
        let block = |number: u32, index: u32| {
            let crc = bits(9, 1) == 1;
            let (kind, value) = self.block_byte(number, index as usize, crc);
            let handled = if kind == ERROR { Handled::Unknown } else { Handled::Known };
            (Some((to_vf::BLOCK, kind | u32::from(value) << 2)), handled)
        };
        match message >> 2 & 0x3F {
            to_pf::VERSION => {
                let asked = bits(0, 8);
                self.compatibility.store(asked, Relaxed);
                let result = match asked {
                    0 => version::INCOMPATIBLE,
                    1..=COMPATIBILITY => version::COMPATIBLE,
                    _ => version::UNKNOWN,
                };
                (Some((to_vf::VERSION, COMPATIBILITY | result << 8)), Handled::Known)
            }
            to_pf::LEGACY_VERSION => {
                self.compatibility.store(0, Relaxed);
                (Some((to_vf::VERSION, LEGACY_VERSION | version::COMPATIBLE << 8)), Handled::Known)
            }
            to_pf::SMALL_BLOCK => block(bits(0, 4), bits(4, 5)),
            to_pf::MEDIUM_BLOCK => block(bits(0, 3) + 16, bits(3, 6)),
            to_pf::LARGE_BLOCK => block(bits(0, 2) + 24, bits(2, 7)),
            to_pf::INIT => {
                self.started.store(true, Relaxed);
                (None, Handled::Known)
            }
            to_pf::SHUTDOWN => {
                self.started.store(false, Relaxed);
                (None, Handled::Known)
            }
            // This message has no effect: see `WITHOUT_EFFECT` in `unserved`.
            to_pf::RESTARTING_COMPLETE => (None, Handled::Known),
            to_pf::RING_PAIR_RESET => {
                let result = if data & !RESET_BANK != 0 {
                    reset::NOT_SUPPORTED
                } else {
                    reset((data & RESET_BANK) as usize);
                    reset::SUCCESS
                };
                (Some((to_vf::RING_PAIR_RESET, result)), Handled::Known)
            }
            _ => (None, Handled::Unknown),
        }
    }

    /// Returns a byte of a block, or the CRC of its bytes up to and including `index`.
    fn block_byte(&self, number: u32, index: usize, crc: bool) -> (u32, u8) {
        let block = match number {
            2 => &self.capabilities,
            3 => &self.ring_map,
            _ => return (ERROR, UNKNOWN_BLOCK),
        };
        match block.get(..=index) {
            None => (ERROR, INDEX_OUT_OF_RANGE),
            Some(bytes) if crc => (CRC, crc8(bytes)),
            Some(_) => (DATA, block[index]),
        }
    }
}

/// The kinds of responses to a block request.
const DATA: u32 = 0;
const CRC: u32 = 1;
const ERROR: u32 = 2;
/// The values of a response of kind `ERROR`.
const UNKNOWN_BLOCK: u8 = 0;
const INDEX_OUT_OF_RANGE: u8 = 1;

/// The capability bits of each service, which libqat needs to offer what the engines compute.
const SYMMETRIC: u32 = 0x0403_920D;
const ASYMMETRIC: u32 = 0x0000_2002;
const COMPRESSION: u32 = 0x03C0_0020;
/// The bit of [`SYMMETRIC`] for the service itself.
const SYMMETRIC_RINGS: u32 = 1;
const HASH_THEN_COMPRESS: u32 = 1 << 21;
/// The bits for compress-and-verify and for the recovery after it.
const EXTENDED_COMPRESSION: u32 = 0x101;
/// The algorithms of version 4: deflate, LZ4 and LZ4s.
const ALGORITHMS: u16 = 0x000D;
/// The checksums of version 4: CRC-32, Adler-32 (whose bit includes XXH32) and a programmable CRC-64.
const CHECKSUMS: u16 = 0x0007;
/// The bit which says that dynamic deflate may need an intermediate buffer.
const DEFLATE: u32 = 0x0400;
/// A plausible clock frequency, which the library only reports.
const FREQUENCY_HZ: u32 = 1_000_000_000;

fn capability_block(services: Services, config: &Config) -> Vec<u8> {
    let version = config.capability_version;
    let offered = services.ring_pairs().iter().fold(0, |bits, service| {
        bits | match service {
            Service::Compression => COMPRESSION,
            Service::Symmetric => SYMMETRIC,
            Service::Asymmetric => ASYMMETRIC,
        }
    });
    let mut extended = if offered & COMPRESSION == 0 { 0 } else { EXTENDED_COMPRESSION };
    let mut offered = offered;
    if services.chaining() {
        // Chains use the symmetric algorithms, but no ring serves them alone.
        offered |= SYMMETRIC & !SYMMETRIC_RINGS;
        extended |= HASH_THEN_COMPRESS;
    }
    let mut payload = Vec::new();
    payload.extend_from_slice(&u32::to_le_bytes(extended));
    payload.extend_from_slice(&config.capabilities.unwrap_or(offered).to_le_bytes());
    if version >= 3 {
        payload.extend_from_slice(&FREQUENCY_HZ.to_le_bytes());
    }
    if version >= 4 {
        // This replaces what libqat 26.08 assumes of this generation; zeros would disable compression completely.
        let compresses = offered & COMPRESSION != 0;
        let [algorithms, checksums] = if compresses { [ALGORITHMS, CHECKSUMS] } else { [0; 2] };
        payload.extend_from_slice(&algorithms.to_le_bytes());
        payload.extend_from_slice(&checksums.to_le_bytes());
        payload.extend_from_slice(&u32::to_le_bytes(if compresses { DEFLATE } else { 0 }));
        // The fields of LZ4, LZ4s and zstd have 16 bits each; the library ignores them for this generation.
        payload.extend_from_slice(&[0; 6]);
    }
    [vec![version, payload.len() as u8], payload].concat()
}

/// Returns the block with the service of each bank in three bits: 0 unused, 2 compression, 3 symmetric, 4 asymmetric.
fn ring_map(services: Services) -> Vec<u8> {
    let map = services.ring_pairs().iter().rev().fold(0_u16, |map, service| {
        map << 3
            | match service {
                Service::Compression => 2,
                Service::Symmetric => 3,
                Service::Asymmetric => 4,
            }
    });
    let [low, high] = map.to_le_bytes();
    vec![1, 2, low, high]
}

/// Computes a CRC-8 with polynomial 0x97, most significant bit first, initial value 0xFF.
fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0xFF, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc, _| if crc & 0x80 == 0 { crc << 1 } else { crc << 1 ^ 0x97 })
    })
}

#[cfg(test)]
mod tests {
    use super::{super::registers::PlainWindow, *};

    fn ask(mailbox: &Mailbox, kind: u32, data: u32) -> u32 {
        let window = PlainWindow::new(0x2000);
        window.store(VF_TO_PF, data << 8 | kind << 2 | 3);
        assert_eq!(serve(mailbox, &window), Some(Handled::Known));
        assert_eq!(window.load(VF_TO_PF) & NEW, 0, "acknowledged");
        assert_eq!(serve(mailbox, &window), None);
        window.load(PF_TO_VF)
    }

    fn serve(mailbox: &Mailbox, window: &PlainWindow) -> Option<Handled> {
        mailbox.serve(window, &mut |bank| panic!("nobody asked to reset {bank}"))
    }

    /// The expected values are the responses of the kernel's `adf_vf_compat_checker` and of its legacy version message.
    #[test]
    fn versions_are_compared() {
        let mailbox = Mailbox::new(Services::DC, &Config::default());
        for (asked, result) in [(0, 2), (1, 1), (5, 1), (6, 3)] {
            assert_eq!(ask(&mailbox, 0x06, asked), (5 | result << 8) << 8 | 0x02 << 2 | 3);
        }
        assert_eq!(ask(&mailbox, 0x05, 0), (0x11 | 1 << 8) << 8 | 0x02 << 2 | 3);
    }

    /// The expected values are the results of the kernel's `handle_rp_reset_req`, which does not support reserved bits.
    #[test]
    fn ring_pairs_are_reset() {
        let mailbox = Mailbox::new(Services::DC, &Config::default());
        let window = PlainWindow::new(0x2000);
        for (data, result, expected) in [(2, 0, Some(2)), (0, 0, Some(0)), (4, 1, None), (1 << 23, 1, None)] {
            window.store(VF_TO_PF, data << 8 | 0x10 << 2 | 3);
            let mut done = None;
            mailbox.serve(&window, &mut |bank| done = Some(bank));
            assert_eq!(done, expected);
            assert_eq!(window.load(PF_TO_VF), result << 8 | 0x10 << 2 | 3);
        }
    }

    #[test]
    fn blocks_are_read_byte_by_byte() {
        let mailbox = Mailbox::new(Services::SYM_DC, &Config::default());
        let byte = |block: u32, index: u32| {
            let word = ask(&mailbox, 0x09, block | index << 4);
            assert_eq!(word >> 8 & 3, 0, "data");
            (word >> 10) as u8
        };
        let block: Vec<u8> = (0..14).map(|i| byte(2, i)).collect();
        assert_eq!(block[..2], [3, 12]);
        assert_eq!(block[2..6], [0x01, 0x01, 0, 0]);
        assert_eq!(block[6..10], (0x0403_920D_u32 | 0x03C0_0020).to_le_bytes());
        // The banks serve C S C S: 2 | 3 << 3 | 2 << 6 | 3 << 9.
        assert_eq!((0..4).map(|i| byte(3, i)).collect::<Vec<_>>(), [1, 2, 0x9A, 0x06]);
        let window = PlainWindow::new(0x2000);
        window.store(VF_TO_PF, 7 << 8 | 0x09 << 2 | 3);
        assert_eq!(serve(&mailbox, &window), Some(Handled::Unknown));
    }

    #[test]
    fn version_4_offers_what_version_3_implies() {
        let version = |capability_version| Config { capability_version, ..Config::default() };
        let block = capability_block(Services::SYM_DC, &version(4));
        assert_eq!(block[..2], [4, 26]);
        assert_eq!(block[2..14], capability_block(Services::SYM_DC, &version(3))[2..]);
        assert_eq!(block[14..22], [0x0D, 0, 7, 0, 0, 4, 0, 0]);
        assert_eq!(capability_block(Services::SYM, &version(4))[14..], [0; 14]);
    }

    /// The conditions are those of the kernel's `adf_pf2vf_notify_*`.
    #[test]
    fn stopped_programs_get_no_notification_and_unread_words_stay() {
        let mailbox = Mailbox::new(Services::DC, &Config::default());
        let window = PlainWindow::new(0x2000);
        assert_eq!(mailbox.notify(&window, Notification::Restarting), Notified::NotWanted);
        ask(&mailbox, 0x03, 0);
        assert_eq!(mailbox.notify(&window, Notification::FatalError), Notified::NotWanted);
        ask(&mailbox, 0x06, 5);
        assert_eq!(mailbox.notify(&window, Notification::FatalError), Notified::Sent);
        assert_eq!(mailbox.notify(&window, Notification::Restarting), Notified::Busy);
        assert_eq!(window.load(PF_TO_VF), 4 << 2 | 3);
        ask(&mailbox, 0x04, 0);
        assert_eq!(mailbox.notify(&window, Notification::Restarting), Notified::NotWanted);
    }
}
