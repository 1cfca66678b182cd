//! What a row is: the one definition, for headers, tables read in pieces and looks at a table.
//!
//! - A line ends with `\n`, `\r\n` (also with several `\r` before the `\n`), or a single `\r`.
//! - A separator ends a field, the end of a line ends a row.
//! - A field that begins with a quote goes to the next quote that is not one of two, over separators and lines; then its field
//!   must end. A quote elsewhere in a field is a character like any other.
//! - Where blanks around fields are dropped they do not keep a quote from being the first, and a line of them is blank.

use std::borrow::Cow;

use super::source::Quotes;

/// How fields are told apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    pub(super) separator: u8,
    pub(super) quotes: Quotes,
    pub(super) trim: bool,
}

/// A place in a content.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    /// What is ahead.
    pub(super) rest: &'a [u8],
    pub(super) dialect: Dialect,
}

/// A field as it is ahead of a cursor.
#[derive(Debug)]
pub(super) struct Field<'a> {
    /// As it is written, with quotes and blanks.
    pub(super) raw: &'a [u8],
    /// What it says.
    pub(super) text: Cow<'a, [u8]>,
}

/// What is wrong, and how many bytes from there to the end of what the cursor was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) left: usize,
    pub(super) kind: SyntaxErrorKind,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SyntaxErrorKind {
    /// A quote opens and never closes.
    Open,
    /// After the quote that closes a field comes something else than the field's end; so many bytes after the opening.
    AfterQuote { closes: usize },
    /// A row has so many fields, not as many as the first.
    Width { found: usize },
    /// A field of the column with this number is no UTF-8.
    NotUtf8 { column: usize },
    /// A quoted field goes over so many lines, of which each has as many fields as a row.
    Rows { lines: usize },
}

impl Dialect {
    /// Whether a byte is a blank around fields.
    #[inline]
    fn is_blank(self, byte: u8) -> bool {
        self.trim && matches!(byte, b' ' | b'\t') && byte != self.separator
    }

    /// Whether a field ends before this byte.
    #[inline]
    fn ends_field(self, byte: u8) -> bool {
        byte == self.separator || is_line_end(byte)
    }

    fn blanks(self, bytes: &[u8]) -> usize {
        bytes.iter().take_while(|byte| self.is_blank(**byte)).count()
    }

    /// Without the blanks around a field.
    pub(super) fn trimmed(self, text: &[u8]) -> &[u8] {
        if self.trim { text.trim_ascii() } else { text }
    }

    /// The content without blank lines at its end, and how many these are.
    pub(super) fn without_blank_end(self, content: &[u8]) -> (&[u8], usize) {
        let blank = |byte: &u8| is_line_end(*byte) || self.is_blank(*byte);
        let Some(last) = content.iter().rposition(|byte| !blank(byte)) else { return (&[], 0) };
        let kept = last + 1;
        let line = content.get(kept..).unwrap_or_default();
        let kept = kept + line.iter().position(|byte| is_line_end(*byte)).unwrap_or(line.len());
        let (content, mut end) = content.split_at_checked(kept).unwrap_or((content, &[]));
        let mut blank_lines = 0;
        skip_line_end(&mut end);
        while !end.is_empty() {
            blank_lines += 1;
            let line = end.iter().position(|byte| is_line_end(*byte)).unwrap_or(end.len());
            end = end.get(line..).unwrap_or_default();
            skip_line_end(&mut end);
        }
        (content, blank_lines)
    }

    /// Whether each line of a row's text, taken by itself, has as many fields as a row. Four separators in such places are no
    /// accident of a text.
    pub(super) fn looks_like_rows(self, record: &[u8], width: usize) -> bool {
        let mut lines = 0;
        let mut rest = record;
        while !rest.is_empty() {
            let length = rest.iter().position(|byte| is_line_end(*byte)).unwrap_or(rest.len());
            let (line, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            if line.split(|byte| *byte == self.separator).count() != width {
                return false;
            }
            lines += 1;
            rest = after;
            skip_line_end(&mut rest);
        }
        lines > 1 && lines * width.saturating_sub(1) >= 4
    }
}

impl<'a> Cursor<'a> {
    /// The field ahead.
    pub(super) fn field(&self) -> Result<Field<'a>, SyntaxError> {
        let dialect = self.dialect;
        let blanks = if dialect.trim { dialect.blanks(self.rest) } else { 0 };
        if dialect.quotes == Quotes::Double && self.rest.get(blanks) == Some(&b'"') {
            return self.quoted(blanks);
        }
        let length = self.rest.iter().position(|byte| dialect.ends_field(*byte)).unwrap_or(self.rest.len());
        let raw = self.rest.get(..length).unwrap_or_default();
        Ok(Field { raw, text: Cow::Borrowed(dialect.trimmed(raw)) })
    }

