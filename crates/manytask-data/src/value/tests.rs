use super::*;
use crate::TableSource;
use crate::table::{Decimal, Thousands};
use crate::testing::{all, table};

#[test]
fn equal_values_have_one_key() {
    for texts in [
        ["1", "1.0", " 1 ", "+1", "1e0", "10e-1", "01"].as_slice(),
        &["0", "-0", "0.0", ".0", "0e5"],
        &["0.1", ".1", "0.10", "1e-1"],
        &["-2.5", "-2.50", "-25e-1"],
        &["True", "TRUE", "true"],
        &["x", " x", "x\u{a0}"],
        &["9007199254740993", "9007199254740993.0"],
    ] {
        for text in texts {
            assert_eq!(Compare::Value.key(text), Compare::Value.key(texts[0]), "{text}");
        }
    }
}

#[test]
fn different_values_have_different_keys() {
    let texts = [
        "1",
        "-1",
        "2",
        "0.1",
        "10",
        "1e2",
        "true",
        "t",
        "x",
        "X",
        "",
        ".",
        "-",
        "e5",
        "1e",
        "1_0",
        "0x1",
        "inf",
        "nan",
        "9007199254740992",
        "9007199254740993",
        "1e400",
        "1.2.3",
    ];
    for (i, a) in texts.iter().enumerate() {
        for b in &texts[..i] {
            assert_ne!(Compare::Value.key(a), Compare::Value.key(b), "{a} {b}");
        }
    }
}

#[test]
fn a_column_with_leading_zeros_holds_codes() {
    let table = table("c,d\n007,1\n7,1.0\n7.0, 1\n0,2\n");
    let codes = Values::of(&table, table.column("c").unwrap(), &all(&table));
    assert_eq!((codes.compare, codes.names.len(), codes.merged.len()), (Compare::Code, 4, 0));
    let numbers = Values::of(&table, table.column("d").unwrap(), &all(&table));
    assert_eq!(numbers.names, ["1", "2"]);
    assert_eq!(numbers.merged, [("1".to_owned(), "1.0".to_owned())]);
    // Rows that are not asked for do not decide.
    assert_eq!(Values::of(&table, table.column("c").unwrap(), &[1, 2]).names, ["7"]);
    assert_eq!(Compare::of(NumberFormat::default(), ["0.5", "0", "-0.25", "00:30"]), Compare::Value);
}

#[test]
fn levels_find_the_value_they_are() {
    let table = table("c\n2.0\n1\nz\n");
    let names = ["1".to_owned(), "2".to_owned()];
    let column = table.column("c").unwrap();
    assert_eq!(Compare::Value.places_of(column, &names), [Some(1), Some(0), None]);
    assert_eq!(Compare::Exact.places_of(column, &names), [None, Some(0), None]);
}

#[test]
fn numbers_are_compared_as_they_are_written_in_their_table() {
    let comma = NumberFormat::new(Decimal::Comma, None).unwrap();
    let grouped = NumberFormat::new(Decimal::Comma, Some(Thousands::Point)).unwrap();
    let of = |format| Compare::of(format, ["1,5"]);
    for texts in [["1", "1,0", "+1,00"], ["2,5", "2,50", "25e-1"], ["-0,1", "-,1", "-0,10"]] {
        for text in texts {
            assert_eq!(of(comma).key(text), of(comma).key(texts[0]), "{text}");
            assert_eq!(of(grouped).key(text), of(grouped).key(texts[0]), "{text}");
        }
    }
    assert_eq!(of(grouped).key("1.000"), of(grouped).key("1000,0"));
    // What is no number in this table is text.
    let texts = ["1,5", "1.5", "1.50", "15", "", ".", ",", "-", "1,ex", "1.ex", "1,2,3"];
    for (i, a) in texts.iter().enumerate() {
        for b in &texts[..i] {
            assert_ne!(of(comma).key(a), of(comma).key(b), "{a} {b}");
        }
    }
    assert_eq!(Compare::of(comma, ["007,5"]), Compare::Code);
    assert_eq!(sorted(comma, vec!["10,5".into(), "2,0".into()]), ["2,0", "10,5"]);
}

#[test]
fn how_values_are_compared_is_kept() {
    let comma = NumberFormat::new(Decimal::Comma, Some(Thousands::Blank)).unwrap();
    for (compare, text) in [
        (Compare::Value, r#""value""#),
        (Compare::Code, r#""code""#),
        (Compare::Exact, r#""exact""#),
        (Compare::of(comma, []), r#"{"decimal":",","thousands":" "}"#),
    ] {
        assert_eq!(serde_json::to_string(&compare).unwrap(), text);
        assert_eq!(serde_json::from_str::<Compare>(text).unwrap(), compare);
    }
    assert!(serde_json::from_str::<Compare>(r#""other""#).is_err());
}

#[test]
fn decimal_commas_make_one_category() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("t.csv");
    fs_err::write(&path, "c;d\n1,0;a\n1;b\n2,50;c\n2,5;d\n").unwrap();
    let source = TableSource { decimal: Decimal::Comma, ..TableSource::new(&path) };
    let source = TableSource { separator: crate::Separator::SEMICOLON, ..source };
    let table = Table::read(&source).unwrap();
    let values = Values::of(&table, table.column("c").unwrap(), &all(&table));
    assert_eq!(values.names, ["1,0", "2,50"]);
    assert_eq!(values.merged.len(), 2);
}
