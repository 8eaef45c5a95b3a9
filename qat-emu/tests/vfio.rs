//! Tests with a program that drives the device itself, as DPDK's driver does: through VFIO and registers, without
//! libqat.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::{
    ffi::{CStr, c_int, c_ulong, c_void},
    mem::size_of_val,
    ptr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use qat_emu::{Config, Emulator, Service, Services, WITHOUT_EFFECT};

const VFIO: c_ulong = 0x3B00;
const SET_IOMMU: c_ulong = VFIO + 102;
const SET_CONTAINER: c_ulong = VFIO + 104;
const GET_DEVICE: c_ulong = VFIO + 106;
const SET_IRQS: c_ulong = VFIO + 110;
const RESET: c_ulong = VFIO + 111;
const MAP: c_ulong = VFIO + 113;
const UNMAP: c_ulong = VFIO + 114;

/// The IO address of the program's memory: both rings, then data.
const IOVA: u64 = 0x4000_0000;
const MEMORY: usize = 1 << 20;
const REQUESTS: usize = 0;
const RESPONSES: usize = 0x1_0000;
const DATA: usize = 0x2_0000;
/// The number of messages in each ring, which have 16 KiB and 4 KiB.
const MESSAGES: usize = 128;

const CONFIG_SPACE: i64 = 7 << 40;
const BUS_MASTER: u16 = 1 << 2;
const HEAD: usize = 0xC0;
const TAIL: usize = 0x100;
const INTERRUPT_ENABLE: usize = 0x17C;
const COALESCING: usize = 0x180;
const ARBITER: usize = 0x19C;
const CONFIG: usize = 0x1000;
const BASE: usize = 0x1040;
const PF_TO_VF: usize = 0x1008;
const VF_TO_PF: usize = 0x100C;

/// The arguments of the VFIO calls (`vfio.h`).
#[repr(C)]
struct MapDma {
    size: u32,
    flags: u32,
    address: u64,
    iova: u64,
    bytes: u64,
}

#[repr(C)]
struct UnmapDma {
    size: u32,
    flags: u32,
    iova: u64,
    bytes: u64,
}

#[repr(C)]
struct SetIrqs {
    size: u32,
    flags: u32,
    kind: u32,
    start: u32,
    count: u32,
    data: i32,
}

const MSI: u32 = 1;
const MSI_X: u32 = 2;
const NO_DATA: u32 = 1;
const EVENTFD: u32 = 4;
const MASK: u32 = 8;
const TRIGGER: u32 = 32;

/// A program that has opened one virtual function and mapped its memory.
struct Program {
    container: c_int,
    group: c_int,
    device: c_int,
    rings: *mut u8,
    misc: *mut u8,
    memory: *mut u8,
    tail: usize,
    taken: usize,
}

fn open(path: &CStr) -> c_int {
    // SAFETY: open(2) takes a NUL-terminated path.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDWR) };
    assert!(fd >= 0, "{path:?}");
    fd
}

/// Maps a file at an offset, or anonymous memory.
fn map(fd: Option<(c_int, i64)>, bytes: usize) -> *mut u8 {
    let (fd, offset, flags) = match fd {
        Some((fd, offset)) => (fd, offset, libc::MAP_SHARED),
        None => (-1, 0, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS),
    };
    // SAFETY: mmap(2) at an address that the kernel chooses changes no existing mapping.
    let start =
        unsafe { libc::mmap(ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, fd, offset) };
    assert_ne!(start, libc::MAP_FAILED);
    start.cast()
}

