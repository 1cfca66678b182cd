use std::ops::ControlFlow;

use manytask_meta::multitask::aggregators::{EqualWeights, FixedWeights, PcGrad};
use manytask_meta::multitask::{
    AggregatorSettings, Combination, Draw, Evaluation, Event, Freeze, Level, Monitor, Problem, Result, Split,
    Trainer, Training,
};
use manytask_meta::nn::nets::{Mlp, MlpConfig};
use manytask_meta::nn::optim::{Adam, Optimizer};
use manytask_meta::nn::schedule::Schedule;
use manytask_meta::nn::{Builder, loss::Loss};
use manytask_meta::tensor::random::Key;
use manytask_meta::tensor::{Device, Kind, Layout, Params};
use manytask_meta::{
    Adapts, EpisodeShape, Execution, InnerRule, LearnerSpec, Maml, MetaModel, MetaProblem, MetaSettings,
    OuterGradient, SinusoidEpisodes,
};

use crate::source::{WAYS, sinusoids};

const DRAW: Draw = Draw { seed: 4, step: 2, replica: 0, split: Split::Train };

fn learners() -> Vec<Maml> {
    let base = Maml { inner_steps: 2, inner_learning_rate: 0.05, ..Maml::default() };
    let rule = |optimizer| Maml { inner_rule: InnerRule(optimizer), ..base.clone() };
    vec![
        base.clone(),
        Maml { adapts: Adapts::Head, ..base.clone() },
        Maml { adapts: Adapts::Body, ..base.clone() },
        Maml { adapts: Adapts::Named(vec!["layer1".into(), "head.bias".into()]), ..base.clone() },
        Maml { outer_gradient: OuterGradient::FirstOrder, ..base.clone() },
        rule(Optimizer::sgd(0.5)),
        rule(Optimizer::Adam(Adam { epsilon: 1e-2, ..Adam::default() })),
    ]
}

fn problem(learner: &Maml, execution: Execution) -> MetaProblem {
    let settings =
        MetaSettings { tasks_per_step: 3, execution, evaluation_tasks: 7, ..MetaSettings::default() };
    sinusoids(learner, settings).unwrap()
}

fn start(problem: &MetaProblem) -> Params {
    problem.layout().init(3, Kind::Double, Device::Cpu).unwrap()
}

#[test]
fn a_meta_gradient_is_that_of_differences() {
    for learner in learners().iter().filter(|learner| learner.outer_gradient == OuterGradient::SecondOrder) {
        let problem = problem(learner, Execution::Batched);
        let params = start(&problem);
        let weights = [0.3, -1.0, 2.0];
        let gradient = problem
            .forward(&params.require_grad().unwrap(), DRAW)
            .unwrap()
            .finish(&Combination::weights(weights.to_vec()))
            .unwrap();
        let count = params.layout().trained_count();
        let direction =
            params.unflatten(&Key::new(1, "d").normal(&[count], Kind::Double, Device::Cpu).unwrap()).unwrap();
        let h = 1e-5;
        let at = |shift: f64| -> f64 {
            let moved = params.add_scaled(&direction, shift).unwrap().require_grad().unwrap();
            let losses = problem.losses(&moved, DRAW).unwrap();
            losses.values().iter().zip(weights).map(|(loss, weight)| loss * weight).sum()
        };
        let expected = (at(h) - at(-h)) / (2.0 * h);
        let found = gradient.dot(&direction).unwrap().double_value(&[]);
        // Adam divides by small roots, where differences are not as exact.
        let tolerance = if matches!(learner.inner_rule.0, Optimizer::Adam(_)) { 1e-5 } else { 1e-7 };
        assert!(
            (found - expected).abs() < tolerance * expected.abs().max(1.0),
            "{learner:?}: {found} {expected}"
        );
    }
}

