mod averaged;
mod batches;
mod diagnosed;
mod frozen;
mod methods;
mod validation;

use manytask_nn::optim::Optimizer;
use manytask_nn::schedule::Schedule;

use super::*;
use crate::aggregators::{AggregatorSettings, EqualWeights, UncertaintyWeighting};
use crate::testing::{problem_of, rows, start};
use crate::{BatchOf, Combination, Gives, Level, Needs, Place, Step, TaskVec, Want};

fn training(steps: u64) -> Training {
    Training {
        seed: 1,
        steps,
        learning_rate: 0.02,
        optimizer: Optimizer::adam(),
        schedule: Schedule::default(),
        clip_norm: Some(5.0),
        validate_every: Some(5),
        save_every: None,
        diagnose_every: None,
        monitor: Monitor::default(),
        early_stopping: None,
        freeze: Freeze::default(),
        average: None,
    }
}

fn names(problem: &dyn Problem) -> Vec<String> {
    problem.tasks().to_vec()
}

fn equal(problem: &dyn Problem) -> Box<dyn Aggregator> {
    EqualWeights::default().build(&names(problem)).unwrap()
}

#[expect(clippy::unnecessary_wraps, reason = "an observer may fail")]
fn go_on(_: &Trainer<'_>, _: Event<'_>) -> Result<ControlFlow<()>> {
    Ok(ControlFlow::Continue(()))
}

#[test]
fn a_training_learns() {
    let problem = problem_of(rows(1, 80, true));
    let params = start(&problem);
    let before = problem.evaluate(&params, Split::Validation).unwrap();
    let mut trainer = Trainer::new(&problem, equal(&problem), training(200), &params).unwrap();
    assert_eq!(trainer.run(go_on).unwrap(), Finish::Completed);
    let after = problem.evaluate(trainer.params(), Split::Validation).unwrap();
    assert!(after.mean_loss().unwrap() < 0.5 * before.mean_loss().unwrap(), "{before:?} {after:?}");
    assert!(after.task("b").unwrap().metric("roc_auc").unwrap() > 0.95);
    assert_eq!(start(&problem).max_difference(&params).unwrap(), 0.0, "the given parameters are left alone");
}

