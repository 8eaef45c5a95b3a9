//! The linked libraries have the functions, and the same ones that loading finds.
#![cfg(feature = "linked")]

use qat_sys::{Library, Symbols};

#[test]
fn linked_functions_are_there() {
    let library = Library::linked();
    let groups = library.symbols().groups().count();
    assert!((1..=Symbols::GROUPS.len()).contains(&groups), "{groups}");
    // SAFETY: takes nothing and only looks for a device.
    let is_available = unsafe { (library.symbols().icp_sal_userIsQatAvailable)() };
    assert!([qat_sys::CPA_FALSE, qat_sys::CPA_TRUE].contains(&is_available));
}

#[cfg(feature = "loaded")]
#[test]
fn linked_and_loaded_are_the_same_code() {
    // SAFETY: the library is the one that this program is linked with.
    let loaded = unsafe { Library::load(&qat_sys::LoadOptions::default()) }.unwrap();
    let address = |library: &Library| library.symbols().cpaDcGetNumInstances as usize;
    assert_eq!(address(&loaded), address(&Library::linked()));
}
