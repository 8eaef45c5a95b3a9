//! The VFIO calls on containers, groups and devices, as the kernel's `include/uapi/linux/vfio.h` describes them.

use std::{
    collections::BTreeMap,
    ffi::{CStr, c_int, c_ulong, c_void},
    io,
    os::fd::IntoRawFd,
    ptr,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, atomic::Ordering},
    thread,
};

use super::{
    attach::pass_through,
    dma::{ContainerMemory, DmaAccess, MapError},
    files::{self, VfioFile},
    interrupts,
    window::{self, CONFIG_REGION, DeviceFile, MISC_REGION, REGION_SHIFT, RING_REGION},
};
use crate::{
    affinity::run_on,
    device::vf::{Vf, Windows},
    machine::Machine,
};

const BASE: c_ulong = 0x3B00;
const GET_API_VERSION: c_ulong = BASE + 100;
const CHECK_EXTENSION: c_ulong = BASE + 101;
const SET_IOMMU: c_ulong = BASE + 102;
const GROUP_GET_STATUS: c_ulong = BASE + 103;
const GROUP_SET_CONTAINER: c_ulong = BASE + 104;
const GROUP_UNSET_CONTAINER: c_ulong = BASE + 105;
const GROUP_GET_DEVICE_FD: c_ulong = BASE + 106;
const DEVICE_GET_INFO: c_ulong = BASE + 107;
const DEVICE_GET_REGION_INFO: c_ulong = BASE + 108;
const DEVICE_GET_IRQ_INFO: c_ulong = BASE + 109;
const DEVICE_SET_IRQS: c_ulong = BASE + 110;
const DEVICE_RESET: c_ulong = BASE + 111;
const IOMMU_GET_INFO: c_ulong = BASE + 112;
const IOMMU_MAP_DMA: c_ulong = BASE + 113;
const IOMMU_UNMAP_DMA: c_ulong = BASE + 114;

/// The IO memory management unit of x86, which is the only one offered.
const TYPE1_IOMMU: c_ulong = 1;

/// The result of an `ioctl` call: a value, or an error number.
pub(super) type IoctlResult = Result<c_int, c_int>;

/// The third argument of an `ioctl` call.
pub(super) struct Argument(*mut c_void);

impl Argument {
    /// # Safety
    /// For a VFIO request, the argument is what `vfio.h` requires: an integer, or a pointer to a structure whose first
    /// word contains its size, to an integer, or to a string.
    pub(super) unsafe fn new(argument: *mut c_void) -> Self {
        Self(argument)
    }

    fn value(&self) -> c_ulong {
        self.0.addr() as c_ulong
    }

    /// Reads the integer that the argument points to.
    fn int(&self) -> Result<c_int, c_int> {
        if self.0.is_null() {
            return Err(libc::EFAULT);
        }
        // SAFETY: ptr::read_unaligned requires a readable integer, which the contract of `Argument::new` guarantees.
        Ok(unsafe { ptr::read_unaligned(self.0.cast()) })
    }

    fn text(&self) -> Result<&CStr, c_int> {
        if self.0.is_null() {
            return Err(libc::EFAULT);
        }
        // SAFETY: CStr::from_ptr requires a NUL-terminated string, which the contract of `Argument::new` guarantees.
        Ok(unsafe { CStr::from_ptr(self.0.cast()) })
    }

    /// Reads the structure of at least `N` bytes that the argument points to.
    pub(super) fn structure<const N: usize>(&self) -> Result<Structure<N>, c_int> {
        if self.int()?.cast_unsigned() < N as u32 {
            return Err(libc::EINVAL);
        }
        // SAFETY: ptr::read_unaligned requires `N` readable bytes: by the contract of `Argument::new` the structure has
        // the size in its first word, which is at least `N`.
        let bytes = unsafe { ptr::read_unaligned(self.0.cast::<[u8; N]>()) };
        Ok(Structure { bytes })
    }

    /// Reads `N` bytes at an offset in the argument's structure, if the size in the first word includes them.
    pub(super) fn data<const N: usize>(&self, offset: usize) -> Result<[u8; N], c_int> {
        if self.int()?.cast_unsigned() < (offset + N) as u32 {
            return Err(libc::EINVAL);
        }
        // SAFETY: ptr::read_unaligned requires `N` readable bytes: by the contract of `Argument::new` the structure has
        // the size in its first word, which includes them.
        Ok(unsafe { ptr::read_unaligned(self.0.wrapping_byte_add(offset).cast::<[u8; N]>()) })
    }

