//! Predictions, and what they are compared with.

use std::f64::consts::TAU;

use manytask_multitask::Result;
use manytask_nn::loss::{Loss, present};
use manytask_tensor::Tensor;

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
}

impl Prediction {
    /// Values or logits.
    pub fn values(values: Tensor) -> Self {
        Self { values, deviations: None }
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

    /// The mean of `ln N(y; μ, σ²)` over the labels that are there, one element or `[T]`; `None` of values. Without any
    /// label it is 0.
    ///
    /// # Errors
    /// When shapes do not fit.
    pub fn log_likelihood(&self, target: &Tensor, tasks: Option<i64>) -> Result<Option<Tensor>> {
        let Some(deviations) = &self.deviations else { return Ok(None) };
        let there = present(target)?;
        let target = target.f_where_self(&there, &self.values.f_detach()?)?;
        let standard = target.f_sub(&self.values)?.f_div(deviations)?;
        let each = standard
            .f_square()?
            .f_mul_scalar(-0.5)?
            .f_sub(&deviations.f_log()?)?
            .f_sub_scalar(0.5 * TAU.ln())?;
        let there = there.f_to_kind(each.kind())?;
        let rows = tasks.unwrap_or(1);
        let sum = |x: &Tensor| -> Result<Tensor> {
            Ok(x.f_reshape([rows, -1])?.f_sum_dim_intlist([1_i64].as_slice(), false, x.kind())?)
        };
        let count = sum(&there)?.f_clamp_min(1.0)?;
        let mean = sum(&each.f_mul(&there)?)?.f_div(&count)?;
        Ok(Some(if tasks.is_some() { mean } else { mean.f_squeeze()? }))
    }
}
