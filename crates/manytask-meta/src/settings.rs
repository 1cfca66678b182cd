//! How many tasks a step and an evaluation have, and how they are computed.

use manytask_multitask::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::episode::BatchNormStatistics;
use crate::execution::Execution;
use crate::inner::MOST_STEPS;

/// How many tasks, and how they are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetaSettings {
    /// The meta-batch: tasks in a step.
    pub tasks_per_step: usize,
    /// How they are computed.
    pub execution: Execution,
    /// What batch-norm normalises with.
    pub batch_norm: BatchNormStatistics,
    /// Tasks in an evaluation, always the same ones.
    pub evaluation_tasks: usize,
    /// Queries in an evaluation, for each class; absent: as in training.
    pub evaluation_queries: Option<usize>,
    /// Inner steps in an evaluation; absent: as in training.
    pub evaluation_steps: Option<u32>,
    /// What the evaluation's tasks are keyed by, so that they are the same for every seed of a training.
    pub evaluation_seed: u64,
}

impl Default for MetaSettings {
    fn default() -> Self {
        Self {
            tasks_per_step: 4,
            execution: Execution::Auto,
            batch_norm: BatchNormStatistics::Batch,
            evaluation_tasks: 600,
            evaluation_queries: None,
            evaluation_steps: None,
            evaluation_seed: 0,
        }
    }
}

impl MetaSettings {
    /// Refuses numbers that are out of range.
    ///
    /// # Errors
    /// With the number and its range; paths of keys start with the section, `training` or `evaluation`, of a whole configuration.
    pub fn check(&self) -> Result<()> {
        let within = |key: [&str; 2], what: &str, number: usize, most: usize| {
            if (1..=most).contains(&number) {
                return Ok(());
            }
            Err(Error::setting(key, format!("{what} is {number}"), format!("take 1 to {most}")))
        };
        within(["training", "tasks_per_step"], "`tasks_per_step`", self.tasks_per_step, 1 << 20)?;
        within(["evaluation", "tasks"], "the number of evaluation `tasks`", self.evaluation_tasks, 1 << 24)?;
        if let Some(queries) = self.evaluation_queries {
            within(["evaluation", "queries"], "the number of evaluation `queries`", queries, 1 << 31)?;
        }
        if self.evaluation_steps.is_some_and(|steps| steps > MOST_STEPS) {
            let steps = self.evaluation_steps.unwrap_or_default();
            let what = format!("the number of evaluation `inner_steps` is {steps}");
            return Err(Error::setting(
                ["evaluation", "inner_steps"],
                what,
                format!("take 0 to {MOST_STEPS}"),
            ));
        }
        self.execution.check()
    }
}
