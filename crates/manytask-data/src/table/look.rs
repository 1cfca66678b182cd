//! What separates the fields, told by looking at the first rows.

use super::rows::{Cursor, Dialect};
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

/// The separator that a description sets, or the one that is found where it says `auto`.
///
/// # Errors
/// When none is found, or several.
pub(super) fn separator(source: &TableSource, content: &[u8]) -> Result<u8> {
    if let Some(byte) = source.separator.byte() {
        return Ok(byte);
    }
    let found: Vec<Other> = others(source, content, None);
    match found.as_slice() {
        [one] => one.separator.byte().ok_or_else(|| Error::config("separator: none was found")),
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
    content
        .split(|byte| super::rows::is_line_end(*byte))
        .find(|line| !line.trim_ascii().is_empty())
        .unwrap_or_default()
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
