use manytask_tensor::{Compat, Kind, Method, Tensor};
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::accumulator::{Accumulator, finite_rows};
use super::support::{above_zero, softmax};
use crate::{Aggregator, Combination, Gives, Level, Needs, Result, State, Step, StepInfo, TaskVec};

/// What is added under roots and to quotients, as in the authors' code.
const ADDED: f64 = 1e-7;

/// Robust multi-task learning with excess risks (He et al. 2024): tasks count by how far they are from their best,
/// `w ∝ w exp(η Eᵢ / Eᵢ(0))` with the excess risk `Eᵢ = gᵢᵀ diag(Σ gᵢ²)^(−1/2) gᵢ`, whose sum is over all steps so far.
///
/// At a task's first step its excess itself is the exponent, as in the authors' code. Weights add up to 1 and hold for heads too;
/// those of absent tasks rest. It keeps a tensor of tasks × shared parameters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExcessMtl {
    /// η, how fast weights follow: libraries have 0.01 and 1.
    pub step_size: f64,
}

impl Default for ExcessMtl {
    fn default() -> Self {
        Self { step_size: 0.01 }
    }
}

#[derive(Debug)]
struct Excess {
    step_size: f64,
    tasks: Vec<String>,
    roots: Accumulator,
    memory: Memory,
    last: TaskVec,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Memory {
    /// Logarithms of weights, up to a number that all share.
    log_weights: Vec<f64>,
    /// E(0) of each task.
    initial: Vec<Option<f64>>,
}

impl Method for ExcessMtl {
    const NAME: &'static str = "excess_mtl";
    const SUMMARY: &'static str = "tasks that are far from their best count more";
    const ABOUT: &'static str = "\
        He et al. 2024: w ∝ w exp(η E / E0) with the excess risk E = gᵀ diag(Σ g²)^(-1/2) g. It keeps a \
        number for each task and shared parameter.";
    const COMPAT: &'static [Compat] = &[
        Compat { of: "libmtl", settings: &[("step_size", "0.01")], beyond: "" },
        Compat { of: "torchjd", settings: &[("step_size", "1.0")], beyond: "" },
    ];
}

impl AggregatorSettings for ExcessMtl {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        above_zero(ExcessMtl::NAME, "step_size", self.step_size)?;
        Ok(Box::new(Excess {
            step_size: self.step_size,
            tasks: tasks.to_vec(),
            roots: Accumulator::new(tasks.len()),
            memory: Memory { log_weights: vec![0.0; tasks.len()], initial: vec![None; tasks.len()] },
            last: TaskVec::default(),
        }))
    }
}

/// E of the present tasks; their gradients are added to the roots of the sums of squares. No square is made, so that a gradient
/// may be as large as its element type holds.
fn excess(roots: &mut Accumulator, present: &[usize], gradients: &Tensor) -> Result<Vec<f64>> {
    let now = roots.of(present, gradients)?.f_hypot(gradients)?;
    roots.put(present, &now)?;
    let added = Tensor::from(ADDED.sqrt()).f_to_kind(now.kind())?.f_to_device(now.device())?;
    let terms = gradients.f_div(&now.f_hypot(&added)?)?.f_mul(gradients)?;
    let excess = terms.f_sum_dim_intlist([1_i64].as_slice(), false, Kind::Double)?;
    Ok(Vec::try_from(excess)?)
}

impl Aggregator for Excess {
    fn name(&self) -> &'static str {
        ExcessMtl::NAME
    }

    fn needs(&self) -> Needs {
        Needs { fixed_tasks: true, ..Needs::jacobian(Level::Parameters) }
    }

    fn gives(&self) -> Gives {
        Gives::LossWeights
    }

    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        let losses = step.losses().clone();
        let info = StepInfo::new(step, &losses, &self.tasks);
        let present = losses.present();
        let gradients = finite_rows(step.jacobian(&Level::Parameters)?, &info)?;
        let excess = excess(&mut self.roots, present, &gradients)?;
        if let Some((task, _)) = present.iter().zip(&excess).find(|(_, excess)| !excess.is_finite()) {
            return Err(info.diverged(format!("the gradient of task `{}` is too large", info.name(*task))));
        }
        let Memory { log_weights, initial } = &mut self.memory;
        let mut logarithms = Vec::with_capacity(present.len());
        for (task, excess) in present.iter().zip(excess) {
            if let (Some(logarithm), Some(initial)) = (log_weights.get_mut(*task), initial.get_mut(*task)) {
                let relative = initial.map_or(excess, |initial| excess / (initial + ADDED));
                initial.get_or_insert(excess);
                *logarithm += self.step_size * relative;
                logarithms.push(*logarithm);
            }
        }
        // The weights are those of a softmax, so that one number can be taken from all logarithms.
        let largest = log_weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for logarithm in log_weights.iter_mut() {
            *logarithm -= largest;
        }
        let weights = softmax(&logarithms);
        self.last = losses.with_values(&weights);
        Ok(Combination::weighted_losses(weights))
    }

    fn weights(&self) -> Option<&TaskVec> {
        Some(&self.last)
    }

    fn state(&self) -> Result<State> {
        Ok(self.roots.save("roots", State::of(&self.memory)?))
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.roots.restore(ExcessMtl::NAME, "roots", state)?;
        state.read_into(ExcessMtl::NAME, &mut self.memory)
    }
}
