//! Trained learners at work: labelled examples of a new task, and queries without labels.

use std::sync::Arc;

use manytask_data::Episodes;
use manytask_multitask::Result;
use manytask_nn::loss::Loss;
use manytask_nn::metrics::Output;
use manytask_tensor::{Kind, Layout, Params, Tensor, no_grad};

use crate::backbone::normalises;
use crate::episode::BatchNormStatistics;
use crate::model::MetaModel;
use crate::outer_gradient::GradientMode;
use crate::prediction::Prediction;
use crate::query_objective::QueryObjective;

/// A trained learner, for tasks whose queries nobody has labelled.
#[derive(Debug)]
pub struct Adapter {
    objective: QueryObjective,
    layout: Arc<Layout>,
}

impl Adapter {
    /// Of a model, whose learner adapts by `loss` where it adapts by steps.
    pub fn new(model: MetaModel, loss: Loss, batch_norm: BatchNormStatistics) -> Self {
        let MetaModel { layout, network, learner, shape, .. } = model;
        Self { objective: QueryObjective::new(network, learner, shape.output, loss, batch_norm), layout }
    }

    /// The parameters that it takes.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// What makes a prediction depend on the queries that are asked for with it, where something does.
    pub fn transduction(&self) -> Option<&'static str> {
        if self.objective.learner.is_transductive() {
            return Some("the learner looks at all queries together");
        }
        let normalised = normalises(&self.layout) && !self.objective.has_running_statistics();
        normalised.then_some("batch-norm normalises all queries together")
    }

    /// Values or logits `[M, C]` for queries `[M, …]` after adapting to examples `[N, …]` with labels `[N]` int64, or `[N, D]`, by so many
    /// steps; by those of the training where that is left out.
    ///
    /// Queries go through the network some hundreds at a time, all together where a prediction depends on the others, see [`Adapter::transduction`].
    ///
    /// # Errors
    /// When shapes do not fit, or memory runs out.
    pub fn predict(
        &self,
        params: &Params,
        (support_x, support_y): (&Tensor, &Tensor),
        queries: &Tensor,
        steps: Option<u32>,
    ) -> Result<Prediction> {
        const TOGETHER: i64 = 256;
        let none = queries.f_narrow(0, 0, 0)?;
        let episodes = Episodes {
            support_x: support_x.shallow_clone(),
            support_y: support_y.shallow_clone(),
            query_y: none.f_to_kind(Kind::Int64)?,
            query_x: none,
        };
        let (params, learner) = (params.detach()?, &self.objective.learner);
        let episode = self.objective.episode(&episodes, None, None);
        let mut predictor = learner.adapt(&episode.support, &params, GradientMode::Off)?;
        for _ in 0..learner.steps().map_or(0, |own| steps.unwrap_or(own)) {
            predictor.advance()?;
        }
        let _off = no_grad();
        let count = queries.size().first().copied().unwrap_or_default();
        let together = if self.transduction().is_some() { count.max(1) } else { TOGETHER };
        let (mut values, mut deviations) = (Vec::new(), Vec::new());
        for start in (0..count).step_by(together as usize) {
            let prediction =
                predictor.predict(&queries.f_narrow(0, start, together.min(count - start))?)?;
            values.push(prediction.values);
            deviations.extend(prediction.deviations);
        }
        let values = Tensor::f_cat(&values, 0)?;
        Ok(if deviations.is_empty() {
            Prediction::values(values)
        } else {
            Prediction::normal(values, Tensor::f_cat(&deviations, 0)?)
        })
    }

    /// Whether it needs something of the examples of the training classes that is no parameter: their mean embedding.
    pub fn sees_training_classes(&self) -> bool {
        self.objective.learner.base_mean().is_some()
    }

    /// What its predictions mean.
    pub fn output(&self) -> Output {
        self.objective.output
    }
}
