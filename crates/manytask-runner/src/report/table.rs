//! Results as tables.

use manytask_multitask::{Delta, Evaluation, TaskEvaluation};

use super::number;

/// Columns beyond which a table goes on below.
const WIDEST: usize = 12;

/// One row for each task, one column for each metric; a last row of means where there are several tasks. Metrics after each of
/// many inner steps stand in a table of their own, a row for each step.
pub fn table(evaluation: &Evaluation, delta: Option<&Delta>) -> String {
    let mut columns = vec!["loss".to_owned()];
    let mut known: std::collections::HashSet<&str> = ["loss"].into();
    for (name, _) in evaluation.tasks.iter().flat_map(|task| &task.metrics) {
        if known.insert(name) {
            columns.push(name.clone());
        }
    }
    let steps: Vec<(String, u64, String)> = columns
        .iter()
        .filter_map(|column| after(column).map(|(metric, step)| (metric.to_owned(), step, column.clone())))
        .collect();
    // A few stand beside the others.
    if steps.len() <= WIDEST - 8 {
        return blocks(evaluation, &columns, delta);
    }
    columns.retain(|column| after(column).is_none());
    [blocks(evaluation, &columns, delta), by_step(&evaluation.tasks, &steps)].join("\n")
}

/// Columns as wide as their widest cell, numbers to the right.
pub(crate) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(i, (cell, width))| {
            let blanks = " ".repeat(width - cell.chars().count());
            if i == 0 { format!("{cell}{blanks}") } else { format!("{blanks}{cell}") }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// `mse` and 3 of `mse_after_3_steps`.
fn after(column: &str) -> Option<(&str, u64)> {
    let (metric, rest) = column.rsplit_once("_after_")?;
    let step = rest.strip_suffix("_steps").or_else(|| rest.strip_suffix("_step"))?;
    Some((metric, step.parse().ok()?))
}

fn cell(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), number)
}

/// The metrics of all tasks, so many columns at a time.
fn blocks(evaluation: &Evaluation, columns: &[String], delta: Option<&Delta>) -> String {
    let count = columns.chunks(WIDEST).count();
    let parts = columns.chunks(WIDEST).enumerate();
    let parts = parts.map(|(i, columns)| block(evaluation, columns, delta.filter(|_| i + 1 == count)));
    parts.collect::<Vec<_>>().join("\n")
}

fn block(evaluation: &Evaluation, columns: &[String], delta: Option<&Delta>) -> String {
    let percent = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:+.2}"));
    let mut rows =
        vec![std::iter::once("task".to_owned()).chain(columns.iter().cloned()).collect::<Vec<_>>()];
    for task in &evaluation.tasks {
        let metrics = columns.iter().map(|name| cell(task.metric(name)));
        rows.push(std::iter::once(task.name.clone()).chain(metrics).collect());
    }
    if evaluation.tasks.len() > 1 {
        let mean =
            |name: &String| cell(if name == "loss" { evaluation.mean_loss() } else { evaluation.mean(name) });
        rows.push(std::iter::once("mean".to_owned()).chain(columns.iter().map(mean)).collect());
    }
    if let Some(delta) = delta {
        let of =
            |name: &str| delta.tasks.iter().find(|(task, _)| task == name).and_then(|(_, change)| *change);
        for (i, row) in rows.iter_mut().enumerate() {
            let name = row.first().cloned().unwrap_or_default();
            row.push(match i {
                0 => "Δm %".to_owned(),
                _ if i > evaluation.tasks.len() => percent(delta.mean),
                _ => percent(of(&name)),
            });
        }
    }
    aligned(&rows)
}

