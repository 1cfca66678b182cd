//! Heads that are computed from the embeddings of a support set: what all learners share whose network is an embedding.

mod batched;
mod fused;

use std::fmt::Debug;

use manytask_multitask::Result;
use manytask_nn::Module;
use manytask_nn::fused::{FusedNet, NotFused};
use manytask_tensor::{Layout, Params, Slot, Tensor};

use crate::embedding::{embed, without_dimension};
use crate::episode::{Episode, Support};
use crate::learner::{Learner, Objective, Predictor};
use crate::outer_gradient::GradientMode;
use crate::prediction::Prediction;

/// What is computed from a support set's embeddings, and predicts from those of queries.
///
/// Embeddings have a task dimension always, of 1 where the support set has none. An example without a label has no part in
/// what is fitted.
pub(crate) trait Head: Debug + Send + Sync {
    /// What is computed from a support set.
    type Fitted;

    /// From the support set's embeddings `[T, N, D]`, with the labels of `support`.
    fn fit(&self, embeddings: &Tensor, support: &Support<'_>, params: &Params) -> Result<Self::Fitted>;

    /// Values or logits `[T, M, C]` for the queries' embeddings `[T, M, D]`.
    fn predict(
        &self,
        fitted: &Self::Fitted,
        queries: &Tensor,
        support: &Support<'_>,
        params: &Params,
    ) -> Result<Tensor>;

    /// What is added to the losses in training, by name and `[T]`, beside the losses of queries; of both sets' embeddings `[T, N, D]` and
    /// `[T, M, D]`.
    fn penalty(
        &self,
        _fitted: &Self::Fitted,
        _embeddings: [&Tensor; 2],
        _episode: &Episode<'_>,
        _params: &Params,
    ) -> Result<Option<(&'static str, Tensor)>> {
        Ok(None)
    }

    /// As [`Learner::base_mean`].
    fn base_mean(&self) -> Option<Slot> {
        None
    }

    /// As [`Learner::is_transductive`].
    fn is_transductive(&self) -> bool {
        false
    }

    /// The losses of queries as [`Learner::query_losses`] gives them.
    fn query_losses(&self, prediction: &Prediction, episode: &Episode<'_>) -> Result<Tensor> {
        prediction.losses(episode.support.loss, &episode.query_y, episode.support.tasks)
    }
}

/// A network that embeds examples, with a head on it.
#[derive(Debug)]
pub(crate) struct Embedding<H>(pub(crate) H);

/// A head that was fitted to a support set, and the parameters that embed queries.
struct Fitted<'a, H: Head> {
    head: &'a H,
    support: &'a Support<'a>,
    params: Params,
    head_of_task: H::Fitted,
}

impl<H: Head> Embedding<H> {
    fn fitted<'a>(&'a self, support: &'a Support<'a>, params: &Params) -> Result<Fitted<'a, H>> {
        let embeddings = embed(support, params, &support.x, 0)?;
        let fitted = self.0.fit(&embeddings, support, params)?;
        Ok(Fitted { head: &self.0, support, params: params.share(), head_of_task: fitted })
    }
}

impl<H: Head> Learner for Embedding<H> {
    fn adapt<'a>(
        &'a self,
        support: &'a Support<'a>,
        params: &Params,
        _mode: GradientMode,
    ) -> Result<Box<dyn Predictor + 'a>> {
        Ok(Box::new(self.fitted(support, params)?))
    }

    fn objective(&self, episode: &Episode<'_>, params: &Params, _mode: GradientMode) -> Result<Objective> {
        let support = embed(&episode.support, params, &episode.support.x, 0)?;
        let queries = embed(&episode.support, params, &episode.query_x, 1)?;
        objective_of(&self.0, episode, params, [&support, &queries])
    }

    fn query_losses(&self, prediction: &Prediction, episode: &Episode<'_>) -> Result<Tensor> {
        self.0.query_losses(prediction, episode)
    }

    fn fused(&self, network: &dyn Module, layout: &Layout) -> std::result::Result<(), NotFused> {
        FusedNet::compile(network, layout).map(drop)
    }

    fn gradient(&self, episode: &Episode<'_>, params: &Params) -> Result<Option<(Objective, Params)>> {
        match episode.support.tasks {
            Some(_) => batched::gradient(&self.0, episode, params),
            None => fused::gradient(&self.0, episode, params),
        }
    }

    fn embeds(&self) -> bool {
        true
    }

    fn base_mean(&self) -> Option<Slot> {
        self.0.base_mean()
    }

    fn is_transductive(&self) -> bool {
        self.0.is_transductive()
    }
}

impl<H: Head> Predictor for Fitted<'_, H> {
    fn predict(&self, x: &Tensor) -> Result<Prediction> {
        let queries = embed(self.support, &self.params, x, 1)?;
        let values = self.head.predict(&self.head_of_task, &queries, self.support, &self.params)?;
        Ok(Prediction::values(without_dimension(&values, self.support.tasks)?))
    }
}

/// The objective of embeddings `[T, N, D]` and `[T, M, D]`.
fn objective_of<H: Head>(
    head: &H,
    episode: &Episode<'_>,
    params: &Params,
    [support, query]: [&Tensor; 2],
) -> Result<Objective> {
    let tasks = episode.support.tasks;
    let fitted = head.fit(support, &episode.support, params)?;
    let logits = head.predict(&fitted, query, &episode.support, params)?;
    let prediction = Prediction::values(without_dimension(&logits, tasks)?);
    let penalty = head.penalty(&fitted, [support, query], episode, params)?;
    penalised(head.query_losses(&prediction, episode)?, penalty, tasks)
}

/// The parameters of a learner's own.
fn own_slots(params: &Params) -> Vec<Slot> {
    params.layout().select(|entry| entry.role.is_trained() && entry.name.starts_with("learner."))
}

/// Losses with what is added to them, `[T]` with T = 1 where there is no task dimension.
fn penalised(
    losses: Tensor,
    penalty: Option<(&'static str, Tensor)>,
    tasks: Option<i64>,
) -> Result<Objective> {
    let Some((name, penalty)) = penalty else { return Ok(Objective::new(losses)) };
    let penalty = without_dimension(&penalty, tasks)?;
    Ok(Objective { losses: losses.f_add(&penalty)?, terms: vec![(name, penalty)] })
}
