//! Tables that are built of columns in memory.

use std::collections::HashSet;
use std::path::PathBuf;

use super::header::Named;
use super::interner::Interner;
use super::{Column, MISSING, Table, TableFormat, TableReader};
use crate::bytes::digest;
use crate::error::shown;
use crate::{Error, Result};

/// The values of a column, by their type.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnData {
    /// Numbers; NaN is missing.
    Numbers(Vec<f64>),
    /// Whole numbers.
    Integers(Vec<Option<i64>>),
    /// Categories by their numbers, and what these are called.
    Categories {
        /// The name of each category.
        names: Vec<String>,
        /// The category of each row.
        codes: Vec<Option<u32>>,
    },
    /// Truth values, which are the categories `true` and `false`.
    Booleans(Vec<Option<bool>>),
    /// Text as it is: no text stands for a missing value.
    Text(Vec<Option<String>>),
}

/// A table of columns in memory: a [`TableReader`] for rows that come from no file.
///
/// Everything that is made of a CSV table is made of it: encoders, targets, splits, a data set, predictions.
///
/// ```
/// use manytask_data::{ColumnData, MemoryTable, TableDataset, TableReader};
/// let people = MemoryTable::new("people")
///     .with("age", ColumnData::Integers(vec![Some(30), Some(40), Some(50), Some(20)]))
///     .with("job", ColumnData::Text(["a", "b", "a", "b"].map(|job| Some(job.to_owned())).into()))
///     .with("rich", ColumnData::Booleans(vec![Some(false), Some(true), Some(true), None]))
///     .with("score", ColumnData::Numbers(vec![1.5, 2.5, f64::NAN, 0.5]));
/// let data: TableDataset = toml::from_str(
///     r#"
///     source = { path = "people" }
///     split.random = { test = 0.25, seed = 1 }
///     inputs = { numeric = ["age"], one_hot = ["job"] }
///     targets = [{ name = "rich", kind = "binary", positive = ["true"] }, { name = "score", kind = "regression" }]
///     "#,
/// )?;
/// let dataset = data.load_from(&people)?;
/// assert_eq!(dataset.splits.train.rows(0), 3);
///
/// // New rows for the model, without labels:
/// let new = MemoryTable::new("new")
///     .with("job", ColumnData::Categories { names: vec!["b".into()], codes: vec![Some(0)] })
///     .with("age", ColumnData::Numbers(vec![35.0]));
/// assert_eq!(dataset.schema.encode(&new.read()?)?[0].row_shape(), [3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryTable {
    pub(super) name: PathBuf,
    pub(super) columns: Vec<(String, ColumnData)>,
}

impl MemoryTable {
    /// A table without a column; messages call it by its name.
    pub fn new(name: impl Into<PathBuf>) -> Self {
        Self { name: name.into(), columns: Vec::new() }
    }

    /// The same with a further column.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, values: ColumnData) -> Self {
        self.columns.push((name.into(), values));
        self
    }
}

impl TableReader for MemoryTable {
    fn read(&self) -> Result<Table> {
        let rows = self.columns.first().map_or(0, |(_, values)| values.len());
        let mut names = HashSet::new();
        for (name, values) in &self.columns {
            if !names.insert(name) {
                let message = format!("two columns are called `{}`; rename one", shown(name));
                return Err(Error::corrupt(&self.name, "the columns", message));
            }
            if values.len() != rows {
                let message = format!("has {} rows, the first column has {rows}", values.len());
                return Err(Error::corrupt(&self.name, format!("column `{}`", shown(name)), message));
            }
        }
        if rows == 0 {
            return Err(Error::corrupt(&self.name, "the columns", "has no row"));
        }
        let columns = self.columns.iter().map(|(name, values)| {
            let (levels, codes) = values.interned();
            let (marks, name) = (Vec::new(), name.clone());
            Column { name, named: Named::Header, levels, codes, marks, absent_from: None }
        });
        let columns: Vec<Column> = columns.collect();
        let digest = content_digest(&columns);
        Ok(Table::of_columns(&self.name, TableFormat::Memory, columns, rows, digest))
    }
}

impl ColumnData {
    /// The number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Integers(values) => values.len(),
            Self::Categories { codes, .. } => codes.len(),
            Self::Booleans(values) => values.len(),
            Self::Text(values) => values.len(),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The distinct values in order of first occurrence, and one code for each row. Numbers are written with as many digits as
    /// they need to be read as the same number.
    fn interned(&self) -> (Vec<String>, Vec<u32>) {
        match self {
            Self::Numbers(values) => {
                interned(values.iter().map(|value| (!value.is_nan()).then(|| value.to_string())))
            }
            Self::Integers(values) => {
                interned(values.iter().map(|value| value.map(|value| value.to_string())))
            }
            Self::Categories { names, codes } => {
                interned(codes.iter().map(|code| code.and_then(|code| names.get(code as usize).cloned())))
            }
            Self::Booleans(values) => {
                interned(values.iter().map(|value| value.map(|value| value.to_string())))
            }
            Self::Text(values) => interned(values.iter().cloned()),
        }
    }
}

fn interned(values: impl Iterator<Item = Option<String>>) -> (Vec<String>, Vec<u32>) {
    let mut interner = Interner::with_levels(Vec::new());
    let code = |value: Option<String>| {
        value.and_then(|value| interner.code(value.as_bytes(), |_| false).ok()).unwrap_or(MISSING)
    };
    let codes = values.map(code).collect();
    (interner.into_levels(), codes)
}

