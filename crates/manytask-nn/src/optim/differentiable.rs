//! Steps as pure functions, with a graph to gradient, state, parameters and learning rate: inner rules of meta-learning.

use manytask_tensor::{Params, Tensor};

use super::in_place::check_same;
use super::state::another;
use super::{Optimizer, OptimizerState};
use crate::Result;

impl Optimizer {
    /// One step as a function: new parameters and state, with a graph to all that it is given.
    ///
    /// `learning_rate` has one element (or broadcasts to every parameter). The root of a second moment is taken of
    /// `v + tiny`, so that a parameter whose gradient was always zero has the derivative zero, not NaN.
    ///
    /// # Errors
    /// As [`Optimizer::step`].
    pub fn step_differentiable(
        &self,
        params: &Params,
        gradient: &Params,
        state: &OptimizerState,
        learning_rate: &Tensor,
    ) -> Result<(Params, OptimizerState)> {
        if state.buffers.len() != self.buffers().len() || state.steps.len() != params.layout().len() {
            return Err(another());
        }
        for other in state.buffers.iter().map(|(_, buffer)| buffer).chain([gradient]) {
            check_same(params, other)?;
        }
        let mut steps = state.steps.clone();
        let mut next = params.share();
        let mut buffers: Vec<(String, Params)> =
            state.buffers.iter().map(|(name, buffer)| (name.clone(), buffer.share())).collect();
        let (_, decay) = self.decay();
        let slots: Vec<_> = params.layout().slots().collect();
        for slot in slots {
            let entry = params.layout().entry(slot)?;
            if !entry.role.is_trained() {
                continue;
            }
            let Some(step) = steps.get_mut(slot.index()) else { return Err(another()) };
            *step += 1;
            let mut own = Vec::with_capacity(buffers.len());
            for (_, buffer) in &buffers {
                own.push(buffer.get(slot)?.shallow_clone());
            }
            let leaf = Leaf {
                value: params.get(slot)?,
                gradient: gradient.get(slot)?,
                decays: decay.takes(entry.role),
            };
            let (value, own) = self.advance(&leaf, &own, *step, learning_rate)?;
            next.put(slot, value)?;
            for ((_, buffer), own) in buffers.iter_mut().zip(own) {
                buffer.put(slot, own)?;
            }
        }
        Ok((next, OptimizerState { steps, buffers }))
    }

    /// One parameter's step.
    fn advance(
        &self,
        leaf: &Leaf<'_>,
        buffers: &[Tensor],
        step: u64,
        learning_rate: &Tensor,
    ) -> Result<(Tensor, Vec<Tensor>)> {
        let exponent = step.min(i32::MAX as u64) as i32;
        let (rate, _) = self.decay();
        let rate = if leaf.decays { rate } else { 0.0 };
        let coupled = !matches!(self, Self::AdamW(_)) && rate != 0.0;
        let g = if coupled {
            leaf.gradient.f_add(&leaf.value.f_mul_scalar(rate)?)?
        } else {
            leaf.gradient.shallow_clone()
        };
        let mix = |old: &Tensor, new: &Tensor, keep: f64| {
            old.f_mul_scalar(keep)?.f_add(&new.f_mul_scalar(1.0 - keep)?)
        };
        match (self, buffers) {
            (Self::Sgd(_), []) => Ok((leaf.moved(&g, learning_rate)?, Vec::new())),
            (Self::Sgd(sgd), [old]) => {
                let momentum = if step == 1 {
                    g.shallow_clone()
                } else {
                    old.f_mul_scalar(sgd.momentum)?.f_add(&g.f_mul_scalar(1.0 - sgd.dampening)?)?
                };
                let along = if sgd.nesterov {
                    g.f_add(&momentum.f_mul_scalar(sgd.momentum)?)?
                } else {
                    momentum.shallow_clone()
                };
                Ok((leaf.moved(&along, learning_rate)?, vec![momentum]))
            }
            (
                Self::Adam(super::Adam { beta1, beta2, epsilon, .. })
                | Self::AdamW(super::AdamW { beta1, beta2, epsilon, .. }),
                [mean, square],
            ) => {
                let mean = mix(mean, &g, *beta1)?;
                let square = mix(square, &g.f_square()?, *beta2)?;
                let size = root(&square)?.f_mul_scalar((1.0 - beta2.powi(exponent)).sqrt().recip())?;
                let along = mean
                    .f_mul_scalar((1.0 - beta1.powi(exponent)).recip())?
                    .f_div(&size.f_add_scalar(*epsilon)?)?;
                let along = if !coupled && rate != 0.0 {
                    along.f_add(&leaf.value.f_mul_scalar(rate)?)?
                } else {
                    along
                };
                Ok((leaf.moved(&along, learning_rate)?, vec![mean, square]))
            }
            (Self::RmsProp(rms), [_, ..]) => rms_prop(rms, leaf, &g, buffers, learning_rate),
            _ => Err(another()),
        }
    }
}

/// `keep · old + (1 − keep) · new`.
fn mix(old: &Tensor, new: &Tensor, keep: f64) -> Result<Tensor> {
    Ok(old.f_mul_scalar(keep)?.f_add(&new.f_mul_scalar(1.0 - keep)?)?)
}

/// One parameter's step of RMSprop.
fn rms_prop(
    rms: &super::RmsProp,
    leaf: &Leaf<'_>,
    g: &Tensor,
    buffers: &[Tensor],
    learning_rate: &Tensor,
) -> Result<(Tensor, Vec<Tensor>)> {
    let Some((square, rest)) = buffers.split_first() else { return Err(another()) };
    let square = mix(square, &g.f_square()?, rms.alpha)?;
    let mut rest = rest.iter();
    let mut next = vec![square.shallow_clone()];
    let mut spread = square;
    if let Some(mean) = rest.next().filter(|_| rms.centered) {
        let mean = mix(mean, g, rms.alpha)?;
        spread = spread.f_sub(&mean.f_square()?)?;
        next.push(mean);
    }
    let mut along = g.f_div(&root(&spread)?.f_add_scalar(rms.epsilon)?)?;
    if rms.momentum > 0.0 {
        let old = buffers.last().ok_or_else(another)?;
        along = old.f_mul_scalar(rms.momentum)?.f_add(&along)?;
        next.push(along.shallow_clone());
    }
    Ok((leaf.moved(&along, learning_rate)?, next))
}

struct Leaf<'a> {
    value: &'a Tensor,
    gradient: &'a Tensor,
    decays: bool,
}

impl Leaf<'_> {
    fn moved(&self, along: &Tensor, learning_rate: &Tensor) -> Result<Tensor> {
        Ok(self.value.f_sub(&along.f_mul(learning_rate)?)?)
    }
}

/// `√v` with the derivative 0 at 0.
fn root(square: &Tensor) -> Result<Tensor> {
    let zero = square.f_detach()?.f_le(0.0)?;
    let safe = manytask_tensor::masked_fill(square, &zero, 1.0)?;
    Ok(manytask_tensor::masked_fill(&safe.f_sqrt()?, &zero, 0.0)?)
}
