use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::spectrum::Spectrum;
use super::{AggregatorSettings, Property};
use crate::{Aggregator, Gramian, GramianWeighting, Level, OnGramian, Result, StepInfo};

/// The smallest sum of shares, relative to the sum of their sizes, that is more than rounding.
const ROUNDING: f64 = 1e-12;

/// The gradient balance of impartial multi-task learning (Liu et al. 2021): the affine combination `d = Σ αᵢ gᵢ`, `Σ αᵢ = 1`,
/// whose projections on all gradients are the same.
///
/// With the cosines C and lengths n it is `αᵢ ∝ (C⁺ 1)ᵢ / nᵢ`; components of C that are nothing but rounding are left out, and
/// gradients of zero have no part in it. Some α may be negative. Where the shares add up to zero there is none, and the weights
/// are 0.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImtlG {
    /// Of which gradients.
    pub level: Level,
}

#[derive(Debug)]
struct Impartial;

impl Method for ImtlG {
    const NAME: &'static str = "imtl_g";
    const SUMMARY: &'static str = "the combination whose projections on all gradients are equal";
    const ABOUT: &'static str = "\
        Liu et al. 2021 (IMTL-G): affine weights, some of which may be negative. With imtl_l in a pipeline \
        it is IMTL.";
}

impl AggregatorSettings for ImtlG {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        Ok(Box::new(OnGramian::new(Impartial, self.level.clone(), tasks)))
    }

    fn properties(&self) -> &'static [Property] {
        &[Property::PermutationInvariant, Property::Homogeneous]
    }
}

impl GramianWeighting for Impartial {
    fn name(&self) -> &'static str {
        ImtlG::NAME
    }

    fn weights(&mut self, gramian: &Gramian, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        let (lengths, cosines) = gramian.cosines();
        let spectrum = Spectrum::new(&cosines)
            .ok_or_else(|| step.diverged("the eigenvalues of the gradients' cosines were not found"))?;
        let ones: Vec<f64> = lengths.iter().map(|length| f64::from(u8::from(*length > 0.0))).collect();
        // In units of the shortest gradient, so that no quotient overflows.
        let shortest = lengths.iter().copied().filter(|length| *length > 0.0).fold(f64::INFINITY, f64::min);
        let share =
            |(share, length): (f64, &f64)| if *length > 0.0 { share * (shortest / length) } else { 0.0 };
        let shares: Vec<f64> = spectrum.inverse(&ones).into_iter().zip(&lengths).map(share).collect();
        let (sum, sizes) = shares.iter().fold((0.0, 0.0), |(sum, sizes), x| (sum + x, sizes + x.abs()));
        if sum.abs() <= ROUNDING * sizes {
            return Ok(vec![0.0; shares.len()]);
        }
        Ok(shares.iter().map(|share| share / sum).collect())
    }
}
