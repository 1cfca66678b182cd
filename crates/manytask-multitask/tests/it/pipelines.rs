//! Methods one after the other.

use manytask_multitask::aggregators::{
    CaGrad, EqualWeights, Famo, ImtlL, LossTransform, MoCo, PcGrad, Pipeline, Post, UncertaintyWeighting,
    UpGrad,
};
use manytask_multitask::{AggregatorSettings, Gives, TaskVec};

use crate::aggregators::{combine, names, weights};

fn rows() -> Vec<Vec<f64>> {
    vec![vec![1.0, 0.5, -2.0], vec![-1.5, 1.0, 0.0], vec![0.2, -3.0, 1.0]]
}

fn scaled(factors: &[f64]) -> Vec<Vec<f64>> {
    rows().iter().zip(factors).map(|(row, factor)| row.iter().map(|x| x * factor).collect()).collect()
}

fn near(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-13)
}

fn then(
    weighting: impl AggregatorSettings + 'static,
    combination: impl AggregatorSettings + 'static,
) -> Pipeline {
    Pipeline {
        weighting: Some(Box::new(weighting)),
        combination: Some(Box::new(combination)),
        ..Pipeline::default()
    }
}

#[test]
fn uncertainty_weighting_followed_by_cagrad_combines_the_weighted_gradients() {
    let uncertainty = UncertaintyWeighting { learning_rate: Some(0.1), ..UncertaintyWeighting::default() };
    let mut alone = uncertainty.build(&names(3)).unwrap();
    let mut pipeline = then(uncertainty, CaGrad::default()).build(&names(3)).unwrap();
    assert_eq!(pipeline.gives(), Gives::GradientWeights);
    for losses in [[2.0, 0.1, 1.0], [1.5, 0.2, 1.0], [1.0, 0.3, 1.0]] {
        let (combination, direction) = combine(pipeline.as_mut(), &losses, &rows());
        let weights = combine(alone.as_mut(), &losses, &rows()).0.heads;
        let mut cagrad = CaGrad::default().build(&names(3)).unwrap();
        let (_, expected) = combine(cagrad.as_mut(), &losses, &scaled(&weights));
        assert!(near(&direction, &expected), "{direction:?} {expected:?}");
        assert!(near(&combination.heads, &weights), "heads follow the weighted losses");
    }
}

#[test]
fn losses_are_transformed_before_they_are_weighted() {
    let losses = [2.0, 0.5, 4.0];
    let of = |transform, weighting: Box<dyn AggregatorSettings>| {
        let pipeline =
            Pipeline { transform: Some(transform), weighting: Some(weighting), ..Pipeline::default() };
        pipeline.build(&names(3)).unwrap()
    };
    let mut mean = of(LossTransform::Log, Box::new(EqualWeights {}));
    let found = combine(mean.as_mut(), &losses, &rows()).0.heads;
    assert!(near(&found, &[1.0 / 6.0, 2.0 / 3.0, 1.0 / 12.0]), "the derivative of the mean logarithm");
    // IMTL-L sees log l: after one step of Adam of rate 0.1 its s is −0.1 or 0.1 by the sign of log l − 1.
    let settings = ImtlL { learning_rate: Some(0.1), ..ImtlL::default() };
    let mut learned = of(LossTransform::Log, Box::new(settings));
    combine(learned.as_mut(), &losses, &rows());
    let found = combine(learned.as_mut(), &losses, &rows()).0.heads;
    let expected = [0.1_f64.exp() / 2.0, 0.1_f64.exp() / 0.5, (-0.1_f64).exp() / 4.0];
    assert!(found.iter().zip(expected).all(|(a, b)| (a / b - 1.0).abs() < 1e-6), "{found:?} {expected:?}");
    let mut initial = of(LossTransform::Initial, Box::new(EqualWeights {}));
    combine(initial.as_mut(), &losses, &rows());
    let found = combine(initial.as_mut(), &[9.0, 9.0, 9.0], &rows()).0.heads;
    assert!(near(&found, &[1.0 / 6.0, 2.0 / 3.0, 1.0 / 12.0]), "{found:?}");
    let mut average = of(LossTransform::Average { decay: 0.5 }, Box::new(EqualWeights {}));
    combine(average.as_mut(), &losses, &rows());
    let found = combine(average.as_mut(), &[4.0, 1.5, 0.0001], &rows()).0.heads;
    assert!((found[0] - 1.0 / 9.0).abs() < 1e-13 && (found[1] - 1.0 / 3.0).abs() < 1e-13, "{found:?}");
    let mut step = crate::step::seen(vec![1.0, -1.0, 1.0], &rows(), mean.needs());
    let error = mean.combine(&mut step).unwrap_err().to_string();
    assert!(error.contains("`task1` is -1"), "{error}");
}

