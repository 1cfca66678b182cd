//! One network for the whole Pareto front, of a problem whose front is known.
//!
//! Two tasks `y₁ = x₁` and `y₂ = x₂` on inputs whose coordinates are uncorrelated with variance 1, with a trunk of one linear number: with its direction at
//! the angle φ and the best heads the losses are `sin² φ` and `cos² φ`. So the front is the line `l₁ + l₂ = 1`, of which weighted sums reach the ends
//! alone, and the point with `r₁ l₁ = r₂ l₂` is `(r₂, r₁)`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use manytask_data::{Inputs, SplitData, TaskData};
use manytask_multitask::aggregators::{AggregatorSettings, Cosmos, Epo, Linear, Tchebycheff, UpGrad};
use manytask_multitask::architectures::{CosmosSettings, PhnSettings};
use manytask_multitask::{
    ArchitectureSettings, Batches, Blueprint, Draw, Error, Freeze, InputSizes, Monitor, MultiTaskProblem,
    Problem, Split, Task, TaskSplits, Trainer, Training, TrunkSettings, check, pareto,
};
use manytask_nn::Precision;
use manytask_nn::layers::Activation;
use manytask_nn::metrics::Output;
use manytask_nn::nets::MlpConfig;
use manytask_nn::optim::Optimizer;
use manytask_nn::schedule::{Schedule, ScheduleKind};
use manytask_tensor::{Device, Kind, Params, Tensor};

const F64: (Kind, Device) = (Kind::Double, Device::Cpu);

fn problem(settings: &dyn ArchitectureSettings, trunk: MlpConfig) -> MultiTaskProblem {
    let x = Tensor::from_slice(&[1.0, 1.0, 1.0, -1.0, -1.0, 1.0, -1.0, -1.0]).reshape([4, 2]);
    let names = ["a", "b"];
    let target = |column: i64| x.select(1, column).copy();
    let tasks = names.iter().zip(0..).map(|(name, column)| TaskData {
        name: (*name).into(),
        target: target(column),
        weight: None,
    });
    let train = SplitData::new(vec![Inputs::numbers(x.copy())], tasks.collect()).unwrap();
    let tasks: Vec<Task> = names.map(|name| Task::new(name, Output::Regression, 1)).into();
    let parts: BTreeMap<String, Box<dyn TrunkSettings>> =
        [("trunk".to_owned(), Box::new(trunk) as Box<dyn TrunkSettings>)].into();
    let inputs = InputSizes::numbers(2);
    let blueprint = Blueprint {
        inputs: &inputs,
        encoding: 1.into(),
        tasks: &tasks,
        precision: Precision::Full,
        parts: &parts,
    };
    let network = settings.build(&blueprint).unwrap();
    let splits = TaskSplits { train, validation: None, test: None };
    MultiTaskProblem::new(network, tasks, splits, Batches::default()).unwrap()
}

fn trained(problem: &MultiTaskProblem, aggregator: &dyn AggregatorSettings, steps: u64) -> Params {
    let training = Training {
        seed: 1,
        steps,
        learning_rate: 0.01,
        optimizer: Optimizer::adam(),
        schedule: Schedule { kind: ScheduleKind::Cosine { minimum: 0.0 }, ..Schedule::default() },
        clip_norm: None,
        validate_every: None,
        save_every: None,
        diagnose_every: None,
        monitor: Monitor::default(),
        early_stopping: None,
        freeze: Freeze::default(),
        average: None,
    };
    let start = problem.layout().init(1, F64.0, F64.1).unwrap();
    let aggregator = aggregator.build(problem.tasks()).unwrap();
    check(aggregator.as_ref(), problem).unwrap();
    let mut trainer = Trainer::new(problem, aggregator, training, &start).unwrap();
    trainer.run(|_, _| Ok::<_, Error>(ControlFlow::Continue(()))).unwrap();
    trainer.params().copy().unwrap()
}

/// The losses at each of the problem's preferences.
fn front(problem: &MultiTaskProblem, params: &Params) -> Vec<Vec<f64>> {
    let at = |preference: &Vec<f64>| {
        let judged = problem.evaluate_at(params, Split::Train, preference).unwrap();
        judged.tasks.iter().map(|task| task.loss.unwrap()).collect()
    };
    problem.preferences().iter().map(at).collect()
}

