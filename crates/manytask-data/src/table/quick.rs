//! Tables without quotes, which are nearly all: read in place, by several threads at once.
//!
//! Without quotes a line is a row and a separator ends a field. What is odd (a quote, a row of another length, bytes that are
//! no text) is left to the reader of [`super::read`], which knows all of CSV and has a message for every mistake.

use super::read::{Builder, Interner};
use super::{Column, MISSING, TableSource};

/// Bytes below which a second thread costs more than it gives.
const FOR_A_THREAD: usize = 1 << 20;

/// Into how many pieces a content is cut for so many threads.
pub(super) fn pieces_for(content: &[u8], threads: usize) -> usize {
    (content.len() / FOR_A_THREAD).clamp(1, threads.max(1))
}

/// The fields of the first line that is not empty, and what comes after it; `None` if the table is not that simple.
pub(super) fn first(content: &[u8], separator: u8) -> Option<(Vec<&[u8]>, &[u8])> {
    if content.contains(&b'"') || matches!(separator, b'\n' | b'\r') {
        return None;
    }
    let mut lines = Lines(content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content));
    let line = lines.next()?;
    Some((line.split(|byte| *byte == separator).collect(), lines.0))
}

/// The columns of all lines, each piece of them in a thread of its own; `None` where a line is odd.
pub(super) fn columns(
    content: &[u8],
    separator: u8,
    source: &TableSource,
    names: Vec<String>,
    count: usize,
) -> Option<Vec<Column>> {
    let pieces = pieces(content, count);
    let width = names.len();
    let mut parts = std::thread::scope(|scope| {
        let mut pieces = pieces.into_iter();
        // This thread takes the first piece.
        let own = pieces.next()?;
        let others: Vec<_> =
            pieces.map(|piece| scope.spawn(move || piece_columns(piece, separator, source, width))).collect();
        let mut parts = vec![piece_columns(own, separator, source, width)?];
        for other in others {
            parts.push(other.join().ok().flatten()?);
        }
        Some(parts)
    })?
    .into_iter();
    let mut columns: Vec<Column> =
        parts.next()?.into_iter().zip(names).map(|(builder, name)| builder.finish(name)).collect();
    // Piece after piece, so that levels keep the order of their first occurrence.
    for part in parts {
        for (column, below) in columns.iter_mut().zip(part) {
            column.append(&below.finish(String::new()));
        }
    }
    Some(columns)
}

/// The content cut at ends of lines.
fn pieces(mut content: &[u8], count: usize) -> Vec<&[u8]> {
    let each = content.len().div_ceil(count.max(1)).max(1);
    let mut pieces = Vec::with_capacity(count);
    while content.len() > each {
        let Some(end) = content.iter().skip(each).position(|byte| *byte == b'\n') else { break };
        let (piece, rest) = content.split_at(each + end + 1);
        pieces.push(piece);
        content = rest;
    }
    pieces.push(content);
    pieces
}

/// Lines that are not empty, ended by `\n`, `\r` or both.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            if self.0.is_empty() {
                return None;
            }
            let end = self.0.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (line, rest) = match end {
                Some(end) => (self.0.get(..end)?, self.0.get(end + 1..)?),
                None => (self.0, &[][..]),
            };
            self.0 = rest;
            if !line.is_empty() {
                return Some(line);
            }
        }
    }
}

/// What a column had in the row before: most columns repeat themselves, and then a field need not be looked for.
#[derive(Clone, Copy)]
struct Last<'a> {
    field: &'a [u8],
    code: u32,
}

fn piece_columns(
    mut content: &[u8],
    separator: u8,
    source: &TableSource,
    width: usize,
) -> Option<Vec<Builder>> {
    let missing: Vec<&[u8]> = source.missing.iter().map(String::as_bytes).collect();
    let mut columns: Vec<Builder> = (0..width).map(|_| Builder::new()).collect();
    let mut before: Vec<Option<Last>> = vec![None; width];
    loop {
        while let [b'\n' | b'\r', rest @ ..] = content {
            content = rest;
        }
        if content.is_empty() {
            return Some(columns);
        }
        for (number, (column, before)) in columns.iter_mut().zip(&mut before).enumerate() {
            let is_last = number + 1 == width;
            let ends = |byte: Option<&u8>| match byte {
                Some(byte) if is_last => matches!(byte, b'\n' | b'\r'),
                Some(byte) => *byte == separator,
                None => is_last,
            };
            let same =
                before.filter(|last| content.starts_with(last.field) && ends(content.get(last.field.len())));
            let last = if let Some(last) = same {
                last
            } else {
                let length =
                    content.iter().position(|byte| *byte == separator || matches!(byte, b'\n' | b'\r'));
                let length = length.unwrap_or(content.len());
                if !ends(content.get(length)) {
                    return None;
                }
                let field = content.get(..length)?;
                Last { field, code: code(&mut column.interner, field, source, &missing)? }
            };
            *before = Some(last);
            column.codes.push(last.code);
            content = content.get(last.field.len() + 1..).unwrap_or_default();
        }
    }
}

fn code(interner: &mut Interner, field: &[u8], source: &TableSource, missing: &[&[u8]]) -> Option<u32> {
    let field = if source.trim { field.trim_ascii() } else { field };
    if missing.contains(&field) { Some(MISSING) } else { interner.code(field) }
}
