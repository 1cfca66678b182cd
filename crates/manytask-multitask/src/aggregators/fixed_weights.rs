use std::collections::BTreeMap;

use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use crate::{Aggregator, Error, LossWeighting, Needs, OnLosses, Result, StepInfo};

/// A weighted sum of losses, `Σ wᵢ lᵢ`, with a weight for each task by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixedWeights {
    /// One weight for each task.
    pub weights: BTreeMap<String, f64>,
}

#[derive(Debug)]
struct Fixed(Vec<f64>);

impl Method for FixedWeights {
    const NAME: &'static str = "fixed_weights";
    const SUMMARY: &'static str = "a weighted sum of the losses";
    const ABOUT: &'static str = "Σ w l with a weight for each task by name.";

    fn example() -> Self {
        Self { weights: BTreeMap::from([("task".to_owned(), 1.0)]) }
    }
}

impl AggregatorSettings for FixedWeights {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        self.build_for_some(tasks, tasks)
    }

    fn named(&self) -> Vec<String> {
        self.weights.keys().cloned().collect()
    }

    fn build_for_some(&self, tasks: &[String], all: &[String]) -> Result<Box<dyn Aggregator>> {
        let named = |names: Vec<&str>| names.join("`, `");
        let unknown: Vec<&str> =
            self.weights.keys().filter(|name| !all.contains(name)).map(String::as_str).collect();
        let missing: Vec<&str> =
            tasks.iter().filter(|name| !self.weights.contains_key(*name)).map(String::as_str).collect();
        if !unknown.is_empty() {
            let key = ["weights", unknown.first().copied().unwrap_or_default()];
            let all = named(all.iter().map(String::as_str).collect());
            return Err(Error::setting(
                key,
                format!("{}: there is no task `{}`", FixedWeights::NAME, named(unknown)),
                format!("the tasks are `{all}`"),
            ));
        }
        if !missing.is_empty() {
            let what = format!("{}: no weight for `{}`", FixedWeights::NAME, named(missing));
            return Err(Error::setting("weights", what, "write one for each task"));
        }
        if let Some((name, weight)) = self.weights.iter().find(|(_, weight)| !weight.is_finite()) {
            let what = format!("the weight of `{name}` is {weight}");
            return Err(Error::setting(["weights", name], what, "write a finite number"));
        }
        let all = tasks.iter().filter_map(|name| self.weights.get(name).copied()).collect();
        Ok(Box::new(OnLosses::new(Fixed(all), tasks)))
    }
}

impl LossWeighting for Fixed {
    fn name(&self) -> &'static str {
        FixedWeights::NAME
    }

    fn needs(&self) -> Needs {
        Needs { fixed_tasks: true, ..Needs::LOSSES }
    }

    fn weights(&mut self, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        Ok(step.losses.present().iter().filter_map(|task| self.0.get(*task).copied()).collect())
    }
}
