//! A meta-batch, computed in one of its ways.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use manytask_data::Episodes;
use manytask_multitask::{
    Combination, Draw, Error, Jacobian, Level, Pass, Result, Shared, VerifiedPass, layer_columns,
};
use manytask_nn::Context;
use manytask_tensor::capture::Outputs;
use manytask_tensor::{Device, Graph, Kind, Params, Slot, Tensor, grad};

use crate::analytic::AnalyticResult;
use crate::episodes::select;
use crate::execution::{self, Execution};
use crate::learner::{LearnsFrom, Objective};
use crate::outer::{Outcome, outcome};
use crate::problem::{MetaProblem, QueryObjective, randomness};
use crate::recorded::Recorded;

pub(crate) fn forward<'a>(
    problem: &'a MetaProblem,
    params: &'a Params,
    draw: Draw,
) -> Result<Box<dyn Pass + 'a>> {
    if let Some(base_classes) = problem.base_classes.as_ref().filter(|base| base.holds(draw)) {
        let (objective, recorded) = base_classes.objective(problem, params, draw)?;
        let gradient = grad(&objective.losses, params, Graph::Free)?.flatten()?.f_unsqueeze(0)?;
        return Ok(Box::new(PrecomputedPass::new(params, Losses::of(&objective, recorded)?, &gradient)?));
    }
    if problem.learns_from == LearnsFrom::BaseClasses {
        return Err(Error::setting(
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
        return recorded(problem, params, episodes, draw, &ids);
    }
    let tasks = ids.len() as i64;
    let expanded = params.expand_tasks(tasks)?;
    let episode = problem.objective.episode(episodes, Some(tasks), Some(randomness(draw, ids)));
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

/// What the outputs of a recorded meta-batch are, after losses and gradients: terms by name, and sums of buffers' new values. It is the
/// same for every meta-batch of a problem.
#[derive(Debug, Clone, Default)]
pub(crate) struct Form {
    terms: Vec<&'static str>,
    buffers: Vec<(Slot, f64)>,
}

/// All tasks along a leading dimension, with their gradients, launched as a whole where that can be.
fn recorded<'a>(
    problem: &'a MetaProblem,
    params: &'a Params,
    episodes: &Episodes,
    draw: Draw,
    ids: &[u64],
) -> Result<Box<dyn Pass + 'a>> {
    let tasks = ids.len() as i64;
    let of = |inputs: &[Tensor]| {
        let own =
            |place: usize| inputs.get(place).map(Tensor::shallow_clone).ok_or_else(|| broken("no episodes"));
        Ok::<_, Error>(Episodes {
            support_x: own(0)?,
            support_y: own(1)?,
            query_x: own(2)?,
            query_y: own(3)?,
        })
    };
    let work = |inputs: &[Tensor]| {
        if let Some(fused) = &problem.batched {
            let (losses, rows) = fused.run(params, &of(inputs)?)?;
            return Ok(vec![rows, losses.f_to_kind(Kind::Double)?]);
        }
        let expanded = params.expand_tasks(tasks)?;
        let episode =
            problem.objective.episode(&of(inputs)?, Some(tasks), Some(randomness(draw, ids.to_vec())));
        let (objective, gradient) = match outcome(problem.objective.learner.as_ref(), &episode, &expanded)? {
            Outcome::Gradient(objective, gradient) => (objective, gradient),
            Outcome::Graph(objective) => {
                let total = objective.losses.f_sum(objective.losses.kind())?;
                let gradient = grad(&total, &expanded, Graph::Free)?;
                (objective, gradient)
            }
        };
        let (sums, buffers) = episode.support.take_recorded().into_parts();
        let terms = objective.terms.iter().map(|(name, _)| *name).collect();
        *problem.form.lock().unwrap_or_else(PoisonError::into_inner) = Form { terms, buffers };
        let numbers =
            |tensor: &Tensor| Ok::<_, Error>(tensor.f_detach()?.f_to_kind(Kind::Double)?.f_reshape([-1])?);
        let mut outputs = vec![gradient.flatten()?, numbers(&objective.losses)?];
        outputs
            .extend(objective.terms.iter().map(|(_, values)| numbers(values)).collect::<Result<Vec<_>>>()?);
        outputs.extend(sums);
        Ok::<_, Error>(outputs)
    };
    let Episodes { support_x, support_y, query_x, query_y } = episodes;
    let own = params.as_vector();
    let read: Vec<&Tensor> = match &own {
        Some(own) => std::iter::once(own).chain(buffers_of(params)).collect(),
        None => params.leaves().iter().collect(),
    };
    let inputs = [support_x, support_y, query_x, query_y];
    let outputs = problem.recorder.run(params.device(), &read, &inputs, work)?;
    let form = problem.form.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let [rows, losses, rest @ ..] = outputs.tensors.as_slice() else {
        return Err(broken("losses and gradients"));
    };
    let (terms, sums) = rest.split_at(form.terms.len().min(rest.len()));
    let terms = form.terms.iter().zip(terms).map(|(name, values)| Ok((*name, Vec::<f64>::try_from(values)?)));
    let losses = Losses {
        values: Vec::<f64>::try_from(losses)?,
        terms: terms.collect::<Result<_>>()?,
        recorded: Recorded::of_parts(sums, &form.buffers),
    };
    let ready = PrecomputedPass::new(params, losses, rows)?;
    Ok(Box::new(PrecomputedPass { _outputs: Some(outputs), ..ready }))
}

