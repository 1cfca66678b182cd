use std::collections::BTreeMap;

use manytask_multitask::aggregators::{
    AlignedMtl, CaGrad, EqualWeights, FixedWeights, Form, Mgda, NashMtl, Normalisation, PcGrad,
    UncertaintyWeighting, UpGrad,
};
use manytask_multitask::{Aggregator, AggregatorSettings, Combination, Shared};
use proptest::prelude::*;

use crate::step::{seen, some_seen};

pub(crate) fn names(count: usize) -> Vec<String> {
    (0..count).map(|t| format!("task{t}")).collect()
}

pub(crate) fn all() -> Vec<Box<dyn AggregatorSettings>> {
    vec![
        Box::new(EqualWeights::default()),
        Box::new(FixedWeights { weights: names(3).into_iter().zip([0.2, 1.0, 3.0]).collect() }),
        Box::new(UncertaintyWeighting::default()),
        Box::new(PcGrad::default()),
        Box::new(Mgda::default()),
        Box::new(CaGrad::default()),
        Box::new(UpGrad::default()),
        Box::new(AlignedMtl::default()),
        Box::new(NashMtl::default()),
    ]
}

/// Those of [`all`] that take a Gramian.
pub(crate) fn on_gramians() -> Vec<Box<dyn AggregatorSettings>> {
    all().into_iter().skip(3).collect()
}

pub(crate) fn combine(
    aggregator: &mut dyn Aggregator,
    losses: &[f64],
    rows: &[Vec<f64>],
) -> (Combination, Vec<f64>) {
    let mut step = seen(losses.to_vec(), rows, aggregator.needs());
    let combination = aggregator.combine(&mut step).unwrap();
    let direction = step.direction(&combination).unwrap();
    (combination, direction)
}

pub(crate) fn weights(combination: &Combination) -> Vec<f64> {
    match &combination.shared {
        Shared::Weights(weights) => weights.clone(),
        Shared::Direction { .. } => panic!("no weights"),
    }
}

/// Numbers of an aggregator's memory.
pub(crate) fn memory(aggregator: &dyn Aggregator, name: &str) -> Vec<f64> {
    let state = aggregator.state().unwrap();
    state.memory[name].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn one_task_alone_follows_its_own_gradient() {
    // CAGrad goes on to the border of its ball, Nash-MTL to the length that it is allowed.
    let (cagrad, nash) = (1.4 / (1.0 + 0.4 * 0.4), 10_f64.sqrt().recip());
    for (settings, factor) in [
        (&EqualWeights::default() as &dyn AggregatorSettings, 1.0),
        (&PcGrad::default(), 1.0),
        (&Mgda::default(), 1.0),
        (&UpGrad::default(), 1.0),
        (&AlignedMtl::default(), 1.0),
        (&CaGrad::default(), cagrad),
        (&NashMtl::default(), nash),
    ] {
        let mut aggregator = settings.build(&names(1)).unwrap();
        let (_, direction) = combine(aggregator.as_mut(), &[2.0], &[vec![3.0, -1.0]]);
        let expected = [3.0 * factor, -factor];
        let near = direction.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-14);
        assert!(near, "{settings:?}: {direction:?}");
    }
}

#[test]
fn a_gradient_of_zero_is_no_obstacle() {
    for settings in all() {
        let mut aggregator = settings.build(&names(3)).unwrap();
        let rows = [vec![1.0, 0.0], vec![0.0, 0.0], vec![-0.5, 2.0]];
        let (combination, direction) = combine(aggregator.as_mut(), &[1.0, 1.0, 1.0], &rows);
        assert!(direction.iter().all(|x| x.is_finite()), "{settings:?}");
        assert_eq!(combination.heads.len(), 3);
        // One task that is done does not keep the others where they are.
        let rows = [vec![1.0, 0.0], vec![0.0, 0.0], vec![0.5, 2.0]];
        let (_, direction) = combine(aggregator.as_mut(), &[1.0, 1.0, 1.0], &rows);
        assert!(
            dot(&direction, &rows[0]) > 1e-3 && dot(&direction, &rows[2]) > 1e-3,
            "{settings:?}: {direction:?}"
        );
    }
}

#[test]
fn surgery_of_two_tasks_is_its_closed_form() {
    let (a, b) = (vec![1.0, 0.0], vec![-1.0, 1.0]);
    let mut aggregator = PcGrad::default().build(&names(2)).unwrap();
    let (_, direction) = combine(aggregator.as_mut(), &[1.0, 1.0], &[a.clone(), b.clone()]);
    let product = dot(&a, &b);
    let expected: Vec<f64> = a
        .iter()
        .zip(&b)
        .map(|(x, y)| x - product / dot(&b, &b) * y + y - product / dot(&a, &a) * x)
        .collect();
    assert!(direction.iter().zip(&expected).all(|(x, y)| (x - y).abs() < 1e-12));
    let (_, agreeing) = combine(aggregator.as_mut(), &[1.0, 1.0], &[vec![1.0, 0.0], vec![1.0, 1.0]]);
    assert_eq!(agreeing, [2.0, 1.0], "without conflict it is the sum");
}

