//! Tasks, a network and a learner put together.

use std::sync::{Arc, Mutex, PoisonError};

use manytask_data::{ClassPool, EpisodeSpec, Episodes};
use manytask_multitask::{Draw, Error, Result, Split};
use manytask_nn::Module;
use manytask_nn::fused::NotFused;
use manytask_nn::loss::Loss;
use manytask_tensor::capture::Recorder;
use manytask_tensor::{Layout, Params, Role, Slot, WHOLE};

use crate::analytic::Analytic;
use crate::backbone::normalises;
use crate::batched_descent::BatchedDescent;
use crate::episode::BatchNormStatistics;
use crate::episodes::EpisodeSource;
use crate::execution::Execution;
use crate::form::Form;
use crate::learner::{Learner, LearnsFrom};
use crate::model::MetaModel;
use crate::pretraining::BaseClasses;
use crate::query_objective::QueryObjective;
use crate::settings::MetaSettings;

/// Tasks drawn anew at each step: the losses are the query losses after a learner has seen each task's support set.
#[derive(Debug)]
pub struct MetaProblem {
    pub(crate) layout: Arc<Layout>,
    pub(crate) objective: QueryObjective,
    pub(crate) learns_from: LearnsFrom,
    /// What is learned before the first task.
    pub(crate) base_classes: Option<BaseClasses>,
    pub(crate) source: Box<dyn EpisodeSource>,
    pub(crate) settings: MetaSettings,
    /// The shape of a row that goes into the network.
    pub(crate) network_input: Vec<i64>,
    pub(crate) shared: Vec<Slot>,
    pub(crate) names: Vec<String>,
    /// The fused form, where there is one.
    pub(crate) analytic: std::result::Result<Analytic, NotFused>,
    /// The fused form of all tasks at once, where there is one.
    pub(crate) batched: std::result::Result<BatchedDescent, NotFused>,
    /// Meta-batches that a GPU launches as a whole, and what they give.
    pub(crate) recorder: Recorder,
    pub(crate) form: Mutex<Form>,
    /// The tasks of the next step, drawn while a device is at work.
    ahead: Mutex<Option<(Draw, Drawn)>>,
}

/// Tasks and their numbers.
pub(crate) type Drawn = (Episodes, Vec<u64>);

impl MetaProblem {
    /// Puts a network with its learner and tasks together; `loss` is minimised on labels.
    ///
    /// # Errors
    /// When a setting is out of range, or the execution is one that this learner or network has not.
    pub fn new(
        model: MetaModel,
        source: Box<dyn EpisodeSource>,
        loss: Loss,
        settings: MetaSettings,
    ) -> Result<Self> {
        settings.check()?;
        loss.check()?;
        let MetaModel { layout, network, learner, learns_from, base_classes, shape, input } = model;
        let analytic = analytic(network.as_ref(), &layout, learner.as_ref(), &loss, settings.batch_norm);
        if let (Execution::Analytic, Err(reason)) = (settings.execution, &analytic) {
            let what = format!("`execution` is \"analytic\", but there is {reason}");
            return Err(Error::setting(["training", "execution"], what, "take `auto`"));
        }
        if learner.base_mean().is_some()
            && normalises(&layout)
            && settings.batch_norm == BatchNormStatistics::Batch
        {
            return Err(Error::setting(
                ["training", "batch_norm"],
                "a mean over all training classes with batch-norm that takes the statistics of each task",
                "set batch_norm = \"running\" in [training], or take a network without batch-norm",
            ));
        }
        let descent = learner.descent(&layout);
        let batched = BatchedDescent::compile(network.as_ref(), &layout, descent, &loss, settings.batch_norm);
        Ok(Self {
            analytic,
            batched,
            recorder: Recorder::default(),
            form: Mutex::default(),
            ahead: Mutex::default(),
            shared: layout.trained(),
            names: (0..settings.tasks_per_step).map(|task| format!("task{task}")).collect(),
            layout,
            objective: QueryObjective::new(network, learner, shape.output, loss, settings.batch_norm),
            learns_from,
            base_classes,
            source,
            settings,
            network_input: input,
        })
    }

