//! Tables of columns, from files or built in memory.

mod arrays;
mod chunks;
mod foreign;
mod header;
mod interner;
mod look;
mod memory;
mod number;
mod parquet;
mod parquet_text;
mod pieces;
mod read;
mod rows;
mod several;
mod source;
mod stored;
#[cfg(test)]
mod tests;
mod typed;
mod writing;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use manytask_tensor::threads;
use manytask_tensor::{SettingError, ShownPath as _, WHOLE};

pub(crate) use self::header::Named;
pub use self::memory::{ColumnData, MemoryTable};
pub(crate) use self::number::NumberFormat;
pub use self::number::{Decimal, Thousands};
pub use self::several::is_file_of;
pub(crate) use self::several::{digest_of, files};
pub use self::source::{Quotes, Separator, TableSource};
use self::stored::Stored;
pub(crate) use self::typed::is_typed_file;
use crate::error::{did_you_mean, nearest, shown};
use crate::{Error, Result};

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
    columns: Vec<Stored>,
    /// The number of each column by its name.
    index: HashMap<String, usize>,
    rows: usize,
    digest: String,
    numbers: NumberFormat,
    format: TableFormat,
    /// The first row of each file that was appended.
    appended: Vec<(usize, PathBuf)>,
    notes: Vec<String>,
    other: Option<look::Other>,
    role: Role,
}

/// Where tables come from: CSV files are read as a [`TableSource`] says, and a [`MemoryTable`] is built of columns.
pub trait TableReader {
    /// Reads the whole table.
    ///
    /// # Errors
    /// When there is no such table, or it is damaged.
    fn read(&self) -> Result<Table>;
}

impl TableReader for TableSource {
    fn read(&self) -> Result<Table> {
        Table::read(self)
    }
}

/// What a table was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFormat {
    /// Lines of fields with separators.
    Csv,
    /// Objects in JSON.
    Json,
    /// Parquet.
    Parquet,
    /// Arrays of `NumPy`, or tensors of safetensors.
    Arrays,
    /// Columns in memory.
    Memory,
}

/// What a table is read for; it decides whose mistake a missing column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// A description names its columns.
    Described,
    /// A fitted model needs its columns.
    ForModel,
}

/// A column: the distinct values in order of first occurrence, and one code per row.
#[derive(Debug, Clone)]
pub struct Column {
    name: String,
    named: Named,
    levels: Vec<String>,
    codes: Vec<u32>,
    /// The marks of missing values that stand in it.
    marks: Vec<String>,
    /// The first appended file that does not have it.
    absent_from: Option<PathBuf>,
}

