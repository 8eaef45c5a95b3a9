//! Feature names. A [`Feature`] can be created only from valid text, so that no other module checks names.

use std::{borrow::Borrow, cmp::Ordering, fmt, hash, str::FromStr, sync::Arc};

use thiserror::Error;

/// The validated name of a feature, such as `qat.compression.deflate`.
///
/// A name consists of one or more segments joined by dots, and has at most [`Feature::MAX_LEN`] bytes. A segment
/// consists of one or more of `a`–`z`, `0`–`9` and `-`. Names compare byte by byte, as their text does. Cloning does
/// not copy the text.
///
/// # Examples
/// ```
/// use capability_registry::Feature;
///
/// const DEFLATE: Feature = Feature::from_static("qat.compression.deflate");
/// let parsed: Feature = "qat.compression.deflate".parse()?;
/// assert_eq!(parsed, DEFLATE);
/// # Ok::<(), capability_registry::ParseError>(())
/// ```
#[derive(Clone)]
pub struct Feature(Text);

#[derive(Clone)]
enum Text {
    Static(&'static str),
    Shared(Arc<str>),
}

impl Feature {
    /// The maximum length of a name in bytes, including dots.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::Feature;
    /// assert!("a".repeat(Feature::MAX_LEN).parse::<Feature>().is_ok());
    /// assert!("a".repeat(Feature::MAX_LEN + 1).parse::<Feature>().is_err());
    /// ```
    pub const MAX_LEN: usize = 128;

    /// Creates a name from a literal. In a `const`, the compiler checks it.
    ///
    /// # Panics
    /// If `name` is not valid; in a `const`, the build fails instead:
    /// ```compile_fail,E0080
    /// use capability_registry::Feature;
    /// const BAD: Feature = Feature::from_static("Qat");
    /// # let _ = BAD;
    /// ```
    ///
    /// # Examples
    /// ```
    /// use capability_registry::Feature;
    /// const QAT: Feature = Feature::from_static("qat");
    /// assert_eq!(QAT.as_str(), "qat");
    /// ```
    pub const fn from_static(name: &'static str) -> Self {
        match validate(name) {
            Ok(()) => Self(Text::Static(name)),
            Err(_) => panic!("invalid feature name; use dot-separated segments of a-z, 0-9 and `-`"),
        }
    }

    /// Returns the name as text.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::Feature;
    /// assert_eq!(Feature::from_static("qat.compression").as_str(), "qat.compression");
    /// ```
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Static(text) => text,
            Text::Shared(text) => text,
        }
    }

    /// Returns the segments, beginning with the root.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::Feature;
    /// let feature = Feature::from_static("qat.encryption.aes-gcm");
    /// assert!(feature.segments().eq(["qat", "encryption", "aes-gcm"]));
    /// ```
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.as_str().split('.')
    }

    /// Returns the name without its last segment, or `None` for a name of one segment.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::Feature;
    /// let feature = Feature::from_static("qat.compression");
    /// assert_eq!(feature.parent(), Some(Feature::from_static("qat")));
    /// assert_eq!(feature.parent().unwrap().parent(), None);
    /// ```
    pub fn parent(&self) -> Option<Self> {
        Some(Self(match &self.0 {
            Text::Static(text) => Text::Static(parent(text)?),
            Text::Shared(text) => Text::Shared(parent(text)?.into()),
        }))
    }

    /// Returns whether this is `other` itself or is below it at any depth.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::Feature;
    /// let qat = Feature::from_static("qat");
    /// assert!(Feature::from_static("qat.compression.lz4").is_within(&qat));
    /// assert!(qat.is_within(&qat));
    /// assert!(!Feature::from_static("qat-emulated").is_within(&qat));
    /// ```
    pub fn is_within(&self, other: &Self) -> bool {
        self == other || self.is_below(other)
    }

    pub(crate) fn is_below(&self, other: &Self) -> bool {
        self.as_str().strip_prefix(other.as_str()).is_some_and(|rest| rest.starts_with('.'))
    }
}

impl FromStr for Feature {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        validate(text)?;
        Ok(Self(Text::Shared(text.into())))
    }
}

impl TryFrom<&str> for Feature {
    type Error = ParseError;

    fn try_from(text: &str) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Feature({self})")
    }
}

