//! What a column seems to be.

use crate::Table;
use crate::table::Column;
use crate::value::Compare;
use crate::words::{quoted, short};

/// Values that are kept as examples.
const EXAMPLES: usize = 5;
/// The share of distinct values from which on texts name their rows.
const NEARLY_ALL: f64 = 0.9;
/// Whole numbers of no more different values may be codes as well as sizes.
const FEW: usize = 10;
/// Letters of a text on average from which on it is no category.
const LONG: usize = 40;

/// A column of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnProfile {
    /// Its name.
    pub name: String,
    /// What it seems to be.
    pub role: ColumnRole,
    /// Rows without a value.
    pub missing: usize,
    /// Different values.
    pub distinct: usize,
    /// The most frequent values with the number of their rows.
    pub examples: Vec<(String, usize)>,
    /// The smallest and the largest number; of columns of numbers.
    pub range: Option<(f64, f64)>,
    /// Whether all numbers are whole; of columns of numbers.
    pub whole: bool,
}

/// What a column seems to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnRole {
    /// Numbers.
    Number,
    /// A few whole numbers, which may be sizes or codes.
    FewNumbers,
    /// Two values.
    Binary,
    /// Texts or codes that come again.
    Category,
    /// Dates or times.
    Date,
    /// Long texts.
    Text,
    /// A value for each row: it names it.
    Identifier,
    /// The number of the row.
    RowNumber,
    /// The same in all rows.
    Constant,
    /// No value in any row.
    Empty,
}

impl ColumnProfile {
    pub(super) fn of(table: &Table, column: &Column) -> Self {
        let rows = column.codes().len();
        let known = (0..rows).filter(|row| column.text(*row).is_some()).count();
        let numbers = table.level_numbers(column).ok().filter(|numbers| !numbers.is_empty());
        let counts = counted(column);
        let compare = Compare::of(table.format(), column.levels().iter().map(String::as_str));
        let distinct = compare.indices(column.levels()).len();
        let range = numbers.as_deref().map(|numbers| {
            let fold = |ends: (f64, f64), x: &f64| (ends.0.min(*x), ends.1.max(*x));
            numbers.iter().fold((f64::INFINITY, f64::NEG_INFINITY), fold)
        });
        let whole =
            numbers.as_deref().is_some_and(|numbers| numbers.iter().all(|number| number.fract() == 0.0));
        let is_code = compare == Compare::Code;
        let sizes = Sizes { rows, known, distinct, whole };
        let role = if column.levels().is_empty() {
            ColumnRole::Empty
        } else if distinct == 1 && known == rows {
            ColumnRole::Constant
        } else if distinct > 2 && crate::row_numbers::counts_up(column) {
            ColumnRole::RowNumber
        } else if distinct == 2 {
            ColumnRole::Binary
        } else if numbers.is_some() && !is_code {
            sizes.of_numbers(column.name())
        } else {
            sizes.of_texts(column)
        };
        Self {
            name: column.name().to_owned(),
            role,
            missing: rows - known,
            distinct,
            examples: counts.into_iter().take(EXAMPLES).collect(),
            range: range.filter(|_| !is_code),
            whole,
        }
    }

    /// Its values in one line: the range of numbers, or the most frequent ones with the number of their rows.
    pub fn line(&self) -> String {
        let shown = |(value, rows): &(String, usize)| format!("{} ({rows})", quoted(value));
        let examples: Vec<String> = self.examples.iter().map(shown).collect();
        match self.range {
            _ if matches!(self.role, ColumnRole::Empty) => String::new(),
            Some((low, high)) if self.distinct > FEW => {
                format!("{} to {}", short(low), short(high))
            }
            _ if matches!(self.role, ColumnRole::Identifier | ColumnRole::Text | ColumnRole::Date) => {
                self.examples.first().map_or(String::new(), |(value, _)| format!("such as {}", quoted(value)))
            }
            _ if self.distinct > EXAMPLES => format!("{}, …", examples.join(", ")),
            _ => examples.join(", "),
        }
    }
}

