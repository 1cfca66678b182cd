//! Tables and what is said on the terminal.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use manytask_multitask::{Delta, Evaluation, StepReport};

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

/// One row for each task, one column for each figure; a last row of means where there are several tasks.
pub fn table(evaluation: &Evaluation, delta: Option<&Delta>) -> String {
    let mut columns = vec!["loss".to_owned()];
    for (name, _) in evaluation.tasks.iter().flat_map(|task| &task.metrics) {
        if !columns.contains(name) {
            columns.push(name.clone());
        }
    }
    let cell = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
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

/// How a training goes on: a bar on a terminal, a line every few seconds elsewhere.
#[derive(Debug)]
pub struct Progress {
    shown: Shown,
    total: u64,
    started: Instant,
    first: Option<u64>,
    loss: Option<f64>,
}

#[derive(Debug)]
enum Shown {
    Nothing,
    Lines { last: Instant },
    Bar(ProgressBar),
}

/// Seconds between two lines.
const PAUSE: Duration = Duration::from_secs(5);

impl Progress {
    /// Of a training of so many steps; nothing is shown if it is to be `quiet`.
    pub fn new(total: u64, quiet: Quiet) -> Self {
        let shown = match quiet {
            Quiet::Yes => Shown::Nothing,
            Quiet::No if std::io::stderr().is_terminal() => {
                let bar = ProgressBar::new(total);
                let style =
                    ProgressStyle::with_template("{bar:30} {pos}/{len} steps, {per_sec}, {eta} to go  {msg}");
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                Shown::Bar(bar)
            }
            Quiet::No => Shown::Lines { last: Instant::now() },
        };
        Self { shown, total, started: Instant::now(), first: None, loss: None }
    }

    /// A step was made.
    pub fn step(&mut self, report: &StepReport) {
        let mean = report.losses.iter().sum::<f64>() / report.losses.len().max(1) as f64;
        // For the eyes alone: the mean of the last steps.
        let loss = self.loss.map_or(mean, |loss| 0.98 * loss + 0.02 * mean);
        self.loss = Some(loss);
        let first = *self.first.get_or_insert(report.step - 1);
        match &mut self.shown {
            Shown::Bar(bar) => {
                bar.set_position(report.step);
                bar.set_message(format!("loss {loss:.4}"));
            }
            Shown::Lines { last } if last.elapsed() >= PAUSE => {
                *last = Instant::now();
                let rate = (report.step - first) as f64 / self.started.elapsed().as_secs_f64();
                let left = (self.total - report.step) as f64 / rate.max(1e-9);
                say(&format!(
                    "step {}/{}, {rate:.1} steps/s, {left:.0} s to go, loss {loss:.4}",
                    report.step, self.total
                ));
            }
            Shown::Nothing | Shown::Lines { .. } => {}
        }
    }

    /// A line between.
    pub fn note(&self, text: &str) {
        match &self.shown {
            Shown::Nothing => {}
            Shown::Bar(bar) => bar.println(text),
            Shown::Lines { .. } => say(text),
        }
    }

    /// Nothing more comes.
    pub fn end(&self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

/// Whether progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quiet {
    /// It is not.
    Yes,
    /// It is.
    No,
}

#[cfg(test)]
mod tests {
    use manytask_multitask::TaskEvaluation;

    use super::*;

    #[test]
    fn a_table_has_every_figure_and_a_mean() {
        let task = |name: &str, metric: &str, value| TaskEvaluation {
            name: name.into(),
            loss: Some(0.5),
            metrics: vec![(metric.into(), value)],
            higher_is_better: true,
        };
        let evaluation =
            Evaluation { tasks: vec![task("income", "roc_auc", Some(0.91)), task("a", "rmse", None)] };
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
