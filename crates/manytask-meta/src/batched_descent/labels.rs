//! Labels on a device, with the derivatives of a loss by predictions.

use manytask_nn::Result;
use manytask_nn::dense::PlainLoss;
use manytask_nn::loss::present;
use manytask_tensor::{Kind, Tensor, masked_fill};

/// Labels with the weight of each: the mean over those that are there.
pub(super) struct Labels {
    loss: PlainLoss,
    /// `[T, N, D]`; of classes, ones and zeros.
    values: Tensor,
    /// `[T, N, D]` or `[T, N, 1]`: one over the number of labels of the task, 0 where there is none.
    weights: Tensor,
}

impl Labels {
    pub(super) fn of(loss: PlainLoss, y: &Tensor, outputs: i64, kind: Kind) -> Result<Self> {
        let there = present(y)?;
        let tasks = y.size().first().copied().unwrap_or_default();
        let marks = there.f_to_kind(kind)?;
        let count = marks
            .f_reshape([tasks, -1])?
            .f_sum_dim_intlist([1_i64].as_slice(), true, kind)?
            .f_clamp_min(1.0)?;
        let known = masked_fill(y, &there.f_logical_not()?, 0.0)?;
        let (values, weights) = if loss == PlainLoss::CrossEntropy {
            let numbers = Tensor::f_arange(outputs, (Kind::Int64, y.device()))?.f_reshape([1, 1, -1])?;
            (known.f_unsqueeze(2)?.f_eq_tensor(&numbers)?.f_to_kind(kind)?, marks.f_unsqueeze(2)?)
        } else {
            (known.f_to_kind(kind)?.f_flatten(2, -1)?, marks.f_flatten(2, -1)?)
        };
        Ok(Self { loss, values, weights: weights.f_div(&count.f_unsqueeze(2)?)? })
    }

    /// Each task's mean loss, `[T]`.
    pub(super) fn losses(&self, predictions: &Tensor) -> Result<Tensor> {
        let kind = predictions.kind();
        let each = match self.loss {
            PlainLoss::Mse => predictions.f_sub(&self.values)?.f_square()?,
            PlainLoss::BinaryCrossEntropy => {
                // −ln σ(ŷ) y − ln(1 − σ(ŷ)) (1 − y) = −ln σ(ŷ) + ŷ (1 − y).
                let rest = predictions.f_mul(&self.values.f_neg()?.f_add_scalar(1.0)?)?;
                rest.f_sub(&predictions.f_log_sigmoid()?)?
            }
            PlainLoss::CrossEntropy => predictions.f_log_softmax(-1, kind)?.f_mul(&self.values)?.f_neg()?,
        };
        Ok(each.f_mul(&self.weights)?.f_sum_dim_intlist([1_i64, 2].as_slice(), false, kind)?)
    }

    /// The losses by the predictions.
    pub(super) fn cotangent(&self, predictions: &Tensor) -> Result<Tensor> {
        let means = match self.loss {
            PlainLoss::Mse => {
                let gap = predictions.f_sub(&self.values)?;
                return Ok(gap.f_mul(&self.weights)?.f_mul_scalar(2.0)?);
            }
            PlainLoss::BinaryCrossEntropy => predictions.f_sigmoid()?,
            PlainLoss::CrossEntropy => predictions.f_softmax(-1, predictions.kind())?,
        };
        Ok(means.f_sub(&self.values)?.f_mul(&self.weights)?)
    }

    /// How [`Labels::cotangent`] changes along a change of the predictions.
    pub(super) fn curvature(&self, predictions: &Tensor, along: &Tensor) -> Result<Tensor> {
        let weighted = along.f_mul(&self.weights)?;
        Ok(match self.loss {
            PlainLoss::Mse => weighted.f_mul_scalar(2.0)?,
            PlainLoss::BinaryCrossEntropy => {
                let mean = predictions.f_sigmoid()?;
                weighted.f_mul(&mean.f_sub(&mean.f_square()?)?)?
            }
            PlainLoss::CrossEntropy => {
                let shares = predictions.f_softmax(-1, predictions.kind())?;
                let part = shares.f_mul(&weighted)?;
                let sum = part.f_sum_dim_intlist([-1_i64].as_slice(), true, part.kind())?;
                part.f_sub(&shares.f_mul(&sum)?)?
            }
        })
    }
}
