use manytask_tensor::{Method, Tensor};
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::accumulator::{Accumulator, finite_rows};
use super::config;
use super::support::below_one;
use crate::{Aggregator, Combination, Gives, Jacobian, Level, Needs, Result, State, Step, StepInfo, finite};

/// What is added to the root of the second moment.
const ADDED: f64 = 1e-8;

/// Conflict-free inverse gradients on moments (M-ConFIG, Liu et al. 2024): each step brings one task's first moment up to date, and the
/// direction has the same cosine to the moments of all tasks.
///
/// `mᵢ ← β₁ mᵢ + (1 − β₁) gᵢ` for the task whose turn it is, `d = ConFIG(m̂)` of the moments, each corrected for its start by its own count of steps,
/// and the direction `d / (√ŝ + ε)` with the second moment of a pseudo-gradient, the one whose first moment d would be:
/// `ĝ = (m − β₁ m') / (1 − β₁)`, `m = d (1 − β₁ᵗ)`, `s ← β₂ s + (1 − β₂) ĝ²`. The direction is 0 until every task had its turn.
///
/// It has Adam's step length, so that the optimizer is to be gradient descent without momentum. Heads follow their own losses at every
/// step. The turn of an absent task is the next one's, and its moment rests. It keeps a tensor of tasks × shared parameters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MConfig {
    /// Whose moments a step brings up to date.
    pub refresh: Refresh,
    /// β₁, what stays of a first moment.
    pub beta1: f64,
    /// β₂, what stays of the second moment.
    pub beta2: f64,
}

/// Whose moments a step brings up to date.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refresh {
    /// One task's after the other, as in the paper.
    #[default]
    InTurn,
    /// Those of all present tasks.
    All,
}

impl Default for MConfig {
    fn default() -> Self {
        Self { refresh: Refresh::InTurn, beta1: 0.9, beta2: 0.999 }
    }
}

#[derive(Debug)]
struct Moments {
    settings: MConfig,
    tasks: Vec<String>,
    first: Accumulator,
    /// One row: the first moment of the pseudo-gradient.
    pseudo: Accumulator,
    /// One row: its second moment.
    second: Accumulator,
    memory: Memory,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Memory {
    /// Whose turn it is.
    turn: usize,
    /// Steps of each task's moment.
    steps: Vec<u64>,
    /// Steps of the second moment.
    directions: u64,
}

impl Method for MConfig {
    const NAME: &'static str = "m_config";
    const SUMMARY: &'static str = "as config, on moments of which a step brings one task's up to date";
    const ABOUT: &'static str = "\
        Liu et al. 2024 (M-ConFIG), arXiv:2408.11104: the direction with the same cosine to the first moments of all \
        tasks' gradients, divided by the root of the second moment of a pseudo-gradient, as Adam does: take [optimizer] \
        sgd. refresh = \"in_turn\" is the paper's, \"all\" uses every task's gradient at every step. The direction is 0 until \
        every task had its turn. It keeps a number for each task and shared parameter.";
}

impl AggregatorSettings for MConfig {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        below_one(Self::NAME, "beta1", self.beta1)?;
        below_one(Self::NAME, "beta2", self.beta2)?;
        Ok(Box::new(Moments {
            settings: *self,
            tasks: tasks.to_vec(),
            first: Accumulator::new(tasks.len()),
            pseudo: Accumulator::new(1),
            second: Accumulator::new(1),
            memory: Memory { turn: 0, steps: vec![0; tasks.len()], directions: 0 },
        }))
    }
}

impl Moments {
    /// The present tasks whose moments are brought up to date.
    fn refreshed(&mut self, present: &[usize]) -> Vec<usize> {
        if self.settings.refresh == Refresh::All {
            return present.to_vec();
        }
        let turn = self.memory.turn;
        let next = present.iter().find(|task| **task >= turn).or(present.first());
        self.memory.turn = next.map_or(0, |task| (task + 1) % self.tasks.len().max(1));
        next.copied().into_iter().collect()
    }

