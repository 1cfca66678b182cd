use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::preference::{Preference, Preferred};
use super::support::at_least_zero;
use crate::gramian::dot;
use crate::{Aggregator, LossWeighting, Needs, OnLosses, Result, StepInfo};

/// What is added under the root, so that a derivative is there on the line itself.
const UNDER_ROOT: f64 = 1e-12;

/// Penalty-based boundary intersection (Zhang & Li 2007): the objective is `d₁ + θ d₂`, the distance `d₁ = ⟨l − z, u⟩` along
/// the line through z in the direction `u = λ / ‖λ‖`, and the distance `d₂ = ‖(l − z) − d₁ u‖` from it.
///
/// `wᵢ = uᵢ + θ pᵢ / d₂` with `p = (l − z) − d₁ u`: far from the line weights are negative, and those losses grow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pbi {
    /// θ, what the distance from the line counts.
    pub theta: f64,
    /// λ and z of each task.
    pub preference: Preference,
}

impl Default for Pbi {
    fn default() -> Self {
        Self { theta: 5.0, preference: Preference::default() }
    }
}

#[derive(Debug)]
struct Boundary {
    theta: f64,
    preferred: Preferred,
}

impl Method for Pbi {
    const NAME: &'static str = "pbi";
    const SUMMARY: &'static str = "the distance along a line of wanted proportions, and from it";
    const ABOUT: &'static str = "\
        Zhang & Li 2007 (penalty-based boundary intersection): d1 + θ d2 with the distances along the line \
        through z in the direction λ, and from it.";
}

impl AggregatorSettings for Pbi {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        at_least_zero(Pbi::NAME, "theta", self.theta)?;
        let preferred = self.preference.of(Pbi::NAME, tasks)?;
        Ok(Box::new(OnLosses::new(Boundary { theta: self.theta, preferred }, tasks)))
    }

    fn build_for_some(&self, tasks: &[String], all: &[String]) -> Result<Box<dyn Aggregator>> {
        Self { preference: self.preference.for_some(tasks, all), ..self.clone() }.build(tasks)
    }

    fn named(&self) -> Vec<String> {
        self.preference.named()
    }
}

impl LossWeighting for Boundary {
    fn name(&self) -> &'static str {
        Pbi::NAME
    }

    fn needs(&self) -> Needs {
        self.preferred.needs()
    }

    fn weights(&mut self, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        let lambda = self.preferred.weights(step);
        let length = dot(&lambda, &lambda).sqrt();
        let along: Vec<f64> = lambda.iter().map(|lambda| lambda / length).collect();
        let distances = self.preferred.distances(step);
        let first = dot(&distances, &along);
        let beside: Vec<f64> = distances.iter().zip(&along).map(|(d, u)| d - first * u).collect();
        let second = (dot(&beside, &beside) + UNDER_ROOT).sqrt();
        Ok(along.iter().zip(&beside).map(|(u, p)| u + self.theta * p / second).collect())
    }
}
