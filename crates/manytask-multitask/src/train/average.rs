//! A mean of the parameters over steps, which is what is evaluated and kept.

use manytask_tensor::{Params, Within as _};
use serde::{Deserialize, Serialize};

use super::Trainer;
use crate::{Error, Result};

/// A mean of the parameters over the steps of a training. It is what the validation split judges and what a checkpoint holds as the network,
/// while the training itself goes on with the parameters of the last step. Running statistics of batch-norm are averaged alike.
///
/// It costs one more copy of the parameters and a pass over them for each step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum WeightAverage {
    /// An exponential moving average (Polyak & Juditsky 1992; Tarvainen & Valpola 2017, arXiv:1703.01780): `m ← d m + (1 − d) θ` after each
    /// step, `d = min(decay, (1 + n) / (10 + n))` after n steps, so that the first parameters are soon forgotten.
    Ema {
        /// What stays of the mean at each step, at least 0 and below 1.
        decay: f64,
    },
    /// Stochastic weight averaging (Izmailov et al. 2018, arXiv:1803.05407): the mean of the parameters after every step of the rest of the
    /// training. The paper takes one of each epoch, with a constant or cyclical rate meanwhile.
    Swa {
        /// The share of the steps that comes before, at least 0 and below 1. Until then there is no mean.
        from: f64,
    },
}

impl WeightAverage {
    /// Refuses settings out of range.
    pub(super) fn check(self) -> Result<()> {
        let (kind, key, value) = match self {
            Self::Ema { decay } => ("ema", "decay", decay),
            Self::Swa { from } => ("swa", "from", from),
        };
        if (0.0..1.0).contains(&value) {
            return Ok(());
        }
        let what = format!("{kind}: {key} is {value}");
        Err(Error::setting(key, what, "write a number that is at least 0 and below 1")).within(kind)
    }

    /// What the parameters after a step, counted from 1, are of a mean over `count` earlier ones; `None` where it has not begun.
    fn share(self, step: u64, steps: u64, count: u64) -> Option<f64> {
        let count = count as f64;
        match self {
            Self::Ema { decay } => Some(1.0 - decay.min((1.0 + count) / (10.0 + count))),
            Self::Swa { from } => (step as f64 > from * steps as f64).then(|| (count + 1.0).recip()),
        }
    }
}

impl Trainer<'_> {
    /// The network that the training has made so far: the mean of the parameters where one is kept and has begun, else the parameters.
    pub fn evaluated(&self) -> &Params {
        self.average.as_ref().filter(|_| self.progress.averaged > 0).unwrap_or(&self.params)
    }

    /// Takes the parameters after a step into the mean.
    pub(super) fn average_weights(&mut self) -> Result<()> {
        let (Some(settings), Some(mean)) = (self.training.average, &mut self.average) else { return Ok(()) };
        let count = self.progress.averaged;
        match settings.share(self.progress.step, self.training.steps, count) {
            Some(share) => {
                mean.approach(&self.params, share)?;
                self.progress.averaged += 1;
            }
            None => self.progress.averaged = 0,
        }
        Ok(())
    }

    /// Refuses parameters, or a mean of them, that are not finite.
    pub(super) fn check_finite(&self) -> Result<()> {
        if self.params.is_finite()? && self.evaluated().is_finite()? {
            return Ok(());
        }
        Err(self.diverged("a parameter is not finite"))
    }
}
