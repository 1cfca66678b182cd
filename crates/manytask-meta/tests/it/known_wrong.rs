//! What implementations are known to get wrong, each as a test.

use manytask_meta::data::{Episodes, GaussianProcess};
use manytask_meta::multitask::{Combination, Draw, Evaluation, Problem, Split};
use manytask_meta::nn::nets::{Mlp, MlpConfig};
use manytask_meta::nn::{Builder, layers::Activation, loss::Loss, metrics::Output};
use manytask_meta::tensor::random::Key;
use manytask_meta::tensor::{Device, Kind, Layout, Params, Tensor};
use manytask_meta::{
    Anp, Cavia, Cnp, Dsn, EpisodeShape, Execution, Frn, Imaml, LearnedRates, LearnerSpec, LrD2, Maml,
    MamlPlusPlus, MatchingNet, MetaBaseline, MetaModel, MetaOptNetRr, MetaOptNetSvm, MetaProblem,
    MetaSettings, MetaSgd, Np, OuterGradient, ProtoMaml, ProtoNet, R2d2, RelationNet, TnpD,
};

use crate::source::{Written, sinusoids};

const DRAW: Draw = Draw { seed: 4, step: 2, replica: 0, split: Split::Train };
const ON: (Kind, Device) = (Kind::Double, Device::Cpu);

fn settings(tasks_per_step: usize) -> MetaSettings {
    MetaSettings { tasks_per_step, evaluation_tasks: tasks_per_step, ..MetaSettings::default() }
}

fn start(problem: &MetaProblem) -> Params {
    problem.layout().init(3, ON.0, ON.1).unwrap()
}

/// The losses, and the gradient of their sum.
fn pass(problem: &MetaProblem) -> (Vec<f64>, Params) {
    let params = start(problem).require_grad().unwrap();
    let mut pass = problem.forward(&params, DRAW).unwrap();
    let losses = pass.losses().to_vec();
    let weights = vec![1.0; losses.len()];
    (losses, pass.finish(&Combination::weights(weights)).unwrap().detach().unwrap())
}

fn metric(evaluation: &Evaluation, name: &str) -> f64 {
    evaluation.tasks[0].metric(name).unwrap()
}

fn normal(name: &str, shape: &[i64]) -> Tensor {
    Key::new(7, name).normal(shape, ON.0, ON.1).unwrap()
}

/// A learner on episodes that are written down, behind a small perceptron.
fn written(learner: &dyn LearnerSpec, shape: EpisodeShape, episodes: Episodes, loss: Loss) -> MetaProblem {
    let mut layout = Layout::builder();
    let wanted = learner.network(&shape);
    let config = MlpConfig {
        hidden: vec![6],
        output: Some(wanted.outputs.unwrap_or(5)),
        activation: Activation::Tanh,
        ..MlpConfig::default()
    };
    let net = Mlp::new(&mut Builder::new(&mut layout), wanted.input[0], &config).unwrap();
    let model = MetaModel::build(layout, Box::new(net), learner, shape).unwrap();
    let tasks = episodes.support_x.size()[0] as usize;
    MetaProblem::new(model, Box::new(Written(episodes)), loss, settings(tasks)).unwrap()
}

#[test]
fn first_order_meta_sgd_keeps_the_gradient_of_the_rates() {
    let of = |outer_gradient| {
        let learner = MetaSgd { outer_gradient, ..MetaSgd::default() };
        pass(&sinusoids(&learner, settings(3)).unwrap()).1
    };
    let (first, second) = (of(OuterGradient::FirstOrder), of(OuterGradient::SecondOrder));
    // After one step it is −g ∘ ∇L_query in both; that of the start is not.
    for ((entry, a), b) in first.iter().zip(second.leaves()) {
        let gap = (a - b).abs().max().double_value(&[]);
        if entry.name.starts_with("learner.rate.") {
            assert!(gap < 1e-12 && b.abs().max().double_value(&[]) > 1e-6, "{}: {gap}", entry.name);
        }
    }
    let weight = |params: &Params| params.named("layer0.weight").unwrap().copy();
    assert!((weight(&first) - weight(&second)).abs().max().double_value(&[]) > 1e-4);
}

