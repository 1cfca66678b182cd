//! Learning rates over the steps, as pure functions: nothing to save but what a plateau remembers.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The course of a learning rate, after a linear warm-up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// Steps in which the rate rises linearly: step n (from 0) has `(n + 1) / (warm_up + 1)` of it.
    pub warm_up: u64,
    /// What comes then.
    pub kind: ScheduleKind,
}

/// How a learning rate goes, from the end of the warm-up to the last step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ScheduleKind {
    /// It stays.
    #[default]
    Constant,
    /// Multiplied by `factor` every `every` steps (PyTorch's `StepLR`).
    Step {
        /// Steps between two changes.
        every: u64,
        /// What it is multiplied by.
        #[serde(default = "tenth")]
        factor: f64,
    },
    /// `minimum + (rate − minimum) (1 + cos(π n/N)) / 2` (Loshchilov & Hutter 2017, without restarts).
    Cosine {
        /// The last rate.
        #[serde(default)]
        minimum: f64,
    },
    /// Linearly down to `minimum` at the last step.
    Linear {
        /// The last rate.
        #[serde(default)]
        minimum: f64,
    },
    /// `rate · ratio^(n/N)`, by the same factor at each step (PyTorch's `ExponentialLR` with `gamma = ratio^(1/N)`).
    Exponential {
        /// The last rate over the first; above 1 the rate rises.
        #[serde(default = "hundredth")]
        ratio: f64,
    },
    /// Up from `rate / start` to `rate` along a cosine, then down to `rate / (start · end)` (Smith & Topin 2018, PyTorch's
    /// `OneCycleLR`).
    OneCycle {
        /// The share of the steps in which it rises.
        #[serde(default = "three_tenths")]
        rising: f64,
        /// By what the first rate is smaller than the highest.
        #[serde(default = "twenty_five")]
        start: f64,
        /// By what the last rate is smaller than the first.
        #[serde(default = "ten_thousand")]
        end: f64,
    },
    /// Multiplied by `factor` when the validation metric was no better for more than `patience` looks (PyTorch's
    /// `ReduceLROnPlateau`).
    Plateau {
        /// What it is multiplied by.
        #[serde(default = "tenth")]
        factor: f64,
        /// Looks without a better metric that are borne.
        #[serde(default = "ten")]
        patience: u64,
        /// What counts as better: less than `best · (1 − threshold)`, of a metric below 0 `best − |best| threshold`.
        #[serde(default = "ten_thousandth")]
        threshold: f64,
    },
}

/// What a plateau schedule remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlateauState {
    /// The product of the factors so far.
    pub scale: f64,
    /// The best metric; less is better.
    pub best: Option<f64>,
    /// Looks since then.
    #[serde(alias = "waited")]
    pub bad_evaluations: u64,
}

impl Default for PlateauState {
    fn default() -> Self {
        Self { scale: 1.0, best: None, bad_evaluations: 0 }
    }
}

fn tenth() -> f64 {
    0.1
}
fn hundredth() -> f64 {
    0.01
}
fn three_tenths() -> f64 {
    0.3
}
fn twenty_five() -> f64 {
    25.0
}
fn ten_thousand() -> f64 {
    1e4
}
fn ten_thousandth() -> f64 {
    1e-4
}
fn ten() -> u64 {
    10
}

impl Schedule {
    /// Refuses settings out of range.
    ///
    /// # Errors
    /// With the setting and its range.
    pub fn check(&self) -> Result<()> {
        let refuse = |key: &str, found: f64, range: &str| {
            Err(Error::named_setting(key, &format!("schedule's {key}"), &found, range))
        };
        match self.kind {
            ScheduleKind::Step { every: 0, .. } => refuse("every", 0.0, "it must be at least 1"),
            ScheduleKind::Step { factor, .. } | ScheduleKind::Plateau { factor, .. }
                if !(factor > 0.0 && factor <= 1.0) =>
            {
                refuse("factor", factor, "it must be in (0, 1]")
            }
            ScheduleKind::Plateau { threshold, .. } if !(0.0..1.0).contains(&threshold) => {
                refuse("threshold", threshold, "it must be in [0, 1)")
            }
            ScheduleKind::Cosine { minimum } | ScheduleKind::Linear { minimum }
                if !(minimum.is_finite() && minimum >= 0.0) =>
            {
                refuse("minimum", minimum, "it must be at least 0")
            }
            ScheduleKind::Exponential { ratio } if !(ratio.is_finite() && ratio > 0.0) => {
                refuse("ratio", ratio, "it must be above 0")
            }
            ScheduleKind::OneCycle { rising, .. } if !(0.0..=1.0).contains(&rising) => {
                refuse("rising", rising, "it must be in [0, 1]")
            }
            ScheduleKind::OneCycle { start, .. } if !(start >= 1.0 && start.is_finite()) => {
                refuse("start", start, "it must be at least 1")
            }
            ScheduleKind::OneCycle { end, .. } if !(end >= 1.0 && end.is_finite()) => {
                refuse("end", end, "it must be at least 1")
            }
            _ => Ok(()),
        }
    }

    /// The learning rate of a step (counted from 0) of `total`.
    pub fn rate(&self, base: f64, step: u64, total: u64, plateau: &PlateauState) -> f64 {
        if step < self.warm_up {
            return base * (step + 1) as f64 / (self.warm_up + 1) as f64;
        }
        let (n, total) = (step - self.warm_up, total.saturating_sub(self.warm_up));
        // As PyTorch counts: after all `total` steps the last rate is reached.
        let done = if total == 0 { 1.0 } else { n as f64 / total as f64 };
        match self.kind {
            ScheduleKind::Constant => base,
            ScheduleKind::Step { every, factor } => base * factor.powf((n / every.max(1)) as f64),
            ScheduleKind::Cosine { minimum } => {
                minimum + (base - minimum) * f64::midpoint(1.0, (PI * done).cos())
            }
            ScheduleKind::Linear { minimum } => base + (minimum - base) * done,
            ScheduleKind::Exponential { ratio } => base * ratio.powf(done),
            ScheduleKind::OneCycle { rising, start, end } => {
                one_cycle(base, n as f64, total as f64, (rising, start, end))
            }
            ScheduleKind::Plateau { .. } => base * plateau.scale,
        }
    }

    /// Tells a plateau schedule the validation metric, of which less is better.
    pub fn observe(&self, state: &mut PlateauState, metric: f64) {
        let ScheduleKind::Plateau { factor, patience, threshold } = self.kind else { return };
        if state.best.is_none_or(|best| metric < best - best.abs() * threshold) {
            state.best = Some(metric);
            state.bad_evaluations = 0;
            return;
        }
        state.bad_evaluations += 1;
        if state.bad_evaluations > patience {
            state.scale *= factor;
            state.bad_evaluations = 0;
        }
    }
}

/// PyTorch's `OneCycleLR` with cosine annealing in two phases.
fn one_cycle(base: f64, n: f64, total: f64, (rising, start, end): (f64, f64, f64)) -> f64 {
    let (first, last) = (base / start, base / start / end);
    let peak = rising * total - 1.0;
    let anneal = |from: f64, to: f64, share: f64| to + (from - to) * f64::midpoint(1.0, (PI * share).cos());
    if n <= peak {
        anneal(first, base, n / peak)
    } else {
        let length = total - 1.0 - peak;
        anneal(base, last, if length > 0.0 { ((n - peak) / length).min(1.0) } else { 1.0 })
    }
}