impl Program {
    fn open() -> Self {
        let container = open(c"/dev/vfio/vfio");
        let group = open(c"/dev/vfio/200");
        // SAFETY: VFIO_GROUP_SET_CONTAINER of `linux/vfio.h` reads the descriptor that its argument points to.
        let joined = unsafe { libc::ioctl(group, SET_CONTAINER, &raw const container) };
        // SAFETY: VFIO_SET_IOMMU of `linux/vfio.h` takes a number.
        let set = unsafe { libc::ioctl(container, SET_IOMMU, 1_usize) };
        // SAFETY: VFIO_GROUP_GET_DEVICE_FD of `linux/vfio.h` reads a name that ends with a zero byte.
        let device = unsafe { libc::ioctl(group, GET_DEVICE, c"0000:10:00.1".as_ptr()) };
        assert!((joined, set) == (0, 0) && device >= 0);
        let memory = map(None, MEMORY);
        let this = Self {
            container,
            group,
            device,
            rings: map(Some((device, 0)), 0x1_0000),
            misc: map(Some((device, 2 << 40)), 0x2000),
            memory,
            tail: 0,
            taken: 0,
        };
        assert_eq!(this.map_dma(3), 0);
        this.set_command(BUS_MASTER | 2);
        this
    }

    fn map_dma(&self, flags: u32) -> c_int {
        let map = MapDma { size: 32, flags, address: self.memory as u64, iova: IOVA, bytes: MEMORY as u64 };
        // SAFETY: this call of `linux/vfio.h` takes a pointer to its structure, whose first field is its size.
        unsafe { libc::ioctl(self.container, MAP, &raw const map) }
    }

    fn unmap_dma(&self, flags: u32, iova: u64, bytes: u64) -> c_int {
        let unmap = UnmapDma { size: 24, flags, iova, bytes };
        // SAFETY: this call of `linux/vfio.h` takes a pointer to its structure, whose first field is its size.
        unsafe { libc::ioctl(self.container, UNMAP, &raw const unmap) }
    }

    fn set_irqs(&self, flags: u32, kind: u32, count: u32, data: i32) -> Result<(), c_int> {
        let set = SetIrqs { size: 24, flags, kind, start: 0, count, data };
        // SAFETY: this call of `linux/vfio.h` takes a pointer to its structure, whose first field is its size.
        let result = unsafe { libc::ioctl(self.device, SET_IRQS, &raw const set) };
        if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().raw_os_error().unwrap()) }
    }

    fn write_config(&self, at: i64, value: &[u8]) {
        // SAFETY: pwrite(2) reads as many bytes as given, which is the length of the slice.
        let written =
            unsafe { libc::pwrite(self.device, value.as_ptr().cast(), value.len(), CONFIG_SPACE + at) };
        assert_eq!(written, value.len() as isize);
    }

    fn set_command(&self, command: u16) {
        self.write_config(4, &command.to_le_bytes());
    }

    fn register(&self, window: *mut u8, offset: usize) -> &AtomicU32 {
        // SAFETY: AtomicU32::from_ptr requires an aligned word that stays valid: it is inside the window, which `drop`
        // unmaps.
        unsafe { AtomicU32::from_ptr(window.wrapping_add(offset).cast()) }
    }

    fn ring(&self, offset: usize) -> &AtomicU32 {
        self.register(self.rings, offset)
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        self.register(self.memory, offset)
    }

    /// Does what DPDK's `qat_qp_setup` does: fills the rings, writes their addresses and configurations, and enables
    /// the arbiter.
    fn set_up(&mut self) {
        // SAFETY: ptr::write_bytes requires writable memory: it is the program's own, and the device does not access
        // disabled rings.
        unsafe { ptr::write_bytes(self.memory, 0x7F, DATA) };
        for (ring, at, config) in [(0, REQUESTS, 8), (1, RESPONSES, 8 << 10 | 6)] {
            self.ring(BASE + 4 * ring).store((IOVA as usize + at) as u32, SeqCst);
            self.ring(BASE + 0x40 + 4 * ring).store((IOVA >> 32) as u32, SeqCst);
            self.ring(CONFIG + 4 * ring).store(config, SeqCst);
        }
        self.ring(ARBITER).fetch_or(1, SeqCst);
        (self.tail, self.taken) = (0, 0);
    }

    /// Does what DPDK's `qat_qp_release` does: disables the arbiter.
    fn release(&self) {
        self.ring(ARBITER).fetch_and(!1, SeqCst);
    }

    /// Submits a null request, which `change` may change to another one.
    fn submit(&mut self, opaque: u32, change: impl FnOnce(&mut [u32; 32])) {
        let mut request = [0_u32; 32];
        (request[0], request[6]) = (0x8000_0100, opaque);
        change(&mut request);
        for (i, value) in request.iter().enumerate() {
            self.word(REQUESTS + self.tail * 128 + 4 * i).store(*value, SeqCst);
        }
        self.tail = (self.tail + 1) % MESSAGES;
        self.ring(TAIL).store((self.tail * 128) as u32, SeqCst);
    }

    /// Returns the response in the next slot, if there is one. Like the library, it recognises a response by its first
    /// word.
    fn poll(&mut self) -> Option<[u32; 8]> {
        let slot = RESPONSES + self.taken * 32;
        if self.word(slot).load(SeqCst) == 0x7F7F_7F7F {
            return None;
        }
        let response = std::array::from_fn(|i| self.word(slot + 4 * i).load(SeqCst));
        self.word(slot).store(0x7F7F_7F7F, SeqCst);
        self.taken = (self.taken + 1) % MESSAGES;
        Some(response)
    }

    fn wait(&mut self) -> [u32; 8] {
        let start = Instant::now();
        loop {
            if let Some(response) = self.poll() {
                return response;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "no response in slot {}", self.taken);
            thread::yield_now();
        }
    }

    /// Sends a message to the physical function, and returns the response.
    fn ask(&self, kind: u32, data: u32) -> u32 {
        let to = self.register(self.misc, VF_TO_PF);
        to.store(data << 8 | kind << 2 | 3, SeqCst);
        let start = Instant::now();
        while to.load(SeqCst) & 1 != 0 {
            assert!(start.elapsed() < Duration::from_secs(20), "message {kind:#x} is not acknowledged");
            thread::yield_now();
        }
        let from = self.register(self.misc, PF_TO_VF);
        from.fetch_and(!1, SeqCst)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.release();
        for (start, bytes) in [(self.rings, 0x1_0000), (self.misc, 0x2000)] {
            // SAFETY: munmap(2) of a mapping that `open` made and nothing uses any more.
            unsafe { libc::munmap(start.cast(), bytes) };
        }
        self.unmap_dma(0, IOVA, MEMORY as u64);
        // SAFETY: munmap(2) of the `MEMORY` bytes that `open` mapped and nothing uses any more.
        unsafe { libc::munmap(self.memory.cast::<c_void>(), MEMORY) };
        for fd in [self.device, self.group, self.container] {
            // SAFETY: close(2) takes a descriptor, which `open` opened and nothing uses any more.
            unsafe { libc::close(fd) };
        }
    }
}