fn buffers_of(params: &Params) -> impl Iterator<Item = &Tensor> {
    params.iter().filter(|(entry, _)| !entry.role.is_trained()).map(|(_, leaf)| leaf)
}

/// The losses of tasks, with what else a pass leaves behind.
#[derive(Debug, Default)]
struct Losses {
    values: Vec<f64>,
    /// Each task's terms, by name.
    terms: BTreeMap<&'static str, Vec<f64>>,
    recorded: Recorded,
}

impl Losses {
    fn of(objective: &Objective, recorded: Recorded) -> Result<Self> {
        let numbers = |tensor: &Tensor| -> Result<Vec<f64>> {
            Ok(Vec::<f64>::try_from(tensor.f_detach()?.f_to_kind(Kind::Double)?.f_reshape([-1])?)?)
        };
        let terms = objective.terms.iter().map(|(name, values)| Ok((*name, numbers(values)?)));
        let terms = terms.collect::<Result<_>>()?;
        Ok(Self { values: numbers(&objective.losses)?, terms, recorded })
    }

    /// Those of further tasks behind these.
    fn extend(&mut self, other: Self) -> Result<()> {
        self.values.extend(other.values);
        for (name, values) in other.terms {
            self.terms.entry(name).or_default().extend(values);
        }
        self.recorded.merge(other.recorded)
    }

    /// The new values of buffers, the mean over tasks and passes.
    fn take_context(&mut self) -> Result<Context> {
        std::mem::take(&mut self.recorded).into_context()
    }

    /// The mean of each term over the tasks.
    fn terms(&self) -> Vec<(&'static str, f64)> {
        let mean = |values: &Vec<f64>| values.iter().sum::<f64>() / values.len().max(1) as f64;
        self.terms.iter().map(|(name, values)| (*name, mean(values))).collect()
    }
}

fn broken(message: &str) -> Error {
    Error::Contract { aggregator: "meta-problem".into(), message: message.into() }
}

/// The gradients of a level, of which those of all parameters are known; `layers` keeps what was asked for last.
fn at_level<'j>(
    all: &'j Jacobian,
    layers: &'j mut Option<(Level, Jacobian)>,
    params: &Params,
    level: &Level,
) -> Result<&'j Jacobian> {
    match level {
        Level::Parameters => Ok(all),
        Level::Representation => Err(Error::setting(
            "gradients of a representation, of which each task has its own",
            "take the level `parameters`",
        )),
        Level::LastLayer | Level::Layers(_) => {
            if layers.as_ref().is_none_or(|(of, _)| of != level) {
                let layout = params.layout();
                let columns = layer_columns(layout, &layout.trained(), level)?;
                *layers = Some((level.clone(), all.of_columns(&columns)?));
            }
            layers.as_ref().map(|(_, rows)| rows).ok_or_else(|| broken("no Jacobian"))
        }
    }
}

