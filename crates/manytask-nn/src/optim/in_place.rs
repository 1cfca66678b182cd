//! Steps that overwrite parameters and state, without a graph: in one pass over memory, or in operations on tensors.

use std::collections::BTreeMap;

use manytask_tensor::{Device, Kind, OpContext, Params, Tensor, no_grad};

use super::rule::Rule;
use super::state::another;
use super::{Active, Optimizer, OptimizerState};
use crate::{Error, Result};

/// Numbers as tensors without dimension, which cost a third of what number arguments do.
struct Numbers {
    kind: Kind,
    device: Device,
}

impl Numbers {
    fn at(&self, value: f64) -> Result<Tensor> {
        let number = if self.kind == Kind::Double { Tensor::from(value) } else { Tensor::from(value as f32) };
        Ok(number.f_to_kind(self.kind)?.f_to_device(self.device)?)
    }
}

impl Optimizer {
    /// One step of the active parameters, in place. Buffers of the network
    /// ([`Role::Buffer`](manytask_tensor::Role::Buffer)) are left alone.
    ///
    /// Each parameter's step follows from how many it has taken part in before: the first one that a task's parameters make
    /// is as long as any first step, whenever it comes.
    ///
    /// # Errors
    /// When layouts, shapes or the kind of state differ; nothing is changed then.
    pub fn step(
        &self,
        params: &mut Params,
        gradient: &Params,
        state: &mut OptimizerState,
        learning_rate: f64,
        active: Active<'_>,
    ) -> Result<()> {
        let _off = no_grad();
        if state.buffers.len() != self.buffers().len() || state.steps.len() != params.layout().len() {
            return Err(another());
        }
        // Shapes and layouts first, so that nothing is half done.
        for other in state.buffers.iter().map(|(_, buffer)| buffer).chain([gradient]) {
            check_same(params, other)?;
        }
        // Parameters that took part in as many steps have one rule.
        let mut rules = BTreeMap::new();
        let (_, decay) = self.decay();
        for (i, (entry, leaf)) in params.iter().enumerate() {
            let moves = entry.role.is_trained() && active.takes(entry.owner);
            let found = gradient.leaves().get(i).zip(state.steps.get_mut(i)).filter(|_| moves);
            let Some((gradient, steps)) = found else { continue };
            *steps += 1;
            let (rule, operations) =
                rules.entry(*steps).or_insert_with(|| (Rule::new(self, learning_rate, *steps), None));
            let mut buffers: Vec<Tensor> = state
                .buffers
                .iter()
                .filter_map(|(_, buffer)| buffer.leaves().get(i).map(Tensor::shallow_clone))
                .collect();
            let mut leaf = leaf.shallow_clone();
            let decays = decay.takes(entry.role);
            if rule.in_one_pass(&mut leaf, gradient, &mut buffers, decays)? {
                continue;
            }
            let operations = match operations {
                Some(found) => found,
                none => {
                    let numbers = Numbers { kind: params.kind(), device: params.device() };
                    none.insert(Operations::new(rule, &numbers)?)
                }
            };
            operations.apply(leaf, gradient, buffers, decays)?;
        }
        Ok(())
    }
}

pub(super) fn check_same(ours: &Params, other: &Params) -> Result<()> {
    let same = std::sync::Arc::ptr_eq(ours.layout(), other.layout()) || ours.layout() == other.layout();
    if same && ours.tasks() == other.tasks() {
        return Ok(());
    }
    Err(Error::setting(
        "the gradient or the optimizer's state",
        &format!("of {} parameters", other.layout().len()),
        format!("it must be of the same network as the {} parameters", ours.layout().len()),
    ))
}

/// A step's rule with its numbers as tensors.
struct Operations<'a> {
    optimizer: &'a Optimizer,
    first: bool,
    rate: Tensor,
    decay: Option<Tensor>,
    keep: Tensor,
    take: Tensor,
    keep_square: Tensor,
    take_square: Tensor,
    correction: Tensor,
    epsilon: Tensor,
}

