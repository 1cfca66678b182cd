use manytask_tensor::{Compat, Method};
use serde::{Deserialize, Serialize};

use super::preference::{Preference, Preferred};
use super::support::{above_zero, positive, softmax};
use super::{AggregatorSettings, Property};
use crate::{Aggregator, LossWeighting, Needs, OnLosses, Result, State, StepInfo, TaskVec};

/// Smooth Tchebycheff scalarization (Lin et al. 2024): the objective is `μ log Σ exp(λᵢ (lᵢ − zᵢ) / μ)`, a smooth maximum,
/// so that `wᵢ = λᵢ softmax(λ (l − z) / μ)ᵢ`.
///
/// With `warm_up_epochs` it is the authors' form for multi-task learning: `Σ log lᵢ` until then, and afterwards
/// `K μ log Σ exp(log(lᵢ / nᵢ) / μ)` with each task's nadir nᵢ, its mean loss in the last epoch of the warm-up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stch {
    /// μ, how smooth the maximum is.
    pub mu: f64,
    /// λ and z of each task.
    pub preference: Preference,
    /// Epochs after which losses count relative to what they were. Absent: they count as they are.
    pub warm_up_epochs: Option<u64>,
}

impl Default for Stch {
    fn default() -> Self {
        Self { mu: 1.0, preference: Preference::default(), warm_up_epochs: None }
    }
}

#[derive(Debug)]
struct SmoothMaximum {
    mu: f64,
    preferred: Preferred,
    warm_up_epochs: Option<u64>,
    memory: Memory,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Memory {
    epochs: u64,
    nadir: Vec<Option<f64>>,
}

impl Method for Stch {
    const NAME: &'static str = "stch";
    const SUMMARY: &'static str = "a smooth maximum of the losses";
    const ABOUT: &'static str = "\
        Lin et al. 2024, arXiv:2402.19078 (smooth Tchebycheff): μ log Σ exp(λ (l − z) / μ). \
        `preference.weights` are λ by task, `preference.reference` z. With `warm_up_epochs` losses count \
        relative to their mean in the last of these epochs.";
    const COMPAT: &'static [Compat] = &[
        Compat {
            of: "libmtl",
            settings: &[("warm_up_epochs", "4")],
            beyond: "preferences are 1 there, K times as much",
        },
        Compat { of: "torchjd", settings: &[], beyond: "" },
    ];
}

impl AggregatorSettings for Stch {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        above_zero(Stch::NAME, "mu", self.mu)?;
        let weighting = SmoothMaximum {
            mu: self.mu,
            preferred: self.preference.of(Stch::NAME, tasks)?,
            warm_up_epochs: self.warm_up_epochs,
            memory: Memory { epochs: 0, nadir: vec![None; tasks.len()] },
        };
        Ok(Box::new(OnLosses::new(weighting, tasks)))
    }

    fn build_for_some(&self, tasks: &[String], all: &[String]) -> Result<Box<dyn Aggregator>> {
        Self { preference: self.preference.for_some(tasks, all), ..self.clone() }.build(tasks)
    }

    fn named(&self) -> Vec<String> {
        self.preference.named()
    }

    fn properties(&self) -> &'static [Property] {
        &[Property::Homogeneous, Property::LinearUnderScaling]
    }
}

impl LossWeighting for SmoothMaximum {
    fn name(&self) -> &'static str {
        Stch::NAME
    }

    fn needs(&self) -> Needs {
        let relative = self.warm_up_epochs.is_some();
        let needs = Needs { fixed_tasks: relative, epoch_means: relative, ..Needs::LOSSES };
        // With a warm-up losses count by their nadirs alone.
        if relative { needs } else { needs.and(self.preferred.needs()) }
    }

    fn weights(&mut self, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        let Some(warm_up) = self.warm_up_epochs else {
            let lambda = self.preferred.weights(step);
            let distances = self.preferred.distances(step);
            let exponents: Vec<f64> = lambda.iter().zip(distances).map(|(l, d)| l * d / self.mu).collect();
            return Ok(lambda.iter().zip(softmax(&exponents)).map(|(l, share)| l * share).collect());
        };
        positive(self.name(), step)?;
        let losses = step.losses;
        if self.memory.epochs < warm_up {
            return Ok(losses.values().iter().map(|loss| loss.recip()).collect());
        }
        // A task that the warm-up never saw stands at its nadir.
        let nadir = |task: usize, loss| self.memory.nadir.get(task).copied().flatten().unwrap_or(loss);
        let exponents: Vec<f64> =
            losses.iter().map(|(task, loss)| (loss / nadir(task, loss)).ln() / self.mu).collect();
        let count = losses.len() as f64;
        Ok(losses
            .values()
            .iter()
            .zip(softmax(&exponents))
            .map(|(loss, share)| count * share / loss)
            .collect())
    }

    fn end_epoch(&mut self, mean_losses: &TaskVec) -> Result<()> {
        if self.warm_up_epochs.is_some_and(|warm_up| self.memory.epochs < warm_up) {
            for (task, mean) in mean_losses.iter().filter(|(_, mean)| *mean > 0.0) {
                if let Some(nadir) = self.memory.nadir.get_mut(task) {
                    *nadir = Some(mean);
                }
            }
        }
        self.memory.epochs += 1;
        Ok(())
    }

    fn state(&self) -> Result<State> {
        if self.warm_up_epochs.is_some() { State::of(&self.memory) } else { Ok(State::default()) }
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        if self.warm_up_epochs.is_some() { state.read_into(Stch::NAME, &mut self.memory) } else { Ok(()) }
    }
}
