//! Which release brought which functions. A function in no group is required: every release since [`BASELINE`] has it.
//!
//! The facts come from compiling the library sources of each public release and listing what they define, and for the
//! pinned releases from the export tables of the real libraries, which `cargo xtask symbols --check` reads each time.

/// The oldest supported release: the first with the soname `libqat.so.4`.
pub(crate) const BASELINE: &str = "23.08";

/// Functions that came together.
#[derive(Debug)]
pub(crate) struct Group {
    /// The field of `Symbols`.
    pub(crate) field: &'static str,
    /// The type of that field.
    pub(crate) type_name: &'static str,
    /// The first release that exports them.
    pub(crate) since: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) functions: &'static [&'static str],
}

/// All optional groups, by release.
pub(crate) const GROUPS: &[Group] = &[
    Group {
        field: "usdm_init",
        type_name: "UsdmInit",
        since: "23.08",
        doc: "Explicit start and end of libusdm. Deprecated, and declared only since 26.08, so not required.",
        functions: &["qaeMemDestroy", "qaeMemInit"],
    },
    Group {
        field: "ecsm2",
        type_name: "Ecsm2",
        since: "23.11",
        doc: "SM2 signatures, encryption and key exchange.",
        functions: &[
            "cpaCyEcsm2Decrypt",
            "cpaCyEcsm2Encrypt",
            "cpaCyEcsm2GeneratorMultiply",
            "cpaCyEcsm2KeyExPhase1",
            "cpaCyEcsm2KeyExPhase2",
            "cpaCyEcsm2PointMultiply",
            "cpaCyEcsm2PointVerify",
            "cpaCyEcsm2QueryStats64",
            "cpaCyEcsm2Sign",
            "cpaCyEcsm2Verify",
        ],
    },
    Group {
        field: "physical_functions",
        type_name: "PhysicalFunctions",
        since: "24.02",
        doc: "Number and identity of the machine's physical functions, for a process that may read them.",
        functions: &["icp_sal_get_num_pfs", "icp_sal_get_pf_info"],
    },
    Group {
        field: "in_flight",
        type_name: "InFlight",
        since: "24.09",
        doc: "How many requests are in flight on a crypto instance. Declared earlier, but not exported.",
        functions: &[
            "icp_sal_AsymGetInflightRequests",
            "icp_sal_SymGetInflightRequests",
            "icp_sal_dp_SymGetInflightRequests",
        ],
    },
    Group {
        field: "dpa_resistant",
        type_name: "DpaResistant",
        since: "25.08",
        doc: "Public-key operations that resist differential power analysis.",
        functions: &["cpaCyEcDpaGenericPointMultiply", "cpaCyEcdsaDpaSignRS", "cpaCyRsaDpaDecrypt"],
    },
    Group {
        field: "chaining",
        type_name: "Chaining",
        since: "25.08",
        doc: "Chained compression and encryption with the second form of operation data and results.",
        functions: &["cpaDcChainPerformOp2"],
    },
    Group {
        field: "crc_control",
        type_name: "CrcControl",
        since: "25.08",
        doc: "A polynomial of the caller's choice for the end-to-end CRC of a session.",
        functions: &["cpaDcChainSetCrcControlData", "cpaDcSetCrcControlData"],
    },
    Group {
        field: "dictionaries",
        type_name: "Dictionaries",
        since: "25.08",
        doc: "Compression and decompression with a dictionary.",
        functions: &[
            "cpaDcCompressDataWithDict",
            "cpaDcDecompressDataWithDict",
            "cpaDcGetMetaSizeForSrcBuffWithDict",
        ],
    },
    Group {
        field: "partial_data_plane",
        type_name: "PartialDataPlane",
        since: "25.08",
        doc: "Data-plane compression requests that give back a part of the result or pad it with zeros.",
        functions: &[
            "cpaDcDpEnqueueOpWithPartRead",
            "cpaDcDpEnqueueOpWithPartReadBatch",
            "cpaDcDpEnqueueOpWithZeroPad",
            "cpaDcDpEnqueueOpWithZeroPadBatch",
            "cpaDcDpIsPartReadSupported",
            "cpaDcDpIsZeroPadSupported",
        ],
    },
    Group {
        field: "capability_by_type",
        type_name: "CapabilityByType",
        since: "25.08",
        doc: "One compression capability at a time, by its type.",
        functions: &["cpaDcQueryCapabilityByType"],
    },
    Group {
        field: "lz4_output_format",
        type_name: "Lz4OutputFormat",
        since: "25.08",
        doc: "LZ4 output with or without the header of each block.",
        functions: &["cpaDcSetLZ4OutputFormat"],
    },
    Group {
        field: "rate_limiting",
        type_name: "RateLimiting",
        since: "25.08",
        doc: "Rate limits of devices and instances, as service-level agreements.",
        functions: &[
            "cpaDeleteRlSla",
            "cpaDisableRateLimiting",
            "cpaEnableRateLimiting",
            "cpaGetDevRlPropSlaCir",
            "cpaGetDevRlPropSlaPir",
            "cpaGetDevRlPropertiesHandle",
            "cpaGetInstanceRlSlaCir",
            "cpaGetInstanceRlSlaPir",
            "cpaGetRlSla",
            "cpaRlGetQpHandles",
            "cpaRlGetQpNumHandles",
            "cpaRlPropGetNumInterfaces",
            "cpaSetRlSla",
        ],
    },
    Group {
        field: "error_simulation",
        type_name: "ErrorSimulation",
        since: "25.08",
        doc: "Errors on purpose, for tests. Earlier libraries export these only when built with the simulation.",
        functions: &[
            "icp_sal_cnv_simulate_error",
            "icp_sal_dc_simulate_error",
            "icp_sal_heartbeat_simulate_failure",
            "icp_sal_ns_cnv_reset_error",
            "icp_sal_ns_cnv_simulate_error",
        ],
    },
    Group {
        field: "zstd",
        type_name: "Zstd",
        since: "26.02",
        doc: "Room that Zstandard compression needs.",
        functions: &["cpaDcZstdCompressBound"],
    },
    Group {
        field: "auto_select_best",
        type_name: "AutoSelectBest",
        since: "26.02",
        doc: "When a session gives up compressing and stores: threshold and ratio.",
        functions: &["cpaDcSetAsbRatio", "cpaDcSetAsbThreshold"],
    },
    Group {
        field: "response_mode",
        type_name: "ResponseMode",
        since: "26.02",
        doc: "Whether an instance is polled or announces responses by an event.",
        functions: &["cpaInstanceGetResponseMode", "cpaInstanceSetResponseMode"],
    },
    Group {
        field: "usdm_iova",
        type_name: "UsdmIova",
        since: "26.02",
        doc: "Mapping of memory that libusdm did not allocate.",
        functions: &["qaeMemMapContiguousIova", "qaeMemUnmapContiguousIova"],
    },
    Group {
        field: "interrupt_coalescing",
        type_name: "InterruptCoalescing",
        since: "26.08",
        doc: "How long an instance collects responses before it interrupts.",
        functions: &["cpaInstanceGetRxInterruptMetaData", "cpaInstanceSetIntCoalescingTimer"],
    },
];

const PF_VF_MESSAGES: &str =
    "messages between physical and virtual functions: only the out-of-tree driver has them";

/// Declared in an installed header, but exported by no qatlib release.
pub(super) const NOT_EXPORTED: &[(&str, &str)] = &[
    ("icp_sal_userGetMsgFromPf", PF_VF_MESSAGES),
    ("icp_sal_userGetMsgFromVf", PF_VF_MESSAGES),
    ("icp_sal_userGetPfVfcommsStatus", PF_VF_MESSAGES),
    ("icp_sal_userSendMsgToPf", PF_VF_MESSAGES),
    ("icp_sal_userSendMsgToVf", PF_VF_MESSAGES),
];

const IOMMU: &str =
    "its header is not installed; virtual functions through VFIO need no remapping by the caller";

/// Exported, but declared in no installed header.
pub(super) const NOT_DECLARED: &[(&str, &str)] =
    &[("icp_sal_iommu_get_remap_size", IOMMU), ("icp_sal_iommu_map", IOMMU), ("icp_sal_iommu_unmap", IOMMU)];
