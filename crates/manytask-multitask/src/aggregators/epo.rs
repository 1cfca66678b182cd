use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::linear_program::maximise_on_simplex;
use super::mgda;
use super::preference::{Preference, Preferred};
use super::support::{above_zero, not_positive};
use crate::{Aggregator, Gramian, GramianWeighting, Level, OnGramian, Result, StepInfo};

/// Exact Pareto optimal search (Mahapatra & Rajan 2020, ICML, <https://proceedings.mlr.press/v119/mahapatra20a.html>): the point of the front
/// at which `rᵢ lᵢ` is the same for all tasks, r being their preferences.
///
/// How far from it losses are is `μ = Σ l̂ᵢ log(K l̂ᵢ)`, `l̂ᵢ = rᵢ lᵢ / Σ rⱼ lⱼ`, with the anchor `aᵢ = rᵢ (log(K l̂ᵢ) − μ)`. With the Gramian G and
/// `c = G a` the weights w, at least 0 with the sum 1, solve a linear program. Where μ is above `tolerance` they balance: the largest `cᵀ w`,
/// with `(G w)ᵢ ≥ 0` for the task of the largest `rᵢ lᵢ` and `(G w)ᵢ ≥ cᵢ` for tasks that the anchor does not help; others may get worse. Else
/// they go down for all: the largest `Σ (G w)ᵢ`, with `G w ≥ 0` and `cᵀ w ≥ min(max c, 0)`. The direction is `K Jᵀ w`, as in the authors' code.
///
/// Where rounding leaves no solution the weights are those of MGDA, which no constraint excludes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Epo {
    /// Of which gradients.
    pub level: Level,
    /// μ up to which losses are balanced.
    pub tolerance: f64,
    /// r of each task, and what its loss is measured from.
    pub preference: Preference,
}

impl Default for Epo {
    fn default() -> Self {
        Self { level: Level::Parameters, tolerance: 1e-4, preference: Preference::default() }
    }
}

#[derive(Debug)]
struct Search {
    tolerance: f64,
    preferred: Preferred,
}

impl Method for Epo {
    const NAME: &'static str = "epo";
    const SUMMARY: &'static str = "to the point of the Pareto front at which weighted losses are equal";
    const ABOUT: &'static str = "\
        Mahapatra & Rajan 2020 (exact Pareto optimal search): a linear program on the gradients' Gramian finds the weights that \
        make r l more equal, and once they are, up to `tolerance`, those that go down for all tasks. preference.weights are r: \
        a task of twice the preference ends at half the loss. Losses must be above 0. Other than weighted sums it finds points of \
        fronts that curve inwards too.";
}

impl AggregatorSettings for Epo {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        above_zero(Self::NAME, "tolerance", self.tolerance)?;
        let preferred = self.preference.of(Self::NAME, tasks)?;
        let weighting = Search { tolerance: self.tolerance, preferred };
        Ok(Box::new(OnGramian::new(weighting, self.level.clone(), tasks)))
    }

    fn build_for_some(&self, tasks: &[String], all: &[String]) -> Result<Box<dyn Aggregator>> {
        Self { preference: self.preference.for_some(tasks, all), ..self.clone() }.build(tasks)
    }

    fn named(&self) -> Vec<String> {
        self.preference.named()
    }
}

/// How far weighted losses are from being equal.
struct Imbalance {
    /// μ.
    size: f64,
    /// a.
    anchor: Vec<f64>,
    /// The tasks of the largest weighted loss.
    largest: Vec<bool>,
}

impl Imbalance {
    fn of(preferences: &[f64], losses: &[f64]) -> Self {
        let count = losses.len() as f64;
        let sum: f64 = preferences.iter().sum();
        let preferences: Vec<f64> = preferences.iter().map(|preference| preference / sum).collect();
        let weighted: Vec<f64> = preferences.iter().zip(losses).map(|(r, loss)| r * loss).collect();
        let total: f64 = weighted.iter().sum();
        // A share of 0 has no logarithm; it is the least that can be told from 0.
        let shares: Vec<f64> = weighted.iter().map(|loss| (loss / total).max(f64::EPSILON)).collect();
        let logs: Vec<f64> = shares.iter().map(|share| (count * share).ln()).collect();
        let size: f64 = shares.iter().zip(&logs).map(|(share, log)| share * log).sum();
        let largest = weighted.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Self {
            size,
            anchor: preferences.iter().zip(&logs).map(|(r, log)| r * (log - size)).collect(),
            largest: weighted.iter().map(|loss| *loss == largest).collect(),
        }
    }
}

impl Search {
    /// The weights of the linear program.
    fn solved(&self, gramian: &Gramian, imbalance: &Imbalance) -> Option<Vec<f64>> {
        let helps = gramian.apply(&imbalance.anchor);
        let rows = (0..gramian.size()).map(|row| gramian.row(row).to_vec());
        let best = helps.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if imbalance.size <= self.tolerance {
            let objective = gramian.apply(&vec![1.0; gramian.size()]);
            let mut constraints: Vec<(Vec<f64>, f64)> = rows.map(|row| (row, 0.0)).collect();
            constraints.push((helps, best.min(0.0)));
            return maximise_on_simplex(&objective, &constraints);
        }
        let constraint = |((row, help), largest): ((Vec<f64>, &f64), &bool)| match (
            *largest || best <= 0.0,
            *help > 0.0,
        ) {
            (true, _) => Some((row, 0.0)),
            (false, true) => None,
            (false, false) => Some((row, *help)),
        };
        let constraints: Vec<(Vec<f64>, f64)> =
            rows.zip(&helps).zip(&imbalance.largest).filter_map(constraint).collect();
        maximise_on_simplex(&helps, &constraints)
    }
}

impl GramianWeighting for Search {
    fn name(&self) -> &'static str {
        Epo::NAME
    }

    fn follows_preferences(&self) -> bool {
        self.preferred.follows()
    }

    fn weights(&mut self, gramian: &Gramian, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        let losses = self.preferred.distances(step);
        if let Some((task, loss)) = step.losses.present().iter().zip(&losses).find(|(_, loss)| **loss <= 0.0)
        {
            return Err(not_positive(Epo::NAME, step.name(*task), *loss, step.number));
        }
        let imbalance = Imbalance::of(&self.preferred.weights(step), &losses);
        // In units of the longest gradient, so that rounding is told from numbers.
        let longest = gramian.squared_norms().into_iter().fold(0.0_f64, f64::max);
        let count = gramian.size() as f64;
        if longest <= 0.0 {
            return Ok(vec![1.0; gramian.size()]);
        }
        let scaled = gramian.scaled(&vec![longest.sqrt().recip(); gramian.size()]);
        let weights = self.solved(&scaled, &imbalance).unwrap_or_else(|| mgda::weights(&scaled));
        Ok(weights.iter().map(|weight| count * weight).collect())
    }
}