    /// Brings moments up to date; rows are those of the present tasks.
    fn observe(&mut self, info: &StepInfo<'_>, rows: &Tensor) -> Result<()> {
        let tasks = self.refreshed(info.losses.present());
        let places: Vec<i64> =
            tasks.iter().filter_map(|task| info.losses.row(*task)).map(|row| row as i64).collect();
        let places = Tensor::f_from_slice(&places)?.f_to_device(rows.device())?;
        let gradients = rows.f_index_select(0, &places)?;
        let moments = self.first.of(&tasks, rows)?.f_lerp(&gradients, 1.0 - self.settings.beta1)?;
        self.first.put(&tasks, &moments)?;
        for task in tasks {
            if let Some(steps) = self.memory.steps.get_mut(task) {
                *steps += 1;
            }
        }
        Ok(())
    }

    /// The direction of the moments of all tasks, `[P]`.
    fn direction(&mut self, info: &StepInfo<'_>, rows: &Tensor) -> Result<Tensor> {
        let MConfig { beta1, beta2, .. } = self.settings;
        let all: Vec<usize> = (0..self.tasks.len()).collect();
        let corrections: Vec<f64> =
            self.memory.steps.iter().map(|steps| (1.0 - beta1.powf(*steps as f64)).recip()).collect();
        let corrections =
            Tensor::f_from_slice(&corrections)?.f_to_kind(rows.kind())?.f_to_device(rows.device())?;
        let moments = Jacobian::new(&self.first.of(&all, rows)?.f_mul(&corrections.f_unsqueeze(1)?)?)?;
        let gramian = moments.gramian()?;
        let direction = moments.combine(&config::weights(finite(&gramian, info)?, info)?)?.f_unsqueeze(0)?;
        self.memory.directions += 1;
        let steps = self.memory.directions as f64;
        let moment = direction.f_mul_scalar(1.0 - beta1.powf(steps))?;
        let before = self.pseudo.of(&[0], rows)?.f_mul_scalar(beta1)?;
        let pseudo = moment.f_sub(&before)?.f_div_scalar(1.0 - beta1)?;
        self.pseudo.put(&[0], &moment)?;
        let second = self.second.of(&[0], rows)?.f_lerp(&pseudo.f_square()?, 1.0 - beta2)?;
        self.second.put(&[0], &second)?;
        let size = second.f_div_scalar(1.0 - beta2.powf(steps))?.f_sqrt()?.f_add_scalar(ADDED)?;
        Ok(direction.f_div(&size)?.f_squeeze_dim(0)?)
    }
}

impl Aggregator for Moments {
    fn name(&self) -> &'static str {
        MConfig::NAME
    }

    fn needs(&self) -> Needs {
        Needs { fixed_tasks: true, ..Needs::jacobian(Level::Parameters) }
    }

    fn gives(&self) -> Gives {
        Gives::Direction
    }

    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        let (losses, tasks) = (step.losses().clone(), self.tasks.clone());
        let info = StepInfo::new(step, &losses, &tasks);
        let rows = finite_rows(step.jacobian(&Level::Parameters)?, &info)?;
        self.observe(&info, &rows)?;
        let vector = if self.memory.steps.contains(&0) {
            let width = rows.size().get(1).copied().unwrap_or(0);
            Tensor::f_zeros([width], (rows.kind(), rows.device()))?
        } else {
            self.direction(&info, &rows)?
        };
        Ok(Combination::direction(vector, Level::Parameters, losses.len()))
    }

    fn state(&self) -> Result<State> {
        let state = self.first.save("moments", State::of(&self.memory)?);
        Ok(self.second.save("second_moment", self.pseudo.save("pseudo_moment", state)))
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.first.restore(MConfig::NAME, "moments", state)?;
        self.pseudo.restore(MConfig::NAME, "pseudo_moment", state)?;
        self.second.restore(MConfig::NAME, "second_moment", state)?;
        state.read_into(MConfig::NAME, &mut self.memory)
    }
}
