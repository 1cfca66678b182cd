//! Judging a learner on tasks that are always the same.

mod features;
mod scores;
mod summary;

use manytask_data::Episodes;
use manytask_multitask::{Evaluation, Result, Split, TaskEvaluation};
use manytask_tensor::{Params, no_grad};

use self::features::Features;
pub(crate) use self::features::with_base_mean;
use self::scores::{LOG_LIKELIHOOD, TaskScore, primary, scores};
use self::summary::Summary;
use crate::episode::Episode;
use crate::episodes::select;
use crate::execution::{self, Execution};
use crate::outer::GradientMode;
use crate::prediction::Predicts;
use crate::problem::{MetaProblem, QueryObjective};

/// For each step of adaptation, the metrics of each task.
type Trace = Vec<Vec<TaskScore>>;

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

/// What an evaluation reports of a task beside its loss.
pub(crate) fn metric(objective: &QueryObjective) -> (&'static str, bool) {
    if objective.learner.predicts() == Predicts::Distributions {
        return (LOG_LIKELIHOOD, true);
    }
    let metric = primary(objective.output);
    (metric.name(), metric.higher_is_better())
}

/// The names of the metrics: the mean after the last step, its interval, the median, the 99th percentile, and the means
/// after each step. Behind them stands `diverged`, the number of tasks that are in none, where there are such.
pub(crate) fn evaluation_schema(problem: &MetaProblem) -> Evaluation {
    let (name, higher_is_better) = metric(&problem.objective);
    let mut names =
        vec![name.to_owned(), format!("{name}_ci95"), format!("{name}_median"), format!("{name}_p99")];
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

/// The trace of one task, or of all along a dimension of so many: before any step of adaptation and after each.
fn trace(
    objective: &QueryObjective,
    params: &Params,
    episode: &Episode<'_>,
    steps: Option<u32>,
) -> Result<Trace> {
    let mut predictor = objective.learner.adapt(&episode.support, params, GradientMode::Off)?;
    let last = objective.learner.steps().map_or(0, |own| steps.unwrap_or(own));
    let mut trace = Trace::with_capacity(last as usize + 1);
    for step in 0..=last {
        if step > 0 {
            predictor.advance()?;
        }
        let _off = no_grad();
        trace.push(scores(objective, &predictor.predict(&episode.query_x)?, episode)?);
    }
    Ok(trace)
}

fn of_task(
    objective: &QueryObjective,
    params: &Params,
    episodes: &Episodes,
    steps: Option<u32>,
) -> Result<Trace> {
    trace(objective, params, &objective.episode(episodes, None, None), steps)
}

/// The traces of all tasks, an equal run of them in each thread.
fn in_threads(
    objective: &QueryObjective,
    params: &Params,
    episodes: &Episodes,
    steps: Option<u32>,
    workers: usize,
) -> Result<Vec<Trace>> {
    let count = episodes.query_y.size().first().copied().unwrap_or_default();
    let each = (count as usize).div_ceil(workers.max(1)).max(1);
    let mut loads = Vec::new();
    for start in (0..count).step_by(each) {
        let end = (start + each as i64).min(count);
        let own = (start..end).map(|task| select(episodes, task)).collect::<Result<Vec<_>>>()?;
        loads.push((params.detach()?, own));
    }
    let of_load = |(params, own): (Params, Vec<Episodes>)| {
        own.iter().map(|episodes| of_task(objective, &params, episodes, steps)).collect::<Result<Vec<_>>>()
    };
    Ok(execution::in_threads(loads, of_load)?.concat())
}
