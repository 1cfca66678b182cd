use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::spectrum::Spectrum;
use super::{AggregatorSettings, Property};
use crate::gramian::dot;
use crate::{Aggregator, Gramian, GramianWeighting, Level, OnGramian, Result, StepInfo};

/// Conflict-free inverse gradients (Liu et al. 2024): the direction whose cosines with all gradients are the same,
/// `u = U⁺ 1` with the unit gradients U, and whose length is the sum of the gradients' lengths along it.
///
/// On the Gramian it is `U⁺ 1 = Uᵀ C⁺ 1` with the cosines C. Components that are nothing but rounding, `λ ≤ K ε λ_max`, are left
/// out; gradients of zero have no part in it. Where gradients cancel so that their sum along u is negative, so is the length.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Of which gradients.
    pub level: Level,
}

#[derive(Debug)]
struct ConflictFree;

impl Method for Config {
    const NAME: &'static str = "config";
    const SUMMARY: &'static str = "the direction with the same cosine to all gradients";
    const ABOUT: &'static str = "\
        Liu et al. 2024 (conflict-free inverse gradients), arXiv:2408.11104: U⁺ 1 with the unit gradients \
        U, as long as the gradients along it together.";
}

impl AggregatorSettings for Config {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        Ok(Box::new(OnGramian::new(ConflictFree, self.level.clone(), tasks)))
    }

    fn properties(&self) -> &'static [Property] {
        &[Property::PermutationInvariant, Property::Homogeneous, Property::LinearUnderScaling]
    }
}

impl GramianWeighting for ConflictFree {
    fn name(&self) -> &'static str {
        Config::NAME
    }

    fn weights(&mut self, gramian: &Gramian, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        weights(gramian, step)
    }
}

/// The weights of gradients with this Gramian.
pub(super) fn weights(gramian: &Gramian, step: &StepInfo<'_>) -> Result<Vec<f64>> {
    let (lengths, cosines) = gramian.cosines();
    let spectrum = Spectrum::new(&cosines)
        .ok_or_else(|| step.diverged("the eigenvalues of the gradients' cosines were not found"))?;
    let ones: Vec<f64> = lengths.iter().map(|length| f64::from(u8::from(*length > 0.0))).collect();
    let share = spectrum.inverse(&ones);
    let products = cosines.apply(&share);
    let norm = dot(&products, &share).max(0.0).sqrt();
    if norm <= 0.0 {
        return Ok(vec![0.0; lengths.len()]);
    }
    let along: f64 = products.iter().zip(&lengths).map(|(product, length)| product * length / norm).sum();
    let weight = |(share, length): (&f64, &f64)| {
        if *length > 0.0 { share * (along / norm / length) } else { 0.0 }
    };
    Ok(share.iter().zip(&lengths).map(weight).collect())
}
