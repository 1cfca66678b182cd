//! Values of a configuration as serde reads them: with their spans, and with names where a table would do.
//!
//! A method with settings can be given by its name alone, as `"huber"` for `{ huber = {} }`: its settings then are their
//! defaults. That holds for every enum, so no type has to say so.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// A value with its place.
pub(super) struct Value<'s>(pub(super) Spanned<DeValue<'s>>);

/// What is wrong with a value, and where, as soon as that is known.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) what: String,
    pub(super) place: Option<Range<usize>>,
}

impl Mistake {
    fn at(place: &Range<usize>, what: impl Into<String>) -> Self {
        Self { what: what.into(), place: Some(place.clone()) }
    }

    /// Gives it a place if it has none.
    fn or_at(mut self, place: &Range<usize>) -> Self {
        self.place.get_or_insert_with(|| place.clone());
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Mistake {}

impl de::Error for Mistake {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self { what: what.to_string(), place: None }
    }
}

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let place = self.0.span();
        let read = match self.0.into_inner() {
            DeValue::String(Cow::Borrowed(text)) => visitor.visit_borrowed_str(text),
            DeValue::String(Cow::Owned(text)) => visitor.visit_string(text),
            DeValue::Integer(number) => {
                let (digits, radix) = (number.as_str(), number.radix());
                if let Ok(number) = i64::from_str_radix(digits, radix) {
                    visitor.visit_i64(number)
                } else if let Ok(number) = u64::from_str_radix(digits, radix) {
                    visitor.visit_u64(number)
                } else if let Ok(number) = i128::from_str_radix(digits, radix) {
                    visitor.visit_i128(number)
                } else {
                    Err(de::Error::custom(format!("the number {number} is beyond what can be counted")))
                }
            }
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                Ok(value) if value.is_finite() || number.as_str().contains("inf") || value.is_nan() => {
                    visitor.visit_f64(value)
                }
                _ => {
                    Err(de::Error::custom(format!("the number {number} is beyond what can be computed with")))
                }
            },
            DeValue::Boolean(value) => visitor.visit_bool(value),
            DeValue::Datetime(moment) => visitor.visit_string(moment.to_string()),
            DeValue::Array(items) => visitor.visit_seq(Items(items.into_iter())),
            DeValue::Table(table) => visitor.visit_map(Pairs { pairs: table.into_iter(), value: None }),
        };
        read.map_err(|mistake| mistake.or_at(&place))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let place = self.0.span();
        visitor.visit_some(self).map_err(|mistake| mistake.or_at(&place))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let place = self.0.span();
        visitor.visit_newtype_struct(self).map_err(|mistake| mistake.or_at(&place))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let place = self.0.span();
        let named = match self.0.into_inner() {
            DeValue::String(name) => Named { name: Spanned::new(place.clone(), name), content: None },
            DeValue::Table(table) => {
                let mut pairs = table.into_iter();
                match (pairs.next(), pairs.next()) {
                    (Some((name, value)), None) => Named { name, content: Some(value) },
                    (None, _) => {
                        let what = format!("expected one key, found none: {}", one_of(variants));
                        return Err(Mistake::at(&place, what));
                    }
                    (Some(_), Some((second, _))) => {
                        return Err(Mistake::at(&second.span(), "expected one key, found more than one"));
                    }
                }
            }
            other => {
                let what =
                    format!("expected a name or a table, found {}: {}", other.type_str(), one_of(variants));
                return Err(Mistake::at(&place, what));
            }
        };
        visitor.visit_enum(named).map_err(|mistake| mistake.or_at(&place))
    }

    forward_to_deserialize_any! {
        bool u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 f32 f64 char str string seq bytes byte_buf map unit struct
        ignored_any unit_struct tuple_struct tuple identifier
    }
}

fn one_of(names: &[&str]) -> String {
    format!("there are `{}`", names.join("`, `"))
}

/// The elements of an array.
struct Items<'s>(<DeArray<'s> as IntoIterator>::IntoIter);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Mistake;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Mistake> {
        self.0.next().map(|item| seed.deserialize(Value(item))).transpose()
    }
}

/// The keys and values of a table.
struct Pairs<'s> {
    pairs: <DeTable<'s> as IntoIterator>::IntoIter,
    value: Option<Spanned<DeValue<'s>>>,
}

impl<'de> MapAccess<'de> for Pairs<'de> {
    type Error = Mistake;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Mistake> {
        let Some((key, value)) = self.pairs.next() else { return Ok(None) };
        self.value = Some(value);
        let (place, name) = (key.span(), key.into_inner());
        seed.deserialize(Value(Spanned::new(place.clone(), DeValue::String(name))))
            .map(Some)
            .map_err(|mistake| mistake.or_at(&place))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mistake> {
        match self.value.take() {
            Some(value) => seed.deserialize(Value(value)),
            None => Err(de::Error::custom("a value without a key")),
        }
    }
}

/// One of several methods by its name, with its settings or without.
struct Named<'s> {
    name: Spanned<Cow<'s, str>>,
    content: Option<Spanned<DeValue<'s>>>,
}

impl<'de> EnumAccess<'de> for Named<'de> {
    type Error = Mistake;
    type Variant = Settings<'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Settings<'de>), Mistake> {
        let (place, name) = (self.name.span(), self.name.into_inner());
        let settings = Settings { name: name.to_string(), place: place.clone(), content: self.content };
        let word = Value(Spanned::new(place.clone(), DeValue::String(name)));
        Ok((seed.deserialize(word).map_err(|mistake| mistake.or_at(&place))?, settings))
    }
}

/// The settings of a named method.
struct Settings<'s> {
    name: String,
    place: Range<usize>,
    content: Option<Spanned<DeValue<'s>>>,
}

impl<'s> Settings<'s> {
    /// Reads what is written, or an empty table; a mistake in the latter says how to write what is needed.
    fn read<T>(self, read: impl FnOnce(Value<'s>) -> Result<T, Mistake>) -> Result<T, Mistake> {
        let Self { name, place, content } = self;
        if let Some(content) = content {
            return read(Value(content));
        }
        let empty = Spanned::new(place.clone(), DeValue::Table(DeTable::new()));
        read(Value(empty)).map_err(|mistake| {
            let needed = mistake.what.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
            let what = match needed {
                Some(key) => format!("`{name}` needs `{key}`: write {{ {name} = {{ {key} = … }} }}"),
                None => format!("`{name}` needs a value: write {{ {name} = … }}"),
            };
            Mistake::at(&place, what)
        })
    }
}

impl<'de> VariantAccess<'de> for Settings<'de> {
    type Error = Mistake;

    fn unit_variant(self) -> Result<(), Mistake> {
        match self.content.as_ref().map(Spanned::get_ref) {
            None => Ok(()),
            Some(DeValue::Table(table)) if table.is_empty() => Ok(()),
            Some(_) => Err(Mistake::at(&self.place, format!("`{}` has no settings", self.name))),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Mistake> {
        self.read(|value| seed.deserialize(value))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Mistake> {
        self.read(|value| value.deserialize_any(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        self.read(|value| value.deserialize_any(visitor))
    }
}
