//! A meta-batch, computed in one of its ways.

mod batched;
mod captured;
mod levels;
mod losses;
mod one_by_one;
mod precomputed;

use manytask_data::Episodes;
use manytask_multitask::{Draw, Error, Pass, Result, Split, VerifiedPass};
use manytask_tensor::{Device, Graph, Params, grad};

use self::batched::BatchedPass;
use self::captured::captured;
use self::losses::Losses;
use self::one_by_one::{empty_rows, in_threads, rows_of};
use self::precomputed::PrecomputedPass;
use crate::analytic::AnalyticResult;
use crate::episode::Randomness;
use crate::execution::Execution;
use crate::learner::LearnsFrom;
use crate::outcome::{Outcome, outcome};
use crate::problem::MetaProblem;

pub(crate) fn forward<'a>(
    problem: &'a MetaProblem,
    params: &'a Params,
    draw: Draw,
) -> Result<Box<dyn Pass + 'a>> {
    if let Some(base_classes) = problem.base_classes.as_ref().filter(|base| base.holds(draw)) {
        let (pool, _) = problem.class_pool(Split::Train)?;
        let (objective, recorded) = base_classes.objective(pool, &problem.objective, params, draw)?;
        let gradient = grad(&objective.losses, params, Graph::Free)?.flatten()?.f_unsqueeze(0)?;
        return Ok(Box::new(PrecomputedPass::new(params, Losses::of(&objective, recorded)?, &gradient)?));
    }
    if problem.learns_from == LearnsFrom::BaseClasses {
        return Err(Error::setting(
            ["pretraining", "steps"],
            format!("step {} on tasks, in which nothing has a gradient", draw.step),
            "let the pretraining take all steps",
        ));
    }
    let execution = problem.execution(params);
    let pass = computed(problem, params, draw, execution)?;
    if problem.settings.execution != Execution::Verify {
        return Ok(pass);
    }
    // Tasks along a dimension go through the graph on a processor, whatever is fused of one task.
    let other = if execution == Execution::Batched { Execution::Loop } else { Execution::Batched };
    let graph = computed(problem, params, draw, other)?;
    Ok(Box::new(VerifiedPass::new(pass, graph, params.kind())?))
}

fn computed<'a>(
    problem: &'a MetaProblem,
    params: &'a Params,
    draw: Draw,
    execution: Execution,
) -> Result<Box<dyn Pass + 'a>> {
    let (episodes, ids) = problem.draw(draw)?;
    match execution {
        Execution::Loop => {
            let rows = empty_rows(params, ids.len())?;
            let found = rows_of(&problem.objective, params, &episodes, draw, &ids, 0..ids.len(), &rows)?;
            Ok(Box::new(PrecomputedPass::new(params, found, &rows)?))
        }
        Execution::Threads(workers) => {
            let rows = empty_rows(params, ids.len())?;
            let found = in_threads(&problem.objective, params, &episodes, draw, &ids, workers, &rows)?;
            Ok(Box::new(PrecomputedPass::new(params, found, &rows)?))
        }
        Execution::Analytic => {
            let found =
                problem.analytic.as_ref().ok().map(|analytic| analytic.run(params, &episodes)).transpose()?;
            match found.flatten() {
                Some(AnalyticResult { losses, rows }) => Ok(Box::new(PrecomputedPass::new(
                    params,
                    Losses { values: losses, ..Losses::default() },
                    &rows,
                )?)),
                // A label is missing, or of the wrong kind: the graph knows what to do, or to say.
                None => at_once(problem, params, &episodes, draw, ids),
            }
        }
        Execution::Batched | Execution::Auto | Execution::Verify => {
            at_once(problem, params, &episodes, draw, ids)
        }
    }
}

/// All tasks along a leading dimension.
fn at_once<'a>(
    problem: &'a MetaProblem,
    params: &'a Params,
    episodes: &Episodes,
    draw: Draw,
    ids: Vec<u64>,
) -> Result<Box<dyn Pass + 'a>> {
    let launches = params.device() != Device::Cpu || problem.recorder.rehearses();
    if launches && !problem.learner().changes_with_steps() {
        return captured(problem, params, episodes, draw, &ids);
    }
    let tasks = ids.len() as i64;
    let expanded = params.expand_tasks(tasks)?;
    let episode = problem.objective.episode(episodes, Some(tasks), Some(Randomness::of(draw, ids)));
    match outcome(problem.objective.learner.as_ref(), &episode, &expanded)? {
        Outcome::Gradient(objective, gradient) => {
            let losses = Losses::of(&objective, episode.support.take_recorded())?;
            Ok(Box::new(PrecomputedPass::new(params, losses, &gradient.flatten()?)?))
        }
        Outcome::Graph(objective) => {
            let losses = Losses::of(&objective, episode.support.take_recorded())?;
            Ok(Box::new(BatchedPass::new(params, expanded, objective.losses, losses)?))
        }
    }
}
