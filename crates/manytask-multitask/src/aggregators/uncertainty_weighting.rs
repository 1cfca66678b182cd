use serde::{Deserialize, Serialize};

use super::{AggregatorSettings, finite};
use crate::{Aggregator, Combination, Error, Needs, Result, State, Step};

/// Uncertainty weighting (Kendall et al. 2018): each task has a learned log-variance s, and the objective is
/// `Σ (e^(−sᵢ) lᵢ + sᵢ) / 2`, or `Σ e^(−sᵢ) lᵢ + sᵢ / 2` in the form for classification.
///
/// The log-variances follow their own gradient with their own Adam (β 0.9 and 0.999), without weight decay; that of an
/// absent task rests.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UncertaintyWeighting {
    /// Where s starts.
    pub initial: f64,
    /// The rate at which s is learned. Absent: the learning rate of the step.
    pub learning_rate: Option<f64>,
    /// Whether the loss is halved.
    pub form: Form,
}

/// The likelihood that a loss stands for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// A normal one, `(e^(−s) l + s) / 2`: what libraries use for every kind of task.
    #[default]
    Regression,
    /// A softmax with temperature, `e^(−s) l + s / 2`.
    Classification,
}

impl Default for UncertaintyWeighting {
    fn default() -> Self {
        Self { initial: 0.0, learning_rate: None, form: Form::Regression }
    }
}

#[derive(Debug)]
struct Uncertainty {
    settings: UncertaintyWeighting,
    /// s, Adam's means and squares, and its steps, for each task.
    log_variance: Vec<f64>,
    mean: Vec<f64>,
    square: Vec<f64>,
    steps: Vec<f64>,
    last: Vec<f64>,
}

impl AggregatorSettings for UncertaintyWeighting {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        finite("uncertainty_weighting: initial", self.initial)?;
        if self.learning_rate.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)) {
            return Err(Error::setting(
                "uncertainty_weighting: a learning_rate that is not above 0",
                "raise it, or leave it out",
            ));
        }
        let zeros = vec![0.0; tasks.len()];
        Ok(Box::new(Uncertainty {
            settings: *self,
            log_variance: vec![self.initial; tasks.len()],
            mean: zeros.clone(),
            square: zeros.clone(),
            steps: zeros,
            last: Vec::new(),
        }))
    }
}

impl Uncertainty {
    /// One step of Adam on the s of a task.
    fn learn(&mut self, task: usize, gradient: f64, rate: f64) {
        const BETA: (f64, f64) = (0.9, 0.999);
        let (Some(s), Some(mean), Some(square), Some(steps)) = (
            self.log_variance.get_mut(task),
            self.mean.get_mut(task),
            self.square.get_mut(task),
            self.steps.get_mut(task),
        ) else {
            return;
        };
        *steps += 1.0;
        *mean = BETA.0 * *mean + (1.0 - BETA.0) * gradient;
        *square = BETA.1 * *square + (1.0 - BETA.1) * gradient * gradient;
        let corrected = *mean / (1.0 - BETA.0.powf(*steps));
        let size = (*square / (1.0 - BETA.1.powf(*steps))).sqrt() + 1e-8;
        *s -= rate * corrected / size;
    }
}

impl Aggregator for Uncertainty {
    fn name(&self) -> &'static str {
        "uncertainty_weighting"
    }

    fn needs(&self) -> Needs {
        Needs { fixed_tasks: true, ..Needs::LOSSES }
    }

    fn combine(&mut self, step: &mut dyn Step) -> Result<Combination> {
        let rate = self.settings.learning_rate.unwrap_or_else(|| step.learning_rate());
        let half = if self.settings.form == Form::Regression { 0.5 } else { 1.0 };
        self.last.clear();
        for (task, loss) in step.present().to_vec().into_iter().zip(step.losses().to_vec()) {
            let weight = half * (-self.log_variance.get(task).copied().unwrap_or_default()).exp();
            self.last.push(weight);
            self.learn(task, 0.5 - weight * loss, rate);
        }
        Ok(Combination::weighted_losses(self.last.clone()))
    }

    fn weights(&self) -> Option<&[f64]> {
        Some(&self.last)
    }

    fn state(&self) -> State {
        let numbers = [
            ("log_variance", &self.log_variance),
            ("mean", &self.mean),
            ("square", &self.square),
            ("steps", &self.steps),
        ];
        State {
            numbers: numbers.map(|(name, values)| (name.to_owned(), values.clone())).into(),
            ..State::default()
        }
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        for (name, values) in [
            ("log_variance", &mut self.log_variance),
            ("mean", &mut self.mean),
            ("square", &mut self.square),
            ("steps", &mut self.steps),
        ] {
            match state.numbers.get(name) {
                Some(saved) if saved.len() == values.len() => values.clone_from(saved),
                _ => {
                    return Err(Error::Contract {
                        aggregator: "uncertainty_weighting".into(),
                        message: format!("the saved state has no `{name}` of {} tasks", values.len()),
                    });
                }
            }
        }
        Ok(())
    }
}
