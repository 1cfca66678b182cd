use manytask_nn::optim::Optimizer;
use manytask_nn::schedule::Schedule;
use manytask_tensor::{KeyPath, Within as _};
use serde::{Deserialize, Serialize};

use super::{EarlyStopping, Freeze, Monitor, WeightAverage};
use crate::{Error, Result};

/// How a problem is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// What every draw is keyed by.
    pub seed: u64,
    /// The number of steps. With 0 nothing is trained: the parameters that it starts from are kept as they are.
    pub steps: u64,
    /// The learning rate that the schedule multiplies.
    pub learning_rate: f64,
    /// What turns gradients into steps.
    pub optimizer: Optimizer,
    /// The course of the learning rate.
    pub schedule: Schedule,
    /// The largest norm of the whole gradient; longer ones are scaled down to it.
    pub clip_norm: Option<f64>,
    /// Steps between two looks at the validation split.
    pub validate_every: Option<u64>,
    /// Steps between two checkpoints, beside those of the best parameters.
    pub save_every: Option<u64>,
    /// Steps between two looks at how the tasks' gradients stand to each other, see [`Diagnostics`](crate::Diagnostics).
    pub diagnose_every: Option<u64>,
    /// What decides which parameters are the best.
    pub monitor: Monitor,
    /// When to end before the last step.
    pub early_stopping: Option<EarlyStopping>,
    /// What is held still.
    #[serde(default)]
    pub freeze: Freeze,
    /// The mean of the parameters that is evaluated and kept; `None`: the parameters themselves are.
    #[serde(default)]
    pub average: Option<WeightAverage>,
}

impl Training {
    /// Refuses settings out of range.
    ///
    /// # Errors
    /// With the setting and what it must be.
    pub fn check(&self) -> Result<()> {
        let refuse = |key: KeyPath, what: &str, remedy: &str| Err(Error::setting(key, what, remedy));
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return refuse(
                "learning_rate".into(),
                &format!("a learning rate of {}", self.learning_rate),
                "it must be above 0 and finite",
            );
        }
        if self.clip_norm.is_some_and(|norm| !(norm.is_finite() && norm > 0.0)) {
            return refuse(
                "clip_norm".into(),
                "a clip_norm that is not above 0",
                "leave it out to clip nothing",
            );
        }
        let intervals = [
            ("validate_every", self.validate_every),
            ("save_every", self.save_every),
            ("diagnose_every", self.diagnose_every),
        ];
        if let Some((key, _)) = intervals.iter().find(|(_, steps)| *steps == Some(0)) {
            return refuse((*key).into(), "an interval of 0 steps", "leave it out, or write at least 1");
        }
        if let Some(stopping) = self.early_stopping {
            if self.validate_every.is_none() {
                return refuse(
                    "early_stopping".into(),
                    "early stopping without a look at the validation split",
                    "set validate_every",
                );
            }
            if stopping.patience == 0 || !(stopping.min_delta.is_finite() && stopping.min_delta >= 0.0) {
                let key = if stopping.patience == 0 { "patience" } else { "min_delta" };
                let key = ["early_stopping", key].into();
                return refuse(key, "early stopping: patience below 1 or a negative min_delta", "raise it");
            }
        }
        if let Some(average) = self.average {
            average.check().within("average")?;
        }
        self.optimizer.check().within("optimizer")?;
        self.schedule.check().within("schedule")?;
        Ok(())
    }
}
