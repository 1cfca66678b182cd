//! What methods ask for, what they do when tasks are absent, and what their derivatives are.

use manytask_multitask::aggregators::{
    AlignedMtl, CaGrad, EqualWeights, FixedWeights, Form, Mgda, NashMtl, Normalisation, PcGrad, Rescale,
    Scale, UncertaintyWeighting, UpGrad,
};
use manytask_multitask::{AggregatorSettings, Level, Needs};
use manytask_tensor::{Graph, Kind, Tensor, gradients};
use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};

use crate::aggregators::{all, combine, dot, memory, names, on_gramians, weights};
use crate::step::{seen, some_seen};

fn rows() -> Vec<Vec<f64>> {
    vec![vec![1.0, 0.5, -2.0], vec![-1.5, 1.0, 0.0], vec![0.2, -3.0, 1.0]]
}

#[test]
fn methods_on_losses_never_ask_for_gradients_and_others_for_no_jacobian() {
    for (number, settings) in all().into_iter().enumerate() {
        let gramian = number >= 3;
        let mut aggregator = settings.build(&names(3)).unwrap();
        // Not what it declares but what it should: the step fails the test where more is taken.
        let allowed = if gramian { Needs::gramian(Level::Parameters) } else { Needs::LOSSES };
        let combination =
            aggregator.combine(&mut seen(vec![1.0, 2.0, 0.5], &rows(), allowed.clone())).unwrap();
        assert_eq!(aggregator.needs().demand(), allowed.demand(), "{settings:?}");
        assert_eq!(aggregator.weights().unwrap().values(), weights(&combination), "{settings:?}");
        // Weighted losses weigh the heads as well; combined gradients leave each head its own loss.
        let heads = if gramian { vec![1.0; 3] } else { weights(&combination) };
        assert_eq!(combination.heads, heads, "{settings:?}");
    }
}

#[test]
fn methods_with_a_state_for_each_task_need_fixed_tasks() {
    let fixed: Vec<bool> =
        all().iter().map(|settings| settings.build(&names(3)).unwrap().needs().fixed_tasks).collect();
    assert_eq!(fixed, [false, true, true, false, false, false, false, false, false]);
    let keeping = NashMtl { update_every: 2, ..NashMtl::default() };
    assert!(keeping.build(&names(3)).unwrap().needs().fixed_tasks);
}

