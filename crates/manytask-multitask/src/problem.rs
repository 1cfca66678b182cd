use std::fmt::Debug;
use std::sync::Arc;

use manytask_nn::Context;
use manytask_nn::fused::NotFused;
use manytask_nn::metrics::Output;
use manytask_tensor::{Layout, Params, Slot};
use serde::{Deserialize, Serialize};

use crate::{Combination, Error, Gramian, Jacobian, Level, Result, TaskVec};

/// A split of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// What the parameters are fitted to.
    Train,
    /// What early stopping and bilevel methods look at.
    Validation,
    /// What is reported at the end.
    Test,
}

/// Names one batch: the same draw gives the same batch and the same randomness, whenever it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// The seed of the run.
    pub seed: u64,
    /// The step of the loop, counted from 0.
    pub step: u64,
    /// 0 for the usual batch; 1 and 2 for further, independent ones of the same step.
    pub replica: u32,
    /// From which split.
    pub split: Split,
}

/// Whether task i is the same task at every step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// It is: methods may keep a state for each task.
    Fixed,
    /// Tasks are sampled anew each step: methods with a state for each task are refused.
    Resampled,
}

/// What a problem can give beyond losses and parameter gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent of each other, as what is needed of them")]
pub struct Offers {
    /// Parameters that tasks share: what gradients are combined for.
    pub shared: bool,
    /// Gradients with respect to the last shared activation, one shape for all tasks.
    pub representation: bool,
    /// Batches of a validation split.
    pub validation: bool,
    /// A preference at each step, which the network's outputs depend on: an aggregator must follow it.
    pub preference: bool,
}

/// Turns parameters and a batch into a vector of task losses.
pub trait Problem: Debug + Send {
    /// The parameters: shared ones, task-specific ones and buffers.
    fn layout(&self) -> &Arc<Layout>;

    /// The slots that all tasks share, in layout order: what an aggregator's direction is for.
    fn shared(&self) -> &[Slot];

    /// The names of the tasks; for resampled tasks, `task0 … taskT-1`, the indices in a meta-batch.
    fn tasks(&self) -> &[String];

    /// Whether task i is the same task at every step.
    fn identity(&self) -> Identity;

    /// What it can give beyond losses and parameter gradients.
    fn offers(&self) -> Offers;

    /// The number of steps that see every training row once; `None` where tasks are sampled without end.
    fn steps_per_epoch(&self) -> Option<u64>;

    /// The forward pass on one batch, with a graph to `params`, which must require gradients.
    fn forward<'a>(&'a self, params: &'a Params, draw: Draw) -> Result<Box<dyn Pass + 'a>>;

    /// Whether its passes of this step share out their work among threads themselves: the loop then keeps libtorch to one thread, see
    /// [`threads::with_single_threaded_torch`](manytask_tensor::threads::with_single_threaded_torch).
    fn manages_threads(&self, params: &Params, step: u64) -> bool {
        let _ = (params, step);
        false
    }

    /// Whether passes on these parameters are fused: computed by closed forms instead of through the graph. Told when a training
    /// starts.
    ///
    /// # Errors
    /// With what prevents it.
    fn fused(&self, params: &Params) -> std::result::Result<(), NotFused> {
        let _ = params;
        Err(NotFused::because("a problem of its own"))
    }

    /// Why its passes on a GPU are not launched as a whole, where that was tried and failed; see
    /// [`capture`](manytask_tensor::capture).
    fn uncaptured(&self) -> Option<String> {
        None
    }

    /// The losses of one batch without a graph, and without a trace in buffers: the same batch and randomness as
    /// [`Problem::forward`] with this draw.
    fn losses(&self, params: &Params, draw: Draw) -> Result<TaskVec>;

    /// The form of an evaluation: its tasks and the names of their metrics, without values.
    fn evaluation_schema(&self) -> Evaluation;

    /// Refuses a split that cannot give what a training or an evaluation takes from it, before the first step: too few classes
    /// or examples for its tasks, or sizes that a layer of the network cannot work with.
    ///
    /// # Errors
    /// With the split, the numbers and the remedy.
    fn ready(&self, split: Split) -> Result<()> {
        let _ = split;
        Ok(())
    }

