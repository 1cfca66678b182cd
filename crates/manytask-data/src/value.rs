//! When two texts of a column are the same value.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::Table;
use crate::table::{Column, NumberFormat};

#[cfg(test)]
mod tests;

/// How the texts of a column are compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Compare {
    /// By value: `1`, `1.0` and ` 1` are one number, `True` and `TRUE` one truth value. Blanks around do not count.
    Value,
    /// As codes, blanks around apart: `007` and `7` are two. For columns in which a number has leading zeros.
    Code,
    /// To the letter, as runs of earlier versions did.
    #[default]
    Exact,
    /// The same where numbers are written in another way: with decimal commas `1`, `1,0` and ` 1` are one.
    #[serde(untagged)]
    ValueOf(NumberFormat),
}

/// The distinct values of a column in some of its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Values {
    /// How texts are compared.
    pub(crate) compare: Compare,
    /// Each value as it is first written, in order of first occurrence in the table.
    pub(crate) names: Vec<String>,
    /// Spellings of one value, where there are several: the first and another one.
    pub(crate) merged: Vec<(String, String)>,
    /// Whether a row has no value.
    pub(crate) missing: bool,
}

impl Compare {
    /// How these texts of a table are to be compared: as codes if a number among them has leading zeros.
    pub(crate) fn of<'a>(format: NumberFormat, texts: impl IntoIterator<Item = &'a str>) -> Self {
        let by_value = if format == NumberFormat::default() { Self::Value } else { Self::ValueOf(format) };
        let is_code = texts.into_iter().any(|text| has_leading_zeros(&by_value.plain(text.trim())));
        if is_code { Self::Code } else { by_value }
    }

    /// What equal values have in common and different ones have not.
    pub(crate) fn key(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Exact => Cow::Borrowed(text),
            Self::Code => Cow::Borrowed(text.trim()),
            Self::Value => by_value(text.trim()),
            Self::ValueOf(_) => match self.plain(text.trim()) {
                Cow::Owned(number) => Cow::Owned(by_value(&number).into_owned()),
                // A number elsewhere, and none in this table: no value is written like it.
                Cow::Borrowed(text) if Number::read(text).is_some() => Cow::Owned(format!("\0{text}")),
                Cow::Borrowed(text) => by_value(text),
            },
        }
    }

    /// A number as Rust reads it, another text as it is.
    fn plain(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::ValueOf(format) => {
                let number = format.plain(text).filter(|number| Number::read(number).is_some());
                number.map_or(Cow::Borrowed(text), Cow::Owned)
            }
            _ => Cow::Borrowed(text),
        }
    }

    /// The indices of values, by key. Of two equal values the first counts.
    pub(crate) fn indices(self, names: &[String]) -> HashMap<Cow<'_, str>, usize> {
        let mut indices = HashMap::with_capacity(names.len());
        for (place, name) in names.iter().enumerate() {
            indices.entry(self.key(name)).or_insert(place);
        }
        indices
    }

    /// For each level of a column the place of its value among `names`.
    pub(crate) fn places_of(self, column: &Column, names: &[String]) -> Vec<Option<usize>> {
        let indices = self.indices(names);
        column.levels().iter().map(|level| indices.get(&self.key(level)).copied()).collect()
    }
}

impl Values {
    /// Looks at these rows (counted from 0) of a table and no others.
    pub(crate) fn of(table: &Table, column: &Column, rows: &[usize]) -> Self {
        let (seen, missing) = seen(column, rows);
        let levels = || column.levels().iter().zip(&seen).filter(|(_, seen)| **seen).map(|(level, _)| level);
        let compare = Compare::of(table.format(), levels().map(String::as_str));
        let mut names: Vec<String> = Vec::new();
        let mut merged = Vec::new();
        let mut indices: HashMap<Cow<'_, str>, usize> = HashMap::new();
        for level in levels() {
            let key = compare.key(level);
            if let Some(first) = indices.get(&key).and_then(|place| names.get(*place)) {
                merged.push((first.clone(), level.clone()));
            } else {
                indices.insert(key, names.len());
                names.push(level.clone());
            }
        }
        Self { compare, names, merged, missing }
    }
}

/// Which levels occur in these rows, and whether a value is missing in one of them.
pub(crate) fn seen(column: &Column, rows: &[usize]) -> (Vec<bool>, bool) {
    let mut seen = vec![false; column.levels().len()];
    let mut missing = false;
    for row in rows {
        match column.codes().get(*row).and_then(|code| seen.get_mut(*code as usize)) {
            Some(seen) => *seen = true,
            None => missing = true,
        }
    }
    (seen, missing)
}

/// In the order of the numbers if all are numbers, of their bytes otherwise.
pub(crate) fn sorted(format: NumberFormat, mut names: Vec<String>) -> Vec<String> {
    if names.iter().all(|name| format.parse(name).is_some()) {
        let number = |name: &String| format.parse(name).unwrap_or_default();
        names.sort_by(|a, b| number(a).total_cmp(&number(b)).then_with(|| a.cmp(b)));
    } else {
        names.sort_unstable();
    }
    names
}

/// Numbers without sign of plus, leading and trailing zeros or exponent, truth values in small letters, other text as it is.
/// Decimal digits are kept however many there are, so that identifiers beyond 2⁵³ stay apart.
fn by_value(text: &str) -> Cow<'_, str> {
    if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
        return Cow::Owned(text.to_ascii_lowercase());
    }
    let Some(number) = Number::read(text) else { return Cow::Borrowed(text) };
    if number.exponent {
        // Without one, and then as any other number.
        return match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Cow::Owned(by_value(&value.to_string()).into_owned()),
            _ => Cow::Borrowed(text),
        };
    }
    let whole = number.whole.trim_start_matches('0');
    let fraction = number.fraction.trim_end_matches('0');
    let sign = if number.negative && !(whole.is_empty() && fraction.is_empty()) { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if fraction.is_empty() { "" } else { "." };
    Cow::Owned(format!("{sign}{whole}{point}{fraction}"))
}

/// Whether it is a number with a zero before its first digit, as codes have them.
fn has_leading_zeros(text: &str) -> bool {
    Number::read(text).is_some_and(|number| number.whole.len() > 1 && number.whole.starts_with('0'))
}

/// The pieces of a decimal number.
struct Number<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: bool,
}

impl<'a> Number<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let negative = text.starts_with('-');
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, power)) => {
                let power = power.strip_prefix(['-', '+']).unwrap_or(power);
                if power.is_empty() || !digits(power) {
                    return None;
                }
                (mantissa, true)
            }
            None => (unsigned, false),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let any = !(whole.is_empty() && fraction.is_empty());
        (any && digits(whole) && digits(fraction)).then_some(Self { negative, whole, fraction, exponent })
    }
}
