//! Where implementations of methods are known to differ or to be wrong: what these do.

use manytask_multitask::aggregators::{
    AutoLambda, DbMtl, Dwa, FairGrad, Famo, GeometricMean, GradDrop, GradNorm, ImtlG, ImtlL, InitialLoss,
    Krum, Lbtw, MoCo, MoDo, NashMtl, Post, Rlw, SdmGrad, SoftAdapt, Stch, TrimmedMean, UwSo,
    WeightDistribution, WeightScale,
};
use manytask_multitask::{Aggregator, AggregatorSettings, GivenBatch, GivenStep, Shared, TaskVec};

use crate::aggregators::{combine, dot, memory, names, weights};
use crate::step::{seen, some_seen};

fn norm(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}

fn near(a: &[f64], b: &[f64], tolerance: f64) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance)
}

/// The heads' factors of one step with these losses, on gradients that do not matter.
fn factors(aggregator: &mut dyn Aggregator, losses: &[f64]) -> Vec<f64> {
    let rows: Vec<Vec<f64>> = losses.iter().map(|_| vec![1.0]).collect();
    combine(aggregator, losses, &rows).0.heads
}

fn told(losses: &[f64]) -> TaskVec {
    losses.iter().copied().collect()
}

#[test]
fn the_geometric_mean_of_many_losses_does_not_leave_the_range_of_numbers() {
    for loss in [1e-30, 1e30] {
        let mut aggregator = GeometricMean::default().build(&names(64)).unwrap();
        let found = factors(aggregator.as_mut(), &[loss; 64]);
        // The product of all would be 1e±1920.
        assert!(found.iter().all(|w| (w - 1.0 / 64.0).abs() < 1e-15), "{found:?}");
    }
    let mut aggregator = UwSo::default().build(&names(2)).unwrap();
    assert!(near(&factors(aggregator.as_mut(), &[1e-320, 1.0]), &[1.0, 0.0], 0.0));
}

#[test]
fn the_smooth_maximum_is_exact_where_its_exponents_are_huge() {
    let mut aggregator = Stch { mu: 1e-3, ..Stch::default() }.build(&names(2)).unwrap();
    assert!(near(&factors(aggregator.as_mut(), &[1e6, 1e6 - 1.0]), &[0.5, 0.0], 1e-200));
    assert_eq!(factors(aggregator.as_mut(), &[1e6, 1e6]), [0.25, 0.25]);
}

#[test]
fn after_its_warm_up_a_smooth_maximum_is_of_losses_relative_to_their_nadirs() {
    let mut aggregator = Stch { warm_up_epochs: Some(1), ..Stch::default() }.build(&names(2)).unwrap();
    assert!(aggregator.needs().epoch_means && aggregator.needs().fixed_tasks);
    assert_eq!(factors(aggregator.as_mut(), &[4.0, 0.5]), [0.25, 2.0]);
    aggregator.end_epoch(&told(&[4.0, 0.5])).unwrap();
    // Both are at half of their nadirs: K softmax(log ½, log ½) / l.
    assert!(near(&factors(aggregator.as_mut(), &[2.0, 0.25]), &[0.5, 4.0], 1e-15));
    aggregator.end_epoch(&told(&[1.0, 1.0])).unwrap();
    assert!(near(&factors(aggregator.as_mut(), &[2.0, 0.25]), &[0.5, 4.0], 1e-15), "the nadir stays");
}

#[test]
fn dynamic_averages_go_by_two_whole_epochs_and_know_absent_tasks() {
    let mut aggregator = Dwa::default().build(&names(2)).unwrap();
    aggregator.end_epoch(&told(&[1.0, 1.0])).unwrap();
    assert_eq!(factors(aggregator.as_mut(), &[9.0, 9.0]), [1.0, 1.0]);
    aggregator.end_epoch(&[(0, 0.5)].into_iter().collect()).unwrap();
    let half = [(0.25_f64).exp(), (0.5_f64).exp()];
    let expected: Vec<f64> = half.iter().map(|x| 2.0 * x / (half[0] + half[1])).collect();
    assert!(near(&factors(aggregator.as_mut(), &[9.0, 9.0]), &expected, 1e-15));
}

