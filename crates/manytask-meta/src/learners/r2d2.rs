use manytask_multitask::{Error, Result};
use manytask_nn::Builder;
use manytask_nn::loss::present;
use manytask_nn::metrics::Output;
use manytask_tensor::{Init, Kind, Params, Role, Slot, Tensor};
use serde::{Deserialize, Serialize};

use crate::embedding::{embed, one_hot, with_dimension, without_dimension};
use crate::episode::Support;
use crate::learner::{Learner, LearnerSpec, Predictor};
use crate::model::{Backbone, EpisodeShape, NetworkShape};
use crate::outer::GradientMode;
use crate::prediction::Prediction;

/// R2-D2 (Bertinetto et al. 2019, arXiv:1805.08136): a task's head is the ridge regression of its labels on the network's
/// embeddings, solved exactly, and the meta-gradient goes through the solution.
///
/// With embeddings X `[N, D + 1]`, of which the last column is 1, and labels Y (one-hot of classes) it is
/// `W = (XᵀX + λI)⁻¹ XᵀY` (equation 3), or `W = Xᵀ(XXᵀ + λI)⁻¹Y` (equation 4, by Woodbury's identity) where the support set has no
/// more examples than columns. The column of ones is penalised like the others. Logits are `scale · XW + offset` (equation 6), under
/// cross-entropy; λ (as its logarithm), scale and offset are learned. Regressions are predicted as they are, with λ learned.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct R2d2 {
    /// λ to begin with, above 0.
    pub lambda: f64,
    /// The scale of the logits to begin with.
    pub scale: f64,
    /// The offset of the logits to begin with.
    pub offset: f64,
}

impl Default for R2d2 {
    fn default() -> Self {
        Self { lambda: 1.0, scale: 10.0, offset: 0.0 }
    }
}

/// What [`R2d2`] builds.
#[derive(Debug)]
struct Ridge {
    log_lambda: Slot,
    /// Scale and offset of logits; none of regressions.
    adjust: Option<(Slot, Slot)>,
    /// The number of classes; none of regressions.
    classes: Option<i64>,
}

/// The solution `[T, D + 1, C]`, and the parameters that embed queries.
struct Head<'a> {
    ridge: &'a Ridge,
    support: &'a Support<'a>,
    params: Params,
    weight: Tensor,
}

impl LearnerSpec for R2d2 {
    fn name(&self) -> &'static str {
        "r2d2"
    }

    fn network(&self, shape: &EpisodeShape) -> NetworkShape {
        NetworkShape { input: shape.input.clone(), outputs: None }
    }

    fn build(
        &self,
        b: &mut Builder<'_>,
        _backbone: &Backbone<'_>,
        shape: &EpisodeShape,
    ) -> Result<Box<dyn Learner>> {
        let Self { lambda, scale, offset } = *self;
        if !(lambda as f32 > 0.0 && (lambda as f32).is_finite()) {
            return Err(Error::setting(
                format!("lambda is {lambda}"),
                "it must be above 0 and finite in single precision",
            ));
        }
        if !((scale as f32).is_finite() && (offset as f32).is_finite()) {
            return Err(Error::setting(
                format!("scale and offset are {scale} and {offset}"),
                "take finite numbers",
            ));
        }
        let classes = match shape.output {
            Output::Multiclass => Some(shape.outputs),
            Output::Regression => None,
            Output::Binary | Output::Multilabel => {
                return Err(Error::setting(
                    format!("`r2d2` on {} tasks", shape.output.name()),
                    "take tasks with classes or regressions, or another learner, e.g. `maml`",
                ));
            }
        };
        let mut number = |name: &str, value: f64| b.parameter(name, &[1], Init::Constant(value), Role::Scale);
        let log_lambda = number("log_lambda", lambda.ln())?;
        let adjust = match classes {
            Some(_) => Some((number("scale", scale)?, number("offset", offset)?)),
            None => None,
        };
        Ok(Box::new(Ridge { log_lambda, adjust, classes }))
    }
}

impl Learner for Ridge {
    fn adapt<'a>(
        &'a self,
        support: &'a Support<'a>,
        params: &Params,
        _mode: GradientMode,
    ) -> Result<Box<dyn Predictor + 'a>> {
        let x = with_ones(&embed(support, params, &support.x, 0)?)?;
        let (y, there) = self.labels(support, x.kind())?;
        let lambda = number(params, self.log_lambda)?.f_exp()?;
        // A row of zeros has no part in the solution.
        let weight = solve(&x.f_mul(&there)?, &y, &lambda)?;
        Ok(Box::new(Head { ridge: self, support, params: params.share(), weight }))
    }
}

