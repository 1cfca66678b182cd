//! What is done with a method's weights before they are used.

use manytask_tensor::Kind;
use serde::{Deserialize, Serialize};

use crate::{
    Aggregator, Combination, Error, Gives, Level, Needs, Result, Shared, State, Step, StepInfo, TaskVec,
};

/// What is done with a method's weights or direction before it is used, in this order: smoothed, scaled, limited, kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Post {
    /// α of CR-MOGM (Zhou et al. 2022), `λ ← α λ + (1 − α) λ̂` with the weights λ̂ that were found, each task's from its first
    /// on; 0 takes them as they are.
    pub smoothing: f64,
    /// What the weights add up to.
    pub scale: WeightScale,
    /// The largest length of the direction, at the level that the method works on; `inf` limits nothing. Kept weights have it
    /// at the step they were found at.
    pub max_norm: f64,
    /// Weights are kept for so many steps (as Nash-MTL and PSMGD do). A step that keeps them costs no more than a weighted sum
    /// of losses.
    pub update_every: u64,
}

/// What weights add up to: methods differ by a factor of the number of tasks, and learning rates with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightScale {
    /// What the method gives.
    #[default]
    Native,
    /// The number of present tasks, as the weights of a sum do.
    Sum,
    /// 1, as those of a mean do.
    Mean,
    /// What the method gives, times this.
    Factor(f64),
}

impl Default for Post {
    fn default() -> Self {
        Self { smoothing: 0.0, scale: WeightScale::Native, max_norm: f64::INFINITY, update_every: 1 }
    }
}

impl Post {
    /// The method with this behind it; `name` is what errors about these settings begin with.
    ///
    /// # Errors
    /// When a number is out of range, or the method has no weights or direction for it.
    pub fn build(
        &self,
        name: &str,
        method: Box<dyn Aggregator>,
        tasks: &[String],
    ) -> Result<Box<dyn Aggregator>> {
        self.check(name)?;
        if *self == Self::default() {
            return Ok(method);
        }
        let weights = self.keeps() || !matches!(self.scale, WeightScale::Native | WeightScale::Factor(_));
        if weights && method.gives() == Gives::Direction {
            return Err(Error::setting(
                self.weighing_key(),
                format!(
                    "{name}: `{}` gives a direction, which has no weights to smooth, scale or keep",
                    method.name()
                ),
                "leave out smoothing, scale and update_every, or take a method that gives weights",
            ));
        }
        let level = method.needs().gradients.first().map(|(_, level)| level.clone());
        if self.max_norm.is_finite() && level.is_none() {
            return Err(Error::setting(
                "max_norm",
                format!(
                    "{name}: `{}` weighs losses, and the length of their gradient is not known",
                    method.name()
                ),
                "leave out max_norm and set clip_norm in [training]",
            ));
        }
        Ok(Box::new(Finished {
            settings: self.clone(),
            level: level.unwrap_or_default(),
            method,
            tasks: tasks.to_vec(),
            memory: Memory { kept: vec![None; tasks.len()], smooth: vec![None; tasks.len()], age: 0 },
            found: Found::Kept,
            last: TaskVec::default(),
        }))
    }

    fn check(&self, name: &str) -> Result<()> {
        if self.max_norm.is_nan() || self.max_norm <= 0.0 {
            return Err(Error::setting(
                "max_norm",
                format!("{name}: max_norm is {}", self.max_norm),
                "write a number above 0, or inf",
            ));
        }
        if self.update_every == 0 {
            return Err(Error::setting(
                "update_every",
                format!("{name}: update_every is 0"),
                "write 1 to solve at each step",
            ));
        }
        if !(0.0..1.0).contains(&self.smoothing) {
            return Err(Error::setting(
                "smoothing",
                format!("{name}: smoothing is {}", self.smoothing),
                "write a number from 0 to below 1",
            ));
        }
        match self.scale {
            WeightScale::Factor(factor) if !(factor.is_finite() && factor > 0.0) => Err(Error::setting(
                ["scale", "factor"],
                format!("{name}: a scale by {factor}"),
                "write a number above 0",
            )),
            _ => Ok(()),
        }
    }

    /// The first key that is about weights.
    fn weighing_key(&self) -> &'static str {
        match self {
            Self { smoothing, .. } if *smoothing > 0.0 => "smoothing",
            Self { update_every: 2.., .. } => "update_every",
            _ => "scale",
        }
    }

    fn keeps(&self) -> bool {
        self.update_every > 1 || self.smoothing > 0.0
    }
}

#[derive(Debug)]
struct Finished {
    settings: Post,
    method: Box<dyn Aggregator>,
    /// Of which gradients the method gives a combination.
    level: Level,
    tasks: Vec<String>,
    memory: Memory,
    found: Found,
    last: TaskVec,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Memory {
    /// The weight that each task had when it last was present at a solution.
    kept: Vec<Option<f64>>,
    /// The smoothed weight of each task.
    smooth: Vec<Option<f64>>,
    /// Steps since the solution, that one included; 0 where the next step must solve.
    age: u64,
}

/// Whether the method was asked at the last step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Anew,
    Kept,
}

impl Finished {
    /// The kept weights of these tasks, as long as they are young enough and each task has one.
    fn kept(&self, present: &[usize]) -> Option<Vec<f64>> {
        let young = 0 < self.memory.age && self.memory.age < self.settings.update_every;
        let weight = |task: &usize| self.memory.kept.get(*task).copied().flatten();
        young.then(|| present.iter().map(weight).collect()).flatten()
    }

