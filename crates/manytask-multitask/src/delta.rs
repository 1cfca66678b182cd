//! The figure by which multi-task networks are compared with a network for each task.

use crate::Evaluation;

/// How much better or worse a multi-task network is than networks of one task each.
#[derive(Debug, Clone, PartialEq)]
pub struct Delta {
    /// The mean change of the tasks' primary figures in percent, worse is positive:
    /// `Δm = 100/T Σ (−1)^(1 if higher is better) (M − B) / B` (the sign of Liu et al. 2021 and later; Maninis et al. 2019
    /// count the other way). `None` where no task can be compared.
    pub mean: Option<f64>,
    /// The change for each task that both have; `None` where a figure is undefined or the baseline's is zero.
    pub tasks: Vec<(String, Option<f64>)>,
}

/// Compares the primary figure of each task with that of a single-task baseline, task by name.
///
/// ```
/// use manytask_multitask::{delta_m, Evaluation, TaskEvaluation};
/// let of = |accuracy: f64, error: f64| Evaluation {
///     tasks: vec![
///         TaskEvaluation { name: "a".into(), loss: None, metrics: vec![("accuracy".into(), Some(accuracy))], higher_is_better: true },
///         TaskEvaluation { name: "b".into(), loss: None, metrics: vec![("mae".into(), Some(error))], higher_is_better: false },
///     ],
/// };
/// // Accuracy from 0.80 to 0.84 is 5 % better, an error from 2.0 to 2.2 is 10 % worse.
/// let delta = delta_m(&of(0.84, 2.2), &of(0.80, 2.0));
/// assert!((delta.mean.unwrap() - 2.5).abs() < 1e-9);
/// ```
pub fn delta_m(network: &Evaluation, baseline: &Evaluation) -> Delta {
    let tasks = network.tasks.iter().filter_map(|task| {
        let base = baseline.task(&task.name)?;
        let (name, figure) = task.metrics.first()?;
        let change = figure.zip(base.figure(name)).filter(|(_, base)| *base != 0.0).map(|(figure, base)| {
            let sign = if task.higher_is_better { -1.0 } else { 1.0 };
            sign * 100.0 * (figure - base) / base.abs()
        });
        Some((task.name.clone(), change))
    });
    let tasks: Vec<(String, Option<f64>)> = tasks.collect();
    let known: Vec<f64> = tasks.iter().filter_map(|(_, change)| *change).collect();
    let mean = (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64);
    Delta { mean, tasks }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TaskEvaluation;

    fn of(figures: &[(&str, Option<f64>)]) -> Evaluation {
        let task = |(name, figure): &(&str, Option<f64>)| TaskEvaluation {
            name: (*name).into(),
            loss: Some(1.0),
            metrics: vec![("r2".into(), *figure)],
            higher_is_better: true,
        };
        Evaluation { tasks: figures.iter().map(task).collect() }
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
    fn a_negative_figure_that_rises_is_better() {
        let delta = delta_m(&of(&[("a", Some(-0.1))]), &of(&[("a", Some(-0.2))]));
        assert!((delta.mean.unwrap() + 50.0).abs() < 1e-9, "{delta:?}");
    }
}
