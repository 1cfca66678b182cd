//! What a learner is given of a task, or of several along a leading dimension.

use std::cell::RefCell;

use manytask_data::Episodes;
use manytask_multitask::{Draw, Result};
use manytask_nn::loss::Loss;
use manytask_nn::{BatchNormPolicy, Context, Module, Progress};
use manytask_tensor::random::Key;
use manytask_tensor::{Params, Slot, Tensor};
use serde::{Deserialize, Serialize};

use crate::recorded::Recorded;

/// What batch-norm normalises with, in the passes of learners.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchNormStatistics {
    /// The statistics of each pass' own examples, in training and evaluation: a task's queries are normalised together
    /// (transductive), as MAML's are.
    #[default]
    Batch,
    /// In training those of each pass' own examples, which move the running ones; in evaluation the running ones, so that a
    /// prediction depends on no other query. The mean over a step's passes and tasks moves them.
    Running,
}

/// A support set: to adapt on.
#[derive(Debug)]
pub struct Support<'a> {
    /// The network.
    pub network: &'a dyn Module,
    /// What is minimised on labels.
    pub loss: &'a Loss,
    /// `[T?, N, …]`.
    pub x: Tensor,
    /// `[T?, N]` int64, or `[T?, N, D]`. A missing label (NaN, or −100 of classes) is an example that is not there, so tasks
    /// along one dimension may have support sets of several sizes.
    pub y: Tensor,
    /// The size of the task dimension.
    pub tasks: Option<i64>,
    passes: Passes,
}

/// A support set with the queries to be judged by.
#[derive(Debug)]
pub struct Episode<'a> {
    /// What is adapted on.
    pub support: Support<'a>,
    /// `[T?, M, …]`.
    pub query_x: Tensor,
    /// `[T?, M]` int64, or `[T?, M, D]`; labels may be missing.
    pub query_y: Tensor,
}

/// What is random in the tasks of a step of the training.
#[derive(Debug, Clone)]
pub(crate) struct Randomness {
    /// Of the step.
    pub(crate) key: Key,
    /// The numbers of the tasks.
    pub(crate) ids: Vec<u64>,
    /// The step, counted from 0.
    pub(crate) step: u64,
}

/// How forward passes are made.
#[derive(Debug)]
struct Passes {
    /// The key of their randomness, and the tasks' numbers that enter it. Absent in evaluation, where nothing is random.
    random: Option<Randomness>,
    batch_norm: BatchNormStatistics,
    recorded: RefCell<Recorded>,
    /// Whether each operation is launched on a device, so that few large ones are wanted.
    launched: bool,
}

impl Randomness {
    /// Of the tasks with these numbers.
    pub(crate) fn of(draw: Draw, ids: Vec<u64>) -> Self {
        let key = Key::new(draw.seed, "adapt").step(draw.step).within(u64::from(draw.replica));
        Self { key, ids, step: draw.step }
    }
}

impl<'a> Episode<'a> {
    /// Of episodes with a task dimension of `tasks`, or of one without.
    pub(crate) fn new(
        (network, loss): (&'a dyn Module, &'a Loss),
        episodes: &Episodes,
        tasks: Option<i64>,
        random: Option<Randomness>,
        batch_norm: BatchNormStatistics,
    ) -> Self {
        let own = Tensor::shallow_clone;
        let passes = Passes { random, batch_norm, recorded: RefCell::default(), launched: false };
        let (x, y) = (own(&episodes.support_x), own(&episodes.support_y));
        let support = Support { network, loss, x, y, tasks, passes };
        Self { support, query_x: own(&episodes.query_x), query_y: own(&episodes.query_y) }
    }

    /// The same on a device that launches each operation.
    pub(crate) fn launched(mut self) -> Self {
        self.support.passes.launched = true;
        self
    }
}

impl Support<'_> {
    /// The `number`-th forward pass of the task, through the network or a module of the learner's own.
    ///
    /// # Errors
    /// When the input's shape does not fit.
    pub fn forward(&self, module: &dyn Module, params: &Params, x: &Tensor, number: u64) -> Result<Tensor> {
        let mut cx = self.context(number);
        let output = module.forward(params, x, &mut cx)?;
        for (slot, value) in cx.take_buffers() {
            self.record(slot, &value)?;
        }
        Ok(output)
    }

    /// Whether what is fused, which takes the statistics of each pass' own examples, computes what the graph does.
    pub(crate) fn is_fusible(&self) -> bool {
        self.passes.batch_norm == BatchNormStatistics::Batch
    }

    /// Whether each operation is launched on a device, so that few large ones are wanted.
    pub(crate) fn is_launched(&self) -> bool {
        self.passes.launched
    }

    /// Records the new value of a buffer, `[T?, …]`: the loop writes the mean over tasks and passes after the step. Nothing
    /// is recorded in evaluation.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn record(&self, slot: Slot, value: &Tensor) -> Result<()> {
        if self.is_training() {
            self.passes.recorded.borrow_mut().add(slot, &value.f_detach()?, self.tasks)?;
        }
        Ok(())
    }

    /// Whether this is a step of the meta-training.
    pub fn is_training(&self) -> bool {
        self.passes.random.is_some()
    }

    /// The step of the training, counted from 0; `None` in evaluation.
    pub fn step(&self) -> Option<u64> {
        self.passes.random.as_ref().map(|random| random.step)
    }

    /// The key of what is drawn in a task of a training, and the numbers of the tasks that enter it; `None` in evaluation.
    pub fn random(&self) -> Option<(Key, &[u64])> {
        self.passes.random.as_ref().map(|random| (random.key, random.ids.as_slice()))
    }

    /// What was recorded so far, leaving nothing.
    pub(crate) fn take_recorded(&self) -> Recorded {
        self.passes.recorded.take()
    }

    /// Puts back what was taken, in place of what was recorded since.
    pub(crate) fn put_recorded(&self, recorded: Recorded) {
        self.passes.recorded.replace(recorded);
    }

    /// The context of the `number`-th forward pass.
    fn context(&self, number: u64) -> Context {
        let cx = match &self.passes.random {
            None => Context::eval(),
            Some(Randomness { key, ids, step }) => {
                let cx = match (self.tasks, ids.as_slice()) {
                    (None, [id]) => Context::train(key.within(number).task(*id)),
                    _ => Context::train(key.within(number)).with_tasks(ids.clone()),
                };
                cx.with_progress(Progress { step: *step, epoch: 0 })
            }
        };
        cx.with_batch_norm(match self.passes.batch_norm {
            BatchNormStatistics::Batch => BatchNormPolicy::Batch,
            BatchNormStatistics::Running => BatchNormPolicy::Running,
        })
    }
}
