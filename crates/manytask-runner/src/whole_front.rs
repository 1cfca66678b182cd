//! What a network for the whole Pareto front is worth: losses and metrics at several preferences.

use manytask_multitask::{Problem, Split, TaskEvaluation};
use manytask_tensor::Params;
use serde::{Deserialize, Serialize};

use crate::failure::Result;
use crate::report::{aligned, number};

/// Tasks that have columns of their own.
const TASKS: usize = 4;

/// A network at one preference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct JudgedAt {
    /// A share of each task.
    pub(crate) preference: Vec<f64>,
    /// Losses and metrics of each task.
    pub(crate) tasks: Vec<TaskEvaluation>,
}

/// Judges a network at the preferences that its configuration asks for; nothing of one that is not for the whole front.
///
/// # Errors
/// When the data have no such split.
pub(crate) fn judge(problem: &dyn Problem, params: &Params, split: Split) -> Result<Vec<JudgedAt>> {
    let at = |preference: &Vec<f64>| {
        let tasks = problem.evaluate_at(params, split, preference)?.tasks;
        Ok(JudgedAt { preference: preference.clone(), tasks })
    };
    problem.preferences().iter().map(at).collect()
}

/// A row for each preference, with each task's loss and primary metric.
pub(crate) fn text(judged: &[JudgedAt]) -> String {
    let Some(first) = judged.first() else { return String::new() };
    let mut rows = vec![head(&first.tasks)];
    rows.extend(judged.iter().map(|judged| cells(&judged.preference, &judged.tasks)));
    aligned(&rows)
}

/// The heads of [`cells`].
pub(crate) fn head(tasks: &[TaskEvaluation]) -> Vec<String> {
    let mut head = vec!["preference".to_owned()];
    if tasks.len() > TASKS {
        head.push("mean loss".to_owned());
        return head;
    }
    head.extend(tasks.iter().map(|task| format!("{} loss", task.name)));
    let metric =
        |task: &TaskEvaluation| task.metrics.first().map_or("-".to_owned(), |(name, _)| name.clone());
    head.extend(tasks.iter().map(|task| format!("{} {}", task.name, metric(task))));
    head
}

/// A preference with the losses and primary metrics of tasks; of many tasks the mean loss.
pub(crate) fn cells(preference: &[f64], tasks: &[TaskEvaluation]) -> Vec<String> {
    let shown = |value: Option<f64>| value.map_or("-".to_owned(), number);
    let mut cells = vec![shares(preference)];
    if tasks.len() > TASKS {
        let losses: Vec<f64> = tasks.iter().filter_map(|task| task.loss).collect();
        cells.push(number(losses.iter().sum::<f64>() / losses.len().max(1) as f64));
        return cells;
    }
    cells.extend(tasks.iter().map(|task| shown(task.loss)));
    cells.extend(tasks.iter().map(|task| shown(task.metrics.first().and_then(|(_, value)| *value))));
    cells
}

/// A preference with colons between, four digits of each share.
pub(crate) fn shares(preference: &[f64]) -> String {
    let shown: Vec<String> =
        preference.iter().map(|weight| format!("{}", (weight * 1e4).round() / 1e4)).collect();
    shown.join(":")
}

/// Whether so many tasks have columns of their own.
pub(crate) fn shows_each(tasks: usize) -> bool {
    tasks <= TASKS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(tasks: usize) -> JudgedAt {
        let task = |number: usize| TaskEvaluation {
            name: format!("t{number}"),
            loss: Some(number as f64 + 1.0),
            metrics: vec![("auc".into(), (number > 0).then_some(0.5))],
            higher_is_better: true,
        };
        JudgedAt { preference: vec![1.0 / tasks as f64; tasks], tasks: (0..tasks).map(task).collect() }
    }

    #[test]
    fn few_tasks_have_columns_and_many_a_mean() {
        let two = judged(2);
        assert_eq!(head(&two.tasks), ["preference", "t0 loss", "t1 loss", "t0 auc", "t1 auc"]);
        assert_eq!(cells(&two.preference, &two.tasks), ["0.5:0.5", "1.000", "2.000", "-", "0.5000"]);
        let five = judged(5);
        assert_eq!(cells(&five.preference, &five.tasks), ["0.2:0.2:0.2:0.2:0.2", "3.000"]);
        assert_eq!(text(&[]), "");
    }
}
