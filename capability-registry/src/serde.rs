//! Serialisation of features as strings and of snapshots as maps in the order of the names. Deserialisation validates
//! names and refuses duplicates.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, Visitor},
};

use crate::{Feature, Snapshot, State};

impl Serialize for Feature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Feature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = Feature;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a feature name")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Feature, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Name)
    }
}

impl Serialize for Snapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.entries().iter().map(|(feature, state)| (feature, state)))
    }
}

impl<'de> Deserialize<'de> for Snapshot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Snapshot;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from feature names to states")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Snapshot, A::Error> {
                let mut entries = BTreeMap::<Feature, State>::new();
                while let Some((feature, state)) = map.next_entry::<Feature, State>()? {
                    if entries.contains_key(&feature) {
                        return Err(A::Error::custom(format_args!("`{feature}` occurs twice")));
                    }
                    entries.insert(feature, state);
                }
                Ok(entries.into_iter().collect())
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;

    const JSON: &str = concat!(
        r#"{"a":{"present":"flag"},"a.b":{"absent":"no b"},"#,
        r#""a.c":{"present":{"integer":18446744073709551615}},"d":{"present":{"text":"4.1"}}}"#
    );

    #[test]
    fn a_snapshot_is_an_ordered_map() {
        let snapshot = Snapshot::from_iter([
            (Feature::from_static("d"), State::Present(Value::Text("4.1".into()))),
            (Feature::from_static("a.c"), State::Present(Value::Integer(u64::MAX))),
            (Feature::from_static("a.b"), State::absent("no b")),
            (Feature::from_static("a"), State::present()),
        ]);
        assert_eq!(serde_json::to_string(&snapshot).unwrap(), JSON);
        assert_eq!(serde_json::from_str::<Snapshot>(JSON).unwrap(), snapshot);
        assert_eq!(serde_json::from_reader::<_, Snapshot>(JSON.as_bytes()).unwrap(), snapshot);
    }

    #[test]
    fn foreign_input_is_checked() {
        for json in [
            r#"{"A":{"present":"flag"}}"#,
            r#"{"a":{"present":"flag"},"a":{"present":"flag"}}"#,
            r#"{"a":true}"#,
            r#"{"a":{"present":"flag","absent":"both"}}"#,
            "[]",
        ] {
            assert!(serde_json::from_str::<Snapshot>(json).is_err(), "{json}");
        }
        assert!(serde_json::from_str::<Feature>(r#""qat.*""#).is_err());
    }
}
