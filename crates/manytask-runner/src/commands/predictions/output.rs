//! Predictions as files: comma-separated values, records in JSON, Parquet.

use std::fmt::Write;
use std::path::Path;

use manytask_data::{ColumnData, MemoryTable};
use manytask_tensor::ShownPath as _;
use manytask_tensor::io::write_atomically;

use super::{Cells, Predictions};
use crate::commands::destination::Destination;
use crate::failure::{Code, Failure, Result};
use crate::report::{print, say};

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TableForm {
    Csv,
    /// An array of records.
    Json,
    /// A record in each line.
    JsonLines,
    Parquet,
}

impl TableForm {
    /// As the file's name ends; a name without an ending is of CSV.
    ///
    /// # Errors
    /// When the name ends otherwise (exit code 2).
    fn of(path: &Path) -> Result<Self> {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        Ok(match ending.as_deref() {
            None | Some("csv" | "txt") => Self::Csv,
            Some("json") => Self::Json,
            Some("jsonl" | "ndjson") => Self::JsonLines,
            Some("parquet" | "pq") => Self::Parquet,
            Some(packed @ ("gz" | "zst" | "xz" | "zip")) => {
                let what = format!("--output {}: nothing is packed as `.{packed}`", path.shown());
                return Err(Failure::new(Code::Usage, what)
                    .hint("write a .csv and pack it then, or a .parquet, which is packed in itself"));
            }
            Some(other) => {
                let what = format!("--output {}: no table is written as `.{other}`", path.shown());
                return Err(
                    Failure::new(Code::Usage, what).hint("end it with .csv, .parquet, .jsonl or .json")
                );
            }
        })
    }
}

/// A file for predictions.
#[derive(Debug, Clone, Copy)]
pub(in crate::commands) struct Output<'a> {
    path: &'a Path,
    form: TableForm,
}

/// What `--output` names; `None` is standard output.
///
/// # Errors
/// When the file is an input, one of the run's own, in no folder, or its name ends as no table that is written (exit code 2 or 4).
pub(in crate::commands) fn output_of<'a>(
    output: Option<&'a Path>,
    inputs: &[&Path],
    run: &Path,
) -> Result<Option<Output<'a>>> {
    let Some(path) = output.filter(|path| path.as_os_str() != "-") else { return Ok(None) };
    Destination { option: "--output", path }.spares(inputs, run)?;
    Ok(Some(Output { path, form: TableForm::of(path)? }))
}

impl Predictions {
    /// Writes them into a file, in the form that its name ends with, or as CSV to standard output; `what` they are is said then, as
    /// `the classes of 7 pictures`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(in crate::commands) fn deliver(&self, output: Option<Output<'_>>, what: &str) -> Result<()> {
        let Some(Output { path, form }) = output else { return print(&self.csv()) };
        let bytes = match form {
            TableForm::Csv => self.csv().into_bytes(),
            TableForm::Json => {
                let records = self.table(path).to_json_lines();
                format!("[\n{}\n]\n", records.lines().collect::<Vec<_>>().join(",\n")).into_bytes()
            }
            TableForm::JsonLines => self.table(path).to_json_lines().into_bytes(),
            TableForm::Parquet => self.table(path).to_parquet()?,
        };
        write_atomically(path, &bytes)?;
        say(&format!("{what} are in {}", path.shown()));
        Ok(())
    }

    /// The columns with their types; those that are kept are numbers where nothing of them is lost.
    fn table(&self, path: &Path) -> MemoryTable {
        let texts = |rows: &[String]| {
            ColumnData::of_texts(rows.iter().map(|text| (!text.is_empty()).then(|| text.clone())).collect())
        };
        let named = self.rows_by.iter().map(|(name, rows)| ((*name).to_owned(), texts(rows)));
        let kept = self.kept.iter().map(|(name, rows)| (name.clone(), texts(rows)));
        let own = self.columns.iter().map(|column| {
            let cells = match &column.cells {
                Cells::Numbers(values) => {
                    ColumnData::Numbers(values.iter().map(|value| value.unwrap_or(f64::NAN)).collect())
                }
                Cells::Words(words) => ColumnData::Text(words.clone()),
            };
            (column.name.clone(), cells)
        });
        let columns = named.chain(kept).chain(own);
        columns.fold(MemoryTable::new(path), |table, (name, cells)| table.with(name, cells))
    }

    /// A line of names, and one for each row of the input. Numbers are as short as they can be without a loss.
    pub(in crate::commands) fn csv(&self) -> String {
        let before = self.rows_by.iter().map(|(name, rows)| (*name, rows));
        let before: Vec<(&str, &Vec<String>)> =
            before.chain(self.kept.iter().map(|(name, rows)| (name.as_str(), rows))).collect();
        let names = before.iter().map(|(name, _)| *name);
        let names = names.chain(self.columns.iter().map(|column| column.name.as_str()));
        let mut text = names.map(quoted).collect::<Vec<_>>().join(",");
        text.push('\n');
        for row in 0..self.rows {
            let start = text.len();
            for (number, (_, rows)) in before.iter().enumerate() {
                if number > 0 {
                    text.push(',');
                }
                text.push_str(&quoted(rows.get(row).map_or("", String::as_str)));
            }
            for (number, column) in self.columns.iter().enumerate() {
                if number > 0 || !before.is_empty() {
                    text.push(',');
                }
                match &column.cells {
                    Cells::Numbers(_) => {
                        if let Some(value) = column.value(row) {
                            number_into(&mut text, value);
                        }
                    }
                    Cells::Words(words) => {
                        if let Some(Some(word)) = words.get(row) {
                            text.push_str(&quoted(word));
                        }
                    }
                }
            }
            if text.len() == start {
                // An empty line is no row for many readers.
                text.push_str("\"\"");
            }
            text.push('\n');
        }
        text
    }
}

