//! What was logged in training: losses and metrics, weights, and the tasks' gradients.

use std::collections::BTreeMap;

use super::Shown;
use crate::html::{Chart, Mark, Page, Series, Shades, matrix};
use crate::run::{Record, Split};

/// Tasks with curves of their own.
const TASKS: usize = 12;

/// All curves of a run.
pub(super) fn of_training(page: &mut Page, run: &Shown) {
    let records = &run.records;
    let names: Vec<&str> =
        run.results.iter().flat_map(|results| &results.tasks).map(|task| task.name.as_str()).collect();
    let mut figures = vec![losses("mean loss of the tasks", records, None)];
    if names.len() > 1 {
        figures.extend(
            names.iter().take(TASKS).map(|name| losses(&format!("loss of {name}"), records, Some(name))),
        );
    }
    for task in run.results.iter().flat_map(|results| &results.tasks).take(TASKS) {
        let Some((metric, _)) = task.metrics.first() else { continue };
        let points = series(records, Split::Validation, metric, Some(&task.name));
        if points.len() > 1 {
            let title = format!("{metric} of {}", task.name);
            let chart =
                Chart::new(&title, "step", "validation").with(Series::line("", points).drawn(Mark::Dotted));
            figures.push(chart.svg());
        }
    }
    figures.extend(weights(records, &names));
    figures.extend(whole(records, "learning_rate", "learning rate"));
    figures.extend(whole(records, "conflict_rate", "pairs of tasks whose gradients conflict"));
    figures.extend(cosines(records, &names));
    page.figures(&figures);
    if names.len() > TASKS {
        page.remark(&format!("{} of {} tasks have curves of their own.", TASKS, names.len()));
    }
}

/// The values of a metric of a task, or of the mean over tasks, by step.
fn series(records: &[Record], split: Split, metric: &str, task: Option<&str>) -> Vec<(f64, f64)> {
    let mut by_step: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
    let of_task = |record: &&Record| match task {
        Some(task) => record.task.as_deref() == Some(task),
        None => record.task.is_some(),
    };
    let own =
        records.iter().filter(|record| record.split == split && record.metric == metric).filter(of_task);
    for (step, value) in own.filter_map(|record| Some((record.step, record.value?))) {
        let (sum, count) = by_step.entry(step).or_default();
        *sum += value;
        *count += 1.0;
    }
    by_step.into_iter().map(|(step, (sum, count))| (step as f64, sum / count)).collect()
}

/// Losses of training, smooth ones where there are epochs, and of validation.
fn losses(title: &str, records: &[Record], task: Option<&str>) -> String {
    let epochs = series(records, Split::Train, "epoch_loss", task);
    let train = if epochs.len() > 1 { epochs } else { series(records, Split::Train, "loss", task) };
    let validation = series(records, Split::Validation, "loss", task);
    let mut chart = Chart::new(title, "step", "").with(Series::line("train", train));
    if !validation.is_empty() {
        chart = chart.with(Series::line("validation", validation));
    }
    chart.svg()
}

/// The weights of tasks over time, where the aggregator has such.
fn weights(records: &[Record], names: &[&str]) -> Option<String> {
    let mut chart = Chart::new("weights of the tasks", "step", "");
    let mut any = false;
    for name in names.iter().take(TASKS) {
        let points = series(records, Split::Train, "weight", Some(name));
        let moves = points.windows(2).any(|pair| matches!(pair, [a, b] if a.1 != b.1));
        any |= moves;
        chart = chart.with(Series::line(name, points));
    }
    any.then(|| chart.svg())
}

/// A number that is of no task.
fn whole(records: &[Record], metric: &str, title: &str) -> Option<String> {
    let own = records.iter().filter(|record| record.metric == metric && record.task.is_none());
    let points: Vec<(f64, f64)> =
        own.filter_map(|record| Some((record.step as f64, record.value?))).collect();
    let moves = points.windows(2).any(|pair| matches!(pair, [a, b] if a.1 != b.1));
    moves.then(|| Chart::new(title, "step", "").with(Series::line("", points)).svg())
}

/// The mean cosine of each pair of tasks' gradients over the training.
fn cosines(records: &[Record], names: &[&str]) -> Option<String> {
    let mut sums: BTreeMap<(usize, usize), (f64, f64)> = BTreeMap::new();
    let place = |name: &str| names.iter().position(|own| *own == name);
    for record in records {
        let pair = record
            .metric
            .strip_prefix("cosine/")
            .and_then(|other| Some((place(record.task.as_deref()?)?, place(other)?, record.value?)));
        let Some((one, other, value)) = pair else { continue };
        for pair in [(one, other), (other, one)] {
            let (sum, count) = sums.entry(pair).or_default();
            *sum += value;
            *count += 1.0;
        }
    }
    if sums.is_empty() {
        return None;
    }
    let value = |row: usize, column: usize| match sums.get(&(row, column)) {
        _ if row == column => 1.0,
        Some((sum, count)) => sum / count,
        None => f64::NAN,
    };
    let size = names.len();
    let values: Vec<f64> = (0..size)
        .flat_map(|row| (0..size).map(move |column| (row, column)))
        .map(|(row, column)| value(row, column))
        .collect();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    Some(matrix("mean cosine of the tasks' gradients", &names, &names, &values, Shades::Signed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Origin;

    #[test]
    fn means_are_over_the_tasks_of_a_step() {
        let at = |step, task: &str, value| {
            Origin { step, epoch: None, split: Split::Train }.record(Some(task), "loss", Some(value))
        };
        let records = [at(1, "a", 1.0), at(1, "b", 3.0), at(2, "a", 0.5)];
        assert_eq!(series(&records, Split::Train, "loss", None), [(1.0, 2.0), (2.0, 0.5)]);
        assert_eq!(series(&records, Split::Train, "loss", Some("b")), [(1.0, 3.0)]);
        assert_eq!(series(&records, Split::Validation, "loss", None), []);
    }

    #[test]
    fn a_cosine_stands_on_both_sides_of_the_diagonal() {
        let origin = Origin { step: 1, epoch: None, split: Split::Train };
        let records = [origin.record(Some("a"), "cosine/b", Some(-0.5))];
        let svg = cosines(&records, &["a", "b"]).unwrap();
        assert_eq!((svg.matches("-0.50").count(), svg.matches("1.00").count()), (2, 2));
        assert!(cosines(&[], &["a"]).is_none());
    }
}
