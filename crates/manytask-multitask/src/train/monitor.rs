//! What decides which parameters are the best, and when to end.

use std::collections::BTreeMap;

use manytask_nn::metrics::Metric;
use serde::{Deserialize, Serialize};

use crate::{Error, Evaluation, Result, TaskEvaluation};

/// A metric of the validation split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Monitor {
    /// `loss` or the name of a metric.
    pub metric: String,
    /// Of one task; absent: over all that have it.
    pub task: Option<String>,
    /// What of the tasks' values decides.
    #[serde(skip_serializing_if = "Across::is_mean")]
    pub across: Across,
    /// What each task's value counts, all above 0; those that are not named count 1.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, f64>,
    /// Whether more of it is better. Absent: known for `loss`, for metrics and what is derived from them (medians,
    /// percentiles, values after a number of steps), and for tasks' primary metrics.
    pub goal: Option<Goal>,
}

impl Default for Monitor {
    fn default() -> Self {
        let (across, weights) = (Across::Mean, BTreeMap::new());
        Self { metric: "loss".into(), task: None, across, weights, goal: None }
    }
}

/// What of the values of several tasks decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Across {
    /// Their weighted mean.
    #[default]
    Mean,
    /// The worst of them, each times its weight.
    Worst,
}

impl Across {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    fn is_mean(&self) -> bool {
        *self == Self::Mean
    }
}

/// Which way a metric should go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Less is better.
    Minimise,
    /// More is better.
    Maximise,
}

/// Ends a training that gets no better.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyStopping {
    /// How many looks at the validation split in a row may be without a better metric. A look at which the metric has no
    /// value does not count.
    pub patience: u64,
    /// By how much a metric must be better for the count to start anew. What is best is decided without it.
    #[serde(default)]
    pub min_delta: f64,
}

impl Monitor {
    /// Refuses what an evaluation of this form cannot answer.
    ///
    /// # Errors
    /// As [`Monitor::read`].
    pub fn check(&self, form: &Evaluation) -> Result<()> {
        self.read(form).map(drop)
    }

    /// The metric's value, and which way it should go; `None` where no task has it.
    ///
    /// # Errors
    /// When no task or metric has such a name, the goal is not known, or one task decides and others are weighed.
    pub fn read(&self, evaluation: &Evaluation) -> Result<(Option<f64>, Goal)> {
        if let Some(task) = self.task.as_ref().filter(|_| !self.across.is_mean() || !self.weights.is_empty())
        {
            return Err(Error::setting(
                "task",
                format!("monitor: task `{task}` decides alone, so that there is nothing to weigh"),
                "leave out `task`, or `across` and `weights`",
            ));
        }
        let tasks = match &self.task {
            None => evaluation.tasks.iter().collect::<Vec<_>>(),
            Some(name) => {
                let names =
                    evaluation.tasks.iter().map(|task| task.name.as_str()).collect::<Vec<_>>().join(", ");
                let task = evaluation.task(name).ok_or_else(|| {
                    Error::setting(
                        "task",
                        format!("monitor: there is no task `{name}`"),
                        format!("the tasks are {names}"),
                    )
                })?;
                vec![task]
            }
        };
        let known = |metric: &str| {
            metric == "loss" || tasks.iter().any(|task| task.metrics.iter().any(|(name, _)| name == metric))
        };
        if !known(&self.metric) {
            let mut names: Vec<&str> =
                tasks.iter().flat_map(|task| &task.metrics).map(|(name, _)| name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            return Err(Error::setting(
                "metric",
                format!("monitor: there is no metric `{}`", self.metric),
                format!("the metrics are loss, {}", names.join(", ")),
            ));
        }
        let primary =
            tasks.iter().find(|task| task.metrics.first().is_some_and(|(name, _)| *name == self.metric));
        let known = Goal::of(&self.metric).or(primary.map(|task| Goal::higher(task.higher_is_better)));
        let goal = self.goal.or(known).ok_or_else(|| {
            Error::setting(
                "metric",
                format!("monitor: whether more of `{}` is better is not known", self.metric),
                "write goal = \"maximise\" or \"minimise\", or take another metric",
            )
        })?;
        self.check_weights(evaluation)?;
        let value = match tasks.as_slice() {
            [task] => task.metric(&self.metric),
            tasks => self.across_all(tasks, goal),
        };
        Ok((value, goal))
    }

    fn check_weights(&self, evaluation: &Evaluation) -> Result<()> {
        if let Some(name) = self.weights.keys().find(|name| evaluation.task(name).is_none()) {
            let names: Vec<&str> = evaluation.tasks.iter().map(|task| task.name.as_str()).collect();
            let what = format!("monitor: weights: there is no task `{name}`");
            return Err(Error::setting(
                ["weights", name],
                what,
                format!("the tasks are {}", names.join(", ")),
            ));
        }
        match self.weights.iter().find(|(_, weight)| !(weight.is_finite() && **weight > 0.0)) {
            Some((name, weight)) => {
                let what = format!("monitor: the weight of `{name}` is {weight}");
                Err(Error::setting(["weights", name], what, "write a number above 0"))
            }
            None => Ok(()),
        }
    }

    /// The value over all tasks that have one.
    fn across_all(&self, tasks: &[&TaskEvaluation], goal: Goal) -> Option<f64> {
        let own = |task: &&TaskEvaluation| {
            Some((self.weights.get(&task.name).copied().unwrap_or(1.0), task.metric(&self.metric)?))
        };
        let values: Vec<(f64, f64)> = tasks.iter().filter_map(own).collect();
        let terms = values.iter().map(|(weight, value)| weight * value);
        match (self.across, goal) {
            (Across::Worst, Goal::Minimise) => terms.reduce(f64::max),
            (Across::Worst, Goal::Maximise) => terms.reduce(f64::min),
            (Across::Mean, _) => {
                let sum: f64 = values.iter().map(|(weight, _)| weight).sum();
                (sum > 0.0).then(|| terms.sum::<f64>() / sum)
            }
        }
    }
}

impl Goal {
    /// That of `loss`, of a metric, and of what an evaluation of episodes derives from one; `None` for other names, also for
    /// the width of an interval, which says nothing of how good the mean is.
    pub fn of(metric: &str) -> Option<Self> {
        if metric == "loss" {
            return Some(Self::Minimise);
        }
        let derived = ["_median", "_p99", "_after_"].iter().find_map(|mark| metric.find(mark));
        let metric = Metric::named(metric.get(..derived.unwrap_or(metric.len()))?)?;
        Some(Self::higher(metric.higher_is_better()))
    }

