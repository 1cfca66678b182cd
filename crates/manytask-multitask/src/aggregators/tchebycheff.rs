use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::preference::{Preference, Preferred};
use crate::{Aggregator, LossWeighting, Needs, OnLosses, Result, StepInfo};

/// Tchebycheff scalarization (Bowman 1976): the objective is the largest `λᵢ (lᵢ − zᵢ)`, or the largest `(lᵢ − zᵢ) / λᵢ` in
/// the modified form. Tasks that share the maximum share its weight.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tchebycheff {
    /// Whether distances are multiplied or divided by λ.
    pub form: MaximumForm,
    /// λ and z of each task.
    pub preference: Preference,
}

/// What is done to a task's distance with its λ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaximumForm {
    /// It is multiplied by λ.
    #[default]
    Product,
    /// It is divided by λ: the solution lies on the line through z along λ.
    Quotient,
}

#[derive(Debug)]
struct Maximum {
    form: MaximumForm,
    preferred: Preferred,
}

impl Method for Tchebycheff {
    const NAME: &'static str = "tchebycheff";
    const SUMMARY: &'static str = "the largest loss";
    const ABOUT: &'static str = "Bowman 1976: max λ (l − z), or max (l − z) / λ with form = \"quotient\".";
}

impl AggregatorSettings for Tchebycheff {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        let preferred = self.preference.of(Tchebycheff::NAME, tasks)?;
        Ok(Box::new(OnLosses::new(Maximum { form: self.form, preferred }, tasks)))
    }

    fn build_for_some(&self, tasks: &[String], all: &[String]) -> Result<Box<dyn Aggregator>> {
        Self { preference: self.preference.for_some(tasks, all), ..self.clone() }.build(tasks)
    }

    fn named(&self) -> Vec<String> {
        self.preference.named()
    }
}

impl LossWeighting for Maximum {
    fn name(&self) -> &'static str {
        Tchebycheff::NAME
    }

    fn needs(&self) -> Needs {
        self.preferred.needs()
    }

    fn weights(&mut self, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        let factor = |lambda: f64| match self.form {
            MaximumForm::Product => lambda,
            MaximumForm::Quotient => lambda.recip(),
        };
        let factors: Vec<f64> = self.preferred.weights(step).into_iter().map(factor).collect();
        let terms: Vec<f64> =
            factors.iter().zip(self.preferred.distances(step)).map(|(f, d)| f * d).collect();
        let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let count = terms.iter().filter(|term| **term == largest).count() as f64;
        let weight = |(factor, term): (&f64, &f64)| if *term == largest { factor / count } else { 0.0 };
        Ok(factors.iter().zip(&terms).map(weight).collect())
    }
}
