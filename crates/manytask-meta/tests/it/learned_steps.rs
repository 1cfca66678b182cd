//! Inner rules with parameters of their own, on linear regressions whose steps are known.

use manytask_meta::data::Episodes;
use manytask_meta::multitask::{Draw, Problem, Split};
use manytask_meta::nn::nets::{Mlp, MlpConfig};
use manytask_meta::nn::{Builder, loss::Loss};
use manytask_meta::tensor::random::Key;
use manytask_meta::tensor::{Device, Kind, Layout, Params, Tensor};
use manytask_meta::{
    Adapts, Alfa, EpisodeShape, Execution, Kfo, L2f, LearnerSpec, Maml, MetaCurvature, MetaModel,
    MetaProblem, MetaSettings, MtNet, OuterGradient, WarpGrad,
};

use crate::source::{Written, sinusoids};

const ON: (Kind, Device) = (Kind::Double, Device::Cpu);
const DRAW: Draw = Draw { seed: 4, step: 2, replica: 0, split: Split::Train };
const RATE: f64 = 0.1;

fn normal(name: &str, shape: &[i64]) -> Tensor {
    Key::new(7, name).normal(shape, ON.0, ON.1).unwrap()
}

fn episodes() -> Episodes {
    Episodes {
        support_x: normal("x", &[2, 4, 3]),
        support_y: normal("y", &[2, 4, 2]),
        query_x: normal("q", &[2, 5, 3]),
        query_y: normal("r", &[2, 5, 2]),
    }
}

fn problem(learner: &dyn LearnerSpec, execution: Execution) -> MetaProblem {
    let mut layout = Layout::builder();
    let config = MlpConfig { output: Some(2), ..MlpConfig::default() };
    let net = Mlp::new(&mut Builder::new(&mut layout), 3, &config).unwrap();
    let model = MetaModel::build(layout, Box::new(net), learner, EpisodeShape::regression(3, 2)).unwrap();
    let settings =
        MetaSettings { tasks_per_step: 2, evaluation_tasks: 2, execution, ..MetaSettings::default() };
    MetaProblem::new(model, Box::new(Written(episodes())), Loss::Mse, settings).unwrap()
}

/// The losses of both tasks, computed in two ways, where parameters of these names are as given.
fn losses(learner: &dyn LearnerSpec, given: &[(&str, Tensor)]) -> (Params, Vec<f64>) {
    let run = |execution| {
        let problem = problem(learner, execution);
        let mut params = problem.layout().init(3, ON.0, ON.1).unwrap();
        for (entry, leaf) in problem.layout().init(3, ON.0, ON.1).unwrap().iter() {
            let found = given.iter().find(|(name, _)| entry.name.starts_with(name));
            let slot = problem.layout().find(&entry.name).unwrap();
            if let Some((_, value)) = found {
                params.put(slot, leaf.zeros_like() + value).unwrap();
            }
        }
        let losses = problem.losses(&params.require_grad().unwrap(), DRAW).unwrap().values().to_vec();
        (params, losses)
    };
    let (params, together) = run(Execution::Batched);
    let (_, one_by_one) = run(Execution::Loop);
    assert!(together.iter().zip(&one_by_one).all(|(a, b)| (a - b).abs() < 1e-12));
    (params, together)
}

/// Weight and offset of a task with the gradients of its support loss by them.
fn gradients(task: i64, (weight, bias): (&Tensor, &Tensor)) -> (Tensor, Tensor) {
    let (x, y) = (episodes().support_x.get(task), episodes().support_y.get(task));
    let gap = (x.matmul(&weight.transpose(0, 1)) + bias - y) * (2.0 / 8.0);
    (gap.transpose(0, 1).matmul(&x), gap.sum_dim_intlist([0].as_slice(), false, ON.0))
}

fn query_loss(task: i64, (weight, bias): (&Tensor, &Tensor)) -> f64 {
    let (x, y) = (episodes().query_x.get(task), episodes().query_y.get(task));
    (x.matmul(&weight.transpose(0, 1)) + bias - y).square().mean(ON.0).double_value(&[])
}

fn start(params: &Params) -> (Tensor, Tensor) {
    let named = |name: &str| params.named(name).unwrap().shallow_clone();
    (named("head.weight"), named("head.bias"))
}

fn same(found: &[f64], expected: impl Fn(i64) -> f64) {
    for (task, found) in found.iter().enumerate() {
        let expected = expected(task as i64);
        assert!((found - expected).abs() < 1e-12, "{task}: {found} {expected}");
    }
}

