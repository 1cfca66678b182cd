//! Judging a learner on tasks that are always the same.

use manytask_data::Episodes;
use manytask_multitask::{Evaluation, Part, Result, TaskEvaluation};
use manytask_nn::metrics::Output;
use manytask_tensor::{Device, Kind, Params, Tensor, threads};

use crate::episodes::select;
use crate::execution::Execution;
use crate::problem::{Judge, MetaProblem};

/// The kind of numbers that figures are taken in.
const FIGURES: Kind = Kind::Double;

/// For each step of adaptation, each task's loss and figure (squared error, or accuracy).
type Trace = Vec<Vec<(f64, f64)>>;

pub(crate) fn evaluate(problem: &MetaProblem, params: &Params, part: Part) -> Result<Evaluation> {
    let all = problem.settings.evaluation_tasks as u64;
    // No more at once than in training, so that the memory is that of a step.
    let chunk = problem.settings.tasks_per_step.max(1) as u64;
    let mut trace: Trace = Vec::new();
    let mut start = 0;
    while start < all {
        let ids = start..(start + chunk).min(all);
        start = ids.end;
        let found = chunk_of(problem, params, part, ids)?;
        if trace.is_empty() {
            trace.resize_with(found.len(), Vec::new);
        }
        for (all, new) in trace.iter_mut().zip(found) {
            all.extend(new);
        }
    }
    let mut evaluation = form(problem);
    let last = trace.last().map_or(&[][..], Vec::as_slice);
    let figures_of = |trace: &[(f64, f64)]| -> Vec<f64> { trace.iter().map(|(_, figure)| *figure).collect() };
    let figures = figures_of(last);
    let (mean, interval) = mean_and_interval(&figures);
    let mut values = vec![Some(mean), interval, quantile(&figures, 0.5), quantile(&figures, 0.99)];
    values.extend(trace.iter().map(|of_step| Some(mean_and_interval(&figures_of(of_step)).0)));
    let losses: Vec<f64> = last.iter().map(|(loss, _)| *loss).collect();
    for task in &mut evaluation.tasks {
        task.loss = Some(mean_and_interval(&losses).0);
        for ((_, place), value) in task.metrics.iter_mut().zip(&values) {
            *place = *value;
        }
    }
    Ok(evaluation)
}

/// The names of the figures: the mean after the last step, its interval, the median, the 99th percentile, and the means
/// after each step.
pub(crate) fn form(problem: &MetaProblem) -> Evaluation {
    let regression = problem.judge.output == Output::Regression;
    let name = if regression { "mse" } else { "accuracy" };
    let mut names =
        vec![name.to_owned(), format!("{name}_ci95"), format!("{name}_median"), format!("{name}_p99")];
    if let Some(steps) = problem.judge.learner.inner_steps() {
        for step in 0..=problem.settings.evaluation_steps.unwrap_or(steps) {
            let unit = if step == 1 { "step" } else { "steps" };
            names.push(format!("{name}_after_{step}_{unit}"));
        }
    }
    Evaluation {
        tasks: vec![TaskEvaluation {
            name: "episodes".into(),
            loss: None,
            metrics: names.into_iter().map(|name| (name, None)).collect(),
            higher_is_better: !regression,
        }],
    }
}

fn chunk_of(problem: &MetaProblem, params: &Params, part: Part, ids: std::ops::Range<u64>) -> Result<Trace> {
    let count = (ids.end - ids.start) as i64;
    let episodes = problem.fixed(part, ids)?;
    let steps = problem.settings.evaluation_steps;
    if matches!(problem.execution(params), Execution::Batched | Execution::Analytic) {
        let scene = problem.judge.scene(&episodes, Some(count), None);
        let predictions =
            problem.judge.learner.trajectory(&scene, &params.detach()?.expand_tasks(count)?, steps)?;
        return predictions
            .iter()
            .map(|prediction| figures(&problem.judge, prediction, &episodes.query_y))
            .collect();
    }
    let traces = match problem.execution(params) {
        Execution::Threads(workers) => in_threads(&problem.judge, params, &episodes, steps, workers)?,
        _ => (0..count)
            .map(|task| one(&problem.judge, params, &select(&episodes, task)?, steps))
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

/// The trace of one task.
fn one(judge: &Judge, params: &Params, episode: &Episodes, steps: Option<u32>) -> Result<Trace> {
    let predictions = judge.learner.trajectory(&judge.scene(episode, None, None), params, steps)?;
    let labels = episode.query_y.f_unsqueeze(0)?;
    predictions.iter().map(|prediction| figures(judge, &prediction.f_unsqueeze(0)?, &labels)).collect()
}

/// The traces of all tasks, an equal run of them in each thread.
fn in_threads(
    judge: &Judge,
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
    std::thread::scope(|scope| {
        let spawn = |(params, own): (Params, Vec<Episodes>)| {
            scope.spawn(move || {
                threads::set(1)?;
                own.iter().map(|episode| one(judge, &params, episode, steps)).collect::<Result<Vec<_>>>()
            })
        };
        let handles: Vec<_> = loads.into_iter().map(spawn).collect();
        let mut traces = Vec::with_capacity(count as usize);
        for handle in handles {
            match handle.join() {
                Ok(found) => traces.extend(found?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(traces)
    })
}

/// The loss and the figure of each task.
fn figures(judge: &Judge, prediction: &Tensor, target: &Tensor) -> Result<Vec<(f64, f64)>> {
    let tasks = prediction.size().first().copied().unwrap_or_default();
    let losses = judge.loss.mean(prediction, target, None, Some(tasks))?;
    let of_task = |values: Tensor| -> Result<Vec<f64>> {
        Ok(Vec::<f64>::try_from(values.f_to_kind(FIGURES)?.f_to_device(Device::Cpu)?)?)
    };
    let figure = if judge.output == Output::Regression {
        prediction.f_sub(target)?.f_square()?
    } else {
        prediction.f_argmax(-1, false)?.f_eq_tensor(target)?
    };
    let figure =
        figure.f_to_kind(FIGURES)?.f_reshape([tasks, -1])?.f_mean_dim([1_i64].as_slice(), false, FIGURES)?;
    Ok(of_task(losses)?.into_iter().zip(of_task(figure)?).collect())
}

/// The mean, and half the width of its 95 % interval, 1.96 s/√n.
fn mean_and_interval(values: &[f64]) -> (f64, Option<f64>) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    if values.len() < 2 {
        return (mean, None);
    }
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, Some(1.96 * (variance / count).sqrt()))
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

    #[test]
    fn figures_of_a_sample_are_numpys() {
        let values = [3.0, 1.0, 4.0, 1.0, 5.0];
        let (mean, interval) = mean_and_interval(&values);
        assert!((mean - 2.8).abs() < 1e-12);
        assert!((interval.unwrap() - 1.96 * (3.2_f64 / 5.0).sqrt()).abs() < 1e-12);
        assert_eq!(quantile(&values, 0.5), Some(3.0));
        assert!((quantile(&values, 0.99).unwrap() - 4.96).abs() < 1e-12);
        assert_eq!((quantile(&[], 0.5), mean_and_interval(&[2.0]).1), (None, None));
    }
}