/// Runs a program on a machine; only one runs in this process at a time.
fn with_program(test: impl FnOnce(&mut Program, &Emulator)) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let emulator = Emulator::attach(Config::with_vfs(1, Services::SYM)).unwrap();
    test(&mut Program::open(), &emulator);
}

/// A ring pair that is set up again starts at the beginning of its rings, although each register gets the value that it
/// already has. DPDK does this between two of its tests.
#[test]
fn a_ring_pair_that_is_set_up_again_starts_at_the_beginning() {
    with_program(|program, emulator| {
        let mut opaque = 0;
        for round in 0..100 {
            program.set_up();
            for _ in 0..=round % 5 {
                program.submit(opaque, |_| {});
                assert_eq!(program.wait()[2], opaque, "round {round}");
                opaque += 1;
            }
            if round % 7 == 0 {
                // This goes beyond the end of the ring, with several requests at once.
                for _ in 0..MESSAGES + 3 {
                    program.submit(opaque, |_| {});
                    assert_eq!(program.wait()[2], opaque);
                    opaque += 1;
                }
            }
            program.release();
        }
        let counters = emulator.counters();
        assert_eq!(counters.service(Service::Symmetric).commands["null"], u64::from(opaque));
        assert_eq!(counters.dma_faults, 0);
        assert_eq!((counters.protocol_errors, counters.abandoned), (0, 0));
    });
}

