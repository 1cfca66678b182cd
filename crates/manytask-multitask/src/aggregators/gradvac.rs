use manytask_tensor::{Compat, Method};
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use crate::gramian::dot;
use crate::{Aggregator, Error, Gramian, GramianWeighting, Level, OnGramian, Result, State, StepInfo};

/// How near to ±1 a target may come: at 1 the gradients would have to be parallel.
const LARGEST: f64 = 1.0 - 1e-6;

/// Gradient vaccine (Wang et al. 2021): each task's gradient `pᵢ` is turned towards the others `gⱼ`, in random order, until its
/// cosine `φ` with each is at least the target `φ̂ᵢⱼ`: `pᵢ ← pᵢ + ‖pᵢ‖ (φ̂ √(1−φ²) − φ √(1−φ̂²)) / (‖gⱼ‖ √(1−φ̂²)) gⱼ` with the
/// original `gⱼ`; the direction is `Σ pᵢ`.
///
/// A target is the moving average of the cosines that were found, `φ̂ ← (1 − β) φ̂ + β φ`, whether gradients were turned or not.
/// Every `pᵢ` stays a combination of gradients, so all is done on their Gramian.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GradVac {
    /// Of which gradients.
    pub level: Level,
    /// β, how fast targets follow: 0.01 in the paper, 0.5 in some libraries.
    pub beta: f64,
}

impl Default for GradVac {
    fn default() -> Self {
        Self { level: Level::Parameters, beta: 0.01 }
    }
}

#[derive(Debug)]
struct Vaccine {
    beta: f64,
    memory: Memory,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Memory {
    /// φ̂ of each pair of tasks.
    targets: Vec<Vec<f64>>,
}

impl Method for GradVac {
    const NAME: &'static str = "gradvac";
    const SUMMARY: &'static str = "gradients turned towards each other as far as they usually are";
    const ABOUT: &'static str = "\
        Wang et al. 2021, arXiv:2010.05874: as pcgrad, with the moving average of each pair's cosine as \
        what is to be reached; it follows at the rate β whether gradients are turned or not.";
    const COMPAT: &'static [Compat] = &[
        Compat { of: "libmtl", settings: &[("beta", "0.5")], beyond: "" },
        Compat { of: "torchjd", settings: &[("beta", "0.5")], beyond: "" },
    ];
}

impl AggregatorSettings for GradVac {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        if !(0.0..=1.0).contains(&self.beta) {
            return Err(Error::setting(
                "beta",
                format!("gradvac: beta is {}", self.beta),
                "write a number from 0 to 1",
            ));
        }
        let memory = Memory { targets: vec![vec![0.0; tasks.len()]; tasks.len()] };
        Ok(Box::new(OnGramian::new(Vaccine { beta: self.beta, memory }, self.level.clone(), tasks)))
    }
}

impl GramianWeighting for Vaccine {
    fn name(&self) -> &'static str {
        GradVac::NAME
    }

    fn keeps_tasks(&self) -> bool {
        true
    }

    fn weights(&mut self, gramian: &Gramian, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        let size = gramian.size();
        let present = step.losses.present();
        let mut sum = vec![0.0; size];
        for (row, task) in present.iter().enumerate() {
            let Some(targets) = self.memory.targets.get_mut(*task) else { continue };
            // pᵢ as a combination, and its inner products with all gradients.
            let mut own = vec![0.0; size];
            if let Some(one) = own.get_mut(row) {
                *one = 1.0;
            }
            let mut products = gramian.row(row).to_vec();
            for other in step.key.task(*task as u64).permutation(size) {
                let other = other as usize;
                let Some(target) = present.get(other).and_then(|task| targets.get_mut(*task)) else {
                    continue;
                };
                let (length, of_other) =
                    (dot(&own, &products).max(0.0).sqrt(), gramian.at(other, other).max(0.0).sqrt());
                let product = products.get(other).copied().unwrap_or_default();
                if other == row || length <= 0.0 || of_other <= 0.0 {
                    continue;
                }
                let cosine = (product / length / of_other).clamp(-1.0, 1.0);
                if cosine < *target {
                    let wanted = target.clamp(-LARGEST, LARGEST);
                    let sines = ((1.0 - cosine * cosine).sqrt(), (1.0 - wanted * wanted).sqrt());
                    let added = length / of_other * (wanted * sines.0 - cosine * sines.1) / sines.1;
                    if let Some(weight) = own.get_mut(other) {
                        *weight += added;
                    }
                    products
                        .iter_mut()
                        .zip(gramian.row(other))
                        .for_each(|(product, g)| *product += added * g);
                }
                *target = (1.0 - self.beta) * *target + self.beta * cosine;
            }
            sum.iter_mut().zip(&own).for_each(|(sum, own)| *sum += own);
        }
        Ok(sum)
    }

    fn state(&self) -> Result<State> {
        State::of(&self.memory)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        state.read_into(self.name(), &mut self.memory)
    }
}