fn hypernetwork() -> MultiTaskProblem {
    let trunk = MlpConfig { hidden: vec![1], activation: Activation::Identity, ..MlpConfig::default() };
    problem(&PhnSettings { hidden: vec![32], concentration: 1.0, points: 5, ..PhnSettings::default() }, trunk)
}

#[test]
fn a_hypernetwork_with_exact_search_is_at_each_preference_where_weighted_losses_are_equal() {
    let problem = hypernetwork();
    let found = front(&problem, &trained(&problem, &Epo::default(), 2500));
    for (preference, losses) in problem.preferences().iter().zip(&found) {
        for (loss, other) in losses.iter().zip(preference.iter().rev()) {
            assert!((loss - other).abs() < 0.06, "{preference:?}: {losses:?}");
        }
    }
}

#[test]
fn a_hypernetwork_with_tchebycheff_covers_a_front_of_which_weighted_sums_have_the_ends() {
    let problem = hypernetwork();
    let covered = |aggregator: &dyn AggregatorSettings| front(&problem, &trained(&problem, aggregator, 1500));
    let tchebycheff = covered(&Tchebycheff::default());
    for (preference, losses) in problem.preferences().iter().zip(&tchebycheff) {
        assert!((losses[0] - preference[1]).abs() < 0.1, "{preference:?}: {losses:?}");
    }
    let linear = covered(&Linear::default());
    assert!(linear[0][0] < 0.1 && linear[0][1] > 0.9, "{linear:?}");
    assert!(linear[4][0] > 0.9 && linear[4][1] < 0.1, "{linear:?}");
}

/// With a wide trunk behind the joined inputs the heads are the same for all preferences: between the ends the number z of a row is
/// `r₁ y₁ + r₂ y₂` with equal heads, so that losses are about `2 r₂²` and `2 r₁²`.
#[test]
fn joined_inputs_move_along_the_front() {
    let trunk = MlpConfig { hidden: vec![32, 1], activation: Activation::Tanh, ..MlpConfig::default() };
    let settings = CosmosSettings { points: 5, ..CosmosSettings::default() };
    let problem = problem(&settings, trunk);
    let found = front(&problem, &trained(&problem, &Cosmos { gamma: 0.0, ..Cosmos::default() }, 2000));
    for pair in found.windows(2) {
        assert!(pair[0][0] < pair[1][0] && pair[0][1] > pair[1][1], "{found:?}");
    }
    let exact: Vec<Vec<f64>> =
        problem.preferences().iter().map(|r| vec![2.0 * r[1] * r[1], 2.0 * r[0] * r[0]]).collect();
    let covered = |points: &[Vec<f64>]| pareto::hypervolume(points, &[2.0, 2.0]);
    assert!(covered(&found) > 0.9 * covered(&exact), "{found:?} {exact:?}");
}

#[test]
fn a_step_has_one_preference_for_all_its_batches_and_a_method_must_follow_it() {
    let problem = hypernetwork();
    let params = problem.layout().init(1, F64.0, F64.1).unwrap().require_grad().unwrap();
    let at = |step: u64, replica: u32| {
        let pass = problem.forward(&params, Draw { seed: 1, step, replica, split: Split::Train }).unwrap();
        pass.preference().unwrap().to_vec()
    };
    assert_eq!(at(3, 0), at(3, 1));
    assert_ne!(at(3, 0), at(4, 0));
    assert!(problem.protocol().contains(&("preference", "a 0.5, b 0.5".to_owned())));
    let own = Tchebycheff {
        preference: manytask_multitask::aggregators::Preference {
            weights: problem.tasks().iter().map(|task| (task.clone(), 0.5)).collect(),
            ..Default::default()
        },
        ..Tchebycheff::default()
    };
    for settings in [&UpGrad::default() as &dyn AggregatorSettings, &own] {
        let error = check(settings.build(problem.tasks()).unwrap().as_ref(), &problem).unwrap_err();
        assert!(error.to_string().contains("does not follow the preference"), "{error}");
    }
    assert!(problem.evaluate_at(&params, Split::Train, &[1.0]).is_err());
}