#[test]
fn random_weights_are_a_function_of_step_and_task() {
    for distribution in [
        WeightDistribution::Normal,
        WeightDistribution::Uniform,
        WeightDistribution::Dirichlet,
        WeightDistribution::Bernoulli,
        WeightDistribution::OneHot,
    ] {
        let mut aggregator = Rlw { distribution }.build(&names(3)).unwrap();
        let rows = vec![vec![1.0]; 3];
        let mut sums = [0.0; 3];
        for number in 0..400 {
            let mut at = |present: &[usize]| {
                let losses = vec![1.0; present.len()];
                let mut step = some_seen((3, present), losses, &rows[..present.len()], aggregator.needs());
                step.number = number;
                aggregator.combine(&mut step).unwrap().heads
            };
            let all = at(&[0, 1, 2]);
            assert_eq!(all, at(&[0, 1, 2]));
            assert!((all.iter().sum::<f64>() - 1.0).abs() < 1e-12 && all.iter().all(|w| *w >= 0.0));
            let two = at(&[0, 2]);
            // An absent task changes no other one's draw: proportions stay.
            assert!(
                (two[0] * all[2] - two[1] * all[0]).abs() < 1e-12 || all[0] + all[2] == 0.0,
                "{distribution:?}"
            );
            sums.iter_mut().zip(&all).for_each(|(sum, w)| *sum += w / 400.0);
        }
        assert!(sums.iter().all(|mean| (mean - 1.0 / 3.0).abs() < 0.08), "{distribution:?} {sums:?}");
    }
}

#[test]
fn the_weights_of_a_solved_task_do_not_grow_without_end() {
    let settings = ImtlL { learning_rate: Some(10.0), ..ImtlL::default() };
    let mut aggregator = settings.build(&names(1)).unwrap();
    let found: Vec<f64> = (0..50).map(|_| factors(aggregator.as_mut(), &[0.0])[0]).collect();
    assert!(found.iter().all(|w| w.is_finite()) && found[49] == 50_f64.exp(), "{found:?}");
}

#[test]
fn famo_is_told_of_absent_tasks_and_they_rest() {
    let mut aggregator = Famo::default().build(&names(3)).unwrap();
    let rows = vec![vec![1.0]; 2];
    let mut step = some_seen((3, &[0, 2]), vec![1.0, 2.0], &rows, aggregator.needs());
    let first = aggregator.combine(&mut step).unwrap().heads;
    assert!(near(&first, &[2.0 / 3.0, 1.0 / 3.0], 1e-8), "{first:?}");
    // Task 0 fell more than task 2: it counts less. Task 1 was not seen.
    aggregator.after_step(&[(0, 0.5), (2, 1.9)].into_iter().collect()).unwrap();
    let logits = memory(aggregator.as_ref(), "logits");
    assert!(logits[0] < 0.0 && logits[2] > 0.0 && logits[1] == 0.0, "{logits:?}");
    assert_eq!(memory(aggregator.as_ref(), "steps"), [1.0, 0.0, 1.0]);
    // Losses below the least value have no rate.
    let least = Famo {
        least: [("task0", 0.0), ("task1", 0.0), ("task2", 5.0)].map(|(n, x)| (n.to_owned(), x)).into(),
        ..Famo::default()
    };
    let mut aggregator = least.build(&names(3)).unwrap();
    let error =
        aggregator.combine(&mut some_seen((3, &[2]), vec![2.0], &rows[..1], aggregator.needs())).unwrap_err();
    assert!(error.to_string().contains("`task2` is 2"), "{error}");
}

#[test]
fn equal_norms_and_rates_leave_the_weights_of_gradnorm_alone() {
    let mut aggregator = GradNorm::default().build(&names(2)).unwrap();
    let rows = [vec![3.0, 4.0], vec![0.0, 5.0]];
    for losses in [[2.0, 0.2], [1.0, 0.1], [0.5, 0.05]] {
        let (combination, _) = combine(aggregator.as_mut(), &losses, &rows);
        assert_eq!(combination.heads, [1.0, 1.0]);
    }
    // A longer gradient's weight falls, and the weights still add up to their number; none falls below 0.
    let fast = GradNorm { learning_rate: 0.9, ..GradNorm::default() };
    let mut aggregator = fast.build(&names(2)).unwrap();
    let rows = [vec![300.0, 0.0], vec![0.0, 5.0]];
    for _ in 0..6 {
        let (combination, _) = combine(aggregator.as_mut(), &[1.0, 1.0], &rows);
        let sum: f64 = combination.heads.iter().sum();
        assert!((sum - 2.0).abs() < 1e-12 && combination.heads.iter().all(|w| *w >= 0.0), "{combination:?}");
    }
    assert!(memory(aggregator.as_ref(), "weights")[0] < 0.5);
}