impl PartialEq for Feature {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Feature {}

impl PartialOrd for Feature {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Feature {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl hash::Hash for Feature {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        // `Borrow<str>` requires the hash of `str`. Otherwise a map would not find a feature by a `&str`.
        self.as_str().hash(state);
    }
}

impl Borrow<str> for Feature {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Feature {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

/// The reason why a text is not a [`Feature`] or a [`Pattern`](crate::Pattern). Positions are byte offsets.
///
/// # Examples
/// ```
/// use capability_registry::{Feature, ParseError};
///
/// let error = "qat..deflate".parse::<Feature>().unwrap_err();
/// assert_eq!(error, ParseError::EmptySegment { position: 4 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The text has no segment.
    #[error("the feature name is empty; write dot-separated segments such as `net.tls`")]
    Empty,
    /// The text is longer than [`Feature::MAX_LEN`].
    #[error("the feature name has {len} bytes; shorten it to {} at most", Feature::MAX_LEN)]
    TooLong {
        /// The length of the text in bytes.
        len: usize,
    },
    /// A dot is at the start, at the end, or next to another dot.
    #[error("empty segment at byte {position}; remove the dot or write a segment there")]
    EmptySegment {
        /// The offset at which a segment is expected.
        position: usize,
    },
    /// A byte is none of `a`–`z`, `0`–`9`, `-` and the dot.
    #[error("`{}` at byte {position}; use a-z, 0-9 and `-` in segments", byte.escape_ascii())]
    InvalidByte {
        /// The offset of the byte.
        position: usize,
        /// The byte.
        byte: u8,
    },
    /// A `*` is in a name, or is not the last segment of a pattern.
    #[error("`*` at byte {position}; a wildcard is the last segment of a pattern, never part of a name")]
    MisplacedWildcard {
        /// The offset of the `*`.
        position: usize,
    },
}

pub(crate) fn parent(name: &str) -> Option<&str> {
    name.rsplit_once('.').map(|(parent, _)| parent)
}

pub(crate) const fn validate(text: &str) -> Result<(), ParseError> {
    let bytes = text.as_bytes();
    if bytes.is_empty() {
        return Err(ParseError::Empty);
    }
    if bytes.len() > Feature::MAX_LEN {
        return Err(ParseError::TooLong { len: bytes.len() });
    }
    let mut segment = 0;
    let mut position = 0;
    while position < bytes.len() {
        match bytes[position] {
            b'a'..=b'z' | b'0'..=b'9' | b'-' => {}
            b'.' if position == segment => return Err(ParseError::EmptySegment { position }),
            b'.' => segment = position + 1,
            b'*' => return Err(ParseError::MisplacedWildcard { position }),
            byte => return Err(ParseError::InvalidByte { position, byte }),
        }
        position += 1;
    }
    if segment == bytes.len() { Err(ParseError::EmptySegment { position: segment }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_defect_is_named_with_its_place() {
        let cases = [
            ("", ParseError::Empty),
            (".", ParseError::EmptySegment { position: 0 }),
            (".qat", ParseError::EmptySegment { position: 0 }),
            ("qat.", ParseError::EmptySegment { position: 4 }),
            ("qat..dc", ParseError::EmptySegment { position: 4 }),
            ("qAt", ParseError::InvalidByte { position: 1, byte: b'A' }),
            ("qat dc", ParseError::InvalidByte { position: 3, byte: b' ' }),
            ("qat_dc", ParseError::InvalidByte { position: 3, byte: b'_' }),
            ("qat\0", ParseError::InvalidByte { position: 3, byte: 0 }),
            ("é", ParseError::InvalidByte { position: 0, byte: 0xC3 }),
            ("qat.*", ParseError::MisplacedWildcard { position: 4 }),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Feature>(), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn length_limit_counts_bytes() {
        assert!("x".repeat(128).parse::<Feature>().is_ok());
        assert_eq!("x".repeat(129).parse::<Feature>(), Err(ParseError::TooLong { len: 129 }));
    }

    #[test]
    fn messages_name_cause_and_remedy() {
        assert_eq!(
            "é".parse::<Feature>().unwrap_err().to_string(),
            r"`\xc3` at byte 0; use a-z, 0-9 and `-` in segments"
        );
        assert_eq!(
            ParseError::TooLong { len: 200 }.to_string(),
            "the feature name has 200 bytes; shorten it to 128 at most"
        );
    }

    #[test]
    #[should_panic(expected = "invalid feature name")]
    fn from_static_refuses_what_parsing_refuses() {
        Feature::from_static(std::hint::black_box("qat."));
    }

    #[test]
    fn a_longer_segment_is_not_below_a_shorter_one() {
        let qat = Feature::from_static("qat");
        for (name, within) in
            [("qat", true), ("qat.dc", true), ("qat-dc", false), ("qat4.dc", false), ("q", false)]
        {
            assert_eq!(Feature::from_static(name).is_within(&qat), within, "{name}");
        }
    }

    #[test]
    fn display_honours_width() {
        assert_eq!(format!("{:<5}|", Feature::from_static("qat")), "qat  |");
    }
}
