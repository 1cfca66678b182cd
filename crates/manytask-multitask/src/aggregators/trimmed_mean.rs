use manytask_tensor::{Kind, Method};
use serde::{Deserialize, Serialize};

use super::accumulator::finite_rows;
use super::support::direction_level;
use super::{AggregatorSettings, Property};
use crate::{Aggregator, Combination, Error, Gives, Level, Needs, Result, Step, StepInfo};

/// The trimmed mean (Yin et al. 2018): of each number of the gradients the largest and the smallest `trim` values are left out,
/// and the mean of the others is taken.
///
/// Where tasks are absent as many are left out as leave one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrimmedMean {
    /// Of which gradients.
    pub level: Level,
    /// How many are left out on either side; there must be more than twice as many tasks.
    pub trim: usize,
}

impl Default for TrimmedMean {
    fn default() -> Self {
        Self { level: Level::Parameters, trim: 0 }
    }
}

#[derive(Debug)]
struct Trimmed {
    settings: TrimmedMean,
    tasks: Vec<String>,
}

impl Method for TrimmedMean {
    const NAME: &'static str = "trimmed_mean";
    const SUMMARY: &'static str = "the mean of the gradients without the largest and smallest numbers";
    const ABOUT: &'static str = "\
        Yin et al. 2018, arXiv:1803.01498: of each number of the gradients `trim` values are left out on \
        either side.";
}

impl AggregatorSettings for TrimmedMean {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        direction_level(TrimmedMean::NAME, &self.level)?;
        if !tasks.is_empty() && tasks.len() <= 2 * self.trim {
            return Err(Error::setting(
                "trim",
                format!("trimmed_mean: a trim of {} on either side of {} gradients", self.trim, tasks.len()),
                format!("at least {} tasks are needed for it", 2 * self.trim + 1),
            ));
        }
        Ok(Box::new(Trimmed { settings: self.clone(), tasks: tasks.to_vec() }))
    }

    fn properties(&self) -> &'static [Property] {
        &[Property::PermutationInvariant, Property::Homogeneous]
    }
}

impl Aggregator for Trimmed {
    fn name(&self) -> &'static str {
        TrimmedMean::NAME
    }

    fn needs(&self) -> Needs {
        Needs::jacobian(self.settings.level.clone())
    }

    fn gives(&self) -> Gives {
        Gives::Direction
    }

    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        let losses = step.losses().clone();
        let info = StepInfo::new(step, &losses, &self.tasks);
        let rows = finite_rows(step.jacobian(&self.settings.level)?, &info)?;
        let count = losses.len();
        let trim = self.settings.trim.min(count.saturating_sub(1) / 2);
        let (sorted, _) = rows.f_sort(0, false)?;
        let left = sorted.f_narrow(0, trim as i64, (count - 2 * trim) as i64)?;
        let vector = left.f_mean_dim([0_i64].as_slice(), false, None::<Kind>)?;
        Ok(Combination::direction(vector, self.settings.level.clone(), count))
    }
}