/// A row for each of at most a dozen steps, from the first to the last, and a column for each metric of each task.
fn by_step(tasks: &[TaskEvaluation], steps: &[(String, u64, String)]) -> String {
    let mut metrics: Vec<&str> = Vec::new();
    let mut numbers: Vec<u64> = Vec::new();
    for (metric, step, _) in steps {
        if !metrics.contains(&metric.as_str()) {
            metrics.push(metric);
        }
        numbers.push(*step);
    }
    numbers.sort_unstable();
    numbers.dedup();
    let last = numbers.len().saturating_sub(1);
    let shown = WIDEST.min(numbers.len());
    let numbers: Vec<u64> =
        (0..shown).filter_map(|i| numbers.get(i * last / shown.saturating_sub(1).max(1)).copied()).collect();
    let columns: Vec<(&TaskEvaluation, &str)> =
        tasks.iter().flat_map(|task| metrics.iter().map(move |metric| (task, *metric))).collect();
    let name = |(task, metric): &(&TaskEvaluation, &str)| {
        if tasks.len() > 1 { format!("{} {metric}", task.name) } else { (*metric).to_owned() }
    };
    let head = std::iter::once("inner steps".to_owned()).chain(columns.iter().map(name)).collect();
    let mut rows: Vec<Vec<String>> = vec![head];
    for number in numbers {
        let value = |(task, metric): &(&TaskEvaluation, &str)| {
            let column = steps.iter().find(|(of, step, _)| of == metric && *step == number);
            cell(column.and_then(|(_, _, column)| task.metric(column)))
        };
        rows.push(std::iter::once(number.to_string()).chain(columns.iter().map(value)).collect());
    }
    aligned(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_every_metric_and_a_mean() {
        let task = |name: &str, metric: &str, value| TaskEvaluation {
            name: name.into(),
            loss: Some(0.5),
            metrics: vec![(metric.into(), value)],
            higher_is_better: true,
        };
        let evaluation =
            Evaluation::new(vec![task("income", "roc_auc", Some(0.91)), task("a", "rmse", None)]);
        let expected = "\
task      loss  roc_auc  rmse
income  0.5000   0.9100     -
a       0.5000        -     -
mean    0.5000   0.9100     -
";
        assert_eq!(table(&evaluation, None), expected);
        let delta =
            Delta { mean: Some(-1.5), tasks: vec![("income".into(), Some(-1.5)), ("a".into(), None)] };
        let text = table(&evaluation, Some(&delta));
        assert!(text.lines().next().is_some_and(|line| line.ends_with("Δm %")), "{text}");
        assert!(text.lines().last().is_some_and(|line| line.ends_with("-1.50")), "{text}");
    }

    fn adapted(steps: usize) -> String {
        let mut metrics = vec![("mse".to_owned(), Some(0.25)), ("mse_ci95".to_owned(), Some(0.01))];
        for step in 0..=steps {
            let unit = if step == 1 { "step" } else { "steps" };
            metrics.push((format!("mse_after_{step}_{unit}"), Some(step as f64)));
        }
        let task =
            TaskEvaluation { name: "episodes".into(), loss: Some(0.5), metrics, higher_is_better: false };
        table(&Evaluation::new(vec![task]), None)
    }

    #[test]
    fn many_inner_steps_stand_below_each_other_and_few_beside() {
        assert_eq!(adapted(3).lines().count(), 2);
        let text = adapted(100);
        assert!(text.lines().all(|line| line.chars().count() < 80), "{text}");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2 + 1 + 1 + 12, "{text}");
        assert_eq!((lines[3], lines[4]), ("inner steps    mse", "0            0.000"));
        assert_eq!(lines[15], "100          100.0");
        assert!(adapted(5).contains("\n5            5.000"), "{}", adapted(5));
    }

    #[test]
    fn many_metrics_go_on_below() {
        let metrics = (0..30).map(|i| (format!("metric{i}"), Some(f64::from(i)))).collect();
        let task = TaskEvaluation { name: "a".into(), loss: None, metrics, higher_is_better: true };
        let text = table(&Evaluation::new(vec![task]), None);
        assert_eq!(text.lines().count(), 3 * 2 + 2, "{text}");
        assert!(text.contains("metric29") && text.lines().all(|line| line.len() < 140), "{text}");
    }
}
