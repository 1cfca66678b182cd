//! What a user should look at in a table before anything is trained on it.

mod columns;
mod labels;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

pub(crate) use self::columns::numbers_rows;
use crate::input_columns::Resolved;
use crate::report::{capped, examples};
use crate::table::Column;
use crate::value::Values;
use crate::{Encoder, Indices, Note, Result, Table, TargetEncoder, TargetKind};

/// Training rows from which on a finding is no accident.
const ENOUGH: usize = 20;

/// All that is looked at.
pub(crate) struct Scene<'a> {
    pub(crate) table: &'a Table,
    pub(crate) indices: &'a Indices,
    pub(crate) inputs: &'a Resolved,
    pub(crate) encoder: &'a Encoder,
    pub(crate) targets: &'a [TargetEncoder],
    /// Columns whose values are tasks or groups.
    pub(crate) groups: Vec<&'a str>,
}

impl Scene<'_> {
    /// What is found, the gravest first.
    pub(crate) fn findings(&self) -> Result<Vec<Note>> {
        let mut notes = self.inputs.notes.clone();
        notes.extend(self.answers_among_inputs()?);
        notes.extend(self.words_for_missing()?);
        notes.extend(self.odd_labels()?);
        notes.extend(self.identifiers()?);
        notes.extend(self.constants()?);
        notes.extend(self.spellings()?);
        notes.extend(self.encoder.oddities(self.table, &self.indices.train)?);
        for (rows, what) in [(&self.indices.validation, VALIDATION), (&self.indices.test, TEST)] {
            if !rows.is_empty() {
                notes.extend(self.encoder.review(self.table, rows, what)?);
            }
        }
        Ok(notes)
    }

    fn categories(&self) -> impl Iterator<Item = Result<&Column>> {
        self.inputs.one_hot.iter().chain(&self.inputs.embedding).map(|name| self.table.column(name))
    }

    fn columns(&self) -> impl Iterator<Item = Result<&Column>> {
        self.categories().chain(self.inputs.numeric.iter().map(|name| self.table.column(name)))
    }

    /// Values that are written in several ways.
    fn spellings(&self) -> Result<Vec<Note>> {
        let labels = self.targets.iter().filter(|target| target.kind() != TargetKind::Regression);
        let labels = labels.flat_map(|target| target.columns().iter().map(String::as_str));
        let groups = labels.chain(self.groups.iter().copied()).map(|name| self.table.column(name));
        let mut notes = Vec::new();
        let mut seen = HashSet::new();
        for column in self.categories().chain(groups) {
            let column = column?;
            let values = Values::of(column, &self.indices.train);
            if let Some((first, other)) = values.merged.first().filter(|_| seen.insert(column.name())) {
                notes.push(Note(format!(
                    "column `{}`: {} are one value, {} spellings in all are taken for another",
                    column.name(),
                    examples([first.as_str(), other.as_str()]),
                    values.merged.len()
                )));
            }
        }
        Ok(capped(notes, "have values that are written in several ways"))
    }
}

const VALIDATION: &str = "the validation part";
const TEST: &str = "the test part";
