//! Tables of formats whose values have types: JSON, Parquet and arrays.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::parquet::{self, is_parquet, is_parquet_file};
use super::{ColumnData, MemoryTable, TableFormat, TableReader, TableSource, arrays};
use crate::bytes::{read_raw, unpack};
use crate::error::shown;
use crate::{Error, Result, Table};

/// The table, if the content is of such a format. Marks of missing values count in texts as they do in CSV.
pub(super) fn read(source: &TableSource, content: &[u8]) -> Option<Result<Table>> {
    if is_parquet(content) {
        return Some(parquet::read(source, content));
    }
    if let Some(table) = arrays::read(source, content) {
        return Some(table);
    }
    is_json(content).then(|| Ok(Table { format: TableFormat::Json, ..records(source, content)?.read()? }))
}

/// Whether a file is of such a format, so that nothing is to be found of how it is written.
///
/// # Errors
/// When it cannot be read or unpacked.
pub(crate) fn is_typed_file(path: &Path) -> Result<bool> {
    if is_parquet_file(path) {
        return Ok(true);
    }
    let raw = read_raw(path)?;
    let content = unpack(path, &raw)?;
    Ok(is_json(&content) || is_parquet(&content) || arrays::is_arrays(&content))
}

/// Objects, one after the other or in an array.
fn is_json(content: &[u8]) -> bool {
    let start = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let mut marks = start.iter().filter(|byte| !byte.is_ascii_whitespace());
    matches!((marks.next(), marks.next()), (Some(b'{'), Some(b'"')) | (Some(b'['), Some(b'{')))
}

/// Objects become rows, their keys columns in the order in which they first stand there; a key that is absent or null is missing.
fn records(source: &TableSource, content: &[u8]) -> Result<MemoryTable> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let damaged = |error: serde_json::Error| {
        let place = format!("line {}", error.line());
        Error::corrupt(
            &source.path,
            place,
            format!("is no record in JSON: {error}; write an object of values for each row"),
        )
    };
    let rows: Vec<Record> = if content.trim_ascii_start().starts_with(b"[") {
        serde_json::from_slice(content).map_err(damaged)?
    } else {
        serde_json::Deserializer::from_slice(content)
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(damaged)?
    };
    let count = rows.len();
    let mut columns: Vec<(String, Vec<Option<String>>)> = Vec::new();
    let mut index: HashMap<String, usize> = HashMap::new();
    for (number, Record(pairs)) in rows.into_iter().enumerate() {
        for (key, value) in pairs {
            let at = *index.entry(key).or_insert_with_key(|key| {
                columns.push((key.clone(), vec![None; count]));
                columns.len() - 1
            });
            let Some((name, cells)) = columns.get_mut(at) else { continue };
            let text = match value {
                Value::Null => None,
                Value::Bool(value) => Some(value.to_string()),
                Value::Number(value) => Some(value.to_string()),
                Value::String(text) => Some(text),
                Value::Array(_) | Value::Object(_) => {
                    let place = format!("row {}, column `{}`", number + 1, shown(name));
                    let message = "holds several values; a cell has a text, a number or a truth value: give each a key of its own";
                    return Err(Error::corrupt(&source.path, place, message));
                }
            };
            if let Some(cell) = cells.get_mut(number) {
                *cell = text;
            }
        }
    }
    let table = MemoryTable::new(&source.path);
    Ok(columns.into_iter().fold(table, |table, (name, cells)| with_column(source, table, name, cells)))
}

/// A column of texts, without blanks around and marks of missing values where the source says so.
fn with_column(
    source: &TableSource,
    table: MemoryTable,
    name: String,
    cells: Vec<Option<String>>,
) -> MemoryTable {
    let own = source.missing_by.get(&name);
    let is_mark =
        |text: &String| source.missing.contains(text) || own.is_some_and(|marks| marks.contains(text));
    let trimmed = |text: String| if source.trim { text.trim().to_owned() } else { text };
    let cells = cells.into_iter().map(|cell| cell.map(trimmed).filter(|text| !is_mark(text)));
    table.with(name, ColumnData::Text(cells.collect()))
}

/// The keys of an object with their values, in their order.
struct Record(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Record;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Record(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::table;

    fn of(text: &str) -> Result<Table> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.jsonl");
        fs_err::write(&path, text).unwrap();
        Table::read(&TableSource::new(path))
    }

    #[test]
    fn records_give_what_the_same_csv_gives() {
        let csv = table("a,b,c\n1,x,true\n2.5,NA,\n,y,false\n1e-7,\"u,v\",true\n");
        let lines = "{\"a\": 1, \"b\": \" x\", \"c\": true}\n\n{\"a\": 2.5, \"b\": \"NA\"}\n{\"b\": \"y\", \"c\": false, \"a\": null}\n\
                     {\"a\": 1e-7, \"b\": \"u,v\", \"c\": true}\n";
        let array = format!("[{}]", lines.trim_end().replace("\n\n", "\n").replace('\n', ",\n"));
        for text in [lines, array.as_str(), &format!("\u{feff}{lines}")] {
            let json = of(text).unwrap();
            assert_eq!(json.names().collect::<Vec<_>>(), ["a", "b", "c"]);
            assert_eq!(json.rows(), csv.rows());
            let numbers =
                |table: &Table| table.numbers("a").unwrap().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(numbers(&json), numbers(&csv));
            for name in ["b", "c"] {
                for row in 0..4 {
                    assert_eq!(
                        json.column(name).unwrap().text(row),
                        csv.column(name).unwrap().text(row),
                        "{name} {row}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_no_table_in_json_says_where() {
        for (text, words) in [
            ("{\"a\": 1}\n{\"a\": [1, 2]}\n", "row 2, column `a`: holds several values"),
            ("{\"a\": 1}\n{\"a\": 1", "line 2: is no record"),
            ("{\"a\": 1}\n3\n", "line 2: is no record"),
            ("[{\"a\": 1}, 4]", "is no record"),
            ("{\"a\": 1}", "x"),
        ] {
            match of(text) {
                Ok(table) => assert_eq!((table.rows(), words), (1, "x")),
                Err(error) => assert!(error.to_string().contains(words), "{text}: {error}"),
            }
        }
    }
}
