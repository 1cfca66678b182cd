use super::*;
use crate::testing::{all, table};

fn spec(text: &str) -> TargetSpec {
    toml::from_str(text).unwrap()
}

fn labels(table: &Table, text: &str) -> Vec<f32> {
    let encoder = TargetEncoder::fit(table, &spec(text), &all(table)).unwrap();
    Vec::try_from(encoder.encode(table, &all(table)).unwrap().reshape([-1])).unwrap()
}

#[test]
fn binary_labels_are_numbers_or_named_values() {
    let numbers = labels(&table("y\n1\n0.0\n?\n"), "name = 'y'\nkind = 'binary'");
    assert_eq!(numbers[..2], [1.0, 0.0]);
    assert!(numbers[2].is_nan());
    let text = "name = 'rich'\ncolumns = ['income']\nkind = 'binary'\npositive = ['50000+.']";
    assert_eq!(labels(&table("income\n50000+.\n- 50000.\n"), text), [1.0, 0.0]);
}

#[test]
fn classes_are_sorted_as_numbers_and_unseen_ones_refused() {
    let table = table("y\n10\n9\n?\n2\n");
    let encoder = TargetEncoder::fit(&table, &spec("name = 'y'\nkind = 'multiclass'"), &[0, 1]).unwrap();
    assert_eq!(encoder.classes(), ["9", "10"]);
    assert_eq!(encoder.outputs(), 2);
    let labels: Vec<i64> = Vec::try_from(encoder.encode(&table, &[0, 1, 2]).unwrap()).unwrap();
    assert_eq!(labels, [1, 0, MISSING_CLASS]);
    let error = encoder.encode(&table, &all(&table)).unwrap_err();
    assert!(matches!(error, Error::Value { row: 4, .. }), "{error}");
}

#[test]
fn several_labels_make_a_matrix() {
    let table = table("a,b\n1,0\n,1\n");
    let encoder =
        TargetEncoder::fit(&table, &spec("name = 't'\nkind = 'multilabel'\ncolumns = ['a', 'b']"), &[0, 1])
            .unwrap();
    let labels = encoder.encode(&table, &[0, 1]).unwrap();
    assert_eq!(labels.size(), [2, 2]);
    assert_eq!(labels.double_value(&[1, 1]), 1.0);
    assert!(labels.double_value(&[1, 0]).is_nan());
    assert_eq!(encoder.outputs(), 2);
}

#[test]
fn standardised_labels_come_back() {
    let table = table("y\n1\n3\n9\n");
    let encoder =
        TargetEncoder::fit(&table, &spec("name = 'y'\nkind = 'regression'\nstandardise = true"), &[0, 1])
            .unwrap();
    assert_eq!(encoder.mean_std(), (2.0, 1.0));
    let encoded = encoder.encode(&table, &[0, 2]).unwrap();
    assert_eq!(Vec::<f32>::try_from(&encoded).unwrap(), [-1.0, 7.0]);
    assert_eq!(Vec::<f32>::try_from(encoder.decode(&encoded).unwrap()).unwrap(), [1.0, 9.0]);
}

#[test]
fn mistakes_are_named() {
    let table = table("y,z\nyes,?\nno,?\n");
    let cases = [
        ("name = 'x'\nkind = 'binary'", "no column `x`"),
        ("name = 'y'\nkind = 'binary'\npositive = ['yess']", "did you mean `yes`?"),
        ("name = 'z'\nkind = 'binary'", "no label in the training part"),
        ("name = 'y'\nkind = 'binary'\ncolumns = ['y', 'z']", "only `multilabel`"),
        ("name = 'y'\nkind = 'binary'\nclasses = ['a']", "`classes` is for"),
        ("name = 'y'\nkind = 'multiclass'\npositive = ['a']", "`positive` is for"),
        ("name = 'y'\nkind = 'binary'\nstandardise = true", "`standardise` is for"),
    ];
    for (text, expected) in cases {
        let error = TargetEncoder::fit(&table, &spec(text), &[0, 1]).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let encoder = TargetEncoder::fit(&table, &spec("name = 'y'\nkind = 'binary'"), &[0, 1]).unwrap();
    let error = encoder.encode(&table, &[0]).unwrap_err().to_string();
    assert!(error.contains("row 1, column `y`: `yes` is not 0 or 1"), "{error}");
}
