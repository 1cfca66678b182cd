//! Separators, numbers and files of other formats.

use super::*;

fn error_of(bytes: &[u8], change: impl FnOnce(&mut TableSource)) -> String {
    let error = read_bytes(bytes, change).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    error.to_string()
}

#[test]
fn a_wrong_separator_is_told_by_looking() {
    for (separator, shown) in [(';', ";"), ('\t', "\\t"), ('|', "|")] {
        let text = "a,b,c\n1,2,x\n3,4,y\n".replace(',', &separator.to_string());
        let remedy = format!("set `separator = \"{shown}\"` under `source`");
        for header in [true, false] {
            let error = error_of(text.as_bytes(), |s| s.header = header);
            assert!(error.contains(&remedy), "{error}");
        }
        // Commas of fractions make rows of several fields.
        let text = text.replace('2', "2,5");
        let error = error_of(text.as_bytes(), |_| {});
        assert!(error.contains(&remedy), "{error}");
    }
    let error = error_of(b"a,b\n1,2\n", |s| s.separator = Separator::SEMICOLON);
    assert!(error.contains("set `separator = \",\"`"), "{error}");
    // One column of text is a table too.
    assert_eq!(read("text\nx; y\nz\n").unwrap().rows(), 2);
    let decimal = read_bytes(b"1,5\n2,5\n", |s| {
        (s.header, s.separator, s.decimal) = (false, Separator::SEMICOLON, Decimal::Comma);
    });
    assert_eq!(decimal.unwrap().numbers("column0").unwrap(), [1.5, 2.5]);
}

#[test]
fn a_column_that_only_another_separator_gives_is_told_with_it() {
    let table = read("a;b,c;d\n1;2,3;4\n").unwrap();
    let error = table.column("b,c").unwrap_err().to_string();
    assert!(error.contains("no column `b,c`, the fields look separated by `;`"), "{error}");
    assert!(matches!(table.column("x"), Err(Error::Column { .. })));
}

#[test]
fn a_separator_can_be_found_or_named() {
    let auto = |text: &str| read_bytes(text.as_bytes(), |s| s.separator = Separator::AUTO);
    for separator in [",", ";", "\t", "|"] {
        let table = auto(&"a,b\n1,2\n".replace(',', separator)).unwrap();
        assert_eq!(table.names().collect::<Vec<_>>(), ["a", "b"]);
    }
    assert_eq!(auto("a\n1\n").unwrap().width(), 1);
    let error = auto("a;b,c\n1;2,3\n").unwrap_err().to_string();
    assert!(error.contains("(`,` into 2, `;` into 2)"), "{error}");
    assert!(auto("a;b\n1,2\n").unwrap_err().to_string().contains("neither `,` nor `;`"));
    let named = |text: &str| toml::from_str::<TableSource>(&format!("path = 'a'\nseparator = {text}"));
    assert_eq!(named("'tab'").unwrap().separator, Separator::TAB);
    assert_eq!(named("\"\\t\"").unwrap().separator, Separator::TAB);
    assert_eq!(named("'auto'").unwrap().separator, Separator::AUTO);
    assert!(named("'::'").unwrap_err().to_string().contains("a string of one ASCII character"));
    assert!(named("'é'").is_err() && named("3").is_err());
    for separator in [Separator::COMMA, Separator::TAB, Separator::AUTO] {
        let source = TableSource { separator, ..TableSource::new("a") };
        let text = serde_json::to_string(&source).unwrap();
        assert_eq!(serde_json::from_str::<TableSource>(&text).unwrap(), source);
    }
    let old = r#"{"path":"a","header":true,"separator":";","trim":true,"missing":["","NA"]}"#;
    assert_eq!(serde_json::from_str::<TableSource>(old).unwrap().separator, Separator::SEMICOLON);
}

#[test]
fn a_line_that_tells_spreadsheets_the_separator_is_no_row() {
    for text in ["sep=;\na;b\n1;2\n", "\u{feff}SEP=;\r\na;b\r\n1;2\r\n"] {
        for separator in [Separator::SEMICOLON, Separator::AUTO] {
            let table = read_bytes(text.as_bytes(), |s| s.separator = separator).unwrap();
            assert_eq!((table.names().collect::<Vec<_>>(), table.rows()), (vec!["a", "b"], 1));
        }
        let error = error_of(text.as_bytes(), |_| {});
        assert!(error.contains("line 1: the file says `sep=;`; set `separator = \";\"`"), "{error}");
    }
    let error = error_of(b"sep=,\na,b\n1,2\n1\n", |_| {});
    assert!(error.contains("line 4: has 1 field"), "{error}");
    let table = read_bytes(b"sep=,\n5\n6\n", |s| s.header = false).unwrap();
    assert_eq!(table.numbers("column0").unwrap(), [5.0, 6.0]);
    assert_eq!(read("sep=x\n1\n").unwrap().names().collect::<Vec<_>>(), ["sep=x"]);
}