#[test]
fn meta_curvature_maps_a_gradient_along_both_dimensions_and_begins_as_maml() {
    let learner = MetaCurvature { inner_learning_rate: RATE, ..MetaCurvature::default() };
    let maml = Maml { inner_learning_rate: RATE, ..Maml::default() };
    assert_eq!(losses(&learner, &[]).1, losses(&maml, &[]).1);
    let (rows, columns, of_bias) =
        (normal("a", &[2, 2]) * 0.3, normal("b", &[3, 3]) * 0.3, normal("c", &[2, 2]) * 0.3);
    let own = Tensor::shallow_clone;
    let given = [
        ("learner.curvature.head.weight.0", own(&rows)),
        ("learner.curvature.head.weight.1", own(&columns)),
        ("learner.curvature.head.bias.0", own(&of_bias)),
    ];
    let (params, found) = losses(&learner, &given);
    let (weight, bias) = start(&params);
    let around = |x: &Tensor| x + Tensor::eye(x.size()[0], ON);
    same(&found, |task| {
        let (by_weight, by_bias) = gradients(task, (&weight, &bias));
        let mapped = around(&rows).matmul(&by_weight).matmul(&around(&columns).transpose(0, 1));
        let next = (&weight - mapped * RATE, &bias - around(&of_bias).mv(&by_bias) * RATE);
        query_loss(task, (&next.0, &next.1))
    });
}

#[test]
fn kfo_maps_a_gradient_through_its_layers_and_begins_as_maml_with_one() {
    let maml = losses(&Maml { inner_learning_rate: RATE, ..Maml::default() }, &[]).1;
    let of = |layers| Kfo { layers, inner_learning_rate: RATE, ..Kfo::default() };
    assert_eq!(losses(&of(1), &[]).1, maml);
    let (rows, offset) = (normal("a", &[2, 2]) * 0.3, normal("o", &[2]) * 0.2);
    let own = Tensor::shallow_clone;
    let given = [
        ("learner.update.0.head.weight.0", own(&rows)),
        ("learner.update.0.head.bias.offset", own(&offset)),
        ("learner.update.1.head.bias.0", own(&rows)),
    ];
    let (params, found) = losses(&of(2), &given);
    let (weight, bias) = start(&params);
    let around = |x: &Tensor| x + Tensor::eye(x.size()[0], ON);
    same(&found, |task| {
        let (by_weight, by_bias) = gradients(task, (&weight, &bias));
        let of_weight = &by_weight + around(&rows).matmul(&by_weight).tanh();
        let of_bias = around(&rows).mv(&(&by_bias + (&by_bias + &offset).tanh()));
        let next = (&weight - of_weight * RATE, &bias - of_bias * RATE);
        query_loss(task, (&next.0, &next.1))
    });
}

#[test]
fn a_t_net_begins_as_maml_and_masks_take_half_of_a_step_to_begin_with() {
    let maml = losses(&Maml { inner_learning_rate: RATE, ..Maml::default() }, &[]).1;
    let t_net = MtNet { temperature: None, inner_learning_rate: RATE, ..MtNet::default() };
    assert_eq!(losses(&t_net, &[]).1, maml);
    // In an evaluation nothing is drawn, and ζ = 0 is a mask of one half.
    let metric = |learner: &dyn LearnerSpec| {
        let problem = problem(learner, Execution::Batched);
        let params = problem.layout().init(3, ON.0, ON.1).unwrap();
        problem.evaluate(&params, Split::Test).unwrap().tasks[0].loss.unwrap()
    };
    let masked = MtNet { temperature: Some(0.5), inner_learning_rate: RATE, ..MtNet::default() };
    let half = Maml { inner_learning_rate: RATE / 2.0, ..Maml::default() };
    assert!((metric(&masked) - metric(&half)).abs() < 1e-12);
}

/// Implementations differentiate the whole path, or take no step at its points.
#[test]
fn warp_layers_learn_from_one_step_at_each_point_of_the_path() {
    let warp = vec!["layer1.".to_owned()];
    let settings = || MetaSettings { tasks_per_step: 1, evaluation_tasks: 1, ..MetaSettings::default() };
    let adapts = Adapts::Named(vec!["layer0.".into(), "head.".into()]);
    let of_maml = |outer_gradient| {
        let adapts = adapts.clone();
        let learner = Maml { adapts, outer_gradient, inner_learning_rate: RATE, ..Maml::default() };
        sinusoids(&learner, settings()).unwrap()
    };
    let gradient = |problem: &MetaProblem, params: &Params| {
        let live = params.require_grad().unwrap();
        let combination = manytask_meta::multitask::Combination::weights(vec![1.0]);
        problem.forward(&live, DRAW).unwrap().finish(&combination).unwrap().detach().unwrap()
    };
    let learner = WarpGrad { inner_steps: 2, inner_learning_rate: RATE, warp };
    let problem = sinusoids(&learner, settings()).unwrap();
    let begin = problem.layout().init(3, ON.0, ON.1).unwrap();
    let found = gradient(&problem, &begin);
    let one_step = of_maml(OuterGradient::SecondOrder);
    let first = gradient(&one_step, &begin);
    let difference = gradient(&of_maml(OuterGradient::Difference), &begin);
    let second = gradient(&one_step, &begin.add_scaled(&difference, -1.0).unwrap());
    for (((entry, found), first), second) in found.iter().zip(first.leaves()).zip(second.leaves()) {
        let along = if entry.name.starts_with("layer1.") { first + second } else { first.shallow_clone() };
        let gap = (found - along * 0.5).abs().max().double_value(&[]);
        assert!(gap < 1e-12 && found.abs().max().double_value(&[]) > 1e-6, "{}: {gap}", entry.name);
    }
    let nothing = WarpGrad { warp: vec!["norm".into()], ..WarpGrad::default() };
    assert!(sinusoids(&nothing, settings()).unwrap_err().to_string().contains("names none"));
}

