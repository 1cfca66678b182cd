//! What tasks come to from step to step.

use manytask_data::Episodes;
use manytask_multitask::Result;
use manytask_tensor::{Params, no_grad};

use super::scores::{TaskScore, scores};
use crate::episode::Episode;
use crate::episodes::select;
use crate::execution;
use crate::outer_gradient::GradientMode;
use crate::query_objective::QueryObjective;

/// For each step of adaptation, the metrics of each task.
pub(super) type Trace = Vec<Vec<TaskScore>>;

/// The trace of one task, or of all along a dimension of so many: before any step of adaptation and after each.
pub(super) fn trace(
    objective: &QueryObjective,
    params: &Params,
    episode: &Episode<'_>,
    steps: Option<u32>,
) -> Result<Trace> {
    let mut predictor = objective.learner.adapt(&episode.support, params, GradientMode::Off)?;
    let last = objective.learner.steps().map_or(0, |own| steps.unwrap_or(own));
    let mut trace = Trace::with_capacity(last as usize + 1);
    for step in 0..=last {
        if step > 0 {
            predictor.advance()?;
        }
        let _off = no_grad();
        trace.push(scores(objective, &predictor.predict(&episode.query_x)?, episode)?);
    }
    Ok(trace)
}

pub(super) fn of_task(
    objective: &QueryObjective,
    params: &Params,
    episodes: &Episodes,
    steps: Option<u32>,
) -> Result<Trace> {
    trace(objective, params, &objective.episode(episodes, None, None), steps)
}

/// The traces of all tasks, an equal run of them in each thread.
pub(super) fn in_threads(
    objective: &QueryObjective,
    params: &Params,
    episodes: &Episodes,
    steps: Option<u32>,
    workers: usize,
) -> Result<Vec<Trace>> {
    let count = episodes.query_y.size().first().copied().unwrap_or_default();
    let each = (count as usize).div_ceil(workers.max(1)).max(1);
    let mut loads = Vec::new();
    for start in (0..count).step_by(each) {
        let end = (start + each as i64).min(count);
        let own = (start..end).map(|task| select(episodes, task)).collect::<Result<Vec<_>>>()?;
        loads.push((params.detach()?, own));
    }
    let of_load = |(params, own): (Params, Vec<Episodes>)| {
        own.iter().map(|episodes| of_task(objective, &params, episodes, steps)).collect::<Result<Vec<_>>>()
    };
    Ok(execution::in_threads(loads, of_load)?.concat())
}