#[test]
fn gradnorm_may_wait_for_the_first_epoch_to_know_its_losses() {
    let settings = GradNorm { initial_loss: InitialLoss::FirstEpoch, ..GradNorm::default() };
    let mut aggregator = settings.build(&names(2)).unwrap();
    let rows = [vec![3.0], vec![1.0]];
    for _ in 0..3 {
        assert_eq!(combine(aggregator.as_mut(), &[2.0, 1.0], &rows).0.heads, [1.0, 1.0]);
    }
    aggregator.end_epoch(&told(&[2.0, 1.0])).unwrap();
    combine(aggregator.as_mut(), &[2.0, 1.0], &rows);
    let after = combine(aggregator.as_mut(), &[2.0, 1.0], &rows).0.heads;
    assert!(after[0] < 1.0 && after[1] > 1.0, "{after:?}");
}

#[test]
fn signs_are_drawn_with_their_probability() {
    let rows = [vec![1.0, -2.0, 0.0], vec![3.0, 1.0, 0.0], vec![-1.0, 0.5, 0.0]];
    let mut aggregator = GradDrop::default().build(&names(3)).unwrap();
    let mut mean = [0.0; 3];
    for number in 0..4000 {
        let mut step = seen(vec![1.0; 3], &rows, aggregator.needs());
        step.number = number;
        let combination = aggregator.combine(&mut step).unwrap();
        let found = step.direction(&combination).unwrap();
        // All of one sign is left, or all of the other.
        assert!((found[0] == 4.0 || found[0] == -1.0) && (found[1] == 1.5 || found[1] == -2.0), "{found:?}");
        assert_eq!(found[2], 0.0);
        mean.iter_mut().zip(&found).for_each(|(mean, x)| *mean += x / 4000.0);
    }
    // P = ½ (1 + 3/5) = 0.8 and ½ (1 − 0.5/3.5) = 3/7.
    let expected = [0.8 * 4.0 - 0.2, 3.0 / 7.0 * 1.5 - 4.0 / 7.0 * 2.0, 0.0];
    assert!(near(&mean, &expected, 0.12), "{mean:?} {expected:?}");
    let mut leaky = GradDrop { leak: 1.0, ..GradDrop::default() }.build(&names(3)).unwrap();
    assert!(near(&combine(leaky.as_mut(), &[1.0; 3], &rows).1, &[3.0, -0.5, 0.0], 1e-15));
}

#[test]
fn the_first_step_of_dual_balance_is_not_shortened_by_the_start_of_its_averages() {
    let rows = [vec![2.0, 0.0], vec![0.0, 3.0]];
    let mut aggregator = DbMtl::default().build(&names(2)).unwrap();
    let (combination, direction) = combine(aggregator.as_mut(), &[0.5, 1.0], &rows);
    // Gradients of log losses are (4, 0) and (0, 3), and both become 4 long.
    assert!(near(&direction, &[4.0, 4.0], 1e-6), "{direction:?}");
    assert!(near(&combination.heads, &[2.0, 1.0], 1e-6), "heads follow the logarithm too");
    assert!(matches!(combination.shared, Shared::Direction { .. }));
}

#[test]
fn averages_of_absent_tasks_rest() {
    let mut aggregator = MoCo { beta: 0.5, ..MoCo::default() }.build(&names(2)).unwrap();
    combine(aggregator.as_mut(), &[1.0, 1.0], &[vec![2.0, 0.0], vec![0.0, 2.0]]);
    let mut step = some_seen((2, &[0]), vec![1.0], &[vec![4.0, 0.0]], aggregator.needs());
    let combination = aggregator.combine(&mut step).unwrap();
    // y of task 0 is 1 after the first step and 2.5 after the second.
    assert!(near(&step.direction(&combination).unwrap(), &[2.5, 0.0], 1e-15));
    let averages = &aggregator.state().unwrap().tensors["averages"];
    let found = Vec::<f64>::try_from(averages.reshape([-1])).unwrap();
    assert!(near(&found, &[2.5, 0.0, 0.0, 1.0], 1e-15), "{found:?}");
}

fn with_replicas(aggregator: &dyn Aggregator, own: GivenBatch, replicas: [GivenBatch; 2]) -> GivenStep {
    let mut step = GivenStep::new(own, aggregator.needs());
    step.replicas = replicas.into();
    step
}

