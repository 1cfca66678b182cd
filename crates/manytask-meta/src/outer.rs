//! How meta-parameters learn from a task: strategies for the meta-gradient, apart from learners.

use manytask_multitask::{Error, Result};
use manytask_tensor::{Params, no_grad};
use serde::{Deserialize, Serialize};

use crate::episode::Episode;
use crate::learner::{Learner, Objective, adapted};

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
    /// How far the adaptation is differentiated for it.
    pub(crate) fn mode(self) -> GradientMode {
        match self {
            Self::SecondOrder => GradientMode::Differentiable,
            Self::FirstOrder => GradientMode::FirstOrder,
            Self::Difference => GradientMode::Off,
        }
    }
}

/// What a task, or all along a dimension, say to the meta-parameters.
pub(crate) enum Outcome {
    /// An objective that has a graph.
    Graph(Objective),
    /// An objective whose gradient is known.
    Gradient(Objective, Params),
}

/// Adapts and differentiates as the learner says.
pub(crate) fn outcome(learner: &dyn Learner, episode: &Episode<'_>, params: &Params) -> Result<Outcome> {
    let strategy = learner.outer_gradient();
    if strategy == OuterGradient::Difference {
        let (objective, gradient) = difference(learner, episode, params)?;
        return Ok(Outcome::Gradient(objective, gradient));
    }
    if let Some((objective, gradient)) = learner.gradient(episode, params)? {
        return Ok(Outcome::Gradient(objective, gradient));
    }
    Ok(Outcome::Graph(learner.objective(episode, params, strategy.mode())?))
}

/// The query losses after the adaptation, and `θ − φ`; 0 for what does not adapt.
fn difference(learner: &dyn Learner, episode: &Episode<'_>, params: &Params) -> Result<(Objective, Params)> {
    let start = params.detach()?;
    let predictor = adapted(learner, &episode.support, &start, GradientMode::Off)?;
    let end = predictor.adapted().ok_or_else(|| {
        Error::setting(
            "outer_gradient = \"difference\" with a learner that changes no parameters in a task",
            "take another outer_gradient",
        )
    })?;
    let _off = no_grad();
    let losses = learner.query_losses(&predictor.predict(&episode.query_x)?, episode)?;
    let gradient = start.zip_map(&end.detach()?, |start, end| Ok(start.f_sub(end)?))?;
    Ok((Objective::new(losses), gradient))
}
