//! What `[schedule]` can name.

use manytask_nn::schedule::ScheduleKind;
use serde::{Deserialize, Serialize};

use crate::registry::Registry;

/// Settings that are not there.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct None {}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    every: u64,
    #[serde(default = "tenth")]
    factor: f64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Down {
    minimum: f64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Exponential {
    ratio: f64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OneCycle {
    rising: f64,
    start: f64,
    end: f64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Plateau {
    factor: f64,
    patience: u64,
    threshold: f64,
}

fn tenth() -> f64 {
    0.1
}

impl Default for Exponential {
    fn default() -> Self {
        Self { ratio: 0.01 }
    }
}

impl Default for OneCycle {
    fn default() -> Self {
        Self { rising: 0.3, start: 25.0, end: 1e4 }
    }
}

impl Default for Plateau {
    fn default() -> Self {
        Self { factor: 0.1, patience: 10, threshold: 1e-4 }
    }
}

pub(super) fn schedules() -> Registry<ScheduleKind> {
    let mut registry = Registry::new("schedule", "schedule").with_common("warm_up_steps = 0\n");
    registry.add("constant", "one learning rate", "", &None {}, |_: None| ScheduleKind::Constant);
    registry.add(
        "step",
        "a factor every so many steps",
        "",
        &Step { every: 1000, factor: 0.1 },
        |s: Step| ScheduleKind::Step { every: s.every, factor: s.factor },
    );
    registry.add(
        "cosine",
        "down along a cosine",
        "Loshchilov & Hutter 2017, arXiv:1608.03983, without restarts.",
        &Down::default(),
        |s: Down| ScheduleKind::Cosine { minimum: s.minimum },
    );
    registry.add("linear", "down along a line", "", &Down::default(), |s: Down| ScheduleKind::Linear {
        minimum: s.minimum,
    });
    registry.add(
        "exponential",
        "by the same factor at each step",
        "At the last step the rate is `ratio` of the first one.",
        &Exponential::default(),
        |s: Exponential| ScheduleKind::Exponential { ratio: s.ratio },
    );
    registry.add(
        "one_cycle",
        "up and down once",
        "Smith & Topin 2018, arXiv:1708.07120.",
        &OneCycle::default(),
        |s: OneCycle| ScheduleKind::OneCycle { rising: s.rising, start: s.start, end: s.end },
    );
    registry.add(
        "plateau",
        "a factor when the validation metric gets no better",
        "",
        &Plateau::default(),
        |s: Plateau| ScheduleKind::Plateau { factor: s.factor, patience: s.patience, threshold: s.threshold },
    );
    registry
}
