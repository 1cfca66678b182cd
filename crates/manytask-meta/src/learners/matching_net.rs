use manytask_multitask::Result;
use manytask_nn::Builder;
use manytask_tensor::{Method, Params, Tensor};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::embedding::{classes, normalised, one_hot};
use crate::episode::Support;
use crate::full_context::FullContext;
use crate::head::{Embedding, Head};
use crate::learner::{Learner, LearnerSpec};
use crate::logits::positive;
use crate::shape::{EpisodeShape, NetworkShape};

/// Matching networks (Vinyals et al. 2016, arXiv:1606.04080): a query attends to the support set,
/// `p(y | q) = Σᵢ a(q, xᵢ) yᵢ` (equation 1) with `a` the softmax over the support set of `scale · cos(f(q), f(xᵢ))` (section 2.1.1).
///
/// Logits are `ln Σ_{i of class c} exp(scale · cos)`, whose softmax over the classes is that sum, computed without underflow.
///
/// With `context_steps` embeddings are full-context ones (section 2.1.2, appendix A): those of the support set go through a bidirectional
/// LSTM, example by example, and are added to it; a query attends to them so many times, each time by an LSTM that sees the query and
/// what was attended to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MatchingNet {
    /// What cosines are multiplied by; 1 in the paper.
    pub scale: f64,
    /// How often a query attends to the support set before its embedding is compared: full-context embeddings. Left out: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_steps: Option<u32>,
}

impl Default for MatchingNet {
    fn default() -> Self {
        Self { scale: 1.0, context_steps: None }
    }
}

/// What [`MatchingNet`] builds.
#[derive(Debug)]
struct Attention {
    classes: i64,
    scale: f64,
    context: Option<FullContext>,
}

/// The support set that queries attend to.
struct Attended {
    /// Embeddings `[T, N, D]`, with their context where there is one.
    embeddings: Tensor,
    /// `[T, N, 1]`, 1 where an example has a label.
    there: Tensor,
    /// `[T, 1, N, C]`: 0 where an example is of a class, far below any cosine elsewhere.
    outside: Tensor,
}

/// Added to the logarithm of an attention that does not count.
const NEVER: f64 = -1e9;

impl Method for MatchingNet {
    const NAME: &'static str = "matching_net";
    const SUMMARY: &'static str = "a query attends to the support set by cosines";
    const ABOUT: &'static str = "\
        Vinyals et al. 2016, arXiv:1606.04080: the softmax of `scale` times the cosines, summed over the examples of a class. \
        `context_steps = 5` makes embeddings full-context ones: a bidirectional LSTM over the support set, in the order of its examples, and \
        an LSTM by which a query attends to it so many times.";
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
        b: &mut Builder<'_>,
        backbone: &Backbone<'_>,
        shape: &EpisodeShape,
    ) -> Result<Box<dyn Learner>> {
        positive("scale", self.scale)?;
        backbone.trained(self.name())?;
        let context = match self.context_steps {
            Some(steps) => Some(FullContext::new(b, backbone.feature_count()?, steps)?),
            None => None,
        };
        let (classes, scale) = (classes(self.name(), shape)?, self.scale);
        Ok(Box::new(Embedding(Attention { classes, scale, context })))
    }
}

impl Head for Attention {
    type Fitted = Attended;

    fn fit(&self, embeddings: &Tensor, support: &Support<'_>, params: &Params) -> Result<Attended> {
        let members = one_hot(MatchingNet::NAME, &support.y, self.classes, support.tasks, embeddings.kind())?;
        // 0 where it is 1, NEVER where it is 0.
        let outside = members.f_mul_scalar(-NEVER)?.f_add_scalar(NEVER)?.f_unsqueeze(1)?;
        let there = members.f_sum_dim_intlist([-1_i64].as_slice(), true, members.kind())?;
        let embeddings = match &self.context {
            Some(context) => context.of_support(embeddings, &there, params)?,
            None => embeddings.shallow_clone(),
        };
        Ok(Attended { embeddings, there, outside })
    }

    fn predict(
        &self,
        fitted: &Attended,
        queries: &Tensor,
        _support: &Support<'_>,
        params: &Params,
    ) -> Result<Tensor> {
        let Attended { embeddings, there, .. } = fitted;
        let queries = match &self.context {
            Some(context) => context.of_queries(queries, (embeddings, there), params)?,
            None => queries.shallow_clone(),
        };
        let cosines = normalised(&queries)?.f_matmul(&normalised(embeddings)?.f_transpose(1, 2)?)?;
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
        let head = Attention { classes: 2, scale: 3.0, context: None };
        let support = Tensor::from_slice(&[1.0, 0.0, 0.0, 2.0, 3.0, 3.0]).reshape([1, 3, 2]);
        let outside = Tensor::from_slice(&[0.0, NEVER, NEVER, 0.0, 0.0, NEVER]).reshape([1, 1, 3, 2]);
        let query = Tensor::from_slice(&[0.0, 5.0]).reshape([1, 1, 2]);
        let cosines = normalised(&query).unwrap().matmul(&normalised(&support).unwrap().transpose(1, 2));
        let attention = (cosines * head.scale).softmax(-1, Kind::Double);
        let of_first = attention.double_value(&[0, 0, 0]) + attention.double_value(&[0, 0, 2]);
        let cosines = normalised(&query).unwrap().matmul(&normalised(&support).unwrap().transpose(1, 2));
        let logits = ((cosines * head.scale).unsqueeze(-1) + &outside).logsumexp([2].as_slice(), false);
        let found = logits.softmax(-1, Kind::Double).double_value(&[0, 0, 0]);
        assert!((found - of_first).abs() < 1e-12, "{found} {of_first}");
    }
}
