use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;

mod formats;
mod parquet;
mod quotes;
mod rows;

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
    let table =
        read_bytes(b"1; x\n2; y\n", |s| (s.header, s.separator) = (false, Separator::SEMICOLON)).unwrap();
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
fn what_other_programs_write_for_a_missing_value_is_missing() {
    let marks = [
        "", " ", "?", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "-nan", "null", "NULL", "None",
        "\\N", " None ",
    ];
    let text = marks.map(|mark| format!("{mark},1\n")).concat();
    let table = read(&format!("a,b\n{text}x,1\n")).unwrap();
    let a = table.column("a").unwrap();
    for (row, mark) in marks.iter().enumerate() {
        assert_eq!(a.text(row), None, "{mark:?}");
    }
    assert_eq!(a.levels(), ["x"]);
    assert_eq!(a.missing_marks()[..3], ["", "?", "NA"]);
    assert!(table.column("b").unwrap().missing_marks().is_empty());
}

#[test]
fn marks_of_missing_values_can_be_those_of_a_column() {
    let text = b"a,b\n-1,-1\nNA,999\n";
    let table = read_bytes(text, |s| *s = s.clone().with_missing("a", &["-1 ".into()])).unwrap();
    let a = table.column("a").unwrap();
    assert_eq!([a.text(0), a.text(1)], [None, None]);
    assert_eq!(table.column("b").unwrap().levels(), ["-1", "999"]);
    let source: TableSource = toml::from_str("path = 'a'\nmissing_by = { b = ['999'] }").unwrap();
    assert_eq!(source.missing_by["b"], ["999"]);
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
    table.append(&read("b,a\n3,z\n?,x\n").unwrap());
    let a = table.column("a").unwrap();
    assert_eq!(a.levels(), ["x", "y", "z"]);
    assert_eq!((0..4).map(|row| a.text(row).unwrap()).collect::<Vec<_>>(), ["x", "y", "z", "x"]);
    assert_eq!(table.column("b").unwrap().text(3), None);
}

#[test]
fn a_column_that_an_appended_file_lacks_is_refused_only_where_it_is_used() {
    let mut table = read("a,b,note\nx,1,p\n").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let other = TableSource::new(dir.path().join("later.csv"));
    fs_err::write(&other.path, "b,a\n3,z\n").unwrap();
    table.append(&Table::read(&other).unwrap());
    table.append(&read("b,a,note\n3,z,q\n").unwrap());
    assert_eq!((table.rows(), table.numbers("b").unwrap().len()), (3, 3));
    assert!(table.has("note"));
    let error = table.column("note").unwrap_err();
    assert!(matches!(&error, Error::Lacks { path, .. } if *path == other.path), "{error}");
    assert!(error.to_string().contains("later.csv: no column `note`"), "{error}");
}

#[test]
fn a_column_that_a_file_for_a_model_lacks_is_its_fault() {
    let table = read("a,b\n1,2\n").unwrap();
    assert!(matches!(table.column("c"), Err(Error::Column { .. })));
    let error = table.for_model().column("B").unwrap_err();
    assert!(matches!(error, Error::Lacks { .. }), "{error}");
    assert!(
        error.to_string().ends_with("no column `B`, which the model needs; did you mean `b`?"),
        "{error}"
    );
}

#[test]
fn names_are_told_apart() {
    let table = read(",a,Unnamed: 2,\"x\r\ny\"\n0,1,2,3\n").unwrap();
    let nameless: Vec<bool> = table.columns().unwrap().into_iter().map(Column::is_nameless).collect();
    assert_eq!(nameless, [true, false, true, false]);
    assert_eq!(table.names().collect::<Vec<_>>(), ["column0", "a", "Unnamed: 2", "x\r\ny"]);
    assert_eq!(read("column1,\n1,2\n").unwrap().names().collect::<Vec<_>>(), ["column1", "column1_"]);
    let error = read("\"x\ty\",b,\"x\ty\"\n1,2,3\n").unwrap_err().to_string();
    assert!(error.contains("called `x\\ty`, the 1st and the 3rd"), "{error}");
    let numbered = read_bytes(b"1,2\n", |s| s.header = false).unwrap();
    assert!(numbered.columns().unwrap().iter().all(|column| !column.is_nameless()));
}

#[test]
fn a_hundred_thousand_columns_are_looked_up_and_appended_at_once() {
    let names: Vec<String> = (0..100_000).map(|i| format!("x{i}")).collect();
    let text = format!("{}\n{}\n", names.join(","), vec!["1"; names.len()].join(","));
    let start = std::time::Instant::now();
    let mut table = read(&text).unwrap();
    let other = table.clone();
    table.append(&other);
    assert!(names.iter().all(|name| table.column(name).unwrap().text(1) == Some("1")));
    // One walk over all columns for each of them takes more than a minute.
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}

#[test]
fn damaged_files_say_where() {
    let cut = gzip("a,b\n1,2\n".repeat(1000).as_bytes());
    let cases: [(&[u8], &str); 8] = [
        (b"", "empty"),
        (b"a,b\n", "no row"),
        (b"a,b\n1,2\n1,2,3\n", "line 3: has 3 fields, the first line has 2"),
        (b"a,b\n1\n", "line 2: has 1 field, the first line has 2"),
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
    for bad in ['é', '"', '\n', 'a', '0'] {
        assert!(matches!(Separator::new(bad), Err(Error::Config { .. })), "{bad}");
    }
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
            for (column, text) in table.columns().unwrap().into_iter().zip(row) {
                prop_assert_eq!(column.text(number), Some(text.as_str()));
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_bytes(&bytes, |_| {});
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
