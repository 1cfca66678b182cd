//! The metric by which multi-task networks are compared with a network for each task.

use crate::{Evaluation, TaskEvaluation};

/// How much better or worse a multi-task network is than networks of one task each.
#[derive(Debug, Clone, PartialEq)]
pub struct Delta {
    /// The mean change of the tasks' primary metrics in percent, worse is positive:
    /// `Δm = 100/T Σ (−1)^(1 if higher is better) (M − B) / |B|` (the sign of Liu et al. 2021 and later; Maninis et al. 2019
    /// count the other way). `None` where no task can be compared.
    pub mean: Option<f64>,
    /// The change for each task that both have; `None` where a metric is undefined or the baseline's is zero.
    pub tasks: Vec<(String, Option<f64>)>,
}

/// Compares the primary metric of each task with that of a single-task baseline, task by name.
///
/// ```
/// use manytask_multitask::{delta_m, Evaluation, TaskEvaluation};
/// let of = |accuracy: f64, error: f64| Evaluation::new(vec![
///     TaskEvaluation { name: "a".into(), loss: None, metrics: vec![("accuracy".into(), Some(accuracy))], higher_is_better: true },
///     TaskEvaluation { name: "b".into(), loss: None, metrics: vec![("mae".into(), Some(error))], higher_is_better: false },
/// ]);
/// // Accuracy from 0.80 to 0.84 is 5 % better, an error from 2.0 to 2.2 is 10 % worse.
/// let delta = delta_m(&of(0.84, 2.2), &of(0.80, 2.0));
/// assert!((delta.mean.unwrap() - 2.5).abs() < 1e-9);
/// ```
pub fn delta_m(network: &Evaluation, baseline: &Evaluation) -> Delta {
    compare(network, baseline, |task, base| {
        let (name, _) = task.metrics.first()?;
        change(task, base, name, task.higher_is_better)
    })
}

/// Compares all metrics of each task: its change is the mean over them,
/// `Δm = 100/T Σ_t 1/M_t Σ_m (−1)^(1 if higher is better) (M − B) / |B|` (Maninis et al. 2019, Vandenhende et al. 2021), with the
/// sign of [`Delta::mean`]. Losses do not count.
///
/// `higher_is_better` says it of a metric by name; with `None` the metric is left out, as is one that is undefined or has a
/// baseline of zero. Each that was left out of a task that both have is named.
///
/// ```
/// use manytask_multitask::{delta_m_all, Evaluation, TaskEvaluation};
/// let of = |accuracy: f64, loss: f64| Evaluation::new(vec![TaskEvaluation {
///     name: "a".into(),
///     loss: None,
///     metrics: vec![("accuracy".into(), Some(accuracy)), ("log_loss".into(), Some(loss)), ("f1".into(), None)],
///     higher_is_better: true,
/// }]);
/// // Accuracy 5 % better, the loss 10 % worse.
/// let all = delta_m_all(&of(0.84, 2.2), &of(0.80, 2.0), |metric| Some(metric != "log_loss"));
/// assert!((all.delta.mean.unwrap() - 2.5).abs() < 1e-9);
/// assert_eq!(all.left_out, [("a".to_owned(), "f1".to_owned())]);
/// ```
pub fn delta_m_all(
    network: &Evaluation,
    baseline: &Evaluation,
    higher_is_better: impl Fn(&str) -> Option<bool>,
) -> AllMetrics {
    let mut left_out = Vec::new();
    let delta = compare(network, baseline, |task, base| {
        let mut changes = Vec::with_capacity(task.metrics.len());
        for (name, _) in &task.metrics {
            match higher_is_better(name).and_then(|higher| change(task, base, name, higher)) {
                Some(change) => changes.push(change),
                None => left_out.push((task.name.clone(), name.clone())),
            }
        }
        mean(&changes)
    });
    AllMetrics { delta, left_out }
}

/// A comparison over all metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct AllMetrics {
    /// The mean changes.
    pub delta: Delta,
    /// What could not be compared: task and metric.
    pub left_out: Vec<(String, String)>,
}

