//! Tables in memory as files.

use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::{ColumnData, MemoryTable};
use crate::{Error, Result};

impl MemoryTable {
    /// The table in Parquet: a row group, packed with Snappy, numbers as doubles or 64-bit integers, categories and texts as strings.
    /// A missing value is null, and so is NaN.
    ///
    /// ```
    /// use manytask_data::{ColumnData, MemoryTable, Table, TableSource};
    /// let table = MemoryTable::new("t").with("x", ColumnData::Numbers(vec![0.1, f64::NAN]));
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("t.parquet");
    /// fs_err::write(&path, table.to_parquet()?)?;
    /// let read = Table::read(&TableSource::new(&path))?;
    /// assert_eq!((read.column("x")?.text(0), read.column("x")?.text(1)), (Some("0.1"), None));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the columns have different lengths.
    pub fn to_parquet(&self) -> Result<Vec<u8>> {
        self.parquet().map_err(|error| Error::corrupt(&self.name, "the columns", error.to_string()))
    }

    /// An object in JSON for each row, one in a line, with the columns in their order. A missing value is null, and so is a number that
    /// is not finite.
    pub fn to_json_lines(&self) -> String {
        let rows = self.columns.first().map_or(0, |(_, values)| values.len());
        let mut text = String::new();
        for row in 0..rows {
            text.push('{');
            for (number, (name, values)) in self.columns.iter().enumerate() {
                if number > 0 {
                    text.push_str(", ");
                }
                text += &serde_json::Value::from(name.as_str()).to_string();
                text.push_str(": ");
                text += &values.json(row).to_string();
            }
            text.push_str("}\n");
        }
        text
    }

    fn parquet(&self) -> Result<Vec<u8>, ParquetError> {
        let fields = self.columns.iter().map(|(name, values)| values.described(name).map(Arc::new));
        let fields = fields.collect::<Result<Vec<_>, _>>()?;
        let schema = Arc::new(Type::group_type_builder("table").with_fields(fields).build()?);
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let mut bytes = Vec::new();
        let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties))?;
        let mut group = writer.next_row_group()?;
        for (_, values) in &self.columns {
            if let Some(mut column) = group.next_column()? {
                values.write(column.untyped())?;
                column.close()?;
            }
        }
        group.close()?;
        writer.close()?;
        Ok(bytes)
    }
}

impl ColumnData {
    /// A column of texts as what they are: whole numbers or numbers where every text is written as one of these is, so that nothing of it
    /// is lost (`007` and `1.50` are texts), otherwise as it is.
    pub fn of_texts(texts: Vec<Option<String>>) -> Self {
        fn all<T: std::str::FromStr + ToString>(texts: &[Option<String>]) -> Option<Vec<Option<T>>> {
            let number = |text: &String| text.parse::<T>().ok().filter(|number| number.to_string() == *text);
            texts.iter().map(|text| text.as_ref().map_or(Some(None), |text| number(text).map(Some))).collect()
        }
        if texts.iter().all(Option::is_none) {
            return Self::Text(texts);
        }
        if let Some(whole) = all::<i64>(&texts) {
            return Self::Integers(whole);
        }
        let finite = |number: &Option<f64>| number.is_none_or(f64::is_finite);
        match all::<f64>(&texts).filter(|numbers| numbers.iter().all(finite)) {
            Some(numbers) => {
                Self::Numbers(numbers.into_iter().map(|number| number.unwrap_or(f64::NAN)).collect())
            }
            None => Self::Text(texts),
        }
    }

