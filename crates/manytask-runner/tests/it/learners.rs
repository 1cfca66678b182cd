//! What every registered learner must stand: the tests are driven by the registry, so that none can be added without them. A learner
//! of the tests' own stands beside those that come with manytask: one file and one line are enough.

mod own;

use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;

use manytask::Registries;
use manytask::config::Source;
use manytask::data_sets::{Episodes, GaussianProcess};
use manytask::meta::{
    BatchNormStatistics, EpisodeShape, EpisodeSource, Execution, GaussianProcessEpisodes, LearnerSpec,
    MetaModel, MetaProblem, MetaSettings, OuterGradient,
};
use manytask::multitask::aggregators::EqualWeights;
use manytask::multitask::{
    AggregatorSettings, Combination, Draw, Event, Level, Monitor, Problem, Result, Split, Trainer, Training,
};
use manytask::nn::layers::Activation;
use manytask::nn::nets::{Mlp, MlpConfig, Norm};
use manytask::nn::optim::Optimizer;
use manytask::nn::schedule::Schedule;
use manytask::nn::{Builder, loss::Loss};
use manytask::tensor::random::Key;
use manytask::tensor::{Device, Kind, Layout, Params, Role, Tensor};

const ON: (Kind, Device) = (Kind::Double, Device::Cpu);
const DRAW: Draw = Draw { seed: 4, step: 2, replica: 0, split: Split::Train };
const WAYS: [Execution; 4] = [Execution::Loop, Execution::Batched, Execution::Threads(2), Execution::Auto];

fn registries() -> Registries {
    let mut all = Registries::default();
    all.learners.add("own", "one of the tests' own", "", &own::Offsets {}, |o: own::Offsets| {
        Arc::new(o) as Arc<dyn LearnerSpec>
    });
    all
}

fn registered() -> Vec<String> {
    registries().learners.entries().map(|(name, _)| name.to_owned()).collect()
}

/// What `explain` shows, as a configuration reads it.
fn spec(name: &str) -> Arc<dyn LearnerSpec> {
    let all = registries();
    let source = Source::new(Path::new("a.toml"), &all.learners.example(name).unwrap(), &[]).unwrap();
    let section = source.section().unwrap().required_table("learner").unwrap();
    all.learners.make(section).unwrap_or_else(|failure| panic!("{name}: {failure}"))
}

/// Three classes of points around their means, two shots and three queries of each.
#[derive(Debug)]
struct Clusters;

const CLASSES: i64 = 3;
const WIDTH: i64 = 4;

impl EpisodeSource for Clusters {
    fn episodes(&self, split: Split, seed: u64, ids: Range<u64>, queries: Option<usize>) -> Result<Episodes> {
        let normal = |what: &str, id: u64, rows: i64| {
            Key::new(seed, &format!("{what} {split:?}")).task(id).normal(&[CLASSES, rows, WIDTH], ON.0, ON.1)
        };
        let set = |what: &str, rows: i64| -> Result<(Tensor, Tensor)> {
            let x = ids.clone().map(|id| -> Result<Tensor> {
                let x = normal("means", id, 1)? * 2.0 + normal(what, id, rows)?;
                Ok(x.reshape([CLASSES * rows, WIDTH]))
            });
            let y = Tensor::arange(CLASSES, (Kind::Int64, ON.1)).repeat_interleave_self_int(rows, 0, None);
            let x = Tensor::stack(&x.collect::<Result<Vec<_>>>()?, 0);
            Ok((x, y.repeat([(ids.end - ids.start) as i64, 1])))
        };
        let (support, query) = (set("support", 2)?, set("query", queries.unwrap_or(3) as i64)?);
        Ok(Episodes { support_x: support.0, support_y: support.1, query_x: query.0, query_y: query.1 })
    }

    fn has_validation(&self) -> bool {
        false
    }
}

