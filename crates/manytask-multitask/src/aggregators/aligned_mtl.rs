mod spectrum;

use serde::{Deserialize, Serialize};

use self::spectrum::Spectrum;
use super::AggregatorSettings;
use super::gradients::finite_gramian;
use crate::{Aggregator, Combination, Error, Gramian, Level, Needs, Result, Step};

/// Independent component alignment (Senushkin et al. 2023): the mean of the gradients after their principal components were
/// brought to one length, `α = B 1/K` with `B = √λᵣ V Λ^(−1/2) Vᵀ` and `G = V Λ Vᵀ`, so that `B G B = λᵣ I`.
///
/// Components that are nothing but rounding, `λ ≤ K ε λ_max`, are left out. The authors' code takes the sum, which is K times
/// as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlignedMtl {
    /// Of which gradients.
    pub level: Level,
    /// The λᵣ that all get.
    pub scale: Scale,
}

/// Which of the eigenvalues that are kept all get.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// The smallest: no component grows.
    #[default]
    Min,
    /// The one in the middle, the lower of two.
    Median,
    /// Their mean: the root mean square of the components' lengths.
    Rmse,
}

impl Default for AlignedMtl {
    fn default() -> Self {
        Self { level: Level::Parameters, scale: Scale::Min }
    }
}

#[derive(Debug)]
struct Alignment {
    settings: AlignedMtl,
    tasks: Vec<String>,
    last: Vec<f64>,
}

impl AggregatorSettings for AlignedMtl {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        Ok(Box::new(Alignment { settings: *self, tasks: tasks.to_vec(), last: Vec::new() }))
    }
}

/// α; `None` where the eigenvalues are not found, which no finite matrix is known to do.
fn weights(gramian: &Gramian, scale: Scale) -> Option<Vec<f64>> {
    let count = gramian.size();
    let mut weights = vec![1.0 / count as f64; count];
    let spectrum = Spectrum::new(gramian)?;
    let largest = spectrum.values().iter().copied().fold(0.0, f64::max);
    let rounding = largest * count as f64 * f64::EPSILON;
    let mut kept: Vec<f64> = spectrum.values().iter().copied().filter(|value| *value > rounding).collect();
    kept.sort_by(f64::total_cmp);
    let chosen = match scale {
        Scale::Min => kept.first().copied(),
        Scale::Median => kept.get(kept.len().saturating_sub(1) / 2).copied(),
        Scale::Rmse => Some(kept.iter().sum::<f64>() / kept.len() as f64),
    };
    // Without any component there is nothing to align.
    if let (Some(chosen), false) = (chosen, kept.is_empty()) {
        spectrum.apply(&mut weights, |value| if value > rounding { (chosen / value).sqrt() } else { 0.0 });
    }
    Some(weights)
}

impl Aggregator for Alignment {
    fn name(&self) -> &'static str {
        "aligned_mtl"
    }

    fn needs(&self) -> Needs {
        Needs::gramian(self.settings.level)
    }

    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        let number = step.number();
        let found = weights(finite_gramian(step, &self.tasks)?, self.settings.scale);
        self.last = found.ok_or_else(|| Error::Diverged {
            step: number,
            what: "the eigenvalues of the gradients' Gramian were not found".into(),
        })?;
        Ok(Combination::weights(self.last.clone()))
    }

    fn weights(&self) -> Option<&[f64]> {
        Some(&self.last)
    }
}