    /// The field ahead, whose opening quote comes after so many bytes.
    fn quoted(&self, opening: usize) -> Result<Field<'a>, SyntaxError> {
        let fault = |kind| SyntaxError { left: self.rest.len() - opening, kind };
        let inner = self.rest.get(opening + 1..).unwrap_or_default();
        let mut from = 0;
        let mut doubled = false;
        let closing = loop {
            let ahead = inner.get(from..).unwrap_or_default();
            let Some(at) = ahead.iter().position(|byte| *byte == b'"') else {
                return Err(fault(SyntaxErrorKind::Open));
            };
            if ahead.get(at + 1) != Some(&b'"') {
                break from + at;
            }
            doubled = true;
            from += at + 2;
        };
        let (text, after) = inner.split_at_checked(closing).unwrap_or_default();
        let blanks = 1 + self.dialect.blanks(after.get(1..).unwrap_or_default());
        if after.get(blanks).is_some_and(|byte| !self.dialect.ends_field(*byte)) {
            return Err(fault(SyntaxErrorKind::AfterQuote { closes: closing + 1 }));
        }
        let raw = self.rest.get(..opening + 1 + closing + blanks).unwrap_or_default();
        let text = if doubled { Cow::Owned(undoubled(text)) } else { Cow::Borrowed(text) };
        let text = match text {
            Cow::Borrowed(text) => Cow::Borrowed(self.dialect.trimmed(text)),
            Cow::Owned(text) => Cow::Owned(self.dialect.trimmed(&text).to_vec()),
        };
        Ok(Field { raw, text })
    }

    /// Whether a field's end is after so many bytes: that of the row too, or a separator.
    #[inline]
    pub(super) fn ends_after(&self, length: usize, place: Place) -> bool {
        match (self.rest.get(length), place) {
            (Some(byte), Place::Last) => is_line_end(*byte),
            (Some(byte), Place::Within) => *byte == self.dialect.separator,
            (None, place) => place == Place::Last,
        }
    }

    /// Goes behind a field of so many bytes and what ends it.
    #[inline]
    pub(super) fn pass(&mut self, length: usize) {
        self.rest = self.rest.get(length..).unwrap_or_default();
        match self.rest {
            [b'\r', ..] => skip_line_end(&mut self.rest),
            [_, rest @ ..] => self.rest = rest,
            [] => {}
        }
    }

    /// Goes behind the line ahead if it is blank.
    pub(super) fn pass_blank_line(&mut self) -> bool {
        let blanks = self.dialect.blanks(self.rest);
        let is_blank = self.rest.get(blanks).is_some_and(|byte| is_line_end(*byte));
        if is_blank {
            self.pass(blanks);
        }
        is_blank
    }

    /// All fields of the row ahead, and goes behind it; at the end there is none.
    pub(super) fn row(&mut self) -> Result<Option<Vec<Field<'a>>>, SyntaxError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let mut fields = Vec::new();
        loop {
            let field = self.field()?;
            let length = field.raw.len();
            let is_last = self.ends_after(length, Place::Last);
            fields.push(field);
            self.pass(length);
            if is_last {
                return Ok(Some(fields));
            }
        }
    }
}

/// Where a field is in its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Within,
    Last,
}

/// How many lines end in these bytes.
pub(super) fn line_ends(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Some(at) = bytes.iter().position(|byte| is_line_end(*byte)) {
        bytes = bytes.get(at..).unwrap_or_default();
        skip_line_end(&mut bytes);
        count += 1;
    }
    count
}

#[inline]
pub(super) fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// Behind the end of a line, if one is ahead.
pub(super) fn skip_line_end(bytes: &mut &[u8]) {
    let returns = bytes.iter().take_while(|byte| **byte == b'\r').count();
    *bytes = match (returns, bytes.get(returns)) {
        (_, Some(b'\n')) => bytes.get(returns + 1..).unwrap_or_default(),
        (0, _) => bytes,
        (_, _) => bytes.get(1..).unwrap_or_default(),
    };
}

fn undoubled(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        plain.push(*byte);
        if *byte == b'"' {
            bytes.next();
        }
    }
    plain
}