impl Ridge {
    /// Labels `[T, N, C]`, and `[T, N, 1]` of 1 where they are there.
    fn labels(&self, support: &Support<'_>, kind: Kind) -> Result<(Tensor, Tensor)> {
        if let Some(classes) = self.classes {
            let y = one_hot("r2d2", &support.y, classes, support.tasks, kind)?;
            let there = y.f_sum_dim_intlist([-1_i64].as_slice(), true, kind)?;
            return Ok((y, there));
        }
        let y = with_dimension(&support.y, support.tasks)?;
        let there = present(&y)?.f_all_dim(-1, true)?;
        let y = y.f_where_self(&there, &y.f_zeros_like()?)?;
        Ok((y, there.f_to_kind(kind)?))
    }
}

impl Predictor for Head<'_> {
    fn predict(&self, x: &Tensor) -> Result<Prediction> {
        let x = with_ones(&embed(self.support, &self.params, x, 1)?)?;
        let mut values = x.f_matmul(&self.weight)?;
        if let Some((scale, offset)) = self.ridge.adjust {
            values = values.f_mul(&number(&self.params, scale)?)?.f_add(&number(&self.params, offset)?)?;
        }
        Ok(Prediction::values(without_dimension(&values, self.support.tasks)?))
    }
}

/// A parameter of one number as `[T, 1, 1]`.
fn number(params: &Params, slot: Slot) -> Result<Tensor> {
    Ok(params.get(slot)?.f_reshape([-1, 1, 1])?)
}

/// `[T, N, D]` with a column of ones behind.
fn with_ones(x: &Tensor) -> Result<Tensor> {
    let shape = x.size();
    let rows: Vec<i64> = shape.iter().take(2).copied().chain([1]).collect();
    Ok(Tensor::f_cat(&[x, &Tensor::f_ones(rows, (x.kind(), x.device()))?], -1)?)
}

/// The ridge regression of Y `[T, N, C]` on X `[T, N, D]` with λ `[T, 1, 1]`: `[T, D, C]`, by the smaller of both systems.
fn solve(x: &Tensor, y: &Tensor, lambda: &Tensor) -> Result<Tensor> {
    match x.size().as_slice() {
        [_, rows, columns] if rows <= columns => woodbury(x, y, lambda),
        _ => primal(x, y, lambda),
    }
}

/// `Xᵀ(XXᵀ + λI)⁻¹Y`: a system of as many equations as examples.
fn woodbury(x: &Tensor, y: &Tensor, lambda: &Tensor) -> Result<Tensor> {
    let transposed = x.f_transpose(1, 2)?;
    let system = x.f_matmul(&transposed)?;
    let dual = Tensor::f_linalg_solve(&with_diagonal(&system, lambda)?, y, true)?;
    Ok(transposed.f_matmul(&dual)?)
}

/// `(XᵀX + λI)⁻¹XᵀY`: a system of as many equations as columns.
fn primal(x: &Tensor, y: &Tensor, lambda: &Tensor) -> Result<Tensor> {
    let transposed = x.f_transpose(1, 2)?;
    let system = transposed.f_matmul(x)?;
    Ok(Tensor::f_linalg_solve(&with_diagonal(&system, lambda)?, &transposed.f_matmul(y)?, true)?)
}

/// `A + λI`.
fn with_diagonal(system: &Tensor, lambda: &Tensor) -> Result<Tensor> {
    let size = system.size().last().copied().unwrap_or_default();
    let identity = Tensor::f_eye(size, (system.kind(), system.device()))?;
    Ok(system.f_add(&identity.f_mul(lambda)?)?)
}

#[cfg(test)]
mod tests {
    use manytask_tensor::Device;
    use manytask_tensor::random::Key;

    use super::*;

    fn normal(name: &str, shape: &[i64]) -> Tensor {
        Key::new(1, name).normal(shape, Kind::Double, Device::Cpu).unwrap()
    }

    #[test]
    fn both_forms_are_the_same_solution_and_that_of_the_normal_equations() {
        for (rows, columns) in [(3, 8), (8, 3), (5, 5)] {
            let x = with_ones(&normal("x", &[2, rows, columns])).unwrap();
            let y = normal("y", &[2, rows, 4]);
            let lambda = Tensor::from_slice(&[0.3, 7.0]).reshape([2, 1, 1]);
            let (dual, primal) = (woodbury(&x, &y, &lambda).unwrap(), primal(&x, &y, &lambda).unwrap());
            let gap = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]);
            assert!(gap(&dual, &primal) < 1e-10, "{rows} {columns}");
            // Xᵀ(XW − Y) + λW = 0, the column of ones penalised too.
            let residual = x.transpose(1, 2).matmul(&(x.matmul(&dual) - &y)) + &dual * &lambda;
            assert!(residual.abs().max().double_value(&[]) < 1e-10);
        }
    }
}
