//! How a target says what means no.

use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The values that mean no, where others are named that mean yes.
///
/// In a configuration: `"rest"` or `["no", "never"]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Negative {
    /// The only other value; several are refused.
    #[default]
    OtherValue,
    /// All other values.
    Rest,
    /// These; others are refused.
    Values(Vec<String>),
}

impl Negative {
    /// Whether it is left to the data.
    pub fn is_other_value(&self) -> bool {
        *self == Self::OtherValue
    }
}

impl Serialize for Negative {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::OtherValue => serializer.serialize_none(),
            Self::Rest => serializer.serialize_str("rest"),
            Self::Values(values) => values.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Negative {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RestOrMany)
    }
}

struct RestOrMany;

impl<'de> Visitor<'de> for RestOrMany {
    type Value = Negative;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"rest\", or a list of values")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Negative, E> {
        Ok(Negative::OtherValue)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Negative, E> {
        match text {
            "rest" => Ok(Negative::Rest),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Negative, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Negative::Values(values))
    }
}