#[test]
fn the_order_of_surgery_changes_from_step_to_step_and_is_fixed_by_the_key() {
    let rows = [vec![1.0, 0.2], vec![-1.0, 0.5], vec![0.1, -1.0]];
    let at = |number| {
        let mut aggregator = PcGrad::default().build(&names(3)).unwrap();
        let mut step = seen(vec![1.0; 3], &rows, aggregator.needs());
        step.number = number;
        weights(&aggregator.combine(&mut step).unwrap())
    };
    assert_eq!(at(3), at(3));
    assert!((0..20).any(|number| at(number) != at(0)));
}

#[test]
fn normalisations_of_mgda_are_by_norm_and_loss() {
    let rows = [vec![4.0, 0.0], vec![0.0, 1.0]];
    let of = |normalisation| {
        let mut aggregator = Mgda { normalisation, ..Mgda::default() }.build(&names(2)).unwrap();
        weights(&combine(aggregator.as_mut(), &[2.0, 0.5], &rows).0)
    };
    // Orthogonal vectors of lengths a and b: α is in proportion to 1/a² and 1/b².
    for (normalisation, lengths) in [
        (Normalisation::None, [4.0, 1.0]),
        (Normalisation::L2, [1.0, 1.0]),
        (Normalisation::Loss, [2.0, 2.0]),
        (Normalisation::LossL2, [0.5, 2.0]),
    ] {
        let inverse = lengths.map(|length: f64| length.powi(-2));
        let expected = inverse[0] / (inverse[0] + inverse[1]);
        assert!((of(normalisation)[0] - expected).abs() < 1e-12, "{normalisation:?}");
    }
}

#[test]
fn uncertainty_follows_the_gradient_of_its_objective() {
    for form in [Form::Regression, Form::Classification] {
        let settings = UncertaintyWeighting { initial: 0.3, learning_rate: Some(1e-3), form };
        let mut aggregator = settings.build(&names(2)).unwrap();
        let rows = [vec![1.0], vec![2.0]];
        let (combination, _) = combine(aggregator.as_mut(), &[2.0, 0.1], &rows);
        let half = if form == Form::Regression { 0.5 } else { 1.0 };
        assert!((weights(&combination)[0] - half * (-0.3_f64).exp()).abs() < 1e-12);
        assert_eq!(combination.heads, weights(&combination), "the heads are weighted as well");
        // The first step of Adam is the rate against the sign of 1/2 − w l.
        let after = memory(aggregator.as_ref(), "log_variance");
        assert!((after[0] - 0.301).abs() < 1e-7 && (after[1] - 0.299).abs() < 1e-7, "{after:?}");
    }
}

#[test]
fn at_constant_losses_the_log_variance_becomes_the_logarithm_of_the_loss() {
    let settings = UncertaintyWeighting { learning_rate: Some(0.02), ..UncertaintyWeighting::default() };
    let mut aggregator = settings.build(&names(2)).unwrap();
    let rows = [vec![1.0], vec![2.0]];
    for _ in 0..3000 {
        combine(aggregator.as_mut(), &[3.0, 0.2], &rows);
    }
    let found = memory(aggregator.as_ref(), "log_variance");
    assert!((found[0] - 3.0_f64.ln()).abs() < 1e-3 && (found[1] - 0.2_f64.ln()).abs() < 1e-3, "{found:?}");
}

#[test]
fn an_absent_task_rests_and_a_state_goes_on() {
    let mut aggregator = UncertaintyWeighting::default().build(&names(3)).unwrap();
    let rows = [vec![1.0], vec![2.0]];
    let mut step = some_seen((3, &[0, 2]), vec![3.0, 0.2], &rows, aggregator.needs());
    aggregator.combine(&mut step).unwrap();
    let state = aggregator.state().unwrap();
    assert_eq!(memory(aggregator.as_ref(), "log_variance")[1], 0.0);
    assert_eq!(memory(aggregator.as_ref(), "steps"), [1.0, 0.0, 1.0]);
    let mut other = UncertaintyWeighting::default().build(&names(3)).unwrap();
    other.restore(&state).unwrap();
    let both = [&mut aggregator, &mut other].map(|one| weights(&one.combine(&mut step).unwrap()));
    assert_eq!(both[0], both[1]);
    let mut smaller = UncertaintyWeighting::default().build(&names(2)).unwrap();
    assert!(smaller.restore(&state).unwrap_err().to_string().contains("of 2 numbers"));
}