/// Regressions on support sets of several sizes where the learner takes them, else classes.
fn problem(name: &str, norm: Norm, settings: MetaSettings) -> MetaProblem {
    let learner = spec(name);
    let model = |shape: EpisodeShape| {
        let mut layout = Layout::builder();
        let wanted = learner.network(&shape);
        let config = MlpConfig {
            hidden: vec![6, 5],
            output: Some(wanted.outputs.unwrap_or(4)),
            activation: Activation::Tanh,
            norm,
            ..MlpConfig::default()
        };
        let net = Mlp::new(&mut Builder::new(&mut layout), wanted.input.iter().product(), &config).unwrap();
        MetaModel::build(layout, Box::new(net), learner.as_ref(), shape)
    };
    let sizes = GaussianProcess { shots: [3, 6], points: 11, ..GaussianProcess::default() };
    if let Ok(model) = model(EpisodeShape::regression(1, 1)) {
        let source =
            GaussianProcessEpisodes { family: sizes, kind: ON.0, ..GaussianProcessEpisodes::default() };
        return MetaProblem::new(model, Box::new(source), Loss::Mse, settings).unwrap();
    }
    let model = model(EpisodeShape::classes(&[WIDTH], CLASSES)).unwrap();
    let loss = Loss::CrossEntropy { class_weights: None, label_smoothing: 0.0 };
    MetaProblem::new(model, Box::new(Clusters), loss, settings).unwrap()
}

fn settings(execution: Execution) -> MetaSettings {
    MetaSettings { tasks_per_step: 3, evaluation_tasks: 5, execution, ..MetaSettings::default() }
}

fn plain(name: &str, execution: Execution) -> MetaProblem {
    problem(name, Norm::None, settings(execution))
}

fn start(problem: &MetaProblem) -> Params {
    problem.layout().init(3, ON.0, ON.1).unwrap()
}

#[test]
fn a_meta_gradient_is_that_of_differences() {
    let mut compared = 0;
    for name in registered() {
        let problem = plain(&name, Execution::Batched);
        if problem.learner().outer_gradient() != OuterGradient::SecondOrder {
            continue;
        }
        let params = start(&problem);
        let weights = [0.3, -1.0, 2.0];
        let live = params.require_grad().unwrap();
        let combination = Combination::weights(weights.to_vec());
        let gradient = problem.forward(&live, DRAW).unwrap().finish(&combination).unwrap();
        let at = |params: &Params| -> f64 {
            let losses = problem.losses(&params.require_grad().unwrap(), DRAW).unwrap();
            losses.values().iter().zip(weights).map(|(loss, weight)| loss * weight).sum()
        };
        // The network's parameters, and the learner's own, along a direction of each.
        for own in [false, true] {
            let of = |entry: &str| entry.starts_with("learner.") == own;
            let slots = params.layout().select(|entry| entry.role.is_trained() && of(&entry.name));
            if slots.is_empty() {
                continue;
            }
            let mut direction = params.zeros_like().unwrap();
            for slot in slots {
                let shape = params.get(slot).unwrap().size();
                let drawn = Key::new(1, "d").task(slot.index() as u64).normal(&shape, ON.0, ON.1).unwrap();
                direction.put(slot, drawn).unwrap();
            }
            let h = 1e-5;
            let moved = |shift: f64| params.add_scaled(&direction, shift).unwrap();
            let expected = (at(&moved(h)) - at(&moved(-h))) / (2.0 * h);
            let found = gradient.dot(&direction).unwrap().double_value(&[]);
            assert!(
                (found - expected).abs() < 1e-6 * expected.abs().max(1.0),
                "{name}, own: {own}: {found} {expected}"
            );
            compared += 1;
        }
    }
    assert!(compared > 8);
}