/// A direction of all parameters.
fn vector_of(direction: &Tensor, level: &Level) -> Result<Tensor> {
    match level {
        Level::Parameters => Ok(direction.shallow_clone()),
        _ => Err(Error::setting("a direction of some layers only", "take the level `parameters`")),
    }
}

fn as_many(weights: &[f64], tasks: usize) -> Result<&[f64]> {
    if weights.len() == tasks { Ok(weights) } else { Err(broken("as many weights as tasks are needed")) }
}

/// A matrix for the gradients of so many tasks.
fn empty_rows(params: &Params, tasks: usize) -> Result<Tensor> {
    let width = params.layout().trained_count();
    Ok(Tensor::f_empty([tasks as i64, width], (params.kind(), params.device()))?)
}

/// The tasks of a range, one after the other: their query losses; each task's gradient becomes a row.
fn rows_of(
    objective: &QueryObjective,
    params: &Params,
    episodes: &Episodes,
    draw: Draw,
    ids: &[u64],
    range: std::ops::Range<usize>,
    rows: &Tensor,
) -> Result<Losses> {
    let mut all = Losses::default();
    for (number, (task, id)) in range.zip(ids).enumerate() {
        let one = select(episodes, task as i64)?;
        let episode = objective.episode(&one, None, Some(randomness(draw, vec![*id])));
        let (objective, gradient) = match outcome(objective.learner.as_ref(), &episode, params)? {
            Outcome::Gradient(objective, gradient) => (objective, gradient),
            Outcome::Graph(objective) => {
                let gradient = grad(&objective.losses, params, Graph::Free)?;
                (objective, gradient)
            }
        };
        gradient.flatten_into(&rows.f_select(0, number as i64)?)?;
        all.extend(Losses::of(&objective, episode.support.take_recorded())?)?;
    }
    Ok(all)
}

/// Each thread takes an equal run of tasks. A task's numbers do not depend on how many threads there are.
fn in_threads(
    objective: &QueryObjective,
    params: &Params,
    episodes: &Episodes,
    draw: Draw,
    ids: &[u64],
    workers: usize,
    rows: &Tensor,
) -> Result<Losses> {
    /// What one thread takes with it: tensors can be sent, but not shared.
    struct Load {
        params: Params,
        episodes: Episodes,
        start: usize,
        ids: Vec<u64>,
        rows: Tensor,
    }
    let each = ids.len().div_ceil(workers.max(1)).max(1);
    let mut loads = Vec::new();
    for (number, ids) in ids.chunks(each).enumerate() {
        let own = |tensor: &Tensor| tensor.shallow_clone();
        let start = number * each;
        loads.push(Load {
            params: params.require_grad()?,
            episodes: Episodes {
                support_x: own(&episodes.support_x),
                support_y: own(&episodes.support_y),
                query_x: own(&episodes.query_x),
                query_y: own(&episodes.query_y),
            },
            start,
            ids: ids.to_vec(),
            rows: rows.f_narrow(0, start as i64, ids.len() as i64)?,
        });
    }
    let of_load = |load: Load| {
        let range = load.start..load.start + load.ids.len();
        rows_of(objective, &load.params, &load.episodes, draw, &load.ids, range, &load.rows)
    };
    let mut all = Losses::default();
    execution::in_threads(loads, of_load)?.into_iter().try_for_each(|found| all.extend(found))?;
    Ok(all)
}

/// A pass whose gradients are there already, the rows of one matrix.
struct PrecomputedPass<'a> {
    params: &'a Params,
    present: Vec<usize>,
    losses: Losses,
    context: Context,
    jacobian: Jacobian,
    layers: Option<(Level, Jacobian)>,
    /// Whose memory the gradients are in.
    _outputs: Option<Outputs>,
}

