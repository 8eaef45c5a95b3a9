//! Patterns, which select one feature, all features below one, or all features. Registries, snapshots and subscriptions
//! take them as queries.

use std::{fmt, str::FromStr};

use crate::{Feature, ParseError};

/// A set of features: a single one, all those below one, or all.
///
/// # Examples
/// ```
/// use capability_registry::{Feature, Pattern};
///
/// let below: Pattern = "qat.*".parse()?;
/// assert!(below.matches(&Feature::from_static("qat.compression")));
/// assert!(below.matches(&Feature::from_static("qat.compression.deflate")));
/// assert!(!below.matches(&Feature::from_static("qat")));
/// # Ok::<(), capability_registry::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Pattern {
    /// `*`: every feature.
    All,
    /// `qat`: this feature alone.
    Exact(Feature),
    /// `qat.*`: every feature below this one, at any depth, but not the feature itself.
    Below(Feature),
}

impl Pattern {
    /// Returns whether `feature` belongs to the set.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::{Feature, Pattern};
    /// assert!(Pattern::All.matches(&Feature::from_static("qat")));
    /// ```
    pub fn matches(&self, feature: &Feature) -> bool {
        match self {
            Self::All => true,
            Self::Exact(exact) => feature == exact,
            Self::Below(root) => feature.is_below(root),
        }
    }
}

impl FromStr for Pattern {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.strip_suffix(".*") {
            _ if text == "*" => Ok(Self::All),
            Some(root) => root.parse().map(Self::Below),
            None => text.parse().map(Self::Exact),
        }
    }
}

impl TryFrom<&str> for Pattern {
    type Error = ParseError;

    fn try_from(text: &str) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<Feature> for Pattern {
    fn from(feature: Feature) -> Self {
        Self::Exact(feature)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Exact(feature) => write!(f, "{feature}"),
            Self::Below(root) => write!(f, "{root}.*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_the_last_segment_only() {
        let misplaced = |position| Err(ParseError::MisplacedWildcard { position });
        assert_eq!("*.qat".parse::<Pattern>(), misplaced(0));
        assert_eq!("*.*".parse::<Pattern>(), misplaced(0));
        assert_eq!("qat*".parse::<Pattern>(), misplaced(3));
        assert_eq!("qat.**".parse::<Pattern>(), misplaced(4));
        assert_eq!("qat.*.*".parse::<Pattern>(), misplaced(4));
        assert_eq!(".*".parse::<Pattern>(), Err(ParseError::Empty));
        assert_eq!("".parse::<Pattern>(), Err(ParseError::Empty));
    }

    #[test]
    fn below_is_strict_and_deep() {
        let pattern: Pattern = "qat.compression.*".parse().unwrap();
        let cases = [
            ("qat", false),
            ("qat.compression", false),
            ("qat.compression-ns", false),
            ("qat.compression.deflate", true),
            ("qat.compression.deflate.dynamic", true),
            ("qat.encryption", false),
        ];
        for (name, expected) in cases {
            assert_eq!(pattern.matches(&Feature::from_static(name)), expected, "{name}");
        }
    }
}
