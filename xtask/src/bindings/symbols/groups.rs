//! The functions that each release introduced. A function in no group is required: every release since [`BASELINE`] has
//! it.
//!
//! The facts were found by compiling the library sources of each public release and listing the functions that they
//! define. For the pinned releases, `cargo xtask symbols --check` compares them with the export tables of the real
//! libraries.

/// The oldest supported release: the first with the soname `libqat.so.4`.
pub(crate) const BASELINE: &str = "23.08";

/// Functions that one release introduced together.
#[derive(Debug)]
pub(crate) struct Group {
    /// The field of `Symbols`.
    pub(crate) field: &'static str,
    /// The type of that field.
    pub(crate) type_name: &'static str,
    /// The first release that exports the functions.
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
        doc: "Explicit start and end of libusdm. They are deprecated and declared only since 26.08, so that they are not required.",
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
        doc: "Number and identity of the physical functions of the machine, for a process with permission to read them.",
        functions: &["icp_sal_get_num_pfs", "icp_sal_get_pf_info"],
    },
    Group {
        field: "in_flight",
        type_name: "InFlight",
        since: "24.09",
        doc: "The number of requests in flight on a crypto instance. Earlier releases declare it, but do not export it.",
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
        doc: "A user-defined polynomial for the end-to-end CRC of a session.",
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
        doc: "Data-plane compression requests that return a part of the result or pad it with zeros.",
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
        doc: "Query of a single compression capability by its type.",
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
        doc: "Error injection for tests. Earlier releases export these only when built with error simulation.",
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
        doc: "The buffer size that Zstandard compression needs.",
        functions: &["cpaDcZstdCompressBound"],
    },
    Group {
        field: "auto_select_best",
        type_name: "AutoSelectBest",
        since: "26.02",
        doc: "Threshold and ratio at which a session stops compressing and stores the data.",
        functions: &["cpaDcSetAsbRatio", "cpaDcSetAsbThreshold"],
    },
    Group {
        field: "response_mode",
        type_name: "ResponseMode",
        since: "26.02",
        doc: "Query whether an instance is polled or signals responses by an event.",
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
        doc: "The time for which an instance collects responses before it interrupts.",
        functions: &["cpaInstanceGetRxInterruptMetaData", "cpaInstanceSetIntCoalescingTimer"],
    },
];

const PF_VF_MESSAGES: &str =
    "messages between physical and virtual functions: only the out-of-tree driver has them";

/// The functions that an installed header declares, but no qatlib release exports.
pub(super) const NOT_EXPORTED: &[(&str, &str)] = &[
    ("icp_sal_userGetMsgFromPf", PF_VF_MESSAGES),
    ("icp_sal_userGetMsgFromVf", PF_VF_MESSAGES),
    ("icp_sal_userGetPfVfcommsStatus", PF_VF_MESSAGES),
    ("icp_sal_userSendMsgToPf", PF_VF_MESSAGES),
    ("icp_sal_userSendMsgToVf", PF_VF_MESSAGES),
];

const IOMMU: &str =
    "its header is not installed; virtual functions through VFIO need no remapping by the caller";

/// The functions that are exported, but that no installed header declares.
pub(super) const NOT_DECLARED: &[(&str, &str)] =
    &[("icp_sal_iommu_get_remap_size", IOMMU), ("icp_sal_iommu_map", IOMMU), ("icp_sal_iommu_unmap", IOMMU)];
