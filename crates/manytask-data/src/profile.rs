//! What a table looks like to somebody who has not described it yet.

mod column;
mod writing;

use manytask_tensor::WHOLE;
use std::path::Path;

pub use self::column::{ColumnProfile, ColumnRole};
use crate::{Note, Result, Table, TableFormat, TableSource};

/// A table as it was found: how it is written, and what each column seems to be.
///
/// ```
/// use manytask_data::{ColumnRole, TableProfile};
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("people.csv");
/// # fs_err::write(&path, "name;size;job\nada;1,5;a\nalan;2,25;b\nkurt;;a\nemmy;3;b\n")?;
/// let profile = TableProfile::of(&path)?;
/// assert_eq!((profile.rows, profile.source.separator.to_string()), (4, ";".to_owned()));
/// let size = profile.column("size")?;
/// assert_eq!((size.role, size.missing, size.range), (ColumnRole::Number, 1, Some((1.5, 3.0))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct TableProfile {
    /// How it is written.
    pub source: TableSource,
    /// What it was read from.
    pub format: TableFormat,
    /// The number of rows, without the header.
    pub rows: usize,
    /// The columns in the file's order.
    pub columns: Vec<ColumnProfile>,
    /// What was found of the way it is written, and what looks wrong.
    pub notes: Vec<Note>,
    table: Table,
}

impl TableProfile {
    /// Reads a table, and finds separator, header, decimal marks, marks of missing values, and the role of each column.
    ///
    /// # Errors
    /// When the file cannot be read as a table in any of these ways.
    pub fn of(path: &Path) -> Result<Self> {
        let (table, source, mut notes) = writing::found(path)?;
        let columns: Vec<ColumnProfile> =
            table.columns()?.into_iter().map(|column| ColumnProfile::of(&table, column)).collect();
        notes.extend(table.notes().iter().cloned().map(Note));
        notes.extend(repeated_rows(&table)?);
        Ok(Self { source, format: table.read_from(), rows: table.rows(), columns, notes, table })
    }

    /// A column by its name.
    ///
    /// # Errors
    /// When there is none.
    pub fn column(&self, name: &str) -> Result<&ColumnProfile> {
        self.table.column(name)?;
        let found = self.columns.iter().find(|column| column.name == name);
        found.ok_or_else(|| crate::Error::config(WHOLE, format!("there is no column `{name}`")))
    }

    /// The columns that names and patterns with `*` mean.
    ///
    /// # Errors
    /// When a column is not there, or none matches.
    pub fn matching(&self, columns: &crate::Columns) -> Result<Vec<String>> {
        self.table.matching(columns)
    }

    /// The distinct values of a column with the number of their rows, the most frequent first.
    ///
    /// # Errors
    /// When there is no such column.
    pub fn values(&self, name: &str) -> Result<Vec<(String, usize)>> {
        Ok(column::counted(self.table.column(name)?))
    }

    /// Whether each value of one column has one value of the other, and there are far fewer of them than rows.
    ///
    /// # Errors
    /// When there is no such column.
    pub fn determines(&self, input: &str, target: &str) -> Result<bool> {
        let all: Vec<usize> = (0..self.rows).collect();
        Ok(crate::findings::determines(self.table.column(input)?, self.table.column(target)?, &all))
    }
}

