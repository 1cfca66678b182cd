//! What a training saw on the validation split.

use std::path::Path;

use manytask_multitask::TaskEvaluation;

use super::METRICS;
use super::metrics::{Record, Split};
use crate::failure::Result;

/// All numbers of a training that are not damaged, in their order; none where nothing was written.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn records_of(run: &Path) -> Result<Vec<Record>> {
    let text = match fs_err::read(run.join(METRICS)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read?,
    };
    Ok(text.split(|byte| *byte == b'\n').filter_map(Record::read).collect())
}

/// The losses and metrics on the validation split after so many steps, by task, in the order of `metrics.jsonl`; none where that
/// was not evaluated. Which direction is better is not known there: it is that of the results.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn validation_of(
    run: &Path,
    step: u64,
    results: &[TaskEvaluation],
) -> Result<Vec<TaskEvaluation>> {
    let text = fs_err::read(run.join(METRICS))?;
    let mut tasks: Vec<TaskEvaluation> = Vec::new();
    for record in text.split(|byte| *byte == b'\n').filter_map(Record::read) {
        let Some(name) = record.task.filter(|_| record.step == step && record.split == Split::Validation)
        else {
            continue;
        };
        let of_results = results.iter().find(|task| task.name == name);
        let Some(of_results) = of_results else { continue };
        let at = tasks.iter().position(|task| task.name == name).unwrap_or(tasks.len());
        if at == tasks.len() {
            let higher_is_better = of_results.higher_is_better;
            tasks.push(TaskEvaluation { name, loss: None, metrics: Vec::new(), higher_is_better });
        }
        let Some(task) = tasks.get_mut(at) else { continue };
        if record.metric == "loss" {
            task.loss = record.value;
        } else {
            task.metrics.push((record.metric, record.value));
        }
    }
    Ok(tasks)
}