#[test]
fn checkpoints_of_inner_steps_and_fused_passes_keep_the_gradient_of_the_rates() {
    for outer_gradient in [OuterGradient::FirstOrder, OuterGradient::SecondOrder] {
        let of = |checkpoint_every, execution| {
            let learner = MetaSgd { inner_steps: 4, outer_gradient, checkpoint_every, ..MetaSgd::default() };
            pass(&sinusoids(&learner, MetaSettings { execution, ..settings(3) }).unwrap()).1
        };
        let plain = of(None, Execution::Batched);
        for (every, way) in [
            (Some(1), Execution::Batched),
            (Some(3), Execution::Loop),
            (None, Execution::Analytic),
            (Some(3), Execution::Analytic),
        ] {
            let gap = plain.max_difference(&of(every, way)).unwrap();
            assert!(gap < 1e-10, "{outer_gradient:?} {every:?} {way:?}: {gap}");
        }
    }
}

#[test]
fn learned_rates_may_be_negative() {
    let learner = MetaSgd { initial_rate: [-0.1, -0.1], ..MetaSgd::default() };
    // Judged on the support set itself, up is up.
    let (x, y) = (normal("x", &[2, 5, 1]), normal("y", &[2, 5, 1]));
    let episodes =
        Episodes { support_x: x.shallow_clone(), support_y: y.shallow_clone(), query_x: x, query_y: y };
    let problem = written(&learner, EpisodeShape::regression(1, 1), episodes, Loss::Mse);
    let evaluation = problem.evaluate(&start(&problem), Split::Test).unwrap();
    assert!(metric(&evaluation, "mse_after_1_step") > metric(&evaluation, "mse_after_0_steps"));
}

#[test]
fn reptile_is_not_first_order_maml_and_sees_no_query() {
    let of = |outer_gradient, steps, query: f64| {
        let learner = Maml { inner_steps: steps, outer_gradient, ..Maml::default() };
        let episodes = Episodes {
            support_x: normal("x", &[2, 5, 1]),
            support_y: normal("y", &[2, 5, 1]),
            query_x: normal("q", &[2, 4, 1]),
            query_y: normal("r", &[2, 4, 1]) + query,
        };
        pass(&written(&learner, EpisodeShape::regression(1, 1), episodes, Loss::Mse)).1
    };
    let reptile = of(OuterGradient::Difference, 3, 0.0);
    assert_eq!(reptile.max_difference(&of(OuterGradient::Difference, 3, 5.0)).unwrap(), 0.0);
    assert!(reptile.max_difference(&of(OuterGradient::FirstOrder, 3, 0.0)).unwrap() > 1e-3);
    assert!(reptile.max_difference(&of(OuterGradient::Difference, 2, 0.0)).unwrap() > 1e-4);
}

/// Two tasks of three classes, two shots and two queries, with classes numbered in another order and some labels missing.
fn classes(order: [i64; 3], missing: bool, without: bool) -> Episodes {
    let labels: Vec<i64> = (0..3).flat_map(|class: usize| [order[class]; 2]).collect();
    let y = Tensor::from_slice(&labels).repeat([2, 1]);
    let support_y = y.copy();
    if missing {
        let _ = support_y.select(1, 1).fill_(-100);
    }
    let (support_x, query_x) = (normal("x", &[2, 6, 4]), normal("q", &[2, 6, 4]));
    if !without {
        return Episodes { support_x, support_y, query_x, query_y: y };
    }
    let left = Tensor::from_slice(&[0_i64, 2, 3, 4, 5]);
    Episodes {
        support_x: support_x.index_select(1, &left),
        support_y: support_y.index_select(1, &left),
        query_x,
        query_y: y,
    }
}

