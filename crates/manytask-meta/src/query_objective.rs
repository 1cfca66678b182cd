//! The query loss of a task.

use manytask_data::Episodes;
use manytask_nn::Module;
use manytask_nn::layers::Restored;
use manytask_nn::loss::Loss;
use manytask_nn::metrics::Output;

use crate::episode::{BatchNormStatistics, Episode, Randomness};
use crate::learner::Learner;

/// What gives a task's query loss: all of it definitions without tensors, so that threads can share it.
#[derive(Debug)]
pub(crate) struct QueryObjective {
    network: Box<dyn Module>,
    pub(crate) learner: Box<dyn Learner>,
    pub(crate) output: Output,
    loss: Loss,
    batch_norm: BatchNormStatistics,
}

impl QueryObjective {
    /// Of a network, which may compute in another precision than its parameters have.
    pub(crate) fn new(
        network: Box<dyn Module>,
        learner: Box<dyn Learner>,
        output: Output,
        loss: Loss,
        batch_norm: BatchNormStatistics,
    ) -> Self {
        Self { network: Box::new(Restored(network)), learner, output, loss, batch_norm }
    }

    /// Whether batch-norm has running statistics in evaluation.
    pub(crate) fn has_running_statistics(&self) -> bool {
        self.batch_norm == BatchNormStatistics::Running
    }

    /// What a learner is given of some episodes.
    pub(crate) fn episode(
        &self,
        episodes: &Episodes,
        tasks: Option<i64>,
        random: Option<Randomness>,
    ) -> Episode<'_> {
        self.episode_on(self.network.as_ref(), episodes, tasks, random)
    }

    /// The same on another network, for examples that are for it.
    pub(crate) fn episode_on<'a>(
        &'a self,
        network: &'a dyn Module,
        episodes: &Episodes,
        tasks: Option<i64>,
        random: Option<Randomness>,
    ) -> Episode<'a> {
        Episode::new((network, &self.loss), episodes, tasks, random, self.batch_norm)
    }

    /// The network.
    pub(crate) fn network(&self) -> &dyn Module {
        self.network.as_ref()
    }
}
