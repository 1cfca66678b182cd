//! Exact directions for given gradients. The whole set is read where `MANYTASK_GOLDEN` points, else a part kept here.

use manytask_multitask::aggregators::{EqualWeights, Mgda, PcGrad};
use manytask_multitask::{AggregatorSettings, Needs};
use serde_json::Value;

use crate::step::Seen;

fn cases() -> Vec<Value> {
    let text = match std::env::var_os("MANYTASK_GOLDEN") {
        Some(folder) => {
            fs_err::read_to_string(std::path::Path::new(&folder).join("aggregators.json")).unwrap()
        }
        None => include_str!("../fixtures/aggregators.json").to_owned(),
    };
    serde_json::from_str::<Vec<Value>>(&text).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn rows(case: &Value) -> Vec<Vec<f64>> {
    case["jacobian"].as_array().unwrap().iter().map(numbers).collect()
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// Runs a method on every case that has it, and hands over the direction found, the one expected, and the longest row.
fn compare(name: &str, settings: &dyn AggregatorSettings, judge: impl Fn(&Value, &[f64], &[f64], f64)) {
    let mut compared = 0;
    for case in cases() {
        let Some(expected) = case["expected"].get(name) else { continue };
        let rows = rows(&case);
        let tasks: Vec<String> = (0..rows.len()).map(|t| format!("task{t}")).collect();
        let mut aggregator = settings.build(&tasks).unwrap();
        let longest = rows.iter().map(|row| norm(row)).fold(0.0, f64::max);
        let mut seen = Seen::new(vec![1.0; rows.len()], &rows, aggregator.needs());
        let combination = aggregator.combine(&mut seen).unwrap();
        judge(&case, &seen.direction(&combination), &numbers(&expected["direction"]), longest);
        compared += 1;
    }
    assert!(compared >= 4, "{name}: {compared} cases");
}

fn close(what: &str) -> impl Fn(&Value, &[f64], &[f64], f64) {
    move |case, found, expected, longest| {
        let gap: Vec<f64> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
        assert!(norm(&gap) < 1e-9 * longest, "{what}, {}: {} of {longest}", case["kind"], norm(&gap));
    }
}

#[test]
fn golden_mean() {
    compare("mean", &EqualWeights::default(), close("mean"));
}

#[test]
fn golden_pcgrad() {
    compare("pcgrad", &PcGrad::default(), close("pcgrad"));
}

#[test]
fn golden_mgda() {
    // Where rows are nearly one another's multiples many weights give almost the same vector: the length is compared too,
    // which must not be more than the expected.
    compare("mgda", &Mgda::default(), |case, found, expected, longest| {
        close("mgda")(case, found, expected, longest * 100.0);
        assert!(
            norm(found) <= norm(expected) + 1e-9 * longest,
            "{}: {} {}",
            case["kind"],
            norm(found),
            norm(expected)
        );
    });
}

#[test]
fn golden_cases_are_of_every_kind() {
    let kinds: std::collections::BTreeSet<String> =
        cases().iter().map(|case| case["kind"].as_str().unwrap().to_owned()).collect();
    assert!(kinds.contains("badly_scaled") && kinds.contains("pareto_stationary"), "{kinds:?}");
    assert_eq!(Needs::LOSSES.batches, 1);
}