#[test]
fn metric_learners_do_not_know_classes_by_number_and_pass_over_missing_labels() {
    let learners: [&dyn LearnerSpec; 11] = [
        &ProtoNet::default(),
        &R2d2::default(),
        &RelationNet::default(),
        &MatchingNet::default(),
        &MetaBaseline::default(),
        &MetaOptNetRr::default(),
        &MetaOptNetSvm::default(),
        &LrD2::default(),
        &Dsn::default(),
        &Frn::default(),
        &ProtoMaml::default(),
    ];
    for learner in learners {
        let of = |episodes| {
            let loss = Loss::CrossEntropy { class_weights: None, label_smoothing: 0.0 };
            pass(&written(learner, EpisodeShape::classes(&[4], 3), episodes, loss))
        };
        let same = |a: &(Vec<f64>, Params), b: &(Vec<f64>, Params)| {
            a.0.iter().zip(&b.0).all(|(a, b)| (a - b).abs() < 1e-10)
                && a.1.max_difference(&b.1).unwrap() < 1e-10
        };
        let plain = of(classes([0, 1, 2], false, false));
        assert!(same(&plain, &of(classes([2, 0, 1], false, false))), "{}", learner.name());
        let missing = of(classes([0, 1, 2], true, false));
        assert!(same(&missing, &of(classes([0, 1, 2], false, true))), "{}", learner.name());
        assert!(!same(&missing, &plain), "{}", learner.name());
    }
}

#[test]
fn cnp_is_trained_on_context_and_queries_and_judged_by_queries_alone() {
    let of = |query_y: Tensor, order: [i64; 4]| {
        let order = Tensor::from_slice(&order);
        let episodes = Episodes {
            support_x: normal("x", &[2, 4, 1]).index_select(1, &order),
            support_y: normal("y", &[2, 4, 1]).index_select(1, &order),
            query_x: normal("q", &[2, 3, 1]),
            query_y,
        };
        written(&Cnp::default(), EpisodeShape::regression(1, 1), episodes, Loss::Mse)
    };
    let query = || normal("r", &[2, 3, 1]);
    let none = of(Tensor::full([2, 3, 1], f64::NAN, ON), [0, 1, 2, 3]);
    let (losses, gradient) = pass(&none);
    assert!(losses.iter().all(|loss| loss.is_finite() && *loss != 0.0), "{losses:?}");
    assert!(gradient.norm().unwrap().double_value(&[]) > 1e-6, "the context alone is a target");
    let problem = of(query(), [0, 1, 2, 3]);
    let evaluation = problem.evaluate(&start(&problem), Split::Test).unwrap();
    let shuffled = of(query(), [2, 0, 3, 1]);
    let other = shuffled.evaluate(&start(&shuffled), Split::Test).unwrap();
    let likelihood = metric(&evaluation, "log_likelihood");
    assert!(
        (likelihood - metric(&other, "log_likelihood")).abs() < 1e-12,
        "the order of a context is nothing"
    );
    assert!((likelihood + evaluation.tasks[0].loss.unwrap()).abs() < 1e-12);
    assert!(evaluation.tasks[0].higher_is_better);
    // Judged by queries alone, it is not what is minimised.
    let trained: f64 = pass(&problem).0.iter().sum::<f64>() / 2.0;
    assert!((trained + likelihood).abs() > 1e-3);
}

#[test]
fn neural_processes_know_no_order_of_the_context_and_no_other_query() {
    let learners: [&dyn LearnerSpec; 3] = [
        &Np { samples: 7, ..Np::default() },
        &Anp { heads: 5, samples: 7, ..Anp::default() },
        &TnpD { heads: 5, layers: 2, ..TnpD::default() },
    ];
    for learner in learners {
        let of = |order: [i64; 4], other: f64| {
            let order = Tensor::from_slice(&order);
            let (query_x, query_y) = (normal("q", &[2, 3, 1]), normal("r", &[2, 3, 1]));
            let _ = query_x.select(1, 2).fill_(other);
            let _ = query_y.select(1, 2).fill_(f64::NAN);
            let episodes = Episodes {
                support_x: normal("x", &[2, 4, 1]).index_select(1, &order),
                support_y: normal("y", &[2, 4, 1]).index_select(1, &order),
                query_x,
                query_y,
            };
            let problem = written(learner, EpisodeShape::regression(1, 1), episodes, Loss::Mse);
            metric(&problem.evaluate(&start(&problem), Split::Test).unwrap(), "log_likelihood")
        };
        let plain = of([0, 1, 2, 3], 0.5);
        assert!((plain - of([2, 0, 3, 1], 0.5)).abs() < 1e-12, "{}", learner.name());
        assert!((plain - of([0, 1, 2, 3], -4.0)).abs() < 1e-12, "{}", learner.name());
        assert!((plain - of([0, 1, 2, 2], 0.5)).abs() > 1e-6, "{}: a context counts", learner.name());
    }
}

