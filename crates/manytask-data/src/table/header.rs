//! The names of columns.

use std::collections::{HashMap, HashSet};

use super::rows::Field;
use super::source::TableSource;
use crate::error::shown;
use crate::{Error, Result};

/// Where a column's name comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    /// From the header.
    Header,
    /// The header leaves it out, or says `Unnamed: 0` as pandas does for such a column.
    Nameless,
    /// The file has no header.
    Number,
}

/// The names that the fields of the first row give.
///
/// # Errors
/// When one is no UTF-8, or two are the same.
pub(super) fn names(source: &TableSource, first: &[Field], line: usize) -> Result<Vec<(String, Named)>> {
    if !source.header {
        return Ok((0..first.len()).map(|index| (format!("column{index}"), Named::Number)).collect());
    }
    let mut texts = Vec::with_capacity(first.len());
    for (index, field) in first.iter().enumerate() {
        let text = std::str::from_utf8(&field.text).map_err(|_| {
            Error::corrupt(
                &source.path,
                format!("line {line}, column {index}"),
                "is not UTF-8; convert the file, for example with `iconv -f WINDOWS-1252 -t UTF-8`",
            )
        })?;
        texts.push(text.trim());
    }
    let mut indices: HashMap<&str, usize> = HashMap::with_capacity(texts.len());
    for (index, text) in texts.iter().copied().enumerate().filter(|(_, text)| !text.is_empty()) {
        if let Some(before) = indices.insert(text, index) {
            let message = format!(
                "two columns are called `{}`, the {} and the {}; rename one, or set `header = false`",
                shown(text),
                ordinal(before + 1),
                ordinal(index + 1)
            );
            return Err(Error::corrupt(&source.path, format!("line {line}"), message));
        }
    }
    let taken: HashSet<&str> = texts.iter().copied().collect();
    let name = |(index, text): (usize, &&str)| match *text {
        "" => {
            let mut name = format!("column{index}");
            while taken.contains(name.as_str()) {
                name.push('_');
            }
            (name, Named::Nameless)
        }
        text if is_of_pandas(text) => (text.to_owned(), Named::Nameless),
        text => (text.to_owned(), Named::Header),
    };
    Ok(texts.iter().enumerate().map(name).collect())
}

/// `Unnamed: 0` is what pandas calls a column that had no name.
fn is_of_pandas(name: &str) -> bool {
    let number = name.strip_prefix("Unnamed: ").unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

fn ordinal(number: usize) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}
