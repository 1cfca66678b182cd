//! How a table is written, found by trying.

use std::path::Path;

use crate::table::{Column, NumberFormat, files, is_typed_file};
use crate::words::{examples, quoted};
use crate::{Decimal, Note, Result, Separator, Table, TableSource};

/// Different texts in a column of numbers that may be marks of missing values.
const MARKS: usize = 3;
/// The share of rows that are numbers in such a column.
const NUMBERS: f64 = 0.7;

/// The table, how it is written, and what of this is worth saying.
///
/// # Errors
/// The first way's, when it can be read in none.
pub(super) fn found(path: &Path) -> Result<(Table, TableSource, Vec<Note>)> {
    let plain = TableSource::new(path);
    // How several files are written is told by the first of them.
    let first = files(path)?.into_iter().next().unwrap_or_else(|| path.to_owned());
    if is_typed_file(&first)? {
        return Ok((Table::read(&plain)?, plain, Vec::new()));
    }
    let (table, mut source) = with_header(separated(path))?;
    source.decimal = decimal(&table, &source)?;
    let mut table = Table::read(&source)?;
    let mut notes = Vec::new();
    if !source.header {
        notes.push(Note("the first row is no header: columns are called column0, column1, …".to_owned()));
    }
    let format = source.numbers()?;
    for column in table.columns()? {
        let marks = marks(column, format);
        if !marks.is_empty() {
            notes.push(Note(format!(
                "column {}: {} is taken for a missing value among numbers",
                quoted(column.name()),
                examples(marks.iter().map(String::as_str))
            )));
            source.missing_by.insert(column.name().to_owned(), marks);
        }
    }
    if !source.missing_by.is_empty() {
        table = Table::read(&source)?;
    }
    Ok((table, source, notes))
}

/// The separator that splits the first rows evenly, or with which the file can be read at least.
fn separated(path: &Path) -> TableSource {
    const KNOWN: [Separator; 4] = [Separator::COMMA, Separator::SEMICOLON, Separator::TAB, Separator::BAR];
    let plain = TableSource::new(path);
    let with = |separator, decimal| TableSource { separator, decimal, ..plain.clone() };
    for decimal in [Decimal::Point, Decimal::Comma] {
        let Some(found) = columns(&with(Separator::AUTO, decimal)) else { continue };
        let same = KNOWN.into_iter().map(|separator| with(separator, decimal));
        let same = same.into_iter().find(|source| columns(source) == Some(found));
        return same.unwrap_or_else(|| with(Separator::AUTO, decimal));
    }
    let readable = KNOWN
        .into_iter()
        .map(|separator| with(separator, Decimal::Point))
        .find(|source| columns(source).is_some());
    // Where nothing fits, the error is that of a plain file.
    readable.unwrap_or(plain)
}

/// The number of columns, with or without a header.
fn columns(source: &TableSource) -> Option<usize> {
    let read = |header| Table::read(&TableSource { header, ..source.clone() }).ok();
    read(true).or_else(|| read(false)).map(|table| table.width())
}

/// The table, and whether its first row is a header: not where two names are the same, all are numbers, or most of them stand in
/// their columns as values.
fn with_header(source: TableSource) -> Result<(Table, TableSource)> {
    let headless = TableSource { header: false, ..source.clone() };
    let Ok(table) = Table::read(&source) else { return Ok((Table::read(&headless)?, headless)) };
    let format = source.numbers()?;
    let number = |name: &str| format.parse(name).is_some();
    let columns = table.columns()?;
    let named = columns.iter().filter(|column| !column.is_nameless());
    let among = |column: &&&Column| column.levels().iter().any(|level| level == column.name());
    let (count, values) = (named.clone().count(), named.clone().filter(among).count());
    if count > 0 && (named.clone().all(|column| number(column.name())) || 2 * values >= count) {
        return Ok((Table::read(&headless)?, headless));
    }
    Ok((table, source))
}

/// The decimal mark with which more columns are numbers.
fn decimal(table: &Table, source: &TableSource) -> Result<Decimal> {
    let numeric = |decimal| -> Result<usize> {
        let format = TableSource { decimal, ..source.clone() }.numbers()?;
        let is_number = |column: &&Column| {
            !column.levels().is_empty() && column.levels().iter().all(|level| format.parse(level).is_some())
        };
        Ok(table.columns()?.into_iter().filter(is_number).count())
    };
    if source.separator == Separator::COMMA {
        return Ok(Decimal::Point);
    }
    Ok(if numeric(Decimal::Comma)? > numeric(Decimal::Point)? { Decimal::Comma } else { Decimal::Point })
}

/// The few texts without a digit in a column of numbers.
fn marks(column: &Column, format: NumberFormat) -> Vec<String> {
    let texts: Vec<&String> = column.levels().iter().filter(|level| format.parse(level).is_none()).collect();
    let plain = |text: &&String| !text.bytes().any(|byte| byte.is_ascii_digit());
    if texts.is_empty()
        || texts.len() > MARKS
        || !texts.iter().all(plain)
        || column.levels().len() < 4 * texts.len()
    {
        return Vec::new();
    }
    let rows = column.codes().len();
    let numbers = (0..rows).filter(|row| column.text(*row).is_some_and(|text| format.parse(text).is_some()));
    if (numbers.count() as f64) < NUMBERS * rows as f64 {
        return Vec::new();
    }
    texts.into_iter().cloned().collect()
}
