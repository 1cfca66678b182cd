//! What tasks on a table are judged by, and what is made of their predictions.

use super::draft::Draft;
use crate::attack::random::Rng;
use crate::attack::scenario::{Text, array};

/// `[tasks.NAME]` for some, with losses and metrics of their kind, and `[tasks.default]` with what is fitted on a validation split.
pub(super) fn sections(rng: &mut Rng, draft: &Draft, validated: bool) -> String {
    let of_kind = |kind: &str| -> (&[&str], &[&str]) {
        match kind {
            "regression" => (
                &["\"mse\"", "\"l1\"", "{ huber = { delta = 0.5 } }"],
                &["rmse", "mae", "r2", "relative_rmse"],
            ),
            "binary" => (
                &["{ binary_cross_entropy = { positive_weight = 2.0 } }", "{ focal = { gamma = 1.0 } }"],
                &["roc_auc", "accuracy", "f1", "average_precision", "log_loss", "matthews", "brier_score"],
            ),
            "multiclass" => (
                &["{ cross_entropy = { label_smoothing = 0.1 } }"],
                &["accuracy", "balanced_accuracy", "f1", "cohen_kappa", "quadratic_kappa"],
            ),
            _ => (&["{ focal = { gamma = 2.0 } }"], &["roc_auc", "micro_f1", "hamming_loss"]),
        }
    };
    let mut text = Text::default();
    if validated && rng.chance(0.4) {
        let probable = draft.tasks.iter().any(|task| task.kind != "regression");
        text.add(afterwards(rng, probable));
    }
    for task in draft.tasks.iter().filter(|_| draft.groups.is_empty()) {
        if rng.chance(0.3) {
            let (losses, metrics) = of_kind(task.kind);
            let mut metrics: Vec<String> = metrics.iter().map(|&metric| metric.to_owned()).collect();
            rng.shuffle(&mut metrics);
            metrics.truncate(2);
            text.add(format!(
                "[tasks.{}]\nloss = {}\nmetrics = {}\n",
                task.name,
                rng.pick(losses),
                array(&metrics)
            ));
        }
    }
    text.done()
}

/// What is made of predictions after the training.
fn afterwards(rng: &mut Rng, probable: bool) -> String {
    let mut text = Text::from("[tasks.default]\n".to_owned());
    for (key, values) in [
        ("calibration", &["\"temperature\"", "\"isotonic\""][..]),
        (
            "decision",
            &[
                "\"f1\"",
                "\"balanced_accuracy\"",
                "\"likeliest\"",
                "{ cost = { false_positive = 1.0, false_negative = 5.0 } }",
            ],
        ),
        ("coverage", &["0.5", "0.9", "0.99"]),
    ] {
        if (probable || key == "coverage") && rng.chance(0.6) {
            text.set(key, rng.pick(values));
        }
    }
    text.done()
}
