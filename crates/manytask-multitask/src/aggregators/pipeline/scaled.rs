//! A step whose losses were transformed and weighted.

use std::ops::Range;

use manytask_tensor::Tensor;
use manytask_tensor::random::Key;

use crate::{BatchGradients, BatchOf, Error, Gramian, Jacobian, Level, Place, Result, Step, TaskVec, Want};

/// A step with other losses, whose gradients are those of the step times a factor for each task.
pub(super) struct ScaledStep<'s> {
    step: &'s mut dyn Step,
    losses: TaskVec,
    factors: Vec<f64>,
    gramians: Vec<(Level, Gramian)>,
    jacobians: Vec<(Level, Jacobian)>,
}

impl<'s> ScaledStep<'s> {
    pub(super) fn new(step: &'s mut dyn Step, losses: TaskVec, factors: Vec<f64>) -> Self {
        Self { step, losses, factors, gramians: Vec::new(), jacobians: Vec::new() }
    }
}

fn kept<'k, T>(
    all: &'k mut Vec<(Level, T)>,
    level: &Level,
    make: impl FnOnce() -> Result<T>,
) -> Result<&'k T> {
    let known = all.iter().position(|(of, _)| of == level);
    let place = known.unwrap_or(all.len());
    if known.is_none() {
        all.push((level.clone(), make()?));
    }
    let lost = || Error::Contract { aggregator: "pipeline".into(), message: "nothing was kept".into() };
    all.get(place).map(|(_, kept)| kept).ok_or_else(lost)
}

impl Step for ScaledStep<'_> {
    fn number(&self) -> u64 {
        self.step.number()
    }

    fn epoch(&self) -> u64 {
        self.step.epoch()
    }

    fn key(&self) -> Key {
        self.step.key()
    }

    fn learning_rate(&self) -> f64 {
        self.step.learning_rate()
    }

    fn tasks(&self) -> usize {
        self.step.tasks()
    }

    fn losses(&self) -> &TaskVec {
        &self.losses
    }

    fn preference(&self) -> Option<&[f64]> {
        self.step.preference()
    }

    fn gramian(&mut self, level: &Level) -> Result<&Gramian> {
        let (step, factors) = (&mut self.step, &self.factors);
        kept(&mut self.gramians, level, || Ok(step.gramian(level)?.scaled(factors)))
    }

    fn jacobian(&mut self, level: &Level) -> Result<&Jacobian> {
        let (step, factors) = (&mut self.step, &self.factors);
        kept(&mut self.jacobians, level, || {
            let rows = step.jacobian(level)?.rows();
            let factors =
                Tensor::f_from_slice(factors)?.f_to_kind(rows.kind())?.f_to_device(rows.device())?;
            Jacobian::new(&rows.f_mul(&factors.f_unsqueeze(1)?)?)
        })
    }

    fn columns(&self, level: &Level) -> Result<Vec<(String, Range<usize>)>> {
        self.step.columns(level)
    }

    /// Stages that look elsewhere are refused where something is scaled.
    fn look(&mut self, batch: BatchOf, place: Place<'_>, want: Want<'_>) -> Result<BatchGradients> {
        if self.factors.iter().all(|factor| *factor == 1.0) {
            return self.step.look(batch, place, want);
        }
        Err(Error::Contract {
            aggregator: "pipeline".into(),
            message: "a stage looks at other batches behind one that scales losses".into(),
        })
    }
}
