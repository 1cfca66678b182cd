mod bargaining;

use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::gradients::finite_gramian;
use crate::{Aggregator, Combination, Error, Level, Needs, Result, State, Step};

/// The Nash bargaining solution (Navon et al. 2022): the direction `d = Jᵀ α` with `G α = 1/α` and `α > 0`, which maximises
/// `Σ log ⟨gᵢ, d⟩` in a ball, found exactly. Its length is √K before it is limited.
///
/// A gradient of zero has no part in it. Where the gradients have a convex combination of zero within rounding, there is no
/// solution: the parameters are Pareto-stationary, and the weights are 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NashMtl {
    /// Of which gradients.
    pub level: Level,
    /// The largest length of d; `inf` leaves it √K.
    pub max_norm: f64,
    /// Weights are kept for so many steps. A step that keeps them costs no more than a weighted sum of losses; their d has
    /// the limited length only at the step they were found at.
    pub update_every: u64,
}

impl Default for NashMtl {
    fn default() -> Self {
        Self { level: Level::Parameters, max_norm: 1.0, update_every: 1 }
    }
}

#[derive(Debug)]
struct Nash {
    settings: NashMtl,
    tasks: Vec<String>,
    /// The weight that each task had when it last was present at a solution.
    kept: Vec<Option<f64>>,
    /// Steps since then, that one included; 0 where the next step must solve.
    age: u64,
    last: Vec<f64>,
}

/// The names of what is saved, and what stands there for a task without a weight.
const WEIGHTS: &str = "weights";
const AGE: &str = "age";
const NONE: f64 = -1.0;

impl AggregatorSettings for NashMtl {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        if self.max_norm.is_nan() || self.max_norm <= 0.0 {
            return Err(Error::setting(
                format!("nash_mtl: max_norm is {}", self.max_norm),
                "write a number above 0, or inf",
            ));
        }
        if self.update_every == 0 {
            return Err(Error::setting("nash_mtl: update_every is 0", "write 1 to solve at each step"));
        }
        Ok(Box::new(Nash {
            settings: *self,
            tasks: tasks.to_vec(),
            kept: vec![None; tasks.len()],
            age: 0,
            last: Vec::new(),
        }))
    }
}

impl Nash {
    fn keeps(&self) -> bool {
        self.settings.update_every > 1
    }

    /// The kept weights of these tasks, as long as they are young enough and each task has one.
    fn kept(&self, present: &[usize]) -> Option<Vec<f64>> {
        let young = self.keeps() && 0 < self.age && self.age < self.settings.update_every;
        let weight = |task: &usize| self.kept.get(*task).copied().flatten();
        young.then(|| present.iter().map(weight).collect()).flatten()
    }

    fn solve(&mut self, step: &mut dyn Step) -> Result<Vec<f64>> {
        let present = step.present().to_vec();
        let gramian = finite_gramian(step, &self.tasks)?;
        let solution = bargaining::solve(gramian);
        self.kept.fill(None);
        self.age = 0;
        let Some(mut weights) = solution else {
            // Nothing is kept: the next step looks again.
            return Ok(vec![0.0; present.len()]);
        };
        let norm = gramian.quadratic(&weights).max(0.0).sqrt();
        if norm > self.settings.max_norm {
            for weight in &mut weights {
                *weight *= self.settings.max_norm / norm;
            }
        }
        for (task, weight) in present.iter().zip(&weights) {
            if let Some(kept) = self.kept.get_mut(*task) {
                *kept = Some(*weight);
            }
        }
        Ok(weights)
    }
}

impl Aggregator for Nash {
    fn name(&self) -> &'static str {
        "nash_mtl"
    }

    fn needs(&self) -> Needs {
        Needs { fixed_tasks: self.keeps(), ..Needs::gramian(self.settings.level) }
    }

    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        self.last = match self.kept(step.present()) {
            Some(weights) => weights,
            None => self.solve(step)?,
        };
        if self.kept.iter().any(Option::is_some) {
            self.age += 1;
        }
        Ok(Combination::weights(self.last.clone()))
    }

    fn weights(&self) -> Option<&[f64]> {
        Some(&self.last)
    }

    fn state(&self) -> State {
        if !self.keeps() {
            return State::default();
        }
        let weights = self.kept.iter().map(|weight| weight.unwrap_or(NONE)).collect();
        let numbers = [(WEIGHTS.to_owned(), weights), (AGE.to_owned(), vec![self.age as f64])];
        State { numbers: numbers.into(), ..State::default() }
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        if !self.keeps() {
            return Ok(());
        }
        let numbers = |name: &str, count: usize| {
            let saved = state.numbers.get(name).filter(|saved| saved.len() == count);
            saved.ok_or_else(|| Error::Contract {
                aggregator: "nash_mtl".into(),
                message: format!("the saved state has no `{name}` of {count} numbers"),
            })
        };
        let weights = numbers(WEIGHTS, self.kept.len())?;
        self.age = numbers(AGE, 1)?.iter().sum::<f64>() as u64;
        self.kept = weights.iter().map(|weight| (*weight >= 0.0).then_some(*weight)).collect();
        Ok(())
    }
}