    fn smoothed(&mut self, present: &[usize], mut weights: Vec<f64>) -> Vec<f64> {
        let alpha = self.settings.smoothing;
        if alpha > 0.0 {
            for (task, weight) in present.iter().zip(&mut weights) {
                if let Some(smooth) = self.memory.smooth.get_mut(*task) {
                    *weight = smooth.map_or(*weight, |before| alpha * before + (1.0 - alpha) * *weight);
                    *smooth = Some(*weight);
                }
            }
        }
        weights
    }

    fn scaled(&self, info: &StepInfo<'_>, mut weights: Vec<f64>) -> Result<Vec<f64>> {
        let sum: f64 = weights.iter().sum();
        let wanted = match self.settings.scale {
            WeightScale::Native => return Ok(weights),
            WeightScale::Factor(factor) => factor * sum,
            WeightScale::Sum => weights.len() as f64,
            WeightScale::Mean => 1.0,
        };
        let factor = match self.settings.scale {
            WeightScale::Factor(factor) => factor,
            // No weight at all is what a method finds at a Pareto-stationary point.
            _ if weights.iter().all(|weight| *weight == 0.0) => return Ok(weights),
            _ if sum > 0.0 => wanted / sum,
            _ => {
                let name = self.method.name();
                return Err(info.diverged(format!(
                    "the weights of `{name}` add up to {sum}, and no scale makes that {wanted}"
                )));
            }
        };
        for weight in &mut weights {
            *weight *= factor;
        }
        Ok(weights)
    }

    fn limited(&self, step: &mut dyn Step, mut weights: Vec<f64>) -> Result<Vec<f64>> {
        if self.settings.max_norm.is_finite() {
            let norm = step.gramian(&self.level)?.quadratic(&weights).max(0.0).sqrt();
            if norm > self.settings.max_norm {
                for weight in &mut weights {
                    *weight *= self.settings.max_norm / norm;
                }
            }
        }
        Ok(weights)
    }

    /// A direction of another length.
    fn turned(&self, combination: Combination) -> Result<Combination> {
        let Shared::Direction { vector, level } = combination.shared else { return Ok(combination) };
        let factor = match self.settings.scale {
            WeightScale::Factor(factor) => factor,
            _ => 1.0,
        };
        // In f64: the squares of large numbers overflow in single precision.
        let norm = factor * vector.f_to_kind(Kind::Double)?.f_norm()?.f_double_value(&[])?;
        let limit = if norm > self.settings.max_norm { self.settings.max_norm / norm } else { 1.0 };
        let vector = vector.f_mul_scalar(factor * limit)?;
        Ok(Combination { shared: Shared::Direction { vector, level }, ..combination })
    }

    fn solve(&mut self, step: &mut dyn Step) -> Result<Result<Vec<f64>, Combination>> {
        self.found = Found::Anew;
        let combination = self.method.combine(step)?;
        let Shared::Weights(weights) = combination.shared else {
            return self.turned(combination).map(Err);
        };
        let present = step.present().to_vec();
        let losses = step.losses().clone();
        let weights = self.smoothed(&present, weights);
        let weights = self.scaled(&StepInfo::new(step, &losses, &self.tasks), weights)?;
        let weights = self.limited(step, weights)?;
        self.memory.kept.fill(None);
        self.memory.age = 0;
        // Where there is no solution nothing is kept: the next step looks again.
        if weights.iter().any(|weight| *weight != 0.0) {
            for (task, weight) in present.iter().zip(&weights) {
                if let Some(kept) = self.memory.kept.get_mut(*task) {
                    *kept = Some(*weight);
                }
            }
        }
        Ok(Ok(weights))
    }
}

impl Aggregator for Finished {
    fn name(&self) -> &'static str {
        self.method.name()
    }

    fn needs(&self) -> Needs {
        let needs = self.method.needs();
        Needs { fixed_tasks: needs.fixed_tasks || self.settings.keeps(), ..needs }
    }

    fn gives(&self) -> Gives {
        self.method.gives()
    }

    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        self.found = Found::Kept;
        let weights = match self.kept(step.present()) {
            Some(weights) => weights,
            None => match self.solve(step)? {
                Ok(weights) => weights,
                Err(direction) => return Ok(direction),
            },
        };
        if self.memory.kept.iter().any(Option::is_some) {
            self.memory.age += 1;
        }
        self.last = step.losses().with_values(&weights);
        Ok(match self.method.gives() {
            Gives::LossWeights => Combination::weighted_losses(weights),
            Gives::GradientWeights | Gives::Direction => Combination::weights(weights),
        })
    }

    fn after_step(&mut self, losses: &TaskVec) -> Result<()> {
        match self.found {
            Found::Anew => self.method.after_step(losses),
            Found::Kept => Ok(()),
        }
    }

    fn end_epoch(&mut self, mean_losses: &TaskVec) -> Result<()> {
        self.method.end_epoch(mean_losses)
    }

    fn weights(&self) -> Option<&TaskVec> {
        self.method.weights().map(|_| &self.last)
    }

    fn state(&self) -> Result<State> {
        if !self.settings.keeps() {
            return self.method.state();
        }
        Ok(State::join([("post", State::of(&self.memory)?), ("method", self.method.state()?)]))
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        if !self.settings.keeps() {
            return self.method.restore(state);
        }
        state.part("post").read_into(self.method.name(), &mut self.memory)?;
        self.method.restore(&state.part("method"))
    }
}