/// The shortest digits that are read as the same number.
fn number_into(text: &mut String, value: f64) {
    let size = value.abs();
    // Writing to a string cannot fail.
    let _ = if size == 0.0 || (1e-4..1e15).contains(&size) || !value.is_finite() {
        write!(text, "{value}")
    } else {
        write!(text, "{value:e}")
    };
}

fn quoted(name: &str) -> String {
    if name.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", name.replace('"', "\"\""))
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use manytask_data::{Table, TableSource};
    use manytask_tensor::Tensor;

    use super::*;

    #[test]
    fn the_name_of_the_file_says_how_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let values = Tensor::f_from_slice(&[0.1_f64, 1e-9]).unwrap();
        let kept = vec![
            ("id".to_owned(), vec!["7".to_owned(), "8".to_owned()]),
            ("code".to_owned(), vec!["007".to_owned(), String::new()]),
        ];
        let predictions =
            Predictions::by_task(2, [("y", Vec::new(), &values)].into_iter()).unwrap().with_kept(kept);
        for name in ["p.parquet", "p.jsonl", "p.json", "p.csv", "p"] {
            let path = folder.path().join(name);
            let output = output_of(Some(&path), &[], Path::new("run")).unwrap();
            predictions.deliver(output, "predictions").unwrap();
            let table = Table::read(&TableSource::new(&path)).unwrap();
            assert_eq!(table.names().collect::<Vec<_>>(), ["id", "code", "y"], "{name}");
            assert_eq!(table.numbers("y").unwrap(), [0.1, 1e-9], "{name}");
            assert_eq!(table.column("code").unwrap().text(0), Some("007"), "{name}");
        }
        let lines = fs_err::read_to_string(folder.path().join("p.jsonl")).unwrap();
        assert!(lines.starts_with("{\"id\": 7, \"code\": \"007\", \"y\": 0.1}\n"), "{lines}");
        assert!(fs_err::read(folder.path().join("p.parquet")).unwrap().starts_with(b"PAR1"));
        let array: serde_json::Value =
            serde_json::from_slice(&fs_err::read(folder.path().join("p.json")).unwrap()).unwrap();
        assert_eq!(array[1]["code"], serde_json::Value::Null);
        for (name, hint) in [("p.xlsx", ".parquet, .jsonl or .json"), ("p.csv.gz", "pack it then")] {
            let refused = output_of(Some(&folder.path().join(name)), &[], Path::new("run")).unwrap_err();
            assert!(refused.code == Code::Usage && refused.hints[0].contains(hint), "{refused:?}");
        }
    }
}
