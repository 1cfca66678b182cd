//! Classifiers that are fitted to a task's queries as well, by what their probabilities say without labels.

use manytask_multitask::{Error, Result};
use manytask_tensor::{Kind, Tensor};

use crate::logits::{not_negative, positive};

/// A support set's features `[T, N, D]` with labels `[T, N, C]`, and `[T, N, 1]` of 1 where they are there.
pub(crate) struct Labelled {
    pub(crate) features: Tensor,
    pub(crate) labels: Tensor,
    pub(crate) there: Tensor,
}

/// `cross_entropy · CE(support) − marginal · H(mean p) + conditional · mean H(p)` of the queries' probabilities p.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Information {
    pub(crate) cross_entropy: f64,
    pub(crate) marginal: f64,
    pub(crate) conditional: f64,
    /// Of the entropies of Tsallis; at 1 they are Shannon's.
    pub(crate) alpha: f64,
}

/// Steps of Adam.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Descent {
    pub(crate) steps: u32,
    pub(crate) learning_rate: f64,
}

impl Information {
    /// Refuses weights below 0.
    pub(crate) fn check(self) -> Result<()> {
        not_negative("cross_entropy", self.cross_entropy)?;
        not_negative("marginal", self.marginal)?;
        not_negative("conditional", self.conditional)
    }

    /// The gradients by the logits `[T, N, C]` of the support set and `[T, M, C]` of the queries.
    pub(crate) fn by_logits(
        self,
        support: &Labelled,
        [of_support, of_queries]: [&Tensor; 2],
    ) -> Result<[Tensor; 2]> {
        let count = sum(&support.there, 1)?.f_clamp_min(1.0)?;
        let p = of_support.f_softmax(-1, None::<Kind>)?;
        let wrong = p.f_sub(&support.labels)?.f_mul(&support.there)?;
        let by_support = wrong.f_div(&count)?.f_mul_scalar(self.cross_entropy)?;
        let p = of_queries.f_softmax(-1, None::<Kind>)?;
        let number = p.size3()?.1.max(1) as f64;
        let mean = sum(&p, 1)?.f_div_scalar(number)?;
        let by_shares = slope(&p, self.alpha)?
            .f_mul_scalar(self.conditional / number)?
            .f_sub(&slope(&mean, self.alpha)?.f_mul_scalar(self.marginal / number)?)?;
        // Through the softmax: p ∘ (g − Σ p g).
        let by_queries = p.f_mul(&by_shares.f_sub(&sum(&p.f_mul(&by_shares)?, -1)?)?)?;
        Ok([by_support, by_queries])
    }
}

impl Descent {
    /// Refuses numbers that are out of range.
    pub(crate) fn check(self) -> Result<()> {
        const MOST: u32 = 100_000;
        if self.steps > MOST {
            let what = format!("steps is {}", self.steps);
            return Err(Error::setting("steps", what, format!("take 0 to {MOST}")));
        }
        positive("learning_rate", self.learning_rate)
    }

    /// Where Adam (Kingma & Ba 2015) gets to from `start` along gradients.
    pub(crate) fn run<const N: usize>(
        self,
        start: [Tensor; N],
        mut gradient: impl FnMut(&[Tensor; N]) -> Result<[Tensor; N]>,
    ) -> Result<[Tensor; N]> {
        const BETAS: (f64, f64) = (0.9, 0.999);
        const EPSILON: f64 = 1e-8;
        let kept = |old: &Tensor, new: &Tensor, beta: f64| {
            old.f_mul_scalar(beta)?.f_add(&new.f_mul_scalar(1.0 - beta)?)
        };
        let mut values = start;
        let mut moments = Vec::with_capacity(N);
        for value in &values {
            moments.push((value.f_zeros_like()?, value.f_zeros_like()?));
        }
        for step in 1..=self.steps {
            let gradients = gradient(&values)?;
            let corrected = |beta: f64| 1.0 - beta.powf(f64::from(step));
            let rate = self.learning_rate / corrected(BETAS.0);
            for ((value, gradient), (mean, square)) in values.iter_mut().zip(&gradients).zip(&mut moments) {
                *mean = kept(mean, gradient, BETAS.0)?;
                *square = kept(square, &gradient.f_square()?, BETAS.1)?;
                let size = square.f_div_scalar(corrected(BETAS.1))?.f_sqrt()?.f_add_scalar(EPSILON)?;
                *value = value.f_sub(&mean.f_div(&size)?.f_mul_scalar(rate)?)?;
            }
        }
        Ok(values)
    }
}

/// The sum over a dimension, which stays with a size of 1.
pub(crate) fn sum(x: &Tensor, dim: i64) -> Result<Tensor> {
    Ok(x.f_sum_dim_intlist([dim].as_slice(), true, x.kind())?)
}

/// `dH/dp` of Shannon's entropy at α = 1, else of Tsallis'.
fn slope(p: &Tensor, alpha: f64) -> Result<Tensor> {
    /// Without it the logarithm of a class without queries is infinite.
    const TINY: f64 = 1e-12;
    if alpha == 1.0 {
        return Ok(p.f_add_scalar(TINY)?.f_log()?.f_neg()?.f_sub_scalar(1.0)?);
    }
    Ok(p.f_pow_tensor_scalar(alpha - 1.0)?.f_mul_scalar(-alpha / (alpha - 1.0))?)
}
