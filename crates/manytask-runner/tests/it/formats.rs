//! Tables in other formats than CSV.

use std::sync::Arc;

use manytask_data::{Table, TableSource};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::command::Place;

/// A table in CSV again in Parquet, every column as text.
fn to_parquet(place: &Place, csv: &str, name: &str) {
    let table = Table::read(&TableSource::new(place.at(csv))).unwrap();
    let columns: Vec<String> = table.names().map(|name| format!("optional binary {name} (UTF8);")).collect();
    let schema = parse_message_type(&format!("message t {{ {} }}", columns.join(" "))).unwrap();
    let mut bytes = Vec::new();
    let properties = Arc::new(WriterProperties::default());
    let mut writer = SerializedFileWriter::new(&mut bytes, Arc::new(schema), properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for column in table.columns().unwrap() {
        let cells: Vec<Option<&str>> = (0..table.rows()).map(|row| column.text(row)).collect();
        let levels: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
        let values: Vec<ByteArray> = cells.into_iter().flatten().map(ByteArray::from).collect();
        let mut column = group.next_column().unwrap().unwrap();
        let ColumnWriter::ByteArrayColumnWriter(writer) = column.untyped() else {
            panic!("a column of text")
        };
        writer.write_batch(&values, Some(&levels), None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    fs_err::write(place.at(name), bytes).unwrap();
}

#[test]
fn a_table_in_parquet_or_packed_gives_what_it_gives_in_csv() {
    let place = Place::new();
    to_parquet(&place, "people.csv", "people.parquet");
    let packed = zstd::encode_all(place.read("people.csv").as_bytes(), 3).unwrap();
    fs_err::write(place.at("people.csv.zst"), packed).unwrap();
    place.good(&["train", "a.toml", "--quiet", "--name", "csv"]);
    let predicted = place.good(&["predict", "runs/csv", "--input", "people.csv"]).out;
    for (name, file) in [("parquet", "people.parquet"), ("zstd", "people.csv.zst")] {
        let source = format!("data.source.path={file}");
        place.good(&["train", "a.toml", "--quiet", "--name", name, &source]);
        let results = |name: &str| place.read(&format!("runs/{name}/results.json"));
        assert_eq!(results(name), results("csv"));
        // The model of one reads the other.
        assert_eq!(place.good(&["predict", "runs/csv", "--input", file]).out, predicted);
        assert_eq!(place.good(&["predict", &format!("runs/{name}"), "--input", "people.csv"]).out, predicted);
    }
    let inspected = place.good(&["inspect", "people.parquet"]).out;
    assert!(
        inspected.starts_with("people.parquet: ") && inspected.contains("columns, in Parquet\n"),
        "{inspected}"
    );
}