#[test]
fn independent_batches_are_independent_and_may_hold_other_tasks() {
    let batch = |present: &[usize], rows: &[Vec<f64>]| {
        GivenBatch::of(present.iter().map(|task| (*task, 1.0)).collect::<TaskVec>(), rows).unwrap()
    };
    let (a, b) = ([vec![1.0, 0.0], vec![0.0, 1.0]], [vec![0.0, 2.0], vec![0.0, 1.0]]);
    let mut aggregator = MoDo { gamma: 0.1, rho: 0.0 }.build(&names(2)).unwrap();
    let mut step =
        with_replicas(aggregator.as_ref(), batch(&[0, 1], &a), [batch(&[0, 1], &a), batch(&[0, 1], &b)]);
    // J₁ J₂ᵀ = [[0, 0], [2, 1]] is not symmetric: λ ← Π((½, ½) − 0.1 (0, 1.5)).
    let found = weights(&aggregator.combine(&mut step).unwrap());
    assert!(near(&found, &[0.575, 0.425], 1e-15), "{found:?}");
    // Only task 2 is in both further batches: rows are found by task, not by place.
    let rows = [vec![1.0, 1.0], vec![5.0, 0.0]];
    for settings in [&MoDo::default() as &dyn AggregatorSettings, &SdmGrad::default()] {
        let mut aggregator = settings.build(&names(3)).unwrap();
        let mut step = with_replicas(
            aggregator.as_ref(),
            batch(&[0, 1], &a),
            [batch(&[0, 2], &rows), batch(&[1, 2], &rows)],
        );
        let found = weights(&aggregator.combine(&mut step).unwrap());
        assert!(near(&found, &[0.5, 0.5], 1e-12), "{settings:?} {found:?}");
    }
}

#[test]
fn direction_oriented_descent_comes_to_the_best_weights() {
    let rows = [vec![3.0, 0.2, 0.1], vec![-1.0, 0.5, 0.7], vec![0.3, -1.0, 2.0]];
    let settings = SdmGrad { iterations: 3000, learning_rate: 0.1, ..SdmGrad::default() };
    let mut aggregator = settings.build(&names(3)).unwrap();
    let batch = || GivenBatch::new([1.0; 3], &rows).unwrap();
    let mut step = with_replicas(aggregator.as_ref(), batch(), [batch(), batch()]);
    let combination = aggregator.combine(&mut step).unwrap();
    let direction = step.direction(&combination).unwrap();
    // w is best where every task that has a share has the least inner product with the direction.
    let shares = memory(aggregator.as_ref(), "shares");
    let products: Vec<f64> = rows.iter().map(|row| dot(row, &direction)).collect();
    let least = products.iter().copied().fold(f64::INFINITY, f64::min);
    for (share, product) in shares.iter().zip(&products) {
        assert!(*share < 1e-9 || (product - least).abs() < 1e-9, "{shares:?} {products:?}");
    }
    assert!((weights(&combination).iter().sum::<f64>() - 1.0).abs() < 1e-12);
}

#[test]
fn auto_lambda_raises_what_helps_the_primary_task_on_validation_data() {
    let settings = AutoLambda { learning_rate: 0.01, primary: vec!["task0".into()], ..AutoLambda::default() };
    let mut aggregator = settings.build(&names(3)).unwrap();
    let rows = [vec![1.0, 0.0], vec![-1.0, 0.2], vec![0.5, 3.0]];
    let mut step = seen(vec![1.0; 3], &rows, aggregator.needs());
    // On validation data the gradient of the primary task is (2, 0); the others' gradients there do not matter.
    let validation = [vec![2.0, 0.0], vec![0.0, -9.0]];
    let losses: TaskVec = [(0, 1.0), (2, 1.0)].into_iter().collect();
    step.validation = Some(GivenBatch::of(losses, &validation).unwrap());
    let found = aggregator.combine(&mut step).unwrap().heads;
    assert!(near(&found, &[0.11, 0.09, 0.11], 1e-7), "{found:?}");
    // −η ⟨v, gᵢ⟩ with η = 0.01; Adam's mean is a tenth of it.
    let mean = memory(aggregator.as_ref(), "mean");
    assert!(near(&mean, &[-0.002, 0.002, -0.001], 1e-12), "{mean:?}");
    // Without the primary task in the validation batch nothing is learned.
    let mut step = seen(vec![1.0; 3], &rows, aggregator.needs());
    step.validation =
        Some(GivenBatch::of([(1, 1.0)].into_iter().collect::<TaskVec>(), &validation[..1]).unwrap());
    assert_eq!(aggregator.combine(&mut step).unwrap().heads, found);
}

