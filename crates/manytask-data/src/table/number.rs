//! Numbers as people write them.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What stands before the digits of a fraction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decimal {
    /// `1.5`
    #[default]
    #[serde(rename = ".")]
    Point,
    /// `1,5`
    #[serde(rename = ",")]
    Comma,
}

/// What stands between groups of three digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Thousands {
    /// `1.000`
    #[serde(rename = ".")]
    Point,
    /// `1,000`
    #[serde(rename = ",")]
    Comma,
    /// `1 000`, also with a blank that breaks no line or is narrow.
    #[serde(rename = " ")]
    Blank,
    /// `1'000`, also with a typographic apostrophe.
    #[serde(rename = "'")]
    Apostrophe,
}

/// How the numbers of a table are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct NumberFormat {
    decimal: Decimal,
    #[serde(skip_serializing_if = "Option::is_none")]
    thousands: Option<Thousands>,
}

impl NumberFormat {
    /// # Errors
    /// When one character is to mean both.
    pub(crate) fn new(decimal: Decimal, thousands: Option<Thousands>) -> Result<Self> {
        match (decimal, thousands) {
            (Decimal::Point, Some(Thousands::Point)) | (Decimal::Comma, Some(Thousands::Comma)) => {
                Err(Error::config(
                    "thousands",
                    "source: `decimal` and `thousands` are the same character; they must differ",
                ))
            }
            _ => Ok(Self { decimal, thousands }),
        }
    }

    /// The finite number that a text stands for. Groups of thousands have three digits each, so that `1.5` is never 15.
    pub(crate) fn parse(self, text: &str) -> Option<f64> {
        let text = text.trim();
        let number = match (self.decimal, self.thousands) {
            (Decimal::Point, None) => text.parse::<f64>().ok()?,
            _ => self.plain(text)?.parse::<f64>().ok()?,
        };
        number.is_finite().then_some(number)
    }

    /// What to write under `source` so that all these texts are numbers; `None` where no way of writing fits them.
    pub(crate) fn remedy(texts: &[String]) -> Option<String> {
        let fits = |format: &Self| texts.iter().all(|text| format.parse(text).is_some());
        let mut fitting: Vec<Self> = FORMATS.into_iter().filter(fits).collect();
        // Where numbers need no groups, none are suggested.
        let plain: Vec<Decimal> =
            fitting.iter().filter(|f| f.thousands.is_none()).map(|f| f.decimal).collect();
        fitting.retain(|format| format.thousands.is_none() || !plain.contains(&format.decimal));
        let fitting: Vec<String> = fitting.into_iter().map(Self::keys).collect();
        match fitting.as_slice() {
            [] => None,
            [one] => Some(format!("set {one} under `source`")),
            several => Some(format!("say under `source` what is meant: {}", several.join(", or "))),
        }
    }

    fn keys(self) -> String {
        let decimal = (self.decimal == Decimal::Comma).then_some("`decimal = \",\"`".to_owned());
        let thousands = self.thousands.map(|thousands| format!("`thousands = \"{}\"`", thousands.first()));
        match (decimal, thousands) {
            (Some(decimal), Some(thousands)) => format!("{decimal} and {thousands}"),
            (decimal, thousands) => decimal.or(thousands).unwrap_or_else(|| "`decimal = \".\"`".to_owned()),
        }
    }

    /// The same number as Rust reads it; `None` where it is none.
    pub(crate) fn plain(self, text: &str) -> Option<String> {
        let (number, exponent) = match text.find(['e', 'E']) {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let point = if self.decimal == Decimal::Comma { ',' } else { '.' };
        let (whole, fraction) = number.split_once(point).unwrap_or((number, ""));
        let digits = whole.trim_start_matches(['+', '-']);
        let sign = whole.strip_suffix(digits).filter(|sign| sign.len() < 2)?;
        let digits = self.ungrouped(digits)?;
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let any = !(digits.is_empty() && fraction.is_empty());
        (any && is_digits(&digits) && is_digits(fraction))
            .then(|| format!("{sign}{digits}.{fraction}{exponent}"))
    }

    fn ungrouped(self, digits: &str) -> Option<String> {
        let Some(thousands) = self.thousands else { return Some(digits.to_owned()) };
        let mut groups = digits.split(|character| thousands.is(character));
        let first = groups.next()?;
        let mut whole = first.to_owned();
        for group in groups {
            if group.len() != 3 || !(1..=3).contains(&first.len()) {
                return None;
            }
            whole.push_str(group);
        }
        Some(whole)
    }
}

/// The ways of writing that are suggested, the plainest first.
const FORMATS: [NumberFormat; 8] = {
    use Decimal::{Comma, Point};
    const fn format(decimal: Decimal, thousands: Option<Thousands>) -> NumberFormat {
        NumberFormat { decimal, thousands }
    }
    [
        format(Point, None),
        format(Comma, None),
        format(Point, Some(Thousands::Comma)),
        format(Comma, Some(Thousands::Point)),
        format(Point, Some(Thousands::Blank)),
        format(Comma, Some(Thousands::Blank)),
        format(Point, Some(Thousands::Apostrophe)),
        format(Comma, Some(Thousands::Apostrophe)),
    ]
};

impl Thousands {
    fn is(self, character: char) -> bool {
        match self {
            Self::Point => character == '.',
            Self::Comma => character == ',',
            Self::Blank => matches!(character, ' ' | '\u{a0}' | '\u{202f}' | '\u{2009}'),
            Self::Apostrophe => matches!(character, '\'' | '\u{2019}'),
        }
    }

