//! Tables of text columns, from CSV.

mod quick;
mod read;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use manytask_tensor::threads;
use serde::{Deserialize, Serialize};

use crate::error::nearest;
use crate::{Error, Result};

/// Where a table lies and how it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableSource {
    /// The file: CSV, or CSV packed with gzip (told by its content, not by its name).
    pub path: PathBuf,
    /// Whether the first line has the columns' names; otherwise they are `column0`, `column1`, ….
    #[serde(default = "yes")]
    pub header: bool,
    /// The one-byte character between the fields.
    #[serde(default = "comma")]
    pub separator: char,
    /// Whether blanks around the fields are dropped.
    #[serde(default = "yes")]
    pub trim: bool,
    /// What stands for a missing value. An empty list makes `NA` a category like any other.
    #[serde(default = "usual_missing")]
    pub missing: Vec<String>,
}

/// A table in memory: columns of text, each distinct value kept once.
///
/// ```
/// use manytask_data::{Table, TableSource};
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("people.csv");
/// # fs_err::write(&path, "name, age\nada, 36\nalan, 41\nkurt, ?\n")?;
/// let table = Table::read(&TableSource::new(&path))?;
/// assert_eq!(table.rows(), 3);
/// assert_eq!(table.column("name")?.text(1), Some("alan"));
/// assert_eq!(table.column("age")?.text(2), None); // `?` is missing
/// assert_eq!(table.numbers("age")?[..2], [36.0, 41.0]);
/// assert!(table.column("nmae").unwrap_err().to_string().ends_with("did you mean `name`?"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Table {
    path: PathBuf,
    columns: Vec<Column>,
    rows: usize,
    digest: String,
}

/// A column: the distinct values in order of first occurrence, and one code per row.
#[derive(Debug, Clone)]
pub struct Column {
    name: String,
    levels: Vec<String>,
    codes: Vec<u32>,
}

/// The code of a missing value.
pub(crate) const MISSING: u32 = u32::MAX;

impl TableSource {
    /// A comma-separated file with a header, blanks trimmed and the usual marks for missing values.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), header: true, separator: ',', trim: true, missing: usual_missing() }
    }

    /// The same way of writing, another file.
    #[must_use]
    pub fn at(&self, path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), ..self.clone() }
    }
}

impl Table {
    /// Reads the whole file, in as many threads as kernels may use.
    ///
    /// # Errors
    /// When the file is absent, empty, cut off, not UTF-8, has rows of different lengths or two columns of one name.
    pub fn read(source: &TableSource) -> Result<Self> {
        read::read(source, threads::get())
    }

    /// The number of rows, without the header.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The file it came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-256 of the file as it lies on the disk, in hexadecimal digits.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The columns in the file's order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The names of the columns in the file's order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Result<&Column> {
        self.columns.iter().find(|column| column.name == name).ok_or_else(|| Error::Column {
            path: self.path.clone(),
            column: name.to_owned(),
            suggestion: nearest(name, self.names()),
        })
    }

    /// A column as numbers, NaN where it is missing.
    ///
    /// # Errors
    /// At the first value that is not a finite number, with its row.
    pub fn numbers(&self, name: &str) -> Result<Vec<f64>> {
        let column = self.column(name)?;
        let by_level = self.level_numbers(column)?;
        Ok(column.codes.iter().map(|&code| level_value(&by_level, code)).collect())
    }

    /// The rows of `other` below those of this table; columns are matched by name.
    ///
    /// # Errors
    /// When `other` lacks a column of this table.
    pub fn append(&mut self, other: &Self) -> Result<()> {
        let others: Vec<&Column> =
            self.columns.iter().map(|column| other.column(&column.name)).collect::<Result<_>>()?;
        for (column, below) in self.columns.iter_mut().zip(others) {
            column.append(below);
        }
        self.rows += other.rows;
        Ok(())
    }

    /// The number each level stands for.
    pub(crate) fn level_numbers(&self, column: &Column) -> Result<Vec<f64>> {
        let parsed = column.levels.iter().enumerate().map(|(code, text)| match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(self.value_error(
                column,
                column.codes.iter().position(|&c| c as usize == code).unwrap_or_default(),
                "a finite number; list it under `missing`, or make the column categorical",
            )),
        });
        parsed.collect()
    }

    /// An error about the value in a row (counted from 0).
    pub(crate) fn value_error(&self, column: &Column, row: usize, expected: &str) -> Error {
        Error::Value {
            path: self.path.clone(),
            row: row + 1,
            column: column.name.clone(),
            text: column.text(row).unwrap_or("(missing)").to_owned(),
            expected: expected.to_owned(),
        }
    }
}

impl Column {
    /// The name in the header, or `columnN`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text in a row (counted from 0), `None` where it is missing or beyond the last row.
    pub fn text(&self, row: usize) -> Option<&str> {
        self.codes.get(row).and_then(|&code| self.levels.get(code as usize)).map(String::as_str)
    }

    /// The distinct values, in order of first occurrence.
    pub fn levels(&self) -> &[String] {
        &self.levels
    }

    /// For each row the number of its level.
    pub(crate) fn codes(&self) -> &[u32] {
        &self.codes
    }

    fn append(&mut self, below: &Self) {
        let mut interner = read::Interner::with_levels(std::mem::take(&mut self.levels));
        let codes: Vec<u32> =
            below.levels.iter().map(|level| interner.code(level.as_bytes()).unwrap_or(MISSING)).collect();
        self.codes
            .extend(below.codes.iter().map(|&code| codes.get(code as usize).copied().unwrap_or(MISSING)));
        self.levels = interner.into_levels();
    }
}

/// [`Table::read`] in so many threads.
pub(crate) fn read_in(source: &TableSource, threads: usize) -> Result<Table> {
    read::read(source, threads)
}

/// The value of a code, NaN if it is missing.
pub(crate) fn level_value(by_level: &[f64], code: u32) -> f64 {
    by_level.get(code as usize).copied().unwrap_or(f64::NAN)
}

fn yes() -> bool {
    true
}

fn comma() -> char {
    ','
}

fn usual_missing() -> Vec<String> {
    ["", "?", "NA", "NaN", "nan"].map(str::to_owned).to_vec()
}
