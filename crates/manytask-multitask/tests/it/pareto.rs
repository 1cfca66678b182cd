//! Whole fronts of a problem whose front is known.

use std::f64::consts::FRAC_1_SQRT_2;

use manytask_multitask::aggregators::{
    AggregatorSettings, Epo, FixedWeights, MaximumForm, Mgda, Preference, Tchebycheff,
};
use manytask_multitask::pareto::{hypervolume, non_dominated, preferences, spacing};
use manytask_multitask::{Aggregator, GivenBatch, GivenStep};

use crate::aggregators::names;

/// VLMOP2 (Van Veldhuizen & Lamont 1999) in the plane: `fᵢ = 1 − exp(−‖x ∓ 1/√2‖²)`, whose front is the line between the two minima and curves
/// inwards, so that weighted sums reach its ends alone.
fn vlmop2(x: [f64; 2]) -> ([f64; 2], Vec<Vec<f64>>) {
    let of = |sign: f64| {
        let distance = x.map(|x| x - sign * FRAC_1_SQRT_2);
        let kept = (-distance.iter().map(|d| d * d).sum::<f64>()).exp();
        (1.0 - kept, distance.iter().map(|d| 2.0 * d * kept).collect::<Vec<f64>>())
    };
    let ((f, df), (g, dg)) = (of(1.0), of(-1.0));
    ([f, g], vec![df, dg])
}

/// The point of the front at t from −1 to 1.
fn on_front(t: f64) -> [f64; 2] {
    vlmop2([t * FRAC_1_SQRT_2; 2]).0
}

/// Where a method ends.
fn end(aggregator: &mut dyn Aggregator, start: [f64; 2]) -> [f64; 2] {
    let mut x = start;
    for number in 0..2000 {
        let (losses, rows) = vlmop2(x);
        let mut step = GivenStep::new(GivenBatch::new(losses, &rows).unwrap(), aggregator.needs());
        step.number = number;
        let combination = aggregator.combine(&mut step).unwrap();
        let direction = step.direction(&combination).unwrap();
        x = [0, 1].map(|place| x[place] - 0.02 * direction[place]);
    }
    x
}

/// The ends of a method for each of ten preferences.
fn front(build: impl Fn(Preference) -> Box<dyn AggregatorSettings>) -> Vec<Vec<f64>> {
    let ends = preferences(2, 10).into_iter().map(|preference| {
        let weights = names(2).into_iter().zip(preference).collect();
        let settings = build(Preference { weights, ..Preference::default() });
        vlmop2(end(settings.build(&names(2)).unwrap().as_mut(), [0.3, -0.5])).0.to_vec()
    });
    ends.collect()
}

const REFERENCE: [f64; 2] = [1.0, 1.0];

#[test]
fn exact_search_ends_where_weighted_losses_are_equal_on_the_front() {
    for preference in preferences(2, 10) {
        let weights = names(2).into_iter().zip(preference.clone()).collect();
        let settings = Epo { preference: Preference { weights, ..Preference::default() }, ..Epo::default() };
        for start in [[0.3, -0.5], [-1.0, 0.2], [0.9, 1.1]] {
            let x = end(settings.build(&names(2)).unwrap().as_mut(), start);
            let losses = vlmop2(x).0;
            assert!((x[0] - x[1]).abs() < 0.02 && x[0].abs() < FRAC_1_SQRT_2 + 0.02, "{preference:?}: {x:?}");
            let (one, other) = (preference[0] * losses[0], preference[1] * losses[1]);
            assert!((one / other).ln().abs() < 0.05, "{preference:?}: {losses:?}");
        }
    }
}

/// Published of ten preferences on such a front: exact search and Tchebycheff near the whole, weighted sums close to nothing.
#[test]
fn a_front_that_curves_inwards_is_found_by_exact_search_and_tchebycheff_but_not_by_weighted_sums() {
    let dense: Vec<Vec<f64>> = (0..=4000).map(|i| on_front(f64::from(i) / 2000.0 - 1.0).to_vec()).collect();
    let whole = hypervolume(&dense, &REFERENCE);
    let epo = front(|preference| Box::new(Epo { preference, ..Epo::default() }));
    let tchebycheff = front(|preference| Box::new(Tchebycheff { form: MaximumForm::Product, preference }));
    let linear = front(|preference| Box::new(FixedWeights { weights: preference.weights }));
    let [of_epo, of_tchebycheff, of_linear] =
        [&epo, &tchebycheff, &linear].map(|points| hypervolume(points, &REFERENCE) / whole);
    assert!(of_epo > 0.8 && of_tchebycheff > 0.8, "{of_epo} {of_tchebycheff} of {whole}");
    assert!(of_linear < 0.2, "{of_linear} of {whole}");
    assert!(non_dominated(&epo).iter().filter(|kept| **kept).count() >= 9);
    assert!(spacing(&epo).unwrap() < 0.2);
    // One point, whatever the preferences are.
    let mgda = front(|_| Box::new(Mgda::default()));
    assert!(hypervolume(&mgda, &REFERENCE) / whole < of_epo);
}

/// Three tasks at the corners of a triangle: weighted squared distances are equal, with the preferred one nearest.
#[test]
fn three_tasks_end_at_their_preferences_too() {
    let corners = [[1.0_f64, 0.0], [-0.5, 0.8], [-0.5, -0.8]];
    let preference = [0.5, 0.3, 0.2];
    let weights = names(3).into_iter().zip(preference).collect();
    let settings = Epo { preference: Preference { weights, ..Preference::default() }, ..Epo::default() };
    let mut method = settings.build(&names(3)).unwrap();
    let mut x = [2.0, 1.0];
    let losses_at = |x: [f64; 2]| corners.map(|c| (0..2).map(|i| (x[i] - c[i]).powi(2)).sum::<f64>());
    for _ in 0..4000 {
        let rows: Vec<Vec<f64>> =
            corners.iter().map(|c| (0..2).map(|i| 2.0 * (x[i] - c[i])).collect()).collect();
        let mut step = GivenStep::new(GivenBatch::new(losses_at(x), &rows).unwrap(), method.needs());
        let combination = method.combine(&mut step).unwrap();
        let direction = step.direction(&combination).unwrap();
        x = [0, 1].map(|place| x[place] - 0.002 * direction[place]);
    }
    let weighted: Vec<f64> = losses_at(x).iter().zip(preference).map(|(loss, r)| loss * r).collect();
    let (low, high) = weighted.iter().fold((f64::MAX, 0.0_f64), |(low, high), x| (low.min(*x), high.max(*x)));
    assert!(high / low < 1.1, "{weighted:?} at {x:?}");
}

#[test]
fn losses_that_are_not_above_zero_are_refused_by_name() {
    let mut method = Epo::default().build(&names(2)).unwrap();
    let batch = GivenBatch::new([1.0, 0.0], &[vec![1.0], vec![1.0]]).unwrap();
    let mut step = GivenStep::new(batch, method.needs());
    let error = method.combine(&mut step).unwrap_err().to_string();
    assert!(error.contains("`epo` needs losses above 0") && error.contains("`task1`"), "{error}");
}