#[test]
fn every_way_of_computing_gives_the_same_losses_gradients_buffers_and_figures() {
    for (name, norm) in
        registered().into_iter().flat_map(|name| [(name.clone(), Norm::None), (name, Norm::Batch)])
    {
        let run = |execution| {
            let batch_norm =
                if norm == Norm::Batch { BatchNormStatistics::Running } else { BatchNormStatistics::Batch };
            let problem = problem(&name, norm, MetaSettings { batch_norm, ..settings(execution) });
            let params = start(&problem).require_grad().unwrap();
            let mut pass = problem.forward(&params, DRAW).unwrap();
            let (losses, terms) = (pass.losses().to_vec(), pass.terms());
            let rows = pass.jacobian(&Level::Parameters).unwrap().rows().copy();
            let gradient = pass.finish(&Combination::weights(vec![0.5, 1.0, 2.0])).unwrap();
            let buffers = pass.take_context().take_buffers();
            (losses, terms, rows, gradient, buffers, problem.evaluate(&params, Split::Test).unwrap())
        };
        let first = run(Execution::Loop);
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        let near = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]) < 1e-9;
        for way in WAYS {
            let other = run(way);
            assert!(first.0.iter().zip(&other.0).all(|(a, b)| close(*a, *b)), "{name} {way:?}");
            assert!(
                first.1.iter().zip(&other.1).all(|(a, b)| a.0 == b.0 && close(a.1, b.1)),
                "{name} {way:?}"
            );
            assert_eq!(first.1.len(), other.1.len(), "{name} {way:?}");
            assert!(near(&first.2, &other.2), "{name} {way:?}");
            assert!(first.3.max_difference(&other.3).unwrap() < 1e-9, "{name} {way:?}");
            assert_eq!(first.4.len(), other.4.len(), "{name} {way:?}");
            for ((slot, a), (other, b)) in first.4.iter().zip(&other.4) {
                assert!(slot == other && near(a, b), "{name} {way:?}");
            }
            for ((metric, a), (_, b)) in first.5.tasks[0].metrics.iter().zip(&other.5.tasks[0].metrics) {
                assert!(close(a.unwrap(), b.unwrap()), "{name} {way:?} {metric}");
            }
        }
        // The buffers of the network, and those of the learner, move.
        let moves = norm == Norm::Batch || name == "own";
        assert_eq!(!first.4.is_empty(), moves, "{name}");
    }
}

fn training(steps: u64) -> Training {
    Training {
        seed: 1,
        steps,
        learning_rate: 1e-2,
        optimizer: Optimizer::adam(),
        schedule: Schedule::default(),
        clip_norm: None,
        validate_every: None,
        save_every: None,
        monitor: Monitor::default(),
        early_stopping: None,
    }
}

fn run(trainer: &mut Trainer<'_>, stop: u64) {
    trainer
        .run(|_, event| -> Result<_> {
            let stop = matches!(event, Event::StepDone { step } if step == stop);
            Ok(if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
        .unwrap();
}

#[test]
fn a_training_moves_every_parameter_and_goes_on_to_the_bit() {
    for name in registered() {
        let settings = MetaSettings { batch_norm: BatchNormStatistics::Running, ..settings(Execution::Auto) };
        let problem = problem(&name, Norm::Batch, settings);
        let begin = start(&problem);
        let trainer = || {
            let aggregator = EqualWeights::default().build(problem.tasks()).unwrap();
            Trainer::new(&problem, aggregator, training(4), &begin).unwrap()
        };
        let mut whole = trainer();
        run(&mut whole, 4);
        for ((entry, leaf), (_, before)) in whole.params().iter().zip(begin.iter()) {
            // An offset before a batch-norm has no gradient, nor has its rate.
            if matches!(entry.name.rsplit_once("layer"), Some((_, "0.bias" | "1.bias"))) {
                continue;
            }
            assert_ne!(leaf, before, "{name}: {} stays as it is", entry.name);
        }
        let folder = tempfile::tempdir().unwrap();
        let mut first = trainer();
        run(&mut first, 2);
        first.save(folder.path()).unwrap();
        let mut second = trainer();
        second.restore(folder.path()).unwrap();
        run(&mut second, 4);
        for ((entry, a), b) in second.params().iter().zip(whole.params().leaves()) {
            assert_eq!(a, b, "{name}: {}", entry.name);
        }
    }
}

#[test]
fn an_evaluation_changes_nothing_and_predictions_with_running_statistics_see_no_other_query() {
    for name in registered() {
        let of = |batch_norm, queries| {
            let settings =
                MetaSettings { batch_norm, evaluation_queries: Some(queries), ..settings(Execution::Auto) };
            let problem = problem(&name, Norm::Batch, settings);
            let params = start(&problem);
            let before = params.copy().unwrap();
            let evaluation = problem.evaluate(&params, Split::Test).unwrap();
            assert_eq!(problem.evaluate(&params, Split::Test).unwrap(), evaluation, "{name}");
            assert_eq!(params.max_difference(&before).unwrap(), 0.0, "{name}");
            assert!(problem.protocol().iter().any(|(key, _)| *key == "batch_norm"), "{name}");
            (problem, params)
        };
        for statistics in [BatchNormStatistics::Batch, BatchNormStatistics::Running] {
            let (problem, params) = of(statistics, 4);
            let buffers = params.layout().select(|entry| entry.role == Role::Buffer);
            assert!(!buffers.is_empty(), "{name}");
            drop(problem);
        }
    }
}