#[test]
fn fair_directions_solve_their_equation_at_every_scale() {
    let rows = [vec![3.0, 0.2, 0.1], vec![-1.0, 0.5, 0.7], vec![0.3, -1.0, 2.0]];
    for alpha in [0.5, 1.0, 2.0, 5.0] {
        for powers in [[0, 0, 0], [-10, 3, 0], [5, -5, 12]] {
            let scaled: Vec<Vec<f64>> = rows
                .iter()
                .zip(powers)
                .map(|(row, power)| row.iter().map(|x| x * 10_f64.powi(power)).collect())
                .collect();
            let mut aggregator = FairGrad { alpha, ..FairGrad::default() }.build(&names(3)).unwrap();
            let (combination, direction) = combine(aggregator.as_mut(), &[1.0; 3], &scaled);
            let found = weights(&combination);
            let terms: f64 = found.iter().zip(&scaled).map(|(w, row)| w * norm(row)).sum();
            for (weight, row) in found.iter().zip(&scaled) {
                let (product, wanted) = (dot(row, &direction), weight.powf(-alpha.recip()));
                let allowed = 1e-6 * wanted + 1e-13 * norm(row) * terms;
                assert!(
                    *weight > 0.0 && (product - wanted).abs() < allowed,
                    "{alpha} {powers:?}: {product} {wanted}"
                );
            }
        }
    }
    // α = 1 is the bargain of Nash-MTL.
    let mut fair = FairGrad::default().build(&names(3)).unwrap();
    let mut nash = NashMtl { max_norm: f64::INFINITY, ..NashMtl::default() }.build(&names(3)).unwrap();
    let (one, other) =
        (combine(fair.as_mut(), &[1.0; 3], &rows).1, combine(nash.as_mut(), &[1.0; 3], &rows).1);
    assert!(near(&one, &other, 1e-12));
    // At a Pareto-stationary point there is none.
    let opposite = [vec![1.0, 2.0], vec![-3.0, -6.0]];
    let mut fair = FairGrad { alpha: 2.0, ..FairGrad::default() }.build(&names(2)).unwrap();
    assert_eq!(combine(fair.as_mut(), &[1.0; 2], &opposite).1, [0.0, 0.0]);
}

#[test]
fn impartial_projections_are_equal() {
    let rows = [vec![3.0, 0.2, 0.1], vec![-1.0, 0.5, 0.7], vec![0.3, -1.0, 2.0]];
    let mut aggregator = ImtlG::default().build(&names(3)).unwrap();
    let (combination, direction) = combine(aggregator.as_mut(), &[1.0; 3], &rows);
    let projections: Vec<f64> = rows.iter().map(|row| dot(row, &direction) / norm(row)).collect();
    assert!(projections.iter().all(|p| (p - projections[0]).abs() < 1e-13), "{projections:?}");
    assert!((weights(&combination).iter().sum::<f64>() - 1.0).abs() < 1e-13);
}

