//! The numbers of one step, and the step itself in one pass over memory.

use manytask_tensor::elementwise::{Element, in_one_pass};
use manytask_tensor::{Kind, Tensor};

use super::Optimizer;
use crate::Result;

/// How many numbers a rule is made of.
pub(super) const NUMBERS: usize = 8;

/// A step's rule.
pub(super) struct Rule<'a> {
    pub(super) optimizer: &'a Optimizer,
    /// Whether the parameter made no step before.
    pub(super) first: bool,
    /// −η, or Adam's −η / (1 − β₁ᵗ).
    pub(super) rate: f64,
    /// λ, or the factor 1 − η λ of AdamW.
    pub(super) decay: Option<f64>,
    /// β₁ or μ; 1 − β₁ or 1 − τ.
    pub(super) keep: f64,
    pub(super) take: f64,
    /// β₂ or α; 1 − β₂ or 1 − α.
    pub(super) keep_square: f64,
    pub(super) take_square: f64,
    /// √(1 − β₂ᵗ), by which √v is divided.
    pub(super) correction: f64,
    pub(super) epsilon: f64,
}

impl<'a> Rule<'a> {
    pub(super) fn new(optimizer: &'a Optimizer, learning_rate: f64, step: u64) -> Self {
        let exponent = step.min(i32::MAX as u64) as i32;
        let (keep, take, keep_square, epsilon) = match optimizer {
            Optimizer::Sgd(sgd) => (sgd.momentum, 1.0 - sgd.dampening, 0.0, 0.0),
            Optimizer::Adam(adam) => (adam.beta1, 1.0 - adam.beta1, adam.beta2, adam.epsilon),
            Optimizer::AdamW(adam) => (adam.beta1, 1.0 - adam.beta1, adam.beta2, adam.epsilon),
            Optimizer::RmsProp(rms) => (rms.momentum, 1.0, rms.alpha, rms.epsilon),
        };
        let adam = matches!(optimizer, Optimizer::Adam(_) | Optimizer::AdamW(_));
        let (mean_correction, correction) = if adam {
            (1.0 - keep.powi(exponent), (1.0 - keep_square.powi(exponent)).sqrt())
        } else {
            (1.0, 1.0)
        };
        let (rate, _) = optimizer.decay();
        let decay = match optimizer {
            _ if rate == 0.0 => None,
            Optimizer::AdamW(_) => Some(1.0 - learning_rate * rate),
            _ => Some(rate),
        };
        Self {
            optimizer,
            first: step == 1,
            rate: -learning_rate / mean_correction,
            decay,
            keep,
            take,
            keep_square,
            take_square: 1.0 - keep_square,
            correction,
            epsilon,
        }
    }

    /// Its numbers, in the order that operations take them in.
    pub(super) fn numbers(&self) -> [f64; NUMBERS] {
        let decay = self.decay.unwrap_or_default();
        let Self { rate, keep, take, keep_square, take_square, correction, epsilon, .. } = *self;
        [rate, decay, keep, take, keep_square, take_square, correction, epsilon]
    }

    /// The numbers with which a step along a gradient of zero changes nothing.
    pub(super) fn resting(&self) -> [f64; NUMBERS] {
        let decay = if matches!(self.optimizer, Optimizer::AdamW(_)) { 1.0 } else { 0.0 };
        [0.0, decay, 1.0, 0.0, 1.0, 0.0, self.correction, self.epsilon]
    }

    /// One pass over the memory of a parameter and what is remembered of it. The answer is `false`, and nothing is done,
    /// where that cannot be: off the processor, in other kinds than single and double precision, with gaps, and for RMSprop.
    pub(super) fn in_one_pass(
        &self,
        leaf: &mut Tensor,
        gradient: &Tensor,
        buffers: &mut [Tensor],
        decays: bool,
    ) -> Result<bool> {
        match leaf.kind() {
            Kind::Float => self.pass::<f32>(leaf, gradient, buffers, decays),
            Kind::Double => self.pass::<f64>(leaf, gradient, buffers, decays),
            _ => Ok(false),
        }
    }

    fn pass<T: Element>(
        &self,
        leaf: &mut Tensor,
        gradient: &Tensor,
        buffers: &mut [Tensor],
        decays: bool,
    ) -> Result<bool> {
        let [rate, keep, take] = [self.rate, self.keep, self.take].map(T::of);
        let decay = self.decay.filter(|_| decays);
        // g + λ θ, or θ (1 − η λ): the other one is as if it were not there.
        let decoupled = matches!(self.optimizer, Optimizer::AdamW(_));
        let l2 = T::of(decay.filter(|_| !decoupled).unwrap_or(0.0));
        let shrink = T::of(decay.filter(|_| decoupled).unwrap_or(1.0));
        let done = match (self.optimizer, buffers) {
            (Optimizer::Sgd(_), []) => in_one_pass([leaf], gradient, |[w], g: T| [w + (g + l2 * w) * rate])?,
            (Optimizer::Sgd(sgd), [momentum]) => {
                // As PyTorch: the first momentum is the gradient, undamped.
                let (keep_now, take) = if self.first { (T::of(0.0), T::of(1.0)) } else { (keep, take) };
                // The step is along g + μ b or along b.
                let (of_gradient, of_momentum) =
                    if sgd.nesterov { (T::of(1.0), keep) } else { (T::of(0.0), T::of(1.0)) };
                in_one_pass([leaf, momentum], gradient, |[w, b], g: T| {
                    let g = g + l2 * w;
                    let b = keep_now * b + take * g;
                    [w + (of_gradient * g + of_momentum * b) * rate, b]
                })?
            }
            (Optimizer::Adam(_) | Optimizer::AdamW(_), [mean, square]) => {
                let [keep_square, take_square] = [self.keep_square, self.take_square].map(T::of);
                let (correction, epsilon) = (T::of(self.correction.recip()), T::of(self.epsilon));
                in_one_pass([leaf, mean, square], gradient, |[w, m, v], g: T| {
                    let g = g + l2 * w;
                    let m = keep * m + take * g;
                    let v = keep_square * v + take_square * g * g;
                    [w * shrink + m / (v.sqrt() * correction + epsilon) * rate, m, v]
                })?
            }
            _ => false,
        };
        Ok(done)
    }
}
