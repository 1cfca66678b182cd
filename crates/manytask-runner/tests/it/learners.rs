//! What every registered learner must stand: the tests are driven by the registry, so that none can be added without them. A learner
//! of the tests' own stands beside those that come with manytask: one file and one line are enough.

mod own;

use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;

use manytask::Registries;
use manytask::config::Source;
use manytask::data_sets::{ClassPool, EpisodeSpec, Episodes, GaussianProcess, Splits};
use manytask::meta::{
    BatchNormStatistics, ClassEpisodes, Classifier, EpisodeShape, EpisodeSource, Execution,
    GaussianProcessEpisodes, LearnerSpec, LearnsFrom, MetaModel, MetaProblem, MetaSettings, OuterGradient,
    Pretraining,
};
use manytask::multitask::aggregators::EqualWeights;
use manytask::multitask::{
    AggregatorSettings, Combination, Draw, Event, Freeze, Level, Monitor, Problem, Result, Split, Trainer,
    Training,
};
use manytask::nn::layers::{Activation, Flatten, Sequential};
use manytask::nn::nets::{Mlp, MlpConfig, Norm};
use manytask::nn::optim::Optimizer;
use manytask::nn::schedule::Schedule;
use manytask::nn::{Builder, Module, loss::Loss};
use manytask::tensor::random::Key;
use manytask::tensor::{Device, Kind, Layout, Params, Role, Tensor};

const ON: (Kind, Device) = (Kind::Double, Device::Cpu);
const DRAW: Draw = Draw { seed: 4, step: 2, replica: 0, split: Split::Train };
const WAYS: [Execution; 4] = [Execution::Loop, Execution::Batched, Execution::Threads(2), Execution::Auto];

