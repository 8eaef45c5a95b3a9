//! Decides which paths the emulator redirects into the private tree. It looks at the text of a path only, except for
//! paths that `attach` redirects only when the tree contains them.

use std::ffi::{CStr, c_char};

/// The directories of the host that libqat examines and that the tree replaces. Everything that the tree does not
/// contain is absent, so that the host's own devices and settings are hidden.
const REPLACED: [&[u8]; 4] =
    [b"/dev/vfio", b"/sys/kernel/iommu_groups", b"/sys/bus/pci/drivers", b"/sys/module/vfio"];
/// The directory in which libqat looks for the physical function of a virtual one. Its files are redirected only when
/// the tree contains them.
const PCI_DEVICES: &[u8] = b"/sys/bus/pci/devices";
const PHYSICAL: &[u8] = b"/physfn/uevent";
/// The directory in which Intel's samples look for their data, which is redirected only when the tree contains it.
pub(super) const DATA: &[u8] = b"/usr/share/qat";
/// The prefix of the kernel's debug directories, whose names end with the address of the device.
const DEBUG_PREFIX: &[u8] = b"/sys/kernel/debug/qat_";
/// The socket of the manager daemon.
pub(super) const MANAGER_SOCKET: &[u8] = b"/run/qat/qatmgr.sock";

/// What a redirected path stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Container,
    /// A group, by its number.
    Group(u32),
    /// A file or directory that is only read.
    Plain,
    /// The file that names the physical function of a virtual one.
    Physical,
    /// A data file of Intel's samples.
    Data,
    /// A debug file of the kernel's driver, whose content changes as the device works.
    Debug,
    /// A debug file that the driver does not allow to be read now.
    Refused,
}

/// Returns what a path stands for; `None` when it is not redirected.
pub(super) fn target(path: &[u8]) -> Option<Target> {
    let below = |prefix: &[u8]| {
        path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    if below(DATA) {
        return Some(Target::Data);
    }
    if below(PCI_DEVICES) && path.ends_with(PHYSICAL) {
        return Some(Target::Physical);
    }
    if path.starts_with(DEBUG_PREFIX) {
        return Some(Target::Debug);
    }
    if !REPLACED.iter().any(|prefix| below(prefix)) {
        return None;
    }
    let Some(node) = path.strip_prefix(b"/dev/vfio/") else { return Some(Target::Plain) };
    if node == b"vfio" {
        return Some(Target::Container);
    }
    let number = std::str::from_utf8(node).ok().and_then(|text| text.parse().ok());
    Some(number.map_or(Target::Plain, Target::Group))
}

const MAX_PATH: usize = 1024;

/// A path inside the private tree. It is kept on the stack because hooks should not allocate memory.
pub(super) struct Redirected {
    path: [u8; MAX_PATH],
    pub(super) target: Target,
}

impl Redirected {
    /// Joins tree and path; returns `None` when the path is longer than any that libqat uses.
    pub(super) fn new(tree: &[u8], path: &[u8], target: Target) -> Option<Self> {
        let mut joined = [0; MAX_PATH];
        let end = tree.len() + path.len();
        // The last byte stays zero.
        joined.get_mut(..end).filter(|_| end < MAX_PATH)?;
        joined[..tree.len()].copy_from_slice(tree);
        joined[tree.len()..end].copy_from_slice(path);
        Some(Self { path: joined, target })
    }

    /// Returns the path without its terminator.
    pub(super) fn path(&self) -> &[u8] {
        CStr::from_bytes_until_nul(&self.path).unwrap_or(c"").to_bytes()
    }

    pub(super) fn as_ptr(&self) -> *const c_char {
        CStr::from_bytes_until_nul(&self.path).unwrap_or(c"").as_ptr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_components_are_replaced() {
        assert_eq!(target(b"/dev/vfio"), Some(Target::Plain));
        assert_eq!(target(b"/dev/vfio/vfio"), Some(Target::Container));
        assert_eq!(target(b"/dev/vfio/17"), Some(Target::Group(17)));
        assert_eq!(target(b"/dev/vfio/noiommu-1"), Some(Target::Plain));
        assert_eq!(target(b"/dev/vfiox"), None);
        assert_eq!(target(b"/sys/bus/pci/devices"), None);
        assert_eq!(target(b"/sys/bus/pci/devices/0000:10:00.1/vendor"), None);
        assert_eq!(target(b"/sys/bus/pci/devices/0000:10:00.1/physfn/uevent"), Some(Target::Physical));
        assert_eq!(target(b"/sys/kernel/debug/qat_4xxx_0000:10:00.0/fw_counters"), Some(Target::Debug));
        assert_eq!(target(b"/usr/share/qat/calgary"), Some(Target::Data));
        assert_eq!(target(b""), None);
    }

    #[test]
    fn paths_that_do_not_fit_are_left_alone() {
        assert!(Redirected::new(b"/t", &[b'a'; MAX_PATH], Target::Plain).is_none());
        let fits = Redirected::new(b"/t", b"/dev/vfio", Target::Plain).unwrap();
        assert_eq!(CStr::from_bytes_until_nul(&fits.path).unwrap(), c"/t/dev/vfio");
    }
}
