use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::{AggregatorSettings, Post, Property, bargaining};
use crate::{Aggregator, Gramian, GramianWeighting, Level, OnGramian, Result, StepInfo};

/// The Nash bargaining solution (Navon et al. 2022): the direction `d = Jᵀ α` with `G α = 1/α` and `α > 0`, which maximises
/// `Σ log ⟨gᵢ, d⟩` in a ball, found exactly. Its length is √K before it is limited.
///
/// A gradient of zero has no part in it. Where the gradients have a convex combination of zero within rounding, there is no
/// solution: the parameters are Pareto-stationary, and the weights are 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NashMtl {
    /// Of which gradients.
    pub level: Level,
    /// The largest length of d; `inf` leaves it √K.
    pub max_norm: f64,
    /// Weights are kept for so many steps. A step that keeps them costs no more than a weighted sum of losses; their d has
    /// the limited length only at the step they were found at.
    pub update_every: u64,
}

impl Default for NashMtl {
    fn default() -> Self {
        Self { level: Level::Parameters, max_norm: 1.0, update_every: 1 }
    }
}

#[derive(Debug)]
struct Bargain;

impl Method for NashMtl {
    const NAME: &'static str = "nash_mtl";
    const SUMMARY: &'static str = "the bargain between tasks that no other beats in proportion";
    const ABOUT: &'static str = "\
        Navon et al. 2022, arXiv:2202.01017: weights a > 0 with G a = 1/a, solved exactly; the direction \
        is at most `max_norm` long. With update_every = n weights are kept for n steps, which cost no more \
        than a sum of losses but the first.";
}

impl AggregatorSettings for NashMtl {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        let post = Post { max_norm: self.max_norm, update_every: self.update_every, ..Post::default() };
        post.build(NashMtl::NAME, Box::new(OnGramian::new(Bargain, self.level.clone(), tasks)), tasks)
    }

    fn properties(&self) -> &'static [Property] {
        &[Property::PermutationInvariant, Property::NonConflicting]
    }
}

impl GramianWeighting for Bargain {
    fn name(&self) -> &'static str {
        NashMtl::NAME
    }

    fn weights(&mut self, gramian: &Gramian, _step: &StepInfo<'_>) -> Result<Vec<f64>> {
        Ok(bargaining::solve(gramian).unwrap_or_else(|| vec![0.0; gramian.size()]))
    }
}
