//! The gradient of a head behind a network that has a fused pass: the embeddings alone have a graph.

use manytask_multitask::{Error, Result};
use manytask_nn::fused::{FusedNet, NetTrace, Rows};
use manytask_tensor::dense::{Real, from_fn, values};
use manytask_tensor::{Device, Graph, Kind, Params, Tensor, gradients, threads};

use super::{Head, objective_of, own_slots};
use crate::episode::Episode;
use crate::learner::Objective;

/// Embeddings as leaves of a graph, and what the pass back needs.
type Embedded<'x, T> = (Tensor, Rows<'x, T>, NetTrace<T>);

/// The objective with its gradient; `None` where the network or the episode is not of that form.
pub(super) fn gradient<H: Head>(
    head: &H,
    episode: &Episode<'_>,
    params: &Params,
) -> Result<Option<(Objective, Params)>> {
    let support = &episode.support;
    if params.device() != Device::Cpu || support.tasks.is_some() || !support.is_fusible() {
        return Ok(None);
    }
    let layout = params.layout();
    let Ok(net) = FusedNet::compile(support.network, layout) else { return Ok(None) };
    match params.kind() {
        Kind::Float => run::<f32, H>(head, &net, episode, params),
        Kind::Double => run::<f64, H>(head, &net, episode, params),
        _ => Ok(None),
    }
}

fn run<T: Real, H: Head>(
    head: &H,
    net: &FusedNet,
    episode: &Episode<'_>,
    params: &Params,
) -> Result<Option<(Objective, Params)>> {
    let inputs = [episode.support.x.f_contiguous()?, episode.query_x.f_contiguous()?];
    let weights = net.slots().map(|slot| Ok(params.get(slot)?.f_detach()?.f_reshape([-1])?));
    let weights = Tensor::f_cat(&weights.collect::<Result<Vec<_>>>()?, 0)?;
    let weights = values::<T>(&weights)?;
    let Some(support) = forward::<T>(net, weights, &inputs[0])? else { return Ok(None) };
    let Some(query) = forward::<T>(net, weights, &inputs[1])? else { return Ok(None) };
    let objective = objective_of(head, episode, params, [&support.0, &query.0])?;

    let own = own_slots(params);
    let mut wanted = vec![&support.0, &query.0];
    for slot in &own {
        wanted.push(params.get(*slot)?);
    }
    let found = gradients(&objective.losses, &wanted, Graph::Free)?;
    let (of_embeddings, of_own) = found.split_at(2.min(found.len()));
    let sum = from_fn::<T, Error>(&[weights.len() as i64], |sum| {
        let mut each = vec![T::zero(); weights.len()];
        for ((_, rows, mut trace), cotangent) in [support, query].into_iter().zip(of_embeddings) {
            net.begin_back(values(&cotangent.f_contiguous()?)?, &mut trace);
            net.backward(weights, rows, &mut trace, &mut each, threads::get())?;
            sum.iter_mut().zip(&each).for_each(|(sum, own)| *sum += *own);
        }
        Ok(())
    })?;
    let mut gradient = params.detach()?.zeros_like()?;
    let mut start = 0;
    for slot in net.slots() {
        let leaf = params.get(slot)?;
        let count = leaf.numel() as i64;
        gradient.put(slot, sum.f_narrow(0, start, count)?.f_reshape(leaf.size())?)?;
        start += count;
    }
    for (slot, found) in own.into_iter().zip(of_own) {
        gradient.put(slot, found.f_detach()?)?;
    }
    let Objective { losses, terms } = objective;
    Ok(Some((Objective { losses: losses.f_detach()?, terms }, gradient)))
}

/// The embeddings `[1, N, D]` of some rows; `None` where the network does not take such rows.
fn forward<'x, T: Real>(net: &FusedNet, weights: &[T], x: &'x Tensor) -> Result<Option<Embedded<'x, T>>> {
    if x.kind() != T::KIND || x.dim() < 2 || x.numel() == 0 {
        return Ok(None);
    }
    let rows = Rows::<T>::of(x)?;
    let Some(outputs) = net.outputs(rows.values.len() / rows.count.max(1), rows.sides) else {
        return Ok(None);
    };
    let mut trace = NetTrace::default();
    net.forward(weights, rows, &mut trace, threads::get())?;
    let embeddings = from_fn::<T, Error>(&[1, rows.count as i64, outputs as i64], |out| {
        out.copy_from_slice(net.predictions(&trace));
        Ok(())
    })?;
    Ok(Some((embeddings.f_set_requires_grad(true)?, rows, trace)))
}
