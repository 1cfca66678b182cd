//! A step as operations on tensors, in place.

use manytask_tensor::{OpContext, Tensor, send};

use super::Optimizer;
use super::rule::{NUMBERS, Rule};
use super::state::another;
use crate::Result;

/// A step's rule with its numbers as tensors.
pub(super) struct Operations<'a> {
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
    /// With numbers on the device and in the element type of a tensor.
    pub(super) fn new(rule: &Rule<'a>, like: &Tensor) -> Result<Self> {
        let all = Tensor::f_from_slice(&rule.numbers())?.f_to_kind(like.kind())?;
        Self::with(rule, &send(&all, like.device())?)
    }

    /// With the numbers of a rule as a tensor `[NUMBERS]`. Those without dimension cost a third of what number arguments do.
    pub(super) fn with(rule: &Rule<'a>, numbers: &Tensor) -> Result<Self> {
        let mut found = [(); NUMBERS].map(|()| numbers.shallow_clone());
        for (place, number) in found.iter_mut().enumerate() {
            *number = numbers.f_select(0, place as i64)?;
        }
        let [rate, decay, keep, take, keep_square, take_square, correction, epsilon] = found;
        let decay = rule.decay.map(|_| decay);
        let (optimizer, first) = (rule.optimizer, rule.first);
        Ok(Self { optimizer, first, rate, decay, keep, take, keep_square, take_square, correction, epsilon })
    }

    /// Overwrites a parameter and what is remembered of it.
    pub(super) fn apply(
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
            (Optimizer::RmsProp(rms), buffers) => {
                self.rms_prop(rms.centered, &mut leaf, &gradient, buffers)?;
            }
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
        centered: bool,
        leaf: &mut Tensor,
        gradient: &Tensor,
        buffers: &mut [Tensor],
    ) -> Result<()> {
        let Some((square, rest)) = buffers.split_first_mut() else { return Err(another()) };
        self.square(square, gradient)?;
        let (mean, momentum) = match rest {
            [] => (None, None),
            [one] if centered => (Some(one), None),
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
                let _ = momentum.f_mul_(&self.keep)?.f_add_(&step)?;
                let _ = leaf.f_addcmul_(momentum, &self.rate)?;
            }
        }
        Ok(())
    }
}
