//! Columns of categories.

use serde::{Deserialize, Serialize};

use super::{Missing, codes};
use crate::table::Column;
use crate::value::{Compare, Values};
use crate::words::examples;
use crate::{Note, Result, Table};

/// A column of categories, fitted on the training split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Category {
    pub(super) name: String,
    /// The values of the training split as they are first written there, sorted.
    pub(super) levels: Vec<String>,
    pub(super) missing: Missing,
    #[serde(default)]
    compare: Compare,
}

impl Category {
    pub(super) fn fit(table: &Table, column: &Column, rows: &[usize]) -> Self {
        let Values { compare, names: mut levels, missing, .. } = Values::of(table, column, rows);
        levels.sort_unstable();
        let missing = if missing { Missing::Seen } else { Missing::Unseen };
        Self { name: column.name().to_owned(), levels, missing, compare }
    }

    pub(super) fn width(&self) -> usize {
        self.levels.len() + usize::from(self.missing == Missing::Seen)
    }

    /// For each level of a column, and last for a missing value, the position among this category's values.
    pub(super) fn positions(&self, column: &Column) -> Vec<Option<usize>> {
        let missing = (self.missing == Missing::Seen).then_some(self.levels.len());
        let mut positions = self.compare.places_of(column, &self.levels);
        positions.push(missing);
        positions
    }

    /// What these rows have that the training split had not.
    pub(super) fn review(&self, table: &Table, rows: &[usize], what: &str) -> Result<Option<Note>> {
        let column = table.column(&self.name)?;
        let mut known = self.positions(column);
        let missing = known.pop().flatten();
        let mut counts = vec![0_usize; known.len()];
        let mut gaps = 0;
        for code in codes(column, rows) {
            match counts.get_mut(code as usize) {
                Some(count) => *count += 1,
                None => gaps += 1,
            }
        }
        let unseen =
            || counts.iter().zip(&known).zip(column.levels()).filter(|((_, known), _)| known.is_none());
        let unseen_rows: usize = unseen().map(|((count, _), _)| count).sum();
        let names = unseen().filter(|((count, _), _)| **count > 0).map(|(_, level)| level.as_str());
        let (name, total) = (&self.name, rows.len());
        Ok(if unseen_rows > 0 && unseen_rows + gaps == total {
            Some(Note(format!(
                "column `{name}`: no value of {what} was seen in training ({}; seen were {}); is it written in another way, \
                 or another column?",
                examples(names),
                examples(self.levels.iter().map(String::as_str))
            )))
        } else if unseen_rows > 0 {
            Some(Note(format!(
                "column `{name}`: {unseen_rows} of {total} rows of {what} have a value not seen in training ({})",
                examples(names)
            )))
        } else if gaps > 0 && missing.is_none() {
            Some(Note(format!(
                "column `{name}`: {gaps} of {total} rows of {what} have no value, which no training row lacked"
            )))
        } else {
            None
        })
    }
}