#[test]
fn fixed_weights_are_by_name_and_of_the_present_tasks() {
    let settings =
        FixedWeights { weights: BTreeMap::from([("b".into(), 5.0), ("a".into(), 2.0), ("c".into(), 7.0)]) };
    let mut aggregator = settings.build(&["b", "c", "a"].map(String::from)).unwrap();
    let mut step = some_seen((3, &[0, 2]), vec![1.0, 1.0], &[vec![1.0], vec![1.0]], aggregator.needs());
    assert_eq!(weights(&aggregator.combine(&mut step).unwrap()), [5.0, 2.0]);
    let error = settings.build(&["a", "b"].map(String::from)).unwrap_err().to_string();
    assert!(error.contains("no task `c`") && error.contains("`a`, `b`"), "{error}");
    let error = settings.build(&["a", "b", "c", "d"].map(String::from)).unwrap_err().to_string();
    assert!(error.contains("no weight for `d`"), "{error}");
    let nan = FixedWeights { weights: BTreeMap::from([("a".into(), f64::NAN)]) };
    assert!(nan.build(&["a".to_owned()]).is_err());
    let zero = UncertaintyWeighting { learning_rate: Some(0.0), ..UncertaintyWeighting::default() };
    assert!(zero.build(&names(1)).is_err());
}

/// Three to six rows of four numbers, at sizes from 1e-4 to 1e4.
pub(crate) fn some_rows() -> impl Strategy<Value = Vec<Vec<f64>>> {
    let row = (prop::collection::vec(-1.0..1.0_f64, 4), -4..5_i32)
        .prop_map(|(row, power)| row.into_iter().map(|x| x * 10_f64.powi(power)).collect());
    prop::collection::vec(row, 3..7)
}

proptest! {
    #[test]
    fn the_min_norm_point_is_convex_and_against_no_task(rows in some_rows()) {
        let mut aggregator = Mgda::default().build(&names(rows.len())).unwrap();
        let (combination, direction) = combine(aggregator.as_mut(), &vec![1.0; rows.len()], &rows);
        let weights = weights(&combination);
        prop_assert!(weights.iter().all(|w| *w >= 0.0));
        prop_assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        // Shortest exactly when every row is at least as far along it as it is long, within the rounding of its terms.
        let length = dot(&direction, &direction);
        let terms: f64 = weights.iter().zip(&rows).map(|(w, row)| w * dot(row, row).sqrt()).sum();
        for row in &rows {
            let gap = length - dot(&direction, row);
            let own = dot(row, row).sqrt();
            prop_assert!(gap <= 1e-7 * length.max(own * length.sqrt()) + 1e-13 * own * terms, "{gap} {length}");
        }
    }

    #[test]
    fn the_direction_does_not_depend_on_the_order_of_tasks(rows in some_rows()) {
        let turned: Vec<Vec<f64>> = rows.iter().rev().cloned().collect();
        for settings in [
            &Mgda::default() as &dyn AggregatorSettings,
            &EqualWeights::default(),
            &CaGrad::default(),
            &UpGrad::default(),
            &AlignedMtl::default(),
        ] {
            let mut aggregator = settings.build(&names(rows.len())).unwrap();
            let losses = vec![1.0; rows.len()];
            let (_, one) = combine(aggregator.as_mut(), &losses, &rows);
            let (_, other) = combine(aggregator.as_mut(), &losses, &turned);
            let size = dot(&one, &one).sqrt().max(1e-9);
            let gap: f64 = one.iter().zip(&other).map(|(a, b)| (a - b).abs()).sum();
            let longest = rows.iter().map(|row| dot(row, row).sqrt()).fold(1.0, f64::max);
            prop_assert!(gap < 1e-5 * size + 1e-9 * longest, "{settings:?} {gap} {size}");
        }
    }

    #[test]
    fn directions_grow_with_the_gradients(rows in some_rows(), factor in 0.1..10.0_f64) {
        let scaled: Vec<Vec<f64>> = rows.iter().map(|row| row.iter().map(|x| x * factor).collect()).collect();
        for settings in [
            &PcGrad::default() as &dyn AggregatorSettings,
            &EqualWeights::default(),
            &Mgda::default(),
            &CaGrad::default(),
            &UpGrad::default(),
            &AlignedMtl::default(),
        ] {
            let mut aggregator = settings.build(&names(rows.len())).unwrap();
            let losses = vec![1.0; rows.len()];
            let (_, one) = combine(aggregator.as_mut(), &losses, &rows);
            let (_, other) = combine(aggregator.as_mut(), &losses, &scaled);
            for (a, b) in one.iter().zip(&other) {
                let largest = rows.iter().flatten().fold(0.0_f64, |m, x| m.max(x.abs()));
                prop_assert!((a * factor - b).abs() < 1e-6 * largest * factor, "{settings:?}");
            }
        }
    }
}