impl<'a> Operations<'a> {
    fn new(rule: &Rule<'a>, numbers: &Numbers) -> Result<Self> {
        Ok(Self {
            optimizer: rule.optimizer,
            first: rule.first,
            rate: numbers.at(rule.rate)?,
            decay: rule.decay.map(|decay| numbers.at(decay)).transpose()?,
            keep: numbers.at(rule.keep)?,
            take: numbers.at(rule.take)?,
            keep_square: numbers.at(rule.keep_square)?,
            take_square: numbers.at(rule.take_square)?,
            correction: numbers.at(rule.correction)?,
            epsilon: numbers.at(rule.epsilon)?,
        })
    }

    fn apply(
        &self,
        mut leaf: Tensor,
        gradient: &Tensor,
        mut buffers: Vec<Tensor>,
        decays: bool,
    ) -> Result<()> {
        let decay = self.decay.as_ref().filter(|_| decays);
        let mut gradient = gradient.shallow_clone();
        match (self.optimizer, decay) {
            (_, None) => {}
            (Optimizer::AdamW(_), Some(factor)) => drop(leaf.f_mul_(factor)?),
            (_, Some(rate)) => {
                gradient = gradient.f_addcmul(&leaf, rate).op("weight decay", &[&gradient, &leaf])?;
            }
        }
        match (self.optimizer, buffers.as_mut_slice()) {
            (Optimizer::Sgd(_), []) => drop(leaf.f_addcmul_(&gradient, &self.rate)?),
            (Optimizer::Sgd(sgd), [momentum]) => {
                if self.first {
                    // As PyTorch: the first momentum is the gradient, undamped.
                    momentum.f_copy_(&gradient)?;
                } else {
                    let _ = momentum.f_mul_(&self.keep)?.f_addcmul_(&gradient, &self.take)?;
                }
                if sgd.nesterov {
                    let ahead = gradient.f_addcmul(momentum, &self.keep)?;
                    let _ = leaf.f_addcmul_(&ahead, &self.rate)?;
                } else {
                    let _ = leaf.f_addcmul_(momentum, &self.rate)?;
                }
            }
            (Optimizer::Adam(_) | Optimizer::AdamW(_), [mean, square]) => {
                let _ = mean.f_mul_(&self.keep)?.f_addcmul_(&gradient, &self.take)?;
                self.square(square, &gradient)?;
                let size = square.f_sqrt()?.f_div_(&self.correction)?.f_add_(&self.epsilon)?;
                let _ = leaf.f_addcmul_(&mean.f_div(&size)?, &self.rate)?;
            }
            (Optimizer::RmsProp(rms), buffers) => self.rms_prop(rms, &mut leaf, &gradient, buffers)?,
            _ => return Err(another()),
        }
        Ok(())
    }

    /// `v ← β₂ v + (1 − β₂) g²`.
    fn square(&self, square: &mut Tensor, gradient: &Tensor) -> Result<()> {
        let scaled = gradient.f_mul(&self.take_square)?;
        let _ = square.f_mul_(&self.keep_square)?.f_addcmul_(&scaled, gradient)?;
        Ok(())
    }

    fn rms_prop(
        &self,
        rms: &super::RmsProp,
        leaf: &mut Tensor,
        gradient: &Tensor,
        buffers: &mut [Tensor],
    ) -> Result<()> {
        let Some((square, rest)) = buffers.split_first_mut() else { return Err(another()) };
        self.square(square, gradient)?;
        let (mean, momentum) = match rest {
            [] => (None, None),
            [one] if rms.centered => (Some(one), None),
            [one] => (None, Some(one)),
            [mean, momentum] => (Some(mean), Some(momentum)),
            _ => return Err(another()),
        };
        let spread = match mean {
            None => square.shallow_clone(),
            Some(mean) => {
                let _ = mean.f_mul_(&self.keep_square)?.f_addcmul_(gradient, &self.take_square)?;
                square.f_sub(&mean.f_square()?)?
            }
        };
        let step = gradient.f_div(&spread.f_sqrt()?.f_add_(&self.epsilon)?)?;
        match momentum {
            None => drop(leaf.f_addcmul_(&step, &self.rate)?),
            Some(momentum) => {
                let keep = Tensor::from(rms.momentum).f_to_kind(step.kind())?.f_to_device(step.device())?;
                let _ = momentum.f_mul_(&keep)?.f_add_(&step)?;
                let _ = leaf.f_addcmul_(momentum, &self.rate)?;
            }
        }
        Ok(())
    }
}
