use manytask_tensor::{Compat, Method};
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::independent::Independent;
use super::shares::Shares;
use super::support::{above_zero, at_least_zero};
use crate::{Aggregator, Combination, Gives, Needs, Result, State, Step, TaskVec};

/// Multi-objective gradient with double sampling (Chen et al. 2023): weights follow `λ ← Π(λ − γ (J₁ J₂ᵀ λ + ρ λ))` with the
/// gradients of two independent batches and the projection Π onto the simplex; the direction is that of a third, `J₃ᵀ λ`.
///
/// Independent batches make the step of λ unbiased. Tasks that are absent from one of the two keep their share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MoDo {
    /// γ, the rate of the weights.
    pub gamma: f64,
    /// ρ, which draws the weights together.
    pub rho: f64,
}

impl Default for MoDo {
    fn default() -> Self {
        Self { gamma: 0.1, rho: 0.1 }
    }
}

#[derive(Debug)]
struct DoubleSampling {
    settings: MoDo,
    independent: Independent,
    shares: Shares,
    last: TaskVec,
}

impl Method for MoDo {
    const NAME: &'static str = "modo";
    const SUMMARY: &'static str =
        "the shortest combination of gradients, approached with two independent batches";
    const ABOUT: &'static str = "\
        Chen et al. 2023, arXiv:2305.20057: λ ← Π(λ − γ (J1 J2ᵀ λ + ρ λ)) on the simplex, direction J3ᵀ λ \
        of a third batch.";
    const COMPAT: &'static [Compat] = &[
        Compat { of: "libmtl", settings: &[("gamma", "0.001")], beyond: "" },
        Compat { of: "torchjd", settings: &[("gamma", "0.1")], beyond: "" },
    ];
}

impl AggregatorSettings for MoDo {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        above_zero(MoDo::NAME, "gamma", self.gamma)?;
        at_least_zero(MoDo::NAME, "rho", self.rho)?;
        Ok(Box::new(DoubleSampling {
            settings: *self,
            independent: Independent::new(tasks),
            shares: Shares::new(tasks.len()),
            last: TaskVec::default(),
        }))
    }
}

impl Aggregator for DoubleSampling {
    fn name(&self) -> &'static str {
        MoDo::NAME
    }

    fn needs(&self) -> Needs {
        Independent::needs()
    }

    fn gives(&self) -> Gives {
        Gives::GradientWeights
    }

    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        let MoDo { gamma, rho } = self.settings;
        if let Some((common, products)) = self.independent.products(step)? {
            self.shares.update(&common, |shares| {
                let products = products.apply(shares);
                shares
                    .iter()
                    .zip(products)
                    .map(|(share, product)| share - gamma * (product + rho * share))
                    .collect()
            });
        }
        let weights = self.shares.of(step.present());
        self.last = step.losses().with_values(&weights);
        Ok(Combination::weights(weights))
    }

    fn weights(&self) -> Option<&TaskVec> {
        Some(&self.last)
    }

    fn state(&self) -> Result<State> {
        self.shares.state()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.shares.restore(MoDo::NAME, state)
    }
}
