//! What is made of looks at the validation split, and of losses.

use manytask_nn::schedule::{Schedule, ScheduleKind};

use super::*;
use crate::testing::{network, tanh_trunk, tasks};
use crate::{Batches, MultiTaskProblem, TaskEvaluation, TaskSplits};

fn seen(loss: Option<f64>) -> Evaluation {
    let task =
        |name: &str| TaskEvaluation { name: name.into(), loss, metrics: Vec::new(), higher_is_better: false };
    Evaluation::new(vec![task("b"), task("r"), task("m")])
}

#[test]
fn min_delta_decides_when_to_stop_and_not_what_is_best() {
    let problem = problem_of(rows(1, 16, true));
    let mut settings = training(100);
    settings.early_stopping = Some(EarlyStopping { patience: 3, min_delta: 0.25 });
    let mut trainer = Trainer::new(&problem, equal(&problem), settings, &start(&problem)).unwrap();
    let looks = [
        (1.0, true, 0),
        (0.9375, true, 1),
        (0.875, true, 2),
        (0.625, true, 0),
        (0.6875, false, 1),
        (0.5, true, 2),
    ];
    for (loss, improved, bad_evaluations) in looks {
        assert_eq!(trainer.judge(&seen(Some(loss))).unwrap(), (Some(loss), improved), "{loss}");
        assert_eq!(
            (trainer.progress.bad_evaluations, trainer.progress.stopped),
            (bad_evaluations, false),
            "{loss}"
        );
    }
    assert_eq!(trainer.progress.best.unwrap().metric, 0.5);
    assert_eq!(trainer.judge(&seen(Some(0.4375))).unwrap(), (Some(0.4375), true));
    assert!(trainer.progress.stopped, "better, but three times by no more than min_delta");
}

#[test]
fn a_look_without_a_value_counts_for_nothing() {
    let problem = problem_of(rows(1, 16, true));
    let mut settings = training(100);
    settings.early_stopping = Some(EarlyStopping { patience: 2, min_delta: 0.0 });
    settings.schedule =
        Schedule { warm_up: 0, kind: ScheduleKind::Plateau { factor: 0.5, patience: 0, threshold: 0.0 } };
    let mut trainer = Trainer::new(&problem, equal(&problem), settings, &start(&problem)).unwrap();
    trainer.judge(&seen(Some(1.0))).unwrap();
    let before = trainer.progress().clone();
    for _ in 0..5 {
        assert_eq!(trainer.judge(&seen(None)).unwrap(), (None, false));
    }
    assert_eq!(trainer.progress(), &before);
    assert!(!trainer.judge(&seen(Some(f64::NAN))).unwrap().1);
    assert_eq!(trainer.progress.bad_evaluations, 1, "a metric that is not a number is no better");
}

#[test]
fn a_monitor_that_can_have_no_value_is_refused() {
    let refused = |metric: &str, task: Option<&str>, change: &dyn Fn(&manytask_data::SplitData)| {
        let validation = rows(50, 40, true);
        change(&validation);
        let splits = TaskSplits { train: rows(1, 16, true), validation: Some(validation), test: None };
        let problem =
            MultiTaskProblem::new(Box::new(network(tanh_trunk)), tasks(), splits, Batches::default())
                .unwrap();
        let mut settings = training(10);
        let task = task.map(str::to_owned);
        settings.monitor = Monitor { metric: metric.into(), task, ..Monitor::default() };
        Trainer::new(&problem, equal(&problem), settings, &start(&problem))
            .err()
            .map(|error| error.to_string())
    };
    let fill = |task: usize, value: f64| {
        move |split: &manytask_data::SplitData| {
            let _ = split.tasks[task].target.shallow_clone().fill_(value);
        }
    };
    let one_class = refused("roc_auc", None, &fill(0, 1.0)).unwrap();
    assert!(one_class.contains("`roc_auc` can have no value on the validation split"), "{one_class}");
    assert!(refused("average_precision", None, &fill(0, 0.0)).is_some());
    assert!(refused("r2", Some("r"), &fill(1, 3.0)).is_some());
    assert!(refused("loss", Some("r"), &fill(1, f64::NAN)).is_some());
    assert_eq!(refused("loss", None, &fill(1, f64::NAN)), None, "the others have one");
    for (metric, task) in [("roc_auc", None), ("f1", Some("b")), ("r2", None), ("balanced_accuracy", None)] {
        let all = |_: &manytask_data::SplitData| {};
        let known = problem_of(rows(1, 16, true))
            .evaluation_schema()
            .tasks
            .iter()
            .any(|form| form.metrics.iter().any(|(name, _)| name == metric));
        assert_eq!(refused(metric, task, &all).is_none(), known, "{metric}");
    }
    assert_eq!(refused("accuracy", None, &fill(0, 1.0)), None, "accuracy takes no second class");
    // A misspelt monitor is refused also where nothing is validated.
    let problem = problem_of(rows(1, 16, true));
    let mut settings = training(10);
    (settings.validate_every, settings.monitor.metric) = (None, "los".into());
    let error = Trainer::new(&problem, equal(&problem), settings, &start(&problem)).unwrap_err();
    assert!(error.to_string().contains("`los`"), "{error}");
}

#[test]
fn what_is_saved_before_a_look_goes_on_with_it() {
    let problem = problem_of(rows(1, 24, true));
    let mut settings = training(9);
    settings.validate_every = Some(3);
    let trainer = || Trainer::new(&problem, equal(&problem), settings.clone(), &start(&problem)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let log = |trainer: &mut Trainer<'_>, save: Option<u64>| {
        let mut looks = Vec::new();
        trainer
            .run(|trainer, event| -> Result<_> {
                match event {
                    Event::EpochDone { step, epoch, means } => {
                        assert_eq!((step, means.len()), (3 * (epoch + 1), 3));
                        if save == Some(step) {
                            trainer.save(folder.path())?;
                        }
                    }
                    Event::Evaluated { step, improved, monitored, .. } => {
                        looks.push((step, improved, monitored));
                    }
                    _ => {}
                }
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
        looks
    };
    for step in [3, 6, 9] {
        let mut whole = trainer();
        let looks = log(&mut whole, Some(step));
        assert_eq!(looks.len(), 3);
        let mut resumed = trainer();
        resumed.restore(folder.path()).unwrap();
        assert!(resumed.progress().evaluation_due);
        assert_eq!(log(&mut resumed, None), looks[step as usize / 3 - 1..], "saved after {step}");
        assert_eq!(resumed.progress(), whole.progress());
        assert_eq!(resumed.params().max_difference(whole.params()).unwrap(), 0.0);
    }
}

#[test]
fn a_training_that_makes_the_network_worse_says_so() {
    let problem = problem_of(rows(1, 80, true));
    let begin = start(&problem);
    let ended = |learning_rate| {
        let settings = Training { learning_rate, clip_norm: None, validate_every: None, ..training(30) };
        let mut trainer = Trainer::new(&problem, equal(&problem), settings, &begin).unwrap();
        trainer.run(go_on).unwrap();
        trainer.worsened(&begin).unwrap()
    };
    assert_eq!(ended(0.02), None);
    let worse = ended(1e9).unwrap();
    assert!(worse.after > 1e6 * worse.before, "{worse:?}");
}
