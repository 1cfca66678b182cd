//! Methods with a memory against their equations, and against numbers that were computed from these independently.

use manytask_multitask::aggregators::{
    AggregatorSettings, CoBa, LdcMtl, LossScale, MConfig, Moml, Pcd, Refresh, RotoGrad,
};
use manytask_multitask::{Aggregator, GivenBatch, GivenStep};

use crate::aggregators::names;
use crate::step::{seen, some_seen};

fn near(found: &[f64], expected: &[f64], tolerance: f64) {
    let close = found.len() == expected.len()
        && found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < tolerance);
    assert!(close, "{found:?} {expected:?}");
}

fn direction(method: &mut dyn Aggregator, rows: &[Vec<f64>]) -> Vec<f64> {
    let mut step = seen(vec![1.0; rows.len()], rows, method.needs());
    let combination = method.combine(&mut step).unwrap();
    assert_eq!(combination.heads, vec![1.0; rows.len()]);
    step.direction(&combination).unwrap()
}

/// The weights of a step with these losses, of which each is its gradient too, and a validation batch with these.
fn judged(method: &mut dyn Aggregator, validation: &[f64]) -> Vec<f64> {
    let rows: Vec<Vec<f64>> = validation.iter().map(|_| vec![1.0]).collect();
    let mut step = seen(vec![1.0; rows.len()], &rows, method.needs());
    step.validation = Some(GivenBatch::new(validation.iter().copied(), &rows).unwrap());
    method.combine(&mut step).unwrap().heads
}

#[test]
fn coba_turns_from_the_slower_task_to_the_one_that_still_falls() {
    let settings = CoBa { warm_up_steps: 3, history: 4, tau: 5.0 };
    let mut method = settings.build(&names(2)).unwrap();
    // Task 1 falls more slowly, and from the fourth batch on its loss grows.
    let losses = [[2.0, 1.0], [1.8, 0.9], [1.5, 0.85], [1.3, 0.84], [1.2, 0.86], [1.15, 0.9]];
    let expected = [
        [0.5, 0.5],
        [0.5, 0.5],
        [0.377_540_668_798_145_46, 0.622_459_331_201_854_5],
        [0.470_200_225_883_150_97, 0.529_799_774_116_849],
        [0.642_300_655_080_619_3, 0.357_699_344_919_380_6],
        [0.731_393_775_298_815_1, 0.268_606_224_701_185],
    ];
    for (losses, expected) in losses.iter().zip(expected) {
        near(&judged(method.as_mut(), losses), &expected, 1e-12);
    }
    let error = CoBa { warm_up_steps: 1, ..settings }.build(&names(2)).unwrap_err().to_string();
    assert!(error.contains("warm_up_steps is 1"), "{error}");
}

#[test]
fn loss_discrepancy_is_part_of_the_objective() {
    // Losses 3, 1, 1: the first differs from its neighbour, the others are alike. The shares are equal at first.
    let mut method = LdcMtl { strength: 0.6, ..LdcMtl::default() }.build(&names(3)).unwrap();
    let third = 1.0 / 3.0;
    let mut weights = |losses: [f64; 3]| {
        let mut step = seen(losses.to_vec(), &[vec![1.0], vec![1.0], vec![1.0]], method.needs());
        method.combine(&mut step).unwrap().heads
    };
    near(&weights([3.0, 1.0, 1.0]), &[third + 0.6, third - 0.6, third], 1e-12);
    // The logits took one step of Adam, 0.01 each, against the slope σ (l − mean): up where a loss is below the mean.
    let powers = [-0.01_f64, 0.01, 0.01].map(f64::exp);
    let shares = powers.map(|power| power / powers.iter().sum::<f64>());
    near(&weights([2.0, 2.0, 2.0]), &shares, 1e-8);
    // Relative to what they were at first the losses 2 and 8 are equal.
    let settings = LdcMtl { strength: 0.5, scale: LossScale::Initial, learning_rate: None };
    let mut method = settings.build(&names(2)).unwrap();
    for (losses, change) in [([2.0, 8.0], [0.0, 0.0]), ([1.0, 8.0], [-0.25, 0.0625])] {
        let mut step = seen(losses.to_vec(), &[vec![0.0], vec![0.0]], method.needs());
        let found = method.combine(&mut step).unwrap().heads;
        let share = found[0] - change[0];
        near(&found, &[share + change[0], 1.0 - share + change[1]], 1e-12);
        assert!((share - 0.5).abs() < 0.02, "{found:?}");
    }
}

#[test]
fn the_primary_gradient_gives_every_other_task_its_share_of_progress() {
    let mut method = Pcd::default().build(&names(2)).unwrap();
    // u₁ = (1, 0), u₂ = (−1, 1) / √2: the multiplier is 0.02 + 1/√2, and d as long as g₁.
    let (root, g1) = (0.5_f64.sqrt(), 3.0);
    let multiplier = 0.02 + root;
    let d = [1.0 - multiplier * root, multiplier * root];
    let scale = g1 / (d[0] * d[0] + d[1] * d[1]).sqrt();
    let found = direction(method.as_mut(), &[vec![g1, 0.0], vec![-2.0, 2.0]]);
    near(&found, &d.map(|x| x * scale), 1e-8);
    // Others that contradict each other are not heard, nor is one that agrees.
    for others in [[vec![0.0, 1.0], vec![0.0, -1.0]], [vec![1.0, 1.0], vec![2.0, 0.5]]] {
        let [one, two] = others;
        let mut method = Pcd::default().build(&names(3)).unwrap();
        near(&direction(method.as_mut(), &[vec![2.0, 0.0], one, two]), &[2.0, 0.0], 1e-8);
    }
    // A task by name, and the first present one where it is absent.
    let second = Pcd { primary: Some("task1".into()), tau: 0.0, ..Pcd::default() };
    let mut method = second.build(&names(2)).unwrap();
    near(&direction(method.as_mut(), &[vec![0.0, 1.0], vec![5.0, 0.0]]), &[5.0, 0.0], 1e-8);
    let mut step = some_seen((2, &[0]), vec![1.0], &[vec![0.0, 4.0]], method.needs());
    let combination = method.combine(&mut step).unwrap();
    near(&step.direction(&combination).unwrap(), &[0.0, 4.0], 1e-8);
    let unknown = Pcd { primary: Some("nobody".into()), ..Pcd::default() };
    assert!(unknown.build(&names(2)).unwrap_err().to_string().contains("no task `nobody`"));
}

