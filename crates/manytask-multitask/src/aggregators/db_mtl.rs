use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::accumulator::{Accumulator, finite_rows};
use super::support::{below_one, positive};
use crate::{
    Aggregator, Combination, Gives, Jacobian, Level, Needs, Result, Shared, State, Step, StepInfo, finite,
};

/// What is added to losses before their logarithm and to norms before they divide, as in the authors' code.
const ADDED: f64 = 1e-8;

/// Dual-balancing multi-task learning (Lin et al. 2023): losses are balanced by their logarithm, gradients by their length.
///
/// The moving averages of the gradients of `log lᵢ`, `ŷᵢ ← β ŷᵢ + (1 − β) gᵢ / lᵢ`, corrected for their start at 0 by each task's
/// own count of steps, are all brought to the length of the longest, and added up. Heads follow the gradient of `log lᵢ`. Losses
/// must be above 0. It keeps a tensor of tasks × shared parameters; the averages of absent tasks rest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DbMtl {
    /// β, what stays of an average at each step.
    pub beta: f64,
}

impl Default for DbMtl {
    fn default() -> Self {
        Self { beta: 0.9 }
    }
}

#[derive(Debug)]
struct DualBalance {
    beta: f64,
    tasks: Vec<String>,
    averages: Accumulator,
    memory: Memory,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Memory {
    /// Steps of each task's average.
    steps: Vec<u64>,
}

impl Method for DbMtl {
    const NAME: &'static str = "db_mtl";
    const SUMMARY: &'static str = "logarithms of losses, and gradients of one length";
    const ABOUT: &'static str = "\
        Lin et al. 2023, arXiv:2308.12029: moving averages of the gradients of log l, corrected for their \
        start, all as long as the longest, added up. Losses must be above 0. It keeps a number for each \
        task and shared parameter.\n\
        LibMTL's averages are not corrected for their start.";
}

impl AggregatorSettings for DbMtl {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        below_one(DbMtl::NAME, "beta", self.beta)?;
        Ok(Box::new(DualBalance {
            beta: self.beta,
            tasks: tasks.to_vec(),
            averages: Accumulator::new(tasks.len()),
            memory: Memory { steps: vec![0; tasks.len()] },
        }))
    }
}

impl DualBalance {
    /// What each present task's average is divided by because it started at 0.
    fn corrections(&mut self, present: &[usize]) -> Vec<f64> {
        let mut correction = |task: &usize| {
            self.memory.steps.get_mut(*task).map_or(1.0, |steps| {
                *steps += 1;
                1.0 - self.beta.powf(*steps as f64)
            })
        };
        present.iter().map(&mut correction).collect()
    }
}

impl Aggregator for DualBalance {
    fn name(&self) -> &'static str {
        DbMtl::NAME
    }

    fn needs(&self) -> Needs {
        Needs { fixed_tasks: true, ..Needs::jacobian(Level::Parameters) }
    }

    fn gives(&self) -> Gives {
        Gives::Direction
    }

    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        let losses = step.losses().clone();
        let info = StepInfo::new(step, &losses, &self.tasks);
        positive(DbMtl::NAME, &info)?;
        let present = losses.present();
        let gradients = finite_rows(step.jacobian(&Level::Parameters)?, &info)?;
        let heads: Vec<f64> = losses.values().iter().map(|loss| (loss + ADDED).recip()).collect();
        let factors = manytask_tensor::Tensor::f_from_slice(&heads)?;
        let factors = factors.f_to_kind(gradients.kind())?.f_to_device(gradients.device())?;
        let scaled = gradients.f_mul(&factors.f_unsqueeze(1)?)?;
        let averages = self.averages.of(present, &scaled)?.f_lerp(&scaled, 1.0 - self.beta)?;
        self.averages.put(present, &averages)?;
        let averages = Jacobian::new(&averages)?;
        let gramian = averages.gramian()?;
        let squared = finite(&gramian, &info)?.squared_norms();
        let corrections = self.corrections(present);
        let norms: Vec<f64> = squared
            .iter()
            .zip(&corrections)
            .map(|(squared, correction)| squared.max(0.0).sqrt() / correction)
            .collect();
        let longest = norms.iter().copied().fold(0.0, f64::max);
        let weights: Vec<f64> = norms
            .iter()
            .zip(&corrections)
            .map(|(norm, correction)| longest / (norm + ADDED) / correction)
            .collect();
        let vector = averages.combine(&weights)?;
        Ok(Combination { shared: Shared::Direction { vector, level: Level::Parameters }, heads })
    }

    fn state(&self) -> Result<State> {
        Ok(self.averages.save("averages", State::of(&self.memory)?))
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.averages.restore(DbMtl::NAME, "averages", state)?;
        state.read_into(DbMtl::NAME, &mut self.memory)
    }
}
