use std::fmt::Debug;

use manytask_multitask::Result;
use manytask_nn::loss::Loss;
use manytask_nn::metrics::Output;
use manytask_nn::{BatchNormPolicy, Cx, Module};
use manytask_tensor::random::Key;
use manytask_tensor::{Layout, Params, Tensor};

use crate::analytic::Descent;

/// What becomes of a network in a task: from its meta-parameters and a support set to predictions on a query set.
///
/// Parameters may have a task dimension: then inputs and predictions have it too, and task t's are what it alone would
/// give. No learner writes parameters or buffers.
pub trait Learner: Debug + Send + Sync {
    /// Its name in the configuration.
    fn name(&self) -> &'static str;

    /// Whether the network must end in a layer `head` with an output for each class, or each number that is predicted.
    fn has_head(&self) -> bool;

    /// How many steps it adapts by in training; `None` if it does not adapt step by step.
    fn inner_steps(&self) -> Option<u32>;

    /// The gradient descent that it is, where it is nothing else: then a step of training may be written out.
    fn descent(&self, _layout: &Layout) -> Option<Descent> {
        None
    }

    /// Refuses a network that it cannot work with, and settings out of range.
    ///
    /// # Errors
    /// With what is missing, and the remedy.
    fn check(&self, layout: &Layout) -> Result<()>;

    /// Refuses predictions of a meaning that it cannot make.
    ///
    /// # Errors
    /// With the remedy.
    fn check_output(&self, _output: Output) -> Result<()> {
        Ok(())
    }

    /// The predictions on the query set, with a graph to `params`.
    fn predict(&self, scene: &Scene<'_>, params: &Params) -> Result<Tensor>;

    /// The query loss and its gradient by `params`, each task's own where there is a task dimension, from a learner that has
    /// another way to it than through the graph of [`Learner::predict`].
    ///
    /// # Errors
    /// As [`Learner::predict`].
    fn query_gradient(
        &self,
        _scene: &Scene<'_>,
        _params: &Params,
        _query_y: &Tensor,
    ) -> Result<Option<(Tensor, Params)>> {
        Ok(None)
    }

    /// The predictions on the query set before any adaptation and after each of `steps` steps of it (absent: as many as
    /// in training), without a graph to `params`. A learner that does not adapt step by step gives one.
    fn trajectory(&self, scene: &Scene<'_>, params: &Params, steps: Option<u32>) -> Result<Vec<Tensor>>;
}

impl<L: Learner + ?Sized> Learner for std::sync::Arc<L> {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn has_head(&self) -> bool {
        (**self).has_head()
    }

    fn inner_steps(&self) -> Option<u32> {
        (**self).inner_steps()
    }

    fn descent(&self, layout: &Layout) -> Option<Descent> {
        (**self).descent(layout)
    }

    fn check(&self, layout: &Layout) -> Result<()> {
        (**self).check(layout)
    }

    fn check_output(&self, output: Output) -> Result<()> {
        (**self).check_output(output)
    }

    fn predict(&self, scene: &Scene<'_>, params: &Params) -> Result<Tensor> {
        (**self).predict(scene, params)
    }

    fn query_gradient(
        &self,
        scene: &Scene<'_>,
        params: &Params,
        query_y: &Tensor,
    ) -> Result<Option<(Tensor, Params)>> {
        (**self).query_gradient(scene, params, query_y)
    }

    fn trajectory(&self, scene: &Scene<'_>, params: &Params, steps: Option<u32>) -> Result<Vec<Tensor>> {
        (**self).trajectory(scene, params, steps)
    }
}

/// One task, or several along a leading dimension: what a learner is given.
#[derive(Debug)]
pub struct Scene<'a> {
    /// The network.
    pub network: &'a dyn Module,
    /// What is minimised on the support set.
    pub loss: &'a Loss,
    /// `[T?, N, …]`.
    pub support_x: &'a Tensor,
    /// `[T?, N]` int64, or `[T?, N, D]`.
    pub support_y: &'a Tensor,
    /// `[T?, M, …]`.
    pub query_x: &'a Tensor,
    /// The size of the task dimension.
    pub tasks: Option<i64>,
    /// The key of its randomness, and the tasks' numbers that enter it. Absent in evaluation, where nothing is random.
    pub random: Option<(Key, Vec<u64>)>,
}

impl Scene<'_> {
    /// The context of the `number`-th forward pass. Batch-norm takes the statistics of what it sees, as MAML's does.
    pub fn context(&self, number: u64) -> Cx {
        let cx = match &self.random {
            None => Cx::eval(),
            Some((key, ids)) => match (self.tasks, ids.as_slice()) {
                (None, [id]) => Cx::train(key.within(number).task(*id)),
                _ => Cx::train(key.within(number)).with_tasks(ids.clone()),
            },
        };
        cx.with_batch_norm(BatchNormPolicy::Batch)
    }
}
