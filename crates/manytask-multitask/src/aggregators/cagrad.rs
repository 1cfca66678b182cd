mod dual;

use manytask_tensor::{Compat, Method};
use serde::{Deserialize, Serialize};

use super::{AggregatorSettings, Property};
use crate::{Aggregator, Error, Gramian, GramianWeighting, Level, OnGramian, Result, StepInfo};

/// Conflict-averse gradient descent (Liu et al. 2021): within a ball around the mean gradient g₀ the vector with the largest
/// least inner product with a gradient, `max min ⟨gᵢ, d⟩` over `‖d − g₀‖ ≤ c ‖g₀‖`, found exactly.
///
/// Its dual is `min ⟨g₀, g_w⟩ + c ‖g₀‖ ‖g_w‖` over convex weights w, with `d = g₀ + c ‖g₀‖ g_w / ‖g_w‖` and `g_w = Σ wᵢ gᵢ`.
/// Where gradients have a convex combination of zero, many d may be best: the nearest one to g₀ is taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CaGrad {
    /// Of which gradients.
    pub level: Level,
    /// How far from the mean gradient, relative to its length; at 0 it is the mean, from 1 on no task is made worse.
    pub c: f64,
    /// By what d is divided.
    pub rescale: Rescale,
}

/// By what the direction is divided, so that it does not grow with c.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rescale {
    /// Nothing, as in the paper's algorithm.
    None,
    /// `1 + c²`: what the authors' code does.
    #[default]
    OnePlusCSquared,
    /// `1 + c`.
    OnePlusC,
}

impl Default for CaGrad {
    fn default() -> Self {
        Self { level: Level::Parameters, c: 0.4, rescale: Rescale::OnePlusCSquared }
    }
}

#[derive(Debug)]
struct ConflictAverse {
    c: f64,
    divisor: f64,
}

impl Method for CaGrad {
    const NAME: &'static str = "cagrad";
    const SUMMARY: &'static str =
        "near the mean gradient, the direction that is best for the task it helps least";
    const ABOUT: &'static str = "\
        Liu et al. 2021, arXiv:2110.14048: max min <g, d> over |d - g0| <= c |g0|, solved exactly. \
        `rescale` divides d by 1 + c² (one_plus_c_squared, as the authors' code), by 1 + c (one_plus_c), \
        or not at all (none).";
    const COMPAT: &'static [Compat] = &[
        Compat { of: "libmtl", settings: &[("c", "0.5")], beyond: "" },
        Compat { of: "torchjd", settings: &[("rescale", "\"none\"")], beyond: "c must be chosen there" },
    ];
}

impl AggregatorSettings for CaGrad {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        if !(self.c.is_finite() && self.c >= 0.0) {
            return Err(Error::setting(
                "c",
                format!("{}: c is {}", CaGrad::NAME, self.c),
                "write a number that is at least 0",
            ));
        }
        let weighting = ConflictAverse { c: self.c, divisor: self.rescale.divisor(self.c) };
        Ok(Box::new(OnGramian::new(weighting, self.level.clone(), tasks)))
    }

    fn properties(&self) -> &'static [Property] {
        // From c = 1 on zero lies in the ball, so that no task need be made worse.
        if self.c >= 1.0 {
            &[Property::PermutationInvariant, Property::NonConflicting, Property::Homogeneous]
        } else {
            &[Property::PermutationInvariant, Property::Homogeneous]
        }
    }
}

impl Rescale {
    fn divisor(self, c: f64) -> f64 {
        match self {
            Self::None => 1.0,
            Self::OnePlusCSquared => 1.0 + c * c,
            Self::OnePlusC => 1.0 + c,
        }
    }
}

impl GramianWeighting for ConflictAverse {
    fn name(&self) -> &'static str {
        CaGrad::NAME
    }

    fn weights(&mut self, gramian: &Gramian, _step: &StepInfo<'_>) -> Result<Vec<f64>> {
        Ok(dual::weights(gramian, self.c).into_iter().map(|weight| weight / self.divisor).collect())
    }
}
