use std::sync::{Arc, Mutex};

use manytask_data::{ClassPool, EpisodeSpec, Episodes};
use manytask_multitask::{Draw, Error, Evaluation, Identity, Offers, Pass, Problem, Result, Split, TaskVec};
use manytask_nn::Module;
use manytask_nn::fused::NotFused;
use manytask_nn::layers::Restored;
use manytask_nn::loss::Loss;
use manytask_nn::metrics::Output;
use manytask_tensor::capture::Recorder;
use manytask_tensor::random::Key;
use manytask_tensor::{Device, Layout, Params, Role, Slot};
use serde::{Deserialize, Serialize};

use crate::analytic::Analytic;
use crate::batched_descent::BatchedDescent;
use crate::episode::{BatchNormStatistics, Episode, Randomness};
use crate::episodes::EpisodeSource;
use crate::execution::Execution;
use crate::inner::MOST_STEPS;
use crate::learner::{Learner, LearnsFrom};
use crate::model::MetaModel;
use crate::pretraining::BaseClasses;
use crate::{evaluate, pass, ready};

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
    shared: Vec<Slot>,
    names: Vec<String>,
    /// The fused form, where there is one.
    pub(crate) analytic: std::result::Result<Analytic, NotFused>,
    /// The fused form of all tasks at once, where there is one.
    pub(crate) batched: Option<BatchedDescent>,
    /// Meta-batches that a GPU launches as a whole, and what they give.
    pub(crate) recorder: Recorder,
    pub(crate) form: Mutex<pass::Form>,
}

/// What gives a task's query loss: all of it definitions without tensors, so that threads can share it.
#[derive(Debug)]
pub(crate) struct QueryObjective {
    network: Box<dyn Module>,
    pub(crate) learner: Box<dyn Learner>,
    pub(crate) output: Output,
    loss: Loss,
    batch_norm: BatchNormStatistics,
}

/// How many tasks, and how they are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetaSettings {
    /// The meta-batch: tasks in a step.
    pub tasks_per_step: usize,
    /// How they are computed.
    pub execution: Execution,
    /// What batch-norm normalises with.
    pub batch_norm: BatchNormStatistics,
    /// Tasks in an evaluation, always the same ones.
    pub evaluation_tasks: usize,
    /// Queries in an evaluation, for each class; absent: as in training.
    pub evaluation_queries: Option<usize>,
    /// Inner steps in an evaluation; absent: as in training.
    pub evaluation_steps: Option<u32>,
    /// What the evaluation's tasks are keyed by, so that they are the same for every seed of a training.
    pub evaluation_seed: u64,
}

impl Default for MetaSettings {
    fn default() -> Self {
        Self {
            tasks_per_step: 4,
            execution: Execution::Auto,
            batch_norm: BatchNormStatistics::Batch,
            evaluation_tasks: 600,
            evaluation_queries: None,
            evaluation_steps: None,
            evaluation_seed: 0,
        }
    }
}

