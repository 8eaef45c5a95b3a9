//! The private tree of files that replaces `/dev/vfio` and parts of `/sys`. It is created once for each machine; only
//! the debug files change afterwards.

use std::{
    ffi::CString,
    fs, io,
    mem::MaybeUninit,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{
    config::{Config, Device},
    debugfs,
    device::vf::{self, Identity},
};

/// Explains why the private tree cannot be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// No directory on tmpfs was found.
    #[error(
        "no writable directory on tmpfs (tried {tried}): libqat 24.02 reads directories in the order that only \
         tmpfs and sysfs keep; mount /dev/shm or set QAT_EMU_TMPFS to a directory on tmpfs"
    )]
    NoTmpfs {
        /// Lists the directories that were tried.
        tried: String,
    },
    /// A file of the tree cannot be written.
    #[error("cannot write {path}: {source}", path = path.display())]
    Write {
        /// Is the path of the file.
        path: PathBuf,
        /// Is the error of the operating system.
        source: io::Error,
    },
}

fn is_tmpfs(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return false };
    let mut status = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: statfs(2) takes a NUL-terminated path and writes to the structure.
    if unsafe { libc::statfs(path.as_ptr(), status.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: MaybeUninit::assume_init requires an initialised value: statfs(2) has written it, because it succeeded.
    unsafe { status.assume_init() }.f_type == libc::TMPFS_MAGIC
}

/// Creates a new, empty directory on tmpfs.
pub(super) fn directory() -> Result<PathBuf, TreeError> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let candidates = ["QAT_EMU_TMPFS", "XDG_RUNTIME_DIR"]
        .iter()
        .filter_map(std::env::var_os)
        .map(PathBuf::from)
        .chain(["/dev/shm", "/run/shm", "/tmp"].map(PathBuf::from));
    let mut tried = Vec::new();
    for base in candidates {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("qat-emu-{}-{number}", std::process::id()));
        if is_tmpfs(&base) {
            // An existing directory was left by an ended process with the same id.
            let _ = fs::remove_dir_all(&path);
            if fs::create_dir(&path).is_ok() {
                return Ok(path);
            }
        }
        tried.push(base.display().to_string());
    }
    Err(TreeError::NoTmpfs { tried: tried.join(", ") })
}

/// Writes a file of the tree and creates its directories.
pub(super) fn write(root: &Path, path: &str, content: &[u8]) -> Result<(), TreeError> {
    let full = root.join(path.trim_start_matches('/'));
    let written = full.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&full, content));
    written.map_err(|source| TreeError::Write { path: full, source })
}

/// Returns the text of a file of the tree; `None` if it cannot be read.
pub(super) fn read(root: &Path, path: &str) -> Option<String> {
    fs::read_to_string(root.join(path.trim_start_matches('/'))).ok()
}

/// Creates a symbolic link of the tree and its directories.
fn link(root: &Path, path: &str, target: &str) -> Result<(), TreeError> {
    let full = root.join(path.trim_start_matches('/'));
    let made = full.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| symlink(target, &full));
    made.map_err(|source| TreeError::Write { path: full, source })
}

/// Fills a tree with the files that the library, and a probe of sysfs, look for.
pub(super) fn fill(root: &Path, config: &Config) -> Result<(), TreeError> {
    let directory = |path: &str| {
        let full = root.join(path);
        fs::create_dir_all(&full).map_err(|source| TreeError::Write { path: full, source })
    };
    write(root, "/dev/vfio/vfio", b"")?;
    directory("sys/bus/pci/drivers")?;
    directory("sys/kernel/iommu_groups")?;
    for (number, device) in config.devices.iter().enumerate() {
        // Without the driver's directory, the library assumes that it runs in a virtual machine.
        if config.host {
            directory(&format!(
                "sys/bus/pci/drivers/{}/{}",
                device.model.driver_name(),
                vf::physical_address(number)
            ))?;
            physical_function(root, number, device)?;
        }
        for (path, content) in debugfs::files(device.model, number) {
            write(root, &path, content.as_bytes())?;
        }
    }
    let absent = config.absent_nodes();
    for identity in &Identity::all(config) {
        let Identity { group, address, device, model, numa_node, .. } = identity;
        write(root, &format!("/dev/vfio/{group}"), b"")?;
        let function = format!("/sys/bus/pci/devices/{address}");
        link(root, &format!("{function}/driver"), "../../../bus/pci/drivers/vfio-pci")?;
        link(root, &format!("{function}/iommu_group"), &format!("../../../kernel/iommu_groups/{group}"))?;
        if config.host {
            let physical = vf::physical_address(*device);
            link(root, &format!("{function}/physfn"), &format!("../{physical}"))?;
        }
        let node = if absent.contains(numa_node) { -1 } else { *numa_node };
        for directory in [function, format!("/sys/kernel/iommu_groups/{group}/devices/{address}")] {
            write(root, &format!("{directory}/vendor"), b"0x8086\n")?;
            let id = format!("{:#06x}\n", model.vf_device_id());
            write(root, &format!("{directory}/device"), id.as_bytes())?;
            write(root, &format!("{directory}/numa_node"), format!("{node}\n").as_bytes())?;
        }
    }
    Ok(())
}

/// Writes the sysfs files of a physical function, as the kernel's driver presents them.
fn physical_function(root: &Path, number: usize, device: &Device) -> Result<(), TreeError> {
    let address = vf::physical_address(number);
    let function = format!("/sys/bus/pci/devices/{address}");
    for (name, content) in [
        ("vendor", "0x8086".to_owned()),
        ("device", format!("{:#06x}", device.model.pf_device_id())),
        ("uevent", format!("PCI_SLOT_NAME={address}")),
        ("sriov_numvfs", device.vfs.to_string()),
        ("qat/state", "up".to_owned()),
        ("qat/cfg_services", String::from(device.services)),
    ] {
        write(root, &format!("{function}/{name}"), (content + "\n").as_bytes())?;
    }
    let driver = format!("../../../bus/pci/drivers/{}", device.model.driver_name());
    link(root, &format!("{function}/driver"), &driver)
}