/// Message 0x10 resets one ring pair, with the results of the kernel's `handle_rp_reset_req`.
#[test]
fn a_ring_pair_is_reset_by_message() {
    with_program(|program, emulator| {
        program.set_up();
        for opaque in 0..3 {
            program.submit(opaque, |_| {});
            program.wait();
        }
        let result = |result: u32| result << 8 | 0x10 << 2 | 3;
        // These are another ring pair, and a reserved bit.
        assert_eq!(program.ask(0x10, 1), result(0));
        assert_eq!(program.ask(0x10, 4), result(1));
        program.submit(3, |_| {});
        assert_eq!(program.wait()[2], 3);
        assert_eq!(program.ask(0x10, 0), result(0));
        for register in [HEAD, HEAD + 4, TAIL, TAIL + 4, ARBITER, CONFIG, CONFIG + 4, BASE, BASE + 4] {
            assert_eq!(program.ring(register).load(SeqCst), 0, "register {register:#x}");
        }
        program.set_up();
        program.submit(4, |_| {});
        assert_eq!(program.wait()[2], 4);
        assert_eq!(emulator.counters().ring_pair_resets, 2);
    });
}

/// Waits at most the given time for an event of the descriptor, and returns whether it has one.
fn has_event(fd: c_int, milliseconds: c_int) -> bool {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: poll(2) reads and writes as many structures as given, which is one.
    unsafe { libc::poll(&raw mut poll, 1, milliseconds) == 1 }
}

fn take_events(fd: c_int) -> u64 {
    let mut count = 0_u64;
    // SAFETY: read(2) writes at most as many bytes as given, which is the size of the variable.
    unsafe { libc::read(fd, (&raw mut count).cast(), size_of_val(&count)) };
    count
}

/// An interrupt arrives for each response, with and without coalescing, and again until the head shows that the
/// response was taken.
#[test]
fn interrupts_arrive_until_the_responses_are_taken() {
    with_program(|program, emulator| {
        // SAFETY: eventfd(2) takes no pointer.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK) };
        assert_eq!(program.set_irqs(EVENTFD | TRIGGER, MSI, 1, fd), Ok(()));
        // A program tests its own handler in this way.
        assert!(!has_event(fd, 0));
        assert_eq!(program.set_irqs(NO_DATA | TRIGGER, MSI, 1, 0), Ok(()));
        assert_eq!(take_events(fd), 1);
        program.set_up();
        for coalescing in [0, 1 << 31 | 39, 1 << 31 | 2000] {
            program.ring(COALESCING).store(coalescing, SeqCst);
            program.ring(INTERRUPT_ENABLE).store(2, SeqCst);
            for opaque in 0..20 {
                program.submit(opaque, |_| {});
                assert!(has_event(fd, 20_000), "no interrupt with {coalescing:#x}");
                assert_eq!(program.poll().map(|response| response[2]), Some(opaque));
                // The event is taken and the head stays, so that the interrupt is raised again.
                take_events(fd);
                assert!(has_event(fd, 20_000), "no second interrupt with {coalescing:#x}");
                program.ring(HEAD + 4).store((program.taken * 32) as u32, SeqCst);
                // An interrupt may have been raised before the head was written.
                let start = Instant::now();
                while has_event(fd, 10) {
                    take_events(fd);
                    assert!(start.elapsed() < Duration::from_secs(20), "interrupts without a response");
                }
            }
            program.ring(INTERRUPT_ENABLE).store(0, SeqCst);
            program.submit(99, |_| {});
            program.wait();
            assert!(!has_event(fd, 10), "an interrupt that is off");
            // Interrupts that are enabled while a response waits are raised at once.
            program.ring(INTERRUPT_ENABLE).store(2, SeqCst);
            assert!(has_event(fd, 20_000));
            program.ring(HEAD + 4).store((program.taken * 32) as u32, SeqCst);
            while has_event(fd, 10) {
                take_events(fd);
            }
        }
        assert!(emulator.counters().interrupts >= 123);
        // SAFETY: close(2) takes a descriptor, which was opened above and is not used any more.
        unsafe { libc::close(fd) };
    });
}

