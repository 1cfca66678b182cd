//! Rows by the values of a column.

use manytask_tensor::ShownPath as _;

use crate::value::{Compare, Values, sorted};
use crate::words::quoted;
use crate::{Note, Result, Table};

/// The rows of each value of a column.
pub(super) struct RowGroups {
    pub(super) names: Vec<String>,
    compare: Compare,
    pub(super) rows: Vec<Vec<usize>>,
    without: usize,
}

impl RowGroups {
    pub(super) fn of(table: &Table, column: &str) -> Result<Self> {
        let column = table.column(column)?;
        let all: Vec<usize> = (0..table.rows()).collect();
        let values = Values::of(table, column, &all);
        let names = sorted(table.format(), values.names);
        let by_level = values.compare.places_of(column, &names);
        let mut rows = vec![Vec::new(); names.len()];
        let mut without = 0;
        for (row, code) in column.codes().iter().enumerate() {
            match by_level.get(*code as usize).copied().flatten().and_then(|place| rows.get_mut(place)) {
                Some(group) => group.push(row),
                None => without += 1,
            }
        }
        Ok(Self { names, compare: values.compare, rows, without })
    }

    /// The rows of the same values in another table.
    ///
    /// # Errors
    /// When a row there has another value.
    pub(super) fn others(&self, table: &Table, name: &str) -> Result<Vec<Vec<usize>>> {
        let column = table.column(name)?;
        let by_level = self.compare.places_of(column, &self.names);
        let mut rows = vec![Vec::new(); self.names.len()];
        for (row, code) in column.codes().iter().enumerate() {
            match by_level.get(*code as usize).copied().flatten().and_then(|place| rows.get_mut(place)) {
                Some(group) => group.push(row),
                None => {
                    return Err(table.value_error(
                        column,
                        row,
                        "a task of which there are examples; give some, or leave the row out",
                    ));
                }
            }
        }
        Ok(rows)
    }

    pub(super) fn rows_of(&self, group: usize) -> &[usize] {
        self.rows.get(group).map_or(&[], Vec::as_slice)
    }

    pub(super) fn without(&self, column: &str, what: &str, table: &Table) -> Option<Note> {
        (self.without > 0).then(|| {
            Note(format!(
                "{} rows of {} have no value in column {} and are of no {}",
                self.without,
                table.path().shown(),
                quoted(column),
                what
            ))
        })
    }
}
