use manytask_multitask::{Error, Result};
use manytask_nn::Builder;
use manytask_nn::metrics::Output;
use manytask_tensor::{Init, Method, Params, Role, Slot, Tensor, WHOLE};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::embedding::targets;
use crate::episode::Support;
use crate::head::{Embedding, Head};
use crate::learner::{Learner, LearnerSpec};
use crate::logits::{Adjusted, positive};
use crate::ridge::{number, ridge, with_ones};
use crate::shape::{EpisodeShape, NetworkShape};

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

/// What [`R2d2`] builds: fitted is the solution `[T, D + 1, C]`.
#[derive(Debug)]
struct Ridge {
    log_lambda: Slot,
    /// Scale and offset of logits; none of regressions.
    adjusted: Option<Adjusted>,
    /// The number of classes; none of regressions.
    classes: Option<i64>,
}

impl Method for R2d2 {
    const NAME: &'static str = "r2d2";
    const SUMMARY: &'static str = "a head by ridge regression on the embeddings, solved exactly";
    const ABOUT: &'static str = "\
        Bertinetto et al. 2019, arXiv:1805.08136: W = (XᵀX + λI)⁻¹ XᵀY with a column of ones in X, by the \
        smaller of the primal and the dual system; λ, scale and offset of the logits are learned from these \
        starts.";
}

impl LearnerSpec for R2d2 {
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
        let Self { lambda, scale, offset } = *self;
        positive("lambda", lambda)?;
        let classes = match shape.output {
            Output::Multiclass => Some(shape.outputs),
            Output::Regression => None,
            Output::Binary | Output::Multilabel => {
                return Err(Error::setting(
                    WHOLE,
                    format!("`r2d2` on {} tasks", shape.output.name()),
                    "take tasks with classes or regressions, or another learner, e.g. `maml`",
                ));
            }
        };
        let log_lambda = b.parameter("log_lambda", &[1], Init::Constant(lambda.ln()), Role::Scale)?;
        let adjusted = classes.map(|_| Adjusted::new(b, scale, offset)).transpose()?;
        Ok(Box::new(Embedding(Ridge { log_lambda, adjusted, classes })))
    }
}

impl Head for Ridge {
    type Fitted = Tensor;

    fn fit(&self, embeddings: &Tensor, support: &Support<'_>, params: &Params) -> Result<Tensor> {
        let x = with_ones(embeddings)?;
        let (y, there) = targets(R2d2::NAME, support, self.classes, x.kind())?;
        // A row of zeros has no part in the solution.
        ridge(&x.f_mul(&there)?, &y, &number(params, self.log_lambda)?.f_exp()?)
    }

    fn predict(
        &self,
        weight: &Tensor,
        queries: &Tensor,
        _support: &Support<'_>,
        params: &Params,
    ) -> Result<Tensor> {
        let values = with_ones(queries)?.f_matmul(weight)?;
        match &self.adjusted {
            Some(adjusted) => adjusted.apply(&values, params),
            None => Ok(values),
        }
    }
}