    /// What the metrics of an evaluation depend on beside parameters and data, by name: told with the result.
    fn protocol(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Whether a task's metric (`loss`, or the name of a metric) can have a value on a split of the data, whatever the
    /// parameters: labels of one class alone have no ROC-AUC.
    ///
    /// # Errors
    /// When the data have no such split.
    fn can_have_value(&self, split: Split, task: usize, metric: &str) -> Result<bool> {
        let _ = (split, task, metric);
        Ok(true)
    }

    /// The parameters with what of them is a function of the others and the training data, for whoever predicts without a problem; an
    /// evaluation does so by itself.
    ///
    /// # Errors
    /// When memory runs out.
    fn prepared(&self, params: &Params) -> Result<Params> {
        Ok(params.detach()?)
    }

    /// Losses and metrics over a whole split.
    fn evaluate(&self, params: &Params, split: Split) -> Result<Evaluation>;

    /// The preferences that a training is judged at when it ends, where its network is one for the whole Pareto front, see
    /// [`Architecture::preferences`](crate::Architecture::preferences); none of other networks.
    fn preferences(&self) -> &[Vec<f64>] {
        &[]
    }

    /// Losses and metrics over a whole split of a network for the whole Pareto front, at one preference.
    ///
    /// # Errors
    /// As [`Problem::evaluate`]; where the preference is not of its tasks, or it is no such network.
    fn evaluate_at(&self, params: &Params, split: Split, preference: &[f64]) -> Result<Evaluation> {
        let _ = (params, split, preference);
        Err(Error::setting("preference", "a preference for a network without one", "leave it out"))
    }

    /// What is predicted for each row of a split beside its labels, for each task in order: what metrics are computed from. None of
    /// tasks that are sampled.
    ///
    /// # Errors
    /// When the data have no such split.
    fn outputs(&self, params: &Params, split: Split) -> Result<Vec<TaskOutputs>> {
        let _ = (params, split);
        Ok(Vec::new())
    }
}

/// What is predicted for the rows of a split, and their labels, of one task: in double precision, on the processor.
#[derive(Debug)]
pub struct TaskOutputs {
    /// The task's name.
    pub name: String,
    /// What the numbers mean.
    pub output: Output,
    /// How many numbers a row has.
    pub columns: usize,
    /// Values in the units of the labels, or logits: `columns` for each row.
    pub prediction: Vec<f64>,
    /// Labels, NaN where missing: one for each row, the number of its class where there are classes, or `columns`.
    pub target: Vec<f64>,
    /// How much each row counts in metrics, where that is asked for.
    pub weight: Option<Vec<f64>>,
    /// The mean of a regression's labels in the training split, where it is known.
    pub train_mean: Option<f64>,
}

/// A loss of the architecture that was added to the losses of tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct AuxiliaryLoss {
    /// What it is.
    pub name: &'static str,
    /// The task to whose loss it was added; without one an equal share was added to each present task's.
    pub task: Option<usize>,
    /// Its value, its factor included.
    pub value: f64,
}

/// One forward pass, to be differentiated.
///
/// Rows, weights and gradients are counted over the tasks that are present in the batch, in task order.
pub trait Pass {
    /// The tasks that are present, by number, ascending.
    fn present(&self) -> &[usize];

    /// The losses of the present tasks, auxiliary ones of the architecture included.
    fn losses(&self) -> &[f64];

    /// The gradients of the present tasks with respect to a level, one row for each.
    ///
    /// It does no backward pass twice: what was computed is kept for [`Pass::finish`].
    fn jacobian(&mut self, level: &Level) -> Result<&Jacobian>;

    /// The inner products of the present tasks' gradients, which may cost less than the gradients.
    fn gramian(&mut self, level: &Level) -> Result<Gramian> {
        self.jacobian(level)?.gramian()
    }

    /// The gradient for the optimizer: the combination for the shared parameters, and for task-specific ones their own
    /// task's gradient times its weight in [`Combination::heads`].
    fn finish(&mut self, combination: &Combination) -> Result<Params>;

    /// The preference that it was computed with, a share of each task of the problem, where the network is one for the whole Pareto front.
    fn preference(&self) -> Option<&[f64]> {
        None
    }

    /// What was added to the losses beside those of the tasks: sparsity of gates, distances of soft sharing.
    fn auxiliary(&self) -> &[AuxiliaryLoss] {
        &[]
    }

    /// Further numbers for the log, by name: terms of the losses, the mean over the tasks of each.
    fn terms(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    /// What the pass recorded for the buffers; the loop writes it after the step with [`Context::apply_buffers`].
    fn take_context(&mut self) -> Context;
}

/// Losses and metrics of all tasks over one split of the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// For each task its metrics; for resampled tasks one entry over all episodes.
    pub tasks: Vec<TaskEvaluation>,
    /// What a reader of the metrics must know, a line each: what was left out of them, why, and the remedy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Losses and metrics of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskEvaluation {
    /// The task's name.
    pub name: String,
    /// The mean loss; `None` without a label.
    pub loss: Option<f64>,
    /// Metrics by name, the task's primary metric first; `None` where undefined (one class only).
    pub metrics: Vec<(String, Option<f64>)>,
    /// Whether a higher primary metric is better.
    pub higher_is_better: bool,
}

impl TaskEvaluation {
    /// A metric by name: `loss` or a metric.
    pub fn metric(&self, name: &str) -> Option<f64> {
        if name == "loss" {
            return self.loss;
        }
        self.metrics.iter().find(|(metric, _)| metric == name).and_then(|(_, value)| *value)
    }
}

impl Evaluation {
    /// The metrics of some tasks, with nothing to note.
    pub fn new(tasks: Vec<TaskEvaluation>) -> Self {
        Self { tasks, notes: Vec::new() }
    }

    /// A task's metrics by its name.
    pub fn task(&self, name: &str) -> Option<&TaskEvaluation> {
        self.tasks.iter().find(|task| task.name == name)
    }

    /// The mean loss over the tasks that have one.
    pub fn mean_loss(&self) -> Option<f64> {
        mean(self.tasks.iter().filter_map(|task| task.loss))
    }

    /// The mean of a metric over the tasks that have it.
    pub fn mean(&self, metric: &str) -> Option<f64> {
        mean(self.tasks.iter().filter_map(|task| task.metric(metric)))
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_over_the_tasks_that_have_the_metric() {
        let task = |name: &str, loss, auc| TaskEvaluation {
            name: name.into(),
            loss,
            metrics: vec![("auc".into(), auc)],
            higher_is_better: true,
        };
        let evaluation = Evaluation::new(vec![
            task("a", Some(1.0), Some(0.5)),
            task("b", Some(4.0), None),
            task("c", None, None),
        ]);
        assert_eq!(evaluation.mean_loss(), Some(2.5));
        assert_eq!(evaluation.mean("auc"), Some(0.5));
        assert_eq!(evaluation.mean("f1"), None);
        assert_eq!(evaluation.task("b").and_then(|task| task.metric("loss")), Some(4.0));
    }
}