#[test]
fn a_training_resumed_anywhere_is_bit_for_bit_the_same() {
    let problem = problem_of(rows(1, 44, true));
    let aggregator = || UncertaintyWeighting::default().build(&names(&problem)).unwrap();
    let trainer = || Trainer::new(&problem, aggregator(), training(23), &start(&problem)).unwrap();
    let mut whole = trainer();
    let mut reports = Vec::new();
    whole
        .run(|_, event| -> Result<_> {
            if let Event::Step(report) = event {
                reports.push(report.clone());
            }
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    for stop in [1, 5, 6, 17, 22] {
        let folder = tempfile::tempdir().unwrap();
        let mut first = trainer();
        let finish = first.run(|trainer, event| -> Result<_> {
            let stop = matches!(event, Event::StepDone { step } if step == stop);
            assert!(trainer.progress().step <= 22);
            Ok(if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        assert_eq!(finish.unwrap(), Finish::Interrupted);
        first.save(folder.path()).unwrap();
        let mut second = trainer();
        second.restore(folder.path()).unwrap();
        let mut later = Vec::new();
        second
            .run(|_, event| -> Result<_> {
                if let Event::Step(report) = event {
                    later.push(report.clone());
                }
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
        assert_eq!(later, reports[stop as usize..], "stopped after {stop}");
        for (a, b) in second.params().leaves().iter().zip(whole.params().leaves()) {
            assert_eq!(a, b, "stopped after {stop}");
        }
        assert_eq!(second.progress(), whole.progress());
    }
}

#[test]
fn early_stopping_ends_after_its_patience_and_remembers_the_best() {
    let problem = problem_of(rows(1, 16, true));
    let mut settings = training(1000);
    settings.learning_rate = 1e-12; // nothing gets better by more than min_delta
    settings.early_stopping = Some(EarlyStopping { patience: 3, min_delta: 0.1 });
    let mut trainer = Trainer::new(&problem, equal(&problem), settings, &start(&problem)).unwrap();
    assert_eq!(trainer.run(go_on).unwrap(), Finish::StoppedEarly);
    assert!(trainer.progress().best.unwrap().step > 5, "what is best is decided without min_delta");
    assert_eq!(trainer.progress().step, 20, "the first look and three more");
    assert_eq!(trainer.run(go_on).unwrap(), Finish::StoppedEarly, "it stays ended");
}

#[test]
fn a_loss_that_is_not_finite_is_told_with_task_and_step() {
    let split = rows(1, 16, true);
    let _ = split.inputs[0].features().unwrap().dense.get(3).fill_(f64::INFINITY);
    let problem = problem_of(split);
    let mut trainer = Trainer::new(&problem, equal(&problem), training(10), &start(&problem)).unwrap();
    let before = trainer.params().copy().unwrap();
    let error = trainer.run(go_on).unwrap_err();
    assert!(matches!(error, Error::Diverged { step: 0 | 1, .. }), "{error}");
    assert!(error.to_string().contains("task `"), "{error}");
    if trainer.progress().step == 0 {
        assert_eq!(trainer.params().max_difference(&before).unwrap(), 0.0);
    }
}

#[test]
fn another_problems_checkpoint_is_refused() {
    let problem = problem_of(rows(1, 16, true));
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = Trainer::new(&problem, equal(&problem), training(3), &start(&problem)).unwrap();
    assert!(trainer.restore(folder.path()).unwrap_err().to_string().contains("state.json"));
    trainer.run(go_on).unwrap();
    trainer.save(folder.path()).unwrap();
    let mut momentum = training(3);
    momentum.optimizer = Optimizer::sgd(0.9);
    let mut other = Trainer::new(&problem, equal(&problem), momentum, &start(&problem)).unwrap();
    let error = other.restore(folder.path()).unwrap_err().to_string();
    assert!(error.contains("optimizer.safetensors"), "{error}");
    fs_err::write(folder.path().join(STATE), "{\"step\": 1").unwrap();
    let error = trainer.restore(folder.path()).unwrap_err();
    assert!(error.to_string().contains("state.json"), "{error}");
}

#[test]
fn a_training_without_steps_keeps_its_parameters() {
    let problem = problem_of(rows(1, 16, true));
    let begin = start(&problem);
    let mut trainer = Trainer::new(&problem, equal(&problem), training(0), &begin).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut saved = 0;
    let finish = trainer.run(|trainer, event| -> Result<_> {
        assert!(matches!(event, Event::Checkpoint { step: 0, improved: false }), "{event:?}");
        trainer.save(folder.path())?;
        saved += 1;
        Ok(ControlFlow::Continue(()))
    });
    assert_eq!((finish.unwrap(), saved), (Finish::Completed, 1));
    trainer.restore(folder.path()).unwrap();
    assert_eq!(trainer.params().max_difference(&begin).unwrap(), 0.0);
}

#[test]
fn settings_out_of_range_are_refused() {
    let problem = problem_of(rows(1, 16, true));
    let refused = |change: &dyn Fn(&mut Training)| {
        let mut settings = training(3);
        change(&mut settings);
        Trainer::new(&problem, equal(&problem), settings, &start(&problem)).unwrap_err().to_string()
    };
    assert!(refused(&|t| t.learning_rate = f64::NAN).contains("learning rate"));
    assert!(refused(&|t| t.clip_norm = Some(0.0)).contains("clip_norm"));
    assert!(refused(&|t| t.save_every = Some(0)).contains("interval"));
    let stopping = Some(EarlyStopping { patience: 1, min_delta: 0.0 });
    assert!(refused(&|t| (t.early_stopping, t.validate_every) = (stopping, None)).contains("validate_every"));
}

#[derive(Debug)]
struct Greedy(Needs);

impl Aggregator for Greedy {
    fn name(&self) -> &'static str {
        "greedy"
    }
    fn needs(&self) -> Needs {
        self.0.clone()
    }
    fn gives(&self) -> Gives {
        Gives::GradientWeights
    }
    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        let rows = step.jacobian(&Level::Parameters)?.rows().size()[0] as usize;
        Ok(Combination::weights(vec![1.0; rows]))
    }
}

#[test]
fn an_aggregator_gets_what_it_declares_and_nothing_else() {
    let problem = problem_of(rows(1, 16, true));
    let run = |needs| {
        let aggregator = Box::new(Greedy(needs));
        Trainer::new(&problem, aggregator, training(2), &start(&problem)).unwrap().run(go_on)
    };
    assert!(run(Needs::jacobian(Level::Parameters)).is_ok());
    let error = run(Needs::gramian(Level::Parameters)).unwrap_err().to_string();
    assert!(error.contains("`greedy`") && error.contains("Jacobian"), "{error}");
}

/// Looks at everything a step can give.
#[derive(Debug)]
struct Curious;

impl Aggregator for Curious {
    fn name(&self) -> &'static str {
        "curious"
    }
    fn needs(&self) -> Needs {
        Needs {
            batches: 2,
            validation: true,
            look_ahead: true,
            losses_after_step: true,
            ..Needs::jacobian(Level::Parameters)
        }
    }
    fn gives(&self) -> Gives {
        Gives::GradientWeights
    }
    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        let here = step.losses().clone();
        let width: usize = step.columns(&Level::Parameters)?.iter().map(|(_, range)| range.len()).sum();
        let found = step.look(BatchOf::Own, Place::Here, Want::Gradient(&[1.0; 3]))?;
        assert_eq!(found.losses, here);
        let against = found.gradient()?;
        let mut moved = |batch, rate| step.look(batch, Place::Moved { against, rate }, Want::Losses);
        for (a, b) in here.values().iter().zip(moved(BatchOf::Own, 0.0)?.losses.values()) {
            assert!((a - b).abs() < 1e-12);
        }
        let sum = |losses: &TaskVec| losses.values().iter().sum::<f64>();
        let ahead = moved(BatchOf::Own, 1e-3)?.losses;
        // To first order the losses fall by the squared gradient of all parameters, those of heads included.
        let squared = against.dot(against)?.double_value(&[]);
        let fall = (sum(&here) - sum(&ahead)) / (1e-3 * squared);
        assert!((fall - 1.0).abs() < 0.05, "{fall}");
        let far = moved(BatchOf::Validation, 0.1)?.losses;
        let level = Level::Parameters;
        assert_ne!(step.look(BatchOf::Replica(1), Place::Here, Want::Losses)?.losses, here);
        assert!(step.look(BatchOf::Replica(2), Place::Here, Want::Losses).is_err());
        let validation = step.look(BatchOf::Validation, Place::Here, Want::Jacobian(&level))?;
        assert_ne!(validation.losses, far);
        assert_eq!(validation.rows_of(&[2, 0])?.rows().size(), [2, width as i64]);
        assert!(validation.gradient().is_err());
        Ok(Combination::weights(vec![1.0; here.len()]))
    }
    fn after_step(&mut self, losses: &TaskVec) -> Result<()> {
        assert_eq!(losses.present(), [0, 1, 2]);
        Ok(())
    }
}

#[test]
fn every_part_of_a_step_can_be_had() {
    let problem = problem_of(rows(1, 16, true));
    let mut trainer = Trainer::new(&problem, Box::new(Curious), training(2), &start(&problem)).unwrap();
    assert_eq!(trainer.run(go_on).unwrap(), Finish::Completed);
}