/// Rows that stand in a table more than once, where they are many enough to matter.
fn repeated_rows(table: &Table) -> Result<Option<Note>> {
    let columns = table.columns()?;
    let mut seen = std::collections::HashSet::with_capacity(table.rows());
    let mut row = Vec::with_capacity(columns.len());
    let mut repeated = 0_usize;
    for number in 0..table.rows() {
        row.clear();
        row.extend(columns.iter().filter_map(|column| column.codes().get(number).copied()));
        if !seen.insert(row.clone()) {
            repeated += 1;
        }
    }
    Ok((repeated > 0).then(|| {
        Note(format!(
            "{repeated} of {} rows stand in the table more than once: in a random split the same row may train and test; \
             leave the copies out, or keep rows together with split.grouped",
            table.rows()
        ))
    }))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::{Decimal, Separator};

    fn profile(text: &str) -> Result<TableProfile> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        fs_err::write(&path, text).unwrap();
        TableProfile::of(&path)
    }

    fn roles(profile: &TableProfile) -> Vec<ColumnRole> {
        profile.columns.iter().map(|column| column.role).collect()
    }

    #[test]
    fn the_way_of_writing_is_found() {
        let semicolons = profile("a;b\n1,5;x\n2,5;y\n3;x\n4;z\n").unwrap();
        assert_eq!(
            (semicolons.source.separator, semicolons.source.decimal),
            (Separator::SEMICOLON, Decimal::Comma)
        );
        assert_eq!(roles(&semicolons), [ColumnRole::Number, ColumnRole::Category]);
        let tabs = profile("a\tb\n1\t2.5\n3\t4.5\n5\t6\n").unwrap();
        assert_eq!(tabs.source.separator.to_string(), "\\t");
        let plain = profile("a,b\n1,2.5\n3,4.5\n5,6\n").unwrap();
        assert_eq!((plain.source.separator, plain.source.header), (Separator::COMMA, true));
        assert_eq!(profile("x\n1\n2\n3\n").unwrap().columns.len(), 1);
    }

    #[test]
    fn a_table_without_a_header_is_told_by_its_first_row() {
        let numbers = profile("1,2.5\n3,4.5\n5,6\n").unwrap();
        assert!(!numbers.source.header);
        assert_eq!((numbers.rows, numbers.columns[0].name.as_str()), (3, "column0"));
        let words = profile("38,Private,Male\n44,Private,Female\n38,State,Male\n20,Private,Male\n").unwrap();
        assert!(!words.source.header, "{:?}", words.columns);
        // Years as names are a header.
        assert!(profile("country,2019,2020\na,1.5,2.5\nb,3.5,4.5\nc,1.25,7\n").unwrap().source.header);
        // Two columns of one name cannot be a header.
        assert!(!profile("a,a\nb,c\na,b\n").unwrap().source.header);
    }

    #[test]
    fn columns_have_roles() {
        let mut text = "id,nr,zip,flag,colour,size,date,remark,level,nothing,same\n".to_owned();
        for i in 0..60_u32 {
            let (flag, colour) = (i % 2, ["red", "blue", "green"][(i % 3) as usize]);
            let _ = writeln!(
                text,
                "x{i:x}k,{},0{:02},{flag},{colour},{}.5,2024-01-{:02},remark {} of many words here,{},,7",
                i + 1,
                i % 7,
                i % 13,
                1 + i % 28,
                i * i,
                i % 5
            );
        }
        let profile = profile(&text).unwrap();
        let expected = [
            ColumnRole::Identifier,
            ColumnRole::RowNumber,
            ColumnRole::Category,
            ColumnRole::Binary,
            ColumnRole::Category,
            ColumnRole::Number,
            ColumnRole::Date,
            ColumnRole::Text,
            ColumnRole::FewNumbers,
            ColumnRole::Empty,
            ColumnRole::Constant,
        ];
        assert_eq!(roles(&profile), expected);
        assert_eq!(profile.column("colour").unwrap().examples[0], ("red".to_owned(), 20));
        assert!(profile.column("cologne").unwrap_err().to_string().contains("colour"));
    }

    #[test]
    fn marks_of_missing_numbers_and_repeated_rows_are_found() {
        let mut text = "a,b\n".to_owned();
        for i in 0..50 {
            let _ = writeln!(
                text,
                "{},{}",
                if i % 10 == 0 { "unknown".to_owned() } else { format!("{i}.5") },
                i % 4
            );
        }
        let profile = profile(&(text.clone() + "7.5,3\n")).unwrap();
        assert_eq!(profile.column("a").unwrap().role, ColumnRole::Number);
        assert_eq!(profile.source.missing_by["a"], ["unknown"]);
        assert_eq!(profile.column("a").unwrap().missing, 5);
        let notes: Vec<&str> = profile.notes.iter().map(|note| note.0.as_str()).collect();
        assert!(notes.iter().any(|note| note.contains("`unknown`")), "{notes:?}");
        assert!(notes.iter().any(|note| note.starts_with("4 of 51 rows stand")), "{notes:?}");
    }
}
