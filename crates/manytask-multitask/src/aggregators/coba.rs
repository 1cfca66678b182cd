use std::collections::BTreeMap;

use manytask_tensor::Method;
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::support::{above_zero, positive, softmax};
use crate::{
    Aggregator, BatchOf, Combination, Error, Gives, Needs, Place, Result, State, Step, StepInfo, TaskVec,
    Want,
};

/// Convergence balancer (Gong et al. 2024): tasks count by the slopes of their losses on the validation split.
///
/// At each step a validation batch gives `rᵢ = lᵢ / lᵢ(0)`, and the least-squares line through the last N of them the slope αᵢ. With
/// K tasks `RCSᵢ = softmaxᵢ(K αᵢ / Σⱼ |αⱼ|)` favours what falls more slowly than the other tasks, and
/// `ACSᵢ = softmaxᵢ(−N αᵢ / Σ_s |αᵢ(s)|)` what falls faster than it did itself in the last N steps. They are mixed by
/// `DF = min(t softmax_t(−τ t α*(t) / Σ_s |α*(s)|), 1)` with the largest slope `α* = maxᵢ αᵢ` and the softmax over all steps s ≤ t:
/// `wᵢ = DF RCSᵢ + (1 − DF) ACSᵢ`, so that the second takes over where a task begins to diverge.
///
/// Weights add up to 1, and are equal for the first `warm_up_steps`. Tasks that the validation batch has no label of keep their slope.
/// A step costs a forward pass of the validation batch more, and one number for each step is kept for α*.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CoBa {
    /// Steps with equal weights; at least 2, for a slope. The paper takes the number of validation batches.
    pub warm_up_steps: u64,
    /// N, the steps that slopes are fitted to. The paper takes two to five times `warm_up_steps`.
    pub history: u64,
    /// τ, how soon divergence is seen.
    pub tau: f64,
}

impl Default for CoBa {
    fn default() -> Self {
        Self { warm_up_steps: 10, history: 50, tau: 5.0 }
    }
}

#[derive(Debug)]
struct Convergence {
    settings: CoBa,
    tasks: Vec<String>,
    memory: Memory,
    last: TaskVec,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Memory {
    /// Validation batches that were looked at.
    looks: u64,
    /// l(0) of each task.
    initial: Vec<Option<f64>>,
    /// r of each task in the last N looks, by the look.
    ratios: Vec<BTreeMap<u64, f64>>,
    /// α of each task in the last N looks.
    slopes: Vec<BTreeMap<u64, f64>>,
    /// α* of every look since the warm-up.
    largest: BTreeMap<u64, f64>,
}

impl Method for CoBa {
    const NAME: &'static str = "coba";
    const SUMMARY: &'static str = "tasks count by the slopes of their validation losses";
    const ABOUT: &'static str = "\
        Gong et al. 2024 (convergence balancer), arXiv:2410.06741: w = DF RCS + (1 − DF) ACS with slopes α of \
        the last `history` validation losses relative to the first: RCS = softmax(K α / Σ |α|) over tasks, ACS = \
        softmax(−N α / Σ |α|) with the sum over a task's own past, DF from the largest slope, which falls where \
        a task diverges. Equal weights for `warm_up_steps` (at least 2). A step looks at a validation batch, so \
        the validation split has a share in training: report results on a test split.";
}

impl AggregatorSettings for CoBa {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        above_zero(Self::NAME, "tau", self.tau)?;
        for (key, steps) in [("warm_up_steps", self.warm_up_steps), ("history", self.history)] {
            if steps < 2 {
                let what = format!("{}: {key} is {steps}", Self::NAME);
                return Err(Error::setting(key, what, "a slope needs 2 steps: write at least 2"));
            }
        }
        let count = tasks.len();
        let memory = Memory {
            looks: 0,
            initial: vec![None; count],
            ratios: vec![BTreeMap::new(); count],
            slopes: vec![BTreeMap::new(); count],
            largest: BTreeMap::new(),
        };
        let (settings, tasks) = (*self, tasks.to_vec());
        Ok(Box::new(Convergence { settings, tasks, memory, last: TaskVec::default() }))
    }
}

