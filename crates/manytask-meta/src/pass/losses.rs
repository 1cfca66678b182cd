//! The losses of a pass.

use std::collections::BTreeMap;

use manytask_multitask::Result;
use manytask_nn::Context;
use manytask_tensor::{Kind, Tensor};

use crate::learner::Objective;
use crate::recorded::Recorded;

/// The losses of tasks, with what else a pass leaves behind.
#[derive(Debug, Default)]
pub(super) struct Losses {
    pub(super) values: Vec<f64>,
    /// Each task's terms, by name.
    pub(super) terms: BTreeMap<&'static str, Vec<f64>>,
    pub(super) recorded: Recorded,
}

impl Losses {
    pub(super) fn of(objective: &Objective, recorded: Recorded) -> Result<Self> {
        let numbers = |tensor: &Tensor| -> Result<Vec<f64>> {
            Ok(Vec::<f64>::try_from(tensor.f_detach()?.f_to_kind(Kind::Double)?.f_reshape([-1])?)?)
        };
        let terms = objective.terms.iter().map(|(name, values)| Ok((*name, numbers(values)?)));
        let terms = terms.collect::<Result<_>>()?;
        Ok(Self { values: numbers(&objective.losses)?, terms, recorded })
    }

    /// Those of further tasks behind these.
    pub(super) fn extend(&mut self, other: Self) -> Result<()> {
        self.values.extend(other.values);
        for (name, values) in other.terms {
            self.terms.entry(name).or_default().extend(values);
        }
        self.recorded.merge(other.recorded)
    }

    /// The new values of buffers, the mean over tasks and passes.
    pub(super) fn take_context(&mut self) -> Result<Context> {
        std::mem::take(&mut self.recorded).into_context()
    }

    /// The mean of each term over the tasks.
    pub(super) fn terms(&self) -> Vec<(&'static str, f64)> {
        let mean = |values: &Vec<f64>| values.iter().sum::<f64>() / values.len().max(1) as f64;
        self.terms.iter().map(|(name, values)| (*name, mean(values))).collect()
    }
}