/// Ports judge by a single sample, or by the mean of the samples' log-likelihoods, which is a lower bound; and minimise a divergence that is
/// not divided by the number of points.
#[test]
fn a_latent_process_minimises_its_bound_of_each_label_and_is_judged_by_the_mixture() {
    let of = |samples, query_y: Tensor| {
        let episodes = Episodes {
            support_x: normal("x", &[1, 4, 1]),
            support_y: normal("y", &[1, 4, 1]),
            query_x: normal("q", &[1, 3, 1]),
            query_y,
        };
        let learner = Np { samples, ..Np::default() };
        written(&learner, EpisodeShape::regression(1, 1), episodes, Loss::Mse)
    };
    let terms = |problem: &MetaProblem| {
        let params = start(problem).require_grad().unwrap();
        let pass = problem.forward(&params, DRAW).unwrap();
        let divergence = pass.terms().iter().find(|(name, _)| *name == "divergence").unwrap().1;
        (pass.losses()[0], divergence)
    };
    let query = || normal("r", &[1, 3, 1]);
    // Without a query's label both distributions are of the same pairs.
    let (alone, none) = terms(&of(1, Tensor::full([1, 3, 1], f64::NAN, ON)));
    assert!(none.abs() < 1e-12 && alone.is_finite(), "{none}");
    let (_, some) = terms(&of(1, query()));
    assert!(some > 1e-6, "{some}");
    // The same pairs twice say the same of z, in twice as many labels.
    let twice = |x: Tensor| Tensor::cat(&[&x, &x], 1);
    let doubled = Episodes {
        support_x: twice(normal("x", &[1, 4, 1])),
        support_y: twice(normal("y", &[1, 4, 1])),
        query_x: twice(normal("q", &[1, 3, 1])),
        query_y: twice(query()),
    };
    let doubled = written(&Np::default(), EpisodeShape::regression(1, 1), doubled, Loss::Mse);
    assert!((terms(&doubled).1 - 0.5 * some).abs() < 1e-12);
    let judged = |samples| {
        let problem = of(samples, query());
        metric(&problem.evaluate(&start(&problem), Split::Test).unwrap(), "log_likelihood")
    };
    assert!((judged(1) - judged(40)).abs() > 1e-6);
    assert!((judged(4000) - judged(8000)).abs() < 0.01, "the mixture is that of the distribution");
}

#[test]
fn sizes_of_support_sets_are_masks_and_not_padding() {
    let sizes = GaussianProcess { shots: [3, 9], points: 14, ..GaussianProcess::default() };
    let learners: [&dyn LearnerSpec; 7] = [
        &Cnp::default(),
        &Np::default(),
        &Anp { heads: 5, ..Anp::default() },
        &TnpD { heads: 5, layers: 2, ..TnpD::default() },
        &R2d2::default(),
        &Maml::default(),
        &MetaSgd::default(),
    ];
    for learner in learners {
        let drawn = sizes.episodes(None, 0, "train", 0..1, ON.0).unwrap();
        let count = |y: &Tensor| y.isfinite().sum(Kind::Int64).int64_value(&[]);
        let (shots, queries) = (count(&drawn.support_y), count(&drawn.query_y));
        assert!(shots < 9);
        let cut = Episodes {
            support_x: drawn.support_x.narrow(1, 0, shots),
            support_y: drawn.support_y.narrow(1, 0, shots),
            query_x: drawn.query_x.narrow(1, 0, queries),
            query_y: drawn.query_y.narrow(1, 0, queries),
        };
        let shape = EpisodeShape::regression(1, 1);
        let (padded, cut) = (
            pass(&written(learner, shape.clone(), drawn, Loss::Mse)),
            pass(&written(learner, shape, cut, Loss::Mse)),
        );
        assert!((padded.0[0] - cut.0[0]).abs() < 1e-10, "{}", learner.name());
        assert!(padded.1.max_difference(&cut.1).unwrap() < 1e-10, "{}", learner.name());
    }
}

