//! What validation and losses say of a training.

use manytask_tensor::Params;

use super::{Best, Goal, Monitor, Trainer};
use crate::{Error, Evaluation, Problem, Result, Split};

/// By what the training losses of a network are larger than before its training where it has become worse.
const WORSE: f64 = 2.0;

/// A training that has made its network worse: the mean training losses over all tasks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Worsened {
    /// Before the first step.
    pub before: f64,
    /// Now.
    pub after: f64,
}

/// Refuses a monitor that can have no value on the validation split.
pub(super) fn has_value(problem: &dyn Problem, monitor: &Monitor) -> Result<()> {
    let tasks = problem.evaluation_schema().tasks;
    let watched = |name: &str| monitor.task.as_deref().is_none_or(|task| task == name);
    for (number, task) in tasks.iter().enumerate().filter(|(_, task)| watched(&task.name)) {
        let has = monitor.metric == "loss" || task.metrics.iter().any(|(name, _)| *name == monitor.metric);
        if has && problem.can_have_value(Split::Validation, number, &monitor.metric)? {
            return Ok(());
        }
    }
    let of = monitor.task.as_ref().map_or_else(String::new, |task| format!(" of task `{task}`"));
    let why =
        if monitor.metric == "loss" { "no label" } else { "no label, or labels of one class or value alone" };
    Err(Error::setting(
        ["monitor", "metric"],
        format!(
            "monitor: `{}`{of} can have no value on the validation split, which has {why}",
            monitor.metric
        ),
        "take another metric, or another split",
    ))
}

impl Trainer<'_> {
    /// The monitored metric of an evaluation, and whether it is the best so far; ends the training where it has been no
    /// better for too long.
    pub(super) fn judge(&mut self, evaluation: &Evaluation) -> Result<(Option<f64>, bool)> {
        let (metric, goal) = self.training.monitor.read(evaluation)?;
        // Without a value nothing is known, neither better nor worse.
        let Some(metric) = metric else { return Ok((None, false)) };
        if !metric.is_finite() {
            self.wait();
            return Ok((Some(metric), false));
        }
        let loss = if goal == Goal::Maximise { -metric } else { metric };
        self.training.schedule.observe(&mut self.progress.plateau, loss);
        let delta = self.training.early_stopping.map_or(0.0, |stopping| stopping.min_delta);
        if self.progress.reference.is_none_or(|reference| goal.better(metric, reference, delta)) {
            self.progress.reference = Some(metric);
            self.progress.bad_evaluations = 0;
        } else {
            self.wait();
        }
        let improved = self.progress.best.is_none_or(|best| goal.better(metric, best.metric, 0.0));
        if improved {
            self.progress.best = Some(Best { step: self.progress.step, metric });
        }
        Ok((Some(metric), improved))
    }

    fn wait(&mut self) {
        self.progress.bad_evaluations += 1;
        let patience = self.training.early_stopping.map(|stopping| stopping.patience);
        self.progress.stopped = patience.is_some_and(|patience| self.progress.bad_evaluations >= patience);
    }

    /// Whether the training has made the network worse, with the mean training losses before and now. `start` are the
    /// parameters before the first step.
    ///
    /// The training split is evaluated only where the losses of recent steps are well above those of the first.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn worsened(&self, start: &Params) -> Result<Option<Worsened>> {
        let both = self.progress.first_losses.iter().zip(&self.progress.recent_losses);
        let (first, recent) = both.fold((0.0, 0.0), |(first, recent), (old, new)| match (old, new) {
            (Some(old), Some(new)) => (first + old, recent + new),
            _ => (first, recent),
        });
        if recent <= WORSE * first {
            return Ok(None);
        }
        let loss = |params| Ok::<_, Error>(self.problem.evaluate(params, Split::Train)?.mean_loss());
        let (Some(before), Some(after)) = (loss(start)?, loss(self.evaluated())?) else { return Ok(None) };
        let worse = after.is_nan() || after > WORSE * before;
        Ok(worse.then_some(Worsened { before, after }))
    }
}
