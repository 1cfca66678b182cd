//! Where a table lies and how it is written.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::number::{Decimal, NumberFormat, Thousands};
use crate::{Error, Result};

/// Where a table lies and how it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableSource {
    /// The file: CSV, Parquet or records in JSON (objects in lines or in an array), plain, packed with gzip, zstd or xz, or alone in a
    /// zip archive (told by its content, not by its name). A `*` in its last part stands for any characters: the files that are called so are
    /// one table, in the order of their names. `-` is standard input. What follows but `trim` and marks of missing values is of CSV. It is written out as far as it is UTF-8:
    /// who reads a table by what was written gives it the path of that table.
    #[serde(serialize_with = "as_text")]
    pub path: PathBuf,
    /// A further column with the name of each row's file. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_column: Option<String>,
    /// Whether the first line has the columns' names; otherwise they are `column0`, `column1`, ….
    #[serde(default = "yes")]
    pub header: bool,
    /// What stands between the fields.
    #[serde(default)]
    pub separator: Separator,
    /// What a quote at the beginning of a field means.
    #[serde(default)]
    pub quotes: Quotes,
    /// Whether blanks around the fields are dropped.
    #[serde(default = "yes")]
    pub trim: bool,
    /// What stands before the digits of a fraction.
    #[serde(default)]
    pub decimal: Decimal,
    /// What stands between groups of three digits. Absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thousands: Option<Thousands>,
    /// What stands for a missing value, in every column. An empty list makes `NA` a category like any other.
    #[serde(default = "usual_missing")]
    pub missing: Vec<String>,
    /// By the name of a column: what stands for a missing value in it, beside `missing`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub missing_by: BTreeMap<String, Vec<String>>,
}

/// What stands between the fields of a table: a character, or one that is found by looking at the first rows.
///
/// In a configuration: a string of one ASCII character, `"tab"` or `"auto"`.
///
/// ```
/// use manytask_data::Separator;
/// assert_eq!(Separator::new(';')?, Separator::SEMICOLON);
/// assert!(Separator::new('é').is_err());
/// # Ok::<(), manytask_data::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Separator(Option<u8>);

/// What a quote at the beginning of a field means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quotes {
    /// The field goes to the next quote; two quotes in it stand for one. Elsewhere in a field a quote is a character.
    #[default]
    Double,
    /// A character like any other.
    Literal,
}

impl TableSource {
    /// A comma-separated file with a header, blanks trimmed and the usual marks for missing values.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            file_column: None,
            header: true,
            separator: Separator::COMMA,
            quotes: Quotes::Double,
            trim: true,
            decimal: Decimal::Point,
            thousands: None,
            missing: usual_missing(),
            missing_by: BTreeMap::new(),
        }
    }

    /// The same way of writing, another file.
    #[must_use]
    pub fn at(&self, path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), ..self.clone() }
    }

    /// The same with further marks of missing values in one column.
    #[must_use]
    pub fn with_missing(mut self, column: &str, marks: &[String]) -> Self {
        if !marks.is_empty() {
            let known = self.missing_by.entry(column.to_owned()).or_default();
            for mark in marks {
                if !known.contains(mark) {
                    known.push(mark.clone());
                }
            }
        }
        self
    }

    /// Refuses settings that no table is written in.
    ///
    /// # Errors
    /// When one character stands before fractions and between thousands, or the column of files has no name.
    pub(crate) fn check(&self) -> Result<()> {
        if self.file_column.as_ref().is_some_and(String::is_empty) {
            return Err(Error::config(
                "file_column",
                "`file_column` is empty; give the column a name, or leave it out",
            ));
        }
        self.numbers().map(|_| ())
    }

    /// How numbers are written.
    ///
    /// # Errors
    /// When one character stands before fractions and between thousands.
    pub(crate) fn numbers(&self) -> Result<NumberFormat> {
        NumberFormat::new(self.decimal, self.thousands)
    }
}

impl Separator {
    /// A comma.
    pub const COMMA: Self = Self(Some(b','));
    /// A semicolon.
    pub const SEMICOLON: Self = Self(Some(b';'));
    /// A tab.
    pub const TAB: Self = Self(Some(b'\t'));
    /// A vertical bar.
    pub const BAR: Self = Self(Some(b'|'));
    /// The one of these four that splits the header and the first rows into the same number of fields.
    pub const AUTO: Self = Self(None);

    /// A character between the fields.
    ///
    /// # Errors
    /// When it is not ASCII, or a letter, a digit, a quote or the end of a line.
    pub fn new(character: char) -> Result<Self> {
        let usable = |byte: &u8| {
            byte.is_ascii() && !byte.is_ascii_alphanumeric() && !matches!(byte, b'"' | b'\n' | b'\r')
        };
        let byte = u8::try_from(character).ok().filter(usable);
        byte.map(|byte| Self(Some(byte))).ok_or_else(|| {
            let shown = character.escape_default();
            Error::config("separator", format!(
                "separator `{shown}`: must be one ASCII character and no letter, digit or quote, or `tab` or `auto`"
            ))
        })
    }

    /// The character, `None` where it is to be found by looking.
    pub(super) fn byte(self) -> Option<u8> {
        self.0
    }

    pub(super) fn of_byte(byte: u8) -> Self {
        Self(Some(byte))
    }
}

impl Default for Separator {
    fn default() -> Self {
        Self::COMMA
    }
}

/// As it is written in a configuration: `,` or `\t`.
impl fmt::Display for Separator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("auto"),
            Some(byte) => write!(f, "{}", char::from(byte).escape_default()),
        }
    }
}

impl Serialize for Separator {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            None => serializer.serialize_str("auto"),
            Some(byte) => serializer.serialize_char(char::from(byte)),
        }
    }
}

impl<'de> Deserialize<'de> for Separator {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(SeparatorVisitor)
    }
}

struct SeparatorVisitor;

impl Visitor<'_> for SeparatorVisitor {
    type Value = Separator;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string of one ASCII character, \"tab\" or \"auto\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Separator, E> {
        let mut characters = text.chars();
        match (text, characters.next(), characters.next()) {
            ("tab", ..) => Ok(Separator::TAB),
            ("auto", ..) => Ok(Separator::AUTO),
            (_, Some(character), None) => Separator::new(character).map_err(E::custom),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }
}

fn yes() -> bool {
    true
}

/// What spreadsheets, databases, R and Python write where there is no value.
fn usual_missing() -> Vec<String> {
    [
        "", "?", "NA", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "<NA>", "NaN", "nan", "NAN", "-NaN", "-nan",
        "NaT", "NULL", "null", "Null", "None", "none", "\\N", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn as_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}