#[test]
fn a_gradient_that_is_not_finite_is_an_error_with_its_task() {
    for settings in on_gramians() {
        for wrong in [f64::NAN, f64::INFINITY, 1e200] {
            let mut aggregator = settings.build(&names(4)).unwrap();
            let gradients = [vec![1.0, 2.0], vec![wrong, 0.5], vec![-1.0, 1.0]];
            let mut step = some_seen((4, &[0, 2, 3]), vec![1.0; 3], &gradients, aggregator.needs());
            step.number = 7;
            let error = aggregator.combine(&mut step).unwrap_err().to_string();
            assert!(
                error.contains("step 7: the gradient of task `task2` is not finite"),
                "{settings:?}: {error}"
            );
        }
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    let refused: [(Box<dyn AggregatorSettings>, &str); 5] = [
        (Box::new(CaGrad { c: -0.1, ..CaGrad::default() }), "cagrad: c is -0.1"),
        (Box::new(CaGrad { c: f64::NAN, ..CaGrad::default() }), "cagrad: c is NaN"),
        (Box::new(NashMtl { max_norm: 0.0, ..NashMtl::default() }), "nash_mtl: max_norm is 0"),
        (Box::new(NashMtl { max_norm: f64::NAN, ..NashMtl::default() }), "nash_mtl: max_norm is NaN"),
        (Box::new(NashMtl { update_every: 0, ..NashMtl::default() }), "nash_mtl: update_every is 0"),
    ];
    for (settings, said) in refused {
        let error = settings.build(&names(2)).unwrap_err().to_string();
        assert!(error.starts_with(said), "{error}");
    }
}

#[test]
fn the_level_is_a_setting() {
    for level in [Level::Parameters, Level::Representation, Level::Layers(vec!["trunk.layer1".into()])] {
        let level = || level.clone();
        let mgda = Mgda { level: level(), ..Mgda::default() };
        let cagrad = CaGrad { level: level(), ..CaGrad::default() };
        let aligned = AlignedMtl { level: level(), ..AlignedMtl::default() };
        let nash = NashMtl { level: level(), ..NashMtl::default() };
        let (pcgrad, upgrad) = (PcGrad { level: level() }, UpGrad { level: level() });
        for settings in [&mgda as &dyn AggregatorSettings, &pcgrad, &cagrad, &upgrad, &aligned, &nash] {
            assert_eq!(settings.build(&names(2)).unwrap().needs(), Needs::gramian(level()));
        }
    }
}

#[test]
fn an_absent_task_is_no_row() {
    let present = vec![rows()[0].clone(), rows()[2].clone()];
    let mut without_weights = on_gramians();
    without_weights.push(Box::new(EqualWeights::default()));
    for settings in without_weights {
        let mut of_three = settings.build(&names(3)).unwrap();
        let mut step = some_seen((3, &[0, 2]), vec![1.0, 0.5], &present, of_three.needs());
        let absent = of_three.combine(&mut step).unwrap();
        let mut of_two = settings.build(&names(2)).unwrap();
        let (alone, _) = combine(of_two.as_mut(), &[1.0, 0.5], &present);
        assert_eq!(weights(&absent), weights(&alone), "{settings:?}");
        assert_eq!(absent.heads.len(), 2);
    }
}

#[test]
fn uncertainty_has_the_derivative_of_its_objective() {
    for (form, half) in [(Form::Regression, 0.5), (Form::Classification, 1.0)] {
        let settings = UncertaintyWeighting { initial: 0.3, learning_rate: Some(1e-3), form };
        let mut aggregator = settings.build(&names(3)).unwrap();
        let losses = [2.0, 0.1, 5.0];
        let (combination, _) = combine(aggregator.as_mut(), &losses, &rows());
        let s = Tensor::full([3], 0.3, (Kind::Double, manytask_tensor::Device::Cpu)).set_requires_grad(true);
        let l = Tensor::from_slice(&losses).set_requires_grad(true);
        let objective = ((-&s).exp() * &l * half + &s * 0.5).sum(Kind::Double);
        let found = gradients(&objective, &[&s, &l], Graph::Free).unwrap();
        // Adam's mean is a tenth of the gradient after its first step.
        let by_s = memory(aggregator.as_ref(), "mean");
        for (task, (mean, weight)) in by_s.iter().zip(weights(&combination)).enumerate() {
            let at = |gradient: &Tensor| gradient.double_value(&[task as i64]);
            assert!((mean * 10.0 - at(&found[0])).abs() < 1e-12, "{form:?}");
            assert!((weight - at(&found[1])).abs() < 1e-12, "{form:?}");
        }
    }
}

#[test]
fn golden_log_variances_are_those_of_pytorch() {
    // torch.optim.Adam([s], lr=.025) in float64 on (half * exp(-s) * l + s / 2).sum(), from -0.5, five steps.
    let golden = [
        (Form::Regression, [-0.394_337_586_785_121_2, -0.617_264_139_565_515_6]),
        (Form::Classification, [-0.387_900_740_691_054_3, -0.583_603_056_427_655_4]),
    ];
    for (form, expected) in golden {
        let settings = UncertaintyWeighting { initial: -0.5, learning_rate: Some(0.025), form };
        let mut aggregator = settings.build(&names(2)).unwrap();
        for losses in [[2.0, 0.1], [1.5, 0.3], [0.7, 0.05], [3.0, 0.2], [0.4, 0.6]] {
            combine(aggregator.as_mut(), &losses, &rows()[..2]);
        }
        let found = memory(aggregator.as_ref(), "log_variance");
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{form:?} {found:?}");
    }
}

#[test]
fn uncertainty_learns_at_the_rate_of_the_step_where_none_is_given() {
    let mut aggregator = UncertaintyWeighting::default().build(&names(1)).unwrap();
    combine(aggregator.as_mut(), &[3.0], &[vec![1.0]]);
    let found = memory(aggregator.as_ref(), "log_variance")[0];
    assert!((found - 0.01).abs() < 1e-9, "{found}");
}

#[test]
fn a_negative_loss_does_not_turn_its_gradient_around() {
    let weights_at = |losses: &[f64], normalisation| {
        let mut aggregator = Mgda { normalisation, ..Mgda::default() }.build(&names(3)).unwrap();
        weights(&combine(aggregator.as_mut(), losses, &rows()).0)
    };
    for normalisation in [Normalisation::Loss, Normalisation::LossL2] {
        assert_eq!(weights_at(&[1.0, -2.0, 0.5], normalisation), weights_at(&[1.0, 2.0, 0.5], normalisation));
    }
}

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(settings: &T) {
    let mut written = serde_json::to_value(settings).unwrap();
    assert_eq!(&serde_json::from_value::<T>(written.clone()).unwrap(), settings);
    written.as_object_mut().unwrap().insert("typo".to_owned(), 1.into());
    let error = serde_json::from_value::<T>(written).unwrap_err().to_string();
    assert!(error.contains("`typo`"), "{error}");
}

#[test]
fn settings_are_written_and_read_and_know_their_fields() {
    round_trip(&EqualWeights::default());
    round_trip(&FixedWeights { weights: names(2).into_iter().zip([0.5, 2.0]).collect() });
    round_trip(&UncertaintyWeighting {
        initial: -0.5,
        learning_rate: Some(0.025),
        form: Form::Classification,
    });
    round_trip(&PcGrad { level: Level::Representation });
    round_trip(&Mgda { level: Level::Representation, normalisation: Normalisation::LossL2 });
    round_trip(&CaGrad { level: Level::Representation, c: 0.5, rescale: Rescale::OnePlusC });
    round_trip(&UpGrad { level: Level::Representation });
    round_trip(&AlignedMtl { level: Level::Representation, scale: Scale::Rmse });
    round_trip(&NashMtl { level: Level::Representation, max_norm: 2.0, update_every: 10 });
}

/// Surgery of gradient `task` by the others in this order, on the vectors themselves.
fn surgery(rows: &[Vec<f64>], task: usize, order: [usize; 2]) -> Vec<f64> {
    let mut own = rows[task].clone();
    for other in order.map(|other| &rows[other]) {
        let factor = dot(&own, other).min(0.0) / dot(other, other);
        own.iter_mut().zip(other).for_each(|(x, y)| *x -= factor * y);
    }
    own
}

#[test]
fn each_task_draws_its_own_order() {
    // Of three gradients against one another each task has two orders of the others: eight answers if the orders are
    // independent, six if all tasks shared one.
    let rows = [vec![1.0, 0.2, -0.3], vec![-1.0, 0.5, -0.2], vec![0.1, -1.0, -0.1]];
    assert!((0..3).all(|i| (0..i).all(|j| dot(&rows[i], &rows[j]) < 0.0)));
    let mut aggregator = PcGrad::default().build(&names(3)).unwrap();
    let mut answers = std::collections::BTreeSet::new();
    for number in 0..300 {
        let mut step = seen(vec![1.0; 3], &rows, aggregator.needs());
        step.number = number;
        let found = weights(&aggregator.combine(&mut step).unwrap());
        answers.insert(found.iter().map(|w| format!("{w:.9}")).collect::<Vec<_>>());
    }
    assert_eq!(answers.len(), 8);
}

proptest! {
    #[test]
    fn surgery_of_three_is_that_of_one_of_its_orders(
        rows in prop::collection::vec(prop::collection::vec(-1.0..1.0_f64, 3), 3),
    ) {
        prop_assume!(rows.iter().all(|row| dot(row, row) > 1e-3));
        let mut aggregator = PcGrad::default().build(&names(3)).unwrap();
        let (_, found) = combine(aggregator.as_mut(), &[1.0; 3], &rows);
        // Each task has two orders of the other two.
        let close = (0..8_usize).any(|orders| {
            let mut sum = [0.0; 3];
            for (task, mut order) in [[1, 2], [0, 2], [0, 1]].into_iter().enumerate() {
                if orders >> task & 1 == 1 {
                    order.reverse();
                }
                sum.iter_mut().zip(surgery(&rows, task, order)).for_each(|(x, y)| *x += y);
            }
            // The Gramian squares the conditioning of the rows.
            sum.iter().zip(&found).all(|(a, b)| (a - b).abs() < 1e-7)
        });
        prop_assert!(close, "{found:?}");
    }

    #[test]
    fn two_gradients_meet_in_closed_form(
        a in prop::collection::vec(-1.0..1.0_f64, 4),
        b in prop::collection::vec(-1.0..1.0_f64, 4),
        power in -3..4_i32,
    ) {
        let b: Vec<f64> = b.iter().map(|x| x * 10_f64.powi(power)).collect();
        let (aa, ab, bb) = (dot(&a, &a), dot(&a, &b), dot(&b, &b));
        prop_assume!(aa > 1e-9 && bb > 1e-12);
        let both = [a.clone(), b.clone()];
        // MGDA: the point nearest to the origin on the segment from b to a.
        let alpha = ((bb - ab) / (aa - 2.0 * ab + bb)).clamp(0.0, 1.0);
        let mut mgda = Mgda::default().build(&names(2)).unwrap();
        let found = weights(&combine(mgda.as_mut(), &[1.0, 1.0], &both).0);
        prop_assert!((found[0] - alpha).abs() < 1e-9 && (found[1] - (1.0 - alpha)).abs() < 1e-9);
        // PCGrad: each weight grows by what the other gradient gives up of it.
        let conflict = (-ab).max(0.0);
        let mut pcgrad = PcGrad::default().build(&names(2)).unwrap();
        let found = weights(&combine(pcgrad.as_mut(), &[1.0, 1.0], &both).0);
        prop_assert!((found[0] / (1.0 + conflict / aa) - 1.0).abs() < 1e-9);
        prop_assert!((found[1] / (1.0 + conflict / bb) - 1.0).abs() < 1e-9);
        // And it does not depend on their order.
        let turned = weights(&combine(pcgrad.as_mut(), &[1.0, 1.0], &[b, a]).0);
        prop_assert!((turned[0] - found[1]).abs() < 1e-9 * found[1] && (turned[1] - found[0]).abs() < 1e-9 * found[0]);
    }
}
