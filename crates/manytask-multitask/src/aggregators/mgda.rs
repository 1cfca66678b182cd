mod min_norm;

use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::{AggregatorSettings, Property};
use crate::{Aggregator, Gramian, GramianWeighting, Level, OnGramian, Result, StepInfo};

/// The multiple-gradient descent algorithm (Désidéri 2012, Sener & Koltun 2018): the shortest vector in the convex hull of
/// the gradients, `min ‖Σ αᵢ gᵢ‖²` over `α ≥ 0, Σ α = 1`, found exactly.
///
/// At the level `representation` it is MGDA-UB. A normalisation changes the α alone: they weigh the gradients as they are,
/// as in the authors' code. A gradient of zero has no part in it: else it would be the answer, and one task that is done would
/// keep all others where they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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

#[derive(Debug)]
struct MinNorm(Normalisation);

impl Method for Mgda {
    const NAME: &'static str = "mgda";
    const SUMMARY: &'static str = "the shortest vector in the gradients' convex hull";
    const ABOUT: &'static str = "\
        Désidéri 2012; Sener & Koltun 2018, arXiv:1810.04650: a direction that is down for every task, or \
        a sign that there is none. With level = \"representation\" it is MGDA-UB, which takes one pass \
        through the trunk.";
}

impl AggregatorSettings for Mgda {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        Ok(Box::new(OnGramian::new(MinNorm(self.normalisation), self.level.clone(), tasks)))
    }

    fn properties(&self) -> &'static [Property] {
        match self.normalisation {
            Normalisation::None => {
                &[Property::PermutationInvariant, Property::NonConflicting, Property::Homogeneous]
            }
            _ => &[Property::PermutationInvariant, Property::Homogeneous],
        }
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
pub(super) fn weights(gramian: &Gramian) -> Vec<f64> {
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

impl GramianWeighting for MinNorm {
    fn name(&self) -> &'static str {
        Mgda::NAME
    }

    fn weights(&mut self, gramian: &Gramian, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        Ok(weights(&gramian.scaled(&self.0.factors(gramian, step.losses.values()))))
    }
}
