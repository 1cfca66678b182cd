use manytask_multitask::Result;
use manytask_nn::Builder;
use manytask_nn::metrics::Output;
use manytask_tensor::{Kind, Method, Params, Slot, Tensor, no_grad};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::embedding::targets;
use crate::episode::Support;
use crate::features::{FeatureTransform, Transform};
use crate::head::{Embedding, Head};
use crate::learner::{Learner, LearnerSpec, LearnsFrom};
use crate::logistic::Span;
use crate::logits::positive;
use crate::ridge::ridge;
use crate::shape::{EpisodeShape, NetworkShape};

/// Ridge regression on vectors of a network that stays as it is, of classes (as 0 and 1) or of numbers.
///
/// Features and labels are centred by their means over a task's support set, so the offset is not penalised; then
/// `argmin ‖XW − Y‖² + λ‖W‖²`. Where λ is left out, each task takes the one that makes its labels most probable: as a Bayesian linear
/// regression, `y ~ N(0, σ² (I + XXᵀ/λ))` with the most probable σ² (`MacKay` 1992), in closed form by the eigenvalues of `XXᵀ`. No example is
/// held out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RidgeRegression {
    /// What is done to features.
    pub transform: FeatureTransform,
    /// λ, above 0. Left out: chosen for each task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lambda: Option<f64>,
    /// What the regressions of classes are multiplied by to be logits.
    pub scale: f64,
}

impl Default for RidgeRegression {
    fn default() -> Self {
        Self { transform: FeatureTransform::None, lambda: None, scale: 10.0 }
    }
}

/// What [`RidgeRegression`] builds.
#[derive(Debug)]
struct Ridge {
    classes: Option<i64>,
    transform: Transform,
    lambda: Option<f64>,
    scale: f64,
}

/// A regression of each task: weights `[T, D, C]` between the means `[T, 1, D]` and `[T, 1, C]`.
struct Line {
    weights: Tensor,
    of_features: Tensor,
    of_labels: Tensor,
}

impl Method for RidgeRegression {
    const NAME: &'static str = "ridge";
    const SUMMARY: &'static str =
        "ridge regression on given vectors, of classes or numbers, λ chosen by the support set";
    const ABOUT: &'static str = "\
        For vectors of an encoder that stays as it is, or of a network that [pretraining] alone trains. Left out, `lambda` is for each \
        task the one of 10⁻⁴ to 10⁶ which makes its support labels most probable (MacKay's evidence), for which no example is held out. \
        On vectors as they are take network.kind = \"identity\" and training.steps = 0. `scale` multiplies the regressions of classes.";
}

impl LearnerSpec for RidgeRegression {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn network(&self, shape: &EpisodeShape) -> NetworkShape {
        NetworkShape::embedding(shape)
    }

    fn learns_from(&self) -> LearnsFrom {
        LearnsFrom::BaseClasses
    }

    fn build(
        &self,
        b: &mut Builder<'_>,
        backbone: &Backbone<'_>,
        shape: &EpisodeShape,
    ) -> Result<Box<dyn Learner>> {
        positive("scale", self.scale)?;
        if let Some(lambda) = self.lambda {
            positive("lambda", lambda)?;
        }
        let classes = match shape.output {
            Output::Multiclass => Some(shape.outputs),
            Output::Regression | Output::Binary | Output::Multilabel => None,
        };
        let transform = self.transform.build(b, backbone)?;
        let scale = if shape.output == Output::Regression { 1.0 } else { self.scale };
        Ok(Box::new(Embedding(Ridge { classes, transform, lambda: self.lambda, scale })))
    }
}

impl Head for Ridge {
    type Fitted = Line;

    fn fit(&self, embeddings: &Tensor, support: &Support<'_>, params: &Params) -> Result<Line> {
        let _off = no_grad();
        let x = self.transform.apply(&embeddings.f_detach()?, params)?.f_to_kind(Kind::Double)?;
        let (y, there) = targets(RidgeRegression::NAME, support, self.classes, Kind::Double)?;
        let count = there.f_sum_dim_intlist([1_i64].as_slice(), true, Kind::Double)?.f_clamp_min(1.0)?;
        let mean = |x: &Tensor| -> Result<Tensor> {
            Ok(x.f_mul(&there)?.f_sum_dim_intlist([1_i64].as_slice(), true, Kind::Double)?.f_div(&count)?)
        };
        let (of_features, of_labels) = (mean(&x)?, mean(&y)?);
        let x = x.f_sub(&of_features)?.f_mul(&there)?;
        let y = y.f_sub(&of_labels)?.f_mul(&there)?;
        let weights = match self.lambda {
            Some(lambda) => ridge(&x, &y, &Tensor::f_full([1, 1, 1], lambda, (Kind::Double, x.device()))?)?,
            None => most_probable(&x, &y, &count)?,
        };
        let kind = embeddings.kind();
        Ok(Line {
            weights: weights.f_to_kind(kind)?,
            of_features: of_features.f_to_kind(kind)?,
            of_labels: of_labels.f_to_kind(kind)?,
        })
    }