#[test]
fn every_way_of_computing_gives_the_same() {
    for learner in learners() {
        let run = |execution| {
            let problem = problem(&learner, execution);
            let params = start(&problem).require_grad().unwrap();
            let mut pass = problem.forward(&params, DRAW).unwrap();
            let losses = pass.losses().to_vec();
            let gradient = pass.finish(&Combination::weights(vec![0.5, 1.0, 2.0])).unwrap();
            let mut pass = problem.forward(&params, DRAW).unwrap();
            let rows = pass.jacobian(&Level::Parameters).unwrap().rows().copy();
            (losses, gradient, rows, problem.evaluate(&params, Split::Test).unwrap())
        };
        let (losses, gradient, rows, evaluation) = run(Execution::Loop);
        for way in WAYS {
            let (losses1, gradient1, rows1, evaluation1) = run(way);
            assert!((&rows - rows1).abs().max().double_value(&[]) < 1e-10, "{learner:?} {way:?}");
            for (a, b) in losses.iter().zip(&losses1) {
                assert!((a - b).abs() < 1e-10, "{learner:?} {way:?}");
            }
            assert!(gradient.max_difference(&gradient1).unwrap() < 1e-10, "{learner:?} {way:?}");
            for ((name, a), (_, b)) in evaluation.tasks[0].metrics.iter().zip(&evaluation1.tasks[0].metrics) {
                assert!((a.unwrap() - b.unwrap()).abs() < 1e-8, "{learner:?} {way:?} {name}");
            }
        }
    }
}

#[test]
fn checkpoints_of_inner_steps_change_nothing_but_memory() {
    for adapts in [Adapts::All, Adapts::Head, Adapts::Body] {
        for outer_gradient in [OuterGradient::SecondOrder, OuterGradient::FirstOrder] {
            let of = |checkpoint_every, execution| {
                let learner = Maml {
                    inner_steps: 5,
                    inner_learning_rate: 0.05,
                    adapts: adapts.clone(),
                    outer_gradient,
                    checkpoint_every,
                    ..Maml::default()
                };
                let problem = problem(&learner, execution);
                let params = start(&problem).require_grad().unwrap();
                let mut pass = problem.forward(&params, DRAW).unwrap();
                let losses = pass.losses().to_vec();
                (losses, pass.finish(&Combination::weights(vec![0.5, 1.0, 2.0])).unwrap())
            };
            let (losses, gradient) = of(None, Execution::Batched);
            for (every, way) in [1, 2, 3, 5, 9].into_iter().flat_map(|e| WAYS.map(|way| (e, way))) {
                let (found, direction) = of(Some(every), way);
                assert!(losses.iter().zip(&found).all(|(a, b)| (a - b).abs() < 1e-10), "{every} {way:?}");
                let gap = gradient.max_difference(&direction).unwrap();
                assert!(gap < 1e-10, "{adapts:?} {outer_gradient:?} {every} {way:?}: {gap}");
            }
        }
    }
}

#[test]
fn the_first_order_is_the_gradient_at_the_adapted_parameters_and_no_other() {
    let gradient = |outer_gradient| {
        let problem = problem(
            &Maml { outer_gradient, inner_learning_rate: 0.05, ..Maml::default() },
            Execution::Batched,
        );
        let params = start(&problem).require_grad().unwrap();
        problem.forward(&params, DRAW).unwrap().finish(&Combination::weights(vec![1.0; 3])).unwrap()
    };
    let (first, second) = (gradient(OuterGradient::FirstOrder), gradient(OuterGradient::SecondOrder));
    assert!(first.max_difference(&second).unwrap() > 1e-3);
}

#[test]
fn a_number_is_always_the_same_task_and_another_number_another() {
    let problem = problem(&Maml::default(), Execution::Batched);
    let params = start(&problem).require_grad().unwrap();
    let losses = |draw| problem.losses(&params, draw).unwrap();
    assert_eq!(losses(DRAW), losses(DRAW));
    for other in [
        Draw { step: 3, ..DRAW },
        Draw { replica: 1, ..DRAW },
        Draw { seed: 5, ..DRAW },
        Draw { split: Split::Validation, ..DRAW },
    ] {
        assert_ne!(losses(DRAW), losses(other), "{other:?}");
    }
    let evaluation = problem.evaluate(&params, Split::Test).unwrap();
    assert_eq!(evaluation, problem.evaluate(&params, Split::Test).unwrap());
    assert_ne!(evaluation, problem.evaluate(&params, Split::Validation).unwrap());
}

