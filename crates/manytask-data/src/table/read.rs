//! A file into a table, with a message for every mistake.

use std::path::PathBuf;

use manytask_tensor::ShownPath as _;

use super::header::names;
use super::interner::Marks;
use super::look::{self, Other};
use super::pieces::{self, Read, Rules, Seen};
use super::rows::{Cursor, Dialect, SyntaxError, SyntaxErrorKind, line_ends};
use super::several::files;
use super::source::TableSource;
use super::{Column, Table, TableFormat, foreign, parquet, typed};
use crate::bytes::{digest, read_raw, unpack};
use crate::error::shown;
use crate::{Error, Result};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

pub(super) fn read(source: &TableSource, threads: usize) -> Result<Table> {
    let one = |path: PathBuf| {
        let table = read_one(&source.at(path), threads)?;
        source.file_column.iter().try_fold(table, |table, name| table.with_file_column(name))
    };
    let mut tables = files(&source.path)?.into_iter().map(one).collect::<Result<Vec<_>>>()?;
    match (tables.pop(), tables.is_empty()) {
        (Some(table), true) => Ok(table),
        (last, _) => Table::below_each_other(&source.path, tables.into_iter().chain(last).collect()),
    }
}

/// The table of a single file.
fn read_one(source: &TableSource, threads: usize) -> Result<Table> {
    let path = source.path.as_path();
    let numbers = source.numbers()?;
    if let Some(table) = parquet::read_file(source) {
        return table;
    }
    let raw = read_raw(path)?;
    let content = unpack(path, &raw)?;
    if let Some(table) = typed::read(source, &content) {
        // The file's own bytes, as for CSV.
        return Ok(Table { digest: digest([raw.as_slice()]), ..table? });
    }
    if let Some(error) = foreign::refused(path, &content) {
        return Err(error);
    }
    let parsed = parse(source, &content, |rows| pieces::pieces_for(rows, source.quotes, threads))?;
    let rows = parsed.columns.first().map_or(0, |column| column.codes.len());
    if rows == 0 {
        return Err(Error::corrupt(path, "line 2", "there is a header, but no row below it"));
    }
    let mut table = Table::of_columns(path, TableFormat::Csv, parsed.columns, rows, digest([raw.as_slice()]));
    table.numbers = numbers;
    table.notes = parsed.notes;
    table.other = parsed.other;
    Ok(table)
}

/// What a content says.
pub(super) struct Parsed {
    pub(super) columns: Vec<Column>,
    notes: Vec<String>,
    other: Option<Other>,
}

/// The columns of a content, whose rows are cut into as many pieces as `count` says.
pub(super) fn parse(
    source: &TableSource,
    content: &[u8],
    count: impl FnOnce(&[u8]) -> usize,
) -> Result<Parsed> {
    let content = content.strip_prefix(BYTE_ORDER_MARK).unwrap_or(content);
    let (length, told) = look::directive(content).map_or((0, None), |(length, told)| (length, Some(told)));
    let separator = look::separator(source, content.get(length..).unwrap_or_default(), told)?;
    let dialect = Dialect { separator, quotes: source.quotes, trim: source.trim };
    let (content, blank_end) = dialect.without_blank_end(content);
    let kept = content.get(length..).unwrap_or_default();
    let place = Place { source, content };
    let mut cursor = Cursor { rest: kept, dialect };
    while cursor.pass_blank_line() {}
    let line = place.line(cursor.rest.len());
    let first = cursor.row().map_err(|fault| place.error(fault, &[], None))?;
    let Some(first) = first else {
        return Err(Error::corrupt(&source.path, "line 1", "the file is empty"));
    };
    let names = names(source, &first, line)?;
    let other = look::other(source, kept, separator);
    if let ([(name, _)], Some(other)) = (names.as_slice(), &other) {
        return Err(look::single_column(source, name, other));
    }
    let rows = if source.header { cursor.rest } else { kept };
    let trimmed = |marks: &[String]| -> Vec<String> {
        marks.iter().map(|mark| if source.trim { mark.trim() } else { mark }.to_owned()).collect()
    };
    let all = trimmed(&source.missing);
    let own: Vec<Vec<String>> = names
        .iter()
        .map(|(name, _)| source.missing_by.get(name).map_or(Vec::new(), |marks| trimmed(marks)))
        .collect();
    let marks: Vec<Marks> = own.iter().map(|own| Marks { all: &all, own }).collect();
    let read = pieces::read(rows, Rules { dialect, marks: &marks }, count(rows)).map_err(|fault| {
        place.error(fault, &names.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), other.as_ref())
    })?;
    let blank_end = if names.len() == 1 { blank_end } else { 0 };
    let notes = notes(&place, &read, blank_end);
    let columns = read.columns.into_iter().zip(names);
    let columns = columns.map(|(column, (name, named))| Column { name, named, ..column }).collect();
    Ok(Parsed { columns, notes, other })
}