/// SHA-256 over the names and values of all columns.
fn content_digest(columns: &[Column]) -> String {
    let mut bytes = Vec::new();
    for column in columns {
        for text in std::iter::once(&column.name).chain(&column.levels) {
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text.as_bytes());
        }
        bytes.extend(column.codes.iter().flat_map(|code| code.to_le_bytes()));
    }
    digest([bytes.as_slice()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Inputs, SplitData, TableDataset};

    fn text(values: &[&str]) -> ColumnData {
        ColumnData::Text(
            values.iter().map(|value| (!value.is_empty()).then(|| (*value).to_owned())).collect(),
        )
    }

    const CSV: &str = "age,size,job,group,done,score\n30,1.5,a,x,true,1\n41,-2e-7,b,y,false,2.5\n30,,a,x,true,\n\
                       7,0.1,c,y,false,0\n52,3,b,x,,1\n19,1e6,,y,true,4\n";

    fn in_memory() -> MemoryTable {
        let codes = [0, 1, 0, 1, 0, 1].map(Some).to_vec();
        MemoryTable::new("people")
            .with("age", ColumnData::Integers([30, 41, 30, 7, 52, 19].map(Some).to_vec()))
            .with("size", ColumnData::Numbers(vec![1.5, -2e-7, f64::NAN, 0.1, 3.0, 1e6]))
            .with("job", text(&["a", "b", "a", "c", "b", ""]))
            .with("group", ColumnData::Categories { names: vec!["x".into(), "y".into()], codes })
            .with(
                "done",
                ColumnData::Booleans(vec![
                    Some(true),
                    Some(false),
                    Some(true),
                    Some(false),
                    None,
                    Some(true),
                ]),
            )
            .with("score", ColumnData::Numbers(vec![1.0, 2.5, f64::NAN, 0.0, 1.0, 4.0]))
    }

    const DESCRIPTION: &str = "
        split.column = { column = 'group', test = ['y'] }
        inputs = { numeric = ['age', 'size'], one_hot = 'rest' }
        targets = [{ name = 'score', kind = 'regression' }, { name = 'done', kind = 'binary', positive = ['true'] }]
    ";

    fn numbers(split: &SplitData) -> Vec<Vec<f32>> {
        let tensors =
            split.inputs.iter().filter_map(Inputs::features).map(|features| features.matrix().unwrap());
        let tensors = tensors.chain(split.tasks.iter().map(|task| task.target.shallow_clone()));
        tensors.map(|tensor| Vec::try_from(tensor.reshape([-1])).unwrap()).collect()
    }

    fn same(a: &[Vec<f32>], b: &[Vec<f32>]) -> bool {
        let bits = |all: &[Vec<f32>]| {
            all.iter().map(|v| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        bits(a) == bits(b)
    }

    #[test]
    fn a_table_in_memory_gives_what_the_same_csv_gives() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("people.csv");
        fs_err::write(&path, CSV).unwrap();
        let of = |source: &str| -> TableDataset {
            toml::from_str(&format!("source.path = '{source}'\n{DESCRIPTION}")).unwrap()
        };
        let from_csv = of(path.to_str().unwrap()).load().unwrap();
        let from_memory = of("people").load_from(&in_memory()).unwrap();
        for ((_, a), (_, b)) in from_csv.splits.iter().zip(from_memory.splits.iter()) {
            assert!(same(&numbers(a), &numbers(b)), "{:?}\n{:?}", numbers(a), numbers(b));
        }
        assert_eq!(from_csv.schema.inputs().input_names(), from_memory.schema.inputs().input_names());
        assert_eq!(from_csv.report.targets, from_memory.report.targets);
        // A model of one reads the other.
        let encode = |schema: &crate::Schema, table: &Table| {
            Vec::<f32>::try_from(
                schema.encode(table).unwrap()[0].tensor(manytask_tensor::Kind::Float).unwrap().reshape([-1]),
            )
            .unwrap()
        };
        let csv = from_memory.schema.read(&path).unwrap();
        let memory = in_memory().read().unwrap();
        assert_eq!(encode(&from_csv.schema, &memory), encode(&from_memory.schema, &csv));
        assert_ne!(
            from_memory.digest,
            of("people").load_from(&in_memory().with("z", text(&["a"; 6]))).unwrap().digest
        );
    }

    #[test]
    fn columns_of_different_lengths_or_one_name_are_refused() {
        let refused = |table: MemoryTable| table.read().unwrap_err().to_string();
        let two = || MemoryTable::new("t").with("a", text(&["1", "2"]));
        assert!(
            refused(two().with("b", text(&["1"]))).contains("column `b`: has 1 rows, the first column has 2")
        );
        assert!(refused(two().with("a", text(&["1", "2"]))).contains("two columns are called `a`"));
        assert!(refused(MemoryTable::new("t")).contains("has no row"));
        let other = MemoryTable::new("t").with("x", text(&["NA", "b"])).read().unwrap();
        assert_eq!(other.column("x").unwrap().text(0), Some("NA"));
    }

    #[test]
    fn what_is_said_of_files_is_refused_for_a_table_in_memory() {
        let load = |text: &str| {
            let data: TableDataset = toml::from_str(&format!("source.path = 'x'\n{text}")).unwrap();
            data.load_from(&in_memory()).unwrap_err().to_string()
        };
        let files = load(&DESCRIPTION.replace(
            "split.column = { column = 'group', test = ['y'] }",
            "split.files = { test = 'b.csv' }",
        ));
        assert!(files.contains("split.files"), "{files}");
        let marks =
            load(&DESCRIPTION.replace("kind = 'regression'", "kind = 'regression', missing = ['-1']"));
        assert!(marks.contains("`missing`"), "{marks}");
    }
}