#[test]
fn numbers_with_commas_are_read_or_their_setting_is_named() {
    let text = b"a;b\n1,5;1.234,25\n2;10\n";
    let semicolons = |s: &mut TableSource| s.separator = Separator::SEMICOLON;
    let error = read_bytes(text, semicolons).unwrap().numbers("a").unwrap_err().to_string();
    assert!(error.contains("row 1, column `a`: `1,5`") && error.contains("`decimal = \",\"`"), "{error}");
    let error = read_bytes(text, semicolons).unwrap().numbers("b").unwrap_err().to_string();
    assert!(error.contains("`decimal = \",\"` and `thousands = \".\"`"), "{error}");
    let table = read_bytes(text, |s| {
        *s = toml::from_str("path = ''\nseparator = ';'\ndecimal = ','\nthousands = '.'")
            .map(|new: TableSource| new.at(&s.path))
            .unwrap();
    });
    let table = table.unwrap();
    assert_eq!(table.numbers("a").unwrap(), [1.5, 2.0]);
    assert_eq!(table.numbers("b").unwrap(), [1234.25, 10.0]);
    let same = read_bytes(text, |s| (s.decimal, s.thousands) = (Decimal::Comma, Some(Thousands::Comma)));
    assert!(matches!(same, Err(Error::Config { .. })));
    assert!(toml::from_str::<TableSource>("path = ''\ndecimal = ';'").is_err());
}

#[test]
fn files_of_other_formats_are_named() {
    let wide =
        |order: fn(u16) -> [u8; 2], text: &str| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
    let text = "age,income\n1,2\n3,4\n";
    let zip = |names: &[&str]| {
        let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for name in names {
            writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            writer.write_all(b"x").unwrap();
        }
        writer.finish().unwrap().into_inner()
    };
    let mut tar = vec![b'a'; 600];
    tar[257..262].copy_from_slice(b"ustar");
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (zip(&["people.csv", "b.csv"]), "zip archive with `"),
        (zip(&["[Content_Types].xml", "xl/workbook.xml"]), "Excel workbook"),
        (zip(&["mimetype", "content.xml"]), "OpenDocument"),
        (zip(&["word/document.xml"]), "Word"),
        (zip(&["a.npy", "b.txt"]), "NumPy"),
        (b"PK\x03\x04cut".to_vec(), "zip archive"),
        (b"PAR1\x15\x04".to_vec(), "Parquet"),
        (b"ARROW1\0\0".to_vec(), "Arrow"),
        (b"BZh91AY&SY".to_vec(), "bzip2"),
        (b"\x89HDF\r\n\x1a\n".to_vec(), "HDF5"),
        (b"SQLite format 3\0".to_vec(), "SQLite"),
        (b"%PDF-1.7".to_vec(), "PDF"),
        (b"\x80\x04\x95".to_vec(), "pickle"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec(), ".xls"),
        (tar, "tar archive"),
        (gzip(&gzip(b"a,b\n1,2\n")), "packed twice"),
        (b"\n<!DOCTYPE html><html>".to_vec(), "HTML"),
        (b"<?xml version".to_vec(), "XML"),
        (b"[\n [1, 2]]".to_vec(), "JSON"),
        (b"{}\n".to_vec(), "JSON"),
        (b"@RELATION iris\n".to_vec(), "ARFF"),
        (b"version https://git-lfs.github.com/spec/v1\n".to_vec(), "Git LFS"),
        (b"a,b\n1,\0\n".to_vec(), "binary"),
        (wide(u16::to_le_bytes, text), "text in UTF-16LE"),
        (wide(u16::to_be_bytes, text), "text in UTF-16BE"),
        (wide(u16::to_le_bytes, &format!("\u{feff}{text}")), "iconv -f UTF-16"),
        (wide(u16::to_be_bytes, &format!("\u{feff}{text}")), "iconv -f UTF-16"),
    ];
    for (bytes, expected) in cases {
        for content in [bytes.clone(), gzip(&bytes)] {
            let error = error_of(&content, |_| {});
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }
}

#[test]
fn tables_that_begin_oddly_are_tables() {
    for text in ["BZh,b\n1,2\n", "[a],b\n1,2\n", "{a},b\n1,2\n", "<a>,b\n1,2\n", "%,b\n1,2\n", "ORG,b\n1,2\n"]
    {
        assert_eq!(read(text).unwrap().rows(), 1, "{text}");
    }
}
