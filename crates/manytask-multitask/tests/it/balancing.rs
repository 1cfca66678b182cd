//! Balancing methods by their closed forms.

use manytask_multitask::aggregators::{
    AggregatorSettings, Balance, Form, Igb, MetaBalance, ReLoBRaLo, UncertaintyWeighting,
};
use manytask_multitask::{Aggregator, GivenBatch, GivenStep, TaskVec};

fn built(settings: &dyn AggregatorSettings) -> Box<dyn Aggregator> {
    settings.build(&["a".to_owned(), "b".to_owned()]).unwrap()
}

fn near(found: &[f64], expected: &[f64]) {
    let close = found.len() == expected.len()
        && found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-12);
    assert!(close, "{found:?} {expected:?}");
}

/// The weights of a step with these losses, of task 0 alone where there is one.
fn weights(method: &mut dyn Aggregator, number: u64, losses: &[f64]) -> Vec<f64> {
    let rows: Vec<Vec<f64>> = losses.iter().map(|loss| vec![*loss]).collect();
    let batch = GivenBatch::new(losses.iter().copied(), &rows).unwrap();
    let mut step = GivenStep::new(batch, method.needs());
    (step.number, step.tasks) = (number, 2);
    method.combine(&mut step).unwrap().heads
}

fn softmax(x: [f64; 2]) -> [f64; 2] {
    let powers = x.map(f64::exp);
    powers.map(|power| 2.0 * power / (powers[0] + powers[1]))
}

#[test]
fn relobralo_compares_with_the_first_and_the_last_losses() {
    // Without lookback the memory is what has changed since the first step.
    let settings = ReLoBRaLo { temperature: 0.5, alpha: 0.75, lookback: 0.0 };
    let mut method = built(&settings);
    near(&weights(method.as_mut(), 0, &[4.0, 2.0]), &[1.0, 1.0]);
    near(&weights(method.as_mut(), 1, &[2.0, 2.0]), &softmax([1.0, 2.0]));
    let (first, last) = (softmax([0.5, 1.0]), softmax([1.0, 1.0]));
    let expected = [0, 1].map(|task| 0.75 * first[task] + 0.25 * last[task]);
    near(&weights(method.as_mut(), 2, &[1.0, 1.0]), &expected);
    // With nothing but memory the weights stay, and those of an absent task rest.
    let mut method = built(&ReLoBRaLo { lookback: 1.0, alpha: 1.0, ..settings });
    weights(method.as_mut(), 0, &[4.0, 2.0]);
    near(&weights(method.as_mut(), 1, &[1.0, 2.0]), &[1.0, 1.0]);
    near(&weights(method.as_mut(), 2, &[1.0]), &[1.0]);
    assert!(ReLoBRaLo { alpha: 1.5, ..settings }.build(&["a".to_owned()]).is_err());
}

#[test]
fn igb_weighs_by_what_is_left_of_the_first_epochs_losses() {
    let mut method = built(&Igb {});
    near(&weights(method.as_mut(), 0, &[4.0, 2.0]), &[1.0, 1.0]);
    method.end_epoch(&[4.0, 0.5].into_iter().collect::<TaskVec>()).unwrap();
    method.end_epoch(&[9.0, 9.0].into_iter().collect::<TaskVec>()).unwrap();
    // 1/4 and 1/1 of the first epoch's losses are left: shares of 1/5 and 4/5, times two tasks.
    near(&weights(method.as_mut(), 9, &[1.0, 0.5]), &[0.4, 1.6]);
}

#[test]
fn revised_uncertainty_weighting_has_a_regulariser_that_is_never_negative() {
    let settings = UncertaintyWeighting { form: Form::Revised, learning_rate: Some(0.1), initial: 0.3 };
    let mut method = built(&settings);
    let first = weights(method.as_mut(), 0, &[2.0, 0.1]);
    near(&first, &[0.5 * (-0.3_f64).exp(); 2]);
    // The slope of e^(−s) l / 2 + ln(1 + e^s) by s; Adam's first step is its rate against the slope's sign.
    let slope = |l: f64| -0.5 * (-0.3_f64).exp() * l + 1.0 / (1.0 + (-0.3_f64).exp());
    assert!(slope(2.0) < 0.0 && slope(0.1) > 0.0);
    let second = weights(method.as_mut(), 1, &[2.0, 0.1]);
    let moved = [0.4_f64, 0.2].map(|s| 0.5 * (-s).exp());
    assert!(second.iter().zip(moved).all(|(found, expected)| (found - expected).abs() < 1e-7), "{second:?}");
    // In the usual form s of a loss below 1 falls without end; here ln(1 + e^s) is above 0 for every s.
    let objective = |s: f64| 0.5 * (-s).exp() * 0.1 + s.exp().ln_1p();
    assert!((-400..400).all(|s| objective(f64::from(s) / 10.0) > 0.0));
}

#[test]
fn metabalance_brings_auxiliary_gradients_to_the_primary_length() {
    let rows = [vec![3.0, 4.0], vec![0.0, 10.0]];
    let direction = |method: &mut dyn Aggregator, number: u64, rows: &[Vec<f64>]| {
        let batch = GivenBatch::new([1.0, 1.0], rows).unwrap();
        let mut step = GivenStep::new(batch, method.needs());
        step.number = number;
        let combination = method.combine(&mut step).unwrap();
        assert_eq!(combination.heads, [1.0, 1.0]);
        step.direction(&combination).unwrap()
    };
    let of = |relaxation: f64, strategy: Balance, primary: &str| MetaBalance {
        primary: Some(primary.to_owned()),
        relaxation,
        strategy,
        beta: 0.9,
    };
    // 10 is brought to 5, by 0.7 of the way: 10 (0.7 · 5/10 + 0.3) = 6.5.
    near(&direction(built(&of(0.7, Balance::Both, "a")).as_mut(), 0, &rows), &[3.0, 10.5]);
    near(&direction(built(&of(1.0, Balance::Shorten, "a")).as_mut(), 0, &rows), &[3.0, 9.0]);
    near(&direction(built(&of(1.0, Balance::Lengthen, "a")).as_mut(), 0, &rows), &[3.0, 14.0]);
    near(&direction(built(&of(1.0, Balance::Lengthen, "b")).as_mut(), 0, &rows), &[6.0, 18.0]);
    // Lengths are moving averages: 0.9 · 0.1 · 10 + 0.1 · 30 = 3.9, and the primary's 0.95; corrected alike.
    let mut method = built(&of(1.0, Balance::Both, "a"));
    direction(method.as_mut(), 0, &rows);
    let second = direction(method.as_mut(), 1, &[vec![3.0, 4.0], vec![0.0, 30.0]]);
    near(&second, &[3.0, 4.0 + 30.0 * 0.95 / 3.9]);
    let zero = direction(built(&of(1.0, Balance::Both, "a")).as_mut(), 0, &[vec![3.0, 4.0], vec![0.0, 0.0]]);
    near(&zero, &[3.0, 4.0]);
    let error = of(1.0, Balance::Both, "c").build(&["a".to_owned()]).unwrap_err().to_string();
    assert!(error.contains("no task `c`"), "{error}");
}
