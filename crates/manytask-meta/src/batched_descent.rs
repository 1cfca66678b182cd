//! Inner loops by gradient descent on perceptrons and convolutional blocks, of all tasks at once, in few operations and without a graph:
//! what a GPU is given.
//!
//! The meta-gradient goes back by `λₖ = λₖ₊₁ − α H(φₖ) λₖ₊₁`, see [`BatchedNet::descended_back`].

mod kernel;
mod labels;

use manytask_data::Episodes;
use manytask_multitask::Result;
use manytask_nn::Module;
use manytask_nn::dense::PlainLoss;
use manytask_nn::fused::{BatchedNet, NotFused};
use manytask_nn::loss::Loss;
use manytask_tensor::{Layout, Params, Tensor, no_grad};

use self::kernel::Kernels;
use self::labels::Labels;
use crate::backbone::normalises;
use crate::descent::{Descent, Rates};
use crate::episode::BatchNormStatistics;
use crate::outer_gradient::OuterGradient;

/// A network, a learner and a loss that all are what is fused here.
#[derive(Debug)]
pub(crate) struct BatchedDescent {
    net: BatchedNet,
    /// K.
    steps: u32,
    /// α.
    rate: f64,
    /// How the meta-gradient sees the steps: exactly, or as constants.
    outer_gradient: OuterGradient,
    loss: PlainLoss,
    /// All of it as one kernel, where a task fits into a multiprocessor's memory.
    kernels: Kernels,
}

impl BatchedDescent {
    /// The fused form, for plain gradient descent on a network with [batched passes](BatchedNet).
    ///
    /// # Errors
    /// With what prevents it.
    pub(crate) fn compile(
        network: &dyn Module,
        layout: &Layout,
        descent: Option<Descent>,
        loss: &Loss,
        batch_norm: BatchNormStatistics,
    ) -> std::result::Result<Self, NotFused> {
        if normalises(layout) && batch_norm == BatchNormStatistics::Running {
            return Err(NotFused::because("batch-norm with running statistics"));
        }
        let descent = descent
            .filter(|descent| {
                descent.checkpoint_every.is_none() && descent.outer_gradient != OuterGradient::Difference
            })
            .ok_or(const { NotFused::because("a learner that is not plain gradient descent") })?;
        let Rates::One(rate) = descent.rates else {
            return Err(NotFused::because("a learner with learned rates"));
        };
        let net = BatchedNet::compile(network, layout, |slot| descent.slots.contains(&slot))?;
        if !net.has_layers() || !net.is_piecewise_linear() || !net.slots().eq(layout.trained()) {
            return Err(NotFused::because("a network that is not blocks and piecewise linear layers alone"));
        }
        let loss = PlainLoss::of(loss).ok_or(const {
            NotFused::because("a loss that is not plain mse, cross_entropy or binary_cross_entropy")
        })?;
        let (steps, outer_gradient) = (descent.steps, descent.outer_gradient);
        Ok(Self { net, steps, rate, outer_gradient, loss, kernels: Kernels::default() })
    }

    /// The query losses `[T]`, and each task's meta-gradient, `[T, P]`.
    ///
    /// # Errors
    /// When examples or labels are not of the network's form, or memory runs out.
    pub(crate) fn run(&self, params: &Params, episodes: &Episodes) -> Result<(Tensor, Tensor)> {
        let _off = no_grad();
        match self.by_kernel(params, episodes)? {
            Some(found) => Ok(found),
            None => self.by_operations(params, episodes),
        }
    }

    fn by_operations(&self, params: &Params, episodes: &Episodes) -> Result<(Tensor, Tensor)> {
        let (net, kind) = (&self.net, params.kind());
        let tasks = episodes.support_x.size().first().copied().unwrap_or_default();
        let (support, query) = (net.rows(&episodes.support_x, kind)?, net.rows(&episodes.query_x, kind)?);
        let outputs = net.outputs();
        let support_y = Labels::of(self.loss, &episodes.support_y, outputs, kind)?;
        let query_y = Labels::of(self.loss, &episodes.query_y, outputs, kind)?;
        let rows = |x: &Tensor| x.size().get(1).copied().unwrap_or_default();
        // A step adds its rows to a weight; to the meta-gradient of the queries a step back adds twice as many.
        let rank = 2 * i64::from(self.steps) * rows(&episodes.support_x) + rows(&episodes.query_x);
        let mut leaves = net.leaves_of_steps(params, tasks, rank)?;
        let mut steps = Vec::new();
        for _ in 0..self.steps {
            let mut trace = net.forward(&leaves, &support)?;
            let cotangent = support_y.cotangent(trace.predictions()?)?;
            let next = net.descended(&leaves, &support, &mut trace, cotangent, self.rate)?;
            let before = std::mem::replace(&mut leaves, next);
            if self.outer_gradient == OuterGradient::SecondOrder {
                steps.push((before, trace));
            }
        }
        let mut trace = net.forward(&leaves, &query)?;
        let losses = query_y.losses(trace.predictions()?)?;
        let cotangent = query_y.cotangent(trace.predictions()?)?;
        let mut along = net.backward(&leaves, &query, &mut trace, cotangent)?;
        drop(trace);
        while let Some((before, mut trace)) = steps.pop() {
            let curvature = |predictions: &Tensor, change: &Tensor| support_y.curvature(predictions, change);
            along = net.descended_back(&before, &support, &mut trace, along, curvature, self.rate)?;
        }
        Ok((losses, net.flat(&along)?))
    }
}
