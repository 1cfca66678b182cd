//! Judging a learner on tasks that are always the same.

mod features;
mod scores;
mod summary;
mod trace;

use manytask_multitask::{Evaluation, Result, Split, TaskEvaluation};
use manytask_nn::metrics::Output;
use manytask_tensor::Params;

use self::features::Features;
pub(crate) use self::features::with_base_mean;
use self::scores::{LOG_LIKELIHOOD, primary};
use self::summary::Summary;
use self::trace::{Trace, in_threads, of_task, trace};
use crate::episodes::select;
use crate::execution::Execution;
use crate::prediction::Predicts;
use crate::problem::MetaProblem;
use crate::query_objective::QueryObjective;

pub(crate) fn evaluate(problem: &MetaProblem, params: &Params, split: Split) -> Result<Evaluation> {
    let all = problem.settings.evaluation_tasks as u64;
    let params = with_base_mean(problem, params)?;
    let features = Features::of(problem, &params, split)?;
    // No more at once than in training, so that the memory is that of a step.
    let chunk =
        features.as_ref().map_or(problem.settings.tasks_per_step.max(1) as u64, Features::tasks_at_once);
    let mut trace: Trace = Vec::new();
    let mut start = 0;
    while start < all {
        let ids = start..(start + chunk).min(all);
        start = ids.end;
        let found = match &features {
            Some(features) => features.chunk(problem, &params, split, ids)?,
            None => chunk_of(problem, &params, split, ids)?,
        };
        if trace.is_empty() {
            trace.resize_with(found.len(), Vec::new);
        }
        for (all, new) in trace.iter_mut().zip(found) {
            all.extend(new);
        }
    }
    in_units_of_labels(problem, &mut trace);
    let summary = Summary::of(&trace);
    let mut evaluation = evaluation_schema(problem);
    for task in &mut evaluation.tasks {
        task.loss = summary.loss;
        for ((_, place), value) in task.metrics.iter_mut().zip(&summary.values) {
            *place = *value;
        }
        if let Some(diverged) = &summary.diverged {
            task.metrics.push(("diverged".into(), Some(diverged.tasks as f64)));
        }
    }
    evaluation.notes.extend(summary.diverged.map(|diverged| diverged.note()));
    Ok(evaluation)
}

/// Brings metrics to the units that labels had before they were divided by their deviation.
fn in_units_of_labels(problem: &MetaProblem, trace: &mut Trace) {
    let deviation = problem.source.label_deviation();
    let distributions = problem.objective.learner.predicts() == Predicts::Distributions;
    for score in trace.iter_mut().flatten() {
        if distributions {
            // The density of y = σ z + μ is that of z, divided by σ.
            score.metric -= deviation.ln();
        } else if problem.objective.output == Output::Regression {
            score.metric *= deviation * deviation;
        }
    }
}

/// What an evaluation reports of a task beside its loss.
pub(crate) fn metric(objective: &QueryObjective) -> (String, bool) {
    if objective.learner.predicts() == Predicts::Distributions {
        return (LOG_LIKELIHOOD.to_owned(), true);
    }
    let metric = primary(objective.output);
    (metric.name(), metric.higher_is_better())
}

/// The names of the metrics: the mean after the last step, its interval, the median, the 99th percentile, and the means
/// after each step. Behind them stands `diverged`, the number of tasks that are in none, where there are such.
pub(crate) fn evaluation_schema(problem: &MetaProblem) -> Evaluation {
    let (name, higher_is_better) = metric(&problem.objective);
    let mut names =
        vec![name.clone(), format!("{name}_ci95"), format!("{name}_median"), format!("{name}_p99")];
    if let Some(steps) = problem.objective.learner.steps() {
        for step in 0..=problem.settings.evaluation_steps.unwrap_or(steps) {
            let unit = if step == 1 { "step" } else { "steps" };
            names.push(format!("{name}_after_{step}_{unit}"));
        }
    }
    Evaluation::new(vec![TaskEvaluation {
        name: "episodes".into(),
        loss: None,
        metrics: names.into_iter().map(|name| (name, None)).collect(),
        higher_is_better,
    }])
}

fn chunk_of(
    problem: &MetaProblem,
    params: &Params,
    split: Split,
    ids: std::ops::Range<u64>,
) -> Result<Trace> {
    let count = (ids.end - ids.start) as i64;
    let (objective, episodes) = (&problem.objective, problem.fixed(split, ids)?);
    let steps = problem.settings.evaluation_steps;
    if matches!(problem.execution(params), Execution::Batched | Execution::Analytic) {
        let episode = objective.episode(&episodes, Some(count), None);
        return trace(objective, &params.expand_tasks(count)?, &episode, steps);
    }
    let traces = match problem.execution(params) {
        Execution::Threads(workers) => in_threads(objective, params, &episodes, steps, workers)?,
        _ => (0..count)
            .map(|task| of_task(objective, params, &select(&episodes, task)?, steps))
            .collect::<Result<_>>()?,
    };
    let mut joined: Trace = Vec::new();
    for trace in traces {
        joined.resize_with(trace.len(), Vec::new);
        for (all, new) in joined.iter_mut().zip(trace) {
            all.extend(new);
        }
    }
    Ok(joined)
}
