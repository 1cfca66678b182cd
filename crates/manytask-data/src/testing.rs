//! What several test modules need.

use crate::{Table, TableSource};

/// A table read from this text.
pub(crate) fn table(text: &str) -> Table {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("table.csv");
    fs_err::write(&path, text).unwrap();
    Table::read(&TableSource::new(path)).unwrap()
}

/// All rows of a table.
pub(crate) fn all(table: &Table) -> Vec<usize> {
    (0..table.rows()).collect()
}
