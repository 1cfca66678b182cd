//! Linear classifiers of features: by inner products, or by cosines with learned lengths.

use manytask_multitask::Result;
use manytask_tensor::{Kind, Tensor};
use serde::{Deserialize, Serialize};

use crate::embedding::normalised;

/// The form of a classifier of features `[…, N, D]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Classifier {
    /// `x Wᵀ + b`, with parameters W `[…, C, D]` and b `[…, C]`.
    #[default]
    Linear,
    /// `scale · g_c cos(x, v_c)`, with parameters v `[…, C, D]` and g `[…, C]`: weight-normalised class vectors of learned length
    /// and features of length 1 (Chen et al. 2019, arXiv:1904.04232, Baseline++ as in the authors' code).
    Cosine {
        /// Fixed; 2 for up to 200 classes and 10 for more in the authors' code.
        scale: f64,
    },
}

impl Classifier {
    /// Logits `[…, N, C]`.
    pub(crate) fn logits(self, (matrix, vector): (&Tensor, &Tensor), x: &Tensor) -> Result<Tensor> {
        let vector = vector.f_unsqueeze(-2)?;
        Ok(match self {
            Self::Linear => x.f_matmul(&matrix.f_transpose(-2, -1)?)?.f_add(&vector)?,
            Self::Cosine { scale } => {
                let cosines = normalised(x)?.f_matmul(&normalised(matrix)?.f_transpose(-2, -1)?)?;
                cosines.f_mul(&vector)?.f_mul_scalar(scale)?
            }
        })
    }

    /// The gradients of a loss by both parameters, for its gradient `[…, N, C]` by the logits.
    pub(crate) fn backward(
        self,
        (matrix, vector): (&Tensor, &Tensor),
        x: &Tensor,
        by_logits: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let transposed = by_logits.f_transpose(-2, -1)?;
        let sum = |x: &Tensor, dim: i64| x.f_sum_dim_intlist([dim].as_slice(), false, x.kind());
        Ok(match self {
            Self::Linear => (transposed.f_matmul(x)?, sum(by_logits, -2)?),
            Self::Cosine { scale } => {
                // By u = v/‖v‖ it is G = scale · g_c Σ δ x̂; by v it is what of G stands on u, over the length of v.
                let direction = normalised(matrix)?;
                let by_length = transposed.f_matmul(&normalised(x)?)?.f_mul_scalar(scale)?;
                let of_vector = sum(&by_length.f_mul(&direction)?, -1)?;
                let along = direction.f_mul(&of_vector.f_unsqueeze(-1)?)?;
                let length =
                    matrix.f_square()?.f_sum_dim_intlist([-1_i64].as_slice(), true, matrix.kind())?;
                let factor = vector.f_unsqueeze(-1)?.f_div(&length.f_sqrt()?)?;
                (by_length.f_sub(&along)?.f_mul(&factor)?, of_vector)
            }
        })
    }
}

/// The gradient of the mean cross-entropy of logits `[T, N, C]` by them, over the examples that are there, of which `y` `[T, N, C]` has
/// a row with a 1.
pub(crate) fn cross_entropy_gradient(logits: &Tensor, y: &Tensor) -> Result<Tensor> {
    let kind = logits.kind();
    let there = y.f_sum_dim_intlist([-1_i64].as_slice(), true, kind)?;
    let count = there.f_sum_dim_intlist([-2_i64].as_slice(), true, kind)?.f_clamp_min(1.0)?;
    Ok(logits.f_softmax(-1, None::<Kind>)?.f_sub(y)?.f_mul(&there)?.f_div(&count)?)
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Graph, gradients};

    use super::*;

    #[test]
    fn gradients_are_those_of_the_graph() {
        let normal =
            |name, shape: &[i64]| Key::new(3, name).normal(shape, Kind::Double, Device::Cpu).unwrap();
        let (x, y) = (normal("x", &[2, 5, 4]), Tensor::from_slice(&[0_i64, 2, 1, 1, 0]).one_hot(3));
        let y = y.to_kind(Kind::Double).unsqueeze(0).repeat([2, 1, 1]);
        let _ = y.select(1, 4).fill_(0.0);
        for classifier in [Classifier::Linear, Classifier::Cosine { scale: 2.0 }] {
            let leaf = |name, shape: &[i64]| normal(name, shape).set_requires_grad(true);
            let (matrix, vector) = (leaf("v", &[2, 3, 4]), leaf("g", &[2, 3]));
            let logits = classifier.logits((&matrix, &vector), &x).unwrap();
            let loss = -(logits.log_softmax(-1, Kind::Double) * &y).sum(Kind::Double) / 4.0;
            let expected = gradients(&loss, &[&matrix, &vector], Graph::Free).unwrap();
            let by_logits = cross_entropy_gradient(&logits.detach(), &y).unwrap();
            let found = classifier.backward((&matrix.detach(), &vector.detach()), &x, &by_logits).unwrap();
            let gap = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]);
            assert!(gap(&found.0, &expected[0]) < 1e-9, "{classifier:?}");
            assert!(gap(&found.1, &expected[1]) < 1e-9, "{classifier:?}");
        }
    }
}
