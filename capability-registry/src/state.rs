//! The state of a feature: present with a value, or absent with a reason. Registrations provide it, and readers receive
//! it.

use std::{fmt, sync::Arc};

/// The value of a feature that is present.
///
/// # Examples
/// ```
/// use capability_registry::Value;
///
/// let window_bytes = Value::Integer(32 << 10);
/// assert_eq!(window_bytes.to_string(), "32768");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum Value {
    /// The feature has no value besides its presence.
    #[default]
    Flag,
    /// The value is a number, such as a count, a size or a limit. The name of the feature states the unit.
    Integer(u64),
    /// The value is a text, such as a version or a model.
    Text(Arc<str>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.pad("yes"),
            Self::Integer(number) => number.fmt(f),
            Self::Text(text) => f.pad(text),
        }
    }
}

/// Whether a feature is present, with its value, or absent, with the reason.
///
/// # Examples
/// ```
/// use capability_registry::{State, Value};
///
/// assert!(State::Present(Value::Integer(12)).is_present());
/// assert_eq!(State::absent("no device").to_string(), "absent: no device");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum State {
    /// The feature can be used.
    Present(Value),
    /// The feature cannot be used. The reason is for people.
    Absent(Arc<str>),
}

impl State {
    /// Returns the state of a feature that is present and has no value.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::{State, Value};
    /// assert_eq!(State::present(), State::Present(Value::Flag));
    /// ```
    pub const fn present() -> Self {
        Self::Present(Value::Flag)
    }

    /// Returns the state of a feature that is absent, with a reason for people.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::State;
    /// assert_eq!(State::absent("no permission").reason(), Some("no permission"));
    /// ```
    pub fn absent(reason: impl Into<Arc<str>>) -> Self {
        Self::Absent(reason.into())
    }

    /// Returns whether the feature can be used.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::State;
    /// assert!(!State::absent("no device").is_present());
    /// ```
    pub const fn is_present(&self) -> bool {
        matches!(self, Self::Present(_))
    }

    /// Returns the value, or `None` where the feature is absent.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::{State, Value};
    /// assert_eq!(State::present().value(), Some(&Value::Flag));
    /// ```
    pub const fn value(&self) -> Option<&Value> {
        match self {
            Self::Present(value) => Some(value),
            Self::Absent(_) => None,
        }
    }

    /// Returns the reason, or `None` where the feature is present.
    ///
    /// # Examples
    /// ```
    /// use capability_registry::State;
    /// assert_eq!(State::present().reason(), None);
    /// ```
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Present(_) => None,
            Self::Absent(reason) => Some(reason),
        }
    }
}

impl From<Value> for State {
    fn from(value: Value) -> Self {
        Self::Present(value)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present(Value::Flag) => f.write_str("present"),
            Self::Present(value) => write!(f, "present: {value}"),
            Self::Absent(reason) => write!(f, "absent: {reason}"),
        }
    }
}
