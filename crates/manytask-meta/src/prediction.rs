//! Predictions, and what they are compared with.

use std::f64::consts::TAU;

use manytask_multitask::Result;
use manytask_nn::loss::{Loss, present};
use manytask_tensor::{Kind, Tensor};

/// What a learner's predictions are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Predicts {
    /// Values or logits: judged by the metric of the tasks' outputs.
    Values,
    /// A normal distribution for each number: judged by its log-likelihood.
    Distributions,
}

/// Predictions for examples `[T?, M, …]`.
#[derive(Debug)]
pub struct Prediction {
    /// Values or logits `[T?, M, D]`; of distributions the means.
    pub values: Tensor,
    /// Of distributions the standard deviations, of the form of the means.
    pub deviations: Option<Tensor>,
    /// Of distributions that are mixtures of normal ones: what they are mixed of, in equal shares.
    pub components: Option<Components>,
}

/// Normal distributions of which a mixture is made.
#[derive(Debug)]
pub struct Components {
    /// `[S, T?, M, D]`.
    pub means: Tensor,
    /// Standard deviations, of the form of the means.
    pub deviations: Tensor,
}

impl Prediction {
    /// Values or logits.
    pub fn values(values: Tensor) -> Self {
        Self { values, deviations: None, components: None }
    }

    /// Normal distributions.
    pub fn normal(means: Tensor, deviations: Tensor) -> Self {
        Self { values: means, deviations: Some(deviations), components: None }
    }

    /// Mixtures: values are their means, deviations theirs, `√(mean σ² + mean μ² − (mean μ)²)`.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn mixture(components: Components) -> Result<Self> {
        let mean = |x: &Tensor| x.f_mean_dim([0_i64].as_slice(), false, None::<Kind>);
        let Components { means, deviations } = &components;
        let values = mean(means)?;
        let spread = mean(&means.f_sub(&values)?.f_square()?)?;
        let deviations = mean(&deviations.f_square()?)?.f_add(&spread)?.f_sqrt()?;
        Ok(Self { values, deviations: Some(deviations), components: Some(components) })
    }

    /// The mean loss over the labels that are there, one element or `[T]`: `loss`, or of distributions the negative
    /// log-likelihood of a label.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn losses(&self, loss: &Loss, target: &Tensor, tasks: Option<i64>) -> Result<Tensor> {
        match self.log_likelihood(target, tasks)? {
            Some(likelihood) => Ok(likelihood.f_neg()?),
            None => Ok(loss.mean(&self.values, target, None, tasks)?),
        }
    }

    /// The mean of `ln p(y)` over the labels that are there, one element or `[T]`; `None` of values. Without any label it is 0. Of a mixture
    /// the numbers of an example are together one draw of a component: `ln p = ln mean_s Π N(y; μ_s, σ_s²)`.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn log_likelihood(&self, target: &Tensor, tasks: Option<i64>) -> Result<Option<Tensor>> {
        let Some(deviations) = &self.deviations else { return Ok(None) };
        let there = present(target)?;
        let target = target.f_where_self(&there, &self.values.f_detach()?)?;
        let there = there.f_to_kind(self.values.kind())?;
        let rows = tasks.unwrap_or(1);
        let sum = |x: &Tensor| -> Result<Tensor> {
            Ok(x.f_reshape([rows, -1])?.f_sum_dim_intlist([1_i64].as_slice(), false, x.kind())?)
        };
        let total = match &self.components {
            None => sum(&normal(&target, &self.values, deviations)?.f_mul(&there)?)?,
            Some(Components { means, deviations }) => {
                let count = means.size().first().copied().unwrap_or(1).max(1) as f64;
                let each = normal(&target, means, deviations)?.f_mul(&there)?;
                let each = each.f_sum_dim_intlist([-1_i64].as_slice(), false, each.kind())?;
                sum(&each.f_logsumexp([0_i64].as_slice(), false)?.f_sub_scalar(count.ln())?)?
            }
        };
        let mean = total.f_div(&sum(&there)?.f_clamp_min(1.0)?)?;
        Ok(Some(if tasks.is_some() { mean } else { mean.f_squeeze()? }))
    }
}

/// `ln N(y; μ, σ²)` of each number.
fn normal(target: &Tensor, means: &Tensor, deviations: &Tensor) -> Result<Tensor> {
    let standard = target.f_sub(means)?.f_div(deviations)?;
    Ok(standard.f_square()?.f_mul_scalar(-0.5)?.f_sub(&deviations.f_log()?)?.f_sub_scalar(0.5 * TAU.ln())?)
}

#[cfg(test)]
mod tests {
    use manytask_tensor::Device;
    use manytask_tensor::random::Key;

    use super::*;

    #[test]
    fn a_mixture_has_the_density_and_the_moments_of_its_components() {
        let of = |name: &str| Key::new(1, name).uniform(0.5, 2.0, &[3, 2, 4, 2], Kind::Double, Device::Cpu);
        let (means, deviations) = (of("m").unwrap(), of("d").unwrap());
        let y = Key::new(1, "y").normal(&[2, 4, 2], Kind::Double, Device::Cpu).unwrap();
        let _ = y.get(0).get(1).get(0).fill_(f64::NAN);
        let at = |x: &Tensor, place: [i64; 4]| x.double_value(&place);
        let mut expected = [0.0; 2];
        for task in 0..2_i64 {
            for row in 0..4 {
                let mut density = 0.0;
                for s in 0..3 {
                    let mut product = 1.0;
                    for d in 0..2 {
                        let value = y.double_value(&[task, row, d]);
                        let (m, sd) = (at(&means, [s, task, row, d]), at(&deviations, [s, task, row, d]));
                        if value.is_finite() {
                            product *= (-0.5 * ((value - m) / sd).powi(2)).exp() / (sd * TAU.sqrt());
                        }
                    }
                    density += product / 3.0;
                }
                expected[task as usize] += density.ln() / if task == 0 { 7.0 } else { 8.0 };
            }
        }
        let mean = means.mean_dim([0].as_slice(), false, Kind::Double);
        let second = (means.square() + deviations.square()).mean_dim([0].as_slice(), false, Kind::Double);
        let prediction = Prediction::mixture(Components { means, deviations }).unwrap();
        let found = prediction.log_likelihood(&y, Some(2)).unwrap().unwrap();
        for (task, expected) in expected.into_iter().enumerate() {
            assert!((found.double_value(&[task as i64]) - expected).abs() < 1e-12);
        }
        let variance = prediction.deviations.unwrap().square() + mean.square();
        assert!((variance - second).abs().max().double_value(&[]) < 1e-12);
    }
}
