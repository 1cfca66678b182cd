//! What a user should look at in a table before anything is trained on it.

mod columns;
mod groups;
mod labels;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

pub(crate) use self::labels::determines;
use crate::input_columns::Resolved;
use crate::report::capped;
use crate::table::Column;
use crate::value::Values;
use crate::words::examples;
use crate::{Encoder, Indices, Note, Result, Table, TargetEncoder, TargetKind, TaskNote};

/// Training rows from which on a finding is no accident.
const ENOUGH: usize = 20;

/// All that is looked at.
pub(crate) struct FindingContext<'a> {
    pub(crate) table: &'a Table,
    pub(crate) indices: &'a Indices,
    pub(crate) inputs: &'a Resolved,
    pub(crate) encoder: &'a Encoder,
    pub(crate) targets: &'a [TargetEncoder],
    /// Columns whose values are tasks or groups.
    pub(crate) groups: Vec<&'a str>,
    /// The column whose values are groups that a split keeps together or divides.
    pub(crate) split_groups: Option<&'a str>,
}

impl FindingContext<'_> {
    /// What is found of single tasks, the gravest first.
    pub(crate) fn of_tasks(&self) -> Result<Vec<TaskNote>> {
        let mut notes = self.answers_among_inputs()?;
        notes.extend(self.words_for_missing()?);
        notes.extend(self.odd_labels()?);
        notes.extend(self.spellings_of_labels()?);
        Ok(notes)
    }

    /// What else is found, the gravest first.
    pub(crate) fn findings(&self) -> Result<Vec<Note>> {
        let mut notes = self.inputs.notes.clone();
        notes.extend(self.groups_without_label()?);
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

    /// Values of inputs and groups that are written in several ways.
    fn spellings(&self) -> Result<Vec<Note>> {
        let groups = self.groups.iter().map(|name| self.table.column(name));
        let mut notes = Vec::new();
        let mut seen = HashSet::new();
        for column in self.categories().chain(groups) {
            let column = column?;
            if seen.insert(column.name()) {
                notes.extend(self.spelled(column).map(Note));
            }
        }
        Ok(capped(notes, "have values that are written in several ways"))
    }

    /// Answers and classes that are.
    fn spellings_of_labels(&self) -> Result<Vec<TaskNote>> {
        let mut notes = Vec::new();
        for target in self.targets.iter().filter(|target| target.kind() != TargetKind::Regression) {
            for name in target.columns() {
                let text = self.spelled(self.table.column(name)?);
                let what = "have labels that are written in several ways";
                notes.extend(text.map(|text| TaskNote::of(target.name(), text, what)));
            }
        }
        Ok(notes)
    }

    fn spelled(&self, column: &Column) -> Option<String> {
        let values = Values::of(self.table, column, &self.indices.train);
        let (first, other) = values.merged.first()?;
        Some(format!(
            "column `{}`: {} are one value, {} spellings in all are taken for another",
            column.name(),
            examples([first.as_str(), other.as_str()]),
            values.merged.len()
        ))
    }
}

const VALIDATION: &str = "the validation split";
const TEST: &str = "the test split";