/// The emulator refuses what the kernel refuses, with the same error numbers (`vfio_main.c`, `vfio_pci_intrs.c`,
/// `vfio_iommu_type1.c`).
#[test]
fn calls_that_the_kernel_refuses_are_refused() {
    with_program(|program, _| {
        // SAFETY: eventfd(2) takes no pointer.
        let fd = unsafe { libc::eventfd(0, 0) };
        let refused = [
            (EVENTFD | TRIGGER, MSI_X, 1, fd, libc::EINVAL),
            (EVENTFD | TRIGGER, MSI, 2, fd, libc::EINVAL),
            (EVENTFD | MASK, MSI, 1, fd, libc::ENOTTY),
            (EVENTFD | TRIGGER | MASK, MSI, 1, fd, libc::EINVAL),
            (EVENTFD | NO_DATA | TRIGGER, MSI, 1, fd, libc::EINVAL),
            (EVENTFD | TRIGGER, MSI, 1, program.device, libc::EINVAL),
            (EVENTFD | TRIGGER, MSI, 1, 999_999, libc::EBADF),
            (NO_DATA | TRIGGER, MSI, 1, 0, libc::EINVAL),
            (NO_DATA | TRIGGER, MSI, 0, 0, libc::EINVAL),
        ];
        for (flags, kind, count, data, errno) in refused {
            assert_eq!(program.set_irqs(flags, kind, count, data), Err(errno), "{flags} {kind} {count}");
        }
        assert_eq!(program.set_irqs(EVENTFD | TRIGGER, MSI, 1, fd), Ok(()));
        assert_eq!(program.set_irqs(NO_DATA | TRIGGER, MSI, 0, 0), Ok(()));
        // SAFETY: close(2) takes a descriptor, which was opened above and is not used any more.
        unsafe { libc::close(fd) };
        // These mappings are neither readable nor writable, or have an unknown flag.
        assert_eq!((program.map_dma(0), program.map_dma(4)), (-1, -1));
        // These ask for a dirty bitmap, for everything together with a range, and for nothing.
        assert_eq!(program.unmap_dma(1, IOVA, MEMORY as u64), -1);
        assert_eq!(program.unmap_dma(2, IOVA, MEMORY as u64), -1);
        assert_eq!(program.unmap_dma(0, IOVA, 0), -1);
        assert_eq!(program.unmap_dma(2, 0, 0), 0);
        assert_eq!(program.map_dma(3), 0, "everything was unmapped");
    });
}

/// The device does not access memory while bus mastering is off.
#[test]
fn nothing_is_fetched_while_the_bus_has_another_master() {
    with_program(|program, emulator| {
        program.set_command(2);
        program.set_up();
        program.submit(7, |_| {});
        thread::sleep(Duration::from_millis(30));
        assert_eq!((program.poll(), emulator.counters().requests()), (None, 0));
        program.set_command(2 | BUS_MASTER);
        assert_eq!(program.wait()[2], 7);
    });
}