/// The code of a missing value.
pub(crate) const MISSING: u32 = u32::MAX;

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

    /// The columns in the file's order. Those of Parquet are read where they were not asked for before.
    ///
    /// # Errors
    /// When one of them is damaged.
    pub fn columns(&self) -> Result<Vec<&Column>> {
        stored::read(&self.columns.iter().collect::<Vec<_>>())?;
        self.columns.iter().map(Stored::get).collect()
    }

    /// How many columns there are.
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// The columns that the header has no name for.
    ///
    /// # Errors
    /// When one of them is damaged.
    pub(crate) fn nameless(&self) -> Result<Vec<&Column>> {
        let nameless = self.columns.iter().filter(|column| column.named == Named::Nameless);
        nameless.map(Stored::get).collect()
    }

    /// Reads these of its columns in several threads, where they are not read yet; names that are not there are passed over.
    ///
    /// # Errors
    /// When one of them is damaged.
    pub(crate) fn read_columns<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Result<()> {
        let numbers = names.into_iter().filter_map(|name| self.index.get(name));
        let columns: Vec<&Stored> = numbers.filter_map(|number| self.columns.get(*number)).collect();
        stored::read(&columns)
    }

    /// The names of the columns in the file's order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// Whether there is a column of this name.
    pub fn has(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    /// The column of this name, which need not be in every file that was appended: for one that is not used.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub(crate) fn named(&self, name: &str) -> Result<&Column> {
        let column = self.index.get(name).and_then(|number| self.columns.get(*number));
        column.ok_or_else(|| self.no_column(name))?.get()
    }

    /// The column of this name.
    ///
    /// # Errors
    /// When there is none, a file that was appended does not have it, or it is read now and damaged.
    pub fn column(&self, name: &str) -> Result<&Column> {
        let column = self.named(name)?;
        match &column.absent_from {
            None => Ok(column),
            Some(path) => {
                let needed =
                    "which is an input, a label, a weight or a group of the training split".to_owned();
                Err(Error::Lacks { path: path.clone(), column: name.to_owned(), hint: needed })
            }
        }
    }

    /// What is worth saying about how the file was read, as `people.csv: 2 blank lines passed over, …`.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What it was read from; of several files the first.
    pub fn read_from(&self) -> TableFormat {
        self.format
    }

    /// How its numbers are written.
    pub(crate) fn format(&self) -> NumberFormat {
        self.numbers
    }

    /// The same, to be encoded for a model: a column that is not there is a fault of the file.
    #[must_use]
    pub(crate) fn for_model(mut self) -> Self {
        self.role = Role::ForModel;
        self
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

    /// The rows of `other` below those of this table; columns are matched by name. A column that `other` lacks is missing in
    /// its rows, and [`Table::column`] refuses it: only columns that are used must be in every file.
    pub fn append(&mut self, other: &Self) {
        for column in &mut self.columns {
            match other.index.get(&column.name).and_then(|number| other.columns.get(*number)) {
                Some(below) => column.append(below),
                None => column.append_absent(other.rows, &other.path),
            }
        }
        self.appended.push((self.rows, other.path.clone()));
        self.rows += other.rows;
        self.notes.extend_from_slice(&other.notes);
    }

    /// Exchanges the values of a column among rows: `rows[i]` gets the value that stood in `rows[order[i]]`, where both are in range.
    ///
    /// # Errors
    /// When there is no such column, or it is damaged.
    pub fn permute(&mut self, column: &str, rows: &[usize], order: &[usize]) -> Result<()> {
        let number = self.index.get(column).copied();
        let Some(own) = number.and_then(|number| self.columns.get_mut(number)) else {
            return Err(self.no_column(column));
        };
        let Some(own) = own.get_mut()? else { return Ok(()) };
        let before = own.codes.clone();
        for (row, from) in rows.iter().zip(order) {
            let code = rows.get(*from).and_then(|from| before.get(*from));
            if let (Some(code), Some(cell)) = (code, own.codes.get_mut(*row)) {
                *cell = *code;
            }
        }
        Ok(())
    }

    /// The number each level stands for.
    ///
    /// # Errors
    /// At the first level that is no finite number, with the row where it first stands.
    pub(crate) fn level_numbers(&self, column: &Column) -> Result<Vec<f64>> {
        let parsed = column.levels.iter().enumerate().map(|(code, text)| {
            self.numbers.parse(text).ok_or_else(|| {
                let row = column.codes.iter().position(|&c| c as usize == code).unwrap_or_default();
                let remedy = NumberFormat::remedy(&column.levels).unwrap_or_else(|| {
                    "list it under `missing` or, for this column alone, under `missing_by`, or make the column categorical"
                        .to_owned()
                });
                self.value_error(column, row, &format!("a finite number; {remedy}"))
            })
        });
        parsed.collect()
    }

    /// An error about the value in a row (counted from 0).
    pub(crate) fn value_error(&self, column: &Column, row: usize, expected: &str) -> Error {
        let (path, row_of_file) = self.place(row);
        Error::Value {
            path: path.to_owned(),
            row: row_of_file + 1,
            column: column.name.clone(),
            text: column.text(row).unwrap_or("(missing)").to_owned(),
            expected: expected.to_owned(),
        }
    }

    /// The file of a row, and which of its rows it is, both counted from 0.
    fn place(&self, row: usize) -> (&Path, usize) {
        let file = self.appended.iter().rev().find(|(first, _)| *first <= row);
        file.map_or((self.path.as_path(), row), |(first, path)| (path.as_path(), row - first))
    }

    /// What a row (counted from 0) is called in a message: `row 7`, or `row 7 of test.csv`.
    pub fn row_name(&self, row: usize) -> String {
        let (path, row) = self.place(row);
        if self.appended.is_empty() {
            format!("row {}", row + 1)
        } else {
            format!("row {} of {}", row + 1, path.shown())
        }
    }

    fn of_columns(
        path: &Path,
        format: TableFormat,
        columns: Vec<impl Into<Stored>>,
        rows: usize,
        digest: String,
    ) -> Self {
        let columns: Vec<Stored> = columns.into_iter().map(Into::into).collect();
        let index =
            columns.iter().enumerate().map(|(number, column)| (column.name.clone(), number)).collect();
        Self {
            path: path.to_owned(),
            columns,
            index,
            rows,
            digest,
            numbers: NumberFormat::default(),
            format,
            appended: Vec::new(),
            notes: Vec::new(),
            other: None,
            role: Role::Described,
        }
    }

    fn no_column(&self, name: &str) -> Error {
        let separated = self.other.as_ref().filter(|other| other.names.iter().any(|field| field == name));
        let suggestion = nearest(name, self.names());
        match (separated, self.role) {
            (None, Role::Described) => {
                let (file, meant) = (self.path.shown(), did_you_mean(suggestion.as_deref()));
                let what = format!("{file}: no column `{}`{meant}", shown(name));
                let setting = SettingError::new(WHOLE.text(name), what);
                Error::Column { path: self.path.clone(), setting }
            }
            (separated, role) => {
                let needed = (role == Role::ForModel).then(|| "which the model needs".to_owned());
                let remedy = separated.map(look::Other::remedy);
                let meant = suggestion.map(|name| format!("did you mean `{}`?", shown(&name)));
                let hint: Vec<String> = [needed, remedy.or(meant)].into_iter().flatten().collect();
                Error::Lacks { path: self.path.clone(), column: name.to_owned(), hint: hint.join("; ") }
            }
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

    /// Whether the header has no name for it: it is called `columnN`, or `Unnamed: N` as pandas writes.
    pub fn is_nameless(&self) -> bool {
        self.named == Named::Nameless
    }

    /// The marks of missing values that stand in it, as `NA`; that of blank fields is empty. Marks of this column alone are
    /// not among them.
    pub fn missing_marks(&self) -> &[String] {
        &self.marks
    }

    fn append(&mut self, below: &Self) {
        let mut interner = interner::Interner::with_levels(std::mem::take(&mut self.levels));
        let code = |level: &String| interner.code(level.as_bytes(), |_| false).unwrap_or(MISSING);
        let codes: Vec<u32> = below.levels.iter().map(code).collect();
        self.codes
            .extend(below.codes.iter().map(|&code| codes.get(code as usize).copied().unwrap_or(MISSING)));
        self.levels = interner.into_levels();
        for mark in &below.marks {
            if !self.marks.contains(mark) {
                self.marks.push(mark.clone());
            }
        }
        if self.absent_from.is_none() {
            self.absent_from.clone_from(&below.absent_from);
        }
    }

    /// The same with the cells of another below.
    fn followed_by(mut self, below: &Self) -> Self {
        self.append(below);
        self
    }

    /// The same with so many rows below of a file that does not have it.
    fn followed_by_nothing(mut self, rows: usize, path: &Path) -> Self {
        self.codes.resize(self.codes.len() + rows, MISSING);
        self.absent_from.get_or_insert_with(|| path.to_owned());
        self
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
