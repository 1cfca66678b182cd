//! Rows into columns, by several threads at once.
//!
//! Where no quote can hold the end of a line, a table is cut at ends of lines, and each piece is read in a thread of its own.

use super::Column;
use super::interner::{Builder, Marks};
use super::rows::{Cursor, Dialect, Place, SyntaxError, SyntaxErrorKind, is_line_end, line_ends};
use super::source::Quotes;
use crate::parallel::in_threads;

/// Bytes below which a second thread costs more than it gives.
const FOR_A_THREAD: usize = 1 << 20;

/// What the rows of a table are read by.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) dialect: Dialect,
    /// For each column its marks of missing values.
    pub(super) marks: &'a [Marks<'a>],
}

/// Rows as columns, in their order and without names.
pub(super) struct Read {
    pub(super) columns: Vec<Column>,
    /// Blank lines that were passed over, with a place in the first of them.
    pub(super) blank: Seen,
    /// Quoted fields that go over several lines, with a place in the row of the first of them.
    pub(super) spanning: Seen,
}

/// How many there are, and how many bytes from a place in the first of them to the end of the table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) count: usize,
    pub(super) first_left: usize,
}

impl Seen {
    fn add(&mut self, left: usize) {
        if self.count == 0 {
            self.first_left = left;
        }
        self.count += 1;
    }

    fn join(&mut self, below: Self) {
        if self.count == 0 {
            self.first_left = below.first_left;
        }
        self.count += below.count;
    }
}

/// Into how many pieces a content may be cut for so many threads.
pub(super) fn pieces_for(content: &[u8], quotes: Quotes, threads: usize) -> usize {
    if quotes == Quotes::Double && content.contains(&b'"') {
        return 1;
    }
    (content.len() / FOR_A_THREAD).clamp(1, threads.max(1))
}

/// The columns of all rows, cut into at most so many pieces.
///
/// # Errors
/// At the first mistake.
pub(super) fn read(content: &[u8], rules: Rules, count: usize) -> Result<Read, SyntaxError> {
    let pieces = pieces(content, count);
    let mut behind = content.len();
    let mut work = Vec::with_capacity(pieces.len());
    for piece in pieces {
        behind -= piece.len();
        work.push((piece, behind));
    }
    let read = |(piece, behind): &(&[u8], usize)| Piece::new(rules, *behind).read(piece).map(Piece::finish);
    let mut parts = in_threads(&work, read).into_iter();
    let mut read = parts.next().unwrap_or_else(|| Ok(Piece::new(rules, 0).finish()))?;
    // Piece after piece, so that levels keep the order of their first occurrence.
    for part in parts {
        let below = part?;
        for (column, below) in read.columns.iter_mut().zip(&below.columns) {
            column.append(below);
        }
        read.blank.join(below.blank);
        read.spanning.join(below.spanning);
    }
    Ok(read)
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

/// What a column had in the row before: most columns repeat themselves, and then a field need not be looked for.
#[derive(Clone, Copy)]
struct Last<'a> {
    raw: &'a [u8],
    code: u32,
    lines: Lines,
}

/// Whether a field goes over the end of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lines {
    One,
    Several,
}

/// A piece that is being read.
struct Piece<'a> {
    rules: Rules<'a>,
    /// How many bytes of the table are behind the piece.
    behind: usize,
    columns: Vec<Builder>,
    blank: Seen,
    spanning: Seen,
}

impl<'a> Piece<'a> {
    fn new(rules: Rules<'a>, behind: usize) -> Self {
        let columns = rules.marks.iter().map(|_| Builder::new()).collect();
        Self { rules, behind, columns, blank: Seen::default(), spanning: Seen::default() }
    }

    fn read(mut self, piece: &[u8]) -> Result<Self, SyntaxError> {
        let width = self.columns.len();
        let mut cursor = Cursor { rest: piece, dialect: self.rules.dialect };
        let mut before: Vec<Option<Last>> = vec![None; width];
        loop {
            // A blank line is a row only where a row is a single field.
            while width > 1 && cursor.pass_blank_line() {
                self.blank.add(cursor.rest.len() + self.behind + 1);
            }
            if cursor.rest.is_empty() {
                return Ok(self);
            }
            self.row(&mut cursor, &mut before)
                .map_err(|fault| SyntaxError { left: fault.left + self.behind, ..fault })?;
        }
    }

    fn row<'b>(
        &mut self,
        cursor: &mut Cursor<'b>,
        before: &mut [Option<Last<'b>>],
    ) -> Result<(), SyntaxError> {
        let start = *cursor;
        let width = self.columns.len();
        let mut lines = Lines::One;
        let fields = self.columns.iter_mut().zip(self.rules.marks).zip(before);
        for (number, ((column, marks), before)) in fields.enumerate() {
            let place = if number + 1 == width { Place::Last } else { Place::Within };
            let same = before
                .filter(|last| cursor.rest.starts_with(last.raw) && cursor.ends_after(last.raw.len(), place));
            let last = if let Some(last) = same {
                last
            } else {
                let field = cursor.field()?;
                if !cursor.ends_after(field.raw.len(), place) {
                    return Err(of_width(start));
                }
                let code = column.code(&field.text, *marks).map_err(|_| SyntaxError {
                    left: cursor.rest.len(),
                    kind: SyntaxErrorKind::NotUtf8 { column: number },
                })?;
                let several = field.raw.iter().any(|byte| is_line_end(*byte));
                Last { raw: field.raw, code, lines: if several { Lines::Several } else { Lines::One } }
            };
            if last.lines == Lines::Several {
                lines = Lines::Several;
            }
            *before = Some(last);
            column.push(last.code);
            cursor.pass(last.raw.len());
        }
        match lines {
            Lines::One => Ok(()),
            Lines::Several => self.several_lines(start, *cursor),
        }
    }

    /// A row that goes over several lines, between two places.
    fn several_lines(&mut self, start: Cursor, end: Cursor) -> Result<(), SyntaxError> {
        let left = start.rest.len();
        let record = start.rest.get(..left - end.rest.len()).unwrap_or_default();
        if self.rules.dialect.looks_like_rows(record, self.columns.len()) {
            return Err(SyntaxError { left, kind: SyntaxErrorKind::Rows { lines: line_ends(record) } });
        }
        self.spanning.add(left + self.behind);
        Ok(())
    }

    fn finish(self) -> Read {
        let columns = self.columns.into_iter().map(|builder| builder.finish(String::new())).collect();
        Read { columns, blank: self.blank, spanning: self.spanning }
    }
}

/// The row ahead has more or fewer fields than it should.
fn of_width(start: Cursor) -> SyntaxError {
    let found = { start }.row().map(|fields| fields.map_or(0, |fields| fields.len()));
    match found {
        Ok(found) => SyntaxError { left: start.rest.len(), kind: SyntaxErrorKind::Width { found } },
        Err(fault) => fault,
    }
}
