//! Columns that are read when they are first asked for.

use std::fmt::{self, Debug, Formatter};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use manytask_tensor::threads;

use super::Column;
use super::header::Named;
use crate::Result;
use crate::parallel::in_threads;

/// A column that lies in a file.
pub(super) trait Unread: Send + Sync {
    /// Reads it.
    ///
    /// # Errors
    /// When it is damaged.
    fn read(&self) -> Result<Column>;
}

/// A column of a table, read or not.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) name: String,
    pub(super) named: Named,
    /// What it is made of, one below the other, until it is read.
    parts: Vec<Part>,
    column: OnceLock<Column>,
}

/// Cells of a column that stand below each other.
#[derive(Clone)]
enum Part {
    Read(Column),
    Unread(Arc<dyn Unread>),
    /// So many rows of a file that does not have it.
    Absent(usize, PathBuf),
}

impl Debug for Stored {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored")
            .field("name", &self.name)
            .field("column", &self.column)
            .finish_non_exhaustive()
    }
}

impl From<Column> for Stored {
    fn from(column: Column) -> Self {
        Self {
            name: column.name.clone(),
            named: column.named,
            parts: Vec::new(),
            column: OnceLock::from(column),
        }
    }
}

impl Stored {
    /// A column that is read once it is asked for.
    pub(super) fn unread(name: &str, named: Named, column: Arc<dyn Unread>) -> Self {
        Self { name: name.to_owned(), named, parts: vec![Part::Unread(column)], column: OnceLock::new() }
    }

    /// The column.
    ///
    /// # Errors
    /// When it is read now, and damaged.
    pub(super) fn get(&self) -> Result<&Column> {
        if let Some(column) = self.column.get() {
            return Ok(column);
        }
        let mut all: Option<Column> = None;
        for part in &self.parts {
            all = Some(match (all, part) {
                (None, Part::Read(column)) => column.clone(),
                (None, Part::Unread(column)) => column.read()?,
                (None, Part::Absent(rows, path)) => self.empty().followed_by_nothing(*rows, path),
                (Some(all), Part::Read(column)) => all.followed_by(column),
                (Some(all), Part::Unread(column)) => all.followed_by(&column.read()?),
                (Some(all), Part::Absent(rows, path)) => all.followed_by_nothing(*rows, path),
            });
        }
        let all = all.unwrap_or_else(|| self.empty());
        Ok(self.column.get_or_init(|| all))
    }

    /// The column, to be changed.
    ///
    /// # Errors
    /// As [`Stored::get`].
    pub(super) fn get_mut(&mut self) -> Result<Option<&mut Column>> {
        self.get()?;
        self.parts.clear();
        Ok(self.column.get_mut())
    }

    /// Puts the cells of another column below: at once where both are read.
    pub(super) fn append(&mut self, below: &Self) {
        match (self.column.take(), below.column.get()) {
            (Some(own), Some(below)) => self.column = OnceLock::from(own.followed_by(below)),
            (own, below_read) => {
                self.unread_again(own);
                match below_read {
                    Some(column) => self.parts.push(Part::Read(column.clone())),
                    None => self.parts.extend(below.parts.iter().cloned()),
                }
            }
        }
    }

    /// Puts so many rows of a file below that does not have it.
    pub(super) fn append_absent(&mut self, rows: usize, path: &Path) {
        match self.column.take() {
            Some(own) => self.column = OnceLock::from(own.followed_by_nothing(rows, path)),
            None => self.parts.push(Part::Absent(rows, path.to_owned())),
        }
    }

    fn unread_again(&mut self, own: Option<Column>) {
        if let Some(own) = own {
            self.parts = vec![Part::Read(own)];
        }
    }

    fn empty(&self) -> Column {
        Column {
            name: self.name.clone(),
            named: self.named,
            levels: Vec::new(),
            codes: Vec::new(),
            marks: Vec::new(),
            absent_from: None,
        }
    }
}

/// Reads those of these columns that are not read yet, in as many threads as kernels may use.
///
/// # Errors
/// At the first that is damaged.
pub(super) fn read(columns: &[&Stored]) -> Result<()> {
    let unread: Vec<&Stored> =
        columns.iter().copied().filter(|stored| stored.column.get().is_none()).collect();
    let share = unread.len().div_ceil(threads::get().max(1)).max(1);
    let shares: Vec<&[&Stored]> = unread.chunks(share).collect();
    let read = |share: &&[&Stored]| share.iter().try_for_each(|stored| stored.get().map(|_| ()));
    in_threads(&shares, read).into_iter().collect()
}