impl MetaSettings {
    /// Refuses numbers that are out of range.
    ///
    /// # Errors
    /// With the number and its range.
    pub fn check(&self) -> Result<()> {
        let within = |what: &str, number: usize, most: usize| {
            if (1..=most).contains(&number) {
                return Ok(());
            }
            Err(Error::setting(format!("{what} is {number}"), format!("take 1 to {most}")))
        };
        within("`tasks_per_step`", self.tasks_per_step, 1 << 20)?;
        within("the number of evaluation `tasks`", self.evaluation_tasks, 1 << 24)?;
        if let Some(queries) = self.evaluation_queries {
            within("the number of evaluation `queries`", queries, 1 << 31)?;
        }
        if self.evaluation_steps.is_some_and(|steps| steps > MOST_STEPS) {
            let steps = self.evaluation_steps.unwrap_or_default();
            let what = format!("the number of evaluation `inner_steps` is {steps}");
            return Err(Error::setting(what, format!("take 0 to {MOST_STEPS}")));
        }
        self.execution.check()
    }
}

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
            return Err(Error::setting(what, "take `auto`"));
        }
        if learner.base_mean().is_some()
            && normalises(&layout)
            && settings.batch_norm == BatchNormStatistics::Batch
        {
            return Err(Error::setting(
                "a mean over all training classes with batch-norm that takes the statistics of each task",
                "set batch_norm = \"running\" in [training], or take a network without batch-norm",
            ));
        }
        let batched = BatchedDescent::of(network.as_ref(), &layout, learner.descent(&layout), &loss);
        Ok(Self {
            analytic,
            batched,
            recorder: Recorder::default(),
            form: Mutex::default(),
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

    /// The tasks of a draw, and their numbers.
    pub(crate) fn draw(&self, draw: Draw) -> Result<(Episodes, Vec<u64>)> {
        let count = self.settings.tasks_per_step as u64;
        // Replicas are other tasks: they are numbered behind all that the steps can reach.
        let first = draw.step.checked_mul(count).and_then(|of| of.checked_add(u64::from(draw.replica) << 48));
        let ids = first.and_then(|first| Some(first..first.checked_add(count)?)).ok_or_else(|| {
            Error::setting(
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

    /// The classes of images that a split's tasks are drawn from, and their form.
    pub(crate) fn class_pool(&self, split: Split) -> Result<(&ClassPool, EpisodeSpec)> {
        self.source.class_pool(split).ok_or_else(|| {
            Error::setting(
                "tasks that are not drawn from classes of images, where all training classes are to be learned",
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

impl QueryObjective {
    /// Of a network, which may compute in another precision than its parameters have.
    pub(crate) fn new(
        network: Box<dyn Module>,
        learner: Box<dyn Learner>,
        output: Output,
        loss: Loss,
        batch_norm: BatchNormStatistics,
    ) -> Self {
        Self { network: Box::new(Restored(network)), learner, output, loss, batch_norm }
    }

    /// Whether batch-norm has running statistics in evaluation.
    pub(crate) fn has_running_statistics(&self) -> bool {
        self.batch_norm == BatchNormStatistics::Running
    }

    /// What a learner is given of some episodes.
    pub(crate) fn episode(
        &self,
        episodes: &Episodes,
        tasks: Option<i64>,
        random: Option<Randomness>,
    ) -> Episode<'_> {
        self.episode_on(self.network.as_ref(), episodes, tasks, random)
    }

    /// The same on another network, for examples that are for it.
    pub(crate) fn episode_on<'a>(
        &'a self,
        network: &'a dyn Module,
        episodes: &Episodes,
        tasks: Option<i64>,
        random: Option<Randomness>,
    ) -> Episode<'a> {
        Episode::new((network, &self.loss), episodes, tasks, random, self.batch_norm)
    }

    /// The network.
    pub(crate) fn network(&self) -> &dyn Module {
        self.network.as_ref()
    }
}

/// Whether a network has batch-norm: its running statistics are the only buffers of that name.
pub(crate) fn normalises(layout: &Layout) -> bool {
    layout.entries().iter().any(|entry| entry.name.ends_with("running_mean"))
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

/// What is random in the tasks with these numbers.
pub(crate) fn randomness(draw: Draw, ids: Vec<u64>) -> Randomness {
    let key = Key::new(draw.seed, "adapt").step(draw.step).within(u64::from(draw.replica));
    Randomness { key, ids, step: draw.step }
}

impl Problem for MetaProblem {
    fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    fn fused(&self, params: &Params) -> std::result::Result<(), NotFused> {
        match (self.execution(params), &self.analytic) {
            (Execution::Analytic, _) => Ok(()),
            (Execution::Batched, _) if self.batched.is_some() && params.device() != Device::Cpu => Ok(()),
            _ if params.device() != Device::Cpu => {
                Err(NotFused::because("a network that is not, on a GPU, a chain of linear layers"))
            }
            (_, Ok(_)) => Err(NotFused::because("an `execution` that goes through the graph")),
            (Execution::Batched, Err(reason)) => Err(reason.clone()),
            (_, Err(reason)) => {
                let (network, learner) = (self.objective.network(), &self.objective.learner);
                learner.fused(network, &self.layout).map_err(|_| reason.clone())
            }
        }
    }

    fn shared(&self) -> &[Slot] {
        &self.shared
    }

    fn tasks(&self) -> &[String] {
        &self.names
    }

    fn identity(&self) -> Identity {
        Identity::Resampled
    }

    fn offers(&self) -> Offers {
        Offers { shared: true, representation: false, validation: self.source.has_validation() }
    }

    fn steps_per_epoch(&self) -> Option<u64> {
        None
    }

    fn forward<'a>(&'a self, params: &'a Params, draw: Draw) -> Result<Box<dyn Pass + 'a>> {
        pass::forward(self, params, draw)
    }

    fn manages_threads(&self, params: &Params, step: u64) -> bool {
        let on_tasks = self.base_classes.as_ref().is_none_or(|base| step >= base.steps());
        on_tasks && matches!(self.execution(params), Execution::Analytic | Execution::Threads(2..))
    }

    fn uncaptured(&self) -> Option<String> {
        self.recorder.reason()
    }

    fn losses(&self, params: &Params, draw: Draw) -> Result<TaskVec> {
        // Adapting needs gradients of its own, so the graph is made and let go.
        let pass = self.forward(params, draw)?;
        Ok(pass.losses().iter().copied().collect())
    }

    fn evaluation_schema(&self) -> Evaluation {
        evaluate::evaluation_schema(self)
    }

    fn protocol(&self) -> Vec<(&'static str, String)> {
        let how = match self.settings.batch_norm {
            BatchNormStatistics::Batch => {
                "statistics of each pass' own examples: a task's queries are normalised together (transductive)"
            }
            BatchNormStatistics::Running => {
                "running statistics, moved by the passes of the training: no prediction depends on other queries"
            }
        };
        normalises(&self.layout).then(|| ("batch_norm", how.to_owned())).into_iter().collect()
    }

    fn ready(&self, split: Split) -> Result<()> {
        ready::ready(self, split)
    }

    fn prepared(&self, params: &Params) -> Result<Params> {
        evaluate::with_base_mean(self, params)
    }

    fn evaluate(&self, params: &Params, split: Split) -> Result<Evaluation> {
        evaluate::evaluate(self, params, split)
    }
}