    fn predict(
        &self,
        line: &Line,
        queries: &Tensor,
        _support: &Support<'_>,
        params: &Params,
    ) -> Result<Tensor> {
        let queries = self.transform.apply(queries, params)?.f_sub(&line.of_features)?;
        Ok(queries.f_matmul(&line.weights)?.f_add(&line.of_labels)?.f_mul_scalar(self.scale)?)
    }

    fn base_mean(&self) -> Option<Slot> {
        self.transform.base_mean()
    }
}

/// The weights with the λ of each task under which its centred labels, of `count` `[T, 1, 1]` examples, are most probable.
fn most_probable(x: &Tensor, y: &Tensor, count: &Tensor) -> Result<Tensor> {
    let span = Span::of(x)?;
    let (tasks, _, outputs) = y.size3()?;
    // With X = U S Vᵀ: what of Y is along each direction, and the part of Y outside of them, which λ does not change.
    let products = span.rows.f_transpose(1, 2)?.f_matmul(y)?;
    // One number was lost to the mean.
    let free = count.f_reshape([-1])?.f_sub_scalar(1.0)?.f_clamp_min(1.0)?.f_mul_scalar(outputs as f64)?;
    let sum = |x: &Tensor, dims: &[i64]| x.f_sum_dim_intlist(dims, false, x.kind());
    let whole = sum(&y.f_square()?, &[1, 2])?;
    let mut best: Option<(Tensor, Tensor)> = None;
    for lambda in LAMBDAS.map(|power| 10_f64.powf(power)) {
        let weights = ridge(&span.rows, y, &Tensor::f_full([1, 1, 1], lambda, (y.kind(), y.device()))?)?;
        // yᵀ(I + XXᵀ/λ)⁻¹y = yᵀy − yᵀXW.
        let rest = whole.f_sub(&sum(&products.f_mul(&weights)?, &[1, 2])?)?.f_clamp_min(TINY)?;
        let volume = sum(&span.eigenvalues.f_div_scalar(lambda)?.f_log1p()?, &[-1])?;
        let evidence =
            rest.f_div(&free)?.f_log()?.f_mul(&free)?.f_add(&volume.f_mul_scalar(outputs as f64)?)?;
        best = Some(match best.take() {
            None => (evidence, weights),
            Some((least, kept)) => {
                let better = evidence.f_lt_tensor(&least)?;
                let rows = better.f_reshape([tasks, 1, 1])?;
                (evidence.f_where_self(&better, &least)?, weights.f_where_self(&rows, &kept)?)
            }
        });
    }
    match best {
        Some((_, weights)) => span.weights(&weights),
        None => span.weights(&products.f_zeros_like()?),
    }
}

/// A variance below this is none.
const TINY: f64 = 1e-12;
/// The logarithms, of base 10, of what λ is chosen from.
const LAMBDAS: [f64; 21] = [
    -4.0, -3.5, -3.0, -2.5, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0,
    5.5, 6.0,
];

#[cfg(test)]
mod tests {
    use manytask_tensor::Device;
    use manytask_tensor::random::Key;

    use super::*;

    const ON: (Kind, Device) = (Kind::Double, Device::Cpu);

    fn normal(name: &str, shape: &[i64]) -> Tensor {
        Key::new(1, name).normal(shape, ON.0, ON.1).unwrap()
    }

    /// ln N(y; 0, σ² (I + XXᵀ/λ)) of centred labels with the most probable σ², up to what λ does not change.
    fn evidence(x: &Tensor, y: &Tensor, lambda: f64) -> f64 {
        let count = x.size()[0];
        let covariance = Tensor::eye(count, ON) + x.matmul(&x.tr()) / lambda;
        let rest = y.tr().matmul(&covariance.inverse()).matmul(y).double_value(&[0, 0]);
        let free = (count - 1) as f64;
        -0.5 * (free * (rest / free).ln() + covariance.logdet().double_value(&[]))
    }

    #[test]
    fn lambda_is_the_most_probable_one_of_the_grid() {
        for (name, width, noise) in [("clear", 3, 0.01), ("noisy", 3, 2.0), ("wide", 12, 0.3)] {
            let x = normal(name, &[7, width]);
            let y = x.matmul(&normal("w", &[width, 1])) + normal("noise", &[7, 1]) * noise;
            let centred = |x: &Tensor| x - x.mean_dim([0].as_slice(), true, ON.0);
            let (x, y) = (centred(&x), centred(&y));
            let all = LAMBDAS.map(|power| 10_f64.powf(power));
            let best = all.into_iter().max_by(|a, b| evidence(&x, &y, *a).total_cmp(&evidence(&x, &y, *b)));
            let eye = Tensor::eye(width, ON) * best.unwrap();
            let expected = (x.tr().matmul(&x) + eye).inverse().matmul(&x.tr()).matmul(&y);
            let count = Tensor::from_slice(&[7.0]).reshape([1, 1, 1]);
            let found = most_probable(&x.unsqueeze(0), &y.unsqueeze(0), &count).unwrap().get(0);
            assert!((found - expected).abs().max().double_value(&[]) < 1e-8, "{name}");
        }
    }
}
