use manytask_multitask::{Error, Result};
use manytask_nn::loss::present;
use manytask_nn::nets::{Mlp, MlpConfig, Norm};
use manytask_nn::{Builder, Module};
use manytask_tensor::{Method, Params, Tensor, Within as _};
use serde::{Deserialize, Serialize};

use crate::backbone::Backbone;
use crate::embedding::{classes, one_hot, with_dimension, without_dimension};
use crate::episode::{Episode, Support};
use crate::head::{Embedding, Head};
use crate::learner::{Learner, LearnerSpec};
use crate::prediction::Prediction;
use crate::shape::{EpisodeShape, NetworkShape};

/// Relation networks (Sung et al. 2018, arXiv:1711.06025): a learned comparison says how much a query is of a class.
///
/// With embeddings f of the network and a comparison g of the learner's own, the relation of query j to class i is
/// `r = σ(g([Σₖ f(xᵢₖ), f(xⱼ)]))` (equation 1), with the sum over the class' examples; minimised is the mean of `(r − 1[yⱼ = i])²`
/// over all pairs (equation 2). Here f are vectors and g is a perceptron.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RelationNet {
    /// The comparison, to whose hidden layers a last one of one number is added.
    pub comparison: MlpConfig,
}

impl Default for RelationNet {
    fn default() -> Self {
        Self { comparison: MlpConfig { hidden: vec![64, 8], norm: Norm::Layer, ..MlpConfig::default() } }
    }
}

/// What [`RelationNet`] builds: fitted is the sum of each class' embeddings `[T, C, D]`.
#[derive(Debug)]
struct Relation {
    comparison: Mlp,
    classes: i64,
}

impl Method for RelationNet {
    const NAME: &'static str = "relation_net";
    const SUMMARY: &'static str = "a learned comparison of queries with classes";
    const ABOUT: &'static str = "\
        Sung et al. 2018, arXiv:1711.06025: a perceptron says of the sum of a class' embeddings and a \
        query's how much they belong together, trained by squared error against 1 and 0.";
}

impl LearnerSpec for RelationNet {
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
        if self.comparison.output.is_some() {
            return Err(Error::setting(
                ["comparison", "output"],
                "`comparison` has an `output`",
                "leave it out: its last layer has one number",
            ));
        }
        let classes = classes(self.name(), shape)?;
        let features = backbone.feature_count()?;
        let config = MlpConfig { output: Some(1), ..self.comparison.clone() };
        let comparison = Mlp::new(&mut b.scope("comparison"), 2 * features, &config).within("comparison")?;
        Ok(Box::new(Embedding(Relation { comparison, classes })))
    }
}

impl Head for Relation {
    type Fitted = Tensor;

    fn fit(&self, embeddings: &Tensor, support: &Support<'_>, _params: &Params) -> Result<Tensor> {
        let members = one_hot(RelationNet::NAME, &support.y, self.classes, support.tasks, embeddings.kind())?;
        Ok(members.f_transpose(1, 2)?.f_matmul(embeddings)?)
    }

    /// The logits of the relations.
    fn predict(
        &self,
        sums: &Tensor,
        queries: &Tensor,
        support: &Support<'_>,
        params: &Params,
    ) -> Result<Tensor> {
        let (tasks, count, features) = queries.size3()?;
        let shape = [tasks, count, self.classes, features];
        let pairs = Tensor::f_cat(
            &[sums.f_unsqueeze(1)?.f_expand(shape, false)?, queries.f_unsqueeze(2)?.f_expand(shape, false)?],
            -1,
        )?;
        let rows = pairs.f_reshape([tasks, count * self.classes, 2 * features])?;
        let rows = without_dimension(&rows, support.tasks)?;
        let comparison: &dyn Module = &self.comparison;
        let logits = support.forward(comparison, params, &rows, 2)?;
        Ok(logits.f_reshape([tasks, count, self.classes])?)
    }

    fn query_losses(&self, prediction: &Prediction, episode: &Episode<'_>) -> Result<Tensor> {
        let tasks = episode.support.tasks;
        let relations = with_dimension(&prediction.values, tasks)?.f_sigmoid()?;
        let truth = one_hot(RelationNet::NAME, &episode.query_y, self.classes, tasks, relations.kind())?;
        let there = with_dimension(&present(&episode.query_y)?, tasks)?.f_unsqueeze(-1)?;
        let there = there.f_to_kind(relations.kind())?.f_expand_as(&relations)?;
        let sum = |x: &Tensor| x.f_sum_dim_intlist([1_i64, 2].as_slice(), false, x.kind());
        let squares = relations.f_sub(&truth)?.f_square()?.f_mul(&there)?;
        let means = sum(&squares)?.f_div(&sum(&there)?.f_clamp_min(1.0)?)?;
        without_dimension(&means, tasks)
    }
}