    /// As it is written in a configuration.
    fn first(self) -> char {
        match self {
            Self::Point => '.',
            Self::Comma => ',',
            Self::Blank => ' ',
            Self::Apostrophe => '\'',
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(decimal: Decimal, thousands: Option<Thousands>) -> NumberFormat {
        NumberFormat::new(decimal, thousands).unwrap()
    }

    #[test]
    fn numbers_are_read_as_people_write_them() {
        let plain = format(Decimal::Point, None);
        for (text, number) in
            [("+1", 1.0), (" 1e3", 1000.0), (".5", 0.5), ("5.", 5.0), ("-2E-1", -0.2), ("007", 7.0)]
        {
            assert_eq!(plain.parse(text), Some(number), "{text}");
        }
        for text in [
            "",
            "1_000",
            "0x1f",
            "inf",
            "-Infinity",
            "nan",
            "1e999",
            "1,5",
            "1.2.3",
            "--1",
            "5%",
            "$5",
            "1 000",
        ] {
            assert_eq!(plain.parse(text), None, "{text}");
        }
    }

    #[test]
    fn commas_points_blanks_and_apostrophes_are_settings() {
        use Thousands::{Apostrophe, Blank, Comma, Point};
        let cases: [(Decimal, Option<Thousands>, &str, Option<f64>); 19] = [
            (Decimal::Comma, None, "1,5", Some(1.5)),
            (Decimal::Comma, None, "-,5e2", Some(-50.0)),
            (Decimal::Comma, None, "3", Some(3.0)),
            (Decimal::Comma, None, "1.5", None),
            (Decimal::Comma, None, "1,2,3", None),
            (Decimal::Comma, None, "inf", None),
            (Decimal::Comma, None, "nan", None),
            (Decimal::Comma, None, "", None),
            (Decimal::Comma, None, ",", None),
            (Decimal::Comma, Some(Point), "1.234.567,5", Some(1_234_567.5)),
            (Decimal::Comma, Some(Point), "1.5", None),
            (Decimal::Comma, Some(Point), "1234.567", None),
            (Decimal::Comma, Some(Point), ".567", None),
            (Decimal::Point, Some(Comma), "12,345.25", Some(12_345.25)),
            (Decimal::Point, Some(Comma), "+1,234", Some(1234.0)),
            (Decimal::Point, Some(Comma), "1,23", None),
            (Decimal::Comma, Some(Blank), "1\u{202f}234,5", Some(1234.5)),
            (Decimal::Point, Some(Apostrophe), "1’234.5", Some(1234.5)),
            (Decimal::Point, Some(Apostrophe), "1'234'56", None),
        ];
        for (decimal, thousands, text, number) in cases {
            assert_eq!(format(decimal, thousands).parse(text), number, "{text}");
        }
        assert!(NumberFormat::new(Decimal::Comma, Some(Comma)).is_err());
    }

    #[test]
    fn the_remedy_fits_all_texts() {
        let remedy = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            NumberFormat::remedy(&texts)
        };
        assert_eq!(remedy(&["1,5", "2", "0,125"]).unwrap(), "set `decimal = \",\"` under `source`");
        assert_eq!(remedy(&["1,234,567", "5.5"]).unwrap(), "set `thousands = \",\"` under `source`");
        let both = remedy(&["1,234"]).unwrap();
        assert!(both.contains("`decimal = \",\"`, or `thousands = \",\"`"), "{both}");
        assert_eq!(remedy(&["1,5", "5%"]), None);
        let back = remedy(&["1.5"]).unwrap();
        assert_eq!(back, "set `decimal = \".\"` under `source`");
    }
}
