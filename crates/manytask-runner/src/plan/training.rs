use std::path::PathBuf;

use manytask_multitask::{EarlyStopping, Monitor, WeightAverage};
use manytask_tensor::{KeyPath, WHOLE};
use serde::{Deserialize, Serialize};

use crate::config::Section;
use crate::failure::{Failure, Result};

/// What stands for settings that are not written.
pub(crate) const SAVE_EVERY_MINUTES: f64 = 5.0;
pub(crate) const KEEP_CHECKPOINTS: usize = 1;
pub(crate) const LOG_EVERY_STEPS: u64 = 50;

/// `[training]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrainingSection {
    /// How often every row is seen.
    pub epochs: Option<f64>,
    /// The number of steps, instead of epochs; 0, of learners alone: nothing is trained.
    pub steps: Option<u64>,
    /// Epochs between two looks at the validation split.
    pub validate_every_epochs: Option<f64>,
    /// Steps between two looks at the validation split.
    pub validate_every_steps: Option<u64>,
    /// Steps between two checkpoints, beside those of the best and the last parameters.
    pub save_every_steps: Option<u64>,
    /// Minutes between two checkpoints by the clock; five if it is left out.
    pub save_every_minutes: Option<f64>,
    /// How many of the latest checkpoints stay, beside the best; one if it is left out.
    pub keep_checkpoints: Option<usize>,
    /// Steps between two lines of training losses in `metrics.jsonl`.
    pub log_every_steps: Option<u64>,
    /// Steps between two looks at how the tasks' gradients stand to each other.
    pub diagnose_every_steps: Option<u64>,
    /// The largest norm of a gradient.
    pub clip_norm: Option<f64>,
    /// What decides which parameters are the best.
    pub monitor: Option<Monitor>,
    /// When to end early.
    pub early_stopping: Option<EarlyStopping>,
    /// A run whose best parameters are the first ones, where they fit the network; otherwise these are drawn.
    pub init_from: Option<PathBuf>,
    /// Parts of the network that are held still, from the first step on tasks on.
    pub freeze: Vec<String>,
    /// The mean of the parameters that is evaluated and kept.
    pub average: Option<WeightAverage>,
}

impl TrainingSection {
    pub(super) fn read(section: &mut Section<'_>) -> Result<Self> {
        let length = section.last_of(["epochs", "steps"]);
        let interval = section.last_of(["validate_every_epochs", "validate_every_steps"]);
        let read = Self {
            epochs: section.take("epochs")?,
            steps: section.take("steps")?,
            validate_every_epochs: section.take("validate_every_epochs")?,
            validate_every_steps: section.take("validate_every_steps")?,
            save_every_steps: section.take("save_every_steps")?,
            save_every_minutes: Some(section.take_or("save_every_minutes", SAVE_EVERY_MINUTES)?),
            keep_checkpoints: Some(section.take_or("keep_checkpoints", KEEP_CHECKPOINTS)?),
            log_every_steps: Some(section.take_or("log_every_steps", LOG_EVERY_STEPS)?),
            diagnose_every_steps: section.take("diagnose_every_steps")?,
            clip_norm: section.take("clip_norm")?,
            monitor: section.take("monitor")?,
            early_stopping: section.take("early_stopping")?,
            init_from: section.take("init_from")?,
            freeze: section.take("freeze")?.unwrap_or_default(),
            average: section.take("average")?,
        };
        if read.epochs.is_some() == read.steps.is_some() {
            return Err(Failure::setting(
                length.map_or(WHOLE, KeyPath::from),
                "[training] needs `epochs` or `steps`, and not both",
            ));
        }
        if read.validate_every_epochs.is_some() && read.validate_every_steps.is_some() {
            let what = "[training] has both `validate_every_epochs` and `validate_every_steps`";
            return Err(Failure::setting(interval.map_or(WHOLE, KeyPath::from), what));
        }
        for (name, epochs) in [("epochs", read.epochs), ("validate_every_epochs", read.validate_every_epochs)]
        {
            if epochs.is_some_and(|epochs| !(epochs.is_finite() && epochs > 0.0)) {
                return Err(Failure::setting(name, format!("`{name}` is not above 0")));
            }
        }
        if read.save_every_minutes.is_some_and(|minutes| !(minutes.is_finite() && minutes > 0.0)) {
            return Err(Failure::setting("save_every_minutes", "`save_every_minutes` is not above 0"));
        }
        let zero = [
            ("validate_every_steps", read.validate_every_steps),
            ("save_every_steps", read.save_every_steps),
            ("log_every_steps", read.log_every_steps),
            ("diagnose_every_steps", read.diagnose_every_steps),
        ];
        if let Some((key, _)) = zero.iter().find(|(_, steps)| *steps == Some(0)) {
            return Err(Failure::setting(*key, "[training] has a number of steps that is 0"));
        }
        if read.keep_checkpoints == Some(0) {
            let what = "`keep_checkpoints` is 0; the last one is needed to go on";
            return Err(Failure::setting("keep_checkpoints", what));
        }
        Ok(read)
    }

    /// Whether parameters are judged as they begin.
    pub(crate) fn trains_nothing(&self) -> bool {
        self.steps == Some(0)
    }

    /// Whether the validation split is looked at.
    pub(crate) fn validates(&self) -> bool {
        self.validate_every_epochs.is_some() || self.validate_every_steps.is_some()
    }

    /// The key that has it looked at.
    pub(crate) fn validate_key(&self) -> &'static str {
        if self.validate_every_epochs.is_some() { "validate_every_epochs" } else { "validate_every_steps" }
    }

    /// The number of steps.
    pub(crate) fn total(&self, steps_per_epoch: Option<u64>) -> Option<u64> {
        self.steps.or_else(|| Some(in_steps(self.epochs?, steps_per_epoch?)))
    }

    /// Steps between two looks at the validation split.
    pub(crate) fn validate_every(&self, steps_per_epoch: Option<u64>) -> Option<u64> {
        self.validate_every_steps.or_else(|| Some(in_steps(self.validate_every_epochs?, steps_per_epoch?)))
    }
}

fn in_steps(epochs: f64, steps_per_epoch: u64) -> u64 {
    ((epochs * steps_per_epoch as f64).round() as u64).max(1)
}
