//! Inner loops of perceptrons and convolutional blocks by gradient descent, with every derivative in closed form.
//!
//! With `φₖ₊₁ = φₖ − α ∇L(φₖ)` the meta-gradient is `λ₀` of the recursion `λ_K = ∇L_query(φ_K)`,
//! `λₖ = λₖ₊₁ − H(φₖ) (α ∘ λₖ₊₁)`: a Hessian product for each step, and no graph. Where α has a rate for each number, its
//! gradient is `−Σₖ ∇L(φₖ) ∘ λₖ₊₁`. A task at a time stays in the cache, and tasks are shared out among threads.

mod batch;
mod steps;
mod work;
mod workspace;

use manytask_data::Episodes;
use manytask_multitask::{Error, Result};
use manytask_nn::Module;
use manytask_nn::fused::NotFused;
use manytask_nn::loss::Loss;
use manytask_tensor::dense::{Real, uninit_with, values};
use manytask_tensor::{Kind, Layout, Params, Tensor};

use self::batch::{Labels, Pictures};
use self::steps::Steps;
use self::work::Work;
use self::workspace::Spaces;
use crate::descent::Descent;

/// A network, a learner and a loss that all have a fused form, with memory for its passes.
#[derive(Debug)]
pub(crate) struct Analytic {
    steps: Steps,
    spaces: Spaces,
}

/// The query loss of each task, and the meta-gradient of each, `[T, P]`.
pub(crate) struct AnalyticResult {
    pub(crate) losses: Vec<f64>,
    pub(crate) rows: Tensor,
}

impl Analytic {
    /// The fused form.
    ///
    /// # Errors
    /// With what prevents it.
    pub(crate) fn compile(
        network: &dyn Module,
        layout: &Layout,
        descent: Option<Descent>,
        loss: &Loss,
    ) -> std::result::Result<Self, NotFused> {
        Ok(Self { steps: Steps::compile(network, layout, descent, loss)?, spaces: Spaces::default() })
    }

    /// All tasks' losses and meta-gradients; `None` where labels are missing or out of range, or numbers are not in the
    /// processor's memory: then the graph has to say what they are.
    pub(crate) fn run(&self, params: &Params, episodes: &Episodes) -> Result<Option<AnalyticResult>> {
        match params.kind() {
            Kind::Float => self.run_in::<f32>(params, episodes),
            Kind::Double => self.run_in::<f64>(params, episodes),
            _ => Ok(None),
        }
    }

    fn run_in<T: Real>(&self, params: &Params, episodes: &Episodes) -> Result<Option<AnalyticResult>> {
        let Episodes { support_x, support_y, query_x, query_y } = episodes;
        let tasks = support_x.size().first().copied().unwrap_or_default() as usize;
        if [support_x, query_x].iter().any(|x| x.kind() != T::KIND || x.size().len() < 3) || tasks == 0 {
            return Ok(None);
        }
        let Some(flat) = self.steps.net.flat(params)? else { return Ok(None) };
        let Some(rates) = self.steps.rates_of::<T>(params)? else { return Ok(None) };
        let inputs = [support_x.f_contiguous()?, query_x.f_contiguous()?];
        let [support, query] = [&inputs[0], &inputs[1]].map(|x| Pictures::<T>::of(x, tasks, &self.steps.net));
        let (Some(support), Some(query)) = (support?, query?) else { return Ok(None) };
        let labels = (Labels::<T>::of(support_y)?, Labels::<T>::of(query_y)?);
        let (Some(support_y), Some(query_y)) = labels else { return Ok(None) };
        let work = Work {
            steps: &self.steps,
            spaces: &self.spaces,
            start: values(&flat)?,
            rates: &rates,
            support,
            query,
            labels: (&support_y, &query_y),
            tasks,
        };
        if !work.fits() {
            return Ok(None);
        }
        let mut losses = vec![0.0; tasks];
        let shape = [tasks as i64, params.layout().trained_count()];
        let rows = uninit_with::<T, Error>(&shape, |rows| work.all(&mut losses, rows))?;
        Ok(Some(AnalyticResult { losses, rows }))
    }
}