#[test]
fn an_evaluation_shows_every_step_of_adaptation() {
    let settings = MetaSettings {
        tasks_per_step: 4,
        evaluation_tasks: 10,
        evaluation_queries: Some(20),
        evaluation_steps: Some(3),
        ..MetaSettings::default()
    };
    let problem = sinusoids(&Maml::default(), settings).unwrap();
    let evaluation = problem.evaluate(&start(&problem), Split::Test).unwrap();
    let names: Vec<&str> = evaluation.tasks[0].metrics.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "mse",
            "mse_ci95",
            "mse_median",
            "mse_p99",
            "mse_after_0_steps",
            "mse_after_1_step",
            "mse_after_2_steps",
            "mse_after_3_steps"
        ]
    );
    let metric = |name: &str| evaluation.tasks[0].metric(name).unwrap();
    assert_eq!(metric("mse"), metric("mse_after_3_steps"));
    assert!(metric("mse_median") <= metric("mse_p99"));
    assert!(!evaluation.tasks[0].higher_is_better);
}

fn training(steps: u64) -> Training {
    Training {
        seed: 1,
        steps,
        learning_rate: 3e-3,
        optimizer: Optimizer::adam(),
        schedule: Schedule::default(),
        clip_norm: None,
        validate_every: None,
        save_every: None,
        diagnose_every: None,
        monitor: Monitor::default(),
        early_stopping: None,
        freeze: Freeze::default(),
        average: None,
    }
}

fn trained(problem: &MetaProblem, settings: &dyn AggregatorSettings, steps: u64) -> Result<Evaluation> {
    let aggregator = settings.build(problem.tasks())?;
    let mut trainer = Trainer::new(problem, aggregator, training(steps), &start(problem))?;
    trainer.run(|_, _: Event<'_>| -> Result<_> { Ok(ControlFlow::Continue(())) })?;
    problem.evaluate(trainer.params(), Split::Test)
}

#[test]
fn the_loop_makes_a_network_that_adapts() {
    let settings = MetaSettings { tasks_per_step: 10, evaluation_tasks: 100, ..MetaSettings::default() };
    let config = MlpConfig { hidden: vec![40, 40], output: Some(1), ..MlpConfig::default() };
    let mut layout = Layout::builder();
    let net = Mlp::new(&mut Builder::new(&mut layout), 1, &config).unwrap();
    let source = SinusoidEpisodes { kind: Kind::Double, ..SinusoidEpisodes::default() };
    let shape = EpisodeShape::regression(1, 1);
    let model = MetaModel::build(layout, Box::new(net), &Maml::default(), shape).unwrap();
    let problem = MetaProblem::new(model, Box::new(source), Loss::Mse, settings).unwrap();
    let before = problem.evaluate(&start(&problem), Split::Test).unwrap();
    let after = trained(&problem, &EqualWeights::default(), 600).unwrap();
    let metric = |evaluation: &Evaluation, name: &str| evaluation.tasks[0].metric(name).unwrap();
    assert!(metric(&after, "mse") < 0.8 * metric(&before, "mse"), "{before:?} {after:?}");
    assert!(metric(&after, "mse") < 0.75 * metric(&after, "mse_after_0_steps"), "{after:?}");
}

#[test]
fn aggregators_serve_here_unless_they_keep_a_state_for_each_task() {
    let problem = problem(&Maml::default(), Execution::Auto);
    trained(&problem, &PcGrad::default(), 3).unwrap();
    let weights = problem.tasks().iter().map(|name| (name.clone(), 1.0)).collect();
    let error = trained(&problem, &FixedWeights { weights }, 3).unwrap_err().to_string();
    assert!(error.contains("sampled anew"), "{error}");
    let learner: &dyn LearnerSpec = &Maml::default();
    assert_eq!(learner.name(), "maml");
}
