use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::dual_cone::DualCone;
use super::gradients::finite_gramian;
use crate::{Aggregator, Combination, Gramian, Level, Needs, Result, Step};

/// Unconflicting projection of gradients (Quinton & Rey 2024): the mean of the gradients, each projected onto the vectors that
/// go against no task, `Σ π(gᵢ) / K` with `π(g) = argmin ‖x − g‖` over `{x: J x ≥ 0}`, found exactly.
///
/// Each projection is `Jᵀ v` with `argmin vᵀ G v` over `v ≥ eᵢ`. Two tasks get half of what [`PcGrad`](super::PcGrad) gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpGrad {
    /// Of which gradients.
    pub level: Level,
}

impl Default for UpGrad {
    fn default() -> Self {
        Self { level: Level::Parameters }
    }
}

#[derive(Debug)]
struct Projections {
    settings: UpGrad,
    tasks: Vec<String>,
    last: Vec<f64>,
}

impl AggregatorSettings for UpGrad {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        Ok(Box::new(Projections { settings: *self, tasks: tasks.to_vec(), last: Vec::new() }))
    }
}

/// The mean over the tasks of the weights of their projected gradients.
fn weights(gramian: &Gramian) -> Vec<f64> {
    let (lengths, cosines) = gramian.cosines();
    let mut cone = DualCone::new(&cosines);
    let mut sum = vec![0.0; lengths.len()];
    for (task, own) in lengths.iter().enumerate() {
        // A gradient that goes against none stays as it is, and so does one of zero.
        if cosines.row(task).iter().any(|cosine| *cosine < 0.0) {
            cone.start(cosines.row(task));
            cone.solve(cosines.row(task), 1.0);
            for ((sum, weight), length) in sum.iter_mut().zip(cone.weights()).zip(&lengths) {
                if *weight > 0.0 {
                    *sum += weight * (own / length);
                }
            }
        }
        if let Some(sum) = sum.get_mut(task) {
            *sum += 1.0;
        }
    }
    sum.iter().map(|weight| weight / lengths.len() as f64).collect()
}

impl Aggregator for Projections {
    fn name(&self) -> &'static str {
        "upgrad"
    }

    fn needs(&self) -> Needs {
        Needs::gramian(self.settings.level)
    }

    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        self.last = weights(finite_gramian(step, &self.tasks)?);
        Ok(Combination::weights(self.last.clone()))
    }

    fn weights(&self) -> Option<&[f64]> {
        Some(&self.last)
    }
}
