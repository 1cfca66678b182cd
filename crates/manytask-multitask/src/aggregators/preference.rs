//! Which point of the Pareto front is wanted: weights and reference losses by the names of tasks.

use std::collections::BTreeMap;

use manytask_tensor::Within as _;
use serde::{Deserialize, Serialize};

use super::support::{by_task, for_some, named, of_present};
use crate::{Needs, Result, StepInfo};

/// Preferences and reference losses by the names of tasks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Preference {
    /// What each task's loss counts, above 0; empty: 1/K each, or the preference of the step where the network is one for the whole Pareto front.
    pub weights: BTreeMap<String, f64>,
    /// The loss that each task would have alone, which its own is measured from; empty: 0.
    pub reference: BTreeMap<String, f64>,
}

/// The same in the order of the tasks.
#[derive(Debug)]
pub(super) struct Preferred {
    weights: Vec<f64>,
    reference: Vec<f64>,
}

impl Preference {
    /// The tasks that it names.
    pub(super) fn named(&self) -> Vec<String> {
        named(&[&self.weights, &self.reference])
    }

    /// The same without those of `all` tasks that are not among these.
    pub(super) fn for_some(&self, tasks: &[String], all: &[String]) -> Self {
        Self {
            weights: for_some(&self.weights, tasks, all),
            reference: for_some(&self.reference, tasks, all),
        }
    }

    pub(super) fn of(&self, method: &str, tasks: &[String]) -> Result<Preferred> {
        // Without any the weights are equal, whatever tasks are present.
        let weights = if self.weights.is_empty() {
            Ok(Vec::new())
        } else {
            by_task(method, "weights", &self.weights, tasks, 0.0, 0.0)
        };
        let reference = by_task(method, "reference", &self.reference, tasks, 0.0, f64::NEG_INFINITY);
        Ok(Preferred { weights: weights.within("preference")?, reference: reference.within("preference")? })
    }
}

impl Preferred {
    /// Whether the weights are those of the step, where it has a preference.
    pub(super) fn follows(&self) -> bool {
        self.weights.is_empty()
    }

    /// The weights of the present tasks.
    pub(super) fn weights(&self, step: &StepInfo<'_>) -> Vec<f64> {
        let count = step.losses.len();
        match step.preference {
            _ if !self.weights.is_empty() => of_present(&self.weights, step),
            Some(preference) => of_present(preference, step),
            None => vec![1.0 / count as f64; count],
        }
    }

    /// What a weighting of losses by it needs.
    pub(super) fn needs(&self) -> Needs {
        Needs { preference: self.follows(), ..Needs::LOSSES }
    }

    /// The losses of the present tasks above their references.
    pub(super) fn distances(&self, step: &StepInfo<'_>) -> Vec<f64> {
        let reference = of_present(&self.reference, step);
        step.losses.values().iter().zip(reference).map(|(loss, reference)| loss - reference).collect()
    }
}