#[test]
fn robust_means_leave_out_what_stands_apart() {
    let rows = [vec![1.0, 5.0], vec![2.0, 1.0], vec![3.0, 2.0], vec![900.0, -700.0]];
    let mut trimmed = TrimmedMean { trim: 1, ..TrimmedMean::default() }.build(&names(4)).unwrap();
    assert_eq!(combine(trimmed.as_mut(), &[1.0; 4], &rows).1, [2.5, 1.5]);
    // With two of four present nothing can be left out.
    let mut step =
        some_seen((4, &[0, 3]), vec![1.0; 2], &[rows[0].clone(), rows[3].clone()], trimmed.needs());
    let combination = trimmed.combine(&mut step).unwrap();
    assert_eq!(step.direction(&combination).unwrap(), [450.5, -347.5]);
    let mut krum = Krum { faulty: 1, selected: 2, ..Krum::default() }.build(&names(4)).unwrap();
    let found = weights(&combine(krum.as_mut(), &[1.0; 4], &rows).0);
    assert_eq!(found, [0.0, 0.5, 0.5, 0.0]);
    for (settings, said) in [
        (
            Box::new(TrimmedMean { trim: 2, ..TrimmedMean::default() }) as Box<dyn AggregatorSettings>,
            "at least 5 tasks",
        ),
        (Box::new(Krum { faulty: 2, ..Krum::default() }), "at least 5 tasks"),
        (Box::new(Krum { selected: 5, ..Krum::default() }), "5 selected of 4 tasks"),
    ] {
        let error = settings.build(&names(4)).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn windows_and_epochs_are_counted_by_task() {
    let mut aggregator = SoftAdapt { window: 2, beta: 1.0, ..SoftAdapt::default() }.build(&names(2)).unwrap();
    for losses in [[1.0, 1.0], [3.0, 1.0], [2.0, 0.0], [2.0, 0.0]] {
        assert_eq!(factors(aggregator.as_mut(), &losses), [1.0, 1.0]);
    }
    // Means went from (2, 1) to (2, 0).
    let shares = [1.0, (-1.0_f64).exp()];
    let expected: Vec<f64> = shares.iter().map(|x| 2.0 * x / (shares[0] + shares[1])).collect();
    assert!(near(&factors(aggregator.as_mut(), &[9.0, 9.0]), &expected, 1e-15));
    let mut aggregator = Lbtw { alpha: 1.0 }.build(&names(2)).unwrap();
    assert_eq!(factors(aggregator.as_mut(), &[4.0, 1.0]), [1.0, 1.0]);
    assert_eq!(factors(aggregator.as_mut(), &[1.0, 1.0]), [0.25, 1.0]);
    let mut step = seen(vec![1.0, 3.0], &[vec![1.0], vec![1.0]], aggregator.needs());
    step.epoch = 1;
    assert_eq!(aggregator.combine(&mut step).unwrap().heads, [1.0, 1.0]);
}

#[test]
fn weights_are_smoothed_scaled_limited_and_kept() {
    let rows = [vec![3.0, 0.0], vec![0.0, 4.0]];
    let build = |post: &Post| {
        let method = manytask_multitask::aggregators::Mgda::default().build(&names(2)).unwrap();
        post.build("test", method, &names(2)).unwrap()
    };
    let alone = weights(&combine(build(&Post::default()).as_mut(), &[1.0; 2], &rows).0);
    let of = |post: &Post| weights(&combine(build(post).as_mut(), &[1.0; 2], &rows).0);
    let twice: Vec<f64> = alone.iter().map(|w| w * 2.0).collect();
    assert!(near(&of(&Post { scale: WeightScale::Sum, ..Post::default() }), &twice, 1e-15));
    assert!(near(&of(&Post { scale: WeightScale::Factor(2.0), ..Post::default() }), &twice, 1e-15));
    let limited = of(&Post { max_norm: 0.5, ..Post::default() });
    assert!((norm(&[limited[0] * 3.0, limited[1] * 4.0]) - 0.5).abs() < 1e-15);
    let mut smooth = build(&Post { smoothing: 0.75, ..Post::default() });
    assert!(smooth.needs().fixed_tasks);
    assert_eq!(weights(&combine(smooth.as_mut(), &[1.0; 2], &rows).0), alone, "the first is taken as it is");
    let turned = [rows[1].clone(), rows[0].clone()];
    let found = weights(&combine(smooth.as_mut(), &[1.0; 2], &turned).0);
    let expected = [0.75 * alone[0] + 0.25 * alone[1], 0.75 * alone[1] + 0.25 * alone[0]];
    assert!(near(&found, &expected, 1e-15));
    let mut kept = build(&Post { update_every: 2, ..Post::default() });
    let found: Vec<Vec<f64>> =
        [&rows, &turned, &turned].map(|rows| weights(&combine(kept.as_mut(), &[1.0; 2], rows).0)).into();
    assert!(found[0] == alone && found[1] == alone && found[2] == [alone[1], alone[0]], "{found:?}");
    for (post, said) in [
        (Post { smoothing: 1.0, ..Post::default() }, "test: smoothing is 1"),
        (Post { scale: WeightScale::Factor(0.0), ..Post::default() }, "test: a scale by 0"),
        (Post { update_every: 0, ..Post::default() }, "test: update_every is 0"),
    ] {
        let method = manytask_multitask::aggregators::Mgda::default().build(&names(2)).unwrap();
        assert!(post.build("test", method, &names(2)).unwrap_err().to_string().starts_with(said));
    }
}