fn compare(
    network: &Evaluation,
    baseline: &Evaluation,
    mut change: impl FnMut(&TaskEvaluation, &TaskEvaluation) -> Option<f64>,
) -> Delta {
    let both = network.tasks.iter().filter_map(|task| Some((task, baseline.task(&task.name)?)));
    let tasks: Vec<(String, Option<f64>)> = both
        .filter(|(task, _)| !task.metrics.is_empty())
        .map(|(task, base)| (task.name.clone(), change(task, base)))
        .collect();
    let known: Vec<f64> = tasks.iter().filter_map(|(_, change)| *change).collect();
    Delta { mean: mean(&known), tasks }
}

/// The change of one metric in percent, worse is positive.
fn change(task: &TaskEvaluation, base: &TaskEvaluation, name: &str, higher_is_better: bool) -> Option<f64> {
    let (metric, base) = task.metric(name).zip(base.metric(name)).filter(|(_, base)| *base != 0.0)?;
    let sign = if higher_is_better { -1.0 } else { 1.0 };
    Some(sign * 100.0 * (metric - base) / base.abs())
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TaskEvaluation;

    fn of(metrics: &[(&str, Option<f64>)]) -> Evaluation {
        let task = |(name, metric): &(&str, Option<f64>)| TaskEvaluation {
            name: (*name).into(),
            loss: Some(1.0),
            metrics: vec![("r2".into(), *metric)],
            higher_is_better: true,
        };
        Evaluation::new(metrics.iter().map(task).collect())
    }

    #[test]
    fn what_cannot_be_compared_is_left_out_of_the_mean() {
        let network = of(&[("a", Some(0.9)), ("b", None), ("c", Some(0.5)), ("d", Some(0.1))]);
        let baseline = of(&[("a", Some(1.0)), ("b", Some(0.5)), ("c", Some(0.0)), ("x", Some(1.0))]);
        let delta = delta_m(&network, &baseline);
        assert!((delta.mean.unwrap() - 10.0).abs() < 1e-9);
        assert_eq!(delta.tasks.len(), 3);
        assert_eq!((delta.tasks[1].1, delta.tasks[2].1), (None, None));
        assert_eq!(delta_m(&network, &of(&[])).mean, None);
    }

    #[test]
    fn all_metrics_are_a_mean_of_means() {
        type Metrics<'a> = (&'a str, &'a [(&'a str, Option<f64>)]);
        let task = |(name, metrics): &Metrics<'_>| TaskEvaluation {
            name: (*name).into(),
            loss: Some(1.0),
            metrics: metrics.iter().map(|(metric, value)| ((*metric).into(), *value)).collect(),
            higher_is_better: true,
        };
        let of = |metrics: &[Metrics<'_>]| Evaluation::new(metrics.iter().map(task).collect());
        // Task a: accuracy 10 % better, auc 20 % worse, so 5 % worse; task b: the error halved.
        let network = of(&[
            ("a", &[("accuracy", Some(0.55)), ("auc", Some(0.4)), ("other", Some(3.0))]),
            ("b", &[("mae", Some(1.0)), ("r2", Some(0.5))]),
            ("c", &[("mae", None)]),
        ]);
        let baseline = of(&[
            ("b", &[("r2", Some(0.0)), ("mae", Some(2.0))]),
            ("a", &[("auc", Some(0.5)), ("accuracy", Some(0.5)), ("other", Some(1.0))]),
            ("c", &[("mae", Some(1.0))]),
        ]);
        let all = delta_m_all(&network, &baseline, |metric| (metric != "other").then_some(metric != "mae"));
        let changes: Vec<Option<f64>> = all.delta.tasks.iter().map(|(_, change)| *change).collect();
        assert!((changes[0].unwrap() - 5.0).abs() < 1e-9, "{changes:?}");
        assert!((changes[1].unwrap() + 50.0).abs() < 1e-9 && changes[2].is_none(), "{changes:?}");
        assert!((all.delta.mean.unwrap() + 22.5).abs() < 1e-9);
        let left_out: Vec<_> =
            all.left_out.iter().map(|(task, metric)| (task.as_str(), metric.as_str())).collect();
        assert_eq!(left_out, [("a", "other"), ("b", "r2"), ("c", "mae")]);
    }

    #[test]
    fn a_negative_metric_that_rises_is_better() {
        let delta = delta_m(&of(&[("a", Some(-0.1))]), &of(&[("a", Some(-0.2))]));
        assert!((delta.mean.unwrap() + 50.0).abs() < 1e-9, "{delta:?}");
    }
}
