//! Tasks one after the other, in one thread or several.

use manytask_data::Episodes;
use manytask_multitask::{Draw, Result};
use manytask_tensor::{Graph, Params, Tensor, grad};

use super::losses::Losses;
use crate::episode::Randomness;
use crate::episodes::select;
use crate::execution;
use crate::outcome::{Outcome, outcome};
use crate::query_objective::QueryObjective;

/// A matrix for the gradients of so many tasks.
pub(super) fn empty_rows(params: &Params, tasks: usize) -> Result<Tensor> {
    let width = params.layout().trained_count();
    Ok(Tensor::f_empty([tasks as i64, width], (params.kind(), params.device()))?)
}

/// The tasks of a range, one after the other: their query losses; each task's gradient becomes a row.
pub(super) fn rows_of(
    objective: &QueryObjective,
    params: &Params,
    episodes: &Episodes,
    draw: Draw,
    ids: &[u64],
    range: std::ops::Range<usize>,
    rows: &Tensor,
) -> Result<Losses> {
    let mut all = Losses::default();
    for (number, (task, id)) in range.zip(ids).enumerate() {
        let one = select(episodes, task as i64)?;
        let episode = objective.episode(&one, None, Some(Randomness::of(draw, vec![*id])));
        let (objective, gradient) = match outcome(objective.learner.as_ref(), &episode, params)? {
            Outcome::Gradient(objective, gradient) => (objective, gradient),
            Outcome::Graph(objective) => {
                let gradient = grad(&objective.losses, params, Graph::Free)?;
                (objective, gradient)
            }
        };
        gradient.flatten_into(&rows.f_select(0, number as i64)?)?;
        all.extend(Losses::of(&objective, episode.support.take_recorded())?)?;
    }
    Ok(all)
}

/// Each thread takes an equal run of tasks. A task's numbers do not depend on how many threads there are.
pub(super) fn in_threads(
    objective: &QueryObjective,
    params: &Params,
    episodes: &Episodes,
    draw: Draw,
    ids: &[u64],
    workers: usize,
    rows: &Tensor,
) -> Result<Losses> {
    /// What one thread takes with it: tensors can be sent, but not shared.
    struct Load {
        params: Params,
        episodes: Episodes,
        start: usize,
        ids: Vec<u64>,
        rows: Tensor,
    }
    let each = ids.len().div_ceil(workers.max(1)).max(1);
    let mut loads = Vec::new();
    for (number, ids) in ids.chunks(each).enumerate() {
        let own = |tensor: &Tensor| tensor.shallow_clone();
        let start = number * each;
        loads.push(Load {
            params: params.require_grad()?,
            episodes: Episodes {
                support_x: own(&episodes.support_x),
                support_y: own(&episodes.support_y),
                query_x: own(&episodes.query_x),
                query_y: own(&episodes.query_y),
            },
            start,
            ids: ids.to_vec(),
            rows: rows.f_narrow(0, start as i64, ids.len() as i64)?,
        });
    }
    let of_load = |load: Load| {
        let range = load.start..load.start + load.ids.len();
        rows_of(objective, &load.params, &load.episodes, draw, &load.ids, range, &load.rows)
    };
    let mut all = Losses::default();
    execution::in_threads(loads, of_load)?.into_iter().try_for_each(|found| all.extend(found))?;
    Ok(all)
}
