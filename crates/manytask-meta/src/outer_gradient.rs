//! Strategies for the meta-gradient, apart from learners.

use manytask_multitask::{Error, Result};
use serde::{Deserialize, Serialize};

/// How the meta-gradient sees the adaptation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OuterGradient {
    /// As a function of the meta-parameters: the exact gradient of the objective.
    #[default]
    SecondOrder,
    /// With inner gradients as constants: of what only starts the adaptation, the gradient at the adapted parameters.
    FirstOrder,
    /// No gradient of the objective: the difference `θ − φ` of the parameters before and after the adaptation (Nichol et al.
    /// 2018, arXiv:1803.02999, Reptile). With plain SGD of rate ε and equal weights a step is `θ ← θ + ε mean(φ − θ)`.
    Difference,
}

/// How far an adaptation is differentiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GradientMode {
    /// Inner gradients have a graph.
    Differentiable,
    /// What is adapted has a graph to the meta-parameters, inner gradients are constants.
    FirstOrder,
    /// Nothing has: for evaluation.
    Off,
}

impl OuterGradient {
    /// Refuses a difference of parameters for a learner of this name, whose rule is learned by the gradient.
    pub(crate) fn of_learned_rules(self, learner: &str) -> Result<()> {
        if self != Self::Difference {
            return Ok(());
        }
        Err(Error::setting(
            "outer_gradient",
            format!(
                "outer_gradient = \"difference\" with `{learner}`: a difference of parameters says nothing of its rule"
            ),
            "take \"second_order\" or \"first_order\"",
        ))
    }

    /// How far the adaptation is differentiated for it.
    pub(crate) fn mode(self) -> GradientMode {
        match self {
            Self::SecondOrder => GradientMode::Differentiable,
            Self::FirstOrder => GradientMode::FirstOrder,
            Self::Difference => GradientMode::Off,
        }
    }
}