/// What was read otherwise than line by line.
fn notes(place: &Place, read: &Read, blank_end: usize) -> Vec<String> {
    let path = place.source.path.shown();
    let first = |seen: &Seen| place.line(seen.first_left);
    let mut notes = Vec::new();
    if read.blank.count > 0 {
        let (lines, line) = (counted(read.blank.count, "blank line"), first(&read.blank));
        notes.push(format!("{path}: {lines} passed over, the first is line {line}"));
    }
    if blank_end > 0 {
        let lines = counted(blank_end, "blank line");
        notes.push(format!(
            "{path}: {lines} at the end passed over; earlier ones are rows with a missing value"
        ));
    }
    if read.spanning.count > 0 {
        let (rows, line) = (counted(read.spanning.count, "row"), first(&read.spanning));
        notes.push(format!(
            "{path}: {rows} with a quoted field over several lines, the first from line {line} on; if a quote stands there by mistake, set `quotes = \"literal\"` under `source`"
        ));
    }
    notes
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Where things are in a content.
#[derive(Clone, Copy)]
struct Place<'a> {
    source: &'a TableSource,
    content: &'a [u8],
}

impl Place<'_> {
    /// The line, counted from 1, of what is so many bytes before the end.
    fn line(&self, left: usize) -> usize {
        let before = self.content.len().saturating_sub(left);
        1 + line_ends(self.content.get(..before).unwrap_or_default())
    }

    fn error(&self, fault: SyntaxError, names: &[&str], other: Option<&Other>) -> Error {
        let line = self.line(fault.left);
        let mut place = format!("line {line}");
        let message = match fault.kind {
            SyntaxErrorKind::Open => {
                let below = line_ends(self.content) + 1 - line;
                format!(
                    "a quote opens here and never closes (it would take the {} below for text); write two quotes for one in a \
                     quoted field, or set `quotes = \"literal\"` under `source`",
                    counted(below, "line")
                )
            }
            SyntaxErrorKind::AfterQuote { closes } => {
                let end = self.line(fault.left.saturating_sub(closes));
                let whither = if end == line { String::new() } else { format!(" in line {end}") };
                let after = self.content.len().saturating_sub(fault.left) + closes + 1;
                let after = self.content.get(after..).unwrap_or_default();
                let after = after.get(..after.len().min(20)).unwrap_or_default();
                let after = String::from_utf8_lossy(after);
                format!(
                    "the quote that opens here closes{whither} before `{}`, which is not the end of a field; write two quotes for \
                     one in a quoted field, or set `quotes = \"literal\"` under `source`",
                    shown(after.lines().next().unwrap_or_default())
                )
            }
            SyntaxErrorKind::Width { found } => {
                let remedy = other.map_or("check `separator` and quotes".to_owned(), Other::remedy);
                format!("has {}, the first line has {}; {remedy}", counted(found, "field"), names.len())
            }
            SyntaxErrorKind::NotUtf8 { column } => {
                let name = names.get(column).copied().unwrap_or_default();
                place = format!("line {line}, column `{}`", shown(name));
                "is not UTF-8; convert the file, for example with `iconv -f WINDOWS-1252 -t UTF-8`".to_owned()
            }
            SyntaxErrorKind::Rows { lines } => format!(
                "a quote opens here and closes so late that {lines} lines, each of which has the fields of a row, would be one \
                 row; remove the quote, or set `quotes = \"literal\"` under `source`"
            ),
        };
        Error::corrupt(&self.source.path, place, message)
    }
}
