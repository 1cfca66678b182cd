//! Methods on a Gramian give what the equations that define them say.

use manytask_multitask::AggregatorSettings;
use manytask_multitask::aggregators::{
    AlignedMtl, CaGrad, Mgda, NashMtl, Normalisation, PcGrad, Rescale, UpGrad,
};
use proptest::prelude::*;

use crate::aggregators::{combine, dot, names, on_gramians, some_rows, weights};
use crate::step::some_seen;

/// The weights and the direction of these rows.
fn solve(settings: &dyn AggregatorSettings, rows: &[Vec<f64>]) -> (Vec<f64>, Vec<f64>) {
    let mut aggregator = settings.build(&names(rows.len())).unwrap();
    let (combination, direction) = combine(aggregator.as_mut(), &vec![1.0; rows.len()], rows);
    (weights(&combination), direction)
}

fn norm(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}

fn mean(rows: &[Vec<f64>]) -> Vec<f64> {
    let column = |j: usize| rows.iter().map(|row| row[j]).sum::<f64>() / rows.len() as f64;
    (0..rows[0].len()).map(column).collect()
}

/// The sum of the lengths of a combination's terms: rounding is relative to it.
fn terms(weights: &[f64], rows: &[Vec<f64>]) -> f64 {
    weights.iter().zip(rows).map(|(w, row)| w.abs() * norm(row)).sum()
}

/// CAGrad as it is in the paper.
fn cagrad(c: f64) -> CaGrad {
    CaGrad { c, rescale: Rescale::None, ..CaGrad::default() }
}

/// Nash-MTL as long as it comes.
fn nash() -> NashMtl {
    NashMtl { max_norm: f64::INFINITY, ..NashMtl::default() }
}

#[test]
fn nash_limits_the_length_of_its_direction() {
    let rows = [vec![3.0, 0.2], vec![-1.0, 0.5]];
    let (free, direction) = solve(&nash(), &rows);
    assert!((norm(&direction) - 2_f64.sqrt()).abs() < 1e-14);
    for (max_norm, length) in [(0.5, 0.5), (1.0, 1.0), (1.5, 2_f64.sqrt())] {
        let (limited, direction) = solve(&NashMtl { max_norm, ..NashMtl::default() }, &rows);
        assert!((norm(&direction) - length).abs() < 1e-14, "{max_norm}");
        assert!((limited[0] * free[1] - limited[1] * free[0]).abs() < 1e-14, "the same direction");
    }
}

#[test]
fn there_is_no_bargain_at_a_pareto_stationary_point() {
    let opposite = [vec![1.0, 2.0], vec![-3.0, -6.0]];
    let around = [vec![1.0, 0.0], vec![-1.0, 1.0], vec![-1.0, -1.0]];
    for rows in [&opposite[..], &around[..]] {
        let (weights, direction) = solve(&NashMtl::default(), rows);
        assert!(weights.iter().all(|w| *w == 0.0) && direction == [0.0, 0.0], "{weights:?}");
    }
    // Next to it there is one.
    let (weights, direction) = solve(&nash(), &[vec![1.0, 2.0], vec![-3.0, -5.999]]);
    assert!(weights.iter().all(|w| *w > 0.0) && (norm(&direction) - 2_f64.sqrt()).abs() < 1e-6);
}

#[test]
fn a_gradient_of_zero_changes_no_bargain_and_no_projection() {
    let rows = vec![vec![3.0, 0.2], vec![-1.0, 0.5]];
    let more = vec![rows[0].clone(), vec![0.0, 0.0], rows[1].clone()];
    let ((two, one), (three, other)) = (solve(&nash(), &rows), solve(&nash(), &more));
    assert_eq!((one, vec![two[0], 0.0, two[1]]), (other, three));
    // Of UPGrad and Aligned-MTL the mean is over one more.
    for settings in [&UpGrad::default() as &dyn AggregatorSettings, &AlignedMtl::default()] {
        let (one, other) = (solve(settings, &rows).1, solve(settings, &more).1);
        assert!(one.iter().zip(&other).all(|(a, b)| (a * 2.0 - b * 3.0).abs() < 1e-14), "{settings:?}");
    }
    // Nothing in the ball is better for it than g₀, as long as that is against none.
    let agreeing = [vec![3.0, 0.2], vec![0.0, 0.0], vec![0.5, 0.5]];
    let (_, found) = solve(&cagrad(0.5), &agreeing);
    assert!(found.iter().zip(mean(&agreeing)).all(|(a, b)| (a - b).abs() < 1e-15), "{found:?}");
}

