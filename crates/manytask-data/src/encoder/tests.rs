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
    // 100 is far outside: taken for ten widths beyond 3.
    assert_eq!(numbers(&dense), [-1.0, 0.0, 1.0, 0.0, 21.0, 0.0]);
    let far = fit(&table, "numeric = 'x'\nclip = 1e9", &[0, 1]);
    assert_eq!(numbers(&far.encode(&table, &[2]).unwrap().matrix().unwrap()), [98.0]);
    let notes = encoder.review(&table, &[2], "the test split").unwrap();
    assert!(
        notes[0].0.starts_with("column `x`: 1 of 1 values of the test split lie far outside"),
        "{notes:?}"
    );
    assert!(notes[1].0.contains("`k`") && notes[1].0.contains("did not vary"), "{notes:?}");
    assert!(encoder.review(&table, &[0, 1], "the training split").unwrap().is_empty());
}

#[test]
fn equal_values_are_one_category_and_codes_are_kept() {
    let table = table("c,d\n1,007\n2.0,7\n1.0,7\n2,007\n");
    let encoder = fit(&table, "one_hot = ['c', 'd']", &[0, 1]);
    assert_eq!(encoder.input_names(), ["c=1", "c=2.0", "d=007", "d=7"]);
    let dense = encoder.encode(&table, &[2, 3]).unwrap().matrix().unwrap();
    assert_eq!(numbers(&dense), [1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0]);
    assert!(encoder.review(&table, &[2, 3], "the test split").unwrap().is_empty());
}

#[test]
fn what_was_not_seen_in_training_is_told() {
    let table = table("c,x\na,1\nb,2\nz,?\na,1.5\n");
    let encoder = fit(&table, "one_hot = 'c'\nnumeric = 'x'", &[0, 1]);
    let notes = |rows: &[usize]| -> Vec<String> {
        encoder.review(&table, rows, "the test split").unwrap().into_iter().map(|note| note.0).collect()
    };
    let some = notes(&[2, 3]);
    assert!(some[0].contains("column `c`: 1 of 2 rows of the test split have a value not seen"), "{some:?}");
    assert!(some[1].contains("column `x`: 1 of 2 rows of the test split have no value"), "{some:?}");
    assert!(
        notes(&[2])[0].contains(
            "column `c`: no value of the test split was seen in training (`z`; seen were `a`, `b`)"
        )
    );
}

#[test]
fn numbers_far_from_zero_stay_apart_and_too_large_ones_are_refused() {
    let far = table("x\n1000000000001\n1000000000003\n");
    let encoder = fit(&far, "numeric = 'x'", &[0, 1]);
    assert_eq!(numbers(&encoder.encode(&far, &[0, 1]).unwrap().matrix().unwrap()), [-1.0, 1.0]);
    let large = table("x\n1\n2\n1e308\n");
    let inputs: InputColumns = toml::from_str("numeric = 'x'").unwrap();
    let error = Encoder::fit(&large, &inputs, &[], &all(&large)).unwrap_err();
    assert!(matches!(error, Error::Value { row: 3, .. }), "{error}");
    let error = fit(&large, "numeric = 'x'", &[0, 1]).encode(&large, &[1, 2]).unwrap_err();
    assert!(matches!(error, Error::Value { row: 3, .. }), "{error}");
    let raw = fit(&large, "numeric = 'x'\nscale = 'raw'", &[0, 1]).encode(&large, &[2]).unwrap_err();
    assert!(matches!(raw, Error::Value { row: 3, .. }), "{raw}");
}

#[test]
fn numbers_take_other_scales() {
    let table = table("x\n0\n1\n2\n4\n8\n?\n100\n");
    let train = [0, 1, 2, 3, 4, 5];
    let encoded = |inputs: &str, rows: &[usize]| {
        let encoder = fit(&table, inputs, &train);
        let dense = encoder.encode(&table, rows).unwrap().matrix().unwrap();
        assert_eq!(dense.size()[1], encoder.width());
        assert_eq!(encoder.input_names().len() as i64, encoder.width());
        (encoder, numbers(&dense))
    };
    // The median is 2, the quartiles are 1 and 4; a second input says what is missing, which becomes the mean, 3.
    let (_, robust) = encoded("numeric = 'x'\nscale = 'robust'\nclip = 1e9", &[0, 2, 3, 6]);
    assert_eq!(robust, [-2.0 / 3.0, 0.0, 0.0, 0.0, 2.0 / 3.0, 0.0, 98.0 / 3.0, 0.0]);
    let (encoder, bins) = encoded("numeric = 'x'\nscale = 'piecewise'\nbins = 4", &[1, 5, 6]);
    assert_eq!(bins, [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.5, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
    let names = ["x above 0", "x above 1", "x above 2", "x above 4", "x is missing"];
    assert_eq!(encoder.input_names(), names);
    let notes = encoder.review(&table, &[6], "the test split").unwrap();
    assert!(notes[0].0.contains("they are taken for its bounds"), "{notes:?}");
    let (encoder, scores) = encoded("numeric = 'x'\nscale = 'quantile'", &[2, 4, 6]);
    assert!(scores[0].abs() < 0.1 && (scores[2] - 5.199_337_6).abs() < 1e-4, "{scores:?}");
    assert_eq!(scores[2], scores[4], "what is above the training range is taken for its bound");
    // What was fitted is what a saved run has.
    let text = serde_json::to_string(&encoder).unwrap();
    assert_eq!(serde_json::from_str::<Encoder>(&text).unwrap(), encoder);
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
    let inputs: InputColumns = toml::from_str("numeric = 'x'\none_hot = 'rest'").unwrap();
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
    let inputs = InputColumns::numeric("x");
    let error = Encoder::fit(&table, &inputs, &[], &[0]).unwrap_err().to_string();
    assert!(error.contains("no value in the training split"), "{error}");
    assert!(Encoder::fit(&table, &inputs, &[], &[]).is_err());
    let error = Encoder::fit(&table, &InputColumns::numeric("c"), &[], &[0]).unwrap_err();
    assert!(matches!(error, Error::Value { row: 1, .. }), "{error}");
}
