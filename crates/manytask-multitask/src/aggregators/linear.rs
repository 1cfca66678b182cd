use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::preference::{Preference, Preferred};
use super::{AggregatorSettings, Property};
use crate::{Aggregator, LossWeighting, Needs, OnLosses, Result, StepInfo};

/// Linear scalarization (Zadeh 1963): the objective is `⟨λ, l − z⟩`, a weighted sum of the losses. Of a front it reaches the points at which it curves outwards.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Linear {
    /// λ of each task; z changes nothing here.
    pub preference: Preference,
}

#[derive(Debug)]
struct Sum(Preferred);

impl Method for Linear {
    const NAME: &'static str = "linear";
    const SUMMARY: &'static str = "the sum of the losses weighted by a preference";
    const ABOUT: &'static str = "\
        Zadeh 1963 (linear scalarization): <λ, l>. `preference.weights` are λ by task; without them 1/K each, or the \
        preference of the step with a network for the whole front (phn, cosmos).";
}

impl AggregatorSettings for Linear {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        let preferred = self.preference.of(Linear::NAME, tasks)?;
        Ok(Box::new(OnLosses::new(Sum(preferred), tasks)))
    }

    fn build_for_some(&self, tasks: &[String], all: &[String]) -> Result<Box<dyn Aggregator>> {
        Self { preference: self.preference.for_some(tasks, all) }.build(tasks)
    }

    fn named(&self) -> Vec<String> {
        self.preference.named()
    }

    fn properties(&self) -> &'static [Property] {
        &[Property::PermutationInvariant, Property::Homogeneous, Property::LinearUnderScaling]
    }
}

impl LossWeighting for Sum {
    fn name(&self) -> &'static str {
        Linear::NAME
    }

    fn needs(&self) -> Needs {
        self.0.needs()
    }

    fn weights(&mut self, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        Ok(self.0.weights(step))
    }
}
