//! The qatlib releases that this project builds and tests against, and the Debian packages that contain them.
//!
//! A download is trusted if it has the digest listed here. When a Debian suite no longer carries a pinned version,
//! either pin its successor (`apt-cache show` prints the digest) or put the old `.deb` into `target/apt/`.

/// A qatlib release as Debian packages it.
#[derive(Debug)]
pub(crate) struct Release {
    /// The release number, such as "24.02".
    pub(crate) name: &'static str,
    /// The Debian suite that carries it.
    pub(crate) suite: &'static str,
    /// The packages with the headers and the libraries.
    pub(crate) packages: &'static [Package],
    /// The packages with Intel's programs: the sample code and QATzip.
    pub(crate) programs: &'static [Package],
    /// The output of `sha256sum *.h | sha256sum` in the C locale, over the installed headers of both libraries.
    pub(crate) headers_sha256: &'static str,
    /// The target of the link `libqat.so.4`, which identifies an installed copy of this release.
    pub(crate) libqat_file: &'static str,
}

/// A Debian package for amd64.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) sha256: &'static str,
}

/// The packages that the programs need in addition to libqat: the suite's own loader, C library and other libraries.
/// They are not pinned, because suites replace them often; apt verifies them with the signature of the suite.
pub(crate) const PROGRAM_RUNTIME: &[&str] =
    &["libc6", "libgcc-s1", "liblz4-1", "libnuma1", "libssl3t64", "libxxhash0", "libzstd1", "zlib1g"];

const fn package(name: &'static str, version: &'static str, sha256: &'static str) -> Package {
    Package { name, version, sha256 }
}

/// All releases, oldest first. The bindings are generated from the last.
pub(crate) const RELEASES: &[Release] = &[
    Release {
        name: "24.02",
        suite: "trixie",
        packages: &[
            package(
                "libqat-dev",
                "24.02.0-1+b1",
                "0cb3bfc38759e3b07c28f0f914c7011eb055fcb12a357e19df46469adad787fd",
            ),
            package(
                "libusdm-dev",
                "24.02.0-1+b1",
                "23900cd10d2ba7a994c2095b66600b523547a900611c9788b84add05b2d107a6",
            ),
            package(
                "libqat4",
                "24.02.0-1+b1",
                "40d108de6283579c6181425d288ca91cb646fcaa2e5c7499fcb75c7b71a53569",
            ),
            package(
                "libusdm0",
                "24.02.0-1+b1",
                "b59da5a6654c9fd7b90f94ba89d973b9f2f93909bca1ff05b4813712f747193f",
            ),
        ],
        programs: &[
            package(
                "qatlib-examples",
                "24.02.0-1+b1",
                "88702d622eb550af710eb67d473a406284af261a7c2fbb7d55f608e9dac5ee7f",
            ),
            package("qatzip", "1.3.1-2", "070aa1611b8a3f5bf6963123781a7691f6a2301d8fe7ac12ef34d54cc93b962f"),
            package(
                "libqatzip3",
                "1.3.1-2",
                "51bb7c2e808e650f011c21419281b5fc4d740c85f7270f77b975e350fa54a28f",
            ),
        ],
        headers_sha256: "1984223a9c5ed1e83f7db7d9040e5c0cb9c66371b3dbda9684e76ba2694b4dea",
        libqat_file: "libqat.so.4.2.0",
    },
    Release {
        name: "26.08",
        suite: "sid",
        packages: &[
            package(
                "libqat-dev",
                "26.08.0-2",
                "638b8c46f9d7bf5e3b934d2843d04c67d052e895bfd2386b4976e24ee278d1d2",
            ),
            package(
                "libusdm-dev",
                "26.08.0-2",
                "ad5e31faefb1ad3eab88a4b0357ffd93cef881234d9d225d139f71a8843825ea",
            ),
            package(
                "libqat4",
                "26.08.0-2",
                "58e39b24c2a9d4173a175eee5f906be0356ab3edf2b37bcb4b2e1ced870fb3e7",
            ),
            package(
                "libusdm0",
                "26.08.0-2",
                "79fb0b92ebdd8b4d26dd19765bf4bc2697e9e6d67fb17c737dc6f4f52b9c3a74",
            ),
        ],
        programs: &[
            package(
                "qatlib-examples",
                "26.08.0-2",
                "6c8d5cda2a1a2224c79a9c1d97e175c7adeb689f4690c09f87e4b9e473b372c1",
            ),
            package("qatzip", "2.0.0-2", "b1114402ced88944db0f2246d6232ebca0e1b17c890072cf81b5cd78ad20dd59"),
            package(
                "libqatzip3",
                "2.0.0-2",
                "4e9e6742922f17bc8dcd1d665c0a15b10ff25d57355081543fe6af83f8cc02e1",
            ),
        ],
        headers_sha256: "edafdf96fbf6dcc8b2d628e1ad54f5dbe7e38d3d4210d07517327fe71595dfe1",
        libqat_file: "libqat.so.4.6.0",
    },
];
