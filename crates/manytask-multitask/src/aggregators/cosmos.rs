use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::preference::{Preference, Preferred};
use super::support::at_least_zero;
use crate::gramian::dot;
use crate::{Aggregator, LossWeighting, Needs, OnLosses, Result, StepInfo};

/// The objective of COSMOS (Ruchte & Grabocka 2021): `⟨λ, l⟩ − γ cos(λ, l)`, a weighted sum that rewards losses in the
/// proportions of the preference λ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cosmos {
    /// γ, what the angle counts.
    pub gamma: f64,
    /// λ of each task, and z, which losses are measured from.
    pub preference: Preference,
}

impl Default for Cosmos {
    fn default() -> Self {
        Self { gamma: 1.0, preference: Preference::default() }
    }
}

#[derive(Debug)]
struct Angle {
    gamma: f64,
    preferred: Preferred,
}

impl Method for Cosmos {
    const NAME: &'static str = "cosmos";
    const SUMMARY: &'static str = "a weighted sum that rewards losses in the proportions of the weights";
    const ABOUT: &'static str = "Ruchte & Grabocka 2021, arXiv:2103.13392: <λ, l> − γ cos(λ, l).";
}

impl AggregatorSettings for Cosmos {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        at_least_zero(Cosmos::NAME, "gamma", self.gamma)?;
        let preferred = self.preference.of(Cosmos::NAME, tasks)?;
        Ok(Box::new(OnLosses::new(Angle { gamma: self.gamma, preferred }, tasks)))
    }

    fn build_for_some(&self, tasks: &[String], all: &[String]) -> Result<Box<dyn Aggregator>> {
        Self { preference: self.preference.for_some(tasks, all), ..self.clone() }.build(tasks)
    }

    fn named(&self) -> Vec<String> {
        self.preference.named()
    }
}

impl LossWeighting for Angle {
    fn name(&self) -> &'static str {
        Cosmos::NAME
    }

    fn needs(&self) -> Needs {
        self.preferred.needs()
    }

    fn weights(&mut self, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        let (lambda, losses) = (self.preferred.weights(step), self.preferred.distances(step));
        let squared = dot(&losses, &losses);
        let both = (squared * dot(&lambda, &lambda)).sqrt();
        if both <= 0.0 {
            // Losses of zero have no angle.
            return Ok(lambda);
        }
        let cosine = dot(&lambda, &losses) / both;
        let weight =
            |(lambda, loss): (&f64, &f64)| lambda - self.gamma * (lambda / both - cosine * loss / squared);
        Ok(lambda.iter().zip(&losses).map(weight).collect())
    }
}
