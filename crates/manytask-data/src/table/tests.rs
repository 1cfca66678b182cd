use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;

fn read_bytes(bytes: &[u8], change: impl FnOnce(&mut TableSource)) -> Result<Table> {
    let dir = tempfile::tempdir().unwrap();
    let mut source = TableSource::new(dir.path().join("t.csv"));
    fs_err::write(&source.path, bytes).unwrap();
    change(&mut source);
    Table::read(&source)
}

fn read(text: &str) -> Result<Table> {
    read_bytes(text.as_bytes(), |_| {})
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn gzip_is_told_by_content() {
    let table = read_bytes(&gzip(b"a,b\n1,2\n"), |_| {}).unwrap();
    assert_eq!(table.numbers("b").unwrap(), [2.0]);
}

#[test]
fn without_header_columns_are_numbered() {
    let table = read_bytes(b"1; x\n2; y\n", |s| (s.header, s.separator) = (false, ';')).unwrap();
    assert_eq!(table.names().collect::<Vec<_>>(), ["column0", "column1"]);
    assert_eq!(table.rows(), 2);
    assert_eq!(table.column("column1").unwrap().text(0), Some("x"));
}

#[test]
fn byte_order_mark_quotes_and_blank_lines_are_read_as_spreadsheets_write_them() {
    let table = read("\u{feff}a,b\r\n\"x, \"\"y\"\"\",1\r\n\r\n").unwrap();
    assert_eq!(table.column("a").unwrap().text(0), Some("x, \"y\""));
    assert_eq!(table.rows(), 1);
}

#[test]
fn missing_marks_are_settings() {
    let text = b"a\nNA\nx\n";
    assert_eq!(read_bytes(text, |_| {}).unwrap().column("a").unwrap().text(0), None);
    let table = read_bytes(text, |s| s.missing.clear()).unwrap();
    assert_eq!(table.column("a").unwrap().text(0), Some("NA"));
}

#[test]
fn numbers_must_be_finite() {
    for bad in ["inf", "-Infinity", "abc", "1,5"] {
        let error = read(&format!("a\n1\n\"{bad}\"\n")).unwrap().numbers("a").unwrap_err();
        assert!(matches!(&error, Error::Value { row: 2, text, .. } if text == bad), "{error}");
    }
    assert!(read("a,b\n1,x\nnan,x\n").unwrap().numbers("a").unwrap()[1].is_nan());
}

#[test]
fn appended_rows_share_levels() {
    let mut table = read("a,b\nx,1\ny,2\n").unwrap();
    table.append(&read("b,a\n3,z\n?,x\n").unwrap()).unwrap();
    let a = table.column("a").unwrap();
    assert_eq!(a.levels(), ["x", "y", "z"]);
    assert_eq!((0..4).map(|row| a.text(row).unwrap()).collect::<Vec<_>>(), ["x", "y", "z", "x"]);
    assert_eq!(table.column("b").unwrap().text(3), None);
    let error = table.append(&read("a,c\n1,2\n").unwrap()).unwrap_err();
    assert!(matches!(error, Error::Column { .. }), "{error}");
}

#[test]
fn damaged_files_say_where() {
    let cut = gzip("a,b\n1,2\n".repeat(1000).as_bytes());
    let cases: [(&[u8], &str); 7] = [
        (b"", "empty"),
        (b"a,b\n", "no row"),
        (b"a,b\n1,2\n1,2,3\n", "line 3: has 3 fields, the first line has 2"),
        (b"a,a\n1,2\n", "two columns are called `a`"),
        (b"a,b\n1,\xff\n", "line 2, column `b`: is not UTF-8"),
        (b"\xff,b\n1,2\n", "line 1, column 0: is not UTF-8"),
        (&cut[..cut.len() / 2], "truncated"),
    ];
    for (bytes, expected) in cases {
        let error = read_bytes(bytes, |_| {}).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.path().is_some());
    }
}