    /// The same with meta-batches that go through [rehearsed recordings](Recorder::rehearsing) on any device, where they are computed at
    /// once: for tests of what a GPU launches as a whole.
    #[must_use]
    pub fn rehearsing(self) -> Self {
        Self { recorder: Recorder::rehearsing(), ..self }
    }

    /// Draws the tasks of the step after a draw, which [`MetaProblem::draw`] then has. A failure is left for it to tell.
    pub(crate) fn draw_ahead(&self, draw: Draw) {
        let next = draw.step.checked_add(1).map(|step| Draw { step, ..draw });
        let drawn = next.and_then(|next| Some((next, self.drawn(next).ok()?)));
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) = drawn;
    }

    /// The tasks of a draw, and their numbers.
    pub(crate) fn draw(&self, draw: Draw) -> Result<Drawn> {
        let ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner).take_if(|(of, _)| *of == draw);
        ahead.map_or_else(|| self.drawn(draw), |(_, drawn)| Ok(drawn))
    }

    fn drawn(&self, draw: Draw) -> Result<Drawn> {
        let count = self.settings.tasks_per_step as u64;
        // Replicas are other tasks: they are numbered behind all that the steps can reach.
        let first = draw.step.checked_mul(count).and_then(|of| of.checked_add(u64::from(draw.replica) << 48));
        let ids = first.and_then(|first| Some(first..first.checked_add(count)?)).ok_or_else(|| {
            Error::setting(
                WHOLE,
                format!("step {} of {count} tasks", draw.step),
                "take fewer steps: tasks are numbered in 64 bits",
            )
        })?;
        Ok((self.source.episodes(draw.split, draw.seed, ids.clone(), None)?, ids.collect()))
    }

    /// The tasks of an evaluation with these numbers.
    pub(crate) fn fixed(&self, split: Split, ids: std::ops::Range<u64>) -> Result<Episodes> {
        let (seed, ids) = self.evaluation_ids(ids);
        self.source.episodes(split, seed, ids, self.settings.evaluation_queries)
    }

    /// The seed of an evaluation's tasks, and their numbers.
    pub(crate) fn evaluation_ids(&self, ids: std::ops::Range<u64>) -> (u64, std::ops::Range<u64>) {
        // Numbered apart from the validation tasks that a method may draw in training.
        const FIRST: u64 = 1 << 40;
        (self.settings.evaluation_seed, FIRST + ids.start..FIRST + ids.end)
    }

    /// The classes that a split's tasks are drawn from, and their form.
    pub(crate) fn class_pool(&self, split: Split) -> Result<(&ClassPool, EpisodeSpec)> {
        self.source.class_pool(split).ok_or_else(|| {
            Error::setting(
                WHOLE, "tasks that are not drawn from classes, where all training classes are to be learned",
                "take such tasks, e.g. `omniglot` or `image_folder`, or another learner without [pretraining]",
            )
        })
    }

    /// Whether an embedding depends on its example and the parameters alone.
    pub(crate) fn embeds_one_by_one(&self) -> bool {
        self.settings.batch_norm == BatchNormStatistics::Running || !normalises(&self.layout)
    }

    /// What it trains.
    pub fn learner(&self) -> &dyn Learner {
        self.objective.learner.as_ref()
    }

    /// The way of computing these parameters' meta-batches: what `auto` means for them, where that is set.
    pub fn execution(&self, params: &Params) -> Execution {
        self.settings.execution.resolve(
            &self.layout,
            params.device(),
            self.analytic.is_ok(),
            self.settings.tasks_per_step,
        )
    }
}

/// The fused form of a step, or what prevents it.
fn analytic(
    network: &dyn Module,
    layout: &Layout,
    learner: &dyn Learner,
    loss: &Loss,
    batch_norm: BatchNormStatistics,
) -> std::result::Result<Analytic, NotFused> {
    let normalises = layout.entries().iter().any(|entry| entry.role == Role::Buffer);
    if normalises && batch_norm == BatchNormStatistics::Running {
        return Err(NotFused::because("batch-norm with running statistics"));
    }
    Analytic::compile(network, layout, learner.descent(layout), loss)
}
