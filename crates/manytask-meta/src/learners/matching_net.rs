use manytask_multitask::Result;
use manytask_nn::Builder;
use manytask_tensor::{Method, Params, Tensor};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::embedding::{classes, normalised, one_hot};
use crate::episode::Support;
use crate::head::{Embedding, Head};
use crate::learner::{Learner, LearnerSpec};
use crate::logits::positive;
use crate::shape::{EpisodeShape, NetworkShape};

/// Matching networks (Vinyals et al. 2016, arXiv:1606.04080) without full-context embeddings: a query attends to the support set,
/// `p(y | q) = Σᵢ a(q, xᵢ) yᵢ` (equation 1) with `a` the softmax over the support set of `scale · cos(f(q), f(xᵢ))` (section 2.1.1).
///
/// Logits are `ln Σ_{i of class c} exp(scale · cos)`, whose softmax over the classes is that sum, computed without underflow.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MatchingNet {
    /// What cosines are multiplied by; 1 in the paper.
    pub scale: f64,
}

impl Default for MatchingNet {
    fn default() -> Self {
        Self { scale: 1.0 }
    }
}

/// What [`MatchingNet`] builds.
#[derive(Debug)]
struct Attention {
    classes: i64,
    scale: f64,
}

/// The support set that queries attend to.
struct Attended {
    /// Embeddings of length 1, `[T, N, D]`.
    embeddings: Tensor,
    /// `[T, 1, N, C]`: 0 where an example is of a class, far below any cosine elsewhere.
    outside: Tensor,
}

/// Added to the logarithm of an attention that does not count.
const NEVER: f64 = -1e9;

impl Method for MatchingNet {
    const NAME: &'static str = "matching_net";
    const SUMMARY: &'static str = "a query attends to the support set by cosines";
    const ABOUT: &'static str = "\
        Vinyals et al. 2016, arXiv:1606.04080, without full-context embeddings: the softmax of `scale` times \
        the cosines, summed over the examples of a class.";
}

impl LearnerSpec for MatchingNet {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn network(&self, shape: &EpisodeShape) -> NetworkShape {
        NetworkShape::embedding(shape)
    }

    fn build(
        &self,
        _b: &mut Builder<'_>,
        backbone: &Backbone<'_>,
        shape: &EpisodeShape,
    ) -> Result<Box<dyn Learner>> {
        positive("scale", self.scale)?;
        backbone.trained(self.name())?;
        Ok(Box::new(Embedding(Attention { classes: classes(self.name(), shape)?, scale: self.scale })))
    }
}

impl Head for Attention {
    type Fitted = Attended;

    fn fit(&self, embeddings: &Tensor, support: &Support<'_>, _params: &Params) -> Result<Attended> {
        let members = one_hot(MatchingNet::NAME, &support.y, self.classes, support.tasks, embeddings.kind())?;
        // 0 where it is 1, NEVER where it is 0.
        let outside = members.f_mul_scalar(-NEVER)?.f_add_scalar(NEVER)?.f_unsqueeze(1)?;
        Ok(Attended { embeddings: normalised(embeddings)?, outside })
    }

    fn predict(
        &self,
        fitted: &Attended,
        queries: &Tensor,
        _support: &Support<'_>,
        _params: &Params,
    ) -> Result<Tensor> {
        let cosines = normalised(queries)?.f_matmul(&fitted.embeddings.f_transpose(1, 2)?)?;
        let attention = cosines.f_mul_scalar(self.scale)?.f_unsqueeze(-1)?.f_add(&fitted.outside)?;
        Ok(attention.f_logsumexp([2_i64].as_slice(), false)?)
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::Kind;

    use super::*;

    #[test]
    fn the_softmax_of_the_logits_is_the_attention_summed_over_a_class() {
        let head = Attention { classes: 2, scale: 3.0 };
        let support = Tensor::from_slice(&[1.0, 0.0, 0.0, 2.0, 3.0, 3.0]).reshape([1, 3, 2]);
        let outside = Tensor::from_slice(&[0.0, NEVER, NEVER, 0.0, 0.0, NEVER]).reshape([1, 1, 3, 2]);
        let query = Tensor::from_slice(&[0.0, 5.0]).reshape([1, 1, 2]);
        let cosines = normalised(&query).unwrap().matmul(&normalised(&support).unwrap().transpose(1, 2));
        let attention = (cosines * head.scale).softmax(-1, Kind::Double);
        let of_first = attention.double_value(&[0, 0, 0]) + attention.double_value(&[0, 0, 2]);
        let fitted = Attended { embeddings: normalised(&support).unwrap(), outside };
        let cosines = normalised(&query).unwrap().matmul(&fitted.embeddings.transpose(1, 2));
        let logits =
            ((cosines * head.scale).unsqueeze(-1) + &fitted.outside).logsumexp([2].as_slice(), false);
        let found = logits.softmax(-1, Kind::Double).double_value(&[0, 0, 0]);
        assert!((found - of_first).abs() < 1e-12, "{found} {of_first}");
    }
}
