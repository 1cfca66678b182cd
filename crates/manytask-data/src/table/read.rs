//! CSV into columns of interned text.

use std::path::Path;

use csv::ByteRecord;

use super::{Column, MISSING, Table, TableSource, quick};
use crate::bytes::{digest, read_raw, unpack};
use crate::{Error, Result};

pub(super) fn read(source: &TableSource, threads: usize) -> Result<Table> {
    let path = source.path.as_path();
    let separator = u8::try_from(source.separator).ok().filter(u8::is_ascii).ok_or_else(|| {
        Error::config(format!("separator `{}`: must be a single ASCII character", source.separator))
    })?;
    let raw = read_raw(path)?;
    let content = unpack(path, &raw)?;
    let columns = match quickly(source, separator, &content, threads)? {
        Some(columns) => columns,
        None => carefully(source, separator, &content)?,
    };
    let rows = columns.first().map_or(0, |column| column.codes.len());
    if rows == 0 {
        return Err(Error::corrupt(path, "line 2", "there is a header, but no row below it"));
    }
    Ok(Table { path: path.to_owned(), columns, rows, digest: digest([raw.as_slice()]) })
}

/// Without the reader of CSV; `None` where that cannot be.
pub(super) fn quickly(
    source: &TableSource,
    separator: u8,
    content: &[u8],
    threads: usize,
) -> Result<Option<Vec<Column>>> {
    let Some((fields, rest)) = quick::first(content, separator) else { return Ok(None) };
    let names = names(source, &ByteRecord::from(fields))?;
    let rows = if source.header { rest } else { content };
    let rows = rows.strip_prefix(b"\xef\xbb\xbf").unwrap_or(rows);
    let pieces = quick::pieces_for(rows, threads);
    Ok(quick::columns(rows, separator, source, names, pieces))
}

/// Row by row, with a message for every mistake.
pub(super) fn carefully(source: &TableSource, separator: u8, content: &[u8]) -> Result<Vec<Column>> {
    let path = source.path.as_path();
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(separator).from_reader(content);
    let mut record = ByteRecord::new();
    if !next(&mut reader, &mut record, path)? {
        return Err(Error::corrupt(path, "line 1", "the file is empty"));
    }
    let names = names(source, &record)?;
    let mut columns: Vec<Builder> = names.iter().map(|_| Builder::new()).collect();
    let missing: Vec<&[u8]> = source.missing.iter().map(String::as_bytes).collect();
    let mut more = !source.header || next(&mut reader, &mut record, path)?;
    while more {
        push(&mut columns, &names, &record, source, &missing)?;
        more = next(&mut reader, &mut record, path)?;
    }
    Ok(columns.into_iter().zip(names).map(|(column, name)| column.finish(name)).collect())
}

/// Distinct strings, numbered in order of first occurrence.
pub(super) struct Interner {
    levels: Vec<String>,
    /// Open addressing: the number of a level plus one, or zero.
    slots: Vec<u32>,
}

impl Interner {
    pub(super) fn with_levels(levels: Vec<String>) -> Self {
        let mut interner = Self { levels, slots: Vec::new() };
        interner.grow();
        interner
    }

    pub(super) fn into_levels(self) -> Vec<String> {
        self.levels
    }