/// DPDK's driver uses NULL cipher and NULL authentication in this form: the text is copied, and the digest of four
/// bytes is zero, which is also the initial value of DPDK's own buffer for such digests.
#[test]
fn null_algorithms_copy_and_write_a_digest() {
    with_program(|program, emulator| {
        program.set_up();
        const SETUP: usize = DATA;
        const SOURCE: usize = DATA + 0x1000;
        const DESTINATION: usize = DATA + 0x2000;
        const DIGEST: usize = DATA + 0x3000;
        let iova = |at: usize| (IOVA as usize + at) as u32;
        // The cipher is algorithm 0 in counter mode; the hash at 8 is algorithm 0 in mode 1, with four bytes to
        // compare.
        for (at, value) in [(0, 2 << 4), (8, 4 << 8 | 1 << 4)] {
            program.word(SETUP + at).store(value, SeqCst);
        }
        let text = |i: usize| 0x0101_0101 * (i as u32 + 1);
        for i in 0..16 {
            program.word(SOURCE + 4 * i).store(text(i), SeqCst);
        }
        // The first request is cipher then hash with a returned digest; the second is hash then cipher with a compared
        // digest.
        for (opaque, command, flags) in [(1, 2, 1 << 5), (2, 3, 1 << 6)] {
            program.word(DIGEST).store(if command == 2 { 0xFFFF_FFFF } else { 0 }, SeqCst);
            program.submit(opaque, |request| {
                request[0] = 0x8004_0000 | command << 8;
                request[1] = flags;
                (request[2], request[8], request[10]) = (iova(SETUP), iova(SOURCE), iova(DESTINATION));
                (request[12], request[13]) = (64, 64);
                // These are both regions, and the address and length in bytes of the digest.
                (request[15], request[21], request[24]) = (64, 64, iova(DIGEST));
                request[26] = 4 << 24;
                request[28] = 1 << 16;
                request[29] = 4 << 16;
                request[30] = 32 << 8 | 7 << 16;
            });
            let response = program.wait();
            assert_eq!((response[2], response[1] & 0x00FF_FF00), (opaque, 0), "command {command}");
            assert_eq!(program.word(DIGEST).load(SeqCst), 0);
            for i in 0..16 {
                assert_eq!(program.word(DESTINATION + 4 * i).swap(0, SeqCst), text(i));
            }
        }
        // A digest that is not zero does not match.
        program.word(DIGEST).store(1, SeqCst);
        program.submit(3, |request| {
            request[0] = 0x8004_0100;
            request[1] = 1 << 6;
            (request[2], request[8]) = (iova(SETUP), iova(SOURCE));
            (request[12], request[21], request[24]) = (64, 64, iova(DIGEST));
            request[26] = 4 << 24;
            request[28] = 1 << 16;
            request[29] = 4 << 16;
            request[30] = 32 << 8 | 7 << 16;
        });
        assert_eq!(program.wait()[1] >> 16 & 0xFF, 1 << 7);
        assert_eq!(emulator.counters().service(Service::Symmetric).unsupported, 0);
    });
}

/// The audit reports with position and value what is written without effect, and what is refused.
#[test]
fn the_audit_names_what_has_no_effect() {
    with_program(|program, emulator| {
        program.set_up();
        // These are the ring pair's flags of pending interrupts, a mailbox mask, and a base address register.
        program.ring(0x2000 + 0x16C).store(3, SeqCst);
        program.register(program.misc, 0x208).store(1, SeqCst);
        program.write_config(0x10, &u32::MAX.to_le_bytes());
        // Bit 12 of the flags selects ZUC.
        program.submit(1, |request| (request[0], request[1]) = (0x8004_0000, 1 << 12));
        // These are the fill bytes of the ring, which a program with a wrong tail would submit.
        program.submit(2, |request| request.fill(0x7F7F_7F7F));
        assert_eq!(program.wait()[1] >> 16 & 0xFF, 1 << 2, "unsupported");
        program.wait();
        program.ask(0x2A, 5);
        let expected = [
            "mailbox register 0x208 of virtual function 0: 0x1 acknowledged without effect",
            "PCI configuration space 0x10 of virtual function 0: 0xffffffff acknowledged without effect",
            "ring register 0x216c of virtual function 0: 0x3 acknowledged without effect",
            "mailbox message 0x2a of virtual function 0: 0x5 not known",
            "request flags of sym 0x4 of virtual function 0: 0x1000 refused",
        ];
        let audit = emulator.counters().audit();
        for line in expected {
            assert!(audit.iter().any(|found| found == line), "{line}: {audit:#?}");
        }
        assert!(
            audit.iter().any(|line| line == "2 requests that the device does not support and refused"),
            "{audit:#?}"
        );
        // A reset keeps the findings, and does not report any of them twice.
        // SAFETY: VFIO_DEVICE_RESET of `linux/vfio.h` takes no argument.
        assert_eq!(unsafe { libc::ioctl(program.device, RESET) }, 0);
        let after = emulator.counters().audit();
        assert_eq!(after.iter().filter(|line| line.contains("without effect")).count(), 3, "{after:#?}");
    });
    assert!(WITHOUT_EFFECT.iter().all(|row| !row.what.is_empty() && !row.why.is_empty()));
}
