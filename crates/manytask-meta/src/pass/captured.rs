//! A meta-batch that a GPU launches as a whole.

use std::sync::PoisonError;

use manytask_data::Episodes;
use manytask_multitask::{Draw, Error, Pass, Result};
use manytask_tensor::{Graph, Kind, Params, Tensor, grad};

use super::levels::broken;
use super::losses::Losses;
use super::precomputed::PrecomputedPass;
use crate::episode::Randomness;
use crate::form::Form;
use crate::outcome::{Outcome, outcome};
use crate::problem::MetaProblem;
use crate::recorded::Recorded;

/// All tasks along a leading dimension, with their gradients, launched as a whole where that can be.
pub(super) fn captured<'a>(
    problem: &'a MetaProblem,
    params: &'a Params,
    episodes: &Episodes,
    draw: Draw,
    ids: &[u64],
) -> Result<Box<dyn Pass + 'a>> {
    let tasks = ids.len() as i64;
    let of = |inputs: &[Tensor]| {
        let own =
            |place: usize| inputs.get(place).map(Tensor::shallow_clone).ok_or_else(|| broken("no episodes"));
        Ok::<_, Error>(Episodes {
            support_x: own(0)?,
            support_y: own(1)?,
            query_x: own(2)?,
            query_y: own(3)?,
        })
    };
    let work = |inputs: &[Tensor]| {
        if let Ok(fused) = &problem.batched {
            let (losses, rows) = fused.run(params, &of(inputs)?)?;
            return Ok(vec![rows, losses.f_to_kind(Kind::Double)?]);
        }
        let expanded = params.expand_tasks(tasks)?;
        let random = Some(Randomness::of(draw, ids.to_vec()));
        let episode = problem.objective.episode(&of(inputs)?, Some(tasks), random).launched();
        let (objective, gradient) = match outcome(problem.objective.learner.as_ref(), &episode, &expanded)? {
            Outcome::Gradient(objective, gradient) => (objective, gradient),
            Outcome::Graph(objective) => {
                let total = objective.losses.f_sum(objective.losses.kind())?;
                let gradient = grad(&total, &expanded, Graph::Free)?;
                (objective, gradient)
            }
        };
        let (sums, buffers) = episode.support.take_recorded().into_parts();
        let terms = objective.terms.iter().map(|(name, _)| *name).collect();
        *problem.form.lock().unwrap_or_else(PoisonError::into_inner) = Form { terms, buffers };
        let numbers =
            |tensor: &Tensor| Ok::<_, Error>(tensor.f_detach()?.f_to_kind(Kind::Double)?.f_reshape([-1])?);
        let mut outputs = vec![gradient.flatten()?, numbers(&objective.losses)?];
        outputs
            .extend(objective.terms.iter().map(|(_, values)| numbers(values)).collect::<Result<Vec<_>>>()?);
        outputs.extend(sums);
        Ok::<_, Error>(outputs)
    };
    let Episodes { support_x, support_y, query_x, query_y } = episodes;
    let own = params.as_vector();
    let read: Vec<&Tensor> = match &own {
        Some(own) => std::iter::once(own).chain(buffers_of(params)).collect(),
        None => params.leaves().iter().collect(),
    };
    let inputs = [support_x, support_y, query_x, query_y];
    let outputs = problem.recorder.run(params.device(), &read, &inputs, work)?;
    // Before the first look at what comes out, which waits for it.
    if outputs.is_recorded() {
        problem.draw_ahead(draw);
    }
    let form = problem.form.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let [rows, losses, rest @ ..] = outputs.tensors.as_slice() else {
        return Err(broken("losses and gradients"));
    };
    let (terms, sums) = rest.split_at(form.terms.len().min(rest.len()));
    let terms = form.terms.iter().zip(terms).map(|(name, values)| Ok((*name, Vec::<f64>::try_from(values)?)));
    let losses = Losses {
        values: Vec::<f64>::try_from(losses)?,
        terms: terms.collect::<Result<_>>()?,
        recorded: Recorded::of_parts(sums, &form.buffers),
    };
    let pass = PrecomputedPass::new(params, losses, rows)?;
    Ok(Box::new(pass.holding(outputs)))
}

fn buffers_of(params: &Params) -> impl Iterator<Item = &Tensor> {
    params.iter().filter(|(entry, _)| !entry.role.is_trained()).map(|(_, leaf)| leaf)
}
