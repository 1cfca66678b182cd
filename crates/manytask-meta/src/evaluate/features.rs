//! Embeddings of whole splits, each image once: for evaluations of learners that adapt no network.

use manytask_data::{ClassPool, EpisodeSpec, Episodes};
use manytask_multitask::{Error, Result, Split};
use manytask_nn::layers::Sequential;
use manytask_nn::{BatchNormPolicy, Context, Module};
use manytask_tensor::{Kind, Params, Tensor, WHOLE, no_grad};

use super::trace::{Trace, trace};
use crate::episodes::purpose;
use crate::problem::MetaProblem;

/// Images that go through the network at once.
const IMAGES: i64 = 256;

/// The embeddings of all images of a split, with the tasks that are drawn from them.
pub(super) struct Features<'p> {
    pool: &'p ClassPool,
    spec: EpisodeSpec,
    /// `[M, D]`, image by image.
    values: Tensor,
    /// What stands for the network.
    identity: Sequential,
}

impl<'p> Features<'p> {
    /// Those of a split; `None` where an embedding depends on the task that it is in, or tasks hold fewer images than the split.
    pub(super) fn of(problem: &'p MetaProblem, params: &Params, split: Split) -> Result<Option<Self>> {
        if !problem.objective.learner.embeds() || !problem.embeds_one_by_one() {
            return Ok(None);
        }
        let Ok((pool, spec)) = problem.class_pool(split) else { return Ok(None) };
        let queries = problem.settings.evaluation_queries.unwrap_or(spec.queries);
        let spec = EpisodeSpec { queries, ..spec };
        let each = spec.ways.saturating_mul(spec.shots.saturating_add(queries));
        if each.saturating_mul(problem.settings.evaluation_tasks) < pool.len() {
            return Ok(None);
        }
        let mut all = Vec::new();
        embed_all(problem, params, pool, |features| {
            all.push(features);
            Ok(())
        })?;
        let values = Tensor::f_cat(&all, 0)?;
        Ok(Some(Self { pool, spec, values, identity: Sequential(Vec::new()) }))
    }

    /// How many tasks are judged at once: as many as make some million numbers.
    pub(super) fn tasks_at_once(&self) -> u64 {
        const NUMBERS: usize = 1 << 23;
        let width = self.values.size().last().copied().unwrap_or(1).max(1) as usize;
        let each = self.spec.ways * self.spec.ways * (self.spec.shots + self.spec.queries);
        (NUMBERS / each.saturating_mul(width).max(1)).clamp(1, 256) as u64
    }

    /// The trace of the tasks with these numbers.
    pub(super) fn chunk(
        &self,
        problem: &MetaProblem,
        params: &Params,
        split: Split,
        ids: std::ops::Range<u64>,
    ) -> Result<Trace> {
        let tasks = (ids.end - ids.start) as i64;
        let (seed, ids) = problem.evaluation_ids(ids);
        let drawn = self.pool.draw(self.spec, seed, purpose(split), ids)?;
        let rows = |rows: &[i64]| -> Result<Tensor> {
            let rows = Tensor::f_from_slice(rows)?.f_to_device(self.values.device())?;
            let width = self.values.size().last().copied().unwrap_or_default();
            Ok(self.values.f_index_select(0, &rows)?.f_reshape([tasks, -1, width])?)
        };
        let (support_y, query_y) = self.pool.labels_of(self.spec, tasks)?;
        let episodes =
            Episodes { support_x: rows(&drawn.support)?, support_y, query_x: rows(&drawn.query)?, query_y };
        let episode = problem.objective.episode_on(&self.identity, &episodes, Some(tasks), None);
        trace(&problem.objective, &params.expand_tasks(tasks)?, &episode, problem.settings.evaluation_steps)
    }
}

/// The parameters with what their learner has of the training classes: the mean embedding of all their examples.
///
/// # Errors
/// When the learner needs it and tasks are not drawn from classes, or memory runs out.
pub(crate) fn with_base_mean(problem: &MetaProblem, params: &Params) -> Result<Params> {
    let mut params = params.detach()?;
    let Some(slot) = problem.objective.learner.base_mean() else { return Ok(params) };
    let (pool, _) = problem.class_pool(Split::Train)?;
    let mut sum: Option<Tensor> = None;
    embed_all(problem, &params, pool, |features| {
        let of_chunk = features.f_sum_dim_intlist([0_i64].as_slice(), false, Kind::Double)?;
        sum = Some(match sum.take() {
            None => of_chunk,
            Some(sum) => sum.f_add(&of_chunk)?,
        });
        Ok(())
    })?;
    if let Some(sum) = sum {
        let mean = sum.f_div_scalar(pool.len().max(1) as f64)?.f_to_kind(params.kind())?;
        params.put(slot, mean)?;
    }
    Ok(params)
}

/// Hands on the embeddings `[B, D]` of all images of a pool, some at a time.
fn embed_all(
    problem: &MetaProblem,
    params: &Params,
    pool: &ClassPool,
    mut take: impl FnMut(Tensor) -> Result<()>,
) -> Result<()> {
    let _off = no_grad();
    let network: &dyn Module = problem.objective.network();
    let count = pool.len() as i64;
    for start in (0..count).step_by(IMAGES as usize) {
        let images = pool.examples(start..(start + IMAGES).min(count))?.f_to_kind(params.kind())?;
        let mut context = Context::eval().with_batch_norm(BatchNormPolicy::Running);
        let features = network.forward(params, &images, &mut context)?;
        if features.dim() < 2 {
            return Err(Error::setting(
                WHOLE,
                format!("an embedding of shape {:?}", features.size()),
                "give a network with outputs [N, D]",
            ));
        }
        take(features.f_flatten(1, -1)?)?;
    }
    Ok(())
}
