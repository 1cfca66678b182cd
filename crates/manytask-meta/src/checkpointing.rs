//! The meta-gradient with the parameters of a few inner steps in memory, in place of the graph of all.

use manytask_multitask::Result;
use manytask_tensor::{Graph, Params, Slot, Tensor, gradients, vjp};

use crate::learner::Scene;
use crate::maml::{Adaptation, Kept, Maml, OuterGradient};

/// The query loss after all inner steps, and its gradient by the parameters they started from.
///
/// On the way there the parameters are kept before every `every`-th step, without a graph. On the way back the steps between
/// are made again with one, and the cotangent goes through them: `λₛ = (∂φₑ/∂φₛ)ᵀ λₑ`.
pub(crate) fn query_gradient(
    maml: &Maml,
    every: u32,
    scene: &Scene<'_>,
    params: &Params,
    query_y: &Tensor,
) -> Result<(Tensor, Params)> {
    let trained = params.layout().trained();
    let adapting = maml.adapts.slots(params.layout());
    let mut there = Adaptation::new(maml, scene, params, Kept::Nothing)?;
    let (mut now, mut kept) = (params.detach()?, Vec::new());
    for number in 0..maml.inner_steps {
        if number % every == 0 {
            kept.push(now.share());
        }
        now = there.step(&now, u64::from(number))?.detach()?;
    }
    let end = leaves(&now, &trained)?;
    let mut cx = scene.context(2 * u64::from(maml.inner_steps) + 1);
    let prediction = scene.network.forward(&end, scene.query_x, &mut cx)?;
    let losses = scene.loss.mean(&prediction, query_y, None, scene.tasks)?;
    let total = losses.f_sum(losses.kind())?;
    let mut cotangent = now.zeros_like()?;
    put(&mut cotangent, &trained, gradients(&total, &tensors(&end, &trained)?, Graph::Free)?)?;
    if maml.outer_gradient == OuterGradient::SecondOrder {
        let mut stop = maml.inner_steps;
        for start in kept.into_iter().rev() {
            let first = (stop - 1) / every * every;
            let start = leaves(&start, &trained)?;
            let mut back = Adaptation::new(maml, scene, &start, Kept::All)?;
            let mut moved = start.share();
            for number in first..stop {
                moved = back.step(&moved, u64::from(number))?;
            }
            let found = vjp(
                &tensors(&moved, &adapting)?,
                &tensors(&cotangent, &adapting)?,
                &tensors(&start, &trained)?,
                Graph::Free,
            )?;
            for (slot, found) in trained.iter().zip(found) {
                // What does not adapt goes on as it is, beside what it did to the steps.
                let stays = !adapting.contains(slot);
                let found = if stays { cotangent.get(*slot)?.f_add(&found)? } else { found };
                cotangent.put(*slot, found)?;
            }
            stop = first;
        }
    }
    Ok((losses.f_detach()?, cotangent))
}

/// The same numbers as leaves of a new graph.
fn leaves(params: &Params, trained: &[Slot]) -> Result<Params> {
    Ok(params.detach()?.map_slots(trained, |_, leaf| Ok(leaf.f_detach()?.f_set_requires_grad(true)?))?)
}

fn tensors<'a>(params: &'a Params, slots: &[Slot]) -> Result<Vec<&'a Tensor>> {
    slots.iter().map(|slot| Ok(params.get(*slot)?)).collect()
}

fn put(params: &mut Params, slots: &[Slot], tensors: Vec<Tensor>) -> Result<()> {
    for (slot, tensor) in slots.iter().zip(tensors) {
        params.put(*slot, tensor)?;
    }
    Ok(())
}