#[test]
fn losses_after_the_step_reach_a_weighting_as_it_saw_them() {
    let build = || Pipeline {
        transform: Some(LossTransform::Initial),
        weighting: Some(Box::new(Famo::default())),
        ..Pipeline::default()
    };
    let mut pipeline = build().build(&names(2)).unwrap();
    let mut alone = Famo::default().build(&names(2)).unwrap();
    assert!(pipeline.needs().losses_after_step);
    let gradients = [vec![1.0], vec![2.0]];
    for _ in 0..3 {
        let found = combine(pipeline.as_mut(), &[2.0, 4.0], &gradients).0.heads;
        let expected = combine(alone.as_mut(), &[1.0, 1.0], &gradients).0.heads;
        assert!(near(&found, &[expected[0] / 2.0, expected[1] / 4.0]), "{found:?} {expected:?}");
        pipeline.after_step(&[1.0, 3.0].into_iter().collect::<TaskVec>()).unwrap();
        alone.after_step(&[0.5, 0.75].into_iter().collect::<TaskVec>()).unwrap();
    }
}

#[test]
fn kept_weights_are_of_the_combination_and_the_weighting_goes_on() {
    let post = Post { update_every: 2, ..Post::default() };
    let uncertainty = UncertaintyWeighting { learning_rate: Some(0.1), ..UncertaintyWeighting::default() };
    let mut pipeline = Pipeline { post, ..then(uncertainty, UpGrad::default()) }.build(&names(3)).unwrap();
    let losses = [2.0, 0.1, 1.0];
    let first = combine(pipeline.as_mut(), &losses, &rows()).0;
    let second = combine(pipeline.as_mut(), &losses, &rows()).0;
    assert_ne!(first.heads, second.heads);
    let of = |combination: &manytask_multitask::Combination| {
        weights(combination).iter().zip(&combination.heads).map(|(w, head)| w / head).collect::<Vec<_>>()
    };
    assert!(near(&of(&first), &of(&second)), "{first:?} {second:?}");
}

#[test]
fn rows_reach_methods_that_take_them_scaled() {
    let mut pipeline = then(UncertaintyWeighting::default(), MoCo::default()).build(&names(3)).unwrap();
    let mut alone = MoCo::default().build(&names(3)).unwrap();
    let (_, found) = combine(pipeline.as_mut(), &[1.0; 3], &rows());
    let (_, expected) = combine(alone.as_mut(), &[0.5; 3], &scaled(&[0.5; 3]));
    assert!(near(&found, &expected), "{found:?} {expected:?}");
    assert!(pipeline.state().unwrap().tensors.contains_key("combination.averages"));
}

#[test]
fn what_is_named_is_built_for_the_tasks_that_are_trained() {
    let fixed = manytask_multitask::aggregators::FixedWeights {
        weights: names(3).into_iter().zip([1.0, 2.0, 3.0]).collect(),
    };
    let pipeline = then(fixed, PcGrad::default());
    assert_eq!(pipeline.named(), names(3));
    let mut aggregator = pipeline.build_for_some(&names(2), &names(3)).unwrap();
    assert_eq!(combine(aggregator.as_mut(), &[1.0, 1.0], &rows()[..2]).0.heads, [1.0, 2.0]);
}