#[test]
fn binary_and_multilabel_tasks_are_scored_as_such() {
    for (output, outputs) in [(Output::Binary, 1), (Output::Multilabel, 2)] {
        let truth = |rows: i64, value: f64| Tensor::full([2, rows, outputs], value, ON);
        let of = |value: f64| {
            let episodes = Episodes {
                support_x: normal("x", &[2, 5, 3]),
                support_y: truth(5, 1.0),
                query_x: normal("x", &[2, 5, 3]),
                query_y: truth(5, value),
            };
            let shape = EpisodeShape { input: vec![3], output, outputs };
            // So many steps that every label is learned to be true.
            let learner = Maml { inner_steps: 40, inner_learning_rate: 1.0, ..Maml::default() };
            let problem =
                written(&learner, shape, episodes, Loss::BinaryCrossEntropy { positive_weight: None });
            metric(&problem.evaluate(&start(&problem), Split::Test).unwrap(), "accuracy")
        };
        assert_eq!((of(1.0), of(0.0)), (1.0, 0.0), "{output:?}");
    }
    let shape = EpisodeShape { input: vec![3], output: Output::Binary, outputs: 1 };
    let learners: [&dyn LearnerSpec; 4] =
        [&ProtoNet::default(), &R2d2::default(), &RelationNet::default(), &Cnp::default()];
    for learner in learners {
        let mut layout = Layout::builder();
        let net = Mlp::new(
            &mut Builder::new(&mut layout),
            3,
            &MlpConfig { hidden: vec![4], ..MlpConfig::default() },
        );
        let error = MetaModel::build(layout, Box::new(net.unwrap()), learner, shape.clone()).unwrap_err();
        assert!(error.to_string().contains(learner.name()), "{error}");
    }
}

/// Many ports take the prototypes for constants, so that the network has no gradient through the layer that starts from them.
#[test]
fn proto_maml_has_the_gradient_of_prototypes_which_are_no_constants() {
    let of = |learner: &dyn LearnerSpec| {
        let loss = Loss::CrossEntropy { class_weights: None, label_smoothing: 0.0 };
        pass(&written(learner, EpisodeShape::classes(&[4], 3), classes([0, 1, 2], false, false), loss))
    };
    let prototypes = of(&ProtoNet::default());
    for outer_gradient in [OuterGradient::SecondOrder, OuterGradient::FirstOrder] {
        // With a rate of nearly 0 it is a prototypical network: 2 q·c − ‖c‖² and −‖q − c‖² are the same to a softmax.
        let still = ProtoMaml { inner_steps: 2, inner_learning_rate: 1e-14, outer_gradient };
        let found = of(&still);
        assert!(found.0.iter().zip(&prototypes.0).all(|(a, b)| (a - b).abs() < 1e-10), "{outer_gradient:?}");
        assert!(found.1.max_difference(&prototypes.1).unwrap() < 1e-10, "{outer_gradient:?}");
    }
    let moved = |outer_gradient| of(&ProtoMaml { inner_steps: 2, inner_learning_rate: 0.1, outer_gradient });
    let (first, second) = (moved(OuterGradient::FirstOrder), moved(OuterGradient::SecondOrder));
    assert!(first.0.iter().zip(&second.0).all(|(a, b)| (a - b).abs() < 1e-12));
    assert!(first.1.max_difference(&second.1).unwrap() > 1e-4);
}

/// Ports leave the proximal term out of the inner steps, or end with one of it; on a quadratic both show.
#[test]
fn implicit_maml_on_a_quadratic_is_its_closed_form() {
    let (x, y, q, r) =
        (normal("x", &[1, 5, 3]), normal("y", &[1, 5, 1]), normal("q", &[1, 4, 3]), normal("r", &[1, 4, 1]));
    let own = Tensor::shallow_clone;
    let episodes = Episodes { support_x: own(&x), support_y: own(&y), query_x: own(&q), query_y: own(&r) };
    let lambda = 1.5;
    let learner = Imaml { inner_steps: 400, inner_learning_rate: 0.1, lambda, cg_steps: 12 };
    let mut layout = Layout::builder();
    let config = MlpConfig { output: Some(1), hidden: Vec::new(), ..MlpConfig::default() };
    let net = Mlp::new(&mut Builder::new(&mut layout), 3, &config).unwrap();
    let model = MetaModel::build(layout, Box::new(net), &learner, EpisodeShape::regression(3, 1)).unwrap();
    let problem = MetaProblem::new(model, Box::new(Written(episodes)), Loss::Mse, settings(1)).unwrap();
    let start = start(&problem).flatten().unwrap().unsqueeze(-1);
    let (losses, found) = pass(&problem);
    // Mean squared errors of x̃ φ with x̃ = [x, 1].
    let with_one = |x: &Tensor| Tensor::cat(&[x.select(0, 0), Tensor::ones([x.size()[1], 1], ON)], 1);
    let (x, y, q, r) = (with_one(&x), y.select(0, 0), with_one(&q), r.select(0, 0));
    let hessian = x.transpose(0, 1).matmul(&x) * (2.0 / 5.0);
    let system = &hessian + Tensor::eye(4, ON) * lambda;
    let right = x.transpose(0, 1).matmul(&y) * (2.0 / 5.0) + &start * lambda;
    let optimum = Tensor::linalg_solve(&system, &right, true);
    let gap = q.matmul(&optimum) - r;
    let slope = q.transpose(0, 1).matmul(&gap) * (2.0 / 4.0);
    let expected = Tensor::linalg_solve(&system, &slope, true) * lambda;
    assert!((gap.square().mean(ON.0).double_value(&[]) - losses[0]).abs() < 1e-10);
    let difference = (found.flatten().unwrap().unsqueeze(-1) - expected).abs().max().double_value(&[]);
    assert!(difference < 1e-10, "{difference}");
}

