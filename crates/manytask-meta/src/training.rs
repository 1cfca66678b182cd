//! What the training loop asks of a meta-problem.

use std::sync::Arc;

use manytask_multitask::{Draw, Evaluation, Identity, Offers, Pass, Problem, Result, Split, TaskVec};
use manytask_nn::fused::NotFused;
use manytask_tensor::{Device, Layout, Params, Slot};

use crate::backbone::normalises;
use crate::episode::BatchNormStatistics;
use crate::execution::Execution;
use crate::problem::MetaProblem;
use crate::{evaluate, pass, ready};

impl Problem for MetaProblem {
    fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    fn fused(&self, params: &Params) -> std::result::Result<(), NotFused> {
        match (self.execution(params), &self.analytic) {
            (Execution::Analytic, _) => Ok(()),
            _ if params.device() != Device::Cpu => self.batched.as_ref().map(drop).or_else(|reason| {
                let (network, learner) = (self.objective.network(), &self.objective.learner);
                learner.fused(network, &self.layout).map_err(|_| reason.clone())
            }),
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
        Offers {
            shared: true,
            representation: false,
            validation: self.source.has_validation(),
            preference: false,
        }
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
        let batch_norm = normalises(&self.layout).then(|| ("batch_norm", how.to_owned()));
        let together = "all of a task are known at once (transductive), without their labels";
        let queries = self.learner().is_transductive().then(|| ("queries", together.to_owned()));
        batch_norm.into_iter().chain(queries).collect()
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
