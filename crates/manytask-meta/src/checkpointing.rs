//! The meta-gradient with the parameters of a few inner steps in memory, in place of the graph of all.

use manytask_multitask::Result;
use manytask_tensor::{Graph, Params, Slot, Tensor, gradients, vjp};

use crate::adaptation::{Adaptation, leaves};
use crate::descent::Rates;
use crate::episode::Episode;
use crate::inner::InnerLoop;
use crate::learner::{Learner, Objective, Predictor};
use crate::outer_gradient::{GradientMode, OuterGradient};

/// The query loss after all inner steps, and its gradient by the parameters they started from.
///
/// On the way there the parameters are kept before every `every`-th step, without a graph. On the way back the steps between
/// are made again with one, and the cotangent goes through them: `λₛ = (∂φₑ/∂φₛ)ᵀ λₑ`.
pub(crate) fn gradient(
    inner: &InnerLoop,
    every: u32,
    episode: &Episode<'_>,
    params: &Params,
) -> Result<(Objective, Params)> {
    let support = &episode.support;
    let trained = params.layout().trained();
    let mut there = Adaptation::new(inner, support, params, GradientMode::Off)?;
    let mut kept = Vec::new();
    for number in 0..inner.steps {
        if number % every == 0 {
            kept.extend(there.adapted().map(Params::share));
        }
        there.advance()?;
    }
    let end = leaves(&there.into_params(), &trained)?;
    let last = Adaptation::new(inner, support, &end, GradientMode::FirstOrder)?.after(inner.steps.into());
    let losses = inner.query_losses(&last.predict(&episode.query_x)?, episode)?;
    let total = losses.f_sum(losses.kind())?;
    let mut cotangent = end.detach()?.zeros_like()?;
    put(&mut cotangent, &trained, gradients(&total, &tensors(&end, &trained)?, Graph::Free)?)?;
    // What the passes on the way back record was recorded on the way there.
    let recorded = support.take_recorded();
    if inner.outer_gradient == OuterGradient::SecondOrder
        || matches!(inner.rates, Rates::Each(_) | Rates::EachStep(_))
    {
        let mut stop = inner.steps;
        for start in kept.into_iter().rev() {
            let first = (stop - 1) / every * every;
            let start = leaves(&start, &trained)?;
            let mode = inner.outer_gradient.mode();
            let mut back = Adaptation::new(inner, support, &start, mode)?.after(first.into());
            for _ in first..stop {
                back.advance()?;
            }
            let moved = back.into_params();
            let found = vjp(
                &tensors(&moved, &inner.slots)?,
                &tensors(&cotangent, &inner.slots)?,
                &tensors(&start, &trained)?,
                Graph::Free,
            )?;
            for (slot, found) in trained.iter().zip(found) {
                // What does not adapt goes on as it is, beside what it did to the steps.
                let stays = !inner.slots.contains(slot);
                let found = if stays { cotangent.get(*slot)?.f_add(&found)? } else { found };
                cotangent.put(*slot, found)?;
            }
            stop = first;
        }
    }
    support.put_recorded(recorded);
    Ok((Objective::new(losses.f_detach()?), cotangent))
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
