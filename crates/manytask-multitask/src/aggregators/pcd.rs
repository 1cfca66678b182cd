use manytask_tensor::{KeyPath, Method};
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::dual_cone::DualCone;
use super::support::{below_one, unit};
use crate::{Aggregator, Error, Gramian, GramianWeighting, Level, OnGramian, Result, State, StepInfo};

/// What is added to moving averages before their root.
const ADDED: f64 = 1e-8;
/// The square of a direction's length, relative to what it is made of, at which it is rounding.
const ROUNDING: f64 = 1e-14;

/// Priority-constrained descent (2026): the primary task's gradient, changed as little as lets every other task have a share of the
/// progress that a step along its own gradient would bring.
///
/// With gradients `uᵢ = gᵢ / √(v̂ᵢ + ε)` by the moving averages v̂ of their squared lengths, corrected for their start,
/// `d = argmin ½ ‖d − u₁‖²` over `uⱼᵀ d ≥ τ ‖uⱼ‖²` for all others, found exactly on the Gramian, and brought to the length of g₁.
/// Where no d satisfies all, and where there is no other task, it is g₁. At a step without the primary task the first present one takes
/// its place. The averages of absent tasks rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pcd {
    /// Of which gradients.
    pub level: Level,
    /// The task that comes first. Absent: the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<String>,
    /// τ, the share of progress.
    pub tau: f64,
    /// What stays of an average at each step.
    pub beta: f64,
}

impl Default for Pcd {
    fn default() -> Self {
        Self { level: Level::Parameters, primary: None, tau: 0.02, beta: 0.999 }
    }
}

#[derive(Debug)]
struct Priority {
    tau: f64,
    beta: f64,
    primary: usize,
    memory: Memory,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Memory {
    /// v of each task, and its steps.
    squares: Vec<f64>,
    steps: Vec<u64>,
}

impl Method for Pcd {
    const NAME: &'static str = "pcd";
    const SUMMARY: &'static str =
        "the primary task's gradient, changed so that all others have a share of progress";
    const ABOUT: &'static str = "\
        Priority-constrained descent 2026, arXiv:2606.29521: min |d − u₁|² with uⱼᵀ d ≥ τ |uⱼ|² for all other tasks, \
        solved exactly; gradients u are divided by moving averages of their lengths, the direction is as long as \
        the primary task's gradient. `primary` is a task by name, left out the first. Where the constraints \
        contradict each other the primary gradient is followed.";
}

impl AggregatorSettings for Pcd {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        self.build_for_some(tasks, tasks)
    }

    fn build_for_some(&self, tasks: &[String], all: &[String]) -> Result<Box<dyn Aggregator>> {
        unit(Self::NAME, "tau", self.tau)?;
        below_one(Self::NAME, "beta", self.beta)?;
        if let Some(name) = self.primary.as_ref().filter(|name| !all.contains(name)) {
            return Err(Error::setting(
                KeyPath::from("primary").text(name),
                format!("{}: primary: there is no task `{name}`", Self::NAME),
                format!("the tasks are `{}`", all.join("`, `")),
            ));
        }
        let place = |name: &String| tasks.iter().position(|task| task == name);
        let weighting = Priority {
            tau: self.tau,
            beta: self.beta,
            primary: self.primary.as_ref().and_then(place).unwrap_or_default(),
            memory: Memory { squares: vec![0.0; tasks.len()], steps: vec![0; tasks.len()] },
        };
        Ok(Box::new(OnGramian::new(weighting, self.level.clone(), tasks)))
    }

    fn named(&self) -> Vec<String> {
        self.primary.iter().cloned().collect()
    }
}

impl Priority {
    /// `1 / √(v̂ + ε)` of the present tasks, with this step in v.
    fn scales(&mut self, present: &[usize], squares: &[f64]) -> Vec<f64> {
        let Memory { squares: averages, steps } = &mut self.memory;
        let mut scale = |(task, square): (&usize, &f64)| {
            let (Some(average), Some(steps)) = (averages.get_mut(*task), steps.get_mut(*task)) else {
                return 1.0;
            };
            *steps += 1;
            *average = self.beta * *average + (1.0 - self.beta) * square;
            (*average / (1.0 - self.beta.powf(*steps as f64)) + ADDED).sqrt().recip()
        };
        present.iter().zip(squares).map(&mut scale).collect()
    }
}

/// The weights of the gradients of the direction before it has its length: 1 for `primary`, the multipliers of the constraints for others.
fn solve(gramian: &Gramian, primary: usize, scales: &[f64], tau: f64) -> Vec<f64> {
    let (lengths, cosines) = gramian.cosines();
    let of = |values: &[f64], task: usize| values.get(task).copied().unwrap_or_default();
    let mut weights = vec![0.0; lengths.len()];
    let own = of(scales, primary);
    let others: Vec<usize> =
        (0..lengths.len()).filter(|task| *task != primary && of(&lengths, *task) > 0.0).collect();
    let length = own * of(&lengths, primary);
    let missing: Vec<f64> = others
        .iter()
        .map(|task| length * cosines.at(primary, *task) - tau * of(scales, *task) * of(&lengths, *task))
        .collect();
    let among = cosines.only(&others);
    let mut cone = DualCone::new(&among);
    cone.start(&missing);
    if cone.solve(&missing, length) {
        for (task, multiplier) in others.iter().zip(cone.weights()) {
            if let Some(weight) = weights.get_mut(*task) {
                *weight = multiplier / of(&lengths, *task);
            }
        }
    }
    if let Some(weight) = weights.get_mut(primary) {
        *weight = own;
    }
    weights
}

impl GramianWeighting for Priority {
    fn name(&self) -> &'static str {
        Pcd::NAME
    }

    fn keeps_tasks(&self) -> bool {
        true
    }

    fn weights(&mut self, gramian: &Gramian, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        let primary = step.losses.row(self.primary).unwrap_or_default();
        let squares = gramian.squared_norms();
        let scales = self.scales(step.losses.present(), &squares);
        let wanted = squares.get(primary).copied().unwrap_or_default().max(0.0).sqrt();
        let weights = solve(gramian, primary, &scales, self.tau);
        let parts = squares.iter().zip(&weights).map(|(square, weight)| square.max(0.0).sqrt() * weight);
        let (found, size) = (gramian.quadratic(&weights).max(0.0).sqrt(), parts.sum::<f64>());
        let scale = if wanted > 0.0 && found * found > ROUNDING * size * size { wanted / found } else { 0.0 };
        Ok(weights.into_iter().map(|weight| weight * scale).collect())
    }

    fn state(&self) -> Result<State> {
        State::of(&self.memory)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        state.read_into(Pcd::NAME, &mut self.memory)
    }
}
