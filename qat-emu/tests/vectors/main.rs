//! Known answers through the real, unmodified libqat, with the emulated device below it: expected values are published
//! vectors and results of independent implementations. Every test says which requests the device must have counted.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

#[path = "../common/mod.rs"]
mod common;
#[path = "../libqat/mod.rs"]
mod libqat;
#[path = "../libqat/machine.rs"]
mod machine;

mod aead;
mod chain;
mod cipher;
mod data_plane;
mod deflate;
mod derive;
mod hash;
mod lz4;
mod pke;
mod readers;

use std::{cell::RefCell, collections::BTreeMap};

use libqat::{Handle, Libqat, SUCCESS, Status, dc, pke::Asym, sym};
use qat_emu::{Config, Device, Emulator, Service, Services};

/// The library, started on two virtual functions, one for crypto and one for compression, and the requests that the
/// device has to have counted.
struct Bench<'a> {
    library: &'static Libqat,
    emulator: &'a Emulator,
    crypto: Handle,
    compression: Handle,
    expected: RefCell<BTreeMap<(&'static str, String), u64>>,
}

/// Runs a test; requires that the device counted exactly the announced requests, none unsupported, and a clean audit.
fn with_bench(test: impl FnOnce(&Bench<'_>)) {
    with_config(config(), test);
}

/// Returns the machine of all tests, which share it because the library remembers the devices after it stops.
fn config() -> Config {
    let mut config = Config::with_vfs(1, Services::ASYM_SYM);
    config.devices.push(Device::new(1, Services::DC, 0));
    config
}

fn with_config(config: Config, test: impl FnOnce(&Bench<'_>)) {
    let faults = config.faults.len() as u64;
    machine::with_started(config, |library, emulator| {
        let first = |instances: Vec<Handle>| instances.first().copied().unwrap_or(std::ptr::null_mut());
        let (crypto, compression) = (first(library.cy_instances()), first(library.dc_instances()));
        let bench = Bench { library, emulator, crypto, compression, expected: RefCell::default() };
        test(&bench);
        let counters = emulator.counters();
        let mut seen = BTreeMap::new();
        for service in Service::ALL {
            let counted = counters.service(service);
            assert_eq!(counted.unsupported, 0, "{service:?}");
            assert_eq!(counted.responses, counted.requests, "{service:?}");
            for (command, count) in &counted.commands {
                seen.insert((service.name(), command.clone()), *count);
            }
        }
        assert_eq!(seen, bench.expected.into_inner());
        assert_eq!(counters.injected_faults, faults);
    });
}

impl Bench<'_> {
    /// Announces a request.
    fn expect(&self, service: Service, command: &str) {
        *self.expected.borrow_mut().entry((service.name(), command.to_owned())).or_default() += 1;
    }

    /// Creates a symmetric session whose packets the device receives as `command`.
    fn sym(&self, command: &'static str, setup: &sym::SessionSetup) -> Sym<'_> {
        let session = self.try_sym(setup).expect("cpaCySymInitSession");
        Sym { bench: self, command, session }
    }

    fn try_sym(&self, setup: &sym::SessionSetup) -> Result<sym::Session, Status> {
        sym::Session::init(self.library, self.crypto, setup)
    }

    /// Creates a compression session.
    fn dc(&self, setup: dc::SessionSetup) -> Dc<'_> {
        let session = dc::Session::init(self.library, self.compression, setup).expect("cpaDcInitSession");
        Dc { bench: self, setup, session }
    }

    fn asym(&self) -> Asym {
        Asym { library: self.library, instance: self.crypto }
    }
}

/// A symmetric session that announces its requests.
struct Sym<'a> {
    bench: &'a Bench<'a>,
    command: &'static str,
    session: sym::Session,
}

impl Sym<'_> {
    fn result(&self, packet: &sym::Packet<'_>) -> sym::PacketResult {
        self.bench.expect(Service::Symmetric, self.command);
        self.session.perform(packet).expect("cpaCySymPerformOp")
    }

    /// Returns text and digest of a packet that succeeds.
    fn pass(&self, packet: &sym::Packet<'_>) -> (Vec<u8>, Vec<u8>) {
        let result = self.result(packet);
        assert_eq!(result.status, SUCCESS);
        (result.text, result.digest)
    }

    /// Requires that the digest differs.
    fn mismatch(&self, packet: &sym::Packet<'_>) {
        assert_eq!(self.result(packet).status, sym::MISMATCH);
    }
}

impl Drop for Sym<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.session.remove(), SUCCESS);
        }
    }
}

/// A compression session that announces its requests.
struct Dc<'a> {
    bench: &'a Bench<'a>,
    setup: dc::SessionSetup,
    session: dc::Session,
}

impl Dc<'_> {
    fn announce(&self, compress: bool) {
        let command = match (self.setup.algorithm, compress, self.setup.huffman) {
            (dc::DEFLATE, true, dc::STATIC) => "deflate-static",
            (dc::DEFLATE, true, _) => "deflate-dynamic",
            (dc::DEFLATE, false, _) => "deflate-decompress",
            (dc::LZ4, true, _) => "lz4-compress",
            (dc::LZ4, false, _) => "lz4-decompress",
            _ => "lz4s-compress",
        };
        self.bench.expect(Service::Compression, command);
    }

    fn result(
        &self,
        compress: bool,
        input: &[u8],
        room: usize,
        options: dc::Options,
    ) -> dc::CompressionResult {
        self.announce(compress);
        self.session.run_with(compress, input, room, options).expect("submits")
    }

    /// Compresses all of `plain` with success.
    fn pack(&self, plain: &[u8], options: dc::Options) -> dc::CompressionResult {
        let result = self.result(true, plain, plain.len() * 9 / 8 + 2048, options);
        assert_eq!((result.status, result.results.status), (SUCCESS, 0));
        assert_eq!(result.results.consumed as usize, plain.len());
        result
    }

    /// Decompresses all of `data` with success.
    fn unpack(&self, data: &[u8], room: usize, options: dc::Options) -> dc::CompressionResult {
        let result = self.result(false, data, room.max(1024), options);
        assert_eq!((result.status, result.results.status), (SUCCESS, 0));
        assert_eq!(result.results.consumed as usize, data.len());
        result
    }
}

impl Drop for Dc<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.session.remove(), SUCCESS);
        }
    }
}

#[test]
fn the_same_with_libqat_26_08() {
    libqat::all_with_newer("the_same_with_libqat_26_08");
}
