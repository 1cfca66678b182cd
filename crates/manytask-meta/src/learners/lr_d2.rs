use manytask_multitask::{Error, Result};
use manytask_nn::Builder;
use manytask_tensor::{Init, Method, Params, Role, Slot, Tensor, solve_linear};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::embedding::{classes, targets};
use crate::episode::Support;
use crate::head::{Embedding, Head};
use crate::learner::{Learner, LearnerSpec};
use crate::logits::{Adjusted, positive};
use crate::ridge::{number, with_diagonal, with_ones};
use crate::shape::{EpisodeShape, NetworkShape};

/// LR-D2 (Bertinetto et al. 2019, arXiv:1805.08136, section 3.3): a task's head is a logistic regression of each class against the
/// others, by some steps of Newton's method (iteratively reweighted least squares), which the meta-gradient goes through.
///
/// With embeddings X `[N, D + 1]`, of which the last column is 1, `w = Xᵀ v` minimises `Σ −ln σ(±xᵢ·w) + λ/2 ‖w‖²`; with
/// `f = XXᵀ v`, `μ = σ(f)` and `S = diag(μ(1 − μ))` a step solves `(S XXᵀ + λI) v = S f + y − μ`: equation 7 after Woodbury's
/// identity, without its division by S, which may be 0. Logits are `scale · Xw + offset`; λ (as its logarithm), scale and
/// offset are learned.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LrD2 {
    /// Steps of Newton's method; 10 in the authors' code.
    pub newton_steps: u32,
    /// λ to begin with, above 0.
    pub lambda: f64,
    /// The scale of the logits to begin with.
    pub scale: f64,
    /// The offset of the logits to begin with.
    pub offset: f64,
}

impl Default for LrD2 {
    fn default() -> Self {
        Self { newton_steps: 10, lambda: 1.0, scale: 1.0, offset: 0.0 }
    }
}

/// What [`LrD2`] builds: fitted are the weights `[T, D + 1, C]`.
#[derive(Debug)]
struct Logistic {
    classes: i64,
    steps: u32,
    log_lambda: Slot,
    adjusted: Adjusted,
}

impl Method for LrD2 {
    const NAME: &'static str = "lr_d2";
    const SUMMARY: &'static str = "a head by logistic regression of each class against the others";
    const ABOUT: &'static str = "\
        Bertinetto et al. 2019, arXiv:1805.08136, section 3.3: `newton_steps` steps of iteratively \
        reweighted least squares with a column of ones; λ, scale and offset of the logits are learned from \
        these starts.";
}

impl LearnerSpec for LrD2 {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn network(&self, shape: &EpisodeShape) -> NetworkShape {
        NetworkShape::embedding(shape)
    }

    fn build(
        &self,
        b: &mut Builder<'_>,
        _backbone: &Backbone<'_>,
        shape: &EpisodeShape,
    ) -> Result<Box<dyn Learner>> {
        /// Where Newton's method has long ended.
        const MOST: u32 = 100;
        if !(1..=MOST).contains(&self.newton_steps) {
            let what = format!("newton_steps is {}", self.newton_steps);
            return Err(Error::setting("newton_steps", what, format!("take 1 to {MOST}")));
        }
        positive("lambda", self.lambda)?;
        let classes = classes(self.name(), shape)?;
        let log_lambda = b.parameter("log_lambda", &[1], Init::Constant(self.lambda.ln()), Role::Scale)?;
        let adjusted = Adjusted::new(b, self.scale, self.offset)?;
        Ok(Box::new(Embedding(Logistic { classes, steps: self.newton_steps, log_lambda, adjusted })))
    }
}

impl Head for Logistic {
    type Fitted = Tensor;

    fn fit(&self, embeddings: &Tensor, support: &Support<'_>, params: &Params) -> Result<Tensor> {
        let x = with_ones(embeddings)?;
        let (y, there) = targets(LrD2::NAME, support, Some(self.classes), x.kind())?;
        newton(&x.f_mul(&there)?, &y, &number(params, self.log_lambda)?.f_exp()?, self.steps)
    }

    fn predict(
        &self,
        weight: &Tensor,
        queries: &Tensor,
        _support: &Support<'_>,
        params: &Params,
    ) -> Result<Tensor> {
        self.adjusted.apply(&with_ones(queries)?.f_matmul(weight)?, params)
    }
}

/// The logistic regressions `[T, D, C]` of labels `[T, N, C]` of 0 and 1 on X `[T, N, D]` with λ `[T, 1, 1]`.
fn newton(x: &Tensor, y: &Tensor, lambda: &Tensor, steps: u32) -> Result<Tensor> {
    let transposed = x.f_transpose(1, 2)?;
    // A system for each task and class, [T, C, N, N].
    let kernel = x.f_matmul(&transposed)?.f_unsqueeze(1)?;
    let y = y.f_transpose(1, 2)?.f_unsqueeze(-1)?;
    let lambda = lambda.f_unsqueeze(-1)?;
    let mut dual = y.f_zeros_like()?;
    for _ in 0..steps {
        let f = kernel.f_matmul(&dual)?;
        let mean = f.f_sigmoid()?;
        let curvature = mean.f_sub(&mean.f_square()?)?;
        let system = with_diagonal(&kernel.f_mul(&curvature)?, &lambda)?;
        let right = curvature.f_mul(&f)?.f_add(&y)?.f_sub(&mean)?;
        dual = solve_linear(&system, &right)?;
    }
    Ok(transposed.f_matmul(&dual.f_squeeze_dim(-1)?.f_transpose(1, 2)?)?)
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Kind};

    use super::*;

    #[test]
    fn the_solution_has_no_gradient_of_the_penalised_likelihood() {
        let normal =
            |name, shape: &[i64]| Key::new(1, name).normal(shape, Kind::Double, Device::Cpu).unwrap();
        for (rows, columns) in [(4, 9), (12, 3)] {
            let x = with_ones(&normal("x", &[2, rows, columns])).unwrap();
            let y = normal("y", &[2, rows, 3]).gt(0.0).to_kind(Kind::Double);
            let lambda = Tensor::from_slice(&[0.1, 2.0]).reshape([2, 1, 1]);
            let weight = newton(&x, &y, &lambda, 10).unwrap();
            let slope = x.transpose(1, 2).matmul(&(x.matmul(&weight).sigmoid() - &y)) + &weight * &lambda;
            assert!(slope.abs().max().double_value(&[]) < 1e-9, "{rows} {columns}");
            let short = newton(&x, &y, &lambda, 1).unwrap();
            assert!((short - weight).abs().max().double_value(&[]) > 1e-3);
        }
    }
}