    fn higher(is_better: bool) -> Self {
        if is_better { Self::Maximise } else { Self::Minimise }
    }

    /// Whether a metric is better than another by more than `delta`.
    pub fn better(self, new: f64, old: f64, delta: f64) -> bool {
        match self {
            Self::Minimise => new < old - delta,
            Self::Maximise => new > old + delta,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluation() -> Evaluation {
        let task = |name: &str, loss, auc, higher_is_better| TaskEvaluation {
            name: name.into(),
            loss: Some(loss),
            metrics: vec![("auc".into(), auc), ("f1".into(), Some(0.3)), ("width".into(), Some(0.1))],
            higher_is_better,
        };
        Evaluation::new(vec![task("a", 1.0, Some(0.5), true), task("b", 2.0, None, true)])
    }

    #[test]
    fn a_metric_is_a_mean_or_one_tasks() {
        let read = |metric: &str, task: Option<&str>, goal| {
            let task = task.map(str::to_owned);
            Monitor { metric: metric.into(), task, goal, ..Monitor::default() }.read(&evaluation())
        };
        assert_eq!(read("loss", None, None).unwrap(), (Some(1.5), Goal::Minimise));
        assert_eq!(read("auc", None, None).unwrap(), (Some(0.5), Goal::Maximise));
        assert_eq!(read("auc", Some("b"), None).unwrap(), (None, Goal::Maximise));
        assert_eq!(read("f1", Some("a"), None).unwrap(), (Some(0.3), Goal::Maximise), "a metric is known");
        assert_eq!(read("width", Some("a"), Some(Goal::Minimise)).unwrap(), (Some(0.1), Goal::Minimise));
        let wrong = read("width", None, None).unwrap_err().to_string();
        assert!(wrong.contains("`width`") && wrong.contains("goal"), "{wrong}");
        let wrong = read("acu", None, None).unwrap_err().to_string();
        assert!(wrong.contains("`acu`") && wrong.contains("loss, auc, f1, width"), "{wrong}");
        let wrong = read("loss", Some("c"), None).unwrap_err().to_string();
        assert!(wrong.contains("`c`") && wrong.contains("a, b"), "{wrong}");
    }

    #[test]
    fn tasks_count_by_their_weights_or_the_worst_of_them_decides() {
        let read = |metric: &str, across, weights: &[(&str, f64)]| {
            let weights = weights.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect();
            Monitor { metric: metric.into(), across, weights, ..Monitor::default() }.read(&evaluation())
        };
        // Losses 1 and 2; only the first has an AUC.
        assert_eq!(read("loss", Across::Mean, &[("a", 3.0)]).unwrap().0, Some(1.25));
        assert_eq!(read("loss", Across::Worst, &[]).unwrap().0, Some(2.0));
        assert_eq!(read("loss", Across::Worst, &[("a", 3.0)]).unwrap().0, Some(3.0));
        assert_eq!(read("auc", Across::Mean, &[("a", 3.0)]).unwrap().0, Some(0.5));
        assert_eq!(read("f1", Across::Worst, &[("b", 0.5)]).unwrap(), (Some(0.15), Goal::Maximise));
        for (across, weights) in [(Across::Worst, vec![]), (Across::Mean, vec![("b".to_owned(), 2.0)])] {
            let (task, weights) = (Some("a".to_owned()), weights.into_iter().collect());
            let monitor = Monitor { task, across, weights, ..Monitor::default() };
            assert!(monitor.read(&evaluation()).unwrap_err().to_string().contains("decides alone"));
        }
        for (weights, says) in [([("c", 1.0)], "no task `c`"), ([("a", 0.0)], "weight of `a` is 0")] {
            let error = read("loss", Across::Mean, &weights).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn every_metric_and_what_is_derived_from_it_has_a_goal() {
        for metric in manytask_nn::metrics::METRICS {
            let goal = Goal::higher(metric.higher_is_better());
            for derived in ["", "_median", "_p99", "_after_0_steps", "_after_1_step"] {
                assert_eq!(
                    Goal::of(&format!("{}{derived}", metric.name())),
                    Some(goal),
                    "{metric:?}{derived}"
                );
            }
            assert_eq!(Goal::of(&format!("{}_ci95", metric.name())), None);
        }
        assert_eq!((Goal::of("loss"), Goal::of("rmse_")), (Some(Goal::Minimise), None));
    }

    #[test]
    fn better_is_by_more_than_delta_and_never_nan() {
        assert!(Goal::Minimise.better(0.8, 1.0, 0.1) && !Goal::Minimise.better(0.95, 1.0, 0.1));
        assert!(Goal::Maximise.better(1.2, 1.0, 0.1) && !Goal::Maximise.better(1.0, 1.0, 0.0));
        assert!(!Goal::Minimise.better(f64::NAN, 1.0, 0.0));
    }
}
