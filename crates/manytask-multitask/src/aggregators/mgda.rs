mod min_norm;

use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::gradients::finite_gramian;
use crate::{Aggregator, Combination, Gramian, Level, Needs, Result, Step};

/// The multiple-gradient descent algorithm (Désidéri 2012, Sener & Koltun 2018): the shortest vector in the convex hull of
/// the gradients, `min ‖Σ αᵢ gᵢ‖²` over `α ≥ 0, Σ α = 1`, found exactly.
///
/// At the level `representation` it is MGDA-UB. A normalisation changes the α alone: they weigh the gradients as they are,
/// as in the authors' code. A gradient of zero has no part in it: else it would be the answer, and one task that is done would
/// keep all others where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mgda {
    /// Of which gradients.
    pub level: Level,
    /// By what each gradient is divided before α is sought.
    pub normalisation: Normalisation,
}

/// By what gradients are divided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalisation {
    /// Nothing.
    #[default]
    None,
    /// Their norm.
    L2,
    /// Their task's loss, by its size where it is negative: a sign would turn the gradient around.
    Loss,
    /// Both (`loss+` in the authors' code).
    LossL2,
}

impl Default for Mgda {
    fn default() -> Self {
        Self { level: Level::Parameters, normalisation: Normalisation::None }
    }
}

#[derive(Debug)]
struct MinNorm {
    settings: Mgda,
    tasks: Vec<String>,
    last: Vec<f64>,
}

impl AggregatorSettings for Mgda {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        Ok(Box::new(MinNorm { settings: *self, tasks: tasks.to_vec(), last: Vec::new() }))
    }
}

impl Normalisation {
    /// The factor of each gradient; a gradient or loss of zero is left as it is.
    fn factors(self, gramian: &Gramian, losses: &[f64]) -> Vec<f64> {
        let divisors = gramian.squared_norms().into_iter().zip(losses).map(|(squared, loss)| match self {
            Self::None => 1.0,
            Self::L2 => squared.sqrt(),
            Self::Loss => loss.abs(),
            Self::LossL2 => loss.abs() * squared.sqrt(),
        });
        divisors.map(|divisor| if divisor > 0.0 { divisor.recip() } else { 1.0 }).collect()
    }
}

/// The convex weights of the gradients that are not zero.
fn weights(gramian: &Gramian) -> Vec<f64> {
    let some: Vec<usize> = (0..gramian.size()).filter(|i| gramian.at(*i, *i) > 0.0).collect();
    if some.is_empty() || some.len() == gramian.size() {
        return min_norm::point(gramian);
    }
    let mut all = vec![0.0; gramian.size()];
    for (row, weight) in some.iter().zip(min_norm::point(&gramian.only(&some))) {
        if let Some(place) = all.get_mut(*row) {
            *place = weight;
        }
    }
    all
}

impl Aggregator for MinNorm {
    fn name(&self) -> &'static str {
        "mgda"
    }

    fn needs(&self) -> Needs {
        Needs::gramian(self.settings.level)
    }

    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        let losses = step.losses().to_vec();
        let gramian = finite_gramian(step, &self.tasks)?;
        let factors = self.settings.normalisation.factors(gramian, &losses);
        self.last = weights(&gramian.scaled(&factors));
        Ok(Combination::weights(self.last.clone()))
    }

    fn weights(&self) -> Option<&[f64]> {
        Some(&self.last)
    }
}
