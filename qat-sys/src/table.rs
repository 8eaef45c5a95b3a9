//! The macros that create the symbol table from the generated list of functions in `functions.rs`.

/// A group of optional functions, and the release that introduced it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Group {
    /// The name of the field of [`Symbols`](crate::Symbols) that holds the group.
    pub name: &'static str,
    /// The first qatlib release that exports the functions.
    pub since: &'static str,
    /// The C names of the functions.
    pub functions: &'static [&'static str],
}

/// The required functions that a library does not export.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} required functions are missing: {}", names.len(), names.join(", "))]
#[non_exhaustive]
pub struct MissingSymbols {
    /// The C names of all of them.
    pub names: Vec<&'static str>,
}

/// Defines a struct of function pointers, and the only function that fills such a struct.
macro_rules! table {
    (
        $(#[$doc:meta])*
        $Table:ident {
            $($(#[$function_doc:meta])* fn $function:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*
        }
        $($(#[$group_doc:meta])* $group:ident: $Group:ident)*
    ) => {
        $(#[$doc])*
        #[allow(non_snake_case, reason = "C names")]
        #[derive(Clone, Debug)]
        #[non_exhaustive]
        pub struct $Table {
            $($(#[$function_doc])* pub $function: unsafe extern "C" fn($($argument: $type),*) $(-> $result)?,)*
            $($(#[$group_doc])* pub $group: Option<$Group>,)*
        }

        impl $Table {
            const FUNCTIONS: &[&str] = &[$(stringify!($function)),*];

            /// Fills the struct with the addresses that `find` returns.
            ///
            /// # Safety
            /// The caller must ensure what the `# Safety` section of [`Symbols::resolve`] lists.
            #[allow(non_snake_case, reason = "C names")]
            unsafe fn fill(
                find: &mut dyn FnMut(&core::ffi::CStr) -> *const core::ffi::c_void,
            ) -> Result<Self, Vec<&'static str>> {
                $(let $function = find(crate::table::c_name(concat!(stringify!($function), "\0")));)*
                let missing: Vec<_> = [$((stringify!($function), $function)),*]
                    .into_iter()
                    .filter_map(|(name, address)| address.is_null().then_some(name))
                    .collect();
                if !missing.is_empty() {
                    return Err(missing);
                }
                Ok(Self {
                    $(
                        // SAFETY: `transmute` requires a valid value of the same size. Both types are pointers, the
                        // address is not null, and the `# Safety` section of this function requires that it is that of
                        // a C function with this signature.
                        $function: unsafe {
                            core::mem::transmute::<
                                *const core::ffi::c_void,
                                unsafe extern "C" fn($($type),*) $(-> $result)?,
                            >($function)
                        },
                    )*
                    $(
                        // SAFETY: `fill` of the group requires what the `# Safety` section of this function requires of
                        // the caller.
                        $group: unsafe { $Group::fill(find) }.ok(),
                    )*
                })
            }
        }
    };
}

/// Defines [`Symbols`](crate::Symbols) and the groups, and with the feature `linked` their addresses.
macro_rules! symbols {
    (
        required {
            $($(#[$function_doc:meta])* fn $function:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)?;)*
        }
        $(
            $(#[$group_doc:meta])*
            $group:ident: $Group:ident since $since:literal {
                $(
                    $(#[$optional_doc:meta])*
                    fn $optional:ident($($optional_argument:ident: $optional_type:ty),* $(,)?)
                        $(-> $optional_result:ty)?;
                )*
            }
        )*
    ) => {
        table! {
            /// The C functions of libqat and libusdm. Those that every supported release has are fields with their C
            /// names, and later ones are in groups.
            ///
            /// Each field names the header that documents the function.
            Symbols {
                $($(#[$function_doc])* fn $function($($argument: $type),*) $(-> $result)?;)*
            }
            $(
                $(#[$group_doc])*
                #[doc = concat!("\n\nSince qatlib ", $since, ". `None` when any of the group is missing.")]
                $group: $Group
            )*
        }
        $(table! {
            $(#[$group_doc])*
            #[doc = concat!("\n\nSince qatlib ", $since, ".")]
            $Group {
                $(
                    $(#[$optional_doc])*
                    fn $optional($($optional_argument: $optional_type),*) $(-> $optional_result)?;
                )*
            }
        })*

        $(impl $Group {
            /// The first qatlib release that exports these functions.
            pub const SINCE: &str = $since;
        })*

        impl Symbols {
            /// The C names of the functions that every supported release has.
            pub const REQUIRED: &[&str] = Self::FUNCTIONS;

            /// The optional groups, oldest first.
            pub const GROUPS: &[crate::Group] = &[
                $(crate::Group { name: stringify!($group), since: $Group::SINCE, functions: $Group::FUNCTIONS }),*
            ];

            /// Fills the table with the addresses that `find` returns for the C names; null means that the function is
            /// absent.
            ///
            /// # Errors
            /// [`MissingSymbols`](crate::MissingSymbols) with all required functions for which `find` returns null.
            ///
            /// # Safety
            /// The caller must ensure that each address that is not null is that of a C function with the signature in
            /// qatlib's headers, and remains so while the function can be called through this table or a copy of it.
            pub unsafe fn resolve(
                mut find: impl FnMut(&core::ffi::CStr) -> *const core::ffi::c_void,
            ) -> Result<Self, crate::MissingSymbols> {
                // SAFETY: `fill` requires what the `# Safety` section of this function requires of the caller.
                unsafe { Self::fill(&mut find) }.map_err(|names| crate::MissingSymbols { names })
            }

            /// Returns the groups that this library has.
            pub fn groups(&self) -> impl Iterator<Item = &'static crate::Group> {
                let present = [$(self.$group.is_some()),*];
                Self::GROUPS.iter().zip(present).filter_map(|(group, present)| present.then_some(group))
            }
        }

        /// The functions as the linker resolves them.
        #[cfg(feature = "linked")]
        pub(crate) mod linked {
            use super::*;

            unsafe extern "C" {
                $(fn $function($($argument: $type),*) $(-> $result)?;)*
                $($(
                    #[cfg(qatlib = $since)]
                    fn $optional($($optional_argument: $optional_type),*) $(-> $optional_result)?;
                )*)*
            }

            /// Returns the address of a C function, or null when the library at build time was too old to have it.
            pub(crate) fn address(name: &core::ffi::CStr) -> *const core::ffi::c_void {
                match name.to_str() {
                    $(Ok(stringify!($function)) => $function as *const core::ffi::c_void,)*
                    $($(
                        #[cfg(qatlib = $since)]
                        Ok(stringify!($optional)) => $optional as *const core::ffi::c_void,
                    )*)*
                    _ => core::ptr::null(),
                }
            }
        }
    };
}

/// Returns the C name in a string that ends with a zero byte.
pub(crate) const fn c_name(name: &str) -> &core::ffi::CStr {
    match core::ffi::CStr::from_bytes_with_nul(name.as_bytes()) {
        Ok(name) => name,
        Err(_) => panic!("a C name has one zero byte, its last"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ffi::{CStr, c_void};
    use std::ptr;

    use crate::Symbols;

    extern "C" fn stub() {}

    /// Returns the functions of the table that the library of this release exports.
    fn exports(release: &str) -> BTreeSet<&'static str> {
        let groups = Symbols::GROUPS.iter().filter(|group| group.since <= release);
        Symbols::REQUIRED.iter().chain(groups.flat_map(|group| group.functions)).copied().collect()
    }

    fn resolve(exports: &BTreeSet<&str>) -> Result<Symbols, crate::MissingSymbols> {
        let find = |name: &CStr| {
            let is_there = exports.contains(name.to_str().unwrap());
            if is_there { stub as *const c_void } else { ptr::null() }
        };
        // SAFETY: the requirement of `Symbols::resolve` concerns calls through the table, and this test calls no
        // function.
        unsafe { Symbols::resolve(find) }
    }

    fn groups(symbols: &Symbols) -> Vec<&'static str> {
        symbols.groups().map(|group| group.name).collect()
    }

    #[test]
    fn each_release_has_its_groups() {
        assert_eq!(groups(&resolve(&exports("23.08")).unwrap()), ["usdm_init"]);
        let symbols = resolve(&exports("24.02")).unwrap();
        assert_eq!(groups(&symbols), ["usdm_init", "ecsm2", "physical_functions"]);
        assert!(symbols.ecsm2.is_some() && symbols.dictionaries.is_none());
        assert_eq!((crate::Ecsm2::SINCE, crate::Dictionaries::SINCE), ("23.11", "25.08"));
        let all: Vec<_> = Symbols::GROUPS.iter().map(|group| group.name).collect();
        assert_eq!(groups(&resolve(&exports("26.08")).unwrap()), all);
    }

    #[test]
    fn no_function_is_in_two_places() {
        let grouped: usize = Symbols::GROUPS.iter().map(|group| group.functions.len()).sum();
        assert_eq!(exports("26.08").len(), Symbols::REQUIRED.len() + grouped);
    }

    #[test]
    fn all_missing_functions_are_listed() {
        let mut exports = exports("26.08");
        let gone = ["cpaDcCompressData2", "icp_sal_userStart", "qaeMemAllocNUMA"];
        for name in gone {
            assert!(exports.remove(name), "{name}");
        }
        let error = resolve(&exports).unwrap_err();
        assert_eq!(error.names, gone);
        let names = gone.join(", ");
        assert_eq!(error.to_string(), format!("3 required functions are missing: {names}"));
    }

    #[test]
    fn a_group_is_there_as_a_whole_or_not_at_all() {
        let mut exports = exports("26.08");
        assert!(exports.remove("cpaDcDecompressDataWithDict"));
        let symbols = resolve(&exports).unwrap();
        assert!(symbols.dictionaries.is_none());
        assert_eq!(groups(&symbols).len(), Symbols::GROUPS.len() - 1);
    }

    #[test]
    fn each_function_gets_its_own_address() {
        extern "C" fn other() {}
        let find = |name: &CStr| match name.to_bytes() {
            b"qaeVirtToPhysNUMA" | b"cpaDcZstdCompressBound" => other as *const c_void,
            _ => stub as *const c_void,
        };
        // SAFETY: the requirement of `Symbols::resolve` concerns calls through the table, and this test calls no
        // function.
        let symbols = unsafe { Symbols::resolve(find) }.unwrap();
        assert_eq!(symbols.qaeVirtToPhysNUMA as *const c_void, other as *const c_void);
        assert_eq!(symbols.zstd.unwrap().cpaDcZstdCompressBound as *const c_void, other as *const c_void);
        assert_eq!(symbols.qaePhysToVirtNUMA as *const c_void, stub as *const c_void);
    }
}