impl Convergence {
    /// Takes the losses of a validation batch in.
    fn observe(&mut self, losses: &TaskVec) {
        let Memory { looks, initial, ratios, slopes, largest } = &mut self.memory;
        let look = *looks;
        *looks += 1;
        let first = *looks - self.settings.history.min(*looks);
        for (task, loss) in losses.iter() {
            let (Some(initial), Some(ratios)) = (initial.get_mut(task), ratios.get_mut(task)) else {
                continue;
            };
            ratios.insert(look, loss / *initial.get_or_insert(loss));
            *ratios = ratios.split_off(&first);
        }
        if *looks < self.settings.warm_up_steps {
            return;
        }
        let mut most = f64::NEG_INFINITY;
        for (ratios, slopes) in ratios.iter().zip(slopes.iter_mut()) {
            let slope = slope(ratios);
            slopes.insert(look, slope);
            *slopes = slopes.split_off(&first);
            most = most.max(slope);
        }
        largest.insert(look, most);
    }

    /// The weights of these tasks; `None` in the warm-up.
    fn weights_of(&self, tasks: &[usize]) -> Option<Vec<f64>> {
        let Memory { slopes, largest, .. } = &self.memory;
        let divergence = divergence(largest, self.settings.tau)?;
        let own: Vec<&BTreeMap<u64, f64>> = tasks.iter().filter_map(|task| slopes.get(*task)).collect();
        let now: Vec<f64> = own.iter().map(|slopes| last(slopes)).collect();
        let relative = softmax(&shares(&now, now.iter().map(|slope| slope.abs()).sum(), now.len() as f64));
        let past = |slopes: &&BTreeMap<u64, f64>| {
            let sum: f64 = slopes.values().map(|slope| slope.abs()).sum();
            shares(&[last(slopes)], sum, -(slopes.len() as f64)).first().copied().unwrap_or_default()
        };
        let absolute = softmax(&own.iter().map(past).collect::<Vec<_>>());
        let mix = |(relative, absolute)| divergence * relative + (1.0 - divergence) * absolute;
        Some(relative.into_iter().zip(absolute).map(mix).collect())
    }
}

fn last(slopes: &BTreeMap<u64, f64>) -> f64 {
    slopes.last_key_value().map_or(0.0, |(_, slope)| *slope)
}

/// `factor · value / sum`; 0 where all are 0.
fn shares(values: &[f64], sum: f64, factor: f64) -> Vec<f64> {
    values.iter().map(|value| if sum > 0.0 { factor * value / sum } else { 0.0 }).collect()
}

/// The slope of the line of least squares; 0 of fewer than two points.
fn slope(points: &BTreeMap<u64, f64>) -> f64 {
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), (look, ratio)| (x + *look as f64, y + ratio));
    let (x, y) = (x / count, y / count);
    let (mut products, mut squares) = (0.0, 0.0);
    for (look, ratio) in points {
        let distance = *look as f64 - x;
        products += distance * (ratio - y);
        squares += distance * distance;
    }
    if squares > 0.0 { products / squares } else { 0.0 }
}

/// DF at the last of these steps; `None` before the first.
fn divergence(largest: &BTreeMap<u64, f64>, tau: f64) -> Option<f64> {
    let count = largest.len() as f64;
    let values: Vec<f64> = largest.values().copied().collect();
    let exponents = shares(&values, values.iter().map(|slope| slope.abs()).sum(), -tau * count);
    Some((count * softmax(&exponents).last()?).min(1.0))
}

impl Aggregator for Convergence {
    fn name(&self) -> &'static str {
        CoBa::NAME
    }

    fn needs(&self) -> Needs {
        Needs { validation: true, fixed_tasks: true, ..Needs::LOSSES }
    }

    fn gives(&self) -> Gives {
        Gives::LossWeights
    }

    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        let seen = step.look(BatchOf::Validation, Place::Here, Want::Losses)?.losses;
        let info = StepInfo::new(step, &seen, &self.tasks);
        positive(CoBa::NAME, &info)?;
        if let Some((task, loss)) = seen.iter().find(|(_, loss)| !loss.is_finite()) {
            let name = info.name(task);
            return Err(info.diverged(format!("the loss of task `{name}` on a validation batch is {loss}")));
        }
        self.observe(&seen);
        let present = step.present();
        let equal = || vec![1.0 / present.len() as f64; present.len()];
        let weights = self.weights_of(present).unwrap_or_else(equal);
        self.last = step.losses().with_values(&weights);
        Ok(Combination::weighted_losses(weights))
    }

    fn weights(&self) -> Option<&TaskVec> {
        Some(&self.last)
    }

    fn state(&self) -> Result<State> {
        State::of(&self.memory)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        state.read_into(CoBa::NAME, &mut self.memory)
    }
}
