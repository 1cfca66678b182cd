//! Quotes that never close, close late, or stand in the middle of a field.

use super::*;

/// A table of so many rows in which one field of a row is another.
fn with(row: usize, text: &str, separator: char) -> String {
    let mut table = ["a", "b", "note"].join(&separator.to_string()) + "\n";
    for i in 1..=20 {
        let note = if i == row { text } else { "fine" };
        writeln!(table, "{i}{separator}{}{separator}{note}", i * 2).unwrap();
    }
    table
}

fn refusal(text: &str, change: impl FnOnce(&mut TableSource)) -> String {
    let error = read_bytes(text.as_bytes(), change).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    error.to_string()
}

#[test]
fn a_quote_that_never_closes_is_refused_where_it_opens() {
    for (row, below) in [(1, "19 lines"), (5, "15 lines"), (19, "1 line "), (20, "0 lines")] {
        let error = refusal(&with(row, "\"abc", ','), |_| {});
        assert!(error.contains(&format!("line {}: a quote opens here and never closes", row + 1)), "{error}");
        assert!(error.contains(below), "{error}");
    }
    let error = refusal(&with(5, "\"5 inch", '\t'), |s| s.separator = Separator::TAB);
    assert!(error.contains("line 6: a quote opens"), "{error}");
    let error = refusal(&with(5, "\"abc", ',').replace('\n', "\r\n"), |_| {});
    assert!(error.contains("line 6: a quote opens"), "{error}");
    let error = refusal("a,\"b\n1,2\n", |_| {});
    assert!(error.contains("line 1: a quote opens"), "{error}");
    let error = refusal("1,\"2\n1,2\n", |s| s.header = false);
    assert!(error.contains("line 1: a quote opens"), "{error}");
    let packed = gzip(with(5, "\"abc", ',').as_bytes());
    let error = read_bytes(&packed, |_| {}).unwrap_err().to_string();
    assert!(error.contains("line 6: a quote opens"), "{error}");
}

#[test]
fn a_quote_that_is_closed_by_that_of_a_later_row_is_refused() {
    // The second closes the field of the first, over five rows.
    let text = with(5, "\"abc", ',').replace("10,20,fine", "10,20,abc\"");
    let error = refusal(&text, |_| {});
    assert!(error.contains("line 6: a quote opens here and closes so late that 6 lines"), "{error}");
    // The second opens a field too, so that text follows the first one's end.
    let text = with(5, "\"abc", ',').replace("10,20,fine", "10,20,\"abc");
    let error = refusal(&text, |_| {});
    assert!(error.contains("line 6: the quote that opens here closes in line 11 before `abc`"), "{error}");
}

#[test]
fn characters_after_a_closing_quote_are_refused() {
    let error = refusal("a,b\n1,2\n\"abc\"def,2\n", |_| {});
    assert!(error.contains("line 3: the quote that opens here closes before `def,2`"), "{error}");
    let error = refusal("a,b\n1,\"x\"\"y\"z\n", |_| {});
    assert!(error.contains("line 2"), "{error}");
    assert!(refusal("a,b\n1,\"x\" \n", |s| s.trim = false).contains("closes before"));
}

#[test]
fn a_quote_in_a_field_is_a_character() {
    let table = read(&with(5, "5\" pipe", ',')).unwrap();
    assert_eq!(table.rows(), 20);
    assert_eq!(table.column("note").unwrap().text(4), Some("5\" pipe"));
    let table = read_bytes(with(5, "5\"", '\t').as_bytes(), |s| s.separator = Separator::TAB).unwrap();
    assert_eq!((table.rows(), table.column("note").unwrap().text(4)), (20, Some("5\"")));
}

#[test]
fn quotes_can_be_characters_everywhere() {
    let table = read_bytes(with(5, "\"abc", ',').as_bytes(), |s| s.quotes = Quotes::Literal).unwrap();
    assert_eq!((table.rows(), table.column("note").unwrap().text(4)), (20, Some("\"abc")));
}

#[test]
fn quoted_fields_may_hold_separators_quotes_and_lines() {
    let text = "\"a\", \"b\" ,c\r\n\"x, \"\"y\"\"\",\"one\r\ntwo\",\"\"\r\n 1 ,\" 2 \",3\r\n";
    let table = read(text).unwrap();
    assert_eq!(table.names().collect::<Vec<_>>(), ["a", "b", "c"]);
    let at = |name: &str, row| table.column(name).unwrap().text(row);
    assert_eq!([at("a", 0), at("b", 0), at("c", 0)], [Some("x, \"y\""), Some("one\r\ntwo"), None]);
    assert_eq!([at("a", 1), at("b", 1), at("c", 1)], [Some("1"), Some("2"), Some("3")]);
    assert_eq!(table.notes().len(), 1);
    assert!(table.notes()[0].contains("1 row with a quoted field over several lines, the first from line 2"));
    let many = "line\n".repeat(500);
    let table = read(&format!("a,b,c\n1,2,\"{many}\"\n4,5,6\n")).unwrap();
    assert_eq!(table.rows(), 2);
}
