use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::accumulator::{Accumulator, finite_rows};
use super::shares::{Shares, finite_products};
use super::support::{above_zero, at_least_zero};
use crate::{
    Aggregator, Combination, Error, Gives, Jacobian, Level, Needs, Result, State, Step, StepInfo, TaskVec,
};

/// Multi-objective gradient correction (Fernando et al. 2023): gradients are followed by moving averages,
/// `yᵢ ← yᵢ − β (yᵢ − gᵢ)`, weights by `λ ← Π(λ − γ (Y Yᵀ + ρ I) λ)` with the projection Π onto the simplex; the direction is
/// `Yᵀ λ`.
///
/// The averages start at 0, as in the paper. Those of absent tasks rest, and only present tasks are in the direction. It keeps a
/// tensor of tasks × shared parameters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MoCo {
    /// β, how fast the averages follow, above 0 and at most 1.
    pub beta: f64,
    /// γ, the rate of the weights.
    pub gamma: f64,
    /// ρ, which draws the weights together.
    pub rho: f64,
}

impl Default for MoCo {
    fn default() -> Self {
        Self { beta: 0.5, gamma: 0.1, rho: 0.0 }
    }
}

#[derive(Debug)]
struct Correction {
    settings: MoCo,
    tasks: Vec<String>,
    averages: Accumulator,
    shares: Shares,
    last: TaskVec,
}

impl Method for MoCo {
    const NAME: &'static str = "moco";
    const SUMMARY: &'static str =
        "the shortest combination of moving averages of gradients, approached step by step";
    const ABOUT: &'static str = "\
        Fernando et al. 2023, arXiv:2210.12624: y ← y − β (y − g), λ ← Π(λ − γ (Y Yᵀ + ρ) λ) on the \
        simplex, direction Yᵀ λ. It keeps a number for each task and shared parameter.\n\
        LibMTL scales gradients to the values of losses, and finds weights by a softmax in place of the \
        projection.";
}

impl AggregatorSettings for MoCo {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        if !(self.beta > 0.0 && self.beta <= 1.0) {
            return Err(Error::setting(
                "beta",
                format!("{}: beta is {}", MoCo::NAME, self.beta),
                "write a number above 0 and at most 1",
            ));
        }
        above_zero(MoCo::NAME, "gamma", self.gamma)?;
        at_least_zero(MoCo::NAME, "rho", self.rho)?;
        Ok(Box::new(Correction {
            settings: *self,
            tasks: tasks.to_vec(),
            averages: Accumulator::new(tasks.len()),
            shares: Shares::new(tasks.len()),
            last: TaskVec::default(),
        }))
    }
}

impl Aggregator for Correction {
    fn name(&self) -> &'static str {
        MoCo::NAME
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
        let present = losses.present();
        let gradients = finite_rows(step.jacobian(&Level::Parameters)?, &info)?;
        let before = self.averages.of(present, &gradients)?;
        let after = before.f_lerp(&gradients, self.settings.beta)?;
        self.averages.put(present, &after)?;
        let averages = Jacobian::new(&after)?;
        let gramian = averages.gramian()?;
        finite_products(&gramian, &info)?;
        let MoCo { gamma, rho, .. } = self.settings;
        let shares = self.shares.update(present, |shares| {
            let products = gramian.apply(shares);
            shares
                .iter()
                .zip(products)
                .map(|(share, product)| share - gamma * (product + rho * share))
                .collect()
        });
        self.last = losses.with_values(&shares);
        Ok(Combination::direction(averages.combine(&shares)?, Level::Parameters, losses.len()))
    }

    fn weights(&self) -> Option<&TaskVec> {
        Some(&self.last)
    }

    fn state(&self) -> Result<State> {
        Ok(self.averages.save("averages", self.shares.state()?))
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.averages.restore(MoCo::NAME, "averages", state)?;
        self.shares.restore(MoCo::NAME, state)
    }
}