#[test]
fn conflict_averse_descent_of_no_ball_is_the_mean_and_rescaled_by_a_function_of_c() {
    let rows = [vec![3.0, 0.2], vec![-1.0, 0.5], vec![0.3, -1.0]];
    let expected = mean(&rows);
    assert!(solve(&cagrad(0.0), &rows).1.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-15));
    let (_, whole) = solve(&cagrad(0.5), &rows);
    for (rescale, divisor) in [(Rescale::OnePlusCSquared, 1.25), (Rescale::OnePlusC, 1.5)] {
        let (_, found) = solve(&CaGrad { c: 0.5, rescale, ..CaGrad::default() }, &rows);
        assert!(found.iter().zip(&whole).all(|(a, b)| (a * divisor - b).abs() < 1e-14), "{rescale:?}");
    }
    assert_eq!(CaGrad::default().rescale, Rescale::OnePlusCSquared);
}

#[test]
fn among_gradients_that_add_up_to_zero_the_nearest_to_the_mean_is_taken() {
    // The first two against one another: no vector is down for both, the third may be followed across them.
    let rows = [vec![1.0, 0.0], vec![-2.0, 0.0], vec![0.0, 3.0]];
    let (_, found) = solve(&cagrad(0.9), &rows);
    assert!((found[0]).abs() < 1e-15 && (found[1] - 1.0).abs() < 1e-15, "{found:?}");
    // In all directions: within c = 1 there is zero, and nothing better.
    let around = [vec![1.0, 0.0], vec![-1.0, 1.0], vec![-1.0, -0.5]];
    let (_, found) = solve(&cagrad(1.0), &around);
    assert!(norm(&found) < 1e-14, "{found:?}");
}

#[test]
fn kept_weights_need_no_gramian_and_go_on_from_a_saved_state() {
    let rows = [vec![3.0, 0.2], vec![-1.0, 0.5], vec![0.3, 1.0]];
    let settings = NashMtl { update_every: 3, ..NashMtl::default() };
    let mut aggregator = settings.build(&names(3)).unwrap();
    let needs = aggregator.needs();
    // A step without a Gramian fails the test that asks for it.
    let step = |solves: bool, present: &[usize], scale: f64| {
        let rows: Vec<Vec<f64>> =
            present.iter().map(|task| rows[*task].iter().map(|x| x * scale).collect()).collect();
        let needs = if solves { needs.clone() } else { manytask_multitask::Needs::LOSSES };
        some_seen((3, present), vec![1.0; present.len()], &rows, needs)
    };
    let of = |aggregator: &mut dyn manytask_multitask::Aggregator,
              mut step: manytask_multitask::GivenStep| {
        weights(&aggregator.combine(&mut step).unwrap())
    };
    let first = of(aggregator.as_mut(), step(true, &[0, 1, 2], 1.0));
    assert_eq!(of(aggregator.as_mut(), step(false, &[0, 2], 1.0)), [first[0], first[2]], "by task");
    let state = aggregator.state().unwrap();
    let mut other = settings.build(&names(3)).unwrap();
    other.restore(&state).unwrap();
    for aggregator in [&mut aggregator, &mut other] {
        assert_eq!(of(aggregator.as_mut(), step(false, &[0, 1, 2], 1.0)), first);
        let second = of(aggregator.as_mut(), step(true, &[0, 1], 0.1));
        assert_ne!(second, first[..2]);
        assert_eq!(of(aggregator.as_mut(), step(false, &[1], 1.0)), second[1..]);
        // The third task has no weight from that solution: all are found anew.
        let third = of(aggregator.as_mut(), step(true, &[1, 2], 1.0));
        assert_eq!(of(aggregator.as_mut(), step(false, &[1, 2], 1.0)), third);
    }
    assert_eq!(aggregator.state().unwrap().memory, other.state().unwrap().memory);
    let mut smaller = settings.build(&names(2)).unwrap();
    assert!(smaller.restore(&state).unwrap_err().to_string().contains("`kept` of 2 numbers"));
    assert_eq!(NashMtl::default().build(&names(3)).unwrap().state().unwrap().memory, serde_json::json!({}));
}

