//! A gradient, put together from what passes through heads and trunk give.

use manytask_tensor::{Params, Slot, Tensor, number_like};

use super::{MultiTaskProblem, broken};
use crate::{Combination, Problem, Result, Shared};

/// Refuses a combination that is not of so many tasks.
pub(super) fn fits(combination: &Combination, tasks: usize) -> Result<()> {
    let weights = match &combination.shared {
        Shared::Weights(weights) => weights.len(),
        Shared::Direction { .. } => tasks,
    };
    if weights == tasks && combination.heads.len() == tasks {
        Ok(())
    } else {
        Err(broken("as many weights as present tasks are needed"))
    }
}

/// A vector `[P]` in the shapes of the shared parameters.
pub(super) fn split(problem: &MultiTaskProblem, params: &Params, vector: &Tensor) -> Result<Vec<Tensor>> {
    let shared = problem.shared();
    let shapes = shared.iter().map(|slot| Ok(params.get(*slot)?.size())).collect::<Result<Vec<_>>>()?;
    let lengths: Vec<i64> = shapes.iter().map(|shape| shape.iter().product()).collect();
    if vector.size() != [lengths.iter().sum::<i64>()] {
        return Err(broken("a direction that is not as long as the shared parameters"));
    }
    let parts = vector.f_split_with_sizes(lengths, 0)?;
    parts.iter().zip(shapes).map(|(part, shape)| Ok(part.f_reshape(shape)?)).collect()
}

/// Gradients of tasks' own parameters times the weights of the tasks.
pub(super) fn weighted(own: &[Vec<(Slot, Tensor)>], weights: &[f64]) -> Result<Vec<Vec<(Slot, Tensor)>>> {
    let weighted = own.iter().zip(weights).map(|(own, weight)| {
        let scaled = own.iter().map(|(slot, gradient)| {
            let same = *weight == 1.0;
            let scaled = if same {
                gradient.shallow_clone()
            } else {
                gradient.f_mul(&number_like(*weight, gradient)?)?
            };
            Ok((*slot, scaled))
        });
        scaled.collect()
    });
    weighted.collect()
}

/// The gradient of all parameters: `shared` is that of the shared ones, `own` that of each present task's own; zeros elsewhere.
pub(super) fn assemble(
    problem: &MultiTaskProblem,
    params: &Params,
    shared: Vec<Tensor>,
    own: Vec<Vec<(Slot, Tensor)>>,
) -> Result<Params> {
    let mut leaves: Vec<Option<Tensor>> = params.leaves().iter().map(|_| None).collect();
    let of_shared = problem.shared().iter().copied().zip(shared);
    for (slot, gradient) in of_shared.chain(own.into_iter().flatten()) {
        if let Some(place) = leaves.get_mut(slot.index()) {
            *place = Some(gradient);
        }
    }
    let leaves = leaves.into_iter().zip(params.leaves()).map(|(gradient, leaf)| match gradient {
        Some(gradient) => Ok(gradient),
        None => Ok(leaf.f_detach()?.f_zeros_like()?),
    });
    Ok(Params::new(params.layout().clone(), leaves.collect::<Result<_>>()?)?)
}
