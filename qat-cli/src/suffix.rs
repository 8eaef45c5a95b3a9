//! Names of outputs, derived from the names of inputs in the same way as gzip, zstd and lz4 do. [`run`](crate::run)
//! calls this; it touches no file.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use qat::accel_core::Format;

/// A suffix of compressed or encrypted files, and its replacement in the name of the plain file. Case is ignored.
type Suffix = (&'static str, &'static str);

/// Returns the suffixes of `format`. The first is the one for outputs.
fn of(format: Format) -> &'static [Suffix] {
    match format {
        Format::Zlib => &[("zz", "")],
        Format::Deflate => &[("deflate", "")],
        Format::Lz4Frame | Format::Lz4Block => &[("lz4", ""), ("tlz4", "tar")],
        Format::Zstd => &[("zst", ""), ("zstd", ""), ("tzst", "tar")],
        // The suffixes that gzip knows, except those without a dot.
        _ => &[("gz", ""), ("tgz", "tar"), ("taz", "tar"), ("z", "")],
    }
}

/// The suffix of encrypted files.
const TINK: &[Suffix] = &[("tink", "")];

/// The suffixes that a command accepts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Suffixes {
    /// The suffixes of one format.
    Of(Format),
    /// The suffixes of all compressed formats.
    Compressed,
    /// The suffix of encrypted files.
    Encrypted,
}

const FORMATS: [Format; 5] = [Format::Gzip, Format::Zlib, Format::Deflate, Format::Lz4Frame, Format::Zstd];

impl Suffixes {
    fn lists(self) -> Vec<&'static [Suffix]> {
        match self {
            Self::Of(format) => vec![of(format)],
            Self::Compressed => FORMATS.map(of).to_vec(),
            Self::Encrypted => vec![TINK],
        }
    }

    /// Returns the suffix of `path` with its replacement, or `None` where it has no known one.
    pub(crate) fn find(self, path: &Path) -> Option<Suffix> {
        let mut known = self.lists().into_iter().flatten();
        known.find(|(suffix, _)| has(path, suffix)).copied()
    }

    /// Returns the name of the plain file for the packed file `path`, or `None` where it has no known suffix.
    pub(crate) fn remove(self, path: &Path) -> Option<PathBuf> {
        self.find(path).map(|(_, replacement)| path.with_extension(replacement))
    }

    /// Returns the name of the packed file for `path`.
    pub(crate) fn add(self, path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        for (suffix, _) in self.lists().into_iter().filter_map(<[Suffix]>::first).take(1) {
            name.push(".");
            name.push(suffix);
        }
        name.into()
    }

    /// Returns the suffixes of outputs as text for messages.
    pub(crate) fn list(self) -> String {
        let lists = self.lists();
        let written: Vec<_> =
            lists.iter().filter_map(|list| list.first()).map(|(suffix, _)| format!(".{suffix}")).collect();
        written.join(" ")
    }
}

/// Returns whether `path` has the suffix of raw deflate, which cannot be detected from the content.
pub(crate) fn is_deflate(path: &Path) -> bool {
    Suffixes::Of(Format::Deflate).find(path).is_some()
}

fn has(path: &Path, suffix: &str) -> bool {
    path.extension().and_then(OsStr::to_str).is_some_and(|extension| extension.eq_ignore_ascii_case(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected names are those that gzip -d, zstd -d and lz4 -d use.
    #[test]
    fn names_of_unpacked_files() {
        for (packed, plain) in [
            ("a.gz", Some("a")),
            ("a.GZ", Some("a")),
            ("d/a.tar.gz", Some("d/a.tar")),
            ("a.tgz", Some("a.tar")),
            ("a.TGZ", Some("a.tar")),
            ("a.taz", Some("a.tar")),
            ("a.z", Some("a")),
            ("a.zst", Some("a")),
            ("a.zstd", Some("a")),
            ("a.tzst", Some("a.tar")),
            ("a.tlz4", Some("a.tar")),
            ("d.gz/a", None),
            (".gz", None),
            ("gz", None),
            ("a.tar", None),
        ] {
            assert_eq!(
                Suffixes::Compressed.remove(Path::new(packed)).as_deref(),
                plain.map(Path::new),
                "{packed}"
            );
        }
        assert_eq!(Suffixes::Encrypted.remove(Path::new("a.gz.tink")).as_deref(), Some(Path::new("a.gz")));
    }

    #[test]
    fn names_of_packed_files() {
        for (format, packed) in
            FORMATS.into_iter().zip(["a.b.gz", "a.b.zz", "a.b.deflate", "a.b.lz4", "a.b.zst"])
        {
            assert_eq!(Suffixes::Of(format).add(Path::new("a.b")), Path::new(packed));
        }
        assert_eq!(Suffixes::Encrypted.add(Path::new("a.b")), Path::new("a.b.tink"));
        assert_eq!(Suffixes::Compressed.list(), ".gz .zz .deflate .lz4 .zst");
    }
}
