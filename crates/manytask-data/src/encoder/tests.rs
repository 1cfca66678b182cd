use super::*;
use crate::testing::{all, table};

fn numbers(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.reshape([-1])).unwrap()
}

fn fit(table: &Table, inputs: &str, rows: &[usize]) -> Encoder {
    Encoder::fit(table, &toml::from_str(inputs).unwrap(), &[], rows).unwrap()
}

#[test]
fn numbers_are_standardised_by_the_training_rows_only() {
    let table = table("x,k\n1,7\n3,7\n100,8\n");
    let encoder = fit(&table, "numeric = 'rest'", &[0, 1]);
    let dense = encoder.encode(&table, &all(&table)).unwrap().matrix().unwrap();
    assert_eq!(dense.size(), [3, 2]);
    assert_eq!(numbers(&dense), [-1.0, 0.0, 1.0, 0.0, 98.0, 0.0]);
}

#[test]
fn raw_numbers_stay() {
    let table = table("x\n1\n3\n?\n");
    let encoder = fit(&table, "numeric = 'x'\nscale = 'raw'", &[0, 1]);
    assert_eq!(numbers(&encoder.encode(&table, &all(&table)).unwrap().matrix().unwrap()), [1.0, 3.0, 2.0]);
}

#[test]
fn missing_numbers_become_the_mean_and_an_indicator() {
    let table = table("x\n1\n3\n?\n5\n");
    let encoder = fit(&table, "numeric = 'x'", &[0, 1, 2]);
    assert_eq!(encoder.input_names(), ["x", "x is missing"]);
    assert_eq!(numbers(&encoder.encode(&table, &[2, 3]).unwrap().matrix().unwrap()), [0.0, 1.0, 3.0, 0.0]);
    let encoder = fit(&table, "numeric = 'x'", &[0, 1]);
    assert_eq!(numbers(&encoder.encode(&table, &[2]).unwrap().matrix().unwrap()), [0.0]);
}

#[test]
fn categories_unseen_in_training_are_zero() {
    let table = table("c\nb\na\nz\n?\n");
    let encoder = fit(&table, "one_hot = 'c'", &[0, 1]);
    assert_eq!(encoder.input_names(), ["c=a", "c=b"]);
    let dense = encoder.encode(&table, &all(&table)).unwrap().matrix().unwrap();
    assert_eq!(numbers(&dense), [0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);

    let encoder = fit(&table, "embedding = 'c'", &[0, 1]);
    let encoded = encoder.encode(&table, &all(&table)).unwrap();
    assert_eq!(encoded.dense.size(), [4, 0]);
    let codes: Vec<i64> = Vec::try_from(encoded.categorical.unwrap().reshape([-1])).unwrap();
    assert_eq!(codes, [2, 1, 0, 0]);
    assert_eq!(encoder.cardinalities(), [3]);
}

#[test]
fn missing_seen_in_training_is_a_category() {
    let table = table("c\na\n?\n");
    let encoder = fit(&table, "one_hot = 'c'", &[0, 1]);
    assert_eq!(encoder.input_names(), ["c=a", "c is missing"]);
    assert_eq!(numbers(&encoder.encode(&table, &[1]).unwrap().matrix().unwrap()), [0.0, 1.0]);
    let encoder = fit(&table, "embedding = 'c'", &[0, 1]);
    assert_eq!(encoder.cardinalities(), [3]);
}

#[test]
fn a_stored_encoder_reads_a_new_table_with_other_order_and_without_targets() {
    let train = table("x,c,y\n1,a,0\n3,b,1\n");
    let inputs: Inputs = toml::from_str("numeric = 'x'\none_hot = 'rest'").unwrap();
    let encoder = Encoder::fit(&train, &inputs, &["y"], &all(&train)).unwrap();
    let stored = serde_json::to_string(&encoder).unwrap();
    let encoder: Encoder = serde_json::from_str(&stored).unwrap();
    let new = table("c,x\nb,5\nq,1\n");
    assert_eq!(
        numbers(&encoder.encode(&new, &all(&new)).unwrap().matrix().unwrap()),
        [3.0, 0.0, 1.0, -1.0, 0.0, 0.0]
    );
    let error = encoder.encode(&table("x\n1\n"), &[0]).unwrap_err();
    assert!(matches!(error, Error::Column { .. }), "{error}");
}

#[test]
fn columns_without_a_value_and_empty_training_parts_are_refused() {
    let table = table("x,c\n?,a\n1,a\n");
    let inputs = Inputs::numeric("x");
    let error = Encoder::fit(&table, &inputs, &[], &[0]).unwrap_err().to_string();
    assert!(error.contains("no value in the training part"), "{error}");
    assert!(Encoder::fit(&table, &inputs, &[], &[]).is_err());
    let error = Encoder::fit(&table, &Inputs::numeric("c"), &[], &[0]).unwrap_err();
    assert!(matches!(error, Error::Value { row: 1, .. }), "{error}");
}
