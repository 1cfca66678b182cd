//! What separates the fields, told by looking at the first rows.

use super::rows::{Cursor, Dialect, is_line_end, skip_line_end};
use super::source::{Separator, TableSource};
use crate::error::shown;
use crate::{Error, Result};

/// How many rows are looked at.
const ROWS: usize = 20;
const CANDIDATES: [u8; 4] = [b',', b';', b'\t', b'|'];

/// Another separator that splits the first rows into the same number of fields, two or more.
#[derive(Debug, Clone)]
pub(super) struct Other {
    separator: Separator,
    /// The fields of the first row.
    pub(super) names: Vec<String>,
}

impl Other {
    /// What to say of it.
    pub(super) fn remedy(&self) -> String {
        let separator = self.separator;
        format!(
            "the fields look separated by `{separator}`: set `separator = \"{separator}\"` under `source`"
        )
    }
}

/// The length of a first line such as `sep=;`, by which spreadsheets are told the separator, and that separator.
pub(super) fn directive(content: &[u8]) -> Option<(usize, u8)> {
    let (word, rest) = content.split_at_checked(4).filter(|(word, _)| word.eq_ignore_ascii_case(b"sep="))?;
    let (separator, mut below) = rest.split_first()?;
    let is_alone = below.first().is_none_or(|byte| is_line_end(*byte));
    skip_line_end(&mut below);
    let usable = Separator::new(char::from(*separator)).is_ok();
    (is_alone && usable).then_some((word.len() + rest.len() - below.len(), *separator))
}

/// The separator that a description sets, or where it says `auto` the one that the file tells of or that is found.
///
/// # Errors
/// When none is found, or several, or the file tells of another.
pub(super) fn separator(source: &TableSource, content: &[u8], told: Option<u8>) -> Result<u8> {
    match (source.separator.byte(), told) {
        (Some(set), Some(told)) if set != told => {
            let told = char::from(told).escape_default();
            let message = format!("the file says `sep={told}`; set `separator = \"{told}\"` under `source`");
            return Err(Error::corrupt(&source.path, "line 1", message));
        }
        (Some(byte), _) | (None, Some(byte)) => return Ok(byte),
        (None, None) => {}
    }
    let found: Vec<Other> = others(source, content, None);
    match found.as_slice() {
        [one] => one.separator.byte().ok_or_else(|| Error::config("separator", "separator: none was found")),
        [] if !first_line(content).iter().any(|byte| CANDIDATES.contains(byte)) => Ok(b','),
        [] => Err(Error::corrupt(
            &source.path,
            "the first rows",
            "neither `,` nor `;`, tab or `|` splits them into the same number of fields; set `separator` under `source`",
        )),
        several => {
            let names: Vec<String> = several
                .iter()
                .map(|other| format!("`{}` into {}", other.separator, other.names.len()))
                .collect();
            let message = format!(
                "several separators split them into the same number of fields ({}); set `separator` under `source`",
                names.join(", ")
            );
            Err(Error::corrupt(&source.path, "the first rows", message))
        }
    }
}

/// The separator that would fit where this one may be wrong.
pub(super) fn other(source: &TableSource, content: &[u8], set: u8) -> Option<Other> {
    others(source, content, Some(set)).into_iter().max_by_key(|other| other.names.len())
}

fn others(source: &TableSource, content: &[u8], set: Option<u8>) -> Vec<Other> {
    let first = first_line(content);
    let decimal = (source.decimal == super::Decimal::Comma).then_some(b',');
    let open = CANDIDATES.into_iter().filter(|byte| Some(*byte) != set && Some(*byte) != decimal);
    open.filter(|byte| first.contains(byte)).filter_map(|byte| splits(source, content, byte)).collect()
}

/// The first line that is not blank.
fn first_line(content: &[u8]) -> &[u8] {
    content.split(|byte| is_line_end(*byte)).find(|line| !line.trim_ascii().is_empty()).unwrap_or_default()
}

fn splits(source: &TableSource, content: &[u8], separator: u8) -> Option<Other> {
    let dialect = Dialect { separator, quotes: source.quotes, trim: source.trim };
    let mut cursor = Cursor { rest: content, dialect };
    while cursor.pass_blank_line() {}
    let first = cursor.row().ok()??;
    for _ in 1..ROWS {
        while cursor.pass_blank_line() {}
        match cursor.row() {
            Ok(Some(row)) if row.len() == first.len() => {}
            Ok(None) => break,
            Ok(Some(_)) | Err(_) => return None,
        }
    }
    let names = first.iter().map(|field| String::from_utf8_lossy(&field.text).trim().to_owned());
    (first.len() > 1).then(|| Other { separator: Separator::of_byte(separator), names: names.collect() })
}

/// What to say of a table whose only column comes of a wrong separator.
pub(super) fn single_column(source: &TableSource, name: &str, other: &Other) -> Error {
    let message = format!("there is a single column, `{}`; {}", shown(name), other.remedy());
    Error::corrupt(&source.path, "the first line", message)
}
