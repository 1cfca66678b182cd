//! One definition of a row, against another reader of CSV and in any number of pieces.

use super::*;

/// Names, levels and codes.
fn shown(columns: &[Column]) -> Vec<(String, Vec<String>, Vec<u32>)> {
    columns.iter().map(|c| (c.name.clone(), c.levels.clone(), c.codes.clone())).collect()
}

fn texts(table: &Table, name: &str) -> Vec<Option<String>> {
    let column = table.column(name).unwrap();
    (0..table.rows()).map(|row| column.text(row).map(str::to_owned)).collect()
}

#[test]
fn blank_lines_are_passed_over_and_counted_where_a_row_has_several_fields() {
    for text in [
        "\n\r\na,b\n1,2\n\n \n3,4\n\n\n",
        "\u{feff}\na,b\r\n1,2\r\n\r\n\t\r\n3,4\r\n",
        "\ra,b\r1,2\r\r \r3,4\r",
    ] {
        let table = read(text).unwrap();
        assert_eq!(texts(&table, "a"), [Some("1".into()), Some("3".into())], "{text:?}");
        let note = &table.notes()[0];
        assert_eq!(table.notes().len(), 1);
        assert!(note.contains("2 blank lines passed over, the first is line"), "{note}");
    }
    let note = read("a,b\n1,2\n\n3,4\n").unwrap().notes()[0].clone();
    assert!(note.ends_with("t.csv: 1 blank line passed over, the first is line 3"), "{note}");
    assert!(read("a,b\n1,2\n3,4\n\n\n").unwrap().notes().is_empty());
}

#[test]
fn a_blank_line_is_a_row_where_a_row_is_a_field() {
    let table = read("\na\n0.5\n\n-0.5\n \n1.5\n").unwrap();
    assert_eq!(table.rows(), 5);
    assert!(table.numbers("a").unwrap()[1].is_nan() && table.numbers("a").unwrap()[3].is_nan());
    assert!(table.notes().is_empty());
    let table = read("a\n1\n\n\n").unwrap();
    assert_eq!(table.rows(), 1);
    assert!(table.notes()[0].contains("2 blank lines at the end"), "{:?}", table.notes());
    assert_eq!(read_bytes(b"\n1\n\n2", |s| s.header = false).unwrap().rows(), 4);
}

#[test]
fn lines_end_as_windows_unix_and_broken_copies_end_them() {
    for end in ["\n", "\r\n", "\r", "\r\r\n"] {
        let table = read(&["a", "1", "2", "3", ""].join(end)).unwrap();
        assert_eq!(table.numbers("a").unwrap(), [1.0, 2.0, 3.0], "{end:?}");
        let error = read(&["a,b", "1,2", "1", ""].join(end)).unwrap_err().to_string();
        assert!(error.contains("line 3: has 1 field"), "{error}");
    }
}

#[test]
fn a_row_of_blank_fields_is_a_row() {
    let table = read_bytes(b"a\tb\n1\t2\n\t\n", |s| s.separator = Separator::TAB).unwrap();
    assert_eq!(texts(&table, "b"), [Some("2".into()), None]);
}

/// Text of the characters that make rows.
fn texts_of_rows() -> impl Strategy<Value = String> {
    let pieces =
        ["a", "1", ",", ",", "\"", "\"\"", "\n", "\n", "\r\n", "\r", " ", "\t", "?", "é", "\u{feff}", ";"];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn the_number_of_pieces_does_not_matter(
        text in texts_of_rows(),
        header: bool,
        trim: bool,
        literal: bool,
        count in 1..5_usize,
    ) {
        let quotes = if literal { Quotes::Literal } else { Quotes::Double };
        let source = TableSource { header, quotes, trim, ..TableSource::new("t.csv") };
        // Pieces are cut only where no quote can hold the end of a line.
        let cut = |content: &[u8]| if literal || !content.contains(&b'"') { count } else { 1 };
        let whole = read::parse(&source, text.as_bytes(), |_| 1);
        let pieces = read::parse(&source, text.as_bytes(), cut);
        match (whole, pieces) {
            (Ok(whole), Ok(pieces)) => prop_assert_eq!(shown(&whole.columns), shown(&pieces.columns)),
            (Err(whole), Err(pieces)) => prop_assert_eq!(whole.to_string(), pieces.to_string()),
            (whole, pieces) => prop_assert!(false, "{:?} {:?}", whole.is_ok(), pieces.is_ok()),
        }
    }

    #[test]
    fn no_line_is_lost(text in texts_of_rows(), header: bool) {
        let source = TableSource { header, ..TableSource::new("t.csv") };
        let text: String = text.chars().filter(|character| *character != '"').collect();
        if let Ok(parsed) = read::parse(&source, text.as_bytes(), |_| 1) {
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            let mut lines = text.to_owned();
            while lines.contains("\r\n") {
                lines = lines.replace("\r\n", "\n");
            }
            let lines = lines.replace('\r', "\n");
            let is_blank = |line: &&str| line.trim_ascii().is_empty();
            let lines: Vec<&str> = lines.split('\n').collect();
            let last = lines.iter().rposition(|line| !is_blank(line)).unwrap();
            let lines = &lines[..=last];
            let expected = if parsed.columns.len() > 1 {
                lines.iter().filter(|line| !is_blank(line)).count() - usize::from(header)
            } else if header {
                lines.len() - 1 - lines.iter().position(|line| !is_blank(line)).unwrap()
            } else {
                lines.len()
            };
            prop_assert!(parsed.columns.iter().all(|column| column.codes.len() == expected), "{}", text);
        }
    }

    /// Where every quote stands as it should, another reader of CSV gives the same fields.
    #[test]
    fn another_reader_gives_the_same_fields(
        rows in prop::collection::vec(prop::collection::vec("[a1,;\"\n\r ]{0,4}", 3), 1..12),
        end in prop::sample::select(vec!["\n", "\r\n"]),
    ) {
        let terminator = if end == "\n" { csv::Terminator::Any(b'\n') } else { csv::Terminator::CRLF };
        let mut writer = csv::WriterBuilder::new()
            .terminator(terminator)
            .quote_style(csv::QuoteStyle::Always)
            .from_writer(Vec::new());
        writer.write_record(["p", "q", "r"]).unwrap();
        for row in &rows {
            writer.write_record(row).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        let source = TableSource { trim: false, missing: Vec::new(), ..TableSource::new("t.csv") };
        let Ok(parsed) = read::parse(&source, &bytes, |_| 1) else {
            // Only rows within a field are refused.
            let within = |text: &String| text.contains(['\n', '\r']);
            prop_assert!(rows.iter().flatten().any(within));
            return Ok(());
        };
        let mut reader = csv::ReaderBuilder::new().has_headers(true).from_reader(bytes.as_slice());
        for (number, record) in reader.records().enumerate() {
            for (column, text) in parsed.columns.iter().zip(&record.unwrap()) {
                prop_assert_eq!(column.text(number), Some(text));
            }
        }
        prop_assert_eq!(parsed.columns[0].codes.len(), rows.len());
    }
}
