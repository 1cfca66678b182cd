use manytask_tensor::{Method, Params};
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::mgda;
use super::scalar_optimizer::{ScalarOptimizer, ScalarRule};
use super::support::{above_zero, softmax};
use crate::{
    Aggregator, BatchOf, Combination, Error, Gives, Gramian, Needs, Place, Result, State, Step, TaskVec, Want,
};

/// Multi-objective meta-learning of weights (Ye et al. 2021), with one inner step: the weights `w = softmax(α)` go down for the validation
/// losses of all tasks.
///
/// With `θ' = θ − η Σ wᵢ ∇lᵢ(θ)` over all parameters the validation loss Fⱼ(θ') has the gradient `−η (diag(w) − w wᵀ) pⱼ` by α,
/// `pⱼᵢ = ⟨∇Fⱼ(θ'), ∇lᵢ(θ)⟩`, exactly and without differences. α follows the shortest convex combination of these gradients, each of length
/// 1 (MGDA), with its own Adam; then the step is along `Σ wᵢ lᵢ`. Weights add up to 1; those of absent tasks rest.
///
/// A step costs a pass both ways for each task on either batch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Moml {
    /// The rate at which α is learned.
    pub learning_rate: f64,
    /// η, how far the look ahead goes. Absent: the learning rate of the step.
    pub inner_learning_rate: Option<f64>,
}

impl Default for Moml {
    fn default() -> Self {
        Self { learning_rate: 1e-3, inner_learning_rate: None }
    }
}

#[derive(Debug)]
struct Bilevel {
    settings: Moml,
    tasks: Vec<String>,
    memory: Memory,
    last: TaskVec,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Memory {
    /// α.
    logits: Vec<f64>,
    #[serde(flatten)]
    optimizer: ScalarOptimizer,
}

impl Method for Moml {
    const NAME: &'static str = "moml";
    const SUMMARY: &'static str = "weights that go down for the validation losses of all tasks";
    const ABOUT: &'static str = "\
        Ye et al. 2021 (multi-objective meta-learning), with one inner step: w = softmax(α), and α follows the shortest \
        convex combination of the gradients of all tasks' validation losses after a step along Σ w l. A step costs a \
        pass for each task on either batch. The validation split then has a share in training: report results on a \
        test split.";
}

impl AggregatorSettings for Moml {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        above_zero(Self::NAME, "learning_rate", self.learning_rate)?;
        if let Some(rate) = self.inner_learning_rate {
            above_zero(Self::NAME, "inner_learning_rate", rate)?;
        }
        let memory = Memory { logits: vec![0.0; tasks.len()], optimizer: ScalarOptimizer::new(tasks.len()) };
        let (settings, tasks) = (*self, tasks.to_vec());
        Ok(Box::new(Bilevel { settings, tasks, memory, last: TaskVec::default() }))
    }
}

/// The gradient of one task's loss by all parameters.
fn gradient(step: &mut dyn Step, batch: BatchOf, place: Place<'_>, task: usize) -> Result<Params> {
    let mut alone = vec![0.0; step.tasks()];
    if let Some(weight) = alone.get_mut(task) {
        *weight = 1.0;
    }
    step.look(batch, place, Want::Gradient(&alone))?.gradient()?.detach().map_err(Into::into)
}

impl Bilevel {
    /// w of the present tasks.
    fn shares(&self, present: &[usize]) -> Vec<f64> {
        let of = |task: &usize| self.memory.logits.get(*task).copied().unwrap_or_default();
        softmax(&present.iter().map(of).collect::<Vec<_>>())
    }

    /// The gradient of each validation loss by α of the present tasks.
    fn outer_gradients(&self, step: &mut dyn Step, shares: &[f64]) -> Result<Vec<Vec<f64>>> {
        let rate = self.settings.inner_learning_rate.unwrap_or(step.learning_rate());
        let own = step.present().to_vec();
        let own = own.iter().map(|task| gradient(step, BatchOf::Own, Place::Here, *task));
        let own = own.collect::<Result<Vec<_>>>()?;
        let mut down = None;
        for (gradient, share) in own.iter().zip(shares) {
            down = Some(match down {
                None => gradient.scale(*share)?,
                Some(sum) => Params::add_scaled(&sum, gradient, *share)?,
            });
        }
        let Some(down) = down else { return Ok(Vec::new()) };
        let ahead = Place::Moved { against: &down, rate };
        let judged = step.look(BatchOf::Validation, ahead, Want::Losses)?.losses;
        let mut rows = Vec::with_capacity(judged.len());
        for task in judged.present() {
            let outer = gradient(step, BatchOf::Validation, ahead, *task)?;
            let products = own.iter().map(|own| Ok(outer.dot(own)?.f_double_value(&[])?));
            let products = products.collect::<Result<Vec<f64>>>()?;
            if products.iter().any(|product| !product.is_finite()) {
                let name = self.tasks.get(*task).map_or("", String::as_str);
                let what = format!(
                    "the gradient of task `{name}` on a validation batch is not finite, or too large"
                );
                return Err(Error::Diverged { step: step.number(), what });
            }
            let mean: f64 = shares.iter().zip(&products).map(|(share, product)| share * product).sum();
            rows.push(shares.iter().zip(products).map(|(share, p)| -rate * share * (p - mean)).collect());
        }
        Ok(rows)
    }

    fn learn(&mut self, present: &[usize], rows: &[Vec<f64>]) {
        let rows: Vec<Vec<f64>> = rows.iter().filter_map(|row| unit(row)).collect();
        let products = rows.iter().flat_map(|one| rows.iter().map(|other| crate::gramian::dot(one, other)));
        let weights = mgda::weights(&Gramian::of(rows.len(), products.collect()));
        for (place, task) in present.iter().enumerate() {
            let slope =
                rows.iter().zip(&weights).map(|(row, weight)| row.get(place).unwrap_or(&0.0) * weight);
            let Memory { logits, optimizer } = &mut self.memory;
            if let Some(logit) = logits.get_mut(*task) {
                optimizer.step(ScalarRule::Adam, *task, logit, slope.sum(), self.settings.learning_rate);
            }
        }
    }
}

/// A row of length 1; `None` of zeros.
fn unit(row: &[f64]) -> Option<Vec<f64>> {
    let largest = row.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    let length = largest * row.iter().map(|x| (x / largest).powi(2)).sum::<f64>().sqrt();
    (largest > 0.0).then(|| row.iter().map(|x| x / length).collect())
}

impl Aggregator for Bilevel {
    fn name(&self) -> &'static str {
        Moml::NAME
    }

    fn needs(&self) -> Needs {
        Needs { validation: true, look_ahead: true, fixed_tasks: true, ..Needs::LOSSES }
    }

    fn gives(&self) -> Gives {
        Gives::LossWeights
    }

    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        let present = step.present().to_vec();
        let rows = self.outer_gradients(step, &self.shares(&present))?;
        if !rows.is_empty() {
            self.learn(&present, &rows);
        }
        let weights = self.shares(&present);
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
        state.read_into(Moml::NAME, &mut self.memory)
    }
}
