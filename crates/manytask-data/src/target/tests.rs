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
fn labels_are_compared_by_value() {
    let text = "name = 'y'\nkind = 'binary'\npositive = ['1']";
    assert_eq!(labels(&table("y\n1.0\n0\n1\n0.0\n"), text), [1.0, 0.0, 1.0, 0.0]);
    let text = "name = 'y'\nkind = 'binary'\npositive = ['true']";
    assert_eq!(labels(&table("y\nTrue\nFALSE\nfalse\nTRUE\n"), text), [1.0, 0.0, 0.0, 1.0]);
    let table = table("y\n1\n2\n1.0\n02\n");
    let multiclass = spec("name = 'y'\nkind = 'multiclass'");
    let encoder = TargetEncoder::fit(&table, &multiclass, &[0, 1]).unwrap();
    let classes: Vec<i64> = Vec::try_from(encoder.encode(&table, &all(&table)).unwrap()).unwrap();
    assert_eq!(classes, [0, 1, 0, 1]);
    let codes = TargetEncoder::fit(&table, &multiclass, &all(&table)).unwrap();
    assert_eq!(codes.classes(), ["1", "1.0", "02", "2"]);
}

#[test]
fn a_third_value_of_a_binary_target_is_refused_unless_it_is_named() {
    let table = table("y\nyes\nno\nno\nunknown\n");
    let fit = |more: &str| {
        let text = format!("name = 'y'\nkind = 'binary'\npositive = ['yes']\n{more}");
        TargetEncoder::fit(&table, &spec(&text), &[0, 1])
            .and_then(|encoder| encoder.encode(&table, &all(&table)))
    };
    let error = fit("").unwrap_err().to_string();
    assert!(
        error.contains("2 values beside those under `positive`: `no` (2 rows), `unknown` (1 rows)"),
        "{error}"
    );
    assert_eq!(Vec::<f32>::try_from(fit("negative = 'rest'").unwrap()).unwrap(), [1.0, 0.0, 0.0, 0.0]);
    assert!(fit("negative = ['no', 'unknown']").is_ok());
    let error = fit("negative = ['no']").unwrap_err();
    assert!(matches!(error, Error::Value { row: 4, .. }), "{error}");
    let error = fit("negative = ['yes']").unwrap_err().to_string();
    assert!(error.contains("under `positive` and under `negative`"), "{error}");
    assert!(toml::from_str::<TargetSpec>("name = 'y'\nkind = 'binary'\nnegative = 'no'").is_err());
}

#[test]
fn columns_by_pattern_are_tasks_or_labels() {
    let table = table("assay_a,assay_b,x\n1,0,5\n0,1,6\n");
    let expanded = |text: &str| spec(text).expanded(&table, &std::collections::HashSet::from(["assay_b"]));
    let tasks = expanded("kind = 'binary'\ncolumns = '*a*'").unwrap();
    assert_eq!((tasks.len(), tasks[0].name.as_str()), (1, "assay_a"));
    let labels = spec("name = 't'\nkind = 'multilabel'\ncolumns = 'assay_*'");
    assert_eq!(TargetEncoder::fit(&table, &labels, &[0, 1]).unwrap().columns(), ["assay_a", "assay_b"]);
    for (text, expected) in [
        ("kind = 'binary'\ncolumns = 'q*'", "target `q*`: no column of"),
        ("kind = 'binary'", "neither `name` nor `columns`"),
        ("kind = 'multilabel'\ncolumns = 'a*'", "has no `name`"),
        ("name = 't'\nkind = 'binary'\ncolumns = 'a*'", "leave `name` out"),
    ] {
        let error = expanded(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn regressions_are_standardised_in_double_precision_unless_told_not_to() {
    let table = table("y\n1700000000001\n1700000000003\n");
    let encoder = TargetEncoder::fit(&table, &spec("name = 'y'\nkind = 'regression'"), &[0, 1]).unwrap();
    let encoded = encoder.encode(&table, &[0, 1]).unwrap();
    assert_eq!(Vec::<f32>::try_from(&encoded).unwrap(), [-1.0, 1.0]);
    assert_eq!(Vec::<f64>::try_from(encoder.decode(&encoded).unwrap()).unwrap()[1], 1_700_000_000_003.0);
    let raw = spec("name = 'y'\nkind = 'regression'\nstandardise = false");
    assert_eq!(TargetEncoder::fit(&table, &raw, &[0, 1]).unwrap().mean_std(), (0.0, 1.0));
}

#[test]
fn labels_that_are_too_large_are_refused_with_their_row() {
    let table = table("y\n1\n2\n1e308\n1e200\n");
    let target = |more: &str| spec(&format!("name = 'y'\nkind = 'regression'\n{more}"));
    let error = TargetEncoder::fit(&table, &target(""), &all(&table)).unwrap_err();
    assert!(matches!(error, Error::Value { row: 3, .. }), "{error}");
    for more in ["", "standardise = false"] {
        let encoder = TargetEncoder::fit(&table, &target(more), &[0, 1]).unwrap();
        let error = encoder.encode(&table, &[0, 3]).unwrap_err();
        assert!(matches!(error, Error::Value { row: 4, .. }), "{error}");
    }
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
    assert_eq!(Vec::<f64>::try_from(encoder.decode(&encoded).unwrap()).unwrap(), [1.0, 9.0]);
}

#[test]
fn mistakes_are_named() {
    let table = table("y,z\nyes,?\nno,?\n");
    let cases = [
        ("name = 'x'\nkind = 'binary'", "no column `x`"),
        ("name = 'y'\nkind = 'binary'\npositive = ['yess']", "did you mean `yes`?"),
        ("name = 'z'\nkind = 'binary'", "no label in the training split"),
        ("name = 'y'\nkind = 'binary'\ncolumns = ['y', 'z']", "several columns"),
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
