//! Trainings in memory: with every aggregator, with absent tasks, with auxiliary losses.

use manytask::Registries;
use manytask::data_sets::{SplitData as Rows, TaskData};
use manytask::multitask::{
    Batches, Error, Freeze, InputSizes, Monitor, MultiTaskProblem, Problem, Result, Split, TaskSplits,
    Trainer, Training, check,
};
use manytask::nn::Precision;
use manytask::nn::optim::{AdamW, Optimizer};
use manytask::nn::schedule::Schedule;
use manytask::tensor::{Kind, Owner, Params};

use super::{DRAW, PARTS, described, plan, problem, registered, rows, start};

fn training(steps: u64) -> Training {
    Training {
        seed: 1,
        steps,
        learning_rate: 1e-2,
        optimizer: Optimizer::AdamW(AdamW { weight_decay: 0.1, ..AdamW::default() }),
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

pub(super) fn trained(problem: &MultiTaskProblem, params: &Params, kind: &str, steps: u64) -> Result<Params> {
    let tasks = problem.tasks().to_vec();
    let aggregator = crate::aggregators::settings(kind, &tasks).build(&tasks)?;
    check(aggregator.as_ref(), problem)?;
    let mut trainer = Trainer::new(problem, aggregator, training(steps), params)?;
    trainer.run(|_, _| Ok::<_, Error>(std::ops::ControlFlow::Continue(())))?;
    Ok(trainer.params().copy()?)
}

/// An aggregator that treats tasks alike, with any network.
fn plain(problem: &MultiTaskProblem) -> &'static str {
    if problem.offers().preference { "linear" } else { "equal_weights" }
}

#[test]
fn parameters_of_absent_tasks_rest() {
    for name in registered() {
        let mut problem = problem(&name, PARTS, true);
        let last = problem.tasks().len() - 1;
        let tasks = problem.described_tasks().to_vec();
        let network = plan(&name, PARTS);
        let sizes = InputSizes::Features { dense: 4, numbers: (0..4).collect(), categories: vec![3] };
        let part = rows(1, 40, &tasks, true);
        let missing = if part.tasks[last].target.kind() == Kind::Int64 {
            part.tasks[last].target.full_like(-100)
        } else {
            part.tasks[last].target.full_like(f64::NAN)
        };
        let labels = part.tasks.into_iter().enumerate().map(|(task, data)| TaskData {
            target: if task == last { missing.shallow_clone() } else { data.target },
            ..data
        });
        let train = Rows::new(part.inputs, labels.collect()).unwrap();
        let parts = TaskSplits { train, validation: None, test: None };
        let network = network.build(&sizes, &tasks, Precision::Full).unwrap();
        problem = MultiTaskProblem::new(network, tasks, parts, Batches::default()).unwrap();
        let before = start(&problem);
        let after = trained(&problem, &before, plain(&problem), 4).unwrap();
        let mut rested = 0;
        for slot in problem.layout().trained() {
            let same = before.get(slot).unwrap() == after.get(slot).unwrap();
            let entry = problem.layout().entry(slot).unwrap();
            let rests = entry.owner == Owner::Task(last);
            rested += usize::from(rests);
            if rests || entry.owner != Owner::Shared {
                assert_eq!(same, rests, "{name}: {}", entry.name);
            }
        }
        assert!(rested > 0, "{name} has nothing of the last task's own");
    }
}

#[test]
fn every_architecture_trains_with_every_aggregator_or_says_why_not() {
    let aggregators: Vec<String> =
        Registries::default().aggregators.entries().map(|(name, _)| name.to_owned()).collect();
    for name in registered() {
        let problem = problem(&name, PARTS, false);
        let params = start(&problem);
        for kind in &aggregators {
            match trained(&problem, &params, kind, 3) {
                Ok(after) => {
                    assert!(after.is_finite().unwrap(), "{name} with {kind}");
                    assert!(
                        after.max_difference(&params).unwrap() > 1e-4,
                        "{name} with {kind} learns nothing"
                    );
                }
                Err(error) => {
                    let error = error.to_string();
                    let apart = error.contains("goes by gradients of parameters that tasks share")
                        && problem.shared().is_empty();
                    let unheard =
                        error.contains("does not follow the preference") && problem.offers().preference;
                    assert!(apart || unheard, "{name} with {kind}: {error}");
                }
            }
        }
        if !problem.shared().is_empty() {
            let (first, later) = (params, trained(&problem, &start(&problem), plain(&problem), 60).unwrap());
            let mean = |params: &Params| problem.evaluate(params, Split::Train).unwrap().mean_loss().unwrap();
            assert!(mean(&later) < 0.9 * mean(&first), "{name}: {} {}", mean(&first), mean(&later));
        }
    }
}

#[test]
fn auxiliary_losses_are_in_the_losses_and_named_and_not_in_an_evaluation() {
    let problem = problem("toy", PARTS, false);
    let params = start(&problem).require_grad().unwrap();
    let pass = problem.forward(&params, DRAW).unwrap();
    let auxiliary = pass.auxiliary().to_vec();
    assert_eq!(auxiliary.iter().map(|of| (of.name, of.task)).collect::<Vec<_>>(), [("size", None)]);
    assert!(auxiliary[0].value > 0.0);
    let plain = plan("toy", &format!("{PARTS}scale = 0.0\n"));
    let tasks = described(4);
    let network = plain.build(&InputSizes::numbers(4), &tasks, Precision::Full).unwrap();
    let parts = TaskSplits { train: rows(1, 40, &tasks, false), validation: None, test: None };
    let batches = Batches { size: 16, ..Batches::default() };
    let plain = MultiTaskProblem::new(network, tasks, parts, batches).unwrap();
    let without = plain.forward(&params, DRAW).unwrap();
    for (with, without) in pass.losses().iter().zip(without.losses()) {
        assert!((with - without - auxiliary[0].value / 4.0).abs() < 1e-12, "each task has an equal share");
    }
    let train = |problem: &MultiTaskProblem| problem.evaluate(&params, Split::Train).unwrap();
    assert_eq!(train(&problem), train(&plain));
}