    fn described(&self, name: &str) -> Result<Type, ParquetError> {
        let physical = match self {
            Self::Numbers(_) => Physical::DOUBLE,
            Self::Integers(_) => Physical::INT64,
            Self::Booleans(_) => Physical::BOOLEAN,
            Self::Categories { .. } | Self::Text(_) => Physical::BYTE_ARRAY,
        };
        let text = (physical == Physical::BYTE_ARRAY).then_some(LogicalType::String);
        Type::primitive_type_builder(name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(text)
            .build()
    }

    fn write(&self, writer: &mut ColumnWriter<'_>) -> Result<(), ParquetError> {
        fn levels<T>(cells: &[Option<T>]) -> Vec<i16> {
            cells.iter().map(|cell| i16::from(cell.is_some())).collect()
        }
        let texts = |cells: Vec<Option<&str>>| {
            let present: Vec<ByteArray> = cells.iter().flatten().map(|&text| ByteArray::from(text)).collect();
            (present, levels(&cells))
        };
        match (self, writer) {
            (Self::Numbers(all), ColumnWriter::DoubleColumnWriter(writer)) => {
                let cells: Vec<Option<f64>> =
                    all.iter().map(|number| Some(*number).filter(|n| !n.is_nan())).collect();
                let present: Vec<f64> = cells.iter().copied().flatten().collect();
                writer.write_batch(&present, Some(&levels(&cells)), None).map(drop)
            }
            (Self::Integers(cells), ColumnWriter::Int64ColumnWriter(writer)) => {
                let present: Vec<i64> = cells.iter().copied().flatten().collect();
                writer.write_batch(&present, Some(&levels(cells)), None).map(drop)
            }
            (Self::Booleans(cells), ColumnWriter::BoolColumnWriter(writer)) => {
                let present: Vec<bool> = cells.iter().copied().flatten().collect();
                writer.write_batch(&present, Some(&levels(cells)), None).map(drop)
            }
            (Self::Text(cells), ColumnWriter::ByteArrayColumnWriter(writer)) => {
                let (present, levels) = texts(cells.iter().map(Option::as_deref).collect());
                writer.write_batch(&present, Some(&levels), None).map(drop)
            }
            (Self::Categories { names, codes }, ColumnWriter::ByteArrayColumnWriter(writer)) => {
                let name =
                    |code: &Option<u32>| code.and_then(|code| names.get(code as usize)).map(String::as_str);
                let (present, levels) = texts(codes.iter().map(name).collect());
                writer.write_batch(&present, Some(&levels), None).map(drop)
            }
            _ => Err(ParquetError::General("a column has another type than its schema".to_owned())),
        }
    }

    fn json(&self, row: usize) -> serde_json::Value {
        match self {
            Self::Numbers(all) => all.get(row).copied().into(),
            Self::Integers(all) => all.get(row).copied().flatten().into(),
            Self::Booleans(all) => all.get(row).copied().flatten().into(),
            Self::Text(all) => all.get(row).cloned().flatten().into(),
            Self::Categories { names, codes } => {
                let code = codes.get(row).copied().flatten();
                code.and_then(|code| names.get(code as usize)).map(String::as_str).into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Table, TableReader as _, TableSource};

    fn table() -> MemoryTable {
        let text = |texts: &[&str]| {
            texts.iter().map(|text| (!text.is_empty()).then(|| (*text).to_owned())).collect()
        };
        MemoryTable::new("t")
            .with("n", ColumnData::Numbers(vec![0.1 + 0.2, f64::NAN, -1e-300]))
            .with("i", ColumnData::Integers(vec![Some(i64::MAX), None, Some(-1)]))
            .with("b", ColumnData::Booleans(vec![Some(true), None, Some(false)]))
            .with("t", ColumnData::Text(text(&["ä, \"b\"\n", "", "007"])))
            .with(
                "c",
                ColumnData::Categories {
                    names: vec!["x".into(), "y".into()],
                    codes: vec![Some(1), Some(0), None],
                },
            )
    }

    #[test]
    fn what_is_written_is_read_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let direct = table().read().unwrap();
        for (name, bytes) in
            [("t.parquet", table().to_parquet().unwrap()), ("t.jsonl", table().to_json_lines().into())]
        {
            let path = folder.path().join(name);
            fs_err::write(&path, bytes).unwrap();
            let read = Table::read(&TableSource { trim: false, ..TableSource::new(&path) }).unwrap();
            assert_eq!(read.names().collect::<Vec<_>>(), ["n", "i", "b", "t", "c"]);
            for column in ["i", "b", "t", "c"] {
                for row in 0..3 {
                    let of = |table: &Table| table.column(column).unwrap().text(row).map(str::to_owned);
                    assert_eq!(of(&read), of(&direct), "{name} {column} {row}");
                }
            }
            let numbers =
                |table: &Table| table.numbers("n").unwrap().iter().map(|n| n.to_bits()).collect::<Vec<_>>();
            assert_eq!(numbers(&read), numbers(&direct), "{name}");
        }
    }

    #[test]
    fn texts_are_numbers_where_nothing_of_them_is_lost() {
        let of = |texts: &[&str]| {
            ColumnData::of_texts(
                texts.iter().map(|text| (!text.is_empty()).then(|| (*text).to_owned())).collect(),
            )
        };
        assert_eq!(of(&["1", "", "-3"]), ColumnData::Integers(vec![Some(1), None, Some(-3)]));
        assert_eq!(of(&["1", "0.5"]), ColumnData::Numbers(vec![1.0, 0.5]));
        for texts in
            [&["1", "007"][..], &["1.50"], &["1", "x"], &["", ""], &["1e400"], &["+1"], &["1", "inf"]]
        {
            assert!(matches!(of(texts), ColumnData::Text(_)), "{texts:?}");
        }
    }
}