    /// Writes the structure back.
    pub(super) fn store<const N: usize>(&self, structure: &Structure<N>) {
        // SAFETY: ptr::write_unaligned requires `N` writable bytes: `structure` was read from here, after its size was
        // checked as the contract of `Argument::new` allows.
        unsafe { ptr::write_unaligned(self.0.cast::<[u8; N]>(), structure.bytes) };
    }
}

/// A copy of a caller's structure.
pub(super) struct Structure<const N: usize> {
    bytes: [u8; N],
}

impl<const N: usize> Structure<N> {
    pub(super) fn u32(&self, offset: usize) -> u32 {
        crate::message::word(&self.bytes, offset)
    }
    fn u64(&self, offset: usize) -> u64 {
        u64::from(self.u32(offset)) | u64::from(self.u32(offset + 4)) << 32
    }
    pub(super) fn set_u32(&mut self, offset: usize, value: u32) {
        crate::message::set_word(&mut self.bytes, offset, value);
    }
    fn set_u64(&mut self, offset: usize, value: u64) {
        self.bytes[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
    }
}

/// The state of containers and groups.
pub(super) struct Vfio {
    machine: &'static Machine,
    containers: Mutex<BTreeMap<c_int, Arc<ContainerMemory>>>,
    /// For each virtual function in a container: the group's descriptor and the memory of the container.
    groups: Mutex<BTreeMap<usize, (c_int, Arc<ContainerMemory>)>>,
    /// Indexed by virtual function.
    devices: Vec<OnceLock<DeviceFile>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn os_error(error: &io::Error) -> c_int {
    error.raw_os_error().unwrap_or(libc::EIO)
}

impl Vfio {
    pub(super) fn new(machine: &'static Machine) -> Self {
        Self {
            machine,
            containers: Mutex::new(BTreeMap::new()),
            groups: Mutex::new(BTreeMap::new()),
            devices: machine.vfs.iter().map(|_| OnceLock::new()).collect(),
        }
    }

    /// Returns the memory of a container. A descriptor from before a fork, or from an earlier emulator (libqat 26.08
    /// keeps its container when it stops), is a container without mappings.
    fn memory(&self, container: c_int) -> Option<Arc<ContainerMemory>> {
        if files::lookup(container) != Some(VfioFile::Container) {
            return None;
        }
        let new = || Arc::new(ContainerMemory::new(self.machine.counters));
        Some(Arc::clone(lock(&self.containers).entry(container).or_insert_with(new)))
    }

    /// Handles a descriptor of the emulator that is about to be closed.
    pub(super) fn before_close(&self, fd: c_int, file: VfioFile) {
        match file {
            VfioFile::Container => {
                lock(&self.containers).remove(&fd);
            }
            VfioFile::Group(vf) => {
                if lock(&self.groups).get(&vf).is_some_and(|(group, _)| *group == fd) {
                    self.leave(vf);
                }
            }
            VfioFile::Device(_) => {}
        }
    }

    /// Removes a group from its container, which resets its virtual function; returns whether it was in one.
    fn leave(&self, vf: usize) -> bool {
        let Some((_, memory)) = lock(&self.groups).remove(&vf) else { return false };
        if let Some(vf) = self.machine.vf(vf) {
            vf.detach(self.machine.counters);
        }
        drop(memory);
        self.machine.group_detached();
        true
    }

    /// Executes a VFIO request; returns `None` for any other.
    pub(super) fn ioctl(
        &self,
        fd: c_int,
        file: VfioFile,
        request: c_ulong,
        argument: &Argument,
    ) -> Option<IoctlResult> {
        let result = match file {
            VfioFile::Container => self.container(fd, request, argument),
            VfioFile::Group(vf) => self.group(fd, vf, request, argument),
            VfioFile::Device(vf) => self.device(vf, request, argument),
        };
        // The library is setting something up and will look for a response soon.
        self.machine.wake();
        result
    }

