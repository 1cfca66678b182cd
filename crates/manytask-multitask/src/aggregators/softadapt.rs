use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::support::{finite, softmax};
use crate::{Aggregator, Error, LossWeighting, Needs, OnLosses, Result, State, StepInfo};

/// `SoftAdapt` (Heydari et al. 2019): `w = K softmax(β s)` with the change s of each task's mean loss from one window of steps to
/// the next; with β above 0 losses that rise, or fall least, count more. Weights are 1 until two windows are known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SoftAdapt {
    /// β; 0.1 in the paper.
    pub beta: f64,
    /// Whether changes are divided by the sum of their sizes, so that the size of losses does not matter.
    pub rate: ChangeRate,
    /// Steps in a window.
    pub window: u64,
}

/// What of a loss' change counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeRate {
    /// As it is.
    #[default]
    Plain,
    /// By the sum of the sizes of all changes.
    Normalised,
}

impl Default for SoftAdapt {
    fn default() -> Self {
        Self { beta: 0.1, rate: ChangeRate::Plain, window: 5 }
    }
}

#[derive(Debug)]
struct Adapting {
    settings: SoftAdapt,
    memory: Memory,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Memory {
    /// Steps in the window at hand.
    steps: u64,
    /// The sum and number of each task's losses in it.
    sums: Vec<f64>,
    counts: Vec<u64>,
    /// The means of the last window and of the one before.
    last: Vec<Option<f64>>,
    before: Vec<Option<f64>>,
}

impl Method for SoftAdapt {
    const NAME: &'static str = "softadapt";
    const SUMMARY: &'static str = "losses that fall least from window to window count more";
    const ABOUT: &'static str = "\
        Heydari et al. 2019, arXiv:1912.12355: w = K softmax(β s) with the change s of a task's mean loss \
        between two windows of steps; `rate` = normalised divides the changes by the sum of their sizes.";
}

impl AggregatorSettings for SoftAdapt {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        finite(SoftAdapt::NAME, "beta", self.beta)?;
        if self.window == 0 {
            return Err(Error::setting("window", "softadapt: a window of 0 steps", "take at least 1"));
        }
        let count = tasks.len();
        let memory = Memory {
            steps: 0,
            sums: vec![0.0; count],
            counts: vec![0; count],
            last: vec![None; count],
            before: vec![None; count],
        };
        Ok(Box::new(OnLosses::new(Adapting { settings: *self, memory }, tasks)))
    }
}

impl Memory {
    fn count(&mut self, step: &StepInfo<'_>) {
        self.steps += 1;
        for (task, loss) in step.losses.iter() {
            if let (Some(sum), Some(count)) = (self.sums.get_mut(task), self.counts.get_mut(task)) {
                *sum += loss;
                *count += 1;
            }
        }
    }

    /// Ends a window: its means become the last ones. A task that was absent from it keeps what it had.
    fn turn(&mut self) {
        let seen =
            self.sums.iter().zip(&self.counts).map(|(sum, count)| (*count > 0).then(|| sum / *count as f64));
        for ((mean, last), before) in seen.zip(&mut self.last).zip(&mut self.before) {
            if let Some(mean) = mean {
                *before = last.replace(mean);
            }
        }
        self.steps = 0;
        self.sums.fill(0.0);
        self.counts.fill(0);
    }

    fn change(&self, task: usize) -> f64 {
        let of = |all: &[Option<f64>]| all.get(task).copied().flatten();
        of(&self.last).zip(of(&self.before)).map_or(0.0, |(last, before)| last - before)
    }
}

impl LossWeighting for Adapting {
    fn name(&self) -> &'static str {
        SoftAdapt::NAME
    }

    fn needs(&self) -> Needs {
        Needs { fixed_tasks: true, ..Needs::LOSSES }
    }

    fn weights(&mut self, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        if self.memory.steps >= self.settings.window {
            self.memory.turn();
        }
        let mut changes: Vec<f64> =
            step.losses.present().iter().map(|task| self.memory.change(*task)).collect();
        let sizes: f64 = changes.iter().map(|change| change.abs()).sum();
        if self.settings.rate == ChangeRate::Normalised && sizes > 0.0 {
            for change in &mut changes {
                *change /= sizes;
            }
        }
        self.memory.count(step);
        let exponents: Vec<f64> = changes.iter().map(|change| self.settings.beta * change).collect();
        let count = exponents.len() as f64;
        Ok(softmax(&exponents).into_iter().map(|share| count * share).collect())
    }

    fn state(&self) -> Result<State> {
        State::of(&self.memory)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        state.read_into(self.name(), &mut self.memory)
    }
}
