//! Interrupts: the VFIO calls about the one message interrupt of a virtual function, as the kernel's
//! `vfio_pci_intrs.c` handles them, and the event descriptor that the interrupt signals.

use std::{
    ffi::c_int,
    fs::{self, File},
    io::Write as _,
    os::fd::BorrowedFd,
};

use super::vfio::{Argument, IoctlResult, os_error};
use crate::{
    counters::Counters,
    device::vf::{Interrupt, Vf},
};

/// The index of the message interrupt; the others are the pin, extended messages, errors and device requests.
const MESSAGES: u32 = 1;
const KINDS: u32 = 5;
/// The number of message interrupts.
const COUNT: u32 = 1;

/// Executes `VFIO_DEVICE_GET_IRQ_INFO`.
pub(super) fn info(argument: &Argument) -> IoctlResult {
    const EVENTFD: u32 = 1;
    const NOT_RESIZABLE: u32 = 8;
    let mut info = argument.structure::<16>()?;
    let kind = info.u32(8);
    if kind >= KINDS {
        return Err(libc::EINVAL);
    }
    info.set_u32(4, EVENTFD | NOT_RESIZABLE);
    info.set_u32(12, if kind == MESSAGES { COUNT } else { 0 });
    argument.store(&info);
    Ok(0)
}

/// Executes `VFIO_DEVICE_SET_IRQS`.
pub(super) fn set(device: &Vf, counters: &Counters, argument: &Argument) -> IoctlResult {
    const DATA_NONE: u32 = 1;
    const DATA_BOOL: u32 = 2;
    const DATA_EVENTFD: u32 = 4;
    const DATA_KINDS: u32 = 7;
    const ACTION_TRIGGER: u32 = 32;
    const ACTIONS: u32 = 0x38;
    /// The offset of the data in the structure.
    const DATA: usize = 20;
    let set = argument.structure::<DATA>()?;
    let [flags, kind, start, count] = [4, 8, 12, 16].map(|at| set.u32(at));
    let (data, action) = (flags & DATA_KINDS, flags & ACTIONS);
    let known = flags & !(DATA_KINDS | ACTIONS) == 0 && action.is_power_of_two() && data.is_power_of_two();
    if !known || kind != MESSAGES || start >= COUNT || start.saturating_add(count) > COUNT {
        return Err(libc::EINVAL);
    }
    if action != ACTION_TRIGGER {
        return Err(libc::ENOTTY);
    }
    match (count, data) {
        (0, DATA_NONE) if device.has_interrupt() => device.set_interrupt(None),
        (1, DATA_EVENTFD) => match c_int::from_ne_bytes(argument.data(DATA)?) {
            -1 => device.set_interrupt(None),
            descriptor => device.set_interrupt(Some(Box::new(EventDescriptor::new(descriptor)?))),
        },
        // A program triggers the interrupt itself to test whether interrupts arrive.
        (1, DATA_NONE) if device.has_interrupt() => device.interrupt(counters),
        (1, DATA_BOOL) if device.has_interrupt() => {
            if argument.data::<1>(DATA)? != [0] {
                device.interrupt(counters);
            }
        }
        _ => return Err(libc::EINVAL),
    }
    Ok(0)
}

/// The event descriptor of a program. The emulator keeps a duplicate open, as the kernel keeps a reference.
struct EventDescriptor(File);

impl EventDescriptor {
    fn new(descriptor: c_int) -> Result<Self, c_int> {
        let name = fs::read_link(format!("/proc/self/fd/{descriptor}")).map_err(|_| libc::EBADF)?;
        if name.as_os_str() != "anon_inode:[eventfd]" {
            return Err(libc::EINVAL);
        }
        // SAFETY: `BorrowedFd::borrow_raw` requires an open descriptor that is not -1; this one has a name in /proc, so
        // it was open just now. If the program closes it in the meantime, the duplication fails.
        let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
        Ok(Self(File::from(descriptor.try_clone_to_owned().map_err(|e| os_error(&e))?)))
    }
}

impl Interrupt for EventDescriptor {
    fn raise(&self) {
        // The write fails only when the counter is full, and then an event is pending already.
        let _ = (&self.0).write(&1_u64.to_ne_bytes());
    }
}
