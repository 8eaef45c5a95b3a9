//! Which paths lead into the private tree.

use std::ffi::{CStr, c_char};

/// Directories of the host that libqat looks at and that the tree stands in for. What the tree does not hold is
/// absent, so that a host's own devices and settings stay out of sight.
const REPLACED: [&[u8]; 4] =
    [b"/dev/vfio", b"/sys/kernel/iommu_groups", b"/sys/bus/pci/drivers", b"/sys/module/vfio"];
/// Where libqat looks for the physical function of a virtual one; redirected only when the tree holds it.
const PCI_DEVICES: &[u8] = b"/sys/bus/pci/devices";
const PHYSICAL: &[u8] = b"/physfn/uevent";
/// Where Intel's samples look for their data; redirected only when the tree holds it.
pub(super) const DATA: &[u8] = b"/usr/share/qat";
/// The kernel's debug files of one device end in its address, so this is no whole component.
const DEBUG_PREFIX: &[u8] = b"/sys/kernel/debug/qat_";
/// Where the manager daemon listens.
pub(super) const MANAGER_SOCKET: &[u8] = b"/run/qat/qatmgr.sock";

/// What a shadowed path stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Container,
    /// A group, by number.
    Group(u32),
    /// Anything that is only read.
    Plain,
    /// Names the physical function of a virtual one.
    Physical,
    /// A file of Intel's samples.
    Data,
    /// A file of the kernel's driver, which changes as the device works.
    Debug,
    /// One that the driver does not let anybody read now.
    Refused,
}

/// The kind of a path, `None` when it is not ours.
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

/// A path inside the private tree, kept on the stack because hooks should not allocate.
pub(super) struct Redirected {
    path: [u8; MAX_PATH],
    pub(super) target: Target,
}

impl Redirected {
    /// `None` when the path is longer than any that libqat uses.
    pub(super) fn new(tree: &[u8], path: &[u8], target: Target) -> Option<Self> {
        let mut joined = [0; MAX_PATH];
        let end = tree.len() + path.len();
        // The last byte stays zero.
        joined.get_mut(..end).filter(|_| end < MAX_PATH)?;
        joined[..tree.len()].copy_from_slice(tree);
        joined[tree.len()..end].copy_from_slice(path);
        Some(Self { path: joined, target })
    }

    /// The path without its terminator.
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
