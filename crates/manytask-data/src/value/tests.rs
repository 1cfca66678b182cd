use super::*;
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
    let codes = Values::of(table.column("c").unwrap(), &all(&table));
    assert_eq!((codes.compare, codes.names.len(), codes.merged.len()), (Compare::Code, 4, 0));
    let numbers = Values::of(table.column("d").unwrap(), &all(&table));
    assert_eq!(numbers.names, ["1", "2"]);
    assert_eq!(numbers.merged, [("1".to_owned(), "1.0".to_owned())]);
    // Rows that are not asked for do not decide.
    assert_eq!(Values::of(table.column("c").unwrap(), &[1, 2]).names, ["7"]);
    assert_eq!(Compare::of(["0.5", "0", "-0.25", "00:30"]), Compare::Value);
}

#[test]
fn levels_find_the_value_they_are() {
    let table = table("c\n2.0\n1\nz\n");
    let names = ["1".to_owned(), "2".to_owned()];
    let column = table.column("c").unwrap();
    assert_eq!(Compare::Value.places_of(column, &names), [Some(1), Some(0), None]);
    assert_eq!(Compare::Exact.places_of(column, &names), [None, Some(0), None]);
}