#[test]
fn absent_files_folders_and_wide_separators_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let error = Table::read(&TableSource::new(dir.path().join("no.csv"))).unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error}");
    let error = Table::read(&TableSource::new(dir.path())).unwrap_err();
    assert!(error.to_string().contains("is a folder"), "{error}");
    let error = read_bytes(b"a\n1\n", |s| s.separator = 'é').unwrap_err();
    assert!(matches!(error, Error::Config { .. }), "{error}");
}

#[test]
fn unknown_keys_of_a_source_are_refused() {
    let error = toml::from_str::<TableSource>("path = 'a'\nseperator = ';'\n").unwrap_err();
    assert!(error.to_string().contains("seperator"), "{error}");
}

proptest! {
    #[test]
    fn any_text_comes_back_as_it_was(rows in prop::collection::vec(prop::collection::vec("\\PC{0,6}", 3), 1..40)) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["p", "q", "r"]).unwrap();
        for row in &rows {
            writer.write_record(row).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let table = read_bytes(&bytes, |s| { s.missing.clear(); s.trim = false; }).unwrap();
        prop_assert_eq!(table.rows(), rows.len());
        for (number, row) in rows.iter().enumerate() {
            for (column, text) in table.columns().iter().zip(row) {
                prop_assert_eq!(column.text(number), Some(text.as_str()));
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_bytes(&bytes, |_| {});
    }
}

/// Names, levels and codes.
fn shown(columns: &[Column]) -> Vec<(String, Vec<String>, Vec<u32>)> {
    columns.iter().map(|c| (c.name.clone(), c.levels.clone(), c.codes.clone())).collect()
}

proptest! {
    #[test]
    fn the_quick_reader_gives_what_the_careful_one_gives_or_nothing(
        rows in prop::collection::vec(
            prop::collection::vec(prop::sample::select(vec!["", "a", "?", " a", "é", "bb ", "12"]), 1..4),
            1..12,
        ),
        width in 1..4_usize,
        ends in prop::collection::vec(prop::sample::select(vec!["\n", "\r\n", "\n\n", "\r"]), 12),
        header: bool,
        pieces in 1..5_usize,
    ) {
        let mut text = String::new();
        for (row, end) in rows.iter().zip(ends) {
            // Most rows have the width, some have their own.
            let fields: Vec<&str> =
                if row.len() == 3 { row.clone() } else { row.iter().copied().cycle().take(width).collect() };
            text.push_str(&fields.join(","));
            text.push_str(end);
        }
        let source = TableSource { header, ..TableSource::new("t.csv") };
        let careful = read::carefully(&source, b',', text.as_bytes());
        match read::quickly(&source, b',', text.as_bytes(), 1) {
            Ok(Some(quick)) => {
                let careful = careful.unwrap();
                prop_assert_eq!(shown(&quick), shown(&careful));
                let (fields, rest) = quick::first(text.as_bytes(), b',').unwrap();
                let rows = if header { rest } else { text.as_bytes() };
                prop_assert!(fields.len() == quick.len());
                let names = quick.iter().map(|column| column.name.clone()).collect();
                let cut = quick::columns(rows, b',', &source, names, pieces).unwrap();
                prop_assert_eq!(shown(&cut), shown(&careful));
            }
            Ok(None) => prop_assert!(careful.is_err(), "an even table was given up: {text:?}"),
            Err(_) => prop_assert!(careful.is_err()),
        }
    }
}

#[test]
fn large_tables_are_read_in_pieces_and_mistakes_keep_their_lines() {
    let mut text = "number,kind\n".to_owned();
    for i in 0..400_000 {
        writeln!(text, "{i},{}", ["x", "y", "z"][i % 3]).unwrap();
    }
    threads::set(3).unwrap();
    let table = read(&text).unwrap();
    assert_eq!(table.rows(), 400_000);
    assert_eq!(table.column("kind").unwrap().levels(), ["x", "y", "z"]);
    assert_eq!(table.column("number").unwrap().text(399_999), Some("399999"));
    let error = read(&format!("{text}1,2,3\n")).unwrap_err().to_string();
    assert!(error.contains("line 400002: has 3 fields, the first line has 2"), "{error}");
}
