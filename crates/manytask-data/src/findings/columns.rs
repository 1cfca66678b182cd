//! Inputs that tell nothing: they name or count the rows, or never vary.

use std::collections::HashSet;

use super::{ENOUGH, FindingContext, TEST, VALIDATION};
use crate::report::capped;
use crate::row_numbers::counts_up;
use crate::table::Column;
use crate::value::seen;
use crate::words::examples;
use crate::{Note, Result};

/// The share of distinct values from which on a column names its rows.
const NEARLY_ALL: f64 = 0.9;
/// A column that is the same in all rows of a split, where chance would not have it more often than so.
const CHANCE: f64 = 1e-3;

impl FindingContext<'_> {
    /// Inputs that name or count the rows.
    pub(super) fn identifiers(&self) -> Result<Vec<Note>> {
        let rows = &self.indices.train;
        let mut notes = Vec::new();
        for column in self.categories() {
            let column = column?;
            let (seen, _) = seen(column, rows);
            let distinct = seen.iter().filter(|seen| **seen).count();
            let known = rows.iter().filter(|row| column.text(**row).is_some()).count();
            if known >= ENOUGH && distinct as f64 >= NEARLY_ALL * known as f64 {
                notes.push(Note(format!(
                    "column `{0}` has {distinct} values in {known} training rows: it names the rows and tells nothing of \
                     others; leave it out with ignore = [\"{0}\"]",
                    column.name(),
                )));
            }
        }
        for name in self.inputs.numeric.iter().filter(|name| !self.inputs.exactly.contains(*name)) {
            let column = self.table.column(name)?;
            if column.levels().len() >= ENOUGH && counts_up(column) {
                notes.push(Note(format!(
                    "column `{name}` counts the rows: it is an input by their order; leave it out with ignore = [\"{name}\"]"
                )));
            }
        }
        for column in self.columns() {
            let column = column?;
            if column.is_nameless() && !self.inputs.exactly.contains(column.name()) {
                notes.push(Note(format!(
                    "column `{0}` has no name in the header and is taken as an input; leave it out with ignore = [\"{0}\"]",
                    column.name()
                )));
            }
        }
        Ok(capped(notes, "name or count the rows"))
    }

    /// Inputs that are the same in all rows of a split.
    pub(super) fn constants(&self) -> Result<Vec<Note>> {
        let mut notes = Vec::new();
        let mut everywhere = HashSet::new();
        for column in self.columns() {
            let column = column?;
            if alike(column, &self.indices.train).is_some() {
                everywhere.insert(column.name());
            }
        }
        if self.indices.train.len() > 1 && !everywhere.is_empty() {
            let names = self.table.names().filter(|name| everywhere.contains(name));
            notes.push(Note(format!(
                "{} of the input columns never vary in the training split and tell nothing: {}",
                everywhere.len(),
                examples(names)
            )));
        }
        for (rows, what) in [(&self.indices.validation, VALIDATION), (&self.indices.test, TEST)] {
            let mut names = Vec::new();
            for column in self.columns() {
                let column = column?;
                let Some(code) = alike(column, rows).filter(|_| !everywhere.contains(column.name())) else {
                    continue;
                };
                let train = &self.indices.train;
                let equal = train.iter().filter(|row| column.codes().get(**row) == Some(&code)).count();
                if (equal as f64 / train.len().max(1) as f64).powf(rows.len() as f64) < CHANCE {
                    names.push(column.name());
                }
            }
            if !names.is_empty() {
                notes.push(Note(format!(
                    "{} of the input columns vary in training and not in {what}: {}",
                    names.len(),
                    examples(names)
                )));
            }
        }
        Ok(notes)
    }
}

/// The code that all of these rows have, if it is one.
fn alike(column: &Column, rows: &[usize]) -> Option<u32> {
    let mut codes = rows.iter().map(|row| column.codes().get(*row));
    let first = codes.next()??;
    codes.all(|code| code == Some(first)).then_some(*first)
}