    fn container(&self, fd: c_int, request: c_ulong, argument: &Argument) -> Option<IoctlResult> {
        let memory = self.memory(fd)?;
        Some(match request {
            GET_API_VERSION => Ok(0),
            CHECK_EXTENSION => Ok(c_int::from(argument.value() == TYPE1_IOMMU)),
            SET_IOMMU if self.machine.config.start.start_refused => Err(libc::EPERM),
            SET_IOMMU if argument.value() == TYPE1_IOMMU => Ok(0),
            SET_IOMMU => Err(libc::ENODEV),
            IOMMU_GET_INFO => iommu_info(argument),
            IOMMU_MAP_DMA => self.map(&memory, argument),
            IOMMU_UNMAP_DMA => unmap(&memory, argument),
            _ => return None,
        })
    }

    fn map(&self, memory: &ContainerMemory, argument: &Argument) -> IoctlResult {
        let map = argument.structure::<32>()?;
        let made = self.machine.counters.maps.load(Ordering::Relaxed);
        if self.machine.config.start.map_refused_after.is_some_and(|most| made >= most) {
            self.machine.counters.injected_faults.fetch_add(1, Ordering::Relaxed);
            return Err(libc::ENOMEM);
        }
        const READ: u32 = 1;
        const WRITE: u32 = 2;
        let flags = map.u32(4);
        let access = DmaAccess { read: flags & READ != 0, write: flags & WRITE != 0 };
        if flags & !(READ | WRITE) != 0 || flags == 0 {
            return Err(libc::EINVAL);
        }
        // SAFETY: the contract of `ContainerMemory::map` is that of VFIO_IOMMU_MAP_DMA in `vfio.h`, which the caller
        // made.
        let mapped = unsafe { memory.map(map.u64(8), map.u64(16), map.u64(24), access) };
        mapped.map(|()| 0).map_err(|error| match error {
            MapError::Invalid => libc::EINVAL,
            MapError::Overlaps => libc::EEXIST,
        })
    }

    fn group(&self, fd: c_int, vf: usize, request: c_ulong, argument: &Argument) -> Option<IoctlResult> {
        let device = self.machine.vf(vf)?;
        Some(match request {
            GROUP_GET_STATUS => self.group_status(vf, argument),
            GROUP_SET_CONTAINER => self.join(fd, vf, device, argument),
            GROUP_UNSET_CONTAINER if self.leave(vf) => Ok(0),
            GROUP_UNSET_CONTAINER => Err(libc::EINVAL),
            GROUP_GET_DEVICE_FD => self.open_device(vf, device, argument),
            _ => return None,
        })
    }

    fn group_status(&self, vf: usize, argument: &Argument) -> IoctlResult {
        const VIABLE: u32 = 1;
        const CONTAINER_SET: u32 = 2;
        let mut status = argument.structure::<8>()?;
        let set = lock(&self.groups).contains_key(&vf);
        status.set_u32(4, if set { VIABLE | CONTAINER_SET } else { VIABLE });
        argument.store(&status);
        Ok(0)
    }

    fn join(&self, fd: c_int, vf: usize, device: &Vf, argument: &Argument) -> IoctlResult {
        let container = argument.int()?;
        let memory = self.memory(container).ok_or(libc::EBADF)?;
        let mut groups = lock(&self.groups);
        if groups.contains_key(&vf) {
            return Err(libc::EINVAL);
        }
        groups.insert(vf, (fd, Arc::clone(&memory)));
        drop(groups);
        device.attach(memory);
        self.machine.group_attached(|work| spawn(self.machine.config.engine_cpu, work));
        Ok(0)
    }

    fn open_device(&self, vf: usize, device: &Vf, argument: &Argument) -> IoctlResult {
        if argument.text()?.to_bytes() != device.identity.address.as_bytes() || device.is_removed() {
            return Err(libc::ENODEV);
        }
        if !lock(&self.groups).contains_key(&vf) {
            return Err(libc::EINVAL);
        }
        let slot = self.devices.get(vf).ok_or(libc::ENODEV)?;
        if slot.get().is_none() {
            let _ = slot.set(DeviceFile::new().map_err(|e| os_error(&e))?);
        }
        let file = slot.get().ok_or(libc::EIO)?;
        let open = || -> io::Result<Windows> {
            Ok(Windows {
                rings: Box::new(file.window(RING_REGION)?),
                misc: Box::new(file.window(MISC_REGION)?),
                config: Box::new(file.window(CONFIG_REGION)?),
            })
        };
        device.windows(open).map_err(|e| os_error(&e))?;
        let fd = file.duplicate().map_err(|e| os_error(&e))?;
        let fd = fd.into_raw_fd();
        if !files::remember(fd, VfioFile::Device(vf)) {
            // SAFETY: close(2) takes a descriptor, which was created above and given to nobody.
            unsafe { libc::close(fd) };
            return Err(libc::EMFILE);
        }
        self.machine.counters.device_opens.fetch_add(1, Ordering::Relaxed);
        Ok(fd)
    }