impl<'a> PrecomputedPass<'a> {
    fn new(params: &'a Params, mut losses: Losses, rows: &Tensor) -> Result<Self> {
        let present = (0..losses.values.len()).collect();
        let context = losses.take_context()?;
        Ok(Self {
            params,
            present,
            losses,
            context,
            jacobian: Jacobian::new(rows)?,
            layers: None,
            _outputs: None,
        })
    }
}

impl Pass for PrecomputedPass<'_> {
    fn present(&self) -> &[usize] {
        &self.present
    }

    fn losses(&self) -> &[f64] {
        &self.losses.values
    }

    fn jacobian(&mut self, level: &Level) -> Result<&Jacobian> {
        at_level(&self.jacobian, &mut self.layers, self.params, level)
    }

    fn finish(&mut self, combination: &Combination) -> Result<Params> {
        let vector = match &combination.shared {
            Shared::Direction { vector, level } => vector_of(vector, level)?,
            Shared::Weights(weights) => self.jacobian.combine(as_many(weights, self.present.len())?)?,
        };
        Ok(Params::from_vector(self.params.layout(), &vector)?)
    }

    fn terms(&self) -> Vec<(&'static str, f64)> {
        self.losses.terms()
    }

    fn take_context(&mut self) -> Context {
        std::mem::replace(&mut self.context, Context::eval())
    }
}

/// A pass over all tasks at once, whose graph waits for the weights.
struct BatchedPass<'a> {
    params: &'a Params,
    /// Each task's own, views of the parameters.
    expanded: Params,
    present: Vec<usize>,
    losses: Losses,
    context: Context,
    /// The losses with their graph.
    graph: Tensor,
    jacobian: Option<Jacobian>,
    layers: Option<(Level, Jacobian)>,
}

impl<'a> BatchedPass<'a> {
    fn new(params: &'a Params, expanded: Params, graph: Tensor, mut losses: Losses) -> Result<Self> {
        let present = (0..losses.values.len()).collect();
        let context = losses.take_context()?;
        Ok(Self { params, expanded, present, losses, context, graph, jacobian: None, layers: None })
    }
}

impl Pass for BatchedPass<'_> {
    fn present(&self) -> &[usize] {
        &self.present
    }

    fn losses(&self) -> &[f64] {
        &self.losses.values
    }

    /// One pass: a task's loss depends on its own parameters alone, so the gradient of the sum by all tasks' parameters has a
    /// task's gradient in each row.
    fn jacobian(&mut self, level: &Level) -> Result<&Jacobian> {
        if self.jacobian.is_none() {
            let total = self.graph.f_sum(self.graph.kind())?;
            let rows = grad(&total, &self.expanded, Graph::Free)?.flatten()?;
            self.jacobian = Some(Jacobian::new(&rows)?);
        }
        let all = self.jacobian.as_ref().ok_or_else(|| broken("no Jacobian"))?;
        at_level(all, &mut self.layers, self.params, level)
    }

    fn finish(&mut self, combination: &Combination) -> Result<Params> {
        let vector = match (&combination.shared, &self.jacobian) {
            (Shared::Direction { vector, level }, _) => vector_of(vector, level)?,
            (Shared::Weights(weights), Some(jacobian)) => {
                jacobian.combine(as_many(weights, self.present.len())?)?
            }
            (Shared::Weights(weights), None) => {
                let weights = Tensor::f_from_slice(as_many(weights, self.present.len())?)?;
                let weights = weights.f_to_kind(self.graph.kind())?.f_to_device(self.graph.device())?;
                let total = self.graph.f_dot(&weights)?;
                return Ok(grad(&total, self.params, Graph::Free)?);
            }
        };
        Ok(Params::from_vector(self.params.layout(), &vector)?)
    }

    fn terms(&self) -> Vec<(&'static str, f64)> {
        self.losses.terms()
    }

    fn take_context(&mut self) -> Context {
        std::mem::replace(&mut self.context, Context::eval())
    }
}