fn registries() -> Registries {
    let mut all = Registries::default();
    all.learners.method::<own::Offsets>();
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

/// Tasks of three classes out of five, two shots and three queries of each, as numbers of the tests' precision.
#[derive(Debug)]
struct Clusters(ClassEpisodes);

const CLASSES: i64 = 3;
const IMAGE: [i64; 3] = [1, 2, 2];

impl Clusters {
    fn new() -> Self {
        let (classes, each) = (5, 8);
        let drawn = |what: &str, shape: &[i64]| Key::new(7, what).normal(shape, ON.0, ON.1).unwrap();
        let images = drawn("mean", &[classes, 1, 1, 2, 2]) * 40.0
            + drawn("own", &[classes, each, 1, 2, 2]) * 20.0
            + 128.0;
        let images = images.clamp(0.0, 255.0).to_kind(Kind::Uint8).reshape([-1, 1, 2, 2]);
        let pool = || {
            let names = (0..classes).map(|class| class.to_string()).collect();
            ClassPool::new(images.shallow_clone(), &vec![each; classes as usize], names).unwrap()
        };
        let pools = Splits { train: pool(), validation: None, test: Some(pool()) };
        Self(ClassEpisodes { pools, spec: EpisodeSpec { ways: CLASSES as usize, shots: 2, queries: 3 } })
    }
}

impl EpisodeSource for Clusters {
    fn episodes(&self, split: Split, seed: u64, ids: Range<u64>, queries: Option<usize>) -> Result<Episodes> {
        let Episodes { support_x, support_y, query_x, query_y } =
            self.0.episodes(split, seed, ids, queries)?;
        Ok(Episodes {
            support_x: support_x.to_kind(ON.0),
            support_y,
            query_x: query_x.to_kind(ON.0),
            query_y,
        })
    }

    fn class_pool(&self, split: Split) -> Option<(&ClassPool, EpisodeSpec)> {
        self.0.class_pool(split)
    }

    fn has_validation(&self) -> bool {
        false
    }
}

/// Regressions on support sets of several sizes where the learner takes them, else classes, after `steps` steps of pretraining; all of
/// them for a learner that learns from nothing else.
fn phased(name: &str, norm: Norm, settings: MetaSettings, steps: u64) -> MetaProblem {
    let learner = spec(name);
    let steps = if learner.learns_from() == LearnsFrom::BaseClasses { 1000 } else { steps };
    let model = |shape: EpisodeShape, pretraining| {
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
        let net: Box<dyn Module> = match wanted.input.len() {
            1 => Box::new(net),
            _ => Box::new(Sequential(vec![Box::new(Flatten), Box::new(net)])),
        };
        MetaModel::build_pretrained(layout, net, learner.as_ref(), shape, pretraining)
    };
    let sizes = GaussianProcess { shots: [3, 6], points: 11, ..GaussianProcess::default() };
    if learner.learns_from() == LearnsFrom::Episodes
        && let Ok(model) = model(EpisodeShape::regression(1, 1), None)
    {
        let source =
            GaussianProcessEpisodes { family: sizes, kind: ON.0, ..GaussianProcessEpisodes::default() };
        return MetaProblem::new(model, Box::new(source), Loss::Mse, settings).unwrap();
    }
    let pretraining = Pretraining { steps, batch_size: 6, classifier: Classifier::Linear };
    let model =
        model(EpisodeShape::classes(&IMAGE, CLASSES), (steps > 0).then_some((pretraining, 5))).unwrap();
    let loss = Loss::CrossEntropy { class_weights: None, label_smoothing: 0.0 };
    MetaProblem::new(model, Box::new(Clusters::new()), loss, settings).unwrap()
}

fn problem(name: &str, norm: Norm, settings: MetaSettings) -> MetaProblem {
    phased(name, norm, settings, 0)
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
        // That of `imaml` is the gradient of an optimum, which its steps only near: golden values know it.
        if problem.learner().outer_gradient() != OuterGradient::SecondOrder || name == "imaml" {
            continue;
        }
        let params = start(&problem);
        let live = params.require_grad().unwrap();
        let tasks = problem.losses(&live, DRAW).unwrap().values().len();
        let weights = &[0.3, -1.0, 2.0][..tasks];
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
            let h = 1e-6;
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
            let gradient =
                pass.finish(&Combination::weights([0.5, 1.0, 2.0][..losses.len()].to_vec())).unwrap();
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
        diagnose_every: None,
        monitor: Monitor::default(),
        early_stopping: None,
        freeze: Freeze::default(),
        average: None,
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
        let problem = phased(&name, Norm::Batch, settings, 3);
        let begin = start(&problem);
        let trainer = || {
            let aggregator = EqualWeights::default().build(problem.tasks()).unwrap();
            Trainer::new(&problem, aggregator, training(6), &begin).unwrap()
        };
        let mut whole = trainer();
        run(&mut whole, 6);
        for ((entry, leaf), (_, before)) in whole.params().iter().zip(begin.iter()) {
            // An offset before a batch-norm has no gradient, nor has its rate; what is computed for an evaluation is no state.
            let idle = matches!(entry.name.rsplit_once("layer"), Some((_, "0.bias" | "1.bias")));
            if idle || entry.name == "learner.base_mean" {
                continue;
            }
            assert_ne!(leaf, before, "{name}: {} stays as it is", entry.name);
        }
        // In the pretraining, where there is one, at its end, and among the tasks.
        for stop in [2, 3, 5] {
            let folder = tempfile::tempdir().unwrap();
            let mut first = trainer();
            run(&mut first, stop);
            first.save(folder.path()).unwrap();
            let mut second = trainer();
            second.restore(folder.path()).unwrap();
            run(&mut second, 6);
            for ((entry, a), b) in second.params().iter().zip(whole.params().leaves()) {
                assert_eq!(a, b, "{name}: {} after {stop}", entry.name);
            }
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
        let running = MetaSettings { batch_norm: BatchNormStatistics::Running, ..settings(Execution::Auto) };
        let centred = problem(&name, Norm::Batch, running).learner().base_mean().is_some();
        for statistics in [BatchNormStatistics::Batch, BatchNormStatistics::Running] {
            // A mean over all training classes has no task whose statistics it could take.
            if centred && statistics == BatchNormStatistics::Batch {
                continue;
            }
            let (problem, params) = of(statistics, 4);
            let buffers = params.layout().select(|entry| entry.role == Role::Buffer);
            assert!(!buffers.is_empty(), "{name}");
            drop(problem);
        }
    }
}