#[test]
fn where_there_was_no_bargain_the_next_step_looks_again() {
    let settings = NashMtl { update_every: 5, ..NashMtl::default() };
    let mut aggregator = settings.build(&names(2)).unwrap();
    let mut of = |rows: &[Vec<f64>]| weights(&combine(aggregator.as_mut(), &[1.0, 1.0], rows).0);
    assert_eq!(of(&[vec![1.0, 2.0], vec![-1.0, -2.0]]), [0.0, 0.0]);
    assert!(of(&[vec![1.0, 2.0], vec![-1.0, 2.0]]).iter().all(|w| *w > 0.0));
}

/// Many gradients, more than they have dimensions or fewer, with a common part or against one another.
fn many_rows() -> impl Strategy<Value = Vec<Vec<f64>>> {
    (2..40_usize, 2..60_usize, -0.5..1.0_f64).prop_flat_map(|(count, width, common)| {
        let row = prop::collection::vec(-1.0..1.0_f64, width)
            .prop_map(move |row| row.into_iter().map(|x| x + common).collect::<Vec<f64>>());
        prop::collection::vec(row, count)
    })
}

fn nash_is_a_bargain(rows: &[Vec<f64>]) -> Result<(), TestCaseError> {
    let (weights, direction) = solve(&nash(), rows);
    if weights.iter().all(|w| *w == 0.0) {
        // Unit gradients have almost zero in their hull.
        let unit: Vec<Vec<f64>> =
            rows.iter().map(|row| row.iter().map(|x| x / norm(row)).collect()).collect();
        let (_, shortest) = solve(&Mgda { normalisation: Normalisation::None, ..Mgda::default() }, &unit);
        prop_assert!(norm(&shortest) < 1e-4, "{}", norm(&shortest));
        return Ok(());
    }
    let spread = terms(&weights, rows);
    for (weight, row) in weights.iter().zip(rows) {
        let product = dot(row, &direction) * weight;
        prop_assert!((product - 1.0).abs() < 1e-12 + 1e-14 * spread * spread, "{product} {spread}");
    }
    Ok(())
}

fn upgrad_goes_against_no_task(rows: &[Vec<f64>]) -> Result<(), TestCaseError> {
    let (weights, direction) = solve(&UpGrad::default(), rows);
    prop_assert!(weights.iter().all(|w| *w >= 1.0 / rows.len() as f64));
    let longest = rows.iter().map(|row| norm(row)).fold(f64::MIN_POSITIVE, f64::max);
    // A vector that is known by inner products is known to the square of what its terms take away from one another.
    let (all, spread) = (terms(&weights, rows), terms(&weights, rows) / longest * rows.len() as f64);
    let rounding = 1e-14 * all * (10.0 + spread);
    for row in rows {
        prop_assert!(dot(row, &direction) >= -rounding * norm(row), "{} {rounding}", dot(row, &direction));
    }
    Ok(())
}

/// The primal value of d and the dual value of its weights are the same: a proof that both are best.
fn cagrad_is_best(rows: &[Vec<f64>], c: f64) -> Result<(), TestCaseError> {
    let (weights, direction) = solve(&cagrad(c), rows);
    let mean = mean(rows);
    let radius = c * norm(&mean);
    let added: Vec<f64> = weights.iter().map(|w| w - 1.0 / rows.len() as f64).collect();
    let from: Vec<f64> = direction.iter().zip(&mean).map(|(d, mean)| d - mean).collect();
    let spread = terms(&weights, rows);
    let longest = rows.iter().map(|row| norm(row)).fold(0.0, f64::max);
    let (squared, rounding) = (dot(&from, &from), 1e-14 * spread * spread);
    prop_assert!(squared <= radius * radius * (1.0 + 1e-13) + rounding, "{squared} {radius}");
    prop_assert!(added.iter().all(|w| *w > -1e-15));
    let least = rows.iter().map(|row| dot(row, &direction)).fold(f64::INFINITY, f64::min);
    let sum: f64 = added.iter().sum();
    let dual = (dot(&mean, &from) + radius * norm(&from)) / sum.max(f64::MIN_POSITIVE);
    // Inside of the ball, or without weights, nothing is down for all.
    let inside = squared < radius * radius * (1.0 - 1e-9) - rounding;
    let dual = if inside { 0.0 } else { dual };
    prop_assert!((dual - least).abs() <= 1e-11 * longest * (spread + radius), "{dual} {least}");
    Ok(())
}