/// A rate of each tensor and step, of any sign, that learns under constant inner gradients too; a layer's weight and bias have their own.
#[test]
fn maml_plus_plus_learns_a_rate_of_each_tensor_and_step() {
    let of = |first_order_steps| {
        let learner = MamlPlusPlus {
            inner_steps: 2,
            multi_step_loss_steps: 0,
            first_order_steps,
            ..MamlPlusPlus::default()
        };
        pass(&sinusoids(&learner, settings(3)).unwrap()).1
    };
    let (second, first) = (of(0), of(100));
    let rates: Vec<String> =
        second.iter().map(|(entry, _)| entry.name.clone()).filter(|name| name.contains(".rate.")).collect();
    assert_eq!(rates.len(), 2 * 6, "{rates:?}");
    for name in &rates {
        let of = |params: &Params| params.named(name).unwrap().double_value(&[0]);
        assert!(of(&second).abs() > 1e-9 && of(&first).abs() > 1e-9, "{name}");
    }
    assert_ne!(
        second.named("learner.rate.0.layer0.weight").unwrap(),
        second.named("learner.rate.0.layer0.bias").unwrap()
    );
    assert!(second.max_difference(&first).unwrap() > 1e-4);
}

#[test]
fn the_parts_of_maml_plus_plus_without_any_of_them_are_maml() {
    let parts = MamlPlusPlus {
        inner_steps: 2,
        inner_learning_rate: 0.05,
        learned_rates: LearnedRates::None,
        multi_step_loss_steps: 0,
        ..MamlPlusPlus::default()
    };
    let maml = Maml { inner_steps: 2, inner_learning_rate: 0.05, ..Maml::default() };
    let of = |learner: &dyn LearnerSpec| pass(&sinusoids(learner, settings(3)).unwrap());
    let (found, expected) = (of(&parts), of(&maml));
    assert!(found.1.max_difference(&expected.1).unwrap() < 1e-12);
    // With all steps' losses, equally at first, it is something else.
    let all = of(&MamlPlusPlus { multi_step_loss_steps: 10, ..parts });
    assert!(all.1.max_difference(&expected.1).unwrap() > 1e-4);
}

/// The context is 0 at the start of each task: what other tasks did to it is nothing.
#[test]
fn cavia_adapts_a_context_that_starts_at_0_in_each_task_and_nothing_else() {
    let of = |tasks: i64| {
        let take = |name: &str, shape: &[i64]| normal(name, shape).narrow(0, 0, tasks);
        let episodes = Episodes {
            support_x: take("x", &[3, 5, 1]),
            support_y: take("y", &[3, 5, 1]),
            query_x: take("q", &[3, 4, 1]),
            query_y: take("r", &[3, 4, 1]),
        };
        let learner = Cavia { inner_steps: 2, context_parameters: 2, ..Cavia::default() };
        let problem = written(&learner, EpisodeShape::regression(1, 1), episodes, Loss::Mse);
        pass(&problem).0
    };
    let (three, one) = (of(3), of(1));
    assert!((three[0] - one[0]).abs() < 1e-12 && (three[0] - three[1]).abs() > 1e-6);
}