#[test]
fn alfa_decays_and_goes_down_by_the_rates_of_each_tensor_and_step() {
    let learner = Alfa { inner_steps: 2, ..Alfa::default() };
    let rates = Tensor::from_slice(&[0.1, 0.2, 0.05, 0.3]).reshape([2, 2]);
    let decays = Tensor::from_slice(&[0.01, 0.3, 0.02, 0.1]).reshape([2, 2]);
    let own = Tensor::shallow_clone;
    let given = [
        ("learner.generator", Tensor::from(0.0)),
        ("learner.rates", own(&rates)),
        ("learner.decays", own(&decays)),
    ];
    let (params, found) = losses(&learner, &given);
    let begin = start(&params);
    same(&found, |task| {
        let (mut weight, mut bias) = (own(&begin.0), own(&begin.1));
        for step in 0..2 {
            let (by_weight, by_bias) = gradients(task, (&weight, &bias));
            let at = |of: &Tensor, tensor: i64| of.double_value(&[step, tensor]);
            weight = &weight * (1.0 - at(&decays, 0)) - by_weight * at(&rates, 0);
            bias = &bias * (1.0 - at(&decays, 1)) - by_bias * at(&rates, 1);
        }
        query_loss(task, (&weight, &bias))
    });
    // What the perceptron says of a task counts.
    let other = losses(&learner, &given[1..]).1;
    assert!(other.iter().zip(&found).all(|(a, b)| (a - b).abs() > 1e-4), "{other:?} {found:?}");
}

#[test]
fn l2f_attenuates_the_start_once_before_the_first_step() {
    let learner = L2f { inner_steps: 2, inner_learning_rate: RATE, ..L2f::default() };
    let (params, found) = losses(&learner, &[("learner.generator", Tensor::from(0.0))]);
    let begin = start(&params);
    same(&found, |task| {
        let (mut weight, mut bias) = (&begin.0 * 0.5, &begin.1 * 0.5);
        for _ in 0..2 {
            let (by_weight, by_bias) = gradients(task, (&weight, &bias));
            (weight, bias) = (weight - by_weight * RATE, bias - by_bias * RATE);
        }
        query_loss(task, (&weight, &bias))
    });
}

/// Ports lose the gradient of what a rule learns where inner gradients are constants.
#[test]
fn first_order_learned_rules_keep_the_gradient_of_what_they_learn() {
    let outer_gradient = OuterGradient::FirstOrder;
    let learners: [&dyn LearnerSpec; 5] = [
        &MetaCurvature { outer_gradient, ..MetaCurvature::default() },
        &Alfa { outer_gradient, ..Alfa::default() },
        &L2f { outer_gradient, ..L2f::default() },
        &Kfo { outer_gradient, ..Kfo::default() },
        &MtNet { outer_gradient, ..MtNet::default() },
    ];
    for learner in learners {
        let problem = problem(learner, Execution::Batched);
        let params = problem.layout().init(3, ON.0, ON.1).unwrap().require_grad().unwrap();
        let mut pass = problem.forward(&params, DRAW).unwrap();
        let combination = manytask_meta::multitask::Combination::weights(vec![1.0; 2]);
        let gradient = pass.finish(&combination).unwrap();
        for (entry, leaf) in gradient.iter().filter(|(entry, _)| entry.name.starts_with("learner.")) {
            let size = leaf.abs().max().double_value(&[]);
            assert!(size > 1e-12, "{}: {} has no gradient", learner.name(), entry.name);
        }
    }
    let refused = |learner: &dyn LearnerSpec| {
        let mut layout = Layout::builder();
        let config = MlpConfig { output: Some(2), ..MlpConfig::default() };
        let net = Mlp::new(&mut Builder::new(&mut layout), 3, &config).unwrap();
        MetaModel::build(layout, Box::new(net), learner, EpisodeShape::regression(3, 2)).unwrap_err()
    };
    let outer_gradient = OuterGradient::Difference;
    assert!(refused(&Alfa { outer_gradient, ..Alfa::default() }).to_string().contains("`alfa`"));
}