impl ColumnRole {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::FewNumbers => "few numbers",
            Self::Binary => "two values",
            Self::Category => "category",
            Self::Date => "date",
            Self::Text => "text",
            Self::Identifier => "identifier",
            Self::RowNumber => "row number",
            Self::Constant => "constant",
            Self::Empty => "empty",
        }
    }
}

/// How many rows and values a column has.
struct Sizes {
    rows: usize,
    known: usize,
    distinct: usize,
    whole: bool,
}

impl Sizes {
    fn of_numbers(&self, name: &str) -> ColumnRole {
        let all = self.whole && self.rows >= 20 && self.distinct == self.known;
        if all && is_called_identifier(name) {
            ColumnRole::Identifier
        } else if self.whole && self.distinct <= FEW && self.known >= 4 * self.distinct {
            ColumnRole::FewNumbers
        } else {
            ColumnRole::Number
        }
    }

    fn of_texts(&self, column: &Column) -> ColumnRole {
        if column.levels().iter().all(|level| is_date(level)) {
            return ColumnRole::Date;
        }
        let letters: usize = column.levels().iter().map(|level| level.chars().count()).sum();
        let words = |level: &String| level.split_whitespace().count() > 3;
        let many = column.levels().iter().filter(|level| words(level)).count() * 2 > column.levels().len();
        let distinct = self.distinct as f64 / self.known.max(1) as f64;
        let long = letters > LONG * column.levels().len() || many;
        match distinct {
            share if share >= 0.5 && long && self.known >= 20 => ColumnRole::Text,
            share if share >= NEARLY_ALL && self.known >= 20 => ColumnRole::Identifier,
            _ => ColumnRole::Category,
        }
    }
}

/// Whether a name says that its column names the rows.
fn is_called_identifier(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    ["id", "uuid", "guid", "key", "index", "nr", "no", "number", "identifier"]
        .iter()
        .any(|word| words.contains(word))
        || lower.ends_with("id") && name.ends_with("Id") | name.ends_with("ID")
}

/// Whether a text is a date, perhaps with a time: `2024-01-31`, `31.01.2024`, `1/31/2024 12:30`.
fn is_date(text: &str) -> bool {
    let (date, time) =
        text.trim().split_once(['T', ' ']).map_or((text.trim(), None), |(date, time)| (date, Some(time)));
    let Some(mark) = ['-', '.', '/'].into_iter().find(|mark| date.contains(*mark)) else { return false };
    let fields: Vec<&str> = date.split(mark).collect();
    let digits = |field: &&str| {
        !field.is_empty() && field.len() <= 4 && field.bytes().all(|byte| byte.is_ascii_digit())
    };
    let years = fields.iter().filter(|field| field.len() == 4).count();
    let is_time = |time: &str| time.contains(':') && time.starts_with(|c: char| c.is_ascii_digit());
    fields.len() == 3 && fields.iter().all(digits) && years == 1 && time.is_none_or(is_time)
}

/// The distinct values of a column with the number of their rows, the most frequent first.
pub(super) fn counted(column: &Column) -> Vec<(String, usize)> {
    let mut counts = vec![0_usize; column.levels().len()];
    for code in column.codes() {
        if let Some(count) = counts.get_mut(*code as usize) {
            *count += 1;
        }
    }
    let mut values: Vec<(String, usize)> = column.levels().iter().cloned().zip(counts).collect();
    values.retain(|(_, count)| *count > 0);
    values.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_told_from_numbers_and_names() {
        for date in ["2024-01-31", "31.01.2024", "1/31/2024", "2024-01-31T12:00:00Z", "2024-01-31 12:00"] {
            assert!(is_date(date), "{date}");
        }
        for other in ["1.5", "192.168.0.1", "2024", "a-b-2024", "1-2-3", "2024-01-31 old"] {
            assert!(!is_date(other), "{other}");
        }
    }

    #[test]
    fn names_of_identifiers() {
        for name in ["id", "mol_id", "Patient ID", "customerId", "row_number"] {
            assert!(is_called_identifier(name), "{name}");
        }
        for name in ["humid", "acid", "width", "note"] {
            assert!(!is_called_identifier(name), "{name}");
        }
    }
}
