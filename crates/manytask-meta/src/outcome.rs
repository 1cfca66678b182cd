//! How meta-parameters learn from a task: by the strategy of its learner.

use manytask_multitask::{Error, Result};
use manytask_tensor::{Params, no_grad};

use crate::episode::Episode;
use crate::learner::{Learner, Objective, adapted};
use crate::outer_gradient::{GradientMode, OuterGradient};

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
            "outer_gradient",
            "outer_gradient = \"difference\" with a learner that changes no parameters in a task",
            "take another outer_gradient",
        )
    })?;
    let _off = no_grad();
    let losses = learner.query_losses(&predictor.predict(&episode.query_x)?, episode)?;
    let gradient = start.zip_map(&end.detach()?, |start, end| Ok(start.f_sub(end)?))?;
    Ok((Objective::new(losses), gradient))
}
