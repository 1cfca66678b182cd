//! The gradient of a head behind a network whose passes of all tasks at once are fused, on a device that launches each operation: the
//! embeddings alone have a graph.

use manytask_multitask::Result;
use manytask_nn::fused::{BatchedLeaves, BatchedNet, BatchedRows, BatchedTrace};
use manytask_tensor::{Graph, Kind, Params, Tensor, gradients, no_grad};

use super::{Head, objective_of, own_slots};
use crate::episode::Episode;
use crate::learner::Objective;

/// The embeddings of some examples as leaves of a graph, and what the pass back needs.
struct Embedded {
    leaf: Tensor,
    rows: BatchedRows,
    trace: BatchedTrace,
}

/// The objective with the gradient by each task's parameters; `None` where the network or the episode is not of that form.
pub(super) fn gradient<H: Head>(
    head: &H,
    episode: &Episode<'_>,
    params: &Params,
) -> Result<Option<(Objective, Params)>> {
    let support = &episode.support;
    let (Some(tasks), true, true) = (support.tasks, support.is_launched(), support.is_fusible()) else {
        return Ok(None);
    };
    let Ok(net) = BatchedNet::compile(support.network, params.layout(), |_| false) else { return Ok(None) };
    let takes = |x: &Tensor| x.kind() == params.kind() && net.takes(&x.size());
    if !matches!(params.kind(), Kind::Float | Kind::Double) || !takes(&support.x) || !takes(&episode.query_x)
    {
        return Ok(None);
    }
    let leaves = net.leaves(params, tasks)?;
    let embedded = [&support.x, &episode.query_x].map(|x| embed(&net, &leaves, x));
    let [support, query] = embedded;
    let (mut support, mut query) = (support?, query?);
    let objective = objective_of(head, episode, params, [&support.leaf, &query.leaf])?;
    let own = own_slots(params);
    let mut wanted = vec![&support.leaf, &query.leaf];
    for slot in &own {
        wanted.push(params.get(*slot)?);
    }
    let total = objective.losses.f_sum(objective.losses.kind())?;
    let found = gradients(&total, &wanted, Graph::Free)?;

    let _off = no_grad();
    let mut gradient = params.detach()?.zeros_like()?;
    let (of_embeddings, of_own) = found.split_at(2.min(found.len()));
    let mut each = Vec::new();
    for (embedded, cotangent) in [&mut support, &mut query].into_iter().zip(of_embeddings) {
        let Embedded { rows, trace, .. } = embedded;
        each.push(net.backward(&leaves, rows, trace, cotangent.f_contiguous()?)?);
    }
    let [of_support, of_query] = each.as_slice() else { return Ok(None) };
    for ((slot, a), (_, b)) in net.by_slot(of_support)?.into_iter().zip(net.by_slot(of_query)?) {
        let shape = params.get(slot)?.size();
        gradient.put(slot, a.f_add(&b)?.f_reshape(shape)?)?;
    }
    for (slot, found) in own.into_iter().zip(of_own) {
        gradient.put(slot, found.f_detach()?)?;
    }
    let Objective { losses, terms } = objective;
    Ok(Some((Objective { losses: losses.f_detach()?, terms }, gradient)))
}

fn embed(net: &BatchedNet, leaves: &BatchedLeaves, x: &Tensor) -> Result<Embedded> {
    let _off = no_grad();
    let rows = net.rows(x, x.kind())?;
    let trace = net.forward(leaves, &rows)?;
    let leaf = trace.predictions()?.f_detach()?.f_set_requires_grad(true)?;
    Ok(Embedded { leaf, rows, trace })
}
