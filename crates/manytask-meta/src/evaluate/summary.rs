//! From the metrics of tasks to those of an evaluation.

use super::scores::TaskScore;

/// An adaptation whose loss becomes so many times what it was before the first step has diverged, though it is finite.
const FAR: f64 = 1e4;

/// The metrics of all tasks together. Tasks whose adaptation diverged are in none of them, and where more than half have, there
/// are none: what is left is no sample of the tasks, and would be the better the more diverge.
#[derive(Debug, PartialEq)]
pub(super) struct Summary {
    /// The mean loss after the last step.
    pub(super) loss: Option<f64>,
    /// After the last step: the mean, half of its interval, the median and the 99th percentile. Then the mean after each step.
    pub(super) values: Vec<Option<f64>>,
    /// What is left out, if anything is.
    pub(super) diverged: Option<Diverged>,
}

/// Tasks whose adaptation diverged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Diverged {
    /// How many did.
    pub(super) tasks: usize,
    /// Of so many.
    pub(super) of: usize,
    /// After how many steps the first did.
    pub(super) first: usize,
    /// The steps of adaptation; 0 of a learner that does not adapt step by step.
    pub(super) steps: usize,
}

impl Summary {
    /// Of the metrics of each task, after each step. A task that has diverged stays so.
    pub(super) fn of(trace: &[Vec<TaskScore>]) -> Self {
        let start = trace.first().map_or(&[][..], Vec::as_slice);
        let mut left: Vec<bool> = vec![false; start.len()];
        let (mut kept, mut first) = (Vec::<Vec<TaskScore>>::with_capacity(trace.len()), None);
        for (step, of_step) in trace.iter().enumerate() {
            let mut good = Vec::with_capacity(of_step.len());
            for ((now, before), left) in of_step.iter().zip(start).zip(&mut left) {
                // What is not a number is not below the limit either.
                *left |= !(now.loss.is_finite() && now.loss <= FAR * before.loss.max(1.0));
                if *left {
                    first.get_or_insert(step);
                } else {
                    good.push(*now);
                }
            }
            if 2 * good.len() < of_step.len() {
                good.clear();
            }
            kept.push(good);
        }
        let last = kept.last().map_or(&[][..], Vec::as_slice);
        let metrics = metrics_of(last);
        let mut values =
            vec![mean(&metrics), interval(&metrics), quantile(&metrics, 0.5), quantile(&metrics, 0.99)];
        values.extend(kept.iter().map(|of_step| mean(&metrics_of(of_step))));
        let losses: Vec<f64> = last.iter().map(|task| task.loss).collect();
        let diverged = first.map(|first| Diverged {
            tasks: left.iter().filter(|left| **left).count(),
            of: left.len(),
            first,
            steps: trace.len().saturating_sub(1),
        });
        Self { loss: mean(&losses), values, diverged }
    }
}

impl Diverged {
    /// What is told.
    pub(super) fn note(&self) -> String {
        let Self { tasks, of, first, steps } = self;
        let metrics = if 2 * tasks > *of {
            "with fewer than half left no metric has a value"
        } else {
            "they are in no metric"
        };
        match (steps, first) {
            (0, _) => format!(
                "{tasks} of {of} evaluation tasks gave predictions that are not finite; {metrics}; lower the learning rate"
            ),
            (_, 0) => format!(
                "{tasks} of {of} evaluation tasks diverged, the first before any step of adaptation; {metrics}; \
                 lower the learning rate"
            ),
            _ => format!(
                "{tasks} of {of} evaluation tasks diverged while they were adapted, the first after {first} of {steps} inner \
                 steps; {metrics}; lower inner_learning_rate, or take fewer inner_steps"
            ),
        }
    }
}

fn metrics_of(tasks: &[TaskScore]) -> Vec<f64> {
    tasks.iter().map(|task| task.metric).collect()
}

/// `None` of nothing.
fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Half the width of the mean's 95 % interval, 1.96 s/√n; `None` of fewer than two.
fn interval(values: &[f64]) -> Option<f64> {
    let (mean, count) = (mean(values)?, values.len() as f64);
    let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    (values.len() > 1).then(|| 1.96 * (squares / (count - 1.0) / count).sqrt())
}

/// The value below which a share of the others lie, interpolated as numpy does.
fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = share * sorted.len().checked_sub(1)? as f64;
    let (low, high) = (sorted.get(place.floor() as usize)?, sorted.get(place.ceil() as usize)?);
    Some(low + (high - low) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A task's losses by step; the metric is twice the loss.
    fn trace(tasks: &[&[f64]]) -> Vec<Vec<TaskScore>> {
        let steps = tasks.first().map_or(0, |losses| losses.len());
        let at =
            |step: usize| tasks.iter().map(move |of| TaskScore { loss: of[step], metric: 2.0 * of[step] });
        (0..steps).map(|step| at(step).collect()).collect()
    }

    #[test]
    fn statistics_of_a_sample_are_numpys() {
        let values = [3.0, 1.0, 4.0, 1.0, 5.0];
        assert!((mean(&values).unwrap() - 2.8).abs() < 1e-12);
        assert!((interval(&values).unwrap() - 1.96 * (3.2_f64 / 5.0).sqrt()).abs() < 1e-12);
        assert_eq!(quantile(&values, 0.5), Some(3.0));
        assert!((quantile(&values, 0.99).unwrap() - 4.96).abs() < 1e-12);
        assert_eq!((quantile(&[], 0.5), interval(&[2.0]), mean(&[])), (None, None, None));
    }

    #[test]
    fn tasks_that_diverge_are_counted_and_in_no_metric_from_there_on() {
        let good: &[f64] = &[4.0, 2.0, 1.0];
        let odd: [&[f64]; 3] = [&[4.0, 3.0, f64::NAN], &[4.0, f64::INFINITY, 0.5], &[0.1, 0.1, 1.1e4]];
        let summary = Summary::of(&trace(&[good, odd[0], odd[1], odd[2], &[3.0, 5.0, 3.0], good]));
        assert_eq!((summary.loss, summary.values[0]), (Some(5.0 / 3.0), Some(10.0 / 3.0)));
        // The third task is out after one step, the second and fourth after two.
        let means: Vec<f64> = summary.values[4..].iter().map(|value| value.unwrap()).collect();
        for (mean, expected) in means.iter().zip([2.0 * 19.1 / 6.0, 2.0 * 12.1 / 5.0, 10.0 / 3.0]) {
            assert!((mean - expected).abs() < 1e-12, "{means:?}");
        }
        assert_eq!(summary.diverged, Some(Diverged { tasks: 3, of: 6, first: 1, steps: 2 }));
        let note = summary.diverged.unwrap().note();
        assert!(note.starts_with("3 of 6 evaluation tasks diverged"), "{note}");
        assert!(
            note.contains("after 1 of 2 inner steps") && note.contains("they are in no metric"),
            "{note}"
        );
        assert!(Summary::of(&trace(&[good, good])).diverged.is_none());
    }

    #[test]
    fn where_more_than_half_diverge_nothing_has_a_value() {
        let good: &[f64] = &[1.0, 1.0];
        let summary = Summary::of(&trace(&[good, &[1.0, f64::NAN], &[f64::NAN, f64::NAN]]));
        assert_eq!((summary.loss, &summary.values[..4]), (None, &[None; 4][..]));
        assert_eq!(summary.values[4..], [Some(2.0), None]);
        assert!(summary.diverged.unwrap().note().contains("no metric has a value"));
    }
}