proptest! {
    #[test]
    fn bargains_solve_their_equation(badly_scaled in some_rows(), many in many_rows()) {
        prop_assume!(badly_scaled.iter().all(|row| norm(row) > 0.0));
        nash_is_a_bargain(&badly_scaled)?;
        nash_is_a_bargain(&many)?;
    }

    #[test]
    fn mean_projections_go_against_no_task(badly_scaled in some_rows(), many in many_rows()) {
        upgrad_goes_against_no_task(&badly_scaled)?;
        upgrad_goes_against_no_task(&many)?;
    }

    #[test]
    fn conflict_averse_descent_has_no_duality_gap(
        badly_scaled in some_rows(), many in many_rows(), c in 0.05..1.5_f64,
    ) {
        cagrad_is_best(&badly_scaled, c)?;
        cagrad_is_best(&many, c)?;
    }

    #[test]
    fn mean_projections_of_two_are_half_their_surgery(
        a in prop::collection::vec(-1.0..1.0_f64, 4),
        b in prop::collection::vec(-1.0..1.0_f64, 4),
        power in -6..7_i32,
    ) {
        let b: Vec<f64> = b.iter().map(|x| x * 10_f64.powi(power)).collect();
        prop_assume!(norm(&a) > 1e-6 && norm(&b) > 0.0);
        let rows = [a, b];
        let (half, whole) = (solve(&UpGrad::default(), &rows).0, solve(&PcGrad::default(), &rows).0);
        prop_assert!(half.iter().zip(&whole).all(|(a, b)| (a * 2.0 / b - 1.0).abs() < 1e-12), "{half:?} {whole:?}");
    }

    #[test]
    fn the_size_of_all_gradients_is_the_size_of_the_direction(rows in some_rows(), power in -10..16_i32) {
        let factor = 10_f64.powi(power);
        let scaled: Vec<Vec<f64>> = rows.iter().map(|row| row.iter().map(|x| x * factor).collect()).collect();
        for settings in on_gramians() {
            let ((_, one), (weights, other)) = (solve(settings.as_ref(), &rows), solve(settings.as_ref(), &scaled));
            prop_assert!(weights.iter().all(|w| w.is_finite()), "{settings:?}");
            // The length of a bargain does not depend on the gradients'.
            let grown = if format!("{settings:?}").starts_with("NashMtl") { 1.0 } else { factor };
            let longest = rows.iter().map(|row| norm(row)).fold(norm(&one), f64::max);
            let gap = one.iter().zip(&other).map(|(a, b)| (a - b / grown).abs()).fold(0.0, f64::max);
            prop_assert!(gap < 1e-6 * longest, "{settings:?} {one:?} {other:?}");
        }
    }

    #[test]
    fn each_gradient_may_have_its_own_size(
        rows in some_rows(), powers in prop::collection::vec(-10..16_i32, 7),
    ) {
        let scaled: Vec<Vec<f64>> = rows
            .iter()
            .zip(powers)
            .map(|(row, power)| row.iter().map(|x| x * 10_f64.powi(power)).collect())
            .collect();
        for settings in on_gramians() {
            let (weights, direction) = solve(settings.as_ref(), &scaled);
            prop_assert!(weights.iter().chain(&direction).all(|x| x.is_finite()), "{settings:?}");
        }
        upgrad_goes_against_no_task(&scaled)?;
        cagrad_is_best(&scaled, 1.2)?;
    }
}
