use manytask_tensor::{Compat, Method};
use serde::{Deserialize, Serialize};

use super::AggregatorSettings;
use super::scalar_optimizer::{ScalarOptimizer, ScalarRule};
use super::support::{finite, rate};
use crate::{Aggregator, LossWeighting, Needs, OnLosses, Result, State, StepInfo};

/// Uncertainty weighting (Kendall et al. 2018): each task has a learned log-variance s, and the objective is
/// `Σ (e^(−sᵢ) lᵢ + sᵢ) / 2`, or `Σ e^(−sᵢ) lᵢ + sᵢ / 2` in the form for classification. In the revised form (Liebel & Körner 2018,
/// arXiv:1805.06334, equation 3) it is `Σ e^(−sᵢ) lᵢ / 2 + ln(1 + e^(sᵢ))`, which is never below 0.
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
    /// The normal one with a regulariser that is never below 0, `e^(−s) l / 2 + ln(1 + e^s)`.
    Revised,
}

impl Default for UncertaintyWeighting {
    fn default() -> Self {
        Self { initial: 0.0, learning_rate: None, form: Form::Regression }
    }
}

#[derive(Debug)]
struct Uncertainty {
    settings: UncertaintyWeighting,
    memory: Memory,
}

/// s of each task, and its optimizer.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Memory {
    log_variance: Vec<f64>,
    #[serde(flatten)]
    optimizer: ScalarOptimizer,
}

impl Method for UncertaintyWeighting {
    const NAME: &'static str = "uncertainty_weighting";
    const SUMMARY: &'static str = "losses weighted by learned variances";
    const ABOUT: &'static str = "\
        Kendall, Gal & Cipolla 2018, arXiv:1705.07115: Σ (exp(-s) l + s) / 2 with a learned s for each \
        task, which has its own Adam and no weight decay. The best s is ln l. `form` = classification does \
        not halve the loss; revised is Σ exp(-s) l / 2 + ln(1 + exp(s)), which is never below 0 (Liebel & \
        Körner 2018, arXiv:1805.06334).";
    const COMPAT: &'static [Compat] = &[
        Compat {
            of: "libmtl",
            settings: &[("initial", "-0.5")],
            beyond: "s is a parameter of the network's optimizer there",
        },
        Compat { of: "torchjd", settings: &[], beyond: "" },
    ];
}

impl AggregatorSettings for UncertaintyWeighting {
    fn build(&self, tasks: &[String]) -> Result<Box<dyn Aggregator>> {
        finite(UncertaintyWeighting::NAME, "initial", self.initial)?;
        rate(UncertaintyWeighting::NAME, self.learning_rate)?;
        let memory = Memory {
            log_variance: vec![self.initial; tasks.len()],
            optimizer: ScalarOptimizer::new(tasks.len()),
        };
        Ok(Box::new(OnLosses::new(Uncertainty { settings: *self, memory }, tasks)))
    }
}

impl LossWeighting for Uncertainty {
    fn name(&self) -> &'static str {
        UncertaintyWeighting::NAME
    }

    fn needs(&self) -> Needs {
        Needs { fixed_tasks: true, ..Needs::LOSSES }
    }

    fn weights(&mut self, step: &StepInfo<'_>) -> Result<Vec<f64>> {
        let rate = self.settings.learning_rate.unwrap_or(step.learning_rate);
        let half = if self.settings.form == Form::Classification { 1.0 } else { 0.5 };
        // The slope of what keeps s from growing.
        let pull = |s: f64| if self.settings.form == Form::Revised { 1.0 / (1.0 + (-s).exp()) } else { 0.5 };
        let Memory { log_variance, optimizer } = &mut self.memory;
        let mut weights = Vec::with_capacity(step.losses.len());
        for (task, loss) in step.losses.iter() {
            if let Some(s) = log_variance.get_mut(task) {
                let weight = half * (-*s).exp();
                weights.push(weight);
                let gradient = pull(*s) - weight * loss;
                optimizer.step(ScalarRule::Adam, task, s, gradient, rate);
            }
        }
        Ok(weights)
    }

    fn state(&self) -> Result<State> {
        State::of(&self.memory)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        state.read_into(self.name(), &mut self.memory)
    }
}