#[test]
fn moments_are_brought_up_to_date_in_turn() {
    let rows = [
        [[1.0, 2.0], [-2.0, 1.0]],
        [[0.5, 1.5], [-1.0, 1.0]],
        [[1.0, -1.0], [2.0, 1.0]],
        [[0.2, 1.0], [-3.0, 0.5]],
        [[1.5, 1.0], [-1.0, 2.0]],
    ];
    let expected = [
        [0.0, 0.0],
        [-0.999_999_978_918_149_4, 0.999_999_996_578_886_6],
        [0.361_165_453_247_457_8, 0.662_254_234_382_055_6],
        [-0.046_777_154_545_067_076, 0.673_332_636_752_406_3],
        [-0.173_195_147_477_292_92, 0.780_791_533_937_516],
    ];
    let mut method = MConfig::default().build(&names(2)).unwrap();
    for (rows, expected) in rows.iter().zip(expected) {
        near(&direction(method.as_mut(), &rows.map(|row| row.to_vec())), &expected, 1e-9);
    }
    // With all tasks' gradients the first direction is Adam's: the sign of that of config.
    let mut method = MConfig { refresh: Refresh::All, ..MConfig::default() }.build(&names(2)).unwrap();
    near(&direction(method.as_mut(), &[vec![1.0, 2.0], vec![-2.0, 1.0]]), &[-1.0, 1.0], 1e-6);
    // The turn of an absent task is the next one's.
    let mut method = MConfig::default().build(&names(3)).unwrap();
    for (present, rows) in
        [(vec![1], vec![vec![0.0, 1.0]]), (vec![0, 1], vec![vec![1.0, 0.0], vec![0.0, 9.0]])]
    {
        let mut step = some_seen((3, &present), vec![1.0; present.len()], &rows, method.needs());
        method.combine(&mut step).unwrap();
    }
    let mut step = some_seen((3, &[2]), vec![1.0], &[vec![1.0, 1.0]], method.needs());
    let combination = method.combine(&mut step).unwrap();
    assert!(
        step.direction(&combination).unwrap().iter().all(|x| *x > 0.9),
        "task 0 had its turn, not task 1 again"
    );
}

#[test]
fn learned_weights_follow_the_shortest_combination_of_outer_gradients() {
    let rate = 0.1;
    let mut method = Moml { learning_rate: 0.01, inner_learning_rate: Some(rate) }.build(&names(2)).unwrap();
    let step = |method: &mut dyn Aggregator| -> GivenStep {
        let mut step = seen(vec![1.0, 1.0], &[vec![1.0, 0.0], vec![0.0, 1.0]], method.needs());
        // Both validation losses fall along the first task's gradient, and grow along the second's.
        step.validation = Some(GivenBatch::new([1.0, 1.0], &[vec![3.0, -1.0], vec![1.0, -1.0]]).unwrap());
        step
    };
    let mut first = step(method.as_mut());
    // The gradient by α is −η w (p − mean): below 0 for the first task, above 0 for the second, whatever the combination. Adam's
    // first step is 0.01 each.
    let weights = method.combine(&mut first).unwrap().heads;
    let share = 1.0 / (1.0 + (-0.02_f64).exp());
    near(&weights, &[share, 1.0 - share], 1e-8);
    let mut second = step(method.as_mut());
    assert!(method.combine(&mut second).unwrap().heads[0] > share);
}

/// The length of all gradients by hand: the shares are of how far each has shrunk.
#[test]
fn rotograds_gradients_are_of_one_length_nearer_to_the_slowest_task() {
    let mut method = RotoGrad { burn_in: 3, ..RotoGrad::default() }.build(&names(2)).unwrap();
    let steps = [
        // Measured at the first step: shares of a half.
        ([1.0, 4.0], 2.5),
        // The first is as long as it was, the second half as long: two thirds of 1 and a third of 2.
        ([1.0, 2.0], 4.0 / 3.0),
        ([3.0, 4.0], 0.75 * 3.0 + 0.25 * 4.0),
        // Measured anew, and no more.
        ([2.0, 1.0], 1.5),
        ([2.0, 3.0], 0.25 * 2.0 + 0.75 * 3.0),
    ];
    for (number, (lengths, common)) in steps.into_iter().enumerate() {
        let rows = [vec![lengths[0], 0.0], vec![0.0, lengths[1]]];
        let mut step = seen(vec![1.0; 2], &rows, method.needs());
        step.number = number as u64;
        let combination = method.combine(&mut step).unwrap();
        near(&step.direction(&combination).unwrap(), &[common, common], 1e-12);
    }
}
