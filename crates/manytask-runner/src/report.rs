//! What the commands say: data on stdout, the rest on stderr.

use std::io::Write;

use manytask_multitask::{Delta, Evaluation, Problem};
use serde_json::{Map, Value, json};

use crate::failure::{Code, Failure, Result};

/// Writes to stdout. A reader that has gone away is no failure.
///
/// # Errors
/// When what stands behind stdout does not take it, such as a full disk (exit code 4).
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Code::Data, format!("stdout cannot be written to: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes a line to stderr.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Adds to a result in JSON what its figures depend on and what a reader must know of them, where there is any.
pub(crate) fn circumstances(result: &mut Value, problem: &dyn Problem, evaluation: &Evaluation) {
    let protocol: Map<String, Value> =
        problem.protocol().into_iter().map(|(name, how)| (name.to_owned(), json!(how))).collect();
    if !protocol.is_empty() {
        result["protocol"] = Value::Object(protocol);
    }
    if !evaluation.notes.is_empty() {
        result["notes"] = json!(evaluation.notes);
    }
}

/// Says the same.
pub(crate) fn say_circumstances(problem: &dyn Problem, evaluation: &Evaluation) {
    for (name, how) in problem.protocol() {
        say(&format!("{name}: {how}"));
    }
    for note in &evaluation.notes {
        say(&format!("note: {note}"));
    }
}

/// A number with four significant digits.
pub(crate) fn figure(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && size.is_finite() && !(1e-4..1e7).contains(&size) {
        return format!("{value:.3e}");
    }
    // The exponent after rounding: 0.99996 is 1.000.
    let exponent = format!("{value:.3e}").split_once('e').and_then(|(_, digits)| digits.parse::<i32>().ok());
    let decimals = 3 - exponent.unwrap_or_default().min(3);
    format!("{value:.0$}", decimals as usize)
}

/// One row for each task, one column for each figure; a last row of means where there are several tasks.
pub fn table(evaluation: &Evaluation, delta: Option<&Delta>) -> String {
    let mut columns = vec!["loss".to_owned()];
    for (name, _) in evaluation.tasks.iter().flat_map(|task| &task.metrics) {
        if !columns.contains(name) {
            columns.push(name.clone());
        }
    }
    let cell = |value: Option<f64>| value.map_or("-".to_owned(), figure);
    let percent = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:+.2}"));
    let mut rows =
        vec![std::iter::once("task".to_owned()).chain(columns.iter().cloned()).collect::<Vec<_>>()];
    for task in &evaluation.tasks {
        let figures = columns.iter().map(|name| cell(task.figure(name)));
        rows.push(std::iter::once(task.name.clone()).chain(figures).collect());
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

#[cfg(test)]
mod tests {
    use manytask_multitask::TaskEvaluation;

    use super::*;

    #[test]
    fn figures_have_four_significant_digits() {
        for (value, text) in [
            (0.0, "0.000"),
            (0.946_12, "0.9461"),
            (0.079_1, "0.07910"),
            (0.000_123_456, "0.0001235"),
            (0.000_012_3, "1.230e-5"),
            (0.999_96, "1.000"),
            (9.999_6, "10.00"),
            (-12.345_6, "-12.35"),
            (1234.56, "1235"),
            (123_456.7, "123457"),
            (1.5e9, "1.500e9"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(figure(value), text, "{value}");
        }
    }

    #[test]
    fn a_table_has_every_figure_and_a_mean() {
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
}
