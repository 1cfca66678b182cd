use manytask_tensor::{Compat, Method};
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::independent::Independent;
use super::scalar_optimizer::{ScalarOptimizer, ScalarRule};
use super::shares::Shares;
use super::support::{above_zero, at_least_zero, below_one, project_onto_simplex};
use crate::{Aggregator, Combination, Error, Gives, Gramian, Needs, Result, State, Step, TaskVec};

/// Stochastic direction-oriented multi-objective descent (Xiao, Ban & Ji 2023): the weights w on the simplex that make
/// `‖Jᵀ (w + λ w₀)‖²` least, with the mean `w₀ = 1/K`; the direction is `Jᵀ (w + λ w₀) / (1 + λ)`.
///
/// The gradient of w is `J₁ J₂ᵀ (w + λ w₀)` with two independent batches, and the direction is that of a third. Some steps of
/// projected gradient descent with momentum go on from the last w; the matrix is divided by the square of the mean root of its
/// diagonal, so that their rate does not depend on the size of gradients. Absent tasks keep their share.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SdmGrad {
    /// λ, how much the mean gradient counts.
    pub lambda: f64,
    /// Steps of w at each step.
    pub iterations: u32,
    /// Their rate.
    pub learning_rate: f64,
    /// Their momentum.
    pub momentum: f64,
}

impl Default for SdmGrad {
    fn default() -> Self {
        Self { lambda: 0.3, iterations: 20, learning_rate: 10.0, momentum: 0.5 }
    }
}

#[derive(Debug)]
struct DirectionOriented {
    settings: SdmGrad,
    independent: Independent,
    shares: Shares,
    last: TaskVec,
}

impl Method for SdmGrad {
    const NAME: &'static str = "sdmgrad";
    const SUMMARY: &'static str = "as modo, held near the mean gradient";
    const ABOUT: &'static str = "\
        Xiao, Ban & Ji 2023, arXiv:2305.18409: the w on the simplex with the shortest Jᵀ (w + λ / K), \
        approached with two independent batches; the direction is that of a third, by 1 + λ.";
    const COMPAT: &'static [Compat] = &[
        Compat { of: "libmtl", settings: &[("learning_rate", "5.0")], beyond: "" },
        Compat { of: "torchjd", settings: &[("learning_rate", "10.0")], beyond: "" },
    ];
}

impl AggregatorSettings for SdmGrad {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        at_least_zero(SdmGrad::NAME, "lambda", self.lambda)?;
        above_zero(SdmGrad::NAME, "learning_rate", self.learning_rate)?;
        below_one(SdmGrad::NAME, "momentum", self.momentum)?;
        if self.iterations == 0 {
            return Err(Error::setting(
                "iterations",
                format!("{}: 0 iterations", SdmGrad::NAME),
                "take at least 1",
            ));
        }
        Ok(Box::new(DirectionOriented {
            settings: *self,
            independent: Independent::new(tasks),
            shares: Shares::new(tasks.len()),
            last: TaskVec::default(),
        }))
    }
}

impl SdmGrad {
    /// Steps of w from where it is.
    fn solve(&self, products: &Gramian, start: &[f64]) -> Vec<f64> {
        let count = start.len();
        let roots: f64 = products.squared_norms().into_iter().map(|squared| squared.max(0.0).sqrt()).sum();
        let unit = (roots / count as f64).powi(2);
        let mean = self.lambda / count as f64;
        let mut shares = start.to_vec();
        if unit <= 0.0 {
            return shares;
        }
        let mut optimizer = ScalarOptimizer::new(count);
        let rule = ScalarRule::Sgd { momentum: self.momentum };
        for _ in 0..self.iterations {
            let at: Vec<f64> = shares.iter().map(|share| share + mean).collect();
            for (task, (share, gradient)) in shares.iter_mut().zip(products.apply(&at)).enumerate() {
                optimizer.step(rule, task, share, gradient / unit, self.learning_rate);
            }
            shares = project_onto_simplex(&shares);
        }
        shares
    }
}

impl Aggregator for DirectionOriented {
    fn name(&self) -> &'static str {
        SdmGrad::NAME
    }

    fn needs(&self) -> Needs {
        Independent::needs()
    }

    fn gives(&self) -> Gives {
        Gives::GradientWeights
    }

    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        if let Some((common, products)) = self.independent.products(step)? {
            self.shares.update(&common, |start| self.settings.solve(&products, start));
        }
        let lambda = self.settings.lambda;
        let mean = lambda / step.present().len() as f64;
        let weights: Vec<f64> =
            self.shares.of(step.present()).into_iter().map(|share| (share + mean) / (1.0 + lambda)).collect();
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
        self.shares.restore(SdmGrad::NAME, state)
    }
}