    /// The number of this text, a new one if it was not seen before; `None` if it is new and no UTF-8.
    pub(super) fn code(&mut self, text: &[u8]) -> Option<u32> {
        if (self.levels.len() + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut at = hash(text) as usize & mask;
        loop {
            let slot = self.slots.get_mut(at)?;
            match slot.checked_sub(1) {
                None => {
                    let level = std::str::from_utf8(text).ok()?;
                    let code = self.levels.len() as u32;
                    *slot = code + 1;
                    self.levels.push(level.to_owned());
                    return Some(code);
                }
                Some(code)
                    if self.levels.get(code as usize).is_some_and(|level| level.as_bytes() == text) =>
                {
                    return Some(code);
                }
                Some(_) => at = (at + 1) & mask,
            }
        }
    }

    fn grow(&mut self) {
        let size = ((self.levels.len() + 8) * 4).next_power_of_two();
        self.slots = vec![0; size];
        for (code, level) in self.levels.iter().enumerate() {
            let mut at = hash(level.as_bytes()) as usize & (size - 1);
            while self.slots.get(at).is_some_and(|slot| *slot != 0) {
                at = (at + 1) & (size - 1);
            }
            if let Some(slot) = self.slots.get_mut(at) {
                *slot = code as u32 + 1;
            }
        }
    }
}

/// Multiply and rotate, eight bytes at a time; only this process sees the result.
fn hash(bytes: &[u8]) -> u64 {
    let mut hash = bytes.len() as u64;
    let mut take = |word: u64| hash = (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        take(u64::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        take(rest.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte)));
    }
    hash ^ (hash >> 32)
}

/// A column in the making.
pub(super) struct Builder {
    pub(super) interner: Interner,
    pub(super) codes: Vec<u32>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self { interner: Interner::with_levels(Vec::new()), codes: Vec::new() }
    }

    pub(super) fn finish(self, name: String) -> Column {
        Column { name, levels: self.interner.into_levels(), codes: self.codes }
    }

    /// The code of the text in the row before if it is the same: most columns repeat themselves.
    fn repeated(&self, text: &[u8]) -> Option<u32> {
        let code = *self.codes.last()?;
        let level = self.interner.levels.get(code as usize)?;
        (level.as_bytes() == text).then_some(code)
    }
}

fn next(reader: &mut csv::Reader<&[u8]>, record: &mut ByteRecord, path: &Path) -> Result<bool> {
    reader.read_byte_record(record).map_err(|error| {
        let line = error.position().map_or(0, csv::Position::line);
        Error::corrupt(path, format!("line {line}"), error.to_string())
    })
}

fn names(source: &TableSource, first: &ByteRecord) -> Result<Vec<String>> {
    if !source.header {
        return Ok((0..first.len()).map(|index| format!("column{index}")).collect());
    }
    let mut names: Vec<String> = Vec::with_capacity(first.len());
    for (index, field) in first.iter().enumerate() {
        let text =
            std::str::from_utf8(field).map_err(|_| not_utf8(&source.path, 1, &format!("column {index}")))?;
        let name = match text.trim() {
            "" => format!("column{index}"),
            name => name.to_owned(),
        };
        if names.contains(&name) {
            let message = format!("two columns are called `{name}`; rename one, or set `header = false`");
            return Err(Error::corrupt(&source.path, "line 1", message));
        }
        names.push(name);
    }
    Ok(names)
}

fn push(
    columns: &mut [Builder],
    names: &[String],
    record: &ByteRecord,
    source: &TableSource,
    missing: &[&[u8]],
) -> Result<()> {
    let line = record.position().map_or(0, csv::Position::line);
    if record.len() != columns.len() {
        let message = format!(
            "has {} fields, the first line has {}; check `separator` and quotes",
            record.len(),
            columns.len()
        );
        return Err(Error::corrupt(&source.path, format!("line {line}"), message));
    }
    for ((column, name), field) in columns.iter_mut().zip(names).zip(record) {
        let field = if source.trim { field.trim_ascii() } else { field };
        let code = if let Some(code) = column.repeated(field) {
            code
        } else if missing.contains(&field) {
            MISSING
        } else {
            let code = column.interner.code(field);
            code.ok_or_else(|| not_utf8(&source.path, line, &format!("column `{name}`")))?
        };
        column.codes.push(code);
    }
    Ok(())
}

fn not_utf8(path: &Path, line: u64, place: &str) -> Error {
    Error::corrupt(
        path,
        format!("line {line}, {place}"),
        "is not UTF-8; convert the file, for example with iconv",
    )
}