    fn device(&self, vf: usize, request: c_ulong, argument: &Argument) -> Option<IoctlResult> {
        let device = self.machine.vf(vf)?;
        Some(match request {
            _ if device.is_removed() => Err(libc::ENODEV),
            DEVICE_GET_INFO => device_info(argument),
            DEVICE_GET_REGION_INFO => region_info(argument),
            DEVICE_GET_IRQ_INFO => interrupts::info(argument),
            DEVICE_SET_IRQS => interrupts::set(device, self.machine.counters, argument),
            DEVICE_RESET => {
                device.reset(self.machine.counters);
                Ok(0)
            }
            _ => return None,
        })
    }
}

fn iommu_info(argument: &Argument) -> IoctlResult {
    const PAGE_SIZES: u32 = 1;
    let mut info = argument.structure::<16>()?;
    info.set_u32(4, PAGE_SIZES);
    info.set_u64(8, u64::MAX << 12);
    argument.store(&info);
    if let Ok(mut longer) = argument.structure::<20>() {
        longer.set_u32(16, 0);
        argument.store(&longer);
    }
    Ok(0)
}

fn unmap(memory: &ContainerMemory, argument: &Argument) -> IoctlResult {
    const ALL: u32 = 2;
    let mut unmap = argument.structure::<24>()?;
    let (flags, iova, bytes) = (unmap.u32(4), unmap.u64(8), unmap.u64(16));
    let bytes = match flags {
        0 if bytes != 0 => memory.unmap(iova, bytes),
        ALL if (iova, bytes) == (0, 0) => memory.unmap(0, u64::MAX),
        // The kernel's other flags request a dirty bitmap and a change of the virtual address; neither is offered.
        _ => return Err(libc::EINVAL),
    };
    unmap.set_u64(16, bytes);
    argument.store(&unmap);
    Ok(0)
}

fn device_info(argument: &Argument) -> IoctlResult {
    const RESET: u32 = 1;
    const PCI: u32 = 2;
    let mut info = argument.structure::<16>()?;
    info.set_u32(4, RESET | PCI);
    info.set_u32(8, 9);
    info.set_u32(12, 5);
    argument.store(&info);
    Ok(0)
}

fn region_info(argument: &Argument) -> IoctlResult {
    const READ: u32 = 1;
    const WRITE: u32 = 2;
    const MMAP: u32 = 4;
    let mut info = argument.structure::<32>()?;
    let region = info.u32(8);
    if region > 7 {
        return Err(libc::EINVAL);
    }
    let flags = match region {
        RING_REGION | MISC_REGION => READ | WRITE | MMAP,
        window::CONFIG_REGION => READ | WRITE,
        _ => 0,
    };
    info.set_u32(4, flags);
    info.set_u32(12, 0);
    info.set_u64(16, window::region_bytes(region));
    info.set_u64(24, u64::from(region) << REGION_SHIFT);
    argument.store(&info);
    Ok(0)
}

/// Starts a device thread. All signals are blocked on it, because the program's handlers must not run there; its hooks
/// pass all calls through; its sleeps are as short as requested. With `cpu`, it runs on that core only.
fn spawn(cpu: Option<usize>, work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset(3) takes a pointer to a set, and initialises the set.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: pthread_sigmask(3) reads the first set, which is initialised, and initialises the second one.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
    let spawned = thread::Builder::new().name("qat-emu".to_owned()).spawn(move || {
        let _guard = pass_through();
        // SAFETY: prctl(2): this request takes an integer, the timer slack of this thread in nanoseconds.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
        // The configuration was checked, so that this fails only if the core was removed since.
        if let Some(cpu) = cpu
            && let Err(error) = run_on(cpu)
        {
            eprintln!("qat-emu: a device thread runs on any core, because it cannot be restricted to core {cpu}: {error}");
        }
        work();
    });
    // SAFETY: pthread_sigmask(3) reads the set, which it has initialised above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    spawned.map(drop)
}
